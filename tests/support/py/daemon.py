"""Starts and stops daemons for the end-to-end scenarios: a free port and a temporary directory each, nothing shared.

Every wait is for a condition and has a deadline; nothing sleeps and hopes.
"""
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from seen import note  # noqa: E402

BIN = os.environ["PARED_BIN"]
SRC = os.environ["PARED_SRC"]
IRIS = os.path.join(SRC, "tests/data/iris.csv")
VENV = os.environ.get("PARED_VENV", os.path.expanduser("~/.cache/pared/venv"))  # where the judges' Python is


# Programs under a sanitizer are slow and large (scripts/run-tests.sh says so): waits are longer, and figures of time and memory say nothing.
SANITIZED = bool(os.environ.get("PARED_SANITIZED"))
PATIENCE = 20 if SANITIZED else 1


def wait_for(condition, seconds=20, what="a condition"):
    """Polls until condition() is true; returns its value."""
    seconds *= PATIENCE
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:400]!r}"


class Daemon:
    """One data directory and, between start() and stop(), one process on it."""

    def __init__(self, *flags, key=None, env=None):
        self.flags = list(flags)
        self.key = key
        self.env = env
        self.dir = tempfile.mkdtemp(prefix="pared-e2e-")
        self.data = os.path.join(self.dir, "data")
        self.log = os.path.join(self.dir, "log")
        self.process = None
        self.port = 0
        self.ready_seconds = 0.0

    def start(self, wait_ready=True):
        args = [os.path.join(BIN, "pared"), "--port", "0", "--data-dir", self.data, "--min-free-bytes", "1M"]
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(args + self.flags, stdout=subprocess.PIPE, stderr=log,
                                            env={**os.environ, **(self.env or {})})
        line = self.process.stdout.readline().decode()
        if "listening on" not in line:
            self.process.wait()
            raise AssertionError(f"the daemon did not start (exit {self.process.returncode}): {line}{self.tail()}")
        self.port = int(line.rsplit(":", 1)[1])
        if wait_ready:
            wait_for(lambda: self.get("/readyz").status == 200, 10, "readyz")
        self.ready_seconds = time.monotonic() - began
        return self

    def pid(self):
        return self.process.pid

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self, expect=0, seconds=30):
        """SIGTERM; the exit status must be `expect`."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds * PATIENCE)
        self.process.stdout.close()
        assert status == expect, f"exit status {status}{self.tail()}"

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is not None:
            print("--- the daemon's log:" + self.tail(), file=sys.stderr)
        self.close()

    def tail(self, n=40):
        with open(self.log, "rb") as f:
            return "\n" + b"\n".join(f.read().splitlines()[-n:]).decode(errors="replace")

    def rss(self):
        """Resident bytes of the daemon now."""
        with open(f"/proc/{self.pid()}/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))

    def engines(self):
        """Process ids of the engines that run under the daemon."""
        try:
            with open(f"/proc/{self.pid()}/task/{self.pid()}/children") as f:
                own = f.read().split()
        except FileNotFoundError:
            return []
        found = set(own)
        for task in os.listdir(f"/proc/{self.pid()}/task"):
            try:
                with open(f"/proc/{self.pid()}/task/{task}/children") as f:
                    found.update(f.read().split())
            except FileNotFoundError:
                pass
        return [int(p) for p in found]

    def kill_engines(self, how=signal.SIGKILL, spare=()):
        """Sends a signal to every engine that runs now; returns those it reached: one that ends by itself between the look and the blow is none."""
        reached = []
        for pid in self.engines():
            try:
                if pid not in spare:
                    os.kill(pid, how)
                    reached.append(pid)
            except ProcessLookupError:
                pass
        return reached

    # --- requests
    def request(self, method, path, body=None, headers=None, timeout=60):
        h = dict(headers or {})
        if self.key and "Authorization" not in h:
            h["Authorization"] = f"Bearer {self.key}"
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * PATIENCE)
        try:
            c.request(method, path, body, h)
            r = c.getresponse()
            note(method, path, r.status)
            return Reply(r.status, r.headers, r.read())
        finally:
            c.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post_json(self, path, value, **headers):
        h = {"Content-Type": "application/json"}
        h.update({k.replace("_", "-"): v for k, v in headers.items()})
        return self.request("POST", path, value if isinstance(value, (str, bytes)) else json.dumps(value), h)

    def upload(self, path, data, kind="application/octet-stream"):
        return self.request("POST", path, data, {"Content-Type": kind})

    def upload_form(self, path, files):
        """Several files in one form: {filename: bytes}."""
        parts = b"".join(b'--B\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n' % (n.encode(), b) for n, b in files.items())
        return self.upload(path, parts + b"--B--\r\n", "multipart/form-data; boundary=B")

    def raw(self, data, timeout=20, half_close=False):
        """Sends bytes as they are; returns everything that comes back until the other side closes."""
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout * PATIENCE)
        got = b""
        try:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            while True:
                try:
                    piece = s.recv(65536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                got += piece
        finally:
            s.close()
        return got

    # --- the service's own nouns
    def iris_model(self, name="iris"):
        r = self.post_json("/v1/models", {"name": name, "architecture": {"type": "mlp", "input": [4], "layers": [
            {"units": 8, "activation": "relu"}, {"units": 3}]}})
        assert r.status == 201, r
        return r.json()["id"]

    def iris_data(self):
        with open(IRIS, "rb") as f:
            r = self.upload("/v1/datasets?name=iris&filename=iris.csv", f.read(), "text/csv")
        assert r.status == 201, r
        return r.json()["id"]

    def job(self, model, dataset, epochs=2, key=None, batch=16, **more):
        # one train step has at most 100,000 epochs, which take a second on Iris
        train = [{"train": {"epochs": min(epochs - n, 100000), "batch_size": batch}} for n in range(0, epochs, 100000)]
        body = {"model": model, "dataset": dataset, "seed": 1, "threads": 1, "recipe": {"steps": [
            *train, {"prune": {"criterion": "magnitude", "sparsity": 0.5}}]}}
        body.update(more)
        return self.post_json("/v1/jobs", body, **({"Idempotency_Key": key} if key else {}))

    def long_job(self, model, dataset, **more):
        """One that takes minutes: longer than any test waits."""
        return self.job(model, dataset, epochs=3000000, batch=1, **more)

    def status(self, job):
        return self.get(f"/v1/jobs/{job}").json()["status"]

    def wait_job(self, job, seconds=60):
        final = ("succeeded", "failed", "canceled")
        wait_for(lambda: self.status(job) in final, seconds, f"the end of {job}")
        return self.get(f"/v1/jobs/{job}").json()

    def events(self, job):
        """All events of a job, page by page."""
        out, after = [], 0
        while True:
            page = self.get(f"/v1/jobs/{job}/events?limit=200&after={after}").json()
            out += page["data"]
            if not page["has_more"]:
                return out
            after = page["data"][-1]["seq"]


class EventStream(threading.Thread):
    """Reads a server-sent event stream in the background; events arrive in a queue as (arrival, id, type, data), None at the end."""

    def __init__(self, port, path, headers=None):
        super().__init__(daemon=True)
        self.queue = queue.Queue()
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60 * PATIENCE)
        self.connection.request("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})
        self.response = self.connection.getresponse()
        self.start()

    def run(self):
        fields = {}
        try:
            for line in self.response:
                line = line.decode().rstrip("\n")
                if line == "" and fields.get("event"):
                    self.queue.put((time.monotonic(), int(fields["id"]), fields["event"], json.loads(fields["data"])))
                    fields = {}
                elif ": " in line and not line.startswith(":"):
                    name, value = line.split(": ", 1)
                    fields[name] = value
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.queue.put(None)

    def next(self, seconds=30):
        return self.queue.get(timeout=seconds)

    def rest(self, seconds=60):
        out = []
        while (e := self.next(seconds)) is not None:
            out.append(e)
        return out

    def close(self):
        self.connection.close()


TERMINAL = ("job.succeeded", "job.failed", "job.canceled")


def check_events(events):
    """No gap in the numbers, exactly one terminal event, and it is the last."""
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1)), [e["seq"] for e in events]
    assert sum(e["type"] in TERMINAL for e in events) == 1, [e["type"] for e in events]
    assert events[-1]["type"] in TERMINAL


def main(scenarios):
    """Runs the scenario named on the command line, or all."""
    names = sys.argv[1:] or list(scenarios)
    for name in names:
        scenarios[name]()
        print(f"ok: {name}")
