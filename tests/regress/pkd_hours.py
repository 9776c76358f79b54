#!/usr/bin/env python3
"""/v1/analytics over columns of hours that are over, in SQLite and in Postgres: never other numbers than the rows.

`after=` the last id that there can be has the same answered from the rows. So each question, of any graph, filter, range and
interval, is asked twice, before and after calls came late, went, and while they do; and what is grouped by metadata is
compared with what the database says.

    tests/regress/pkd_hours.py BUILD
"""
import base64
import json
import os
import random
import select
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.parse

from patience import some_time, until
from pkd_harness import ROOT, Pkd, end, expect, run

sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
import month  # noqa: E402
import pg_temp  # noqa: E402

HOUR = 3600 * 10**6
NOW = int(time.time() * 10**6)
CALLS = 9000
GRAPHS = ("requests cost latency tokens users users/requests errors errors/rate errors/stacks errors/status-codes "
          "requests/rescued cache/hit-rate cache/latency").split()
PATHS = [*("graphs/" + g for g in GRAPHS), "groups/users", "groups/ai-models", "summary/cache", "requests", "groups/metadata/team",
         "groups/metadata/odd", "groups/metadata/request", "groups/metadata/k7", "groups/metadata/k51", "groups/metadata/nobody%20has"]
ROWS_ONLY = {"after": "ffffffff-ffff-7fff-bfff-ffffffffffff"}
ODD = (1, 1.5, True, False, None, "", "1", "true", {"a": [1, "b"]}, [], "ü\n\"\\", "x" * 3000, 10**15, -3)
FILTERS = ({}, {}, {"provider": "openai"}, {"provider": "openai,groq", "model": "gpt-4o"}, {"user": "user-1,user-2,user-3"},
           {"status": "error,blocked"}, {"status_code": "500,429"}, {"status_code_min": 400}, {"cache_status": "HIT,SEMANTIC HIT"},
           {"config": "team-3"}, {"virtual_key": "google-prod"}, {"api_key": "key-1,key-2"}, {"prompt": "greet"},
           {"prompt": "greet@2"}, {"ai_org_model": "openai__gpt-4o"}, {"model": "gpt-4o-mini"}, {"operation": "chat"},
           {"source": "http"}, {"source": "sqlite"}, {"cost_usd_min": 0.0001}, {"cost_usd_max": 0}, {"total_units_min": 500},
           {"prompt_token_max": 300}, {"completion_token_min": 100, "completion_token_max": 200}, {"latency_min": 400},
           {"latency_max": 2}, {"provider": "none"}, *({"metadata": json.dumps(m)} for m in (
               {}, {"team": "t1"}, {"team": "t2", "feature": "mail"}, {"odd": 1}, {"odd": "1"}, {"odd": True}, {"odd": None}, {"odd": ""},
               {"odd": {"a": [1, "b"]}}, {"odd": 1.5}, {"request": "1f"}, {"k7": "v"}, {"k51": "v", "team": "t3"}, {"none": "x"},
               {"team": "t1", "feature": "mail", "odd": "1", "k7": "v", "request": "2"}, {"ü\"": "ö"})))
DRAW = random.Random(3)
METADATA = month.COLUMNS.index("metadata")


def metadata(i, given):
    """That of a call: all that there can be, in several spellings."""
    given = json.loads(given)
    if i % 11 == 0:
        return None
    given |= {"odd": ODD[i % len(ODD)]} if i % 3 else {}
    given |= {f"k{i % 60}": "v"} if i % 4 == 0 else {"ü\"": "ö"} if i % 7 == 0 else {}
    return json.dumps(given, ensure_ascii=i % 2 == 0, separators=None if i % 5 else (",", ":"))


def calls(count, now_us, seed=1):
    return [(*r[:METADATA], metadata(i, r[METADATA]), *r[METADATA + 1:]) for i, r in enumerate(month.rows(count, now_us, seed))]


