#!/usr/bin/env python3
"""Writes optimizer_golden.inc: ten steps of each optimizer on two weights, by the equations of PyTorch's documentation
(torch.optim.SGD, Adam, AdamW, RMSprop), in double precision and in an order of its own. Gradients are those of
f(w) = (w0 - 1)^2 + 10 (w1 + 2)^2, plus l2 * w. For adamw l2 is the decoupled decay. Then the learning rates of a one-cycle schedule
of 20 steps. No random numbers. With torch installed, --check compares with it (2.15.0 agreed).

    python3 optimizer_golden.py > optimizer_golden.inc            --one-cycle writes one_cycle.inc"""
import math
import sys

LR, STEPS, START = 0.03, 10, (3.0, 1.5)
CASES = [
    # name, optimizer, momentum, nesterov, l2
    ("sgd", "sgd", 0.0, False, 0.0),
    ("sgd with decay", "sgd", 0.0, False, 0.1),
    ("momentum", "sgd", 0.9, False, 0.0),
    ("nesterov with decay", "sgd", 0.8, True, 0.05),
    ("adam", "adam", 0.0, False, 0.0),
    ("adam with decay", "adam", 0.0, False, 0.1),
    ("adamw", "adamw", 0.0, False, 0.5),
    ("rmsprop", "rmsprop", 0.0, False, 0.0),
    ("rmsprop with momentum and decay", "rmsprop", 0.6, False, 0.1),
]
ALPHA, CYCLE, PEAK, DIV, FINAL = 0.9, 20, 0.3, 10.0, 100.0
B1, B2, EPS = 0.9, 0.999, 1e-8


def gradient(w, l2):
    return [2 * (w[0] - 1) + l2 * w[0], 20 * (w[1] + 2) + l2 * w[1]]


def run(optimizer, momentum, nesterov, l2):
    w, buf, m, v, out = list(START), None, [0.0, 0.0], [0.0, 0.0], []
    for t in range(1, STEPS + 1):
        g = gradient(w, 0.0 if optimizer == "adamw" else l2)
        if optimizer == "adamw":
            w = [a * (1 - LR * l2) for a in w]
        if optimizer == "rmsprop":
            v = [ALPHA * a + (1 - ALPHA) * b * b for a, b in zip(v, g)]
            m = [momentum * a + b / (math.sqrt(c) + EPS) for a, b, c in zip(m, g, v)]
            step = m
        elif optimizer in ("adam", "adamw"):
            m = [B1 * a + (1 - B1) * b for a, b in zip(m, g)]
            v = [B2 * a + (1 - B2) * b * b for a, b in zip(v, g)]
            hat = [(a / (1 - B1**t), b / (1 - B2**t)) for a, b in zip(m, v)]
            step = [a / (math.sqrt(b) + EPS) for a, b in hat]
        elif momentum:
            buf = g if buf is None else [momentum * a + b for a, b in zip(buf, g)]
            step = [b + momentum * a for a, b in zip(buf, g)] if nesterov else buf
        else:
            step = g
        w = [a - LR * b for a, b in zip(w, step)]
        out.append(list(w))
    return out


def one_cycle():
    up, last, rates = PEAK * CYCLE - 1, CYCLE - 1, []
    for k in range(CYCLE):
        a, b, x = (1 / DIV, 1.0, k / up) if k <= up else (1.0, 1 / DIV / FINAL, (k - up) / (last - up))
        rates.append(LR * (b + (a - b) / 2 * (1 + math.cos(math.pi * x))))
    return rates


def check():
    import torch

    opt = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=LR, total_steps=CYCLE, pct_start=PEAK, div_factor=DIV, final_div_factor=FINAL, cycle_momentum=False)
    for want in one_cycle():
        assert abs(cycle.get_last_lr()[0] - want) < 1e-12
        opt.step()
        if cycle.last_epoch + 1 < CYCLE:
            cycle.step()

    for name, optimizer, momentum, nesterov, l2 in CASES:
        w = torch.tensor(START, dtype=torch.float64, requires_grad=True)
        if optimizer == "adam":
            opt = torch.optim.Adam([w], lr=LR, betas=(B1, B2), eps=EPS, weight_decay=l2)
        elif optimizer == "adamw":
            opt = torch.optim.AdamW([w], lr=LR, betas=(B1, B2), eps=EPS, weight_decay=l2)
        elif optimizer == "rmsprop":
            opt = torch.optim.RMSprop([w], lr=LR, alpha=ALPHA, eps=EPS, momentum=momentum, weight_decay=l2)
        else:
            opt = torch.optim.SGD([w], lr=LR, momentum=momentum, nesterov=nesterov, weight_decay=l2)
        for want in run(optimizer, momentum, nesterov, l2):
            opt.zero_grad()
            ((w[0] - 1) ** 2 + 10 * (w[1] + 2) ** 2).backward()
            opt.step()
            assert max(abs(a - b) for a, b in zip(w.tolist(), want)) < 1e-12, name
    print("the same as torch", torch.__version__)


def main():
    if sys.argv[1:] == ["--check"]:
        check()
        return
    if sys.argv[1:] == ["--one-cycle"]:
        print(", ".join(f"{r:.12f}" for r in one_cycle()))
        return
    print("/* Written by optimizer_golden.py; tolerance 2e-6 (float steps against double). */")
    for name, optimizer, momentum, nesterov, l2 in CASES:
        print(f'{{.name = "{name}", .optimizer = "{optimizer}", .momentum = {momentum}, .nesterov = {str(nesterov).lower()}, .l2 = {l2},')
        print("    .w = {")
        for a, b in run(optimizer, momentum, nesterov, l2):
            print(f"        {{{a:.12f}, {b:.12f}}},")
        print("    }},")


main()
