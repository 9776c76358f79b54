#!/usr/bin/env python3
"""A backend when memory runs out: each allocation of a statement fails once; the session lives, and the next works.

What was asked of the provider is in the log all the same: pg_memory.py
"""
import os
import sys

import pg_temp
from failing import Failing
from patience import until
from pg_case import Mock, case, expect, model, run_cases

failing = Failing(pg_temp.BUILD)
MOST = 2000  # allocations of a statement
ROWS = "select value as key, 'x' || value as prompt from generate_series(1, 5) value"


def each_fails(k, files, run):
    """Runs it until nothing fails any more; how often that was. It gives what it should, or an error in words."""
    for n in range(MOST):
        failing.begin(files, n, pid=k.pid())
        try:
            right = run()
        except pg_temp.Error as e:
            failed = failing.end()
            expect(failed, f"allocation {n} did not fail, yet: {e}")
            expect(k.value("select 1") == "1")
            continue
        failed = failing.end()
        expect(right, f"allocation {n}: another answer")
        if not failed:
            print(f"# {files}: {n} allocations", flush=True)
            return n
    raise AssertionError("no end of it")


def statements(k, config):
    m = model("m")
    return {
        "a call": lambda: k.value("select pk_ask($1, 'x', null, $2)", config, m) == "x",
        "rows": lambda: len(k.query("select pk_ask($1, 'x' || v, null, $2) from generate_series(1, 5) v", config, m)) == 5,
        "a map": lambda: len(k.query("select content from pk_map($1, $2, $3)", config, ROWS, m)) == 5,
        "an estimate": lambda: len(k.query("select * from pk_estimate($1, $2, $3)", config, ROWS, m)) == 1,
        "a config": lambda: k.query("select pk_config_put('c', '{\"virtual_key\": \"vk\"}')") is not None,
        "a call by name": lambda: k.value("select pk_ask('c', 'y', null, $1)", m) == "y",
        "a job": lambda: k.query("select pk_cancel(pk_enqueue_query('c', $1, $2))", ROWS, m) is not None,
        "health": lambda: k.query("select pk_health()") is not None,
        "the log": lambda: len(k.query("select * from pk_logs limit 1")) == 1,
    }


def all_lives(pg, mock, files):
    with pg.connect() as k:
        k.query("select pk_key_put('vk', 'openai', 'sk-1', jsonb_build_object('custom_host', $1::text))", mock.url)
        k.query("select pk_config_put('c', '{\"virtual_key\": \"vk\"}')")
        config = mock.config()
        k.query("set client_min_messages = error")
        for name, run in statements(k, config).items():
            expect(run(), name)
            try:
                each_fails(k, files, run)
            except AssertionError as e:
                raise AssertionError(f"{name}: {e}") from e
            expect(run(), name)
        expect(k.value("select pk_flush()") == "t")


@case
def allocations_of_the_extension_fail(pg, mock):
    all_lives(pg, mock, "pk.so")


@case
def allocations_of_the_server_fail(pg, mock):
    all_lives(pg, mock, "postgres")


@case
def those_of_the_first_call_of_a_session_fail(pg, mock):
    for files in ("pk.so", "postgres"):
        failed = 1
        for n in range(MOST):
            with pg.connect() as k:
                k.query("set client_min_messages = error")
                failing.begin(files, n, pid=k.pid())
                try:
                    right = k.value("select pk_ask($1, 'x', null, $2)", mock.config(), model("m")) == "x"
                    failed = failing.end()
                    expect(right, f"allocation {n}")
                except pg_temp.Error as e:
                    failed = failing.end()
                    expect(failed, f"allocation {n} did not fail, yet: {e}")
                expect(k.value("select pk_ask($1, 'x', null, $2)", mock.config(), model("m")) == "x", f"after allocation {n}")
            if not failed:
                break
        print(f"# {files}: {n} allocations", flush=True)
        expect(10 < n < MOST - 1, n)


@case
def the_server_has_not_restarted(pg, mock):
    expect("terminated by signal" not in pg.log_text() and "PANIC" not in pg.log_text(), pg.log_text()[-3000:])


def main():
    pg = pg_temp.Cluster()
    os.chmod(failing.env["PK_FAILING"], 0o666)
    try:
        pg.create()
        pg.env = {**(pg.env or os.environ), **failing.env}
        pg.start()
        pg.psql("create extension pk")
        with Mock() as mock:
            return run_cases(pg, mock) != 0
    finally:
        pg.destroy()
        os.unlink(failing.env["PK_FAILING"])


if __name__ == "__main__":
    sys.exit(main())
