#!/usr/bin/env python3
"""The typed functions in Postgres: pk_json, pk_extract, pk_classify, pk_filter, pk_score; pk_messages: pg_typed.py [WORD...]"""
import json
import sys
import time

from patience import Promise
from pg_case import case, expect, expect_error, main

SCHEMA = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
                     "additionalProperties": False})


def config(mock, model="said", **more):
    return json.dumps({"provider": "openai", "api_key": "sk-test", "custom_host": f"http://127.0.0.1:{mock.port}/v1",
                       "override_params": {"model": model}, **more})


def log(k):
    """(attempts, status, error_type) of the rows of the log since the last time."""
    k.query("select pk_flush()")
    rows = k.query("select attempts, status, error_type from pk_logs order by started_at, id")
    k.query("delete from pk_log")
    return rows


@case
def each_gives_a_value_of_its_type(pg, mock, k):
    log(k)
    c = config(mock)
    expect(k.query("""select pk_json($1, '<<{"n": 1}>>', $2), pg_typeof(pk_json($1, '<<{"n":1}>>', $2, 'be brief')),
                             pk_extract($1, '<<{"n":2}>>', $2) -> 'n', pk_classify($1, '<<red>>', array['Red','blue']),
                             pk_classify($1, '<<red>>', jsonb '{"Red":"warm","blue":"cold"}'),
                             pk_classify($1, '<<red>>', jsonb '["Red"]'), pk_classify($1, '<<red>>', '["Red"]'),
                             pk_filter($1, 'is it?', '<<true>>'), pk_filter($1, 'is it?', '<<no>>'),
                             pk_score($1, 'how?', '<<{"score":0.25}>>'), pg_typeof(pk_score($1, 'how?', '<<1>>')),
                             pk_score($1, 'how?', '<<7>>', '{"pk":{"range":[1,10]}}')""", c, SCHEMA)
           == [['{"n": 1}', "jsonb", "2", "Red", "Red", "Red", "Red", "t", "f", "0.25", "double precision", "7"]])
    expect(k.query("""select pk_json($1::jsonb, '<<1>>', 'true'), pk_extract($1::jsonb, '<<{"n":2}>>', $2),
                             pk_classify($1::jsonb, '<<a>>', array['a']), pk_classify($1::jsonb, '<<a>>', jsonb '["a"]'),
                             pk_filter($1::jsonb, 'q', '<<yes>>'), pk_score($1::jsonb, 'r', '<<0.5>>')""", c, SCHEMA)
           == [["1", '{"n": 2}', "a", "a", "t", "0.5"]])
    rows = log(k)
    expect(len(rows) == 18 and all(r == ["1", "success", None] for r in rows), rows)


@case
def an_answer_that_does_not_fit_is_asked_for_once_more(pg, mock, k):
    mock.reset()
    expect(k.value("select pk_classify($1, '<<reddish>> <<red>>', array['red'])", config(mock)) == "red")
    expect(mock.requests() == 2, mock.requests())
    never = config(mock, retry={"attempts": 3})
    e = expect_error("58000", lambda: k.query("select pk_json($1, '<<one>> <<{\"n\":\"x\"}>> <<{\"n\":1}>>', $2)", never, SCHEMA),
                     'openai: $.n: must be of the type "integer"')
    expect("fallback to another model" in e.hint, e.hint)
    expect_error("58000", lambda: k.query("select pk_score($1, 'how?', '<<high>>')", never), "the answer is no number")
    expect(k.value("select pk_classify($1, '<<green>>', array['red'])", never) is None)
    expect(k.value("select pk_filter($1, 'is it?', '<<maybe>>')", never) is None)
    expect(mock.requests() == 10, mock.requests())
    expect(log(k) == [["2", "success", None]] + [["2", "error", "unfit_answer"]] * 4)


@case
def a_filter_fails_closed(pg, mock, k):
    for model in ("status-500", "status-401", "drop-head", "html-200", "truncated-json", "echo"):
        c = config(mock, model, retry={"attempts": 0})
        for wish in ("raise", "null", "json"):
            k.query(f"set pk.on_error = '{wish}'")
            expect(k.value("select pk_filter($1, 'is it?', 'hm')", c) is None, model, wish)
    k.query("reset pk.on_error")
    k.query("drop table if exists t")
    k.query("create table t as select x from (values ('<<true>>'), ('<<hm>>'), ('<<false>>'), (null)) v(x)")
    expect(k.query("select x from t where pk_filter($1, 'is it?', x)", config(mock)) == [["<<true>>"]])
    expect(k.query("select x from t where not pk_filter($1, 'is it?', x)", config(mock)) == [["<<false>>"]])


