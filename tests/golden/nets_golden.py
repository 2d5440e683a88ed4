#!/usr/bin/env python3
"""Writes nets/NAME.onnx and nets/NAME.golden: what tests/core/golden/test_golden_nets.c compares with.

Every net of nets.py in its tiny variant, with weights of seed 1 and then all norms (scale, shift, running statistics) moved
away from ones and zeros, one batch of 5 rows of seed 3. A .golden file is an ONNX graph of initializers only:

    in:NAME          the inputs             target           as nets.loss takes it
    eval:y           output in inference mode
    eval:loss        its loss               eval:grad:NAME   the gradient of that loss by initializer NAME of the .onnx file
    train:y, train:loss, train:grad:NAME    the same in training mode: batch norms by the statistics of the batch
    stat:NAME        running mean or variance NAME after that one training step (momentum 0.1, PyTorch's convention)
    sgd, adam        losses of STEPS training steps from the same start: SGD with rate 0.1 and momentum 0.9 (DCGAN and LeNet-5 0.02), Adam with 0.005
    tol:y, tol:grad, tol:sgd, tol:adam      how far PyTorch's own float32 run is from float64 (see below), relative

All numbers are PyTorch's in float64 on the float32 weights, so they share no rounding with what is tested. The tolerance of
the test is 8 times PyTorch's own float32 error, and at least 2e-6: both runs round differently in every operation, and
neither is better. Errors of tensors are relative to their largest element, or to a thousandth of the largest of all gradients
(some gradients, as of an attention's key bias, are zero but for rounding).

    python3 tests/golden/nets_golden.py [NAME...]        (PyTorch 2.15.0, onnx 1.23.2 wrote the files that are kept)
"""
import os
import sys

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

import nets

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nets")
BATCH, STEPS = 5, 10
NORMS = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm)
# The torch.export way writes these differently enough to be a case of its own.
MODERN = ("lstm", "gru", "vit", "bert")


def build(name):
    case = nets.build(name, "tiny")
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for m in case.module.modules():
            if isinstance(m, NORMS):
                m.weight.add_(torch.randn(m.weight.shape, generator=g), alpha=0.2)
                m.bias.add_(torch.randn(m.bias.shape, generator=g), alpha=0.2)
            if isinstance(m, NORMS[0]):
                m.running_mean.add_(torch.randn(m.bias.shape, generator=g), alpha=0.2)
                m.running_var.copy_(0.5 + torch.rand(m.bias.shape, generator=g))
    return case


def samples(case, dtype):
    x = [t.to(dtype) if t.is_floating_point() else t for t in nets.sample_inputs(case, BATCH, 3)]
    t = nets.sample_targets(case, BATCH, 3)
    return x, t.to(dtype) if t.is_floating_point() else t


def one_step(name, dtype, training):
    case = build(name)
    case.module.to(dtype).train(training)
    x, t = samples(case, dtype)
    y = case.module(*x)
    loss = nets.loss(case, y, t)
    loss.backward()
    return case.module, y.detach(), loss.item()


def losses(name, dtype, make):
    case = build(name)
    case.module.to(dtype).train()
    x, t = samples(case, dtype)
    optimizer, out = make(name, case.module.parameters()), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nets.loss(case, case.module(*x), t)
        loss.backward()
        optimizer.step()
        out.append(loss.item())
    return np.array(out)


def sgd(name, p):
    return torch.optim.SGD(p, lr=0.02 if name.startswith(("dcgan", "lenet5")) else 0.1, momentum=0.9)


def adam(_, p):
    return torch.optim.Adam(p, lr=0.005)


# ---- which initializer of the file is which parameter, and with which axes

def gates(a, order):
    return np.concatenate([np.split(a, len(order))[i] for i in order])


