"""quantized.py PARE_CORE FILE.onnx...: ONNX Runtime as a judge of what the quantize step writes. Every net is quantized in every form by a
job on random rows; the file must load there, be as small as the form promises, and say the same as our engine does: where both compute
node by node within TOLERANCE, and with ONNX Runtime's integer kernels within LOOSE, since those round elsewhere. One line per net; exit status
1 if one did not hold.
"""
import os
import sys
import tempfile

import numpy as np
import onnxruntime as ort

import judge

ROWS = 48
LOOSE = 0.02
FORMS = [  # step, bytes of a weight, integers inside
    ({}, 1, True),
    ({"per_channel": False, "range": "minmax", "reduce_range": True}, 1, True),
    ({"range": "percentile", "percentile": 0.999}, 1, True),
    ({"activations": "none"}, 1, False),
    ({"activations": "dynamic", "reduce_range": True}, 1, True),
    ({"activations": "dynamic", "per_channel": False, "reduce_range": True}, 1, True),
    ({"form": "float16"}, 2, False),
    ({"form": "bfloat16"}, 2, False),
]


def has_vnni():
    """Without it, products of 8 bits are added in pairs of 16 and saturate: what full weights give in integer kernels is then anybody's guess."""
    with open("/proc/cpuinfo", encoding="ascii") as f:
        return "vnni" in f.read()


def plain(path, inputs):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    s = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return s.run(None, {i.name: x for i, x in zip(s.get_inputs(), inputs)})


def steps_apart(a, b):
    """Share of the outputs that are not within the tolerance: a value at the middle between two steps may go either way."""
    top = max(np.abs(b[0]).max(), 1e-30)
    return float((np.abs(a[0] - b[0]) > judge.TOLERANCE * top).mean())


def check(core, path, step, width, integers):
    with tempfile.TemporaryDirectory() as d:
        x = judge.samples(path, ROWS, seed=7)
        n_classes = judge.theirs(path, x)[0].shape[1]
        out, report = judge.job(core, path, {"x": x[0], "y": np.arange(ROWS) % n_classes}, d, [{"quantize": dict(step, rows=32)}])
        q = report["quantization"]
        mine, want = judge.ours(out, x), plain(out, x)
        far = judge.difference(mine, want)
        assert far <= (LOOSE if integers else judge.TOLERANCE), f"{step}: off by {far:.1e}"
        assert not integers or steps_apart(mine, want) < 0.25, f"{step}: {steps_apart(mine, want):.0%} of the outputs are off"
        saturates = integers and not step.get("reduce_range") and not has_vnni()
        fast = judge.difference(mine, judge.theirs(out, x)) if not saturates else 0
        assert fast <= (LOOSE if integers else judge.TOLERANCE), f"{step}: off by {fast:.1e} with optimizations"
        assert q["bytes"] == os.path.getsize(out) and len(q["layers"]) > 0
        limit = {1: 0.05, 2: 0.005}[width]
        assert all(0 <= l["relative_error"] < limit for l in q["layers"]), q["layers"]
        assert judge.difference(mine, judge.theirs(path, x)) < 0.3, f"{step}: another function"
        return far, fast, q["float_bytes"] / q["bytes"]


def main():
    failed = 0
    for path in sys.argv[2:]:
        name = os.path.basename(path)[:-5]
        try:
            r = [check(sys.argv[1], path, *form) for form in FORMS]
            print(f"{name:20} off by {max(a for a, _, _ in r):.1e}, {max(b for _, b, _ in r):.1e} optimized; int8 {r[0][2]:.2f} times smaller")
        except AssertionError as e:
            print(f"{name:20} FAILED: {e}")
            failed += 1
    return failed > 0 or len(sys.argv) < 3


sys.exit(main())