ROWS = calls(CALLS, NOW - HOUR // 2)
SAID = list(month.feedback(ROWS))


class Sqlite:
    name = "sqlite"

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pkd-hours")
        self.pkds = [Pkd(folder=self.folder)]
        self.pkds.append(Pkd(folder=self.folder))
        self.db = sqlite3.connect(self.pkds[0].store, isolation_level=None, timeout=60, check_same_thread=False)

    member = "(select cast(m.value as text) from json_each(l.metadata) m where m.key = '%s')"

    @staticmethod
    def bytes(text):
        return f"x'{text}'"

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

    member = "(l.metadata ->> '%s')"

    @staticmethod
    def bytes(text):
        return f"'\\x{text}'::bytea"

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
    status, _, body = pkd.http("GET", f"/v1/analytics/{path}?" + urllib.parse.urlencode(query), timeout=120)
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
    return path, query | ({"page_size": 20} if path.startswith(("requests", "groups")) else {})


def agree(store, count, paths=None):
    for _ in range(count):
        path, query = question()
        if "time_range" in query: # now moves on: say what it means
            days = {"30d": 720, "7d": 168, "36h": 36, "90m": 1.5}[query.pop("time_range")]
            query["start_time"] = int(time.time() * 10**6) - int(days * HOUR)
        path = paths[_ % len(paths)] if paths else path
        pkd = store.pkds[DRAW.randrange(2)]
        columns, rows = ask(pkd, path, query), ask(pkd, path, query | ROWS_ONLY)
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
        if "time_range" in query or "odd" in path + query.get("metadata", ""): # engines spell numbers and the like as they do
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


def groups_are_what_the_database_says():
    for store in STORES:
        for key in "team", "odd", "request", "k7", "k51", "ü\"", "none":
            where = f"l.started_us >= {NOW - 20 * 24 * HOUR} and l.provider = 'openai'"
            true = {r[0]: r[1:] for r in store.query(f"""
                select value, count(*), sum(cost_pusd), avg(opinion), count(opinion), max(started_us) from (
                    select {store.member % key} as value, l.cost_pusd, l.started_us,
                        (select avg(f.value * f.weight) from pk_feedback_item f where f.trace_id = l.trace_id) as opinion
                    from pk_log l where {where}) x where value is not null group by value""")}
            query = {"start_time": (NOW - 20 * 24 * HOUR) // 1000, "provider": "openai"}
            told, page = [], 0
            while page * 1000 <= len(told):
                answer = ask(store.pkds[0], "groups/metadata/" + urllib.parse.quote(key), query | {"page_size": 1000, "current_page": page})
                told, page = told + answer["data"], page + 1
                expect(answer["total"] == len(true) or not answer["data"], f"{store.name} {key}: {answer['total']} of {len(true)}")
            expect({g["metadata_value"] for g in told} == set(true) and len(told) == len(true), f"{store.name} {key}")
            for g in told:
                count, cost, opinion, opinions, last = true[g["metadata_value"]]
                expect((g["requests"], g["requests_with_feedback"]) == (int(count), int(opinions)), f"{store.name} {key}: {g}")
                expect(abs((g["cost_usd"] or 0) - int(cost or 0) / 1e12) < 1e-9 and (g["cost_usd"] is None) == (cost is None), f"{key}: {g}")
                expect(abs((g["avg_weighted_feedback"] or 0) - float(opinion or 0)) < 1e-9, f"{store.name} {key}: {g}")
                expect(int(last) // 1000 % 1000 == int(g["last_seen"][20:23]), f"{store.name} {key}: {g} {last}")


def columns_are_what_is_read():
    def are_read(store, path, query):
        before = ask(store.pkds[0], path, query)
        store.query("update pk_log set cost_pusd = cost_pusd + 1000000000") # which nobody does
        expect(ask(store.pkds[0], path, query | {"end_time": (NOW - 3 * HOUR) // 1000}) ==
               ask(store.pkds[1], path, query | {"end_time": (NOW - 3 * HOUR) // 1000}), path)
        changed = ask(store.pkds[0], path, query), ask(store.pkds[0], path, query | ROWS_ONLY)
        store.query("update pk_log set cost_pusd = cost_pusd - 1000000000")
        money = [t["summary"]["total_usd"] if "summary" in t else sum(g["cost_usd"] or 0 for g in t["data"]) for t in (before, *changed)]
        print(f"# {store.name} {path}: {money}", flush=True)
        good = money[1] - money[0] < (money[2] - money[0]) / 10
        if not good:
            store.query("delete from pk_log_hour") # what was kept meanwhile is not true
        return good

    for store in STORES:
        for path, query in ("graphs/cost", {}), ("groups/metadata/team", {}), ("graphs/cost", {"metadata": '{"team":"t1"}'}):
            # Whether an hour is kept depends on who has the file at the moment.
            expect(some_time(lambda: are_read(store, path, query)), f"{store.name} {path}")  # pylint: disable=cell-var-from-loop


def warnings(store):
    return sum(p.text().count("columns_damaged") for p in store.pkds[:1])


def damaged_columns_are_made_again():
    for store in STORES:
        hour = sorted(hours(store))[50]
        members = lambda: [r for r in store.query(f"select what from pk_log_column where hour_us = {hour} and part = 0 and what >= 64")]  # noqa: E731
        expect(some_time(lambda: ask(store.pkds[0], "groups/metadata/team", {}) and len(members()) >= 3), f"{store.name}: {members()}")
        query = {"start_time": (hour - HOUR) // 1000, "end_time": (hour + 2 * HOUR) // 1000}
        column = f"hour_us = {hour} and part = 0 and what = "
        bytes_of = {int(w): b for w, b in store.query(f"select what, {'hex(bytes)' if store is STORES[0] else 'encode(bytes, chr(104)||chr(101)||chr(120))'} "
                                                      f"from pk_log_column where hour_us = {hour} and part = 0")}
        duration, cost, rest = 1, 4, 21
        team = [w for w in bytes_of if w >= 64]
        expect(len(team) >= 3, f"{store.name}: {sorted(bytes_of)}")
        kept = store.query(f"select what, bytes from pk_log_column where hour_us = {hour} order by what")
        text = bytes_of[duration]
        broken = (
            ("a byte is another", f"update pk_log_column set bytes = {store.bytes(text[:-2] + f'{int(text[-2:], 16) ^ 1:02x}')} where {column}{duration}"),
            ("a byte in the middle", f"update pk_log_column set bytes = {store.bytes(text[:20] + f'{int(text[20:22], 16) ^ 64:02x}' + text[22:])} where {column}{duration}"),
            ("it is cut off", f"update pk_log_column set bytes = {store.bytes(text[:len(text) // 4 * 2])} where {column}{duration}"),
            ("it is empty", f"update pk_log_column set bytes = {store.bytes('')} where {column}{duration}"),
            ("it is another one's", f"update pk_log_column set bytes = {store.bytes(bytes_of[cost])} where {column}{duration}"),
            ("an encoding of later", f"update pk_log_column set encoding = 77 where {column}{duration}"),
            ("it is gone", f"delete from pk_log_column where {column}{duration}"),
            ("of metadata", f"update pk_log_column set bytes = {store.bytes(bytes_of[rest][:-2] + 'ff77')} where {column}{rest}"),
            *(("of a member", f"update pk_log_column set bytes = {store.bytes('00' * 40)} where {column}{w}") for w in team),
            *(("of a member: gone", f"delete from pk_log_column where {column}{w}") for w in team),
        )
        for path in "graphs/latency", "groups/metadata/team":
            right = ask(store.pkds[0], path, query)
            for what, text in broken:
                if (path == "graphs/latency") == (" member" in what or "metadata" in what):
                    continue
                store.query(text)
                expect(ask(store.pkds[0], path, query) == right, f"{store.name} {path}: {what}")
                expect(store.query(f"select what, bytes from pk_log_column where hour_us = {hour} order by what") == kept or "member" in what,
                       f"{store.name} {path}: {what}: it is not made again")
                store.query(f"delete from pk_log_column where hour_us = {hour}")
                expect(ask(store.pkds[0], path, query) == right, f"{store.name} {path}: after {what}")
        expect(warnings(store) > 0, f"{store.name}: nothing is told")
        agree(store, 10)


def an_hour_of_many_parts():
    for store in STORES:
        hour = sorted(hours(store))[-60]
        many = []
        for i, r in enumerate(calls(17000, NOW - HOUR, 77)):
            at = hour + i * 200000
            many.append((at // 1000 << 80 | 7 << 76 | (i & 4095) << 64 | 2 << 62 | 9 << 32 | i, at, *r[2:]))
        store.add(many)
        query = {"start_time": hour // 1000, "end_time": (hour + HOUR) // 1000 - 1}
        agree(store, 2, ["graphs/requests"])
        for path in "graphs/latency", "groups/metadata/request", "groups/metadata/k7":
            right = ask(store.pkds[0], path, query | ROWS_ONLY)
            expect(ask(store.pkds[0], path, query) == right, f"{store.name} {path}")
            expect(store.query(f"select max(part) from pk_log_column where hour_us = {hour}")[0][0] == "1", "two parts")
            for where in "part = 1", "part = 1 and what = 1", "part = 0", "part = 1 and what in (1, 21)":
                store.query(f"delete from pk_log_column where hour_us = {hour} and {where}")
                expect(ask(store.pkds[0], path, query) == right, f"{store.name} {path}: without {where}")
                expect(ask(store.pkds[1], path, query) == right, f"{store.name} {path}: again")
        large_metadata_stays_rows(store, hour, many[-1], query)


def large_metadata_stays_rows(store, hour, last, query):
    """Its columns would be as large as clients like: the others are kept all the same."""
    large = []
    for i in range(1500):
        at = last[1] + 1000 * (i + 1)
        blob = base64.b64encode(os.urandom(11700)).decode()
        large.append((at // 1000 << 80 | 7 << 76 | 2 << 62 | 11 << 32 | i, at, *last[2:METADATA],
                      json.dumps({"team": "t1", "blob": blob}), *last[METADATA + 1:]))
    store.add(large)
    for path, more in (("graphs/latency", {}), ("groups/metadata/team", {}), ("graphs/cost", {"metadata": '{"team":"t1"}'}), ("groups/users", {})):
        right = ask(store.pkds[0], path, query | ROWS_ONLY | more)
        for pkd in store.pkds:
            expect(ask(pkd, path, query | more) == right, f"{store.name} {path}")
    kept = f"from pk_log_column where hour_us = {hour}"
    expect(store.query(f"select count(*), max(length(bytes)) {kept} and what = 21")[0] == ["2", "4"], "no metadata")
    expect(store.query(f"select count(*) {kept} and what >= 64")[0][0] == "0", "nor members")
    expect(store.query(f"select count(*) {kept} and what < 21")[0][0] == "42", "all the rest")


def nobody_is_answered_who_has_left():
    for pkd in (store.pkds[0] for store in STORES):
        def cpu(pid=pkd.process.pid):
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                return sum(map(int, f.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")

        def asked(count, leave, pkd=pkd):
            before, open_ = cpu(), []
            for _ in range(count):
                s = pkd.raw(120)
                s.sendall(b"GET /v1/analytics/graphs/latency?interval=minute&after=" + ROWS_ONLY["after"].encode() +
                          b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                open_.append(s)
            for s in open_:
                while not leave and s.recv(65536):
                    pass
                s.close()
            status, _, _ = pkd.http("GET", "/v1/analytics/graphs/requests?time_range=30m", timeout=120) # waits behind these
            expect(status == 200, status)
            return cpu() - before
        def costs_little():
            served, left = asked(16, False), asked(16, True)
            print(f"# those who left cost {left:.2f} s of CPU, those who stayed {served:.2f} s", flush=True)
            return left < served / 2
        expect(some_time(costs_little))


def a_statement_ends_with_its_client():
    store = STORES[1]
    other = store.pg.connect("logs")
    waiting = "select count(*) from pg_stat_activity where usename = 'gateway' and wait_event_type = 'Lock'"
    other.query("begin")
    other.query("lock table pk_log in access exclusive mode")
    s = store.pkds[0].raw(60)
    s.sendall(b"GET /v1/analytics/graphs/latency HTTP/1.1\r\nhost: localhost\r\n\r\n")
    expect(until(lambda: store.query(waiting)[0][0] == "1"), "it waits for the table")
    s.close()
    expect(until(lambda: store.query(waiting)[0][0] == "0"), "it waits for nobody")
    other.query("rollback")
    other.close()
    agree(store, 3)


def others_do_not_wait_for_analytics():
    """Long requests leave clerks to the rest: a list of keys is answered before the last of them."""
    pkd = STORES[0].pkds[0]

    def is_early():
        slow = [pkd.raw(120) for _ in range(24)]
        for s in slow:
            s.sendall(b"GET /v1/analytics/graphs/latency?interval=minute&after=" + ROWS_ONLY["after"].encode() +
                      b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        status, _, _ = pkd.http("GET", "/v1/jobs", timeout=120)
        ready = select.select(slow, [], [], 0)[0]
        expect(status == 200, status)
        print(f"# {len(ready)} of {len(slow)} were first", flush=True)
        for s in slow:
            while s.recv(65536):
                pass
            s.close()
        return len(ready) < len(slow) // 2
    expect(some_time(is_early))


def late(count, seed):
    """Calls of the past, of hours that are over."""
    return calls(count, NOW - HOUR, seed)


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
    made.query("insert into pk_feedback_item (id, created_us, trace_id, value, weight) values " + ", ".join(
        f"({made.bytes(f'{f[0]:032x}') if made is STORES[0] else chr(39) + f'{f[0]:032x}' + chr(39)}, {f[1]}, '{f[2]}', {f[3]}, {f[4]})" for f in SAID))
run(columns_say_what_rows_say, engines_say_the_same, the_database_says_the_same,
    groups_are_what_the_database_says, columns_are_what_is_read, damaged_columns_are_made_again, nobody_is_answered_who_has_left,
    others_do_not_wait_for_analytics, a_statement_ends_with_its_client,
    calls_that_come_late_count, calls_that_went_do_not, as_many_that_come_as_went_are_noticed, while_others_write_and_read,
    an_hour_that_cannot_be_kept_is_read, an_hour_of_many_parts)
for made in STORES:
    for daemon in made.pkds:
        daemon.stop()
    made.close()
end()
