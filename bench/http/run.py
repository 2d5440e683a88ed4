"""The service under load: every figure beside its target. bench/http/run.py BUILD_DIR

Both sides run on this machine, in turns: A, B, A, B, ...; a ratio is the median over the rounds of the ratio within a round, so that other
load falls on both. Absolute figures need a quiet machine; the load is printed with them. A figure never fails the script.

BENCH_HTTP_PARTS (get post streams upload download corpus list), BENCH_HTTP_ROUNDS (3), BENCH_HTTP_SECONDS (3, of each run of wrk),
BENCH_HTTP_UPLOAD_MB (4096), BENCH_HTTP_JOBS (1000000), BENCH_HTTP_CORPUS (5000, malformed files)
"""
import contextlib
import glob
import hashlib
import http.client
import itertools
import json
import multiprocessing
import os
import queue
import random
import resource
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

BIN = os.path.abspath(sys.argv[1])
SRC = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ["PARED_BIN"], os.environ["PARED_SRC"] = BIN, SRC
sys.path.insert(0, os.path.join(SRC, "tests/support/py"))
from daemon import Daemon as TestDaemon, wait_for  # noqa: E402
from hostile_bytes import field, model, node, npy, npz as arrays, tensor  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_HTTP_ROUNDS", "3"))
SECONDS = int(os.environ.get("BENCH_HTTP_SECONDS", "3"))
UPLOAD = int(os.environ.get("BENCH_HTTP_UPLOAD_MB", "4096")) << 20
JOBS = int(os.environ.get("BENCH_HTTP_JOBS", "1000000"))
CORPUS = int(os.environ.get("BENCH_HTTP_CORPUS", "5000"))
PARTS = os.environ.get("BENCH_HTTP_PARTS", "get post streams upload download corpus list").split()
PROBES = 250  # a second: what asks how long others wait must not be a load itself
MB = 1 << 20
POST_LUA = """wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
wrk.headers["Content-Type"] = "application/json"
"""
total, missed = 0, []


def figure(name, value, target=None, at_least=True, unit="", note=""):
    """One line; with a target it counts."""
    global total
    word = "-"
    if target is not None:
        total += 1
        met = value >= target if at_least else value <= target
        word = "met" if met else "MISSED"
        if not met:
            missed.append(f"{name}: {value:.4g} {unit}, target {target:g}")
    sign = "" if target is None else (">= " if at_least else "<= ") + f"{target:g}"
    print(f"{name:<58} {value:>10.4g} {sign:>10} {unit:<5} {word:<7} {note}", flush=True)


class Daemon(TestDaemon):
    """On a disk, not in memory: what is durable must cost what it costs."""

    def __init__(self, *flags):
        super().__init__("--log-level", "error", *flags)
        shutil.rmtree(self.dir)
        self.dir = tempfile.mkdtemp(prefix="pared-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp"))
        self.data, self.log = os.path.join(self.dir, "data"), os.path.join(self.dir, "log")

    def peak(self):
        """The largest resident size since the start, in MB."""
        with open(f"/proc/{self.pid()}/status") as f:
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))


