#!/usr/bin/env python3
"""The nets that everything is judged on, as PyTorch modules: golden files, benchmarks, structured pruning.

One function per net; its arguments are width (channels or units, relative or absolute) and depth (blocks), so that one definition
gives a tiny variant of a few thousand parameters for files that are kept and the real one for measuring. NETS names both.

    case = build("resnet20")                 the real net        case.module, case.inputs, case.target
    case = build("resnet20", "tiny")         the tiny one
    case = build("resnet20", width=1.5)      the real one with another argument
    x = sample_inputs(case, 64, seed=1)      a list of tensors, one per input
    t = sample_targets(case, 64, seed=1)
    loss(case, case.module(*x), t)           what the net is trained with: a mean over the batch
    export(case, "net.onnx", opset=17, dynamic_batch=True)

    python3 tests/golden/nets.py DIRECTORY [tiny|real] [NAME...]     exports them all, prints parameters and bytes

Weights are drawn after torch.manual_seed(seed), so one PyTorch version gives one net. Needs torch and onnx.
"""
import dataclasses
import os
import sys
import warnings

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Case:
    name: str
    module: nn.Module
    inputs: dict     # name -> (shape of one row, kind); kind: "float", ("ids", vocabulary) or "mask" (1 .. 1 0 .. 0)
    target: tuple    # ("classes", n): logits [N, n]; ("binary", shape): logits; ("probability", shape); ("values", shape)


# ---- perceptrons and LeNets

def mlp(width=128, depth=1, inputs=784, classes=10):
    layers, n = [nn.Flatten()], inputs
    for _ in range(depth):
        layers += [nn.Linear(n, width), nn.ReLU()]
        n = width
    return nn.Sequential(*layers, nn.Linear(n, classes)), {"x": ((inputs,), "float")}, ("classes", classes)


def lenet300(width=1.0, depth=1, inputs=784, classes=10):
    a, b = max(2, int(300 * width)), max(2, int(100 * width))
    layers = [nn.Flatten(), nn.Linear(inputs, a), nn.Tanh()]
    for _ in range(depth):
        layers += [nn.Linear(a, b), nn.Tanh()]
        a = b
    return nn.Sequential(*layers, nn.Linear(b, classes)), {"x": ((inputs,), "float")}, ("classes", classes)


def lenet5(width=1.0, depth=1, classes=10):
    c1, c2, n = max(2, int(20 * width)), max(2, int(50 * width)), max(4, int(500 * width))
    layers = [nn.Conv2d(1, c1, 5), nn.MaxPool2d(2), nn.Conv2d(c1, c2, 5), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(c2 * 16, n), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(n, n), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(n, classes)), {"x": ((1, 28, 28), "float")}, ("classes", classes)


# ---- convolutional nets for small images

class Residual(nn.Module):
    """Two 3x3 convolutions; the shortcut is a 1x1 convolution where the shape changes."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.short = nn.Identity()
        if stride != 1 or cin != cout:
            self.short = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.short(x))


def resnet(channels, blocks, classes, side):
    layers = [nn.Conv2d(3, channels[0], 3, 1, 1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()]
    cin = channels[0]
    for stage, c in enumerate(channels):
        for block in range(blocks):
            layers.append(Residual(cin, c, 2 if stage and not block else 1))
            cin = c
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes)]
    return nn.Sequential(*layers), {"x": ((3, side, side), "float")}, ("classes", classes)


def resnet20(width=1.0, depth=3, side=32, classes=10):
    return resnet([max(2, int(c * width)) for c in (16, 32, 64)], depth, classes, side)


def resnet18(width=1.0, depth=2, side=32, classes=10):
    return resnet([max(2, int(c * width)) for c in (64, 128, 256, 512)], depth, classes, side)


class Inverted(nn.Module):
    """MobileNetV2's block: 1x1 expand, 3x3 depthwise, 1x1 project; a shortcut where the shape stays."""

    def __init__(self, cin, cout, stride, expand):
        super().__init__()
        mid = cin * expand
        layers = []
        if expand != 1:
            layers += [nn.Conv2d(cin, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU6()]
        layers += [nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False), nn.BatchNorm2d(mid), nn.ReLU6(),
                   nn.Conv2d(mid, cout, 1, bias=False), nn.BatchNorm2d(cout)]
        self.body = nn.Sequential(*layers)
        self.short = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.body(x) if self.short else self.body(x)


