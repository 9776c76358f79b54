#!/usr/bin/env python3
"""pk_running in Postgres, and what is told at the end of a statement: pg_running.py [WORD...]"""
import json
import os
import signal
import subprocess
import sys

import pg_temp
from patience import until
from pg_case import CASES, case, expect, expect_error, main
from pg_map import config, options, table

del CASES[:]  # of pg_map

QUERY = "select id as key, body as prompt from rows order by id"
LOOK = "select kind, done, total, failed, in_flight, rate, eta_s, config, pid, id from pk_running"


def call(function, *args):
    return f"select count(*) from {function}({', '.join(map(pg_temp.quoted, args))})"


def watch(pg, k, sql, rows, look=LOOK):
    """Runs it in another session; the states of its row that differ, and whether it went with the statement."""
    seen = []
    with pg.connect() as other:
        other.send(sql)

        def over():
            now = k.query(look)
            expect(len(now) <= 1, now)
            if now and now[0] not in seen:
                expect(now[0][8] == str(other.pid()), now, other.pid())
                seen.append(now[0])
            return seen and not now
        gone = until(over)
        got = other.finish()
        expect(not got or got[0][0] == str(rows), got)
    expect(len({s[9] for s in seen}) == 1, seen)
    return seen, gone


def grows(seen):
    done = [int(s[1]) for s in seen]
    expect(len(done) >= 2 and done == sorted(done) and done[0] < done[-1], seen)


def none_left(k):
    k.query("select pk_flush()")
    return k.value("select count(*) from pk_progress") == "0"


@case
def a_map_is_seen_by_others_while_it_runs_and_then_no_more(pg, mock, k):
    k.query("select pk_key_put('mock', 'openai', 'sk-test', jsonb_build_object('custom_host', $1::text))", f"http://127.0.0.1:{mock.port}/d/200/v1")
    k.query("""select pk_config_put('slow', '{"virtual_key": "mock", "override_params": {"model": "echo"}}')""")
    table(k, [f"row {i}" for i in range(80)])
    seen, gone = watch(pg, k, call("pk_map", "slow", QUERY, options(concurrency=5)), 80)
    grows(seen)
    expect(gone and none_left(k))
    kind, done, total, failed, in_flight, rate, eta, slug, *_ = seen[0]
    expect((kind, total, failed, slug, eta) == ("pk_map", None, "0", "slow", None), seen[0])
    expect(1 < float(rate) < 40 and int(done) < 80 and 1 <= int(in_flight) <= 5, seen[0])


@case
def a_batch_knows_its_total_and_so_when_it_ends(pg, mock, k):
    seen, gone = watch(pg, k, "select count(*) from pk_batch({}, array(select 'q' || i from generate_series(1, 40) i), {})".format(
        pg_temp.quoted(config(mock, path="/d/200")), pg_temp.quoted(options(concurrency=4))), 40)
    expect(gone and all(s[0] == "pk_batch" and s[2] == "40" and s[7] is None for s in seen), seen)
    for s in seen:
        left = (40 - int(s[1])) / float(s[5])
        expect(abs(float(s[6]) - left) < 0.01, s, left)


@case
def scalar_calls_prefetch_and_reduce_are_batches_too(pg, mock, k):
    table(k, [f"row {i}" for i in range(60)])
    slow = config(mock, path="/d/200")
    for kind, sql, rows in (
            ("PkBatch", f"set pk.concurrency = 4; select count(pk_ask({pg_temp.quoted(slow)}, body)) from rows", 60),
            ("pk_prefetch", "select (pk_prefetch({}, {}, {}) ->> 'rows')".format(*map(pg_temp.quoted, (
                config(mock, path="/d/200", cache={"mode": "simple"}), QUERY, options(concurrency=4)))), 60),
            ("pk_reduce", "select pk_reduce({}, 'sum up', body, {}) <> '' from rows".format(*map(pg_temp.quoted, (
                config(mock, path="/d/2500"), options(concurrency=4)))), "t")):
        seen, gone = watch(pg, k, sql, rows)
        expect(gone and all(s[0] == kind for s in seen), kind, seen)
        if kind != "pk_reduce":
            grows(seen)
    expect(none_left(k))


