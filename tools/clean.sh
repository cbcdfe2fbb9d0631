#!/usr/bin/env bash
# Removes the platform of make run: its data, mounts, network rules, cgroups and instance number.
#   tools/clean.sh <data directory>
set -euo pipefail
data=$1
run=/run/$(basename "$data")
[ "$(id -u)" = 0 ] || { echo "make clean: needs root" >&2; exit 1; }
case $data in /var/lib/windlass-*) ;; *) echo "make clean: $data is no directory of make run" >&2; exit 1 ;; esac

for entry in /var/lib/windlass-instances/[0-9]*; do
	[ -e "$entry" ] && [ "$(cat "$entry")" = "$data" ] || continue
	if ! flock --nonblock "$entry" true; then
		echo "make clean: a platform runs on $data; end it first (Ctrl-C in its shell)" >&2
		exit 1
	fi
	number=$(basename "$entry")
	[ -x "$data/bin/windlass" ] && "$data/bin/windlass" remove-instance "$number"
	rm -f "$entry"
done
rm -rf "$data" "$run"
echo "make clean: $data is gone; base images and packages stay in /var/cache/windlass"
