"""The life of jobs: events with resume, idempotency over a restart, cancelling, shutdown, limits, engines that die."""
import concurrent.futures
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import IRIS, PATIENCE, SANITIZED, VENV, Daemon, EventStream, check_events, main, wait_for  # noqa: E402


def finished():
    """A job succeeds; its artifacts, report, events and ETags agree; the same job again gives the same bytes."""
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        ids = [d.job(m, s).json()["id"] for _ in range(2)]
        for j in ids:
            assert d.wait_job(j)["status"] == "succeeded", d.get(f"/v1/jobs/{j}")
            check_events(d.events(j))
        digests = []
        for j in ids:
            r = d.get(f"/v1/jobs/{j}/artifacts/model.onnx")
            assert r.status == 200 and hashlib.sha256(r.body).hexdigest() in r.headers["ETag"]
            digests.append(r.headers["ETag"])
            names = [a["name"] for a in d.get(f"/v1/jobs/{j}/artifacts").json()["data"]]
            assert "model.onnx" in names and "report.json" in names, names
        assert digests[0] == digests[1], digests
        assert d.get(f"/v1/jobs/{ids[0]}/report").json()
        assert d.get(f"/v1/jobs/{ids[0]}/report", Accept="text/markdown").headers["Content-Type"].startswith("text/markdown")
        assert d.request("DELETE", f"/v1/jobs/{ids[0]}").status == 204
        assert d.get(f"/v1/jobs/{ids[0]}").status == 404
        d.stop()


def second_model():
    """A job with a second model as teacher gets both; one whose teacher is gone says so."""
    with Daemon() as d:
        m, t, s = d.iris_model(), d.iris_model("teacher"), d.iris_data()
        steps = [{"train": {"epochs": 3, "batch_size": 16, "distill": {"teacher": "model", "alpha": 0.7, "loss": "mse"}}}]
        for gone in (False, True):
            if gone:
                assert d.request("DELETE", f"/v1/models/{t}").status == 204
            r = d.job(m, s, teacher=t, recipe={"steps": steps})
            if gone:
                assert r.status == 422 and r.json()["errors"][0]["pointer"] == "/teacher", r
            else:
                assert r.status == 201, r
                assert d.wait_job(r.json()["id"])["status"] == "succeeded", d.get(f"/v1/jobs/{r.json()['id']}")
        d.stop()


def external_data():
    """A model of two files is inspected, pruned without a data set and leaves as two files; without its data it is refused."""
    folder = os.path.join(os.environ["PARED_SRC"], "tests/core/job/stored")
    files = {n: open(os.path.join(folder, n), "rb").read() for n in ("weights.bin", "model.onnx")}
    with Daemon() as d:
        r = d.upload_form("/v1/models?name=two", files)
        assert r.status == 201, r
        m = r.json()
        assert m["info"]["n_weights"] == 156 and [f["path"] for f in m["files"]] == list(files), m
        for query, name in (("", "model.onnx"), ("?path=weights.bin", "weights.bin")):
            assert d.get(f"/v1/models/{m['id']}/content{query}").body == files[name]
        steps = [{"prune": {"criterion": "magnitude", "sparsity": 0.5}}]
        r = d.post_json("/v1/jobs", {"model": m["id"], "recipe": {"steps": steps}})
        assert r.status == 201 and r.json()["dataset"] is None, r
        j = r.json()["id"]
        assert d.wait_job(j)["status"] == "succeeded", d.get(f"/v1/jobs/{j}")
        names = [a["name"] for a in d.get(f"/v1/jobs/{j}/artifacts").json()["data"]]
        assert {"model.onnx", "weights.bin", "report.json", "report.md", "report.html"} <= set(names), names
        left = d.get(f"/v1/jobs/{j}/artifacts/weights.bin").body
        assert len(left) == len(files["weights.bin"]) and sum(left[i:i + 4] == bytes(4) for i in range(0, len(left), 4)) == 78
        assert d.get(f"/v1/jobs/{j}/report").json()["final"]["n_nonzero_weights"] == 78
        r = d.upload_form("/v1/models", {"model.onnx": files["model.onnx"]})
        assert r.status == 422 and "did not come with the model" in r.json()["detail"], r
        r = d.post_json("/v1/jobs", {"model": m["id"], "recipe": {"steps": steps + [{"train": {"epochs": 1}}]}})
        assert r.status == 422 and r.json()["errors"][0]["pointer"] == "/dataset", r
        d.stop()


