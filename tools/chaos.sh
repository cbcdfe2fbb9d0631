#!/usr/bin/env bash
# Kills parts of a platform of its own: set-up and base images as for the tests, then chaos/. SEED and KILLS steer it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
[ "$(id -u)" = 0 ] || { echo "make chaos: needs root" >&2; exit 1; }
# Pushes ask a platform on this machine, never a proxy.
no_proxy=localhost,.localhost,127.0.0.1${no_proxy:+,$no_proxy}
export no_proxy NO_PROXY=$no_proxy
"$root/tools/setup.sh"
cargo build --workspace --bins
WINDLASS_TEST_BASE=$("$root/tools/base.sh")
export WINDLASS_TEST_BASE
exec cargo run --quiet -p windlass-chaos
