#!/usr/bin/env python3
"""Scalar calls of many rows, made together by PkBatch in Postgres: pg_scan.py [WORD...]"""
import json
import sys

import pg_scan_fuzz
from patience import until
from pg_case import case, expect, expect_error, main


def store(k, mock, slug, model="echo", path="", **more):
    """A stored config, and the key that it names."""
    key = "key-" + (path.replace("/", "") or "plain")
    if k.value("select count(*) from pk_virtual_keys where slug = $1", key) == "0":
        k.query("select pk_key_put($1, 'openai', 'sk-test', $2)", key,
                json.dumps({"custom_host": f"http://127.0.0.1:{mock.port}{path}/v1"}))
    k.query("select pk_config_put($1, $2)", slug,
            json.dumps({"virtual_key": key, "override_params": {"model": model}, **more}))


def table(k, rows=10, name="t", body="'x' || g"):
    k.query("rollback; reset all")  # of a case that failed
    k.query(f"drop table if exists {name} cascade")
    k.query(f"create table {name} as select g as id, {body} as x, g % 5 <> 0 as ok, null::text as y "
            f"from generate_series(1, {rows}) g")
    k.query(f"analyze {name}")


def calls_of(k, mock, *statements):
    mock.reset()
    for s in statements:
        rows = k.query(s)
    return mock.requests(), rows


def most(mock):
    return mock.page("stats")["max_in_flight"]


CALLS = (  # statement over ten rows, calls, whether the plan has the node
    ("select pk_ask('c', x) from t", 10, True),
    ("select l.* from t, lateral pk_chat('c', to_jsonb(x)) l", 10, False),
    ("select pk_ask('c', x) from t where pk_ask('c', 'f' || x) is not null", 20, True),
    ("select a from (select pk_ask('c', x) a from t) s where a is not null and a <> 'z'", 10, True),
    ("explain select pk_ask('c', 'k') from t", 0, None),
    ("explain select * from t where x = pk_ask('c', 'k')", 0, None),
    ("select pk_ask('c', x) from t order by id limit 3", 3, True),
    ("select pk_ask('c', x) from t order by x limit 3", 3, True),
    ("select pk_ask('c', x) from t limit 5", 5, True),
    ("select pk_ask('c', x) from t limit 2 offset 3", 5, True),
    ("select pk_ask('c', x) from t limit 0", 0, None),
    ("select id from t order by pk_ask('c', x) limit 2", 10, True),
    ("select distinct pk_ask('c', (id % 3)::text) from t", 3, True),
    ("select pk_ask('c', 'the same') from t", 1, True),
    ("select pk_ask('c', 'the same', null, '{\"pk\":{\"dedup\":false}}') from t", 10, True),
    ("with c as (select id, pk_ask('c', x) a from t) select c1.a from c c1 join c c2 using (id)", 10, True),
    ("select count(*) from v", 10, True),
    ("select id from v", 10, True),
    ("select a from v where id = 3", 1, True),
    ("select id from t where ok and pk_ask('c', x) like 'x%'", 8, True),
    ("select id from t where pk_ask('c', x) like 'x%' and ok", 8, True),
    ("select id from t where pk_ask('c', x) like '%1%' and pk_ask('c', 'second' || x) is not null", 12, True),
    ("insert into u select id, pk_ask('c', x) from t on conflict do nothing", 10, True),
    ("select (select pk_ask('c', 'k')) from t", 1, False),
    ("select case when id < 4 then pk_ask('c', x) end from t", 3, False),
    ("select coalesce(x, pk_ask('c', 'x')) from t", 0, False),
    ("select id from t where id < 3 or pk_ask('c', x) = 'x5'", 8, False),
    ("select max(pk_ask('c', x)) from t", 10, True),
    ("select count(*) filter (where pk_ask('c', x) like '%1%') from t", 10, True),
    ("select pk_ask('c', (id % 2)::text), count(*) from t group by 1", 2, True),
    ("select id, rank() over (order by pk_ask('c', x)) from t", 10, True),
    ("select pk_ask('c', x) from t for update", 10, True),
    ("select pk_ask('c', x) from parts limit 6", 6, True),
    ("select pk_ask('c', x) from parts", 10, True),
    ("select pk_ask('c', null) from t", 0, True),
    ("select pk_ask('c', case when id > 7 then x end) from t", 3, True),
    ("select pk_ask('c', pk_ask('c', x || '-')) from t", 10, True),
    ("select pk_chat('c', to_jsonb(x)), pk_try_chat('c', to_jsonb('z' || x)), pk_moderate('c', x) from t", 30, True),
    ("update t set y = pk_ask('c', x) where id < 7", 6, True),
    ("create temp table made as select pk_ask('c', x) a from t", 10, True),
    ("insert into u select id + 100, pk_ask('c', x) from t", 10, True),
    ("delete from u where pk_ask('c', a) = 'x3'", 9, True),
    ("select case when pk_ask('c', x) like 'x%' then 1 else 1 / (id - id) end from t", 10, True),
    ("select case pk_ask('c', x) when 'x2' then 1 else id end from t", 10, True),
    ("select id from t where pk_ask('c', x) like 'x%' or 1 / (id - id) = 1", 10, True),
    ("select case when pk_ask('c', upper(x)) = 'X1' then upper(x) end from t group by upper(x)", 10, True),
)


