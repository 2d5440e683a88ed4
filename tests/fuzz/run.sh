#!/bin/sh
# run.sh SECONDS [TARGET...]: builds each tests/fuzz/fuzz_*.c with libFuzzer, AddressSanitizer and UBSan, straight from the
# sources of the layer named in its first line and of those beneath it, and runs it for SECONDS. It starts from
# tests/fuzz/corpus/TARGET/; what it finds goes to build/fuzz/TARGET/, where a crashing input is kept too. One line per
# target; fails if one had a finding or did not build.
set -u
cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
clang=${CLANG:-clang}
out=${FUZZ_OUT:-build/fuzz}
base='core/base'
recipe="core/recipe $base"
core="core/graph core/onnx core/ops core/ops/kernels core/data core/train core/prune core/compress core/eval core/job $recipe"

dirs_of() {
	case $1 in
	base) echo "$base" ;;
	recipe) echo "$recipe" ;;
	core) echo "$core" ;;
	storage) echo "storage storage/sqlite storage/memory $base" ;;
	api) echo "api storage storage/sqlite storage/memory $recipe" ;;
	esac
}

libs_of() {
	case $1 in
	base) echo "-lm" ;;
	recipe) echo "-ljansson -lm" ;;
	core) echo "-lopenblas -lseccomp -lz -ljansson -lm" ;;
	storage) echo "-lsqlite3 -lcrypto -lm" ;;
	api) echo "-lsqlite3 -lcrypto -ljansson -lm" ;;
	esac
}

sources_of() {
	for dir in $(dirs_of "$1"); do
		for f in "$dir"/*.c; do
			[ -e "$f" ] && [ "$f" != core/job/main.c ] && echo "$f"
		done
	done
}

# Compiles what the layer is made of; sets objs.
build_layer() {
	layer=$1
	objs=
	for f in $(sources_of "$layer"); do
		o=$out/obj/${f%.c}.o
		objs="$objs $o"
		mkdir -p "$(dirname "$o")"
		$clang $flags -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -c "$f" -o "$o" || return 1
	done
}

make -s B="$out" generated > /dev/null || exit 1
version=$(sed -n 's/^VERSION := //p' Makefile)
flags="-std=c11 -D_GNU_SOURCE -I. -I$out -O1 -g -fno-omit-frame-pointer -pthread -DPARE_SANITIZED -DPARE_VERSION=\"$version\""
failed=0
built=
for src in tests/fuzz/fuzz_*.c; do
	name=$(basename "$src" .c)
	name=${name#fuzz_}
	[ $# -gt 0 ] && case " $* " in *" $name "*) ;; *) continue ;; esac
	layer=$(sed -n '1s|^/\* layer: \([a-z]*\).*|\1|p' "$src")
	if [ "$built" != "$layer" ]; then
		build_layer "$layer" || { echo "fuzz $name: layer $layer does not build"; failed=1; continue; }
		built=$layer
	fi
	mkdir -p "$out/$name" "$out/bin"
	if ! $clang $flags -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined "$src" $objs $(libs_of "$layer") -o "$out/bin/$name"; then
		echo "fuzz $name: does not build"
		failed=1
		continue
	fi
	corpus=tests/fuzz/corpus/$name
	[ -d "$corpus" ] || corpus=
	log=$out/$name.log
	if "$out/bin/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$out/$name/" "$out/$name" $corpus > "$log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		echo "fuzz $name: ok, ${runs:-0} inputs in $seconds s, $(ls "$out/$name" | wc -l) kept"
	else
		echo "fuzz $name: FINDING"
		tail -n 40 "$log"
		failed=1
	fi
done
exit $failed
