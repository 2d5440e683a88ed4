"""Engines that misbehave: scripts in the engine's place. The daemon believes nothing, stays well, and says what went wrong."""
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import BIN, PATIENCE, Daemon, check_events, main, wait_for  # noqa: E402

PREAMBLE = """#!/usr/bin/env python3
import array, json, os, socket, sys, time
s = socket.socket(fileno=3)
start = json.loads(s.makefile("r").readline())
def say(**m): s.sendall(json.dumps(m).encode() + b"\\n")
def output(name):
    say(type="open", name=name, media_type="application/octet-stream")
    while True:
        data, control, _, _ = s.recvmsg(1, socket.CMSG_SPACE(4))
        if control:
            return array.array("i", control[0][2])[0]
"""


def with_engine(body, *flags, **fields):
    """A daemon whose jobs run `body`, and a job on it; models and data are looked at by the real engine."""
    d = Daemon("--max-crashes", "2", *flags)
    path = os.path.join(d.dir, "engine")
    with open(path, "w") as f:
        f.write(f"{PREAMBLE}if start['kind'] != 'run': sys.exit(0)\n{body}\n")
    os.chmod(path, 0o755)
    d.start()
    m, s = d.iris_model(), d.iris_data()
    d.stop()
    d.flags += ["--core", path]
    d.start()
    return d, d.job(m, s, **fields).json()["id"]


def fails(body, code, word):
    d, j = with_engine(body)
    try:
        job = d.wait_job(j, 30)
        assert job["status"] == "failed" and job["error"]["code"] == code and word in job["error"]["message"], job
        check_events(d.events(j))
        assert d.get("/readyz").status == 200
        wait_for(lambda: d.engines() == [], 5, "the engine to be gone")
        d.stop()
    finally:
        d.close()
    return job


def rubbish():
    """What is no message ends the engine and counts as a crash."""
    assert fails("s.sendall(os.urandom(1000) + b'\\n'); time.sleep(60)", "worker_crashed", "not a message")["attempt"] == 2
    fails("s.sendall(b'x' * (5 << 20)); time.sleep(60)", "worker_crashed", "not a message")
    fails("say(type='result', data={}, artifacts=['model.onnx']); time.sleep(60)", "worker_crashed", "never opened")
    fails("output('a'); say(type='result', data={}, artifacts=['a', 'a'])", "worker_crashed", "twice")
    fails("say(type='trials', trials=[{'variant': 0, 'rung': 0, 'repeat': 0, 'fold': 0}], known=0, all=1); time.sleep(60)", "worker_crashed", "no sweep")
    fails("sys.stderr.write('last words\\n'); sys.exit(7)", "worker_crashed", "last words")


def unregistered():
    """A result that should become a model, which no engine can read: the job has failed, says where, and its bytes are kept; no model was made."""
    d, j = with_engine("fd = output('model.onnx'); os.write(fd, b'no model'); os.close(fd)\n"
                       "say(type='result', data={'summary': {}}, artifacts=['model.onnx'])", register="small@staging")
    try:
        job = d.wait_job(j, 30)
        assert job["status"] == "failed" and job["error"]["where"] == "/register", job
        assert "model" not in job["result"], job
        assert d.get(f"/v1/jobs/{j}/artifacts/model.onnx").body == b"no model"
        assert [m["name"] for m in d.get("/v1/models").json()["data"]] == ["iris"], d.get("/v1/models")
        check_events(d.events(j))
        d.stop()
    finally:
        d.close()


def floods():
    """An engine that never stops complaining does not fill the log."""
    d, j = with_engine("for i in range(200000): sys.stderr.write('no %d\\n' % i)\nsay(type='error', code='invalid_model', message='enough', where='')")
    try:
        job = d.wait_job(j, 30)
        assert job["error"]["message"] == "enough", job["error"]
        assert os.path.getsize(d.log) < 200000, os.path.getsize(d.log)
        d.stop()
    finally:
        d.close()


def late_writes():
    """Bytes are hashed when nobody can write them any more: an engine that goes on writing after its result changes nothing that was promised."""
    d, j = with_engine("fd = output('model.onnx'); os.write(fd, b'early')\n"
                       "say(type='result', data={}, artifacts=['model.onnx'])\n"
                       "time.sleep(0.3); os.write(fd, b'late'); sys.exit(0)")
    try:
        assert d.wait_job(j, 30)["status"] == "succeeded"
        time.sleep(0.5)
        r = d.get(f"/v1/jobs/{j}/artifacts/model.onnx")
        assert hashlib.sha256(r.body).hexdigest() in r.headers["ETag"], (r.body, r.headers["ETag"])
        d.stop()
    finally:
        d.close()


