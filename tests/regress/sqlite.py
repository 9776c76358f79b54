#!/usr/bin/env python3
"""The functions and relations of the SQLite extension, in one process."""
import json
import os
import sqlite3
import time

from sqlite_door import CACHED, PK, case, config, connect, contains, equal, failure, main, mock, one

# --- functions -----------------------------------------------------------------------------


@case
def pk_chat_gives_the_answer_as_json_with_what_it_cost(folder):
    db = connect()
    got = json.loads(one(db, "select pk_chat(?, 'hello there')", config("echo")))
    equal(got["choices"][0]["message"]["content"], "hello there")
    equal(got["pk"]["provider"], "openai")
    equal(got["pk"]["attempts"], 1)
    assert got["pk"]["trace_id"]


@case
def pk_chat_takes_an_array_of_messages_and_params(folder):
    db = connect()
    messages = json.dumps([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}])
    params = json.dumps({"temperature": 0.5, "pk": {"trace_id": "t-1", "metadata": {"team": "a"}}})
    got = json.loads(one(db, "select pk_chat(?, ?, ?)", config("body-echo"), messages, params))
    sent = json.loads(got["choices"][0]["message"]["content"])
    equal(sent["temperature"], 0.5)
    equal(sent["messages"], json.loads(messages))
    assert "pk" not in sent
    equal(got["pk"]["trace_id"], "t-1")
    row = db.execute("select metadata, source, status from pk_logs where trace_id = 't-1'").fetchone()
    equal(row, ('{"team": "a"}', "sqlite", "success"))


@case
def pk_replay_asks_a_logged_request_again(folder):
    db = connect()
    one(db, "select pk_key_put('k', 'openai', 'sk-replay', ?)", json.dumps({"custom_host": mock.origin + "/v1"}))
    one(db, "select pk_config_put('first', ?)",
        '{"virtual_key":"k","override_params":{"model":"echo"}}')
    first = json.loads(one(db, "select pk_chat('first', 'once more', '{\"user\":\"u\"}')"))
    row = one(db, "select id from pk_logs where trace_id = ?", first["pk"]["trace_id"])
    again = json.loads(one(db, "select pk_replay(?)", row))
    equal(again["choices"], first["choices"])
    equal(again["pk"]["trace_id"], first["pk"]["trace_id"])
    other = json.loads(one(db, "select pk_replay(?, ?)", row.upper(), config("body-echo")))
    equal(json.loads(other["choices"][0]["message"]["content"])["user"], "u")
    equal(one(db, "select count(*) from pk_logs a join pk_logs b on b.parent_span_id = a.span_id "
                  "where a.id = ? and b.span_name = 'replay' and b.user_id = 'u'", row), 2)
    one(db, "select pk_ask(?, 'kept by nobody', null, '{\"pk\":{\"log\":false,\"trace_id\":\"t-off\"}}')",
        config())
    off = one(db, "select id from pk_logs where trace_id = 't-off'")
    contains(failure(db, "select pk_replay(?, 'first')", off), "was not kept")
    contains(failure(db, "select pk_replay('x')"), "log_id: must be the id of a row of pk_logs")
    contains(failure(db, "select pk_replay('00000000-0000-7000-8000-000000000000')"), "there is no call")
    equal(one(db, "select pk_replay(null)"), None)


@case
def json_results_nest_in_json_functions(folder):
    db = connect()
    equal(one(db, "select json_array(pk_chat(?, 'hi')) -> '$[0].choices[0].message.role'", config()),
          '"assistant"')
    equal(one(db, "select json_type(json_object('h', pk_health()), '$.h')"), "object")


@case
def pk_ask_gives_the_text(folder):
    db = connect()
    equal(one(db, "select pk_ask(?, 'two words')", config()), "two words")
    equal(one(db, "select pk_ask(?, 'x', 'a system', '{\"max_tokens\":5}')", config()), "x")
    equal(one(db, "select pk_ask(?, 'x', null, null)", config()), "x")
    sent = json.loads(one(db, "select pk_ask(?, 'x', 'sys')", config("body-echo")))
    equal([m["role"] for m in sent["messages"]], ["system", "user"])


@case
def pk_try_chat_does_not_raise_for_the_provider(folder):
    db = connect()
    got = json.loads(one(db, "select pk_try_chat(?, 'hi')", config("status-500")))
    equal(got["ok"], False)
    equal(got["error"]["code"], "provider_error")
    equal(got["error"]["http_status"], 500)
    equal(got["error"]["retryable"], True)
    good = json.loads(one(db, "select pk_try_chat(?, 'hi')", config()))
    equal((good["ok"], good["error"]), (True, None))
    equal(good["response"]["choices"][0]["message"]["content"], "hi")
    contains(failure(db, "select pk_try_chat('no-such-config', 'hi')"), "pk: not_found: ")


@case
def null_in_is_null_out_without_a_call(folder):
    db = connect()
    before = mock.requests()
    for sql in ("pk_chat(null, 'x')", "pk_chat(:c, null)", "pk_ask(:c, null)", "pk_ask(null, 'x')",
                "pk_try_chat(:c, null)", "pk_cost(null, 1, 1)", "pk_config_get(null)", "pk_feedback('t', null)",
                "pk_config_put('a', null)", "pk_prompt(null, '{}')", "pk_prompt('a', null)",
                "pk_render('a', null)", "pk_prompt_put('a', null)", "pk_prompt_publish('a', null)",
                "pk_prompt_get(null)", "pk_key_put('a', 'openai', null)", "pk_get(null)",
                "pk_cache_purge(null)"):
        equal(db.execute(f"select {sql}", {"c": config()}).fetchone()[0], None)
    equal(mock.requests(), before)


