#!/usr/bin/env python3
"""How the SQLite extension lives in its host: transactions, interrupts, threads, processes, exits."""
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from patience import Promise, soon
from sqlite_door import (CACHED, PK, SAN, Skip, case, config, connect, contains, equal, failure, main, mock, one,
                         wait_for)

# --- transactions of the user's database ---------------------------------------------------


@case
def who_names_a_key_that_is_revoked_is_noted(folder):
    script = (f".log stdout\n.load {PK}\nselect pk_key_put('k', 'openai', 'env:NONE'), "
              "pk_config_put('c', '{\"virtual_key\": \"k\"}');\nselect pk_key_revoke('k');\nselect pk_key_revoke('k');\n")
    said = subprocess.run(["sqlite3", ":memory:"], input=script, text=True, capture_output=True, check=True).stdout
    equal(said.count('pk: virtual key "k": is named by config c'), 1)
    equal(said.splitlines()[-2:], ["1", "0"])


@case
def a_rolled_back_call_is_still_in_the_log(folder):
    db = connect(os.path.join(folder, "user.db"), isolation_level=None)
    db.execute("create table t(x)")
    db.execute("begin")
    db.execute("insert into t select pk_ask(?, 'paid for')", (config(**CACHED),))
    db.execute("rollback")
    equal(one(db, "select count(*) from t"), 0)
    equal(one(db, "select count(*) from pk_logs"), 1)
    equal(one(db, "select pk_chat(?, 'paid for') -> '$.pk.cache_status'", config(**CACHED)), '"HIT"')


@case
def python_default_transactions_work(folder):
    db = connect(os.path.join(folder, "user.db"))
    db.execute("create table t(x)")
    db.execute("insert into t values ('a'), ('b')")
    db.execute("update t set x = pk_ask(?, x || '!')", (config(),))
    assert db.in_transaction
    equal(one(db, "select count(*) from pk_logs"), 2)
    db.rollback()
    equal(one(db, "select count(*) from t"), 0)
    equal(one(db, "select count(*) from pk_logs"), 2)
    with db:
        db.execute("insert into t select pk_ask(?, 'kept')", (config(),))
    equal(one(db, "select x from t"), "kept")


@case
def an_exclusive_transaction_does_not_block_it(folder):
    path = os.path.join(folder, "user.db")
    db, other = connect(path, isolation_level=None), connect(path, isolation_level=None)
    db.execute("create table t(x)")
    for begin in ("begin exclusive", "begin immediate"):
        db.execute(begin)
        db.execute("insert into t select pk_ask(?, 'x')", (config(),))
        equal(one(other, "select pk_ask(?, 'not on the file')", config()), "not on the file")
        db.execute("commit")
    equal(one(other, "select count(*) from pk_logs"), 4)


@case
def a_read_only_database_logs_too(folder):
    path = os.path.join(folder, "user.db")
    connect(path, load=False).execute("create table t(x)").connection.close()
    db = connect(f"file:{path}?mode=ro", uri=True)
    equal(one(db, "select pk_ask(?, 'x')", config()), "x")
    equal(one(db, "select count(*) from pk_logs"), 1)
    equal(sorted(os.listdir(folder))[-1], "user.db")


@case
def a_statement_that_fails_later_keeps_its_rows(folder):
    db = connect(os.path.join(folder, "user.db"))
    db.execute("create table t(x unique)")
    failure(db, "insert into t select length(pk_ask(?, 'n' || column1)) from (values (1), (2))", config())
    equal(one(db, "select count(*) from pk_logs"), 2)


@case
def the_statement_that_reads_the_log_may_call(folder):
    db = connect()
    for i in range(3):
        one(db, "select pk_ask(?, ?)", config(), f"n{i}")
    got = db.execute("select pk_ask(?, json_extract(request, '$.messages[0].content')) from pk_logs "
                     "order by started_at", (config(),)).fetchall()
    equal([g[0] for g in got], ["n0", "n1", "n2"])
    one(db, "select pk_config_put('c', '{\"provider\":\"openai\"}') from pk_logs limit 1")
    equal(one(db, "select count(*) from pk_logs"), 6)


