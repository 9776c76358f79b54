#!/usr/bin/env python3
"""The control APIs of pkd over a store in Postgres: the cases of pkd_control.py, each in a database of its own."""
import os
import re
import sys

WORDS = sys.argv[1:]
sys.argv[1:] = [os.environ.get("BUILD", "build")]  # as the tests of pkd have it

import pg_temp
import pkd_control as control
import pkd_harness as h


class PgPkd(h.Pkd):
    """`pkd serve` as a login that has the role pk_gateway and nothing else."""
    count = 0

    def __init__(self, *options, **more):
        PgPkd.count += 1
        self.database = f"control{PgPkd.count}"
        pg.psql(f"create database {self.database}")
        pg.psql("create extension pk", self.database)
        self.url = f"postgresql://gateway@/{self.database}?host={pg.host}&port={pg.port}"
        key = os.path.join(pg.dir, "master.key")
        if not os.path.exists(key):
            with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
                f.write(os.urandom(32))
        super().__init__("--store", self.url, "--master-key-file", key, *options, **more)
        self.store = self.url

    def rows(self, sql):
        c = pg.connect(self.database)
        try:
            return [tuple(int(v) if v and re.fullmatch(r"-?\d+", v) else v for v in row) for row in c.query(sql)]
        finally:
            c.close()


with pg_temp.Cluster() as pg:
    pg.psql("create extension pk")
    pg.psql("create role gateway login in role pk_gateway")
    control.Pkd = PgPkd
    h.run(*[c for c in control.CASES if any(w in c.__name__ for w in WORDS or [""])])
control.mock.stop()
h.end()