@case
def a_fallback_answers_when_the_first_target_fails(folder):
    db = connect()
    targets = [json.loads(config("status-503", retry={"attempts": 0})), json.loads(config("echo"))]
    both = json.dumps({"strategy": {"mode": "fallback"}, "targets": targets})
    got = json.loads(one(db, "select pk_chat(?, 'still here')", both))
    equal(got["choices"][0]["message"]["content"], "still here")
    equal(got["pk"]["attempts"], 2)
    equal(db.execute("select attempts, fallback_index from pk_logs").fetchall(), [(2, 1)])
    equal(db.execute("select ord, http_status from pk_spans where kind = 'attempt' order by ord").fetchall(),
          [(0, 503), (1, 200)])


@case
def the_second_equal_call_is_a_cache_hit_at_once(folder):
    db = connect()
    before = mock.requests()
    rows = db.execute("with recursive n(i) as (select 1 union all select i + 1 from n where i < 20) "
                      "select pk_chat(?, 'the same', '{\"pk\": {\"dedup\": false}}') -> '$.pk.cache_status' from n",
                      (config(**CACHED),)).fetchall()
    equal([r[0] for r in rows], ['"MISS"'] + ['"HIT"'] * 19)
    equal(mock.requests() - before, 1)
    equal(db.execute("select cache_status, count(*) from pk_logs group by 1 order by 1").fetchall(),
          [("HIT", 19), ("MISS", 1)])
    equal(one(db, "select hits from pk_cache"), 19)
    other = connect()
    equal(one(other, "select pk_chat(?, 'the same') -> '$.pk.cache_status'", config(**CACHED)), '"HIT"')


@case
def configs_are_stored_versioned_and_deleted(folder):
    db = connect()
    os.environ["SQ_TEST_KEY"] = "sk-env"
    one(db, "select pk_key_put('mine', 'openai', 'env:SQ_TEST_KEY', ?)",
        json.dumps({"custom_host": mock.origin + "/v1"}))
    body = {"virtual_key": "mine", "override_params": {"model": "echo"}}
    equal(one(db, "select pk_config_put('prod', ?)", json.dumps(body)), 1)
    equal(one(db, "select pk_config_put('prod', ?)", json.dumps({**body, "retry": {"attempts": 1}})), 2)
    equal(json.loads(one(db, "select pk_config_get('prod')"))["retry"], {"attempts": 1})
    equal(one(db, "select pk_ask('prod', 'by slug')"), "by slug")
    equal(one(db, "select pk_ask('mine', 'by key', null, '{\"model\":\"echo\"}')"), "by key")
    equal(db.execute("select config, virtual_key from pk_logs order by started_at").fetchone(), ("prod", "mine"))
    equal(db.execute("select slug, version from pk_configs").fetchall(), [("prod", 2)])
    equal(one(db, "select pk_config_delete('prod')"), 1)
    equal(one(db, "select pk_config_delete('prod')"), 0)
    equal(one(db, "select pk_config_get('prod')"), None)
    contains(failure(db, "select pk_ask('prod', 'x')"), "pk: not_found: ", "prod")


@case
def prompts_have_versions_labels_and_partials(folder):
    db = connect()
    one(db, "select pk_key_put('k', 'openai', 'sk-prompt', ?)", json.dumps({"custom_host": mock.origin}))
    equal(one(db, "select pk_prompt_put('greet', 'Hello {{name}}')"), 1)
    equal(one(db, "select pk_prompt_put('greet', ?)", json.dumps(
        {"messages": [{"role": "user", "content": "Hi {{name}}"}], "model": "echo", "virtual_key": "k"})), 2)
    equal(one(db, "select pk_prompt_put('greet', pk_prompt_get('greet'))"), 2)
    equal(one(db, "select pk_prompt_publish('greet', 1)"), 1)
    equal(one(db, "select pk_prompt_publish('greet', 2, 'production')"), 2)
    equal(one(db, "select pk_render('greet', '{\"name\":\"Ann\"}') ->> '$[0].content'"), "Hello Ann")
    equal(one(db, "select pk_prompt('greet@production', '{\"name\":\"\\\"Ann\\n\"}') "
                  "->> '$.choices[0].message.content'"), 'Hi "Ann\n')
    equal(db.execute("select prompt, virtual_key from pk_logs").fetchall(), [("greet@2", "k")])
    contains(failure(db, "select pk_prompt('greet@2', '{}')"), 'prompt "greet@2": missing variable: name')
    contains(failure(db, "select pk_prompt('greet', '{\"name\":1}')"), "no config and no virtual key")
    contains(failure(db, "select pk_render('nobody', '{}')"), 'pk: not_found: prompt "nobody"')
    contains(failure(db, "select pk_prompt_publish('greet', 1, 'x', -1)"), "weight: must be 0..65535")
    one(db, "select pk_prompt_put('partial/me', '-- {{me}}')")
    one(db, "select pk_prompt_put('letter', '{{body}} {{>me}}')")
    equal(one(db, "select pk_render('letter', '{\"body\":\"B\",\"me\":\"M\"}') ->> '$[0].content'"), "B -- M")
    equal(db.execute("select slug, version, labels from pk_prompts where slug = 'greet'").fetchall(),
          [("greet", 1, '{"default":100}'), ("greet", 2, '{"production":100}')])
    equal((one(db, "select pk_prompt_delete('greet')"), one(db, "select pk_prompt_delete('greet')")), (1, 0))
    equal(one(db, "select pk_prompt_get('greet')"), None)