@case
def every_shape_makes_the_calls_that_it_has_to(pg, mock, k):
    table(k)
    k.query("drop table if exists u, parts, s cascade")
    k.query("create view v as select id, pk_ask('c', x) a from t")
    k.query("create table u (id integer primary key, a text); insert into u select id, x from t where id < 10")
    k.query("create table parts (id integer, x text) partition by range (id)")
    k.query("create table parts1 partition of parts for values from (0) to (4);"
            "create table parts2 partition of parts for values from (4) to (100)")
    k.query("insert into parts select id, x from t; create table s as select id, x from t; analyze")
    store(k, mock, "c")
    for statement, count, batched in CALLS:
        k.query("begin")
        if batched is not None:
            plan = "\n".join(r[0] for r in k.query("explain " + statement))
            expect(("PkBatch" in plan) == batched, statement, plan)
        made, _ = calls_of(k, mock, statement)
        k.query("rollback")
        # A nested call of an answer that is the question again is equal to none of the same statement.
        expect(made == (20 if "pk_ask('c', pk_ask" in statement else count), statement, made, "not", count)


@case
def calls_are_in_flight_together_and_rows_come_in_order(pg, mock, k):
    table(k, 200)
    store(k, mock, "slow", path="/d/100")
    k.query("set pk.concurrency = 50")
    for statement in ("select id, pk_ask('slow', x) from t", "update t set y = pk_ask('slow', x)",
                      "create temp table made as select pk_ask('slow', 'm' || x) from t",
                      "insert into t (id, y) select id, pk_ask('slow', 'i' || x) from t where id <= 200"):
        made, rows = calls_of(k, mock, statement)
        expect(made == 200 and 40 <= most(mock) <= 50, statement, made, most(mock))
        if rows:
            expect([int(r[0]) for r in rows] == list(range(1, 201)) and all(r[1] == f"x{r[0]}" for r in rows), rows[:5])
    k.query("set pk.batch = off")
    made, _ = calls_of(k, mock, "select pk_ask('slow', x) from t where id <= 3")
    expect(made == 3 and most(mock) == 1, most(mock))
    k.query("reset all")


@case
def explain_tells_the_calls_and_what_became_of_them(pg, mock, k):
    table(k, 20)
    store(k, mock, "c")
    store(k, mock, "kept", cache={"mode": "simple"})
    plan = "\n".join(r[0] for r in k.query("explain select pk_ask('c', x) from t"))
    for line in ("Custom Scan (PkBatch)", "Calls: pk_ask(...)", "Concurrency: 32"):
        expect(line in plan, line, plan)
    query = "explain (analyze, format json) select pk_ask('kept', 'e' || id % 4) from t"

    def facts():
        return json.loads(k.value(query))[0]["Plan"]

    p = facts()
    expect((p["Calls Made"], p["Cache Hits"], p["Equal Calls"]) == (4, 0, 16), p)
    p = facts()
    expect((p["Calls Made"], p["Cache Hits"], p["Equal Calls"]) == (0, 4, 16), p)


