#!/usr/bin/env bash
# The registry's story with real clients. Installs docker.io and skopeo from Debian, and crane with go, where they are
# missing; the docker daemon is the story's own, with roots of its own, and ends with it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
no_proxy=localhost,.localhost,127.0.0.1${no_proxy:+,$no_proxy}
export no_proxy NO_PROXY=$no_proxy

"$root/tools/setup.sh"
need=()
command -v dockerd >/dev/null || need+=(docker.io)
if [ ${#need[@]} -gt 0 ]; then
	echo "set-up: installing from Debian: ${need[*]}"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
if ! command -v crane >/dev/null; then
	if ! command -v go >/dev/null; then
		echo "set-up: installing golang-go from Debian, for crane"
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go >/dev/null
	fi
	echo "set-up: installing crane"
	GOBIN=/var/cache/windlass/clients go install github.com/google/go-containerregistry/cmd/crane@v0.20.2
fi
PATH=/var/cache/windlass/clients:$PATH
export PATH
cargo build --workspace --bins
base=$("$root/tools/base.sh")
WINDLASS_TEST_BASE=$base cargo run -p windlass-e2e --example clients
