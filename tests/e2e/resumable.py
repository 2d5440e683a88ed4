"""Resumable uploads with real clients: tus-js-client over a line that breaks and a daemon that is killed, curl for the IETF's form."""
import hashlib
import os
import re
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import SANITIZED, SRC, Daemon, main, wait_for  # noqa: E402

MB = 1 << 20
NODE_PATH = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "pared/node/node_modules")


def big_file(path, n_mb):
    """Bytes of which no megabyte is like another; returns their SHA-256."""
    digest, block = hashlib.sha256(), os.urandom(MB)
    with open(path, "wb") as f:
        for i in range(n_mb):
            piece = i.to_bytes(8, "big") + block[8:]
            f.write(piece)
            digest.update(piece)
    return digest.hexdigest()


class Line(threading.Thread):
    """A forwarder in front of the daemon, which keeps its port over restarts and can be cut."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.to = daemon
        self.n = 0  # bytes towards the daemon
        self.open = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.to.port))
            except OSError:
                client.close()
                continue
            self.open += [client, server]
            threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, sink, up):
        try:
            while piece := source.recv(1 << 18):
                sink.sendall(piece)
                self.n += len(piece) if up else 0
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open = []


def client(d, line, path):
    return subprocess.Popen(["node", os.path.join(SRC, "tests/e2e/tus_client.js"), f"http://127.0.0.1:{line.port}/v1/uploads", path, os.path.join(d.dir, "urls")],
                            stdout=subprocess.PIPE, text=True, env={**os.environ, "NODE_PATH": NODE_PATH})


def tus_js_client():
    """1 GB with three cuts: the line, the daemon (kill -9), the client (SIGKILL). Nothing is lost, little is sent twice, memory stays flat."""
    with Daemon() as d:
        path = os.path.join(d.dir, "big.bin")
        digest = big_file(path, 1024)
        line, top = Line(d), 0
        base = d.rss()
        p = client(d, line, path)
        cuts = [250 * MB, 500 * MB, 750 * MB]
        done = None
        while done is None:
            text = p.stdout.readline()
            assert text, f"the client ended with {p.wait()}"
            if text.startswith("done"):
                done = text.split()[1]
            if not text.startswith("at ") or not cuts or int(text.split()[1]) < cuts[0]:
                continue
            top = max(top, d.rss())
            cuts.pop(0)
            if len(cuts) == 2:
                line.cut()
            elif len(cuts) == 1:
                d.kill()
                before = sum(os.path.getsize(os.path.join(d.data, "parts", f)) for f in os.listdir(os.path.join(d.data, "parts")) if f != "boot")
                d.start()
                assert before > 250 * MB, before
            else:
                p.kill()
                p.wait()
                p = client(d, line, path)
        p.wait()
        top = max(top, d.rss())
        upload = d.get("/v1/uploads/" + done.rsplit("/", 1)[1]).json()
        assert upload["status"] == "complete" and upload["sha256"] == digest and upload["name"] == "big.bin", upload
        assert line.n < 1400 * MB, line.n  # what was in flight at the cuts goes twice, and no more
        assert SANITIZED or top < base + 24 * MB and top < 64 * MB, (base, top)
        print(f"sent {line.n / MB:.0f} MB for 1024; resident {base >> 20} -> {top >> 20} MB")
        assert d.request("DELETE", f"/v1/uploads/{upload['id']}").status == 204
        assert d.get(f"/v1/uploads/{upload['id']}").status == 404


def curl(*args):
    r = subprocess.run(["curl", "-sS", "-i", *args], capture_output=True, check=True)
    head, _, body = r.stdout.rpartition(b"\r\n\r\n")
    head = head.decode()
    return int(re.findall(r"HTTP/1.1 (\d+)", head)[-1]), {k.lower(): v for k, v in re.findall(r"(?m)^([A-Za-z-]+): (.*?)\r?$", head)}, body


def ietf_curl():
    """The IETF's careful form as one types it; a kill -9 in the middle of a body leaves a true offset."""
    with Daemon() as d:
        path = os.path.join(d.dir, "f")
        digest = big_file(path, 40)
        with open(path, "rb") as f:
            data = f.read()
        base = f"http://127.0.0.1:{d.port}"
        status, h, _ = curl("-X", "POST", base + "/v1/uploads?name=f.onnx", "-H", "Upload-Complete: ?0", "-H", f"Upload-Length: {len(data)}")
        assert status == 201 and h["upload-offset"] == "0" and "max-size=" in h["upload-limit"], h
        url = h["location"]
        # a body that stops in the middle, and a daemon that dies while it waits for the rest
        s = socket.create_connection(("127.0.0.1", d.port))
        s.sendall(f"PATCH {url} HTTP/1.1\r\nHost: x\r\nUpload-Complete: ?1\r\nUpload-Offset: 0\r\nContent-Type: application/partial-upload\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        s.sendall(data[:15 * MB])
        wait_for(lambda: d.get(url).json()["offset"] == 15 * MB, 20, "15 MB in the file")
        d.kill()
        s.close()
        d.start()
        base = f"http://127.0.0.1:{d.port}"
        status, h, _ = curl("-I", base + url)
        assert status == 200 and h["upload-offset"] == str(15 * MB) and h["upload-complete"] == "?0" and h["cache-control"] == "no-store", h
        rest = os.path.join(d.dir, "rest")
        with open(rest, "wb") as f:
            f.write(data[15 * MB:])
        append = ["-X", "PATCH", base + url, "-H", "Upload-Complete: ?1", "-H", "Content-Type: application/partial-upload", "-T", rest]
        status, h, body = curl(*append, "-H", "Upload-Offset: 7")
        assert status == 409 and b'"expected-offset":%d' % (15 * MB) in body and b"http-problem-types#mismatching-upload-offset" in body, body
        status, h, body = curl(*append, "-H", f"Upload-Offset: {15 * MB}")
        assert status == 200 and h["upload-complete"] == "?1" and digest.encode() in body, body
        d.stop()
        d.start()
        assert d.get(url).json()["sha256"] == digest


def the_newer_patch_wins():
    """A client whose connection hangs comes back on another one; the old one gets 409 and changes nothing."""
    with Daemon() as d:
        data = os.urandom(3 * MB)
        r = d.request("POST", "/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)), "Content-Length": "0"})
        url = r.headers["Location"]
        head = f"PATCH {url} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        old = socket.create_connection(("127.0.0.1", d.port), timeout=20)
        old.sendall(head + data[:MB])
        wait_for(lambda: d.get(url).json()["offset"] == MB, 20, "the first megabyte")
        r = d.request("PATCH", url, data[MB:2 * MB], {"Tus-Resumable": "1.0.0", "Upload-Offset": str(MB), "Content-Type": "application/offset+octet-stream"})
        assert r.status == 204 and r.headers["Upload-Offset"] == str(2 * MB), r
        old.sendall(b"X" * 1000)
        assert b" 409 " in old.recv(1000).split(b"\r\n")[0]
        old.close()
        r = d.request("PATCH", url, data[2 * MB:], {"Tus-Resumable": "1.0.0", "Upload-Offset": str(2 * MB), "Content-Type": "application/offset+octet-stream"})
        assert r.status == 204, r
        assert d.get(url).json()["sha256"] == hashlib.sha256(data).hexdigest()


def expiry_and_limits():
    """Abandoned uploads go with their bytes; there are only so many, and none larger than allowed."""
    with Daemon("--upload-seconds", "3", "--max-uploads", "2", "--max-upload-bytes", "1M") as d:
        def begin(n):
            return d.request("POST", "/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(n), "Content-Length": "0"})
        assert begin(2 * MB).status == 413
        first = begin(100).headers["Location"]
        assert d.request("PATCH", first, b"x" * 10, {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}).status == 204
        assert begin(100).status == 201
        r = begin(100)
        assert r.status == 429 and r.json()["code"] == "quota_exceeded" and r.headers["Retry-After"], r
        wait_for(lambda: d.get(first).status == 404, 10, "expiry")
        d.stop()
        d.start()  # the janitor's first round is at the start
        wait_for(lambda: os.listdir(os.path.join(d.data, "parts")) == ["boot"], 10, "an empty directory of parts")
        assert begin(100).status == 201


def by_reference():
    """A model with external data from an upload and from bytes that are known; what a job makes of it becomes a model, too."""
    folder = os.path.join(SRC, "tests/core/job/stored")
    with Daemon() as d:
        files = {n: open(os.path.join(folder, n), "rb").read() for n in ("model.onnx", "weights.bin")}
        ups = {n: d.request("POST", f"/v1/uploads?name={n}", b).json() for n, b in files.items()}
        blob = "sha256:" + hashlib.sha256(files["weights.bin"]).hexdigest()
        assert d.request("HEAD", "/v1/blobs/" + blob).status == 200
        assert d.request("HEAD", "/v1/blobs/sha256:" + "0" * 64).status == 404
        r = d.post_json("/v1/models", {"name": "two", "files": [{"path": "model.onnx", "upload": ups["model.onnx"]["id"]}, {"path": "weights.bin", "blob": blob}]})
        assert r.status == 201 and r.json()["info"]["n_weights"] == 156, r
        model = r.json()["id"]
        for u in ups.values():
            assert d.request("DELETE", f"/v1/uploads/{u['id']}").status == 204
        assert d.get(f"/v1/models/{model}/content?path=weights.bin").body == files["weights.bin"]
        # the location that the model gives is looked up in the manifest, byte by byte
        for path in ("Weights.bin", "weights.bin ", "weights%2ebin"):
            r = d.post_json("/v1/models", {"files": [{"path": "model.onnx", "blob": "sha256:" + hashlib.sha256(files["model.onnx"]).hexdigest()}, {"path": path, "blob": blob}]})
            assert r.status == 422 and "did not come with the model" in r.json()["detail"], (path, r)
        job = d.post_json("/v1/jobs", {"model": model, "recipe": {"steps": [{"prune": {"criterion": "magnitude", "sparsity": 0.5}}]}}).json()["id"]
        assert d.wait_job(job)["status"] == "succeeded"
        made = [{"path": n, "artifact": {"job": job, "name": n}} for n in ("model.onnx", "weights.bin")]
        r = d.post_json("/v1/models", {"name": "half", "files": made})
        assert r.status == 201 and r.json()["produced_by"] == job, r
        assert d.request("DELETE", f"/v1/jobs/{job}").status == 204
        assert len(d.get(f"/v1/models/{r.json()['id']}/content?path=weights.bin").body) == len(files["weights.bin"])


def shares():
    """What has come of uploads is the owner's, after a kill, too; a client that finds no room goes on when there is some."""
    with Daemon("--owner-max-bytes", "12M") as d:
        def used():
            return d.get("/v1/keys/self").json()["quotas"]["bytes"]["used"]
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(6 * MB), "Content-Length": "0"}
        hog = d.request("POST", "/v1/uploads", headers=tus).headers["Location"]
        s = socket.create_connection(("127.0.0.1", d.port), timeout=20)
        s.sendall(f"PATCH {hog} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {6 * MB}\r\n\r\n".encode() + b"x" * 5 * MB)
        wait_for(lambda: d.get(hog).json()["offset"] == 5 * MB, 20, "five megabytes")
        assert used() == 0, used()
        d.kill()
        s.close()
        d.start()
        assert used() == 5 * MB, used()
        path = os.path.join(d.dir, "big.bin")
        digest = big_file(path, 8)
        line = Line(d)
        p = client(d, line, path)
        text, refused = "", 0
        while not text.startswith("done"):
            text = p.stdout.readline()
            assert text, f"the client ended with {p.wait()}"
            refused += text.startswith("retry")
            if text.startswith("retry") and refused == 1:  # on a slow disk it asks again before there is room
                assert used() == 5 * MB and d.get(hog).json()["offset"] == 5 * MB
                r = d.request("PATCH", hog, b"x" * MB, {"Tus-Resumable": "1.0.0", "Upload-Offset": str(5 * MB), "Content-Type": "application/offset+octet-stream"})
                assert r.status == 204, r
                assert d.request("DELETE", hog).status == 204
        p.wait()
        upload = d.get("/v1/uploads/" + text.split()[1].rsplit("/", 1)[1]).json()
        assert upload["sha256"] == digest and used() == 8 * MB, (upload, used())
        assert refused >= 1 and b'pared_quota_refusals_total{quota="bytes"} %d\n' % refused in d.get("/metrics").body


if __name__ == "__main__":
    main({"shares": shares, "tus_js_client": tus_js_client, "ietf_curl": ietf_curl, "the_newer_patch_wins": the_newer_patch_wins, "expiry_and_limits": expiry_and_limits, "by_reference": by_reference})
