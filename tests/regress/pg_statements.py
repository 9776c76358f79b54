#!/usr/bin/env python3
"""sql/ means the same to both engines: every statement of sql/statements.sql is valid in Postgres, and
every view has the same columns in the same order as in SQLite, and finds rows through its indexes.
"""
import os
import re
import sqlite3
import sys

import pg_temp

GEN = os.path.join(pg_temp.BUILD, "gen")
TYPES = {"i": "bigint", "t": "text", "b": "bytea", "u": "uuid", "l": "boolean", "d": "float8"}
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
INDEXED = {
    "select * from pk_logs where id = '019aa635-733b-7100-9f00-000000000000'": "pk_log_pkey",
    "select * from pk_logs where trace_id = 't'": "pk_log_trace",
    "select * from pk_logs where started_at > now() - interval '1 hour'": "pk_log_started",
    "select * from pk_spans where log_id = '019aa635-733b-7100-9f00-000000000000'": "pk_span_pkey",
    "select * from pk_spans where trace_id = 't'": "pk_log_trace",
    "select * from pk_feedback where trace_id = 't'": "pk_feedback_item_trace",
}
failed = 0


def report(ok, name, why=""):
    global failed
    print(f"{'ok' if ok else 'not ok'} {name}" + (f"\n# {why}" if not ok else ""))
    failed += not ok


def literals(path, without=None):
    """The string literals of a file, without those of lines that start so."""
    with open(path, encoding="utf-8") as f:
        text = "".join(line for line in f if not without or not line.startswith(without))
    return [t.replace('\\"', '"').replace("\\\\", "\\") for t in TEXT.findall(text)]


def statements_are_valid(c):
    texts = literals(f"{GEN}/statements.def")
    wrong = []
    for i in range(0, len(texts), 3):
        types = ", ".join(TYPES[letter] for letter in texts[i])
        try:
            c.query(f"prepare s{i} {'(' + types + ')' if types else ''} as {texts[i + 2]}")
        except pg_temp.Error as e:
            wrong.append(f"{texts[i + 2][:60]}: {e}")
    report(texts and not wrong, "pg: every statement is valid", wrong)


def views_agree(c):
    db = sqlite3.connect(":memory:")
    db.create_function("pk_payload_text", -1, lambda encoding, data, *place: data)
    db.create_function("pk_provider_table", 0, lambda: "{}")
    for sql in literals(f"{GEN}/schema.inc", "SCHEMA(MIGRATION,"):
        db.execute(sql)
    views = [r[0] for r in db.execute("select name from sqlite_master where type = 'view'")]
    wrong = []
    for view in views:
        here = [d[0] for d in db.execute(f"select * from {view}").description]
        there = [r[0] for r in c.query("select attname from pg_attribute where attrelid = "
                                       f"'{view}'::regclass and attnum > 0 order by attnum")]
        if here != there:
            wrong.append(f"{view}: {here} {there}")
    report(views and not wrong, "pg: every view has the columns that it has in SQLite", wrong)
    count = db.execute("select count(*) from pk_price").fetchone()[0]
    report(str(count) == c.value("select count(*) from pk_price"),
           "pg: the price list is the one that SQLite has")


def filters_use_indexes(c):
    c.query("set enable_seqscan = off")
    for sql, index in INDEXED.items():
        plan = "\n".join(r[0] for r in c.query("explain (costs off) " + sql))
        report(index in plan, f"pg: {sql} uses {index}", plan)


def main():
    with pg_temp.Cluster() as pg, pg.connect() as c:
        c.query("create extension if not exists pk")
        statements_are_valid(c)
        views_agree(c)
        filters_use_indexes(c)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
