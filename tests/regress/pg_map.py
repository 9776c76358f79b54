#!/usr/bin/env python3
"""pk_map and pk_batch in Postgres: many calls in flight, one row each: pg_map.py [WORD...]"""
import json
import sys
import time

import pg_temp
from patience import Promise, until
from pg_case import case, expect, expect_error, main

QUERY = "select id as key, body as prompt from rows order by id"


def config(mock, model="echo", path="", **more):
    return json.dumps({"provider": "openai", "api_key": "sk-test", "custom_host": f"http://127.0.0.1:{mock.port}{path}/v1",
                       "override_params": {"model": model}, **more})


def options(**pk):
    return json.dumps({"pk": pk})


def table(k, bodies):
    k.query("drop table if exists rows")
    k.query("create table rows (id integer generated always as identity primary key, body text)")
    for b in bodies:
        k.query("insert into rows (body) values ($1)", b)


@case
def each_row_is_a_row_with_what_became_of_it(pg, mock, k):
    table(k, ["a", "b", None])
    rows = k.query("select ord, key, content, ok, http_status, attempts, response -> 'choices' -> 0 -> 'message' ->> 'content',"
                   " trace_id from pk_map($1, $2)", config(mock), QUERY)
    expect([r[:7] for r in rows] == [["1", "1", "a", "t", "200", "1", "a"], ["2", "2", "b", "t", "200", "1", "b"],
                                     ["3", "3", None, "t", None, "0", None]], rows)
    k.query("select pk_flush()")
    expect(k.value("select count(*) from pk_logs where trace_id = $1", rows[0][7]) == "1")
    expect(k.query("select * from pk_map(null::text, $1)", QUERY) == [])


@case
def calls_are_in_flight_together(pg, mock, k):
    table(k, [f"row {i}" for i in range(64)])
    mock.reset()
    done = k.value("select sum(ok::int) from pk_map($1, $2, $3)", config(mock, path="/d/200"), QUERY,
                   options(concurrency=32))
    expect(done == "64", done)
    expect(16 <= mock.page("stats")["max_in_flight"] <= 32, mock.page("stats"))


@case
def equal_prompts_are_one_call_and_bounds_hold(pg, mock, k):
    table(k, ["same", "other"] * 20)
    mock.reset()
    rows = k.query("select sum(attempts), count(*) from pk_map($1, $2)", config(mock), QUERY)
    expect(rows == [["2", "40"]] and mock.requests() == 2, rows, mock.requests())
    table(k, [f"row {i}" for i in range(60)])
    mock.reset()
    rows = k.query("select error_code, count(*) from pk_map($1, $2, $3) group by 1 order by 2", config(mock), QUERY,
                   options(max_calls=7))
    expect(rows == [[None, "7"], ["max_calls", "53"]] and mock.requests() == 7, rows)
    mock.reset()
    rows = k.query("select count(*) from pk_map($1, $2, $3) where error_code = 'max_error_ratio'",
                   config(mock, "status-401"), QUERY, options(concurrency=4))
    expect(int(rows[0][0]) >= 30 and mock.requests() < 30, rows, mock.requests())


@case
def a_bound_of_cost_that_is_reached_ends_it(pg, mock, k):
    table(k, [f"row {i}" for i in range(12)])
    price = k.value("select cost_usd from pk_map($1, 'select ''row 1'' as prompt')", config(mock, "gpt-4o-mini"))
    k.query("set statement_timeout = '4s'")
    rows = k.query("select error_code, count(*), sum(cost_usd) from pk_map($1, $2, $3) group by 1 order by 1 nulls first",
                   config(mock, "gpt-4o-mini", path="/d/50"), QUERY,
                   json.dumps({"pk": {"concurrency": 4, "max_cost_usd": float(price) * 5}}))
    k.query("reset statement_timeout")
    expect([r[:2] for r in rows] == [[None, "5"], ["max_cost", "7"]], rows)


@case
def a_provider_that_names_a_time_is_asked_again_then(pg, mock, k):
    table(k, [f"row {i}" for i in range(12)])
    began = time.monotonic()
    done = k.value("select sum(ok::int) from pk_map($1, $2, $3)", config(mock, "seq-429-429-200:retry-after-ms=50"), QUERY,
                   options(concurrency=4))
    expect(done == "12" and time.monotonic() - began < 2, done, time.monotonic() - began)
    k.query("set pk.concurrency = 4")
    began = time.monotonic()
    done = k.value("select count(pk_ask($1, body)) from rows", config(mock, "seq-429-429-200:retry-after-ms=60"))
    k.query("reset pk.concurrency")
    expect(done == "12" and time.monotonic() - began < 2, done, time.monotonic() - began)


