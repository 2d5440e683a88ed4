"""Every operation of openapi.yaml against a real daemon: what it answers validates against what the document says."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import SRC, Daemon, main  # noqa: E402

VENV = os.environ.get("PARED_VENV", os.path.expanduser("~/.cache/pared/venv"))


def responses():
    with Daemon() as d:
        subprocess.run([os.path.join(VENV, "bin/python"), os.path.join(SRC, "tests/e2e/openapi_check.py"), f"http://127.0.0.1:{d.port}",
                        os.path.join(SRC, "openapi.yaml")], check=True)
        d.stop()


if __name__ == "__main__":
    main({"responses": responses})
