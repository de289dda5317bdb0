#!/usr/bin/env bash
# Runs the tests of the project. Needs a Rust toolchain with a C compiler, Python 3.11 and Node.js.
#
#   tests/run.sh           everything
#   tests/run.sh rust      formatting, lints, documentation, unit, file, spec, tidy, property, command and page tests
#   tests/run.sh fuzz      checks that the fuzz targets compile; fuzz/run.sh runs them
#   tests/run.sh outsider  a crate with its own pass, in examples/my-netc
#   tests/run.sh interop   the tests against the real Keras, in a virtual environment that this script creates
#   tests/run.sh matrix    converts every layer class between all formats and writes docs/reference/conversions.md; `matrix fast`
#                          uses only some of the models
set -euo pipefail
cd "$(dirname "$0")/.."
part="${1:-all}"

rust() {
  cargo fmt --all -- --check
  cargo clippy --workspace --all-targets -- -D warnings
  cargo clippy --package netc-passes --no-default-features -- -D warnings
  RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps
  # The pages are tested against the release build of the command.
  cargo build --release
  NETC="$PWD/target/release/netc" cargo test --workspace
}

# Only checks: the property tests use the same oracles, and an instrumented build takes as long as building the command.
fuzz() {
  cp Cargo.lock fuzz/Cargo.lock
  cargo check --quiet --manifest-path fuzz/Cargo.toml --target-dir target
}

# A third-party tool, built as its author would build it.
outsider() {
  cp Cargo.lock examples/my-netc/Cargo.lock
  cargo test --quiet --manifest-path examples/my-netc/Cargo.toml --target-dir target
  cargo run --quiet --manifest-path examples/my-netc/Cargo.toml --target-dir target -- \
    zoo:tiny --pass strip-dropout --verify
}

# Creates the environment with the newest Keras if needed; prints the path of its Python.
keras() {
  local env=tests/.venv modules="keras, jax, pytest, xdist, jsonschema"
  if ! [ -x "$env/bin/mdbook" ] || ! KERAS_BACKEND=jax "$env/bin/python" -c "import $modules" 2>/dev/null; then
    python3 -m venv "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check -r tests/interop/requirements.txt
  fi
  echo "$env/bin/python"
}

interop() {
  local python
  python="$(keras)"
  cargo build --release
  # Build the whole workspace, so that dependencies have the features with which they were tested.
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
    fuzz
    outsider
    interop
    matrix fast
    ;;
  rust | fuzz | outsider | interop) "$part" ;;
  matrix) matrix "${@:2}" ;;
  *) echo "usage: tests/run.sh [rust|fuzz|outsider|interop|matrix [fast]]" >&2; exit 2 ;;
esac
