"""Parts with many calls in flight in one statement: map."""
import json
import os
import subprocess
import time

from rig import LOAD_CPU, cpu_s, program, wait_for, free_port
from sql import engines

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


PARTS = {"map": map_}
