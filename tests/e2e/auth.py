"""API keys and listening addresses."""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import BIN, PATIENCE, SRC, Daemon, main, wait_for  # noqa: E402

KEY = "pare_ci_0123456789abcdefghijklmnopqrstuvwxyz"
OTHER = "pare_ops_zyxwvutsrqponmlkjihgfedcba9876543210"


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def keys():
    """Open probes stay open; everything else wants the key; what is nearly the key is not the key; SIGHUP brings new keys."""
    d = Daemon()
    path = os.path.join(d.dir, "keys")
    write(path, f"# keys\n{KEY}\n")
    d.flags = ["--api-key-file", path]
    with d:
        for probe in ("/livez", "/readyz", "/version", "/openapi.yaml"):
            assert d.get(probe).status == 200, probe
        for header in (None, "Bearer", "Bearer ", f"Bearer {KEY[:-1]}", f"Bearer {KEY}x", f"Bearer {KEY.upper()}", f"Basic {KEY}", f"Bearer {OTHER}", "Bearer pare_ci_", KEY):
            r = d.get("/v1/models", **({"Authorization": header} if header is not None else {}))
            assert r.status == 401, (header, r)
            assert r.headers["WWW-Authenticate"].startswith("Bearer"), r.headers
        assert d.get(f"/v1/models?api_key={KEY}").status in (400, 401, 422)
        assert d.get("/v1/models", Authorization=f"Bearer {KEY}").status == 200
        assert d.get("/metrics").status == 401
        # an upload without a key is refused before its body
        r = d.request("POST", "/v1/models", b"x" * 100000, {"Content-Type": "application/octet-stream"})
        assert r.status == 401, r
        write(path, f"{OTHER}\n")
        d.process.send_signal(1)
        wait_for(lambda: d.get("/v1/models", Authorization=f"Bearer {OTHER}").status == 200, 5, "the new key")
        assert d.get("/v1/models", Authorization=f"Bearer {KEY}").status == 401
        write(path, "rubbish\n")
        d.process.send_signal(1)
        wait_for(lambda: "keys.kept" in d.tail(), 5, "a complaint about the key file")
        assert d.get("/v1/models", Authorization=f"Bearer {OTHER}").status == 200
        with open(d.log) as f:
            log = f.read()
        for secret in (KEY, OTHER, KEY.split("_")[2], OTHER.split("_")[2]):
            assert secret not in log
        d.stop()


def secrets():
    """A key is nowhere that others may look: not in the log, in no process's environment or arguments; and nothing leaves a core dump."""
    d = Daemon("--log-level", "debug", key=KEY)
    path = os.path.join(d.dir, "keys")
    write(path, f"{KEY} scopes=models:rw,datasets:rw,jobs:rw,webhooks:rw\n")
    d.flags += ["--api-key-file", path]
    with d:
        m, s = d.iris_model(), d.iris_data()
        hook = d.post_json("/v1/webhooks", {"url": "https://ci.example/hook"}).json()
        d.long_job(m, s)
        wait_for(lambda: d.engines() != [], 20, "an engine")
        for pid in (d.pid(), *d.engines()):
            for file in ("environ", "cmdline"):
                with open(f"/proc/{pid}/{file}", "rb") as f:
                    text = f.read()
                for secret in (KEY, hook["secret"]):
                    assert secret.encode() not in text, (pid, file)
            with open(f"/proc/{pid}/limits") as f:
                assert re.search(r"Max core file size +0 ", f.read()), pid
        d.kill()
        with open(d.log) as f:
            log = f.read()
        for secret in (KEY, KEY.split("_")[2], hook["secret"]):
            assert secret not in log


def made():
    """Keys that are made by a running service: they open what they say, survive a kill, end when they are revoked, and leave no trace of their secrets."""
    root = "pare_root_0123456789abcdefghijklmnopqrstuvwxyz"
    d = Daemon(key=root)
    path = os.path.join(d.dir, "keys")
    write(path, f"{root} scopes=admin\n")
    d.flags = ["--api-key-file", path]
    with d:
        assert d.get("/v1/models").status == 403
        r = d.post_json("/v1/keys", {"name": "ci", "owner": "acme", "scopes": ["models:rw", "jobs:r"]})
        assert r.status == 201, r
        key, secret = r.json()["id"], r.json()["secret"]
        theirs = {"Authorization": f"Bearer {secret}"}
        assert d.get("/v1/models", **theirs).status == 200
        assert d.get("/v1/datasets", **theirs).status == 403
        assert d.get("/v1/keys/self", **theirs).json()["owner"] == "acme"
        d.kill()
        d.start()
        assert d.get("/v1/models", **theirs).status == 200
        d.stop()  # writes down when keys were last used
        d.start()
        assert d.get(f"/v1/keys/{key}").json()["last_used_at"] is not None
        assert d.request("DELETE", f"/v1/keys/{key}").status == 204
        r = d.get("/v1/models", **theirs)
        assert r.status == 401 and r.json()["code"] == "key_revoked", r
        d.kill()
        d.start()
        assert d.get("/v1/models", **theirs).json()["code"] == "key_revoked"
        d.stop()
        for where, _, files in os.walk(d.dir):
            for name in files:
                with open(os.path.join(where, name), "rb") as f:
                    assert secret.encode() not in f.read() and secret.split("_")[2].encode() not in open(f.name, "rb").read(), f.name


