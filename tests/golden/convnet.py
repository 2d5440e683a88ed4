#!/usr/bin/env python3
"""Writes convnet.h: what tests/core/ops/test_conv_golden.c compares with.

A small convolutional net, batch 6:
    x[6, 2, 9, 8] - Conv 3x3 pad 1 (4) - BatchNormalization (constant statistics) - Relu - MaxPool 2x2 stride 2
    - Conv 3x3 depthwise pad 1 - InstanceNormalization - AveragePool 3x3 stride 1 pad 1 - ConvTranspose 2x2 stride 2 (3)
    - Conv 3x3 stride 2, group 3, 2 per group (6) - GroupNormalization (3 groups, opset 21) - Relu - GlobalAveragePool
    - Flatten - LayerNormalization - Gemm (4), softmax cross entropy (mean over the batch).
Logits, every gradient, and the losses of 5 steps of plain gradient descent with rate 0.2. Weights and data are float32
numbers drawn by numpy's PCG64 from seed 21. Forward is the definition in float64, a sum over windows; gradients are central
differences of it with h = 1e-5 (good to 1e-8 or so), so nothing is shared with the code under test. Tolerance of the
test: 5e-6 on logits, gradients and losses, which is float32 rounding through eleven layers.

    python3 tests/golden/convnet.py > tests/golden/convnet.h        (numpy 2.4.6 wrote the file that is kept)
"""
import numpy as np

BATCH, CLASSES, STEPS, RATE, H, EPS = 6, 4, 5, 0.2, 1e-5, 1e-3
rng = np.random.Generator(np.random.PCG64(21))


def draw(scale, *shape, shift=0.0):
    return (shift + rng.normal(0, scale, shape)).astype(np.float32).astype(np.float64)


P = {
    "w1": draw(0.4, 4, 2, 3, 3), "b1": draw(0.2, 4), "s1": draw(0.2, 4, shift=1), "t1": draw(0.2, 4),
    "w2": draw(0.4, 4, 1, 3, 3), "b2": draw(0.2, 4), "s2": draw(0.2, 4, shift=1), "t2": draw(0.2, 4),
    "w3": draw(0.4, 4, 3, 2, 2), "b3": draw(0.2, 3),
    "w4": draw(0.4, 6, 1, 3, 3), "b4": draw(0.2, 6), "s4": draw(0.2, 6, shift=1), "t4": draw(0.2, 6),
    "s5": draw(0.2, 6, shift=1), "t5": draw(0.2, 6), "w6": draw(0.6, 4, 6), "b6": draw(0.2, 4),
}
mean, var = draw(0.3, 4), draw(0.1, 4, shift=1)
x = draw(1, BATCH, 2, 9, 8)
t = rng.integers(0, CLASSES, BATCH)


def windows(a, k, stride, pad, fill=0.0):
    a = np.pad(a, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=fill)
    oh, ow = (a.shape[2] - k) // stride + 1, (a.shape[3] - k) // stride + 1
    return np.stack([np.stack([a[:, :, i:i + stride * (oh - 1) + 1:stride, j:j + stride * (ow - 1) + 1:stride]
                               for j in range(k)], 2) for i in range(k)], 2)  # [N, C, k, k, oh, ow]


def conv(a, w, b, stride=1, pad=0, group=1):
    v, mg, cg = windows(a, w.shape[2], stride, pad), w.shape[0] // group, w.shape[1]
    return np.concatenate([np.einsum("ncijhw,mcij->nmhw", v[:, g * cg:(g + 1) * cg], w[g * mg:(g + 1) * mg])
                           for g in range(group)], 1) + b[:, None, None]


def transpose2(a, w, b):
    n, _, h, ww = a.shape
    y = np.zeros((n, w.shape[1], 2 * h, 2 * ww))
    for i in range(2):
        for j in range(2):
            y[:, :, i::2, j::2] = np.einsum("nchw,cm->nmhw", a, w[:, :, i, j])
    return y + b[:, None, None]


def normed(a, axes):
    m = a.mean(axes, keepdims=True)
    return (a - m) / np.sqrt(((a - m) ** 2).mean(axes, keepdims=True) + EPS)


def channel(a, s, b):
    return a * s[:, None, None] + b[:, None, None]


def forward(p):
    a = conv(x, p["w1"], p["b1"], pad=1)
    a = channel((a - mean[:, None, None]) / np.sqrt(var + EPS)[:, None, None], p["s1"], p["t1"])
    a = windows(np.maximum(a, 0), 2, 2, 0).max((2, 3))
    a = conv(a, p["w2"], p["b2"], pad=1, group=4)
    a = channel(normed(a, (2, 3)), p["s2"], p["t2"])
    a = windows(a, 3, 1, 1).sum((2, 3)) / windows(np.ones_like(a), 3, 1, 1).sum((2, 3))
    a = transpose2(a, p["w3"], p["b3"])
    a = conv(a, p["w4"], p["b4"], stride=2, group=3)
    n, c, h, w = a.shape
    a = normed(a.reshape(n, 3, 2, h, w), (2, 3, 4)).reshape(n, c, h, w)
    a = np.maximum(channel(a, p["s4"], p["t4"]), 0).mean((2, 3))
    a = normed(a, (1,)) * p["s5"] + p["t5"]
    return a @ p["w6"].T + p["b6"]


def loss(p):
    z = forward(p)
    z = z - z.max(1, keepdims=True)
    return (np.log(np.exp(z).sum(1)) - z[np.arange(BATCH), t]).mean()


def gradient(p):
    grads = {}
    for name, v in p.items():
        g = grads[name] = np.zeros_like(v)
        for i in np.ndindex(v.shape):
            old = v[i]
            v[i] = old + H
            up = loss(p)
            v[i] = old - H
            g[i] = (up - loss(p)) / (2 * H)
            v[i] = old
    return grads


def show(name, v, kind="float"):
    flat = np.asarray(v).ravel()
    text = ["%d" % e if kind == "int" else "%.9g" % e for e in flat]
    text = [e if kind == "int" or "." in e or "e" in e else e + ".0" for e in text]
    text = [e + ("f" if kind == "float" else "") for e in text]
    print("static const %s golden_%s[%d] = {" % (kind, name, len(flat)))
    for i in range(0, len(text), 8):
        print("\t%s," % ", ".join(text[i:i + 8]))
    print("};")


print("/* Written by convnet.py beside it. */")
show("mean", mean)
show("var", var)
show("x", x)
show("labels", t, "int")
for name, v in P.items():
    show(name, v)
show("logits", forward(P))
losses = []
for step in range(STEPS):
    losses.append(loss(P))
    grads = gradient(P)
    if step == 0:
        for name, v in grads.items():
            show("d" + name, v)
    for name in P:
        P[name] = P[name] - RATE * grads[name]
show("losses", losses, "double")
