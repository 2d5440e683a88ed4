"""Does ONNX Runtime load and run what pared has pruned?  judge.py BEFORE AFTER: AFTER runs for every input that BEFORE runs for, with
finite outputs of the same shape that differ (weights have gone).  judge.py --matmul MODEL WEIGHTS: MODEL computes what the two matrices in
WEIGHTS say."""
import sys

import numpy as np
import onnxruntime as ort

x = np.random.default_rng(7).standard_normal((3, 8)).astype(np.float32)
if sys.argv[1] == "--matmul":
    flat = np.fromfile(sys.argv[3], np.float32)
    want = x @ flat[:96].reshape(8, 12) @ flat[96:].reshape(12, 5)
    have = ort.InferenceSession(sys.argv[2]).run(None, {"x": x})[0]
    assert np.abs(want - have).max() < 1e-4, (want, have)
    assert 0.4 < (flat == 0).mean() < 0.6, (flat == 0).mean()
else:
    before, after = ort.InferenceSession(sys.argv[1]), ort.InferenceSession(sys.argv[2])
    for c in (True, False):
        a, b = (s.run(None, {"x": x, "c": np.array(c)})[0] for s in (before, after))
        assert a.shape == b.shape and np.isfinite(b).all() and np.abs(a - b).max() > 0.1, (a, b)
