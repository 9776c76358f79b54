#!/usr/bin/env python3
"""What calls cost, in Postgres: paid for once, known beforehand, bounded: pg_cost.py [WORD...]"""
import json
import sys

from pg_case import case, expect, expect_error, main

QUERY = "select id as key, body as prompt from rows order by id"
CACHED = {"cache": {"mode": "simple", "max_age": 3600}}


def config(mock, model="gpt-4o-mini", path="", **more):
    return json.dumps({"provider": "openai", "api_key": "sk-test", "custom_host": f"http://127.0.0.1:{mock.port}{path}/v1",
                       "override_params": {"model": model}, **more})


def cached(mock, name):
    """A config whose cache is nobody else's."""
    return config(mock, cache={"mode": "simple", "namespace": name})


def options(**pk):
    return json.dumps({"pk": pk})


def table(k, bodies):
    k.query("drop table if exists rows")
    k.query("create table rows (id integer generated always as identity primary key, body text, x text)")
    for b in bodies:
        k.query("insert into rows (body) values ($1)", b)


def prefetch(k, *args):
    return json.loads(k.value(f"select pk_prefetch({','.join('$%d' % (i + 1) for i in range(len(args)))})", *args))


# --- pk_prefetch ---------------------------------------------------------------------------

@case
def what_was_prefetched_is_asked_for_free(pg, mock, k):
    table(k, ["a", "b", "a", None, "c"])
    c = cached(mock, "free")
    mock.reset()
    counts = prefetch(k, c, QUERY)
    expect(counts.pop("cost_usd") > 0 and counts == {"rows": 5, "distinct_prompts": 3, "cached": 0, "called": 3, "failed": 0},
           counts)
    expect(mock.requests() == 3, mock.requests())
    k.query("update rows set x = pk_ask($1, body)", c)
    expect(mock.requests() == 3, mock.requests())
    expect(k.query("select count(*) from rows where x is not null") == [["4"]])
    expect(prefetch(k, c, QUERY) == {"rows": 5, "distinct_prompts": 3, "cached": 3, "called": 0, "failed": 0, "cost_usd": 0})
    expect(k.value("select pk_prefetch(null::text, $1)", QUERY) is None)


@case
def thousands_are_there_for_the_statement_that_follows(pg, mock, k):
    c = cached(mock, "thousands")
    expect(prefetch(k, c, "select 'row ' || i as prompt from generate_series(1, 1500) i", options(concurrency=64))["called"]
           == 1500)
    mock.reset()
    expect(k.value("select count(pk_ask($1, 'row ' || i)) from generate_series(1, 1500) i", c) == "1500")
    expect(mock.requests() == 0, mock.requests())


@case
def a_rollback_keeps_what_was_prefetched(pg, mock, k):
    c = cached(mock, "rollback")
    k.query("begin isolation level repeatable read")
    expect(k.value("select 1") == "1")
    expect(prefetch(k, c, "select 'x' as prompt")["called"] == 1)
    mock.reset()
    k.value("select pk_ask($1, 'x')", c)
    k.query("rollback")
    k.value("select pk_ask($1, 'x')", c)
    expect(mock.requests() == 0, mock.requests())


@case
def a_prefetch_that_nobody_would_find_is_refused(pg, mock, k):
    table(k, ["a"])
    mock.reset()
    expect_error("22023", lambda: k.value("select pk_prefetch($1, $2)", config(mock), QUERY), "config.cache: needed")
    expect_error("22023", lambda: k.value("select pk_prefetch($1, $2, $3)", cached(mock, "n"), QUERY,
                 options(cache=False)), "params.pk.cache: must not be false")
    expect_error("22023", lambda: k.value("select pk_prefetch($1, 'delete from rows')", cached(mock, "n")), "query: must be one select")
    expect(mock.requests() == 0)
    expect(prefetch(k, config(mock), QUERY, options(cache=True))["called"] == 1)
    k.value("select pk_ask($1, 'a', null, $2)", config(mock), options(cache=True))
    expect(mock.requests() == 1, mock.requests())


# --- bounds of a statement -----------------------------------------------------------------

