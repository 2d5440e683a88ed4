"""200 kills at random moments, of the daemon or of an engine, under load: nothing lost, nothing done twice, every hash right.

Clients post small jobs with idempotency keys and repeat every request until it is acknowledged, as a pipeline would. The kills come
at random times out of a seeded generator (the seed is printed); PARED_KILLS sets another number.
"""
import hashlib
import http.client
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import Daemon, check_events, main, wait_for  # noqa: E402

KILLS = int(os.environ.get("PARED_KILLS", "200"))
CLIENTS = 3


class Client(threading.Thread):
    """Posts one job after the other; every one is posted until it is acknowledged, then once more, which must give the same job."""

    def __init__(self, d, number, model, dataset, stop):
        super().__init__(daemon=True)
        self.d, self.number, self.model, self.dataset, self.stop = d, number, model, dataset, stop
        self.acked = {}  # key -> job
        self.wrong = []

    def post(self, key):
        while True:
            try:
                r = self.d.job(self.model, self.dataset, epochs=2, key=key)
                if r.status == 201:
                    return r.json()["id"]
                if r.status not in (503, 409):
                    self.wrong.append((key, r))
                    return None
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(0.01)  # the daemon is being restarted

    def run(self):
        n = 0
        while not self.stop.is_set():
            n += 1
            key = f"client-{self.number}-{n}"
            job = self.post(key)
            self.acked[key] = job
            if self.post(key) != job:
                self.wrong.append((key, "another job on repetition"))
            # as fast as the workers, so that kills meet every state and the queue does not only grow
            while not self.stop.is_set() and n > self.done_count() + 20:
                time.sleep(0.05)

    def done_count(self):
        try:
            return int(self.d.get("/v1/jobs?limit=1&status=queued").json()["data"] == []) * 10 ** 9
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return 0


def swept_nothing(d):
    """The sweep of this start has ended, and found no bytes that nothing names."""
    return any("event=store.swept" in line and "blobs_removed=0" in line for line in d.tail(3).splitlines())


def kills():
    seed = int(os.environ.get("PARED_SEED", time.time_ns() % 10 ** 9))
    print(f"seed {seed}, {KILLS} kills")
    rng = random.Random(seed)
    stop = threading.Event()
    slowest, daemons, engines = 0.0, 0, 0
    # engines are killed on purpose: a job must be allowed to lose more than a few
    with Daemon("--workers", "2", "--max-crashes", "100", "--job-threads", "1") as d:
        model, dataset = d.iris_model(), d.iris_data()
        clients = [Client(d, i, model, dataset, stop) for i in range(CLIENTS)]
        for c in clients:
            c.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.0, 0.25))  # the random moment itself, not a wait for something
            victims = d.engines()
            if victims and rng.random() < 0.4:
                try:
                    os.kill(rng.choice(victims), signal.SIGKILL)
                    engines += 1
                    continue
                except ProcessLookupError:
                    pass
            d.kill()
            daemons += 1
            d.start()
            slowest = max(slowest, d.ready_seconds)
        stop.set()
        for c in clients:
            c.join(60)
            assert not c.is_alive() and not c.wrong, c.wrong
        acked = {k: v for c in clients for k, v in c.acked.items()}
        assert len(set(acked.values())) == len(acked), "two keys share a job"
        for job in acked.values():
            assert d.wait_job(job, 120)["status"] == "succeeded", d.get(f"/v1/jobs/{job}")
        digests = set()
        for job in acked.values():
            check_events(d.events(job))
            artifacts = d.get(f"/v1/jobs/{job}/artifacts").json()["data"]
            assert len({a["name"] for a in artifacts}) == len(artifacts) >= 2, artifacts
            for a in artifacts:
                r = d.get(f"/v1/jobs/{job}/artifacts/{a['name']}")
                digest = hashlib.sha256(r.body).hexdigest()
                assert digest == a["sha256"].removeprefix("sha256:") and digest in r.headers["ETag"], a
                if a["name"] == "model.onnx":
                    digests.add(digest)
        assert len(digests) == 1, "equal jobs gave different models"
        listed, after = [], ""
        while True:
            page = d.get(f"/v1/jobs?limit=200{after}").json()
            listed += [j["id"] for j in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['next_after']}"
        assert sorted(listed) == sorted(acked.values()), (len(listed), len(acked))
        assert slowest <= 2.0, slowest
        d.stop()
        d.start()  # a clean restart has nothing to put right
        assert "jobs_given_back=0" in d.tail(3), d.tail(3)
        wait_for(lambda: swept_nothing(d), 5, "the sweep to find nothing")
        print(f"{daemons} daemons and {engines} engines killed, {len(acked)} jobs acknowledged, all ended once; slowest restart {slowest:.3f} s")


