"""Uploads and downloads: caps, memory, disks that are full, digests, ranges."""
import hashlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import SANITIZED, Daemon, main, wait_for  # noqa: E402

MB = 1 << 20


def alive(d):
    assert d.get("/livez").status == 200, d.tail()


def staged(d):
    return [f for _, _, files in os.walk(os.path.join(d.data, "staging")) for f in files]


def send_until_answer(d, head, chunked, total):
    """Sends a body and stops at the answer, or when the other side takes no more; returns (answer, bytes that went out)."""
    s = socket.create_connection(("127.0.0.1", d.port), timeout=0.05)
    piece = b"x" * 65536
    frame = b"10000\r\n" + piece + b"\r\n" if chunked else piece
    s.sendall(head)
    sent, got, until = 0, b"", time.monotonic() + 20
    while sent < total and b"\r\n\r\n" not in got and time.monotonic() < until:
        try:
            sent += s.send(frame)
        except socket.timeout:
            pass
        except (BrokenPipeError, ConnectionResetError):
            break
        try:
            got += s.recv(65536)
        except socket.timeout:
            pass
        except ConnectionResetError:
            break
    s.close()
    return got, sent


def too_large():
    """413 comes before the body is read: at the head when the length is announced, at the cap when it is not."""
    with Daemon("--max-upload-bytes", "1M") as d:
        head = b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        answer, sent = send_until_answer(d, head + b"Content-Length: 1073741824\r\n\r\n", False, 1024 * MB)
        assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
        assert b"application/problem+json" in answer and b"Connection: close" in answer, answer
        assert sent < 16 * MB, sent  # what the kernel's buffers take
        answer, sent = send_until_answer(d, head + b"Transfer-Encoding: chunked\r\n\r\n", True, 1024 * MB)
        assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
        assert sent < 24 * MB, sent
        # curl, the client that people use, shows the 413 in both cases
        for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect:"], ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]):
            big = os.path.join(d.dir, "big")
            with open(big, "wb") as f:
                f.truncate(200 * MB)
            r = subprocess.run(["curl", "-sS", "-o", os.path.join(d.dir, "out"), "-w", "%{http_code} %{size_upload}", "-X", "POST", "-T", big,
                                *extra, f"http://127.0.0.1:{d.port}/v1/models"], capture_output=True, text=True)
            assert r.stdout.startswith("413 "), (extra, r)
            assert int(r.stdout.split()[1]) < 24 * MB, r.stdout
        wait_for(lambda: staged(d) == [], 10, "an empty staging directory")
        alive(d)


def constant_memory():
    """300 MB go through 64 MB of memory, up and down, and arrive as they were sent."""
    with Daemon("--core", "/bin/false") as d:
        big = os.path.join(d.dir, "big")
        with open(big, "wb") as f:
            f.truncate(300 * MB)
        base = d.rss()
        p = subprocess.Popen(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "-T", big, "-H", "Content-Type: application/octet-stream",
                              f"http://127.0.0.1:{d.port}/v1/models?name=big"], stdout=subprocess.PIPE, text=True)
        top = base
        while p.poll() is None:
            top = max(top, d.rss())
            time.sleep(0.005)
        assert p.stdout.read() in ("422", "500", "502", "503")  # the engine is /bin/false: nothing can be inspected
        assert SANITIZED or top < 64 * MB and top - base < 24 * MB, (base, top)
        alive(d)