def checkpoints():
    """A checkpoint is what it was when it was told of, whatever the engine writes later; the next attempt gets it, and nothing is left of it at the end."""
    fails("say(type='event', event='checkpoint', data={}); time.sleep(60)", "worker_crashed", "never opened")
    fails("output('checkpoint'); say(type='event', event='checkpoint', data={'x': 'y' * 5000}); time.sleep(60)", "worker_crashed", "too much")
    d, j = with_engine("mine = [i for i in start['inputs'] if i['role'] == 'checkpoint']\n"
                       "if mine: say(type='result', data={'got': os.pread(mine[0]['fd'], 99, 0).decode()}, artifacts=[]); sys.exit(0)\n"
                       "for text in (b'first', b'second'):\n"
                       "    fd = output('checkpoint'); os.write(fd, text); say(type='event', event='checkpoint', data={'text': text.decode()})\n"
                       "output('checkpoint'); os.pwrite(fd, b'LATE', 0); say(type='event', event='log', data={'level': 'info', 'message': 'late'}); time.sleep(60)")

    def blobs():
        found = [os.path.join(at, name) for at, _, names in os.walk(os.path.join(d.data, "blobs")) for name in names]
        for path in found:
            with open(path, "rb") as f:
                assert hashlib.sha256(f.read()).hexdigest() == os.path.basename(os.path.dirname(path)) + os.path.basename(path), path
        return len(found)
    try:
        wait_for(lambda: any(e["type"] == "job.log" for e in d.events(j)), 20, "the engine to have written late")
        kept = d.get(f"/v1/jobs/{j}").json()["checkpoint"]
        assert kept["bytes"] == 6 and kept["place"] == {"text": "second"}, kept
        n = blobs()
        d.stop()
        d.start()
        job = d.wait_job(j, 30)
        assert job["status"] == "succeeded" and job["result"] == {"got": "second"} and job["checkpoint"] is None, job
        wait_for(lambda: blobs() == n - 1, 5, "the checkpoint to be gone")
        d.stop()
    finally:
        d.close()


def store_fails():
    """A database that answers every claim with an error costs a look a second and not a processor; once it is well again, jobs run."""
    with Daemon("--workers", "2") as d:
        m, s = d.iris_model(), d.iris_data()
        db = sqlite3.connect(os.path.join(d.data, "pared.db"), isolation_level=None, timeout=10)
        db.execute("PRAGMA legacy_alter_table = ON")
        db.execute("ALTER TABLE jobs RENAME TO elsewhere")
        wait_for(lambda: "claim.failed" in d.tail(), 10, "a claim to fail")

        def ticks():
            with open(f"/proc/{d.pid()}/stat") as f:
                return sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])
        before = ticks()
        time.sleep(1.5)
        assert ticks() - before < 50, ticks() - before
        db.execute("ALTER TABLE elsewhere RENAME TO jobs")
        db.close()
        assert d.wait_job(d.job(m, s).json()["id"], 20)["status"] == "succeeded"
        d.stop()


def held_up():
    """While there is no engine, jobs wait instead of being used up; one that somebody else stops goes on, also when he stops the daemon with it."""
    with Daemon("--workers", "1", "--max-crashes", "1") as d:
        m, s = d.iris_model(), d.iris_data()
        d.stop()
        engine = os.path.join(d.dir, "engine")
        shutil.copy(os.path.join(BIN, "pare-core"), engine)
        d.flags += ["--core", engine]
        d.start()
        os.rename(engine, engine + ".away")
        jobs = [d.job(m, s).json()["id"] for _ in range(3)]
        wait_for(lambda: [e["type"] for e in d.events(jobs[0])].count("job.retrying") >= 2, 20, "a job to be tried twice")
        assert "No such file" in str(d.events(jobs[0])) and [d.status(j) for j in jobs[1:]] == ["queued"] * 2, d.tail()
        os.rename(engine + ".away", engine)
        for j in jobs:
            assert d.wait_job(j, 30)["status"] == "succeeded"
            check_events(d.events(j))

        def stopped(also_daemon):
            j = d.long_job(m, s).json()["id"]
            wait_for(lambda: "job.phase" in [e["type"] for e in d.events(j)], 20, "the job to be under way")
            pids = d.engines()
            if also_daemon:
                os.kill(d.pid(), signal.SIGTERM)
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            if also_daemon:
                assert d.process.wait(30 * PATIENCE) == 0
                d.start()
            wait_for(lambda: [e["type"] for e in d.events(j)].count("job.started") == 2, 20, "the job to be started again")
            assert d.status(j) == "running" and d.request("POST", f"/v1/jobs/{j}/cancel").status in (200, 202), d.tail()
            d.wait_job(j)
        stopped(False)
        for _ in range(3):
            stopped(True)
        d.stop()


