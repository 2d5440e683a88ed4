"""nets.py FILE.onnx...: ONNX Runtime as a judge of whole nets. Each file must give the same outputs here and there, within 1e-4 of the
largest: as it is (with one thread, with two, in batches), as our writer writes it, with half of its weights pruned, and after a
training step of ours. Prints a line per net and how many held; exit status 1 if one did not.
"""
import os
import sys
import tempfile

import judge

ROWS = 5


def step(path, inputs):
    """A training step and an export: both engines on the result, which must have moved."""
    with tempfile.TemporaryDirectory() as d:
        trained = os.path.join(d, "trained.onnx")
        before = judge.ours(path, inputs)
        judge.ours(path, inputs, "--threads", "2", "--step", "--write", trained)
        want = judge.theirs(trained, inputs)
        off = judge.difference(judge.ours(trained, inputs), want)
        assert off <= judge.TOLERANCE, f"off by {off:.1e} after a training step"
        assert judge.difference(before, want) > 1e-3, "a training step changed nothing"
        return off


def main():
    failed = 0
    for path in sys.argv[1:]:
        name = os.path.basename(path)[:-5]
        try:
            inputs = judge.samples(path, ROWS, seed=3)
            results = judge.check(name, path, inputs)
            results += judge.check(name, path, inputs, ("--threads", "2", "--batch", "3"))
            print(f"{name:20} off by {max(results):.1e} as it is, written, pruned; {step(path, inputs):.1e} after a training step")
        except (AssertionError, judge.Refused) as e:
            print(f"{name:20} FAILED: {e}")
            failed += 1
    print(f"{len(sys.argv) - 1 - failed} passed, {failed} failed")
    return failed > 0 or len(sys.argv) == 1


sys.exit(main())