# --- interrupts ----------------------------------------------------------------------------


def interrupted_after(db, sql, args, delay, stop):
    """Milliseconds from `stop`, `delay` seconds after a request, until the statement has ended."""
    when, before = [], mock.page("stats")["requests"]

    def later():
        wait_for(lambda: mock.page("stats")["requests"] > before)
        time.sleep(delay)
        when.append(time.monotonic())
        stop()

    thread = threading.Thread(target=later)
    thread.start()
    try:
        db.execute(sql, args).fetchall()
        raise AssertionError("was not interrupted")
    except sqlite3.OperationalError as e:
        took = (time.monotonic() - when[0]) * 1000
        equal(e.sqlite_errorname, "SQLITE_INTERRUPT")
    finally:
        thread.join()
    return took


@case
def an_interrupt_ends_a_call_within_20_ms(folder):
    db = connect(check_same_thread=False)
    aborted = mock.page("stats")["aborted"]
    times = []
    for i in range(20):
        times.append(interrupted_after(db, "select pk_ask(?, 'x')", (config("echo:d=10000"),), 0.05 + i * 0.003,
                                       db.interrupt))
    assert soon("an interrupt", [t / 1e3 for t in times], 0.02), times
    wait_for(lambda: mock.page("stats")["aborted"] - aborted == 20)
    equal(db.execute("select status, count(*) from pk_logs group by 1").fetchall(), [("cancelled", 20)])
    equal(one(db, "select pk_ask(?, 'goes on')", config()), "goes on")


@case
def an_interrupt_ends_a_wait_between_retries(folder):
    db = connect(check_same_thread=False)
    slow = config("status-503:retry-after=30", retry={"attempts": 2})
    times = [interrupted_after(db, "select pk_chat(?, 'x')", (slow,), 0.1, db.interrupt) for _ in range(5)]
    assert soon("an interrupt between retries", [t / 1e3 for t in times], 0.02), times
    equal(one(db, "select count(*) from pk_logs where status = 'cancelled' and attempts = 1"), 5)


@case
def an_interrupt_ends_a_statement_of_many_calls(folder):
    db = connect(os.path.join(folder, "user.db"), check_same_thread=False)
    db.execute("create table t(x)")
    db.executemany("insert into t values (?)", [(i,) for i in range(100)])
    db.commit()
    interrupted_after(db, "update t set x = pk_ask(?, 'p' || x)", (config("echo:d=20"),), 0.3, db.interrupt)
    db.rollback()
    equal(one(db, "select count(*) from t where typeof(x) = 'text'"), 0)
    assert 1 <= one(db, "select count(*) from pk_logs") <= 50


@case
def a_progress_handler_can_end_a_call(folder):
    db = connect()
    end = time.monotonic() + 0.2
    db.set_progress_handler(lambda: time.monotonic() > end, 1000)
    with Promise("a handler that ends it after 0.2 s", 0.3, 20):
        contains(failure(db, "select pk_ask(?, 'x')", config("hang")), "")
    db.set_progress_handler(None, 0)
    equal(one(db, "select status from pk_logs"), "cancelled")


@case
def an_authorizer_that_denies_everything_else_does_not_matter(folder):
    db = connect()
    db.set_authorizer(lambda action, *rest: sqlite3.SQLITE_OK if action != 33 else sqlite3.SQLITE_DENY)  # recursive
    equal(one(db, "select pk_ask(?, 'x')", config("echo:d=40")), "x")


