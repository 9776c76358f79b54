#!/usr/bin/env python3
"""Old rows go by themselves, in small steps, while calls are made and relations are read: SQLite, pkd, Postgres."""
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import pg_temp
from pg_case import expect_error
from pkd_harness import Mock, Pkd, chat, config, end, expect, program, run, until

if os.environ.get("PK_SAN") and "LD_PRELOAD" not in os.environ:
    # The sanitizer's library must be the first of the process that loads the extension.
    asan = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    os.execve(sys.executable, [sys.executable] + sys.argv,
              {**os.environ, "LD_PRELOAD": asan, "ASAN_OPTIONS": "detect_leaks=0"})

OLD, NEW, DAY_US = 20000, 500, 86400 * 10**6
LOG = ("id, started_us, duration_us, upstream_us, trace_id, operation, attempts, retries, fallback_index, stream, "
       "status, usage_source, cache_status, source, request_id")


def uuid7(at_us, number):
    return (at_us // 1000).to_bytes(6, "big") + b"\x70\x00\x80\x00" + number.to_bytes(6, "big")


def rows(now_us):
    """Rows of pk_log, 40 days old or of today; each has its own request."""
    for i in range(OLD + NEW):
        at_us = now_us - (40 * DAY_US if i < OLD else 3600 * 10**6) + i
        yield uuid7(at_us, i), at_us, "old" if i < OLD else "new", i + 1


def fill(store):
    """A store as it is after a month of calls."""
    now_us = time.time_ns() // 1000
    db = sqlite3.connect(store)
    with db:
        db.executemany("insert into pk_payload (id, hash, created_us, encoding, bytes) values (?, ?, ?, 0, ?)",
                       ((n, id_, at, os.urandom(1500)) for id_, at, _, n in rows(now_us)))
        db.executemany(f"insert into pk_log ({LOG}) values (?, ?, 1, 1, ?, 'chat', 1, 0, 0, 0, 'success', 'none', "
                       "'MISS', 'sqlite', ?)", rows(now_us))
        db.executemany("insert into pk_span (log_id, ord, kind, started_us, duration_us, wait_ms) "
                       "values (?, 0, 'attempt', ?, 1, 0)", ((r[0], r[1]) for r in rows(now_us)))
    db.close()


def counted(store, where="true"):
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=120)
    try:
        return db.execute(f"select count(*) from pk_log where {where}").fetchone()[0]
    finally:
        db.close()


def only_new(store):
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=120)
    try:
        return db.execute("select (select count(*) from pk_log where trace_id = 'old'), "
                          "(select count(*) from pk_span s join pk_log l on l.id = s.log_id where trace_id = 'new'), "
                          "(select count(*) from pk_payload where id <= ?), "
                          "(select count(*) from pk_log l join pk_payload p on p.id = l.request_id "
                          "where trace_id = 'new')", (OLD,)).fetchone() == (0, NEW, 0, NEW)
    finally:
        db.close()


def sizes(store):
    return os.path.getsize(store), os.path.getsize(store + "-wal") if os.path.exists(store + "-wal") else 0


def given_back(store):
    """The file is as large as its pages are many, and few of them are free."""
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=120)
    try:
        size, pages, free = (db.execute("pragma " + p).fetchone()[0] for p in ("page_size", "page_count", "freelist_count"))
        return os.path.getsize(store) == size * pages and free <= max(256, pages / 20)
    finally:
        db.close()


def sqlite_program(store):
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.enable_load_extension(True)
    db.load_extension(program("pk"))
    db.execute("select pk_set('store', ?)", (store,)).fetchall()
    return db


class Load:
    """Calls without a pause until it is left; `failed` says what went wrong."""

    def __init__(self, call):
        self.call, self.made, self.failed, self.stop = call, 0, None, False
        self.thread = threading.Thread(target=self.work)

    def work(self):
        try:
            while not self.stop:
                self.call()
                self.made += 1
        except Exception as e:
            self.failed = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stop = True
        self.thread.join()
        expect(self.failed is None, self.failed)


