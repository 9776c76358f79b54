"""Parts that time the core without a server; programs of their own measure, bench-xfer and others."""
import array
import contextlib
import itertools
import json
import os
import random
import re
import sqlite3
import statistics
import subprocess

from rig import program
from servers import sqlite_with_pk


def measured(name):
    """What the program prints: {what: ns}."""
    return json.loads(subprocess.run([program("bench-" + name)], check=True, capture_output=True).stdout)


def transport(bench):
    """Transport: CPU of one request over loopback, server not counted, beside bare libcurl"""
    for wide in ("1", "64", "256"):
        said = subprocess.run([program("bench-xfer"), wide, "20000"], check=True, capture_output=True, text=True).stdout
        for name, us, rate in re.findall(r"^(\S.*?) +([\d.]+) us CPU a request, +(\d+) requests/s", said, re.M):
            bench.figure(f"{name}, {wide} at a time, us", float(us), note=f"{rate} requests/s")


def fill_gate(store, count, dims):
    """So many random questions beside the one that is there."""
    random.seed(1)
    with contextlib.closing(sqlite3.connect(store)) as db:
        gate, = db.execute("select gate from pk_cache_vector").fetchone()
        scale = 1 / (dims ** 0.5 * 73.9)  # random bytes make vectors of length 1, about
        rows = ((gate, os.urandom(32), traits, array.array("f", [
            x * scale for x in array.array("b", os.urandom(dims))]).tobytes())
                for traits in itertools.repeat(db.execute("select traits from pk_cache_vector").fetchone()[0], count))
        with db:
            db.executemany("insert into pk_cache_vector (gate, key, traits, vector) values (?, ?, ?, ?)", rows)


def semantic_ms(bench):
    """Own time of semantic look-ups through SQLite: (with one vector, with 100,000)."""
    mock = bench.spawn([program("mockd"), "--port", "0"], stdout=subprocess.PIPE)
    port = int(mock.stdout.readline().rsplit(b":", 1)[1])
    url = f"http://127.0.0.1:{port}/v1"
    config = json.dumps({"provider": "openai", "api_key": "k", "custom_host": url, "cache": {
        "mode": "semantic", "embedder": {"provider": "openai", "api_key": "k", "custom_host": url,
                                         "model": "e", "dimensions": 384}}})
    store = os.path.join(bench.tmp, "near.pkdb")
    with contextlib.closing(sqlite_with_pk(store)) as db:
        def ask(i):
            db.execute("select pk_chat(?, ?, '{\"model\": \"echo\"}')", (config, "please tell me about lions" + "!" * i))

        def own_time(first):
            for i in range(first, first + 31):
                ask(i)
            return statistics.median(x for x, in db.execute(
                "select overhead_ms from pk_logs where cache_status = 'SEMANTIC HIT' order by started_at desc limit 31"))
        ask(0)
        few = own_time(1)
        fill_gate(store, 100000, 384)
        for i in range(100, 130):  # the vectors are taken over in steps
            ask(i)
        return few, own_time(200)


def near(bench):
    """Semantic look-up: 100,000 vectors of 384 numbers, one thread, beside comparing all one by one"""
    got = measured("near")
    bench.figure("search, ms", got["search_ms"], "<= 5")
    bench.figure("a plain scan of the same vectors, ms", got["scan_ms"],
                 note=f"{got['scan_ms'] / got['search_ms']:.1f} x, the same found: {got['same']}")
    few, many = semantic_ms(bench)
    bench.figure("pk_chat in SQLite, a semantic hit among 100,000, own ms", many, "<= 5",
                 note=f"among a few {few:.2f}")


def route(bench):
    """Routing: from the request to the op that sends it, one thread, beside a config with one target"""
    got = measured("route")
    for name, ns in got.items():
        bench.figure(name + ", us per call", ns / 1000, note=f"{ns / got['plain']:.2f} x plain")


def checks(bench):
    """Checks: texts of 64 KB, one thread, beside reading the same document as JSON"""
    got = measured("checks")
    for name, what in (("parse", "reading JSON"), ("schema", "judging it by a JSON Schema"),
                       ("pii", "looking for personal data"), ("redact", "taking it out of JSON"),
                       ("injection", "scoring for prompt injection")):
        bench.figure(what + ", us per KB", got[name] / 1000, note=f"{got[name] / got['parse']:.1f} x reading")


def guard(bench):
    """Guardrails: requests with a text of 64 KB, until they are sent, one thread, beside passing without any"""
    got = measured("guard")
    for name, ns in got.items():
        plain = got["schema plain" if name.startswith("schema") else "plain"]
        bench.figure(name + ", us per KB", ns / 1000, note=f"{ns / plain:.1f} x passing")


def dialect(bench):
    """Dialects: an OpenAI client before each, one thread, beside an OpenAI provider's bytes that pass"""
    got = measured("dialect")
    for name, ns in got.items():
        bench.figure(name + ", us per KB", ns / 1000,
                     note=f"{ns / got['openai ' + name.split()[1]]:.1f} x passing")


def codec(bench):
    """Embeddings: 32 vectors of 1536 numbers, one thread, beside reading the answer's JSON"""
    got = measured("codec")
    for name, ns in got.items():
        bench.figure(name + ", us per KB", ns / 1000, note=f"{ns / got['parsed']:.1f} x parsing")


PARTS = {"transport": transport, "near": near, "route": route, "checks": checks, "guard": guard,
         "dialect": dialect, "codec": codec}
