#!/usr/bin/env python3
"""How many calls a statement makes, as docs/scale.md says it, in both engines:  tests/regress/shapes.py

The table of that page is the list of cases; what the mock provider counts must be what it says.
"""
import os
import re
import shutil
import sqlite3
import tempfile

import pg_temp
from pkd_harness import Mock, ROOT, end, expect, program, run

PAGE = os.path.join(ROOT, "docs/scale.md")
ROW = re.compile(r"\| `(?P<sql>.+?)`(?: where `v` is a view of `(?P<view>.+?)`)? \| (?P<sqlite>\d+(?: to \d+)?) \| (?P<postgres>\d+(?: to \d+)?) \|")
GIVEN = (
    "create table t (id integer primary key, body text, note text)",
    "create table g (id integer primary key, a text)",
    "insert into t values " + ", ".join(f"({i}, 'text {i}', {'null' if i > 4 else chr(39) + 'n' + chr(39)})" for i in range(1, 11)),
    "insert into g values " + ", ".join(f"({i}, 'a')" for i in range(1, 10)),
)


class Sqlite:
    name, view = "sqlite", "temp view"

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pk-shapes")
        os.environ["PK_STORE"] = self.folder + "/store.pkdb"
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.enable_load_extension(True)
        self.db.load_extension(program("pk"))

    def query(self, sql):
        return self.db.execute(sql).fetchall()

    def close(self):
        self.db.close()
        shutil.rmtree(self.folder)


class Postgres:
    name, view = "postgres", "view"

    def __init__(self):
        self.cluster = pg_temp.Cluster({"max_worker_processes": "64"}).__enter__()
        self.db = self.cluster.connect()
        self.query("set client_min_messages = warning")
        self.query("create extension pk")

    def query(self, sql):
        return self.db.query(sql)

    def close(self):
        self.db.close()
        self.cluster.__exit__()


def statements():
    with open(PAGE, encoding="utf-8") as f:
        return [m.groupdict() for m in map(ROW.match, f) if m]


def shape(engine, mock, row):
    def case():
        engine.query("begin")
        try:
            if row["view"]:
                engine.query(f"create {engine.view} v as {row['view']}")
            before = mock.page("stats")["requests"]
            engine.query(row["sql"])
            made = mock.page("stats")["requests"] - before
        finally:
            engine.query("rollback")
        least, _, most = row[engine.name].partition(" to ")
        expect(int(least) <= made <= int(most or least), f"the page says {row[engine.name]} calls, it made {made}")

    case.__name__ = f"{engine.name}: {row['sql']}"
    return case


def main():
    rows = statements()
    mock = Mock()
    for kind in Sqlite, Postgres:
        engine = kind()
        try:
            for sql in GIVEN:
                engine.query(sql)
            engine.query(f"""select pk_key_put('mock', 'openai', 'sk-shapes', '{{"custom_host": "{mock.base}"}}')""")
            engine.query("""select pk_config_put('quick', '{"virtual_key": "mock", "override_params": {"model": "gpt-4o-mini"}}')""")
            run(*(shape(engine, mock, row) for row in rows))
        finally:
            engine.close()
    mock.stop()
    expect(len(rows) > 20, "the page has no table")
    end()


main()
