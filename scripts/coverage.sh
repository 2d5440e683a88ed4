#!/bin/sh
# Line coverage per directory from a MODE=cover build: coverage.sh BUILD_DIR
set -eu
b=$1
find "$b/core" "$b/storage" "$b/api" "$b/server" -name '*.gcda' | while read -r f; do
	gcov -n -o "$(dirname "$f")" "$f" 2>/dev/null
done | awk '
	/^File/ { split($0, q, "\047"); file = q[2]; next }
	/^Lines executed/ && file ~ /\.c$/ && file !~ /^\// {
		split($0, p, /[:%]/); n = $NF
		if (n > lines[file]) { lines[file] = n; hit[file] = p[2] / 100 * n }
		file = ""
	}
	END {
		for (f in lines) {
			d = f; sub(/\/[^\/]*$/, "", d)
			dl[d] += lines[f]; dh[d] += hit[f]; tl += lines[f]; th += hit[f]
		}
		for (d in dl) printf "%-22s %6.1f %% of %d lines\n", d, 100 * dh[d] / dl[d], dl[d] | "sort"
		close("sort")
		if (tl) printf "%-22s %6.1f %% of %d lines\n", "all", 100 * th / tl, tl
	}'
