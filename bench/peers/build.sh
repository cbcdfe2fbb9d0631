#!/usr/bin/env bash
# Makes the programs that `make bench` measures beside Windlass, once for these versions, and prints their directory:
#   bin/pack bin/registry    from the Go modules beside this script, with this machine's Go
#   lifecycle.tgz            the reference lifecycle, packed as pack wants it
#   debian/                  docker.io, containerd and docker-registry, unpacked and not installed: no service starts
# Status 3 when this machine cannot make them; the last line says why.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${WINDLASS_CACHE:-/var/cache/windlass}/peers
version=$(cat "$here"/build.sh "$here"/*/go.mod "$here"/*/go.sum | sha256sum | cut -c1-16)
out=$cache/$version

cannot() { echo "$1" >&2; exit 3; }

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -e "$out/complete" ]; then echo "$out"; exit 0; fi

PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || cannot "there is no Go on this machine: apt-get install golang, or https://go.dev/dl"
work=$out.new
rm -rf "$work"
mkdir -p "$work/bin" "$work/debian" "$work/archives" "$work/pack/lifecycle"

build() { # $1: module, $2: package, $3: where to, the rest: further arguments
	local module=$1 package=$2 to=$3
	shift 3
	echo "peers: building $package" >&2
	(cd "$here/$module" && CGO_ENABLED=0 GOTOOLCHAIN=local go build -buildvcs=false -mod=readonly "$@" -o "$to" "$package") >&2 ||
		cannot "$package could not be built: it needs Go $(sed -n 's/^go //p' "$here/$module/go.mod") and the Go module proxy"
}
build pack github.com/buildpacks/pack "$work/bin/pack"
build distribution github.com/distribution/distribution/v3/cmd/registry "$work/bin/registry"
for program in lifecycle launcher; do
	build lifecycle "github.com/buildpacks/lifecycle/cmd/$program" "$work/pack/lifecycle/$program" \
		-ldflags "-s -w -X github.com/buildpacks/lifecycle/cmd.Version=0.21.0"
done
for phase in analyzer detector restorer extender builder exporter creator rebaser; do
	ln -s lifecycle "$work/pack/lifecycle/$phase"
done
cat >"$work/pack/lifecycle.toml" <<'TOML'
[lifecycle]
version = "0.21.0"

[apis.buildpack]
deprecated = []
supported = ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12"]

[apis.platform]
deprecated = []
supported = ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13", "0.14", "0.15"]
TOML
tar -C "$work/pack" -czf "$work/lifecycle.tgz" lifecycle.toml lifecycle

echo "peers: docker.io, containerd and docker-registry from Debian" >&2
(cd "$work/archives" && apt-get download -qq docker.io containerd docker-registry) >&2 ||
	cannot "Debian's docker.io, containerd and docker-registry could not be downloaded"
for archive in "$work"/archives/*.deb; do dpkg-deb -x "$archive" "$work/debian"; done
# Nothing is installed, so nothing brought the libraries.
missing=$(ldd "$work"/debian/usr/sbin/dockerd "$work"/debian/usr/bin/containerd "$work"/debian/usr/bin/docker-registry |
	awk '/not found/ { print $1 }' | sort -u | paste -sd' ')
[ -z "$missing" ] || cannot "dockerd needs libraries that are not here: $missing"

rm -rf "$work/archives" "$work/pack"
touch "$work/complete"
rm -rf "$out"
mv "$work" "$out"
echo "$out"