@case
def control_c_in_the_shell_ends_a_call(folder):
    if SAN:
        raise Skip("the shell is not built with the sanitizers")
    shell = subprocess.Popen(["sqlite3", "-batch", ":memory:"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    sql = config("hang").replace("'", "''")
    shell.stdin.write(f".load {PK}\nselect pk_ask('{sql}', 'x');\n")
    shell.stdin.flush()
    wait_for(lambda: mock.page("stats")["in_flight"] > 0)
    shell.send_signal(signal.SIGINT)
    out, _ = shell.communicate(timeout=60)
    contains(out, "pk: cancelled: ")
    equal(one(connect(), "select status from pk_logs"), "cancelled")


# --- threads -------------------------------------------------------------------------------


@case
def threads_with_a_connection_each_work_at_once(folder):
    errors = []

    def work(n):
        try:
            db = connect()
            for i in range(25):
                equal(one(db, "select pk_ask(?, ?)", config(**CACHED), f"{n} {i % 5}"), f"{n} {i % 5}")
            db.close()
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(errors, [])
    db = connect()
    equal(one(db, "select count(*) from pk_logs"), 200)
    equal(one(db, "select sum(hits) from pk_cache"), 160)


@case
def one_connection_may_be_used_by_several_threads(folder):
    db = connect(check_same_thread=False)
    errors = []

    def work(n):
        try:
            for i in range(20):
                equal(one(db, "select pk_ask(?, ?)", config(), f"{n} {i}"), f"{n} {i}")
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(errors, [])
    equal(one(db, "select count(*) from pk_logs"), 80)


# --- processes -----------------------------------------------------------------------------


CALLS = """
import os, sys, time, sqlite3
store, config, count, pk = sys.argv[1:]
os.environ["PK_STORE"] = store
db = sqlite3.connect(":memory:")
db.enable_load_extension(True)
db.load_extension(pk)
for i in range(int(count)):
    db.execute("select pk_ask(?, ?)", (config, f"{os.getpid()} {i}")).fetchall()
    print(time.monotonic(), flush=True)
"""


def calls(count, config, then):
    """A process that makes so many calls, prints when each was over, and goes on to `then`."""
    return subprocess.Popen([sys.executable, "-c", CALLS + then, os.environ["PK_STORE"], config, str(count), PK],
                            stdout=subprocess.PIPE, text=True)


@case
def two_processes_share_a_store(folder):
    runs = [calls(200, config(**CACHED), "db.close()") for _ in range(2)]
    for r in runs:
        equal(len(r.communicate(timeout=120)[0].split()), 200)
        equal(r.returncode, 0)
    db = connect()
    equal(one(db, "select count(*) from pk_logs"), 400)
    equal(one(db, "select count(*) from pk_cache"), 400)


@case
def kill_9_loses_nothing_older_than_the_window(folder):
    for _ in range(3):
        before = one(connect(), "select count(*) from pk_logs")
        run = calls(100000, config("echo:d=2"), "time.sleep(60)")
        done = []
        end = time.monotonic() + (4 if SAN else 2)
        while time.monotonic() < end:
            done.append(float(run.stdout.readline()))
        run.kill()
        done += [float(line) for line in run.stdout.read().split()]
        run.wait()
        old = sum(d < done[-1] - 0.5 for d in done)
        db = connect()
        kept = one(db, "select count(*) from pk_logs") - before
        assert old <= kept <= len(done) + 1, f"{kept} rows of {len(done)} calls, {old} of them old enough"
        equal(one(db, "select pk_ask(?, 'opens clean')", config()), "opens clean")


@case
def a_process_that_ends_without_closing_writes_its_rows(folder):
    run = calls(50, config(), "import gc; gc.disable(); keep = [db]; keep.append(keep)\nsys.exit(0)")
    equal(len(run.communicate(timeout=60)[0].split()), 50)
    equal(one(connect(), "select count(*) from pk_logs"), 50)


def in_child(queue, inherited, fresh_too):
    try:
        queue.put(one(inherited, "select pk_ask(?, 'from the child')", config()))
        if fresh_too:
            db = connect()
            queue.put(one(db, "select pk_ask(?, 'a new connection')", config()))
            db.close()
        queue.put(one(inherited, "select pk_flush()"))
    except Exception as e:
        queue.put(repr(e))


@case
def a_child_made_by_fork_begins_anew(folder):
    db = connect()
    one(db, "select pk_ask(?, 'parent')", config(**CACHED))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=in_child, args=(queue, db, True)) for _ in range(3)]
    for c in children:
        c.start()
    got = sorted(str(queue.get(timeout=120)) for _ in range(9))
    for c in children:
        c.join(30)
        equal(c.exitcode, 0)
    equal(got, ["1"] * 3 + ["a new connection"] * 3 + ["from the child"] * 3)
    equal(one(db, "select pk_ask(?, 'parent goes on')", config()), "parent goes on")
    equal(one(db, "select count(*) from pk_logs"), 8)


