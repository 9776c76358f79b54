#!/usr/bin/env python3
"""Statements that are stopped with 256 calls in flight, again and again in one session: pg_cancel.py [WORD...]"""
import itertools
import json
import os
import statistics
import sys
import time

from patience import until
from pg_case import case, expect, expect_error, main

WIDE = 256
PARAMS = json.dumps({"max_tokens": 10, "pk": {"concurrency": WIDE}})
STATEMENTS = (
    "select pk_ask('c', x, null, '{\"max_tokens\": 10}') from t",
    f"select * from pk_map('c', 'select x as prompt from t', '{PARAMS}')",
    "update t set y = pk_ask('c', x, null, '{\"max_tokens\": 10}')",
    f"select * from pk_batch('c', (select array_agg(x) from t), '{PARAMS}')",
)


def begin(k, mock):
    """A table, and a config whose calls last long and are counted by two limits."""
    k.query("create extension if not exists pk")
    k.query("create table t as select 'row ' || i as x, null::text as y from generate_series(1, 600) i")
    k.query("select pk_key_put('vk', 'openai', 'sk-1', jsonb_build_object('custom_host', $1::text))",
            f"http://127.0.0.1:{mock.port}/d/20000/v1")
    k.query("select pk_config_put('c', '{\"virtual_key\": \"vk\", \"override_params\": {\"model\": \"echo\"}}')")
    for slug, counts in (("calls", "requests"), ("tokens", "tokens")):
        k.query("select pk_limit_put($1, $2)", slug,
                json.dumps({"counts": counts, "amount": 100000000, "per": "month"}))


def in_flight(mock):
    return mock.page("stats")["in_flight"]


def all_are_under_way(mock):
    expect(until(lambda: in_flight(mock) == WIDE), mock.page("stats"))


def all_are_closed(mock):
    """But for the connection that asks."""
    expect(until(lambda: in_flight(mock) == 0 and mock.page("stats")["open"] <= 1), mock.page("stats"))


def settled(k):
    return until(lambda: float(k.value("select sum(reserved) from pk_limits")) == 0)


def held(k):
    """What a backend has by now: (memory contexts, their bytes, descriptors, resident KB)."""
    contexts, size = k.query("select count(*), sum(total_bytes) from pg_backend_memory_contexts")[0]
    with open(f"/proc/{k.pid()}/status", encoding="ascii", errors="replace") as f:
        resident = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return int(contexts), int(size), len(os.listdir(f"/proc/{k.pid()}/fd")), resident


def stop(k, mock, sql, by_hand):
    """Milliseconds until the statement was over, from the cancel on; a timeout is not measured."""
    if not by_hand:
        k.query("set statement_timeout = 60")
        expect_error("57014", lambda: k.query(sql), "statement timeout")
        k.query("set statement_timeout = 0")
        return None
    k.send(sql)
    all_are_under_way(mock)
    began = time.monotonic()
    k.cancel()
    expect_error("57014", k.finish, "user request")
    return (time.monotonic() - began) * 1000


@case
def six_hundred_cancels_leave_nothing_behind(pg, mock):
    with pg.connect() as k:
        begin(k, mock)
        k.query(f"set pk.concurrency = {WIDE}")
        times, before = [], None
        for i, sql in zip(range(600), itertools.cycle(STATEMENTS)):
            times.append(stop(k, mock, sql, i % 5 != 4))
            if i == 99:
                expect(settled(k), "reserved")
                before = held(k)
        all_are_closed(mock)
        expect(settled(k), k.query("select slug, reserved from pk_limits"))
        after = held(k)
        print(f"# {before} {after}")
        expect(k.value("select pk_flush()") == "t")
        stopped, asked = int(k.value("select count(*) from pk_logs where status = 'cancelled'")), mock.page("stats")["requests"]
        expect(stopped >= asked >= 480 * WIDE, stopped, asked)
        expect(after[0] <= before[0] + 5 and after[1] <= before[1] + (1 << 20), "memory", before, after)
        expect(after[2] <= before[2] + 2, "files", before, after)
        expect(after[3] <= before[3] + 8192, "resident", before, after)
        times = sorted(t for t in times if t is not None)
        print(f"# cancel at {WIDE} in flight: median {statistics.median(times):.1f} ms, most {times[-1]:.1f} ms")


@case
def a_session_that_is_terminated_closes_and_settles_too(pg, mock):
    with pg.connect() as k:
        times = []
        for sql in STATEMENTS * 5:
            other = pg.connect()
            other.query(f"set pk.concurrency = {WIDE}")
            other.send(sql)
            all_are_under_way(mock)
            began = time.monotonic()
            k.query("select pg_terminate_backend($1::int)", other.pid())
            expect_error("57P01", other.finish)
            all_are_closed(mock)
            times.append((time.monotonic() - began) * 1000)
            other.close()
        expect(settled(k), k.query("select slug, reserved from pk_limits"))
        print(f"# terminated at {WIDE} in flight: median {statistics.median(times):.1f} ms, most {max(times):.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
