#!/usr/bin/env bash
# Builds the fuzz targets, makes their seeds, and runs each for a while. Fails if one finds something.
#
#   fuzz/run.sh [SECONDS] [TARGET...]     each of all targets for 10 seconds, unless told otherwise
#   NETC_FUZZ_SEED=N fuzz/run.sh          with the fuzzer's own seed N; another each time, unless told otherwise
#
# Needs a stable Rust toolchain and a C++ compiler, for the fuzzer's runtime.
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-10}"
targets=("${@:2}")
if [ "${#targets[@]}" = 0 ]; then
  mapfile -t targets < <(basename -s .rs fuzz_targets/*.rs)
fi

# The dependencies have the versions that the workspace is tested with.
cp ../Cargo.lock Cargo.lock
RUSTC_WRAPPER="$PWD/instrument.sh" cargo build --release
target/release/seeds seeds

# Readers are given files: in memory, where there is such a folder.
if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
# A file may take 64 MiB and 64 times its size to read (netc_ir::Budget). Inputs are of at most 64 KiB, so with what the
# process has from the start this is what they justify. Threads reserve their share of it.
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
  echo "found something: ${failed[*]}; see fuzz/artifacts/ and fuzz/README.md" >&2
  exit 1
fi
