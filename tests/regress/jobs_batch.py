#!/usr/bin/env python3
"""The queue through providers' batch APIs, in SQLite and in Postgres:  jobs_batch.py BUILD [WORD...]"""
import json
import os
import sys
import tempfile
import time
import urllib.request

os.environ.setdefault("BUILD", sys.argv[1] if len(sys.argv) > 1 else "build")
sys.argv[1:2] = []

import pg_temp
from patience import until
from pg_case import CASES, expect, run_cases
from mockd import Mockd
from jobs_case import BUILD, SLOW, PostgresDoor, SqliteDoor


class Mock(Mockd):
    """mockd, which counts what it was paid for by what was asked."""

    def __init__(self):
        super().__init__(BUILD)
        self.url = self.origin + "/v1"

    def be(self, **settings):
        self.page("batches", "POST", json.dumps(settings))

    def made(self):
        return self.page("batches")["made"]

    def paid(self):
        return self.page("batches")["paid"]

    def look(self, batch):
        request = urllib.request.Request(f"{self.url}/messages/batches/{batch}",
                                         headers={"x-api-key": "x", "anthropic-version": "2023-06-01"})
        with urllib.request.urlopen(request, timeout=10) as r:
            return json.load(r)

    def forget(self):
        self.page("reset", "POST", "{}")

    def config(self, who="openai", **more):
        model = {"openai": "gpt-4o", "anthropic": "claude-haiku-4-5"}[who]
        return json.dumps({"virtual_key": {"openai": "counted", "anthropic": "claude"}[who],
                           "override_params": {"model": model, "max_tokens": 100}, **more})


def both(function):
    """A case that both doors go through, each with a store of its own."""
    def through(make):
        def case(pg, mock):
            mock.forget()
            door = make(pg, mock)
            door.one("select pk_key_put('claude', 'anthropic', 'sk-ant', $1)",
                     json.dumps({"custom_host": mock.url}))
            function(door, mock)
        case.__name__ = make.__name__ + "_" + function.__name__
        CASES.append(case)

    def sqlite(pg, mock):
        return SqliteDoor(tempfile.mkdtemp(prefix="queue", dir=pg.dir), mock)

    def postgres(pg, mock):
        return PostgresDoor(pg, mock)
    through(sqlite)
    through(postgres)
    return function


def worker(door, *more):
    return door.worker("--batch-poll", "100", "--job-lease", "1s", *more)


def wait(door, job, seconds=100):
    return door.one("select pk_wait($1, $2)", job, seconds * SLOW) in (1, "t")


def enqueue(door, mock, count=10, text="'say ' || value", who="openai", config=None, **pk):
    return door.one("select pk_enqueue_query($1, $2, $3)", config or mock.config(who), door.series(count, text),
                    json.dumps({"pk": {"executor": "batch", **pk}}))


def logged(door, job, what="count(*)"):
    return door.one(f"select {what} from pk_logs where query_id = $1", job)


def all_paid_once(mock, count):
    paid = mock.paid()
    expect(len(paid) == count and set(paid.values()) == {1}, paid)


# --- the main way ----------------------------------------------------------------------------------

def goes_through(door, mock, who, usd):
    mock.be(looks=2)
    job = enqueue(door, mock, 150, who=who)
    with worker(door):
        expect(wait(door, job), door.job(job))
    status = door.job(job)
    expect(status["state"] == "done" and status["done"] == 150, status)
    rows = door.collect(job)
    expect([r[0] for r in rows] == list(range(1, 151)) and all(r[1] == 1 and f"say {r[0]}" in r[2] for r in rows),
           rows[:3])
    all_paid_once(mock, 150)
    expect(mock.made() == 1, mock.made())
    tokens = [int(v) for v in door.rows("select sum(input_tokens), sum(output_tokens) from pk_logs "
                                        "where query_id = $1", job)[0]]
    cost = float(logged(door, job, "sum(cost_usd)"))
    expect(tokens[0] > 0 and abs(cost - (tokens[0] * usd[0] + tokens[1] * usd[1]) / 1e6) < 1e-9, (tokens, cost))
    expect(abs(status["cost_usd"] - cost) < 1e-9, status)
    expect(int(logged(door, job)) == 150)
    operation, provider, metadata = door.rows("select operation, provider, metadata from pk_logs where query_id = $1",
                                              job)[0]
    expect(operation == "chat" and provider == who and json.loads(metadata)["_executor"] == "batch", metadata)
    expect(float(logged(door, job, "min(latency_ms)")) >= 100, "as long as the batch was out")


