# The nets of tests/golden/nets.py against PyTorch (training) and ONNX Runtime (inference); sourced by bench/run.sh.
#
# One round of one net: PyTorch with one thread and with two, the engine with one and with two, then inference with one
# thread at batch 1 and 64, each beside ONNX Runtime. Who wants fewer: BENCH_NETS="vit bert", BENCH_ROUNDS=1.

# net, least seconds a program runs, training target (ours / PyTorch's best)
net_table='mlp 0.5 0.40
lenet300 0.5 0.50
lenet5 0.6 0.455
resnet20 1 1.0
resnet18 1 1.0
mobilenetv2 1 1.0
densenet 1 1.0
unet 1 1.0
lstm 0.7 0.833
gru 0.7 0.833
vit 1 0.833
bert 0.7 0.833'

net_round() { # NET SECONDS
	(cd "$tmp" && sample "$1.torch" "$python" "$here/torch_net.py" train "$1" "$2") || true
	for t in 1 2; do
		sample "$1.engine$t" "$build/bench/engine_net" train "$tmp/$1.onnx" "$t" 64 "$2" "$tmp/$1".*.npy || true
	done
	for b in 1 64; do
		sample "$1.infer$b" "$build/bench/engine_net" infer "$tmp/$1.onnx" 1 "$b" 0.4 || true
		sample "$1.ort$b" "$python" "$here/torch_net.py" infer "$tmp/$1.onnx" "$b" 0.4 || true
	done
}

train_rows() { # NET TARGET
	e=$1.engine p=$1.torch
	if [ ! -s "$tmp/${e}2.seconds" ] || [ ! -s "$tmp/$p.seconds" ]; then
		lost "train $1: engine / PyTorch" "did not run: $(cat "$tmp/why" 2>/dev/null)"
		lost "train $1: 2 threads / 1" "did not run"
		lost "train $1: peak memory, engine / PyTorch" "did not run"
		return
	fi
	best "$1.ours" "${e}1.seconds" "${e}2.seconds"
	best "$1.theirs" "$p.seconds" "$p.seconds2"
	ratio "train $1: engine / PyTorch, each at its best" "$1.ours" "$1.theirs" "$2"
	note "train $1: the same with 1 thread each, CPU time" "$(quotient "$tmp/${e}1.cpu" "$tmp/$p.cpu")" "$(beside "$tmp/${e}1.cpu" "$tmp/$p.cpu")"
	ratio "train $1: 2 threads / 1" "${e}2.seconds" "${e}1.seconds" 0.588
	row "train $1: peak memory, engine / PyTorch" "$(quotient "$tmp/${e}2.rss" "$tmp/$p.rss")" 0.5 \
		"$(median "$tmp/${e}2.rss") / $(median "$tmp/$p.rss") MB"
}

infer_rows() { # NET
	for b in 1 64; do
		if [ -s "$tmp/$1.infer$b.seconds" ] && [ -s "$tmp/$1.ort$b.seconds" ]; then
			ratio "infer $1, batch $b: engine / ONNX Runtime" "$1.infer$b.seconds" "$1.ort$b.seconds" 1.0
		else
			lost "infer $1, batch $b: engine / ONNX Runtime" "did not run"
		fi
	done
}

nets_part() {
	if ! "$python" -c 'import torch, onnxruntime' 2>/dev/null; then
		echo "nets: $python has no torch or no onnxruntime: part skipped"
		return
	fi
	section "Nets"
	echo "$net_table" >"$tmp/nets"
	while read -r net seconds target; do
		case " ${BENCH_NETS:-$net} " in *" $net "*) ;; *) continue ;; esac
		"$python" "$here/torch_net.py" export "$tmp" "$net" >/dev/null 2>&1
		i=0
		while [ "$i" -lt "$rounds" ]; do
			net_round "$net" "$seconds"
			i=$((i + 1))
		done
		train_rows "$net" "$target"
		infer_rows "$net"
		rm -f "$tmp/$net".*npy "$tmp/$net.onnx"
	done <"$tmp/nets"
}