def quotas():
    """An owner's shares of bytes, jobs and requests end where the settings say, for that owner alone, and survive a kill."""
    d = Daemon("--owner-max-bytes", "20k", "--owner-max-open-jobs", "2", "--owner-max-requests", "1500", "--owner-window-seconds", "3600", "--workers", "1")
    path = os.path.join(d.dir, "keys")
    write(path, f"{KEY} owner=acme\n{OTHER} owner=beta\n")
    d.flags += ["--api-key-file", path]
    d.key = KEY
    with d:
        model, data = d.iris_model(), d.iris_data()
        r = d.upload("/v1/datasets?filename=big.csv", b"a,b,label\n" + b"1.5,2.5,0\n" * 2000, "text/csv")
        assert r.status == 507 and r.json()["code"] == "storage_quota_exceeded", r
        used = d.get("/v1/keys/self").json()["quotas"]["bytes"]["used"]
        assert 0 < used < 20480, used
        d.kill()
        d.start()
        assert d.get("/v1/keys/self").json()["quotas"]["bytes"]["used"] == used
        long = [d.job(model, data, epochs=10**6).json()["id"] for _ in range(2)]
        r = d.job(model, data)
        assert r.status == 429 and r.headers["Retry-After"], r
        d.key = OTHER
        assert d.job(d.iris_model(), d.iris_data()).status == 201
        d.key = KEY
        for job in long:
            assert d.request("POST", f"/v1/jobs/{job}/cancel").status == 202
        wait_for(lambda: d.get(f"/v1/jobs/{long[0]}").json()["status"] == "canceled", 20, "the cancelled job")
        assert d.job(model, data).status == 201
        left = [d.get("/v1/jobs").headers["RateLimit"] for _ in range(2)]
        assert left[0] != left[1] and left[0].startswith('"default";r='), left
        while (r := d.get("/v1/models")).status == 200:
            pass
        assert r.status == 429 and r.json()["code"] == "quota_exceeded" and 1 <= int(r.headers["Retry-After"]) <= 3, (r, r.headers)
        assert d.get("/readyz").status == 200
        d.key = OTHER
        assert d.get("/v1/models").status == 200
        assert b'pared_quota_refusals_total{quota="bytes"} ' in d.get("/metrics").body
        d.stop()
        d.flags += ["--key-max-requests", "3"]
        d.start()
        got = [d.get("/v1/models") for _ in range(4)]
        assert [r.status for r in got] == [200, 200, 200, 429], got
        assert got[3].headers["RateLimit"].startswith('"key";r=0;t='), got[3].headers
        assert got[3].headers["RateLimit-Policy"] == '"default";q=1500;w=3600, "key";q=3;w=3600', got[3].headers
        d.stop()


def owners():
    """Every operation of the document, tried with what belongs to another owner, answers as with an id that nobody has."""
    d = Daemon()
    path = os.path.join(d.dir, "keys")
    write(path, f"{KEY} owner=acme\n{OTHER} owner=beta\n")
    d.flags = ["--api-key-file", path]
    d.key = KEY
    with open(os.path.join(SRC, "openapi.yaml")) as f:
        text = f.read()
    paths, template = [], None
    for line in text[text.index("\npaths:"):text.index("\ncomponents:")].splitlines():
        if re.match(r"  /\S*:$", line):
            template = line.strip().rstrip(":")
        elif m := re.match(r"    (get|post|put|patch|delete):$", line):
            paths.append((m.group(1).upper(), template))
    with d:
        ids = {"models": d.iris_model(), "datasets": d.iris_data()}
        r = d.job(ids["models"], ids["datasets"])
        assert r.status == 201, r
        ids["jobs"] = r.json()["id"]
        wait_for(lambda: d.get(f"/v1/jobs/{ids['jobs']}").json()["status"] == "succeeded", 60, "the job")
        d.key = OTHER
        tried = 0
        for method, template in paths:
            kind = template.split("/")[2] if template.startswith("/v1/") else None
            if kind not in ids or "{id}" not in template:
                continue
            answers = []
            for i in (ids[kind], ids[kind][:8] + "Z" * (len(ids[kind]) - 8)):
                target = template.replace("{id}", i).replace("{name}", "model.onnx")
                r = d.request(method, target, b"{}" if method in ("POST", "PATCH", "PUT") else None, {"Content-Type": "application/json", "X-Request-Id": "same"})
                assert r.status == 404, (method, target, r)
                answers.append((r.status, r.body.replace(i.encode(), b"*"), sorted(k for k in r.headers)))
            assert answers[0] == answers[1], answers
            tried += 1
        assert tried >= 15, tried
        for kind in ids:
            assert d.get(f"/v1/{kind}").json()["data"] == [], kind
        # the other's inputs cannot be used, and idempotency keys do not meet
        assert d.job(ids["models"], ids["datasets"]).status == 422
        d.key = KEY
        first = d.job(ids["models"], ids["datasets"], key="same")
        assert first.status == 201, first
        d.key = OTHER
        ours = d.job(d.iris_model(), d.iris_data(), key="same")
        assert ours.status == 201 and "Idempotency-Replayed" not in ours.headers, ours
        assert d.get(f"/v1/jobs/{first.json()['id']}").status == 404
        # an event stream of the other's job is not opened
        assert d.get(f"/v1/jobs/{ids['jobs']}/events", Accept="text/event-stream").status == 404
        d.stop()


