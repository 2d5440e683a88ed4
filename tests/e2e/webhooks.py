"""Webhooks and the feed, with receivers that behave badly and a daemon that dies. Judges: the npm packages standardwebhooks and eventsource."""
import json
import os
import shutil
import socket
import sqlite3
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import PATIENCE, Daemon, EventStream, main, wait_for  # noqa: E402
from receiver import Receiver, certificate, fails_often, node, verify  # noqa: E402

OFTEN = "0" + ", 0.05" * 30  # so many attempts that 30 % failures never use them up
JOBS = int(os.environ.get("PARED_WEBHOOK_JOBS", "120"))
ENDLESS = 256 << 20  # bytes; far more than two kernels hold for a reader that has left (tcp_wmem and tcp_rmem: 4 and 32 MiB at most)
TOLD = ("job.queued", "job.started", "job.retrying", "job.paused", "job.succeeded", "job.failed", "job.canceled", "model.ready", "dataset.ready")


def hook(d, url, **more):
    r = d.post_json("/v1/webhooks", {"url": url, **more})
    assert r.status == 201, r
    return r.json()


def deliveries(d, whk):
    out, after = [], ""
    while True:
        page = d.get(f"/v1/webhooks/{whk}/deliveries?limit=200&order=asc{after}").json()
        out += page["data"]
        if not page["has_more"]:
            return out
        after = f"&after={page['next_after']}"


def feed(d):
    out, after = [], 0
    while True:
        page = d.get(f"/v1/events?limit=1000&after={after}").json()
        out += page["data"]
        if not page["has_more"]:
            return out
        after = page["next_after"]


def allowed(*more):
    return Daemon("--webhook-allow", "127.0.0.1", "--webhook-retry-seconds", OFTEN, *more)


