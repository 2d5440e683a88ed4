#!/bin/sh
# run.sh BUILD_DIR SECONDS [TARGET...]: runs the fuzz targets of a MODE=fuzz build (libFuzzer, AddressSanitizer, UBSan) for
# SECONDS each. A target starts from tests/fuzz/corpus/TARGET/; what it finds goes to BUILD_DIR/found/TARGET/, where a crashing
# input is kept, too. One line per target; fails if one had a finding.
set -u
cd "$(dirname "$0")/../.." || exit 2
b=$1
seconds=$2
shift 2
failed=0
for src in tests/fuzz/fuzz_*.c; do
	name=$(basename "$src" .c)
	name=${name#fuzz_}
	[ $# -eq 0 ] || case " $* " in *" $name "*) ;; *) continue ;; esac
	found=$b/found/$name
	log=$found.log
	mkdir -p "$found"
	corpus=tests/fuzz/corpus/$name
	[ -d "$corpus" ] || corpus=
	# shellcheck disable=SC2086
	if "$b/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$found/" "$found" $corpus >"$log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		echo "fuzz $name: ok, ${runs:-0} inputs in $seconds s, $(ls "$found" | wc -l) kept"
	else
		echo "fuzz $name: FINDING"
		tail -n 40 "$log"
		failed=1
	fi
done
exit $failed
