#!/usr/bin/env bash
# The main job: install what is missing, build, start the platform on loopback, push the demo tool, keep serving.
#   tools/run.sh <data directory> <port>
set -euo pipefail
# Under a stricter one the platform's own users could not read what is made here.
umask 022
root=$(cd "$(dirname "$0")/.." && pwd)
data=$1 port=$2
run=/run/$(basename "$data")
log=$data/log/platform.log
url=http://localhost:$port
demo_url=http://demo.localhost:$port/
# Programs that are told to use a proxy must not ask it for this machine.
no_proxy=localhost,.localhost,127.0.0.1${no_proxy:+,$no_proxy}
export no_proxy NO_PROXY=$no_proxy

parts=()
say() { printf '\033[1m%4d s\033[0m  %s\n' "$SECONDS" "$1"; }
part() { parts+=("$(printf '%6d s  %s' "$((SECONDS - $2))" "$1")"); }
fail() { printf 'make run: %s\n' "$1" >&2; exit 1; }

# Whatever ends this script ends what it started: the making of images with all its children, the platform in order.
images= making= platform= status_on_signal=130
stop() {
	trap '' INT TERM HUP
	[ -z "$making" ] || kill -TERM -- "-$making" 2>/dev/null || true
	[ -z "$platform" ] || kill -TERM "$platform" 2>/dev/null || true
	[ -z "$making$platform" ] || wait $making $platform 2>/dev/null || true
	[ -z "$images" ] || rm -f "$images"
}
trap stop EXIT
trap 'exit "$status_on_signal"' INT TERM HUP

[ "$(id -u)" = 0 ] || fail "the platform's helper needs root: run it with sudo"
# Before anything is replaced.
for entry in /var/lib/windlass-instances/[0-9]*; do
	if [ -e "$entry" ] && [ "$(cat "$entry")" = "$data" ] && ! flock --nonblock "$entry" true; then
		fail "a platform runs on $data already; end it, or: make run DATA=/var/lib/windlass-other PORT=$((port + 1))"
	fi
done
if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
	fail "something answers on port $port already; end it, or: make run PORT=$((port + 1))"
fi

say "windlass runs from $data, not from this checkout"
began=$SECONDS
"$root/tools/setup.sh"
part "install from Debian" "$began"

# Images and compiling have nothing to do with each other: side by side.
images=$(mktemp)
began=$SECONDS
say "making the base images from Debian packages (once), and compiling (once)"
setsid "$root/tools/base.sh" >"$images" &
making=$!
(cd "$root" && cargo build --workspace --bins) || fail "this checkout does not compile; the lines above say why"
part "compile" "$began"
say "compiled; the base images come next"
wait "$making" || { making=; fail "the base images could not be made; the lines above say why"; }
making=
part "base images, beside it" "$began"
base=$(cat "$images")

began=$SECONDS
"$root/tools/install.sh" "$data" "$base"
"$root/tools/configure.sh" "$data/windlass.toml" "$data" "$run" "$port"
# The file stays as it was edited, but the port is the one that was asked for now.
sed -i -E "s/^(listen = \".*:)[0-9]+\"/\1$port\"/" "$data/windlass.toml"
mkdir -p "$data/log"
part "install the programs and images" "$began"

began=$SECONDS
say "starting the platform (its log: $log)"
"$data/bin/windlass" up "$data/windlass.toml" >>"$log" 2>&1 &
platform=$!
answers() { curl -sf -o /dev/null --max-time 10 "$url/api/v1/health"; }
for _ in $(seq 600); do
	kill -0 "$platform" 2>/dev/null || fail "the platform ended: $(tail -n 3 "$log")"
	answers && break
	sleep 0.1
done
answers || fail "the platform does not answer; see $log"
part "start the platform" "$began"
say "the platform answers"

began=$SECONDS
# The demo is pushed as any tool is, signed in by the operator's token; neither your git nor your sign-in changes.
token=$(cat "$data/keys/operator-token")
windlass() { WINDLASS_TOKEN=$token WINDLASS_SERVER=$url "$data/bin/windlass" "$@"; }
signed_git() {
	GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=http.extraHeader GIT_CONFIG_VALUE_0="Authorization: Bearer $token" git "$@"
}
demo_answers() { curl -sf -o /dev/null --max-time 10 --resolve "demo.localhost:$port:127.0.0.1" "$demo_url"; }

if ! windlass tools list --json | grep -Eq '"name": *"demo"'; then
	windlass tools create demo >/dev/null
fi
# A branch names what is live: without one the demo was never pushed, or its push ended red and is made again.
if [ -z "$(signed_git ls-remote "$url/git/demo.git" refs/heads/main)" ]; then
	say "pushing the demo tool with git"
	clone=$data/demo
	rm -rf "$clone" && mkdir -p "$clone"
	cp -R "$root/e2e/apps/demo/." "$clone"
	git -C "$clone" init -q -b main
	git -C "$clone" add .
	# The same commit each time it is tried.
	GIT_AUTHOR_DATE=2026-01-01T00:00:00Z GIT_COMMITTER_DATE=2026-01-01T00:00:00Z \
		git -C "$clone" -c user.name=Windlass -c user.email=demo@localhost commit -q -m 'A greeting'
	signed_git -C "$clone" push --force "$url/git/demo.git" main ||
		fail "the push of the demo tool ended red; the lines above say why, and make run pushes it again"
	what="push the demo tool, until its page answers"
else
	what="the demo tool answers again"
fi
for _ in $(seq 300); do
	demo_answers && break
	sleep 0.1
done
if ! demo_answers; then
	windlass --tool demo logs 2>&1 | tail -n 20 >&2 || true
	fail "the demo tool does not answer. Look while the platform runs: $data/bin/windlass --tool demo logs"
fi
part "$what" "$began"

echo
printf 'what took how long\n'
printf '%s\n' "${parts[@]}"
cat <<TEXT

live  $demo_url

sign in from another shell:
    $data/bin/windlass login $url

Ctrl-C ends the tools and keeps the data.
TEXT
status_on_signal=0
trap 'echo; say "stopping: the tools end, the data stays in $data"; exit 0' INT TERM HUP
ended=0
wait "$platform" || ended=$?
platform=
[ "$ended" = 0 ] || fail "the platform ended: $(tail -n 3 "$log")"
