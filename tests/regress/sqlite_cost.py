#!/usr/bin/env python3
"""What calls cost, in SQLite: paid for once, known beforehand, bounded."""
import json

from sqlite_door import CACHED, calls, case, config, connect, contains, equal, failure, main, mock, one, options, table

QUERY = "select id as key, body as prompt from t order by id"


def prefetch(db, *args):
    return json.loads(one(db, f"select pk_prefetch({','.join('?' * len(args))})", *args))


# --- pk_prefetch ---------------------------------------------------------------------------

@case
def what_was_prefetched_is_asked_for_free(folder):
    db = table(folder, ["a", "b", "a", None, "c"])
    c = config("gpt-4o-mini", **CACHED)
    before = mock.requests()
    equal({k: v for k, v in prefetch(db, c, QUERY).items() if k != "cost_usd"},
          {"rows": 5, "distinct_prompts": 3, "cached": 0, "called": 3, "failed": 0})
    equal(mock.requests() - before, 3)
    _, made = calls(db, "update t set x = pk_ask(?, body)", c)
    equal(made, 0)
    equal([r[0] for r in db.execute("select x from t order by id")], ["a", "b", "a", None, "c"])
    db.execute("insert into t(body) values ('d')")
    counts = prefetch(db, c, QUERY)
    equal(counts.pop("cost_usd") > 0, True)
    equal(counts, {"rows": 6, "distinct_prompts": 4, "cached": 3, "called": 1, "failed": 0})
    equal(prefetch(db, c, QUERY)["cost_usd"], 0)


@case
def thousands_are_there_for_the_statement_that_follows(folder):
    db = table(folder, [f"row {i}" for i in range(2000)])
    c = config(**CACHED)
    equal(prefetch(db, c, QUERY, options(concurrency=64))["called"], 2000)
    _, made = calls(connect(), "with recursive n(i) as (select 0 union all select i + 1 from n where i < 1999)"
                    " select count(pk_ask(?, 'row ' || i)) from n", c)
    equal(made, 0)


@case
def a_prefetch_that_nobody_would_find_is_refused(folder):
    db = table(folder, ["a"])
    before = mock.requests()
    contains(failure(db, "select pk_prefetch(?, ?)", config(), QUERY), "config.cache: needed")
    contains(failure(db, "select pk_prefetch(?, ?, ?)", config(**CACHED), QUERY, options(cache=False)),
             "params.pk.cache: must not be false")
    contains(failure(db, "select pk_prefetch(?, 'delete from t')", config(**CACHED)), "query: must be one select")
    contains(failure(db, "select pk_prefetch(?, 'select 1 as n')", config(**CACHED)), "query: its columns")
    contains(failure(db, "select pk_prefetch(?, 'select body as prompt from nowhere')", config(**CACHED)), "nowhere")
    equal(one(db, "select pk_prefetch(null, ?)", QUERY), None)
    equal(mock.requests() - before, 0)


@case
def an_option_turns_a_cache_on(folder):
    db = table(folder, ["a", "b"])
    equal(prefetch(db, config(), QUERY, options(cache=True))["called"], 2)
    rows, made = calls(db, "select pk_ask(?, body, null, ?) from t", config(), options(cache=True))
    equal((rows, made), ([("a",), ("b",)], 0))
    _, made = calls(db, "select pk_ask(?, body) from t", config())
    equal(made, 2)


@case
def what_failed_is_counted_and_asked_again(folder):
    db = table(folder, [f"row {i}" for i in range(5)])
    counts = prefetch(db, config("status-401", **CACHED), QUERY)
    equal((counts["called"], counts["failed"]), (5, 5))
    counts = prefetch(db, config(**CACHED), QUERY, options(max_calls=2))
    equal((counts["called"], counts["failed"]), (2, 3))
    counts = prefetch(db, config(**CACHED), QUERY)
    equal((counts["cached"], counts["called"], counts["failed"]), (2, 3, 0))


# --- bounds of a statement -----------------------------------------------------------------

def set_(db, **settings):
    for name, value in settings.items():
        db.execute("select pk_set(?, ?)", (name, value)).fetchall()