# --- SQLite --------------------------------------------------------------------------------------

def old_rows_of_a_sqlite_store_go_while_it_is_used():
    mock, folder = Mock(), tempfile.mkdtemp(prefix="pk-retention")
    store = folder + "/store.pkdb"
    sqlite_program(store).close()
    fill(store)
    before = sizes(store)[0]
    db, reader = sqlite_program(store), sqlite_program(store)
    seen = reader.execute("select id, trace_id from pk_logs")  # is in the middle of the table all the time
    first = seen.fetchmany(10)
    ask = "select pk_ask(?, 'hello', null, '{\"model\": \"echo\"}')"
    with Load(lambda: db.execute(ask, (config(mock, cache={"mode": "simple"}),)).fetchone()) as load:
        expect(until(lambda: load.made > 0))
        expect(counted(store, "trace_id = 'old'") == OLD, "without a retention nothing goes")
        db.execute("select pk_set('retention_logs', '30d')").fetchall()
        expect(until(lambda: counted(store, "trace_id = 'old'") < OLD, 60), "no row goes")
        rest = seen.fetchall()
        expect(len(first) + len(rest) >= OLD + NEW, "a reader sees what was there when it began")
        seen.close()
        expect(until(lambda: only_new(store), 60), "the old rows are still there")
    health = json.loads(db.execute("select pk_health()").fetchone()[0])
    expect(health["dropped"] == 0 and health["last_error"] is None, health)
    expect(counted(store, "trace_id not in ('old', 'new')") == load.made, "each call is in the log")
    reader.close()
    expect(db.execute("select pk_get('retention_logs')").fetchone()[0] == "30d")
    expect(until(lambda: given_back(store), 100), (before, sizes(store)))
    expect(sizes(store)[0] < before)
    db.close()
    check = sqlite3.connect(store)
    expect(check.execute("pragma integrity_check").fetchone()[0] == "ok")
    check.close()
    shutil.rmtree(folder)
    mock.stop()


def pk_retention_run_makes_a_whole_pass_and_can_be_interrupted():
    folder = tempfile.mkdtemp(prefix="pk-retention")
    store = folder + "/store.pkdb"
    sqlite_program(store).close()
    fill(store)
    db = sqlite_program(store)
    other = sqlite3.connect(store)  # settings by hand, so that the program's own thread does not begin
    with other:
        other.execute("insert into pk_setting values ('retention_logs', '30d', 0)")
    try:
        threading.Timer(0.05, db.interrupt).start()
        db.execute("select pk_retention_run()").fetchall()
        raise AssertionError("it was not interrupted")
    except sqlite3.OperationalError as e:
        expect("cancelled" in str(e), e)
    expect(0 < counted(store, "trace_id = 'old'") < OLD, "some are gone, and not all")
    left = counted(store, "trace_id = 'old'")
    gone = json.loads(db.execute("select pk_retention_run()").fetchone()[0])
    expect(gone["logs"] <= left and gone["spans"] == gone["logs"], gone)
    expect(only_new(store))
    gone = json.loads(db.execute("select pk_retention_run()").fetchone()[0])
    expect(not any(gone.values()), gone)
    db.close()
    other.close()
    shutil.rmtree(folder)


def a_setting_of_the_store_is_everybodys():
    folder = tempfile.mkdtemp(prefix="pk-retention")
    store = folder + "/store.pkdb"
    one, two = sqlite_program(store), sqlite_program(store)
    expect(one.execute("select pk_get('retention_audit')").fetchone()[0] is None)
    expect(one.execute("select pk_set('retention_audit', '1w')").fetchone()[0] == "1w")
    expect(two.execute("select pk_get('retention_audit')").fetchone()[0] == "1w")
    expect(two.execute("select name, value from pk_settings").fetchall() == [("retention_audit", "1w")])
    expect(two.execute("select verb, object, detail from pk_audit").fetchall() ==
           [("set", "retention_audit", '{"value":"1w"}')])
    for bad in "soon", "0d", "-3d":
        try:
            one.execute("select pk_set('retention_audit', ?)", (bad,)).fetchall()
            raise AssertionError(bad)
        except sqlite3.OperationalError as e:
            expect("retention_audit: must be" in str(e), e)
    two.execute("select pk_set('retention_audit', null)").fetchall()
    expect(one.execute("select pk_get('retention_audit')").fetchone()[0] is None)
    one.close()
    two.close()
    shutil.rmtree(folder)


