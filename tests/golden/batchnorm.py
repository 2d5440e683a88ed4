#!/usr/bin/env python3
"""Writes batchnorm.h: what tests/core/train/test_batchnorm.c compares with.

A net with batch statistics before and after positions are gone, batch 7:
    x[7, 2, 5, 4] - Conv 3x3 pad 1 (5) - BatchNorm2d (momentum 0.2) - Relu - Conv 3x3 stride 2 (4) - BatchNorm2d - Relu
    - global average - Linear (6) - BatchNorm1d - Linear (3), softmax cross entropy (mean over the batch).
Gradients of the first step, losses of 5 steps of gradient descent with momentum 0.9 and rate 0.1 in training mode, then the
running statistics and the logits in evaluation mode. PyTorch computes in float64 from float32 numbers of seed 5. Tolerance of
the test: 2e-5, which is float32 rounding through five steps.

    python3 tests/golden/batchnorm.py > tests/golden/batchnorm.h        (PyTorch 2.15.0 wrote the file that is kept)
"""
import torch
from torch import nn

BATCH, STEPS = 7, 5
torch.manual_seed(5)
net = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5, momentum=0.2), nn.ReLU(), nn.Conv2d(5, 4, 3, stride=2),
                    nn.BatchNorm2d(4, eps=1e-3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
for name, t in list(net.named_parameters()) + list(net.named_buffers()):
    if name.endswith("running_var") or (t.ndim == 1 and name.endswith("weight")):
        t.data = 1 + 0.5 * torch.rand(t.shape)
    elif t.is_floating_point():
        t.data = 0.4 * torch.randn(t.shape)
x, labels = torch.randn(BATCH, 2, 5, 4), torch.randint(0, 3, (BATCH,))


def emit(name, t, kind="float"):
    words = [f"{v:.9g}" if kind == "float" else str(v) for v in t.detach().flatten().tolist()]
    words = [w if kind != "float" else w + ("f" if "." in w or "e" in w else ".0f") for w in words]
    print(f"static const {kind} golden_{name}[] = {{")
    for i in range(0, len(words), 8):
        print("    " + ", ".join(words[i:i + 8]) + ",")
    print("};")


def flat(name):
    return "p" + name.replace(".", "_")


print("/* Written by batchnorm.py. */\n#ifndef TESTS_GOLDEN_BATCHNORM_H\n#define TESTS_GOLDEN_BATCHNORM_H\n\n#include <stdint.h>\n")
emit("x", x)
emit("labels", labels, "int32_t")
state = [(n, t.clone()) for n, t in net.state_dict().items() if t.is_floating_point()]
for name, t in state:
    emit(flat(name), t)
net.double()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
losses = []
for step in range(STEPS):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x.double()), labels)
    loss.backward()
    losses.append(loss.item())
    if step == 0:
        for name, p in net.named_parameters():
            emit("d" + flat(name), p.grad)
    optimizer.step()
emit("losses", torch.tensor(losses, dtype=torch.float64))
for name, t in net.state_dict().items():
    if t.is_floating_point():
        emit("after_" + flat(name), t)
net.eval()
emit("logits", net(x.double()))
print("\nstruct golden_tensor {\n\tconst char *name, *shape;\n\tconst float *data, *gradient, *after;\n};")
print("static const struct golden_tensor golden_tensor_table[] = {")
for name, t in state:
    grad = "NULL" if "running" in name else f"golden_d{flat(name)}"
    print(f'    {{"{name}", "{" ".join(map(str, t.shape))}", golden_{flat(name)}, {grad}, golden_after_{flat(name)}}},')
print("};\n\n#endif")
