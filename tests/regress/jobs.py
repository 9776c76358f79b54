#!/usr/bin/env python3
"""The durable queue, in SQLite and in Postgres, worked off by pkd:  jobs.py BUILD [WORD...]"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("BUILD", sys.argv[1] if len(sys.argv) > 1 else "build")
sys.argv[1:2] = []

import openapi
import pg_temp
from patience import until
from pg_case import CASES, expect, run_cases
from jobs_case import SLOW, PostgresDoor, Provider, SqliteDoor

MORTAL = ("--job-lease", "1s")  # of a worker that is killed; another that stands still for a second loses what it has
NOBODY = "01900000-0000-7000-8000-000000000000"


def both(function):
    """A case that both doors go through, each with a store of its own."""
    def through(make):
        def case(pg, provider):
            provider.forget()
            function(make(pg, provider), provider)
        case.__name__ = make.__name__ + "_" + function.__name__
        CASES.append(case)

    def sqlite(pg, provider):
        return SqliteDoor(tempfile.mkdtemp(prefix="queue", dir=pg.dir), provider)

    def postgres(pg, provider):
        return PostgresDoor(pg, provider)
    through(sqlite)
    through(postgres)
    return function


def postgres_only(function):
    def case(pg, provider):
        provider.forget()
        function(PostgresDoor(pg, provider), provider)
    case.__name__ = function.__name__
    CASES.append(case)
    return function


def wait(door, job, seconds=100):
    return door.one("select pk_wait($1, $2)", job, seconds * SLOW) in (1, "t")


def enqueue(door, provider, count=10, text="'say ' || value", **pk):
    return door.one("select pk_enqueue_query($1, $2, $3)", provider.config(), door.series(count, text),
                    json.dumps({"pk": pk}))


# --- the main way ----------------------------------------------------------------------------------

@both
def a_job_is_worked_off_and_its_rows_are_collected(door, provider):
    job = enqueue(door, provider, 50)
    status = door.job(job)
    expect(status["state"] == "queued" and status["total"] == status["queued"] == 50, status)
    expect(door.collect(job) == [], "nothing is over yet")
    with door.worker():
        expect(wait(door, job), door.job(job))
        status = door.job(job)
        expect(status["state"] == "done" and status["done"] == 50 and status["finished_at"], status)
        # 2 tokens in at 2.50, 2 out at 10 dollars a million, 50 times
        expect(abs(status["cost_usd"] - 50 * 0.000025) < 1e-9, status)
        rows = door.collect(job)
        expect(rows == [(i, 1, f"re say {i}") for i in range(1, 51)], rows[:3])
        expect(set(provider.asked.values()) == {1} and len(provider.asked) == 50, provider.asked)
    row = door.collect(job, "provider, model, input_tokens, output_tokens, attempts, http_status, error_code")[0]
    expect(row == ("openai", "gpt-4o", 2, 2, 1, 200, None), row)
    expect(until(lambda: int(door.one("select count(*) from pk_logs where query_id = $1", job)) == 50), "the log")
    expect(door.one("select state from pk_jobs where id = $1", job) == "done")


@both
def a_job_is_seen_to_run_while_a_worker_has_items_of_it(door, provider):
    look = "select kind, actor, total, done, failed, in_flight, cost_usd, rate > 0, eta_s > 0 from pk_running where query_id = $1"
    job = enqueue(door, provider, 30, "'slow 300 of ' || value")
    expect(door.rows(look, job) == [], "it waits")
    with door.worker("--jobs", "5"):
        seen = []

        def goes_on():
            seen[:] = door.rows(look, job)
            return any(int(r[3]) > 0 for r in seen)
        expect(until(goes_on), seen)
        row = seen[0]
        expect((row[0], int(row[2]), int(row[4])) == ("job", 30, 0) and row[1].startswith(("os:", "role:")), row)
        expect(1 <= int(row[5]) <= 30 - int(row[3]) and float(row[6]) > 0 and row[7] == row[8] and row[7] in (1, "t"), row)
        expect(wait(door, job), door.job(job))
    expect(door.rows(look, job) == [])
    job = enqueue(door, provider, 4, "'slow 60000 of ' || value")
    worker = door.worker(*MORTAL)
    expect(until(lambda: door.rows(look, job)))
    worker.kill()
    expect(until(lambda: not door.rows(look, job)), door.rows(look, job))
    door.one("select pk_cancel($1)", job)


@both
def one_item_with_messages_of_every_shape(door, provider):
    jobs = [door.one("select pk_enqueue($1, $2)", provider.config(), m)
            for m in ('"a word"', '[{"role":"user","content":"in a list"}]')]
    with door.worker():
        for job, said in zip(jobs, ("a word", "in a list")):
            expect(wait(door, job), door.job(job))
            expect(door.collect(job) == [(None, 1, "re " + said)], door.collect(job))


@both
def variables_of_a_prompt_and_null_rows(door, provider):
    door.one("select pk_prompt_put('greet', $1)", '{"messages":[{"role":"user","content":"hi {{name}}"}]}')
    query = "select 1 as key, '{\"name\":\"Ann\"}' as vars union all select 2, null"
    job = door.one("select pk_enqueue_query($1, $2, $3)", provider.config(), query, '{"pk":{"prompt":"greet"}}')
    with door.worker():
        expect(wait(door, job), door.job(job))
    expect(door.collect(job) == [(1, 1, "re hi Ann"), (2, 1, None)], door.collect(job))


@both
def a_job_without_rows_is_done_at_once(door, provider):
    job = door.one("select pk_enqueue_query($1, $2)", provider.config(), "select 1 as key, 'x' as prompt where 1 = 0")
    expect(wait(door, job, 0) and door.job(job)["state"] == "done", door.job(job))


@both
def many_calls_are_in_flight_and_no_more_than_asked(door, provider):
    job = enqueue(door, provider, 40, "'slow 100 of ' || value")
    with door.worker("--jobs", "8"):
        expect(wait(door, job), door.job(job))
    expect(5 <= provider.most <= 8, provider.most)


@both
def a_large_job_does_not_hold_up_a_small_one(door, provider):
    large = enqueue(door, provider, 400, "'slow 200 of ' || value")
    with door.worker("--jobs", "4"):
        expect(until(lambda: sum(provider.asked.values()) >= 20), provider.asked)
        small = enqueue(door, provider, 8, "'small ' || value")
        expect(wait(door, small), door.job(small))
        expect(door.job(large)["done"] < 200, door.job(large))
        door.one("select pk_cancel($1)", large)


@both
def a_worker_of_no_jobs_takes_none(door, provider):
    job = enqueue(door, provider, 2)
    with door.worker("--jobs", "0"):
        time.sleep(0.5)
    expect(door.job(job)["state"] == "queued" and not provider.asked, door.job(job))


# --- failures --------------------------------------------------------------------------------------

@both
def what_fails_for_a_while_is_asked_again(door, provider):
    job = door.one("select pk_enqueue($1, $2)", provider.config(), '"bad 2 times"')
    with door.worker():
        expect(wait(door, job), door.job(job))
    expect(door.job(job)["done"] == 1 and provider.asked["bad 2 times"] == 3, provider.asked)


@both
def poison_is_parked_with_its_error_and_retried_on_request(door, provider):
    job = enqueue(door, provider, 3, "case value when 2 then 'bad 4 times' when 3 then 'always 400' else 'fine' end",
                  max_attempts=2)
    with door.worker():
        expect(wait(door, job), door.job(job))
        status = door.job(job)
        expect((status["state"], status["done"], status["failed"]) == ("done", 1, 2), status)
        rows = door.collect(job, "key, ok, error_code, retryable, http_status")
        expect(rows == [(1, 1, None, None, 200), (2, 0, "provider_error", 1, 503),
                        (3, 0, "provider_error", 0, 400)], rows)
        expect(provider.asked["bad 4 times"] == 2 and provider.asked["always 400"] == 1, provider.asked)
        expect(int(door.one("select pk_retry($1)", job)) == 2)
        expect(wait(door, job), door.job(job))
        expect(int(door.one("select pk_retry($1)", job)) == 2)
        expect(wait(door, job), door.job(job))
        status = door.job(job)
        expect((status["done"], status["failed"]) == (2, 1), status)
        expect(provider.asked["fine"] == 1 and provider.asked["bad 4 times"] == 5, provider.asked)


@both
def a_job_of_which_nothing_came_has_failed(door, provider):
    job = enqueue(door, provider, 2, "'always 400 for ' || value")
    with door.worker():
        expect(wait(door, job), door.job(job))
    expect(door.job(job)["state"] == "failed", door.job(job))


@both
def a_cancelled_job_asks_no_more(door, provider):
    job = enqueue(door, provider, 200, "'slow 300 of ' || value")
    with door.worker("--jobs", "4"):
        expect(until(lambda: sum(provider.asked.values()) >= 8), provider.asked)
        expect(door.one("select pk_cancel($1)", job) in (1, "t"))
        expect(wait(door, job), door.job(job))
        asked = sum(provider.asked.values())
        status = door.job(job)
        expect(status["state"] == "cancelled" and status["done"] + status["cancelled"] == 200, status)
        expect(status["done"] == asked < 100, status, asked)  # what ran was kept
        expect(door.one("select pk_cancel($1)", job) in (0, "f"), "a second time")
        time.sleep(1)
        expect(sum(provider.asked.values()) == asked, "asked on")
    codes = {r[0] for r in door.collect(job, "error_code")}
    expect(codes == {None, "cancelled"}, codes)
    left = status["cancelled"]
    expect(int(door.one("select pk_retry($1)", job)) == left and door.job(job)["queued"] == left, door.job(job))
    with door.worker():
        expect(wait(door, job), door.job(job))
    status = door.job(job)
    expect((status["state"], status["done"]) == ("done", 200) and set(provider.asked.values()) == {1}, status)


@both
def waiting_ends_in_time(door, provider):
    job = enqueue(door, provider, 1)
    begun = time.monotonic()
    expect(not wait(door, job, 0.3 / SLOW))
    expect(0.05 < time.monotonic() - begun < 30, time.monotonic() - begun)


@both
def bad_input_is_refused_before_anything_is_stored(door, provider):
    config = provider.config()
    literal = json.dumps({"provider": "openai", "api_key": "sk-secret", "custom_host": provider.url})
    for words, sql, *args in [
            ("api_key", "select pk_enqueue($1, $2)", literal, '"x"'),
            ('config "nobody": no stored config, virtual key or provider has this name',
             "select pk_enqueue($1, $2)", "nobody", '"x"'),
            ("messages: must not be empty", "select pk_enqueue($1, $2)", config, "[]"),
            ('prompt "nope": there is no such prompt', "select pk_enqueue($1, $2, $3)", config, '"x"', '{"pk":{"prompt":"nope"}}'),
            ('prompt "nope": there is no such prompt', "select pk_enqueue_query($1, $2, $3)", config,
             "select 1 as key, '{}' as vars", '{"pk":{"prompt":"nope"}}'),
            ('prompt "nope": there is no such prompt', door.map_sql, *door.map_args(config, '{"pk":{"prompt":"nope"}}')),
            ('prompt "nope": there is no such prompt', door.batch_sql, config, '["x"]', '{"pk":{"prompt":"nope"}}'),
            ("params.pk.max_attempts: must be", "select pk_enqueue($1, $2, $3)", config, '"x"', '{"pk":{"max_attempts":0}}'),
            ("unknown option", "select pk_enqueue($1, $2, $3)", config, '"x"', '{"pk":{"hurry":1}}'),
            ("columns", "select pk_enqueue_query($1, $2)", config, "select 1 as a"),
            ("select", "select pk_enqueue_query($1, $2)", config, "create table t(x int)"),
            ("params.pk.prompt", "select pk_enqueue_query($1, $2)", config, "select 1 as key, '{}' as vars"),
            ("timeout", "select pk_wait($1, $2)", NOBODY, -1),
            ("no such job", "select pk_wait($1, $2)", NOBODY, 1),
            ("no such job", "select pk_cancel($1)", NOBODY), ("no such job", "select pk_retry($1)", NOBODY),
            ("no such job", "select * from pk_collect($1)", NOBODY)]:
        said = door.error(sql, *args)
        expect(words in said and "sk-secret" not in said, words, "is not in", said)
    expect(not provider.asked, provider.asked)
    expect(door.one("select pk_job($1)", NOBODY) is None and int(door.one("select count(*) from pk_jobs")) == 0)
    expect(door.one("select pk_enqueue(null, '\"x\"')") is None)


@both
def calls_are_logged_as_the_session_that_enqueued_them_would(door, provider):
    door.setting("metadata", '{"team":"a","_user":"ann"}')
    door.setting("timeout", "300ms")
    door.setting("log_payloads", "none")
    job = enqueue(door, provider, 2, "case value when 1 then 'slow 2000' else 'quick' end", metadata={"team": "b"}, max_attempts=1)
    door.setting("metadata", '{"team":"other"}')
    with door.worker():
        expect(wait(door, job), door.job(job))
        expect(door.collect(job, "key, error_code") == [(1, "timeout_error"), (2, None)], door.collect(job, "key, error_code"))
    rows = door.rows(f"select metadata, user_id, request from pk_logs where query_id = '{job}'")
    expect([(json.loads(m), user, request) for m, user, request in rows] == [({"team": "b", "_user": "ann"}, "ann", None)] * 2, rows)


@both
def jobs_from_a_shell(door, provider):
    def pkd(*words):
        out = subprocess.run([os.path.join(pg_temp.BUILD, "pkd"), "jobs", *words, "--store", door.store],
                             capture_output=True, text=True)
        return out.returncode, out.stdout.strip(), out.stderr
    job = enqueue(door, provider, 3)
    code, out, _ = pkd("list")
    expect(code == 0 and out.split("\t") == [job, "queued", "3", "3", "0", "0", "0", "0"], out)
    code, out, _ = pkd("show", job)
    expect(json.loads(out) == door.job(job), out)
    expect(json.loads(pkd("cancel", job, "--json")[1]) == {"id": job, "cancelled": True})
    expect(door.job(job)["state"] == "cancelled")
    expect(pkd("list")[1].split("\t")[-1] == "3", pkd("list"))
    expect("no such job" in pkd("retry", NOBODY)[2] and pkd("show", "x")[0] != 0)


# --- workers that die ------------------------------------------------------------------------------

@both
def two_workers_do_not_double_an_item(door, provider):
    job = enqueue(door, provider, 300, "'slow 10 of ' || value")
    with door.worker(), door.worker():
        expect(wait(door, job, 40), door.job(job))
    expect(len(provider.asked) == 300 and set(provider.asked.values()) == {1},
           [k for k, v in provider.asked.items() if v > 1])


@both
def a_worker_that_is_stopped_gives_back_what_it_had(door, provider):
    job = enqueue(door, provider, 4, "'slow 3000 of ' || value")
    with door.worker("--grace", "200"):
        expect(until(lambda: provider.at_once == 4))
    status = door.job(job)
    expect(status["queued"] == 4 and status["running"] == 0, status)


@both
def jobs_are_seen_over_http(door, provider):
    job = enqueue(door, provider, 40, "'slow 200 of ' || value")
    folder = tempfile.mkdtemp(prefix="queue")

    def get(path, status=200):
        done = subprocess.run(["curl", "-s", "-w", " %{http_code}", "--unix-socket", folder + "/s", "http://localhost/v1" + path],
                              text=True, capture_output=True, timeout=20, check=True).stdout
        body, _, code = done.rpartition(" ")
        expect(code == str(status), path, done)
        wrong = openapi.conforms("GET", "/v1" + path.partition("?")[0], status, body)
        expect(not wrong, path, wrong)
        return json.loads(body)
    with door.worker("--unix", folder + "/s", "--jobs", "4"):
        seen = []

        def look():
            listed = get("/jobs/running")
            expect(listed["total"] == len(listed["data"]) <= 1, listed)
            seen.extend((r["kind"], r["total"], r["id"]) for r in listed["data"])
            return seen
        expect(until(look) and set(seen) == {("job", 40, job)}, seen)
        expect(wait(door, job, 40), door.job(job))
        expect(until(lambda: get("/jobs/running")["data"] == []))
        listed = get("/jobs")["data"]
        expect([(r["id"], r["state"], r["done"], r["total"]) for r in listed] == [(job, "done", 40, 40)], listed)
        expect(get("/jobs/" + job) == door.job(job), "as pk_job() has it")
        newer = enqueue(door, provider, 1, "'one'")
        pages = [get(f"/jobs?page_size=1&current_page={n}") for n in range(3)]
        expect([[r["id"] for r in p["data"]] for p in pages] == [[newer], [job], []], pages)
        expect({(p["total"], p["page_size"]) for p in pages} == {(2, 1)}, pages)
        expect(get("/jobs?current_page=9")["total"] == 2)
        expect("page_size: must be" in get("/jobs?page_size=0", 400)["error"]["message"])
        for nobody in "none", "01a2222d-2aeb-7f6f-9ab4-4fecf098ad90":
            expect("there is none called" in get("/jobs/" + nobody, 404)["error"]["message"])
        slow, pages = [enqueue(door, provider, 2, "'slow 5000 of ' || value") for _ in range(2)], []

        def both_run():
            pages[:] = [get(f"/jobs/running?page_size=1&current_page={n}") for n in range(3)]
            return [[r["id"] for r in p["data"]] for p in pages] == [[slow[0]], [slow[1]], []]
        expect(until(both_run, 10 * SLOW), pages)
        expect({(p["total"], p["page_size"]) for p in pages} == {(2, 1)}, pages)
        expect("page_size: must be" in get("/jobs/running?page_size=0", 400)["error"]["message"])
    shutil.rmtree(folder)


@both
def ten_kills_and_every_row_is_paid_once(door, provider):
    """What is over is never asked again; what was with the provider at a kill may be, and is nothing else."""
    count, in_flight = 400, 8
    job = enqueue(door, provider, count, "'slow 100 of ' || value")
    at_kill = set()
    for kill in range(10):
        worker = door.worker("--jobs", str(in_flight), *MORTAL)
        before = sum(provider.asked.values())
        expect(until(lambda: sum(provider.asked.values()) >= before + 15), "no progress", kill)
        worker.kill()
        over = {f"slow 100 of {r[0]}" for r in door.collect(job)}
        with provider.lock:
            left = set(provider.asked) - over
        expect(len(left) <= in_flight * (kill + 1), kill, left)
        at_kill |= left
    with door.worker():
        expect(wait(door, job, 60), door.job(job))
    status = door.job(job)
    expect(status["done"] == count and status["failed"] == 0, status)
    twice = {k for k, v in provider.asked.items() if v > 1}
    expect(len(provider.asked) == count and twice <= at_kill, "asked twice though over", twice - at_kill)
    expect(len({r[0] for r in door.collect(job)}) == count)
    print(f"# {door.name}: 10 kills, {count} rows, {sum(provider.asked.values())} requests", flush=True)


@both
def what_a_job_says_was_paid_is_in_the_log_whenever_its_worker_dies(door, provider):
    """The row of an item's call is committed with it: looked at after each kill, before anything is mended."""
    job = enqueue(door, provider, 4000, "'slow 20 of ' || value", dedup=False)  # never all of them
    sums = ("select (select count(*) from pk_collect($1) c where c.ok and not exists (select 1 from pk_logs l "
            "where l.trace_id = c.trace_id)), (select count(*) from pk_collect($1) c where c.ok), "
            "(select count(*) from pk_logs l where l.query_id = $1), "
            "(select coalesce(round(sum(l.cost_usd) * 1000000), 0) from pk_logs l where l.query_id = $1), "
            "(select coalesce(round(j.cost_usd * 1000000), 0) from pk_jobs j where cast(j.id as text) = $1)")
    for kill in range(12):
        worker = door.worker("--jobs", "16", *MORTAL)
        before = sum(provider.asked.values())
        expect(until(lambda: sum(provider.asked.values()) >= before + 30), "no progress", kill)
        worker.kill()
        missing, done, logged, in_log, in_job = map(float, door.rows(sums.replace("$1", f"'{job}'"))[0])
        expect(missing == 0, kill, "items without a row in the log:", missing)
        expect(done == logged and in_log == in_job == 25 * done, kill, done, logged, in_log, in_job)


