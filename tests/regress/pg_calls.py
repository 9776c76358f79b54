#!/usr/bin/env python3
"""Calls from Postgres: answers, errors, rights, transactions, cache, cancelling: pg_calls.py [WORD...]"""
import json
import sys
import threading
import time

from patience import Promise, soon, until
from pg_case import case, expect, expect_error, main, model

ASK = "select pk_ask($1, $2, null, $3)"


def logs(k, where="true"):
    k.query("select pk_flush()")
    return int(k.value(f"select count(*) from pk_logs where {where}"))


@case
def an_answer_comes_with_its_facts(pg, mock, k):
    text = k.value("select pk_chat($1, '\"one two\"', $2)", mock.config(), model("gpt-4o"))
    answer = json.loads(text)
    expect(answer["choices"][0]["message"]["content"] == "one two", text)
    expect(answer["pk"]["provider"] == "openai" and answer["pk"]["attempts"] == 1, text)


@case
def a_jsonb_config_and_message_list_work(pg, mock, k):
    text = k.value("select pk_chat($1::jsonb, $2::jsonb, $3)", mock.config(),
                   '[{"role":"user","content":"hi there"}]', model("gpt-4o"))
    expect(json.loads(text)["choices"][0]["message"]["content"] == "hi there", text)
    expect(k.value("select pk_ask($1::jsonb, 'again', 'be nice', $2)", mock.config(),
                   model("gpt-4o")) == "again")


@case
def a_logged_call_is_replayed_in_its_trace(pg, mock, k):
    first = json.loads(k.value("select pk_chat($1, '\"one two\"', $2)", mock.config(), model("gpt-4o")))
    k.query("select pk_flush()")
    row = k.value("select id from pk_logs where trace_id = $1", first["pk"]["trace_id"])
    again = json.loads(k.value("select pk_replay($1, $2::jsonb)", row, mock.config()))
    expect(again["choices"] == first["choices"], again)
    expect(again["pk"]["trace_id"] == first["pk"]["trace_id"], again)
    k.query("select pk_flush()")
    expect(k.value("select count(*) from pk_logs a join pk_logs b on b.parent_span_id = a.span_id "
                   "where a.id = $1 and b.span_name = 'replay'", row) == "1")
    expect_error("22023", lambda: k.query("select pk_replay($1)", row), "config")
    expect_error("22023", lambda: k.query("select pk_replay('00000000-0000-7000-8000-000000000000', 'openai')"),
                 "there is no call")
    expect(k.value("select pk_replay(null)") is None)


@case
def null_is_null_without_a_call(pg, mock, k):
    mock.reset()
    expect(k.value("select pk_ask(null::text, 'x')") is None)
    expect(k.value("select pk_ask($1, null)", mock.config()) is None)
    expect(k.value("select pk_chat($1, null)", mock.config()) is None)
    expect(mock.requests() == 0)


@case
def errors_before_a_call_name_the_place(pg, mock, k):
    mock.reset()
    expect_error("22023", lambda: k.query(ASK, "no-such-config", "x", "{}"), "no-such-config")
    expect_error("22023", lambda: k.query(ASK, '{"provider":"openai","nonsense":1}', "x", "{}"), "nonsense")
    expect_error("22P02", lambda: k.query(ASK, '{"provider":', "x", "{}"))
    expect_error("22023", lambda: k.query(ASK, mock.config(), "x", '{"pk":{"wrong":1}}'), "wrong")
    expect_error("22023", lambda: k.query("select pk_chat($1, '7')", mock.config()), "messages")
    expect(mock.requests() == 0)


@case
def a_provider_error_has_detail_and_hint(pg, mock, k):
    e = expect_error("58000", lambda: k.query(ASK, mock.config(), "secret words", model("status-401")))
    expect(e.detail and e.hint and "pk_key_rotate" in e.hint, e, e.detail, e.hint)
    expect("secret words" not in e.message, e.message)
    expect_error("58000", lambda: k.query(ASK, mock.config(), "x", model("truncated-json")))


