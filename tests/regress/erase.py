#!/usr/bin/env python3
"""One person's calls go out of the store, with all that is theirs and nothing else: SQLite, pkd, Postgres."""
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import pg_temp
from pg_case import expect_error
from pkd_harness import Mock, Pkd, chat, config, end, expect, program, run, until

if os.environ.get("PK_SAN") and "LD_PRELOAD" not in os.environ:
    # The sanitizer's library must be the first of the process that loads the extension.
    asan = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    os.execve(sys.executable, [sys.executable] + sys.argv,
              {**os.environ, "LD_PRELOAD": asan, "ASAN_OPTIONS": "detect_leaks=0"})

# Words that a person's calls have, and that nobody else's do.
SECRET = "zanzibar"


class Sqlite:
    """The extension, with the functions that Postgres's connection has in the tests."""

    def __init__(self, store):
        self.store = store
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.db.enable_load_extension(True)
        self.db.load_extension(program("pk"))
        self.value(f"select pk_set('store', '{store}')")

    def query(self, sql):
        return [[None if v is None else str(v) for v in row] for row in self.db.execute(sql).fetchall()]

    def value(self, sql):
        rows = self.query(sql)
        return rows[0][0] if rows else None

    def exec(self, sql):
        """In the store itself."""
        with contextlib.closing(sqlite3.connect(self.store, timeout=30)) as db, db:
            db.execute(sql)


def ask(k, cfg, text, who, **more):
    params = json.dumps({"model": "echo", "pk": {"metadata": {"_user": who}, **more}})
    return k.value(f"select pk_ask('{cfg}', '{text}', null, '{params}')")


def fill(k, mock):
    """Calls of two people: texts of their own and one that both have, cached answers, feedback, jobs, limits."""
    cfg = config(mock, cache={"mode": "simple"})
    k.query("select pk_limit_put('each', '{\"user\": \"*\", \"counts\": \"requests\", \"amount\": 1000, \"per\": \"hour\"}')")
    for i in range(5):
        expect(SECRET in ask(k, cfg, f"{SECRET} {i}", "alice", trace_id="of-alice"))
        ask(k, cfg, f"of bob {i}", "bob", trace_id="of-bob")
    ask(k, config(mock), "both ask this", "alice", trace_id="shared")
    ask(k, config(mock), "both ask this", "bob", trace_id="shared")
    k.query("select pk_flush()")
    for trace, value in (("of-alice", 1), ("of-bob", 2), ("shared", 3)):
        k.query(f"select pk_feedback('{trace}', {value})")
    k.query("select pk_feedback('of-bob', 4, 1.0, '{\"_user\": \"alice\"}')")
    k.query(f"select pk_key_put('vk', 'openai', 'sk-test', '{{\"custom_host\": \"{mock.base}\"}}')")
    for who in ("alice", "bob"):
        job = k.value(f"select pk_enqueue('vk', '\"{SECRET if who == 'alice' else 'hm'}, later\"', "
                      f"'{{\"model\": \"echo\", \"pk\": {{\"metadata\": {{\"_user\": \"{who}\"}}}}}}')")
        k.query(f"select pk_cancel('{job}')")
    k.query("select pk_flush()")


def left(k):
    """What is there of whom."""
    return {
        "calls": k.query("select trace_id, count(*) from pk_logs group by 1 order by 1"),
        "texts": k.value("select count(*) from pk_logs where request is not null and response is not null"),
        "cache": k.value("select count(*) from pk_cache"),
        "feedback": k.query("select trace_id, value from pk_feedback order by 2"),
        "jobs": k.value("select count(*) from pk_jobs"),
    }


ALL = {"calls": [["of-alice", "5"], ["of-bob", "5"], ["shared", "2"]], "texts": "12", "cache": "10",
       "feedback": [["of-alice", "1"], ["of-bob", "2"], ["shared", "3"], ["of-bob", "4"]], "jobs": "2"}
BOBS = {"calls": [["of-bob", "5"], ["shared", "1"]], "texts": "6", "cache": "5",
        "feedback": [["of-bob", "2"], ["shared", "3"]], "jobs": "1"}
GONE = {"logs": 6, "spans": 0, "cache": 5, "jobs": 1, "limits": 1, "open_jobs": 0}
WHO = """'{"metadata": {"_user": "alice"}}'"""