def long_recipe():
    """Several seconds of training, rounds of pruning and folds."""
    train = {"epochs": 40000, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.001}, "lr_schedule": {"name": "one_cycle"}, "keep_best": True}
    prune = {"sparsity": 0.6, "schedule": {"name": "cubic", "rounds": 4}, "recover": {"epochs": 10000, "batch_size": 16}}
    return {"steps": [{"train": train}, {"prune": prune}, {"evaluate": {"folds": 2}}]}


def smaller_nets():
    """Rounds of pruning channels, then factors of what is left: states of two nets, of which the second is made of the first."""
    train = {"epochs": 80000, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.001}}
    prune = {"granularity": "channel", "sparsity": 0.25, "schedule": {"name": "linear", "rounds": 2}, "recover": {"epochs": 5000, "batch_size": 16}}
    again = {**train, "epochs": 60000, "distill": {"teacher": "dense", "alpha": 0.5}}
    return {"steps": [{"train": train}, {"prune": prune}, {"factorize": {"ratio": 0.9}}, {"train": again}]}


def figures(report):
    """The report without what a clock has measured."""
    if isinstance(report, list):
        return [figures(v) for v in report]
    if isinstance(report, dict):
        return {k: figures(v) for k, v in report.items() if k not in ("timing", "latency_ms")}
    return report


def goes_on():
    """A job whose daemon or engine is killed after a checkpoint, or whose daemon is stopped, goes on from there to the same bytes and figures."""
    kill_and_compare(long_recipe(), (1, 1, 1))


def nets_go_on():
    """The same of a job that has made another net of its net, before and after that."""
    kill_and_compare(smaller_nets(), (1, 4, 4))


def kill_and_compare(recipe, steps):
    """Three blows, each at a checkpoint in that step or a later one."""
    with Daemon("--workers", "1", "--job-threads", "1", "--checkpoint-seconds", "1") as d:
        model, dataset = d.iris_model(), d.iris_data()

        def post():
            r = d.post_json("/v1/jobs", {"model": model, "dataset": dataset, "seed": 3, "threads": 1, "data": {"validation": 0.2}, "recipe": recipe})
            assert r.status == 201, r
            return r.json()["id"]

        def outcome(job):
            assert d.wait_job(job, 120)["status"] == "succeeded", d.get(f"/v1/jobs/{job}")
            check_events(d.events(job))
            assert d.get(f"/v1/jobs/{job}").json()["checkpoint"] is None
            return d.get(f"/v1/jobs/{job}/artifacts/model.onnx").body, figures(d.get(f"/v1/jobs/{job}/report").json())

        want = outcome(post())
        job = post()
        resumed = 0
        for n, (how, step) in enumerate(zip(("kill", "engine", "stop"), steps)):
            def kept():
                j = d.get(f"/v1/jobs/{job}").json()
                seen = [e["type"] for e in d.events(job)]
                after = seen[max((i for i, t in enumerate(seen) if t == "job.started"), default=len(seen)):]
                return j["status"] not in ("queued", "running") or ("job.checkpoint" in after and j["checkpoint"] and j["checkpoint"]["place"]["step"] >= step)
            wait_for(kept, 60, "a checkpoint")
            if d.get(f"/v1/jobs/{job}").json()["status"] != "running":
                break  # a fast machine: it was through before the last blow
            if how == "engine":
                d.kill_engines()
                wait_for(lambda: d.get(f"/v1/jobs/{job}").json()["attempt"] >= n + 2, 20, "another attempt")
            else:
                d.kill() if how == "kill" else d.stop()
                d.start()
            resumed += 1
        assert resumed >= 1
        got = outcome(job)
        events = d.events(job)
        places = [e["data"] for e in events if e["type"] == "job.resumed"]
        assert len(places) == resumed and all(p["elapsed_seconds"] > 0 for p in places), places
        assert got[0] == want[0], "the model is another"
        assert got[1] == want[1], "the figures are others"
        d.stop()
        d.start()  # nothing of the checkpoints is left
        wait_for(lambda: swept_nothing(d), 5, "the sweep to find nothing")
        print(f"gone on {resumed} times: " + ", ".join(f"step {p['step']} round {p['round']} epoch {p['epoch']} fold {p['fold']}" for p in places))