@case
def a_transport_error_and_a_timeout_are_08006(pg, mock, k):
    dead = mock.config(custom_host="http://127.0.0.1:1/v1")
    expect_error("08006", lambda: k.query(ASK, dead, "x", model("gpt-4o")))
    with Promise("timeouts of 150 and 200 ms", 0.4, 30):
        expect_error("08006", lambda: k.query(ASK, mock.config(request_timeout="150ms"), "x", model("hang")))
        k.query("set pk.timeout = '200ms'")
        expect_error("08006", lambda: k.query(ASK, mock.config(), "x", model("hang")))
    k.query("reset pk.timeout")


@case
def hosts_that_are_not_listed_are_refused(pg, mock, k):
    config = mock.config(custom_host="http://10.1.2.3/v1")
    expect_error("42501", lambda: k.query(ASK, config, "x", model("gpt-4o")), "pk.allowed_hosts")
    expect_error("55P02", lambda: k.query("set pk.allowed_hosts = '*'"))


@case
def on_error_says_what_a_failure_gives(pg, mock, k):
    k.query("set pk.on_error = 'null'")
    expect(k.value(ASK, mock.config(), "x", model("status-500")) is None)
    k.query("set pk.on_error = 'json'")
    told = json.loads(k.value("select pk_chat($1, '\"x\"', $2)", mock.config(), model("status-500")))
    expect(told["ok"] is False and told["error"]["http_status"] == 500, told)
    k.query("reset pk.on_error")
    told = json.loads(k.value("select pk_try_chat($1, '\"x\"', $2)", mock.config(), model("status-429")))
    expect(told["ok"] is False and told["error"]["retryable"] is True, told)


@case
def a_stored_config_and_a_sealed_key_are_used(pg, mock, k):
    expect(k.value("select pk_key_put('mine', 'openai', 'sk-sealed', jsonb_build_object('custom_host', $1::text))",
                   mock.url) == "mine")
    expect(k.value("select pk_config_put('main', '{\"virtual_key\":\"mine\",\"override_params\":{\"model\":\"headers-echo\"}}')") == "1")
    said = k.value("select pk_ask('main', 'x')")
    expect("Bearer sk-sealed" in said, said)
    expect(json.loads(k.value("select pk_config_get('main')"))["virtual_key"] == "mine")
    expect(k.value("select status from pk_virtual_keys where slug = 'mine'") == "active")
    k.query("select pk_key_rotate('mine', 'sk-other')")
    expect("Bearer sk-other" in k.value("select pk_ask('main', 'x')"))
    told = k.listen()
    expect(k.value("select pk_key_revoke('mine')") == "t" and k.value("select pk_key_revoke('mine')") == "f")
    expect(len(told) == 1 and 'pk: virtual key "mine": is named by config main' in told[0], told)
    expect_error("22023", lambda: k.query("select pk_ask('main', 'x')"), "mine")
    expect(k.value("select pk_config_delete('main')") == "t")


@case
def administration_is_part_of_the_transaction(pg, mock, k):
    k.query("begin")
    k.query("select pk_config_put('gone', $1::jsonb)",
            json.dumps({"provider": "openai", "custom_host": mock.url, "override_params": {"model": "m"}}))
    expect(k.value("select pk_config_get('gone')") is not None)
    k.query("rollback")
    expect(k.value("select pk_config_get('gone')") is None)


@case
def a_rolled_back_call_is_in_the_log(pg, mock, k):
    before = logs(k)
    k.query("begin")
    k.query(ASK, mock.config(), "x", model("gpt-4o"))
    k.query("savepoint s")
    k.query(ASK, mock.config(), "x", model("gpt-4o"))
    k.query("rollback to s")
    k.query("rollback")
    expect_error("22012", lambda: k.query(f"select pk_ask('{mock.config()}', 'x', null, '{model('m')}'), 1 / (random() * 0)::int"))
    expect(logs(k) == before + 3, logs(k), before)


