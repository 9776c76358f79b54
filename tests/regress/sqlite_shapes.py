#!/usr/bin/env python3
"""How many calls the shapes of SQL make that SQLite evaluates more than once, and what its functions refuse."""
import json
import os
import subprocess

from sqlite_door import CACHED, PK, case, config, connect, contains, equal, failure, main, mock, one

C = config()


def table(folder):
    """Ten rows; x is different in each, y has three values; four are ok."""
    db = connect(os.path.join(folder, "user.db"), isolation_level=None)
    db.execute("create table t(id integer primary key, x text, y text, ok integer)")
    db.executemany("insert into t values (?, ?, ?, ?)", [(i, f"x{i:02}", f"y{i % 3}", i < 5) for i in range(1, 11)])
    return db


def calls(db, sql, *args):
    before = mock.requests()
    rows = db.execute(sql, args).fetchall()
    return mock.requests() - before, len(rows)


def ask(column, params=""):
    return f"pk_ask('{C}', {column}, null, '{{\"n\": 1{params}}}')"


@case
def an_expression_of_a_subquery_is_one_call_a_row(folder):
    db = table(folder)
    flattened = f"select a from (select {ask('x')} a from t) where a is not null and a <> 'z' order by a"
    equal(calls(db, flattened), (10, 10))
    equal(calls(db, flattened.replace("(select", "(select id,")), (10, 10))
    equal(calls(db, f"with c as (select {ask('x')} a from t) select * from c union all select * from c"), (10, 20))
    equal(calls(db, f"with c as materialized (select {ask('x')} a from t)"
                    " select a from c where a is not null and a <> 'z' order by a"), (10, 10))
    equal(calls(db, f"select {ask('x')} a, count(*) from t group by {ask('x')} order by {ask('x')}"), (10, 10))


@case
def equal_calls_of_a_statement_are_one(folder):
    db = table(folder)
    equal(calls(db, f"select {ask('y')} from t"), (3, 10))
    equal(calls(db, f"select {ask('y')}, pk_chat('{C}', y), pk_ask('{C}', y) from t"), (9, 10))
    equal(calls(db, f"select {ask(repr('k'))} from t"), (1, 10))
    equal(calls(db, f"select distinct {ask('y')} from t"), (3, 3))
    equal(calls(db, f"update t set x = x || {ask('y')}"), (3, 0))
    equal(calls(db, f"select {ask('y')} from t"), (3, 10))  # another statement asks anew
    equal(calls(db, f"select {ask('y', ', %s' % json.dumps('pk') + ': ' + json.dumps({'dedup': False}))} from t"), (10, 10))
    contains(failure(db, f"select {ask('y', ', %s: ' % json.dumps('pk') + json.dumps({'dedup': 1}))} from t"),
             "params.pk.dedup: must be true or false")


@case
def equal_calls_have_equal_values_of_each_kind(folder):
    db = table(folder)
    emb = config("text-embedding-3-small")
    rows = db.execute("select pk_embed(?1, y), pk_chat(?2, y), pk_moderate(?3, y), typeof(pk_embed(?1, y)) from t",
                      (emb, C, config("omni-moderation-latest"))).fetchall()
    for i in range(3):
        equal(len({r for r in rows[i::3]}), 1)
    equal(rows[0][3], "blob")
    equal(one(db, "select json_type(json_array(pk_chat(?1, y)), '$[0]') from t limit 1 offset 4", C), "object")


@case
def a_failure_is_not_remembered_as_an_answer(folder):
    db = table(folder)
    db.execute("select pk_set('on_error', 'null')").fetchall()
    equal(calls(db, "select pk_ask(?, y) from t", config("status-401")), (10, 10))


@case
def what_is_remembered_is_bounded(folder):
    db = table(folder)
    sql = "select length(pk_ask(?, y || hex(zeroblob(?)))) from t"
    equal(calls(db, sql, C, 100000), (3, 10))
    equal(calls(db, sql, C, 5000000), (10, 10))  # too large to be worth it


@case
def sorting_and_grouping_count_as_sqlite_evaluates(folder):
    db = table(folder)
    made, rows = calls(db, f"select {ask('x')} from t order by x limit 3")
    equal(rows, 3)
    assert 3 <= made <= 10, made
    equal(calls(db, f"select {ask('x')} from t order by id limit 3"), (3, 3))
    equal(calls(db, f"select count(*) from t group by {ask('x')}"), (10, 10))
    equal(calls(db, f"select id from t order by {ask('x')} limit 2"), (10, 2))


@case
def a_column_that_nobody_reads_is_not_asked(folder):
    db = table(folder)
    db.execute(f"create temp view v as select id, {ask('x')} a from t")
    equal(calls(db, "select count(*) from v"), (0, 1))
    equal(calls(db, "select id from v"), (0, 10))
    equal(calls(db, "select * from v where id = 3"), (1, 1))


@case
def cheap_conditions_come_first_when_they_are_written_first(folder):
    db = table(folder)
    equal(calls(db, f"select id from t where {ask('x')} <> 'a' and ok"), (10, 4))
    equal(calls(db, f"select id from t where ok and {ask('x')} <> 'a'"), (4, 4))


@case
def views_of_a_file_may_not_call_but_pure_functions_may(folder):
    db = table(folder)
    db.execute(f"create view paid as select {ask('x')} a from t")
    contains(failure(db, "select a from paid"), "unsafe use of pk_ask")
    db.execute("create view scanned as select * from pk_batch('{}', '[]')")
    contains(failure(db, "select * from scanned"), "unsafe use of")
    db.execute("pragma trusted_schema = off")
    db.execute("create view pure as select pk_count_tokens('gpt-4o', x) n from t")
    equal(len(db.execute("select n from pure").fetchall()), 10)


@case
def an_answer_is_json_for_json_functions(folder):
    db = table(folder)
    equal(one(db, "select json_type(json_object('r', pk_chat(?, 'x')), '$.r')", C), "object")


@case
def a_statement_that_fails_keeps_its_log_and_its_answers(folder):
    db = table(folder)
    c = config(**CACHED)
    contains(failure(db, "insert into t select 1, pk_ask(?, 'kept'), null, 1", c), "UNIQUE")
    equal(one(db, "select count(*) from pk_logs"), 1)
    equal(calls(db, "select pk_ask(?, 'kept')", c), (0, 1))


@case
def a_list_of_prompts_is_one_batch_and_a_join_gives_all_rows(folder):
    db = table(folder)
    equal(calls(db, "select content from pk_map where config = ? and prompt in (select y from t)", C), (3, 3))
    equal(calls(db, "select t.id, m.content from t join pk_map m on m.prompt = t.y and m.config = ?", C)[1], 10)
    contains(failure(db, "select * from pk_map"), "pk_map needs a config")


@case
def many_calls_one_after_the_other_bring_a_hint_once(folder):
    db = table(folder)
    many = ("with recursive n(i) as (select 1 union all select i + 1 from n where i < ?)"
            " select count(pk_ask(?, 'n' || i)) from n")
    health = "select pk_health() ->> 'hint'"
    one(db, many, 100, C)
    equal(one(db, health), None)
    one(db, many, 101, C)
    contains(one(db, health), "pk_map()", "pk_prefetch()")
    script = f".log stderr\n.load {PK}\n" + many.replace("?", "150", 1).replace("?", f"'{C}'", 1) + ";\n"
    shell = subprocess.run(["sqlite3", ":memory:"], input=script, text=True, capture_output=True, check=True)
    equal(shell.stderr.count("pk_prefetch()"), 1)


if __name__ == "__main__":
    main()