@case
def what_is_wrong_before_a_call_is_an_error_whatever_on_error_says(pg, mock, k):
    k.query("set pk.on_error = 'null'")
    mock.reset()
    c = config(mock)
    for state, sql, says in (
            ("22023", "pk_filter('no-such', 'q', 'x', $1)", "no-such"),
            ("22023", "pk_filter('{\"provider\":\"openai\"}', 'q', 'x', coalesce('{}', $1::text::jsonb))", "OPENAI_API_KEY: not set"),
            ("22023", "pk_filter($1, ' ', 'x')", "question: must not be empty"),
            ("22023", "pk_filter($1, 'q', 'x', '[]')", "params: must be an object"),
            ("22023", "pk_filter($1, 'q', 'x', '{\"pk\":{\"x\":1}}')", "params.pk: unknown option \"x\""),
            ("22023", "pk_score($1, '', 'x')", "rubric: must not be empty"),
            ("22023", "pk_score($1, 'r', 'x', '{\"pk\":{\"range\":[1,0]}}')", "params.pk.range: must be two numbers"),
            ("22023", "pk_classify($1, 'x', array[]::text[])", "labels: must be 1 to 500"),
            ("22023", "pk_classify($1, 'x', array['a', null])", "labels[1]: must be a string, not NULL"),
            ("22023", "pk_classify($1, 'x', array['a', 'A'])", "labels[1]: the same as labels[0]"),
            ("22023", "pk_classify($1, 'x', jsonb '\"red\"')", "labels: must be an array"),
            ("22P02", "pk_classify($1, 'x', '{red,blue}')", "labels: not valid JSON"),
            ("22023", "pk_classify($1, 'x', jsonb '[1]')", "labels[0]: must be a string, not a number"),
            ("22023", "pk_json($1, 'x', '{\"type\":\"integr\"}')", "schema.type: "),
            ("22023", "pk_json($1, 'x', '[]')", "schema: "),
            ("22P02", "pk_json($1, 'x', '{')", "json"),
            ("22023", "pk_extract($1, 'x', '{}', '{\"stream\":true}')", "params.stream: "),
            ("22023", "pk_extract($1, 'x', '{}', '{\"messages\":[]}')", "params.messages: ")):
        expect_error(state, lambda sql=sql: k.query(f"select {sql}", c), says)
    k.query("reset pk.on_error")
    expect(mock.requests() == 0, mock.requests())


@case
def null_in_is_null_out_without_a_call(pg, mock, k):
    mock.reset()
    for sql in ("pk_json(null::text, 'x', '{}')", "pk_json($1, null, '{}')", "pk_json($1, 'x', null)",
                "pk_extract($1, null, '{}')", "pk_extract($1, 'x', null)", "pk_classify($1, null, array['a'])",
                "pk_classify($1, 'x', null::text[])", "pk_classify($1, 'x', null::jsonb)", "pk_classify($1, 'x', null)", "pk_filter($1, null, 'x')",
                "pk_filter($1, 'q', null)", "pk_filter(null::text, 'q', 'x')", "pk_score($1, null, 'x')",
                "pk_score($1, 'r', null)", "pk_embed($1, '')"):
        expect(k.value(f"select {sql} where $1::text is not null", config(mock)) is None, sql)
    expect(mock.requests() == 0, mock.requests())


@case
def tables_are_asked_together_and_give_the_same(pg, mock, k):
    k.query("drop table if exists many")
    k.query("create table many as select i, case i % 4 when 0 then '<<no>>' when 1 then '<<hm>>' when 2 then '<<yes>>' end as x"
            " from generate_series(0, 39) i")
    c = config(mock, "said:d=50")
    mock.reset()
    rows = k.query("select i, pk_filter($1, 'q', x), pk_classify($1, x, array['yes', 'no']), pk_embed($1, '') is null from many"
                   " order by i", c)
    want = {0: ["f", "no"], 1: [None, None], 2: ["t", "yes"], 3: [None, None]}
    expect(all(r[1:] == want[int(r[0]) % 4] + ["t"] for r in rows) and len(rows) == 40, rows)
    expect(mock.page("stats")["max_in_flight"] > 4, mock.page("stats"))


