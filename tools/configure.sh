#!/usr/bin/env bash
# Writes windlass.toml for a platform on loopback, unless there is one. What it decides, it explains in the file.
#   tools/configure.sh <file> <data directory> <run directory> <port>
set -euo pipefail
file=$1 data=$2 run=$3 port=$4
[ -e "$file" ] && exit 0

# Registries that answer from special-purpose addresses are site mirrors or inspecting hops: builds may reach those
# networks, because the operator (this script) says so. A tool cannot.
special() {
	case $1 in
	10.* | 127.* | 169.254.* | 192.168.* | 192.0.0.* | 192.0.2.* | 198.18.* | 198.19.* | 198.51.100.* | 203.0.113.*) ;;
	172.1[6-9].* | 172.2[0-9].* | 172.3[01].* | 100.6[4-9].* | 100.[7-9][0-9].* | 100.1[01][0-9].* | 100.12[0-7].*) ;;
	*) return 1 ;;
	esac
}
networks=
for host in pypi.org files.pythonhosted.org; do
	for address in $(getent ahostsv4 "$host" | awk '{ print $1 }' | sort -u); do
		if special "$address" && [[ $networks != *"\"$address/32\""* ]]; then
			networks="$networks${networks:+, }\"$address/32\""
		fi
	done
done

mkdir -p "$(dirname "$file")"
cat >"$file.new" <<TOML
# Written by make run for a platform on loopback. Every key and its default: docs/configuration.md.
[server]
listen = "127.0.0.1:$port"
domain = "localhost"

[paths]
data = "$data"
run = "$run"

[sandbox]
runtime = "$(command -v runc || echo /usr/sbin/runc)"

[egress]
groups = ["python"]
TOML
if [ -n "$networks" ]; then
	cat >>"$file.new" <<TOML
# The package registries resolved to these special-purpose addresses when this file was written; builds may reach
# them. Remove the line when registries answer from public addresses.
allow_networks = [$networks]
TOML
fi
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
	cat >>"$file.new" <<TOML
# Builds trust what this machine trusts. It is mounted during builds and never part of an image.
ca_bundle = "/etc/ssl/certs/ca-certificates.crt"
TOML
fi
mv "$file.new" "$file"
