#!/bin/bash
# Makes the base images of Debian 13 from Debian's packages: the run image (one layer) and the build image
# (the same layer and one more on top). Runs as root, with the mirrors and proxies of this machine's apt.
#
#   stacks/make-base.sh [--again <earlier out directory>] <out directory> [<packages directory>]
#
# --again:  from the packages that were kept then, without a mirror; gives the same bytes
# out:      run.tar build.tar    the two layers
#           run.json build.json  which layers an image has, and its configuration
#           run.debs build.debs  the packages each layer was made of: `<sha256>  <file name>` lines
# packages: <sha256>.deb         every package, kept so that the image can be made again; default <out>/packages
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

suite=trixie
user_id=1000
stacks=$(dirname -- "$(readlink -f -- "$0")")

fail() { printf 'make-base: %s\n' "$1" >&2; exit 1; }
say() { printf 'make-base  %3d s  %s\n' "$SECONDS" "$1"; }

[ $# -ge 1 ] || fail "say where the images go: $0 <out directory> [<packages directory>]"
[ "$(id -u)" = 0 ] || fail "needs root, to own the files of an image: run it with sudo"
for program in mmdebstrap unshare tar apt-get; do
    command -v "$program" >/dev/null || fail "$program is missing: apt-get install mmdebstrap util-linux tar"
done
# Everything mounted here ends with this process, also when it is killed.
if [ -z "${MAKE_BASE_UNSHARED:-}" ]; then
    MAKE_BASE_UNSHARED=1 exec unshare --mount --propagation private -- "$0" "$@"
fi

again=
if [ "$1" = --again ]; then
    [ $# -ge 3 ] && [ -e "$2/build.debs" ] || fail "--again: say a directory that this script filled, and where the images go"
    again=$(readlink -f -- "$2")
    shift 2
fi
mkdir -p -- "$1" "${2:-$1/packages}"
out=$(readlink -f -- "$1")
packages=$(readlink -f -- "${2:-$1/packages}")
# What a killed run left.
find "$out" -maxdepth 1 -name '.work.*' -mmin +180 -exec rm -rf -- {} +
work=$(mktemp -d -- "$out/.work.XXXXXX")
[[ $work =~ ^[A-Za-z0-9/._-]+$ ]] || fail "$out: use a path of letters, digits, dots and dashes"
finish() {
    status=$?
    umount -R "$work/merged" 2>/dev/null || true
    rm -rf -- "$work"
    [ $status = 0 ] || printf 'make-base: failed; the lines above say why\n' >&2
}
trap finish EXIT

names() { grep -v '^#' "$stacks/$1" | grep . | sort -u; }

# The mirrors that this machine's own apt uses for Debian, else Debian's.
mirror_of() { # $1: extended regular expression over the release names
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
        awk -v want="$1" '$1 ~ want { print $2; exit }'
}
# A mirror of just the packages kept for an earlier image.
kept_mirror() {
    mkdir "$work/kept"
    sort -u "$again/run.debs" "$again/build.debs" | while read -r sha256 file; do
        local deb=$packages/$sha256.deb
        [ -e "$deb" ] || fail "$deb is not there: it was $file"
        cp -- "$deb" "$work/kept/"
        dpkg-deb --field "$deb"
        printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$sha256" "$(stat -c %s -- "$deb")" "$sha256"
    done >"$work/kept/Packages"
}
if [ -n "$again" ]; then
    mirror="the packages kept in $packages"
    kept_mirror
    printf 'deb [trusted=yes] copy:%s ./\n' "$work/kept" >"$work/sources.list"
else
    mirror=$(mirror_of '^[a-z]+$')
    security=$(mirror_of '^[a-z]+-security$')
    : "${mirror:=http://deb.debian.org/debian}" "${security:=http://deb.debian.org/debian-security}"
    cat >"$work/sources.list" <<SOURCES
deb $mirror $suite main
deb $mirror $suite-updates main
deb $security $suite-security main
SOURCES
fi

# How to reach them (proxies, certificate authorities) is this machine's affair too, and stays out of the image.
{
    apt-config dump | grep -E '^Acquire::(https?)(::|[[:space:]])' || true
    printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\nAcquire::Retries "3";\n'
} | sort -u >"$work/apt.conf"

# Packages kept from an earlier time are offered to apt, which checks them against the mirror's index.
mkdir -p "$work/archives"
if [ -e "$packages/index" ] && [ -z "$again" ]; then
    while read -r sha256 file; do
        [ -e "$packages/$sha256.deb" ] && ln -f -- "$packages/$sha256.deb" "$work/archives/$file" 2>/dev/null ||
            cp -- "$packages/$sha256.deb" "$work/archives/$file" 2>/dev/null || true
    done <"$packages/index"
fi
# Notes the packages in directory $1 in the list $2 and keeps them by hash.
keep_packages() {
    (cd -- "$1" && find . -maxdepth 1 -name '*.deb' -printf '%f\0' | sort -z | xargs -0r sha256sum --) >"$2"
    while read -r sha256 file; do
        [ -e "$packages/$sha256.deb" ] ||
            { cp -- "$1/$file" "$packages/.$sha256.$$" && mv -- "$packages/.$sha256.$$" "$packages/$sha256.deb"; }
    done <"$2"
}

# What installing leaves behind that depends on the time, the machine or the order of things.
clean_tree() {
    local tree=$1
    rm -rf -- "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/cache/ldconfig/aux-cache \
        "$tree"/var/cache/debconf/*-old "$tree"/var/lib/dpkg/*-old "$tree"/var/lib/apt/extended_states.tmp \
        "$tree"/etc/.pwd.lock "$tree"/etc/passwd- "$tree"/etc/group- "$tree"/etc/shadow- "$tree"/etc/gshadow- \
        "$tree"/var/lib/dpkg/lock* "$tree"/var/lib/dpkg/triggers/Lock "$tree"/etc/machine-id \
        "$tree"/etc/hostname "$tree"/etc/resolv.conf "$tree"/etc/apt/apt.conf.d/99mmdebstrap \
        "$tree"/etc/apt/sources.list "$tree"/etc/apt/sources.list.d/*.list "$tree"/etc/apt/trusted.gpg.d/*
    for directory in dev run tmp var/tmp; do
        [ ! -d "$tree/$directory" ] || find "$tree/$directory" -mindepth 1 -delete
    done
    [ ! -d "$tree/var/log" ] || find "$tree/var/log" -type f -delete
    [ ! -e "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap" ] || sed -i '/^force-unsafe-io$/d' "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
}

# Writes the tree $1 as the layer $2: sorted, numeric owners, no time later than the mirror's release.
write_layer() {
    (cd -- "$1" && find . -mindepth 1 -maxdepth 1 -printf '%P\0' | sort -z |
        tar --create --file="$2" --null --files-from=- --sort=name --numeric-owner --format=posix \
            --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --xattrs --xattrs-include='security.capability' \
            --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime')
}

# A layer of an image: its file, and the digest by which the layer store knows it.
layer() { printf '{ "file": "%s.tar", "diffId": "sha256:%s" }' "$1" "$(sha256sum "$work/$1.tar" | cut -d ' ' -f 1)"; }

write_config() { # $1: image, $2: its layers as JSON, $3: description
    cat >"$work/$1.json" <<JSON
{
  "layers": $2,
  "created": "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)",
  "config": {
    "User": "$user_id:$user_id",
    "Env": [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "LANG=C.UTF-8",
      "CNB_USER_ID=$user_id",
      "CNB_GROUP_ID=$user_id",
      "CNB_STACK_ID=windlass.$suite"
    ],
    "WorkingDir": "/workspace",
    "Labels": {
      "io.buildpacks.base.description": "$3",
      "io.buildpacks.base.distro.name": "debian",
      "io.buildpacks.base.distro.version": "13",
      "io.buildpacks.base.id": "windlass.$suite",
      "io.buildpacks.base.maintainer": "Windlass",
      "io.buildpacks.base.released": "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)",
      "io.buildpacks.stack.id": "windlass.$suite"
    }
  }
}
JSON
}

say "run image: installing $(names run-packages.txt | wc -l) packages and what they need, from $mirror"
mmdebstrap --quiet --mode=root --variant=apt --format=directory \
    --include="$(names run-packages.txt | paste -sd,)" \
    --aptopt="$work/apt.conf" --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --dpkgopt='path-exclude=/usr/bin/*lto-dump*' --dpkgopt='path-exclude=/usr/lib/python3*/config-*/libpython*.a' \
    --skip=download/empty,essential/unlink,cleanup/apt \
    --setup-hook="mkdir -p \"\$1/var/cache/apt\" && cp -a '$work/archives' \"\$1/var/cache/apt/archives\"" \
    "$suite" "$work/run" "$work/sources.list"
run=$work/run

# The moment that Debian made the newest of the three releases used.
if [ -n "$again" ]; then
    SOURCE_DATE_EPOCH=$(date -u -d "$(sed -n 's/^  "created": "\(.*\)",$/\1/p' "$again/run.json")" +%s)
else
    SOURCE_DATE_EPOCH=$(for release in "$run"/var/lib/apt/lists/*Release; do
        date -u -d "$(sed -n 's/^Date: //p' "$release" | head -n 1)" +%s
    done | sort -n | tail -n 1)
fi
export SOURCE_DATE_EPOCH

keep_packages "$run/var/cache/apt/archives" "$work/run.all"
# Only what is installed: the archives may hold packages of an earlier time.
installed() { # $1: tree, $2: list of all archives
    dpkg-query --admindir="$1/var/lib/dpkg" -W -f '${Package}_${Version}_${Architecture}.deb\n' |
        sed 's/:/%3a/g' | sort >"$work/installed"
    awk 'NR == FNR { wanted[$1]; next } $2 in wanted' "$work/installed" "$2"
}
installed "$run" "$work/run.all" >"$work/run.debs"

say "run image: $(wc -l <"$work/run.debs") packages installed; adding user cnb and the directories of buildpacks"
echo "cnb:x:$user_id:$user_id:Cloud Native Buildpacks:/home/cnb:/bin/bash" >>"$run/etc/passwd"
echo "cnb:x:$user_id:" >>"$run/etc/group"
install -d -m 755 -o "$user_id" -g "$user_id" "$run/home/cnb" "$run/layers" "$run/workspace"
install -d -m 755 "$run/platform" "$run/platform/env" "$run/cnb"

mkdir "$work/lists" "$work/upper" "$work/overlay" "$work/merged"
cp -a "$run/var/lib/apt/lists/." "$work/lists/"
rm -rf -- "$work/archives" && cp -a -- "$run/var/cache/apt/archives" "$work/archives"
clean_tree "$run"
cat >"$run/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: http://deb.debian.org/debian
Suites: $suite $suite-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: $suite-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
say "run image: writing the layer while the build image is installed"
write_layer "$run" "$work/run.tar" &
writing_run=$!

# The build image's own layer is what installing more packages changes in an overlay of the run image.
merged=$work/merged
mount -t overlay overlay -o "lowerdir=$run,upperdir=$work/upper,workdir=$work/overlay" "$merged"
mount -t tmpfs -o mode=755 tmpfs "$merged/dev"
for device in null zero full random urandom; do
    touch "$merged/dev/$device" && mount --bind "/dev/$device" "$merged/dev/$device"
done
mount -t proc proc "$merged/proc"
mount -t tmpfs tmpfs "$merged/run"
mount -t tmpfs tmpfs "$merged/tmp"
mount --bind "$work/lists" "$merged/var/lib/apt/lists"
mkdir -p "$merged/var/cache/apt/archives/partial" "$work/archives/partial"
mount --bind "$work/archives" "$merged/var/cache/apt/archives"
{
    cat "$work/apt.conf"
    cat <<CONF
Dir "$merged";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
DPkg::Chroot-Directory "$merged";
DPkg::Options { "--force-unsafe-io"; "--force-confnew"; };
APT::Sandbox::User "root";
APT::Keep-Downloaded-Packages "true";
CONF
} >"$work/apt-build.conf"
say "build image: installing $(names build-packages.txt | wc -l) packages and what they need"
names build-packages.txt | DEBIAN_FRONTEND=noninteractive APT_CONFIG="$work/apt-build.conf" \
    xargs apt-get --yes --quiet=2 install -- >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; false; }
keep_packages "$work/archives" "$work/build.all"
installed "$merged" "$work/build.all" >"$work/both.debs"
comm -13 <(sort "$work/run.debs") <(sort "$work/both.debs") >"$work/build.debs"
umount -R "$merged"
clean_tree "$work/upper"
# Directories that were only mounted on, and whatever else is now empty and not new, would be noise in the layer.
find "$work/upper" -depth -type d -empty | while read -r directory; do
    [ ! -d "$run/${directory#"$work/upper/"}" ] || rmdir -- "$directory"
done
removed=$(find "$work/upper" -type c | head -n 3)
[ -z "$removed" ] || fail "installing removed files of the run image, which a layer of ours cannot say: $removed"
wait "$writing_run"
say "build image: $(wc -l <"$work/build.debs") packages installed; writing the layer"
write_layer "$work/upper" "$work/build.tar"

run_layer=$(layer run)
write_config run "[$run_layer]" "Debian 13 with Python 3 and common libraries"
write_config build "[$run_layer, $(layer build)]" "The run image with compilers and headers"
sort -u -k 2 "$work/run.debs" "$work/build.debs" >"$work/index" && mv -f -- "$work/index" "$packages/index"
for file in run.tar build.tar run.debs build.debs run.json build.json; do
    mv -f -- "$work/$file" "$out/$file"
done
say "done: $(du -m "$out/run.tar" | cut -f 1) MB run image, $(du -m "$out/build.tar" | cut -f 1) MB on top for the build image, in $out"
