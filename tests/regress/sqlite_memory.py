#!/usr/bin/env python3
"""The SQLite extension when memory runs out: each allocation of a statement fails once, and the next one works.

What was asked of the provider is in the log all the same, or counted among what was dropped.
"""
import gc
import json
import os
import sqlite3
import sys

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..", os.environ.get("BUILD", "build"))

from failing import Failing  # noqa: E402

if "PK_FAILING" not in os.environ:
    os.environ.update(Failing(BUILD).env)
    os.execv(sys.executable, [sys.executable] + sys.argv)
failing = Failing.__new__(Failing).open(os.environ["PK_FAILING"])
os.unlink(os.environ["PK_FAILING"])
del os.environ["LD_PRELOAD"]

from sqlite_door import CACHED, PK, case, config, connect, equal, main, mock, one  # noqa: E402

MOST = 3000  # allocations of a statement


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def each_fails(run, files="pk.so", expected=None, prepare=None, step=1):
    """Runs it, with what was prepared for it, until nothing fails any more; how often that was."""
    n = 0
    while n < MOST * step:
        given = [prepare()] if prepare else []
        failing.begin(files, n)
        try:
            got = run(*given)
        except (sqlite3.Error, MemoryError) as e:
            got = None
            failed = failing.end()
            assert str(e) or isinstance(e, MemoryError), "an error without words"
            assert failed, f"allocation {n} did not fail, yet: {e}"
        else:
            if not failing.end():
                break
        if got is not None and expected is not None:
            equal(got, expected)
        n += step
    assert n < MOST * step, "no end of it"
    print(f"# {n} allocations", flush=True)
    return n


def store(folder):
    db = connect(os.path.join(folder, "user.db"), isolation_level=None)
    one(db, "select pk_set('store', ?)", os.path.join(folder, "s.pkdb"))
    return db


def all_logged(db, asked):
    assert one(db, "select pk_flush()") == 1
    rows, dropped = one(db, "select count(*) from pk_logs"), json.loads(one(db, "select pk_health()"))["dropped"]
    assert rows + dropped >= asked, f"{asked} asked, {rows} in the log, {dropped} dropped"


@case
def a_call_fails_or_is_whole(folder):
    db, before = store(folder), mock.requests()
    n = each_fails(lambda: one(db, "select pk_ask(?, 'hello')", config()), expected="hello")
    assert n > 5, n
    equal(one(db, "select pk_ask(?, 'hello')", config()), "hello")
    all_logged(db, mock.requests() - before)


@case
def a_cached_call_fails_or_is_whole(folder):
    db, before = store(folder), mock.requests()
    asks = iter(range(10 ** 6))
    each_fails(lambda: one(db, "select pk_ask(?, ?)", config(**CACHED), f"new {next(asks)}") and 1, expected=1)
    equal(one(db, "select pk_ask(?, 'new 1')", config(**CACHED)), "new 1")
    each_fails(lambda: one(db, "select pk_ask(?, 'new 1')", config(**CACHED)), expected="new 1")
    all_logged(db, mock.requests() - before)


@case
def so_does_one_that_the_libraries_have_no_memory_for(folder):
    db, before = store(folder), mock.requests()
    each_fails(lambda: one(db, "select pk_ask(?, 'hello')", config()), "libsqlite3", "hello")
    each_fails(lambda: one(db, "select pk_ask(?, 'hello')", config()), "libcurl", "hello")
    each_fails(lambda: one(db, "select pk_ask(?, 'hello')", config(**CACHED)), "libsqlite3", "hello")
    all_logged(db, mock.requests() - before)


