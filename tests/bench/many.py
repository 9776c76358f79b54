"""Parts with many calls in flight in one statement: map, scan."""
import json
import os
import subprocess
import time

from rig import LOAD_CPU, Skip, cpu_s, program, wait_for, free_port
from sql import Postgres, engines

ROWS, SERIAL_ROWS = int(os.environ.get("BENCH_ROWS", "10000")), 20
LATENCY_MS, CONCURRENCY = 200, 256


def slow_config(bench):
    """A provider that takes a while; each call has an answer of its own."""
    port = free_port()
    p = bench.spawn(["taskset", "-c", LOAD_CPU, program("mockd"), "--port", str(port)], stdout=subprocess.DEVNULL)
    wait_for(port, p, "mockd")
    return json.dumps({"provider": "openai", "api_key": "sk-bench",
                       "custom_host": f"http://127.0.0.1:{port}/d/{LATENCY_MS}/v1",
                       "override_params": {"model": "gpt-4o-mini"}})


def map_once(engine, config, rows):
    """(seconds, CPU us per row) of one pk_map() whose rows are counted, all of them good."""
    source = (f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows}) "
              "select i as key, 'hello ' || i as prompt from n")
    params = json.dumps({"pk": {"concurrency": CONCURRENCY}})
    began, cpu = time.monotonic(), engine.cpu_s()
    good, cost = engine.row("select count(*), sum(cost_usd) from pk_map({}, {}, {}) where ok",
                            config, source, params)
    took, cpu = time.monotonic() - began, engine.cpu_s() - cpu
    assert int(good) == rows and float(cost) > 0, (good, cost)
    return took, cpu * 1e6 / rows


def map_(bench):
    """pk_map: 10,000 rows that take 200 ms each, 256 in flight, with logs and cost"""
    config = slow_config(bench)
    ideal = ROWS * LATENCY_MS / 1000 / CONCURRENCY
    bench.note(f"ideal: {ROWS} rows x {LATENCY_MS} ms / {CONCURRENCY} = {ideal:.2f} s; pgsql-http, which asks row by row "
               "too, is in no Debian package")

    def measure(e):
        map_once(e, config, CONCURRENCY)
        took, us = map_once(e, config, ROWS)
        bench.figure(e.name + ": pk_map, of the ideal", ideal / took, ">= 0.95", note=f"{took:.2f} s")
        bench.figure(e.name + ": CPU of the session, us per row", us, "<= 100")
        each = e.one_by_one_us(config, SERIAL_ROWS) / 1e6
        bench.figure(e.name + ": x row by row", each * ROWS / took,
                     note=f"{SERIAL_ROWS} rows took {each * 1000:.1f} ms each: {each * ROWS:.0f} s for all")
    engines(bench, measure)


STATEMENTS = (("SELECT", "select count(a) from (select pk_ask('slow', x) a from t offset 0) q"),
              ("UPDATE", "update t set y = pk_ask('slow', x)"),
              ("CREATE TABLE AS", "create temp table made as select id, pk_ask('slow', x) a from t"))


def scan(bench):
    """scalar calls in plain statements of Postgres: 10,000 rows that take 200 ms each, 256 in flight"""
    config = json.loads(slow_config(bench))
    ideal = ROWS * LATENCY_MS / 1000 / CONCURRENCY
    try:
        e = Postgres(bench, bench.upstream())
    except Skip as why:
        bench.note(f"Postgres: skipped: {why}")
        return
    try:
        e.row("select pk_key_put('slow', 'openai', {}, {})", config["api_key"],
              json.dumps({"custom_host": config["custom_host"]}))
        e.row("select pk_config_put('slow', {})", json.dumps({"virtual_key": "slow", "override_params": config["override_params"]}))
        e.db.query(f"create table t as select i as id, 'hello ' || i as x, null::text as y from generate_series(1, {ROWS}) i")
        e.db.query(f"analyze t; set pk.concurrency = {CONCURRENCY}")
        e.db.query(f"select pk_ask('slow', 'warm' || id) from t where id <= {CONCURRENCY}")
        times = []
        for name, statement in STATEMENTS:
            began, cpu = time.monotonic(), e.cpu_s()
            e.db.query(statement)
            took, cpu = time.monotonic() - began, e.cpu_s() - cpu
            times.append(took)
            bench.figure(name + ", of the ideal", ideal / took, ">= 0.90", note=f"{took:.2f} s, {cpu * 1e6 / ROWS:.0f} us of CPU per row")
        e.db.query("set pk.batch = off")
        began = time.monotonic()
        e.db.query(f"select pk_ask('slow', 'one ' || id) from t where id <= {SERIAL_ROWS}")
        each = (time.monotonic() - began) / SERIAL_ROWS
        bench.figure("SELECT, x row by row (pk.batch = off)", each * ROWS / times[0],
                     note=f"{SERIAL_ROWS} rows took {each * 1000:.1f} ms each: {each * ROWS:.0f} s for all")
    finally:
        e.close()


PARTS = {"map": map_, "scan": scan}