@case
def a_failed_call_is_in_the_log(pg, mock, k):
    expect_error("58000", lambda: k.query(ASK, mock.config(), "x", model("status-418")))
    k.query("select pk_flush()")
    row = k.query("select status, http_status, error_type, source, request is not null from pk_logs "
                  "order by started_at desc limit 1")[0]
    expect(row == ["error", "418", "provider_error", "postgres", "t"], row)


@case
def a_read_only_transaction_may_call(pg, mock, k):
    before = logs(k)
    k.query("begin read only")
    expect(k.value(ASK, mock.config(), "x", model("gpt-4o")) == "x")
    expect_error("25006", lambda: k.query("select pk_config_put('c', '{\"provider\":\"openai\"}')"))
    k.query("rollback")
    expect(logs(k) == before + 1)


CACHED = {"cache": {"mode": "simple", "max_age": 60}}


def cache_status(k, config, prompt):
    text = k.value("select pk_chat($1, to_jsonb($2::text), $3)", config, prompt, model("gpt-4o"))
    return json.loads(text)["pk"]["cache_status"]


@case
def the_second_call_is_a_hit_in_the_same_transaction(pg, mock, k):
    config = mock.config(**CACHED)
    for begin in ("begin", "begin isolation level repeatable read", "begin isolation level serializable"):
        k.query(begin)
        seen = [cache_status(k, config, begin) for _ in range(3)]
        k.query("rollback")
        expect(seen == ["MISS", "HIT", "HIT"], begin, seen)
    with pg.connect() as other:
        expect(cache_status(other, config, "begin") == "HIT")


@case
def the_cache_is_purged(pg, mock, k):
    config = mock.config(**CACHED)
    cache_status(k, config, "purge me")
    expect(int(k.value("select pk_cache_purge(true)")) >= 1)
    expect(cache_status(k, config, "purge me") == "MISS")


@case
def the_cache_is_purged_by_filter(pg, mock, k):
    def config(ns):
        return mock.config(cache={"mode": "simple", "namespace": ns})
    for ns in ("one", "two"):
        cache_status(k, config(ns), "purge by filter")
    k.query("begin")
    expect(k.value("select pk_cache_purge('{\"namespace\": \"one\"}')") == "1")
    k.query("rollback")
    expect(cache_status(k, config("one"), "purge by filter") == "HIT")
    expect(k.value("select pk_cache_purge('{\"namespace\": \"one\", \"older_than\": 0}'::jsonb)") == "1")
    expect(cache_status(k, config("two"), "purge by filter") == "HIT")
    expect(cache_status(k, config("one"), "purge by filter") == "MISS")
    expect_error("22023", lambda: k.value("select pk_cache_purge('{\"name\": \"x\"}')"), "unknown key")
    expect(k.value("select pk_cache_purge(null::text)") is None)
    expect(int(k.value("select count(*) from pk_audit where verb = 'cache_purge'")) >= 1)


def semantic(mock, **cache):
    embedder = {"provider": "openai", "api_key": "k", "model": "e", "custom_host": mock.url}
    return mock.config(cache={"mode": "semantic", "similarity_threshold": 0.9, "embedder": embedder,
                              **cache})


@case
def a_similar_question_is_found_in_the_same_transaction(pg, mock, k):
    config = semantic(mock)
    for begin in ("begin", "begin isolation level repeatable read", "begin isolation level serializable"):
        word = "x" + str(hash(begin))
        k.query(begin)
        seen = [cache_status(k, config, text.format(word)) for text in
                ("How do I fold {}?", "How can I fold {}?", "How do I fold {}?")]
        k.query("rollback")
        expect(seen == ["SEMANTIC MISS", "SEMANTIC HIT", "HIT"], begin, seen)
        with pg.connect() as other:
            expect(cache_status(other, config, f"Please tell me how to fold {word}") == "SEMANTIC HIT")


