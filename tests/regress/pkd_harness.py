"""A running pkd with a store of its own and the mock provider, for the tests of the daemon."""
import atexit
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from typing import NamedTuple

from mockd import Mockd
from patience import PATIENCE_S, SLOW, STORE_TIMEOUT, Promise, some_time, soon, until

BUILD = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BUILD", "build")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
failures = 0
running = []


def end_all():
    """Nothing that a failed case started may outlive the test."""
    for process in running:
        if process.poll() is None:
            process.kill()


atexit.register(end_all)


def program(name):
    return os.path.join(ROOT, BUILD, name)


class Mock(Mockd):
    def __init__(self):
        super().__init__(os.path.join(ROOT, BUILD))
        running.append(self.process)
        self.base = self.origin + "/v1"


class Pkd:
    """`pkd serve` on a free port; `folder` holds its store."""

    def __init__(self, *options, folder=None, env=None, tcp=True):
        self.folder = folder or tempfile.mkdtemp(prefix="pkd")
        self.own_folder = folder is None
        self.store = os.path.join(self.folder, "t.pkdb")
        self.log = open(os.path.join(self.folder, "log"), "ab+")
        start = self.log.seek(0, 2)
        clean = {k: v for k, v in os.environ.items()
                 if not k.endswith("_API_KEY") and (not k.startswith("PK_") or k == "PK_THREADS")}
        command = [program("pkd"), "serve", "--store", self.store]
        if tcp:
            command += ["--listen", "127.0.0.1:0"]
        self.started = time.monotonic()
        self.process = subprocess.Popen(command + list(options), stderr=self.log,
                                        env={**clean, **STORE_TIMEOUT, **(env or {})})
        running.append(self.process)
        self.port = None
        while "ready" not in self.text(start):
            if self.process.poll() is not None:
                raise RuntimeError("pkd did not start: " + self.text(start))
            time.sleep(0.002)
        found = re.search(r"addr\W+(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)", self.text(start))
        self.port = int(found.group(1)) if found else None

    def text(self, start=0):
        with open(self.log.name, "rb") as f:
            f.seek(start)
            return f.read().decode("utf-8", "replace")

    def stop(self, how=signal.SIGTERM, wait=30):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(wait)
        self.log.close()
        if self.own_folder:
            shutil.rmtree(self.folder)
        return code

    def raw(self, timeout=60):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        return s

    def http(self, method, path, body=None, headers=None, timeout=120):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, r.headers, r.read()

    def rows(self, sql):
        db = sqlite3.connect("file:" + self.store + "?mode=ro", uri=True, timeout=10)
        # The engine's doors unpack payloads; here it is enough to know that there is one.
        db.create_function("pk_payload_text", -1, lambda *a: None if None in a else "payload")
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def last_stored(self):
        """When the newest answer in the cache was made."""
        return self.rows("select coalesce(max(created_us), 0) from pk_cache_entry")[0][0]

    def rows_within(self, sql, good, seconds=PATIENCE_S):
        """What `sql` returns, waiting until good(rows) or the time is over."""
        until(lambda: good(self.rows(sql)), seconds)
        return self.rows(sql)


def config(mock, **more):
    return json.dumps({"provider": "openai", "api_key": "sk-test", "custom_host": mock.base, **more})


class Row(NamedTuple):
    """A row of endpoints.def."""
    kind: str
    method: str
    path: str
    scope: str


def endpoints():
    with open(os.path.join(ROOT, "sidecar/endpoints.def"), encoding="utf-8") as f:
        return [Row(*found) for found in re.findall(r'^(\w+)\((\w+), "([^"]+)", (\w+)', f.read(), re.M)]


def chat_body(model="fixed-600", text="hello", **more):
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more})


def chat(pkd, mock, model="fixed-600", text="hello", headers=None, cfg=None, timeout=120, **more):
    h = {"content-type": "application/json", "x-portkey-config": cfg or config(mock)}
    h.update(headers or {})
    return pkd.http("POST", "/v1/chat/completions", chat_body(model, text, **more), h, timeout)


def chat_request(mock, body, headers="", path="/v1/chat/completions"):
    """The bytes of a chat request."""
    body = body.encode() if isinstance(body, str) else body
    return (b"POST " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
            b"content-type: application/json\r\nx-portkey-config: " + config(mock).encode() +
            b"\r\n" + headers.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def read_response(s, head_only=False):
    """Reads one response from a socket: status, headers (lower case), body."""
    f = s if hasattr(s, "readline") else s.makefile("rb")
    line = f.readline()
    if not line:
        return None
    headers = {}
    while True:
        h = f.readline().strip()
        if not h:
            break
        name, value = h.decode().split(":", 1)
        headers[name.lower()] = value.strip()
    body = b""
    if not head_only and "content-length" in headers:
        body = f.read(int(headers["content-length"]))
    return int(line.split()[1]), headers, body


def memory_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def expect(held, what=""):
    if not held:
        raise AssertionError(what)


class Skip(Exception):
    """Why a case cannot be had here."""


def run(*cases):
    """Each case is a function whose name reads as a sentence; it raises when it does not hold."""
    global failures
    for case in cases:
        name = case.__name__
        try:
            case()
            print("ok", name, flush=True)
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except Exception as e:  # whatever it is, the case failed
            for line in traceback.format_exc().splitlines():
                print("#", line)
            print("not ok", name, "-", type(e).__name__, e, flush=True)
            failures += 1


def end():
    sys.exit(failures != 0)
