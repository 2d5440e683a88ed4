"""factorized.py PARE_CORE FILE.onnx...: numpy and ONNX Runtime as judges of what the factorize step writes. Every net is factorized by a job with
every kind of amount, as it is and after channels were taken out of it; the file must load there, and say the same as the uploaded net (or the one that a job
which only takes out the channels leaves) does with each weight replaced by the best matrix of the rank that the report names, which numpy finds; ranks,
energies and the numbers of multiplications must be what the amount asked for. One line per net; exit status 1 if one did not hold.
"""
import os
import sys
import tempfile

import numpy as np
import onnxruntime as ort

import judge

ROWS = 48
CHANNELS = {"prune": {"granularity": "channel", "criterion": "l2", "sparsity": 0.4}}
AMOUNTS = [{"rank": 4}, {"energy": 0.7}, {"ratio": 0.5}]


def fields(data):
    """Number and value of every field of a protobuf message."""
    def varint(at):
        value, shift = 0, 0
        while True:
            byte, at, shift = data[at], at + 1, shift + 7
            value |= (byte & 127) << (shift - 7)
            if byte < 128:
                return value, at

    at = 0
    while at < len(data):
        tag, at = varint(at)
        if tag & 7 == 0:
            value, at = varint(at)
        else:
            n, at = varint(at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            value, at = data[at:at + n], at + n
        yield tag >> 3, value


def weights(path):
    """The initializers of a file that hold raw floats."""
    with open(path, "rb") as f:
        graph = next(v for k, v in fields(f.read()) if k == 7)
    out = {}
    for tensor in (v for k, v in fields(graph) if k == 5):
        dims, t = [v for k, v in fields(tensor) if k == 1], dict(fields(tensor))
        if t[2] == 1 and 9 in t:
            out[t[8].decode()] = np.frombuffer(t[9], np.float32).reshape(dims)
    return out


def reference(path, replaced, inputs):
    """What the file says with other values for some of its initializers; an optimizer would fold the old ones."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    values = {name: ort.OrtValue.ortvalue_from_numpy(w) for name, w in replaced.items()}
    for name, value in values.items():
        options.add_initializer(name, value)
    s = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return s.run(None, {i.name: x for i, x in zip(s.get_inputs(), inputs)})


def best(w, factor, step):
    """The best matrix of that rank, and that the rank is the one asked for."""
    u, s, v = np.linalg.svd(w.reshape(w.shape[0], -1).astype(np.float64), full_matrices=False)
    m, n = u.shape[0], v.shape[1]
    share = np.cumsum(s ** 2) / np.sum(s ** 2)
    want = {"rank": lambda a: a, "energy": lambda a: int(np.searchsorted(share, a)) + 1, "ratio": lambda a: max(1, int(a * m * n / (m + n)))}
    (kind, amount), = step.items()
    rank = min(want[kind](amount), len(s))
    assert (factor["rows"], factor["columns"]) == (m, n), factor
    if rank * (m + n) >= m * n:
        assert factor["rank"] is None and factor["macs"] == factor["macs_final"], factor
        return w
    assert factor["rank"] == rank, f"rank {factor['rank']}, not {rank}"
    assert abs(factor["energy"] - share[rank - 1]) < 1e-6, factor
    assert factor["macs_final"] * m * n == factor["macs"] * rank * (m + n), factor
    return ((u[:, :rank] * s[:rank]) @ v[:rank]).reshape(w.shape).astype(np.float32)


def check(core, path, step, before=()):
    with tempfile.TemporaryDirectory() as d, tempfile.TemporaryDirectory() as smaller:
        x = judge.samples(path, ROWS, seed=7)
        data = {"x": x[0], "y": np.arange(ROWS) % judge.theirs(path, x)[0].shape[1]}
        out, report = judge.job(core, path, data, d, [*before, {"factorize": step}])
        whole, macs = path, report["input"]["macs"]
        if before:
            whole, alone = judge.job(core, path, data, smaller, list(before))
            macs = alone["final"]["macs"]
            assert macs < report["input"]["macs"] and report["structures"]["groups"] == alone["structures"]["groups"], alone["final"]
        factors = {f["name"]: f for f in report["factors"]}
        stored = weights(whole)
        want = {name: best(stored[name], f, step) for name, f in factors.items()}
        want = reference(whole, {name: w for name, w in want.items() if factors[name]["rank"]}, x)
        off = max(judge.difference(judge.theirs(out, x), want), judge.difference(judge.ours(out, x), want))
        assert off <= judge.TOLERANCE, f"{step}: off by {off:.1e}"
        saved = sum(f["macs"] - f["macs_final"] for f in report["factors"])
        assert saved > 0 and macs - report["final"]["macs"] == saved, report["final"]
        return off, report["input"]["macs"] / report["final"]["macs"]


def composed(w, last, first, inputs):
    """The weight that a chain of factors stands for."""
    flat = lambda a: a.reshape(a.shape[:2])
    if inputs is not None:
        return np.einsum("nr,rq...,qc->nc...", flat(last), first, flat(inputs))
    if w.ndim > 2:
        return np.einsum("nr,rc...->nc...", flat(last), first)
    return first @ last if last.shape[1] == w.shape[1] else last @ first.T


def check_tucker(core, path):
    """Three factors have no best form that numpy knows, but they must say what they multiply out to, and lose what the report says."""
    with tempfile.TemporaryDirectory() as d:
        x = judge.samples(path, ROWS, seed=7)
        data = {"x": x[0], "y": np.arange(ROWS) % judge.theirs(path, x)[0].shape[1]}
        out, report = judge.job(core, path, data, d, [{"factorize": {"ratio": 0.5, "convolutions": "tucker"}}])
        before, after, want = weights(path), weights(out), {}
        for f in (f for f in report["factors"] if f["rank"]):
            w, name = before[f["name"]], f["name"]
            c = composed(w, after[name], after[name + ".factor"], after.get(name + ".inputs"))
            kept = 1 - np.sum((w.astype(np.float64) - c) ** 2) / np.sum(w.astype(np.float64) ** 2)
            assert abs(kept - f["energy"]) < 1e-5, f"{f}: {kept}"
            assert (f["rank_inputs"] is not None) == (w.ndim > 2 and w[0, 0].size > 1 and w.shape[1] > 1), f
            want[name] = np.ascontiguousarray(c, np.float32)
        want = reference(path, want, x)
        off = max(judge.difference(judge.theirs(out, x), want), judge.difference(judge.ours(out, x), want))
        assert off <= judge.TOLERANCE, f"tucker: off by {off:.1e}"
        return off, report["input"]["macs"] / report["final"]["macs"]


def main():
    failed = 0
    for path in sys.argv[2:]:
        name = os.path.basename(path)[:-5]
        try:
            r = [check(sys.argv[1], path, step) for step in AMOUNTS]
            what = ", ".join(f"{k} {v}: {m:.2f} times" for s, (_, m) in zip(AMOUNTS, r) for k, v in s.items())
            r += [check(sys.argv[1], path, step, [CHANNELS]) for step in AMOUNTS]
            off, m = check_tucker(sys.argv[1], path)
            print(f"{name:20} off by {max(off, *(a for a, _ in r)):.1e}; {what}, in Tucker's form {m:.2f} times fewer multiplications, ratio 0.5 without 40 % of the channels {r[-1][1]:.2f}")
        except AssertionError as e:
            print(f"{name:20} FAILED: {e}")
            failed += 1
    return failed > 0 or len(sys.argv) < 3


sys.exit(main())
