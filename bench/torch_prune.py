"""PyTorch's side of bench/prune_select.c: torch.nn.utils.prune.global_unstructured over two linear layers.

    torch_prune.py N ROUNDS             prints: seconds S zeros Z   (S: median of the rounds)"""
import statistics
import sys
import time

import torch
from torch.nn.utils import prune

n, rounds = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(42)
source = [torch.randn(n // 2000, 1000), torch.randn(1000, n // 2000)]
seconds = []
for _ in range(rounds):
    layers = [torch.nn.Linear(w.shape[1], w.shape[0], bias=False) for w in source]
    for layer, w in zip(layers, source):
        layer.weight = torch.nn.Parameter(w.clone())
    start = time.perf_counter()
    prune.global_unstructured([(layer, "weight") for layer in layers], pruning_method=prune.L1Unstructured, amount=0.9)
    for layer in layers:
        prune.remove(layer, "weight")
    seconds.append(time.perf_counter() - start)
print(f"seconds {statistics.median(seconds):.4f} zeros {sum(int((layer.weight == 0).sum()) for layer in layers)}")
