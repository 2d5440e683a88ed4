# What the parts of the benchmark share; sourced by bench/run.sh, which sets build, here, tmp, rounds, report.
#
# Programs print `name value` pairs on one line. `sample` keeps each pair's value in a file of its own, one line a round,
# so that figures are made from files: the median over the rounds of the ratio within a round.

total=0
met=0
missed=

# sample NAME COMMAND...: runs it and appends what it prints, pair by pair, to $tmp/NAME.<pair>
sample() {
	sampled=$1
	shift
	if ! "$@" >"$tmp/out" 2>"$tmp/err"; then
		tail -n 1 "$tmp/err" >"$tmp/why"
		cat "$tmp/err" >&2
		echo "bench: failed: $*" >&2
		return 1
	fi
	awk -v base="$tmp/$sampled" '/^seconds / {for (i = 1; i < NF; i += 2) {print $(i + 1) >>(base "." $i); close(base "." $i)}}' "$tmp/out"
}
median() {
	sort -g "$1" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
least() {
	sort -g "$1" | head -n 1
}
# line FIGURE VALUE TARGET WORD NOTE: on the screen and in the report
line() {
	printf '%-56s %9s %9s  %-6s %s\n' "$1" "$2" "$3" "$4" "$5"
	printf '| %s | %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" "$5" >>"$report"
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
	line "$1" "$2" "<= $3" "$word" "${4:-}"
}
# note FIGURE VALUE [NOTE]: a figure without a target
note() {
	line "$1" "$2" - - "${3:-}"
}
# lost FIGURE REASON: a figure with a target that could not be measured
lost() {
	total=$((total + 1))
	missed="$missed  $1: $2
"
	line "$1" - - MISSED "$2"
}
# section TITLE: the rows that follow belong together
section() {
	printf '\n## %s\n\n| figure | value | target | | |\n| --- | --- | --- | --- | --- |\n' "$1" >>"$report"
	printf '\n%-56s %9s %9s\n' "$1" value target
}
# beside FILE FILE: the medians and the least times of two files of seconds, for a note
beside() {
	printf '%s / %s s, least %s / %s' "$(short "$(median "$1")")" "$(short "$(median "$2")")" "$(short "$(least "$1")")" "$(short "$(least "$2")")"
}
short() {
	awk "BEGIN {printf \"%.4g\", $1}"
}
quotient() { # FILE FILE: the median over the rounds that both have run
	paste "$1" "$2" | awk 'NF == 2 {printf "%.5f\n", $1 / $2}' >"$tmp/ratio"
	median "$tmp/ratio" | awk '{printf "%.3f", $1}'
}
# ratio FIGURE A B TARGET: A's files against B's
ratio() {
	row "$1" "$(quotient "$tmp/$2" "$tmp/$3")" "$4" "$(beside "$tmp/$2" "$tmp/$3")"
}
# best NAME A B: $tmp/NAME becomes the better of two files of seconds by their medians
best() {
	if awk "BEGIN {exit !($(median "$tmp/$3") < $(median "$tmp/$2"))}"; then cp "$tmp/$3" "$tmp/$1"; else cp "$tmp/$2" "$tmp/$1"; fi
}