def addresses():
    """Without keys only loopback is listened on; what is wrong is said, and where."""
    def run(*flags, env=None):
        r = subprocess.run([os.path.join(BIN, "pared"), *flags], capture_output=True, text=True, timeout=20 * PATIENCE, env={**os.environ, **(env or {})})
        return r.returncode, r.stderr
    for address in ("0.0.0.0", "::", "192.0.2.1"):
        status, said = run("--listen", address, "--data-dir", "/nonexistent")
        assert status == 2 and "api-key-file" in said, (status, said)
    status, said = run("--prot", "1")
    assert status == 2 and 'did you mean "port"' in said, said
    status, said = run(env={"PARED_PORT": "http"})
    assert status == 2 and "PARED_PORT" in said, said
    status, said = run("--config", "/tmp")
    assert status == 2 and "/tmp" in said, said
    status, said = run("--data-dir", "/nonexistent/dir")
    assert status == 1 and "/nonexistent/dir" in said, said
    with Daemon() as d:
        status, said = run("--port", "0", "--data-dir", d.data)
        assert status == 1 and str(d.pid()) in said, said  # the lock on the directory names who holds it
        status, said = run("--port", str(d.port), "--data-dir", os.path.join(d.dir, "second"))
        assert status == 1 and str(d.port) in said, said
        assert subprocess.run([os.path.join(BIN, "pared"), "--healthcheck", "--port", str(d.port)]).returncode == 0
        d.stop()
        assert subprocess.run([os.path.join(BIN, "pared"), "--healthcheck", "--port", str(d.port)], stderr=subprocess.DEVNULL).returncode == 1


def wrong_settings():
    """A setting that is wrong is told by its name, with status 2, before anything is made on the disk."""
    with tempfile.TemporaryDirectory() as top:
        data, keys = os.path.join(top, "data"), os.path.join(top, "keys")
        write(keys, "no key at all\n")
        for flag, value in (("webhook-allow", "127.0.0.0/99"), ("webhook-deny", "everything"), ("webhook-retry-seconds", "0, soon"), ("webhook-ca-file", "/nonexistent"),
                            ("trusted-proxies", "a.example"), ("listen", "a.example"), ("listen", "127.0.0.1:8080"), ("public-url", "https://" + "a" * 1100), ("api-key-file", keys), ("api-key-file", "/nonexistent"),
                            ("core", "/nonexistent")):
            r = subprocess.run([os.path.join(BIN, "pared"), "--port", "0", "--data-dir", data, f"--{flag}", value], capture_output=True, text=True, timeout=20 * PATIENCE)
            assert r.returncode == 2 and (flag in r.stderr or value in r.stderr) and (flag != "listen" or "no IPv4 or IPv6 address" in r.stderr) and len(r.stderr.splitlines()) == 1, (flag, r)
            assert os.listdir(top) == ["keys"], (flag, os.listdir(top))


def unix_socket():
    d = Daemon()
    path = os.path.join(d.dir, "sock")
    write(path, "not a socket")  # and none of ours to remove
    r = subprocess.run([os.path.join(BIN, "pared"), "--listen", f"unix:{path}", "--data-dir", d.data], capture_output=True, text=True, timeout=20 * PATIENCE)
    assert r.returncode == 1 and path in r.stderr, r
    with open(path) as f:
        assert f.read() == "not a socket"
    os.unlink(path)
    p = subprocess.Popen([os.path.join(BIN, "pared"), "--listen", f"unix:{path}", "--data-dir", d.data, "--min-free-bytes", "1M"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert p.stdout.readline().strip().endswith(f"unix:{path}")
        r = subprocess.run(["curl", "-fsS", "--unix-socket", path, "http://localhost/readyz"], capture_output=True, text=True)
        assert '"ready"' in r.stdout, r
        p.terminate()
        assert p.wait(20 * PATIENCE) == 0
    finally:
        p.kill()
        p.stdout.close()
        d.close()


if __name__ == "__main__":
    main({"keys": keys, "secrets": secrets, "owners": owners, "made": made, "quotas": quotas, "addresses": addresses, "wrong_settings": wrong_settings, "unix_socket": unix_socket})
