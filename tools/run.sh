#!/usr/bin/env bash
# The main job: install what is missing, build, start the platform on loopback, push the demo tool, keep serving.
#   tools/run.sh <data directory> <port>
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
data=$1 port=$2
run=/run/$(basename "$data")
log=$data/log/platform.log
url=http://localhost:$port
parts=()

say() { printf '\033[1m%4d s\033[0m  %s\n' "$SECONDS" "$1"; }
part() { parts+=("$(printf '%6d s  %s' "$((SECONDS - $2))" "$1")"); }
fail() { printf 'make run: %s\n' "$1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "the platform's helper needs root: run it with sudo"
say "windlass runs from $data, not from this checkout"
began=$SECONDS
"$root/tools/setup.sh"
part "install from Debian" "$began"

# Images and compiling have nothing to do with each other: side by side.
images=$(mktemp)
began=$SECONDS
say "making the base images from Debian packages (once), and compiling (once)"
"$root/tools/base.sh" >"$images" &
making=$!
(cd "$root" && cargo build --workspace --bins)
part "compile" "$began"
if ! wait "$making"; then fail "the base images could not be made; the lines above say why"; fi
part "base images, beside it" "$began"
base=$(cat "$images") && rm -f "$images"

began=$SECONDS
"$root/tools/install.sh" "$data" "$base"
"$root/tools/configure.sh" "$data/windlass.toml" "$data" "$run" "$port"
mkdir -p "$data/log"
say "starting the platform (its log: $log)"
"$data/bin/windlass" up "$data/windlass.toml" >>"$log" 2>&1 &
platform=$!
stopped=
stop() {
	[ -z "$stopped" ] || return 0
	stopped=1
	kill -TERM "$platform" 2>/dev/null || true
	wait "$platform" 2>/dev/null || true
}
trap stop EXIT
trap 'echo; say "stopping: the tools end, the data stays in $data"; exit 0' INT TERM
for _ in $(seq 600); do
	kill -0 "$platform" 2>/dev/null || fail "the platform ended: $(tail -n 3 "$log")"
	curl -sf -o /dev/null "$url/api/v1/health" && break
	sleep 0.1
done
curl -sf -o /dev/null "$url/api/v1/health" || fail "the platform does not answer; see $log"
part "start the platform" "$began"

began=$SECONDS
# The demo is pushed as any tool is, signed in by the operator's token; neither your git nor your sign-in changes.
token=$(cat "$data/keys/operator-token")
windlass() { WINDLASS_TOKEN=$token WINDLASS_SERVER=$url "$data/bin/windlass" "$@"; }
demo_url=http://demo.localhost:$port/
if ! windlass tools list | grep -qw demo; then
	windlass tools create demo >/dev/null
fi
if ! curl -sf -o /dev/null --resolve "demo.localhost:$port:127.0.0.1" "$demo_url"; then
	clone=$data/demo
	rm -rf "$clone" && mkdir -p "$clone"
	cp -R "$root/e2e/apps/demo/." "$clone"
	git -C "$clone" init -q -b main
	git -C "$clone" add .
	git -C "$clone" -c user.name=Windlass -c user.email=demo@localhost commit -q -m 'A greeting'
	released=$(windlass --tool demo releases --json | tr -d ' \n')
	if [ "$released" = '{"releases":[]}' ] || [ "$released" = '[]' ]; then
		say "pushing the demo tool with git"
		GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=http.extraHeader GIT_CONFIG_VALUE_0="Authorization: Bearer $token" \
			git -C "$clone" push "$url/git/demo.git" main
	fi
	for _ in $(seq 100); do
		curl -sf -o /dev/null --resolve "demo.localhost:$port:127.0.0.1" "$demo_url" && break
		sleep 0.1
	done
	part "push the demo tool, until its page answers" "$began"
else
	part "the demo tool answers again" "$began"
fi

echo
printf 'what took how long\n'
printf '%s\n' "${parts[@]}"
cat <<TEXT

live  $demo_url

sign in from another shell:
    $data/bin/windlass login $url

Ctrl-C ends the tools and keeps the data.
TEXT
wait "$platform"