def check_counts(told, dry):
    counts = json.loads(told)
    expect({k: counts[k] for k in GONE} == GONE, counts)
    expect(counts["feedback"] == 2 and counts["dry_run"] is dry, counts)
    expect(counts["payloads"] >= 10, counts)  # a text that is in two packs is two


def all_that_is_of_a_person_goes(k, mock):
    fill(k, mock)
    # As if something had stood still between an answer's way into the cache and the end of its call.
    k.exec("update pk_log set duration_us = duration_us + 3000000 where user_id = 'alice' and cache_status = 'MISS'")
    expect(left(k) == ALL, left(k))
    check_counts(k.value(f"select pk_logs_erase({WHO}, {k.true})"), True)
    expect(left(k) == ALL, f"a dry run changed something: {left(k)}")
    check_counts(k.value(f"select pk_logs_erase({WHO})"), False)
    expect(left(k) == BOBS, left(k))
    expect(k.value(f"select count(*) from pk_logs where cast(request as text) like '%{SECRET}%' "
                   f"or cast(response as text) like '%{SECRET}%'") == "0")
    expect(k.value("select count(*) from pk_logs where cast(request as text) like '%both ask this%'") == "1")
    note = k.query("select verb, object, detail from pk_audit where verb = 'logs_erase'")
    expect(len(note) == 1 and "alice" not in str(note) and "metadata._user" in note[0][2] and '"logs"' in note[0][2], note)
    again = json.loads(k.value(f"select pk_logs_erase({WHO})"))
    expect(not any(v for v in again.values()), again)
    expect(json.loads(k.value("""select pk_logs_erase('{"trace_id": "shared"}')"""))["logs"] == 1)
    expect(json.loads(k.value("""select pk_logs_erase('{"user": "bob"}')"""))["logs"] == 5)
    expect(left(k)["calls"] == [] and left(k)["texts"] == left(k)["cache"] == "0", left(k))


BAD = [("{}", "filter: must be an object"), ('{"metadata": {}}', "metadata: must be"), ('{"name": "x"}', "name: there is no such"),
       ('{"metadata": {"a": 1}}', "metadata.a: must be a string"), ('{"user": ""}', "user: must be"), ("[]", "filter: must be"),
       ('{"user": "' + "x" * 5000 + '"}', "filter: must be of at most"), ('{"user": 7}', "user: must be a string")]
# jsonb has lost the first of them before pk sees it.
TWICE = [('{"user": "a", "user": "b"}', "user: is given twice"), ('{"metadata": {"a": "x", "a": "y"}}', "metadata.a: is given twice"),
         ('{"metadata": {"a": "x"}, "metadata": {"b": "y"}}', "metadata: is given twice")]


def files_say(store, word):
    return [name for name in (store, store + "-wal") if os.path.exists(name) and word.encode() in open(name, "rb").read()]


def sqlite_forgets_a_person():
    with tempfile.TemporaryDirectory() as folder:
        mock, k = Mock(), Sqlite(os.path.join(folder, "t.pkdb"))
        k.true = "1"
        all_that_is_of_a_person_goes(k, mock)
        for text, why in BAD + TWICE + [("nonsense", "filter: ")]:
            try:
                k.query(f"select pk_logs_erase('{text}')")
            except sqlite3.OperationalError as e:
                expect(why in str(e), f"{text}: {e}")
            else:
                raise AssertionError(text)
        expect(k.value("select pk_logs_erase(null)") is None)
        expect(k.value("select pk_logs_erase('{\"user\": \"alice\"}', null)") is None)
        k.db.close()
        mock.stop()


def pkd_erase(pkd, *words, status=0):
    clean = {n: v for n, v in os.environ.items() if not n.startswith("PK_")}
    p = subprocess.run([program("pkd"), "logs", "erase", *words, "--store", pkd.store], capture_output=True, text=True,
                       env=clean, timeout=120)
    expect(p.returncode == status, f"{words}: {p.returncode} {p.stderr}")
    return p.stdout if status == 0 else p.stderr


