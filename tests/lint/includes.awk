# Holds #include lines against layers.txt (quoted) and owners.txt (angle brackets).
# awk -f includes.awk layers.txt owners.txt FILE...
FNR == 1 { nfile++ }
nfile <= 2 {
	sub(/#.*/, "")
	if (match($0, /:[ \t]/) == 0)
		next
	key = substr($0, 1, RSTART - 1)
	if (nfile == 1)
		layer[key] = substr($0, RSTART + 1)
	else
		owner[key] = substr($0, RSTART + 1)
	next
}
function allowed(what, list,    n, part, i) {
	n = split(list, part, /[ \t]+/)
	for (i = 1; i <= n; i++)
		if (part[i] != "" && index(what, part[i]) == 1)
			return 1
	return 0
}
function layer_of(file,    dir) {
	dir = file
	while (sub(/\/[^\/]*$/, "", dir))
		if (dir in layer)
			return dir
	return ""
}
function bad(text) {
	printf "%s:%d: %s\n", FILENAME, FNR, text
	failed = 1
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, q, "\"")
	l = layer_of(FILENAME)
	if (l == "")
		bad("no layer in layers.txt")
	else if (!allowed(q[2], layer[l]))
		bad(l " may not include \"" q[2] "\"")
}
/^[ \t]*#[ \t]*include[ \t]*</ {
	split($0, q, /[<>]/)
	for (h in owner)
		if (index(q[2], h) == 1 && !allowed(FILENAME, owner[h]))
			bad("<" q[2] "> belongs to " owner[h])
}
END { exit failed }
