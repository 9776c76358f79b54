"""Processes that are killed, stores that are locked or full: no answer goes missing from the log."""
import collections
import http.client
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from pkd_harness import BUILD, ROOT, SLOW, Mock, Pkd, chat_body, config, end, expect, run, until

mock = Mock()
WINDOW_S = 0.1 * SLOW
ROUNDS = 4


class Load:
    """Clients that call all the time; `answers` has the trace and time of each answer."""

    def __init__(self, pkd, clients=8, stream=False):
        self.answers, self.slowest, self.over = [], 0.0, False
        self.serial, self.stream = 0, stream
        self.threads = [threading.Thread(target=self.client, args=(pkd.port, i)) for i in range(clients)]
        for t in self.threads:
            t.start()

    def client(self, port, number):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for i in range(10 ** 6):
            if self.over:
                break
            trace = f"{os.urandom(4).hex()}-{number}-{i}"
            headers = {"content-type": "application/json", "x-portkey-config": config(mock),
                       "x-portkey-trace-id": trace}
            try:
                began = time.monotonic()
                c.request("POST", "/v1/chat/completions", chat_body(text=trace, stream=self.stream), headers)
                response = c.getresponse()
                body = response.read()
                now = time.monotonic()
            except (OSError, http.client.HTTPException):
                break
            if response.status == 200 and (not self.stream or b"[DONE]" in body):
                self.answers.append((trace, now))
                self.slowest = max(self.slowest, now - began)

    def end(self):
        self.over = True
        for t in self.threads:
            t.join()


def check_log(pkd, answers, before=float("inf")):
    """The store is sound, has each answer that came before that time, and none twice."""
    expect(pkd.rows("pragma integrity_check") == [("ok",)])
    seen = collections.Counter(t for t, in pkd.rows("select trace_id from pk_log"))
    missing = [t for t, at in answers if at < before and not seen[t]]
    expect(not missing, f"{len(missing)} of {len(answers)} answers are not in the log")
    twice = [t for t, n in seen.items() if n > 1]
    expect(not twice, f"{len(twice)} rows are there twice")
    expect(pkd.rows("select count(*) from pk_log where trace_id not in (select trace_id from pk_spans)") == [(0,)])


def kill_mid_load(window_s, *options, **load):
    """Those within the window before the last may be missing; 0: none may. The disk may be late for one round."""
    folder = tempfile.mkdtemp(prefix="pk-crash")
    answers, late = [], 0
    for _ in range(ROUNDS):
        p = Pkd(*options, folder=folder)
        running = Load(p, **load)
        time.sleep(0.7)
        expect(until(lambda: len(running.answers) > 100), "it is hardly used")
        p.process.kill()
        p.process.wait()
        running.end()
        recent = max(at for _, at in running.answers) - window_s if window_s else float("inf")
        last = Pkd(*options, folder=folder)  # replays, if there is something
        expect(until(lambda: not os.path.exists(last.store + ".spool.taken") and
                     not os.path.exists(last.store + ".spool")))
        kept = {t for t, in last.rows("select trace_id from pk_log")}
        lost = [t for t, at in running.answers if at < recent and t not in kept]
        if lost and window_s:
            print(f"# {len(lost)} of {len(running.answers)} answers were not written {window_s} s later")
            late += 1
        answers += [(t, at) for t, at in running.answers if t in kept or (at < recent and not window_s)]
        check_log(last, answers)
        last.stop()
    expect(late <= 1, f"rows come late in {late} of {ROUNDS} rounds")
    subprocess.run(["rm", "-rf", folder], check=True)


def a_killed_daemon_has_logged_what_it_answered_a_moment_before():
    kill_mid_load(WINDOW_S)


def a_durable_daemon_has_logged_every_answer():
    kill_mid_load(0, "--durable")


def a_durable_daemon_has_logged_every_stream_that_ended():
    kill_mid_load(0, "--durable", stream=True)


def lock(store):
    db = sqlite3.connect(store, isolation_level=None, timeout=10)
    db.execute("begin immediate")
    return db


def a_locked_store_holds_nobody_up_and_loses_nothing():
    p = Pkd()
    db = lock(p.store)
    running = Load(p, clients=4)
    time.sleep(7)  # longer than SQLite waits for a lock
    running.end()
    print(f"# the slowest answer beside a lock: {running.slowest:.3f} s")
    expect(running.slowest < 5, f"an answer took {running.slowest:.2f} s of the seven")
    expect(p.rows("select count(*) from pk_log") == [(0,)])
    expect(os.path.getsize(p.store + ".spool") > 0)
    expect(os.stat(p.store + ".spool").st_mode & 0o777 == 0o600)
    db.close()
    count = len(running.answers)
    p.rows_within("select count(*) from pk_log", lambda r: r[0][0] >= count)
    check_log(p, running.answers)
    metrics = p.http("GET", "/metrics")[2].decode()
    expect("pkd_log_dropped_total 0" in metrics and "pkd_log_spooled_total 0" not in metrics, metrics)
    expect(not os.path.exists(p.store + ".spool"))
    p.stop()


