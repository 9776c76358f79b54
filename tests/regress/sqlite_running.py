#!/usr/bin/env python3
"""pk_running in SQLite, and the line at a terminal: what is seen of a batch while it is in flight."""
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading

from sqlite_door import PK, case, config, connect, contains, equal, failure, main, one, slow, wait_for

LOOK = "select kind, done, total, failed, in_flight, rate, eta_s, pid, id, source, actor, query_id from pk_running"
SERIES = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) select i as key, 'row ' || i as prompt from n"


def literal(text):
    return "'" + text.replace("'", "''") + "'"


class Shell:
    """The sqlite3 shell in a process of its own; with a terminal for its errors, or without."""

    def __init__(self, sql, terminal=False, env=None):
        self.ours, theirs = pty.openpty() if terminal else (None, subprocess.PIPE)
        self.process = subprocess.Popen(["sqlite3", "-batch", ":memory:", "-cmd", f".load {PK}", sql], stdout=subprocess.PIPE,
                                        stderr=theirs, text=True, env={**os.environ, **(env or {})})
        if terminal:
            os.close(theirs)

    def end(self):
        out = self.process.stdout.read()
        self.process.wait(60)
        if self.ours is None:
            return out, self.process.stderr.read()
        try:
            seen = os.read(self.ours, 1 << 20).decode()
        except OSError:  # nothing was written, and nobody is there any more
            seen = ""
        os.close(self.ours)
        return out, seen


def call(function, *args):
    return f"select count(*) from {function}({', '.join(literal(a) for a in args)})"


def watch(db, shell):
    """The states of the shell's row that differ, until it is gone."""
    seen = []

    def over():
        now = db.execute(LOOK).fetchall()
        assert len(now) <= 1, now
        if now and now[0] not in seen:
            seen.append(now[0])
        return seen and not now
    wait_for(over, 20)
    equal(len({s[8] for s in seen}), 1)
    return seen


def grows(seen):
    done = [s[1] for s in seen]
    assert len(done) >= 2 and done == sorted(done) and done[0] < done[-1], seen


@case
def another_process_sees_a_batch_grow_and_end(folder):
    db = connect()
    for kind, sql, total in (
            ("pk_map", call("pk_map", slow(200), SERIES.format(60), '{"pk":{"concurrency":4}}'), None),
            ("pk_batch", call("pk_batch", slow(200), json.dumps([f"q{i}" for i in range(60)]), '{"pk":{"concurrency":4}}'), 60),
            ("pk_prefetch", "select " + call("pk_prefetch", slow(200, cache={"mode": "simple"}), SERIES.format(60),
                                             '{"pk":{"concurrency":4}}')[len("select count(*) from "):], None)):
        shell = Shell(sql)
        seen = watch(db, shell)
        grows(seen)
        out, err = shell.end()
        assert "60" in out and err == "", (out, err)
        for s in seen:
            equal((s[0], s[3], s[7], s[9]), (kind, 0, shell.process.pid, "sqlite"))
            assert 1 <= s[4] <= 4 or s[1] > 52, s
            equal(s[2], total if total else 60 if s[2] else None)
            assert s[10].startswith("os:") and 1 < s[5] < 40, s
            assert s[6] is None if s[2] is None else abs(s[6] - (60 - s[1]) / s[5]) < 0.01, s
        equal(one(db, "select count(*) from pk_logs where query_id = ?", seen[0][11]), 60)


@case
def the_same_process_sees_it_too_and_a_reduction(folder):
    db, got = connect(), []

    def ask():
        got.append(connect(check_same_thread=False).execute(
            "select pk_reduce(?, 'sum up', i) from (select 'a' as i union select 'b')", (slow(2600),)).fetchall())
    thread = threading.Thread(target=ask)
    thread.start()
    seen = watch(db, None)
    thread.join()
    equal([(s[0], s[1], s[2]) for s in seen], [("pk_reduce", 0, 1)] * len(seen))
    assert got and got[0][0][0], got


