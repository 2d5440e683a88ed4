"""numpy's side of bench/prune_select.c: abs, partition, mask in place, as one writes it without thinking of kernels.

    numpy_prune.py N ROUNDS             prints: seconds S zeros Z   (S: median of the rounds)"""
import statistics
import sys
import time

import numpy

n, rounds = int(sys.argv[1]), int(sys.argv[2])
source = numpy.random.default_rng(42).standard_normal(n, dtype=numpy.float32)
seconds = []
for _ in range(rounds):
    w = source.copy()
    start = time.perf_counter()
    score = numpy.abs(w)
    k = n // 10 * 9 - 1
    threshold = numpy.partition(score, k)[k]
    w *= score > threshold
    seconds.append(time.perf_counter() - start)
print(f"seconds {statistics.median(seconds):.4f} zeros {int((w == 0).sum())}")
