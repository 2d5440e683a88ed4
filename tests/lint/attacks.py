"""tests/ATTACKS.md names tests that there are."""
import os
import re
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
wrong = rows = 0
for line in open(os.path.join(TESTS, "ATTACKS.md")):
    cells = line.split("|")
    if len(cells) != 4 or cells[1].strip() in ("attack", "---"):
        continue
    rows += 1
    for part in cells[2].split(";"):
        files, _, names = part.partition(":")
        files = [f.split("(")[0].strip() for f in files.split(",")]
        text = ""
        for f in files:
            path = os.path.join(TESTS, f if "/" in f else os.path.join(os.path.dirname(files[0]), f))
            if os.path.exists(path):
                text += open(path).read()
            else:
                wrong += 1
                print(f"tests/ATTACKS.md: there is no {f}")
        for name in re.findall(r"[a-z_0-9]+", names.split("(")[0]):
            if not re.search(rf"\b{name}\b", text):
                wrong += 1
                print(f"tests/ATTACKS.md: there is no {name} in {', '.join(files)}")
sys.exit(wrong > 0 or rows == 0)
