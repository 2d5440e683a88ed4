"""A receiver of webhooks that behaves as badly as it is told to, and keeps what it was sent."""
import http.server
import json
import os
import random
import shutil
import socketserver
import subprocess
import tempfile
import threading
import time

NODE_MODULES = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pared/node/node_modules")


def node(script, *args, stdin=None, timeout=60, background=False):
    """Runs a script under node with the packages of the tests."""
    env = {**os.environ, "NODE_PATH": NODE_MODULES}
    command = [shutil.which("node"), "-e", script, "--", *args]
    if background:
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=env, timeout=timeout)


# every line of stdin: {"secret", "headers", "body"}; prints how many of them verify, and fails at the first that does not
VERIFY = """
const { Webhook } = require('standardwebhooks');
const lines = require('fs').readFileSync(0, 'utf8').split('\\n').filter(Boolean);
for (const line of lines) {
  const m = JSON.parse(line);
  new Webhook(m.secret).verify(m.body, m.headers);
}
console.log(lines.length);
"""


def verify(messages, secret):
    """All of them, with the npm package standardwebhooks."""
    lines = "".join(json.dumps({"secret": secret, "headers": m["headers"], "body": m["body"]}) + "\n" for m in messages)
    r = node(VERIFY, stdin=lines)
    assert r.returncode == 0 and r.stdout.strip() == str(len(messages)), (r.stdout, r.stderr[-1500:])


class Receiver:
    """reply: called with a message, returns the status; or a function that writes to the socket itself and returns None."""

    def __init__(self, reply=lambda m: 204, tls=None):
        self.messages, self.lock, self.reply = [], threading.Lock(), reply
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                m = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body, "at": time.monotonic(), "handler": self}
                m["status"] = receiver.reply(m)
                with receiver.lock:
                    receiver.messages.append(m)
                if m["status"] is not None:
                    status, headers = m["status"] if isinstance(m["status"], tuple) else (m["status"], {})
                    self.send_response(status)
                    for k, v in headers.items():
                        self.send_header(k, v)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def taken(self, path=None):
        """What was answered with 2xx."""
        with self.lock:
            return [m for m in self.messages if (m["status"] if isinstance(m["status"], int) else 0) // 100 == 2 and path in (None, m["path"])]

    def seen(self, path=None):
        with self.lock:
            return [m for m in self.messages if path in (None, m["path"])]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def fails_often(share, seed=1):
    """A receiver that answers with an error or drops the connection in that share of the cases."""
    rng = random.Random(seed)
    lock = threading.Lock()

    def reply(m):
        with lock:
            bad, how = rng.random() < share, rng.random()
        if not bad:
            return 204
        if how < 0.7:
            return 500
        m["handler"].close_connection = True
        m["handler"].connection.close()
        return None
    return reply


def certificate():
    """A self-signed one for 127.0.0.1: (directory, path of the certificate, path of the key)."""
    d = tempfile.mkdtemp(prefix="pared-tls-")
    crt, key = os.path.join(d, "crt.pem"), os.path.join(d, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", crt], check=True, capture_output=True)
    return d, crt, key
