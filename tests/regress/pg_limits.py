#!/usr/bin/env python3
"""Limits where things go wrong in the server: pg_limits.py [WORD...]"""
import json
import os
import signal
import sys
import threading
import time

import pg_temp
from patience import Promise, until
from pg_case import case, expect, expect_error, main

TRY = "select pk_try_chat('c', '\"hi\"', $1::jsonb)"
REFUSED = "did not answer"


def fresh(pg, mock, name):
    """A session in a new database that has the extension, and a stored config."""
    with pg.connect() as c:
        c.query(f"create database {name}")
    k = pg.connect(name)
    k.query("create extension pk")
    k.query("select pk_key_put('vk', 'openai', 'sk-1', jsonb_build_object('custom_host', $1::text))",
            mock.url)
    k.query("select pk_config_put('c', '{\"virtual_key\": \"vk\"}')")
    return k


def put(k, slug="l", **terms):
    k.query("select pk_limit_put($1, $2::jsonb)", slug, json.dumps(
        {"counts": "requests", "amount": 5, "per": "day", **terms}))


def call(k, model="echo", **params):
    return json.loads(k.value(TRY, json.dumps({"model": model, "max_tokens": 10, **params})))


def granted(k, count=1):
    return all(call(k)["ok"] for _ in range(count))


def used(k, slug="l"):
    """Used and reserved, once what is on its way has arrived."""
    expect(k.value("select pk_flush()") == "t", "pk_flush")
    row = k.query("select used, reserved from pk_limits where slug = $1", slug)[0]
    return tuple(float(v) for v in row)


def crash(pg, pid, database):
    began = len(pg.log_text())
    os.kill(pid, signal.SIGKILL)
    expect(until(lambda: "ready to accept connections" in pg.log_text()[began:] and
                 can_connect(pg, database), 60), pg.log_text()[began:])


def can_connect(pg, database):
    try:
        pg.connect(database).close()
        return True
    except pg_temp.Error:
        return False


def hanging(k):
    """Begins a call that is never answered, once it has reserved; the session is busy then."""
    k.send("select pk_chat('c', '\"hi\"', '{\"model\": \"hang\", \"max_tokens\": 10}')")


def reserved(k, amount, seconds=5.0):
    return until(lambda: k.value("select sum(reserved) from pk_limits where slug = 'l'") == amount, seconds)


@case
def a_rolled_back_call_stays_charged(pg, mock):
    with fresh(pg, mock, "rolled") as k:
        put(k)
        k.query("begin")
        expect(granted(k))
        k.query("savepoint s")
        expect(granted(k))
        k.query("rollback to s")
        expect(granted(k))
        k.query("rollback")
        expect(used(k) == (3, 0), used(k))
        expect(granted(k, 2) and not granted(k) and used(k) == (5, 0), used(k))


@case
def the_error_has_its_sqlstate_and_says_when_to_come_back(pg, mock):
    with fresh(pg, mock, "told") as k:
        put(k, amount=1, per="hour", rolling=True)
        expect(granted(k))
        e = expect_error("53400", lambda: k.query("select pk_chat('c', '\"hi\"', '{\"model\": \"echo\"}')"),
                         'limit "l"', "1 request an hour", "try again in")
        expect("pk_limits" in e.hint, e.hint)
        error = call(k)["error"]
        wait_s = int(error["message"].rsplit(" ", 2)[1])
        expect(error["code"] == "rate_limited" and 3500 < wait_s <= 3660, error)


@case
def a_cancelled_call_settles(pg, mock):
    with fresh(pg, mock, "cancelled") as k, pg.connect("cancelled") as other:
        put(k)
        put(k, "t", counts="tokens", amount=100000)
        hanging(k)
        expect(reserved(other, "1"))
        k.cancel()
        expect_error("57014", k.finish)
        expect(used(k) == (1, 0), used(k))
        expect(used(k, "t")[1] == 0, used(k, "t"))


@case
def a_terminated_session_settles(pg, mock):
    with fresh(pg, mock, "terminated") as k, pg.connect("terminated") as other:
        put(k)
        hanging(k)
        expect(reserved(other, "1"))
        other.query(f"select pg_terminate_backend({k.pid()})")
        expect(until(lambda: used(other) == (1, 0)), used(other))


@case
def what_a_cancelled_statement_waited_for_is_given_back(pg, mock):
    with fresh(pg, mock, "waited") as k, pg.connect("waited") as other:
        put(k, amount=10)
        expect(granted(k))
        for wait in (0.05, 0.3):
            other.query("begin; lock table pk_limit_use in exclusive mode")
            k.send("select pk_chat('c', '\"hi\"', '{\"model\": \"echo\"}')")
            time.sleep(wait)
            k.cancel()
            expect_error("57014", k.finish)
            other.query("commit")
        expect(granted(k) and used(k) == (2, 0), used(k))
        expect(mock_only(k) == 2, "the others were not sent")


def mock_only(k):
    return int(k.value("select count(*) from pk_logs where status = 'success'"))


@case
def a_lock_on_the_limits_is_not_waited_for_endlessly(pg, mock):
    with fresh(pg, mock, "locked") as k, pg.connect("locked") as other:
        put(k)
        expect(granted(k))
        other.query("begin; lock table pk_limit_use in exclusive mode")
        error = call(k)["error"]  # which without an end would be none: the lock is our own
        expect(error["code"] == "store_error" and error["retryable"], error)
        k.query("set pk.limits_unavailable = allow")
        expect(granted(k), "the call that may do without")
        other.query("commit")
        expect(used(k) == (2, 0), used(k), "it is charged all the same")


