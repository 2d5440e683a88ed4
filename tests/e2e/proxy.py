"""deploy/nginx.conf and deploy/Caddyfile, as they are but for the ports, in front of a daemon: at / and under /pared/."""
import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import PATIENCE, SANITIZED, SRC, Daemon, EventStream, check_events, main, wait_for  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def big_data(path):
    """A data set of 200 MB: 500,000 rows of 100 numbers."""
    rows, columns = 500000, 100

    def header(dtype, shape):
        h = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}"
        h += " " * (63 - (10 + len(h)) % 64) + "\n"
        return b"\x93NUMPY\x01\x00" + len(h).to_bytes(2, "little") + h.encode()
    with zipfile.ZipFile(path, "w") as z:
        with z.open("x.npy", "w") as f:
            f.write(header("<f4", (rows, columns)))
            for _ in range(rows // 5000):
                f.write(bytes(5000 * columns * 4))
        z.writestr("y.npy", header("<i8", (rows,)) + b"".join(bytes([i % 2]) + bytes(7) for i in range(rows)))


class Proxied(Daemon):
    """The same daemon, asked through the proxy."""

    def through(self, port, prefix):
        self.direct, self.port, self.prefix = self.port, port, prefix

    def request(self, method, path, *args, **kw):
        return super().request(method, getattr(self, "prefix", "") + path, *args, **kw)


def exercise(d, proxy_port, prefix, big):
    d.through(proxy_port, prefix)
    wait_for(lambda: answers(d), 20, "the proxy")
    m, s = d.iris_model(), d.iris_data()
    # upload of 200 MB
    r = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", "-X", "POST", "-T", big, "-H", "Content-Type: application/octet-stream",
                        f"http://127.0.0.1:{proxy_port}{prefix}/v1/datasets?name=big&filename=big.npz"], capture_output=True, text=True, timeout=90 * PATIENCE)
    assert r.stdout.endswith("\n201"), (r.stdout[-600:], r.stderr)
    assert SANITIZED or d.rss() < 64 << 20, d.rss()
    # links carry the prefix
    r = d.job(m, s, epochs=300000)
    assert r.status == 201 and r.headers["Location"].endswith(f"{prefix}/v1/jobs/{r.json()['id']}"), r.headers
    # events come while the job runs, not when it is over
    j = r.json()["id"]
    stream = EventStream(proxy_port, f"{prefix}/v1/jobs/{j}/events")
    seen = [stream.next()]
    while seen[-1][2] != "job.metrics":
        seen.append(stream.next())
    assert d.status(j) == "running", d.status(j)
    seen += stream.rest()
    assert seen[-1][2] == "job.succeeded" and [e[1] for e in seen] == list(range(1, len(seen) + 1))
    check_events([e[3] for e in seen])
    # download with a range, and its digest
    whole = d.get(f"/v1/jobs/{j}/artifacts/model.onnx")
    part = d.get(f"/v1/jobs/{j}/artifacts/model.onnx", Range="bytes=100-199")
    assert part.status == 206 and part.body == whole.body[100:200] and part.headers["Content-Range"] == f"bytes 100-199/{len(whole.body)}"
    assert part.headers["ETag"] == whole.headers["ETag"]
    # a problem stays a problem document
    r = d.get("/v1/jobs/job_00000000000000000000000000")
    assert r.status == 404 and r.headers["Content-Type"].startswith("application/problem+json"), r
    d.port, d.prefix = d.direct, ""


def answers(d):
    try:
        return d.get("/livez").status == 200
    except (OSError, http.client.HTTPException):
        return False


def behind(start):
    """start(port of the proxy, port of the daemon, directory) gives the proxy's process."""
    big = None
    for prefix in ("", "/pared"):
        port = free_port()
        flags = ["--public-url", f"http://127.0.0.1:{port}{prefix}"] if prefix else []
        with Proxied(*flags) as d:
            big = os.path.join(d.dir, "big.npz")
            big_data(big)
            with open(os.path.join(d.dir, "proxy.log"), "w+") as log:
                p = start(port, d.port, d.dir, log)
                try:
                    exercise(d, port, prefix, big)
                except Exception:
                    log.seek(0)
                    print("--- the proxy's log:\n" + log.read()[-3000:], file=sys.stderr)
                    raise
                finally:
                    p.terminate()
                    p.wait(20)
            d.stop()


