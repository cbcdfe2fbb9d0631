#!/usr/bin/env bash
# Measures a platform of its own: set-up and base images as for the tests, then bench/. Its README says what is printed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
[ "$(id -u)" = 0 ] || { echo "make bench: needs root" >&2; exit 1; }
"$root/tools/setup.sh"
cargo build --workspace --bins
WINDLASS_TEST_BASE=$("$root/tools/base.sh")
export WINDLASS_TEST_BASE
exec cargo run --quiet -p windlass-bench
