#!/usr/bin/env bash
# The package on Debian servers under software emulation: installs the emulator, makes what the lane needs (once), walks it.
# VERSIONS="12 13" names the releases. What is made is kept in /var/cache/windlass/vm.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
[ "$(id -u)" = 0 ] || { echo "make test-vm: needs root" >&2; exit 1; }
"$root/tools/setup.sh"
need=()
command -v qemu-system-x86_64 >/dev/null || need+=(qemu-system-x86)
command -v qemu-img >/dev/null || need+=(qemu-utils)
command -v ssh-keygen >/dev/null || need+=(openssh-client)
if [ ${#need[@]} -gt 0 ]; then
	echo "set-up: installing from Debian: ${need[*]}"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
VERSIONS=${VERSIONS:-12 13} VM_CACHE=/var/cache/windlass/vm APPS=$root/e2e/apps
export VERSIONS VM_CACHE APPS
for version in $VERSIONS; do
	case $version in
	12) "$root/vm/make-image.sh" bookworm "$VM_CACHE" ;;
	13) "$root/vm/make-image.sh" trixie "$VM_CACHE" ;;
	*) echo "make test-vm: Debian $version is not one of 12 and 13" >&2; exit 2 ;;
	esac
done
WINDLASS_TEST_BASE=$("$root/tools/base.sh")
# The programs of the tests: what is shown is the package, not the optimiser.
cargo build --quiet --workspace --bins
built=${CARGO_TARGET_DIR:-$root/target}/x86_64-unknown-linux-gnu/debug
package() { BUILT=$built COMPRESSION=gzip VERSION=$1 OUT=$VM_CACHE/packages "$root/tools/deb.sh"; }
rm -rf "$VM_CACHE/packages"
PACKAGE_1=$(package 0.0.1)
PACKAGE_2=$(package 0.0.2)
export WINDLASS_TEST_BASE PACKAGE_1 PACKAGE_2
exec "$built/windlass-vm"