@case
def weighted_versions_are_sticky_for_a_user(folder):
    db = connect()
    one(db, "select pk_key_put('k', 'openai', 'sk-prompt', ?)", json.dumps({"custom_host": mock.origin}))
    for n in 1, 2:
        one(db, "select pk_prompt_put('ab', ?)", json.dumps(
            {"string": f"arm {n}", "model": "echo", "virtual_key": "k"}))
        one(db, "select pk_prompt_publish('ab', ?, 'test', 50)", n)
    ask = "select pk_prompt('ab@test', '{}', null, json(?)) ->> '$.choices[0].message.content'"
    by_user = lambda i: one(db, ask, json.dumps({"pk": {"user_id": f"u{i}"}}))
    arms = [by_user(i) for i in range(40)]
    equal(arms, [by_user(i) for i in range(40)])
    equal(set(arms), {"arm 1", "arm 2"})
    equal(arms, [one(db, ask, json.dumps({"pk": {"metadata": {"_user": f"u{i}"}}})) for i in range(40)])
    equal({one(db, ask, "{}") for _ in range(40)}, {"arm 1", "arm 2"})
    one(db, "select pk_set('metadata', '{\"_user\": \"u7\"}')")
    equal({one(db, ask, "{}") for _ in range(20)}, {arms[7]})
    equal(db.execute("select count(distinct prompt) from pk_logs where prompt like 'ab@_'").fetchone(), (2,))


@case
def a_sealed_key_is_sent_and_never_shown(folder):
    db = connect()
    equal(one(db, "select pk_ask(?, 'x')", config()), "x")  # the transport exists before the master key does
    options = json.dumps({"custom_host": mock.origin + "/v1"})
    equal(one(db, "select pk_key_put('vk', 'openai', 'sk-very-secret', ?)", options), "vk")
    sent = one(db, "select pk_ask('vk', 'x', null, '{\"model\":\"headers-echo\"}')")
    contains(sent.lower(), "authorization: bearer sk-very-secret")
    one(db, "select pk_key_rotate('vk', 'sk-other')")
    sent = one(db, "select pk_ask('vk', 'x', null, '{\"model\":\"headers-echo\"}')")
    contains(sent.lower(), "authorization: bearer sk-other")
    columns = [c[1] for c in db.execute("pragma table_info(pk_virtual_keys)")]
    assert "secret" not in columns and "kind" in columns, columns
    one(db, "select pk_flush()")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            stored = f.read()
        assert b"sk-very-secret" not in stored.replace(b"bearer sk-", b"").replace(b"Bearer sk-very-secret", b"")
    equal(os.stat(os.path.join(folder, "master.key")).st_mode & 0o777, 0o600)
    os.chmod(os.path.join(folder, "master.key"), 0o644)
    contains(failure(connect(), "select pk_ask('vk', 'x', null, '{\"model\":\"echo\"}')"), "not this user's alone")
    equal(one(connect(), "select pk_ask(?, 'x')", config()), "x")
    equal(one(db, "select pk_key_revoke('vk')"), 1)
    equal(one(db, "select pk_key_revoke('vk')"), 0)
    contains(failure(db, "select pk_ask('vk', 'x')"), "vk")


@case
def a_stored_key_goes_to_its_own_host_only(folder):
    db = connect()
    one(db, "select pk_key_put('vk', 'openai', 'sk-very-secret')")
    stolen = json.dumps({"virtual_key": "vk", "custom_host": mock.origin + "/v1", "override_params": {"model": "echo"}})
    before = mock.requests()
    contains(failure(db, "select pk_ask(?, 'x')", stolen), "pk: host_not_allowed: ")
    equal(mock.requests(), before)


@case
def feedback_is_stored_and_checked(folder):
    db = connect()
    ident = one(db, "select pk_feedback('t-9', 5, 0.5, '{\"by\":\"ann\"}')")
    equal(db.execute("select id, trace_id, value, weight, metadata from pk_feedback").fetchall(),
          [(ident, "t-9", 5, 0.5, '{"by":"ann"}')])
    one(db, "select pk_feedback('t-9', -10)")
    equal(one(db, "select count(*) from pk_feedback where trace_id = 't-9'"), 2)
    for bad, word in (("'t', 11", "value"), ("'t', 1, 2.0", "weight"), ("'t', 1, 1, '[]'", "metadata"),
                      ("'t', 'x'", "value"), ("'', 1", "trace_id"), ("'t', 1, 'x'", "weight")):
        contains(failure(db, f"select pk_feedback({bad})"), "pk: ", word)
    equal(one(db, "select count(*) from pk_feedback"), 2)


