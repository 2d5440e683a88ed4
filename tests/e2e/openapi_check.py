#!/usr/bin/env python3
"""openapi_check.py BASE_URL OPENAPI_YAML [KEY]: a scripted session with a live daemon that covers every operation of the document.

Each answer must have a documented status, its body must validate against the schema of that status and media type, and
documented headers that are present must validate too. Prints one line per operation with the statuses seen; exits with 1
if an operation was not exercised, a status was not documented, or a body did not validate.
Needs PyPI: openapi-spec-validator, jsonschema, pyyaml. The session trains for a second or two on a few hundred made-up rows.
"""
import base64
import hashlib
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support/py"))
from seen import note  # noqa: E402

BASE, PATH = sys.argv[1].rstrip("/"), sys.argv[2]
KEY = sys.argv[3] if len(sys.argv) > 3 else None
with open(PATH, encoding="utf-8") as f:
    DOC = yaml.safe_load(f)
validate(DOC)
REGISTRY = Registry().with_resource("urn:doc", Resource.from_contents(DOC, default_specification=DRAFT202012))
SEEN, WRONG = {}, []


def absolute(node):
    """References made absolute, so that a part of the document can be validated against on its own."""
    if isinstance(node, dict):
        return {k: "urn:doc" + v if k == "$ref" and v.startswith("#") else absolute(v) for k, v in node.items()}
    return [absolute(v) for v in node] if isinstance(node, list) else node


def resolve(node):
    while "$ref" in node:
        target = DOC
        for part in node["$ref"].lstrip("#/").split("/"):
            target = target[part]
        node = target
    return node


def findings(schema, value):
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in Draft202012Validator(absolute(schema), registry=REGISTRY).iter_errors(value)]


OPERATIONS = {}
for template, methods in DOC["paths"].items():
    pattern = re.compile("^" + re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template)) + "$")
    for verb, op in methods.items():
        OPERATIONS[op["operationId"]] = (verb.upper(), template, pattern, op)


def find(method, path):
    wanted = "GET" if method == "HEAD" else method
    for oid, (verb, template, pattern, op) in OPERATIONS.items():
        if verb == wanted and pattern.match(path) and (path == template or "{" in template):
            return oid, op
    raise SystemExit(f"no operation for {method} {path}")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def check_body(where, content, kind, body):
    if kind not in content:
        WRONG.append(f"{where}: media type {kind} is not documented")
        return None
    value = "" if kind in ("application/onnx", "application/octet-stream") else body.decode("utf-8")
    if kind == "application/yaml":
        value = yaml.safe_load(body)
    if kind.endswith(("/json", "+json")) and not where.endswith(" 206"):
        value = json.loads(value)
    WRONG.extend(f"{where}: {f}" for f in findings(content[kind]["schema"], value))
    return value


def check_headers(where, documented, headers):
    for name, header in documented.items():
        header = resolve(header)
        if name in headers:
            value = headers[name]
            if header["schema"].get("type") == "integer":
                value = int(value)
            WRONG.extend(f"{where}: header {name}: {f}" for f in findings(header["schema"], value))
    if "X-Request-Id" not in headers:
        WRONG.append(f"{where}: no X-Request-Id")


def call(method, target, body=None, key=True, **headers):
    """One request; returns status, headers, parsed body. Header names are written with _ for -."""
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    if KEY and key:
        headers["Authorization"] = "Bearer " + KEY
    if isinstance(body, (dict, list)):
        body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    if body is not None:
        headers.setdefault("Content-Type", "application/octet-stream")
    request = urllib.request.Request(BASE + target, data=body, method=method, headers=headers)
    try:
        answer = OPENER.open(request, timeout=60)
    except urllib.error.HTTPError as e:
        answer = e
    data = answer.read()
    oid, op = find(method, target.split("?")[0])
    SEEN.setdefault(oid, set()).add(str(answer.status))
    note(method, target, answer.status)
    where = f"{method} {target} {answer.status}"
    documented = op["responses"].get(str(answer.status))
    if documented is None:
        WRONG.append(f"{where}: status is not documented: {data[:200]!r}")
        return answer.status, answer.headers, None
    documented = resolve(documented)
    check_headers(where, documented.get("headers", {}), answer.headers)
    value = data
    if method != "HEAD" and documented.get("content"):
        value = check_body(where, documented["content"], answer.headers.get_content_type(), data)
    elif data and answer.status != 206:  # a piece of something is of no type
        WRONG.append(f"{where}: a body where none is documented")
    return answer.status, answer.headers, value


