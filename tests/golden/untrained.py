#!/usr/bin/env python3
"""Writes tests/golden/untrained/*.onnx: nets that were never trained, whose equal biases, scales and statistics PyTorch's exporters write once, and
*.f32 beside each: 4 rows, then what ONNX Runtime makes of them. Floats in host order, tolerance 1e-5.

The exporters are TorchScript's (torchscript_*, opset 17) and dynamo (dynamo_*, opset 18). In "convnext" the hidden units of the first stage are as many as the
channels of the last, so that all zero biases of that length are one tensor; "norms" keeps its batch norms.

Made with PyTorch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, ONNX Runtime 1.32.0, seed 0.

    pip install torch onnx onnxscript onnxruntime && python3 untrained.py
"""
import os
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
import torch.nn.functional as F

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "untrained")
ROWS, WIDTHS = 4, (4, 8, 16)


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.dw = nn.Conv2d(d, d, 3, padding=1, groups=d)
        self.norm = nn.LayerNorm(d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.gamma = nn.Parameter(0.5 * torch.ones(d))

    def forward(self, x):
        y = self.norm(self.dw(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self):
        super().__init__()
        layers, before = [], 3
        for d in WIDTHS:
            layers += [nn.Conv2d(before, d, 2, 2), Block(d), Block(d)]
            before = d
        self.body, self.norm, self.head = nn.Sequential(*layers), nn.LayerNorm(before), nn.Linear(before, 3)
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(m.weight, std=0.3)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        return self.head(self.norm(self.body(x).mean((2, 3))))


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        widths = (3, 6, 6, 6)
        self.body = nn.Sequential(*(m for a, b in zip(widths, widths[1:]) for m in (nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def slim(path):
    model = onnx.load(path)
    for thing in [model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info, *model.graph.input, *model.graph.output]:
        thing.doc_string = ""
        if hasattr(thing, "metadata_props"):
            del thing.metadata_props[:]
    onnx.save(model, path)


def write(name, net, x, **how):
    path = f"{OUT}/{name}.onnx"
    torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], **how)
    slim(path)
    y = onnxruntime.InferenceSession(path).run(None, {"x": x.numpy()})[0]
    with open(f"{OUT}/{name}.f32", "wb") as f:
        f.write(x.numpy().tobytes() + y.astype("f").tobytes())


warnings.filterwarnings("ignore")
os.makedirs(OUT, exist_ok=True)
torch.manual_seed(0)
convnext, norms = ConvNeXt().eval(), Norms().eval()
images, small = torch.randn(ROWS, 3, 16, 16), torch.randn(ROWS, 3, 4, 4)
torchscript = {"dynamo": False, "opset_version": 17, "dynamic_axes": {"x": {0: "n"}}}
write("torchscript_convnext", convnext, images, **torchscript)
write("torchscript_norms", norms, small, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False, **torchscript)
write("dynamo_convnext", convnext, images, dynamo=True, opset_version=18, external_data=False, verbose=False, dynamic_shapes=({0: torch.export.Dim("n")},))
