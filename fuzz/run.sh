#!/usr/bin/env bash
# Builds the fuzz targets, generates their seeds, and runs each target. Fails if a target finds something.
#
#   fuzz/run.sh [SECONDS] [TARGET...]     runs each target for SECONDS; default: all targets, 10 seconds each
#   NETC_FUZZ_SEED=N fuzz/run.sh          uses the fuzzer's random seed N; default: a new seed for each run
#
# Needs a stable Rust toolchain, and a C++ compiler for the fuzzer's runtime.
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-10}"
targets=("${@:2}")
if [ "${#targets[@]}" = 0 ]; then
  mapfile -t targets < <(basename -s .rs fuzz_targets/*.rs)
fi

# Use the dependency versions with which the workspace is tested.
cp ../Cargo.lock Cargo.lock
RUSTC_WRAPPER="$PWD/instrument.sh" cargo build --release
target/release/seeds seeds

# Readers need files; keep them in memory if possible.
if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
# Reading a file may take 64 MiB plus 64 times its size (netc_ir::Budget), and inputs have at most 64 KiB. The limits
# add what the process needs from the start. A single thread and arena keep the reserved address space small.
export RAYON_NUM_THREADS=1 MALLOC_ARENA_MAX=1
ulimit -v 500000
limits=(-max_len=65536 -rss_limit_mb=400 -timeout=10)

failed=()
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  folders=("corpus/$target")
  for folder in "seeds/$target" "../tests/regressions/$target"; do
    if [ -d "$folder" ]; then folders+=("$folder"); fi
  done
  options=(-seed="${NETC_FUZZ_SEED:-0}" -max_total_time="$seconds" "${limits[@]}" -print_final_stats=1)
  if [ -f "seeds/$target.dict" ]; then options+=(-dict="seeds/$target.dict"); fi
  log="artifacts/$target.log"
  if "target/release/$target" "${folders[@]}" "${options[@]}" -artifact_prefix="artifacts/$target/" &>"$log"; then
    echo "$target: $(sed -n 's/stat::number_of_executed_units: *//p' "$log") inputs"
  else
    tail -n 40 "$log"
    failed+=("$target")
  fi
done
if [ "${#failed[@]}" != 0 ]; then
  echo "these targets found something: ${failed[*]}; see fuzz/artifacts/ and fuzz/README.md" >&2
  exit 1
fi