@both
def openai_answers_at_half_the_price(door, mock):
    goes_through(door, mock, "openai", (1.25, 5))


@both
def a_provider_of_ones_own_may_have_a_batch_api(door, mock):
    mock.be(looks=1)
    for name, more in ("plain", {}), ("ours", {"batch_api": True}):
        door.one("select pk_provider_put($1, $2)", name, json.dumps({"base_url": mock.url, **more}))
        door.one("select pk_key_put($1, $2, 'sk-ours')", name + "-key", name)
    expect('"batch_api":true' in door.one("select pk_provider_get('ours')").replace(" ", ""))
    try:
        enqueue(door, mock, config="plain-key", text="'hello'")
        expect(False, "it has none")
    except Exception as e:
        expect('provider "plain" has no batch API' in str(e), e)
    config = {"virtual_key": "ours-key", "override_params": {"model": "llama", "max_tokens": 100}}
    job = enqueue(door, mock, 5, config=json.dumps(config))
    with worker(door):
        expect(wait(door, job), door.job(job))
    expect(door.job(job)["done"] == 5 and mock.made() == 1, door.collect(job, "error_message"))
    all_paid_once(mock, 5)
    expect([tuple(r) for r in door.rows("select distinct provider from pk_logs where query_id = $1", job)] == [("ours",)])


@both
def anthropic_answers_at_half_the_price(door, mock):
    goes_through(door, mock, "anthropic", (0.5, 2.5))


@both
def messages_and_variables_of_a_prompt_go_too(door, mock):
    door.one("select pk_prompt_put('greet', $1)", '{"messages":[{"role":"user","content":"hi {{name}}"}]}')
    query = "select 1 as key, '{\"name\":\"Ann\"}' as vars union all select 2, null"
    jobs = [door.one("select pk_enqueue_query($1, $2, $3)", mock.config(), query,
                     '{"pk":{"prompt":"greet","executor":"batch"}}'),
            door.one("select pk_enqueue($1, $2, $3)", mock.config(), '[{"role":"user",\n"content":"in a list"}]',
                     '{"pk":{"executor":"batch"}}')]
    with worker(door):
        for job in jobs:
            expect(wait(door, job), door.job(job))
    expect(set(mock.paid()) == {"hi Ann", "in a list"}, mock.paid())
    expect([r[:2] for r in door.collect(jobs[0])] == [(1, 1), (2, 1)], door.collect(jobs[0]))


@both
def calls_and_batches_share_a_queue(door, mock):
    job = enqueue(door, mock, 5, "'batched ' || value")
    other = door.one("select pk_enqueue_query($1, $2)", mock.config(), door.series(5))
    with worker(door):
        expect(wait(door, job) and wait(door, other), door.job(job), door.job(other))
    expect(len(mock.paid()) == 5 and all(t.startswith("batched") for t in mock.paid()), mock.paid())


@both
def more_models_than_one_are_more_batches_than_one(door, mock):
    for name, model in (("a", "gpt-4o"), ("b", "gpt-4o-mini")):
        door.one("select pk_prompt_put($1, $2)", "talk", json.dumps(
            {"messages": [{"role": "user", "content": name + " {{n}}"}], "model": model}))
    for version in (1, 2):
        door.one(f"select pk_prompt_publish('talk', {version}, 'both', 1)")
    config = json.dumps({"virtual_key": "counted"})
    text = "'{\"n\":' || value || '}'"
    query = door.series(30, text).replace("as prompt", "as vars")
    job = door.one("select pk_enqueue_query($1, $2, $3)", config, query,
                   '{"pk":{"prompt":"talk@both","executor":"batch"}}')
    with worker(door):
        expect(wait(door, job), door.job(job))
    expect(door.job(job)["done"] == 30, door.job(job))
    expect(mock.made() == 2, mock.made())
    all_paid_once(mock, 30)


# --- what goes wrong -------------------------------------------------------------------------------