def nginx():
    def start(port, to, directory, log):
        with open(os.path.join(SRC, "deploy/nginx.conf")) as f:
            conf = f.read()
        conf, n = re.subn(r"listen 80;", f"listen 127.0.0.1:{port};", conf)
        conf, m = re.subn(r"127\.0\.0\.1:8080;", f"127.0.0.1:{to};", conf, count=1)
        assert n == 1 and m == 1
        temp = "".join(f"\t{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = conf.replace("http {\n", "http {\n" + temp)
        if os.geteuid() == 0:
            conf = "user root;\n" + conf
        path = os.path.join(directory, "nginx.conf")
        with open(path, "w") as f:
            f.write(f"daemon off;\npid {directory}/nginx.pid;\nerror_log stderr;\n" + conf)
        return subprocess.Popen(["/usr/sbin/nginx", "-c", path, "-e", "stderr", "-p", directory], stdout=log, stderr=log)
    behind(start)


def caddy():
    def start(port, to, directory, log):
        with open(os.path.join(SRC, "deploy/Caddyfile")) as f:
            conf = f.read()
        conf, n = re.subn(r"^:80 ", f"http://127.0.0.1:{port} ", conf, flags=re.M)
        conf, m = re.subn(r"127\.0\.0\.1:8080", f"127.0.0.1:{to}", conf)
        assert n == 1 and m == 2
        path = os.path.join(directory, "Caddyfile")
        with open(path, "w") as f:
            f.write(conf)
        return subprocess.Popen(["caddy", "run", "--adapter", "caddyfile", "--config", path], stdout=log, stderr=log, env={**os.environ, "HOME": directory, "XDG_DATA_HOME": directory, "XDG_CONFIG_HOME": directory})
    behind(start)


CACHE = """daemon off;
pid %(dir)s/nginx.pid;
error_log stderr;
%(user)s
events {}
http {
	access_log off;
%(temp)s
	proxy_cache_path %(dir)s/cache keys_zone=pared:1m;
	server {
		listen 127.0.0.1:%(port)d;
		proxy_cache pared;
		proxy_cache_valid any 1h;
		proxy_cache_revalidate on;
		add_header X-Cache $upstream_cache_status always;
		location / {
			proxy_pass http://127.0.0.1:%(to)d;
		}
		location /v1/ {
			proxy_pass http://127.0.0.1:%(to)d;
			proxy_set_header If-None-Match $http_if_none_match;
		}
	}
}
"""


def http_cache():
    """A shared cache that keeps all it may (nginx): nothing of an owner's comes out of it, errors neither, conditional requests hold, and the public pages come from it."""
    secrets = {"a": "pare_a_0123456789abcdef0123", "b": "pare_b_0123456789abcdef0123"}
    with tempfile.TemporaryDirectory() as keys:
        with open(os.path.join(keys, "keys"), "w") as f:
            f.write("".join(f"{secret} owner={owner}\n" for owner, secret in secrets.items()))
        with Proxied("--api-key-file", os.path.join(keys, "keys"), key=secrets["a"]) as d:
            port, temp = free_port(), "".join(f"\t{kind}_temp_path {d.dir}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            with open(os.path.join(d.dir, "nginx.conf"), "w") as f:
                f.write(CACHE % {"dir": d.dir, "user": "user root;" if os.geteuid() == 0 else "", "temp": temp, "port": port, "to": d.port})
            with open(os.path.join(d.dir, "proxy.log"), "w+") as log:
                p = subprocess.Popen(["/usr/sbin/nginx", "-c", os.path.join(d.dir, "nginx.conf"), "-e", "stderr", "-p", d.dir], stdout=log, stderr=log)
                try:
                    d.through(port, "")
                    wait_for(lambda: answers(d), 20, "the cache")
                    cached(d, secrets["b"])
                finally:
                    p.terminate()
                    p.wait(20)
            d.port = d.direct
            d.stop()


def cached(d, other):
    def as_key(secret):
        return {"Authorization": f"Bearer {secret}" if secret else ""}
    m, s = d.iris_model(), d.iris_data()
    job = d.job(m, s).json()["id"]
    missing = f"/v1/models/mdl_{26 * '0'}"
    assert d.get(missing).status == 404 and d.get(missing).headers["X-Cache"] == "MISS"
    d.wait_job(job)
    for path in (f"/v1/models/{m}", f"/v1/models/{m}/content", f"/v1/jobs/{job}", f"/v1/jobs/{job}/report", f"/v1/jobs/{job}/artifacts/model.onnx", "/v1/jobs"):
        first, second = d.get(path), d.get(path)
        assert first.status == second.status == 200 and second.headers["X-Cache"] == "MISS", (path, second.headers)
        theirs = d.request("GET", path, headers=as_key(other))
        assert theirs.status == (200 if path == "/v1/jobs" else 404), (path, theirs)
        assert path != "/v1/jobs" or theirs.json()["data"] == [], theirs
        assert d.request("GET", path, headers=as_key("")).status == 401, path
        same = d.request("GET", path, headers={"If-None-Match": first.headers["ETag"]})
        assert same.status == 304 and same.body == b"", (path, same)
        assert d.request("GET", path, headers={"If-None-Match": '"other"'}).body == first.body, path
    for path in ("/openapi.yaml", "/openapi.json", "/docs"):
        first = d.get(path)
        again = d.get(path)
        assert again.headers["X-Cache"] == "HIT" and again.body == first.body and again.headers["ETag"] == first.headers["ETag"], (path, again.headers)
    wait_for(lambda: d.get("/docs").headers["X-Cache"] == "REVALIDATED", 30, "a 304 by which the cache goes on")


if __name__ == "__main__":
    main({"nginx": nginx, "caddy": caddy, "http_cache": http_cache})