def what_was_spooled_by_a_killed_daemon_is_replayed_by_the_next():
    folder = tempfile.mkdtemp(prefix="pk-crash")
    p = Pkd(folder=folder)
    db = lock(p.store)
    running = Load(p, clients=4)
    time.sleep(1)
    expect(until(lambda: len(running.answers) > 100), "it is hardly used")
    p.process.kill()
    p.process.wait()
    running.end()
    db.close()
    recent = max(at for _, at in running.answers) - WINDOW_S
    next_one = Pkd(folder=folder)
    expect(until(lambda: not os.path.exists(p.store + ".spool")))
    time.sleep(0.2)
    check_log(next_one, running.answers, recent)
    next_one.stop()
    subprocess.run(["rm", "-rf", folder], check=True)


def durable_answers_wait_for_the_spool_at_most():
    p = Pkd("--durable")
    db = lock(p.store)
    running = Load(p, clients=4)
    expect(until(lambda: len(running.answers) > 20))
    running.end()
    db.close()
    p.rows_within("select count(*) from pk_log", lambda r: r[0][0] >= len(running.answers))
    check_log(p, running.answers)
    p.stop()


def a_full_disk_loses_nothing_that_the_spool_takes():
    p = Pkd()
    running = Load(p, clients=2)
    expect(until(lambda: os.path.getsize(p.store + "-wal") > 1500000, 60 * SLOW))
    _, hard = resource.prlimit(p.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(p.process.pid, resource.RLIMIT_FSIZE, (os.path.getsize(p.store + "-wal") + 8192, hard))
    expect(until(lambda: os.path.exists(p.store + ".spool")), "nothing was spooled")
    time.sleep(0.2)
    running.end()
    resource.prlimit(p.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    p.rows_within("select count(*) from pk_log", lambda r: r[0][0] >= len(running.answers))
    check_log(p, running.answers)
    expect("pkd_log_dropped_total 0" in p.http("GET", "/metrics")[2].decode())
    p.stop()


CALLER = """
import sqlite3, sys
db = sqlite3.connect(":memory:")
db.enable_load_extension(True)
db.load_extension(sys.argv[1])
i = 0
while True:
    trace = f"{sys.argv[3]}-{i}"
    db.execute("select pk_chat(?, 'hi', json_object('model', 'fixed-600', 'pk', json_object('trace_id', ?)))",
               (sys.argv[2], trace)).fetchone()
    print(trace, flush=True)
    i += 1
"""


def a_killed_caller_in_sqlite_has_logged_what_it_was_answered():
    folder = tempfile.mkdtemp(prefix="pk-crash")
    store = os.path.join(folder, "t.pkdb")
    answers, preload = [], {}
    if os.environ.get("PK_SAN"):  # Python is not built with sanitizers: their library must come first
        preload = {"ASAN_OPTIONS": "detect_leaks=0", "LD_PRELOAD": subprocess.check_output(
            ["gcc", "-print-file-name=libasan.so"], text=True).strip()}
    for i in range(ROUNDS):
        caller = subprocess.Popen([sys.executable, "-c", CALLER, os.path.join(ROOT, BUILD, "pk"), config(mock),
                                   f"round{i}"], stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "PK_STORE": store, **preload})
        came, until_s = [], time.monotonic() + 0.7 * SLOW
        while time.monotonic() < until_s or len(came) < 100:
            came.append((caller.stdout.readline().strip(), time.monotonic()))
            expect(came[-1][0], "the caller has ended by itself")
        caller.send_signal(signal.SIGKILL)
        caller.wait()
        answers += [(t, at) for t, at in came if at < came[-1][1] - WINDOW_S]
        last = Pkd(folder=folder)
        check_log(last, answers)
        last.stop()
    subprocess.run(["rm", "-rf", folder], check=True)


run(a_killed_daemon_has_logged_what_it_answered_a_moment_before,
    a_durable_daemon_has_logged_every_answer,
    a_durable_daemon_has_logged_every_stream_that_ended,
    a_locked_store_holds_nobody_up_and_loses_nothing,
    what_was_spooled_by_a_killed_daemon_is_replayed_by_the_next,
    durable_answers_wait_for_the_spool_at_most,
    a_full_disk_loses_nothing_that_the_spool_takes,
    a_killed_caller_in_sqlite_has_logged_what_it_was_answered)
mock.stop()
end()
