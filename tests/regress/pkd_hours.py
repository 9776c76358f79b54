#!/usr/bin/env python3
"""/v1/analytics over columns of hours that are over, in SQLite and in Postgres: never other numbers than the rows.

A filter by metadata is one that columns do not know: `metadata={}` has the same answered from the rows. So each question,
of any graph, filter, range and interval, is asked twice, before and after calls came late, went, and while they do.

    tests/regress/pkd_hours.py BUILD
"""
import json
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.parse

from pkd_harness import ROOT, Pkd, end, expect, run

sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
import month  # noqa: E402
import pg_temp  # noqa: E402

HOUR = 3600 * 10**6
NOW = int(time.time() * 10**6)
CALLS = 9000
GRAPHS = ("requests cost latency tokens users users/requests errors errors/rate errors/stacks errors/status-codes "
          "requests/rescued cache/hit-rate cache/latency").split()
PATHS = [*("graphs/" + g for g in GRAPHS), "groups/users", "groups/ai-models", "summary/cache", "requests"]
FILTERS = ({}, {}, {"provider": "openai"}, {"provider": "openai,groq", "model": "gpt-4o"}, {"user": "user-1,user-2,user-3"},
           {"status": "error,blocked"}, {"status_code": "500,429"}, {"status_code_min": 400}, {"cache_status": "HIT,SEMANTIC HIT"},
           {"config": "team-3"}, {"virtual_key": "google-prod"}, {"api_key": "key-1,key-2"}, {"prompt": "greet"},
           {"prompt": "greet@2"}, {"ai_org_model": "openai__gpt-4o"}, {"model": "gpt-4o-mini"}, {"operation": "chat"},
           {"source": "http"}, {"source": "sqlite"}, {"cost_usd_min": 0.0001}, {"cost_usd_max": 0}, {"total_units_min": 500},
           {"prompt_token_max": 300}, {"completion_token_min": 100, "completion_token_max": 200}, {"latency_min": 400},
           {"latency_max": 2}, {"provider": "none"})