@case
def on_error_decides_about_providers(pg, mock, k):
    broken = config(mock, "status-500", retry={"attempts": 0})
    for call in ("pk_json($1, 'x', '{}')", "pk_extract($1, 'x', '{}')", "pk_classify($1, 'x', array['a'])",
                 "pk_score($1, 'r', 'x')"):
        k.query("set pk.on_error = raise")
        expect_error("58000", lambda: k.query(f"select {call}", broken), "openai answered 500")
        k.query("set pk.on_error = 'null'")
        expect(k.value(f"select {call}", broken) is None, call)
        k.query("set pk.on_error = json")
        if "json" in call or "extract" in call:
            expect(json.loads(k.value(f"select {call}", broken))["error"]["code"] == "provider_error", call)
        else:  # no place for a document
            expect_error("58000", lambda: k.query(f"select {call}", broken), "openai answered 500")
    k.query("reset pk.on_error")


@case
def a_guardrails_message_is_no_answer(pg, mock, k):
    c = config(mock, guardrails={"output": [{"type": "contains", "deny": ["red"], "action": "replace",
                                             "message": "no comment"}]})
    expect_error("58000", lambda: k.query("select pk_json($1, '<<\"red\">>', 'true')", c), "there is no JSON in the answer")
    expect(k.value("select pk_filter($1, 'q', '<<red>>')", c) is None)
    expect(k.value("select pk_classify($1, '<<red>>', array['red'])", c) is None)


@case
def pk_messages_builds_a_conversation(pg, mock, k):
    expect(json.loads(k.value("select pk_messages('s', 'a', 'b', 'c')")) == [
        {"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"}])
    expect(json.loads(k.value("select pk_messages(null, 'say \"hi\"')")) == [{"role": "user", "content": 'say "hi"'}])
    expect(k.query("select pk_messages('s', null), pk_messages('s', 'a', null), pk_messages('s', variadic null)")
           == [[None, None, None]])
    expect(len(json.loads(k.value("select pk_messages('s', variadic array['a','b','c'])"))) == 4)
    expect_error("22023", lambda: k.query("select pk_messages('s', variadic '{}')"), "needs a system and a user's turn")
    expect(k.value("select pk_chat($1, pk_messages('s', 'a', 'b', 'c')) #>> '{choices,0,message,content}'",
                   config(mock, "echo")) == "c")
    k.query("create table c(x text, m jsonb generated always as (pk_messages(null, x)) stored)")  # it is immutable
    k.query("insert into c(x) values ('hey')")
    expect(json.loads(k.value("select m from c")) == [{"role": "user", "content": "hey"}])


# --- pk_reduce -----------------------------------------------------------------------------

def reduced(k, texts, *args):
    k.query("drop table if exists r")
    k.query("create table r (i integer generated always as identity, x text)")
    for t in texts:
        k.query("insert into r (x) values ($1)", t)
    marks = ["$1", "'Put them together.'", "x"] + [f"${i + 2}" for i in range(len(args) - 1)]
    return k.value(f"select pk_reduce({', '.join(marks)} order by i) from r", *args)


@case
def a_group_is_one_call_when_it_fits(pg, mock, k):
    c = config(mock, "echo")
    mock.reset()
    expect(reduced(k, [], c) is None and reduced(k, [None, None], c) is None)
    expect(k.query("select pk_reduce($1, null, 'x'), pk_reduce(null::text, 'i', 'x'), pk_reduce(null::jsonb, 'i', 'x')", c)
           == [[None] * 3])
    expect(mock.requests() == 0, mock.requests())
    expect(reduced(k, ["a", None, "", "</item>b"], c)
           == "<item-2>\na\n</item-2>\n<item-2>\n\n</item-2>\n<item-2>\n</item>b\n</item-2>\n")
    expect(k.value("select pk_reduce($1::jsonb, 'Count.', 'only', '{\"temperature\":0}')", c) == "<item>\nonly\n</item>\n")
    expect(mock.requests() == 2, mock.requests())


@case
def a_group_that_does_not_fit_is_a_tree_of_calls_in_flight(pg, mock, k):
    texts = [f"item {i} " + "word " * 150 for i in range(40)]
    mock.reset()
    log(k)
    got = reduced(k, texts, config(mock, "echo:words=20:d=100"), '{"pk":{"window":1000}}')
    made = mock.requests()
    expect(got == " ".join(f"word{i}" for i in range(20)), got)
    expect(10 < made < 40 and mock.page("stats")["max_in_flight"] > 4, made, mock.page("stats"))
    rows = log(k)
    expect(len(rows) == made and all(r == ["1", "success", None] for r in rows), rows)