@case
def settings_have_bounds(pg, mock, k):
    for value in ("0", "1025"):
        expect_error("22023", lambda v=value: k.query(f"set pk.concurrency = {v}"), "pk.concurrency")
    expect(k.value("show pk.concurrency") == "32" and k.value("show pk.batch") == "on")


@case
def the_first_statement_of_a_session_is_batched(pg, mock, k):
    table(k)
    store(k, mock, "c")
    with pg.connect() as first:
        expect("PkBatch" in "\n".join(r[0] for r in first.query("explain select pk_ask('c', x) from t")))


@case
def an_error_comes_at_its_row_and_ends_what_is_in_flight(pg, mock, k):
    table(k, 40)
    store(k, mock, "c")
    store(k, mock, "bad", "status-400")
    query = "select id, pk_ask(case when id = 6 then 'bad' else 'c' end, x) from t"
    expect_error("58000", lambda: k.query(query))
    k.query("begin; declare w cursor for " + query)
    expect(len(k.query("fetch 5 from w")) == 5)
    expect_error("58000", lambda: k.query("fetch 1 from w"))
    k.query("rollback")
    k.query("set pk.on_error = 'null'")
    rows = k.query(query)
    expect([r[0] for r in rows if r[1] is None] == ["6"] and len(rows) == 40, rows)
    k.query("set pk.on_error = json")
    expect('"ok"' in k.query(query)[5][1])
    k.query("reset pk.on_error")
    expect_error("22023", lambda: k.query("select pk_ask('no such config', x) from t"))
    expect(k.query("select pk_ask(case when id = 9 then 'none' else 'c' end, x) from t limit 8")[7] == ["x8"])
    expect_error("22023", lambda: k.query("select pk_ask('c', x, null, '{\"pk\":{\"nonsense\":1}}') from t"), "nonsense")


@case
def an_error_elsewhere_logs_what_was_in_flight(pg, mock, k):
    table(k, 40)
    store(k, mock, "slow", path="/d/2000")
    k.query("select pk_flush()")
    before = int(k.value("select count(*) from pk_logs where status = 'cancelled'"))
    expect_error("22012", lambda: k.query("select 1 / (id - 30), pk_ask('slow', x) from t"))
    k.query("select pk_flush()")
    after = int(k.value("select count(*) from pk_logs where status = 'cancelled'"))
    expect(20 <= after - before <= 40, before, after)
    expect(until(lambda: mock.page("stats")["in_flight"] == 0), mock.page("stats"))


@case
def all_rows_of_a_statement_have_its_query_id(pg, mock, k):
    table(k, 12)
    store(k, mock, "c")
    k.query("set pk.metadata = '{\"statement\":\"mine\"}'")
    k.query("select pk_ask('c', x) from t")
    k.query("select pk_flush()")
    rows = k.query("select query_id, count(*) from pk_logs where metadata ->> 'statement' = 'mine' group by 1")
    expect(len(rows) == 1 and rows[0][1] == "12", rows)
    k.query("reset all")


@case
def parents_that_stop_early_waste_little(pg, mock, k):
    table(k, 300)
    store(k, mock, "c")
    made, _ = calls_of(k, mock, "select 1 where exists (select from t where pk_ask('c', x) like '%9')")
    expect(made <= 32, made)
    made, _ = calls_of(k, mock, "select id from t where pk_ask('c', x) like '%5' limit 2")
    expect(made <= 48, made)
    made, _ = calls_of(k, mock, "begin", "declare w cursor for select pk_ask('c', x) from t", "fetch 3 from w", "commit")
    expect(made <= 16, made)


@case
def limits_of_prepared_statements_are_exact(pg, mock, k):
    table(k, 50)
    store(k, mock, "c")
    for mode in ("auto", "force_generic_plan"):
        k.query(f"set plan_cache_mode = {mode}")
        k.query("prepare q(bigint) as select pk_ask('c', x) from t limit $1")
        for n in (1, 7, 50, 0):
            made, rows = calls_of(k, mock, f"execute q({n})")
            expect(made == n == len(rows), mode, n, made)
        made, rows = calls_of(k, mock, "execute q(null)")
        expect(made == 50 == len(rows), made)
        k.query("deallocate q")
    k.query("reset all")


