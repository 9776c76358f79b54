#!/usr/bin/env python3
"""SQL regression in Postgres: sql/NAME.sql gives expected/NAME.out: pg_sql.py [--accept] [NAME...]

Each script runs through psql in a database of its own, as pg_regress would. The mock provider is
:config. --accept writes what came as what is expected.
"""
import difflib
import os
import re
import subprocess
import sys

import pg_temp
from pg_case import Mock

HERE = os.path.dirname(os.path.abspath(__file__))


def output(pg, mock, name):
    with pg.connect() as c:
        c.query(f"create database {name}")
    with open(f"{HERE}/sql/{name}.sql", encoding="utf-8") as script:
        done = subprocess.run(["psql", "-X", "-a", "-q", "-v", "config=" + mock.config()], stdin=script,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, **pg.client_env(name),
                                   "PGOPTIONS": "-c client_min_messages=warning"})
    # Later servers say the unit of a range twice.
    return re.sub(r"\((\d+) ms \.\. (\d+) ms\)", r"(\1 .. \2)", done.stdout.replace(mock.url, "MOCK"))


def main(args):
    accept = "--accept" in args
    names = [a for a in args if not a.startswith("-")] or sorted(
        f[:-4] for f in os.listdir(HERE + "/sql") if f.endswith(".sql"))
    failed = 0
    with Mock() as mock, pg_temp.Cluster({"max_worker_processes": "32"}) as pg:
        for name in names:
            path, got = f"{HERE}/expected/{name}.out", output(pg, mock, name)
            if accept:
                with open(path, "w", encoding="utf-8") as f:
                    f.write(got)
            with open(path, encoding="utf-8") as f:
                wanted = f.read()
            same = got == wanted
            failed += not same
            print(f"{'ok' if same else 'not ok'} the script {name}.sql gives what is expected in Postgres")
            for line in difflib.unified_diff(wanted.splitlines(), got.splitlines(), "expected", "got", lineterm="", n=2):
                print("# " + line)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