@case
def a_statement_makes_no_more_calls_than_it_may(pg, mock, k):
    table(k, [f"row {i}" for i in range(10)])
    c = cached(mock, "calls")
    k.query("set pk.max_calls_per_query = 4")
    k.query("select pk_key_put('loop', 'openai', 'sk-loop', jsonb_build_object('custom_host', $1::text))",
            f"http://127.0.0.1:{mock.port}/v1")
    for sql, conf in (("select pk_ask($1, body) from rows", config(mock)), ("select content from pk_map($1, 'select body as"
                      " prompt from rows')", c), ("do $x$ begin for i in 1..9 loop perform pk_ask('loop', 'x' || i, null, '{\"model\": \"echo\"}');"
                      " end loop; end $x$", None)):
        mock.reset()
        args = [conf] if conf else []
        expect_error("53400", lambda s=sql, a=args: k.query(s, *a), "max_calls_per_query: the statement has made 4 calls")
        expect(mock.requests() == 4, sql, mock.requests())
    expect_error("53400", lambda: k.query("select content from pk_map($1, $2)", c, QUERY))
    mock.reset()
    expect(len(k.query("select content from pk_map($1, $2)", c, QUERY)) == 10 and mock.requests() == 2, mock.requests())
    for _ in range(3):
        expect(len(k.query("select pk_ask($1, body) from rows limit 4", config(mock))) == 4)
    k.query("set pk.on_error = 'null'")
    expect_error("53400", lambda: k.query("select pk_ask($1, body) from rows", config(mock)))
    expect_error("53400", lambda: k.query("select pk_prefetch($1, 'select body || 2 as prompt from rows')", c))
    k.query("reset pk.max_calls_per_query")
    k.query("reset pk.on_error")


@case
def a_statement_costs_no_more_than_it_may(pg, mock, k):
    table(k, [f"row {i}" for i in range(20)])
    few = config(mock, default_params={"max_tokens": 20}, cache={"mode": "simple", "namespace": "cost"})
    k.query("set pk.max_cost_per_query = 0.0001")
    expect_error("53400", lambda: k.query("select pk_ask($1, body) from rows", config(mock)),
                 "max_cost_per_query: 0.0001", "another call may cost")
    for sql in ("select pk_ask($1, body) from rows", "select pk_ask($1, 'x')", "select pk_reduce($1, 'i', body) from rows"):
        expect_error("53400", lambda q=sql: k.query(q, config(mock, "echo")), "the price of", "pk_price_import() gives")
    rows = k.query("select content, cost_usd, error_message from pk_map($1, $2)", few, QUERY)
    expect(len(rows) == 20 and 0 < sum(float(r[1]) for r in rows) <= 0.0001, rows)
    k.query("reset pk.max_cost_per_query")
    expect_error("22023", lambda: k.query("set pk.max_cost_per_query = 'much'"), "must be dollars")


@case
def a_batch_tells_what_it_cost(pg, mock, k):
    table(k, ["a", "b", "a"])
    c = cached(mock, "told")
    with pg.connect() as other:
        told = other.listen()
        other.query("select pk_version()")
        other.query("select content from pk_map($1, $2)", c, QUERY)
        other.query("select pk_prefetch($1, $2)", c, QUERY)
        other.query("set pk.notice = off")
        other.query("select content from pk_map($1, $2)", c, QUERY)
    told = [t for t in told if t.startswith("NOTICE")]
    expect(len(told) == 2, told)
    expect("pk: rows 3, calls 2, from the cache 0, failed 0, cost $0.0000" in told[0], told)
    expect("pk: rows 3, calls 0, from the cache 2, failed 0, cost $0" in told[1], told)


# --- pk_content_hash -----------------------------------------------------------------------

HASHES = ["dddfe7246a3306767abd87388a32360e915faecff4058425417fedd659619b90",
          "dddfe7246a3306767abd87388a32360e915faecff4058425417fedd659619b90",
          "af2113b5322c478734841224cc3015a60347832240b9b2ccc9e66eae65c7f071",
          "f3a35fc0bb25bfa13d45ed7893fb5ba0cb35ed1d691c2439e455222237a59b53"]  # the same in both engines


