#!/usr/bin/env python3
"""Writes loss_golden.inc: each loss by PyTorch in float64, mean over the batch, with its gradient by the output; numbers drawn by PyTorch
with seed 3. Tolerance of the test: 2e-6 relative to 1 or the value, which is float32 gradients.

    python3 loss_golden.py > loss_golden.inc        (PyTorch 2.15.0 wrote the file that is kept)"""
import torch
from torch.nn import functional as F

ROWS, K = 4, 5
torch.manual_seed(3)
logits = (2 * torch.randn(ROWS, K)).float().double()
unit = torch.rand(ROWS, K).clamp(0.05, 0.95).float().double()
numbers = torch.randn(ROWS, K).float().double()
soft = torch.rand(ROWS, K).double()
soft = (soft / soft.sum(1, keepdim=True)).float().double()
truths = (torch.rand(ROWS, K) > 0.5).double()
classes = torch.tensor([0, 4, 2, 2])
hot = F.one_hot(classes, K).double()
weights = torch.tensor([0.5, 1.0, 2.0, 1.0, 3.0], dtype=torch.float64)


def lp(o, kind):
    return {"RAW": lambda: F.log_softmax(o, 1), "PROBABILITY": lambda: o.log(), "LOG_PROBABILITY": lambda: o}[kind]()


def ce(kind, target, w=None, s=0.0):
    def f(o):
        if kind == "RAW":
            return F.cross_entropy(o, target, weight=w, label_smoothing=s)
        assert w is None and s == 0.0
        return F.nll_loss(lp(o, kind), target) if target.ndim == 1 else -(target * lp(o, kind)).sum(1).mean()
    return f


CASES = [  # name, loss, kind, output, labels, smoothing, weights, delta, function
    ("ce", "cross_entropy", "RAW", logits, classes, 0, None, 1, ce("RAW", classes)),
    ("ce smoothed", "cross_entropy", "RAW", logits, classes, 0.1, None, 1, ce("RAW", classes, None, 0.1)),
    ("ce weighted", "cross_entropy", "RAW", logits, classes, 0, weights, 1, ce("RAW", classes, weights)),
    ("ce weighted and smoothed", "cross_entropy", "RAW", logits, classes, 0.2, weights, 1, ce("RAW", classes, weights, 0.2)),
    ("ce soft", "cross_entropy", "RAW", logits, soft, 0, None, 1, ce("RAW", soft)),
    ("ce soft, weighted and smoothed", "cross_entropy", "RAW", logits, soft, 0.2, weights, 1, ce("RAW", soft, weights, 0.2)),
    ("ce of probabilities", "cross_entropy", "PROBABILITY", unit, classes, 0, None, 1, ce("PROBABILITY", classes)),
    ("ce of log-probabilities, soft", "cross_entropy", "LOG_PROBABILITY", unit, soft, 0, None, 1, ce("LOG_PROBABILITY", soft)),
    ("kl", "kl", "RAW", logits, soft, 0, None, 1, lambda o: F.kl_div(F.log_softmax(o, 1), soft, reduction="batchmean")),
    ("kl of probabilities", "kl", "PROBABILITY", unit, soft, 0, None, 1, lambda o: F.kl_div(o.log(), soft, reduction="batchmean")),
    ("bce", "bce", "RAW", logits, truths, 0, None, 1, lambda o: F.binary_cross_entropy_with_logits(o, truths)),
    ("bce weighted", "bce", "RAW", logits, truths, 0, weights, 1, lambda o: F.binary_cross_entropy_with_logits(o, truths, weight=weights)),
    ("bce of classes", "bce", "RAW", logits, classes, 0, None, 1, lambda o: F.binary_cross_entropy_with_logits(o, hot)),
    ("bce of sigmoids", "bce", "SIGMOID", unit, truths, 0, None, 1, lambda o: F.binary_cross_entropy(o, truths)),
    ("bce of sigmoids, smoothed", "bce", "SIGMOID", unit, truths, 0.2, None, 1, lambda o: F.binary_cross_entropy(o, truths * 0.8 + 0.1)),
    ("mse", "mse", "RAW", logits, numbers, 0, None, 1, lambda o: F.mse_loss(o, numbers)),
    ("mse of classes", "mse", "RAW", logits, classes, 0, None, 1, lambda o: F.mse_loss(o, hot)),
    ("mae", "mae", "RAW", logits, numbers, 0, None, 1, lambda o: F.l1_loss(o, numbers)),
    ("huber", "huber", "RAW", logits, numbers, 0, None, 1, lambda o: F.huber_loss(o, numbers)),
    ("huber, narrow", "huber", "RAW", logits, numbers, 0, None, 0.3, lambda o: F.huber_loss(o, numbers, delta=0.3)),
    ("huber of classes", "huber", "RAW", logits, classes, 0, None, 0.7, lambda o: F.huber_loss(o, hot, delta=0.7)),
]


def row(t, suffix=""):
    return ", ".join(f"{v:#.9g}{suffix}" if t.is_floating_point() else str(v) for v in t.flatten().tolist())


print("/* Written by loss_golden.py. */")
for name, loss, kind, out, labels, smoothing, w, delta, f in CASES:
    o = out.clone().requires_grad_()
    value = f(o)
    value.backward()
    field = f".classes = {{{row(labels)}}}, .by_class = true" if labels.ndim == 1 else f".targets = {{{row(labels, 'f')}}}"
    extra = f", .weights = {{{row(w)}}}, .n_weights = {K}" if w is not None else ""
    print(f'{{.name = "{name}", .loss = "{loss}", .kind = PARE_OUTPUT_{kind}, .smoothing = {smoothing}, .delta = {delta}{extra},')
    print(f"    .out = {{{row(out, 'f')}}},\n    {field},\n    .value = {value.item():.12g},\n    .gradient = {{{row(o.grad)}}}}},")
