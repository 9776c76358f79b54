#!/usr/bin/env python3
"""What becomes of log rows when things go wrong in the server: pg_faults.py [WORD...]"""
import json
import os
import signal
import sys
import threading
import time

import pg_temp
from patience import soon, until
from pg_case import case, expect, expect_error, main, model

ASK = "select pk_ask($1, $2, null, $3)"


def fresh(pg, name):
    """A session in a new database that has the extension."""
    with pg.connect() as c:
        c.query(f"create database {name}")
    k = pg.connect(name)
    k.query("create extension pk")
    return k


def ask(k, mock, prompt="x", name="m", **more):
    return k.value(ASK, mock.config(), prompt, model(name, **more))


def count(k):
    return int(k.value("select count(*) from pk_logs"))


def flushed(k):
    expect(k.value("select pk_flush()") == "t", "pk_flush: ", health(k))
    return count(k)


def health(k):
    return json.loads(k.value("select pk_health()"))


def drop_database(pg, name, how=""):
    started = time.monotonic()
    with pg.connect() as c:
        c.query(f"drop database {name} {how}")
    return time.monotonic() - started


@case
def rows_are_visible_within_100_ms(pg, mock):
    with fresh(pg, "quick") as k:
        ask(k, mock)
        times = []
        for i in range(11):
            ask(k, mock)
            began = time.monotonic()
            expect(until(lambda: count(k) == i + 2), "row", i)
            times.append(time.monotonic() - began)
        expect(soon("a row is visible", times, 0.1), times)


@case
def a_killed_worker_is_started_again_and_nothing_is_lost(pg, mock):
    with fresh(pg, "killed") as k:
        for _ in range(20):
            ask(k, mock)
            worker = health(k)["worker_pid"]
            if worker:
                k.query(f"select pg_terminate_backend({worker})")
        expect(flushed(k) == 20, health(k))


@case
def the_worker_leaves_when_idle_and_the_database_can_be_dropped(pg, mock):
    with fresh(pg, "dropped") as k:
        ask(k, mock)
        flushed(k)
    drop_database(pg, "dropped")  # the server waits 5 s for the worker, then refuses
    with fresh(pg, "dropped") as k:
        ask(k, mock)
        flushed(k)
    expect(drop_database(pg, "dropped", "with (force)") < 1.9, "it waited until the worker was idle")


@case
def a_template_may_be_copied_while_the_worker_idles(pg, mock):
    with fresh(pg, "pattern") as k:
        ask(k, mock)
        flushed(k)
    with pg.connect() as c:
        c.query("create database copied template pattern")
    with pg.connect("copied") as k:
        ask(k, mock)
        expect(flushed(k) == 2)


@case
def an_uncommitted_extension_delivers_after_the_commit(pg, mock):
    with pg.connect() as c:
        c.query("create database early")
    with pg.connect("early") as k:
        k.query("begin; create extension pk")
        ask(k, mock)
        time.sleep(0.3)
        k.query("commit")
        expect(flushed(k) == 1)


@case
def the_extension_may_be_dropped_while_the_worker_runs(pg, mock):
    with fresh(pg, "again") as k:
        ask(k, mock)
        k.query("drop extension pk")
        k.query("create extension pk")
        ask(k, mock)
        expect(flushed(k) in (1, 2))
        k.query("drop extension pk")
        k.query("create schema elsewhere; create extension pk schema elsewhere")
        k.query("set search_path = elsewhere")
        ask(k, mock)
        expect(flushed(k) >= 1)


@case
def a_lock_on_the_log_table_does_not_stop_its_holder(pg, mock):
    with fresh(pg, "locked") as k:
        ask(k, mock)
        flushed(k)
        k.query("begin; lock table pk_log in access exclusive mode")
        started = time.monotonic()
        for i in range(70):  # 7 MB through a ring of 4
            ask(k, mock, f"{i} " + os.urandom(50000).hex())
        took = time.monotonic() - started
        k.query("commit")
        print(f"# 70 calls beside a lock: {took:.1f} s")
        expect(took < 60, took)  # a second for each would be 70
        expect(health(k)["spooled"] > 0, health(k))
        expect(flushed(k) == 71, health(k))
        expect(health(k)["dropped"] == 0, health(k))


@case
def what_the_spool_does_not_take_is_held_in_memory(pg, mock):
    folder = pg.data + "/pk_spool"
    aside = folder + ".aside"
    with fresh(pg, "held") as k, pg.connect("held") as other:
        ask(k, mock)
        flushed(k)
        if os.path.exists(folder):
            os.rename(folder, aside)
        with open(folder, "w", encoding="utf-8"):
            pass  # no folder: nothing can be spooled
        try:
            other.query("begin; lock table pk_log in access exclusive mode")
            for i in range(50):  # 10 MB through a ring of 4
                ask(k, mock, f"{i} " + os.urandom(50000).hex())
            told = health(k)
            expect(told["held"] > 5 and told["dropped"] == 0, told)
            other.query("commit")
            expect(flushed(k) == 51, health(k))
            told = health(k)
            expect(told["held"] == 0 and told["dropped"] == 0, told)
            other.query("begin; lock table pk_log in access exclusive mode")
            for i in range(80):  # 16 MB: more than both
                ask(k, mock, f"{i} " + os.urandom(50000).hex())
            told = health(k)
            expect(told["held"] > 5 and told["dropped"] > 0, told)
            other.query("commit")
            expect(flushed(k) == 131 - health(k)["dropped"], health(k))
        finally:
            os.remove(folder)
            if os.path.exists(aside):
                os.rename(aside, folder)