@case
def a_content_hash_changes_with_what_shapes_the_answer_alone(pg, mock, k):
    k.query("""select pk_key_put('mine', 'openai', 'sk-1');
               select pk_config_put('known', '{"virtual_key": "mine", "override_params": {"model": "a"}}');
               select pk_prompt_put('greet', '{"messages": [{"role": "user", "content": "Greet {{name}}."}]}')""")
    h = "select pk_content_hash('known', 'hello')"
    vars_ = """select pk_content_hash('known', '{"name": "Ann"}', '{"pk": {"prompt": "greet"}}')"""
    expect([k.value(h), k.value("""select pk_content_hash('known', '[{"role": "user", "content": "hello"}]')"""),
            k.value("""select pk_content_hash('known', '[urgent] help', '{"temperature": 0}')"""), k.value(vars_)] == HASHES)
    k.query("select pk_key_rotate('mine', 'sk-2')")
    k.query("""select pk_config_put('known', '{"virtual_key": "mine", "retry": {"attempts": 3}, "request_timeout": 5000,
               "cache": {"mode": "simple"}, "override_params": {"model": "a"}}')""")
    expect(k.value(h) == HASHES[0])
    expect(k.query("select count(*) from generate_series(1, 100) i where pk_content_hash('known', 'hello') = $1",
                   HASHES[0]) == [["100"]])
    k.query("""select pk_prompt_put('greet', '{"messages": [{"role": "user", "content": "Hail {{name}}."}]}');
               select pk_prompt_publish('greet', 2)""")
    expect(k.value(vars_) != HASHES[3])
    k.query("""select pk_config_put('known', '{"virtual_key": "mine", "override_params": {"model": "b"}}')""")
    expect(k.value(h) != HASHES[0])
    expect(k.value("select pk_content_hash('known', null)") is None)
    expect_error("22023", lambda: k.value("select pk_content_hash('nowhere', 'x')"), "nowhere")


# --- pk_estimate ---------------------------------------------------------------------------

@case
def what_it_will_cost_is_known_before_a_call(pg, mock, k):
    table(k, ["Where is my order number one?", "Thank you all very much!", "Thank you all very much!", None])
    c = config(mock, default_params={"max_tokens": 50}, cache={"mode": "simple", "namespace": "estimate"})
    sql = "select * from pk_estimate($1, $2)"
    mock.reset()
    rows, distinct, cached_rows, tokens, output, least, most = k.query(sql, c, QUERY)[0]
    expect(mock.requests() == 0 and (rows, distinct, cached_rows, output) == ("4", "2", "0", "100"), rows)
    expect(0 < float(least) < float(most) < 0.001 and 10 < int(tokens) < 60, least, most, tokens)
    spent = prefetch(k, c, QUERY)["cost_usd"]
    expect(float(least) * 0.3 <= spent <= float(most), least, spent, most)
    expect(k.query(sql, c, QUERY) == [["4", "2", "3", "0", "0", "0", "0"]], k.query(sql, c, QUERY))
    expect(k.query("select cost_min_usd, cost_max_usd from pk_estimate($1, $2)", config(mock, "echo"), QUERY) == [[None, None]])
    expect(k.query("select * from pk_estimate(null::text, $1)", QUERY) == [])
    whole, half = (k.query("select cost_min_usd, cost_max_usd from pk_estimate($1, 'select ''new'' as prompt', $2)", c,
                           json.dumps({"pk": {"executor": e}}))[0] for e in ("call", "batch"))
    expect(all(abs(float(h) * 2 - float(w)) < 2e-12 for h, w in zip(half, whole)), half, whole)
    expect_error("22023", lambda: k.query("select * from pk_map($1, $2, '{\"pk\": {\"executor\": \"batch\"}}')", c, QUERY),
                 "params.pk.executor: must be")
    expect_error("22023", lambda: k.query(sql, c, "delete from rows"), "query: must be one select")
    expect(k.value("select rows from pk_estimate($1, 'select ''x'' || i as prompt from generate_series(1, 20000) i')", c)
           == "20000")


if __name__ == "__main__":
    sys.exit(main("create extension pk"))
