"""What the tests of the SQLite extension share: a mock provider, connections, and named cases.

A case is a function marked @case; its docstring is its name. It gets a folder of its own, in which the
store is, and fails when it raises. Results are printed as tests/run wants them.
"""
import atexit
import gc
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback

from mockd import Mockd
from patience import PATIENCE_S

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PK = os.path.join(BUILD, "pk")
SAN = os.environ.get("PK_SAN")

if SAN and "LD_PRELOAD" not in os.environ:
    # The sanitizer's library must be the first of the process; Python itself leaks by design.
    asan = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    os.environ.update(LD_PRELOAD=asan, ASAN_OPTIONS="detect_leaks=0")
    os.execv(sys.executable, [sys.executable] + sys.argv)

for name in [n for n in os.environ if n.startswith("PK_") or n.endswith("_API_KEY")]:
    if name != "PK_SAN":
        del os.environ[name]


class Skip(Exception):
    pass


mock = Mockd(BUILD)
atexit.register(mock.stop)


def config(model="echo", **more):
    """Inline JSON of a target at the mock that asks for `model`."""
    return json.dumps({"provider": "openai", "api_key": "sk-test", "custom_host": mock.origin + "/v1",
                       "override_params": {"model": model}, **more})


CACHED = {"cache": {"mode": "simple", "max_age": 3600}}


def slow(ms, model="echo", **more):
    return config(model, custom_host=f"{mock.origin}/d/{ms}/v1", **more)


def options(**pk):
    return json.dumps({"pk": pk})


def connect(path=":memory:", load=True, **how):
    db = sqlite3.connect(path, **how)
    if load:
        db.enable_load_extension(True)
        db.load_extension(PK)
    return db


def one(db, sql, *args):
    """The only column of the only row."""
    row = db.execute(sql, args).fetchone()
    assert row is not None and len(row) == 1, row
    return row[0]


def table(folder, bodies):
    """A database of the user's with these rows."""
    db = connect(os.path.join(folder, "user.db"), isolation_level=None)
    db.execute("create table t(id integer primary key, body text, x text)")
    db.executemany("insert into t(body) values (?)", [(b,) for b in bodies])
    return db


def calls(db, sql, *args):
    """Rows, and how many requests the provider got for them."""
    before = mock.requests()
    rows = db.execute(sql, args).fetchall()
    return rows, mock.requests() - before


def failure(db, sql, *args):
    """The message of the error that the statement ends with."""
    try:
        got = db.execute(sql, args).fetchall()
    except (sqlite3.Error, sqlite3.Warning) as e:
        return str(e)
    raise AssertionError(f"no error, but {got}")


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


def contains(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in {text!r}"


def wait_for(condition, seconds=PATIENCE_S):
    for _ in range(int(seconds / 0.005)):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come about in time")


cases = []


def case(function):
    cases.append(function)
    return function


def run_one(function):
    name = function.__name__
    folder = tempfile.mkdtemp(prefix="pk-sqlite-")
    os.environ["PK_STORE"] = os.path.join(folder, "store.pkdb")
    try:
        function(folder)
        print("ok", name, flush=True)
        return True
    except Skip as why:
        print(f"skip {name}: {why}", flush=True)
        return True
    except Exception:
        traceback.print_exc(file=sys.stdout)
        print("not ok", name, flush=True)
        return False
    finally:
        gc.collect()  # a connection is in a cycle with its statements
        shutil.rmtree(folder, ignore_errors=True)


def main():
    wanted = sys.argv[1:]
    results = [run_one(f) for f in cases if not wanted or f.__name__ in wanted]
    sys.stdout.flush()
    sys.exit(not all(results))