@case
def pk_cost_is_pure_and_knows_what_it_does_not_know(folder):
    db = connect()
    price = db.execute("select provider, model, input_usd, output_usd from pk_prices where provider = 'openai' "
                       "and above_tokens = 0 and model = 'gpt-4o'").fetchone()
    assert price, "the price list has gpt-4o"
    expected = (1000 * price[2] + 500 * price[3]) / 1e6
    assert abs(one(db, "select pk_cost('gpt-4o', 1000, 500)") - expected) < 1e-12
    assert abs(one(db, "select pk_cost('openai/gpt-4o', 1000, 500, 0)") - expected) < 1e-12
    assert one(db, "select pk_cost('gpt-4o', 1000, 500, 100)") > expected
    equal(one(db, "select pk_cost('no-such-model', 1000, 500)"), None)
    contains(failure(db, "select pk_cost('gpt-4o', -1, 500)"), "input_tokens")
    contains(failure(db, "select pk_cost('gpt-4o', 'x', 500)"), "input_tokens")
    db.execute("create table t(i, c as (pk_cost('gpt-4o', i, 0)))")
    db.execute("create view v as select pk_version() as v")
    equal(one(db, "select v from v"), one(db, "select pk_version()"))


@case
def price_lists_are_imported(folder):
    db = connect()
    listed = json.dumps({"m-1": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.5e-07,
                                 "max_output_tokens": 99, "supports_vision": True}})
    got = json.loads(one(db, "select pk_price_import('litellm', ?)", listed))
    equal(got["counts"], {"added": 1, "changed": 0, "missing": 0, "unchanged": 0, "ignored": 0})
    equal(one(db, "select pk_cost('m-1', 1000000, 0)"), 0.15)
    row = db.execute("select provider, mode, max_output_tokens, input_usd, capabilities, source from pk_models "
                     "where model = 'm-1'").fetchone()
    equal(row, ("openai", "chat", 99, 0.15, '{"supports_vision":true}', "litellm"))
    got = json.loads(one(db, "select pk_price_import('litellm', ?)", listed))
    equal(got["counts"]["unchanged"], 1)
    got = json.loads(one(db, "select pk_price_import('pk', ?, '{\"dry_run\":true}')",
                         '[{"provider": "openai", "model": "m-1", "input_usd": 9}]'))
    equal(got["changed"][0]["new"], {"input_usd": 9})
    equal(one(db, "select pk_cost('m-1', 1000000, 0)"), 0.15)
    contains(failure(db, "select pk_price_import('litellm', '{\"m-2\": 1}')"), "pk: invalid_request: m-2: must be an object")
    contains(failure(db, "select pk_price_import('csv', '{}')"), "format")
    equal(one(db, "select pk_price_import('litellm', null)"), None)
    equal(one(db, "select object from pk_audit where verb = 'price_import'"), "litellm")
    db.execute("create view sly as select pk_price_import('litellm', '{}')")
    contains(failure(db, "select * from sly"), "unsafe")


@case
def tokens_are_counted_anywhere(folder):
    db = connect()
    equal(one(db, "select pk_count_tokens('gpt-4o-mini', 'Hello, world!')"), 4)
    equal(one(db, "select pk_count_tokens('gpt-4o-mini', '')"), 0)
    equal(one(db, "select pk_count_tokens('gpt-4o-mini', null)"), None)
    equal(one(db, "select pk_count_tokens(null, 'x')"), None)
    db.execute("create table t(x, n as (pk_count_tokens('gpt-4o', x)))")
    db.execute("create index by_tokens on t (pk_count_tokens('claude-haiku-4-5', x))")
    db.execute("insert into t values ('The quick brown fox jumps over the lazy dog.')")
    equal(one(db, "select n from t"), 10)


@case
def the_log_says_what_a_call_cost(folder):
    db = connect()
    priced = json.dumps({"provider": "openai", "api_key": "k", "custom_host": mock.origin + "/m/echo/v1",
                         "override_params": {"model": "gpt-4o"}})
    got = json.loads(one(db, "select pk_chat(?, 'what does it cost')", priced))
    row = db.execute("select input_tokens, output_tokens, cost_usd, latency_ms from pk_logs").fetchone()
    assert row[0] > 0 and row[1] > 0
    equal(row[2], one(db, "select pk_cost('gpt-4o', ?, ?)", row[0], row[1]))
    equal((got["pk"]["cost_usd"], got["pk"]["latency_ms"]), row[2:])
    total = db.execute("select sum(cost_usd), sum(requests) from pk_usage_daily").fetchone()
    equal(total, (row[2], 1))
    equal(one(db, "select requests from pk_usage_hourly"), 1)