def pauses():
    """A paused job frees its worker at once and keeps its state over kill -9; resumed it ends in the bytes of a job that was never paused."""
    with Daemon("--workers", "1", "--job-threads", "1", "--checkpoint-seconds", "600") as d:
        model, dataset = d.iris_model(), d.iris_data()
        body = {"model": model, "dataset": dataset, "seed": 3, "threads": 1, "data": {"validation": 0.2}, "recipe": long_recipe()}

        def post():
            r = d.post_json("/v1/jobs", body)
            assert r.status == 201, r
            return r.json()["id"]

        def ask(job, verb, status=202):
            r = d.request("POST", f"/v1/jobs/{job}/{verb}")
            assert r.status == status, r
            return r.json()

        def paused(job):
            wait_for(lambda: d.status(job) != "pausing", 35, "the job to be paused")
            j = d.get(f"/v1/jobs/{job}").json()
            assert j["status"] == "paused" and j["checkpoint"] and j["started_at"] is None, j
            wait_for(lambda: d.engines() == [], 5, "the engine to be gone")
            return j["checkpoint"]["place"]

        def outcome(job):
            assert d.wait_job(job, 120)["status"] == "succeeded", d.get(f"/v1/jobs/{job}")
            check_events(d.events(job))
            return d.get(f"/v1/jobs/{job}/artifacts/model.onnx").body, figures(d.get(f"/v1/jobs/{job}/report").json())

        want = outcome(post())
        job = post()
        wait_for(lambda: any(e["type"] == "job.metrics" for e in d.events(job)), 20, "an epoch")
        worker, = d.get("/v1/workers").json()["data"]
        assert worker["job"] == job and worker["attempt"] == 1 and worker["pid"] in d.engines() and worker["lease_expires_at"], worker
        assert ask(job, "pause")["status"] in ("pausing", "paused")
        places = [paused(job)]
        assert [c["place"] for c in d.get(f"/v1/jobs/{job}/checkpoints").json()["data"]] == places
        assert d.get("/v1/workers").json()["data"][0]["state"] == "idle"
        assert ask(job, "pause")["status"] == "paused"
        waiting = d.job(model, dataset).json()["id"]  # the worker is free for others
        assert d.wait_job(waiting)["status"] == "succeeded"
        d.kill()
        d.start()
        assert d.status(job) == "paused"
        assert d.get("/v1/queue").json()["paused"] == 1
        ask(job, "resume")
        wait_for(lambda: d.status(job) == "running", 10, "it to go on")
        ask(job, "pause")
        d.kill()  # while it pauses, or just after
        d.start()
        assert d.status(job) == "paused"
        ask(job, "resume")
        got = outcome(job)
        resumed = [e["data"] for e in d.events(job) if e["type"] == "job.resumed"]
        assert resumed and all(resumed[0][k] == places[0][k] for k in resumed[0]), (resumed, places)
        assert got[0] == want[0], "the model is another"
        assert got[1] == want[1], "the figures are others"
        ask(job, "resume", 409)
        gone = post()
        wait_for(lambda: any(e["type"] == "job.metrics" for e in d.events(gone)), 20, "an epoch")
        ask(gone, "pause")
        paused(gone)
        assert ask(gone, "cancel")["status"] == "canceled"
        check_events(d.events(gone))
        d.stop()
        d.start()
        wait_for(lambda: swept_nothing(d), 5, "the sweep to find nothing")


if __name__ == "__main__":
    main({"pauses": pauses, "kills": kills, "goes_on": goes_on, "nets_go_on": nets_go_on})
