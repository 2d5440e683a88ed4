#!/bin/sh
# Every speed figure beside its target: bench/run.sh BUILD_DIR
#
# What is compared runs interleaved (A, B, A, B, …), and the value is the median over the rounds of the ratio within a
# round: the clock of a shared machine drifts by more than the margins here, and it drifts for both. The least time of each
# program stands beside it. A timing never fails the script.
#
# BENCH_ROUNDS (3), BENCH_EPOCHS (3), BENCH_PARTS (all of: mlp nets structures sparse kernels prune start idle), BENCH_NETS (all),
# BENCH_REPORT (where the table goes: bench/RESULTS.md only when everything is run), PYTHON, PARED_MNIST_DIR
set -eu

build=$(cd "${1:?usage: bench/run.sh BUILD_DIR}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
rounds=${BENCH_ROUNDS:-3}
epochs=${BENCH_EPOCHS:-3}
parts=${BENCH_PARTS:-mlp nets structures sparse kernels prune start idle}
python=${PYTHON:-${XDG_CACHE_HOME:-$HOME/.cache}/pared/bench-venv/bin/python}
mnist=${PARED_MNIST_DIR:-$(sh "$here/../scripts/mnist.sh")}

for program in bench/bare_mlp bench/engine_mlp bench/engine_net bench/kernels bench/sparse bench/prune_select pare-core pared; do
	if [ ! -x "$build/$program" ]; then
		echo "bench: $build/$program is missing: make all bench-bins builds it" >&2
		exit 1
	fi
done
tmp=$(mktemp -d)
report=$tmp/report
daemon=
cleanup() {
	if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null || true; fi
	rm -rf "$tmp"
}
trap cleanup EXIT
one_thread="env OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"
# shellcheck source=scripts/blas-core.sh
. "$here/../scripts/blas-core.sh"
# shellcheck source=bench/lib.sh
. "$here/lib.sh"
# shellcheck source=bench/nets.sh
. "$here/nets.sh"

mlp_part() {
	i=0
	section "784-128-10 on MNIST, one epoch"
	while [ "$i" -lt "$rounds" ]; do
		for t in 1 2; do
			sample "bare$t" "$build/bench/bare_mlp" "$mnist" "$t" "$epochs"
			sample "engine$t" "$build/bench/engine_mlp" "$mnist" "$t" "$epochs"
		done
		sample torch "$python" "$here/torch_mlp.py" "$mnist" "$epochs" || true
		sample loader "$python" "$here/torch_mlp.py" "$mnist" 1 loader || true
		i=$((i + 1))
	done
	ratio "1 thread: engine / bare C" engine1.seconds bare1.seconds 1.15
	ratio "2 threads: engine / bare C" engine2.seconds bare2.seconds 1.15
	if [ -s "$tmp/torch.seconds" ]; then
		best ours engine1.seconds engine2.seconds
		best theirs torch.seconds torch.seconds2
		ratio "engine / PyTorch, data in tensors, each at its best" ours theirs 0.40
		ratio "engine / PyTorch's tutorial with its DataLoader" ours loader.seconds 0.0667
	else
		lost "engine / PyTorch" "$python has no torch"
	fi
	note "accuracy after $epochs epochs: engine, bare C" "$(median "$tmp/engine1.accuracy")" "$(median "$tmp/bare1.accuracy")"
}

# Half of a net's channels, in eights: one ranking by what a channel matters against the multiply-accumulates that go with it, and beside it the
# same share of every layer. Without training: what is asked is whether the runtime gets faster by what is gone.
halve() { # NET FLAG... -> "after/before MACs before after", or nothing
	net=$1
	shift
	"$python" "$here/structures.py" "$build/pare-core" real --latency --share=0.5 --round=8 "$@" "$net" >"$tmp/structures" || cat "$tmp/structures" >&2
	sed -n 's/.* channel .* \([0-9.]*\)x .* \([0-9.]*\) -> \([0-9.]*\) (.*/\1 \2 \3/p' "$tmp/structures" |
		awk 'NF == 3 {printf "%.3f %s %s %s\n", $3 / $2, $1, $2, $3}'
}

structures_part() { # the convolutional nets; the others have no bar
	section "Half of the channels: ONNX Runtime after / before, one row, one thread"
	for net in lenet5 resnet20 resnet18 mobilenetv2 densenet unet dcgan_generator dcgan_discriminator; do
		halve "$net" --scope=global --per=macs >"$tmp/halved"
		if read -r value macs before after <"$tmp/halved"; then
			row "$net, widths in eights" "$value" 0.5 "$before -> $after ms; MACs / $macs"
		else
			lost "$net, widths in eights" "structures.py did not run"
		fi
		halve "$net" >"$tmp/halved"
		if read -r value macs before after <"$tmp/halved"; then
			note "$net, half of each layer" "$value" "$before -> $after ms; MACs / $macs"
		fi
	done
}

sparse_part() {
	section "Fine-tuning under a mask at 95 %, one epoch"
	i=0
	while [ "$i" -lt "$rounds" ]; do
		sample sparse "$build/bench/sparse" epoch
		i=$((i + 1))
	done
	for net in mlp300 mlp1024; do # 784-300-100-10, 784-1024-1024-10
		row "$net: sparse kernels / dense" "$(quotient "$tmp/sparse.$net-sparse" "$tmp/sparse.$net-dense")" 0.5 \
			"$(beside "$tmp/sparse.$net-sparse" "$tmp/sparse.$net-dense")"
	done
}

kernels_part() {
	section "Share of the machine's peak (one thread)"
	"$build/bench/kernels" >"$tmp/kernels"
	while IFS='	' read -r figure value remark; do
		note "$figure" "$value" "$remark"
	done <"$tmp/kernels"
}

prune_size() { # N NAME TARGET
	i=0
	while [ "$i" -lt "$rounds" ]; do
		for threads in 1 2; do sample "prune$2-$threads" "$build/bench/prune_select" "$1" 3 "$threads"; done
		sample "numpy$2" "$python" "$here/numpy_prune.py" "$1" 3 || true
		i=$((i + 1))
	done
	best "prune$2.seconds" "prune$2-1.seconds" "prune$2-2.seconds"
	sample "torchprune$2" "$python" "$here/torch_prune.py" "$1" 1 || true # once: it takes a minute for 100 million
	note "prune $2 weights to 90 %, seconds" "$(median "$tmp/prune$2.seconds")" "with one thread $(median "$tmp/prune$2-1.seconds")"
	if [ -s "$tmp/numpy$2.seconds" ]; then
		ratio "prune $2 weights: engine / numpy partition" "prune$2.seconds" "numpy$2.seconds" "$3"
	fi
	if [ -s "$tmp/torchprune$2.seconds" ]; then
		ratio "prune $2 weights: engine / torch global_unstructured" "prune$2.seconds" "torchprune$2.seconds" 0.01
	fi
}
prune_part() {
	section "Pruning"
	prune_size 10000000 10M 0.33
	prune_size 100000000 100M 0.25
}

now_ms() {
	date +%s%3N
}

start_part() {
	section "Start and rest"
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

idle_part() {
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

versions() {
	"$python" -c 'import torch, onnxruntime, numpy; print("PyTorch", torch.__version__, "(oneDNN, MKL), ONNX Runtime", onnxruntime.__version__ + ", numpy", numpy.__version__)' \
		2>/dev/null || echo "no rivals"
}
{
	echo "# Measured"
	echo
	echo "Written by \`bench/run.sh\`${BENCH_NETS:+, nets $BENCH_NETS}, parts $parts, $rounds rounds. Values are ratios, ours / theirs, unless a unit is named:"
	echo "the median over the rounds. Beside it the medians and least times of both."
	echo
	echo "- machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $(uname -r), load at the start $(cut -d' ' -f1 /proc/loadavg)"
	echo "- rivals: $(versions)"
	echo "- ours: $(${CC:-cc} --version | head -n 1), OpenBLAS $(dpkg-query -W -f '${Version}' libopenblas0-pthread 2>/dev/null || echo '?')"
} >"$report"
for part in $parts; do
	"${part}_part"
done
if [ -n "$missed" ]; then
	printf '\nmissed:\n%s' "$missed"
fi
printf '\n%s of %s targets met.\n' "$met" "$total" >>"$report"
if [ -n "${BENCH_REPORT:-}" ]; then
	cp "$report" "$BENCH_REPORT"
elif [ -z "${BENCH_PARTS:-}${BENCH_NETS:-}" ]; then
	cp "$report" "$here/RESULTS.md"
fi
echo "bench: $met of $total targets met"