@both
def equal_rows_of_a_job_are_paid_once_whoever_works_it_off(door, provider):
    job = enqueue(door, provider, 2500, "'slow 100 of ' || (value % 5)")
    with door.worker(), door.worker(), door.worker():
        expect(wait(door, job), door.job(job))
    status = door.job(job)
    expect(status["done"] == 2500 and set(provider.asked.values()) == {1} and len(provider.asked) == 5, provider.asked)
    expect(abs(status["cost_usd"] - 5 * 0.000025) < 1e-9, status)
    rows = door.collect(job)
    expect(rows == [(i, 1, f"re slow 100 of {i % 5}") for i in range(1, 2501)], rows[:9])
    rows = door.rows(f"select attempts, cache_status, count(*), count(distinct trace_id) from pk_collect('{job}') group by 1, 2 order by 1")
    expect([tuple(map(str, r)) for r in rows] == [("0", "HIT", "2495", "5"), ("1", "DISABLED", "5", "5")], rows)


@both
def equal_rows_survive_the_worker_that_had_one(door, provider):
    job = enqueue(door, provider, 30, "case when value < 4 then 'always 400' else 'slow 3000' end")
    with door.worker("--jobs", "8", *MORTAL) as worker:
        expect(until(lambda: provider.asked["slow 3000"] == 1), provider.asked)
        worker.kill()
    with door.worker():
        expect(wait(door, job), door.job(job))
    status = door.job(job)
    expect((status["done"], status["failed"]) == (27, 3), status)
    expect(provider.asked["slow 3000"] == 2 and provider.asked["always 400"] <= 2, provider.asked)