def several_labels():
    """Two columns of a CSV, which are not its last ones, are foretold at once, by a model with two outputs. Which they are is said at the upload alone."""
    rows = "".join(f"{(x + y) / 50},{(x - y) / 50},{x / 50},{y / 50}\n" for x in range(-25, 25) for y in range(-25, 25))
    with Daemon() as d:
        r = d.request("POST", "/v1/datasets?filename=t.csv&label=sum,difference", ("sum,difference,x,y\n" + rows).encode(), {"Content-Type": "text/csv"})
        assert r.status == 201 and r.json()["info"]["task"] == "regress", r
        m = d.post_json("/v1/models", {"name": "two", "architecture": {"type": "mlp", "input": [2], "layers": [{"units": 16, "activation": "relu"}, {"units": 2}]}}).json()["id"]
        steps = [{"train": {"epochs": 30, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}}}, {"prune": {"criterion": "magnitude", "sparsity": 0.3}}, {"train": {"epochs": 10, "optimizer": {"name": "adam", "lr": 0.003}}}]
        j = d.post_json("/v1/jobs", {"model": m, "dataset": r.json()["id"], "recipe": {"steps": steps}}).json()["id"]
        job = d.wait_job(j)
        assert job["status"] == "succeeded" and job["result"]["summary"]["metric"] == "r2" and job["result"]["summary"]["after"] > 0.95, job
        d.stop()


# Of a model on stdin: its input's name, and how many rows of a CSV ONNX Runtime puts in their class with it.
ORT_JUDGE = """
import csv, sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.stdin.buffer.read())
rows = list(csv.reader(open(sys.argv[1])))[1:]
x = np.array([r[:-1] for r in rows], np.float32)
classes = sorted({r[-1] for r in rows})
name = session.get_inputs()[0].name
print(name, sum(classes[k] == r[-1] for k, r in zip(session.run(None, {name: x})[0].argmax(1), rows)))
"""


def registers():
    """A result becomes the next version of a model, alias and all, and goes on as one: it is run by ONNX Runtime, pruned again, and stays when its job goes."""
    folder = os.path.join(os.environ["PARED_SRC"], "tests/core/job/stored")
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        train = {"train": {"epochs": 60, "batch_size": 16}}
        steps = [train, {"prune": {"criterion": "magnitude", "sparsity": 0.5}}, train]
        j = d.job(m, s, recipe={"steps": steps}, register="iris-small@staging").json()
        job = d.wait_job(j["id"])
        assert job["status"] == "succeeded" and job["register"] == "iris-small@staging", job
        r = d.get("/v1/models/iris-small@staging").json()
        assert r["id"] == job["result"]["model"] and r["version"] == 1 and r["aliases"] == ["staging"] and r["produced_by"] == j["id"], r
        assert r["info"]["inputs"] and "summary" in job["result"], r
        j2 = d.job("iris-small@staging", s, register="iris-small@staging").json()
        job2 = d.wait_job(j2["id"])
        assert job2["model"] == r["id"], job2
        assert d.get("/v1/models/iris-small@staging").json()["version"] == 2
        artifact = d.get(f"/v1/jobs/{j['id']}/artifacts/model.onnx").body
        assert d.request("DELETE", f"/v1/jobs/{j['id']}").status == 204
        model = d.get("/v1/models/iris-small:1/content").body
        assert model == artifact
        run = subprocess.run([os.path.join(VENV, "bin/python"), "-c", ORT_JUDGE, IRIS], input=model, capture_output=True, check=True)
        name, right = run.stdout.decode().split()
        assert name == r["info"]["inputs"][0]["name"] and int(right) >= 135, run.stdout
        events = [e["type"] for e in d.get("/v1/events").json()["data"]]
        assert events.count("model.ready") == 3, events
        two = d.upload_form("/v1/models?name=two", {n: open(os.path.join(folder, n), "rb").read() for n in ("weights.bin", "model.onnx")}).json()
        steps = [{"prune": {"criterion": "magnitude", "sparsity": 0.5}}]
        j = d.post_json("/v1/jobs", {"model": two["id"], "recipe": {"steps": steps}, "register": "two"}).json()
        job = d.wait_job(j["id"])
        new = d.get(f"/v1/models/{job['result']['model']}").json()
        assert new["version"] == 2 and sorted(f["path"] for f in new["files"]) == ["model.onnx", "weights.bin"], new
        d.stop()