def mobilenetv2(width=1.0, depth=1.0, side=32, classes=10):
    """The published stages with the strides that suit 32x32."""
    stages = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    if depth < 0.5:
        stages = [(1, 16, 1, 1), (6, 24, 2, 2)]
    cin = max(2, int(32 * width))
    layers = [nn.Conv2d(3, cin, 3, 1, 1, bias=False), nn.BatchNorm2d(cin), nn.ReLU6()]
    for expand, c, n, stride in stages:
        cout = max(2, int(c * width))
        for i in range(max(1, round(n * depth)) if depth >= 0.5 else n):
            layers.append(Inverted(cin, cout, 1 if i else stride, expand))
            cin = cout
    last = max(4, int((1280 if depth >= 0.5 else 64) * width))
    layers += [nn.Conv2d(cin, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
               nn.Dropout(0.0), nn.Linear(last, classes)]
    return nn.Sequential(*layers), {"x": ((3, side, side), "float")}, ("classes", classes)


class Dense(nn.Module):
    """DenseNet's layer: norm, ReLU, 1x1, norm, ReLU, 3x3; its output is put beside its input."""

    def __init__(self, cin, growth):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(cin)
        self.conv1 = nn.Conv2d(cin, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)

    def forward(self, x):
        y = self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))
        return torch.cat([x, y], 1)


def densenet(width=1.0, depth=6, side=32, blocks=3, classes=10):
    """DenseNet-BC with growth 12: depth layers in each of the blocks, transitions that halve channels and sides."""
    growth = max(2, int(12 * width))
    c = 2 * growth
    layers = [nn.Conv2d(3, c, 3, 1, 1, bias=False)]
    for block in range(blocks):
        for _ in range(depth):
            layers.append(Dense(c, growth))
            c += growth
        if block < blocks - 1:
            layers += [nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c // 2, 1, bias=False), nn.AvgPool2d(2)]
            c //= 2
    layers += [nn.BatchNorm2d(c), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes)]
    return nn.Sequential(*layers), {"x": ((3, side, side), "float")}, ("classes", classes)