@case
def the_default_embedder_is_a_setting(pg, mock, k):
    embedder = {"provider": "openai", "api_key": "k", "model": "e", "custom_host": mock.url}
    config = mock.config(cache={"mode": "semantic", "similarity_threshold": 0.9})
    own = [cache_status(k, config, text) for text in ("the second planet", "The second planet?",
                                                      "what is the second planet")]
    expect(own == ["SEMANTIC MISS", "SEMANTIC HIT", "SEMANTIC MISS"], own)
    k.query("set pk.embedder = '%s'" % json.dumps(embedder))
    seen = [cache_status(k, config, text) for text in ("the third planet", "what is the third planet")]
    k.query("reset pk.embedder")
    expect(seen == ["SEMANTIC MISS", "SEMANTIC HIT"], seen)
    expect(cache_status(k, config, "a third planet") == "SEMANTIC MISS")


SIZE = ("select count(*), (select sum(entries) from pk_cache_size), "
        "(select sum(bytes) from pk_cache_size) - coalesce(sum(bytes), 0) "
        "- (select coalesce(sum(length(vector)), 0) from pk_cache_vector) from pk_cache_entry")


@case
def the_cache_stays_within_bounds(pg, mock, k):
    config = semantic(mock)
    pg.configure({"pk.cache_max_entries": "30"})
    pg.reload()
    expect(until(lambda: k.value("show pk.cache_max_entries") == "30"))
    with pg.connect() as holder: # an administrator who takes his time holds nobody up
        holder.query("begin")
        expect(int(holder.value("select pk_cache_purge(true)")) >= 1)
        for i in range(100):
            expect(cache_status(k, config, f"number {i} of many").endswith("MISS"))
        k.value("select pk_flush()")
        holder.query("rollback")
    for i in range(10):
        expect(cache_status(k, config, f"and {i} more").endswith("MISS"))
    k.value("select pk_flush()")
    count, counted, bytes_off = map(int, k.query(SIZE)[0])
    expect(0 < count <= 30 and counted == count and bytes_off == 0, count, counted, bytes_off)
    expect(json.loads(k.value("select pk_health()"))["cache_entries"] == count)
    pg.configure({"pk.cache_max_entries": "1000000"})
    pg.reload()


@case
def a_fallback_is_seen_in_the_spans(pg, mock, k):
    config = json.dumps({"strategy": {"mode": "fallback"}, "targets": [
        json.loads(mock.config(override_params={"model": "status-503"})),
        json.loads(mock.config(override_params={"model": "gpt-4o"}))]})
    expect(k.value("select pk_ask($1, 'x')", config) == "x")
    k.query("select pk_flush()")
    rows = k.query("select http_status from pk_spans where log_id = (select id from pk_logs "
                   "order by started_at desc limit 1) and kind = 'attempt' order by ord")
    expect([r[0] for r in rows] == ["503", "200"], rows)


@case
def statement_timeout_ends_a_call_at_once(pg, mock, k):
    mock.reset()
    k.query("set statement_timeout = '200ms'")
    with Promise("a statement_timeout of 200 ms", 0.3, 30):
        expect_error("57014", lambda: k.query(ASK, mock.config(), "x", model("hang")), "statement timeout")
    k.query("reset statement_timeout")
    expect(until(lambda: mock.page("stats")["open"] == 0 or mock.page("stats")["aborted"] >= 1))
    expect(logs(k, "status = 'cancelled'") >= 1)


@case
def a_cancelled_call_ends_within_20_ms(pg, mock, k):
    before, times = logs(k, "status = 'cancelled'"), []
    for _ in range(25):
        k.send(f"select pk_ask('{mock.config()}', 'x', null, '{model('hang')}')")
        expect(until(lambda: mock.page("stats")["in_flight"]))
        started = time.monotonic()
        k.cancel()
        expect_error("57014", k.finish)
        times.append(time.monotonic() - started)
        expect(until(lambda: not mock.page("stats")["in_flight"]))
    expect(soon("a cancel", times, 0.02), times)
    expect(logs(k, "status = 'cancelled'") == before + 25)