def events_resume():
    """A stream that is cut is resumed by Last-Event-ID without loss or repetition, live, and ends by itself; after the end comes 204."""
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        j = d.job(m, s, epochs=200000).json()["id"]
        first = EventStream(d.port, f"/v1/jobs/{j}/events")
        seen = [first.next() for _ in range(4)]
        assert d.status(j) in ("running", "queued")
        first.close()
        second = EventStream(d.port, f"/v1/jobs/{j}/events", {"Last-Event-ID": str(seen[-1][1])})
        seen += second.rest()
        assert [e[1] for e in seen] == list(range(1, len(seen) + 1)), [e[1] for e in seen]
        assert seen[-1][2] == "job.succeeded", seen[-1]
        assert [e[3]["seq"] for e in seen] == [e["seq"] for e in d.events(j)]
        r = d.get(f"/v1/jobs/{j}/events", Accept="text/event-stream", Last_Event_ID=str(seen[-1][1]))
        assert r.status == 204, r
        lines = d.get(f"/v1/jobs/{j}/events", Accept="application/x-ndjson").body.splitlines()
        assert len(lines) == len(seen)


def many_streams():
    """Fifty streams on one job all see every event, in order."""
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        j = d.job(m, s, epochs=100000).json()["id"]
        streams = [EventStream(d.port, f"/v1/jobs/{j}/events") for _ in range(50)]
        want = None
        for st in streams:
            got = [(e[1], e[2]) for e in st.rest()]
            want = want or got
            assert got == want and got[-1][1] == "job.succeeded"


def prefer_wait():
    """A job in one request: the answer is the job's end; a hundred that wait hold up nobody, and a stop holds up none of them."""
    with Daemon("--workers", "1") as d:
        m, s = d.iris_model(), d.iris_data()
        r = d.request("POST", "/v1/jobs", json.dumps({"model": m, "dataset": s, "seed": 1, "recipe": {"steps": [{"train": {"epochs": 200}}]}}),
                      {"Content-Type": "application/json", "Prefer": "wait=50"})
        assert r.status == 201 and r.json()["status"] == "succeeded", r
        assert r.headers["Preference-Applied"] == "wait=50", r.headers
        j = d.long_job(m, s).json()["id"]
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            asked = [pool.submit(d.request, "GET", f"/v1/jobs/{j}", None, {"Prefer": "wait=60"}) for _ in range(100)]
            wait_for(lambda: sum(f.done() for f in asked) >= 36, 20, "those for whom there is no place")
            began = time.monotonic()
            assert d.get("/livez").status == 200 and d.job(m, s).status == 201 and d.request("POST", f"/v1/jobs/{j}/cancel").status == 202
            assert time.monotonic() - began < 5 * PATIENCE
            replies = [f.result() for f in asked]
        assert all(r.status == 200 for r in replies)
        waited = [r for r in replies if r.headers["Preference-Applied"]]
        assert len(waited) == 64 and all(r.json()["status"] == "canceled" for r in waited), [r.json()["status"] for r in waited]
        j = d.long_job(m, s).json()["id"]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            last = pool.submit(d.request, "GET", f"/v1/jobs/{j}", None, {"Prefer": "wait=60"})
            wait_for(lambda: d.status(j) == "running", 20, "the job to run")
            d.stop()
            assert last.result().status == 200


