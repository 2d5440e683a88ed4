#!/usr/bin/env python3
"""Writes tests/golden/attention/*.onnx: nets with ONNX's Attention and RotaryEmbedding (opset 23), and *.f32 beside each: 4 rows, then what
onnx's reference implementation makes of them; ONNX Runtime agrees where it runs the file. Floats in host order, tolerance 1e-5.

Made with onnx 1.23.2, ONNX Runtime 1.32.0, PyTorch 2.15.0 (causal_torch.onnx is its exporter's).

    pip install torch onnx onnxscript onnxruntime && python3 attention.py DIR
"""
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto as T, helper as h, numpy_helper, reference

rng = np.random.RandomState(23)
STEPS, WIDTH, ROWS, OUT = 6, 16, 4, 5
HALF_CACHE = rng.uniform(-1, 1, (STEPS + 3, 2)).astype("f")


def net(heads=4, kv=4, joined=True, rotary=None, mask=None, computed=False, **attrs):
    """q, k and v of a sequence, Attention, one layer more."""
    d, nodes, inits = WIDTH // heads, [], {}
    infos = []

    def info(name, dtype, dims):
        infos.append(h.make_tensor_value_info(name, dtype, dims))

    for n, k in (("q", heads), ("k", kv), ("v", kv)):
        inits["w" + n] = rng.uniform(-0.6, 0.6, (WIDTH, k * d)).astype("f")
        nodes.append(h.make_node("MatMul", ["x", "w" + n], [n]))
        info(n, T.FLOAT, ["n", STEPS, k * d])
    names = ["q", "k", "v"]
    if not joined:
        for n, k in zip(names, (heads, kv, kv)):
            inits["s" + n] = np.array([0, STEPS, k, d])
            nodes += [h.make_node("Reshape", [n, "s" + n], [n + "r"]), h.make_node("Transpose", [n + "r"], [n + "t"], perm=[0, 2, 1, 3])]
            info(n + "t", T.FLOAT, ["n", k, STEPS, d])
        names = ["qt", "kt", "vt"]
    if rotary is not None:
        inits.update(cos=np.cos(HALF_CACHE), sin=np.sin(HALF_CACHE), steps=rng.permutation(STEPS + 3)[:STEPS][None], first=np.array([0]), one=np.array([1]), six=np.array([STEPS]))
        nodes += [h.make_node("Shape", ["x"], ["shape"]), h.make_node("Gather", ["shape", "first"], ["batch"]), h.make_node("Concat", ["batch", "six"], ["to"], axis=0),
                  h.make_node("Expand", ["steps", "to"], ["ids"])]
        for i, k in ((0, heads), (1, kv)):
            a = dict(rotary, num_heads=k) if joined else rotary
            nodes.append(h.make_node("RotaryEmbedding", [names[i], "cos", "sin", "ids"], [names[i] + "e"], **a))
            info(names[i] + "e", T.FLOAT, ["n", STEPS, k * d] if joined else ["n", k, STEPS, d])
            names[i] += "e"
    if mask is not None:
        inits["mask"] = mask
        names.append("mask")
    if computed:
        inits["less"] = np.float32(1)
        nodes.append(h.make_node("Sub", ["mask", "less"], ["lower"]))
        info("lower", T.FLOAT, mask.shape)
        names[3] = "lower"
    if joined:
        attrs.update(q_num_heads=heads, kv_num_heads=kv)
    nodes.append(h.make_node("Attention", names, ["a"], **attrs))
    last = "a"
    if not joined:
        inits["flat"] = np.array([0, STEPS, WIDTH])
        nodes += [h.make_node("Transpose", ["a"], ["at"], perm=[0, 2, 1, 3]), h.make_node("Reshape", ["at", "flat"], ["af"])]
        last = "af"
    inits["wo"] = rng.uniform(-0.6, 0.6, (WIDTH, OUT)).astype("f")
    nodes.append(h.make_node("MatMul", [last, "wo"], ["y"]))
    g = h.make_graph(nodes, "attention", [h.make_tensor_value_info("x", T.FLOAT, ["n", STEPS, WIDTH])], [h.make_tensor_value_info("y", T.FLOAT, ["n", STEPS, OUT])],
                     [numpy_helper.from_array(v, k) for k, v in inits.items()], value_info=infos)
    m = h.make_model(g, opset_imports=[h.make_opsetid("", 23)], ir_version=11)
    onnx.checker.check_model(m, full_check=True)
    return m


class Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, OUT)

    def forward(self, x):
        q, k, v = (t.view(x.shape[0], STEPS, 4, 4).transpose(1, 2) for t in self.qkv(x).split(WIDTH, dim=2))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(x.shape[0], STEPS, WIDTH))


def from_torch():
    torch.manual_seed(23)
    m = torch.onnx.export(Torch(), (torch.randn(2, STEPS, WIDTH),), dynamo=True, opset_version=23, dynamic_shapes=({0: torch.export.Dim("n")},)).model_proto
    for part in (m, m.graph, *m.graph.node, *m.graph.value_info, *m.graph.initializer, *m.graph.input, *m.graph.output):
        del part.metadata_props[:]  # stack traces with the paths of whoever ran this
    return m


truth = rng.uniform(size=(STEPS, STEPS)) > 0.4
truth[:, 0] = True
none = truth.copy()
none[2] = False  # a query without a key
bias = rng.uniform(-2, 2, (1, 4, STEPS, STEPS)).astype("f")
forbidden = np.where(none, bias, -np.inf).astype("f")  # no key for query 2; with is_causal, none for query 0 either
forbidden[:, :, 0, 0] = -np.inf
NETS = {
    "joined": lambda: net(),
    "apart": lambda: net(joined=False),
    "causal": lambda: net(is_causal=1),
    "scale": lambda: net(scale=0.25),
    "cap": lambda: net(softcap=0.7, joined=False),
    "groups": lambda: net(kv=2),
    "groups_apart": lambda: net(kv=2, joined=False, is_causal=1),
    "bias": lambda: net(mask=bias),
    "bias_causal": lambda: net(mask=bias, is_causal=1),
    "truth": lambda: net(mask=truth),
    "truth_causal": lambda: net(mask=truth, is_causal=1),
    "truth_none": lambda: net(mask=none),
    "rotary": lambda: net(rotary={}),
    "rotary_apart": lambda: net(rotary={}, joined=False),
    "rotary_interleaved": lambda: net(rotary={"interleaved": 1}),
    "rotary_part": lambda: net(rotary={"rotary_embedding_dim": 4}, heads=2, kv=2),
    "rotary_part_apart": lambda: net(rotary={"rotary_embedding_dim": 4, "interleaved": 1}, heads=2, kv=2, joined=False),
    "causal_torch": from_torch,
    "bias_none": lambda: net(mask=forbidden),
    "bias_none_causal": lambda: net(mask=forbidden, is_causal=1, joined=False),
    "bias_none_computed": lambda: net(mask=forbidden, computed=True),
}

for name, make in NETS.items():
    m, x = make(), rng.randn(ROWS, STEPS, WIDTH).astype("f")
    y = reference.ReferenceEvaluator(m).run(None, {m.graph.input[0].name: x})[0]
    path = f"{sys.argv[1]}/{name}"
    onnx.save(m, path + ".onnx")
    try:
        s = onnxruntime.InferenceSession(path + ".onnx")
        d = np.abs(s.run(None, {s.get_inputs()[0].name: x})[0] - y).max()
        print(f"{name}: ONNX Runtime differs by {d:.1e}")
    except Exception as e:
        print(f"{name}: ONNX Runtime does not run it: {str(e)[:120]}")
    np.concatenate([x.ravel(), y.ravel()]).astype("f").tofile(path + ".f32")
