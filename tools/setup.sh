#!/usr/bin/env bash
# Installs what the platform needs from Debian 12 or 13, and nothing that is there already. Says what it does.
set -euo pipefail

need=()
want() { # program, package
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || need+=("$2")
}
want git git
want runc runc
want nft nftables
want ip iproute2
want mke2fs e2fsprogs
want losetup mount
want mmdebstrap mmdebstrap
want gcc gcc
want curl curl
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || need+=(debian-archive-keyring)
[ -e /etc/ssl/certs/ca-certificates.crt ] || need+=(ca-certificates)

if [ ${#need[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "set-up: missing ${need[*]}; run this as root, or: apt-get install ${need[*]}" >&2
		exit 1
	fi
	echo "set-up: installing from Debian: ${need[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq || echo "set-up: apt-get update had errors; trying with the lists at hand" >&2
	apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

if ! command -v cargo >/dev/null 2>&1; then
	echo "set-up: Rust is missing. README, \"What you need\", has the one line that installs it." >&2
	exit 1
fi

# The platform's ids (crates/model/src/instance.rs) are kept from other programs that hand out ranges.
for file in /etc/subuid /etc/subgid; do
	if [ "$(id -u)" = 0 ] && ! grep -qs '^windlass:1000000000:' "$file"; then
		echo 'windlass:1000000000:3221225472' >>"$file"
	fi
done
