"""What the judges here share: our engine (run_model) and ONNX Runtime on the same inputs, and how far they are apart.

RUN_MODEL names the program; without it, build/release/tests/judge/run_model of this source tree.
"""
import json
import os
import subprocess
import tempfile

import numpy as np
import onnxruntime as ort

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN_MODEL = os.environ.get("RUN_MODEL", os.path.join(TREE, "build/release/tests/judge/run_model"))
TOLERANCE = 1e-4


class Refused(Exception):
    """The engine does not execute this model, and says why."""


def encode(tensors):
    return b"".join(" ".join(map(str, t.shape)).encode() + b"\n" + np.ascontiguousarray(t, np.float32).tobytes() for t in tensors)


def decode(data):
    out, at = [], 0
    while at < len(data):
        end = data.index(b"\n", at)
        shape = [int(d) for d in data[at:end].split()]
        n = int(np.prod(shape))
        out.append(np.frombuffer(data, np.float32, n, end + 1).reshape(shape))
        at = end + 1 + 4 * n
    return out


def ours(path, inputs, *options):
    """Outputs of the engine for a list of arrays; [] for no inputs."""
    p = subprocess.run([RUN_MODEL, *options, path], input=encode(inputs), capture_output=True)
    if p.returncode == 3:
        raise Refused(p.stderr.decode().strip())
    if p.returncode != 0:
        raise AssertionError(f"run_model {' '.join(options)} {path}: exit {p.returncode}: {p.stderr.decode().strip()}")
    return decode(p.stdout)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def theirs(path, inputs):
    s = session(path)
    return s.run(None, {i.name: x for i, x in zip(s.get_inputs(), inputs)})


def job(core, path, data, out, steps):
    """Runs a job of these steps on rows (arrays by name) as they are: the product's file, and the report. out: an empty directory."""
    np.savez(os.path.join(out, "data.npz"), **data)
    with open(os.path.join(out, "job.json"), "w") as f:
        json.dump({"seed": 1, "recipe": {"steps": steps}, "data": {"normalize": "none"}}, f)
    p = subprocess.run([core, "run", "--job", os.path.join(out, "job.json"), "--model", path, "--data", os.path.join(out, "data.npz"), "--out", out, "--quiet"],
                       capture_output=True)
    assert p.returncode == 0, p.stderr.decode()
    with open(os.path.join(out, "report.json")) as f:
        return os.path.join(out, "model.onnx"), json.load(f)


def difference(a, b, floor=1e-30):
    """Largest difference over the largest element of an output (or floor, if that is more), over all outputs."""
    assert len(a) == len(b), f"{len(a)} outputs, not {len(b)}"
    worst = 0.0
    for x, y in zip(a, b):
        assert x.shape == y.shape, f"shape {x.shape}, not {y.shape}"
        y = np.asarray(y, np.float64)
        assert np.isfinite(y).all(), "ONNX Runtime's output is not finite"
        worst = max(worst, float(np.abs(x - y).max(initial=0) / max(np.abs(y).max(initial=0), floor)))
    return worst


def samples(path, rows, seed, shapes=None, ints=2, scale=1.0):
    """Random inputs for a model: rows of whatever its first dimension is (or the one row that it states); shapes gives, by input, the whole
    shape where more than the first dimension is open."""
    rng = np.random.default_rng(seed)
    out = []
    for i in session(path).get_inputs():
        shape = list((shapes or {}).get(i.name, i.shape))
        if not (shapes or {}).get(i.name) and shape and not isinstance(shape[0], int):
            shape[0] = rows
        assert all(isinstance(d, int) for d in shape), f"input {i.name} is {shape}: say its shape"
        if i.type == "tensor(float)":
            out.append((scale * rng.standard_normal(shape)).astype(np.float32))
        else:
            kind = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}[i.type]
            out.append(rng.integers(0, ints, shape).astype(kind))
    return out


def check(name, path, inputs, options=()):
    """Both engines on a model, on what our writer makes of it, and on it with half of its weights gone. Returns the two largest differences
    and, for the pruned file, that of both engines on it."""
    with tempfile.TemporaryDirectory() as d:
        again, pruned = os.path.join(d, "again.onnx"), os.path.join(d, "pruned.onnx")
        want = theirs(path, inputs)
        before = difference(ours(path, inputs, *options, "--write", again), want)
        after = difference(theirs(again, inputs), want)
        after = max(after, difference(ours(again, inputs, *options), want))
        assert before <= TOLERANCE and after <= TOLERANCE, f"{name}: off by {before:.1e}, and {after:.1e} after writing"
        ours(path, inputs, *options, "--prune", "0.5", "--write", pruned)
        # A net that nobody retrained may answer with next to nothing, of which a sigmoid has no more than 1e-7 right.
        cut = difference(ours(pruned, inputs, *options), theirs(pruned, inputs), floor=0.01)
        assert cut <= TOLERANCE, f"{name}: off by {cut:.1e} with half of its weights"
        return before, after, cut