@case
def settings_are_set_shown_and_put_back(folder):
    db = connect()
    equal(one(db, "select pk_get('on_error')"), "raise")
    equal(one(db, "select pk_set('on_error', 'null')"), "null")
    equal(one(db, "select pk_ask(?, 'x')", config("status-500")), None)
    one(db, "select pk_set('on_error', 'json')")
    equal(json.loads(one(db, "select pk_chat(?, 'x')", config("status-500")))["ok"], False)
    one(db, "select pk_set('on_error', null)")
    equal(one(db, "select pk_get('on_error')"), "raise")
    one(db, "select pk_set('log_payloads', 'off')")
    one(db, "select pk_set('metadata', '{\"app\":\"x\",\"env\":\"test\"}')")
    one(db, "select pk_chat(?, 'secret words', '{\"pk\":{\"metadata\":{\"env\":\"mine\"},\"trace_id\":\"quiet\"}}')",
        config())
    row = db.execute("select request, response, metadata from pk_logs where trace_id = 'quiet'").fetchone()
    equal(row[:2], (None, None))
    equal(json.loads(row[2]), {"app": "x", "env": "mine"})
    equal(one(db, "select pk_set('log_payloads', 'hash')"), "hash")
    one(db, "select pk_chat(?, 'write to anna@example.org', '{\"pk\":{\"trace_id\":\"hash\",\"log\":\"full\"}}')", config())
    contains(one(db, "select request from pk_logs where trace_id = 'hash'"), '{"sha256":"')
    one(db, "select pk_set('log_payloads', null)")
    one(db, "select pk_set('log_redact', 'EMAIL_ADDRESS')")
    equal(one(db, "select pk_ask(?, 'write to anna@example.org', null, '{\"pk\":{\"trace_id\":\"redact\"}}')", config()),
          "write to anna@example.org")
    request, response = db.execute("select request, response from pk_logs where trace_id = 'redact'").fetchone()
    contains(request, "write to {{EMAIL_ADDRESS}}")
    contains(response, "write to {{EMAIL_ADDRESS}}")
    one(db, "select pk_set('log_redact', null)")
    equal([one(db, f"select pk_get('{name}')") for name in ("log_payloads", "log_redact")], ["full", "off"])
    one(db, "select pk_set('timeout', 1)")
    contains(failure(db, "select pk_ask(?, 'x')", config("hang")), "pk: timeout_error: ")
    one(db, "select pk_set('timeout', '250ms')")
    contains(failure(db, "select pk_ask(?, 'x')", config("hang")), "pk: timeout_error: ")
    for bad, word in (("'nope', 1", "nope"), ("'on_error', 'maybe'", "on_error"), ("'timeout', 'soon'", "timeout"),
                      ("'metadata', '[1]'", "metadata"), ("'log_payloads', 2", "log_payloads"),
                      ("'log_redact', 'SHOE_SIZE'", "log_redact"),
                      ("'store', '/dev/null/x.pkdb'", "/dev/null")):
        contains(failure(db, f"select pk_set({bad})"), "pk: ", word)
    contains(failure(db, "select pk_get('nope')"), "pk: not_found: ", "nope")
    equal(one(db, "select pk_get('timeout')"), "250ms")


@case
def the_store_can_be_changed(folder):
    db = connect()
    first, second = one(db, "select pk_get('store')"), os.path.join(folder, "second.pkdb")
    one(db, "select pk_ask(?, 'a')", config())
    equal(one(db, "select pk_set('store', ?)", second), second)
    equal(one(db, "select count(*) from pk_logs"), 0)
    one(db, "select pk_ask(?, 'b')", config())
    equal(one(db, "select count(*) from pk_logs"), 1)
    contains(failure(db, "select pk_set('store', '" + folder + "') from pk_logs"), "pk: invalid_request: store")
    said = failure(db, "select pk_set('store', 'postgresql://pk:secret@db.example/x')")
    contains(said, "pk: store_error: store: a URL")
    assert "secret" not in said, said
    equal(one(db, "select pk_set('store', null)"), first)
    equal(one(db, "select json_extract(request, '$.messages[0].content') from pk_logs"), "a")


@case
def a_store_in_memory_is_private_and_complete(folder):
    db = connect()
    one(db, "select pk_set('store', ':memory:')")
    for status in ("MISS", "HIT", "HIT"):
        equal(one(db, "select pk_chat(?, 'x') -> '$.pk.cache_status'", config(**CACHED)), f'"{status}"')
    equal(one(db, "select count(*) from pk_logs"), 3)
    # Its own rows do not keep a scan going for ever.
    equal(len(db.execute("select pk_chat(?, 'x' || rowid) from pk_logs", (config(**CACHED),)).fetchall()), 3)
    equal(one(db, "select count(*) from pk_logs"), 6)
    equal(one(connect(), "select count(*) from pk_logs"), 0)


@case
def a_store_is_a_database_that_can_be_opened(folder):
    db = connect()
    one(db, "select pk_ask(?, 'x')", config(**CACHED))
    one(db, "select pk_flush()")
    shop = connect()
    shop.execute("attach ? as store", (os.environ["PK_STORE"],))
    opened = connect(os.environ["PK_STORE"])
    for one_of in (shop, opened):
        for (view,) in db.execute("select name from pragma_module_list where name like 'pk%'").fetchall():
            if one_of.execute("pragma table_info(%s)" % view).fetchone() and view not in ("pk_map", "pk_batch", "pk_collect", "pk_estimate"):
                one_of.execute(f"select * from {view}").fetchall()
        equal(one(one_of, "select request ->> '$.messages[0].content' from pk_logs"), "x")
        equal(one(one_of, "select count(*) from pk_cache where response is not null"), 1)


@case
def health_tells_where_and_how_much(folder):
    db = connect()
    one(db, "select pk_ask(?, 'x')", config())
    got = json.loads(one(db, "select pk_health()"))
    equal((got["ok"], got["store"], got["rows"], got["dropped"]), (True, os.environ["PK_STORE"], 1, 0))
    equal(got["version"], one(db, "select pk_version()"))
    assert got["connections"] >= 1 and got["schema_version"] >= 1 and got["pending"] >= 0
    assert got["cache_entries"] == one(db, "select count(*) from pk_cache"), got
    assert {"openai", "anthropic"} <= set(got["providers"])


