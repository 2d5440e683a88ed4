"""The list of bad input: each is refused with its own clear error, and the daemon goes on serving."""
import io
import os
import random
import struct
import sys
import zipfile

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import Daemon, main  # noqa: E402
from hostile_bytes import field, model, node, npy, npz, tensor  # noqa: E402


GOOD = model([node("MatMul", ["x", "w"], ["y"], "fc")], [tensor("w", [4, 3], [0.5] * 12)])


# --- expectations
def problem(r, statuses, *codes):
    assert r.status in statuses, r
    assert r.headers["Content-Type"].startswith("application/problem+json"), r
    p = r.json()
    assert p["status"] == r.status and (not codes or p["code"] in codes), r
    assert p["detail"], r
    return p


def no_leftovers(d):
    """It still serves, and what was refused left no bytes."""
    assert d.get("/readyz").status == 200
    assert [f for _, _, files in os.walk(os.path.join(d.data, "staging")) for f in files] == []


def refuse_model(d, data, *codes):
    p = problem(d.upload("/v1/models", data), (400, 415, 422), *codes)
    return p


def refuse_data(d, data, *codes, name="x.csv", kind="application/octet-stream"):
    return problem(d.upload(f"/v1/datasets?filename={name}", data, kind), (400, 415, 422), *codes)


def failed_job(d, m, s, *codes, **more):
    """Refused at once, or accepted and failed: in both cases with the code."""
    r = d.job(m, s, **more)
    if r.status != 201:
        return problem(r, (404, 409, 422), *codes)
    job = d.wait_job(r.json()["id"])
    assert job["status"] == "failed" and job["error"]["code"] in codes, job
    return job["error"]


def good_model(d):
    r = d.upload("/v1/models", GOOD)
    assert r.status == 201, r
    return r.json()["id"]


# --- models
def truncated_onnx():
    """Every prefix of a small model."""
    with Daemon() as d:
        for n in range(len(GOOD)):
            r = d.upload("/v1/models", GOOD[:n])
            assert r.status in (201, 400, 415, 422), (n, r)  # a cut between two fields may leave a smaller model
        assert d.upload("/v1/models", GOOD).status == 201
        no_leftovers(d)


def bit_flips():
    """Every byte of a small model with one bit flipped: accepted as another model, or refused; never a crash."""
    rng = random.Random(7)
    with Daemon() as d:
        for i in range(len(GOOD)):
            data = bytearray(GOOD)
            data[i] ^= 1 << rng.randrange(8)
            r = d.upload("/v1/models", bytes(data))
            assert r.status in (201, 400, 415, 422), (i, r)
        assert "worker_crashed" not in d.tail(10000)
        no_leftovers(d)


def nested_subgraphs():
    with Daemon() as d:
        inner = b""
        for _ in range(10000):  # graph > node > attribute > graph …
            inner = field(1, field(4, "If") + field(5, field(1, "then_branch") + field(20, 5) + field(6, inner)))
        refuse_model(d, field(1, 8) + field(7, inner) + field(8, field(2, 17)), "invalid_model", "limit_exceeded", "unsupported")
        no_leftovers(d)


def huge_dims():
    with Daemon() as d:
        for dims in ([2 ** 62, 2 ** 62], [2 ** 40, 2 ** 30], [-1, 3], [2 ** 31, 1], [4, 3, 2 ** 63 - 1]):
            refuse_model(d, model([node("MatMul", ["x", "w"], ["y"])], [tensor("w", dims, [0.5] * 12)]), "invalid_model", "limit_exceeded", "shape_mismatch")
        refuse_model(d, model([node("MatMul", ["x", "w"], ["y"])], [tensor("w", [4, 3], [0.5] * 11)]), "invalid_model")
        r = d.post_json("/v1/models", {"architecture": {"type": "mlp", "input": [2 ** 40], "layers": [{"units": 2 ** 40}]}})
        problem(r, (422,))
        no_leftovers(d)


def unknown_operator():
    """A model with an operator that we cannot run may be stored; a job on it says which node, and which operator."""
    with Daemon() as d:
        data = model([node("MatMul", ["x", "w"], ["h"], "fc"), node("Frobnicate", ["h"], ["y"], "strange_node", domain="example.org")], [tensor("w", [4, 3], [0.5] * 12)])
        r = d.upload("/v1/models", data)
        if r.status == 201:
            e = failed_job(d, r.json()["id"], d.iris_data(), "unsupported_operator")
            text = str(e)
        else:
            text = str(problem(r, (422,), "unsupported_operator"))
        assert "Frobnicate" in text and "strange_node" in text, text
        no_leftovers(d)


