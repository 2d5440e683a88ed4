"""checkpoints.py PARE_CORE: makes the seeds of fuzz_checkpoint, in corpus/checkpoint, from jobs that are killed in the middle. To be run when the format has
changed, of which tests/core/job/test_resume.c reminds."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TRAIN = {"train": {"epochs": 100000, "batch_size": 12, "optimizer": {"name": "adam", "lr": 0.001}}}
BRIEF = {"train": {"epochs": 1, "batch_size": 12}}
CHANNELS = {"prune": {"granularity": "channel", "sparsity": 0.3}}
WEIGHTS = {"prune": {"sparsity": 0.3, "schedule": {"name": "linear", "rounds": 3}, "recover": {"epochs": 1, "batch_size": 12}}}
MIDDLE = {"train": {**TRAIN["train"], "epochs": 150}}
# Name, what the job is, and a number of the file (core/job/checkpoint.c) that is not 0 in the right moment.
JOBS = [
    ("training", {"steps": [{"train": {**TRAIN["train"], "keep_best": True}}]}, {}, "epoch"),
    ("fold", {"steps": [MIDDLE, WEIGHTS, {"evaluate": {"folds": 3}}]}, {}, "fold"),
    ("search", {"steps": [BRIEF, {"search": {"tries": 9, "front": 2, "recover": {**MIDDLE["train"], "optimizer": {"name": "sgd", "lr": 1e-9}}}}]}, {"require": {"max_drop": 1e-4}}, "n_points"),
    ("sweep", {"steps": [MIDDLE, WEIGHTS]}, {"sweep": {"grid": [{"parameter": "/recipe/steps/1/prune/sparsity", "values": [0.2, 0.3, 0.4]}]}}, "n_trials"),
    ("factors", {"steps": [BRIEF, CHANNELS, {"factorize": {"rank": 1}}, TRAIN]}, {}, "source_slices"),
]


def numbers():
    """Names of the numbers of the file, in order."""
    with open(os.path.join(HERE, "../../core/job/checkpoint.c"), encoding="utf-8") as f:
        table = f.read().split("number_table[] = {", 1)[1].split("};", 1)[0]
    return [part.split("(", 1)[1].split(",", 1)[0].split(")", 1)[0] for part in table.replace("\n", " ").split("), ") if "(" in part]


def number(path, name):
    try:
        with open(path, "rb") as f:
            return struct.unpack_from("<q", f.read(), 8 * (3 + numbers().index(name)))[0]
    except (FileNotFoundError, struct.error):
        return 0


def main(core):
    with tempfile.TemporaryDirectory() as d:
        at = lambda name: os.path.join(d, name)
        with open(at("arch.json"), "w") as f:
            json.dump({"input": [2], "layers": [{"units": 4, "activation": "relu"}, {"units": 4, "activation": "relu"}, {"units": 2}]}, f)
        with open(at("rows.csv"), "w") as f:
            f.write("a,b,y\n" + "".join(f"{i % 7},{i % 5},{'pq'[i % 7 > i % 5]}\n" for i in range(60000)))
        subprocess.run([core, "build", "--architecture", at("arch.json"), "--out", at("m.onnx")], check=True, stdout=subprocess.DEVNULL)
        for name, recipe, more, moment in JOBS:
            with open(at("job.json"), "w") as f:
                json.dump({"recipe": recipe, "data": {"validation": 0.3}, **more}, f)
            state = at(name)
            p = subprocess.Popen([core, "run", "--job", at("job.json"), "--model", at("m.onnx"), "--data", at("rows.csv"), "--out", d, "--quiet", "--checkpoint", state,
                                  "--checkpoint-seconds", "1"], stdout=subprocess.DEVNULL)
            while p.poll() is None and number(state, moment) == 0:
                time.sleep(0.05)
            if p.poll() is not None:
                sys.exit(f"{name}: the job ended before it had a {moment}")
            p.kill()
            p.wait()
            with open(state, "rb") as f, open(os.path.join(HERE, "corpus/checkpoint", name), "wb") as to:
                print(name, to.write(f.read()), "bytes")


main(sys.argv[1])