def many_at_once(pkd, mock, count=60):
    """So that texts of several people are in one pack."""
    def some(n):
        for i in range(n, count, 6):
            who = "alice" if i % 2 else "bob"
            text = f"{SECRET} {i} " if who == "alice" else f"of bob {i} "
            expect(chat(pkd, mock, "echo", text + "and more words " * 20,
                        {"x-portkey-metadata": json.dumps({"_user": who, "n": str(i)})})[0] == 200)

    threads = [threading.Thread(target=some, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    pkd.rows_within("select 1 from pk_log", lambda r: len(r) == count)


def texts_go_out_of_packs_and_out_of_the_files():
    mock, pkd = Mock(), Pkd()
    many_at_once(pkd, mock)
    packs = pkd.rows("select count(*) from pk_payload where encoding = 2")[0][0]
    expect(0 < packs < 60, packs)
    seen = json.loads(pkd_erase(pkd, "--metadata", "_user=alice", "--dry-run", "--json"))
    expect(seen["logs"] == 30 and seen["payloads"] == 60 and seen["dry_run"], seen)
    expect(pkd.rows("select count(*) from pk_log")[0][0] == 60)
    gone = json.loads(pkd_erase(pkd, "--metadata", "_user=alice", "--json"))
    expect({**gone, "dry_run": True} == seen, gone)
    expect(pkd.rows("select count(*), count(request), count(response) from pk_logs") == [(30, 30, 30)])
    k = Sqlite(pkd.store)
    expect(k.value("select count(*) from pk_logs where request like '%of bob%' and response like '%of bob%'") == "30")
    expect(k.value("select count(*) from pk_logs where user_id = 'alice'") == "0")
    k.db.close()
    pkd.stop()
    mock.stop()


def nothing_stays_in_the_file():
    with tempfile.TemporaryDirectory() as folder:
        mock, pkd = Mock(), Pkd(folder=folder)
        for i in range(20):
            expect(chat(pkd, mock, "echo", f"{SECRET} {i}", {"x-portkey-metadata": '{"_user": "alice-of-the-files"}'})[0] == 200)
        pkd.rows_within("select 1 from pk_log", lambda r: len(r) == 20)
        pkd_erase(pkd, "user=alice-of-the-files")
        store = pkd.store
        expect(pkd.stop() == 0)
        expect(not files_say(store, "alice-of-the-files"), files_say(store, "alice-of-the-files"))
        mock.stop()


def the_command_says_what_it_needs():
    mock, pkd = Mock(), Pkd()
    for words, why in [([], "whose calls? say --metadata"), (["frob"], "frob: must be user=NAME"), (["model=x"], "model: there is no such filter"),
                       (["user=a", "--since", "1h"], "--since: all calls of a person"), (["--metadata", "x"], "--metadata: must be KEY=VALUE"),
                       (["user=a", "--limit", "3"], "--limit: all calls"),
                       (["user=a", "user=b"], "user: is given twice"), (["--trace", "x", "trace_id=y"], "trace_id: is given twice")]:
        said = pkd_erase(pkd, *words, status=1)
        expect(why in said, f"{words}: {said}")
    expect(pkd_erase(pkd, "user=nobody").split()[:2] == ["logs", "0"])
    pkd.stop()
    with open(os.path.join(tempfile.mkdtemp(), "spool"), "wb") as f:
        f.write(b"x" * 100)
    said = pkd_erase(Gone(pkd), "user=a", "--spool", f.name, status=1)
    expect("rows wait there" in said, said)
    mock.stop()


class Gone:
    """The store of a pkd whose folder went with it."""

    def __init__(self, pkd):
        self.store = os.path.join(tempfile.mkdtemp(), "t.pkdb")


def calls_are_made_meanwhile():
    """A store of many calls; nobody waits for long, and no row of another's is lost."""
    mock, pkd = Mock(), Pkd()
    expect(chat(pkd, mock, "echo", "first", {"x-portkey-metadata": '{"_user": "bob"}'})[0] == 200)
    pkd.rows_within("select 1 from pk_log", lambda r: len(r) == 1)
    db = sqlite3.connect(pkd.store, timeout=120)
    now_us = time.time_ns() // 1000 - 3600 * 10**6
    names = "id, started_us, duration_us, upstream_us, trace_id, operation, attempts, retries, fallback_index, stream, status, usage_source, cache_status, source, user_id, request_id"
    with db:
        for n in range(20000):
            at = now_us + n * 1000
            id_ = (at // 1000).to_bytes(6, "big") + b"\x70\x00\x80\x00" + n.to_bytes(6, "big")
            db.execute("insert into pk_payload (id, hash, created_us, encoding, bytes) values (?, ?, ?, 0, ?)",
                       (1000 + n, id_, at, b'{"a":"%d"}' % n))
            db.execute(f"insert into pk_log ({names}) values (?, ?, 1, 1, 'many', 'chat', 1, 0, 0, 0, 'success', 'none', "
                       "'DISABLED', 'sqlite', ?, ?)", (id_, at, "alice" if n % 2 else "bob", 1000 + n))
    db.close()
    longest, made, stop = [0.0], [0], []

    def load():
        while not stop:
            begin = time.monotonic()
            expect(chat(pkd, mock, "echo", "meanwhile", {"x-portkey-metadata": '{"_user": "bob"}'})[0] == 200)
            longest[0] = max(longest[0], time.monotonic() - begin)
            made[0] += 1

    t = threading.Thread(target=load)
    t.start()
    try:
        gone = json.loads(pkd_erase(pkd, "user=alice", "--json"))
    finally:
        stop.append(1)
        t.join()
    expect(gone["logs"] == 10000 and gone["payloads"] == 10000, gone)
    left = pkd.rows_within("select count(*) from pk_log", lambda r: r == [(10001 + made[0],)])
    expect(left == [(10001 + made[0],)], f"{left} {made}")
    print(f"# {made[0]} calls meanwhile, the longest {longest[0]:.3f} s", flush=True)
    expect(made[0] > 0 and longest[0] < 15, f"{made[0]} calls, the longest {longest[0]} s")
    pkd.stop()
    mock.stop()


def columns_of_the_hours_go():
    mock, pkd = Mock(), Pkd()
    expect(chat(pkd, mock, "echo", "x", {"x-portkey-metadata": '{"_user": "alice"}'})[0] == 200)
    pkd.rows_within("select 1 from pk_log", lambda r: len(r) == 1)
    hour = pkd.rows("select started_us / 3600000000 * 3600000000 from pk_log")[0][0]
    db = sqlite3.connect(pkd.store, timeout=120)
    with db:
        for h in (hour, hour - 3600000000):
            db.execute("insert into pk_log_hour values (?, x'00', x'01', x'00', 1)", (h,))
            db.execute("insert into pk_log_column values (?, 0, 18, 0, 'alice')", (h,))
    db.close()
    pkd_erase(pkd, "user=alice")
    expect(pkd.rows("select hour_us from pk_log_hour") == pkd.rows("select hour_us from pk_log_column") == [(hour - 3600000000,)])
    pkd.stop()
    mock.stop()


def postgres_forgets_a_person():
    mock = Mock()
    with pg_temp.Cluster() as pg, pg.connect() as k:
        k.true, k.exec = "true", k.query
        k.query("create extension pk")
        k.query("create role chief login in role pk_admin")
        k.query("create role caller login in role pk_user")
        all_that_is_of_a_person_goes(k, mock)
        for text, why in BAD:
            expect_error("22023", lambda text=text: k.query(f"select pk_logs_erase('{text}')"), why)
        expect(k.value("select pk_logs_erase(null)") is None)
        expect(k.value("select pk_logs_erase('{\"user\": \"alice\"}', null)") is None)
        with pg.connect(user="caller") as c:
            expect_error("42501", lambda: c.query(f"select pk_logs_erase({WHO})"))
        ask(k, config(mock), "once more", "alice")
        k.query("select pk_flush()")
        with pg.connect(user="chief") as c:
            c.query("begin")  # its transaction has nothing to do with it
            expect(json.loads(c.value(f"select pk_logs_erase({WHO})"))["logs"] == 1)
            c.query("rollback")
        expect(k.value("select count(*) from pk_logs") == "0")
        expect(k.value("select actor from pk_audit where verb = 'logs_erase' order by at desc limit 1") == "role:chief")
        ask(k, config(mock), "waits in the ring", "alice")
        expect(json.loads(k.value(f"select pk_logs_erase({WHO})"))["logs"] == 1, "what was not written yet comes back")
    mock.stop()


CASES = [sqlite_forgets_a_person, texts_go_out_of_packs_and_out_of_the_files, nothing_stays_in_the_file,
         the_command_says_what_it_needs, columns_of_the_hours_go, calls_are_made_meanwhile]
if not os.environ.get("PK_SAN"):
    CASES += [postgres_forgets_a_person]
if len(sys.argv) > 2:
    CASES = [c for c in CASES if any(word in c.__name__ for word in sys.argv[2:])]
run(*CASES)
end()