def idempotency():
    """A key makes one job, at once, in parallel and after a restart; with another body it is refused."""
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        first = d.job(m, s, key="k1")
        assert first.status == 201
        again = d.job(m, s, key="k1")
        assert again.status == 201 and again.json()["id"] == first.json()["id"]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert d.job(m, s, key="k1", epochs=3).status == 422
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: d.job(m, s, key="k2"), range(100)))
        assert {r.status for r in answers} == {201} and len({r.json()["id"] for r in answers}) == 1, answers
        assert sum("Idempotency-Replayed" in r.headers for r in answers) == 99
        d.kill()
        d.start()
        after = d.job(m, s, key="k1")
        assert after.status == 201 and after.json()["id"] == first.json()["id"], after
        assert len(d.get("/v1/jobs").json()["data"]) == 2


def cancel():
    """Queued jobs are cancelled at once, running ones within seconds; a second time changes nothing; a finished one is a conflict."""
    with Daemon("--workers", "1") as d:
        m, s = d.iris_model(), d.iris_data()
        running = d.long_job(m, s).json()["id"]
        queued = d.job(m, s).json()["id"]
        wait_for(lambda: d.status(running) == "running", 10, "the first job to run")
        assert d.request("POST", f"/v1/jobs/{queued}/cancel").status == 202
        assert d.status(queued) == "canceled"
        wait_for(lambda: any(e["type"] == "job.metrics" for e in d.events(running)), 20, "an epoch")
        began = time.monotonic()
        for _ in range(2):
            assert d.request("POST", f"/v1/jobs/{running}/cancel").status == 202
        assert d.wait_job(running, 15)["status"] == "canceled"
        assert time.monotonic() - began < 8 * PATIENCE
        for j in (running, queued):
            check_events(d.events(j))
        wait_for(lambda: d.engines() == [], 5, "the engine to be gone")
        done = d.job(m, s).json()["id"]
        assert d.wait_job(done)["status"] == "succeeded"
        assert d.request("POST", f"/v1/jobs/{done}/cancel").status == 409
        d.stop()


def shutdown():
    """SIGTERM gives a running job back and ends in time, event streams end, and after a restart the job finishes."""
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        j = d.job(m, s, epochs=300000).json()["id"]
        stream = EventStream(d.port, f"/v1/jobs/{j}/events")
        while stream.next()[2] != "job.metrics":
            pass
        began = time.monotonic()
        d.stop()
        assert time.monotonic() - began < 5 * PATIENCE
        stream.rest()
        d.start()
        job = d.wait_job(j, 60)
        assert job["status"] == "succeeded" and job["attempt"] >= 2, job
        events = d.events(j)
        check_events(events)
        assert any(e["type"] == "job.retrying" for e in events)


def engine_dies():
    """An engine that is killed is tried again; one that always dies fails its job as worker_crashed; the daemon goes on."""
    with Daemon("--max-crashes", "3") as d:
        m, s = d.iris_model(), d.iris_data()
        j = d.job(m, s, epochs=300000).json()["id"]
        wait_for(lambda: d.status(j) == "running" and d.kill_engines(), 10, "an engine")
        assert d.wait_job(j, 60)["status"] == "succeeded"
        j = d.long_job(m, s).json()["id"]
        killed = set()
        while d.status(j) not in ("failed", "succeeded"):
            killed.update(d.kill_engines(signal.SIGSEGV, spare=killed))
        job = d.get(f"/v1/jobs/{j}").json()
        assert job["status"] == "failed" and job["error"]["code"] == "worker_crashed", job
        assert len(killed) == 3, killed
        check_events(d.events(j))
        # a process that breaks its sandbox is not tried again
        j = d.long_job(m, s).json()["id"]
        wait_for(lambda: d.status(j) == "running" and d.kill_engines(signal.SIGSYS), 10, "an engine")
        job = d.wait_job(j, 10)
        assert job["status"] == "failed" and job["error"]["code"] == "sandbox_violation" and job["attempt"] == 1, job
        d.stop()


def runtime_limit():
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        j = d.long_job(m, s, limits={"max_runtime_seconds": 1}).json()["id"]
        job = d.wait_job(j, 15)
        assert job["status"] == "failed" and job["error"]["code"] == "timeout", job
        check_events(d.events(j))


def orphans():
    """Engines do not outlive a daemon that was killed."""
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        d.long_job(m, s)
        engines = wait_for(d.engines, 10, "an engine")
        d.kill()
        wait_for(lambda: not any(os.path.exists(f"/proc/{p}") and "Z" not in open(f"/proc/{p}/stat").read().split()[2] for p in engines), 5, "the engine to be gone")
        d.start()
        d.stop()