@both
def what_fails_is_asked_again_and_parked(door, mock):
    config = mock.config(override_params={"max_tokens": 5})
    text = "'x ' || value"
    job = door.one("select pk_enqueue_query($1, $2, $3)", config, door.series(3, text),
                   json.dumps({"model": "status-503", "pk": {"executor": "batch", "max_attempts": 2}}))
    with worker(door):
        expect(wait(door, job), door.job(job))
    # Those that are back first may be in another batch than the rest.
    made = mock.made()
    expect(door.job(job)["state"] == "failed" and 2 <= made <= 4, door.job(job), made)
    rows = door.collect(job, "key, ok, error_code, retryable, http_status")
    expect(rows == [(k, 0, "provider_error", 1, 503) for k in (1, 2, 3)], rows)
    expect(mock.paid() == {} and int(logged(door, job)) == 6, logged(door, job))
    job = door.one("select pk_enqueue_query($1, $2, $3)", config, door.series(3, text),
                   json.dumps({"model": "status-400", "pk": {"executor": "batch"}}))
    with worker(door):
        expect(wait(door, job), door.job(job))
    rows = door.collect(job, "key, ok, error_code, retryable, http_status")
    expect(rows == [(k, 0, "provider_error", 0, 400) for k in (1, 2, 3)] and mock.made() == made + 1, rows)


@both
def lines_that_are_none_of_ours_do_no_harm(door, mock):
    for who in ("openai", "anthropic"):
        mock.be(garbage=1)
        job = enqueue(door, mock, 20, f"'{who} ' || value", who=who)
        with worker(door):
            expect(wait(door, job), door.job(job))
        expect(door.job(job)["done"] == 20 and int(logged(door, job)) == 20, door.job(job))
    all_paid_once(mock, 40)


@both
def what_has_no_answer_is_asked_again(door, mock):
    for who in ("openai", "anthropic"):
        before = mock.made()
        mock.be(drop=3)
        job = enqueue(door, mock, 10, f"'{who} ' || value", who=who, max_attempts=5)
        with worker(door):
            expect(until(lambda: door.job(job)["done"] == 7), door.job(job))
            mock.be()
            expect(wait(door, job), door.job(job))
        expect(door.job(job)["done"] == 10 and mock.made() >= before + 2, door.job(job), mock.made())
    all_paid_once(mock, 20)


@both
def what_expired_is_asked_again(door, mock):
    for who in ("openai", "anthropic"):
        mock.be(end="expired")
        job = enqueue(door, mock, 10, f"'{who} ' || value", who=who, max_attempts=1)
        with worker(door):
            expect(wait(door, job), door.job(job))
            expect(door.job(job)["done"] == 5 and door.job(job)["failed"] == 5, door.job(job))
            row = [r for r in door.collect(job, "ok, error_code, error_message, retryable, http_status") if r[0] == 0][0]
            expect("expire" in row[2] and row[1] == "provider_error" and row[3] == 1, row)
            mock.be()
            expect(int(door.one("select pk_retry($1)", job)) == 5)
            expect(wait(door, job), door.job(job))
        expect(door.job(job)["done"] == 10, door.job(job))
    all_paid_once(mock, 20)


@both
def a_batch_that_is_refused_says_so_of_each_item(door, mock):
    mock.be(end="failed")
    job = enqueue(door, mock, 4)
    with worker(door):
        expect(wait(door, job), door.job(job))
    rows = door.collect(job, "ok, error_code, http_status, error_message")
    expect(all(r[:3] == (0, "provider_error", 400) and "not to our liking" in r[3] for r in rows), rows)
    mock.forget()
    mock.be(make_status=401)
    for who in ("openai", "anthropic"):
        job = enqueue(door, mock, 4, who=who)
        with worker(door):
            expect(wait(door, job), door.job(job))
        rows = door.collect(job, "ok, error_code, http_status, error_message")
        expect(all(r[:3] == (0, "provider_error", 401) and "no batches now" in r[3] for r in rows), rows)
    expect(mock.made() == 0 and mock.paid() == {}, mock.page("batches"))