@case
def a_terminated_session_logs_its_call(pg, mock, k):
    before = logs(k, "status = 'cancelled'")
    with pg.connect() as victim:
        victim.send(f"select pk_ask('{mock.config()}', 'x', null, '{model('hang')}')")
        expect(until(lambda: mock.page("stats")["in_flight"]))
        k.query(f"select pg_terminate_backend({victim.pid()})")
        expect_error("57P01", victim.finish)
    expect(until(lambda: logs(k, "status = 'cancelled'") == before + 1))


@case
def metadata_and_payload_settings_count(pg, mock, k):
    k.query("set pk.metadata = '{\"team\":\"a\"}'")
    k.query("set pk.log_payloads = off")
    k.query(ASK, mock.config(), "x", model("gpt-4o", pk={"metadata": {"run": "7"}, "trace_id": "meta-1"}))
    k.query("reset pk.metadata")
    k.query("reset pk.log_payloads")
    k.query("select pk_flush()")
    row = k.query("select metadata->>'team', metadata->>'run', request is null from pk_logs where trace_id = 'meta-1'")
    expect(row == [["a", "7", "t"]], row)
    k.query("set pk.log_payloads = hash")
    k.query("set pk.log_redact = 'EMAIL_ADDRESS'")
    k.query(ASK, mock.config(), "x", model("gpt-4o", pk={"metadata": {"to": "anna@example.org"}, "trace_id": "hash-1",
                                                         "log": "full"}))
    k.query("reset pk.log_payloads")
    expect(k.value(ASK, mock.config(), "to anna@example.org", model("gpt-4o", pk={"trace_id": "redact-1"})) ==
           "to anna@example.org")
    k.query("reset pk.log_redact")
    k.query("select pk_flush()")
    row = k.query("select request ->> 'sha256', metadata ->> 'to' from pk_logs where trace_id = 'hash-1'")
    expect(len(row[0][0]) == 64 and row[0][1] == "{{EMAIL_ADDRESS}}", row)
    row = k.query("select request #>> '{messages,0,content}', response #>> '{choices,0,message,content}' "
                  "from pk_logs where trace_id = 'redact-1'")
    expect(row == [["to {{EMAIL_ADDRESS}}"] * 2], row)
    for name, wrong in ("log_payloads", "some"), ("log_redact", "SHOE_SIZE"):
        expect_error("22023", lambda: k.query(f"set pk.{name} = '{wrong}'"))
    for wrong in "[1]", '{"a":1e200000}', '{"a":1e-20000}': # the last two are no jsonb
        expect_error("22023", lambda: k.query(f"set pk.metadata = '{wrong}'"))
    e = expect_error("22023", lambda: k.query(ASK, "a" + "\u00e9" * 100, "x", "{}"))
    expect(e.message.encode(), "is not UTF-8")