def memory():
    """The idle daemon is small and starts fast."""
    with Daemon() as d:
        d.stop()
        d.start()
        assert SANITIZED or d.rss() <= 20 << 20, d.rss()
        assert d.ready_seconds < 1 * PATIENCE, d.ready_seconds


def search():
    """Only a floor, no recipe: asked about first, then run; the whole front can be downloaded."""
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        body = {"model": m, "dataset": s, "seed": 1, "threads": 1, "data": {"normalize": "standard", "validation": 0.3}, "require": {"max_drop": 0.05},
                "params": {"epochs": 60, "batch_size": 8, "lr": 0.01}}
        r = d.post_json("/v1/jobs?dry_run=true", body)
        assert r.status == 200, r
        a = r.json()["analysis"]
        assert a["layers"][0]["prunable"] and len(a["layers"][0]["sensitivity"]["left"]) > 3 and a["work"]["seconds"] > 0, a
        assert {g["units"] for g in a["groups"]} == {8} and "graph output" in a["pinned"][0]["why"], a
        assert d.get("/v1/jobs").json()["data"] == [], "a dry run made a job"
        wrong = d.post_json("/v1/jobs?dry_run=true", {**body, "data": {"validation": 0}})
        assert wrong.status == 422 and "validation rows" in wrong.body.decode(), wrong
        r = d.post_json("/v1/jobs", body)
        assert r.status == 201 and r.json()["request"]["recipe"]["name"] == "auto", r
        j = r.json()["id"]
        assert d.wait_job(j)["status"] == "succeeded", d.get(f"/v1/jobs/{j}")
        found = d.get(f"/v1/jobs/{j}/report").json()["search"]
        files = {a["name"]: a["bytes"] for a in d.get(f"/v1/jobs/{j}/artifacts").json()["data"]}
        told = {p["artifact"]: p["file_bytes"] for p in found["points"] if p["artifact"]}
        assert found["met"] and len(told) >= 2 and all(files[n] == size for n, size in told.items()), (told, files)
        for n in told:
            assert len(d.get(f"/v1/jobs/{j}/artifacts/{n}").body) == told[n]
        d.stop()


def queue_of_100k():
    """Ready within two seconds of a kill -9 with 100,000 jobs in the store."""
    with Daemon("--max-queued-jobs", "200000", "--core", "/bin/false", "--workers", "1") as d:
        d.stop()
        # rows as the daemon writes them, made by SQL because 100,000 requests would take half a minute
        d.flags = ["--max-queued-jobs", "200000"]
        d.start()
        m, s = d.iris_model(), d.iris_data()
        j = d.job(m, s).json()["id"]
        assert d.wait_job(j)["status"] == "succeeded"
        d.stop()
        db = sqlite3.connect(os.path.join(d.data, "pared.db"))
        columns = [c[1] for c in db.execute("PRAGMA table_info(jobs)")]
        values = ", ".join(f"'job_' || printf('%026d', n)" if c == "id" else "'queued'" if c == "status" and isinstance(
            db.execute("SELECT status FROM jobs").fetchone()[0], str) else c for c in columns)
        with db:
            db.execute(f"WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < 100000) INSERT INTO jobs ({', '.join(columns)}) "
                       f"SELECT {values} FROM k, (SELECT * FROM jobs LIMIT 1)")
        db.close()
        d.start()
        d.kill()
        d.start()
        assert d.ready_seconds < 2, d.ready_seconds
        print(f"ready {d.ready_seconds:.3f} s after kill -9 with 100,000 jobs")


if __name__ == "__main__":
    main({"finished": finished, "second_model": second_model, "search": search, "external_data": external_data, "registers": registers, "several_labels": several_labels, "events_resume": events_resume, "many_streams": many_streams, "prefer_wait": prefer_wait, "idempotency": idempotency, "cancel": cancel, "shutdown": shutdown,
          "engine_dies": engine_dies, "runtime_limit": runtime_limit, "orphans": orphans, "memory": memory, "queue_of_100k": queue_of_100k})
