#!/bin/sh
# The gates: each prints what is wrong and where; the last line says how many gates fail.
# run.sh BUILD_DIR [GATE...]
set -u
b=$1
shift
cd "$(dirname "$0")/../.." || exit 2
here=tests/lint
sources=$(git ls-files -co --exclude-standard '*.c' '*.h')
product=$(git ls-files -co --exclude-standard 'core/*.[ch]' 'storage/*.[ch]' 'api/*.[ch]' 'server/*.[ch]')
node=${XDG_CACHE_HOME:-$HOME/.cache}/pared/node/node_modules/.bin

# shellcheck disable=SC2086
gate_layers() { awk -f $here/includes.awk $here/layers.txt $here/owners.txt $sources; }
# shellcheck disable=SC2086
gate_banned() { awk -f $here/banned.awk $here/banned.txt $product; }
gate_symbols() {
	for a in "$b"/libpare-base.a "$b"/libpare-recipe.a "$b"/libpare-core.a; do
		nm -u "$a" | grep -E ' (MHD_|sqlite3_|curl_|PQ[a-z])' && return 1
	done
	if nm -u "$b"/libpare-api.a | grep -E ' (MHD_|sqlite3_)'; then return 1; fi
	return 0
}
gate_headers() {
	status=0
	for h in $(echo "$product" | grep '\.h$'); do
		cc -std=c11 -D_GNU_SOURCE -I. -I"$b" -Wall -Wextra -Werror -fsyntax-only -x c "$h" || status=1
	done
	return $status
}
gate_attacks() { python3 $here/attacks.py; }
gate_sizes() {
	status=0
	for f in $sources; do
		n=$(wc -l <"$f")
		[ "$n" -le 800 ] || { echo "$f: $n lines (at most 800)" && status=1; }
	done
	return $status
}
gate_functions() {
	# shellcheck disable=SC2046
	clang-tidy-14 --quiet --checks='-*,readability-function-size' --warnings-as-errors='*' \
		--config="{CheckOptions: [{key: readability-function-size.LineThreshold, value: 100},
		{key: readability-function-size.NestingThreshold, value: 4},
		{key: readability-function-size.StatementThreshold, value: 800},
		{key: readability-function-size.BranchThreshold, value: 800}]}" \
		$(echo "$product" | grep '\.c$') -- -std=c11 -D_GNU_SOURCE -I. -I"$b" -DPARE_VERSION='""' 2>/dev/null
}
gate_cppcheck() {
	cppcheck --quiet --std=c11 --language=c --enable=warning,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem -D_GNU_SOURCE -DPARE_VERSION='""' -I. -I"$b" core storage api server 2>&1
}
gate_clang() {
	status=0
	for f in $(echo "$sources" | grep '\.c$'); do
		clang-14 -std=c11 -D_GNU_SOURCE -I. -I"$b" -DPARE_VERSION='""' -Wall -Wextra -Wconversion -Wshadow \
			-Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror -fsyntax-only "$f" || status=1
	done
	return $status
}
gate_openapi() {
	"$node"/redocly lint --config $here/redocly.yaml openapi.yaml >"$b"/redocly.log 2>&1 || { cat "$b"/redocly.log && return 1; }
}

gates=${*:-layers banned symbols headers sizes attacks clang functions cppcheck openapi}
failed=0 total=0
for g in $gates; do
	total=$((total + 1))
	if gate_"$g"; then
		echo "lint: $g ok"
	else
		echo "lint: $g FAILED"
		failed=$((failed + 1))
	fi
done
echo "lint: $((total - failed)) of $total gates pass"
[ $failed = 0 ]