def many_tensors():
    """60,000 tensors and more are as good a model as any: what is told of them is cut short, says so, and names what can be pruned first. Endless names do not hide the rest."""
    n = 60000
    with Daemon() as d:
        nodes, inits = [], []
        for i in range(n):
            weight = i % 4 == 3
            name = f"model.layers.{i}.attention.projection.{'weight' if weight else 'bias'}"
            inits.append(tensor(name, [4, 4] if weight else [4], [(i + k) % 97 + 0.5 for k in range(16 if weight else 4)]))
            nodes.append(node("MatMul" if weight else "Add", ["x" if i == 0 else f"h{i - 1}", name], ["y" if i == n - 1 else f"h{i}"], f"/model/layers.{i}/attention/projection"))
        r = d.upload("/v1/models", model(nodes, inits))
        assert r.status == 201, r
        m, info = r.json()["id"], r.json()["info"]
        assert info["n_params"] == n // 4 * (16 + 3 * 4) and info["n_weights"] == n // 4 * 16, info
        left = info["left_out"]["layers"]
        g = d.get(f"/v1/models/{m}/graph").json()
        assert len(g["layers"]) + left == n and g["left_out"] == {"layers": left} and len(g["layers"]) > 5000, (len(g["layers"]), left)
        assert all(layer["prunable"] for layer in g["layers"])
        v = d.post_json(f"/v1/models/{m}/validate", {}).json()
        assert v["valid"] and len(v["prunable"]) == len(g["layers"]) and str(left) in " ".join(v["warnings"]), v["warnings"]
        j = d.post_json("/v1/jobs", {"model": m, "recipe": {"steps": [{"prune": {"sparsity": 0.5}}]}}).json()["id"]
        job = d.wait_job(j)
        assert job["status"] == "succeeded", job
        assert abs(d.get(f"/v1/jobs/{j}/report").json()["final"]["sparsity"] - 0.5) < 0.01

        long = "a" * 5000000
        r = d.upload("/v1/models", model([node("Frob" + long, ["x", "w" + long], [f"o{long}"]), node("MatMul", [f"o{long}", "w"], ["y"], "fc")],
                                         [tensor("w" + long, [4, 4], [0.5] * 16), tensor("w", [4, 3], [0.5] * 12)]))
        assert r.status == 201, r
        g = d.get(f"/v1/models/{r.json()['id']}/graph").json()
        assert [layer["name"] for layer in g["layers"]] == ["w"] and g["operators"] == [{"op": "MatMul", "count": 1}], g
        assert g["left_out"] == {"operators": 1, "layers": 1}, g["left_out"]

        rows = "".join(f"{i},{'kind of a thing that has a long name ' * 2}{i}\n" for i in range(60000))
        r = d.upload("/v1/datasets?filename=x.csv", ("a,label\n" + rows).encode())
        assert r.status == 201, r
        info = r.json()["info"]
        assert info["n_classes"] == 60000 and 1000 < len(info["classes"]) == 60000 - info["left_out"]["classes"], (len(info["classes"]), info["left_out"])
        no_leftovers(d)


def not_onnx():
    with Daemon() as d:
        for data in (b"", b"\x80\x04\x95pickle", b"PK\x03\x04" + bytes(100), b"\x89HDF\r\n\x1a\n", os.urandom(5000), b"hello"):
            refuse_model(d, data)
        no_leftovers(d)


# --- data
def wrong_shape():
    with Daemon() as d:
        m = d.post_json("/v1/models", {"architecture": {"type": "mlp", "input": [5], "layers": [{"units": 3}]}}).json()["id"]
        e = failed_job(d, m, d.iris_data(), "shape_mismatch")
        assert "5" in str(e) and "4" in str(e), e
        no_leftovers(d)


def labels_out_of_range():
    with Daemon() as d:
        m = good_model(d)
        rows = "\n".join(f"{i}.5,1,2,3,{i % 7}" for i in range(70))
        s = d.upload("/v1/datasets?filename=x.csv", ("a,b,c,d,label\n" + rows + "\n").encode(), "text/csv")
        assert s.status == 201, s
        e = failed_job(d, m, s.json()["id"], "label_out_of_range")
        assert "6" in str(e) or "7" in str(e), e
        no_leftovers(d)


def nan_in_data():
    with Daemon() as d:
        refuse_data(d, b"a,b,label\n1,2,0\nnan,3,1\n4,5,0\n", "non_finite", "invalid_dataset", kind="text/csv")
        x = struct.pack("<8f", 1, 2, 3, float("nan"), 5, 6, 7, float("inf"))
        y = struct.pack("<2q", 0, 1)
        refuse_data(d, npz(x=npy(x, "<f4", (2, 4)), y=npy(y, "<i8", (2,))), "non_finite", "invalid_dataset", name="x.npz")
        no_leftovers(d)


def empty_data():
    with Daemon() as d:
        for data, name in ((b"", "x.csv"), (b"a,b,label\n", "x.csv"), (b"\n\n\n", "x.csv"), (npz(), "x.npz"),
                           (npz(x=npy(b"", "<f4", (0, 4)), y=npy(b"", "<i8", (0,))), "x.npz"), (struct.pack(">IIII", 0x803, 0, 28, 28), "train-images-idx3-ubyte")):
            refuse_data(d, data, name=name)
        no_leftovers(d)