@case
def rescans_laterals_and_scroll_cursors_work(pg, mock, k):
    table(k, 9)
    store(k, mock, "c")
    k.query("set enable_material = off; set enable_hashjoin = off; set enable_mergejoin = off")
    rows = k.query("select a.id, b.r from generate_series(1, 3) a(id), lateral (select pk_ask('c', x || a.id) r from t "
                   "where t.id <= a.id offset 0) b order by 1, 2")
    expect([tuple(r) for r in rows] == [("1", "x11"), ("2", "x12"), ("2", "x22"), ("3", "x13"), ("3", "x23"), ("3", "x33")], rows)
    k.query("reset all")
    k.query("begin; declare w scroll cursor for select id, pk_ask('c', x) from t order by id")
    expect(len(k.query("fetch 6 from w")) == 6)
    expect(k.query("fetch backward 2 from w") == [["5", "x5"], ["4", "x4"]])
    expect(k.query("fetch last from w") == [["9", "x9"]])
    k.query("commit")
    rows = k.query("with recursive r(n, a) as (select 1, 'start' union all select n + 1, pk_ask('c', a || n) from r where n < 4)"
                   " select n, a from r")
    expect(rows[3] == ["4", "start123"], rows)


@case
def a_row_that_changes_meanwhile_is_asked_again(pg, mock, k):
    table(k, 4)
    store(k, mock, "c")
    with pg.connect() as other:
        other.query("begin; update t set x = 'changed' where id = 2")
        k.send("update t set y = pk_ask('c', x)")
        waits = until(lambda: other.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == "1")
        other.query("commit")
        k.finish()
    expect(waits)
    expect(k.query("select id, y from t order by id") == [["1", "x1"], ["2", "changed"], ["3", "x3"], ["4", "x4"]])


@case
def rows_that_a_policy_hides_are_not_asked(pg, mock, k):
    table(k, 10)
    store(k, mock, "c")
    k.query("drop role if exists reader")
    k.query("create role reader; grant pk_user to reader; grant select on t to reader; grant usage on schema public to reader")
    k.query("alter table t enable row level security; create policy few on t to reader using (pk_ask('c', x) < 'x4')")
    k.query("create function leak(text) returns boolean language plpgsql cost 1 as $$ begin raise notice '%', $1; return true; end $$")
    k.query("set role reader")
    try:
        rows = k.query("select id, x from t where leak(x) order by id")
        expect([r[0] for r in rows] == ["1", "2", "3", "10"], rows)
        made, _ = calls_of(k, mock, "select pk_ask('c', 'told ' || x) from t")
        expect(made == 14, made)
    finally:
        k.query("reset role")
    k.query("revoke execute on function pk_ask(text, text, text, jsonb) from pk_user")
    k.query("set role reader")
    expect_error("42501", lambda: k.query("select pk_ask('c', x) from t"))
    k.query("reset role; grant execute on function pk_ask(text, text, text, jsonb) to pk_user; drop function leak")


@case
def several_nodes_share_a_session(pg, mock, k):
    table(k, 30)
    store(k, mock, "slow", path="/d/20")
    rows = k.query("select a.id, a.r, b.r from (select id, pk_ask('slow', x) r from t) a join (select id, pk_ask('slow', 'b' || x) r"
                   " from t) b using (id) where pk_ask('slow', a.r || b.r) like 'x%' order by a.id")
    expect(len(rows) == 30 and rows[0] == ["1", "x1", "bx1"], rows[:3])
    k.query("create function twice(text) returns text language plpgsql as $$ begin return (select max(pk_ask('slow', $1 || id)) from t"
            " where id < 4); end $$")
    rows = k.query("select id, pk_ask('slow', x), twice(x) from t where id <= 5")
    expect(rows[4] == ["5", "x5", "x53"], rows)
    k.query("drop function twice")


@case
def random_statements_say_the_same_together_and_alone(pg, mock, k):
    batched, count = pg_scan_fuzz.run(k, lambda slug: store(k, mock, slug), expect)
    print(f"# {batched} of {count} plans have the node")


if __name__ == "__main__":
    sys.exit(main("create extension pk", max_files_per_process="2000", client_min_messages="error"))
