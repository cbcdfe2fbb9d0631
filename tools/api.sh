#!/usr/bin/env bash
# Asks the real API what its document allows and much that it forbids. Installs schemathesis from PyPI into a directory
# of its own.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
no_proxy=localhost,.localhost,127.0.0.1${no_proxy:+,$no_proxy}
export no_proxy NO_PROXY=$no_proxy

"$root/tools/setup.sh"
programs=/var/cache/windlass/schemathesis
if [ ! -x $programs/bin/schemathesis ]; then
	echo "set-up: installing schemathesis"
	command -v pip3 >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
	python3 -m venv $programs
	$programs/bin/pip install --quiet schemathesis==4.32.5
fi
cargo build --workspace --bins
base=$("$root/tools/base.sh")
WINDLASS_TEST_BASE=$base SCHEMATHESIS=$programs/bin/schemathesis cargo run -p windlass-e2e --example api
