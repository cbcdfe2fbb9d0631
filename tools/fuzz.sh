#!/usr/bin/env bash
# fuzz.sh <seconds> [<target>]: fuzzes the parsers of outside bytes, each for that long, or one alone.
# Works with the stable compiler: the instrumentation is LLVM's own pass, and libFuzzer comes with its crate.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
seconds=${1:-30} only=${2:-}
# Apart from other builds: these flags are for everything that is linked in.
out=${CARGO_TARGET_DIR:-$root/target}/fuzz

command -v g++ >/dev/null || {
	echo "make fuzz: installing g++ from Debian (libFuzzer is C++)"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ >/dev/null
}
# Counters beside each edge and comparison traces, as cargo-fuzz sets them; no sanitizer, which would need nightly.
# Overflows and debug assertions stay on: they are promises too.
RUSTFLAGS="-C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
-C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
-C llvm-args=-sanitizer-coverage-trace-compares -C codegen-units=1 \
-C overflow-checks=yes -C debug-assertions=yes --cfg fuzzing" \
	cargo build --quiet --release -p windlass-fuzz --features libfuzzer --target-dir "$out" \
	--target x86_64-unknown-linux-gnu
program=$out/x86_64-unknown-linux-gnu/release/windlass-fuzz

targets=()
for folder in fuzz/corpus/*/; do
	name=$(basename "$folder")
	[ -z "$only" ] || [ "$only" = "$name" ] || continue
	targets+=("$name")
done
if [ ${#targets[@]} = 0 ]; then
	echo "make fuzz: there is no target \`$only\`; the targets are: $(ls fuzz/corpus | tr '\n' ' ')" >&2
	exit 2
fi

crashed=0
printf '%-14s %12s %9s %10s %8s %s\n' target executions per-second edges corpus result
for name in "${targets[@]}"; do
	# What is found stays here for the next time; the seeds in the repository stay as they are.
	corpus=$out/corpus/$name crashes=$out/crashes/$name log=$out/$name.log
	mkdir -p "$corpus" "$crashes"
	status=0
	(cd "$crashes" && WINDLASS_FUZZ_TARGET=$name "$program" "$corpus" "$root/fuzz/corpus/$name" \
		-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
		-artifact_prefix="$crashes/" >"$log" 2>&1 </dev/null) || status=$?
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
	first=$(sed -n 's/.*INITED *cov: \([0-9]*\).*/\1/p' "$log" | head -1)
	edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
	result=ok
	if [ "$status" != 0 ]; then
		crashed=$((crashed + 1))
		result="CRASHED"
	fi
	printf '%-14s %12s %9s %10s %8s %s\n' "$name" "${executions:-?}" "${speed:-?}" "${first:-?}→${edges:-?}" \
		"$(find "$corpus" -type f | wc -l)" "$result"
	if [ "$status" != 0 ]; then
		grep -hE 'panicked|assertion|ERROR|left:|right:' -A2 "$log" | head -12 | sed 's/^/    /'
		sed -n 's/^artifact_prefix=.*Test unit written to //p' "$log" | sed "s|^|    the input: |"
		echo "    again:     WINDLASS_FUZZ_TARGET=$name $program <input>"
	fi
done
echo
echo "${#targets[@]} targets, $crashed crashed; logs and what was found lie in $out"
[ "$crashed" = 0 ]
