"""Writes tests/golden/branches/*.onnx and *.f32: models with nodes If, as PyTorch's exporter writes them for what it cannot tell while it traces ("normed"; "open": the last
two axes of its input are open), and written by hand.

A .f32 file holds the input of four rows, then the first output, as ONNX Runtime computes it, as float32. Of the models in STAY the condition
depends on data, on the number of rows or on a size that is open, or the branch has a choice of its own: they have no .f32. Made with PyTorch 2.15.0, onnx 1.23.2,
ONNX Runtime 1.32.0, seed 0; compared within 1e-5.   python3 tests/golden/branches.py
"""
import os
import warnings

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import torch
import torch.nn as nn

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "branches")
HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[N, 3, 5] x) => (float[N, 4] y) '
MODELS = {
    # both branches and the graph have names in common; the taken one has a weight
    "clash": HEAD + """<int64[1] axis = {1}, int64[1] three = {3}, float[5, 4] m = {%s}> {
        h = ReduceMean <axes = [1], keepdims = 0> (x)  n = Shape (x)  size = Gather (n, axis)  c = Equal (size, three)
        a, b, d = If (c) <then_branch = t () => (float[N, 4] h1, float[N, 4] h2, float[N, 5] i) <float[5, 4] w = {%s}> { i = Identity (h)  u = MatMul (i, w)  h1 = Relu (u)  h2 = Tanh (h1) },
                          else_branch = e () => (float[N, 4] h1, float[N, 4] h2, float[N, 5] i) { i = Identity (h)  u = MatMul (h, m)  h1 = Neg (u)  h2 = Identity (u) }>
        u = MatMul (d, m)  r = If (c) <then_branch = t2 () => (float[N, 4] w2) { w = Mul (u, u)  w2 = Add (w, a) }, else_branch = e2 () => (float[N, 4] w2) { w2 = Identity (u) }>
        s = Sub (r, b)  y = Tanh (s) }""" % (", ".join(f"{(7 * i % 11 - 5) / 10}" for i in range(20)), ", ".join(f"{(5 * i % 13 - 6) / 10}" for i in range(20))),
    # a constant decides; nobody wants the second output
    "constant": HEAD + """<bool[1] c = {0}, float[5, 4] m = {%s}> {
        h = ReduceMean <axes = [1], keepdims = 0> (x)
        y, z = If (c) <then_branch = t () => (float[N, 4] p, float[N, 4] q) { p = MatMul (h, m)  q = Neg (p) },
                       else_branch = e () => (float[N, 4] p, float[N, 4] q) { q = MatMul (h, m)  p = Sigmoid (q) }> }""" % ", ".join(f"{(7 * i % 11 - 5) / 10}" for i in range(20)),
}
# Which size decides, and the value it is compared with
CHOICE = """<int64[1] axis = {%d}, int64[1] other = {%d}, float[5, 4] m = {%s}> {
        h = ReduceMean <axes = [1], keepdims = 0> (x)  n = Shape (x)  size = Gather (n, axis)  c = Equal (size, other)
        y = If (c) <then_branch = t () => (float[N, 4] p) { p = MatMul (h, m) }, else_branch = e () => (float[N, 4] p) { q = MatMul (h, m)  p = Neg (q) }> }"""