@case
def a_child_keeps_its_rows_when_the_parent_closes(folder):
    db = connect()
    one(db, "select pk_ask(?, 'parent')", config())
    one(db, "select count(*) from pk_logs")
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            mine = connect()
            one(mine, "select pk_ask(?, 'one')", config())
            one(mine, "select pk_flush()")
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            one(mine, "select pk_ask(?, 'two')", config())
            os._exit(0 if one(mine, "select pk_flush()") == 1 else 1)
        except BaseException as e:
            print("#", repr(e), flush=True)
            os._exit(2)
    os.read(ready[0], 1)
    db.close()  # the last connection of this process: it may not take the child's log away
    os.write(go[1], b"x")
    equal(os.waitpid(pid, 0)[1], 0)
    equal(one(connect(), "select count(*) from pk_logs"), 3)


def fork_and_call():
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            os._exit(0 if "forked while another thread" in failure(connect(), "select pk_ask(?, 'y')", config()) else 1)
        except BaseException as e:
            print("#", repr(e), flush=True)
            os._exit(2)
    equal(os.waitpid(pid, 0)[1], 0)


@case
def a_fork_while_other_threads_call_is_an_error_in_the_child_alone(folder):
    """Many forks, because a thread that waits looks now and then whether it was interrupted: a fork at that
    moment would leave SQLite's own locks taken in the child, for ever."""
    busy = [connect(check_same_thread=False) for _ in range(8)]
    chat = "select pk_try_chat(?, 'x')"
    threads = [threading.Thread(target=one, args=(db, chat, config("echo:d=1500"))) for db in busy]
    for thread in threads:
        thread.start()
    wait_for(lambda: mock.page("stats")["in_flight"] == len(busy))
    end = time.monotonic() + 1
    fork_and_call()
    while time.monotonic() < end:
        fork_and_call()
    for thread in threads:
        thread.join()
    equal(one(connect(), "select count(*) from pk_logs where status = 'success'"), len(busy))


@case
def closing_leaves_no_descriptor_and_no_thread(folder):
    def open_and_close():
        db = connect()
        one(db, "select pk_ask(?, 'x')", config())
        one(db, "select count(*) from pk_logs")
        db.close()

    for _ in range(3):
        open_and_close()
    fds, tasks = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for _ in range(10):
        open_and_close()
    equal((len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))), (fds, tasks))


@case
def a_store_that_cannot_be_opened_is_an_error_that_names_it(folder):
    os.environ["PK_STORE"] = os.path.join(folder, "no-database")
    with open(os.environ["PK_STORE"], "w") as f:
        f.write("this is not a database, and long enough to be told apart from one" * 50)
    db = connect()
    contains(failure(db, "select pk_ask(?, 'x')", config()), "pk: store_error: ", "no-database")
    contains(failure(db, "select * from pk_logs"), "pk: store_error: ", "no-database")
    equal(one(db, "select pk_version()") != "", True)


@case
def a_store_that_is_locked_for_long_loses_nothing(folder):
    db = connect()
    one(db, "select pk_ask(?, 'x')", config())
    one(db, "select pk_flush()")
    other = connect(os.environ["PK_STORE"], load=False, isolation_level=None)
    other.execute("begin immediate")
    for i in range(5):
        equal(one(db, "select pk_ask(?, ?)", config(), f"n{i}"), f"n{i}")
    got = json.loads(one(db, "select pk_health()")) # after ten seconds
    assert not got["ok"] and got["pending"] + got["spooled"] >= 5 and "locked" in got["last_error"], got
    other.execute("commit")
    equal(one(db, "select pk_health() ->> 'ok'"), 1)
    equal(one(db, "select count(*) from pk_logs"), 6)