def expect(status, *args, **kwargs):
    got, headers, value = call(*args, **kwargs)
    if got != status:
        raise SystemExit(f"{args[:2]}: status {got}, wanted {status}: {value}")
    return headers, value


def revalidate(target):
    headers, value = expect(200, "GET", target)
    if "ETag" in headers:
        expect(304, "GET", target, If_None_Match=headers["ETag"])
    return value


def form(files, fields):
    out = b""
    for name, value in fields.items():
        out += f'--BOUND\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, value in files.items():
        out += f'--BOUND\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + value + b"\r\n"
    return out + b"--BOUND--\r\n"


def rows():
    """Three classes around three points, as CSV: reproducible without a random generator of the language."""
    lines, state = ["a,b,c,label"], 12345
    for i in range(300):
        label, values = i % 3, []
        for j in range(3):
            state = (state * 1103515245 + 12345) % 2**31
            values.append((2.0 if j == label else 0.0) + state / 2**31)
        lines.append(",".join(f"{v:.4f}" for v in values) + f",{label}")
    return ("\n".join(lines) + "\n").encode()


def wait(job):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        _, value = expect(200, "GET", f"/v1/jobs/{job}")
        if value["status"] in ("succeeded", "failed", "canceled"):
            return value
        time.sleep(0.2)
    raise SystemExit(f"{job} did not end")


def check_blob(target, ranges=True):
    headers, _ = expect(200, "GET", target)
    expect(200, "HEAD", target)
    expect(304, "GET", target, If_None_Match=headers["ETag"])
    expect(412, "GET", target, If_Match='"other"')
    if ranges:
        expect(206, "GET", target, Range="bytes=0-3")
        expect(416, "GET", target, Range="bytes=999999999999-")


def keys():
    expect(200, "GET", "/v1/keys/self")
    made = expect(201, "POST", "/v1/keys", {"name": "check", "scopes": ["jobs:r"], "expires_at": "2999-01-01"})[1]["id"]
    expect(422, "POST", "/v1/keys", {"scopes": ["jobs:x"]})
    expect(422, "POST", "/v1/keys", {"scopes": ["jobs:r"], "owner": "a b"})
    expect(400, "POST", "/v1/keys", b"{", Content_Type="application/json")
    revalidate(f"/v1/keys/{made}")
    revalidate("/v1/keys?limit=1")
    expect(412, "DELETE", f"/v1/keys/{made}", If_Match='"other"')
    expect(204, "DELETE", f"/v1/keys/{made}")
    expect(204, "DELETE", f"/v1/keys/{made}")
    expect(404, "GET", "/v1/keys/nothing")
    expect(404, "DELETE", "/v1/keys/nothing")


def admin():
    expect(200, "POST", "/v1/admin/gc")
    expect(422, "POST", "/v1/admin/gc", {"x": 1})
    expect(200, "POST", "/v1/admin/backup")
    expect(422, "POST", "/v1/admin/backup", {"x": 1})
    if not expect(200, "POST", "/v1/admin/drain", {})[1]["draining"]:
        WRONG.append("a drained server does not say so")
    expect(503, "GET", "/readyz")
    expect(422, "POST", "/v1/admin/drain", {"x": 1})
    expect(200, "DELETE", "/v1/admin/drain")
    expect(200, "GET", "/readyz")


def pages():
    for target in ("/livez", "/readyz", "/readyz?verbose", "/healthz", "/version", "/v1", "/openapi.yaml", "/problems/not_found", "/metrics", "/v1/methods", "/v1/methods/prune", "/v1/recipes", "/v1/capabilities", "/openapi.json", "/docs", "/v2", "/v2/health/live", "/v2/health/ready"):
        revalidate(target)
    expect(404, "GET", "/problems/nothing")
    expect(404, "GET", "/v1/methods/nothing")
    expect(404, "GET", "/v1/recipes/nothing")
    keys()
    for recipe in expect(200, "GET", "/v1/recipes")[1]["data"]:
        revalidate("/v1/recipes/" + recipe["name"])
    expect(400, "GET", "/version?x=1")