NUMBERS = ", ".join(["0.5"] * 20)
STAY = {
    "rows": HEAD + CHOICE % (0, 1, NUMBERS),
    "length": HEAD.replace("N, 3, 5", "N, T, 5") + CHOICE % (1, 1, NUMBERS),
    # numbers that nobody would think of trying
    "rows_of_37": HEAD + CHOICE % (0, 37, NUMBERS),
    "length_37": HEAD.replace("N, 3, 5", "N, T, 5") + CHOICE % (1, 37, NUMBERS),
    "length_behind": HEAD.replace("N, 3, 5", "N, T, 5") + CHOICE.replace("c = Equal (size, other)", "e = Equal (size, other)  d = Identity (e)  c = Not (d)") % (1, 37, NUMBERS),
    # the size of a tensor follows from a comparison
    "length_cut": HEAD.replace("N, 3, 5", "N, T, 5") + """<int64[1] axis = {1}, int64[1] other = {37}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, float[5, 4] m = {%s}> {
        h = ReduceMean <axes = [1], keepdims = 0> (x)  n = Shape (x)  size = Gather (n, axis)  e = Equal (size, other)  k = Where (e, one, two)  part = Slice (h, zero, k, one)
        q0 = Shape (part)  q = Gather (q0, axis)  c = Equal (q, two)
        y = If (c) <then_branch = t () => (float[N, 4] p) { p = MatMul (h, m) }, else_branch = e2 () => (float[N, 4] p) { q1 = MatMul (h, m)  p = Neg (q1) }> }""" % NUMBERS,
    "data": HEAD + """<float[1] zero = {0}, float[5, 4] m = {%s}> {
        h = ReduceMean <axes = [1], keepdims = 0> (x)  s = ReduceSum <keepdims = 0> (x)  c = Greater (s, zero)
        y = If (c) <then_branch = t () => (float[N, 4] p) { p = MatMul (h, m) }, else_branch = e () => (float[N, 4] p) { q = MatMul (h, m)  p = Neg (q) }> }""" % NUMBERS,
    "nested": HEAD + """<bool[1] yes = {1}, float[5, 4] m = {%s}> {
        h = ReduceMean <axes = [1], keepdims = 0> (x)  s = ReduceSum <keepdims = 0> (x)  c = Cast <to = 9> (s)
        y = If (yes) <then_branch = t () => (float[N, 4] p) { p = If (c) <then_branch = t2 () => (float[N, 4] v) { v = MatMul (h, m) },
                                                                          else_branch = e2 () => (float[N, 4] v) { v = MatMul (h, m) }> },
                      else_branch = e () => (float[N, 4] p) { p = MatMul (h, m) }> }""" % NUMBERS,
}


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n, self.b, self.l = nn.Conv2d(2, 6, 3), nn.LocalResponseNorm(3), nn.Conv2d(6, 4, 2), nn.Linear(4, 2)

    def forward(self, x):
        h = self.b(self.n(torch.tanh(self.a(x))))
        return self.l(self.n(torch.tanh(h)).mean((2, 3)))


class Open(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.l = nn.Conv2d(2, 6, 3), nn.Linear(6, 2)

    def forward(self, x):
        h = torch.tanh(self.a(x))
        return self.l(h.reshape(h.size(0), 1, 6, -1).squeeze(1).mean(2))


NETS = {"normed": (Normed, (2, 5, 5), {}), "open": (Open, (2, 5, 6), {2: "h", 3: "w"})}


def export(name):
    make, shape, axes = NETS[name]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(make().eval(), torch.zeros(2, *shape), f"{OUT}/{name}.onnx", input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n", **axes}, "y": {0: "n"}},
                          opset_version=17, dynamo=False)
    model = onnx.load(f"{OUT}/{name}.onnx")
    for node in model.graph.node:
        node.doc_string = ""
    return model, shape


def main():
    os.makedirs(OUT, exist_ok=True)
    models = {name: (onnx.parser.parse_model(text), (3, 5)) for name, text in {**MODELS, **STAY}.items()}
    for name, (model, shape) in {**models, **{name: export(name) for name in NETS}}.items():
        onnx.checker.check_model(model)
        onnx.save(model, f"{OUT}/{name}.onnx")
        assert any(n.op_type == "If" for n in model.graph.node), name
        if name in STAY:
            continue
        x = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
        y = ort.InferenceSession(f"{OUT}/{name}.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        np.concatenate([x.ravel(), y.ravel()]).tofile(f"{OUT}/{name}.f32")


main()