@both
def a_provider_that_cannot_now_is_asked_again(door, mock):
    mock.be(make_status=503)
    job = enqueue(door, mock, 4)
    with worker(door):
        expect(until(lambda: mock.page("stats")["by_path"].get("/v1/batches", 0) >= 3), "not asked again")
        mock.be()
        expect(wait(door, job), door.job(job))
    expect(door.job(job)["done"] == 4 and mock.made() == 1, door.job(job))
    all_paid_once(mock, 4)


@both
def a_batch_whose_making_was_not_heard_of_is_found(door, mock):
    for who in ("openai", "anthropic"):
        before = mock.made()
        mock.be(lose=1, looks=3)
        job = enqueue(door, mock, 7, f"'{who} ' || value", who=who)
        with worker(door):
            if who == "anthropic":  # which tells whose a batch is when it is over
                expect(until(lambda: mock.made() == before + 1))
                time.sleep(0.5)
                expect(door.job(job)["running"] == 7 and mock.made() == before + 1, door.job(job))
                for _ in range(3):
                    mock.look(f"msgbatch_{before}")
            expect(wait(door, job), door.job(job))
        expect(door.job(job)["done"] == 7 and mock.made() == before + 1, door.job(job), mock.made())
    all_paid_once(mock, 14)


# --- cancelling ------------------------------------------------------------------------------------

@both
def a_cancelled_job_cancels_its_batch(door, mock):
    for i, who in enumerate(("openai", "anthropic")):
        mock.be(end="never")
        job = enqueue(door, mock, 6, who=who)
        with worker(door):
            expect(until(lambda: mock.made() == i + 1))
            expect(door.one("select pk_cancel($1)", job) in (1, "t"))
            expect(wait(door, job), door.job(job))
        status = door.job(job)
        expect(status["state"] == "cancelled" and status["cancelled"] == 6, status)
        expect(mock.page("batches")["cancelled"] == i + 1 and mock.paid() == {}, mock.page("batches"))
        expect(door.collect(job, "error_code")[0] == ("cancelled",), door.collect(job, "error_code"))


@both
def a_job_that_is_cancelled_before_it_is_sent_is_not(door, mock):
    job = enqueue(door, mock, 6)
    expect(door.one("select pk_cancel($1)", job) in (1, "t"))
    with worker(door):
        time.sleep(0.5)
    expect(door.job(job)["state"] == "cancelled" and mock.made() == 0, door.job(job))


# --- workers that die ------------------------------------------------------------------------------

def batches_of(door):
    return door.rows("select count(*) from pk_job_batch where state <> 'over'")


def killed(door, mock, who, when, **settings):
    """Kills a worker when `when` holds; another one then ends the job, and nothing was paid for twice."""
    before = mock.made()
    mock.be(**settings)
    job = enqueue(door, mock, 30, f"'{who} ' || value", who=who)
    dead = worker(door)
    expect(until(lambda: when(before)), "it did not come to that")
    dead.kill()
    mock.be(looks=1)
    with worker(door):
        if who == "anthropic":
            expect(until(lambda: mock.made() > before))
            mock.look(f"msgbatch_{before}")
        expect(wait(door, job, 30), door.job(job))
    status = door.job(job)
    expect(status["done"] == 30 and mock.made() == before + 1, status, mock.page("batches"))
    expect(int(logged(door, job)) == 30, logged(door, job))


def uploads(mock):
    return mock.page("stats")["by_path"].get("/v1/files", 0)


@both
def killed_while_it_uploads(door, mock):
    killed(door, mock, "openai", lambda _: uploads(mock) > 0, wait_upload=60000)
    all_paid_once(mock, 30)


@both
def killed_between_the_making_and_its_answer(door, mock):
    for who in ("openai", "anthropic"):
        killed(door, mock, who, lambda before: mock.made() > before, wait_make=60000)
    all_paid_once(mock, 60)


@both
def killed_while_it_waits(door, mock):
    for who in ("openai", "anthropic"):
        killed(door, mock, who, lambda before: mock.made() > before, end="never")
    all_paid_once(mock, 60)


@both
def killed_while_it_reads(door, mock):
    def reads():
        return sum(n for path, n in mock.page("stats")["by_path"].items() if "content" in path or "results" in path)
    for i, who in enumerate(("openai", "anthropic")):
        killed(door, mock, who, lambda _: reads() > i, wait_read=60000)
        mock.be()
    all_paid_once(mock, 60)


