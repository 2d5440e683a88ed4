"""PyTorch's side of bench/engine_mlp.c: 784-128-10 on MNIST, batch 64, SGD lr 0.1.

    torch_mlp.py DIR EPOCHS [loader]     prints: seconds S1 seconds2 S2 accuracy A

The data are held in tensors; S1, S2 are the medians of the epochs with one thread and with two. With `loader` the loop is
that of PyTorch's tutorial instead: a Dataset whose items are PIL images made tensors one by one (what torchvision's MNIST
and ToTensor do), a DataLoader that shuffles, two threads; it prints S1 alone."""
import statistics
import sys
import time

import numpy
import torch


def idx(path, header, row):
    with open(path, "rb") as f:
        data = bytearray(f.read()[header:])
    return torch.frombuffer(data, dtype=torch.uint8).reshape(-1, row)


def load(folder, prefix):
    x = idx(f"{folder}/{prefix}-images-idx3-ubyte", 16, 784)
    y = idx(f"{folder}/{prefix}-labels-idx1-ubyte", 8, 1).reshape(-1).long()
    return x, y


class Images(torch.utils.data.Dataset):
    def __init__(self, x, y):
        self.x, self.y = x.reshape(-1, 28, 28), y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        from PIL import Image

        image = Image.fromarray(self.x[i].numpy())
        pixels = torch.from_numpy(numpy.array(image, copy=True)).view(28, 28, 1).permute(2, 0, 1).contiguous()
        return pixels.to(torch.get_default_dtype()).div(255), int(self.y[i])


def batches_of_tensors(x, y):
    x = x.float() / 255

    def batches():
        for rows in torch.randperm(len(x)).split(64):
            yield x[rows], y[rows]

    return batches


def run(batches, epochs, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(42)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    loss_of = torch.nn.CrossEntropyLoss()
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        total = 0.0
        for x, y in batches():
            opt.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            opt.step()
            total += loss.detach() * len(y)
        seconds.append(time.perf_counter() - start)
    return model, statistics.median(seconds)


def main():
    folder, epochs = sys.argv[1], int(sys.argv[2])
    x, y = load(folder, "train")
    if sys.argv[3:] == ["loader"]:
        loader = torch.utils.data.DataLoader(Images(x, y), batch_size=64, shuffle=True)
        print(f"seconds {run(lambda: loader, epochs, 2)[1]:.4f}")
        return
    batches = batches_of_tensors(x, y)
    one = run(batches, epochs, 1)[1]
    model, two = run(batches, epochs, 2)
    tx, ty = load(folder, "t10k")
    with torch.no_grad():
        accuracy = (model(tx.float() / 255).argmax(1) == ty).float().mean().item()
    print(f"seconds {one:.4f} seconds2 {two:.4f} accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
