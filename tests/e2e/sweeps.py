"""Sweeps in the daemon: every run is a job of its own, and what comes of them is what one engine by itself gives, byte for byte."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import BIN, PATIENCE, Daemon, check_events, main, wait_for  # noqa: E402

FINAL = ("succeeded", "failed", "canceled")


def sweep_job(model, dataset, epochs=300, **sweep):
    """Six variants, two of which diverge; with halving three rungs."""
    train = {"epochs": epochs, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.01}, "regularizer": {"name": "l2", "lambda": 0}}
    grid = [{"parameter": "/recipe/steps/0/train/regularizer/lambda", "values": [1e6, 0.1, 0.001]}, {"parameter": "/recipe/steps/1/prune/sparsity", "values": [0.3, 0.9]}]
    return {"model": model, "dataset": dataset, "seed": 3, "threads": 1, "data": {"normalize": "standard", "validation": 0.2}, "sweep": {"grid": grid, **sweep},
            "recipe": {"steps": [{"train": train}, {"prune": {"sparsity": 0.1}}]}}


def post(d, job):
    r = d.post_json("/v1/jobs", job)
    assert r.status == 201, r
    return r.json()["id"]


def get(d, job):
    return d.get(f"/v1/jobs/{job}").json()


def children(d, job):
    listed, after = [], ""
    while True:
        page = d.get(f"/v1/jobs?parent={job}&order=asc&limit=50{after}").json()
        listed += page["data"]
        if not page["has_more"]:
            return listed
        after = f"&after={page['next_after']}"


def figures(report):
    """The report without what a clock has measured."""
    if isinstance(report, list):
        return [figures(v) for v in report]
    if isinstance(report, dict):
        return {k: figures(v) for k, v in report.items() if k not in ("timing", "latency_ms")}
    return report


def outcome(d, job, seconds=120):
    j = d.wait_job(job, seconds)
    assert j["status"] == "succeeded", j
    check_events(d.events(job))
    return d.get(f"/v1/jobs/{job}/artifacts/model.onnx").body, figures(d.get(f"/v1/jobs/{job}/report").json())


def alone(d, job, model, dataset):
    """The same text through pare-core run, on the same files."""
    with tempfile.TemporaryDirectory() as t:
        for name, content in (("job.json", json.dumps(get(d, job)["request"]).encode()), ("model.onnx", d.get(f"/v1/models/{model}/content").body), ("iris.csv", d.get(f"/v1/datasets/{dataset}/content").body)):
            with open(os.path.join(t, name), "wb") as f:
                f.write(content)
        p = subprocess.run([os.path.join(BIN, "pare-core"), "run", "--job", "job.json", "--model", "model.onnx", "--data", "iris.csv", "--out", "out", "--quiet"], cwd=t, capture_output=True, timeout=300 * PATIENCE)
        assert p.returncode == 0, p.stderr
        with open(os.path.join(t, "out/model.onnx"), "rb") as m, open(os.path.join(t, "out/report.json")) as r:
            return m.read(), figures(json.load(r))


def overlap(jobs):
    """Pairs of jobs that ran at one time."""
    return [(a["id"], b["id"]) for i, a in enumerate(jobs) for b in jobs[:i] if a["started_at"] < b["finished_at"] and b["started_at"] < a["finished_at"]]


def check_places(runs, variants):
    """Each run once."""
    places = [tuple(r["request"]["trial"].get(k, 0) for k in ("variant", "rung", "repeat", "fold")) for r in runs]
    assert len(set(places)) == len(places), places
    assert {p[0] for p in places} == set(range(variants)), places


def same_bytes():
    """Halving and folds over two workers: runs overlap, two of the variants diverge, and the result is what pare-core run gives."""
    with Daemon("--workers", "2", "--job-threads", "1") as d:
        model, dataset = d.iris_model(), d.iris_data()
        job = post(d, sweep_job(model, dataset, epochs=40000, halving=2, folds=2))
        got = outcome(d, job)
        assert got == alone(d, job, model, dataset)
        j, runs = get(d, job), children(d, job)
        assert j["kind"] == "sweep" and j["children"] == {"total": 22, "open": 0, "succeeded": 18, "failed": 4, "canceled": 0, "runs": 22}, j["children"]
        check_places(runs, 6)
        for r in runs:
            assert r["parent"] == job and r["kind"] == "trial" and r["status"] in FINAL and r["artifacts"] == [] and r["children"] is None, r
            assert (r["result"] is None) == (r["status"] == "failed"), r
        assert overlap(runs), [(r["started_at"], r["finished_at"]) for r in runs]
        # nobody's jobs are listed alone, and a run by its id like any job
        assert [x["id"] for x in d.get("/v1/jobs").json()["data"]] == [job]
        assert len(d.get(f"/v1/jobs?parent={job}&status=failed").json()["data"]) == 4
        assert get(d, runs[0]["id"])["request"]["trial"]["rung"] == 0
        r = d.get("/v1/jobs?parent=7")
        assert r.status == 400, r
        told = [e["data"] for e in d.events(job) if e["type"] == "job.trial"]
        assert sorted(t["job"] for t in told) == sorted(r["id"] for r in runs)
        assert [t["done"] for t in told] == list(range(1, 23)) and all(t["all"] == 22 for t in told)
        assert [e["type"] for e in d.events(job)].count("job.waiting") == 3  # once for each rung
        # a job that names its run is one, whoever posts it
        one = d.wait_job(post(d, runs[-1]["request"]))
        assert one["result"] == runs[-1]["result"] and one["parent"] is None, one
        assert d.request("DELETE", f"/v1/jobs/{job}").status == 204
        assert d.get(f"/v1/jobs/{runs[0]['id']}").status == 404


def one_worker():
    """A sweep that waits holds no worker: one is enough, and other jobs have their turn between the runs."""
    with Daemon("--workers", "1", "--job-threads", "1") as d:
        model, dataset = d.iris_model(), d.iris_data()
        jobs = [post(d, sweep_job(model, dataset, epochs=20, seeds=2)) for _ in range(2)]
        other = d.job(model, dataset).json()["id"]
        results = [outcome(d, j) for j in jobs]
        assert results[0] == results[1] == alone(d, jobs[0], model, dataset)
        assert d.wait_job(other)["status"] == "succeeded"
        runs = children(d, jobs[0]) + children(d, jobs[1])
        assert len(runs) == 24 and not overlap(runs)


def killed():
    """The daemon, or engines, are killed nine times in the middle of a sweep; nothing is made twice that was made, and the end is the same."""
    with Daemon("--workers", "2", "--job-threads", "1", "--max-crashes", "50") as d:
        model, dataset = d.iris_model(), d.iris_data()
        job = post(d, sweep_job(model, dataset, epochs=40000, halving=2, folds=2))
        done, blows = {}, 0
        while blows < 9:
            ended = len(done)

            def further():
                return get(d, job)["status"] in FINAL or len([r for r in children(d, job) if r["status"] in FINAL]) > ended
            wait_for(further, 60, "another run to end")
            if get(d, job)["status"] in FINAL:
                break
            for r in children(d, job):
                if r["status"] in FINAL:
                    # what has ended stays as it is
                    assert done.setdefault(r["id"], (r["status"], r["result"], r["finished_at"])) == (r["status"], r["result"], r["finished_at"]), r
            if blows % 3 == 2:
                d.kill_engines()
            else:
                d.kill()
                d.start()
            blows += 1
        assert blows >= 3, blows
        assert outcome(d, job) == alone(d, job, model, dataset)
        runs = children(d, job)
        check_places(runs, 6)
        assert len(runs) == 22 and all(r["status"] in FINAL for r in runs)
        told = [e["data"]["job"] for e in d.events(job) if e["type"] == "job.trial"]
        assert sorted(told) == sorted(r["id"] for r in runs), "an end was told twice, or not"
        d.stop()
        d.start()
        assert "jobs_given_back=0" in d.tail(3), d.tail(3)
        print(f"{blows} blows")


def inside_a_run():
    """Engines and the daemon are killed in the middle of runs; each goes on from its own checkpoint, and figures and bytes are those of an undisturbed sweep."""
    with Daemon("--workers", "1", "--job-threads", "1", "--max-crashes", "50", "--checkpoint-seconds", "1") as d:
        model, dataset = d.iris_model(), d.iris_data()
        body = sweep_job(model, dataset, epochs=100000, folds=2)
        body["recipe"]["steps"][0]["train"]["batch_size"] = 4
        body["sweep"]["grid"] = [{"parameter": "/recipe/steps/1/prune/sparsity", "values": [0.3, 0.9]}]
        job = post(d, body)
        blows = 0

        def kept():
            """The run that has a checkpoint of this attempt; True when the sweep is at its end."""
            if get(d, job)["status"] in FINAL:
                return True
            for r in children(d, job):
                seen = [e["type"] for e in d.events(r["id"])]
                if r["status"] == "running" and "job.checkpoint" in seen[max((i for i, t in enumerate(seen) if t == "job.started"), default=len(seen)):]:
                    return r
            return None
        while blows < 3 and (run := wait_for(kept, 60, "a checkpoint inside a run")) is not True:
            if blows % 2 == 0:
                d.kill_engines()
            else:
                d.kill()
                d.start()
            # a run that came to its end before the blow is not hit by it
            after = wait_for(lambda: (r := get(d, run["id"]))["status"] in FINAL and r or r["attempt"] > run["attempt"] and r, 20, "another attempt")
            blows += after["attempt"] > run["attempt"]
        assert blows >= 1, blows
        assert outcome(d, job) == alone(d, job, model, dataset)
        runs = children(d, job)
        resumed = [e["data"] for r in runs for e in d.events(r["id"]) if e["type"] == "job.resumed"]
        assert len(resumed) == blows and all(p["epoch"] > 0 or p["step"] > 1 for p in resumed), resumed
        assert all(r["checkpoint"] is None for r in runs)
        print(f"{blows} blows, {len(resumed)} runs gone on: " + ", ".join(f"step {p['step']} epoch {p['epoch']}" for p in resumed))


def cancel_together():
    """Cancelling the sweep ends it at once, what waits at once, and what runs within its grace; a retry makes the rest."""
    with Daemon("--workers", "2", "--job-threads", "1") as d:
        model, dataset = d.iris_model(), d.iris_data()
        job = post(d, sweep_job(model, dataset, epochs=40000, seeds=2))
        wait_for(lambda: len([r for r in children(d, job) if r["status"] == "succeeded"]) >= 2, 60, "two runs")
        j = get(d, job)
        assert j["status"] == "running" and j["phase"] == "sweep" and 0 < j["progress"]["trials_done"] < 12 == j["progress"]["trials"], j
        r = d.post_json(f"/v1/jobs/{job}/cancel", {})
        assert r.status == 202 and r.json()["status"] == "canceled", r
        assert all(c["status"] in FINAL or c["status"] == "canceling" for c in children(d, job))
        wait_for(lambda: all(c["status"] in FINAL for c in children(d, job)), 20, "the runs to end")
        wait_for(lambda: d.engines() == [], 10, "the engines to be gone")
        check_events(d.events(job))
        assert d.events(job)[-1]["type"] == "job.canceled"
        found = {r["id"] for r in children(d, job) if r["status"] == "succeeded" or (r["status"] == "failed" and "diverge" in r["error"]["code"])}
        assert len(found) >= 2 and get(d, job)["children"]["open"] == 0
        r = d.post_json(f"/v1/jobs/{job}/retry", {})
        assert r.status == 201 and r.json()["retry_of"] == job, r
        again = r.json()["id"]
        got = outcome(d, again)
        assert len(children(d, again)) == 12 - len(found)
        assert got == alone(d, again, model, dataset)


def pause():
    """A paused sweep begins no more runs; those under way come to their end. Resumed, it goes on with what is left to the same bytes."""
    with Daemon("--workers", "2", "--job-threads", "1") as d:
        model, dataset = d.iris_model(), d.iris_data()
        job = post(d, sweep_job(model, dataset, epochs=20000))
        wait_for(lambda: any(r["status"] == "running" for r in children(d, job)), 60, "a run")
        r = d.post_json(f"/v1/jobs/{job}/pause", {})
        assert r.status == 202 and r.json()["status"] == "paused", r
        wait_for(lambda: all(c["status"] in FINAL + ("paused",) for c in children(d, job)), 60, "what runs to end")
        runs = children(d, job)
        left = [c["id"] for c in runs if c["status"] == "paused"]
        assert left and get(d, job)["status"] == "paused" and get(d, job)["children"]["open"] == len(left), [c["status"] for c in runs]
        d.stop()
        d.start()  # a restart wakes nothing
        assert get(d, job)["status"] == "paused" and [c["id"] for c in children(d, job) if c["status"] == "paused"] == left
        r = d.post_json(f"/v1/jobs/{job}/resume", {})
        assert r.status == 202 and r.json()["status"] == "running" and r.json()["phase"] == "sweep", r
        assert outcome(d, job) == alone(d, job, model, dataset)
        assert [c["id"] for c in children(d, job)] == [c["id"] for c in runs]


def crashed_runs():
    """A run whose engine dies max-crashes times is a failed run, and the sweep goes on; one that is canceled by hand is, too."""
    with Daemon("--workers", "1", "--job-threads", "1", "--max-crashes", "2") as d:
        model, dataset = d.iris_model(), d.iris_data()
        job = post(d, sweep_job(model, dataset, epochs=40000))
        wait_for(lambda: children(d, job), 30, "the runs")
        victim, canceled = children(d, job)[2]["id"], children(d, job)[3]["id"]
        assert d.post_json(f"/v1/jobs/{canceled}/cancel", {}).status == 202
        while get(d, victim)["status"] not in FINAL:
            if get(d, victim)["status"] == "running":
                d.kill_engines()
        assert get(d, victim)["error"]["code"] == "worker_crashed"
        _, report = outcome(d, job)
        trials = report["sweep"]["trials"]
        assert trials[2]["failed"] == 1 and "killed" in trials[2]["error"].lower() or "signal" in trials[2]["error"], trials[2]
        assert trials[3]["failed"] == 1 and "canceled" in trials[3]["error"], trials[3]
        assert trials[4]["failed"] == 0 and report["sweep"]["chosen"] in (4, 5)


if __name__ == "__main__":
    main({"same_bytes": same_bytes, "one_worker": one_worker, "killed": killed, "inside_a_run": inside_a_run, "cancel_together": cancel_together, "pause": pause, "crashed_runs": crashed_runs})