@both
def killed_again_and_again(door, mock):
    mock.be(looks=3)
    job = enqueue(door, mock, 2000)
    for i in range(12):
        w = worker(door)
        time.sleep(0.05 + 0.13 * i)
        w.kill()
    with worker(door):
        expect(wait(door, job, 60), door.job(job))
    expect(door.job(job)["done"] == 2000, door.job(job))
    all_paid_once(mock, 2000)
    expect(int(logged(door, job)) == 2000 and int(logged(door, job, "count(distinct id)")) == 2000, logged(door, job))


@both
def a_worker_that_is_stopped_leaves_it_to_the_next(door, mock):
    mock.be(looks=10)
    job = enqueue(door, mock, 30)
    with worker(door):
        expect(until(lambda: mock.made() == 1))
    expect(door.job(job)["state"] == "running", door.job(job))
    with worker(door):
        expect(wait(door, job), door.job(job))
    all_paid_once(mock, 30)


@both
def workers_share_the_batches(door, mock):
    jobs = [enqueue(door, mock, 40, f"'job {i} ' || value") for i in range(6)]
    with worker(door), worker(door), worker(door):
        for job in jobs:
            expect(wait(door, job), door.job(job))
    all_paid_once(mock, 240)


# --- cache, limits, guardrails, configs ------------------------------------------------------------

@both
def an_answer_of_the_cache_is_not_sent(door, mock):
    config = mock.config(cache={"mode": "simple", "max_age": 3600})
    job = enqueue(door, mock, 5, config=config)
    with worker(door):
        expect(wait(door, job), door.job(job))
        expect(until(lambda: int(door.one("select count(*) from pk_cache")) == 5), "the cache")
        again = enqueue(door, mock, 8, config=config)
        expect(wait(door, again), door.job(again))
    all_paid_once(mock, 8)
    rows = door.collect(again, "key, cache_status")
    expect([r[1] for r in rows] == ["HIT"] * 5 + ["MISS"] * 3, rows)


@both
def limits_hold_for_what_is_sent_and_charge_what_was_used(door, mock):
    door.one("select pk_limit_put('few', $1)", '{"counts":"requests","per":"day","amount":12}')
    door.one("select pk_limit_put('dollars', $1)", '{"counts":"cost","per":"day","amount":1000}')
    job = enqueue(door, mock, 12)
    with worker(door):
        expect(wait(door, job), door.job(job))
    expect(door.job(job)["done"] == 12, door.job(job))
    used = dict((r[0], (float(r[1]), float(r[2]))) for r in door.rows("select slug, used, reserved from pk_limits"))
    expect(used["few"] == (12, 0), used)
    expect(used["dollars"][1] == 0 and abs(used["dollars"][0] - float(logged(door, job, "sum(cost_usd)"))) < 1e-9, used)


@both
def what_a_limit_does_not_let_in_waits(door, mock):
    door.one("select pk_limit_put('dear', $1)", '{"counts":"tokens","per":"day","amount":600}')
    job = enqueue(door, mock, 100)
    with worker(door):
        expect(until(lambda: door.job(job)["done"] > 0), door.job(job))
        time.sleep(1)
        status = door.job(job)
        expect(0 < status["done"] < 20 and status["failed"] == 0, status)
        expect(status["done"] + status["queued"] + status["running"] == 100, status)
        expect(set(mock.paid().values()) == {1}, mock.paid())
    expect(float(door.one("select used from pk_limits where slug = 'dear'")) < 600)


@both
def a_provider_that_takes_no_batch_is_given_up(door, mock):
    mock.be(make_status=500)
    job = enqueue(door, mock, 3, max_attempts=1)
    with worker(door):
        expect(wait(door, job), door.job(job))
        expect(door.collect(job, "ok, error_code, retryable, error_message")[0] ==
               (0, "provider_error", 1, "openai: it has taken no batch"), door.collect(job, "error_message"))
        mock.be()
        expect(int(door.one("select pk_retry($1)", job)) == 3 and wait(door, job), door.job(job))
    all_paid_once(mock, 3)


