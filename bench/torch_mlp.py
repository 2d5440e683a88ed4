"""PyTorch's side of bench/engine_mlp.c: 784-128-10 on MNIST, batch 64, SGD lr 0.1, the data held in tensors (no
DataLoader: that would be slower). bench/run.sh sets the thread variables from outside and takes the best set-up.

    torch_mlp.py DIR THREADS EPOCHS     prints: seconds S loss L accuracy A   (S: median of the epochs)

THREADS "default" leaves the thread count alone."""
import statistics
import sys
import time

import torch


def idx(path, header, row):
    with open(path, "rb") as f:
        data = bytearray(f.read()[header:])
    return torch.frombuffer(data, dtype=torch.uint8).reshape(-1, row)


def load(folder, prefix):
    x = idx(f"{folder}/{prefix}-images-idx3-ubyte", 16, 784).float() / 255
    y = idx(f"{folder}/{prefix}-labels-idx1-ubyte", 8, 1).reshape(-1).long()
    return x, y


def main():
    folder, threads, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if threads != "default":
        torch.set_num_threads(int(threads))
    torch.manual_seed(42)
    x, y = load(folder, "train")
    model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    loss_of = torch.nn.CrossEntropyLoss()
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        total = 0.0
        for rows in torch.randperm(len(x)).split(64):
            opt.zero_grad()
            loss = loss_of(model(x[rows]), y[rows])
            loss.backward()
            opt.step()
            total += loss.detach() * len(rows)
        seconds.append(time.perf_counter() - start)
    tx, ty = load(folder, "t10k")
    with torch.no_grad():
        accuracy = (model(tx).argmax(1) == ty).float().mean().item()
    print(f"seconds {statistics.median(seconds):.4f} loss {float(total) / len(x):.4f} accuracy {accuracy:.4f}")


main()
