#!/usr/bin/env bash
# The registry's story with real clients. Installs docker.io and skopeo from Debian, and crane with go, where they are
# missing; the docker daemon is the story's own, with roots of its own, and ends with it. Debian's package also starts a
# docker of its own where there is systemd: `systemctl disable --now docker.service docker.socket` ends that.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
no_proxy=localhost,.localhost,127.0.0.1${no_proxy:+,$no_proxy}
export no_proxy NO_PROXY=$no_proxy

"$root/tools/setup.sh"
# Debian's daemons lie where an ordinary PATH does not look.
PATH=/var/cache/windlass/clients:$PATH:/usr/sbin:/sbin:/usr/local/go/bin
export PATH
need=()
command -v dockerd >/dev/null || need+=(docker.io)
# Debian 13 has docker's client in a package of its own.
if ! command -v docker >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then need+=(docker-cli); fi
command -v skopeo >/dev/null || need+=(skopeo)
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
	# The last version that Debian 12's Go (1.19) compiles.
	GOBIN=/var/cache/windlass/clients go install github.com/google/go-containerregistry/cmd/crane@v0.16.1
fi
cargo build --workspace --bins
base=$("$root/tools/base.sh")
WINDLASS_TEST_BASE=$base cargo run -p windlass-e2e --example clients