def assets():
    model = expect(201, "POST", "/v1/models", {"name": "small", "architecture": {"input": [3], "layers": [{"units": 16, "activation": "relu"}, {"units": 3}]}})[1]["id"]
    expect(422, "POST", "/v1/models", {"architecture": {"input": [3], "layers": []}})
    expect(422, "POST", "/v1/models", b"this is no model", Content_Type="application/onnx")
    expect(415, "POST", "/v1/models", b"\x80\x02 a pickle, 16 bytes")
    expect(415, "POST", "/v1/datasets", b"x", Content_Type="text/html")
    data = rows()
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"
    dataset = expect(201, "POST", "/v1/datasets?name=points&filename=points.csv&label=label&task=classify", data, Content_Type="text/csv", Repr_Digest=digest)[1]["id"]
    expect(422, "POST", "/v1/datasets?filename=points.csv", data + b"1,2,3,1\n", Repr_Digest=digest)
    second = expect(201, "POST", "/v1/datasets", form({"points.csv": data}, {"name": "again", "label": "label"}), Content_Type="multipart/form-data; boundary=BOUND")[1]["id"]
    for kind, asset in (("models", model), ("datasets", dataset)):
        revalidate(f"/v1/{kind}/{asset}")
        revalidate(f"/v1/{kind}?limit=1")
        expect(400, "GET", f"/v1/{kind}?limit=0")
        expect(404, "GET", f"/v1/{kind}/nothing")
        check_blob(f"/v1/{kind}/{asset}/content")
    revalidate(f"/v1/models/{model}/graph")
    oip = revalidate("/v2/models/small")
    if oip["versions"] != ["1"] or [t["datatype"] for t in oip["inputs"]] != ["FP32"] or revalidate("/v2/models/small/versions/1") != oip:
        WRONG.append(f"the metadata of a model is odd: {oip}")
    revalidate(f"/v2/models/{model}")
    for other in ("nothing", "small/versions/2", "small/versions/x"):
        expect(404, "GET", f"/v2/models/{other}")
    if json.loads(json.dumps(DOC)) != expect(200, "GET", "/openapi.json")[1]:
        WRONG.append("the document as JSON is another")
    expect(404, "GET", "/v1/models/nothing/graph")
    expect(404, "GET", f"/v1/datasets/{dataset}/content?path=nothing")
    expect(204, "DELETE", f"/v1/datasets/{second}")
    expect(404, "DELETE", f"/v1/datasets/{second}")
    return model, dataset


def registry(model):
    """Versions, aliases and changes of the model that is called small."""
    etag = expect(200, "GET", f"/v1/models/{model}")[0]["ETag"]
    expect(200, "PATCH", f"/v1/models/{model}", {"description": "one", "labels": {"team": "a"}}, If_Match=etag)
    expect(412, "PATCH", f"/v1/models/{model}", {"description": "two"}, If_Match=etag)
    expect(422, "PATCH", f"/v1/models/{model}", {"name": "a/b"})
    expect(404, "PATCH", "/v1/models/nothing", {})
    expect(200, "PATCH", "/v1/datasets/points", {"description": "points"})
    if not expect(200, "POST", f"/v1/models/{model}/validate")[1]["prunable"]:
        WRONG.append("a network without prunable layers")
    expect(404, "POST", "/v1/models/nothing/validate")
    rows_of = revalidate("/v1/datasets/points/sample?n=3&label=label")["sample"]
    if rows_of["n_rows"] != 300 or [r["targets"][0]["values"] for r in rows_of["rows"]] != [["0"], ["1"], ["2"]] or len(rows_of["rows"][0]["inputs"][0]["values"]) != 3:
        WRONG.append(f"a sample of the points is {rows_of}")
    expect(400, "GET", "/v1/datasets/points/sample?n=0")
    expect(422, "GET", "/v1/datasets/points/sample?label=nothing")
    expect(404, "GET", "/v1/datasets/nothing/sample")
    revalidate("/v1/models/small/versions")
    revalidate("/v1/models?name=small")
    expect(404, "GET", "/v1/models/nothing/versions")
    revalidate("/v1/datasets/points/versions")
    url = "/v1/models/small/aliases/champion"
    expect(404, "GET", url)
    tag = expect(201, "PUT", url, {"version": 1})[0]["ETag"]
    expect(200, "PUT", url, {"model": model}, If_Match=tag)
    expect(412, "PUT", url, {"version": 1}, If_Match='"mdl_other"')
    expect(422, "PUT", url, {"version": 9})
    revalidate(url)
    expect(200, "GET", "/v1/models/small@champion")
    expect(409, "PATCH", "/v1/models/small", {"name": "tiny"})
    expect(409, "DELETE", "/v1/models/small@champion")
    expect(204, "DELETE", url)
    expect(404, "DELETE", url)


