#!/usr/bin/env python3
"""No provider key is in what a core dump of a process would hold: pkd, SQLite's program, a Postgres backend.

A dump is not made but read: the writable memory of the process, but for the mappings that the kernel
leaves out (VmFlags dd). That the search would find a key is shown each time: the process knows a word
that must be found, and while a call is under way the key is found in the memory that is left out.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import pg_temp
from pkd_harness import Mock, Pkd, Skip, chat_body, end, expect, program, run, until

# Never as they are in the text of a program or a statement: only those who must know put the halves together.
HALVES = ("sk-memory-4711-", "0815-quite-long-enough")
LITERAL = ("sk-in-a-header-17-", "18-quite-long-enough")


def joined(halves):
    return "".join(halves)


def regions(pid):
    """(from, to, left out of dumps) of the writable memory."""
    found, current = [], None
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
            if m:
                current = (int(m.group(1), 16), int(m.group(2), 16), m.group(3), m.group(4))
            elif line.startswith("VmFlags:") and current[2].startswith("rw"):
                if not current[3].startswith("[v"):
                    found.append((current[0], current[1], " dd" in line))
    return found


class Memory:
    """What is in a process now, if it may be looked into."""

    def __init__(self, pid):
        self.dumped, self.left_out = [], []
        try:
            with open(f"/proc/{pid}/mem", "rb", 0) as mem:
                for start, stop, left_out in regions(pid):
                    (self.left_out if left_out else self.dumped).append(self.read(mem, start, stop))
        except PermissionError as why:
            raise Skip(f"may not look into another process: {why}") from why

    @staticmethod
    def read(mem, start, stop):
        try:
            mem.seek(start)
            return mem.read(stop - start)
        except OSError:  # it has been unmapped meanwhile, or nothing is behind it
            return b""

    def dumps(self, text):
        return any(text.encode() in piece for piece in self.dumped)

    def leaves_out(self, text):
        return any(text.encode() in piece for piece in self.left_out)


def check_under_way(pid, marker):
    memory = Memory(pid)
    expect(memory.dumps(marker), "the search finds nothing at all")
    expect(memory.leaves_out(joined(HALVES)), "the key of a call under way is in the vault")
    expect(not memory.dumps(joined(HALVES)), "the key of a call under way would be dumped")


def check_over(pid, marker):
    memory = Memory(pid)
    expect(memory.dumps(marker), "the search finds nothing at all")
    expect(not memory.leaves_out(joined(HALVES)), "the key is there after the call")
    expect(not memory.dumps(joined(HALVES)), "the key would be dumped after the call")


def asked(mock, count):
    return until(lambda: mock.page("stats")["requests"] >= count)


def put_key(store, mock, slug="sealed"):
    options = json.dumps({"custom_host": mock.base})
    subprocess.run([program("pkd"), "key", "put", slug, "openai", options, "--store", store],
                   input=joined(HALVES).encode(), check=True, capture_output=True)


def ask_pkd(pkd, model, headers):
    got = pkd.http("POST", "/v1/chat/completions", chat_body(model),
                   {"content-type": "application/json", **headers})
    expect(got[0] == 200, got)
    return got[2]


# --- pkd -----------------------------------------------------------------------------------------

def pkd_dumps_no_sealed_key():
    mock = Mock()
    pkd = Pkd("--core-dumps")
    put_key(pkd.store, mock)
    headers = {"x-portkey-virtual-key": "sealed"}
    slow = threading.Thread(target=ask_pkd, args=(pkd, "echo:d=1500", headers))
    slow.start()
    expect(asked(mock, 1))
    check_under_way(pkd.process.pid, pkd.store)
    slow.join()
    for _ in range(20):
        ask_pkd(pkd, "echo", headers)
    check_over(pkd.process.pid, pkd.store)
    pkd.stop()
    mock.stop()


def pkd_keeps_nothing_of_a_key_that_came_with_a_request():
    mock = Mock()
    pkd = Pkd("--core-dumps")
    key = joined(LITERAL)
    target = {"provider": "openai", "custom_host": mock.base}
    for headers in ({"authorization": "Bearer " + key, "x-portkey-provider": "openai",
                     "x-portkey-custom-host": mock.base},
                    {"x-portkey-config": json.dumps({**target, "api_key": key})},
                    {"x-portkey-config": json.dumps({"retry": {"attempts": 1}, "custom_host": mock.base}),
                     "x-portkey-provider": "openai", "x-api-key": key}):
        for text in ("hello", "x" * 20000):  # the input grows, and moves
            got = pkd.http("POST", "/v1/chat/completions", chat_body("echo", text),
                           {"content-type": "application/json", **headers})
            expect(got[0] == 200, got)
            expect(mock.page("last")["headers"]["authorization"] == "Bearer " + key)
    time.sleep(0.05)  # what a reference meant is remembered for some milliseconds
    expect(pkd.http("GET", "/healthz")[0] == 200)
    memory = Memory(pkd.process.pid)
    expect(memory.dumps(pkd.store), "the search finds nothing at all")
    expect(not memory.dumps(key) and not memory.leaves_out(key), "the key is still there")
    pkd.stop()
    mock.stop()


def pkd_is_no_ones_to_look_into():
    """The kernel gives the memory of a process that may not be dumped to root."""
    for option, private in ((), True), (("--core-dumps",), False):
        folder = tempfile.mkdtemp(prefix="pkd")
        os.chown(folder, 65534, 65534) if os.geteuid() == 0 else None
        command = [program("pkd"), "serve", "--store", folder + "/s.pkdb", "--listen", "127.0.0.1:0", *option]
        with open(folder + "/log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, user=65534 if os.geteuid() == 0 else None)
        try:
            with open(folder + "/log", "rb") as log:
                expect(until(lambda: log.seek(0) == 0 and b" ready" in log.read()))
            owner = os.stat(f"/proc/{process.pid}/mem").st_uid
            expect(owner == (0 if private else 65534 if os.geteuid() == 0 else os.geteuid()), (option, owner))
        finally:
            process.terminate()
            process.wait(20)
            shutil.rmtree(folder)


# --- a program with SQLite -------------------------------------------------------------------------

PROGRAM = """
import sqlite3, sys
db = sqlite3.connect(":memory:")
db.enable_load_extension(True)
db.load_extension(sys.argv[1])
db.execute("select pk_set('store', ?)", (sys.argv[2],)).fetchall()
for line in sys.stdin:
    got = db.execute("select pk_ask('sealed', 'hello', null, ?)", (line.strip(),)).fetchall()
    print(got, flush=True)