@both
def a_config_that_leads_elsewhere_is_told(door, mock):
    door.one("select pk_config_put('moving', $1)", mock.config())
    mock.be(looks=3)
    job = enqueue(door, mock, 3, config="moving")
    with worker(door):
        expect(until(lambda: mock.made() == 1))
    door.one("select pk_config_put('moving', $1)", json.dumps({"strategy": {"mode": "fallback"}, "targets": [
        json.loads(mock.config("anthropic")), json.loads(mock.config())]}))
    with worker(door):
        expect(wait(door, job), door.job(job))
    expect(door.collect(job, "ok, error_code, retryable")[0] == (0, "invalid_config", 0), door.collect(job, "error_message"))


@both
def a_prompt_that_changed_meanwhile_is_not_cached(door, mock):
    door.one("select pk_prompt_put('talk', $1)", '"one {{n}}"')
    config = mock.config(cache={"mode": "simple", "max_age": 3600})
    mock.be(looks=4)
    job = door.one("select pk_enqueue_query($1, $2, $3)", config,
                   door.series(3, "'{\"n\":' || value || '}'").replace("as prompt", "as vars"),
                   '{"pk":{"prompt":"talk","executor":"batch"}}')
    with worker(door):
        expect(until(lambda: mock.made() == 1))
        door.one("select pk_prompt_put('talk', $1)", '"two {{n}}"')
        door.one("select pk_prompt_publish('talk', 2)")
        expect(wait(door, job), door.job(job))
    expect(door.job(job)["done"] == 3, door.collect(job, "error_code, error_message"))
    expect(set(mock.paid()) == {"one 1", "one 2", "one 3"}, mock.paid())
    time.sleep(0.5)
    expect(int(door.one("select count(*) from pk_cache")) == 0, "it was cached")


@both
def guardrails_look_at_both_ends(door, mock):
    deny = {"default.contains": {"operator": "none", "words": ["secret"]}, "deny": True}
    config = mock.config(before_request_hooks=[deny])
    job = enqueue(door, mock, 4, "case value when 2 then 'a secret' else 'fine ' || value end", config=config)
    with worker(door):
        expect(wait(door, job), door.job(job))
    rows = door.collect(job, "key, ok, error_code")
    expect(rows == [(1, 1, None), (2, 0, "guardrail_blocked"), (3, 1, None), (4, 1, None)], rows)
    expect(len(mock.paid()) == 3, mock.paid())


@both
def the_first_target_with_a_batch_api_is_asked(door, mock):
    door.one("select pk_key_put('other', 'mistral-ai', 'sk-m', $1)", json.dumps({"custom_host": mock.url}))
    config = json.dumps({"strategy": {"mode": "fallback"}, "targets": [
        {"virtual_key": "other"}, {"virtual_key": "counted", "override_params": {"model": "gpt-4o"}}]})
    job = enqueue(door, mock, 3, config=config)
    with worker(door):
        expect(wait(door, job), door.job(job))
    expect(door.collect(job, "key, provider")[0] == (1, "openai"), door.collect(job, "key, provider"))
    all_paid_once(mock, 3)


@both
def what_cannot_be_batched_is_said_at_once(door, mock):
    door.one("select pk_key_put('other', 'mistral-ai', 'sk-m', $1)", json.dumps({"custom_host": mock.url}))
    conditional = json.dumps({"strategy": {"mode": "conditional", "default": "a", "conditions": [
        {"query": {"metadata.x": {"$eq": "y"}}, "then": "a"}]},
                              "targets": [{"name": "a", "virtual_key": "counted"}]})
    for words, config, pk in [
            ('params.pk.executor: must be "call" or "batch"', mock.config(), {"executor": "fast"}),
            ('params.pk.executor: must be', mock.config(), {"executor": 1}),
            ('params.pk.executor: provider "mistral-ai" has no batch API', '{"virtual_key":"other"}',
             {"executor": "batch"}),
            ("conditional", conditional, {"executor": "batch"})]:
        said = door.error("select pk_enqueue($1, $2, $3)", config, '"x"', json.dumps({"pk": pk}))
        expect(words in said, words, "is not in", said)


if __name__ == "__main__":
    mock = Mock()
    try:
        with pg_temp.Cluster() as cluster:
            sys.exit(run_cases(cluster, mock) > 0)
    finally:
        mock.process.terminate()
