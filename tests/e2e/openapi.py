"""Every operation of openapi.yaml against a real daemon: what it answers validates against what the document says."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import SRC, VENV, Daemon, main  # noqa: E402

KEY = "pare_check_0123456789abcdefghijklmnopqrstuvwxyz"


def responses():
    d = Daemon(key=KEY)
    path = os.path.join(d.dir, "keys")
    with open(path, "w") as f:
        f.write(f"{KEY} scopes=models:rw,datasets:rw,jobs:rw,webhooks:rw,metrics:r,admin\n")
    d.flags = ["--api-key-file", path, "--webhook-allow", "127.0.0.1"]
    with d:
        subprocess.run([os.path.join(VENV, "bin/python"), os.path.join(SRC, "tests/e2e/openapi_check.py"), f"http://127.0.0.1:{d.port}",
                        os.path.join(SRC, "openapi.yaml"), KEY], check=True)
        d.stop()


if __name__ == "__main__":
    main({"responses": responses})