def hostile_data():
    with Daemon() as d:
        refuse_data(d, npy(b"", "|O", (3,)), name="x.npy")
        refuse_data(d, npy(b"\0" * 64, "<f4", (2 ** 40, 2 ** 30)), name="x.npy")
        refuse_data(d, b"\x93NUMPY\x01\x00\xff\xff{'descr': __import__('os')", name="x.npy")
        refuse_data(d, b'a,b,label\n"unterminated,1,2\n' + b"x" * 200000, kind="text/csv")
        refuse_data(d, struct.pack(">IIII", 0x803, 2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1), name="train-images-idx3-ubyte")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:  # 200 MB of zeros in 200 kB
            z.writestr("x.npy", npy(bytes(200 << 20), "<f4", (13107200, 4)))
            z.writestr("y.npy", npy(bytes(8), "<i8", (1,)))
        refuse_data(d, out.getvalue(), name="x.npz")
        for name in ("../../etc/passwd", "a/b", ".hidden", "a\\b", "x" * 5000, "a%00b", "a%0d%0aX: y"):
            r = d.upload(f"/v1/datasets?filename={name.replace(' ', '%20')}", b"a,label\n1,0\n2,1\n3,0\n4,1\n", "text/csv")
            assert r.status in (201, 400, 404, 414, 422), (name, r)
            if r.status == 201:
                assert "/" not in r.json()["files"][0]["path"], r
        no_leftovers(d)


# --- jobs
def unknown_recipe_field():
    with Daemon() as d:
        r = d.job("mdl_x", "dst_x", recipe={"steps": [{"train": {"epochs": 1}}, {"prune": {"sparsty": 0.5}}]})
        p = problem(r, (422,), "validation_failed")
        e = next(e for e in p["errors"] if e["pointer"] == "/recipe/steps/1/prune/sparsty")
        assert 'did you mean "sparsity"' in e["detail"], e
        r = d.job("mdl_x", "dst_x", recipe="wieght-magnitude")
        assert "weight-magnitude" in str(problem(r, (422,))["errors"]), r
        no_leftovers(d)


def sparsity_of_1_5():
    with Daemon() as d:
        p = problem(d.job("mdl_x", "dst_x", recipe={"steps": [{"prune": {"sparsity": 1.5}}]}), (422,), "validation_failed")
        e = next(e for e in p["errors"] if e["pointer"] == "/recipe/steps/0/prune/sparsity")
        assert e["code"] == "out_of_range" and "1.5" in e["detail"], e
        no_leftovers(d)


def deleted_model():
    """A model that is gone is a 404 with its pointer; one that a waiting job needs cannot go."""
    with Daemon("--workers", "1") as d:
        m, s = d.iris_model(), d.iris_data()
        assert d.request("DELETE", f"/v1/models/{m}").status == 204
        p = problem(d.job(m, s), (404, 422))
        assert "/model" in str(p), p
        m = d.iris_model()
        j = d.long_job(m, s).json()["id"]
        problem(d.request("DELETE", f"/v1/models/{m}"), (409,), "conflict")
        problem(d.request("DELETE", f"/v1/datasets/{s}"), (409,), "conflict")
        d.request("POST", f"/v1/jobs/{j}/cancel")
        d.wait_job(j)
        assert d.request("DELETE", f"/v1/models/{m}").status == 204
        no_leftovers(d)


def diverging_job():
    with Daemon() as d:
        m, s = d.iris_model(), d.iris_data()
        e = failed_job(d, m, s, "training_diverged", recipe={"steps": [{"train": {"epochs": 50, "batch_size": 16, "loss": "mse", "optimizer": {"name": "sgd", "lr": 1000}}}]})
        assert e["message"], e
        no_leftovers(d)


def memory_limit():
    """A job that needs more than it may have fails with a clear error; the next one runs."""
    with Daemon() as d:
        first = d.job(d.iris_model(), d.iris_data()).json()["id"]
        d.wait_job(first)
        if "sanitized build" in d.get(f"/v1/jobs/{first}/events").body.decode():
            print("skipped: a sanitized engine has no limit of its address space")
            return
        m = d.post_json("/v1/models", {"architecture": {"type": "mlp", "input": [4], "layers": [{"units": 5000, "activation": "relu"}, {"units": 5000, "activation": "relu"},
                                                                                          {"units": 3}]}}).json()["id"]
        s = d.iris_data()
        e = failed_job(d, m, s, "memory_limit", "out_of_memory", limits={"max_memory_bytes": 134217728})
        assert e["message"], e
        j = d.job(d.iris_model(), s).json()["id"]
        assert d.wait_job(j)["status"] == "succeeded"
        no_leftovers(d)


if __name__ == "__main__":
    main({f.__name__: f for f in (
        truncated_onnx, bit_flips, nested_subgraphs, huge_dims, unknown_operator, many_tensors, not_onnx, wrong_shape, labels_out_of_range, nan_in_data, empty_data, hostile_data,
        unknown_recipe_field, sparsity_of_1_5, deleted_model, diverging_job, memory_limit)})
