"""open_sizes.py PARE_CORE FILE.onnx...: ONNX Runtime as a judge of models that leave more open than the batch. Structures go out of each in two jobs of
the same recipe, whose data have rows of other sizes; nothing is learned of the data, so both products must be one model: either takes the sizes of
both, and more, and says the same, and our engine says it, too. One line per net; exit status 1 if one did not hold.
"""
import os
import sys
import tempfile

import numpy as np
import onnxruntime as ort

import judge

ROWS = 12
SIZES = (8, 13, 21)
TOLERANCE = 1e-5
ort.set_default_logger_severity(4)


def rows(i, size):
    """Of one input, with open sizes a little apart from each other."""
    rng = np.random.default_rng(size)
    shape = [ROWS] + [d if isinstance(d, int) else size + 2 * k for k, d in enumerate(i.shape[1:])]
    return rng.integers(0, 50, shape) if i.type == "tensor(int64)" else rng.standard_normal(shape).astype(np.float32)


def run(core, d, path, size, step):
    """A job on rows of that size: the product's file, and the report."""
    s = judge.session(path)
    x = rows(s.get_inputs()[0], size)
    y = s.run(None, {s.get_inputs()[0].name: x})[0]
    classes = y.argmax(1) if y.ndim != 3 else y.argmax(2)
    out = os.path.join(d, str(size))
    os.mkdir(out)
    return judge.job(core, path, {"x": x, "y": classes}, out, [{"prune": step}])


def check(core, path, step):
    with tempfile.TemporaryDirectory() as d:
        products = [run(core, d, path, size, step) for size in SIZES[:2]]
        before, sessions = judge.session(path), [judge.session(p) for p, _ in products]
        assert all(r["final"]["n_params"] < r["input"]["n_params"] for _, r in products), "nothing went"
        worst = 0
        for s in sessions:
            assert [isinstance(k, str) for k in s.get_inputs()[0].shape] == [isinstance(k, str) for k in before.get_inputs()[0].shape], s.get_inputs()[0].shape
        for size in SIZES:
            x = rows(before.get_inputs()[0], size)
            want = before.run(None, {before.get_inputs()[0].name: x})[0]
            a, b = (s.run(None, {s.get_inputs()[0].name: x})[0] for s in sessions)
            assert a.shape == b.shape == want.shape, (a.shape, b.shape, want.shape)
            worst = max(worst, float(np.abs(a - b).max()), judge.difference(judge.ours(products[0][0], [x]), [a]))
        assert worst <= TOLERANCE, f"off by {worst:.1e}"
        return worst, products[0][1]


def main():
    failed = 0
    for path in sys.argv[2:]:
        name = os.path.basename(path)[:-5]
        steps = [{"granularity": "channel", "criterion": "l2", "sparsity": 0.5}] + [{"granularity": "head", "criterion": "l2", "sparsity": 0.5}] * name.startswith(("causal", "rotary"))
        try:
            for step in steps:
                off, report = check(sys.argv[1], path, step)
                print(f"{name:16} {step['granularity']:8} {report['input']['n_params']} -> {report['final']['n_params']} parameters, off by {off:.1e}")
        except Exception as e:  # ONNX Runtime has its own kinds
            print(f"{name:16} FAILED: {e}")
            failed += 1
    return failed > 0 or len(sys.argv) < 3


sys.exit(main())
