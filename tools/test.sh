#!/usr/bin/env bash
# The default lane: set-up, base images beside compiling, every test.
set -euo pipefail
# Under a stricter one the platform's own users could not read what is made here.
umask 022
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
# Tests ask platforms on this machine, never a proxy.
no_proxy=localhost,.localhost,127.0.0.1${no_proxy:+,$no_proxy}
export no_proxy NO_PROXY=$no_proxy

# Whatever ends this script ends the making of images with all its children.
images= making=
stop() {
	trap '' INT TERM HUP
	if [ -n "$making" ]; then
		kill -TERM -- "-$making" 2>/dev/null || true
		wait "$making" 2>/dev/null || true
	fi
	[ -z "$images" ] || rm -f "$images"
}
trap stop EXIT
trap 'exit 130' INT TERM HUP

"$root/tools/setup.sh"
# The buildpacks' own tests make virtual environments with Debian's Python.
if [ ! -e /usr/share/python-wheels ] || [ ! -x /usr/bin/python3 ]; then
	echo "set-up: installing python3-venv from Debian"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
fi
# A real client for the registry's story.
if ! command -v skopeo >/dev/null; then
	echo "set-up: installing skopeo from Debian"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends skopeo >/dev/null
fi
images=$(mktemp)
setsid "$root/tools/base.sh" >"$images" &
making=$!
cargo build --workspace --bins
cargo test --workspace --no-run
wait "$making" || {
	making=
	echo "make test: the base images could not be made; the lines above say why" >&2
	exit 1
}
making=
WINDLASS_TEST_BASE=$(cat "$images") cargo test --workspace --no-fail-fast