DRAW = random.Random(3)
ROWS = list(month.rows(CALLS, NOW - HOUR // 2))


class Sqlite:
    name = "sqlite"

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pkd-hours")
        self.pkds = [Pkd(folder=self.folder)]
        self.pkds.append(Pkd(folder=self.folder))
        self.db = sqlite3.connect(self.pkds[0].store, isolation_level=None, timeout=60, check_same_thread=False)

    def add(self, rows):
        self.db.execute("begin immediate")
        self.db.executemany(f"insert into pk_log ({', '.join(month.COLUMNS)}) values ({', '.join('?' * len(month.COLUMNS))})",
                            [(r[0].to_bytes(16, "big"), *r[1:]) for r in rows])
        self.db.execute("commit")

    def query(self, text):
        return [[None if v is None else str(v) for v in row] for row in self.db.execute(text)]

    def close(self):
        self.db.close()


class Postgres:
    name = "postgres"

    def __init__(self):
        self.pg = pg_temp.Cluster().__enter__()
        self.pg.psql("create database logs")
        self.pg.psql("create extension pk", "logs")
        self.pg.psql("create role gateway login in role pk_gateway")
        key = os.path.join(self.pg.dir, "master.key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(os.urandom(32))
        self.pkds = [Pkd("--store", f"postgresql://gateway@/logs?host={self.pg.host}&port={self.pg.port}",
                         "--master-key-file", key) for _ in range(2)]
        self.db = self.pg.connect("logs")

    def add(self, rows):
        def spelled(v):
            return "null" if v is None else str(v).lower() if isinstance(v, bool) else \
                "'" + v.replace("'", "''") + "'" if isinstance(v, str) else str(v)
        for i in range(0, len(rows), 500):
            self.db.query(f"insert into pk_log ({', '.join(month.COLUMNS)}) values " + ", ".join(
                f"('{r[0]:032x}', " + ", ".join(map(spelled, r[1:])) + ")" for r in rows[i:i + 500]))

    def query(self, text):
        return self.db.query(text)

    def close(self):
        self.db.close()
        self.pg.__exit__()


def ask(pkd, path, query):
    status, _, body = pkd.http("GET", f"/v1/analytics/{path}?" + urllib.parse.urlencode(query))
    expect(status == 200, f"{path} {query}: {status} {body[:300]}")
    return json.loads(body)


def question(draw=DRAW):
    """A path, with a filter, a range and an interval."""
    query = dict(draw.choice(FILTERS))
    first, last = sorted(NOW - draw.randrange(31 * 24 * HOUR) for _ in range(2))
    which = draw.randrange(5)
    if which == 1:
        query["time_range"] = draw.choice(("30d", "7d", "36h", "90m"))
    elif which == 2: # hours exactly
        query |= {"start_time": first // HOUR * 3600000, "end_time": last // HOUR * 3600000}
    elif which > 2:
        query |= {"start_time": first, "end_time": last}
    if draw.randrange(3) == 0:
        query["interval"] = draw.choice(("minute", "hour", "day"))
    path = draw.choice(PATHS)
    return path, query | ({"page_size": 20} if path in ("requests", "groups/users") else {})


def agree(store, count, paths=None):
    for _ in range(count):
        path, query = question()
        if "time_range" in query: # now moves on: say what it means
            days = {"30d": 720, "7d": 168, "36h": 36, "90m": 1.5}[query.pop("time_range")]
            query["start_time"] = int(time.time() * 10**6) - int(days * HOUR)
        path = paths[_ % len(paths)] if paths else path
        pkd = store.pkds[DRAW.randrange(2)]
        columns, rows = ask(pkd, path, query), ask(pkd, path, query | {"metadata": "{}"})
        expect(columns == rows, f"{store.name}: {path} {query}:\n{str(columns)[:700]}\n{str(rows)[:700]}")


def hours(store):
    return {int(h) for h, in store.query("select hour_us from pk_log_hour")}


def columns_say_what_rows_say():
    for store in STORES:
        agree(store, len(PATHS), PATHS)
        ask(store.pkds[0], "graphs/requests", {})
        over = {r[1] // HOUR * HOUR for r in ROWS if r[1] // HOUR * HOUR + HOUR < NOW - HOUR}
        expect(hours(store) >= over, f"{store.name}: {len(over - hours(store))} hours are not kept")
        agree(store, 60)


def engines_say_the_same():
    for _ in range(60):
        path, query = question()
        if "time_range" in query:
            continue
        first, second = (ask(store.pkds[0], path, query) for store in STORES)
        for told in first, second: # what is in no order, or of no call
            for row in told.get("data", ()) if path == "requests" else ():
                row.pop("is_success", None)
        expect(first == second, f"{path} {query}:\n{str(first)[:700]}\n{str(second)[:700]}")


def the_database_says_the_same():
    whole = [int(v) for v in STORES[1].query(
        "select count(*), sum(cost_pusd), count(distinct user_id), percentile_disc(0.5) within group (order by duration_us), "
        "percentile_disc(0.9) within group (order by duration_us), percentile_disc(0.99) within group (order by duration_us) "
        "from pk_log")[0]]
    for store in STORES:
        cost, latency, users = (ask(store.pkds[0], "graphs/" + g, {})["summary"] for g in ("cost", "latency", "users/requests"))
        expect([users["unique"], *(round(latency[p] * 1000) for p in ("p50", "p90", "p99"))] == whole[2:], (latency, whole))
        expect(abs(cost["total_usd"] * 10**12 - whole[1]) < 10**4, (cost, whole))
        expect(ask(store.pkds[0], "graphs/requests", {})["summary"]["total"] == whole[0], whole)


def columns_are_what_is_read():
    for store in STORES:
        hour = max(hours(store))
        for what, path, code in ((1, "graphs/latency", 500), (4, "graphs/latency", 200), (4, "graphs/cost", 500)):
            kept = store.query(f"select encoding from pk_log_column where hour_us = {hour} and what = {what} and part = 0")[0][0]
            store.query(f"update pk_log_column set encoding = 77 where hour_us = {hour} and what = {what}")
            status, _, body = store.pkds[0].http("GET", "/v1/analytics/" + path)
            expect((status == 200) == (code == 200), f"{store.name}: {what} {path}: {status} {body[:200]}")
            store.query(f"update pk_log_column set encoding = {kept} where hour_us = {hour} and what = {what}")


def late(count, seed):
    """Calls of the past, of hours that are over."""
    return list(month.rows(count, NOW - HOUR, seed))


def calls_that_come_late_count():
    for store in STORES:
        total = ask(store.pkds[0], "graphs/requests", {})["summary"]["total"]
        store.add(late(300, 11))
        expect(ask(store.pkds[0], "graphs/requests", {})["summary"]["total"] == total + 300, "late ones")
        agree(store, 40)


def calls_that_went_do_not():
    for store in STORES:
        for where in ("user_id = 'user-1'", f"started_us < {ROWS[700][1]}", "id in (select id from pk_log order by id limit 3)"):
            store.query(f"delete from pk_log where {where}")
            told = ask(store.pkds[0], "graphs/requests", {})["summary"]["total"]
            expect(told == int(store.query("select count(*) from pk_log")[0][0]), f"{store.name}: {where}")
        expect("user-1" not in [g["user"] for g in ask(store.pkds[0], "groups/users", {"page_size": 1000})["data"]], "the user is gone")
        agree(store, 30)


def as_many_that_come_as_went_are_noticed():
    for store in STORES:
        hour = sorted(hours(store))[100]
        mine = store.query(f"select started_us, id from pk_log where started_us >= {hour} and started_us < {hour + HOUR} order by id")
        ask(store.pkds[0], "graphs/cost", {})
        store.query(f"delete from pk_log where started_us = {mine[0][0]}") # the oldest, as retention does
        one = list(ROWS[2000])
        at = int(mine[0][0]) + 7000
        one[0], one[1], one[2] = at // 1000 << 80 | 7 << 76 | 2 << 62 | 99, at, 86400 * 10**6
        store.add([one])
        query = {"start_time": hour // 1000, "end_time": (hour + HOUR) // 1000 - 1, "interval": "hour"}
        expect(ask(store.pkds[0], "graphs/latency", query)["data_points"][0]["p99"] == 86400000, "the new one")
        agree(store, 10)


def while_others_write_and_read():
    def write(store, seed):
        for i in range(25):
            store.add(late(20, 1000 * seed + i))
            time.sleep(0.02)

    def read(store, pkd, seed):
        draw, done = random.Random(seed), 0
        while busy.is_set() or done < 10:
            path, query = question(draw)
            ask(pkd, path, query)
            done += 1

    for store in STORES:
        busy = threading.Event()
        busy.set()
        why = []

        def guarded(work, *args, why=why):
            try:
                work(*args)
            except BaseException as e:  # pylint: disable=broad-except # told below
                why.append(e)

        store.query("delete from pk_log_hour")
        readers = [threading.Thread(target=guarded, args=(read, store, pkd, i)) for i, pkd in enumerate(store.pkds * 2)]
        for t in readers:
            t.start()
        guarded(write, store, 1)
        busy.clear()
        for t in readers:
            t.join()
        expect(not why, f"{store.name}: {why[:1]}")
        agree(store, 30)
        expect(ask(store.pkds[1], "graphs/requests", {})["summary"]["total"] == int(store.query("select count(*) from pk_log")[0][0]))


def an_hour_that_cannot_be_kept_is_read():
    for store in STORES:
        odd, count = list(ROWS[3000]), f"select calls from pk_log_hour where hour_us = {ROWS[3000][1] // HOUR * HOUR}"
        agree(store, 1, ["graphs/requests"])
        ask(store.pkds[0], "graphs/requests", {})
        before = int(store.query(count)[0][0])
        odd[0], odd[1] = odd[0] + 1, odd[1] + 5 * HOUR # its id is of another hour
        store.add([odd])
        agree(store, 20)
        ask(store.pkds[0], "graphs/requests", {})
        expect(int(store.query(count)[0][0]) == before, "it is not kept again")


STORES = [Sqlite(), Postgres()]
for made in STORES:
    made.add(ROWS)
run(columns_say_what_rows_say, engines_say_the_same, the_database_says_the_same, columns_are_what_is_read,
    calls_that_come_late_count, calls_that_went_do_not, as_many_that_come_as_went_are_noticed, while_others_write_and_read,
    an_hour_that_cannot_be_kept_is_read)
for made in STORES:
    for daemon in made.pkds:
        daemon.stop()
    made.close()
end()
