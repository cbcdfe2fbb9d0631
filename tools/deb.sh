#!/usr/bin/env bash
# Builds the Debian package from what this checkout compiles to, and prints its path. Needs neither root nor debhelper.
#   VERSION=…  instead of the workspace's version and the commit's time
#   PROFILE=dev  what `cargo build` made for the tests: sooner there, slower to run
#   MAINTAINER=…  who answers for the package, as `Name <address>`; default root of this machine
#   BUILT=…  directory of programs that are compiled already
#   COMPRESSION=gzip  larger, and built sooner
#   OUT=…  directory of the package; default target/debian
set -euo pipefail
# Under a stricter one the platform's own users could not read what is made here.
umask 022
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-$root/target}
out=${OUT:-$target/debian}
maintainer=${MAINTAINER:-Windlass <root@$(hostname -f 2>/dev/null || hostname)>}
fail() { printf 'make deb: %s\n' "$1" >&2; exit 1; }
for program in dpkg-deb cargo strip gzip; do
	command -v "$program" >/dev/null || fail "$program is missing: apt-get install dpkg binutils gzip, and Rust as in README"
done

epoch=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)
number=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
version=${VERSION:-$number+$(date -u -d "@$epoch" +%Y%m%d.%H%M%S)}
[[ $version =~ ^[0-9][A-Za-z0-9.+~]*$ ]] || fail "$version is no version: digits first, then letters, digits, dots, + and ~"

built=${BUILT:-}
if [ -z "$built" ]; then
	cargo build --quiet --workspace --bins --profile "$profile" >&2
	case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
	built=$target/x86_64-unknown-linux-gnu/$folder
fi

tree=$(mktemp -d)
trap 'rm -rf -- "$tree"' EXIT
chmod 755 "$tree"
put() { install -D -m "$1" -- "$2" "$tree/$3"; }
put 755 "$built/windlass" usr/bin/windlass
strip --strip-unneeded --remove-section=.comment --remove-section=.note -- "$tree/usr/bin/windlass"
put 644 deploy/windlass.toml etc/windlass/windlass.toml
for unit in deploy/systemd/*; do put 644 "$unit" "usr/lib/systemd/system/$(basename "$unit")"; done
put 644 deploy/sysusers.conf usr/lib/sysusers.d/windlass.conf
put 644 deploy/tmpfiles.conf usr/lib/tmpfiles.d/windlass.conf
install -d -m 755 "$tree/usr/lib/systemd/system-generators"
ln -s ../../../bin/windlass "$tree/usr/lib/systemd/system-generators/windlass-generator"
put 755 deploy/base-images usr/lib/windlass/base-images
put 755 stacks/make-base.sh usr/lib/windlass/stacks/make-base.sh
for list in stacks/*-packages.txt; do put 644 "$list" "usr/lib/windlass/$list"; done
stacks/make-builder.sh "$built" "$tree/usr/lib/windlass/builder.tar" >&2
chmod 644 "$tree/usr/lib/windlass/builder.tar"

docs=$tree/usr/share/doc/windlass
put 644 deploy/debian/copyright usr/share/doc/windlass/copyright
for page in docs/*.md; do put 644 "$page" "usr/share/doc/windlass/$(basename "$page")"; done
put 644 CHANGELOG.md usr/share/doc/windlass/CHANGELOG.md
printf 'windlass (%s) unstable; urgency=medium\n\n  * What changed: CHANGELOG.md beside this file.\n\n -- %s  %s\n' \
	"$version" "$maintainer" "$(date -u -R -d "@$epoch")" >"$docs/changelog"
gzip -9n "$docs/changelog"
chmod 644 "$docs/changelog.gz"
put 644 deploy/debian/lintian-overrides usr/share/lintian/overrides/windlass

install -d -m 755 "$tree/DEBIAN"
for script in postinst prerm postrm; do put 755 "deploy/debian/$script" "DEBIAN/$script"; done
for file in conffiles templates; do put 644 "deploy/debian/$file" "DEBIAN/$file"; done
size=$(du -k --apparent-size -s --exclude=DEBIAN "$tree" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@INSTALLED_KIB@/$size/" -e "s|@MAINTAINER@|$maintainer|" deploy/debian/control >"$tree/DEBIAN/control"
(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
chmod 644 "$tree/DEBIAN/control" "$tree/DEBIAN/md5sums"

mkdir -p "$out"
package=$out/windlass_${version}_amd64.deb
SOURCE_DATE_EPOCH=$epoch dpkg-deb --root-owner-group -Z"${COMPRESSION:-xz}" --build "$tree" "$package" >&2
echo "$package"
