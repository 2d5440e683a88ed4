"""The story of the README: its own shell lines, taken out of the file, run as a user would; then ONNX Runtime judges what came out.

Only the numbers of epochs are lowered, so that the test is about the story and not about waiting.
"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import PATIENCE, SRC, VENV, Daemon, main  # noqa: E402

MNIST = os.environ.get("PARED_MNIST_DIR", os.path.expanduser("~/.cache/pared/mnist"))


def readme_lines(port):
    with open(os.path.join(SRC, "README.md")) as f:
        text = f.read()
    block = re.search(r"## The story in curl.*?```sh\n(U=.*?)```", text, re.S).group(1)
    block = block.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{port}").replace("=@", f"=@{MNIST}/")
    block = re.sub(r'"epochs":\d+', '"epochs":1', block)
    return re.sub(r'"rounds":\d+', '"rounds":2', block)


def readme():
    with Daemon() as d:
        with open(os.path.join(d.dir, "lenet.onnx"), "wb") as f:  # the README's user has a model; ours is made by the engine
            m = d.iris_model()
            f.write(d.get(f"/v1/models/{m}/content").body)
        script = "set -eu\n" + readme_lines(d.port) + '\necho "job $J"\n'
        r = subprocess.run(["bash", "-c", script], cwd=d.dir, capture_output=True, text=True, timeout=150 * PATIENCE)
        assert r.returncode == 0, (script, r.stdout[-2000:], r.stderr[-2000:])
        job = r.stdout.rsplit("job ", 1)[1].strip()
        assert "event: job.succeeded" in r.stdout, r.stdout[-2000:]
        assert re.search(r"^# |\*\*|\|", r.stdout.split("event: job.succeeded")[1], re.M), "no Markdown report"
        report = d.get(f"/v1/jobs/{job}/report").json()
        with open(os.path.join(d.dir, "report.json"), "w") as f:
            json.dump(report, f)
        summary = d.get(f"/v1/jobs/{job}").json()["result"]["summary"]
        assert summary["n_weights"] == 266200 and 0.915 < summary["sparsity"] < 0.925, summary
        assert summary["after"] > 0.9, summary
        python = os.path.join(VENV, "bin/python")
        subprocess.run([python, os.path.join(SRC, "tests/e2e/ort_check.py"), os.path.join(d.dir, "pruned.onnx"), MNIST, str(summary["after"]), "0.92"], check=True)
        # the same model, evaluated by us without any training, says the same: what was downloaded is what was judged
        m = d.request("POST", "/v1/models?name=again", open(os.path.join(d.dir, "pruned.onnx"), "rb").read(), {"Content-Type": "application/octet-stream"}).json()["id"]
        s = d.get("/v1/datasets").json()["data"][0]["id"]
        again = d.wait_job(d.job(m, s, recipe={"steps": [{"evaluate": {}}]}).json()["id"])
        assert again["status"] == "succeeded" and again["result"]["summary"]["after"] == summary["after"], again
        d.stop()


if __name__ == "__main__":
    main({"readme": readme})