@case
def a_query_that_is_scanned_again_and_again_is_one_row(pg, mock, k):
    table(k, [f"row {i}" for i in range(3)])
    slow = pg_temp.quoted(config(mock, path="/d/150"))
    seen, gone = watch(pg, k, f"select count(*) from generate_series(1, 24) g, lateral (select pk_ask({slow}, body || g) a from rows"
                              f" offset 0) q", 72)
    grows(seen)
    expect(gone and seen[0][0] == "PkBatch" and int(seen[-1][1]) > 6, seen)


@case
def pk_run_is_one_row_over_all_its_chunks(pg, mock, k):
    table(k, [f"row {i}" for i in range(60)])
    k.query("drop table if exists answers")
    run = "call pk_run({}, {}, 'answers', 'id', {}, 8)".format(*map(pg_temp.quoted, (
        QUERY, config(mock, path="/d/150"), options(concurrency=4))))
    seen, gone = watch(pg, k, run, 0)
    grows(seen)
    expect(gone and none_left(k) and all(s[0] == "pk_run" and s[2] == "60" for s in seen), seen)
    expect(int(seen[-1][1]) > 16, seen)
    k.query("delete from answers")
    with pg.connect() as other:
        other.send(run)
        expect(until(lambda: k.query(LOOK)))
        other.cancel()
        expect_error("57014", other.finish)
        expect(until(lambda: not k.query(LOOK)), k.query(LOOK))
        other.query("select * from pk_map($1, 'select 1 as prompt')", config(mock))  # no chunk of it
    expect(none_left(k))


@case
def whatever_ends_a_statement_leaves_no_row(pg, mock, k):
    table(k, [f"row {i}" for i in range(10)])
    slow = config(mock, path="/d/20000")
    for sql in (call("pk_map", slow, QUERY), f"select pk_ask({pg_temp.quoted(slow)}, body) from rows"):
        for end in ("cancel", "terminate", "timeout"):
            other = pg.connect()
            if end == "timeout":
                other.query("set statement_timeout = 2500")
            other.send(sql)
            expect(until(lambda: k.query(LOOK)), sql, end)
            row = k.query(LOOK)[0]
            expect((row[1], row[4]) == ("0", "10"), row)
            if end == "cancel":
                other.cancel()
            elif end == "terminate":
                k.query("select pg_terminate_backend($1)", other.pid())
            try:
                other.finish()
                raise AssertionError("it did not end")
            except pg_temp.Error:
                pass
            expect(until(lambda: not k.query(LOOK)), sql, end, k.query(LOOK))
            other.close()
    expect(none_left(k))


@case
def what_is_short_writes_nothing(pg, mock, k):
    table(k, [f"row {i}" for i in range(20)])
    k.query("create table written (at timestamptz default now())")
    k.query("""create function note() returns trigger language plpgsql as $$
        begin insert into public.written default values; return new; end $$;
        create trigger note after insert or update on pk_progress for each row execute function note()""")
    k.query("select * from pk_map($1, $2)", config(mock, path="/d/50"), QUERY)
    k.query("select count(pk_ask($1, body)) from rows", config(mock, path="/d/50"))
    k.query("select pk_flush()")
    expect(k.value("select count(*) from written") == "0")
    k.query("select * from pk_map($1, $2, $3)", config(mock, path="/d/260"), QUERY, options(concurrency=2))
    k.query("select pk_flush()")
    expect(k.value("select count(*) between 2 and 5 from written") == "t", k.value("select count(*) from written"))  # 2.6 s, or more
    k.query("drop trigger note on pk_progress")


@case
def users_see_their_own_and_administrators_all(pg, mock, k):
    table(k, [f"row {i}" for i in range(10)])
    k.query("create role ann login in role pk_user; create role bob login in role pk_user;"
            "create role chief login in role pk_admin; create role nobody login; grant select on rows to ann")
    with pg.connect(user="ann") as ann, pg.connect(user="bob") as bob, pg.connect(user="chief") as chief:
        ann.send(call("pk_map", config(mock, path="/d/20000"), QUERY))
        expect(until(lambda: chief.query(LOOK)))
        actor = chief.query("select kind, source, actor, query_id ~ '^[0-9a-f]+[.]', now() - updated_at < interval '3 s' from pk_running")
        expect(actor == [["pk_map", "postgres", "role:ann", "t", "t"]], actor)
        expect(bob.query(LOOK) == [])
        with pg.connect(user="ann") as also, pg.connect(user="nobody") as no:
            expect(len(also.query(LOOK)) == 1)
            expect_error("42501", lambda: no.query(LOOK))
            expect_error("42501", lambda: also.query("select * from pk_progress"))
        ann.cancel()
        expect_error("57014", ann.finish)
    expect(none_left(k))


