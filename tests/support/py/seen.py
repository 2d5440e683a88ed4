"""Which answers of which operations a run of the tests has seen: lines "METHOD TARGET STATUS" in the file that PARED_SEEN names.

tests/api/harness.h writes the same lines. As a program it compares them with the document:

    seen.py OPENAPI_YAML FILE

prints what is documented and was not seen, and last `seen: N of M documented answers`, without the excused; exits with 1 if one is missing.
"""
import os
import re
import sys

PATH = os.environ.get("PARED_SEEN")
# Answers that a test cannot bring about, and why.
EXCUSED = {
    ("POST", "/v1/admin/backup", "500"): "takes a disk that fails while a database is copied; a store in memory makes no backup",
    ("POST", "/v1/admin/backup", "507"): "takes a disk that fills up while a database is copied",
}


def note(method, target, status):
    if PATH:
        with open(PATH, "a", encoding="utf-8") as f:
            f.write(f"{method} {target.split('?')[0]} {status}\n")


def compare(document, path):
    import yaml
    with open(document, encoding="utf-8") as f:
        doc = yaml.safe_load(f)
    operations = []
    for template, methods in doc["paths"].items():
        pattern = re.compile("^" + re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template)) + "$")
        operations += [(verb.upper(), template, pattern, op) for verb, op in methods.items() if "responses" in op]
    operations.sort(key=lambda o: o[1].count("{"))  # what is written out goes first
    seen = set()
    with open(path, encoding="utf-8", errors="replace") as f:
        lines = set(f.read().splitlines())
    for line in lines:
        parts = line.split(" ")
        if len(parts) != 3:
            continue
        method = "GET" if parts[0] == "HEAD" else parts[0]
        found = next((o for o in operations if o[0] == method and o[2].match(parts[1])), None)
        if found:
            seen.add((found[0], found[1], parts[2]))
    documented = {(verb, template, status) for verb, template, _, op in operations for status in op["responses"]} - set(EXCUSED)
    missing = sorted(documented - seen, key=lambda m: (m[1], m[0], m[2]))
    last = None
    for verb, template, status in missing:
        if (verb, template) != last:
            print(f"{'' if last is None else chr(10)}not seen: {verb} {template}:", end="")
        last = (verb, template)
        print(f" {status}", end="")
    if missing:
        print()
    print(f"seen: {len(documented) - len(missing)} of {len(documented)} documented answers")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(compare(sys.argv[1], sys.argv[2]))