def aborted():
    """A client that goes away in the middle leaves nothing behind."""
    with Daemon() as d:
        for _ in range(20):
            s = socket.create_connection(("127.0.0.1", d.port))
            s.sendall(b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
            s.close()
        wait_for(lambda: staged(d) == [], 8, "an empty staging directory")
        # the end of the stream in one piece with the bytes: sent while the daemon stands still
        for _ in range(5):
            s = socket.create_connection(("127.0.0.1", d.port))
            d.process.send_signal(signal.SIGSTOP)
            s.sendall(b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
            s.close()
            d.process.send_signal(signal.SIGCONT)
            for _ in range(20):
                alive(d)
        wait_for(lambda: staged(d) == [], 8, "an empty staging directory")
        alive(d)


def disk_full():
    """Too little space is a 507 before the upload is taken; a limit that is hit in the middle is an error of that request alone."""
    with Daemon() as d:
        d.stop()
        d.flags = ["--min-free-bytes", "1023T"]
        d.start(wait_ready=False)
        r = d.upload("/v1/models", b"x" * 1000)
        assert r.status == 507 and r.json()["code"] == "store_full", r
        assert d.get("/readyz").status == 503
        alive(d)
        d.stop()
        # a file size limit stands for the full disk: the write fails in the middle of the body
        d.flags = []
        d.start()
        subprocess.run(["prlimit", f"--pid={d.pid()}", f"--fsize={4 * MB}:{4 * MB}"], check=True)
        answer, _ = send_until_answer(d, b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 16777216\r\n\r\n", False, 16 * MB)
        assert re.match(rb"HTTP/1.1 (413|500|507) ", answer), answer[:200]
        alive(d)
        model = d.iris_model()
        assert d.get(f"/v1/models/{model}").status == 200


def download():
    """Ranges, conditions, HEAD and digests on the bytes of a model."""
    with Daemon() as d:
        model = d.iris_model()
        path = f"/v1/models/{model}/content"
        whole = d.get(path)
        digest = hashlib.sha256(whole.body).hexdigest()
        assert whole.status == 200 and digest in whole.headers["ETag"], whole.headers
        n = len(whole.body)
        for spec, first, last in ((f"bytes=0-9", 0, 9), (f"bytes=10-", 10, n - 1), ("bytes=-7", n - 7, n - 1), (f"bytes={n - 1}-{n + 50}", n - 1, n - 1)):
            r = d.get(path, Range=spec)
            assert r.status == 206 and r.body == whole.body[first:last + 1], (spec, r)
            assert r.headers["Content-Range"] == f"bytes {first}-{last}/{n}"
        assert d.get(path, Range=f"bytes={n}-").status == 416
        assert d.get(path, If_None_Match=whole.headers["ETag"]).status == 304
        h = d.request("HEAD", path)
        assert h.status == 200 and h.headers["Content-Length"] == str(n) and h.body == b""
        out = os.path.join(d.dir, "resumed")
        with open(out, "wb") as f:
            f.write(whole.body[:100])
        subprocess.run(["curl", "-fsS", "-C", "-", "-o", out, f"http://127.0.0.1:{d.port}{path}"], check=True)
        with open(out, "rb") as f:
            assert f.read() == whole.body


def deleted_while_read():
    """A data set that goes while somebody downloads it is read to its end; then it is gone, and its bytes are."""
    with Daemon() as d:
        size = 64 << 20
        row = b"1.0,2.0,0\n"
        body = b"a,b,label\n" + row * (size // len(row))
        r = d.request("POST", "/v1/datasets?filename=big.csv", body, {"Content-Type": "text/csv"}, timeout=120)
        assert r.status == 201, r
        path = f"/v1/datasets/{r.json()['id']}"
        s = socket.create_connection(("127.0.0.1", d.port))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.sendall(f"GET {path}/content HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = s.recv(65536)
        assert d.request("DELETE", path).status == 204
        assert d.get(f"{path}/content").status == 404
        with s, s.makefile("rb") as f:
            got += f.read()
        assert got.split(b"\r\n\r\n", 1)[1] == body
        wait_for(lambda: sum(len(files) for _, _, files in os.walk(os.path.join(d.data, "blobs"))) == 0, 10, "its bytes to go")


def keep_alive():
    """One connection serves uploads, refusals with a read body, and reads, one after the other."""
    with Daemon() as d:
        c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=20)
        for _ in range(20):
            c.request("GET", "/version")
            assert c.getresponse().read()
            c.request("POST", "/v1/jobs", "{}", {"Content-Type": "application/json"})
            r = c.getresponse()
            assert r.status == 422 and r.read()
        c.close()


if __name__ == "__main__":
    main({"too_large": too_large, "constant_memory": constant_memory, "aborted": aborted, "disk_full": disk_full, "download": download, "deleted_while_read": deleted_while_read, "keep_alive": keep_alive})