@both
def equal_rows_are_drawn_anew_where_that_is_wanted(door, provider):
    job = enqueue(door, provider, 20, "'same'", dedup=False)
    with door.worker():
        expect(wait(door, job), door.job(job))
    expect(provider.asked["same"] == 20, provider.asked)


@both
def answers_that_were_cached_are_not_paid_again(door, provider):
    jobs = []
    with door.worker("--jobs", "1"):
        for _ in range(2):
            jobs.append(enqueue(door, provider, 20, "'same ' || value", cache=True))
            expect(wait(door, jobs[-1]), door.job(jobs[-1]))
    expect(set(provider.asked.values()) == {1} and len(provider.asked) == 20, provider.asked)
    expect([{r[0] for r in door.collect(job, "cache_status")} for job in jobs] == [{"MISS"}, {"HIT"}])


# --- Postgres alone --------------------------------------------------------------------------------

@postgres_only
def enqueueing_is_part_of_the_transaction(door, provider):
    with door.worker():
        door.rows("begin")
        job = enqueue(door, provider, 3)
        expect("no worker sees" in door.error("select pk_wait($1, 1)", job))
        door.rows("rollback")
        time.sleep(0.5)
        expect(not provider.asked and door.one("select pk_job($1)", job) is None, provider.asked)
        door.rows("begin")
        job = enqueue(door, provider, 3)
        time.sleep(0.5)
        expect(not provider.asked, "before the commit")
        door.rows("commit")
        expect(wait(door, job), door.job(job))