@case
def what_was_killed_is_not_shown_and_swept(pg, mock, k):
    csv = os.path.join(pg.dir, "in.csv")
    with open(csv, "w", encoding="utf-8") as f:
        f.write("body\n" + "".join(f"row {i}\n" for i in range(400)))
    key = os.path.join(pg.dir, "map.key")
    with open(key, "wb") as f:
        f.write(os.urandom(32))
    os.chmod(key, 0o600)
    p = subprocess.Popen([os.path.join(pg_temp.BUILD, "pkd"), "map", csv, "--config", config(mock, path="/d/200"),
                          "--prompt", "{{body}}", "--concurrency", "4", "--out", csv + ".out", "--store",
                          f"postgres:///postgres?host={pg.host}&port={pg.port}&user={pg.user}"],
                         stderr=subprocess.PIPE, env={k: v for k, v in os.environ.items() if not k.startswith("PK_")})
    expect(until(lambda: k.query(LOOK) or p.poll() is not None) and p.poll() is None, p.poll() and p.stderr.read())
    row = k.query(LOOK)[0]
    expect((row[0], row[2], row[8]) == ("pkd map", None, str(p.pid)), row)
    listed = subprocess.run([os.path.join(pg_temp.BUILD, "pkd"), "jobs", "running", "--json", "--store", p.args[-1]], text=True,
                            capture_output=True, env={k: v for k, v in os.environ.items() if not k.startswith("PK_")})
    expect(listed.returncode == 0, listed.stderr)
    one, = json.loads(listed.stdout)
    expect((one["kind"], one["pid"], one["total"], one["failed"], one["id"]) == ("pkd map", p.pid, None, 0, row[9]), one)
    expect(one["done"] > 0 and one["rate"] > 1 and one["cost_usd"] == 0 and one["eta_s"] is None, one)
    p.send_signal(signal.SIGKILL)
    p.wait()
    expect(len(k.query(LOOK)) == 1, "it is not known yet that it was killed")
    k.query("update pk_progress set updated_us = updated_us - 10000000")
    expect(k.query(LOOK) == [])
    k.query("select pk_retention_run()")
    expect(k.value("select count(*) from pk_progress") == "1", "it might go on")
    k.query("update pk_progress set updated_us = updated_us - 60000000")
    k.query("select pk_retention_run()")
    expect(k.value("select count(*) from pk_progress") == "0")


def told_by(k, sql, *args):
    told = k.listen()
    k.query(sql, *args)
    return [t.split("pk: ")[1].strip() for t in told if "pk: rows" in t]


@case
def a_statement_with_scalar_calls_tells_once_what_they_cost(pg, mock, k):
    table(k, ["a", "b", "a", None])
    priced = config(mock, "gpt-4o-mini")
    told = told_by(k, "select pk_ask($1, body) from rows", priced)
    expect(told == ["rows 4, calls 2, from the cache 0, failed 0, cost $0.0000015"], told)
    cached = config(mock, "gpt-4o-mini", cache={"mode": "simple"})
    for calls, hits, cost in ((2, 0, "$0.0000015"), (0, 2, "$0")):
        told = told_by(k, "select pk_ask($1, body) from rows", cached)
        expect(told == [f"rows 4, calls {calls}, from the cache {hits}, failed 0, cost {cost}"], told)
        k.query("select pk_flush()")
    told = told_by(k, "select pk_ask($1, body) from rows union all select pk_ask($1, body || '!') from rows where id < 3", priced)
    expect(len(told) == 1 and told[0].startswith("rows 6, calls 4,"), told)
    k.query("set pk.on_error = 'null'")
    told = told_by(k, "select pk_ask($1, body) from rows", config(mock, "status-400"))
    k.query("reset pk.on_error")
    expect(len(told) == 1 and told[0].endswith("from the cache 0, failed 3, cost $0"), told)  # a failure may be asked again
    expect(told_by(k, "select pk_ask($1, body) from rows where id = 1", priced) == [], "a single call is no batch")
    expect(told_by(k, "explain select pk_ask($1, body) from rows", priced) == [])
    k.query("set pk.notice = off")
    expect(told_by(k, "select pk_ask($1, body) from rows", priced) == [])
    k.query("reset pk.notice")


if __name__ == "__main__":
    sys.exit(main("create extension pk; set client_min_messages = notice"))