@case
def the_servers_log_holds_no_more_than_pk_logs_may(pg, mock, k):
    """Neither the statement nor the provider's words, unless payloads are logged; the client is told all."""
    key = "sk-a-literal-key-4711"
    target = {"custom_host": mock.url, "override_params": {"model": "status-400"}}
    k.query("select pk_key_put('mock', 'openai', 'sk-0123456789abcdef', $1)", json.dumps({"custom_host": mock.url}))
    for name, payloads in ("loud", "full"), ("quiet", "none"):
        k.query("select pk_config_put($1, $2)", name,
                json.dumps({**target, "virtual_key": "mock", "log_payloads": payloads}))
    before = pg.log_text().count("the config holds a provider key")
    with pg.connect() as c:
        def refused(sqlstate, config, prompt, options="{}"):
            return expect_error(sqlstate, lambda: c.query(
                f"select pk_ask('{config}', 'prompt {prompt}', null, '{options}')"))

        expect("asked to answer 400" in refused("58000", "loud", "alpha").detail)
        expect("asked to answer 400" in refused("58000", "quiet", "beta").detail, "the client is told")
        refused("58000", "loud", "gamma", '{"pk": {"log": false}}')
        refused("58000", json.dumps({**target, "provider": "openai", "api_key": key}), "delta")
        refused("58000", json.dumps({**target, "provider": "openai", "apiKey": key}), "epsilon")
        refused("22023", json.dumps({"provider": "openai", "api_key": key, "colour": 1}), "zeta")
        c.query("select pk_config_put('quiet', $1)", json.dumps({
            **target, "virtual_key": "mock", "log_payloads": "hash", "override_params": {"model": "hang"}}))
        c.query("set statement_timeout = 300")
        refused("57014", "quiet", "eta")
        c.query("reset statement_timeout")
        expect_error("22012", lambda: c.query("select 1 / 0, 'prompt theta'"))  # the setting is back
    log = pg.log_text()
    for word in "prompt alpha", "prompt theta":
        expect(word in log, "what may be logged is, or this test shows nothing:", word)
    for word in "beta", "gamma", "delta", "epsilon", "zeta", "eta":
        expect("prompt " + word not in log, word, "is in the server's log")
    expect(key not in log, "the key is in the server's log")
    expect("The provider's words are not logged." in log)
    expect(log.count("the config holds a provider key") == before + 1, "a session is warned once")


@case
def nothing_is_granted_to_public(pg, mock, k):
    k.query("create role nobody login")
    k.query("create role caller login in role pk_user")
    k.query("create role chief login in role pk_admin")
    with pg.connect(user="nobody") as c:
        expect_error("42501", lambda: c.query(ASK, mock.config(), "x", model("m")))
        expect_error("42501", lambda: c.query("select pk_flush()"))
    with pg.connect(user="caller") as c:
        expect(c.value(ASK, mock.config(), "x", model("m")) == "x")
        expect_error("42501", lambda: c.query("select * from pk_logs"))
        expect_error("42501", lambda: c.query("select pk_key_put('a', 'openai', 'b')"))
        expect_error("42501", lambda: c.query("select pk_provider_put('a', '{\"base_url\": \"https://a.example\"}')"))
        expect_error("42501", lambda: c.query("select * from pk_providers"))
        expect_error("42501", lambda: c.query("set pk.log_payloads = off"))
        expect_error("42501", lambda: c.query("set pk.embedder = 'openai'"))
        expect_error("42501", lambda: c.query("select pk_cache_purge('{\"all\": true}')"))
        expect_error("42501", lambda: c.query("select * from pk_cache_vector"))
    with pg.connect(user="chief") as c:
        expect(int(c.value("select count(*) from pk_logs where request is not null")) > 0)
        expect(c.value("select pk_key_put('theirs', 'openai', 'sk-9')") == "theirs")
        expect_error("42501", lambda: c.query("select secret from pk_virtual_key"))


@case
def a_reference_to_a_file_or_variable_takes_the_right_to_read_it(pg, mock, k):
    k.query("create role keeper login in role pk_admin; create role reader login in role pk_admin, pg_read_server_files")
    k.query("select pk_key_put('given', 'openai', 'sk-1')")
    with pg.connect(user="keeper") as c:
        for secret in "file:/etc/hostname", "env:HOME":
            expect_error("42501", lambda: c.query("select pk_key_put('r', 'openai', $1)", secret), "pg_read_server_files")
            expect_error("42501", lambda: c.query("select pk_key_rotate('given', $1)", secret), "pg_read_server_files")
        expect(c.value("select pk_key_rotate('given', 'sk-2')") == "given")
        own = "select pk_provider_put('own', '{\"base_url\": \"https://a.example\", \"key_env\": \"%s\"}')"
        expect_error("42501", lambda: c.query(own % "HOME"), "pg_read_server_files")
        expect(c.value(own % "") == "own")
        c.query("begin")
        expect(c.value("select pk_provider_delete('own')"))
        c.query("rollback")
        expect(int(c.value("select count(*) from pk_providers where name = 'own' and not builtin")) == 1)
    with pg.connect(user="reader") as c:
        expect(c.value("select pk_key_put('r', 'openai', 'file:/etc/hostname')") == "r")
        expect(c.value(own % "HOME") == "own")