def recurrent(module, prefix, of):
    """W, R and B of every layer of an LSTM or GRU as ONNX stacks them; of(name) gives a parameter or its gradient."""
    order = [0, 3, 1, 2] if module.mode == "LSTM" else [1, 0, 2]
    for layer in range(module.num_layers):
        tails = ["_l%d%s" % (layer, r) for r in ([""] + ["_reverse"] * module.bidirectional)]
        part = {k: [gates(of(prefix + k + t), order) for t in tails] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        yield np.stack(part["weight_ih"])
        yield np.stack(part["weight_hh"])
        yield np.stack([np.concatenate(b) for b in zip(part["bias_ih"], part["bias_hh"])])


def tensors(module, of):
    """(name or None, array) for everything that an initializer may be; of(name) gives the array of a parameter."""
    for name, p in module.named_parameters():
        yield name, of(name)
        if p.dim() == 2:
            yield None, of(name).T
            yield None, of(name)[None]  # an embedding of all positions in order, looked up by the exporter
    for prefix, m in module.named_modules():
        if isinstance(m, torch.nn.RNNBase):
            yield from ((None, a) for a in recurrent(m, prefix + "." if prefix else "", of))


def gradients(module, model):
    """initializer name -> gradient. Initializers are known by name, or else by their values; none may be left over."""
    values = dict(module.named_parameters())
    weights = list(tensors(module, lambda n: values[n].detach().float().numpy()))
    grads = list(tensors(module, lambda n: values[n].grad.numpy()))
    out = {}
    for init in model.graph.initializer:
        a = numpy_helper.to_array(init)
        found = [g for (n, w), (_, g) in zip(weights, grads) if n == init.name or (n is None and w.shape == a.shape and (w == a).all())]
        found += [g for (n, w), (_, g) in zip(weights, grads) if w.shape == a.shape and (w == a).all()] if not found else []
        if found:
            out[init.name] = np.ascontiguousarray(found[0])
    total = sum(p.numel() for p in module.parameters())
    assert sum(g.size for g in out.values()) == total, "%d of %d elements found" % (sum(g.size for g in out.values()), total)
    return out


def relative(a, b, floor=0.0):
    return float(np.abs(a - b).max() / max(np.abs(b).max(), floor))


def case(name, modern):
    path = os.path.join(HERE, name + ("_modern" if modern else ""))
    nets.export(build(name), path + ".onnx", opset=18 if modern else 17, modern=modern, keep_norms=not modern)
    model = onnx.load(path + ".onnx")
    x, t = samples(build(name), torch.float32)
    data = {"in:" + n: v.numpy() for n, v in zip(build(name).inputs, x)}
    data["target"] = t.numpy()
    tol = {"y": 0.0, "grad": 0.0}
    for mode in ("eval", "train"):
        module, y, loss = one_step(name, torch.float64, mode == "train")
        module32, y32, _ = one_step(name, torch.float32, mode == "train")
        grads, grads32 = gradients(module, model), gradients(module32, model)
        floor = 1e-3 * max(np.abs(g).max() for g in grads.values())
        data[mode + ":y"] = y.numpy()
        data[mode + ":loss"] = np.array(loss)
        data.update({"%s:grad:%s" % (mode, n): g for n, g in grads.items()})
        tol["y"] = max(tol["y"], relative(y32.numpy(), y.numpy()))
        tol["grad"] = max(tol["grad"], max(relative(grads32[n], g, floor) for n, g in grads.items()))
    data.update({"stat:" + n: b.numpy() for n, b in module.named_buffers() if n.rpartition(".")[2] in ("running_mean", "running_var")})
    for make in (sgd, adam):
        data[make.__name__] = losses(name, torch.float64, make)
        tol[make.__name__] = relative(losses(name, torch.float32, make), data[make.__name__])
    data.update({"tol:" + n: np.array(v) for n, v in tol.items()})
    inits = [numpy_helper.from_array(a.astype(np.float32) if a.dtype == np.float64 else a, n) for n, a in data.items()]
    graph = helper.make_graph([], "golden", [], [], inits)
    with open(path + ".golden", "wb") as f:
        f.write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    print("%-20s %7d + %7d bytes  " % (name + ("_modern" if modern else ""), os.path.getsize(path + ".onnx"), os.path.getsize(path + ".golden")),
          "  ".join("%s %.1e" % kv for kv in tol.items()), "  losses %.3f .. sgd %.3f, adam %.3f" % (data["sgd"][0], data["sgd"][-1], data["adam"][-1]))


def main():
    os.makedirs(HERE, exist_ok=True)
    for name in sys.argv[1:] or nets.NETS:
        case(name, False)
        if name in MODERN:
            case(name, True)


if __name__ == "__main__":
    main()