@case
def the_cache_can_be_purged(folder):
    db = connect()
    for prompt in "abc":
        one(db, "select pk_chat(?, ?)", config(cache={"mode": "simple", "max_age": 3 if prompt == "a" else 3600}), prompt)
    equal(one(db, "select count(*) from pk_cache"), 3)
    time.sleep(3.1)
    equal(one(db, "select pk_cache_purge()"), 1)
    equal(one(db, "select pk_cache_purge(1)"), 2)
    equal(one(db, "select count(*) from pk_cache"), 0)
    for ns in "pq":
        one(db, "select pk_chat(?, 'x')", config(cache={"mode": "simple", "namespace": ns}))
    equal(one(db, "select pk_cache_purge(?)", '{"namespace": "p", "model": "*"}'), 1)
    equal(one(db, "select namespace from pk_cache"), "q")
    contains(failure(db, "select pk_cache_purge(?)", '{"names": "p"}'), "unknown key \"names\"")
    equal(one(db, "select count(*) from pk_audit where verb = 'cache_purge'"), 3)


@case
def the_cache_stays_within_bounds(folder):
    db = connect()
    equal(one(db, "select pk_get('cache_max_size') || ' ' || pk_get('cache_max_entries')"), "1GB 1000000")
    contains(failure(db, "select pk_set('cache_max_size', 'large')"), "cache_max_size: must be megabytes")
    contains(failure(db, "select pk_set('cache_max_entries', 0)"), "cache_max_entries: must be 1 or more")
    one(db, "select pk_set('cache_max_entries', 20)")
    rows = db.execute("with recursive n(x) as (select 1 union all select x + 1 from n where x < 100) "
                      "select pk_chat(?, 'text ' || x) -> '$.pk.cache_status' from n",
                      (config(cache={"mode": "simple"}),)).fetchall()
    equal(rows, [('"MISS"',)] * 100)
    one(db, "select pk_flush()")
    count = one(db, "select count(*) from pk_cache")
    assert 10 <= count <= 20, count
    equal(one(db, "select pk_chat(?, 'text 100') -> '$.pk.cache_status'", config(cache={"mode": "simple"})),
          '"HIT"')


@case
def a_similar_question_is_found_by_every_connection(folder):
    db, other = connect(), connect()
    embedder = {"provider": "openai", "api_key": "k", "model": "e", "custom_host": mock.origin + "/v1"}
    plain = config(cache={"mode": "semantic", "similarity_threshold": 0.9})
    ask = "select pk_chat(?, ?) -> '$.pk.cache_status'"
    equal(one(db, ask, plain, "How do I cook an egg?"), '"SEMANTIC MISS"')
    equal(one(other, ask, plain, "Might I cook the egg?"), '"SEMANTIC MISS"') # words are compared
    for c in db, other:
        one(c, "select pk_set('embedder', ?)", json.dumps(embedder))
    equal(one(db, ask, plain, "How do I fry an egg?"), '"SEMANTIC MISS"')
    equal(one(other, ask, plain, "How can I fry an egg?"), '"SEMANTIC HIT"')
    equal(one(other, ask, plain, "How do I boil an egg?"), '"SEMANTIC MISS"')
    equal(one(db, ask, plain, "Tell me how I boil the egg"), '"SEMANTIC HIT"')
    equal(one(db, "select semantic from pk_cache limit 1"), 1)
    equal(db.execute("select cache_similarity > 0.9 from pk_logs where cache_status = 'SEMANTIC HIT'").fetchall(),
          [(1,), (1,)])
    one(db, "select pk_cache_purge(1)")
    equal(one(db, ask, plain, "How might I boil an egg?"), '"SEMANTIC MISS"')


# --- relations -----------------------------------------------------------------------------


@case
def every_relation_can_be_read(folder):
    db = connect()
    one(db, "select pk_ask(?, 'x')", config())
    for name in ("pk_logs", "pk_spans", "pk_feedback", "pk_configs", "pk_prompts", "pk_virtual_keys", "pk_prices",
                 "pk_models", "pk_cache",
                 "pk_usage_hourly", "pk_usage_daily", "pk_latency", "pk_traces", "pk_logs_otel"):
        columns = [c[1] for c in db.execute(f"pragma table_info({name})")]
        got = db.execute(f"select * from {name}")
        equal([c[0] for c in got.description], columns)
        got.fetchall()
    contract = """id trace_id span_id parent_span_id span_name started_at operation provider request_model model
        config target_path attempts retries fallback_index stream status http_status error_type error_message
        finish_reason input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens usage_source
        cost_usd cost_saved_usd cache_status cache_similarity virtual_key api_key user_id prompt guardrail_verdict
        latency_ms ttft_ms overhead_ms metadata request response source query_id cost_reason dropped_params""".split()
    equal([c[1] for c in db.execute("pragma table_info(pk_logs)")], contract)


def logs_of(db, count):
    for i in range(count):
        one(db, "select pk_chat(?, ?, ?)", config(**CACHED), "x", json.dumps({"pk": {"trace_id": f"t{i % 5}"}}))
    return db.execute("select id, trace_id, started_at from pk_logs").fetchall()


