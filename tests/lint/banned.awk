# Calls that a layer may not make. awk -f banned.awk banned.txt FILE...
# core/base/mem.c owns the C library's allocator; core/job/main.c is a program and may print and exit.
FNR == 1 && NR == FNR { table = 1 }
FNR == 1 && NR != FNR { table = 0 }
FNR == 1 { comment = 0 }
table {
	sub(/#.*/, "")
	if (split($0, kv, /:[ \t]+/) == 2)
		where[kv[1]] = " " kv[2] " "
	next
}
{
	line = $0
	gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
	gsub(/\/\*.*\*\//, "", line)
	if (comment) {
		if (line !~ /\*\//)
			next
		sub(/.*\*\//, "", line)
		comment = 0
	}
	if (line ~ /\/\*/) {
		sub(/\/\*.*/, "", line)
		comment = 1
	}
	if (FILENAME != name) {
		name = FILENAME
		split(name, d, "/")
		any = ""
		for (c in where)
			if (index(where[c], " " d[1] " ") != 0)
				any = any (any == "" ? "" : "|") c
		any = "(^|[^A-Za-z0-9_.>])(" any ")[ \t]*\\("
	}
	if (line !~ any)
		next
	for (c in where) {
		if (index(where[c], " " d[1] " ") == 0)
			continue
		if (line !~ ("(^|[^A-Za-z0-9_.>])" c "[ \t]*\\("))
			continue
		if (FILENAME == "core/base/mem.c" && c ~ /^(malloc|calloc|realloc|free)$/)
			continue
		if (FILENAME ~ /^core\/job\/(main|cli)[a-z_]*\.c$/ && c ~ /^(printf|exit|getenv)$/)
			continue
		printf "%s:%d: call of %s\n", FILENAME, FNR, c
		failed = 1
	}
}
END { exit failed }
