#!/usr/bin/env python3
"""Structured pruning of the nets of tests/golden/nets.py, judged by ONNX Runtime.

    python3 bench/structures.py PARE_CORE [tiny|real] [--latency] [--share=0.5] [--round=8] [--scope=global] [--per=macs] [--modern] [NAME...]

Each net is exported by PyTorch and pruned by pare-core at 30, 50 and 70 % (channels; and heads where there are any), without training:
the question is the graph, not the accuracy. "proof" is the report's largest difference between the masked and the shrunk model in the
engine; "ORT" is the largest relative difference between ONNX Runtime with and without its own graph optimisations on the shrunk file, which the
ONNX checker has passed. With --latency the original and the shrunk model run in turn, one row and one thread, the best of all runs counts;
its convolutions work on blocks of 8 or 16 channels, so widths are best rounded to those.
Needs torch, onnx, onnxruntime, numpy.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden"))
import nets  # noqa: E402

ort.set_default_logger_severity(4)


def session(path, plain=False):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def write_data(case, path, rows=48):
    arrays = {k: v.numpy() for k, v in zip(case.inputs, nets.sample_inputs(case, rows, 1))}
    np.savez(path, y=nets.sample_targets(case, rows, 1).numpy(), **arrays)


def prune(core, model, data, out, granularity, share, how):
    job = {"seed": 1, "data": {"test": 0.5, "validation": 0, "normalize": "none"},
           "recipe": {"steps": [{"prune": {"granularity": granularity, "criterion": "l2", "sparsity": share, **how}}]}}
    with open(out + ".job.json", "w") as f:
        json.dump(job, f)
    r = subprocess.run([core, "run", "--quiet", "--job", out + ".job.json", "--model", model, "--data", data, "--out", out],
                       capture_output=True, text=True)
    if r.returncode != 0:
        raise RuntimeError((r.stderr or r.stdout).strip()[-300:])
    with open(os.path.join(out, "report.json")) as f:
        return json.load(f)


def latency(paths, feed, seconds=2.0):
    """The best of interleaved runs, milliseconds of one row."""
    sessions = [session(p) for p in paths]
    best = [float("inf")] * len(paths)
    end = time.monotonic() + seconds * len(paths)
    while time.monotonic() < end:
        for i, s in enumerate(sessions):
            t = time.perf_counter()
            s.run(None, feed)
            best[i] = min(best[i], time.perf_counter() - t)
    return [1000 * b for b in best]


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    given = dict(a[2:].split("=") for a in sys.argv[1:] if a.startswith("--") and "=" in a)
    how = {"scope": given.get("scope", "layer"), "per": given.get("per", "structure"), "round_to": int(given.get("round", 1))}
    shares = [float(given["share"])] if "share" in given else [0.3, 0.5, 0.7]
    core, size = os.path.abspath(args[0]), args[1] if len(args) > 1 else "tiny"
    names = args[2:] or list(nets.NETS)
    bad = n = 0
    print(f"{'net':20}{'what':9}{'share':>6}{'parameters':>22}{'MACs':>10}{'proof':>10}{'ORT':>10}" + ("    latency ms" if "--latency" in sys.argv else ""))
    with tempfile.TemporaryDirectory() as d:
        for name in names:
            case = nets.build(name, size)
            model, data = os.path.join(d, name + ".onnx"), os.path.join(d, name + ".npz")
            nets.export(case, model, modern="--modern" in sys.argv)
            write_data(case, data)
            feed = {k: v.numpy() for k, v in zip(case.inputs, nets.sample_inputs(case, 3, 5))}
            one = {k: v.numpy() for k, v in zip(case.inputs, nets.sample_inputs(case, 1, 5))}
            for granularity in ["channel", "head"]:
                for share in shares:
                    out = os.path.join(d, f"{name}-{granularity}-{share}")
                    try:
                        r = prune(core, model, data, out, granularity, share, how)
                    except RuntimeError as e:
                        if "no heads to remove" not in str(e):
                            print(f"{name:20}{granularity:9}{share:6.0%}  fails: {e}")
                            bad += 1
                        break
                    shrunk = os.path.join(out, "model.onnx")
                    onnx.checker.check_model(onnx.load(shrunk), full_check=True)
                    # optimised and not: two implementations that must agree on a valid graph
                    a, b = session(shrunk).run(None, feed), session(shrunk, True).run(None, feed)
                    differ = max(float(np.max(np.abs(x - y) / (1 + np.abs(y)))) for x, y in zip(a, b))
                    proof = r["structures"]["proof"]
                    line = f"{name:20}{granularity:9}{share:6.0%}{r['dense']['n_params']:12d}{r['final']['n_params']:10d}{r['dense']['macs'] / max(1, r['final']['macs']):9.2f}x{proof['largest_difference']:10.1e}{differ:10.1e}"
                    if "--latency" in sys.argv:
                        before, after = latency([model, shrunk], one)
                        line += f"  {before:.3f} -> {after:.3f} ({before / after:.2f}x)"
                    print(line, flush=True)
                    n += 1
    print(f"structures: {n} models, {bad} failures")
    sys.exit(1 if bad else 0)


main()
