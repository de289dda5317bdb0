#!/usr/bin/env bash
# Cargo's RUSTC_WRAPPER for fuzzing: instruments only the crates that read the fuzzer's input.
set -euo pipefail
rustc="$1"
shift
case " $* " in
  *" --crate-name netc_"* | *" --crate-name hdf5_pure "* | *" --crate-name rawzip "* | *" --crate-name serde_json "*)
    set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$rustc" "$@"