@case
def conditions_give_the_same_rows_pushed_down_or_not(folder):
    db = connect()
    rows = logs_of(db, 40)
    db.execute("create table copy as select * from pk_logs")
    ids, times = sorted(r[0] for r in rows), sorted(r[2] for r in rows)
    day = times[0][:10]
    conditions = [("id = ?", ids[3]), ("id = ?", ids[3].upper()), ("id = ?", ids[3].replace("-", "")), ("id = ?", 5),
                  ("id = ?", None), ("trace_id = ?", "t2"), ("trace_id = ?", b"t2"), ("trace_id = ?", "T2"),
                  ("trace_id = ? collate nocase", "T2"), ("id in (?, 'x')", ids[0]), ("id > ?", ids[20]),
                  ("trace_id in ('t1', ?)", "t3"), ("id = ? or trace_id = 't1'", ids[0]),
                  ("id = ? or id = id", ids[0]), ("trace_id = ? and status = 'success'", "t4"),
                  ("not trace_id = ?", "t4"), ("trace_id is ?", "t1")]
    for op in ("<", "<=", ">", ">=", "=", "<>"):
        for t in (times[0], times[10], times[-1], day, day + "T", day + " 00:00:00", times[5][:19], times[5][:20],
                  times[5][:23], times[5][:16], times[5] + "x", "", "2", "zzz", day[:7], "9999-99-99", 7, None,
                  times[5][:19] + ".5", times[5][:19] + "Z"):
            conditions.append((f"started_at {op} ?", t))
    for condition, value in conditions:
        for order in ("", " order by started_at, id", " order by started_at desc, id", " order by id desc"):
            expected = db.execute(f"select id from copy where {condition}{order}", (value,)).fetchall()
            got = db.execute(f"select id from pk_logs where {condition}{order}", (value,)).fetchall()
            same = got == expected if order else sorted(got) == sorted(expected)
            assert same, f"{condition}{order} with {value!r}: {len(got)} rows, expected {len(expected)}"


@case
def joins_limits_and_orders_work(folder):
    db = connect()
    rows = logs_of(db, 30)
    newest = sorted((r[2], r[0]) for r in rows)[-5:]
    got = db.execute("select started_at, id from pk_logs order by started_at desc limit 5").fetchall()
    equal([g[0] for g in got], [n[0] for n in reversed(newest)])
    equal(len(db.execute("select id from pk_logs limit 3 offset 28").fetchall()), 2)
    equal(one(db, "select count(*) from pk_logs l join pk_spans s on s.log_id = l.id"),
          one(db, "select count(*) from pk_spans"))
    equal(one(db, "select count(*) from pk_logs a left join pk_logs b on b.id = a.id"), 30)
    db.execute("create temp table ids as select id from pk_logs limit 7")
    equal(one(db, "select count(*) from ids cross join pk_logs l on l.id = ids.id"), 7)
    plan = db.execute("explain query plan select * from pk_logs where id = 'x'").fetchall()
    contains(plan[0][3], "VIRTUAL TABLE INDEX", "0=")


@case
def relations_cannot_be_written(folder):
    db = connect()
    for sql in ("insert into pk_logs(id) values ('x')", "delete from pk_logs", "update pk_logs set id = 'x'",
                "drop table pk_logs", "delete from pk_cache"):
        failure(db, sql)


@case
def views_and_triggers_may_not_use_them(folder):
    db = connect(os.path.join(folder, "user.db"))
    db.execute("create table t(x)")
    db.execute("create view v1 as select pk_ask('openai', 'x')")
    db.execute("create view v2 as select * from pk_logs")
    db.execute("create view v3 as select pk_key_put('a', 'openai', 'env:A')")
    db.execute("create trigger tr after insert on t begin select pk_set('store', '/tmp/x'); end")
    for sql in ("select * from v1", "select * from v2", "select * from v3", "insert into t values (1)"):
        contains(failure(db, sql), "unsafe use of")
    contains(failure(db, "create table g(x, y as (pk_ask('openai', x)))"), "")
    contains(failure(db, "create index i on t(pk_ask('openai', x))"), "")


# --- bad input -----------------------------------------------------------------------------


