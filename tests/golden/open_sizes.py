"""Writes tests/golden/open_sizes/*.onnx: small nets as PyTorch's exporters write them with more left open than the batch (the length of sequences,
the height and width of images), for tests/judge/open_sizes.py.

Made with PyTorch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, seed 0.   python3 tests/golden/open_sizes.py
"""
import os
import warnings

import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F

from exports import strip

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "open_sizes")


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.first, self.layer, self.last = nn.Linear(6, 12), layer, nn.Linear(12, 4)

    def forward(self, x):
        y, _ = self.layer(F.relu(self.first(x)))
        return self.last(y[:, -1])


class Causal(nn.Module):
    """Learned positions cut to the length, a mask made of it, and heads whose width gets divided by."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(50, 16), nn.Parameter(torch.randn(1, 32, 16) * 0.1)
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.before, self.between = nn.LayerNorm(16), nn.LayerNorm(16)
        self.wide, self.narrow, self.last = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 4)

    def heads(self, x):
        return x.view(x.shape[0], -1, 4, 4).transpose(1, 2)

    def forward(self, ids):
        n, t = ids.shape
        x = self.words(ids) + self.places[:, :t]
        z = self.before(x)
        q, k, v = self.heads(self.q(z)), self.heads(self.k(z)), self.heads(self.v(z))
        a = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(torch.triu(torch.ones(t, t, dtype=torch.bool), 1), -1e9)
        x = x + self.out((a.softmax(-1) @ v).transpose(1, 2).reshape(n, t, -1))
        return self.last((x + self.narrow(F.gelu(self.wide(self.between(x))))).mean(1))


class Segment(nn.Module):
    """The way up is as large as what it is joined with."""

    def __init__(self):
        super().__init__()
        conv = lambda i, o: nn.Conv2d(i, o, 3, padding=1)
        self.a, self.b, self.c, self.d, self.last = conv(3, 8), conv(8, 12), conv(12, 12), conv(20, 12), nn.Conv2d(12, 4, 1)

    def forward(self, x):
        skip = F.relu(self.a(x))
        deep = F.relu(self.c(F.relu(self.b(F.max_pool2d(skip, 2)))))
        return self.last(F.relu(self.d(torch.cat([skip, F.interpolate(deep, size=skip.shape[2:], mode="nearest")], 1))))


class Tag(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.last = nn.Conv1d(6, 12, 3, padding=1), nn.Conv1d(12, 12, 3, padding=1), nn.Linear(12, 4)

    def forward(self, x):
        return self.last(F.relu(self.b(F.relu(self.a(x.transpose(1, 2))))).transpose(1, 2))


class Rotary(nn.Module):
    """Angles by position, and a mask that is read by numbers of rows and columns, as transformers writes them."""

    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Embedding(50, 16), nn.LayerNorm(16)
        self.q, self.k, self.v, self.out, self.last = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.register_buffer("pace", torch.tensor([1.0, 0.1]))

    def turned(self, x):
        angles = torch.arange(x.shape[2]).float()[:, None] * self.pace
        angles = torch.cat([angles, angles], -1)
        a, b = x.chunk(2, -1)
        return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()

    def forward(self, ids):
        n, t = ids.shape
        x = self.words(ids)
        z = self.norm(x)
        q, k, v = (f(z).view(n, t, 4, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        mask = (ids > 3)[torch.arange(n)[:, None, None, None], torch.arange(t)[None, None, None, :]]
        a = (self.turned(q) @ self.turned(k).transpose(-1, -2) * 0.5).masked_fill(~mask.expand(n, 1, t, t), -1e9)
        return self.last((x + self.out((a.softmax(-1) @ v).transpose(1, 2).reshape(n, t, -1))).mean(1))


def nets():
    sequence, images = torch.randn(2, 7, 6), torch.randn(2, 3, 8, 10)
    return {
        "lstm": (Recurrent(nn.LSTM(12, 12, batch_first=True)), sequence, (1,)),
        "gru": (Recurrent(nn.GRU(12, 6, batch_first=True, bidirectional=True)), sequence, (1,)),
        "causal": (Causal(), torch.randint(0, 50, (2, 7)), (1,)),
        "rotary": (Rotary(), torch.randint(0, 50, (2, 7)), (1,)),
        "segment": (Segment(), images, (2, 3)),
        "tag": (Tag(), sequence, (1,)),
    }


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    for name, (net, x, axes) in nets().items():
        open_axes = {0: "n", **{k: f"size{k}" for k in axes}}
        torch.onnx.export(net.eval(), (x,), f"{OUT}/tmp", dynamo=False, opset_version=17, input_names=["x"], output_names=["y"], dynamic_axes={"x": open_axes, "y": {0: "n"}})
        onnx.save(strip(onnx.load(f"{OUT}/tmp")), f"{OUT}/{name}_script.onnx")
        torch.onnx.export(net, (x,), f"{OUT}/tmp", dynamo=True, opset_version=18, input_names=["x"], output_names=["y"], verbose=False, external_data=False,
                          dynamic_shapes=({k: torch.export.Dim.DYNAMIC for k in open_axes},))
        onnx.save(strip(onnx.load(f"{OUT}/tmp")), f"{OUT}/{name}_dynamo.onnx")
    os.remove(f"{OUT}/tmp")


if __name__ == "__main__":
    main()