# --- pkd -----------------------------------------------------------------------------------------

def old_rows_go_while_pkd_serves():
    mock, folder = Mock(), tempfile.mkdtemp(prefix="pk-retention")
    store = folder + "/store.pkdb"
    sqlite_program(store).close()
    fill(store)
    before = sizes(store)[0]
    pkd = Pkd("--retention-logs", "30d", "--retention-payloads", "2w", "--store", store, folder=folder)
    answers = []
    with Load(lambda: answers.append(chat(pkd, mock)[0])) as load:
        expect(until(lambda: only_new(store), 60), "the old rows are still there")
        expect(until(lambda: load.made > 0))
    expect(set(answers) == {200}, set(answers))
    expect(until(lambda: given_back(store), 100), (before, sizes(store)))
    expect(sizes(store)[0] < before)
    expect(until(lambda: counted(store, "trace_id not in ('old', 'new')") == load.made))
    expect(sizes(store)[1] < before, "the write-ahead log stays small")
    db = sqlite_program(store)
    expect(sorted(db.execute("select name, value from pk_settings").fetchall()) ==
           [("retention_logs", "30d"), ("retention_payloads", "2w")])
    db.close()
    pkd.stop()
    expect("entries_dropped=0" in pkd.text(), pkd.text())
    try:
        Pkd("--retention-logs", "soon")
        raise AssertionError("it started")
    except RuntimeError as e:
        expect("retention_logs: must be" in str(e), e)
    shutil.rmtree(folder)
    mock.stop()


# --- Postgres --------------------------------------------------------------------------------------

PG_ID = "(lpad(to_hex(at / 1000), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid"
PG_FILL = f"""
with r as (select i, (extract(epoch from now()) * 1000000)::bigint
                      - case when i <= {OLD} then 40 * {DAY_US} else 3600000000 end + i as at
           from generate_series(1, {OLD + NEW}) i),
     p as (insert into pk_payload (id, hash, created_us, encoding, bytes) overriding system value
           select i, decode(md5(i::text), 'hex'), at, 0, convert_to(repeat(md5(i::text), 40), 'UTF8') from r),
     l as (insert into pk_log ({LOG}) select {PG_ID}, at, 1, 1, case when i <= {OLD} then 'old' else 'new' end,
           'chat', 1, 0, 0, false, 'success', 'none', 'MISS', 'postgres', i from r)
insert into pk_span (log_id, ord, kind, started_us, duration_us, wait_ms)
    select {PG_ID}, 0, 'attempt', at, 1, 0 from r;
select setval(pg_get_serial_sequence('pk_payload', 'id'), {OLD + NEW})"""
PG_STATE = f"""select (select count(*) from pk_log where trace_id = 'old'),
    (select count(*) from pk_span s join pk_log l on l.id = s.log_id where trace_id = 'new'),
    (select count(*) from pk_payload where id <= {OLD}),
    (select count(*) from pk_log l join pk_payload p on p.id = l.request_id where trace_id = 'new')"""
DONE = [["0", str(NEW), "0", str(NEW)]]
ASK = "select pk_ask($1, 'hello', null, '{\"model\": \"echo\"}')"


