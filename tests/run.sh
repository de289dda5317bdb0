#!/usr/bin/env bash
# Every test of the project, from nothing but a Rust toolchain with a C compiler, Python 3.11 and Node.js.
#
#   tests/run.sh           everything, and each fuzz target for a few seconds
#   tests/run.sh rust      formatting, lints, unit, file, spec, tidy, property, command and page tests
#   tests/run.sh outsider  a crate with a pass of its own, in examples/my-netc
#   tests/run.sh interop   the tests against the real Keras, in an environment that is made here
#   tests/run.sh matrix    every layer class from every format to every other: writes docs/conversions.md; `matrix fast`
#                          takes a part of the models
set -euo pipefail
cd "$(dirname "$0")/.."
part="${1:-all}"

rust() {
  cargo fmt --all -- --check
  cargo clippy --workspace --all-targets -- -D warnings
  # The command as it is released: the pages show what it prints, Keras judges what it writes.
  cargo build --release
  NETC="$PWD/target/release/netc" cargo test --workspace
}

# A tool of somebody else, built as they would build it.
outsider() {
  cp Cargo.lock examples/my-netc/Cargo.lock
  cargo test --release --quiet --manifest-path examples/my-netc/Cargo.toml --target-dir target
  cargo run --release --quiet --manifest-path examples/my-netc/Cargo.toml --target-dir target -- \
    zoo:tiny --pass strip-dropout --verify
}

# The environment with the newest Keras; prints its Python.
keras() {
  local env=tests/.venv
  if ! "$env/bin/python" -c 'import keras, jax, pytest, xdist' 2>/dev/null; then
    python3 -m venv "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check -r tests/interop/requirements.txt
  fi
  echo "$env/bin/python"
}

interop() {
  local python
  python="$(keras)"
  cargo build --release
  # The whole workspace, so that dependencies have the features that they were tested with.
  cargo build --workspace --examples
  NETC="$PWD/target/release/netc" "$python" -m pytest -q -n auto tests/interop
}

matrix() {
  local python
  python="$(keras)"
  cargo build --release
  NETC="$PWD/target/release/netc" "$python" tests/interop/matrix.py "$@"
}

case "$part" in
  all)
    rust
    outsider
    interop
    matrix fast
    NETC_FUZZ_SEED=1 bash fuzz/run.sh 5
    ;;
  rust | outsider | interop) "$part" ;;
  matrix) matrix "${@:2}" ;;
  *) echo "usage: tests/run.sh [rust|outsider|interop|matrix [fast]]" >&2; exit 2 ;;
esac
