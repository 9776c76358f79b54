"""Parts that call through SQL, in both engines: scalar, cache, limits."""
import contextlib
import json
import os
import subprocess
import sys
import time

from rig import ROOT, Skip, cpu_s, load, load_script
from servers import LIMITS, sqlite_with_pk, start_pkd

sys.path.insert(0, os.path.join(ROOT, "tests", "regress"))

CALLS, ROWS = 1000, 10000
EACH = json.dumps({"model": "gpt-4o-mini", "pk": {"dedup": False}})  # equal ones too are calls of their own


class Sqlite:
    name = "SQLite"

    def __init__(self, bench, upstream):
        self.db = sqlite_with_pk(os.path.join(bench.tmp, "sql.pkdb"))

    def one_by_one_us(self, config, calls, prompts=None):
        """One statement with so many calls over so many different prompts, one after the other; us per call."""
        started = time.monotonic()
        got = self.row("""
            with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < {})
            select count(pk_chat({}, 'hello ' || (i % {}), {})) from n""", calls, config, prompts or calls, EACH)[0]
        assert got == calls
        return (time.monotonic() - started) * 1e6 / calls

    def row(self, query, *args):
        return self.db.execute(query.format(*["?"] * len(args)), args).fetchone()

    def cpu_s(self):
        return time.process_time()  # the thread that writes the log too

    def put_limit(self, *args):
        self.db.execute("select pk_limit_put(?, ?)", args).fetchone()

    def close(self):
        self.db.close()


class Postgres:
    name = "Postgres"

    def __init__(self, bench, upstream):
        try:
            import pg_temp  # pylint: disable=import-outside-toplevel
        except ImportError as e:
            raise Skip(f"no harness: {e}") from e
        self.stack = contextlib.ExitStack()
        try:
            self.cluster = self.stack.enter_context(pg_temp.Cluster())
            self.db = self.stack.enter_context(self.cluster.connect())
            self.db.query("create extension pk")
        except (pg_temp.Error, RuntimeError, OSError) as e:
            self.stack.close()
            raise Skip(str(e)[:200]) from e

    def one_by_one_us(self, config, calls, prompts=None):
        self.db.query("set pk.batch = off")
        started = time.monotonic()
        got = self.row("""
            select count(pk_chat({}::text, to_jsonb('hello ' || (i % {}::int)), {}::jsonb))
            from generate_series(0, {}::int - 1) i""", config, prompts or calls, EACH, calls)[0]
        self.db.query("reset pk.batch")
        assert int(got) == calls
        return (time.monotonic() - started) * 1e6 / calls

    def row(self, query, *args):
        return self.db.query(query.format(*[f"${i + 1}" for i in range(len(args))]), *args)[0]

    def cpu_s(self):
        return cpu_s([int(self.db.value("select pg_backend_pid()"))])

    def put_limit(self, *args):
        self.db.query("select pk_limit_put($1, $2)", *args)

    def close(self):
        self.stack.close()


def bare_curl_us(bench, url):
    program = os.path.join(bench.tmp, "curl")
    if not os.path.exists(program):
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program,
                        os.path.join(ROOT, "tests/bench/curl.c"), "-lcurl"], check=True)
    return float(subprocess.run([program, url, str(CALLS)], check=True, capture_output=True).stdout)


def engines(bench, measure):
    for engine in (Sqlite, Postgres):
        try:
            e = engine(bench, bench.upstream())
        except Skip as why:
            bench.note(f"{engine.name}: skipped: {why}")
            continue
        try:
            measure(e)
        finally:
            e.close()


def target(bench, **more):
    return json.dumps({"provider": "openai", "api_key": "sk-bench", **more,
                       "custom_host": f"http://127.0.0.1:{bench.upstream()}/v1"})


def scalar(bench):
    """Scalar pk_chat: mean of 1,000 calls, one after the other, each with its log row"""
    url = f"http://127.0.0.1:{bench.upstream()}/v1/chat/completions"
    bare = min(bare_curl_us(bench, url) for _ in range(3))
    bench.figure("bare libcurl, us per call", bare)

    def measure(e):
        e.one_by_one_us(target(bench), 50, 50)
        over = min(e.one_by_one_us(target(bench), CALLS, CALLS) for _ in range(3)) - bare
        bench.figure(e.name + ": added by pk_chat, us per call", over, "<= 100")
    engines(bench, measure)


def cache(bench):
    """Cache hits in SQL: mean of 10,000 rows over 100 prompts"""
    def measure(e):
        config = target(bench, cache={"mode": "simple"})
        e.one_by_one_us(config, 100, 100)
        time.sleep(0.5)
        us = min(e.one_by_one_us(config, ROWS, 100) for _ in range(3))
        bench.figure(e.name + ": cache hit, us per row", us, {"SQLite": "<= 30", "Postgres": "<= 50"}[e.name])
    engines(bench, measure)


def limits_in_sql(bench):
    def measure(e):
        def best():
            e.one_by_one_us(target(bench), 50, 50)
            return min(e.one_by_one_us(target(bench), CALLS, CALLS) for _ in range(3))
        without = best()
        for slug, terms in LIMITS:
            e.put_limit(slug, json.dumps(terms))
        within = best()
        bench.figure(e.name + ": pk_chat with limits, us", within, note=f"{within / without:.2f} x without limits")
    engines(bench, measure)


def limits_in_pkd(bench):
    loads = []
    for limited in (False, True):
        port, pids, headers = start_pkd(bench, bench.upstream(), limited)
        loads.append((f"http://127.0.0.1:{port}/v1/chat/completions",
                      load_script(bench, headers), pids))
    for n in (1, 64):
        without, within = (load(url, script, n, pids) for url, script, pids in loads)
        for what, name in (("rate", "requests per second"), ("p50", "p50, us"), ("cpu", "CPU, us per request")):
            bench.figure(f"pkd: {name} at {n} connections", within[what],
                         note=f"{within[what] / without[what]:.2f} x without limits {within['bad']}")


def limits(bench):
    """Limits: a rate and a budget that apply to every call"""
    limits_in_sql(bench)
    limits_in_pkd(bench)


PARTS = {"scalar": scalar, "cache": cache, "limits": limits}
