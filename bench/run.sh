#!/bin/sh
# Every speed figure beside its target: bench/run.sh BUILD_DIR
#
# What is compared runs interleaved (A, B, A, B, …), and the value is the median over the rounds of the ratio within a
# round: the clock of a shared machine drifts by more than the margins here, and it drifts for both. The least time of each
# program stands beside it. A timing never fails the script; a program that is missing or fails does.
#
# BENCH_ROUNDS (5), BENCH_EPOCHS (3), PYTHON (/usr/bin/python3), PARED_MNIST_DIR
set -eu

build=${1:?usage: bench/run.sh BUILD_DIR}
here=$(dirname "$0")
rounds=${BENCH_ROUNDS:-5}
epochs=${BENCH_EPOCHS:-3}
python=${PYTHON:-/usr/bin/python3}
mnist=${PARED_MNIST_DIR:-}
total=0
met=0
missed=

for program in bench/bare_mlp bench/engine_mlp bench/prune_select pare-core pared; do
	if [ ! -x "$build/$program" ]; then
		echo "bench: $build/$program is missing: make all bench-bins builds it" >&2
		exit 1
	fi
done
if [ -z "$mnist" ]; then
	mnist=$(sh "$here/../scripts/mnist.sh")
fi
tmp=$(mktemp -d)
daemon=
cleanup() {
	if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null || true; fi
	rm -rf "$tmp"
}
trap cleanup EXIT

