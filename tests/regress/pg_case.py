"""What the Postgres tests share: named cases, and a mock provider."""
import http.client
import json
import os
import subprocess
import sys
import time
import traceback

import pg_temp

CASES = []


def case(function):
    """A test: its name, with blanks, is what is reported; it fails by raising."""
    CASES.append(function)
    return function


def run_cases(*args):
    """Runs all cases, or those whose names contain a word of the command line."""
    failed, only = 0, sys.argv[1:]
    for function in CASES:
        name = function.__name__.replace("_", " ")
        if only and not any(word in name for word in only):
            continue
        try:
            outcome = function(*args)
            print(outcome if outcome else "ok " + name, flush=True)
        except Exception:
            failed += 1
            print("not ok " + name, flush=True)
            print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
    return failed


def skip(name, why):
    return f"skip {name}: {why}"


def expect(held, *what):
    if not held:
        raise AssertionError(" ".join(map(str, what)))


def expect_error(sqlstate, call, *words):
    try:
        call()
    except pg_temp.Error as e:
        text = " ".join(filter(None, (e.message, e.detail, e.hint)))
        expect(e.sqlstate == sqlstate, "sqlstate", e.sqlstate, "not", sqlstate, text)
        for word in words:
            expect(word in text, repr(word), "is not in", repr(text))
        return e
    raise AssertionError(f"no error {sqlstate}")


def until(condition, seconds=5.0):
    """Whether it comes true in time; what counts is how often one has looked, so that a machine that stood still took none."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


class Mock:
    """A running mockd."""

    def __init__(self):
        program = os.path.join(pg_temp.BUILD, "mockd")
        self.process = subprocess.Popen([program, "--port", "0"], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().rsplit(b":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(5)

    def config(self, **more):
        return json.dumps({"provider": "openai", "api_key": "sk-test", "custom_host": self.url, **more})

    def page(self, name, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request(method, "/__mock/" + name)
        return json.loads(c.getresponse().read() or b"null")

    def reset(self):
        self.page("reset", "POST")

    def requests(self):
        return self.page("stats")["requests"]


def model(name, **more):
    return json.dumps({"model": name, **more})
