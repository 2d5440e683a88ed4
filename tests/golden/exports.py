"""Writes tests/golden/exports/*.onnx and *.f32: small graphs as PyTorch's exporters write them with an open batch, and what ONNX
Runtime makes of them.

Each net is exported by the TorchScript exporter in the oldest of the opsets 9 to 17 that it can be said in and in 17, and by
the dynamo exporter in 18. A .f32 file holds the input of three rows, then every output, as float32 (token numbers, too), all
of them with the rows first.
Documentation, stack traces and other metadata are taken off the files.

Made with PyTorch 2.15.0, onnx 1.23.2, ONNX Runtime 1.32.0, seed 0; compared within 2e-5 relative (float32, sums of at most
a few hundred terms).   python3 tests/golden/exports.py [NET ...]
"""
import os
import sys
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn as nn
import torch.nn.functional as F

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "exports")
OLDEST = {"picked": 11, "pooled": 11, "pooledbefore": 11}  # there is no Range before, and what stands for it has a shape that depends on values


class Views(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(24, 8)

    def forward(self, x):
        b = x.size(0)
        return self.l(x.view(b, -1))


class Attn(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.MultiheadAttention(16, 4, batch_first=True)
        self.n = nn.LayerNorm(16)

    def forward(self, x):
        y, _ = self.a(x, x, x)
        return self.n(x+y)


class EncL(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.TransformerEncoder(nn.TransformerEncoderLayer(16,4,32,batch_first=True,activation='gelu'),2)

    def forward(self, x):
        return self.e(x).mean(1)


class Emb(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(50, 16)
        self.p = nn.Embedding(12, 16)
        self.l = nn.Linear(16, 3)

    def forward(self, x):
        pos = torch.arange(x.size(1), device=x.device)[None]
        h = self.e(x)+self.p(pos)
        m = (x!=0).unsqueeze(-1).float()
        h = (h*m).sum(1)/m.sum(1).clamp(min=1)
        return self.l(h)


class UNetish(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.c = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        a = F.relu(self.a(x))
        b = F.relu(self.b(a))
        u = F.interpolate(b,scale_factor=2,mode='bilinear',align_corners=False)
        return self.c(torch.cat([a, u], 1))


class UpSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(3, 8, 3, stride=2, padding=1)

    def forward(self, x):
        b = self.b(x)
        return F.interpolate(b,size=x.shape[2:],mode='nearest')+F.interpolate(b,size=x.shape[2:],mode='bicubic',align_corners=True)


class PixShuf(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        return F.pixel_unshuffle(F.pixel_shuffle(self.c(x), 2), 2)


class Shuffle(nn.Module):
    def forward(self, x):
        b, c, h, w = x.shape
        return x.view(b, 2, c//2, h, w).transpose(1, 2).reshape(b, c, h, w)


class Adaptive(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3*4, 5)

    def forward(self, x):
        return self.l(torch.flatten(F.adaptive_avg_pool2d(x, (2, 2)), 1))


class Causal(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(16, 48)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.q(x).chunk(3, -1)
        sh = lambda z:z.view(b, t, 4, c//4).transpose(1, 2)
        q, k, v = map(sh, (q, k, v))
        a = q@k.transpose(-2, -1)/2
        m = torch.tril(torch.ones(t, t)).bool()
        a = a.masked_fill(~m,float('-inf')).softmax(-1)
        return (a@v).transpose(1, 2).reshape(b, t, c)


class SDPA(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(16, 48)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = [z.view(b, t, 4, c//4).transpose(1, 2) for z in self.q(x).chunk(3, -1)]
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c)


class Ein(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 6, 5))

    def forward(self, x):
        return torch.einsum('bhd,hde->bhe',x,self.w)


class Expand(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls = nn.Parameter(torch.randn(1, 1, 16))
        self.p = nn.Parameter(torch.randn(1, 7, 16))
        self.l = nn.Linear(16, 4)

    def forward(self, x):
        t = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1)+self.p
        return self.l(t[:, 0])


class SliceSet(nn.Module):
    def forward(self, x):
        y = x.clone()
        y[:, 1] = x[:, 0]*2
        y[:, :, 2:4] = 0.5
        return y


class Assigned(nn.Module):
    def forward(self, x):
        y = torch.tanh(x)
        y[:, 1:3, :-1] = x[:, :2, 1:]
        y[:, -1] = y[:, 0]*2
        y[:, :, -2:] += 1
        z = torch.sigmoid(x)
        z[:, :, :] = y*2
        return z + y


class Placed(nn.Module):
    """Places by number, and parts whose ends have different signs, one of them empty."""

    def forward(self, x):
        y = torch.tanh(x)
        y[:, ::2] = x[:, :2]*2
        y[..., 1:4:2] = x[..., :2] + 1
        z = torch.sigmoid(x)
        z[:, [3, 0]] = x[:, 1:3]*3
        z[:, 1::2, 1:-1] = x[:, :2, 2:]
        w = torch.cos(x)
        w[:, :, 3:-3] = x[:, :, 3:-3]*2
        w[:, :, -2:4] = 7
        return y + z*w


class GatherM(nn.Module):
    def forward(self, x):
        i = x.argmax(2, keepdim=True)
        return torch.gather(x, 2, i).squeeze(2), x.topk(2, dim=2)[0]


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.GroupNorm(2, 4)
        self.i = nn.InstanceNorm2d(4, affine=True)
        self.b = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.i(self.g(self.b(x)))


class Pads(nn.Module):
    def forward(self, x):
        return F.pad(x,(1,2,1,0),mode='reflect')+F.pad(x,(1,2,1,0),mode='replicate')+F.pad(x,(2,1,0,1),mode='circular')+F.pad(x,(1,2,0,1),value=3)


class Acts(nn.Module):
    def forward(self, x):
        return torch.stack([F.gelu(x),F.gelu(x,approximate='tanh'),F.silu(x),F.mish(x),F.hardswish(x),F.hardsigmoid(x),F.elu(x),F.selu(x),F.celu(x,1.3),F.softplus(x),F.softsign(x),F.leaky_relu(x,.2),F.relu6(x),F.glu(x.repeat(1,1,2),-1),F.tanhshrink(x),F.hardtanh(x),F.logsigmoid(x)],1)


class Math(nn.Module):
    def forward(self, x):
        y = x.abs()+.5
        return torch.cat([y.rsqrt(), y.log2(), torch.atan2(x, y), x.var(1, keepdim=True).expand_as(x), x.std(-1, keepdim=True).expand_as(x), torch.norm(x, dim=1, keepdim=True).expand_as(x), x.cumsum(1), torch.logsumexp(x, 1, keepdim=True).expand_as(x), x.prod(1, keepdim=True).expand_as(x), x.clamp(-.5, .5), torch.where(x>0, x, y), x.triu() if False else x, x.flip(1), x.roll(1, 1), x**2, y**.5, x.remainder(.3), torch.fmod(x, .3)], 1)


class OneHotM(nn.Module):
    def forward(self, x):
        return F.one_hot(x, 7).float()


class Unf(nn.Module):
    def forward(self, x):
        return F.unfold(x, 2, stride=2)


class ConvT(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.ConvTranspose2d(3, 5, 3, stride=2, padding=1, output_padding=1)
        self.d = nn.Conv1d(5,6,3,padding='same')

    def forward(self, x):
        y = self.c(x)
        b = y.shape[0]
        return self.d(y.reshape(b, 5, -1))


class Rel(nn.Module):
    def __init__(self):
        super().__init__()
        self.t = nn.Parameter(torch.randn(9, 2))
        self.register_buffer('i',torch.randint(0,9,(4,4)))

    def forward(self, x):
        b, h, w, c = x.shape
        x = x.view(b, h//2, 2, w//2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        bias = self.t[self.i.view(-1)].view(4, 4, 2).permute(2, 0, 1)
        a = (x@x.transpose(1, 2)).unsqueeze(1)+bias
        a = a.softmax(-1).mean(1)@x
        return a.view(b, h//2, w//2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)


class TimeLstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.r = nn.LSTM(4, 6, 2, bidirectional=True)
        self.l = nn.Linear(12, 3)

    def forward(self, x):
        return self.l(self.r(x)[0])


class TimeGru(nn.Module):
    def __init__(self):
        super().__init__()
        self.r = nn.GRU(4, 6)
        self.l = nn.Linear(6, 3)

    def forward(self, x):
        y, h = self.r(x)
        return torch.log_softmax(self.l(y[-1]), -1), h


class TimeEnc(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1)

    def forward(self, x):
        return self.e(x)


class Picked(nn.Module):
    """Elements by numbers of rows and columns, as transformers reads its masks."""

    def __init__(self):
        super().__init__()
        self.e, self.l = nn.Embedding(50, 8), nn.Linear(8, 3)

    def forward(self, x):
        n, t = x.shape
        kept = (x > 20)[torch.arange(n)[:, None, None], torch.arange(1, t)[None, :, None]]
        return self.l(self.e(x)[:, 1:] * kept.float())


class Pooled(nn.Module):
    """The last token that is no padding, as transformers pools a decoder: by its number among the row's own."""

    def __init__(self):
        super().__init__()
        self.e, self.l = nn.Embedding(50, 8), nn.Linear(8, 3)

    def forward(self, x):
        n, t = x.shape
        last = (torch.arange(t, dtype=torch.int32) * (x > 20).int()).argmax(-1)
        return self.l(self.e(x))[torch.arange(n), last]


class PooledBefore(Pooled):
    """The same as it was before 4.46: what stands in front of the first padding, or the end where there is none."""

    def forward(self, x):
        n, t = x.shape
        last = (x <= 20).int().argmax(-1) - 1
        return self.l(self.e(x))[torch.arange(n), last % t]


def nets():
    x = torch.randn
    return {
        "views": (Views(), x(2, 2, 3, 4)),
        "attn": (Attn(), x(2, 5, 16)),
        "encl": (EncL(), x(2, 5, 16)),
        "emb": (Emb(), torch.randint(0, 50, (2, 6))),
        "unet": (UNetish(), x(2, 3, 8, 8)),
        "upsize": (UpSize(), x(2, 3, 8, 8)),
        "pixshuf": (PixShuf(), x(2, 3, 4, 4)),
        "shuffle": (Shuffle(), x(2, 4, 3, 3)),
        "adaptive": (Adaptive(), x(2, 3, 8, 8)),
        "causal": (Causal(), x(2, 6, 16)),
        "sdpa": (SDPA(), x(2, 6, 16)),
        "ein": (Ein(), x(2, 4, 6)),
        "expand": (Expand(), x(2, 6, 16)),
        "sliceset": (SliceSet(), x(2, 3, 5)),
        "gather": (GatherM(), x(2, 3, 5)),
        "norms": (Norms(), x(2, 4, 5, 5)),
        "pads": (Pads(), x(2, 3, 5, 6)),
        "acts": (Acts(), x(2, 3, 4)),
        "math": (Math(), x(2, 3, 4)),
        "onehot": (OneHotM(), torch.randint(0, 7, (2, 6))),
        "unfold": (Unf(), x(2, 3, 4, 6)),
        "convt": (ConvT(), x(2, 3, 4, 4)),
        "rel": (Rel(), x(2, 4, 4, 6)),
        "time_lstm": (TimeLstm(), x(7, 2, 4)),
        "time_gru": (TimeGru(), x(7, 2, 4)),
        "time_enc": (TimeEnc(), x(5, 2, 8)),
        "picked": (Picked(), torch.randint(0, 50, (2, 6))),
        "pooled": (Pooled(), torch.randint(0, 50, (2, 6))),
        "pooledbefore": (PooledBefore(), torch.randint(0, 50, (2, 6))),
        "assigned": (Assigned(), x(2, 4, 5)),
        "placed": (Placed(), x(2, 4, 5)),
    }


def strip(model):
    graphs = [model.graph] + list(model.functions)
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    for g in graphs:
        g.ClearField("doc_string")
        for part in [g] + list(g.node) + list(g.value_info) + (list(g.input) + list(g.output) + list(g.initializer) if g is model.graph else []):
            for field in ("doc_string", "metadata_props"):
                if any(f.name == field for f in part.DESCRIPTOR.fields):
                    part.ClearField(field)
    return model


def batch_axis(name):
    """Where the input has its rows: behind the time in nets of that name, whose outputs of three dimensions are like it."""
    return 1 if name.startswith("time_") else 0


def save(name, model, x):
    axis = batch_axis(name)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = torch.cat([x, x.narrow(axis, 0, 1) + (0.25 if x.dtype == torch.float32 else 0)], axis).numpy()
    outputs = session.run(None, {session.get_inputs()[0].name: rows})
    onnx.save(strip(model), f"{OUT}/{name}.onnx")
    np.concatenate([(a.swapaxes(0, axis) if a.ndim == 3 else a).astype(np.float32).ravel() for a in [rows] + outputs]).tofile(f"{OUT}/{name}.f32")


def by_script(net, x, opset, axis):
    torch.onnx.export(net, (x,), f"{OUT}/tmp", dynamo=False, opset_version=opset, input_names=["x"], dynamic_axes={"x": {axis: "n"}})


def by_dynamo(net, x, opset, axis):
    shapes = ({axis: torch.export.Dim("n")},)
    torch.onnx.export(net, (x,), f"{OUT}/tmp", dynamo=True, opset_version=opset, input_names=["x"], dynamic_shapes=shapes, verbose=False,
                      external_data=False)


def export(name, net, x, how, opsets):
    """In the first opset that works."""
    for opset in opsets:
        try:
            how(net, x, opset, batch_axis(name))
        except Exception as e:  # the exporter has many kinds
            print(name, opset, type(e).__name__)
            continue
        save(f"{name}_{how.__name__[3:]}{opset}", onnx.load(f"{OUT}/tmp"), x)
        os.remove(f"{OUT}/tmp")
        return


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    for name, (net, x) in nets().items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        for p in list(net.parameters()) + [b for b in net.buffers() if b.is_floating_point()]:
            p.data.uniform_(0.2, 1.0) if p.dim() == 1 else None
        export(name, net.eval(), x, by_script, [o for o in (9, 11, 13, 14, 16) if o >= OLDEST.get(name, 9)])
        export(name, net, x, by_script, (17,))
        export(name, net, x, by_dynamo, (18,))


if __name__ == "__main__":
    main()