def recipes():
    """Saved ones: versions that do not change, names that are taken, what is wrong with its place."""
    mine = {"doc": "ours", "params": {"share": {"type": "number", "min": 0, "max": 1, "default": 0.5}}, "job": {"recipe": {"steps": [{"prune": {"sparsity": {"$param": "share"}}}]}}}
    saved = expect(201, "POST", "/v1/recipes", {"name": "ours", "recipe": mine})[1]
    expect(200, "PUT", "/v1/recipes/ours", {"recipe": mine})
    expect(201, "PUT", "/v1/recipes/ours", {"recipe": {"steps": [{"prune": {"sparsity": 0.5}}]}})
    expect(409, "PUT", "/v1/recipes/ours@1", {"recipe": {"steps": [{"prune": {"sparsity": 0.5}}]}})
    expect(404, "PUT", "/v1/recipes/ours@9", {"recipe": mine})
    expect(409, "POST", "/v1/recipes", {"name": "weight-magnitude", "recipe": mine})
    expect(409, "DELETE", "/v1/recipes/weight-magnitude")
    wrong = expect(422, "POST", "/v1/recipes", {"name": "ours", "recipe": {"steps": [{"prune": {"sparsty": 0.5}}]}})[1]
    if wrong["errors"][0]["pointer"] != "/recipe/steps/0/prune/sparsty":
        WRONG.append(f"a wrong recipe has its place at {wrong['errors']}")
    revalidate("/v1/recipes/ours@1")
    revalidate("/v1/recipes/" + saved["id"])
    revalidate("/v1/recipes?name=ours")
    expect(204, "DELETE", "/v1/recipes/ours@2")
    expect(404, "DELETE", "/v1/recipes/ours@2")


def begin_upload(**headers):
    return expect(201, "POST", "/v1/uploads", b"", **headers)[0]["Location"]


def uploads():
    """Both dialects, each with what it refuses."""
    tus, ietf = {"Tus_Resumable": "1.0.0"}, {"Content_Type": "application/partial-upload"}
    piece = dict(tus, Content_Type="application/offset+octet-stream")
    expect(204, "OPTIONS", "/v1/uploads")
    url = begin_upload(**tus, Upload_Length="5")
    expect(204, "OPTIONS", url)
    expect(204, "PATCH", url, b"abc", **piece, Upload_Offset="0")
    expect(409, "PATCH", url, b"de", **piece, Upload_Offset="0")
    expect(415, "PATCH", url, b"de", **tus, Upload_Offset="3")
    expect(413, "PATCH", url, b"defg", **piece, Upload_Offset="3")
    expect(460, "PATCH", url, b"xx", **piece, Upload_Offset="3", Upload_Checksum="sha1 " + base64.b64encode(hashlib.sha1(b"de").digest()).decode())
    expect(200, "HEAD", url)
    expect(204, "PATCH", url, b"de", **piece, Upload_Offset="3")
    expect(204, "DELETE", url)
    for method in ("GET", "DELETE"):
        expect(404, method, url)
    expect(404, "PATCH", url, b"x", **piece, Upload_Offset="0")
    expect(412, "POST", "/v1/uploads", b"", Tus_Resumable="0.2.2")
    expect(413, "POST", "/v1/uploads", b"", **tus, Upload_Length="999999999999999")
    expect(415, "POST", "/v1/uploads", b"x", **tus, Upload_Length="5")
    expect(200, "GET", "/v1/uploads?limit=1")
    expect(400, "GET", "/v1/uploads?limit=0")
    url = begin_upload(Upload_Complete="?0")
    expect(400, "PATCH", url, b"x", **ietf, Upload_Complete="?0")
    expect(204, "PATCH", url, b"abc", **ietf, Upload_Complete="?0", Upload_Offset="0")
    expect(200, "PATCH", url, b"de", **ietf, Upload_Complete="?1", Upload_Offset="3")
    expect(409, "PATCH", url, b"", **ietf, Upload_Complete="?1", Upload_Offset="5")
    expect(200, "GET", url)
    whole = expect(201, "POST", "/v1/uploads?name=whole", rows())[1]
    check_blob("/v1/blobs/sha256:" + whole["sha256"])
    expect(404, "HEAD", "/v1/blobs/sha256:" + "0" * 64)
    named = expect(201, "POST", "/v1/datasets", {"files": [{"path": "points.csv", "upload": whole["id"]}], "label": "label"})[1]
    expect(422, "POST", "/v1/datasets", {"files": [{"path": "../points.csv", "upload": whole["id"]}]})
    expect(204, "DELETE", "/v1/datasets/" + named["id"])
    more = [begin_upload(**tus, Upload_Length="5") for _ in range(62)]
    expect(429, "POST", "/v1/uploads", b"", **tus, Upload_Length="5")
    for u in more:
        expect(204, "DELETE", u)


