#!/bin/bash
# Assembles the builder layer: the lifecycle, our buildpacks and their order, laid out as the CNB platform
# specification wants a builder (/cnb). The same binaries give the same bytes.
#
#   stacks/make-builder.sh <directory of compiled programs> <out.tar>
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

fail() { printf 'make-builder: %s\n' "$1" >&2; exit 1; }

[ $# = 2 ] || fail "say where the programs are and what to write: $0 <bin directory> <out.tar>"
programs=$(readlink -f -- "$1")
out=$(readlink -m -- "$2")
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# Puts a compiled program into the layer, without what only a debugger reads.
place() { # $1: program, $2: path in the layer
    [ -f "$programs/$1" ] || fail "$programs/$1 is missing: build it first (cargo build)"
    install -D -m 755 -- "$programs/$1" "$work/$2"
    if command -v strip >/dev/null; then strip --strip-all -- "$work/$2"; fi
}

place lifecycle cnb/lifecycle/lifecycle
place launcher cnb/lifecycle/launcher
for phase in detector builder; do
    ln -s lifecycle "$work/cnb/lifecycle/$phase"
done

# One field of a buildpack.toml's [buildpack] table.
field() { sed -n "s/^$2 = \"\\(.*\\)\"\$/\\1/p" "$1" | head -n 1; }

for descriptor in "$root"/buildpacks/*/buildpack.toml; do
    name=$(basename -- "$(dirname -- "$descriptor")")
    id=$(field "$descriptor" id)
    version=$(field "$descriptor" version)
    [ -n "$id" ] && [ -n "$version" ] || fail "$descriptor names no id or version"
    place_at=cnb/buildpacks/${id//\//_}/$version
    place "windlass-buildpack-$name" "$place_at/bin/build"
    ln -s build "$work/$place_at/bin/detect"
    install -m 644 -- "$descriptor" "$work/$place_at/buildpack.toml"
done

install -m 644 -- "$root/stacks/builder/order.toml" "$work/cnb/order.toml"
install -d -m 755 "$work/cnb/build-config" "$work/cnb/build-config/env"
chmod 755 "$work"

# 1980-01-01T00:00:01Z is the time that every file of a layer carries (CNB platform specification, "Layers").
mkdir -p -- "$(dirname -- "$out")"
tar --create --file="$out.new" --directory="$work" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime=@315532801 --format=posix --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' cnb
mv -f -- "$out.new" "$out"
printf 'make-builder: %s KiB in %s\n' "$(($(stat -c %s -- "$out") / 1024))" "$out"