@postgres_only
def who_listens_hears_of_the_end(door, provider):
    listener = door.connect()
    listener.query("listen pk_jobs")
    job = enqueue(door, provider, 3)
    with door.worker():
        expect(wait(door, job), door.job(job))
    listener.query("select 1")
    import ctypes

    class Notify(ctypes.Structure):
        _fields_ = [("relname", ctypes.c_char_p), ("be_pid", ctypes.c_int), ("extra", ctypes.c_char_p)]
    listener.lib.PQnotifies.restype = ctypes.POINTER(Notify)
    listener.lib.PQnotifies.argtypes = [ctypes.c_void_p]
    note = listener.lib.PQnotifies(listener.conn)
    expect(note and note.contents.extra.decode() == job, "not notified")
    listener.close()


@postgres_only
def a_role_sees_its_own_jobs(door, provider):
    for role in ("ann", "bob"):
        door.rows(f"do $$ begin create role {role} login in role pk_user; exception when duplicate_object then null; end $$")
    ann, bob = door.connect(user="ann"), door.connect(user="bob")
    job = ann.value("select pk_enqueue($1, '\"x\"')", provider.config())
    expect(ann.value("select count(*) from pk_jobs") == "1" and bob.value("select count(*) from pk_jobs") == "0")
    expect(bob.value("select pk_job($1)", job) is None and ann.value("select pk_job($1)", job))
    for call in ("pk_cancel($1)", "pk_retry($1)", "pk_wait($1, 0)"):
        try:
            bob.value("select " + call, job)
            raise AssertionError("bob may " + call)
        except pg_temp.Error as e:
            expect("no such job" in e.message, e.message)
    for table in ("pk_job", "pk_job_item", "pk_job_batch"):
        try:
            ann.query(f"select * from {table}")
            raise AssertionError("ann reads " + table)
        except pg_temp.Error as e:
            expect(e.sqlstate == "42501", e)
    expect(json.loads(door.one("select pk_job($1)", job))["actor"] == "role:ann")
    ann.close()
    bob.close()


