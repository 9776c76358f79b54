#!/usr/bin/env python3
"""pk_map and pk_batch in SQLite: many calls in flight, one row each, whatever becomes of them."""
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

from sqlite_door import (CACHED, PK, SAN, calls, case, config, connect, contains, equal, failure, main, mock, one, options,
                         slow, table, wait_for)

COLUMNS = ["ord", "key", "content", "response", "ok", "error_code", "error_message", "retryable", "http_status",
           "provider", "model", "input_tokens", "output_tokens", "cost_usd", "latency_ms", "attempts",
           "cache_status", "trace_id"]
QUERY = "select id as key, body as prompt from t order by id"


@case
def each_row_of_the_query_is_a_row_with_what_became_of_it(folder):
    db = table(folder, ["a", "b", "c"])
    cursor = db.execute("select * from pk_map(?, ?)", (config(), QUERY))
    equal([d[0] for d in cursor.description], COLUMNS)
    rows = [dict(zip(COLUMNS, r)) for r in cursor]
    equal([(r["ord"], r["key"], r["content"], r["ok"]) for r in rows],
          [(1, 1, "a", 1), (2, 2, "b", 1), (3, 3, "c", 1)])
    r = rows[0]
    equal((r["http_status"], r["provider"], r["attempts"], r["error_code"], r["retryable"]),
          (200, "openai", 1, None, None))
    equal(json.loads(r["response"])["choices"][0]["message"]["content"], "a")
    equal(r["input_tokens"], 1)
    equal(one(db, "select count(*) from pk_logs where trace_id = ?", r["trace_id"]), 1)
    equal(one(db, "select count(distinct query_id) from pk_logs"), 1)


@case
def calls_are_in_flight_together(folder):
    db = table(folder, [f"row {i}" for i in range(64)])
    before = mock.page("stats")["max_in_flight"]
    rows, count = calls(db, "select content from pk_map(?, ?, ?)", slow(200), QUERY, options(concurrency=32))
    equal((len(rows), count), (64, 64))
    assert max(before, 32) >= mock.page("stats")["max_in_flight"] >= 16


@case
def rows_come_in_the_order_of_the_query_or_as_they_end(folder):
    db = table(folder, [f"row {i}" for i in range(24)])
    expected = list(range(1, 25))
    for order in ("input", "completion"):
        rows = db.execute("select key from pk_map(?, ?, ?)",
                          (config("echo:j=200"), QUERY, options(order=order))).fetchall()
        keys = [r[0] for r in rows]
        equal(sorted(keys), expected)
        equal(keys == expected, order == "input")


@case
def equal_prompts_are_one_call(folder):
    db = table(folder, ["same", "other"] * 50)
    rows, count = calls(db, "select content, cost_usd, attempts, cache_status from pk_map(?, ?)",
                        config("gpt-4o-mini"), QUERY)
    equal((len(rows), count), (100, 2))
    equal(sum(r[2] for r in rows), 2)
    assert all(r[3] == "HIT" and r[1] == 0 for r in rows if r[2] == 0)
    _, count = calls(db, "select content from pk_map(?, ?, ?)", config(), "select body as prompt from t where id < 5",
                     options(dedup=False))
    equal(count, 4)


@case
def a_null_prompt_is_a_null_without_a_call(folder):
    db = table(folder, ["a", None, ""])
    rows, count = calls(db, "select key, content, ok, cost_usd from pk_map(?, ?)", config(), QUERY)
    equal(rows[1], (2, None, 1, 0.0))
    equal(count, 2)
    equal(db.execute("select * from pk_map(null, ?)", (QUERY,)).fetchall(), [])


@case
def a_failed_row_says_why_and_the_others_go_on(folder):
    db = table(folder, ["a", "b"])
    query = ("select 1 as key, json('[{\"role\":\"user\",\"content\":\"good\"}]') as messages "
             "union all select 2, '[{\"role\":]' union all select 3, '{}'")
    rows = db.execute("select key, ok, error_code, retryable, content from pk_map(?, ?)", (config(), query)).fetchall()
    equal(rows[0], (1, 1, None, None, "good"))
    equal([r[1] for r in rows], [1, 0, 0])
    assert rows[1][2] == "invalid_json" and rows[2][2], rows
    rows = db.execute("select ok, error_code, http_status, retryable, error_message from pk_map(?, ?)",
                      (config("status-503"), QUERY)).fetchall()
    equal([r[:4] for r in rows], [(0, "provider_error", 503, 1)] * 2)


@case
def many_failures_end_it_early(folder):
    db = table(folder, [f"row {i}" for i in range(200)])
    rows, count = calls(db, "select error_code, count(*) from pk_map(?, ?, ?) group by 1 order by 2",
                        config("status-401"), QUERY, options(concurrency=4))
    assert count < 30, count
    equal(sum(r[1] for r in rows), 200)
    equal(rows[-1][0], "max_error_ratio")
    _, count = calls(db, "select ok from pk_map(?, ?, ?)", config("status-401"), QUERY,
                     options(max_error_ratio=1))
    equal(count, 200)


