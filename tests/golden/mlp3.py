#!/usr/bin/env python3
"""Writes mlp3.h: what tests/core/net/test_golden.c compares with.

An 8-7-6-4 perceptron (Gemm transB=1, Tanh, Sigmoid, logits), batch 10, softmax cross entropy (mean over the batch),
gradients of the first step and the losses of 10 steps of plain gradient descent with rate 0.5. Weights and data are
float32 numbers drawn by numpy's PCG64 from seed 20; all computing is float64, gradients by hand, so it shares nothing
with the code under test. Tolerance of the test: 2e-6 on gradients (their float32 rounding), 2e-6 on losses.

    python3 tests/golden/mlp3.py > tests/golden/mlp3.h        (numpy 2.4.6 wrote the file that is kept)
"""
import numpy as np

SIZES, BATCH, STEPS, RATE = [8, 7, 6, 4], 10, 10, 0.5
rng = np.random.Generator(np.random.PCG64(20))
w = [rng.normal(0, 0.7, (o, i)).astype(np.float32).astype(np.float64) for i, o in zip(SIZES, SIZES[1:])]
b = [rng.normal(0, 0.2, o).astype(np.float32).astype(np.float64) for o in SIZES[1:]]
x = rng.normal(0, 1, (BATCH, SIZES[0])).astype(np.float32).astype(np.float64)
t = rng.integers(0, SIZES[-1], BATCH)


def step():
    h1 = np.tanh(x @ w[0].T + b[0])
    h2 = 1 / (1 + np.exp(-(h1 @ w[1].T + b[1])))
    z = h2 @ w[2].T + b[2]
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(BATCH), t]).mean()
    d = p.copy()
    d[np.arange(BATCH), t] -= 1
    d /= BATCH
    d2 = d @ w[2] * h2 * (1 - h2)
    d1 = d2 @ w[1] * (1 - h1 * h1)
    return loss, z, [d1.T @ x, d2.T @ h1, d.T @ h2], [d1.sum(0), d2.sum(0), d.sum(0)]


def array(name, a, kind="float"):
    print(f"static const {kind} {name}[] = {{")
    flat = [f"{v:.9g}f" if kind == "float" else repr(float(v)) if kind == "double" else str(v) for v in np.ravel(a)]
    flat = [v if "." in v or "e" in v or kind == "int32_t" else v.replace("f", ".0f") for v in flat]
    for i in range(0, len(flat), 8):
        print("\t" + ", ".join(flat[i:i + 8]) + ",")
    print("};")


print(f"/* Written by mlp3.py with numpy {np.__version__}, seed 20; tolerance 2e-6. Do not edit. */")
print("#ifndef TESTS_GOLDEN_MLP3_H\n#define TESTS_GOLDEN_MLP3_H\n\n#include <stdint.h>\n")
array("golden_x", x)
array("golden_labels", t, "int32_t")
for i in range(3):
    array(f"golden_w{i + 1}", w[i])
    array(f"golden_b{i + 1}", b[i])
losses = []
for n in range(STEPS):
    loss, z, dw, db = step()
    losses.append(loss)
    if n == 0:
        array("golden_logits", z)
        for i in range(3):
            array(f"golden_dw{i + 1}", dw[i])
            array(f"golden_db{i + 1}", db[i])
    for i in range(3):
        w[i] -= RATE * dw[i]
        b[i] -= RATE * db[i]
array("golden_losses", losses, "double")
print("\n#endif")
