#!/usr/bin/env python3
"""A backend and the worker under valgrind: no error may have a frame of pk.so: pg_valgrind.py

The server is not built for valgrind and has findings of its own, which are not looked at.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

import pg_temp
from pg_case import Mock, case, expect, expect_error, model, run_cases, skip, until

ASK = "select pk_ask($1, $2, null, $3)"


def start(pg):
    """The server, each process of it under valgrind with a report in a file of its own."""
    os.mkdir(pg.dir + "/reports")
    os.chmod(pg.dir + "/reports", 0o777)
    command = ["valgrind", "--quiet", "--trace-children=yes", "--leak-check=no", "--num-callers=25",
               "--error-limit=no", f"--log-file={pg.dir}/reports/%p", pg.bin + "/postgres", "-D", pg.data]
    return subprocess.Popen(pg_temp.as_server_user(command), env=pg.env, cwd="/",
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def connected(pg):
    try:
        return pg.connect()
    except pg_temp.Error:
        return None


def findings(pg):
    """Errors with a frame of ours, from all reports."""
    blocks = []
    for path in glob.glob(pg.dir + "/reports/*"):
        with open(path, encoding="utf-8", errors="replace") as report:
            blocks += re.split(r"\n==\d+== \n", report.read())
    return [b for b in blocks if "pk.so" in b]


def work(k, mock):
    config = mock.config(cache={"mode": "simple"})
    for _ in range(3):
        expect(k.value(ASK, config, "x", model("m")) == "x")
    for name in ("status-500", "truncated-json", "html-200", "bad-utf8"):
        expect_error("58000", lambda: k.query(ASK, config, "x", model(name)))
    expect_error("08006", lambda: k.query(ASK, config, "x", model("drop-mid")))
    expect_error("22023", lambda: k.query(ASK, "nothing", "x", "{}"))
    k.query("set statement_timeout = '1s'")
    expect_error("57014", lambda: k.query(ASK, config, "x", model("hang")))
    k.query("reset statement_timeout")
    k.query("select pk_key_put('vk', 'openai', 'sk-1', jsonb_build_object('custom_host', $1::text))", mock.url)
    k.query("select pk_config_put('c', '{\"virtual_key\":\"vk\"}')")
    expect(k.value("select pk_ask('c', 'y', null, '{\"model\":\"m\"}')") == "y")
    k.query("select pk_ask($1, repeat('x', 2000000), null, $2)", config, model("m"))
    k.query("select pk_feedback('a', 1), pk_cost('gpt-4o', 1, 1), pk_health()")
    expect(k.value("select pk_flush()") == "t")
    expect(int(k.value("select count(*) from pk_logs where request is not null")) >= 10)


@case
def a_backend_and_the_worker_are_clean_under_valgrind(pg, mock):
    if not shutil.which("valgrind"):
        return skip("a backend under valgrind", "valgrind is not installed")
    server, sessions = start(pg), []
    try:
        expect(until(lambda: sessions.append(connected(pg)) or sessions[-1], 120), pg.log_text())
        sessions[-1].query("create extension pk")
        work(sessions[-1], mock)
        sessions[-1].close()
    finally:
        pg.stop("fast", check=False)
        server.wait(120)
    bad = findings(pg)
    expect(not bad, *bad[:3])
    return None


def main():
    pg = pg_temp.Cluster()
    try:
        pg.create()
        with Mock() as mock:
            return run_cases(pg, mock) != 0
    finally:
        pg.destroy()


if __name__ == "__main__":
    sys.exit(main())