@case
def calls_and_cost_have_bounds(folder):
    db = table(folder, [f"row {i}" for i in range(50)])
    rows, count = calls(db, "select ok, error_code from pk_map(?, ?, ?)", config(), QUERY, options(max_calls=7))
    equal((count, len(rows)), (7, 50))
    equal({r for r in rows[7:]} | {rows[0]}, {(1, None), (0, "max_calls")})
    price = one(db, "select cost_usd from pk_map(?, 'select ''row 1'' as prompt')", config("gpt-4o-mini"))
    most = price * 12
    spent = one(db, "select sum(cost_usd) from pk_map(?, ?, ?)", config("gpt-4o-mini"), QUERY,
                options(max_cost_usd=round(most, 9)))
    assert 0 < spent <= most + 1e-12, (spent, most)


@case
def too_many_requests_slow_it_down(folder):
    db = table(folder, [f"row {i}" for i in range(12)])
    rows = db.execute("select ok from pk_map(?, ?, ?)",
                      (config("seq-429-429-200:retry-after-ms=50"), QUERY, options(concurrency=4))).fetchall()
    equal([r[0] for r in rows], [1] * 12)


@case
def a_list_of_prompts_is_one_batch(folder):
    db = table(folder, ["x", "y", "x", "z"])
    rows, count = calls(db, "select prompt, content from pk_map where config = ? and prompt in (select body from t)",
                        config())
    equal((sorted(rows), count), ([("x", "x"), ("y", "y"), ("z", "z")], 3))
    rows, count = calls(db, "select t.id, m.content from t join pk_map m on m.prompt = t.body "
                            "where m.config = ? and m.prompt in (select body from t) order by t.id", config())
    equal([r[1] for r in rows], ["x", "y", "x", "z"])
    equal(count, 3)


@case
def a_batch_takes_prompts_messages_and_nulls(folder):
    db = connect()
    inputs = json.dumps(["a", [{"role": "user", "content": "b"}], None, 5, "a"])
    rows, count = calls(db, "select ord, key, content, ok from pk_batch(?, ?)", config(), inputs)
    equal(rows, [(1, None, "a", 1), (2, None, "b", 1), (3, None, None, 1), (4, None, None, 0), (5, None, "a", 1)])
    equal(count, 2)
    contains(failure(db, "select * from pk_batch(?, '{}')", config()), "inputs: must be a JSON array")


@case
def rows_may_have_the_variables_of_a_prompt(folder):
    db = table(folder, ["Ann", "Bob"])
    one(db, "select pk_prompt_put('greet', 'hello {{name}}')")
    query = "select id as key, json_object('name', body) as vars from t order by id"
    rows = db.execute("select key, content from pk_map(?, ?, ?)", (config(), query, options(prompt="greet"))).fetchall()
    equal(rows, [(1, "hello Ann"), (2, "hello Bob")])
    equal(one(db, "select count(*) from pk_logs where prompt = 'greet@1'"), 2)
    rows = db.execute("select ok, error_message from pk_map(?, ?)", (config(), query)).fetchall()
    contains(rows[0][1], "params.pk.prompt")


@case
def wrong_queries_and_options_are_named_before_any_call(folder):
    db = table(folder, ["a"])
    before = mock.requests()
    for query, words in (("select 1", "columns must be key and one of prompt, messages or vars"),
                         ("select 1 as key", "columns must be"),
                         ("select 1 as key, 2 as prompt, 3 as x", "columns must be"),
                         ("select 1 as prompt, 2 as messages", "columns must be"),
                         ("delete from t", "must be one select"), ("", "must be one select"),
                         ("select 'a' as prompt; select 1", "must be one select"),
                         ("select nope as prompt from t", "no such column: nope"),
                         ("pragma user_version = 5", "must be one select")):
        contains(failure(db, "select * from pk_map(?, ?)", config(), query), words)
    for pk, words in (({"concurrency": 0}, "concurrency: must be an integer from 1 to 1024"),
                      ({"concurrency": "8"}, "concurrency"), ({"order": "x"}, "order: must be"),
                      ({"nonsense": 1}, "unknown option"), ({"max_cost_usd": 0}, "max_cost_usd")):
        contains(failure(db, "select * from pk_map(?, ?, ?)", config(), QUERY, options(**pk)), words)
    contains(failure(db, "select * from pk_map(?, ?)", "{}", QUERY), "pk:")
    contains(failure(db, "select * from pk_map"), "needs a config")
    equal(mock.requests(), before)


@case
def a_scan_that_would_pay_again_is_an_error(folder):
    db = table(folder, ["a", "b", "c"])
    sql = "select t.id, m.content from t left join pk_map(?, ?) m on m.ord = t.id + 0"
    contains(failure(db, sql, config(), QUERY), "would pay again")
    rows, count = calls(db, "with m as materialized (select * from pk_map(?, ?)) "
                            "select t.id, m.content from t left join m on m.ord = t.id", config(), QUERY)
    equal((len(rows), count), (3, 3))