def jobs(model, dataset):
    body = {"model": model, "dataset": dataset, "seed": 1, "recipe": {"steps": [{"train": {"epochs": 2}}, {"prune": {"sparsity": 0.5}}, {"train": {"epochs": 1}}]}}
    job = expect(201, "POST", "/v1/jobs", body, Idempotency_Key="check-1")[1]["id"]
    headers, again = expect(201, "POST", "/v1/jobs", body, Idempotency_Key="check-1")
    if again["id"] != job or headers.get("Idempotency-Replayed") != "true":
        WRONG.append("an idempotency key made two jobs")
    expect(422, "POST", "/v1/jobs", dict(body, seed=2), Idempotency_Key="check-1")
    expect(422, "POST", "/v1/jobs", dict(body, colour="red"))
    expect(400, "POST", "/v1/jobs", b"{", Content_Type="application/json")
    expect(415, "POST", "/v1/jobs", b"<a/>", Content_Type="text/xml")
    long = expect(201, "POST", "/v1/jobs", dict(body, recipe={"steps": [{"train": {"epochs": 100000}}]}))[1]["id"]
    expect(409, "DELETE", f"/v1/jobs/{long}")
    expect(409, "POST", f"/v1/jobs/{long}/retry")
    expect(409, "DELETE", f"/v1/models/{model}")
    for verb in ("pause", "resume"):
        expect(202, "POST", f"/v1/jobs/{long}/{verb}")
        expect(422, "POST", f"/v1/jobs/{long}/{verb}", {"now": True})
        expect(415, "POST", f"/v1/jobs/{long}/{verb}", b"now", Content_Type="text/plain")
        expect(404, "POST", f"/v1/jobs/nothing/{verb}")
    expect(202, "POST", f"/v1/jobs/{long}/cancel")
    expect(409, "POST", f"/v1/jobs/{long}/pause")
    expect(409, "POST", f"/v1/jobs/{long}/resume")
    wait(long)
    expect(412, "DELETE", f"/v1/jobs/{long}", If_Match='"0"')
    expect(204, "DELETE", f"/v1/jobs/{long}")
    expect(404, "POST", f"/v1/jobs/{long}/cancel")
    done = wait(job)
    if done["status"] != "succeeded":
        raise SystemExit(f"the job ended as {done['status']}: {done['error']}")
    expect(409, "POST", f"/v1/jobs/{job}/cancel")
    again = expect(201, "POST", f"/v1/jobs/{job}/retry", Prefer="wait=60")[1]
    if again["status"] != "succeeded" or again["id"] == job:
        WRONG.append(f"a job that runs again has not been waited for: it is {again['status']}")
    expect(404, "POST", "/v1/jobs/nothing/retry")
    expect(200, "GET", f"/v1/jobs/{job}", Prefer="wait=1")
    expect(200, "GET", "/v1/queue")
    expect(200, "GET", "/v1/workers")
    revalidate(f"/v1/jobs/{job}/checkpoints")
    expect(404, "GET", "/v1/jobs/nothing/checkpoints")
    expect(200, "GET", f"/v1/jobs/{job}/metrics?step_from=3")
    expect(400, "GET", f"/v1/jobs/{job}/metrics?step_from=0")
    series = revalidate(f"/v1/jobs/{job}/metrics")
    if not series["data"] or series["n_points"] != len(series["data"]):
        WRONG.append("a job that has trained has no series of its loss")
    expect(200, "GET", f"/v1/jobs/{job}/metrics?names=train_loss,lr&max_points=1", Accept="text/csv")
    expect(406, "GET", f"/v1/jobs/{job}/metrics", Accept="image/png")
    expect(400, "GET", f"/v1/jobs/{job}/metrics?names=,")
    expect(404, "GET", "/v1/jobs/nothing/metrics")
    expect(200, "GET", f"/v1/jobs/{job}/logs?tail=3")
    expect(400, "GET", f"/v1/jobs/{job}/logs?tail=0")
    expect(404, "GET", "/v1/jobs/nothing/logs")
    headers, _ = expect(200, "GET", f"/v1/jobs/{job}")
    expect(428, "PATCH", f"/v1/jobs/{job}", {"name": "kept"})
    expect(200, "PATCH", f"/v1/jobs/{job}", {"name": "kept", "labels": {"team": "vision"}, "priority": 5}, If_Match=headers["ETag"])
    expect(412, "PATCH", f"/v1/jobs/{job}", {"name": "lost"}, If_Match=headers["ETag"])
    expect(422, "PATCH", f"/v1/jobs/{job}", {"seed": 2}, If_Match="*")
    expect(400, "PATCH", f"/v1/jobs/{job}", b"[", Content_Type="application/merge-patch+json", If_Match="*")
    expect(415, "PATCH", f"/v1/jobs/{job}", b"{}", Content_Type="text/plain", If_Match="*")
    expect(404, "PATCH", "/v1/jobs/nothing", {}, If_Match="*")
    revalidate(f"/v1/jobs/{job}")
    revalidate(f"/v1/jobs/{job}?expand[]=model&expand[]=dataset")
    revalidate("/v1/jobs?limit=1&status=succeeded&status=failed&expand[]=model")
    found = revalidate(f"/v1/jobs?label=team:vision&kind=prune&model={model}&dataset={dataset}&created_after=2020-01-01&created_before=2100-01-01T00:00:00Z")["data"]
    if [j["id"] for j in found] != [job]:
        WRONG.append("a job is not found by its label")
    expect(400, "GET", "/v1/jobs?status=nothing")
    expect(404, "GET", "/v1/jobs/nothing")
    return job