@case
def wrong_arguments_are_named(folder):
    db = connect()
    before = mock.requests()
    c = config()
    for sql, args, parts in (
            ("pk_chat(?, 5)", (c,), ["messages", "integer"]),
            ("pk_chat(?, 5.5)", (c,), ["messages", "real"]),
            ("pk_chat(?, x'00ff')", (c,), ["messages", "blob"]),
            ("pk_chat(7, 'x')", (), ["config", "integer"]),
            ("pk_chat(?, 'x', 8)", (c,), ["params", "integer"]),
            ("pk_chat(?, '[1')", (c,), ["invalid_json", "messages"]),
            ("pk_chat(?, '{\"a\":1}')", (c,), ["messages", "array"]),
            ("pk_chat(?, 'x', '[]')", (c,), ["params", "object"]),
            ("pk_chat(?, 'x', '{')", (c,), ["params"]),
            ("pk_chat(?, 'x', '{\"pk\":{\"nope\":1}}')", (c,), ["nope"]),
            ("pk_chat(?, 'x', '{\"stream\":true}')", (c,), ["stream"]),
            ("pk_ask(?, 'a' || char(0) || 'b')", (c,), ["prompt", "NUL", "1"]),
            ("pk_ask(?, cast(x'61ff62' as text))", (c,), ["prompt", "UTF-8"]),
            ("pk_ask(?, cast(x'c0af' as text))", (c,), ["prompt", "UTF-8"]),
            ("pk_chat('{', 'x')", (), ["invalid_json", "config"]),
            ("pk_chat('{}', 'x')", (), ["config"]),
            ("pk_chat('{\"provider\":\"nobody\"}', 'x')", (), ["provider", "nobody"]),
            ("pk_chat('{\"provider\":\"openai\",\"wat\":1}', 'x')", (), ["wat"]),
            ("pk_chat('', 'x')", (), ["config"]),
            ("pk_chat('openai', 'x')", (), ["OPENAI_API_KEY"]),
            ("pk_config_put('bad slug', '{\"provider\":\"openai\"}')", (), ["slug"]),
            ("pk_config_put('s', '{\"provider\":\"openai\",\"api_key\":\"sk\"}')", (), ["api_key"]),
            ("pk_config_put('s', '{\"virtual_key\":\"none\"}')", (), ["none"]),
            ("pk_key_put('s', 'nobody', 'sk')", (), ["nobody"]),
            ("pk_key_put('s', 'openai', 'sk', '{\"wat\":1}')", (), ["wat"]),
            ("pk_key_rotate('s', 'sk')", (), ["s"]),
    ):
        contains(failure(db, f"select {sql}", *args), "pk: ", *parts)
    equal(mock.requests(), before)
    equal(one(db, "select count(*) from pk_configs"), 0)


@case
def a_provider_that_fails_is_told_in_its_own_words_after_ours(folder):
    db = connect()
    text = failure(db, "select pk_ask(?, 'x')", config("status-500", retry={"attempts": 0}))
    contains(text, "pk: provider_error: openai answered 500: ")
    for model, code in (("html-200", "invalid_answer"), ("empty-200", "invalid_answer"),
                        ("truncated-json", "invalid_answer"), ("drop-head", "connection_error"),
                        ("drop-mid", "connection_error"), ("wrong-types", ""), ("bad-utf8", "invalid_answer"),
                        ("redirect", "provider_error"), ("error-in-200", "")):
        contains(failure(db, "select pk_ask(?, 'x')", config(model, retry={"attempts": 0})), "pk: ", code)
    contains(failure(db, "select pk_ask(?, 'x')",
                     json.dumps({"provider": "openai", "api_key": "k", "custom_host": "http://127.0.0.1:1/v1",
                                 "override_params": {"model": "x"}})), "pk: connection_error: ")
    contains(failure(db, "select pk_ask(?, 'x')",
                     json.dumps({"provider": "openai", "api_key": "k", "custom_host": "http://169.254.169.254/v1",
                                 "override_params": {"model": "x"}})), "pk: host_not_allowed: ")
    equal(one(db, "select count(*) from pk_logs where status <> 'success'"),
          one(db, "select count(*) from pk_logs"))


@case
def the_result_codes_tell_programs_what_happened(folder):
    db = connect()
    denied = json.dumps({"provider": "openai", "api_key": "k", "custom_host": "http://169.254.169.254/v1",
                         "override_params": {"model": "x"}})
    for sql, args, code in (("pk_ask(?, 'x')", (denied,), "SQLITE_AUTH"),
                            ("pk_ask('x', zeroblob(5))", (), "SQLITE_ERROR"),
                            ("pk_ask(?, replace(hex(zeroblob(17000000)), '0', 'x'))", (config(),), "SQLITE_TOOBIG")):
        try:
            db.execute(f"select {sql}", args).fetchall()
            raise AssertionError("no error")
        except sqlite3.Error as e:
            equal(e.sqlite_errorname, code)


@case
def a_huge_or_deep_input_is_refused_before_the_call(folder):
    db = connect()
    before = mock.requests()
    contains(failure(db, "select pk_ask(?, ?)", config(), "x" * (100 << 20)), "pk: too_large: prompt")
    contains(failure(db, "select pk_chat(?, ?)", config(), "[" * 10000 + "]" * 10000), "pk: ", "messages")
    contains(failure(db, "select pk_chat(?, 'x', ?)", config(), '{"a":' * 10000 + "1" + "}" * 10000), "pk: ", "params")
    contains(failure(db, "select pk_chat(?, 'x')", '{"a":' * 10000 + "1" + "}" * 10000), "pk: ", "config")
    equal(mock.requests(), before)


@case
def a_large_answer_comes_whole_and_a_huge_one_is_refused(folder):
    db = connect()
    equal(len(one(db, "select pk_ask(?, 'x')", config("huge:8MB"))) >= 8 << 20, True)
    contains(failure(db, "select pk_ask(?, 'x')", config("huge:40MB")), "pk: too_large: ")
    equal(one(db, "select pk_ask(?, 'still works')", config()), "still works")


@case
def loading_it_twice_is_harmless(folder):
    db = connect()
    one(db, "select pk_set('on_error', 'null')")
    db.load_extension(PK)
    equal(one(db, "select pk_get('on_error')"), "null")
    equal(one(db, "select pk_ask(?, 'x')", config()), "x")
    db.close()
    db = connect()
    equal(one(db, "select pk_get('on_error')"), "raise")


if __name__ == "__main__":
    main()