@case
def a_hostile_search_path_changes_nothing(pg, mock, k):
    k.query("create schema evil; grant all on schema evil to caller")
    with pg.connect(user="caller") as c:
        c.query("create function evil.trap(text, text) returns boolean language plpgsql as "
                "$$ begin raise exception 'trapped as %', current_user; end $$")
        c.query("create operator evil.= (leftarg = text, rightarg = text, procedure = evil.trap)")
        c.query("create temp table pk_config (slug text, version int, created_us bigint, in_force boolean, body text)")
        c.query("insert into pk_config values ('t', 1, 0, true, '{\"provider\":\"openai\",\"api_key\":\"k\"}')")
        c.query("set search_path = pg_temp, evil, public, pg_catalog")
        expect_error("22023", lambda: c.query("select public.pk_ask('t', 'x')"))
        expect(c.value(ASK, mock.config(), "x", model("m")) == "x")
        expect(c.value("show search_path") == "pg_temp, evil, public, pg_catalog")


@case
def a_secret_is_not_in_the_server_log(pg, mock, k):
    expect_error("22023", lambda: k.query("select pk_key_put('bad slug!', 'openai', 'sk-verysecret')"))
    expect_error("22023", lambda: k.query("select pk_key_put('ok', 'nosuchprovider', 'sk-verysecret')"))
    expect("sk-verysecret" not in pg.log_text())


@case
def feedback_is_checked_and_kept(pg, mock, k):
    expect(len(k.value("select pk_feedback('t-1', 5, 0.5, '{\"a\":1}')")) == 36)
    expect(k.query("select value, weight from pk_feedback where trace_id = 't-1'") == [["5", "0.5"]])
    k.query("select pk_feedback('t-2', 1)")
    expect(k.query("select weight, metadata from pk_feedback where trace_id = 't-2'") == [["1", None]])
    expect_error("22023", lambda: k.query("select pk_feedback('t-1', 11)"), "value")


@case
def cost_is_exact(pg, mock, k):
    expect(k.value("select pk_cost('gpt-4o', 1000000, 0)") is not None)
    expect(k.value("select pk_cost('no-such-model', 1, 1)") is None)
    expect_error("22023", lambda: k.query("select pk_cost('gpt-4o', -1, 0)"))


@case
def a_parallel_plan_calls_from_its_leader(pg, mock, k):
    k.query("create table many as select g as id from generate_series(1, 20000) g; analyze many")
    k.query("set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0")
    config = mock.config(**CACHED)
    got = k.value("select count(pk_ask($1, (id % 3)::text, null, $2)) from many where id % 2000 = 0 and id > 0",
                  config, model("m"))
    expect(got == "10", got)
    k.query("reset parallel_setup_cost; reset parallel_tuple_cost; reset min_parallel_table_scan_size")


@case
def one_statement_groups_its_calls(pg, mock, k):
    k.query("select pk_ask($1, g::text, null, $2) from generate_series(1, 3) g", mock.config(), model("m", pk={"trace_id": "grp"}))
    k.query("select pk_flush()")
    expect(k.value("select count(distinct query_id) from pk_logs where trace_id = 'grp'") == "1")
    expect(k.value("select count(*) from pk_logs where trace_id = 'grp'") == "3")


@case
def large_payloads_arrive_through_the_spool(pg, mock, k):
    k.query("select length(pk_ask($1, repeat('long ', 600000), null, $2))", mock.config(),
            model("gpt-4o", pk={"trace_id": "large"}))
    k.query("select pk_flush()")
    expect(int(k.value("select length(request::text) from pk_logs where trace_id = 'large'")) > 3000000)


