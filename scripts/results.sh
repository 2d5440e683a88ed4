#!/bin/sh
# The named recipes on real data over three seeds, as one table: results.sh BUILD_DIR [RECIPE...]
# Each run is one pare-core job. Choices (best epoch, decision) are made on validation rows; the test rows are read once, at
# the end of a run. A row gives the mean and, in brackets, the range over the seeds. PARED_SEEDS="1 2 3" by default.
set -eu
b=$1
shift
cd "$(dirname "$0")/.."
mnist=$(sh scripts/mnist.sh)
seeds=${PARED_SEEDS:-1 2 3}
out=$b/results
mkdir -p "$out"
threads=$(nproc)

# name | recipe | data | architecture ("-": the recipe's own) | params | bar, over the summary of all seeds
lenet='{"type":"mlp","input":[784],"layers":[{"units":300,"activation":"relu","dropout":0.2},{"units":100,"activation":"relu","dropout":0.2},{"units":10}]}'
plain='{"type":"mlp","input":[784],"layers":[{"units":300,"activation":"relu"},{"units":100,"activation":"relu"},{"units":10}]}' # no dropout, which narrow layers do not need
# chosen by validation accuracy on seed 4, which is none of the seeds below
long='{"sparsity":0.92,"lambda":0.00003,"epochs":40,"rounds":20,"finetune_epochs":40}'
few='{"sparsity":0.8,"epochs":8,"rounds":1,"finetune_epochs":2}'
rand='$of["784-128-64-10/random-neuron"].error'
# random@NAME: the recipe NAME, its training and schedule included, with random scores in the place of its criterion
twin() { echo "\$of[\"$1/random@$2\"].error"; }
rows() {
	cat <<-ROWS
		LeNet-300-100|weight-magnitude|mnist|$lenet|$long|.error <= 1.64 and .compression >= 12
		LeNet-300-100|random|mnist|$lenet|$long|.error > \$of["LeNet-300-100/weight-magnitude"].error + 0.3
		784-128-10|ridge-magnitude|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 9.9
		784-64-32-10|weight-magnitude|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 9.9
		784-64-32-10|random|mnist|-|{}|.error > .dense_error + 0.5
		784-128-10|l1-sparse|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 3
		784-300-100-10|channel-prune|mnist|$plain|{"sparsity":0.6,"epochs":20,"rounds":8,"finetune_epochs":25}|.error <= .dense_error + 0.3 and .compression >= 2.5
		784-300-100-10|auto|mnist|-|{}|.error <= .dense_error + 1.0 and .compression >= 20
		784-64-32-10|grid-search|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 4.9
		Iris 4-16-3|cross-validate|iris|-|{}|.error <= 10 and .compression >= 1.2
		784-128-64-10|random-neuron|mnist|-|$few|.error > .dense_error + 1
		784-128-64-10|activation-neuron|mnist|-|$few|.error < $rand
		784-128-64-10|neuron-loss|mnist|-|$few|.error < $rand
		784-128-64-10|feature-importance|mnist|-|$few|.error < $rand
		784-128-64-10|random@gradient-sum|mnist|-|$few|.error > .dense_error + 1
		784-128-64-10|gradient-sum|mnist|-|$few|.error < $(twin 784-128-64-10 gradient-sum) and .error < $rand
		784-128-64-10|random@entropy-l1|mnist|-|$few|.error > .dense_error + 1
		784-128-64-10|entropy-l1|mnist|-|$few|.error < $(twin 784-128-64-10 entropy-l1) and .error < $rand
		784-128-64-10|random@importance-l2|mnist|-|$few|.error > .dense_error + 1
		784-128-64-10|importance-l2|mnist|-|$few|.error < $(twin 784-128-64-10 importance-l2) and .error < $rand
		784-128-64-10|random@gradient-sgd|mnist|-|$few|.error > .dense_error + 1
		784-128-64-10|gradient-sgd|mnist|-|$few|.error < $(twin 784-128-64-10 gradient-sgd) and .error < $rand
		784-128-64-10|random@growing-regularization|mnist|-|$few|.error > .dense_error + 1
		784-128-64-10|growing-regularization|mnist|-|$few|.error < $(twin 784-128-64-10 growing-regularization)
		784-10-10-10|random@entropy|mnist|-|{}|.error > .dense_error
		784-10-10-10|entropy|mnist|-|{}|.error <= .dense_error + 1 and .error < $(twin 784-10-10-10 entropy)
		784-128-10|gradient-clip|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 2.4
		784-128-10|sgd-sparse|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 9.9
		784-128-10|sparse-representation|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 1.1
		784-300-100-10|ridge-reconstruct|mnist|-|{"sparsity":0.9}|.error <= .dense_error + 0.5 and .compression >= 9.9
		784-300-100-10|ridge-reconstruct|mnist|-|{"sparsity":0.95}|.error <= .dense_error + 1 and .compression >= 19.9
		LeNet-300-100|lottery-ticket|mnist|-|{"rounds":4,"epochs":5}|.error <= .dense_error + 1 and .compression >= 19.9
		LeNet-300-100|rigl|mnist|-|{}|.error <= 2.2 and .compression >= 19.9
		Iris 4-16-3|two-threshold|iris|-|{}|.error <= 10 and .compression >= 1.2
		LeNet-300-100|variational-dropout|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 40
		784-300-100-10|low-rank|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 4.9
		LeNet-300-100|l0-gates|mnist|-|{}|.error <= .dense_error + 0.5 and .compression >= 12
	ROWS
}