@case
def a_statement_makes_no_more_calls_than_it_may(folder):
    db = table(folder, [f"row {i}" for i in range(10)])
    set_(db, max_calls_per_query=4)
    c = config(**CACHED)
    for sql in ("select pk_ask(?, body) from t", "select pk_ask(?1, body), pk_try_chat(?1, body) from t"):
        before = mock.requests()
        contains(failure(db, sql, config()), "query_limit", "max_calls_per_query: the statement has made 4 calls")
        equal(mock.requests() - before, 4)
    before = mock.requests()
    contains(failure(db, "select content from pk_map(?, ?)", c, QUERY), "query_limit")
    equal(mock.requests() - before, 4)
    # What was paid for is kept; what the cache answers is no call.
    contains(failure(db, "select content from pk_map(?, ?)", c, QUERY), "query_limit")
    rows, made = calls(db, "select content from pk_map(?, ?)", c, QUERY)
    equal((len(rows), made), (10, 2))
    # Each statement begins anew, and one that was given up half-way is over.
    for _ in range(3):
        equal(len(db.execute("select pk_ask(?, body) from t limit 4", (config(),)).fetchall()), 4)
    half = db.execute("select pk_ask(?, body) from t", (config(),))
    half.fetchone()
    half.close()
    equal(len(db.execute("select pk_ask(?, body) from t limit 4", (config(),)).fetchall()), 4)
    set_(db, on_error="null")
    contains(failure(db, "select pk_ask(?, body) from t", config()), "query_limit")
    contains(failure(db, "select pk_prefetch(?, 'select body || 2 as prompt from t')", c), "query_limit")
    set_(db, max_calls_per_query=0)
    equal(len(db.execute("select pk_ask(?, body) from t", (config(),)).fetchall()), 10)


@case
def a_statement_costs_no_more_than_it_may(folder):
    db = table(folder, [f"row {i}" for i in range(20)])
    few = config("gpt-4o-mini", default_params={"max_tokens": 20}, **CACHED)
    set_(db, max_cost_per_query="0.0001")
    contains(failure(db, "select pk_ask(?, body) from t", config("gpt-4o-mini")), "query_limit",
             "max_cost_per_query: 0.0001", "another call may cost")
    contains(failure(db, "select pk_ask(?, body) from t", config()), "query_limit", "the price of", "is not known")
    rows, made = calls(db, "select content, cost_usd from pk_map(?, ?)", few, QUERY)
    spent = sum(r[1] for r in rows)
    equal((len(rows), made), (20, 20))
    assert 0 < spent <= 0.0001, spent
    set_(db, max_cost_per_query=str(round(spent, 12) / 2))
    message = failure(db, "select content from pk_map(?, ?)", few.replace("gpt-4o-mini", "gpt-4o"), QUERY)
    contains(message, "query_limit")
    contains(failure(db, "select pk_set('max_cost_per_query', 'much')"), "max_cost_per_query: must be dollars")
    contains(failure(db, "select pk_set('max_calls_per_query', '-1')"), "max_calls_per_query: must be 0")


# --- pk_content_hash -----------------------------------------------------------------------

def hashes(value):
    return [value("select pk_content_hash('known', 'hello')"),
            value("select pk_content_hash('known', '[{\"role\": \"user\", \"content\": \"hello\"}]')"),
            value("select pk_content_hash('known', '[urgent] help', '{\"temperature\": 0}')"),
            value("select pk_content_hash('known', '{\"name\": \"Ann\"}', '{\"pk\": {\"prompt\": \"greet\"}}')")]


HASHES = ["dddfe7246a3306767abd87388a32360e915faecff4058425417fedd659619b90",
          "dddfe7246a3306767abd87388a32360e915faecff4058425417fedd659619b90",
          "af2113b5322c478734841224cc3015a60347832240b9b2ccc9e66eae65c7f071",
          "f3a35fc0bb25bfa13d45ed7893fb5ba0cb35ed1d691c2439e455222237a59b53"]  # the same in both engines


@case
def a_content_hash_changes_with_what_shapes_the_answer_alone(folder):
    db = connect()
    h = "select pk_content_hash('known', ?)"
    put = "select pk_config_put('known', ?)"
    one(db, "select pk_key_put('mine', 'openai', 'sk-1')")
    one(db, put, '{"virtual_key": "mine", "override_params": {"model": "a"}}')
    one(db, "select pk_prompt_put('greet', 'Greet {{name}}.')")
    equal(hashes(lambda sql: one(db, sql)), HASHES)
    first = one(db, h, "hello")
    equal(len(first), 64)
    assert one(db, h, "hello!") != first
    one(db, "select pk_key_rotate('mine', 'sk-2')")
    one(db, put, '{"virtual_key": "mine", "retry": {"attempts": 3}, "cache": {"mode": "simple", "namespace": "n"},'
                 ' "request_timeout": 5000, "override_params": {"model": "a"}}')
    equal(one(db, h, "hello"), first)
    one(db, put, '{"virtual_key": "mine", "override_params": {"model": "b"}}')
    assert one(db, h, "hello") != first
    vars_ = "select pk_content_hash('known', '{\"name\": \"Ann\"}', '{\"pk\": {\"prompt\": \"greet\"}}')"
    before = one(db, vars_)
    one(db, "select pk_prompt_put('greet', 'Hail {{name}}.')")
    one(db, "select pk_prompt_publish('greet', 2)")
    assert one(db, vars_) != before
    equal(one(db, "select pk_content_hash(null, 'x')"), None)
    equal(one(db, "select pk_content_hash('known', null)"), None)
    contains(failure(db, "select pk_content_hash('nowhere', 'x')"), "nowhere")


# --- pk_estimate ---------------------------------------------------------------------------