@case
def a_batch_takes_texts_and_messages(pg, mock, k):
    rows = k.query("select ord, content, ok from pk_batch($1, array['a', null, 'b'])", config(mock))
    expect(rows == [["1", "a", "t"], ["2", None, "t"], ["3", "b", "t"]], rows)
    rows = k.query("select content from pk_batch($1, array['[{\"role\":\"user\",\"content\":\"c\"}]', '\"d\"']::jsonb[])",
                   config(mock))
    expect(rows == [["c"], ["d"]], rows)
    for literal in ("'[\"a\", null, [{\"role\": \"user\", \"content\": \"b\"}]]'", "'[\"a\", null, \"b\"]'::jsonb", "'{a, null, b}'"):
        rows = k.query(f"select ord, content, ok from pk_batch($1, {literal})", config(mock))
        expect(rows == [["1", "a", "t"], ["2", None, "t"], ["3", "b", "t"]], literal, rows)
    expect(k.query("select * from pk_batch($1, null)", config(mock)) == k.query("select * from pk_batch($1, '[]')", config(mock)) == [])
    for bad in ('{"a": 1}', '"a"', "1"):
        expect_error("22023", lambda: k.query(f"select * from pk_batch($1, '{bad}'::jsonb)", config(mock)), "inputs: must be a JSON array")
    expect_error("22P02", lambda: k.query("select * from pk_batch($1, 'a')", config(mock)))


@case
def rows_may_have_the_variables_of_a_prompt(pg, mock, k):
    table(k, ["Ann", "Bob"])
    k.query("select pk_prompt_put('greet', '\"hello {{name}}\"')")
    rows = k.query("select content from pk_map($1, $2, $3)", config(mock),
                   "select id as key, jsonb_build_object('name', body) as vars from rows order by id",
                   options(prompt="greet"))
    expect(rows == [["hello Ann"], ["hello Bob"]], rows)


@case
def wrong_queries_are_refused_before_any_call(pg, mock, k):
    table(k, ["a"])
    mock.reset()
    for query, state, words in (("select 1", "22023", "columns must be"), ("select 1 as key", "22023", "columns must be"),
                                ("delete from rows", "22023", "must be one select"),
                                ("select nope as prompt", "42703", "nope"), ("", "22023", "must be one select"),
                                ("select 'a' as prompt; select 1", "22023", "must be one select"),
                                ("with d as (delete from rows returning body) select body as prompt from d", "22023", "only reads"),
                                ("select body as prompt from rows for update", "22023", "only reads"),
                                ("insert into rows (body) values ('b') returning body as prompt", "22023", "only reads"),
                                ("explain select 'a' as prompt", "22023", "only reads")):
        try:
            k.query("select * from pk_map($1, $2)", config(mock), query)
        except pg_temp.Error as e:
            expect(not state or e.sqlstate == state, query, e.sqlstate, e.message)
            expect(words in e.message, query, e.message)
        else:
            raise AssertionError(f"no error: {query}")
    expect_error("22023", lambda: k.query("select * from pk_map($1, $2, $3)", config(mock), QUERY,
                                          options(concurrency=5000)), "concurrency")
    expect(mock.requests() == 0 and k.value("select count(*) from rows") == "1")


@case
def a_rollback_keeps_what_was_paid_for(pg, mock, k):
    table(k, ["x1", "x2", "x3"])
    cached = config(mock, cache={"mode": "simple"})
    k.query("begin")
    k.query("create table answers as select key, content from pk_map($1, $2)".replace("$1", pg_temp.quoted(cached))
            .replace("$2", pg_temp.quoted(QUERY)))
    k.query("rollback")
    mock.reset()
    k.query("select pk_flush()")
    rows = k.query("select content, cache_status from pk_map($1, $2)", cached, QUERY)
    expect([r[1] for r in rows] == ["HIT"] * 3 and mock.requests() == 0, rows, mock.requests())


@case
def cancelling_ends_all_that_is_in_flight(pg, mock, k):
    table(k, [f"row {i}" for i in range(300)])
    mock.reset()
    k.send("select * from pk_map({}, {}, {})".format(*map(pg_temp.quoted, (
        config(mock, path="/d/20000"), QUERY, options(concurrency=200)))))
    expect(until(lambda: mock.page("stats")["in_flight"] >= 200), mock.page("stats"))
    with Promise("a cancel of 200 calls", 1, 10):  # they take 20 s
        k.cancel()
        expect_error("57014", k.finish)
    expect(until(lambda: mock.page("stats")["in_flight"] == 0), mock.page("stats"))
    k.query("select pk_flush()")
    expect(int(k.value("select count(*) from pk_logs where status = 'cancelled'")) >= 200)
    expect(k.value("select content from pk_batch($1, array['on it goes'])", config(mock)) == "on it goes")


@case
def the_query_may_call_and_a_caught_error_hurts_nobody(pg, mock, k):
    table(k, ["a", "b", "c"])
    k.query("""create or replace function careful(c text, b text) returns text language plpgsql as $$
        begin return pk_ask(c, b); exception when others then return 'caught ' || b; end $$""")
    rows = k.query("select content from pk_map($1, $2, $3)", config(mock, path="/d/30"),
                   f"select careful({pg_temp.quoted(config(mock, 'seq-200-503'))}, body) as prompt from rows order by id",
                   options(concurrency=2))
    expect(len(rows) == 3 and any("caught" in r[0] for r in rows), rows)


@case
def users_need_the_role(pg, mock, k):
    k.query("create role reader login")
    with pg.connect(user="reader") as other:
        expect_error("42501", lambda: other.query("select * from pk_batch($1, array['a'])", config(mock)))
        k.query("grant pk_user to reader")
        expect(other.value("select content from pk_batch($1, array['a'])", config(mock)) == "a")


if __name__ == "__main__":
    sys.exit(main("create extension pk"))