@postgres_only
def waiting_can_be_cancelled(door, provider):
    job = enqueue(door, provider, 1)
    door.db.send(f"select pk_wait('{job}', 60)")
    time.sleep(0.2)
    begun = time.monotonic()
    door.db.cancel()
    try:
        door.db.finish()
        raise AssertionError("not cancelled")
    except pg_temp.Error as e:
        expect(e.sqlstate == "57014" and time.monotonic() - begun < 30, e, time.monotonic() - begun)  # it waits for a minute


# --- CALL pk_run -----------------------------------------------------------------------------------

def run_sql(provider, count, chunk=20, text="'say ' || value", target="answers", **pk):
    query = f"select value as key, {text} as prompt from generate_series(1, {count}) value"
    quoted = (pg_temp.quoted(v) for v in (query, provider.config(), target, "id", json.dumps({"pk": pk})))
    return f"call pk_run({', '.join(quoted)}, {chunk})"


@postgres_only
def a_run_fills_a_table_and_a_second_one_asks_nothing(door, provider):
    door.rows(run_sql(provider, 50))
    rows = door.rows("select id, content, ok, model from answers order by id")
    expect(rows == [[str(i), f"re say {i}", "t", "gpt-4o"] for i in range(1, 51)], rows[:3])
    expect(door.one("select pg_typeof(id) from answers limit 1") == "integer")
    door.rows(run_sql(provider, 60))
    expect(set(provider.asked.values()) == {1} and len(provider.asked) == 60, provider.asked)