@case
def a_limit_that_is_not_committed_does_not_count_yet(pg, mock):
    with fresh(pg, mock, "open") as k:
        k.query("begin")
        put(k, amount=1)
        expect(granted(k, 3))
        k.query("commit")
        expect(granted(k) and not granted(k))
        k.query("begin")
        k.query("select pk_limit_delete('l')")
        expect(granted(k, 2), "not in this transaction")
        k.query("rollback")
        expect(not granted(k))


@case
def a_killed_server_gives_back_what_calls_held(pg, mock):
    with fresh(pg, mock, "crashed") as k, pg.connect("crashed") as other:
        put(k, amount=2)
        expect(granted(k) and used(k) == (1, 0))
        hanging(k)
        expect(reserved(other, "1"))
        time.sleep(0.2)  # commits are on disk by then
        crash(pg, k.pid(), "crashed")
    with pg.connect("crashed") as k:
        expect(used(k) == (1, 1), used(k))
        expect(not granted(k), "it still holds")
        k.query("update pk_reservation set expires_us = 1")
        expect(granted(k), "it is given back")
        expect(used(k) == (2, 0), used(k))


@case
def a_worker_that_comes_and_goes_lets_nobody_overspend(pg, mock):
    with fresh(pg, mock, "comes") as k:
        put(k, amount=100)
        outcomes = []

        def work():
            with pg.connect("comes") as c:
                outcomes.extend(call(c) for _ in range(40))
        threads = [threading.Thread(target=work) for _ in range(5)]
        [t.start() for t in threads]
        while any(t.is_alive() for t in threads):
            k.query("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'pk writer'")
            time.sleep(0.02)
        good = sum(o["ok"] for o in outcomes)
        codes = {o["error"]["code"] for o in outcomes if not o["ok"]}
        expect(codes <= {"rate_limited", "store_error"}, codes)
        total, held = used(k)
        expect(total == good <= 100 and total + held <= 100, good, total, held)
        print(f"# {good} of 200 calls let through, {held:g} still held: {codes}", flush=True)


@case
def without_a_worker_slot_nothing_passes_unless_it_may(pg, mock):
    with fresh(pg, mock, "slotless") as k:
        put(k, amount=2)
        expect(granted(k) and used(k) == (1, 0))
    pg.configure({"max_worker_processes": "0"})
    pg.restart()
    with pg.connect("slotless") as k:
        with Promise("a call without a worker", 3, 30):
            error = call(k)["error"]
        expect(error["code"] == "store_error" and REFUSED in error["message"], error)
        expect(call(k, pk={"metadata": {"a": "b"}})["error"]["code"] == "store_error")
        k.query("set pk.limits_unavailable = allow")
        expect(granted(k, 2))
    pg.configure({"max_worker_processes": "8"})
    pg.restart()
    with pg.connect("slotless") as k:
        expect(used(k) == (3, 0), used(k), "they are charged all the same")
        expect(not granted(k))


@case
def a_standby_says_that_it_cannot_keep_limits(pg, mock):
    with fresh(pg, mock, "stands") as k:
        put(k, amount=2)
        expect(granted(k) and used(k) == (1, 0))
    other = pg.replica()
    with other.connect("stands") as k:
        error = call(k)["error"]
        expect(error["code"] == "store_error" and "standby" in error["message"], error)
        k.query("set pk.limits_unavailable = allow")
        expect(granted(k))
        k.query("set pk.limits_unavailable = deny")
        other.promote()
        expect(used(k) == (2, 0), used(k))
        expect(not granted(k))
    other.destroy()


@case
def limits_of_roles_go_by_the_current_role(pg, mock):
    with fresh(pg, mock, "roles") as k:
        k.query("create role ann in role pk_user; create role bob in role pk_user")
        put(k, amount=1, role="ann")
        for role, count in (("ann", 1), ("bob", 3)):
            k.query(f"set role {role}")
            expect(granted(k, count), role)
        k.query("set role ann")
        error = call(k)["error"]
        expect(error["code"] == "rate_limited" and "ann" in error["message"], error)
        k.query("reset role")


@case
def administrators_set_limits_and_users_only_meet_them(pg, mock):
    with fresh(pg, mock, "rights") as k:
        k.query("create role cat in role pk_user; create role dan in role pk_admin")
        k.query("set role dan")
        put(k, amount=1)
        made = k.value("select pk_api_key_create('ci')")
        expect(made.startswith("pk-"), made)
        expect(k.value("select count(*) from pk_api_keys") == "1")
        who = k.query("select actor, verb from pk_audit order by id")
        expect(who[-2:] == [["role:dan", "limit_put"], ["role:dan", "api_key_create"]], who)
        expect_error("42501", lambda: k.query("select * from pk_api_key"))
        expect_error("42501", lambda: k.query("update pk_limit_use set used = 0"))
        expect_error("42501", lambda: k.query("delete from pk_audit_item"))
        k.query("set role cat")
        expect(granted(k) and not granted(k))
        for sql in ("select pk_limit_put('m', '{}')", "select pk_limit_delete('l')",
                    "select pk_api_key_create('x')", "select pk_api_key_rotate('ci')",
                    "select pk_api_key_revoke('ci')", "select * from pk_audit", "select * from pk_api_keys"):
            expect_error("42501", lambda sql=sql: k.query(sql))


@case
def only_the_superuser_decides_what_happens_without_a_worker(pg, mock):
    with fresh(pg, mock, "settings") as k:
        k.query("create role eve in role pk_user")
        k.query("set role eve")
        expect_error("42501", lambda: k.query("set pk.limits_unavailable = allow"))
        expect_error("42501", lambda: k.query("set pk.output_tokens_assumed = 1"))


if __name__ == "__main__":
    sys.exit(main())
