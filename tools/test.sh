#!/usr/bin/env bash
# The default lane: set-up, base images beside compiling, every test.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
"$root/tools/setup.sh"
# The buildpacks' own tests make virtual environments with Debian's Python.
if [ ! -e /usr/share/python-wheels ] || [ ! -x /usr/bin/python3 ]; then
	echo "set-up: installing python3-venv from Debian"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
fi
images=$(mktemp)
"$root/tools/base.sh" >"$images" &
making=$!
cargo build --workspace --bins
cargo test --workspace --no-run
if ! wait "$making"; then
	echo "make test: the base images could not be made; the lines above say why" >&2
	exit 1
fi
WINDLASS_TEST_BASE=$(cat "$images") cargo test --workspace
rm -f "$images"