def deleting_frees():
    """What is deleted while jobs run is gone from the disk at once; what equal bytes are named by stays."""
    def on_disk(d):
        return sum(len(files) for _, _, files in os.walk(os.path.join(d.data, "blobs")))
    with Daemon("--workers", "1") as d:
        m, s = d.iris_model(), d.iris_data()
        done = d.job(m, s).json()["id"]
        assert d.wait_job(done)["status"] == "succeeded"
        running = d.long_job(m, s).json()["id"]
        wait_for(lambda: d.status(running) == "running", 10, "the job to run")
        n = on_disk(d)
        twin = d.iris_model("another name, equal bytes")
        assert on_disk(d) == n
        assert d.request("DELETE", f"/v1/models/{twin}").status == 204
        assert d.get(f"/v1/models/{m}/content").status == 200 and on_disk(d) == n
        gone = len({a["sha256"] for a in d.get(f"/v1/jobs/{done}/artifacts").json()["data"]})
        assert d.request("DELETE", f"/v1/jobs/{done}").status == 204
        assert on_disk(d) == n - gone, (on_disk(d), n, gone)
        d.kill()
        stray = os.path.join(d.data, "blobs", "00")
        os.makedirs(stray, exist_ok=True)
        with open(os.path.join(stray, "0" * 62), "w") as f:
            f.write("left by a crash")
        d.start()
        wait_for(lambda: on_disk(d) == n - gone, 10, "the stray bytes to be swept")
        d.stop()


def processor():
    """Products run the widest code that the processor has, whatever its model number, or what the operator says."""
    with open("/proc/cpuinfo") as f:
        have = set(next((line for line in f if line.startswith("flags")), "").split())
    wide = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"} <= have
    told = "Nehalem" if "sse4_2" in have else None
    for env, want in ((None, "SkylakeX" if wide else "Haswell" if {"avx2", "fma"} <= have else None), ({"OPENBLAS_CORETYPE": "Nehalem"}, told)):
        with Daemon(env=env) as d:
            core = d.get("/v1/capabilities").json()["engine"]["blas_core"]
            assert want in (None, core), (core, want)
            d.stop()


def yields():
    """An engine gives way to those who wait for answers, from its first instruction; threads that answer do not."""
    with Daemon("--workers", "1") as d:
        m, s = d.iris_model(), d.iris_data()
        d.long_job(m, s)
        engine, = wait_for(d.engines, 20, "an engine")
        assert os.getpriority(os.PRIO_PROCESS, engine) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 19)
        for task in os.listdir(f"/proc/{d.pid()}/task"):
            with open(f"/proc/{d.pid()}/task/{task}/comm") as f:
                assert not f.read().startswith("MHD") or os.getpriority(os.PRIO_PROCESS, int(task)) == os.getpriority(os.PRIO_PROCESS, d.pid())


def wrong_engine():
    """A path that cannot be the engine is refused before anything listens."""
    with Daemon() as d:
        d.stop()
        for path in ("/nonexistent", d.dir, d.log):
            r = subprocess.run([os.path.join(BIN, "pared"), "--port", "0", "--data-dir", d.data, "--core", path], capture_output=True, text=True, timeout=20 * PATIENCE)
            assert r.returncode == 2 and path in r.stderr and "listening" not in r.stdout, r


if __name__ == "__main__":
    main({"processor": processor, "yields": yields, "rubbish": rubbish, "unregistered": unregistered, "floods": floods, "late_writes": late_writes, "checkpoints": checkpoints, "store_fails": store_fails, "held_up": held_up, "deleting_frees": deleting_frees, "wrong_engine": wrong_engine})