class Bare:
    def __init__(self, n_bytes):
        self.process = subprocess.Popen([os.path.join(BIN, "bench/http/bare"), str(min(os.cpu_count(), 4)), str(n_bytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(server, path, *more, connections=64, body=""):
    """requests/s, p99 in ms, and microseconds of CPU that the server spent on each; wrk counts what is not 2xx."""
    url, pid = f"http://127.0.0.1:{server.port}{path}", server.process.pid
    spent = cpu_seconds(pid)
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", *more, url], capture_output=True, text=True,
                         env={**os.environ, "BENCH_BODY": body}, check=True).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    spent = cpu_seconds(pid) - spent
    n = next(int(line.split()[0]) for line in out.splitlines() if " requests in " in line)
    rate = next(float(line.split()[1]) for line in out.splitlines() if line.startswith("Requests/sec"))
    p99 = next(line.split()[1] for line in out.splitlines() if line.split()[:1] == ["99%"])
    for unit, factor in (("us", 1e-3), ("ms", 1.0), ("m", 60e3), ("s", 1e3)):
        if p99.endswith(unit):
            return rate, float(p99[:-len(unit)]) * factor, spent / n * 1e6
    raise AssertionError(out)


def ready(d):
    m, s = d.iris_model(), d.iris_data()
    return m, s, d.long_job(m, s).json()["id"]


def median(runs, i):
    return statistics.median(r[i] for r in runs)


def get_part():
    with Daemon("--workers", "1") as d:
        j = ready(d)[2]
        d.request("POST", f"/v1/jobs/{j}/cancel")
        wait_for(lambda: d.get(f"/v1/jobs/{j}").json()["status"] == "canceled", 20, "the job's end")
        bare = Bare(len(d.get(f"/v1/jobs/{j}").body))
        ours, theirs = [], []
        for _ in range(ROUNDS):
            theirs.append(wrk(bare, "/x"))
            ours.append(wrk(d, f"/v1/jobs/{j}"))
        bare.close()
    figure("GET /v1/jobs/{id}, 64 connections", median(ours, 0), 10000, unit="/s")
    figure("GET /v1/jobs/{id} / bare libmicrohttpd", statistics.median(a[0] / b[0] for a, b in zip(ours, theirs)), 0.7,
           note=f"bare {median(theirs, 0):.0f}/s; CPU {median(ours, 2):.0f} against {median(theirs, 2):.0f} us a request")


def syncs_per_second(where):
    """How often a second this disk makes two pages durable."""
    path = os.path.join(where, "sync")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, bytes(4 * MB))
    os.fsync(fd)
    n, until = 0, time.monotonic() + 1
    while time.monotonic() < until:
        os.pwrite(fd, bytes(8192), n % 500 * 8192)
        os.fdatasync(fd)
        n += 1
    os.close(fd)
    os.unlink(path)
    return n


def post_part():
    with Daemon("--workers", "1", "--max-queued-jobs", "10000000") as d:
        m, s, j = ready(d)
        script = os.path.join(d.dir, "post.lua")
        with open(script, "w") as f:
            f.write(POST_LUA)
        body = json.dumps({"model": m, "dataset": s, "recipe": "l1-sparse"})
        bare = Bare(len(d.get(f"/v1/jobs/{j}").body))
        ours, theirs, syncs = [], [], []
        for _ in range(ROUNDS):
            theirs.append(wrk(bare, "/v1/jobs", "-s", script, body=body))
            ours.append(wrk(d, "/v1/jobs", "-s", script, body=body))
            syncs.append(syncs_per_second(d.dir))
        bare.close()
    figure("POST /v1/jobs, durable, 64 connections", median(ours, 0), 3000, unit="/s",
           note=f"CPU {median(ours, 2):.0f} us a request; the disk alone: {statistics.median(syncs):.0f} syncs/s")
    figure("POST /v1/jobs, p99", median(ours, 1), 40, at_least=False, unit="ms")
    figure("POST /v1/jobs / bare libmicrohttpd", statistics.median(a[0] / b[0] for a, b in zip(ours, theirs)), note=f"bare {median(theirs, 0):.0f}/s")


def streams_part():
    n = 10000
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    with Daemon("--workers", "1") as d:
        m, s, _ = ready(d)
        j = d.job(m, s).json()["id"]  # waits behind the other: nothing to say
        head = f"GET /v1/jobs/{j}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode()
        began = time.monotonic()
        idle = []
        for _ in range(n):
            c = socket.create_connection(("127.0.0.1", d.port))
            c.sendall(head)
            idle.append(c)
        for c in idle:
            c.settimeout(20)
            assert c.recv(4096).startswith(b"HTTP/1.1 200"), "a stream was refused"
        opened = time.monotonic() - began
        rss = d.rss() / MB
        times = ask(d.port, "/livez", 1000)
        for c in idle:
            c.close()
    figure("10,000 idle event streams: resident", rss, 100, at_least=False, unit="MB", note=f"opened in {opened:.1f} s")
    figure("  /livez beside them, p99", times[989], 50, at_least=False, unit="ms")


@contextlib.contextmanager
def never_waits():
    """What this process does is done at once, where that is allowed (root, CAP_SYS_NICE): a clock that has to wait for a core measures the cores."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@never_waits()
def ask(port, path, n=None, rate=None, more=None):
    """n requests on one connection, or while more(); their times in ms, sorted. With a rate (per second) each has its time, and one that is
    held up by the answer before it counts from then: a slow answer must not hide what would have waited behind it."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    times, due = [], time.monotonic()
    while len(times) < n if more is None else more():
        began = time.monotonic()
        if rate is not None:
            due += 1 / rate
            if began < due:
                time.sleep(due - began)
            began = time.monotonic() if began < due else due
        c.request("GET", path)
        r = c.getresponse()
        r.read()
        times.append((time.monotonic() - began) * 1e3)
        assert r.status == 200, r.status
    c.close()
    return sorted(times)


def hash_and_write(source, target):
    began = time.monotonic()
    h = hashlib.sha256()
    with open(source, "rb") as f, open(target, "wb") as out:
        while piece := f.read(MB):
            h.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    os.unlink(target)
    return time.monotonic() - began


def upload_part():
    """What is sent is no data set: it is written and hashed like one, and then refused by the engine, so that looking at it costs nothing."""
    with Daemon("--max-upload-bytes", str(UPLOAD + MB)) as d:
        source = os.path.join(d.dir, "big")
        with open(source, "wb") as f:
            f.truncate(UPLOAD)  # zeros, read from no disk
        local = hash_and_write(source, os.path.join(d.dir, "copy"))
        before = d.peak()
        began = time.monotonic()
        with open(source, "rb") as f:
            c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=600)
            c.blocksize = MB
            c.request("POST", "/v1/datasets?filename=big.npz", f, {"Content-Length": str(UPLOAD), "Content-Type": "application/octet-stream"})
            status = c.getresponse().status
            c.close()
        ours = time.monotonic() - began
        assert status in (415, 422), status
        peak = d.peak()
    figure(f"upload of {UPLOAD >> 20} MiB: peak resident", peak, 64, at_least=False, unit="MB", note=f"{before:.0f} MB before")
    figure("upload / writing and hashing the file locally, rate", local / ours, 0.6, note=f"{UPLOAD / MB / ours:.0f} MB/s against {UPLOAD / MB / local:.0f} MB/s")