"""


def a_program_with_sqlite_dumps_no_sealed_key():
    mock = Mock()
    folder = tempfile.mkdtemp(prefix="pk-memory")
    store = folder + "/store.pkdb"
    put_key(store, mock)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, program("pk"), store],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdin.write('{"model": "echo:d=1500"}\n')
        process.stdin.flush()
        expect(asked(mock, 1))
        check_under_way(process.pid, store)
        expect("hello" in process.stdout.readline())
        for _ in range(20):
            process.stdin.write('{"model": "echo"}\n')
            process.stdin.flush()
            expect("hello" in process.stdout.readline())
        check_over(process.pid, store)
    finally:
        process.stdin.close()
        process.wait(20)
        shutil.rmtree(folder)
        mock.stop()


# --- Postgres ----------------------------------------------------------------------------------------

def a_postgres_backend_dumps_no_sealed_key():
    mock = Mock()
    with pg_temp.Cluster() as cluster, cluster.connect() as admin, cluster.connect() as db:
        admin.query("create extension pk")
        admin.query("select pk_key_put('sealed', 'openai', $1, $2)", joined(HALVES),
                    json.dumps({"custom_host": mock.base}))
        admin.close()
        db.query("select pk_ask('sealed', 'hello', null, '{\"model\": \"echo\"}')")
        db.send("select pk_ask('sealed', 'hello', null, '{\"model\": \"echo:d=1500\"}')")
        expect(asked(mock, 2))
        check_under_way(db.pid(), cluster.data)
        expect(db.finish() == [["hello"]])
        check_over(db.pid(), cluster.data)
        expect(not Memory(postmaster(cluster)).dumps(joined(HALVES)), "the postmaster would dump it")
    mock.stop()


def postmaster(cluster):
    with open(os.path.join(cluster.data, "postmaster.pid"), encoding="ascii") as f:
        return int(f.readline())


run(pkd_dumps_no_sealed_key, pkd_keeps_nothing_of_a_key_that_came_with_a_request, pkd_is_no_ones_to_look_into,
    a_program_with_sqlite_dumps_no_sealed_key, a_postgres_backend_dumps_no_sealed_key)
end()