# sample NAME COMMAND...: runs it and keeps the seconds that it prints
sample() {
	name=$1
	shift
	if ! "$@" >"$tmp/out"; then
		echo "bench: failed: $*" >&2
		exit 1
	fi
	sed -n 's/^seconds \([0-9.]*\).*/\1/p' "$tmp/out" >>"$tmp/$name"
	sed -n '1s/^seconds [0-9.]* *//p' "$tmp/out" >"$tmp/$name.note"
}
median() {
	sort -n "$1" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
least() {
	sort -n "$1" | head -n 1
}
# row FIGURE VALUE TARGET [NOTE]: met when the value is at most the target
row() {
	total=$((total + 1))
	if awk "BEGIN {exit !($2 <= $3)}"; then
		word=met
		met=$((met + 1))
	else
		word=MISSED
		missed="$missed  $1: $2, target $3
"
	fi
	printf '%-54s %9s %9s  %-6s %s\n' "$1" "$2" "<= $3" "$word" "${4:-}"
}
# figure without a target
note() {
	printf '%-54s %9s %9s  %-6s %s\n' "$1" "$2" - - "${3:-}"
}
ratio() { # FIGURE A B TARGET
	paste "$tmp/$2" "$tmp/$3" | awk '{printf "%.4f\n", $1 / $2}' >"$tmp/ratio"
	row "$1" "$(median "$tmp/ratio" | awk '{printf "%.3f", $1}')" "$4" \
		"$(median "$tmp/$2") s / $(median "$tmp/$3") s, least $(least "$tmp/$2") / $(least "$tmp/$3")"
}

have_torch=no
have_numpy=no
if "$python" -c 'import torch' 2>/dev/null; then have_torch=yes; fi
if "$python" -c 'import numpy' 2>/dev/null; then have_numpy=yes; fi
one_thread="env OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"

torch_round() {
	sample torch1 $one_thread "$python" "$here/torch_mlp.py" "$mnist" 1 "$epochs"
	sample torch_default "$python" "$here/torch_mlp.py" "$mnist" default "$epochs"
	# Debian's pthread OpenBLAS and libgomp fight over the cores; with the OpenMP build they share one pool
	sample torch2 env LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/openblas-openmp "$python" "$here/torch_mlp.py" "$mnist" 2 "$epochs"
}

training() {
	i=0
	while [ "$i" -lt "$rounds" ]; do
		sample bare1 "$build/bench/bare_mlp" "$mnist" 1 "$epochs"
		sample engine1 "$build/bench/engine_mlp" "$mnist" 1 "$epochs"
		sample bare2 "$build/bench/bare_mlp" "$mnist" 2 "$epochs"
		sample engine2 "$build/bench/engine_mlp" "$mnist" 2 "$epochs"
		if [ "$have_torch" = yes ]; then torch_round; fi
		i=$((i + 1))
	done
	ratio "epoch 784-128-10, 1 thread: engine / bare C" engine1 bare1 1.15
	ratio "epoch 784-128-10, 2 threads: engine / bare C" engine2 bare2 1.15
	if [ "$have_torch" = yes ]; then
		best=torch_default
		if awk "BEGIN {exit !($(median "$tmp/torch2") < $(median "$tmp/torch_default"))}"; then best=torch2; fi
		ratio "epoch, 1 thread: engine / PyTorch 1 thread" engine1 torch1 0.50
		ratio "epoch, 2 threads: engine / PyTorch's best ($best)" engine2 "$best" 0.45
	else
		echo "epoch: engine / PyTorch: torch not installed: row skipped"
	fi
	echo "    after $epochs epochs: engine $(cat "$tmp/engine1.note"), bare C $(cat "$tmp/bare1.note")"
}

prune_size() { # N NAME TARGET
	i=0
	while [ "$i" -lt 3 ]; do
		sample "prune$2" "$build/bench/prune_select" "$1" 3
		if [ "$have_numpy" = yes ]; then sample "numpy$2" $one_thread "$python" "$here/numpy_prune.py" "$1" 3; fi
		i=$((i + 1))
	done
	note "prune $2 weights to 90 %, seconds" "$(median "$tmp/prune$2")"
	if [ "$have_numpy" = yes ]; then
		ratio "prune $2 weights: engine / numpy partition" "prune$2" "numpy$2" "$3"
	else
		echo "prune $2 weights: engine / numpy: numpy not installed: row skipped"
	fi
}

now_ms() {
	date +%s%3N
}

engine_start() {
	printf '{"input": [4], "layers": [{"units": 8, "activation": "relu"}, {"units": 3}], "seed": 1}' >"$tmp/arch.json"
	printf '{"recipe": {"steps": [{"train": {"epochs": 1, "optimizer": {"name": "sgd", "lr": 0.1}}}]}}' >"$tmp/job.json"
	awk 'BEGIN {OFS = ","; print "a,b,c,d,label"; for (i = 0; i < 60; i++) print i % 7, i % 5, i % 3, i % 2, i % 3}' >"$tmp/rows.csv"
	"$build/pare-core" build --architecture "$tmp/arch.json" --out "$tmp/tiny.onnx" >/dev/null
	i=0
	while [ "$i" -lt 15 ]; do
		start=$(now_ms)
		"$build/pare-core" run --quiet --job "$tmp/job.json" --model "$tmp/tiny.onnx" --data "$tmp/rows.csv" --out "$tmp/result" --threads 1 >/dev/null
		echo $(($(now_ms) - start)) >>"$tmp/start"
		i=$((i + 1))
	done
	row "engine: exec to the end of a one-step job, ms" "$(median "$tmp/start")" 20 "least $(least "$tmp/start"); shell, worker and sandbox included"
}

daemon_idle() {
	"$build/pared" --port 0 --data-dir "$tmp/data" --core "$build/pare-core" >"$tmp/pared.out" 2>"$tmp/pared.log" &
	daemon=$!
	i=0
	while ! grep -q 'listening on http://' "$tmp/pared.out" "$tmp/pared.log"; do
		i=$((i + 1))
		if [ "$i" -gt 100 ] || ! kill -0 "$daemon" 2>/dev/null; then
			echo "bench: pared did not start:" >&2
			cat "$tmp/pared.log" >&2
			exit 1
		fi
		sleep 0.05
	done
	url=$(sed -n 's|.*listening on \(http://[^ ]*\).*|\1|p' "$tmp/pared.out" "$tmp/pared.log" | head -n 1)
	curl -fsS "${url%/}/readyz" >/dev/null
	sleep 1
	kb=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$daemon/status")
	kill "$daemon"
	wait "$daemon" || true
	daemon=
	row "daemon, idle: resident MB" "$(awk "BEGIN {printf \"%.1f\", $kb / 1024}")" 20
}

printf '%-54s %9s %9s\n' figure value target
training
prune_size 10000000 10M 0.33
prune_size 100000000 100M 0.25
engine_start
daemon_idle
if [ -n "$missed" ]; then
	printf '\nmissed:\n%s' "$missed"
fi
echo "bench: $met of $total targets met"