# packed: bytes of model.packed. Rows of other papers. job@NAME is bench/published/NAME.json, whose {"$param": …} are the row's; a run takes one thread, and as many run side
# by side as there are cores. No dropout: it takes away from nets that have few weights left what the teacher's softened classes give them.
mlp300='{"type":"mlp","input":[1,28,28],"layers":[{"units":300,"activation":"relu"},{"units":100,"activation":"relu"},{"units":10}]}'
# as the literature counts it: 430500 weights
lenet5='{"type":"cnn","input":[1,28,28],"layers":[{"units":20,"kernel":5,"pool":2},{"units":50,"kernel":5,"pool":2},{"units":500,"activation":"relu"},{"units":10}]}'
mlp_way='"shift":1,"rounds":40,"finetune_epochs":80'
adam='"optimizer":{"name":"adam","lr":0.003},"lambda":0.00003'
sgd='"optimizer":{"name":"sgd","lr":0.1,"momentum":0.9},"lambda":0.0001'
cnn_way='"shift":1,"lr":0.003,"epochs":8,"rounds":16,"finetune_epochs":24'
rows_published() {
	cat <<-ROWS
		LeNet-300-100|magnitude-distill|mnist|$mlp300|{"sparsity":0.9853,$mlp_way}|.error <= 1.92 and .compression >= 68
		LeNet-300-100|magnitude-distill|mnist|$mlp300|{"sparsity":0.9822,$mlp_way}|.error <= 1.99 and .compression >= 56
		LeNet-300-100|magnitude-distill|mnist|$mlp300|{"sparsity":0.97637,$mlp_way}|.error <= 1.44 and 2 * .macs <= 12600
		LeNet-300-100|job@snip|mnist|$mlp300|{"sparsity":0.95,"epochs":60,$adam}|.error <= 1.6 and .compression >= 20
		LeNet-300-100|job@snip|mnist|$mlp300|{"sparsity":0.98,"epochs":150,$sgd}|.error <= 2.4 and .compression >= 50
		LeNet-5|magnitude-distill|mnist|$lenet5|{"sparsity":0.99075,$cnn_way}|.error <= 0.91 and .compression >= 108
		LeNet-5|job@structured|mnist|$lenet5|{"sparsity":0.8,"epochs":8,"rounds":6,"finetune_epochs":24}|.error <= 1.0 and .macs <= 158000
		LeNet-5|job@variational|mnist|$lenet5|{"sparsity":0.99643}|.error <= 0.75 and .compression >= 280
		LeNet-5|job@snip|mnist|$lenet5|{"sparsity":0.98,"epochs":60,$sgd}|.error <= 0.8 and .compression >= 50
		LeNet-5|job@snip|mnist|$lenet5|{"sparsity":0.99,"epochs":60,$sgd}|.error <= 1.1 and .compression >= 100
		LeNet-300-100|job@compressed|mnist|$mlp300|{"sparsity":0.97,"bits":4,"lr":0.002,"epochs":20,"rounds":20,"finetune_epochs":20,"shared_epochs":8}|.error <= 1.58 and .packed <= 27 * 1024
		LeNet-5|job@compressed|mnist|$lenet5|{"sparsity":0.97,"bits":4,"lr":0.003,"epochs":6,"rounds":8,"finetune_epochs":12,"shared_epochs":4}|.error <= 0.74 and .packed <= 44 * 1024
		LeNet-300-100|magnitude-distill|mnist|$mlp300|{"sparsity":0.98531,"rounds":40,"finetune_epochs":80}|.error <= 1.92 and .compression >= 68
		LeNet-300-100|job@one-shot|mnist|$mlp300|{"sparsity":0.8}|.compression >= 4.99
		LeNet-300-100|ridge-reconstruct|mnist|$mlp300|{"sparsity":0.8}|.error < \$of["LeNet-300-100/job@one-shot"].error and .error <= .dense_error + 0.3 and .compression >= 4.99
		LeNet-300-100|job@one-shot|mnist|$mlp300|{"sparsity":0.9}|.compression >= 9.99
		LeNet-300-100|ridge-reconstruct|mnist|$mlp300|{"sparsity":0.9}|.error < \$of["LeNet-300-100/job@one-shot"].error and .error <= .dense_error + 0.5 and .compression >= 9.99
		LeNet-300-100|job@one-shot|mnist|$mlp300|{"sparsity":0.93}|.compression >= 14.28
		LeNet-300-100|ridge-reconstruct|mnist|$mlp300|{"sparsity":0.93}|.error < \$of["LeNet-300-100/job@one-shot"].error and .error <= .dense_error + 0.8 and .compression >= 14.28
		LeNet-300-100|job@one-shot|mnist|$mlp300|{"sparsity":0.95}|.compression >= 19.99
		LeNet-300-100|ridge-reconstruct|mnist|$mlp300|{"sparsity":0.95}|.error < \$of["LeNet-300-100/job@one-shot"].error and .error <= .dense_error + 1 and .compression >= 19.99
	ROWS
}
which=rows
if [ "${PARED_RESULTS:-}" = published ]; then
	which=rows_published
	side_by_side=$threads
	threads=1