@case
def valgrind_finds_nothing_in_our_frames(folder):
    if SAN:
        raise Skip("valgrind and the sanitizers do not mix")
    try:
        subprocess.run(["valgrind", "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise Skip("valgrind is not installed")
    good, cached = config(), config(**CACHED)
    script = [f".load {PK}", f"select pk_ask('{good}', 'x');", f"select length(pk_chat('{cached}', 'x'));",
              f"select length(pk_chat('{cached}', 'x'));", f"select pk_ask('{config('status-500')}', 'x');",
              f"select pk_try_chat('{config('drop-mid')}', 'x') is null;", "select pk_chat('{', 'x');",
              "select pk_key_put('k', 'openai', 'sk-x');", "select pk_config_put('c', '{\"virtual_key\":\"k\"}');",
              "select pk_feedback('t', 1);", "select pk_set('timeout', '1s');", f"select pk_ask('{config('hang')}', 'x');",
              "select count(*), min(status) from pk_logs where started_at > '2020';", "select count(*) from pk_spans;",
              "select * from pk_configs;", "select length(pk_health());", "select pk_set('timeout', '20s');",
              "create table t(id integer primary key, body text); insert into t(body) values ('a'), ('b'), ('a'), (null);",
              f"select count(*), sum(ok) from pk_map where config = '{good}' and query = 'select id as key, body as prompt from t';",
              f"select count(*) from pk_map where config = '{config('status-500')}' and query = 'select id as key, body as prompt from t' limit 1;",
              f"select count(*) from pk_batch('{good}', '[\"x\", \"y\"]');", f"select pk_reduce('{good}', 'sum up', body) from t;",
              f"select pk_classify('{good}', 'good', '[\"good\", \"bad\"]');", f"select pk_json('{good}', 'x', '{{\"type\":\"object\"}}');",
              f"select count(*) from t where pk_filter('{good}', 'is it?', body);", f"select length(pk_embed('{good}', 'x'));",
              f"select count(*) from pk_estimate('{good}', 'select id as key, body as prompt from t');",
              f"select pk_prefetch('{cached}', 'select id as key, body as prompt from t');",
              "select pk_prompt_put('p', 'Say {{x}}{{#y}}{{z}}{{/y}}');", "select pk_render('p', '{\"x\": [1], \"y\": [{\"z\": 2}]}');",
              "select pk_limit_put('l', '{\"counts\": \"requests\", \"per\": \"day\", \"amount\": 100}');",
              "select pk_guardrail_put('g', '{\"type\": \"contains\", \"deny\": [\"zz\"]}');", f"select pk_ask('{config(input_guardrails=['g'])}', 'zz');",
              "select pk_enqueue_query('{\"virtual_key\": \"k\", \"override_params\": {\"model\": \"echo\"}}', 'select id as key, ''x'' as prompt from t');",
              "select length(pk_job(id)), length(pk_cancel(id)) from pk_jobs;", "select count(*) from pk_collect((select id from pk_jobs));",
              "select length(pk_count_tokens('gpt-4o', 'words')), pk_cost('gpt-4o', 1, 1);", "select pk_retention_run();",
              f"select length(pk_replay(id, '{good}')) from pk_logs limit 1;", "select count(*) from pk_running;", "select pk_flush();",
              "select pk_set('store', ':memory:');",
              f"select pk_ask('{good}', 'x');", "select count(*) from pk_logs;"]
    log = os.path.join(folder, "valgrind.xml")
    run = subprocess.run(["valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible", "--xml=yes",
                          "--child-silent-after-fork=yes", f"--xml-file={log}", "sqlite3", "-batch", ":memory:"],
                         input="\n".join(script), capture_output=True, text=True, timeout=300)
    contains(run.stdout, "1", "x\n")
    import xml.etree.ElementTree as tree
    ours = []
    for error in tree.parse(log).getroot().findall("error"):
        if any("pk.so" in (frame.findtext("obj") or "") for frame in error.iter("frame")):
            ours.append(tree.tostring(error, encoding="unicode"))
    assert not ours, "\n".join(ours[:3])


if __name__ == "__main__":
    main()
