"""systemd's two protocols, spoken by this script in the place of systemd: readiness by datagram, and a socket that is passed."""
import os
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["PARED_SRC"], "tests/support/py"))
from daemon import BIN, PATIENCE, Daemon, main  # noqa: E402


def told(s):
    s.settimeout(20)
    return s.recv(4096).decode()


def notify():
    """READY=1 once requests are answered, STOPPING=1 at SIGTERM; over a path and over an abstract name."""
    with tempfile.TemporaryDirectory() as dir:
        for name in (os.path.join(dir, "notify"), f"\0pared-notify-{os.getpid()}"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.bind(name)
                with Daemon(env={"NOTIFY_SOCKET": name.replace("\0", "@")}) as d:
                    lines = told(s).splitlines()
                    assert "READY=1" in lines, lines
                    assert d.get("/readyz").status == 200
                    d.process.send_signal(signal.SIGTERM)
                    lines = told(s).splitlines()
                    assert "STOPPING=1" in lines, lines
                    assert d.process.wait(30 * PATIENCE) == 0


def listen_fds():
    """The daemon serves on the socket that it is given and on no other, and says where that is."""
    with tempfile.TemporaryDirectory() as dir, socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(64)
        port = s.getsockname()[1]
        # connections that are made before there is a daemon are served by it
        early = socket.create_connection(("127.0.0.1", port))
        early.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        p = subprocess.Popen(["/bin/bash", "-c", f"exec 3<&{s.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"", os.path.join(BIN, "pared"),
                              "--port", "1", "--data-dir", os.path.join(dir, "data"), "--min-free-bytes", "1M"], pass_fds=[s.fileno()], stdout=subprocess.PIPE)
        try:
            line = p.stdout.readline().decode()
            assert f"http://127.0.0.1:{port}" in line, line
            early.settimeout(20)
            assert early.recv(4096).startswith(b"HTTP/1.1 200")
            early.close()
            p.send_signal(signal.SIGTERM)
            assert p.wait(30 * PATIENCE) == 0
        finally:
            p.kill()
            p.wait()
            p.stdout.close()


if __name__ == "__main__":
    main({"notify": notify, "listen_fds": listen_fds})
