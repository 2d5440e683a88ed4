"""ort_check.py MODEL MNIST_DIR ACCURACY [SPARSITY]: an independent judge. Runs the ONNX file with ONNX Runtime on all 10,000 test
images, demands exactly the stated accuracy, that every logit is within 1e-4 of the same network computed with numpy
in double precision from the file's own weights, and counts the zeros.
"""
import os
import sys

import numpy as np
import onnxruntime as ort


def idx(path):
    with open(path, "rb") as f:
        raw = f.read()
    n = raw[3]
    dims = [int.from_bytes(raw[4 + 4 * i:8 + 4 * i], "big") for i in range(n)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n).reshape(dims)


def fields(raw):
    """The fields of a protobuf message: (number, value), the value an integer or bytes."""
    i = 0

    def varint():
        nonlocal i
        v = shift = 0
        while True:
            b = raw[i]
            i += 1
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v
    while i < len(raw):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            n = varint()
            yield key >> 3, raw[i:i + n]
            i += n
        else:
            n = 4 if key & 7 == 5 else 8
            yield key >> 3, raw[i:i + n]
            i += n


def weights(path):
    with open(path, "rb") as f:
        graph = next(v for k, v in fields(f.read()) if k == 7)
    out = {}
    for k, v in fields(graph):
        if k != 5:
            continue
        t = list(fields(v))
        dims = []
        for key, value in t:
            if key == 1:
                dims += [value] if isinstance(value, int) else list(value)
        name = next(value for key, value in t if key == 8).decode()
        raw = next((value for key, value in t if key == 9), b"")
        if next((value for key, value in t if key == 2), 0) == 1:
            out[name] = np.frombuffer(raw, "<f4").reshape(dims)
    return out


def main():
    model, mnist, stated = sys.argv[1], sys.argv[2], float(sys.argv[3])
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    x = idx(os.path.join(mnist, "t10k-images-idx3-ubyte")).astype(np.float32) / 255
    y = idx(os.path.join(mnist, "t10k-labels-idx1-ubyte"))
    logits = session.run(None, {given.name: x.reshape((len(x), -1))})[0]
    accuracy = float((logits.argmax(1) == y).mean())
    assert abs(accuracy - stated) < 5e-5, f"ONNX Runtime gives {accuracy}, the report states {stated}"
    w = weights(model)
    h = x.reshape(len(x), -1).astype(np.float64)
    n = sum(k.endswith(".weight") for k in w)
    for i in range(1, n + 1):
        h = h @ w[f"fc{i}.weight"].astype(np.float64).T + w[f"fc{i}.bias"]
        h = np.maximum(h, 0) if i < n else h
    worst = float(np.abs(h - logits).max())
    assert worst < 1e-4, f"logits differ by {worst}"
    total = sum(v.size for k, v in w.items() if k.endswith(".weight"))
    zeros = sum(int((v == 0).sum()) for k, v in w.items() if k.endswith(".weight"))
    if len(sys.argv) > 4:
        assert abs(zeros / total - float(sys.argv[4])) < 0.005, (zeros, total)
    print(f"ONNX Runtime {ort.__version__}: accuracy {accuracy}, logits within {worst:.1e}, {zeros} of {total} weights are zero")


if __name__ == "__main__":
    main()
