"""An engine that turns on its host: whatever it tries, its job ends as sandbox_violation, and nothing else happens."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import BIN, Daemon, main  # noqa: E402

ROGUE = os.path.join(BIN, "tests/e2e/rogue_core")


def attacks():
    """One job for each class of system call."""
    names = subprocess.run([ROGUE, "--attacks"], capture_output=True, text=True, check=True).stdout.split()
    assert len(names) > 20, names
    with Daemon("--core", ROGUE) as d:
        checks = d.get("/readyz?verbose").json()["checks"]
        m, s = d.iris_model(), d.iris_data()
        honest = d.job(m, s, seed=len(names)).json()["id"]
        assert d.wait_job(honest)["status"] == "succeeded"
        if "sanitized build" in d.get(f"/v1/jobs/{honest}/events").body.decode():
            print("skipped: a sanitized engine has no sandbox")
            return
        sandbox = next(c["detail"] for c in checks if c["name"] == "workers")
        assert "seccomp" in sandbox, checks
        wrong = []
        for seed, name in enumerate(names):
            j = d.job(m, s, seed=seed).json()["id"]
            job = d.wait_job(j)
            if job["status"] != "failed" or job["error"]["code"] != "sandbox_violation" or job["attempt"] != 1 or job["artifacts"]:
                wrong.append((name, job["status"], job["error"]))
        assert not wrong, wrong
        assert not os.path.exists("/tmp/pared-rogue")
        assert d.wait_job(d.job(m, s, seed=len(names) + 1).json()["id"])["status"] == "succeeded"
        d.stop()


if __name__ == "__main__":
    main({"attacks": attacks})
