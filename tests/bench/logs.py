"""The parts that measure the log writers, and what reads a log of a month."""
import json
import os
import subprocess
import tempfile
import time
import urllib.request

import month
from rig import Skip, cpu_s, load, load_script, program
from servers import pkd_command, pkd_env, port_in, start_pkd
from sql import Postgres

ROWS = 100000


def sqlite(bench):
    folder = tempfile.mkdtemp(prefix="writer", dir=bench.tmp)
    out = subprocess.run([program("bench-writer"), folder, str(ROWS)], check=True, capture_output=True, text=True).stdout
    for got in map(json.loads, out.splitlines()):
        name = "SQLite, " + got["traffic"] + " texts: "
        bench.figure(name + "rows per second of CPU", 1e6 / got["cpu_us"], ">= 20000",
                     note=f"{got['rows_per_s']:.0f} by the clock, beside whoever makes them")
        bench.figure(name + "CPU of the writer, us per row", got["cpu_us"],
                     note=f"{got['cpu_us'] / got['bare_cpu_us']:.2f} x a bare INSERT")
        bench.figure(got["traffic"] + " texts: CPU of the session that calls, us per row", got["session_us"], "<= 5",
                     note="in both engines; a lock and a wake-up not counted")
        bench.figure(name + "bytes per row", got["row_bytes"], "<= 400",
                     note=f"with indexes {got['indexed_bytes']:.0f}; texts {got['payload_bytes']:.0f}")


def replayed(pg, traffic):
    """The worker writes a spool: (seconds, CPU seconds)."""
    db, folder = pg.db, pg.cluster.data + "/pk_spool"
    oid = db.value("select oid from pg_database where datname = current_database()")
    while db.value("select pk_health()->>'worker_pid'") != "0":
        time.sleep(0.1)
    subprocess.run(["install", "-d", "-m", "700", folder], check=True)
    subprocess.run([program("bench-writer"), "--spool", f"{folder}/{oid}", str(ROWS), traffic], check=True)
    subprocess.run(["chown", "-R", "--reference", pg.cluster.data, folder], check=True)
    other = pg.cluster.connect()
    other.send("select pk_flush()")  # starts the worker
    while not (pid := int(db.value("select pk_health()->>'worker_pid'"))):
        time.sleep(0.005)
    began, cpu = time.monotonic(), cpu_s([pid])
    while db.value("select pk_health()->>'spool_waiting'") == "true":
        time.sleep(0.01)
    took = time.monotonic() - began, cpu_s([pid]) - cpu
    other.close()
    return took


def copied(db, pid):
    """COPY of the rows of pk_log: CPU seconds."""
    name = db.value("select current_setting('data_directory')") + "/rows"
    db.query(f"copy pk_log to '{name}'")
    db.query("create table bare (like pk_log including indexes)")
    before = cpu_s([pid])
    db.query(f"copy bare from '{name}'")
    return cpu_s([pid]) - before


def postgres(bench):
    for traffic in ("distinct", "same"):
        try:
            pg = Postgres(bench, None)
        except Skip as why:
            bench.note(f"Postgres: skipped: {why}")
            return
        try:
            name = f"Postgres, {traffic} texts: "
            wall, cpu = replayed(pg, traffic)
            rows = int(pg.db.value("select count(*) from pk_log"))
            assert rows == ROWS, rows
            bench.figure(name + "rows per second of CPU", rows / cpu, ">= 20000", note=f"{rows / wall:.0f} by the clock")
            bare = copied(pg.db, pg.db.pid())
            bench.figure(name + "CPU of the worker, us per row", cpu * 1e6 / rows,
                         note=f"{cpu / bare:.1f} x COPY of the log rows alone")
            row, indexed, texts = (int(pg.db.value("select " + size)) / rows for size in (
                "pg_table_size('pk_log') + pg_table_size('pk_span')",
                "pg_total_relation_size('pk_log') + pg_total_relation_size('pk_span')",
                "pg_total_relation_size('pk_payload')"))
            bench.figure(name + "bytes per row", row, "<= 400", note=f"with indexes {indexed:.0f}; texts {texts:.0f}")
        finally:
            pg.close()


def durable(bench):
    """What it costs to answer only once the row is on disk."""
    servers = {}
    for mode in ("0", "1"):
        os.environ["PK_DURABLE"] = mode
        try:
            servers[mode] = start_pkd(bench, bench.upstream())
        finally:
            del os.environ["PK_DURABLE"]
    for n in (1, 64):
        plain, kept = (load(f"http://127.0.0.1:{port}/v1/chat/completions", load_script(bench, headers), n, pids)
                       for port, pids, headers in servers.values())
        bench.figure(f"pkd --durable, {n} connections: requests per second", kept["rate"],
                     note=f"{kept['rate'] / plain['rate']:.2f} x without; {kept['bad']}")
        bench.figure(f"pkd --durable, {n} connections: p50, us", kept["p50"], note=f"without {plain['p50']:.0f}")


def writer(bench):
    """Log writers: 500 bytes asked, 600 answered, one attempt a row, beside a bare INSERT of the same columns, and COPY"""
    sqlite(bench)
    postgres(bench)
    durable(bench)


def graphs(bench):
    """Graphs of 30 days over a log of 1,000,000 calls, in SQLite: CPU of pkd, the best of three"""
    folder = tempfile.mkdtemp(prefix="month", dir=bench.tmp)
    subprocess.run([program("pkd"), "key", "list"], env=pkd_env(folder), check=True, capture_output=True)
    month.fill_sqlite(folder + "/store.pkdb")
    with open(folder + "/log", "ab") as log:
        p = bench.spawn(pkd_command(), stdout=log, stderr=log, env=pkd_env(folder))
    port = port_in(folder + "/log", p)

    def cpu_ms(path, more=""):
        before = cpu_s([p.pid])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/analytics/{path}?time_range=30d{more}", timeout=300) as answer:
            answer.read()
        return (cpu_s([p.pid]) - before) * 1000
    bench.figure("the first one, which keeps the columns, ms", cpu_ms("graphs/requests"))
    for path in ("graphs/requests", "graphs/cost", "graphs/latency", "graphs/users", "groups/users"):
        bench.figure(path + ", ms", min(cpu_ms(path) for _ in range(3)), "<= 500")
    bench.figure("graphs/cost of a team, by metadata, ms",
                 min(cpu_ms("graphs/cost", "&metadata=%7B%22team%22:%22t3%22%7D") for _ in range(3)), "<= 500")
    for member, note in ("team", "8 values; 50,000 calls have feedback"), ("request", "1,000,000 values"):
        bench.figure(f"groups/metadata/{member}, ms", min(cpu_ms("groups/metadata/" + member) for _ in range(3)), "<= 2500", note=note)
    bench.figure("graphs/cost with a filter that columns do not know, ms", cpu_ms("graphs/cost", "&search=no+such+error"))


PARTS = {"writer": writer, "graphs": graphs}