def results(job):
    for artifact in revalidate(f"/v1/jobs/{job}/artifacts")["data"]:
        check_blob(f"/v1/jobs/{job}/artifacts/{artifact['name']}")
        revalidate(f"/v1/artifacts/{artifact['id']}")
        check_blob(f"/v1/artifacts/{artifact['id']}/content")
    expect(404, "GET", f"/v1/jobs/{job}/artifacts/nothing")
    check_blob(f"/v1/jobs/{job}/report", ranges=False)
    expect(200, "GET", f"/v1/jobs/{job}/report", Accept="text/markdown")
    expect(406, "GET", f"/v1/jobs/{job}/report", Accept="image/png")
    expect(200, "GET", f"/v1/jobs/{job}/report?format=md", Accept="image/png")
    expect(400, "GET", f"/v1/jobs/{job}/report?format=pdf")
    events = revalidate(f"/v1/jobs/{job}/events")
    expect(200, "GET", f"/v1/jobs/{job}/events?after=1&limit=1")
    _, lines = expect(200, "GET", f"/v1/jobs/{job}/events", Accept="application/x-ndjson")
    schema = {"$ref": "#/components/schemas/Event"}
    for line in filter(None, lines.split("\n")):
        WRONG.extend(f"NDJSON event: {f}" for f in findings(schema, json.loads(line)))
    _, stream = expect(200, "GET", f"/v1/jobs/{job}/events", Accept="text/event-stream")
    streamed = [json.loads(line[6:]) for line in stream.split("\n") if line.startswith("data: ")]
    for event in streamed:
        WRONG.extend(f"streamed event: {f}" for f in findings(schema, event))
    if [e["seq"] for e in streamed] != list(range(1, len(streamed) + 1)) or streamed[: len(events["data"])] != events["data"]:
        WRONG.append("the stream and the list of events differ, or have gaps")
    expect(204, "GET", f"/v1/jobs/{job}/events", Accept="text/event-stream", Last_Event_ID=str(len(streamed)))
    expect(406, "GET", f"/v1/jobs/{job}/events", Accept="image/png")
    expect(404, "GET", "/v1/jobs/nothing/events")