def at_least_once():
    """Receivers fail 30 % of the time and the daemon is killed in between; every event arrives, says the same each time, and verifies."""
    r = Receiver(fails_often(0.3))
    with allowed() as d:
        plain = hook(d, r.url + "/plain")
        cloud = hook(d, r.url + "/cloud", format="cloudevents", events=["job.succeeded", "job.canceled"])
        model, data = d.iris_model(), d.iris_data()
        for i in range(JOBS):
            job = d.job(model, data, epochs=1)
            assert job.status == 201, job
            if i % 3 == 1:
                d.request("POST", f"/v1/jobs/{job.json()['id']}/cancel")
            if i % (JOBS // 4) == JOBS // 8:
                d.kill()
                d.start()
        wait_for(lambda: d.get("/v1/queue").json()["runnable"] + d.get("/v1/queue").json()["running"] == 0, 240, "the end of all jobs")
        events = feed(d)
        assert [e["cursor"] for e in events] == sorted({e["cursor"] for e in events})
        want = {f"{e['subject']}-{e['seq']}": e for e in events if e["type"] in TOLD}
        assert sum(e["type"] in ("job.succeeded", "job.canceled") for e in want.values()) == JOBS

        def arrived(path):
            return {m["headers"]["webhook-id"] for m in r.taken(path)}
        ended = {i for i, e in want.items() if e["type"] in ("job.succeeded", "job.canceled")}
        wait_for(lambda: arrived("/plain") == set(want) and arrived("/cloud") == ended, 120, "every event at both endpoints")
        wait_for(lambda: all(x["status"] == "succeeded" for x in deliveries(d, plain["id"]) + deliveries(d, cloud["id"])), 60, "the notes of all deliveries")
        verify(r.seen("/plain"), plain["secret"])
        verify(r.seen("/cloud"), cloud["secret"])
        bodies = {}
        for m in r.seen():
            key = (m["path"], m["headers"]["webhook-id"])
            assert bodies.setdefault(key, m["body"]) == m["body"], key  # attempts do not differ
            value = json.loads(m["body"])
            if m["path"] == "/cloud":
                assert m["headers"]["content-type"] == "application/cloudevents+json"
                assert value["specversion"] == "1.0" and value["id"] == m["headers"]["webhook-id"] and value["subject"] == value["data"]["subject"], value
            else:
                e = dict(value["data"])
                assert e.pop("url").endswith(e["subject"])
                assert e == want[m["headers"]["webhook-id"]], (e, want[m["headers"]["webhook-id"]])
        twice = len(r.taken()) - len(want) - len(ended)
        failed = len(r.seen()) - len(r.taken())
        print(f"{len(want) + len(ended)} deliveries, {failed} failed attempts, {twice} came twice, kills: 4")
        assert failed > 0.15 * len(r.seen())
        counts = {x["status"] for x in deliveries(d, plain["id"])}
        assert counts == {"succeeded"}, counts
        d.stop()
    r.close()


def answers():
    """What a receiver may answer: Retry-After counts, redirects are not followed, 410 ends it, an endless answer is a 2xx all the same, failures are given up and sent again by hand."""
    def reply(m):
        n = sum(x["path"] == m["path"] for x in r.seen())
        if m["path"] == "/later":
            return (503, {"Retry-After": "2"}) if n == 0 else 204
        if m["path"] == "/moved":
            return (307, {"Location": r.url + "/target"})
        if m["path"] == "/gone":
            return 410
        if m["path"] == "/never":
            return 500 if n < 3 else 204
        if m["path"] in ("/endless", "/headers"):
            s = m["handler"].wfile
            try:
                s.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if m["path"] == "/endless" else b""))
                for _ in range(ENDLESS // 1010):
                    s.write(b"X-Long: " + b"x" * 1000 + b"\r\n")
                m["drained"] = True
            except OSError:
                pass
            m["handler"].close_connection = True
            return None
        return 204

    r = Receiver(reply)
    d = Daemon("--webhook-allow", "127.0.0.1", "--webhook-retry-seconds", "0, 0.1, 0.1")
    with d:
        hooks = {p: hook(d, f"{r.url}/{p}?token=geheim")["id"] if p == "secret" else hook(d, f"{r.url}/{p}")["id"] for p in ("later", "moved", "gone", "never", "endless", "headers", "secret")}
        for whk in hooks.values():
            assert d.request("POST", f"/v1/webhooks/{whk}/test").status == 202

        def only(p):
            return deliveries(d, hooks[p])[0]
        wait_for(lambda: all(only(p)["status"] != "pending" for p in hooks), 20, "the end of all deliveries")
        at = [m["at"] for m in r.seen("/later")]
        assert only("later")["status"] == "succeeded" and 1.9 < at[1] - at[0] < 10, at
        assert only("moved")["status"] == "failed" and only("moved")["attempts_made"] == 3 and not r.seen("/target")
        assert "redirect" in only("moved")["attempts"][0]["error"]
        gone = d.get(f"/v1/webhooks/{hooks['gone']}").json()
        assert only("gone")["attempts_made"] == 1 and not gone["enabled"] and "410" in gone["disabled_reason"], gone
        assert d.request("POST", f"/v1/webhooks/{hooks['gone']}/test").status == 409
        assert only("endless")["status"] == "succeeded" and len(only("endless")["attempts"][0]["response"]) == 1024, only("endless")
        assert only("headers")["status"] == "failed", only("headers")
        assert not any(m.get("drained") for m in r.seen()), "the whole of an endless answer was read"
        assert only("never")["status"] == "failed" and only("never")["attempts_made"] == 3
        assert d.request("POST", f"/v1/webhooks/{hooks['never']}/deliveries/{only('never')['id']}/redeliver").status == 202
        wait_for(lambda: only("never")["status"] == "succeeded", 10, "the redelivery")
        assert len({m["headers"]["webhook-id"] for m in r.seen("/never")}) == 1 and only("never")["attempts_made"] == 4
        metrics = d.get("/metrics").body.decode()
        for line in ('outcome="succeeded"} 4', 'outcome="failed"} 4'):
            assert f"pared_webhook_deliveries_total{{{line}" in metrics, [x for x in metrics.splitlines() if "deliveries" in x]
        d.stop()
        with open(d.log) as f:
            assert "geheim" not in f.read()
    r.close()


def asked_again():
    """A redelivery that is asked for while an attempt is under way comes after it, whatever that attempt comes to."""
    began, release = threading.Semaphore(0), threading.Semaphore(0)
    r = Receiver(lambda m: (began.release(), release.acquire(timeout=60), 204)[2])
    with allowed() as d:
        whk = hook(d, r.url)["id"]
        dlv = d.request("POST", f"/v1/webhooks/{whk}/test").json()["id"]
        assert began.acquire(timeout=10), "no attempt began"
        again = d.request("POST", f"/v1/webhooks/{whk}/deliveries/{dlv}/redeliver")
        assert again.status == 202 and again.json()["status"] == "pending", again
        release.release()
        assert began.acquire(timeout=10 * PATIENCE), "the redelivery was forgotten"
        release.release()
        wait_for(lambda: deliveries(d, whk)[0]["status"] == "succeeded", 10, "the end of the redelivery")
        assert deliveries(d, whk)[0]["attempts_made"] == 2 and len({m["headers"]["webhook-id"] for m in r.seen()}) == 1
        d.stop()
    r.close()


def with_a_job():
    """A job's own webhook hears of all of that job, from its first event, and of no other; its messages verify with the secret of the answer."""
    r = Receiver()
    with allowed() as d:
        body = {"model": d.iris_model(), "dataset": d.iris_data(), "recipe": {"steps": [{"prune": {"sparsity": 0.5}}]}}
        job = d.post_json("/v1/jobs", {**body, "webhook": {"url": r.url + "/mine", "events": ["job.queued", "job.started", "job.succeeded"]}})
        assert job.status == 201, job
        other = d.post_json("/v1/jobs", body)
        assert "webhook" not in other.json()
        wait_for(lambda: len(r.taken()) == 3, 30, "the job's three messages")
        d.wait_job(other.json()["id"], 60)
        verify(r.seen("/mine"), job.json()["webhook"]["secret"])
        seen = [json.loads(m["body"]) for m in r.seen()]
        assert {e["type"] for e in seen} == {"job.queued", "job.started", "job.succeeded"}, seen
        assert {e["data"]["subject"] for e in seen} == {job.json()["id"]}, seen
        assert d.request("DELETE", f"/v1/jobs/{job.json()['id']}").status == 204
        assert d.get(f"/v1/webhooks/{job.json()['webhook']['id']}").status == 404
    r.close()


def rotation():
    """For a while messages carry two signatures; afterwards one."""
    r = Receiver()
    with allowed() as d:
        first = hook(d, r.url)
        second = d.request("POST", f"/v1/webhooks/{first['id']}/rotate-secret").json()
        d.request("POST", f"/v1/webhooks/{first['id']}/test")
        wait_for(lambda: len(r.seen()) == 1, 10, "the message")
        verify(r.seen(), first["secret"])
        verify(r.seen(), second["secret"])
        third = d.request("POST", f"/v1/webhooks/{first['id']}/rotate-secret?overlap_seconds=0").json()
        d.request("POST", f"/v1/webhooks/{first['id']}/test")
        wait_for(lambda: len(r.seen()) == 2, 10, "the second message")
        verify(r.seen()[1:], third["secret"])
        assert " " not in r.seen()[1]["headers"]["webhook-signature"]
        d.stop()
        with open(d.log) as f:
            log = f.read()
        for secret in (first["secret"], second["secret"], third["secret"]):
            assert secret not in log and secret[6:] not in log
    r.close()


def key_gone():
    """Who revokes a key stops what its webhooks tell; another key takes such a webhook on."""
    r = Receiver()
    root = "pare_root_0123456789abcdef0123"
    d = allowed()
    path = os.path.join(d.dir, "keys")
    with open(path, "w") as f:
        f.write(root + " scopes=admin,webhooks:rw,models:rw,jobs:rw,datasets:rw\n")
    os.chmod(path, 0o600)
    d.flags += ["--api-key-file", path]
    d.key = root
    with d:
        made = d.post_json("/v1/keys", {"name": "ci", "scopes": ["webhooks:rw", "models:r"]}).json()
        d.key = made["secret"]
        h = hook(d, r.url)
        assert h["events"] == ["model.ready"], h
        d.key = root
        d.iris_model()
        wait_for(lambda: [x["status"] for x in deliveries(d, h["id"])] == ["succeeded"], 10, "the message, and the note of it")
        assert d.request("DELETE", f"/v1/keys/{made['id']}").status == 204
        d.iris_model()
        wait_for(lambda: not d.get(f"/v1/webhooks/{h['id']}").json()["enabled"], 10, "the webhook's end")
        assert "revoked" in d.get(f"/v1/webhooks/{h['id']}").json()["disabled_reason"]
        assert [x["status"] for x in deliveries(d, h["id"])] == ["succeeded", "failed"] and len(r.seen()) == 1
        assert d.request("PATCH", f"/v1/webhooks/{h['id']}", json.dumps({"enabled": True}), {"Content-Type": "application/json"}).status == 200
        d.iris_model()
        wait_for(lambda: len(r.seen()) == 2, 10, "the message after that")
        d.kill()
        d.start()
        d.iris_model()
        # the one before comes twice if the kill was quicker than the note that it had arrived
        wait_for(lambda: len({m["headers"]["webhook-id"] for m in r.seen()}) == 3, 10, "the message after a restart")
    r.close()


def hanging():
    """A receiver that takes the request and says nothing holds up neither other receivers nor the end of the daemon."""
    release = threading.Event()
    slow, quick = Receiver(lambda m: (release.wait(60), 204)[1]), Receiver()
    with allowed() as d:
        dead = hook(d, slow.url)
        for _ in range(50):
            d.request("POST", f"/v1/webhooks/{dead['id']}/test")
        wait_for(lambda: sum(x["status"] == "pending" for x in deliveries(d, dead["id"])) == 50, 10, "fifty waiting deliveries")
        alive = hook(d, quick.url)
        began = time.monotonic()
        d.request("POST", f"/v1/webhooks/{alive['id']}/test")
        wait_for(lambda: quick.seen(), 5, "the message behind fifty that hang")
        assert time.monotonic() - began < 3 * PATIENCE
        began = time.monotonic()
        d.stop()
        assert time.monotonic() - began < 8 * PATIENCE, time.monotonic() - began
        release.set()
        d.start()  # what hung is sent again
        wait_for(lambda: all(x["status"] == "succeeded" for x in deliveries(d, dead["id"])), 20, "the fifty")
        d.stop()
    slow.close()
    quick.close()


def many_hanging():
    """An owner whose receivers all hang, more of them than requests that can be under way, holds up no other owner's message."""
    release, hang = threading.Event(), []
    slow, quick = Receiver(lambda m: (hang.append(m), release.wait(60), 204)[2]), Receiver()
    keys = [f"pare_{name}_0123456789abcdefghijklmnopqrstuvwxyz" for name in ("a", "b")]
    d = allowed()
    with open(os.path.join(d.dir, "keys"), "w") as f:
        f.write("".join(f"{key} owner=owner-{i}\n" for i, key in enumerate(keys)))
    d.flags += ["--api-key-file", f.name]
    d.key = keys[0]
    with d:
        for _ in range(16):
            dead = hook(d, slow.url)["id"]
            for _ in range(8):
                assert d.request("POST", f"/v1/webhooks/{dead}/test").status in (201, 202)
        wait_for(lambda: len(hang) >= 16, 10, "requests that hang")
        d.key = keys[1]
        alive = hook(d, quick.url)
        d.request("POST", f"/v1/webhooks/{alive['id']}/test")
        wait_for(lambda: quick.seen(), 5, "the message of another owner")
        release.set()
        d.stop()
    slow.close()
    quick.close()


# how an address of this machine, or one beside it, can be written; the port of a receiver goes into {}
ADDRESSES = {
    "loopback": "http://127.0.0.1:{}/", "loopback, another": "http://127.8.8.8:{}/", "IPv6 loopback": "http://[::1]:{}/", "v4-mapped": "http://[::ffff:127.0.0.1]:{}/",
    "v4-mapped in hex": "http://[::ffff:7f00:1]:{}/", "v4-compatible": "http://[::127.0.0.1]:{}/", "unspecified": "http://0.0.0.0:{}/", "unspecified IPv6": "http://[::]:{}/",
    "metadata service": "http://169.254.169.254/", "unique local": "http://[fd00::1]:{}/", "link-local IPv6": "http://[fe80::1]:{}/", "NAT64": "http://[64:ff9b::7f00:1]:{}/",
    "6to4": "http://[2002:7f00:1::]:{}/", "carrier-grade NAT": "http://100.64.0.1:{}/", "private 10": "http://10.0.0.1:{}/", "private 172": "http://172.16.0.1:{}/",
    "private 192": "http://192.168.0.1:{}/", "decimal": "http://2130706433:{}/", "octal": "http://0177.0.0.1:{}/", "one octal": "http://017700000001:{}/",
    "hex": "http://0x7f000001:{}/", "hex in parts": "http://0x7f.0.0.1:{}/", "short": "http://127.1:{}/", "localhost": "http://localhost:{}/", "localhost with a dot": "http://localhost.:{}/",
    "multicast": "http://224.0.0.1:{}/", "broadcast": "http://255.255.255.255:{}/",
}
FORMS = {
    "file": "file:///etc/passwd", "gopher": "gopher://127.0.0.1:{}/_POST", "dict": "dict://127.0.0.1:{}/x", "ftp": "ftp://127.0.0.1:{}/", "user name": "http://user:pass@127.0.0.1:{}/",
    "host as user": "http://example.com@127.0.0.1:{}/", "CR LF": "http://example.com/\r\nX-Evil: 1", "backslash": "http://127.0.0.1:{}\\@example.com/", "port 22": "http://example.com:22/",
    "IDN": "http://b\u00fccher.example/", "dotless i of localhost": "http://\u2488localhost/", "fragment": "http://example.com/#@127.0.0.1:{}/",
}


def ssrf_refused():
    """Each is refused when it is given, with a pointer to the URL."""
    with Daemon() as d:
        for name, url in {**ADDRESSES, **FORMS}.items():
            r = d.post_json("/v1/webhooks", {"url": url.format(4711)})
            assert r.status == 422 and r.json()["errors"][0]["pointer"] == "/url", (name, r)
        whk = hook(d, "https://hooks.example/")
        r = d.request("PATCH", f"/v1/webhooks/{whk['id']}", json.dumps({"url": "http://10.0.0.1/"}), {"Content-Type": "application/json"})
        assert r.status == 422, r
        d.stop()


def ssrf_at_the_socket():
    """Were such a URL in the database all the same (a name that now leads elsewhere is just that), no socket would be opened; environment variables about proxies change nothing."""
    caught = []
    traps = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        s = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((address, traps[0].getsockname()[1]))
        else:
            s.bind((address, 0))
        s.listen(50)
        traps.append(s)

    def watch(s):
        while True:
            try:
                caught.append(s.accept())
            except OSError:
                return
    for s in traps:
        threading.Thread(target=watch, args=(s,), daemon=True).start()
    port = traps[0].getsockname()[1]
    urls = {**ADDRESSES, **{k: v for k, v in FORMS.items() if "{}" in v or k == "file"}, "name of this machine": f"http://{socket.gethostname()}:{port}/"}
    proxy = f"http://127.0.0.1:{port}"
    d = Daemon("--webhook-retry-seconds", "0", env={k: proxy for k in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")})
    with d:
        ids = {name: hook(d, "https://hooks.example/")["id"] for name in urls}
        d.stop()
        db = sqlite3.connect(os.path.join(d.data, "pared.db"))
        for name, url in urls.items():
            db.execute("UPDATE webhooks SET url = ? WHERE id = ?", (url.format(port), ids[name]))
        db.commit()
        db.close()
        d.start()
        for whk in ids.values():
            assert d.request("POST", f"/v1/webhooks/{whk}/test").status == 202
        wait_for(lambda: all(deliveries(d, w)[0]["status"] == "failed" for w in ids.values()), 40, "the end of all attempts")
        for name, whk in ids.items():
            attempt = deliveries(d, whk)[0]["attempts"][0]
            assert attempt["status"] is None, (name, attempt)
            if name in ADDRESSES and "localhost" not in name:
                assert "not called" in attempt["error"], (name, attempt)
        d.stop()
    for s in traps:
        s.close()
    assert not caught, caught


def tls():
    """https with a certificate that nobody vouches for is not https; with the operator's authority it is."""
    directory, crt, key = certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    r = Receiver(tls=context)
    d = Daemon("--webhook-allow", "127.0.0.1", "--webhook-retry-seconds", "0")
    with d:
        whk = hook(d, r.url)
        d.request("POST", f"/v1/webhooks/{whk['id']}/test")
        wait_for(lambda: deliveries(d, whk["id"])[0]["status"] == "failed", 20, "the refusal")
        assert "certificate" in deliveries(d, whk["id"])[0]["attempts"][0]["error"], deliveries(d, whk["id"])
        assert not r.seen()
        d.stop()
        d.flags += ["--webhook-ca-file", crt]
        d.start()
        d.request("POST", f"/v1/webhooks/{whk['id']}/test")
        wait_for(lambda: len(r.seen()) == 1, 20, "the message")
        verify(r.seen(), whk["secret"])
        d.stop()
    r.close()
    shutil.rmtree(directory)


# prints "id type" for every event; reconnects by itself
FOLLOW = """
const { EventSource } = require('eventsource');
const es = new EventSource(process.argv[1]);
for (const type of process.argv[2].split(','))
  es.addEventListener(type, e => console.log(e.lastEventId + ' ' + e.type + ' ' + JSON.parse(e.data).subject));
es.addEventListener('error', e => { if (es.readyState === 2) { console.log('closed'); process.exit(0); } });
"""


class Follower(threading.Thread):
    def __init__(self, url):
        super().__init__(daemon=True)
        types = ",".join(TOLD + ("job.phase", "job.progress", "job.metrics", "job.log", "job.checkpoint", "job.resumed", "job.waiting", "job.trial"))
        self.process = node(FOLLOW, url, types, background=True)
        self.lines = []
        self.start()

    def run(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def close(self):
        self.process.kill()
        self.process.wait()


def event_sources():
    """The npm client eventsource on a job's stream and on the feed, over a restart and a kill of the daemon: nothing is missed, nothing comes twice, the job's stream ends."""
    d = Daemon("--checkpoint-seconds", "0")
    with d:
        d.flags += ["--port", str(d.port)]
        model, data = d.iris_model(), d.iris_data()
        whole = Follower(f"http://127.0.0.1:{d.port}/v1/events")
        job = d.job(model, data, epochs=60000).json()["id"]
        own = Follower(f"http://127.0.0.1:{d.port}/v1/jobs/{job}/events")
        wait_for(lambda: len(own.lines) > 3 and len(whole.lines) > 3, 20, "both clients")
        d.stop()
        d.start()
        wait_for(lambda: any("job.started" in x for x in own.lines[4:]), 30, "events after the restart")
        d.kill()
        d.start()
        wait_for(lambda: d.status(job) in ("succeeded", "failed"), 120, "the end of the job")
        other = d.job(model, data).json()["id"]
        d.wait_job(other)
        expected = [f"{e['cursor']} {e['type']} {e['subject']}" for e in feed(d)]
        wait_for(lambda: len(whole.lines) >= len(expected), 30, "the rest of the feed")
        wait_for(lambda: "closed" in own.lines, 30, "the end of the job's stream")
        assert whole.lines == expected, [x for x in zip(whole.lines, expected) if x[0] != x[1]][:3]
        assert own.lines[:-1] == [f"{e['seq']} {e['type']} {job}" for e in d.events(job)]
        whole.close()
        own.close()
        d.stop()


def feed_forms():
    """The feed as a stream follows what happens, and belongs to its owner."""
    with Daemon() as d:
        model, data = d.iris_model(), d.iris_data()
        s = EventStream(d.port, "/v1/events?after=latest")
        job = d.job(model, data).json()["id"]
        first = s.next(10)
        assert first[2] == "job.queued" and first[3]["subject"] == job, first
        seen = [first]
        while seen[-1][2] != "job.succeeded":
            seen.append(s.next(30))
        assert [e[1] for e in seen] == list(range(seen[0][1], seen[0][1] + len(seen)))
        d.iris_model()
        assert s.next(5)[2] == "model.ready"
        s.close()
        d.stop()


if __name__ == "__main__":
    main({"key_gone": key_gone, "at_least_once": at_least_once, "answers": answers, "asked_again": asked_again, "with_a_job": with_a_job, "rotation": rotation, "hanging": hanging, "many_hanging": many_hanging, "ssrf_refused": ssrf_refused, "ssrf_at_the_socket": ssrf_at_the_socket,
          "tls": tls, "event_sources": event_sources, "feed_forms": feed_forms})