@postgres_only
def a_run_asks_again_for_what_may_succeed_now(door, provider):
    door.rows(run_sql(provider, 4, text="case value when 2 then 'bad 1 times' when 3 then 'always 400' else 'fine ' || value end"))
    failed = "select id, error_code, http_status from answers where not ok order by id"
    expect(door.rows(failed) == [["2", "provider_error", "503"], ["3", "provider_error", "400"]], door.rows(failed))
    door.rows(run_sql(provider, 4, text="case value when 2 then 'bad 1 times' when 3 then 'always 400' else 'fine ' || value end"))
    expect(door.rows(failed) == [["3", "provider_error", "400"]], door.rows(failed))
    expect(provider.asked == {"fine 1": 1, "bad 1 times": 2, "always 400": 1, "fine 4": 1}, provider.asked)


@postgres_only
def a_run_that_is_killed_goes_on_from_its_last_commit(door, provider):
    count, chunk = 200, 10
    committed = "select count(*) from answers"
    door.rows("create table answers (id int primary key, content text, ok boolean)")
    at_kill = set()
    for kill in range(10):
        session = door.connect()
        before = int(door.one(committed))
        session.send(run_sql(provider, count, chunk, "'slow 100 of ' || value", concurrency=5))
        expect(until(lambda: int(door.one(committed)) > before), kill)
        door.one("select pg_terminate_backend($1)", session.pid())
        expect(until(lambda: door.one("select count(*) from pg_stat_activity where pid = $1", session.pid()) == "0"))
        have = {f"slow 100 of {r[0]}" for r in door.rows("select id from answers")}
        at_kill |= set(provider.asked) - have
        session.close()
    door.rows(run_sql(provider, count, chunk, "'slow 100 of ' || value", concurrency=5))
    expect(int(door.one(committed)) == count)
    twice = {k for k, v in provider.asked.items() if v > 1}
    expect(len(provider.asked) == count and twice <= at_kill, "asked twice though committed", twice - at_kill)
    expect(len(at_kill) <= 10 * chunk)
    print(f"# pk_run: 10 kills, {count} rows, {sum(provider.asked.values())} requests", flush=True)