def webhooks():
    url = BASE + "/livez"  # answers a POST with 405: nothing leaves this machine
    hook = expect(201, "POST", "/v1/webhooks", {"url": url, "events": ["job.succeeded"], "description": "check"})[1]
    other = expect(201, "POST", "/v1/webhooks", {"url": url, "format": "cloudevents", "enabled": False})[1]["id"]
    expect(422, "POST", "/v1/webhooks", {"url": "http://10.0.0.1/", "events": ["job.suceeded"], "colour": "red"})
    expect(400, "POST", "/v1/webhooks", b"{", Content_Type="application/json")
    expect(415, "POST", "/v1/webhooks", b"<a/>", Content_Type="text/xml")
    one = f"/v1/webhooks/{hook['id']}"
    revalidate(one)
    revalidate("/v1/webhooks?limit=1")
    expect(400, "GET", "/v1/webhooks?limit=0")
    expect(404, "GET", "/v1/webhooks/nothing")
    expect(200, "PATCH", one, {"description": "changed"}, If_Match='"1"')
    expect(412, "PATCH", one, {"description": "lost"}, If_Match='"1"')
    expect(422, "PATCH", one, {"secret": "x"})
    expect(404, "PATCH", "/v1/webhooks/nothing", {})
    rotated = expect(200, "POST", f"{one}/rotate-secret?overlap_seconds=60")[1]
    if rotated["secret"] == hook["secret"] or rotated["old_secret_valid_until"] is None:
        WRONG.append("a secret that was rotated is the old one, or forgets it at once")
    expect(404, "POST", "/v1/webhooks/nothing/rotate-secret")
    delivery = expect(202, "POST", f"{one}/test")[1]["id"]
    expect(422, "POST", f"{one}/test", Idempotency_Key="check-1")  # a job's
    expect(409, "POST", f"/v1/webhooks/{other}/test")
    expect(404, "POST", "/v1/webhooks/nothing/test")
    expect(202, "POST", f"{one}/deliveries/{delivery}/redeliver")
    expect(404, "POST", f"{one}/deliveries/nothing/redeliver")
    expect(200, "GET", f"{one}/deliveries")
    expect(400, "GET", f"{one}/deliveries?after=nothing")
    expect(404, "GET", "/v1/webhooks/nothing/deliveries")
    expect(412, "DELETE", one, If_Match='"1"')
    expect(204, "DELETE", one)
    expect(404, "DELETE", one)
    expect(204, "DELETE", f"/v1/webhooks/{other}")


def feed():
    first = revalidate("/v1/events?limit=2")
    if not first["has_more"] or first["next_after"] != first["data"][-1]["cursor"]:
        WRONG.append("the feed's first page does not lead to the next one")
    if expect(200, "GET", "/v1/events?after=latest")[1]["data"]:
        WRONG.append("there are events behind the latest one")
    expect(400, "GET", "/v1/events?after=x")
    expect(406, "GET", "/v1/events", Accept="image/png")


def main():
    pages()
    if KEY:
        expect(401, "GET", "/v1/jobs", key=False)
    uploads()
    recipes()
    model, dataset = assets()
    registry(model)
    job = jobs(model, dataset)
    results(job)
    webhooks()
    feed()
    admin()
    last = expect(200, "GET", f"/v1/jobs/{job}/artifacts")[1]["data"][-1]["id"]
    expect(412, "DELETE", f"/v1/artifacts/{last}", If_Match='"other"')
    expect(204, "DELETE", f"/v1/artifacts/{last}")
    for method in ("GET", "DELETE"):
        expect(404, method, f"/v1/artifacts/{last}")
    expect(404, "GET", f"/v1/artifacts/{last}/content")
    expect(204, "DELETE", f"/v1/jobs/{job}")
    expect(204, "DELETE", f"/v1/models/{model}")
    expect(204, "DELETE", f"/v1/datasets/{dataset}")
    missing = [oid for oid in OPERATIONS if oid not in SEEN]
    for oid, (verb, template, _, op) in OPERATIONS.items():
        print(f"{verb:6} {template:40} {' '.join(sorted(SEEN.get(oid, ['-'])))}  of {' '.join(sorted(op['responses']))}")
    for line in WRONG:
        print("WRONG", line)
    pairs = sum(len(s) for s in SEEN.values())
    print(f"openapi: {len(OPERATIONS) - len(missing)} of {len(OPERATIONS)} operations, {pairs} of {sum(len(o[3]['responses']) for o in OPERATIONS.values())} statuses exercised, {len(WRONG)} wrong")
    return 1 if missing or WRONG else 0


sys.exit(main())