@case
def many_sessions_lose_nothing(pg, mock, k):
    before, wrong = logs(k), []

    def session(n):
        try:
            with pg.connect() as c:
                for i in range(20):
                    expect(c.value(ASK, mock.config(), f"{n}-{i}", model("m")) == f"{n}-{i}")
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=session, args=(n,)) for n in range(50)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    expect(not wrong, wrong[:3])
    expect(logs(k) == before + 1000, logs(k), before)


@case
def failing_calls_leak_nothing(pg, mock, k):
    def rss():
        with open(f"/proc/{k.pid()}/statm") as f:
            return int(f.read().split()[1]) * 4

    def fail(n):
        for _ in range(n):
            expect_error("58000", lambda: k.query(ASK, mock.config(), "x" * 100000, model("status-500")))

    fail(100)
    before = rss()
    fail(300)
    expect(rss() - before < 3000, "grew by", rss() - before, "kB")


@case
def price_imports_of_several_sessions_follow_each_other(pg, mock, k):
    def importing(usd):
        return ("select pk_price_import('pk', '[{\"provider\": \"openai\", \"model\": \"raced\", "
                f"\"input_usd\": {usd}}}]') -> 'counts'")
    with pg.connect() as other:
        k.query("begin")
        k.query(importing(1))
        time.sleep(0.002)  # prices hold from a millisecond on
        other.send(importing(2))
        until(lambda: k.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and "
                              "pid = $1", other.pid()) == "1")
        k.query("commit")
        expect(json.loads(other.finish()[0][0])["changed"] == 1)
    expect(k.value("select string_agg(input_usd || ' ' || (valid_to is null), ', ' order by valid_from) "
                   "from pk_prices where model = 'raced'") == "1 false, 2 true")


@case
def the_relations_travel_with_pg_dump(pg, mock, k):
    import subprocess
    k.query("select pk_config_put('kept', '{\"provider\":\"openai\"}')")
    k.query("select pk_prompt_put('kept', '\"one {{x}}\"'), pk_prompt_put('kept', '\"two {{x}}\"'), "
            "pk_prompt_publish('kept', 1)")
    k.query("select pk_price_import('litellm', '{\"gpt-4o\": {\"litellm_provider\": \"openai\", \"max_output_tokens\": 7, "
            "\"input_cost_per_token\": 9e-06}, \"mine\": {\"litellm_provider\": \"openai\", \"input_cost_per_token\": 1e-06}}')")
    k.query("select pk_price_import('pk', '[{\"provider\": \"openai\", \"model\": \"gpt-4\", \"input_usd\": 7, "
            "\"valid_from\": \"2020-01-01T00:00:00Z\"}]')")
    rows = logs(k)
    dump = subprocess.run([pg.bin + "/pg_dump", "-h", pg.host, "-U", pg.user, "postgres"],
                          check=True, capture_output=True, text=True).stdout
    k.query("create database restored")
    pg.psql(dump, "restored")
    with pg.connect("restored") as c:
        expect(c.value("select count(*) from pk_logs") == str(rows))
        expect(c.value("select pk_config_get('kept')") is not None)
        expect(c.value("select pk_render('kept', '{\"x\": 3}') -> 0 ->> 'content'") == "one 3")
        expect(c.value("select pk_prompt_put('kept', '\"three\"')") == "3")
        expect(c.value(ASK, mock.config(), "after", model("m")) == "after")
        expect(logs(c) == rows + 1)
        expect(c.query("select model, max_output_tokens, input_usd from pk_models where provider = 'openai' and model in "
                       "('gpt-4o', 'mine', 'gpt-4') order by 1") ==
               k.query("select model, max_output_tokens, input_usd from pk_models where provider = 'openai' and model in "
                       "('gpt-4o', 'mine', 'gpt-4') order by 1"))
        expect(c.value("select input_usd || ' ' || max_output_tokens from pk_models where model = 'gpt-4o' and "
                       "provider = 'openai'") == "9 7")
        expect(c.value("select input_usd from pk_models where model = 'gpt-4' and provider = 'openai'") == "7")


if __name__ == "__main__":
    sys.exit(main("create extension pk"))
