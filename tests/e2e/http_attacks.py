"""Malformed, hostile and slow HTTP against the real daemon, byte for byte (what a client library would never send)."""
import json
import os
import select
import socket
import sys
import time
import zipfile

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import PATIENCE, SANITIZED, Daemon, main  # noqa: E402

HOST = b"Host: localhost\r\n"


def status_of(reply):
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/1.1 ") else 0


def answers(reply):
    """How many responses came back."""
    return reply.count(b"HTTP/1.1 ")


def alive(d):
    assert d.get("/readyz").status == 200, d.tail()


def refused(d, data, want=(400,)):
    """One answer out of `want` (or a closed connection, 0, if allowed), then the connection is closed: a second request behind is never served."""
    reply = d.raw(data + b"GET /livez HTTP/1.1\r\nHost: smuggled\r\n\r\n")
    assert status_of(reply) in want, (data[:80], reply[:300])
    assert b"HTTP/1.1 200" not in reply, (data[:80], reply[:900])
    return reply


def framing():
    with Daemon() as d:
        post = b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
        chunked = b"5\r\n{\"a\":\r\n0\r\n\r\n"
        for headers, body in (
                (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunked),
                (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked),
                (b"Content-Length: 2\r\nContent-Length: 5\r\n", b"{}   "),
                (b"Content-Length: 2, 2\r\n", b"{}"),
                (b"Content-Length : 2\r\n", b"{}"),
                (b"Transfer-Encoding : chunked\r\n", chunked),
                (b"Transfer-Encoding: gzip, chunked\r\n", chunked),
                (b"Transfer-Encoding: xchunked\r\n", chunked),
                (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunked),
                (b"Content-Length: +2\r\n", b"{}"),
                (b"Content-Length: 0x2\r\n", b"{}")):
            refused(d, post + headers + b"\r\n" + body, (400, 411, 501))
        refused(d, post + b"Content-Length: 18446744073709551616\r\n\r\n{}", (400, 413))
        refused(d, post + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n", (400, 413, 0))
        refused(d, post + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n", (400, 413, 0))
        alive(d)


def targets():
    """The path is judged as it was sent: nothing decodes, cuts or normalises it before the router."""
    with Daemon() as d:
        for target, want in (
                (b"/livez%00", (400, 404)), (b"/livez%00/x", (400, 404)), (b"/v1/models/%2e%2e", (400, 404)), (b"/v1/%2e%2e/livez", (400, 404)),
                (b"/v1/../livez", (400, 404)), (b"/v1/models%2fmdl_1", (400, 404)), (b"/v1/models/%252e%252e", (404, 400)), (b"//livez", (400, 404)),
                (b"/livez/", (404, 400)), (b"/v1/models/a%5c..%5cb", (400, 404)), (b"/v1/models/%c0%af", (400, 404)), (b"/v1/models/%ff", (400, 404)),
                (b"/v1/models/%", (400, 404)), (b"/v1/models/%zz", (400, 404)), (b"http://evil.example/livez", (400, 404)), (b"*", (400, 404, 405)),
                (b"/v1/models?limit=%00", (400, 422)), (b"/" + b"a" * 5000, (404, 400, 414))):
            reply = d.raw(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            assert status_of(reply) in want, (target[:80], reply[:300])
            assert b"<html" in reply or b'"code"' in reply, reply[:300]
        for method in (b"BREW", b"TRACE", b"CONNECT", b"get", b"OPTIONS"):
            reply = d.raw(method + b" /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            assert status_of(reply) in (204, 400, 405, 501), (method, reply[:300])
        reply = d.raw(b"HEAD /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert status_of(reply) == 200 and reply.endswith(b"\r\n\r\n"), reply
        alive(d)


def headers():
    with Daemon() as d:
        reply = d.raw(b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Big: " + b"a" * 300000 + b"\r\n\r\n")
        assert status_of(reply) in (0, 400, 413, 431), reply[:200]
        reply = d.raw(b"GET /livez HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % i for i in range(1000)) + b"Connection: close\r\n\r\n")
        assert status_of(reply) in (400, 431), reply[:200]
        reply = d.raw(b"GET /livez HTTP/1.1\r\n\r\n")
        assert status_of(reply) == 400, reply[:200]
        reply = d.raw(b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Request-Id: a\x01b\r\nX-Forwarded-For: \r\nForwarded: ,,,\r\nConnection: close\r\n\r\n")
        assert status_of(reply) in (200, 400), reply[:200]
        reply = d.raw(b"GET /livez\r\n\r\n")
        assert status_of(reply) in (0, 400, 505), reply[:200]
        reply = d.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200) + b"\r\n\r\n", half_close=True)
        assert status_of(reply) in (0, 400, 501, 505), reply[:200]
        alive(d)


def pipelining():
    with Daemon() as d:
        n = 50
        reply = d.raw((b"GET /version HTTP/1.1\r\n" + HOST + b"\r\n") * n + b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert reply.count(b"HTTP/1.1 200") == n + 1, reply.count(b"HTTP/1.1 200")
        # a refused body swallows what stands behind it
        reply = d.raw(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 40\r\n\r\n" + b"GET /version HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert status_of(reply) == 404 and answers(reply) == 1, reply[:600]
        alive(d)


def slow_clients():
    """A head or a body that comes by drips is cut, an idle connection that starts to drip too; a good client beside them is served."""
    with Daemon("--header-timeout-seconds", "3", "--idle-timeout-seconds", "30") as d:
        def cut_after(first, drip, limit):
            s = socket.create_connection(("127.0.0.1", d.port), timeout=1)
            if first:
                s.sendall(first)
                if first.endswith(b"\r\n\r\n") and first.startswith(b"GET"):
                    s.recv(4096)
            began = time.monotonic()
            s.settimeout(0.2)
            try:
                while time.monotonic() - began < limit:
                    s.sendall(drip)
                    try:
                        if s.recv(4096) == b"":
                            break
                    except socket.timeout:
                        pass
            except (BrokenPipeError, ConnectionResetError):
                pass
            s.close()
            return time.monotonic() - began

        good = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
        assert cut_after(b"", b"G", 15) < 6
        assert cut_after(b"GET /livez HTTP/1.1\r\n", b"X: y\r\n", 15) < 6
        assert cut_after(good, b"G", 15) < 8
        alive(d)
        post = b"POST /v1/models HTTP/1.1\r\n" + HOST + b"Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
        assert cut_after(post, b"x", 40) < 25
        alive(d)


def drips():
    """A thousand clients that send a head, or a body, byte by byte are gone within 15 s; a good client beside them is served at once."""
    with Daemon() as d:
        post = b"POST /v1/models HTTP/1.1\r\n" + HOST + b"Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
        held = {}
        began = time.monotonic()
        for i in range(1000):
            s = socket.create_connection(("127.0.0.1", d.port))
            s.sendall(post if i % 2 else b"GET /livez HTTP/1.1\r\n")
            s.setblocking(False)
            held[s.fileno()] = s
        poller = select.poll()
        for fd in held:
            poller.register(fd, select.POLLIN | select.POLLHUP)
        worst = 0.0
        while held and time.monotonic() - began < 15:
            asked = time.monotonic()
            assert d.get("/livez").status == 200
            worst = max(worst, time.monotonic() - asked)
            for fd in list(held):
                try:
                    held[fd].send(b"x")
                except BlockingIOError:
                    pass
                except OSError:
                    held.pop(fd).close()
            for fd, _ in poller.poll(500):
                if fd in held and ended(held[fd]):
                    poller.unregister(fd)
                    held.pop(fd).close()
        assert not held, f"{len(held)} of 1000 are still served after 15 s"
        assert worst < 1, worst
        alive(d)


def ended(s):
    try:
        return s.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def slow_readers():
    """A download, or an event stream with something to say, whose client takes nothing is cut; one that takes its time is not, nor is a stream with nothing to say."""
    with Daemon("--workers", "1") as d:
        with zipfile.ZipFile(os.path.join(d.dir, "big.npz"), "w") as z:
            rows = 20000
            for name, dtype, shape, row in (("x", "<f4", (rows, 500), bytes(2000)), ("y", "<i8", (rows,), bytes(8))):
                h = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}"
                h += " " * (63 - (10 + len(h)) % 64) + "\n"
                z.writestr(name + ".npy", b"\x93NUMPY\x01\x00" + len(h).to_bytes(2, "little") + h.encode() + row * rows)
        with open(os.path.join(d.dir, "big.npz"), "rb") as f:
            r = d.upload("/v1/datasets?filename=big.npz", f.read())
        assert r.status == 201, r
        path = f"/v1/datasets/{r.json()['id']}/content"
        m, data = d.iris_model(), d.iris_data()
        d.long_job(m, data)
        waits = d.job(m, data).json()["id"]

        def opened(target):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", d.port))
            s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            s.settimeout(1)
            return s
        stuck, slow, quiet = opened(path), opened(path), opened(f"/v1/jobs/{waits}/events?after=1")
        assert quiet.recv(4096).startswith(b"HTTP/1.1 200") and slow.recv(1)
        began, got = time.monotonic(), 0
        while time.monotonic() - began < 14:  # 16 kB/s, which is enough
            got += len(slow.recv(4096))
            time.sleep(0.25)
        stuck.settimeout(5)
        n = 0
        try:
            while piece := stuck.recv(1 << 20):
                n += len(piece)
        except ConnectionResetError:
            pass
        assert n < 30 << 20, "a client that read nothing for 14 s was still served"
        assert len(slow.recv(4096)) > 0, "a slow reader was cut"
        quiet.setblocking(False)
        try:
            assert quiet.recv(4096) != b"", "a quiet stream was cut"
        except BlockingIOError:
            pass
        alive(d)


def many_small_chunks():
    with Daemon("--core", "/bin/false") as d:
        n = 500000
        before = d.rss()
        reply = d.raw(b"POST /v1/models HTTP/1.1\r\n" + HOST + b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                      + b"1\r\nx\r\n" * n + b"0\r\n\r\n", timeout=60)
        assert status_of(reply) in (413, 422, 500, 502, 503), reply[:300]
        assert SANITIZED or d.rss() - before < 16 << 20, (before, d.rss())
        alive(d)


def idle_connections():
    """900 connections that say nothing cost little and do not keep a good client waiting; all are cut when their time is over."""
    with Daemon("--header-timeout-seconds", "4") as d:
        before = d.rss()
        held = [socket.create_connection(("127.0.0.1", d.port)) for _ in range(900)]
        began = time.monotonic()
        alive(d)
        assert time.monotonic() - began < PATIENCE
        assert SANITIZED or d.rss() - before < 40 << 20, d.rss()
        for s in held:
            s.settimeout(10)
            assert s.recv(1) == b""
            s.close()
        alive(d)


def json_bodies():
    """Broken, deep, duplicate, huge and odd JSON: a 4xx problem document each, and the daemon goes on."""
    with Daemon() as d:
        deep = b'{"model":' + b"[" * 2048 + b"]" * 2048 + b"}"
        for body in (b"", b"{", b"[]", b"null", b'"x"', b"{}{}", b'{"model":1e999}', b'{"model":"\\ud800"}', b'{"model":"a","model":"b"}', b'{"a\x00b":1}', b"\xff\xfe{}",
                     b'{"model":"m","dataset":"d","seed":99999999999999999999999}', b'{"seed":-0}', deep, b'{"model":"' + b"x" * 900000 + b'"}'):
            r = d.request("POST", "/v1/jobs", body, {"Content-Type": "application/json"})
            assert r.status in (400, 413, 422), (body[:40], r)
            assert r.headers["Content-Type"].startswith("application/problem+json"), r.headers
            assert json.loads(r.body)["status"] == r.status
        r = d.request("POST", "/v1/jobs", b'{"model":"' + b"x" * (2 << 20) + b'"}', {"Content-Type": "application/json"})
        assert r.status == 413, r
        alive(d)


if __name__ == "__main__":
    main({"framing": framing, "targets": targets, "headers": headers, "pipelining": pipelining, "slow_clients": slow_clients,
          "drips": drips, "slow_readers": slow_readers,
          "many_small_chunks": many_small_chunks, "idle_connections": idle_connections, "json_bodies": json_bodies})