@postgres_only
def a_run_survives_a_crash_of_the_server(door, provider):
    door.rows("create table answers (id int primary key, content text, ok boolean)")
    session = door.connect()
    session.send(run_sql(provider, 60, 10, "'slow 300 of ' || value", concurrency=5))
    expect(until(lambda: int(door.one("select count(*) from answers")) >= 20))
    os.kill(session.pid(), 9)

    def is_back():
        try:
            door.db = door.connect()
            return True
        except pg_temp.Error:
            return False
    expect(until(lambda: not session.lib.PQconsumeInput(session.conn)) or True)
    time.sleep(1)
    expect(until(is_back), "the server does not come back")
    have = int(door.one("select count(*) from answers"))
    expect(20 <= have < 60, have)
    door.rows(run_sql(provider, 60, 10, "'slow 300 of ' || value", concurrency=5))
    twice = [k for k, v in provider.asked.items() if v > 1]
    expect(door.one("select count(*) from answers") == "60" and len(twice) <= 60 - have, twice)


@postgres_only
def a_run_keeps_to_its_bounds_and_goes_on_when_called_again(door, provider):
    said = door.error(run_sql(provider, 50, 10, max_calls=25, concurrency=1))
    expect("25 of 50" in said, said)
    expect(sum(provider.asked.values()) == 25 == int(door.one("select count(*) from answers")), provider.asked)
    door.rows(run_sql(provider, 50, 10))
    expect(door.one("select count(*) from answers where ok") == "50" and set(provider.asked.values()) == {1})


