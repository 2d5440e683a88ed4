#!/bin/sh
# Runs every Check program and the fuzz corpora of a build directory; ends with Check's totals over all of them.
# run-tests.sh BUILD_DIR [NAME...]: only programs whose path contains one of the names.
set -u
b=$1
shift
cd "$(dirname "$0")/.." || exit 2
PARED_SRC=$PWD
PARED_VENV=${XDG_CACHE_HOME:-$HOME/.cache}/pared/venv
PARED_MNIST_DIR=$(sh scripts/mnist.sh) || exit 1
PARE_CORE_BIN=$PWD/$b/pare-core
case $b in /*) PARE_CORE_BIN=$b/pare-core ;; esac
PARED_SEEN=$(mktemp) # which answers of which operations the tests have seen
reports=$(mktemp -d)
case $b in # slow programs: Check multiplies its time limits, the scenarios theirs (tests/support/py/daemon.py)
*asan | *ubsan | *tsan | *cover)
	export PARED_SANITIZED=1 CK_TIMEOUT_MULTIPLIER=20
	# What sanitizers say goes into files, and any file is an error: a daemon that a scenario kills, and an engine whose answer is whole, have
	# an exit status that nobody asks for. The daemon hands these variables on to its engines.
	export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$reports/asan"
	export UBSAN_OPTIONS="${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}print_stacktrace=1:log_path=$reports/ubsan"
	export TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}log_path=$reports/tsan"
	;;
esac
export PARED_SRC PARED_VENV PARED_MNIST_DIR PARE_CORE_BIN PARED_SEEN
export OPENBLAS_NUM_THREADS=1
. scripts/blas-core.sh

wanted() {
	[ $# -gt 1 ] || return 0
	path=$1
	shift
	for w in "$@"; do
		case $path in *"$w"*) return 0 ;; esac
	done
	return 1
}

# reported NAME: shows what sanitizers have said since the last call; true if there was anything
reported() {
	[ -n "$(ls "$reports")" ] || return 1
	echo "$1: a sanitizer's report"
	cat "$reports"/*
	rm -f "$reports"/*
}

log=$(mktemp)
trap 'rm -rf "$log" "$PARED_SEEN" "$reports"' EXIT
checks=0 failures=0 errors=0 programs=0
for t in "$b"/tests/*/test_* "$b"/tests/*/*/test_*; do
	{ [ -x "$t" ] && [ -f "$t" ]; } || continue
	case $t in *.[od]) continue ;; esac
	wanted "$t" "$@" || continue
	echo "== ${t#"$b"/tests/}"
	programs=$((programs + 1))
	"$t" >"$log" 2>&1
	status=$?
	cat "$log"
	totals=$(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' "$log" | tail -n 1)
	if [ -z "$totals" ]; then
		echo "$t: no totals (exit status $status)"
		totals="1 0 1"
	fi
	read -r c f e <<-TOTALS
		$totals
	TOTALS
	checks=$((checks + c)) failures=$((failures + f)) errors=$((errors + e))
	if reported "$t"; then status=1; fi
	[ "$status" = 0 ] || [ $((f + e)) != 0 ] || errors=$((errors + 1))
done

# Every file of a fuzz corpus once through its target.
for f in "$b"/tests/fuzz/fuzz_*; do
	{ [ -x "$f" ] && [ -f "$f" ]; } || continue
	case $f in *.[od]) continue ;; esac
	wanted "$f" "$@" || continue
	name=${f##*/fuzz_}
	checks=$((checks + 1))
	if ! timeout 120 "$f" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
		cat "$log"
		echo "fuzz corpus $name: failed"
		reported "$f"
		failures=$((failures + 1))
	elif reported "$f"; then
		failures=$((failures + 1))
	fi
done

if [ $# = 0 ]; then
	echo "== every documented answer"
	checks=$((checks + 1))
	"$PARED_VENV/bin/python" tests/support/py/seen.py openapi.yaml "$PARED_SEEN" || failures=$((failures + 1))
fi

[ $checks -gt 0 ] || { echo "no test was run" && exit 1; }
echo "$programs programs"
echo "$(((checks - failures - errors) * 100 / checks))%: Checks: $checks, Failures: $failures, Errors: $errors"
[ $((failures + errors)) = 0 ]