@case
def a_fallback_with_guards_limits_and_a_prompt(folder):
    db, before = store(folder), mock.requests()
    one(db, "select pk_limit_put('l', '{\"counts\": \"requests\", \"amount\": 50000, \"per\": \"day\"}')")
    one(db, "select pk_guardrail_put('g', '{\"type\": \"regex\", \"pattern\": \"zzz\"}')")
    good = json.loads(config())
    text = json.dumps({"strategy": {"mode": "fallback"}, "input_guardrails": ["g"],
                       "targets": [{**good, "override_params": {"model": "status-500"}}, good]})
    each_fails(lambda: one(db, "select pk_ask(?, 'hello')", text), expected="hello")
    equal(one(db, "select pk_ask(?, 'hello')", text), "hello")
    all_logged(db, (mock.requests() - before) // 2)


@case
def many_calls_at_once(folder):
    db, before = store(folder), mock.requests()
    sql = "select group_concat(content, ',') from (select content from pk_map(?, ?) order by ord)"
    query = "select value as key, 'x' || value as prompt from json_each('[1,2,3]')"
    each_fails(lambda: one(db, sql, config(), query) is not None or None)
    equal(one(db, sql, config(), query), "x1,x2,x3")
    all_logged(db, mock.requests() - before)


@case
def typed_functions_and_reports(folder):
    db = store(folder)
    each_fails(lambda: one(db, "select pk_classify(?, 'good', '[\"good\", \"bad\"]')", config()), expected="good")
    each_fails(lambda: one(db, "select count(*) from pk_estimate(?, 'select 1 as key, ''x'' as prompt')", config()) is not None or None)
    each_fails(lambda: one(db, "select count(*) from (select * from pk_logs limit 5)") is not None or None)
    each_fails(lambda: json.loads(one(db, "select pk_health()"))["ok"], expected=True)


@case
def what_is_administered_is_there_or_is_not(folder):
    db = store(folder)
    held = json.dumps({"virtual_key": "k", "override_params": {"model": "echo"}})
    each = [("select pk_key_put('k', 'openai', 'sk-secret', ?)", json.dumps({"custom_host": mock.origin + "/v1"})),
            ("select pk_config_put('c', ?)", held),
            ("select pk_prompt_put('p', ?)", "Say {{x}}"),
            ("select pk_guardrail_put('g', ?)", '{"type": "regex", "pattern": "z"}'),
            ("select pk_limit_put('l', ?)", '{"counts": "requests", "amount": 50000, "per": "day"}'),
            ("select pk_provider_put('own', ?)", json.dumps({"dialect": "openai", "base_url": mock.origin + "/v1"})),
            ("select pk_api_key_create('a' || abs(random()), ?)", "{}")]
    for sql, value in each:
        for files in ("pk.so", "libsqlite3"):
            each_fails(lambda: one(db, sql, value) is not None or None, files)
        one(db, sql, value)
    each_fails(lambda: one(db, "select pk_render('p', '{\"x\": \"y\"}')") is not None or None)
    each_fails(lambda: one(db, "select pk_ask('c', 'z')"), expected="z")
    equal(one(db, "select pk_ask('c', 'z2')"), "z2")


@case
def the_queue(folder):
    db = store(folder)
    one(db, "select pk_key_put('k', 'openai', 'sk-secret')")
    sql = "select pk_enqueue_query(?, 'select value as key, ''q'' || value as prompt from json_each(''[1,2,3]'')')"
    held = '{"virtual_key": "k", "override_params": {"model": "echo"}}'
    each_fails(lambda: one(db, sql, held) is not None or None)
    job = one(db, sql, held)
    each_fails(lambda: json.loads(one(db, "select pk_job(?)", job))["total"], expected=3)
    each_fails(lambda: db.execute("select count(*) from pk_collect(?)", (job,)).fetchall() and None)
    each_fails(lambda: one(db, "select pk_cancel(?)", job) is not None or None)
    equal(one(db, "select count(*) from pk_jobs where total <> 3"), 0)


@case
def a_store_opens_or_does_not(folder):
    def opened(db):
        one(db, "select pk_set('store', ?)", os.path.join(folder, f"{len(paths)}.pkdb"))
        paths.append(1)
        return json.loads(one(db, "select pk_health()"))["ok"]
    paths, before = [], 0
    for files, step in (("pk.so", 1), ("libsqlite3", 4999)):
        each_fails(opened, files, True, connect, step)
        before = before or descriptors()
    gc.collect()
    assert descriptors() <= before + 2, (before, [os.readlink(f"/proc/self/fd/{n}") for n in range(64) if os.path.exists(f"/proc/self/fd/{n}")])


if __name__ == "__main__":
    main()
