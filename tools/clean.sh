#!/usr/bin/env bash
# Ends what is left of the platform of make run, also of one that was killed, and removes all of it: tools, mounts,
# loop devices, network rules, cgroups, data, instance number, and the last one's line in /etc/subuid and /etc/subgid.
#   tools/clean.sh <data directory>
set -euo pipefail
data=$1
run=/run/$(basename "$data")
register=/var/lib/windlass-instances
fail() { printf 'make clean: %s\n' "$1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "needs root"
case $data in
*/../* | */./* | */.. | /var/lib/windlass-instances*) fail "$data is no directory of make run" ;;
/var/lib/windlass-*) ;;
*) fail "$data is no directory of make run" ;;
esac

# Pids of the platform's parts. They get their end from the kernel when their starter is killed.
part_pids() {
	local process program words
	for process in /proc/[0-9]*; do
		program=$(readlink "$process/exe" 2>/dev/null) || continue
		[ "${program% (deleted)}" = "$data/bin/windlass" ] || continue
		mapfile -d '' -t words <"$process/cmdline" 2>/dev/null || continue
		case ${words[1]:-} in helper | router | serve) echo "${process#/proc/}" ;; esac
	done
}
end_parts() { # $1: signal, $2: tenths of a second to wait
	local left
	for _ in $(seq "$2"); do
		left=$(part_pids)
		[ -n "$left" ] || return 0
		kill "-$1" $left 2>/dev/null || true
		sleep 0.1
	done
	return 1
}

# Nobody takes a number while this looks at them.
mkdir -p "$register"
exec 8>"$register/lock"
flock 8
for entry in "$register"/[0-9]*; do
	[ -e "$entry" ] && [ "$(cat "$entry")" = "$data" ] || continue
	flock --nonblock "$entry" true || fail "a platform runs on $data; end it first (Ctrl-C in its shell)"
	end_parts TERM 100 || end_parts KILL 50 || fail "processes $(part_pids | xargs) of $data do not end"
	if [ -x "$data/bin/windlass" ]; then
		"$data/bin/windlass" remove-instance "$(basename "$entry")" "$run"
	elif [ -e "$data" ]; then
		fail "$data/bin/windlass is missing, which knows what else to remove; put it there again with make run"
	fi
	rm -f "$entry"
done
rm -rf "$data" "$run"

# Numbers of directories that are gone are nobody's.
left=0
for entry in "$register"/[0-9]*; do
	[ -e "$entry" ] && [ -e "$(cat "$entry")" ] && left=$((left + 1))
done
if [ "$left" = 0 ]; then
	for file in /etc/subuid /etc/subgid; do
		[ ! -e "$file" ] || sed -i '/^windlass:1000000000:3221225472$/d' "$file"
	done
fi
echo "make clean: $data is gone; base images and packages stay in /var/cache/windlass"