@case
def what_was_killed_is_not_shown_and_swept(folder):
    db = connect()
    store = sqlite3.connect(os.environ["PK_STORE"], isolation_level=None, timeout=10)
    shell = Shell(call("pk_map", slow(20000), SERIES.format(40)))
    wait_for(lambda: db.execute(LOOK).fetchall())
    shell.process.send_signal(signal.SIGKILL)
    shell.end()
    equal(len(db.execute(LOOK).fetchall()), 1)
    store.execute("update pk_progress set updated_us = updated_us - 10000000")
    equal(db.execute(LOOK).fetchall(), [])
    one(db, "select pk_retention_run()")
    equal(store.execute("select count(*) from pk_progress").fetchall(), [(1,)])
    store.execute("update pk_progress set updated_us = updated_us - 60000000")
    one(db, "select pk_retention_run()")
    equal(store.execute("select count(*) from pk_progress").fetchall(), [(0,)])


@case
def what_is_interrupted_leaves_nothing_and_what_is_short_writes_nothing(folder):
    db = connect()
    db.execute(LOOK).fetchall()
    store = sqlite3.connect(os.environ["PK_STORE"], isolation_level=None, timeout=10)
    store.execute("create table written (at)")
    store.execute("create trigger note after insert on pk_progress begin insert into written values (1); end")
    db.execute(call("pk_map", slow(50), SERIES.format(20))).fetchall()
    equal((one(db, "select pk_flush()"), store.execute("select count(*) from written").fetchall()), (1, [(0,)]))
    timer = threading.Timer(1.5, db.interrupt)
    timer.start()
    contains(failure(db, call("pk_map", slow(20000), SERIES.format(20))), "interrupted")
    equal(one(db, "select pk_flush()"), 1)
    equal(store.execute("select (select count(*) from written), (select count(*) from pk_progress)").fetchall(), [(1, 0)])


@case
def whoever_waits_at_the_shell_sees_a_line(folder):
    sql = call("pk_map", slow(150), SERIES.format(40), '{"pk":{"concurrency":4}}')
    out, seen = Shell(sql, terminal=True).end()
    equal(out.strip(), "40")
    assert seen.count("\r\x1b[K") >= 2, repr(seen)
    contains(seen, "rows 40, calls 40, from the cache 0, failed 0", "rows a second\r\n")
    out, seen = Shell(sql).end()  # no terminal
    equal((out.strip(), seen), ("40", ""))
    equal(Shell(sql, terminal=True, env={"PK_PROGRESS": "off"}).end()[1], "")
    equal(Shell("select pk_set('progress', 'off'); " + sql, terminal=True).end()[1], "")
    equal(Shell(call("pk_map", config(), SERIES.format(5)), terminal=True).end()[1], "")  # too short


@case
def an_application_shows_a_line_only_when_it_wants_one(folder):
    script = ("import sqlite3, sys\ndb = sqlite3.connect(':memory:')\ndb.enable_load_extension(True)\n"
              "db.load_extension(sys.argv[1])\nif sys.argv[3:]: db.execute(\"select pk_set('progress', ?)\", sys.argv[3:]).fetchall()\n"
              "print(db.execute(sys.argv[2]).fetchall())")
    sql = call("pk_map", slow(300), SERIES.format(20), '{"pk":{"concurrency":4}}')
    for words, shown in (([], False), (["on"], True), (["off"], False)):
        ours, theirs = pty.openpty()
        p = subprocess.run([sys.executable, "-c", script, PK, sql, *words], stderr=theirs, stdout=subprocess.PIPE, text=True)
        os.close(theirs)
        try:
            seen = os.read(ours, 65536).decode()
        except OSError:
            seen = ""
        os.close(ours)
        equal((p.stdout.strip(), "rows a second" in seen), ("[(20,)]", shown))
    db = connect()
    equal(one(db, "select pk_get('progress')"), "auto")
    contains(failure(db, "select pk_set('progress', 'loud')"), "progress: must be auto, on or off")


if __name__ == "__main__":
    main()