def old_rows_of_postgres_go_while_calls_are_made():
    mock = Mock()
    with pg_temp.Cluster() as pg, pg.connect() as k, pg.connect() as caller, pg.connect() as reader:
        k.query("create extension pk")
        k.query(PG_FILL)
        reader.query("begin isolation level repeatable read")
        seen = reader.value("select count(*) from pk_logs where trace_id = 'old'")
        with Load(lambda: caller.query(ASK, config(mock))) as load:
            expect(until(lambda: load.made > 5))
            expect(k.value("select count(*) from pk_log where trace_id = 'old'") == str(OLD))
            expect(k.value("select pk_set('retention_logs', '30d')") == "30d")
            k.query("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'pk writer'")
            expect(until(lambda: k.query(PG_STATE) == DONE, 60), k.query(PG_STATE))
        expect(reader.value("select count(*) from pk_logs where trace_id = 'old'") == seen == str(OLD))
        reader.query("commit")
        expect(k.value("select pk_flush()") == "t")
        logged = k.value("select count(*) from pk_log where trace_id not in ('old', 'new')")
        expect(logged == str(load.made), f"{load.made} calls, {logged} rows")
        expect(json.loads(k.value("select pk_health()"))["dropped"] == 0)
    mock.stop()


def the_servers_files_say_how_long_and_a_pass_can_be_asked_for():
    with pg_temp.Cluster({"pk.retention_logs": "30d"}) as pg, pg.connect() as k:
        k.query("create extension pk")
        k.query(PG_FILL)
        with pg.connect() as c:
            k.query("create role chief login in role pk_admin")
            k.query("create role caller login in role pk_user")
        with pg.connect(user="caller") as c:
            for sql in ("select pk_retention_run()", "select pk_set('retention_logs', '1s')", "select * from pk_settings"):
                expect_error("42501", lambda sql=sql: c.query(sql))
        with pg.connect(user="chief") as c:
            c.query("begin")  # its transaction has nothing to do with it
            gone = json.loads(c.value("select pk_retention_run()"))
            c.query("rollback")
            expect(gone["logs"] == gone["spans"] == gone["payloads"] == OLD, gone)
            expect(k.query(PG_STATE) == DONE)
            expect(c.query("select name, value from pk_settings") == [["retention_logs", "30d"]])
            expect(c.query("select actor, verb, detail ->> 'value' from pk_audit") ==
                   [["server:postgresql.conf", "set", "30d"]])
            expect(c.value("select pk_get('retention_logs')") == "30d" and
                   c.value("select pk_get('retention_cache')") is None)
            expect_error("22023", lambda: c.query("select pk_set('retention_audit', 'soon')"), "retention_audit")
            expect_error("22023", lambda: c.query("select pk_set('timeout', '1s')"), "timeout")
        expect_error("55P02", lambda: k.query("set pk.retention_logs = '1d'"))


def a_pass_that_is_cancelled_ends():
    with pg_temp.Cluster() as pg, pg.connect() as k, pg.connect() as c:
        k.query("create extension pk")
        k.query(PG_FILL)
        k.query("select pk_set('retention_logs', '30d')")
        k.query("begin")
        k.query("lock table pk_log in share mode")
        c.query("set statement_timeout = 300")
        expect_error("57014", lambda: c.query("select pk_retention_run()"))
        k.query("commit")
        worker = "select count(*) from pg_stat_activity where backend_type = 'pk retention'"
        expect(until(lambda: k.value(worker) == "0"), "its worker is still there")
        c.query("reset statement_timeout")
        expect(json.loads(c.value("select pk_retention_run()"))["logs"] > 0)
        expect(k.query(PG_STATE) == DONE)
        k.query("create database other")
        with pg.connect("other") as o:
            o.query("create extension pk")
            o.query(PG_FILL)
            o.query("select pk_set('retention_logs', '30d')")
            expect(json.loads(o.value("select pk_retention_run()"))["logs"] == OLD)
        k.query("drop database other")


CASES = [a_setting_of_the_store_is_everybodys, old_rows_of_a_sqlite_store_go_while_it_is_used,
         pk_retention_run_makes_a_whole_pass_and_can_be_interrupted, old_rows_go_while_pkd_serves]
if not os.environ.get("PK_SAN"):
    CASES += [old_rows_of_postgres_go_while_calls_are_made,
              the_servers_files_say_how_long_and_a_pass_can_be_asked_for, a_pass_that_is_cancelled_ends]
if len(sys.argv) > 2:
    CASES = [c for c in CASES if any(word in c.__name__ for word in sys.argv[2:])]
run(*CASES)
end()