ESTIMATE = ("select rows, distinct_prompts, cached_rows, input_tokens, max_output_tokens, cost_min_usd, cost_max_usd"
            " from pk_estimate(?, ?, ?)")


def estimate(db, c, query=QUERY, params=None):
    rows = db.execute(ESTIMATE, (c, query, params)).fetchall()
    equal(len(rows), 1)
    return dict(zip(("rows", "distinct", "cached", "input", "output", "least", "most"), rows[0]))


@case
def what_it_will_cost_is_known_before_a_call(folder):
    db = table(folder, ["Where is my order number one?", "Thank you all very much!", "Thank you all very much!", None])
    c = config("gpt-4o-mini", default_params={"max_tokens": 50}, **CACHED)
    before = mock.requests()
    e = estimate(db, c)
    equal(mock.requests() - before, 0)
    equal((e["rows"], e["distinct"], e["cached"], e["output"]), (4, 2, 0, 100))
    assert 10 <= e["input"] <= 60, e
    assert 0 < e["least"] < e["most"] < 0.001, e
    equal(round(e["most"] * 1e6, 3), round(e["input"] * 0.15 + e["output"] * 0.6, 3))
    counts = prefetch(db, c, QUERY)
    assert e["least"] * 0.3 <= counts["cost_usd"] <= e["most"], (e, counts)
    e = estimate(db, c)
    equal((e["rows"], e["distinct"], e["cached"], e["input"], e["most"]), (4, 2, 3, 0, 0))
    db.execute("insert into t(body) values ('One more.')")
    equal(estimate(db, c)["output"], 50)
    equal(db.execute("select count(*) from pk_logs").fetchone()[0], 2)


@case
def the_cheapest_and_the_dearest_target_are_the_bounds(folder):
    db = table(folder, ["a", "b"])
    targets = [{"provider": "openai", "api_key": "sk-1", "override_params": {"model": m, "max_tokens": 100}}
               for m in ("gpt-4o", "gpt-4o-mini")]
    both = estimate(db, json.dumps({"strategy": {"mode": "fallback"}, "targets": targets}))
    dear, cheap = (estimate(db, json.dumps(t)) for t in targets)
    equal(both["most"], dear["most"])
    assert 0.8 * cheap["least"] < both["least"] < 1.2 * cheap["least"], (both, cheap)  # the first says how many tokens
    assert dear["least"] > cheap["least"]
    free = estimate(db, config("nobody-knows"))
    equal((free["least"], free["most"], free["rows"]), (None, None, 2))
    assert free["output"] == 2 * 4096, free
    equal(estimate(db, targets_of(targets, "nobody-knows"))["most"], None)
    equal(db.execute(ESTIMATE, (None, QUERY, None)).fetchall(), [])
    contains(failure(db, ESTIMATE, config(), "delete from t", None), "query: must be one select")
    contains(failure(db, "select * from pk_estimate"), "pk_estimate needs a config and a query")
    one(db, "select pk_prompt_put('greet', 'Greet {{name}}.')")
    e = estimate(db, config(), "select json_object('name', body) as vars from t", options(prompt="greet"))
    equal(e["distinct"], 2)


@case
def a_job_through_a_batch_api_costs_half(folder):
    db = table(folder, ["Where is my order number one?", "Thank you!"])
    target = {"provider": "openai", "api_key": "sk-1", "override_params": {"model": "gpt-4o-mini", "max_tokens": 50}}
    c = json.dumps(target)
    batch = options(executor="batch", max_attempts=5)
    whole, half = estimate(db, c, params=options(executor="call")), estimate(db, c, params=batch)
    for bound in "least", "most":
        equal(round(half[bound] * 2e12), round(whole[bound] * 1e12))
    equal([half[n] for n in ("rows", "input", "output")], [whole[n] for n in ("rows", "input", "output")])
    # No fallback: the one target that has a batch API says all.
    dear = {**target, "override_params": {"model": "gpt-4o", "max_tokens": 50}}
    no_batches = {"provider": "google", "api_key": "k", "override_params": {"model": "gemini-2.5-pro"}}
    both = json.dumps({"strategy": {"mode": "fallback"}, "targets": [no_batches, target, dear]})
    equal((estimate(db, both, params=batch)["least"], estimate(db, both, params=batch)["most"]), (half["least"], half["most"]))
    contains(failure(db, ESTIMATE, json.dumps(no_batches), QUERY, batch), 'provider "google" has no batch API')
    contains(failure(db, ESTIMATE, c, QUERY, options(executor="soon")), "params.pk.executor: must be")
    contains(failure(db, "select * from pk_map(?, ?, ?)", c, QUERY, batch), 'params.pk.executor: must be "call", or for a job')


def targets_of(targets, model):
    unknown = json.loads(json.dumps(targets[0]))
    unknown["override_params"]["model"] = model
    return json.dumps({"strategy": {"mode": "fallback"}, "targets": [targets[1], unknown]})


if __name__ == "__main__":
    main()