fi

# The job of a run: a recipe by name, the recipe with random scores in the place of its criterion, or a file of jobs.
job() { # recipe, params, seed
	bound='walk(if type == "object" and has("$param") then $v[.["$param"]] elif type == "object" and has("criterion") and $random then .criterion = "random" else . end) | .seed = $s'
	case $1 in
	random@*) jq -c --argjson p "$2" --argjson s "$3" --argjson random true '((.params | map_values(.default)) + $p) as $v | .job | '"$bound" "recipes/${1#random@}.json" ;;
	job@*) jq -c --argjson v "$2" --argjson s "$3" --argjson random false "$bound" "bench/published/${1#job@}.json" ;;
	*) jq -nc --arg r "$1" --argjson p "$2" --argjson s "$3" '{recipe: $r, params: $p, seed: $s}' ;;
	esac
}
wanted() { # recipe, those that were named
	r=${1#*@}
	shift
	[ $# = 0 ] || case " $* " in *" $r "*) ;; *) return 1 ;; esac
}
dir_of() { # net, recipe, params, seed
	echo "$out/$(echo "$1-$2-$(echo "$3" | jq -r '.sparsity // ""')-$4" | tr ' ' _)"
}
run() { # recipe, data, architecture, params, seed, directory
	mkdir -p "$6"
	a=$3 d=$mnist
	[ "$a" != - ] || a=$(jq -c .architecture "recipes/${1#random@}.json")
	[ "$2" != iris ] || d=tests/data/iris.csv
	echo "$a" | jq -c --argjson s "$5" '. + {seed: $s}' >"$6/architecture.json"
	job "$1" "$4" "$5" >"$6/job.next"
	if [ "$which" = rows_published ] && [ -s "$6/report.json" ] && cmp -s "$6/job.next" "$6/job.json"; then return; fi
	rm -f "$6/report.json"
	mv "$6/job.next" "$6/job.json"
	"$b"/pare-core build --architecture "$6/architecture.json" --out "$6/in.onnx" >/dev/null
	"$b"/pare-core run --quiet --job "$6/job.json" --model "$6/in.onnx" --data "$d" --out "$6" --threads "$threads" >/dev/null
}
if [ "${1:-}" = --run ]; then # one run of a row: its line, its seed
	IFS='|' read -r net recipe data arch params bar <<-ROW
		$2
	ROW
	dir=$(dir_of "$net" "$recipe" "$params" "$3")
	run "$recipe" "$data" "$arch" "$params" "$3" "$dir"
	echo "$net $recipe $params seed $3: done" >&2
	exit
fi
if [ "$which" = rows_published ]; then
	rows_published | while IFS= read -r row; do
		wanted "$(echo "$row" | cut -d '|' -f 2)" "$@" || continue
		for seed in $seeds; do printf '%s\0%s\0' "$row" "$seed"; done
	done | xargs -0 -n 2 -P "$side_by_side" sh scripts/results.sh "$b" --run
fi

# mean and range of a jq expression over the reports of a row
over() {
	jq -s "[.[] | $1] | {mean: (add / length), low: min, high: max}" $reports
}
cell() {
	over "$1" | jq -r --arg d "$2" 'def r: . * pow(10; $d | tonumber) | round / pow(10; $d | tonumber);
		"\(.mean | r) [\(.low | r)..\(.high | r)]"'
}

n=0 met=0 of='{}'
printf '%-14s %-17s %-24s %-24s %-22s %s\n' network recipe 'error dense, %' 'error after, %' 'weights, times fewer' bar
while IFS='|' read -r net recipe data arch params bar; do
	wanted "$recipe" "$@" || continue
	reports=
	for seed in $seeds; do
		dir=$(dir_of "$net" "$recipe" "$params" "$seed")
		[ ! -t 2 ] || printf '%s %s seed %s\r' "$net" "$recipe" "$seed" >&2
		run "$recipe" "$data" "$arch" "$params" "$seed" "$dir"
		reports="$reports $dir/report.json"
	done
	dense='(1 - .dense.accuracy) * 100'
	after='(1 - .final.accuracy) * 100'
	times='.dense.n_weights / .final.n_nonzero_weights'
	means=$(jq -nc --argjson a "$(over "$after" | jq .mean)" --argjson d "$(over "$dense" | jq .mean)" \
		--argjson c "$(over "$times" | jq .mean)" --argjson m "$(over '.final.macs_nonzero' | jq .mean)" \
		--argjson p "$(over '.sharing.packed_bytes // 0' | jq .mean)" '{error: $a, dense_error: $d, compression: $c, macs: $m, packed: $p}')
	verdict=missed
	n=$((n + 1))
	if [ "$(echo "$means" | jq --argjson of "$of" "$bar")" = true ]; then
		verdict=met
		met=$((met + 1))
	fi
	of=$(echo "$of" | jq -c --arg k "$net/$recipe" --argjson m "$means" '.[$k] = $m')
	printf '%-14s %-17s %-24s %-24s %-22s %s\n' "$net" "$recipe" "$(cell "$dense" 2)" "$(cell "$after" 2)" "$(cell "$times" 2)" "$verdict"
done <<ROWS
$($which)
ROWS
echo "seeds: $seeds; $threads threads; a bar is what the row must reach (see rows() in scripts/results.sh)"
echo "results: $met of $n recipes meet their bar"