def npz(path, n_bytes):
    rows = n_bytes // 4000

    def header(dtype, shape):
        h = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}"
        h += " " * (63 - (10 + len(h)) % 64) + "\n"
        return b"\x93NUMPY\x01\x00" + len(h).to_bytes(2, "little") + h.encode()
    with zipfile.ZipFile(path, "w") as z:
        with z.open("x.npy", "w") as f:
            f.write(header("<f4", (rows, 1000)))
            for _ in range(rows):
                f.write(bytes(4000))
        z.writestr("y.npy", header("<i8", (rows,)) + b"".join(bytes([i % 2]) + bytes(7) for i in range(rows)))


def curl(url):
    r = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{speed_download}", url], capture_output=True, text=True, check=True).stdout.split()
    assert r[0] == "200", r
    return float(r[1])


def download_part():
    with Daemon() as d:
        path = os.path.join(d.dir, "file.npz")
        npz(path, 512 * MB)
        with open(path, "rb") as f:
            r = d.request("POST", "/v1/datasets?filename=file.npz", f, {"Content-Length": str(os.path.getsize(path)), "Content-Type": "application/octet-stream"}, timeout=300)
        assert r.status == 201, r
        os.chmod(d.dir, 0o755)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        conf = os.path.join(d.dir, "nginx.conf")
        with open(conf, "w") as f:
            f.write(f"daemon off; worker_processes 2; pid {d.dir}/nginx.pid; error_log stderr; events {{}} http {{ access_log off; sendfile on;\n"
                    + "".join(f"{k}_temp_path {d.dir}/{k};\n" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
                    + f"server {{ listen 127.0.0.1:{port}; root {d.dir}; }} }}\n")
        nginx = subprocess.Popen(["nginx", "-e", "stderr", "-c", conf], stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 10, "nginx")
            ours, theirs = [], []
            for _ in range(10 * ROUNDS):  # many: two processes on as many cores are placed well or badly, which halves or doubles a single rate
                theirs.append(curl(f"http://127.0.0.1:{port}/file.npz"))
                ours.append(curl(f"http://127.0.0.1:{d.port}/v1/datasets/{r.json()['id']}/content"))
        finally:
            nginx.terminate()
            nginx.wait()
    figure("download / nginx with sendfile, rate", statistics.median(a / b for a, b in zip(ours, theirs)), 0.8,
           note=f"{statistics.median(ours) / MB:.0f} MB/s against {statistics.median(theirs) / MB:.0f} MB/s")


def hostile_shapes():
    """(route, bytes): what known holes were made of: sizes that overflow, nesting, paths out of the model, headers that lie."""
    deep = b""
    for _ in range(2000):
        deep = field(1, node("If", ["c"], ["y"], attributes=field(5, field(1, "then_branch") + field(20, 5) + field(6, deep))))
    outside = [tensor("w", [4, 3], []) + field(13, field(1, "location") + field(2, where)) + field(14, 1) for where in ("../../etc/passwd", "/proc/self/mem")]
    product = [node("MatMul", ["x", "w"], ["y"])]
    models = [field(7, deep), model(product, [tensor("w", [2 ** 62, 4], [])]), model(product, [tensor("w", [-1, 3], [1.0])]), field(1, 8) + field(7, field(1, b"") * 200000),
              *(model(product, [t]) for t in outside)]
    data = [arrays(x=npy(b"", "<f4", (2 ** 40, 2 ** 24)), y=npy(b"", "<i8", (3,))), arrays(x=npy(bytes(16), "|O", (2,)))]
    return [("/v1/models", m) for m in models] + [("/v1/datasets?filename=a.npz", z) for z in data]


def malformed(n):
    """n of (route, bytes): the shapes above, then real files with bits flipped, cut short, pieces moved, or lengths blown up; the same every time."""
    rng = random.Random(5)
    seeds = [("/v1/models", f) for f in sorted(glob.glob(os.path.join(SRC, "tests/golden/nets/*.onnx")))]
    seeds += [("/v1/datasets?filename=a.npz", f) for f in sorted(glob.glob(os.path.join(SRC, "tests/data/*.npz")))]
    yield from hostile_shapes()[:n]
    for i in range(n - len(hostile_shapes())):
        route, path = seeds[i % len(seeds)]
        with open(path, "rb") as f:
            b = bytearray(f.read())
        at, to = rng.randrange(len(b)), rng.randrange(len(b))
        how = rng.randrange(4)
        if how == 0:
            for _ in range(rng.randint(1, 32)):
                b[rng.randrange(len(b))] ^= 1 << rng.randrange(8)
        elif how == 1:
            del b[at:]
        elif how == 2:
            b[at:at] = b[to:to + rng.randint(1, 256)]
        else:
            b[at:at + 4] = b"\xff\xff\xff\x7f"
        yield route, bytes(b)


def corpus_round(d, path, answers):
    """Two clients send the corpus; the p99 of others meanwhile, and before and after it, in ms. What was answered goes to answers, as (status, seconds)."""
    results = multiprocessing.Queue()

    def send(first):  # in a process of its own: threads of this one would hold up the clock that times the others' answers
        os.nice(19)  # they stand for other machines: what they take of this one is not the daemon's doing
        out = []
        for route, body in itertools.islice(malformed(CORPUS), first, None, 2):
            began = time.monotonic()
            out.append((d.upload(route, body).status, time.monotonic() - began))
        results.put(out)
    calm = ask(d.port, path, 1000, PROBES)
    clients = [multiprocessing.Process(target=send, args=(i,)) for i in range(2)]
    for c in clients:
        c.start()
    busy = ask(d.port, path, rate=PROBES, more=lambda: results.qsize() < len(clients) and all(c.exitcode in (None, 0) for c in clients))
    calm = sorted(calm + ask(d.port, path, 1000, PROBES))
    for _ in clients:
        answers += results.get(timeout=5)
    return busy[len(busy) * 99 // 100], calm[len(calm) * 99 // 100]


def corpus_part():
    with Daemon("--workers", "1") as d:
        j = ready(d)[2]
        d.request("POST", f"/v1/jobs/{j}/cancel")
        wait_for(lambda: d.get(f"/v1/jobs/{j}").json()["status"] == "canceled", 20, "the job's end")
        answers = []
        p99 = [corpus_round(d, f"/v1/jobs/{j}", answers) for _ in range(ROUNDS)]
    assert len(answers) == CORPUS * ROUNDS, f"{len(answers)} of {CORPUS * ROUNDS} were answered"
    n = {status: sum(a[0] == status for a in answers) for status in sorted({a[0] for a in answers})}
    figure(f"{CORPUS:,} malformed files, {ROUNDS} times: answers of 500 and above", sum(k for status, k in n.items() if status >= 500), 0, at_least=False,
           note=", ".join(f"{k} x {status}" for status, k in n.items()))
    figure("the slowest answer to one", max(a[1] for a in answers), 2, at_least=False, unit="s", note=f"median {statistics.median(a[1] for a in answers) * 1e3:.0f} ms, two clients")
    figure("p99 of GET /v1/jobs/{id} meanwhile / calm", statistics.median(busy / calm for busy, calm in p99), 2, at_least=False,
           note=", ".join(f"{busy:.1f} / {calm:.1f} ms" for busy, calm in p99))


def list_part():
    d = Daemon("--workers", "1", "--max-queued-jobs", "10000000")
    try:
        d.start()
        ready(d)  # its id is the oldest: it keeps the worker busy after the restart, too
        d.stop()
        db = sqlite3.connect(os.path.join(d.data, "pared.db"))
        columns = list(db.execute("PRAGMA table_info(jobs)"))
        known = {"id": "'job_02' || printf('%024d', i)", "status": "CASE WHEN i % 10 THEN 'queued' ELSE 'succeeded' END", "revision": "1", "created_ms": "1795000000000 + i",
                 "max_crashes": "3", "model": "'mdl_x'", "dataset": "'dst_x'", "request": """'{"recipe":"ridge-magnitude","seed":42}'""", "next_seq": "2"}
        values = [known.get(name, default or ("NULL" if not notnull else "0" if kind == "INTEGER" else "''")) for _, name, kind, notnull, default, _ in columns]
        with db:
            db.execute(f"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {JOBS}) INSERT INTO jobs ({', '.join(c[1] for c in columns)}) SELECT {', '.join(values)} FROM c")
        db.close()
        d.start()
        began = d.ready_seconds
        times = [t for path in ("/v1/jobs?limit=50", "/v1/jobs?limit=50&status=queued", "/v1/jobs?limit=50&order=asc", "/v1/jobs?limit=50&after=job_02000000000000000000500000")
                 for t in ask(d.port, path, 100)]
        d.kill()
    finally:
        d.close()
    figure(f"start with {JOBS:,} jobs until ready", began, 2, at_least=False, unit="s")
    figure("a page of 50 of them, p99", sorted(times)[len(times) * 99 // 100], 10, at_least=False, unit="ms", note=f"median {statistics.median(times):.1f} ms")


def main():
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for part in PARTS:
        try:
            globals()[part + "_part"]()
        except (AssertionError, OSError, subprocess.SubprocessError, sqlite3.Error, http.client.HTTPException, queue.Empty) as e:
            global total
            total += 1
            missed.append(f"{part}: {type(e).__name__}: {e}"[:400])
            print(f"{part}: failed: {e}"[:400], flush=True)
    print(f"load after: {os.getloadavg()[0]:.1f}")
    for line in missed:
        print("  " + line)
    print(f"bench-http: {total - len(missed)} of {total} targets met")


main()