@postgres_only
def a_run_in_a_transaction_block_is_refused_in_plain_words(door, provider):
    door.rows("begin")
    try:
        door.rows(run_sql(provider, 3))
        raise AssertionError("no error")
    except pg_temp.Error as e:
        expect(e.sqlstate == "25001" and "transaction" in e.message and "outside of a transaction block" in e.hint, e, e.hint)
    door.rows("rollback")
    plain = run_sql(provider, 1, target="fresh")
    door.rows(f"create function runs() returns void language plpgsql as $f$ begin {plain}; end $f$")
    door.rows("create procedure with_setting() language plpgsql set search_path = public, pg_temp as $f$ begin " + plain + "; end $f$")
    for call in ("select runs()", "call with_setting()", f"do $d$ begin {plain}; exception when division_by_zero then null; end $d$",
                 f"{plain}; select 1", f"select 1; {plain}"):
        said = door.error(call)
        expect("a transaction that was begun" in said, call, said)
    expect(door.rows("select to_regclass('fresh')") == [[None]], "it has begun")
    expect(not provider.asked, provider.asked)
    door.rows(f"do $d$ begin {plain}; end $d$")
    door.rows(f"create procedure without() language plpgsql as $f$ begin {plain}; end $f$")
    door.rows("call without()")
    expect(door.rows("select content is not null from fresh") == [["t"]] and provider.asked, "it was not filled")
    provider.asked.clear()
    said = door.error(run_sql(provider, 3, prompt="nope"))
    expect('prompt "nope": there is no such prompt' in said and not provider.asked, said)
    door.rows("do $$ begin " + run_sql(provider, 3) + "; " + run_sql(provider, 5) + "; end $$")
    expect(len(provider.asked) == 5, provider.asked)


@postgres_only
def two_runs_at_once_do_not_pay_twice(door, provider):
    other = door.connect()
    other.send(run_sql(provider, 30, 10, "'slow 1000 of ' || value"))
    expect(until(lambda: provider.at_once > 0))
    door.rows("select 1")
    expect("another pk_run() works on answers" in door.error(run_sql(provider, 30, 10, "'slow 1000 of ' || value")))
    other.finish()
    expect(len(provider.asked) == 30 and set(provider.asked.values()) == {1}, provider.asked)
    other.close()


@postgres_only
def what_a_run_cannot_do_it_says(door, provider):
    c = pg_temp.quoted(provider.config())
    for words, call in [
            ("its columns must be", f"call pk_run('select 1 as a', {c}, 'answers')"),
            ("a key is null", f"call pk_run('select null::int as key, ''x'' as prompt', {c}, 'answers')"),
            ("chunk: must be", f"call pk_run('select 1 as key, ''x'' as prompt', {c}, 'answers', chunk => 0)"),
            ("target: other must have the column id", f"call pk_run('select 1 as key, ''x'' as prompt', {c}, 'other', 'id')"),
            ("nobody", "call pk_run('select 1 as key, ''x'' as prompt', 'nobody', 'answers')"),
            ("identifier", f"call pk_run('select 1 as key, ''x'' as prompt', {c}, 'a; drop table x')"),
            ("syntax error", f"call pk_run('delete from other', {c}, 'answers')")]:
        door.rows("create table if not exists other (a int)")
        said = door.error(call)
        expect(words in said, words, "is not in", said)
    door.rows("begin")
    said = door.error(run_sql(provider, 1, target="fresh"))
    expect("a transaction that was begun" in said, said)
    door.rows("rollback")
    expect(not provider.asked, provider.asked)
    door.rows("call pk_run(null, 'x', 'y')")


if __name__ == "__main__":
    provider = Provider()
    with pg_temp.Cluster() as cluster:
        sys.exit(run_cases(cluster, provider) > 0)
