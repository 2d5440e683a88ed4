"""PyTorch's and ONNX Runtime's side of bench/engine_net.c, for the nets of tests/golden/nets.py.

    torch_net.py export DIR NAME...            DIR/NAME.onnx, and rows to train on: DIR/NAME.x_<input>.npy, DIR/NAME.y.npy
    torch_net.py train DIR NAME SECONDS        SGD at batch 64, for SECONDS with one thread and with two
    torch_net.py infer MODEL BATCH SECONDS     ONNX Runtime, one thread

train and infer print: seconds S1 seconds2 S2 cpu C rss MB  (S1, S2: median step with one and with two threads; C: CPU seconds of a
step with one thread; rss: the process's peak), infer only the first. The data are held in tensors and each epoch draws a new
order, as in torch_mlp.py; nets whose target is not a class are trained by mean squared error, on both sides."""
import os
import resource
import statistics
import sys
import time

import numpy

BATCH = 64
HEAVY = ("resnet18", "mobilenetv2", "densenet", "unet", "vit")


def nets():
    sys.path.insert(0, os.environ.get("PARE_NETS", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden")))
    import nets as module

    return module


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def samples(case):
    n = nets()
    rows = BATCH * (2 if case.name in HEAVY else 16)
    x, y = n.sample_inputs(case, rows, seed=1), n.sample_targets(case, rows, seed=1)
    if case.target[0] == "classes":
        y[: case.target[1]] = __import__("torch").arange(case.target[1])  # every class occurs
    else:
        y = y.reshape(rows, -1) + 0.25  # fractions: regression
    return x, y


def export(folder, names):
    n = nets()
    for name in names:
        case = n.build(name)
        n.export(case, f"{folder}/{name}.onnx")
        x, y = samples(case)
        for key, tensor in zip(case.inputs, x):
            numpy.save(f"{folder}/{name}.x_{key}.npy", tensor.numpy())
        numpy.save(f"{folder}/{name}.y.npy", y.numpy())


def train(name, seconds):
    import torch

    n = nets()
    case = n.build(name)
    x, y = samples(case)
    module = case.module.train()
    opt = torch.optim.SGD(module.parameters(), lr=0.001)
    classes = case.target[0] == "classes"
    loss_of = torch.nn.CrossEntropyLoss() if classes else torch.nn.MSELoss()

    def epoch(times):
        for rows in torch.randperm(len(y)).split(BATCH):
            start, cpu = time.perf_counter(), time.process_time()
            opt.zero_grad()
            out = module(*[t[rows] for t in x])
            loss_of(out if classes else out.reshape(len(rows), -1), y[rows]).backward()
            opt.step()
            times.append((time.perf_counter() - start, time.process_time() - cpu))

    medians, cpu = [], 0.0
    for threads in (1, 2):
        torch.set_num_threads(threads)
        epoch([])
        times, start = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - start < seconds:
            epoch(times)
        medians.append(statistics.median(t for t, _ in times))
        if threads == 1:
            cpu = statistics.median(c for _, c in times)
    print(f"seconds {medians[0]:.7f} seconds2 {medians[1]:.7f} cpu {cpu:.7f} rss {peak():.1f}")


def infer(path, batch, seconds):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rng = numpy.random.default_rng(42)
    feed = {}
    for i in session.get_inputs():
        shape = [batch] + [d if isinstance(d, int) else 1 for d in i.shape[1:]]
        if i.type == "tensor(float)":
            feed[i.name] = rng.standard_normal(shape).astype(numpy.float32)
        else:
            feed[i.name] = rng.integers(0, 2, shape).astype(numpy.int64)
    for _ in range(3):
        session.run(None, feed)
    times, cpus, start = [], [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < seconds:
        begin, cpu = time.perf_counter(), time.process_time()
        session.run(None, feed)
        times.append(time.perf_counter() - begin)
        cpus.append(time.process_time() - cpu)
    print(f"seconds {statistics.median(times):.7f} cpu {statistics.median(cpus):.7f} rss {peak():.1f}")


def main():
    what, rest = sys.argv[1], sys.argv[2:]
    if what == "export":
        export(rest[0], rest[1:])
    elif what == "train":
        train(rest[0], float(rest[1]))
    else:
        infer(rest[0], int(rest[1]), float(rest[2]))


if __name__ == "__main__":
    main()