@case
def a_statement_that_writes_reads_its_rows_first(folder):
    db = table(folder, ["a", "b"])
    db.execute("insert into t(body) select content || '!' from pk_map(?, ?)", (config(), QUERY))
    equal(one(db, "select group_concat(body) from t"), "a,b,a!,b!")
    db.execute("update t set body = (select content from pk_map(?, 'select ' || quote(t.body || '?') || ' as prompt'))",
               (config(),))
    equal(one(db, "select group_concat(body) from t"), "a?,b?,a!?,b!?")


@case
def who_reads_no_further_pays_no_further(folder):
    db = table(folder, [f"row {i}" for i in range(1000)])
    before = mock.requests()
    rows = db.execute("select content from pk_map(?, ?, ?) limit 3", (config(), QUERY, options(concurrency=4))).fetchall()
    equal(len(rows), 3)
    assert mock.requests() - before <= 3 + 2 * 4, mock.requests() - before
    wait_for(lambda: mock.page("stats")["in_flight"] == 0)


def held():
    """Descriptors and resident KB of this process."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as f:
        resident = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return len(os.listdir("/proc/self/fd")), resident


def interrupted_ms(db, wide, *statement):
    """How long the statement went on after an interrupt with so many in flight."""
    at = []

    def stop():
        wait_for(lambda: mock.page("stats")["in_flight"] >= wide)
        at.append(time.monotonic())
        db.interrupt()

    t = threading.Thread(target=stop)
    t.start()
    contains(failure(db, *statement), "interrupt")
    ended = time.monotonic()
    t.join()
    return (ended - at[0]) * 1000


@case
def six_hundred_interrupts_leave_nothing_behind(folder):
    rounds = 60 if SAN else 600
    db = connect(os.path.join(folder, "user.db"), isolation_level=None, check_same_thread=False)
    db.execute("create table t(id integer primary key, body text)")
    db.executemany("insert into t(body) values (?)", [(f"row {i}",) for i in range(300)])
    for slug, counts in (("calls", "requests"), ("tokens", "tokens")):
        one(db, "select pk_limit_put(?, ?)", slug, json.dumps({"counts": counts, "amount": 10 ** 9, "per": "month"}))
    times, before = [], None
    for i in range(rounds):
        times.append(interrupted_ms(db, 256, "select * from pk_map(?, ?, ?)", slow(20000), QUERY,
                                    options(concurrency=256)))
        if i == rounds // 6:
            before = held()
    after = held()
    wait_for(lambda: mock.page("stats")["in_flight"] == 0 and mock.page("stats")["open"] <= 1)
    equal(one(db, "select sum(reserved) from pk_limits"), 0)
    equal(one(db, "select count(*) from pk_logs where status = 'cancelled'"), 256 * rounds)
    equal(one(db, "select pk_ask(?, 'and on it goes')", config()), "and on it goes")
    assert after[0] <= before[0] and (SAN or after[1] <= before[1] + 8192), (before, after)
    print(f"# interrupt at 256 in flight: median {statistics.median(times):.1f} ms, max {max(times):.1f} ms, "
          f"held {before} then {after}", flush=True)


@case
def scalars_work_while_it_runs(folder):
    db = table(folder, ["a", "b", "c"])
    rows = db.execute("select content, pk_ask(?, content || '!') from pk_map(?, ?)",
                      (config(), slow(20), QUERY)).fetchall()
    equal(rows, [("a", "a!"), ("b", "b!"), ("c", "c!")])
    rows = db.execute("select m.content from pk_map(?, 'select pk_ask(' || quote(?) || ', body) as prompt from t') m",
                      (config(), config())).fetchall()
    equal([r[0] for r in rows], ["a", "b", "c"])


@case
def a_killed_process_pays_once_for_what_was_answered(folder):
    db = table(folder, [f"row {i}" for i in range(40)])
    script = (f"import sqlite3, sys\ndb = sqlite3.connect({os.path.join(folder, 'user.db')!r})\n"
              f"db.enable_load_extension(True)\ndb.load_extension({PK!r})\n"
              "for row in db.execute('select key from pk_map(?, ?, ?)', sys.argv[1:]): print(row[0], flush=True)\n")
    args = [slow(30, **CACHED), QUERY, options(concurrency=2)]
    before = mock.requests()
    for _ in range(10):
        p = subprocess.Popen([sys.executable, "-c", script, *args], stdout=subprocess.PIPE, text=True)
        for _ in range(3):
            p.stdout.readline()
        time.sleep(0.15)
        p.send_signal(signal.SIGKILL)
        p.wait()
        p.stdout.close()
    rows = db.execute("select key, content from pk_map(?, ?, ?)", args).fetchall()
    equal(len(rows), 40)
    # A kill may lose what is in flight and what was answered within the last window of the log writer.
    paid_twice = mock.requests() - before - 40
    assert paid_twice <= 10 * 2 * 5, paid_twice
    equal(one(db, "pragma integrity_check"), "ok")


if __name__ == "__main__":
    main()
