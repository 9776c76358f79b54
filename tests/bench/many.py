"""Parts with many calls in flight in one statement: map, scan, cancel."""
import json
import os
import sqlite3
import statistics
import subprocess
import threading
import time
import urllib.request

from rig import LOAD_CPU, Skip, program, wait_for, free_port
from sql import Postgres, engines

ROWS, SERIAL_ROWS = int(os.environ.get("BENCH_ROWS", "10000")), 20
LATENCY_MS, CONCURRENCY = 200, 256


def slow_config(bench, latency_ms=LATENCY_MS):
    """A provider that takes a while; each call has an answer of its own."""
    port = free_port()
    p = bench.spawn(["taskset", "-c", LOAD_CPU, program("mockd"), "--port", str(port)], stdout=subprocess.DEVNULL)
    wait_for(port, p, "mockd")
    return json.dumps({"provider": "openai", "api_key": "sk-bench",
                       "custom_host": f"http://127.0.0.1:{port}/d/{latency_ms}/v1",
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


def all_in_flight(config):
    url = json.loads(config)["custom_host"].partition("/d/")[0] + "/__mock/stats"
    for _ in range(2000):
        with urllib.request.urlopen(url, timeout=5) as answer:
            if json.load(answer)["in_flight"] >= CONCURRENCY:
                return
        time.sleep(0.005)
    raise RuntimeError("the calls are not in flight")


def cancelled_ms(db, query, config):
    """How long a statement of Postgres goes on after a cancel."""
    db.send(query)
    all_in_flight(config)
    began = time.monotonic()
    db.cancel()
    try:
        db.finish()
    except Exception as e:  # pylint: disable=broad-except # of pg_temp, which may not be there
        assert getattr(e, "sqlstate", None) == "57014", e
        return (time.monotonic() - began) * 1000
    raise RuntimeError("the statement was not cancelled")


def interrupted_ms(db, query, config):
    """The same for SQLite and an interrupt."""
    began = []

    def stop():
        all_in_flight(config)
        began.append(time.monotonic())
        db.interrupt()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        db.execute(query).fetchall()
    except sqlite3.OperationalError:
        return (time.monotonic() - began[0]) * 1000
    finally:
        thread.join()
    raise RuntimeError("the statement was not interrupted")


def cancel(bench):
    """Cancel: a statement that is stopped with 256 calls in flight, until the session can go on; 50 times"""
    config = slow_config(bench, 20000)
    rows = "select i as key, ''hello '' || i as prompt from n"
    mapped = ("select * from pk_map('%s', 'with recursive n(i) as (select 1 union all select i + 1 from n where i < 600) %s', "
              "'{\"pk\": {\"concurrency\": %d}}')" % (config, rows, CONCURRENCY))
    scalar = f"select pk_ask('{config}', 'hello ' || i) from generate_series(1, 600) i"

    def measure(e):
        ways = {"pk_map": mapped}
        if e.name == "Postgres":
            e.db.query(f"set pk.concurrency = {CONCURRENCY}; set client_min_messages = error")
            ways["SELECT"] = scalar
        for name, query in ways.items():
            stopped_ms = cancelled_ms if e.name == "Postgres" else interrupted_ms
            times = sorted(stopped_ms(e.db, query, config) for _ in range(50))
            bench.figure(f"{e.name}: {name} cancelled, median ms", statistics.median(times), "<= 20",
                         note=f"of ten nine within {times[44]:.1f}, all within {times[-1]:.1f}")
    engines(bench, measure)


PARTS = {"map": map_, "scan": scan, "cancel": cancel}