@case
def each_group_has_its_own_answer(pg, mock, k):
    k.query("drop table if exists g")
    k.query("create table g as select * from (values (1,'a'),(2,'b'),(1,'c'),(3,null)) v(k, x)")
    c = config(mock, "echo")
    want = [["1", "<item>\na\n</item>\n<item>\nc\n</item>\n"], ["2", "<item>\nb\n</item>\n"], ["3", None]]
    for setting in ("on", "off"):
        k.query(f"set enable_hashagg = {setting}")
        expect(k.query("select k, pk_reduce($1, 'i', x order by x) from g group by k order by k", c) == want)
    k.query("reset enable_hashagg")
    mock.reset()
    expect(len(k.query("select pk_reduce($1, 'i', x) over (order by k) from g", c)) == 4)  # each frame is a group
    expect(mock.requests() == 3, mock.requests())


@case
def what_is_wrong_with_a_reduction_is_said(pg, mock, k):
    k.query("set pk.on_error = 'null'")
    mock.reset()
    c = config(mock, "echo")
    expect_error("22023", lambda: k.query("select pk_reduce('no-such', 'i', 'x')"), "no-such")
    expect_error("22023", lambda: k.query("select pk_reduce($1, ' ', 'x')", c), "instruction: must not be empty")
    for params, says in (('{"pk":{"window":1}}', "params.pk.window: must be at least 256 tokens"),
                         ('{"pk":{"max_calls":1}}', 'params.pk: unknown option "max_calls"'),
                         ('{"pk":{"concurrency":0}}', "params.pk.concurrency: must be an integer from 1 to 1024"),
                         ('[]', "params: must be an object"), ('{"stream":true}', "params.stream: ")):
        expect_error("22023", lambda p=params: k.query("select pk_reduce($1, 'i', 'x', $2)", c, p), says)
    expect_error("22023", lambda: k.query("select pk_reduce($1, i, 'x') from (values ('a'), ('b')) v(i)", c),
                 "instruction: must be the same for all rows of a group")
    expect_error("22012", lambda: k.query("select pk_reduce($1, 'i', (1 / (2 - i))::text) from generate_series(1, 2) i", c))
    expect(mock.requests() == 0, mock.requests())
    broken = config(mock, "status-500", retry={"attempts": 0})
    expect(k.value("select pk_reduce($1, 'i', 'x')", broken) is None)
    for wish in ("raise", "json"):
        k.query(f"set pk.on_error = '{wish}'")
        e = expect_error("58000", lambda: k.query("select pk_reduce($1, 'i', 'x')", broken), "openai answered 500")
        one = expect_error("58000", lambda: k.query("select pk_score($1, 'i', 'x')", broken))
        expect("The provider has trouble" in e.hint and (e.message, e.hint, e.detail) == (one.message, one.hint, one.detail), e.message, e.hint, e.detail)
    k.query("reset pk.on_error")
    expect_error("58000", lambda: k.query("select pk_reduce($1, 'i', 'x')", config(mock, "tool-call")), "the answer has no text")


@case
def a_reduction_can_be_cancelled(pg, mock, k):
    reduced(k, [f"item {i} " + "word " * 150 for i in range(40)], config(mock, "fixed-300"), '{"pk":{"window":1000}}')
    log(k)
    k.query("set statement_timeout = 300")
    with Promise("a timeout of 0.3 s", 0.4, 20):
        expect_error("57014", lambda: k.query("select pk_reduce($1, 'i', x, '{\"pk\":{\"window\":1000}}') from r",
                                              config(mock, "hang")))
    k.query("reset statement_timeout")
    rows = log(k)
    expect(rows and all(r[1] == "cancelled" for r in rows), rows)
    expect(k.value("select pk_ask($1, 'still there')", config(mock, "echo")) == "still there")


@case
def only_users_of_pk_may_ask(pg, mock, k):
    expect(k.query("select p.proname from pg_proc p where p.proname in ('pk_json', 'pk_extract', 'pk_classify',"
                   " 'pk_filter', 'pk_score', 'pk_messages', 'pk_reduce') and (has_function_privilege('public', p.oid, 'execute')"
                   " or not has_function_privilege('pk_user', p.oid, 'execute'))") == [])


if __name__ == "__main__":
    sys.exit(main("create extension pk"))