def double_conv(cin, cout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(),
                         nn.Conv2d(cout, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, base, depth):
        super().__init__()
        c = [base * 2 ** i for i in range(depth + 1)]
        self.down = nn.ModuleList([double_conv(3 if i == 0 else c[i - 1], c[i]) for i in range(depth)])
        self.bottom = double_conv(c[depth - 1], c[depth])
        self.up = nn.ModuleList([nn.ConvTranspose2d(c[i + 1], c[i], 2, 2) for i in reversed(range(depth))])
        self.merge = nn.ModuleList([double_conv(2 * c[i], c[i]) for i in reversed(range(depth))])
        self.head = nn.Conv2d(base, 1, 1)

    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


def unet(width=1.0, depth=3, side=32):
    """A mask of the image, as logits."""
    return UNet(max(2, int(16 * width)), depth), {"x": ((3, side, side), "float")}, ("binary", (1, side, side))


# ---- sequences

class TokenLSTM(nn.Module):
    def __init__(self, vocab, units, depth, classes):
        super().__init__()
        self.embed = nn.Embedding(vocab, units)
        self.lstm = nn.LSTM(units, units, depth, batch_first=True)
        self.head = nn.Linear(units, classes)

    def forward(self, ids):
        y, _ = self.lstm(self.embed(ids))
        return self.head(y[:, -1])


def lstm(width=128, depth=1, length=32, vocab=1000, classes=4):
    return TokenLSTM(vocab, width, depth, classes), {"ids": ((length,), ("ids", vocab))}, ("classes", classes)


class SeriesGRU(nn.Module):
    def __init__(self, features, units, depth, classes):
        super().__init__()
        self.gru = nn.GRU(features, units, depth, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * units, classes)

    def forward(self, x):
        y, _ = self.gru(x)
        return self.head(y.mean(1))


def gru(width=128, depth=1, length=32, features=40, classes=12):
    return SeriesGRU(features, width, depth, classes), {"x": ((length, features), "float")}, ("classes", classes)


# ---- attention

def attend(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5)
    return torch.softmax(scores if mask is None else scores + mask, -1) @ v


class ViTBlock(nn.Module):
    """Norm first; queries, keys and values from one product."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(attend(q, k, v).transpose(1, 2).reshape(n, t, c))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, dim, depth, heads, side, patch, classes):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, patch, patch)
        self.cls = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.pos = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, dim) * 0.02)
        self.blocks = nn.Sequential(*[ViTBlock(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


def vit(width=192, depth=6, heads=3, side=32, patch=4, classes=10):
    return ViT(width, depth, heads, side, patch, classes), {"x": ((3, side, side), "float")}, ("classes", classes)


class BertLayer(nn.Module):
    """Norm last; a product each for queries, keys and values."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.norm1 = nn.LayerNorm(dim, eps=1e-12)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-12)

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x, mask):
        y = attend(self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x)), mask)
        x = self.norm1(x + self.out(y.transpose(1, 2).reshape(x.shape)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    def __init__(self, vocab, dim, depth, heads, length, classes):
        super().__init__()
        self.words = nn.Embedding(vocab, dim)
        self.types = nn.Embedding(2, dim)
        self.positions = nn.Embedding(length, dim)
        self.register_buffer("numbers", torch.arange(length).unsqueeze(0), persistent=False)
        self.norm = nn.LayerNorm(dim, eps=1e-12)
        self.layers = nn.ModuleList([BertLayer(dim, heads) for _ in range(depth)])
        self.pool = nn.Linear(dim, dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, input_ids, attention_mask, token_type_ids):
        mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * -10000.0
        x = self.words(input_ids) + self.positions(self.numbers[:, :input_ids.shape[1]]) + self.types(token_type_ids)
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(torch.tanh(self.pool(x[:, 0])))


def bert(width=128, depth=2, heads=2, length=64, vocab=30522, classes=2):
    """The default is the size of BERT-tiny."""
    inputs = {"input_ids": ((length,), ("ids", vocab)), "attention_mask": ((length,), "mask"), "token_type_ids": ((length,), ("ids", 2))}
    return Bert(vocab, width, depth, heads, length, classes), inputs, ("classes", classes)


# ---- DCGAN

def dcgan_generator(width=64, depth=3, latent=100, side=32):
    """depth doublings of the side to side x side; an image in [-1, 1]."""
    c = width * 2 ** (depth - 1)
    start = side // 2 ** depth
    layers = [nn.ConvTranspose2d(latent, c, start, 1, 0, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(c // 2), nn.ReLU()]
        c //= 2
    layers += [nn.ConvTranspose2d(c, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers), {"z": ((latent, 1, 1), "float")}, ("values", (3, side, side))


def dcgan_discriminator(width=64, depth=3, side=32):
    """depth halvings of the side; the probability that the image is real."""
    layers, c = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], width
    for _ in range(depth - 1):
        layers += [nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * c), nn.LeakyReLU(0.2)]
        c *= 2
    layers += [nn.Conv2d(c, 1, side // 2 ** depth, bias=False), nn.Flatten(), nn.Sigmoid()]
    return nn.Sequential(*layers), {"x": ((3, side, side), "float")}, ("probability", (1,))


# ---- the table: a function and the arguments of its tiny variant; the defaults are the real one

NETS = {
    "mlp": (mlp, dict(width=8, inputs=16, classes=4)),
    "lenet300": (lenet300, dict(width=0.04, inputs=20, classes=5)),
    "lenet5": (lenet5, dict(width=0.12)),
    "resnet20": (resnet20, dict(width=0.25, depth=1, side=8, classes=4)),
    "resnet18": (resnet18, dict(width=0.03125, depth=1, side=16, classes=4)),
    "mobilenetv2": (mobilenetv2, dict(width=0.2, depth=0.25, side=8, classes=4)),
    "densenet": (densenet, dict(width=0.34, depth=2, side=8, blocks=2, classes=4)),
    "unet": (unet, dict(width=0.25, depth=2, side=8)),
    "lstm": (lstm, dict(width=8, length=6, vocab=20)),
    "gru": (gru, dict(width=6, length=7, features=5, classes=4)),
    "vit": (vit, dict(width=12, depth=2, heads=2, side=8, patch=4, classes=4)),
    "bert": (bert, dict(width=12, depth=2, heads=2, length=6, vocab=24)),
    "dcgan_generator": (dcgan_generator, dict(width=4, depth=2, latent=6, side=8)),
    "dcgan_discriminator": (dcgan_discriminator, dict(width=4, depth=2, side=8)),
}


def build(name, size="real", seed=1, **arguments):
    function, tiny = NETS[name]
    torch.manual_seed(seed)
    module, inputs, target = function(**{**(tiny if size == "tiny" else {}), **arguments})
    return Case(name, module, inputs, target)


def sample_inputs(case, batch, seed):
    g = torch.Generator().manual_seed(seed)
    out = []
    for shape, kind in case.inputs.values():
        if kind == "float":
            out.append(torch.randn(batch, *shape, generator=g))
        elif kind == "mask":  # each row keeps at least half its length
            n = torch.randint((shape[0] + 1) // 2, shape[0] + 1, (batch, 1), generator=g)
            out.append((torch.arange(shape[0]) < n).long())
        else:
            out.append(torch.randint(0, kind[1], (batch, *shape), generator=g))
    return out


def sample_targets(case, batch, seed):
    g = torch.Generator().manual_seed(seed + 1)
    kind, what = case.target
    if kind == "classes":
        return torch.randint(0, what, (batch,), generator=g)
    if kind == "values":
        return torch.rand(batch, *what, generator=g) * 1.6 - 0.8
    return torch.randint(0, 2, (batch, *what), generator=g).float()


def loss(case, output, target):
    kind = case.target[0]
    if kind == "classes":
        return F.cross_entropy(output, target)
    if kind == "binary":
        return F.binary_cross_entropy_with_logits(output, target)
    if kind == "probability":
        return F.binary_cross_entropy(output, target)
    return F.mse_loss(output, target)


def export(case, path, opset=17, dynamic_batch=True, keep_norms=True, modern=False, batch=2):
    """Writes the ONNX file in inference mode. keep_norms leaves every batch norm a node of its own, which is what training
    goes on from; else the exporter folds it into the convolution before it. modern takes the torch.export way instead of tracing."""
    import onnx

    inputs = tuple(sample_inputs(case, batch, 1))
    names = list(case.inputs)
    case.module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if modern:
            shapes = tuple({0: torch.export.Dim("batch")} for _ in names) if dynamic_batch else None
            torch.onnx.export(case.module, inputs, path, input_names=names, output_names=["y"], opset_version=opset,
                              dynamic_shapes=shapes, dynamo=True, external_data=False, optimize=not keep_norms, verbose=False)
            model = onnx.load(path)  # without the stack traces of who made each node
            for node in model.graph.node:
                del node.metadata_props[:]
            del model.graph.value_info[:]
            onnx.save(model, path)
        else:
            mode = torch.onnx.TrainingMode.PRESERVE if keep_norms else torch.onnx.TrainingMode.EVAL
            # The exporter merges equal initializers (all the ones and zeros of fresh norms) unless the outermost module trains.
            case.module.training = keep_norms
            torch.onnx.export(case.module, inputs, path, input_names=names, output_names=["y"], opset_version=opset,
                              dynamic_axes={n: {0: "batch"} for n in names + ["y"]} if dynamic_batch else None, training=mode, dynamo=False)
            case.module.training = False
    onnx.checker.check_model(path)


def main():
    directory, rest = sys.argv[1], sys.argv[2:]
    size = rest.pop(0) if rest and rest[0] in ("tiny", "real") else "real"
    os.makedirs(directory, exist_ok=True)
    for name in rest or NETS:
        case = build(name, size)
        path = os.path.join(directory, name + ".onnx")
        export(case, path)
        print("%-20s %9d parameters %9d bytes" % (name, sum(p.numel() for p in case.module.parameters()), os.path.getsize(path)), flush=True)


if __name__ == "__main__":
    main()
