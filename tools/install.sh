#!/usr/bin/env bash
# Puts what was compiled and the base images where the platform runs from: never from the checkout, which may be
# readable by root only.
#   tools/install.sh <data directory> <base images>
set -euo pipefail
# Under a stricter one the platform's own users could not read what is made here.
umask 022
root=$(cd "$(dirname "$0")/.." && pwd)
data=$1 base=$2
built=${CARGO_TARGET_DIR:-$root/target}/x86_64-unknown-linux-gnu/debug

mkdir -p "$data/bin" "$data/base"
# A running program cannot be written to, but its name can be given to another file.
install -m 755 "$built/windlass" "$data/bin/windlass.new"
mv -f "$data/bin/windlass.new" "$data/bin/windlass"
"$root/stacks/make-builder.sh" "$built" "$data/base/builder.tar.new" >&2
mv -f "$data/base/builder.tar.new" "$data/base/builder.tar"
for file in run.tar build.tar run.json build.json; do
	ln -f "$base/$file" "$data/base/$file" 2>/dev/null || cp -f "$base/$file" "$data/base/$file"
done
chmod 644 "$data"/base/*
