"""Thousands of broken files through the real upload routes, while somebody else uses the daemon.

Each file must be answered within two seconds: taken (a mutation may leave a valid file) or refused with a problem, never with a
server error; and meanwhile the p99 of other routes stays under twice what it is when mutated files are replaced by good ones
at the same rate. The daemon must live, be ready and have no leftovers at the end.

    malformed.py [COUNT] [SEED]     with PARED_BIN and PARED_SRC
"""
import glob
import gzip
import io
import os
import random
import struct
import sys
import threading
import time
import zipfile
import zlib

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import SRC, Daemon  # noqa: E402
from hostile_bytes import field, model, node, npy, npz, tensor, varint  # noqa: E402

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
SENDERS = 2
MOST_SECONDS = 2.0
MODEL, DATA = "/v1/models", "/v1/datasets"


# --- shapes known from reports of holes in other readers of ONNX and of arrays
def external(location, **more):
    entries = {"location": location, **more}
    t = field(1, 4) + field(1, 3) + field(2, 1) + field(8, "w") + field(14, 1)
    t += b"".join(field(13, field(1, k) + field(2, str(v))) for k, v in entries.items())
    return model([node("MatMul", ["x", "w"], ["y"])], [t])


def nested(depth, wrap):
    inner = b""
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def zip_bomb(n_bytes, level=9):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as z:
        z.writestr("x.npy", npy(bytes(n_bytes), "<f4", (n_bytes // 16, 4)))
        z.writestr("y.npy", npy(bytes(8), "<i8", (1,)))
    return out.getvalue()


def known_shapes():
    w = tensor("w", [4, 3], [0.5] * 12)
    mul = node("MatMul", ["x", "w"], ["y"])
    for location in ("/etc/passwd", "../../etc/passwd", "a/../../b", "/proc/self/environ", "/dev/zero", "", ".", "a\0b", "C:\\x", "x" * 5000,
                     "http://127.0.0.1/", "model.onnx"):
        yield MODEL, external(location)
    for more in ({"offset": -1}, {"length": -1}, {"offset": 2 ** 63 - 1}, {"length": 2 ** 64}, {"offset": 1, "length": 2 ** 63 - 1}, {"checksum": "x"}):
        yield MODEL, external("w.bin", **more)
    graph_in_attribute = lambda b: field(1, field(4, "If") + field(5, field(1, "then_branch") + field(20, 5) + field(6, b)))  # noqa: E731
    for depth in (30, 100, 3000, 20000):
        yield MODEL, field(1, 8) + field(7, nested(depth, graph_in_attribute)) + field(8, field(2, 17))
    yield MODEL, field(1, 8) + field(7, field(1, b"") * 400000) + field(8, field(2, 17))  # two bytes a node
    yield MODEL, field(1, 8) + field(7, field(5, b"") * 400000) + field(8, field(2, 17))
    for dims in ([2 ** 62, 2 ** 62], [-1, 12], [0, 0], [2 ** 31, 2 ** 31], [1] * 70):
        yield MODEL, model([mul], [tensor("w", dims, [0.5] * 12)])
    yield MODEL, model([mul], [w + field(4, struct.pack("<12f", *[1.0] * 12))])  # raw and typed data
    yield MODEL, model([mul], [w, w])
    yield MODEL, model([node("Add", ["y", "w"], ["x1"]), node("Add", ["x1", "w"], ["y"])], [w])  # a cycle
    yield MODEL, model([node("MatMul", ["x", "nowhere"], ["y"])])
    yield MODEL, model([mul, mul], [w])
    function = field(1, "f") + field(4, "in") + field(5, "out") + field(7, field(1, "in") + field(2, "out") + field(4, "f") + field(7, "d")) + field(10, "d")
    yield MODEL, model([node("f", ["x"], ["y"], domain="d")]) + field(25, function)  # a function that calls itself
    yield MODEL, model([mul], [tensor("w", [4, 3], [float("nan"), float("inf")] * 6)])
    yield MODEL, b"\x0a" + b"\xff" * 9 + b"\x7f"  # a length past everything
    yield MODEL, b"\xff" * 64
    yield MODEL, b"\x0b" * 1000  # groups
    yield MODEL, varint(7 << 3 | 2) + varint(2 ** 63)
    yield DATA, npy(b"", "|O", (3,))
    yield DATA, b"\x93NUMPY\x01\x00\xff\xff{'descr': __import__('os').system('id')"
    yield DATA, npy(bytes(64), "<f4", (2 ** 40, 2 ** 30))
    yield DATA, npy(bytes(64), "<f4", (-1, 4))
    yield DATA, struct.pack(">IIII", 0x803, 2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1)
    yield DATA, gzip.compress(bytes(64 << 20), 9)
    yield DATA, gzip.compress(gzip.compress(bytes(8 << 20), 9), 9)
    yield DATA, zip_bomb(64 << 20)
    yield DATA, b"PK\x05\x06" + b"\xff" * 18
    yield DATA, b'a,b,label\n"' + b"x" * (1 << 20)
    yield DATA, b"a" + b",a" * 100000 + b"\n" + b"1" + b",1" * 100000 + b"\n"
    yield DATA, zlib.compress(b"no header")


# --- mutations of good files
def good_files():
    for path in sorted(glob.glob(os.path.join(SRC, "tests/data/onnx/*.onnx")) + glob.glob(os.path.join(SRC, "tests/golden/exports/*.onnx"))):
        with open(path, "rb") as f:
            yield MODEL, f.read()
    for path in sorted(glob.glob(os.path.join(SRC, "tests/data/*.np[yz]")) + [os.path.join(SRC, "tests/data/iris.csv")]):
        with open(path, "rb") as f:
            yield DATA, f.read()
    yield DATA, struct.pack(">IIII", 0x803, 20, 2, 2) + bytes(range(80))
    yield DATA, npz(x=npy(struct.pack("<40f", *range(40)), "<f4", (10, 4)), y=npy(struct.pack("<10q", *[0, 1] * 5), "<i8", (10,)))


def flip(rng, b):
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        b[rng.randrange(len(b))] ^= 1 << rng.randrange(8)


def cut(rng, b):
    del b[rng.randrange(len(b)):]


def drop(rng, b):
    at = rng.randrange(len(b))
    del b[at:at + rng.choice((1, 2, 7, 100))]


def double(rng, b):
    at = rng.randrange(len(b))
    b[at:at] = b[at:at + rng.choice((1, 8, 300))]


def splice(rng, b):
    at, other = rng.randrange(len(b)), rng.randrange(len(b))
    b[at:at + 16] = b[other:other + rng.choice((4, 16, 200))]


def number(rng, b):
    at = rng.randrange(len(b))
    b[at:at + rng.choice((1, 4, 8))] = rng.choice((b"\xff" * 4, b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", b"\x00" * 8, b"\x7f\xff\xff\xff", struct.pack("<q", -1)))


def bytes_of_noise(rng, b):
    at = rng.randrange(len(b))
    b[at:at + 32] = rng.randbytes(32)


MUTATIONS = (flip, flip, cut, drop, double, splice, number, bytes_of_noise)


def corpus():
    cases = list(known_shapes())
    bases = [(route, data) for route, data in good_files() if len(data) < 300000]
    rng = random.Random(SEED)
    while len(cases) < COUNT:
        route, data = rng.choice(bases)
        data = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            if data:
                rng.choice(MUTATIONS)(rng, data)
        cases.append((route, bytes(data)))
    return cases, bases


class Clock:
    """Asks what other clients ask, all the time."""

    def __init__(self, d):
        self.d, self.times, self.stop = d, [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        paths = ("/livez", "/v1/models?limit=5", "/v1/queue", "/v1/jobs?limit=5")
        k = 0
        while not self.stop.is_set():
            began = time.monotonic()
            r = self.d.get(paths[k % len(paths)])
            self.times.append(time.monotonic() - began)
            assert r.status == 200, r
            k += 1
            self.stop.wait(0.002)

    def p99(self):
        self.stop.set()
        self.thread.join()
        return sorted(self.times)[int(len(self.times) * 0.99)]


def send_all(d, cases, judge):
    """Several senders; what each reply was goes to judge(case, reply, seconds)."""
    todo, lock = list(enumerate(cases)), threading.Lock()
    todo.reverse()

    def sender():
        while True:
            with lock:
                if not todo:
                    return
                i, (route, data) = todo.pop()
            began = time.monotonic()
            r = d.upload(f"{route}?name=case-{i}", data)
            took = time.monotonic() - began
            with lock:
                judge(i, cases[i], r, took)
            if r.status == 201:
                d.request("DELETE", f"{route}/{r.json()['id']}")

    threads = [threading.Thread(target=sender) for _ in range(SENDERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def main():
    cases, bases = corpus()
    wrong, statuses, slowest = [], {}, [0.0]

    def judge(i, case, r, took):
        statuses[r.status] = statuses.get(r.status, 0) + 1
        slowest[0] = max(slowest[0], took)
        if r.status not in (201, 400, 413, 415, 422) or took > MOST_SECONDS:
            wrong.append((i, case, r, took))

    with Daemon("--workers", "1") as d:
        clock = Clock(d)
        time.sleep(2)
        quiet = clock.p99()
        clock = Clock(d)
        send_all(d, [bases[k % len(bases)] for k in range(300)], lambda *_: None)
        calm = clock.p99()
        clock = Clock(d)
        send_all(d, cases, judge)
        busy = clock.p99()
        assert d.get("/readyz").status == 200
        left = [f for _, _, files in os.walk(os.path.join(d.data, "staging")) for f in files]
        log = d.tail(100000)
    for i, (route, data), r, took in wrong[:10]:
        print(f"case {i} ({route}, {len(data)} bytes): {took:.2f} s, {r}")
    print(f"malformed: {len(cases)} files (seed {SEED}): {' '.join(f'{n} x {s}' for s, n in sorted(statuses.items()))}; slowest {slowest[0]:.2f} s; "
          f"p99 of other routes {busy * 1000:.1f} ms, beside good uploads {calm * 1000:.1f} ms, alone {quiet * 1000:.1f} ms; {len(wrong)} wrong, {len(left)} left behind, "
          f"{log.count('worker_crashed') + log.count('engine.crashed')} crashes")
    return 1 if wrong or left or "worker_crashed" in log or busy > 2 * calm else 0


if __name__ == "__main__":
    sys.exit(main())
