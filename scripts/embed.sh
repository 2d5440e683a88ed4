#!/bin/sh
# Turns files into C text: `embed.sh text NAME FILE` makes one string, `embed.sh table NAME FILE...` makes rows
# {"base name without .json", "contents"}. C compilers limit one string literal to 4095 bytes on paper only; the text is
# still cut into one literal per line, so a diff of the output can be read.
set -eu
literal() {
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$1"
}
kind=$1
name=$2
shift 2
case $kind in
text)
	echo "static const char ${name}[] ="
	literal "$1"
	echo ";"
	;;
table)
	echo "static const struct { const char *name; const char *text; } ${name}_embedded[] = {"
	for f in "$@"; do
		echo "{\"$(basename "$f" .json)\","
		literal "$f"
		echo "},"
	done
	echo "{0, 0}};"
	;;
esac
