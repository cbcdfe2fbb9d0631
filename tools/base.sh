#!/usr/bin/env bash
# Makes the base images once for this version of stacks/ and prints the directory they lie in.
set -euo pipefail
# Under a stricter one the platform's own users could not read what is made here.
umask 022
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${WINDLASS_CACHE:-/var/cache/windlass}
version=$(cat "$root/stacks/make-base.sh" "$root"/stacks/*-packages.txt | sha256sum | cut -c1-16)
base=$cache/base-$version

mkdir -p "$cache"
# Two checkouts may want them at the same moment: the second waits for the first.
exec 9>"$cache/lock"
flock 9
if [ ! -e "$base/complete" ]; then
	rm -rf "$base"
	"$root/stacks/make-base.sh" "$base" "$cache/packages" >&2
	touch "$base/complete"
fi
echo "$base"
