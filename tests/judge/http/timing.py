"""timing.py URL KEY MODEL JOB: does the time of an answer tell what should not be told? Pairs of requests in random order over one connection, Welch's t over
the logarithms of their times: keys that differ from the right one in the first or in the last character, ids that nobody has and ids of another owner.
|t| < 4.5 for each. TIMING_REQUESTS (100000): how many of each."""
import http.client
import math
import os
import random
import sys
import time
import urllib.parse

N = int(os.environ.get("TIMING_REQUESTS", "100000"))


def changed(text, at):
    """Another letter or digit in that place."""
    c = text[at]
    return text[:at] + ("1" if c != "1" else "2") + (text[at + 1:] if at != -1 else "")


def times(connection, requests):
    """Seconds by request, in turns of random order; every answer has the status that is expected of it."""
    out = {name: [] for name in requests}
    names = list(requests)
    for _ in range(N):
        random.shuffle(names)
        for name in names:
            path, key, status = requests[name]
            began = time.perf_counter_ns()
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            answer.read()
            out[name].append(time.perf_counter_ns() - began)
            assert answer.status == status, (name, answer.status)
    return out


def welch(a, b):
    """Of the logarithms of the lower nine tenths: what a scheduler adds to the rest says nothing of us."""
    a, b = ([math.log(v) for v in sorted(x)[:len(x) * 9 // 10]] for x in (a, b))
    mean = [sum(x) / len(x) for x in (a, b)]
    variance = [sum((v - m) ** 2 for v in x) / (len(x) - 1) for x, m in zip((a, b), mean)]
    return (mean[0] - mean[1]) / math.sqrt(variance[0] / len(a) + variance[1] / len(b))


def main(url, key, other, model, job):
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port)
    secret = key.index("_", 5) + 1
    nobodys = lambda i: i[:-1] + ("0" if i[-1] != "0" else "1")  # noqa: E731
    random.seed(1)
    bad = 0
    for what, pair in (("keys", {"first character": ("/v1/models", changed(key, secret), 401), "last character": ("/v1/models", changed(key, -1), 401)}),
                       ("models", {"another's": (f"/v1/models/{model}", other, 404), "nobody's": (f"/v1/models/{nobodys(model)}", other, 404)}),
                       ("jobs", {"another's": (f"/v1/jobs/{job}", other, 404), "nobody's": (f"/v1/jobs/{nobodys(job)}", other, 404)})):
        t = welch(*times(connection, pair).values())
        bad += abs(t) >= 4.5
        print(f"timing of {what}: {' against '.join(pair)}, {N} requests each, Welch t {t:.2f}", flush=True)
    return bad != 0


sys.exit(main(*sys.argv[1:]))
