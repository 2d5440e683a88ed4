"""What an operator asks of a running service: draining, collecting, retention, backups."""
import os
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import Daemon, main, wait_for  # noqa: E402


def status(d, job):
    return d.get(f"/v1/jobs/{job}").json()["status"]


def drain():
    """A drained service ends what it runs, begins nothing, and goes on where it was when that is taken back."""
    with Daemon("--workers", "1") as d:
        model, data = d.iris_model(), d.iris_data()
        first, second = d.job(model, data, epochs=3 * 10**5).json()["id"], d.job(model, data).json()["id"]
        wait_for(lambda: status(d, first) == "running", 20, "the first job")
        r = d.request("POST", "/v1/admin/drain")
        assert r.status == 200 and r.json() == {"object": "drain", "draining": True, "running": 1, "queued": 1}, r
        assert d.get("/readyz").status == 503 and d.job(model, data).status == 503
        assert d.get("/livez").status == 200
        wait_for(lambda: status(d, first) == "succeeded", 60, "the first job's end")
        assert d.request("POST", "/v1/admin/drain").json()["running"] == 0
        # a worker looks for work at least once a second: it has been asked not to
        wait_for(lambda: b'pared_workers{state="idle"} 1' in d.get("/metrics").body, 10, "the worker")
        assert status(d, second) == "queued"
        assert d.request("DELETE", "/v1/admin/drain").json()["draining"] is False
        wait_for(lambda: status(d, second) == "succeeded", 20, "the second job")
        d.request("POST", "/v1/admin/drain")
        d.kill()
        d.start()  # a new process begins undrained
        d.stop()


def retention():
    """Ended jobs and artifacts go when their time is over, at a start and on demand; models and data stay, and the disk gets its bytes back."""
    def blobs():
        return sum(len(files) for _, _, files in os.walk(os.path.join(d.data, "blobs")))
    with Daemon() as d:
        model, data = d.iris_model(), d.iris_data()
        before = blobs()
        jobs = [d.job(model, data, seed=n).json()["id"] for n in range(3)]
        for job in jobs:
            wait_for(lambda: status(d, job) == "succeeded", 60, "a job")
        assert blobs() > before
        r = d.request("POST", "/v1/admin/gc").json()
        assert r["jobs_removed"] == r["artifacts_removed"] == r["blobs_removed"] == 0, r
        d.stop()
        d.flags = ["--keep-artifacts-seconds", "1"]
        d.start()
        wait_for(lambda: blobs() == before or d.request("POST", "/v1/admin/gc").status != 200, 20, "the artifacts to go")
        job = d.get(f"/v1/jobs/{jobs[0]}").json()
        assert job["status"] == "succeeded" and job["artifacts"] == [] and job["result"], job
        assert d.get(f"/v1/jobs/{jobs[0]}/artifacts/model.onnx").status == 404
        d.stop()
        d.flags = ["--keep-jobs-seconds", "1"]
        d.start()
        wait_for(lambda: d.get("/v1/jobs").json()["data"] == [], 20, "the jobs to go")
        assert d.get(f"/v1/models/{model}").status == 200 and d.get(f"/v1/datasets/{data}/content").status == 200
        d.stop()


def backup():
    """A backup that was made under load is started on, in another place, and has everything: the original's end changes nothing."""
    with Daemon() as d:
        model, data = d.iris_model(), d.iris_data()
        done = d.job(model, data).json()["id"]
        wait_for(lambda: status(d, done) == "succeeded", 60, "a job")
        artifact = d.get(f"/v1/jobs/{done}/artifacts/model.onnx")
        stop, made = threading.Event(), []

        def load():
            while not stop.is_set():
                made.append(d.job(model, data, epochs=1).json().get("id"))
                d.request("DELETE", f"/v1/models/{d.iris_model()}")
        thread = threading.Thread(target=load)
        thread.start()
        backups = [d.request("POST", "/v1/admin/backup") for _ in range(3)]
        stop.set()
        thread.join()
        for r in backups:
            assert r.status == 200 and r.json()["blobs"] >= 5, r
        places = [os.path.join(d.data, "backups", r.json()["name"]) for r in backups]
        for place in places:
            subprocess.run(["sha256sum", "--quiet", "-c", "blobs.txt"], cwd=place, check=True)
            assert os.stat(place).st_mode & 0o777 == 0o700
        restored = Daemon()
        shutil.copytree(places[-1], restored.data)
        # the original loses all it has, and its links with it
        d.kill()
        shutil.rmtree(d.data)
        with restored:
            assert restored.get(f"/v1/jobs/{done}").json()["status"] == "succeeded"
            again = restored.get(f"/v1/jobs/{done}/artifacts/model.onnx")
            assert again.body == artifact.body and again.headers["ETag"] == artifact.headers["ETag"]
            # what waited or ran then goes on
            wait_for(lambda: restored.get("/v1/queue").json()["runnable"] == 0 == restored.get("/v1/queue").json()["running"], 60, "its jobs")
            assert all(j["status"] == "succeeded" for j in restored.get("/v1/jobs?limit=200").json()["data"])
            restored.stop()


if __name__ == "__main__":
    main({"drain": drain, "retention": retention, "backup": backup})
