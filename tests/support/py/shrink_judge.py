#!/usr/bin/env python3
"""ONNX Runtime's word on pairs of models: DIR/<n>.masked.onnx and DIR/<n>.shrunk.onnx must compute the same, and the second
must pass the checker.

    PARED_SHRINK_OUT=DIR build/release/tests/core/prune/test_shrink_random && python3 tests/support/py/shrink_judge.py DIR [EVERY]
"""
import glob
import os
import sys

import numpy as np
import onnxruntime as ort

try:
    import onnx
except ImportError:
    onnx = None

ort.set_default_logger_severity(4)


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session):
    """In the first size for what is open (and the batch) that the model takes: some have a number that fits one only."""
    for size in (3, 4, 5, 8):
        rng = np.random.default_rng(1)
        feed = {i.name: rng.standard_normal([size if not isinstance(d, int) else d for d in i.shape], dtype=np.float32) for i in session.get_inputs()}
        try:
            return feed, session.run(None, feed)
        except Exception:
            if size == 8:
                raise


def judge(masked, shrunk):
    a, b = session(masked), session(shrunk)
    feed, want = run(a)
    if onnx is not None:
        onnx.checker.check_model(onnx.load(shrunk), full_check=True)
    worst = 0.0
    for x, y in zip(want, b.run(None, feed)):
        assert x.shape == y.shape, (x.shape, y.shape)
        worst = max(worst, float(np.max(np.abs(x - y) / (1 + np.abs(x)))))
    return worst


def main():
    pairs = sorted(glob.glob(os.path.join(sys.argv[1], "*.masked.onnx")))
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    n = bad = 0
    worst = 0.0
    for masked in pairs[::every]:
        shrunk = masked.replace(".masked.", ".shrunk.")
        try:
            d = judge(masked, shrunk)
        except Exception as e:
            print(os.path.basename(masked), "fails:", str(e).replace("\n", " ")[:300])
            bad += 1
            continue
        n += 1
        worst = max(worst, d)
        if not d <= 1e-4:
            print(os.path.basename(masked), "differs by", d)
            bad += 1
    print(f"judged {n} pairs: largest relative difference {worst:.3g}, {bad} bad")
    sys.exit(1 if bad or not n else 0)


main()