@case
def without_a_worker_slot_rows_wait_and_arrive_later(pg, mock):
    with fresh(pg, "slots") as k:
        ask(k, mock)
        flushed(k)
    pg.configure({"max_worker_processes": "0"})
    pg.restart()
    with pg.connect("slots") as k:
        for _ in range(5):
            ask(k, mock)
        told = health(k)
        expect(told["worker_pid"] == 0 and told["pending_bytes"] > 0, told)
        expect(told["worker_starts_failed"] >= 1, told)
        expect(count(k) == 1)
        expect(not until(lambda: count(k) > 1, 0.3))
    expect(until(lambda: os.listdir(pg.data + "/pk_spool")), "nothing was spooled")
    pg.configure({"max_worker_processes": "8"})
    pg.restart()
    with pg.connect("slots") as k:
        expect(flushed(k) == 6, health(k))
        expect(not health(k)["spool_waiting"])


@case
def a_fast_shutdown_loses_nothing(pg, mock):
    with fresh(pg, "fast") as k:
        ask(k, mock)
        flushed(k)
    mock.reset()
    sessions = [pg.connect("fast") for _ in range(8)]
    config, answered = mock.config(), []

    def work(c):
        try:
            while True:
                c.value(ASK, config, "x", model("m"))
                answered.append(1)
        except pg_temp.Error:
            pass

    threads = [threading.Thread(target=work, args=(c,)) for c in sessions]
    [t.start() for t in threads]
    time.sleep(1)
    pg.stop("fast")
    [t.join() for t in threads]
    [c.close() for c in sessions]
    pg.start()
    with pg.connect("fast") as k:
        rows = flushed(k)
        done = int(k.value("select count(*) from pk_logs where status = 'success'"))
        print(f"# {len(answered)} answers, {rows} rows, {mock.requests()} requests")
        expect(done >= len(answered) + 1, done, len(answered))
        expect(mock.requests() + 1 <= rows <= mock.requests() + 1 + len(sessions), rows, mock.requests())


@case
def a_session_that_ends_at_once_leaves_its_row(pg, mock):
    with fresh(pg, "brief") as k:
        flushed(k)
    for _ in range(5):
        with pg.connect("brief") as k:
            ask(k, mock)
        pg.stop("fast")
        pg.start()
    with pg.connect("brief") as k:
        expect(flushed(k) == 5, count(k))


@case
def a_killed_backend_takes_only_what_was_queued(pg, mock):
    with fresh(pg, "crash") as k:
        for _ in range(10):
            ask(k, mock)
        flushed(k)
        ask(k, mock)
        expect(until(lambda: count(k) == 11))
        time.sleep(0.1)  # commits are on disk by then
        began = len(pg.log_text())
        os.kill(k.pid(), signal.SIGKILL)
    expect(until(lambda: "ready to accept connections" in pg.log_text()[began:] and
                 not failing(lambda: pg.connect("crash").close()), 60), pg.log_text()[began:])
    with pg.connect("crash") as k:
        expect(count(k) == 11, count(k))
        ask(k, mock)
        expect(flushed(k) == 12)


def failing(call):
    try:
        call()
    except pg_temp.Error:
        return True
    return False


@case
def a_standby_calls_and_keeps_its_rows_until_promoted(pg, mock):
    with fresh(pg, "stand") as k:
        config = mock.config(cache={"mode": "simple", "max_age": 600}, override_params={"model": "gpt-4o"})
        stored = {**json.loads(config)}
        del stored["api_key"]
        k.query("select pk_key_put('vk', 'openai', 'sk-1', jsonb_build_object('custom_host', $1::text))", mock.url)
        stored.pop("provider")
        stored.pop("custom_host")
        k.query("select pk_config_put('c', $1::jsonb)", json.dumps({**stored, "virtual_key": "vk"}))
        expect(k.value("select pk_ask('c', 'shared')") == "shared")
        flushed(k)
    other = pg.replica()
    with other.connect("stand") as k:
        answer = json.loads(k.value("select pk_chat('c', '\"shared\"')"))
        expect(answer["pk"]["cache_status"] == "HIT", answer)
        expect(k.value("select pk_ask('c', 'new')") == "new")
        expect(k.value("select pk_flush()") == "f")
        expect(health(k)["standby"] and health(k)["pending_bytes"] > 0, health(k))
        expect_error("25006", lambda: k.query("select pk_key_revoke('vk')"))
        other.promote()
        expect(flushed(k) == 3, health(k))
    other.destroy()


@case
def a_damaged_spool_is_applied_as_far_as_it_goes(pg, mock):
    with fresh(pg, "spoiled") as k:
        oid = k.value("select oid from pg_database where datname = current_database()")
        flushed(k)
        expect(until(lambda: health(k)["worker_pid"] == 0))
        folder = pg.data + "/pk_spool"
        if not os.path.isdir(folder):
            pg.run(["mkdir", "-m", "700", folder])
        pg.run(["sh", "-c", f"head -c 5000 /dev/urandom > {folder}/{oid}"])
        ask(k, mock)
        expect(flushed(k) == 1)
        expect("damaged" in pg.log_text())


if __name__ == "__main__":
    sys.exit(main())
