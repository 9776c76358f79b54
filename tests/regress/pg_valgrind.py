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
from patience import until
from pg_case import Mock, case, expect, expect_error, model, run_cases, skip

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


def many(k, config):
    """Rows together, jobs and reports."""
    k.query("create table t as select id, case when id < 9 then 'x' || id % 5 end as body from generate_series(1, 9) id")
    rows = "select id as key, body as prompt from t"
    expect(k.value("select count(*) from t where pk_ask($1, body, null, $2) like 'x%'", config, model("m")) == "8")
    k.query("select pk_ask($1, body, null, $2) from t order by id limit 2", config, model("m"))
    expect_error("58000", lambda: k.query("select pk_ask($1, body, null, $2) from t", config, model("status-500")))
    expect(int(k.value("select count(*) from pk_map($1, $2, $3) where ok", config, rows, model("m"))) >= 8)
    expect(int(k.value("select count(*) from pk_map($1, $2, $3) where not ok", config, rows, model("drop-mid"))) >= 8)
    k.query("set statement_timeout = '1s'")
    expect_error("57014", lambda: k.query("select * from pk_map($1, $2, $3)", config, rows, model("hang")))
    k.query("reset statement_timeout")
    k.query("select * from pk_batch($1::text, array['x', 'y'], $2::jsonb)", config, model("m"))
    k.query("select pk_classify($1, 'good', array['good', 'bad'], $2)", config, model("m"))
    k.query("select pk_reduce($1, 'sum up', body, $2) from t", config, model("m"))
    k.query("select * from pk_estimate($1, $2, $3)", config, rows, model("m"))
    k.query("select pk_prefetch($1, $2, $3)", config, rows, model("m"))
    k.query("select pk_prompt_put('p', '\"Say {{x}}\"'), pk_render('p', '{\"x\": [1]}')")
    k.query("select pk_limit_put('l', '{\"counts\": \"requests\", \"per\": \"day\", \"amount\": 1000}')")
    job = k.value("select pk_enqueue_query('c', $1, $2)", rows, model("m"))
    k.query("select pk_job($1::uuid), pk_cancel($1::uuid)", job)
    k.query("select * from pk_collect($1::uuid)", job)
    k.query("select count(*) from pk_running")


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
    many(k, config)
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
