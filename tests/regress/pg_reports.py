#!/usr/bin/env python3
"""What is added up is the same in both engines: equal rows are put into SQLite and Postgres, and each report, a view
or a statement of the control API with some filters, must say the same of them.
"""
import datetime
import json
import os
import random
import re
import sqlite3
import sys

import pg_temp

GEN = os.path.join(pg_temp.BUILD, "gen")
TYPES = {"i": "bigint", "t": "text", "b": "bytea", "u": "uuid", "l": "boolean", "d": "float8"}
STATEMENT = re.compile(r'STATEMENT\((\w+), "(\w*)",\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"\)')
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
VIEWS = ("pk_latency", "pk_traces", "pk_logs_otel", "pk_usage_hourly", "pk_usage_daily")
FILTER = ("from_id to_id trace_id span_id status http_status provider model ai_org_model virtual_key config api_key user_id "
          "prompt cache_status operation source search cost_min cost_max units_min units_max input_min input_max "
          "output_min output_max duration_min duration_max http_min http_max metadata feedback_min feedback_max needle").split()
FILTERS = (
    {}, {"provider": ",openai,"}, {"metadata": '{"tier": "paid"}'}, {"metadata": '{"tier": "paid"}', "needle": '"paid"'}, {"metadata": '{"n": 3, "tier": "free"}'},
    {"metadata": '{"none": ""}'}, {"status": ",error,blocked,"}, {"http_status": ",500,", "cost_min": 5},
    {"model": ",gpt-4o,"}, {"ai_org_model": ",openai__gpt-4o,"}, {"prompt": ",greet,greet@,"}, {"prompt": ",greet@2,"},
    {"search": "BOOM_%"}, {"feedback_min": 1.5}, {"feedback_max": 0.0}, {"units_min": 700, "output_max": 200},
    {"duration_min": 100000, "duration_max": 2000000, "http_min": 200, "http_max": 299},
    {"trace_id": ",trace-3,", "user_id": ",u1,u2,"}, {"provider": ",none,"})
HOUR = 3600 * 10**6
# Behind the filter; the rows of the last are in no order that is promised.
REPORTS = {
    "logs": [(20, 3, True), (1000, 0, False)], "logs_count": [(7,), (10000,)], "log_cells": [(20, False), (2000, True)],
    "graph_feedback": [(True, HOUR), (False, HOUR)], "graph_scores": [(True,)], "graph_feedback_models": [(True,), (False,)],
    "group_metadata": [(10, 0, "tier"), (10, 0, "none")], "group_opinions": [("tier",), ("none",)],
}
failed = 0


def report(ok, name, why=""):
    global failed
    print(f"{'ok' if ok else 'not ok'} {name}" + (f"\n# {why}" if not ok else ""), flush=True)
    failed += not ok


def uuid7(at_us, i):
    return (at_us // 1000).to_bytes(6, "big") + (0x7000 | i % 4096).to_bytes(2, "big") + (1 << 63 | i * 7919).to_bytes(8, "big")


def rows():
    """Tables and their rows; dicts, so that both engines get columns by name."""
    draw = random.Random(11)
    start = 1790000000 * 10**6
    calls, spans, opinions = [], [], []
    for i in range(1500):
        at, known = start + i * 170000000, draw.random() < 0.9
        bad = draw.random() < 0.15
        trace = f"trace-{i % 300}" if i % 3 else f"{i % 100:032x}" if i % 2 else "a trace with a längerer name than hex has"
        calls.append({
            "id": uuid7(at, i), "started_us": at, "duration_us": draw.randrange(100, 3000000), "upstream_us": 50,
            "ttft_us": draw.choice((None, 1500, 250000)), "trace_id": trace,
            "span_id": draw.choice((None, f"{i:016x}", "step", "a-very-long-span-id")), "parent_span_id": draw.choice((None, "root")),
            "span_name": draw.choice((None, "ask")), "operation": draw.choice(("chat", "messages", "embeddings")),
            "provider": draw.choice(("openai", "bedrock", None)), "request_model": draw.choice(("asked", None)),
            "model": draw.choice(("gpt-4o", "claude", None)), "config": draw.choice(("support", None)), "attempts": 1,
            "retries": draw.choice((0, 0, 2)), "fallback_index": draw.choice((0, 1)), "stream": False,
            "status": draw.choice(("error", "blocked")) if bad else "success",
            "http_status": draw.choice((429, 500, None)) if bad else 200,
            "error_type": "provider_error" if bad and i % 2 else None, "error_message": "boom_%1" if bad else None,
            "finish_reason": draw.choice((None, "stop")), "usage_source": "provider" if known else "none",
            **{n: draw.randrange(m) if known else None for n, m in (
                ("input_tokens", 900), ("output_tokens", 300), ("cache_read_tokens", 50), ("cache_write_tokens", 5),
                ("cache_write_1h_tokens", 2), ("reasoning_tokens", 20), ("cost_pusd", 10**9))},
            "cost_reason": None if known else "no price", "cost_saved_pusd": draw.choice((None, 5 * 10**6)),
            "cache_status": draw.choice(("HIT", "SEMANTIC HIT", "MISS", "SEMANTIC MISS", "DISABLED", "REFRESH")),
            "user_id": draw.choice((None, "u1", "u2", "u3", "u4")), "prompt": draw.choice((None, "greet@2", "greet@14", "greet")),
            "metadata": draw.choice((None, json.dumps({"tier": draw.choice(("free", "paid")), "n": i % 5, "q": 'é"'}))),
            "source": "http"})
        for ord_ in range(i % 3):
            spans.append({"log_id": uuid7(at, i), "ord": ord_, "kind": draw.choice(("attempt", "guardrail", "cache")),
                          "started_us": at + ord_, "duration_us": 77, "name": draw.choice((None, "no-pii")),
                          "provider": draw.choice((None, "google")), "model": draw.choice((None, "gemini")),
                          "http_status": draw.choice((None, 200)), "error_type": draw.choice((None, "timeout_error")), "wait_ms": 0})
        if i % 7 == 0:
            opinions.append({"id": uuid7(at + 5, i), "created_us": at + 5, "trace_id": trace,
                             "value": draw.randrange(-10, 11), "weight": draw.choice((1.0, 0.25))})
    opinions.append({"id": uuid7(start + 9, 1), "created_us": start + 9, "trace_id": "of no call", "value": 1, "weight": 1.0})
    return {"pk_log": calls, "pk_span": spans, "pk_feedback_item": opinions}


def spelled(value, letter=""):
    """A literal of Postgres."""
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return f"'{value.hex()}'" if letter != "b" else f"'\\x{value.hex()}'"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def make_sqlite():
    db = sqlite3.connect(":memory:")
    db.create_function("pk_payload_text", -1, lambda encoding, data, *place: data)
    db.create_function("pk_provider_table", 0, lambda: "{}")
    with open(f"{GEN}/schema.inc", encoding="utf-8") as f:
        text = "".join(line for line in f if not line.startswith("SCHEMA(MIGRATION,"))
    for sql in LITERAL.findall(text):
        db.execute(sql.replace('\\"', '"').replace("\\\\", "\\"))
    return db


def fill(db, c):
    for table, items in rows().items():
        names = ", ".join(items[0])
        db.executemany(f"insert into {table} ({names}) values ({', '.join('?' * len(items[0]))})",
                       [tuple(item.values()) for item in items])
        for i in range(0, len(items), 100):
            c.query(f"insert into {table} ({names}) values " + ", ".join(
                "(" + ", ".join(spelled(v) for v in item.values()) + ")" for item in items[i:i + 100]))


def plain(value):
    """As far as the engines spell it alike: numbers to nine places, times to milliseconds, JSON parsed."""
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        return value.hex()
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        return text.replace("-", "")
    if re.fullmatch(r"-?\d+(\.\d+)?(e[-+]\d+)?", text) and len(text) < 32:
        return float(f"{float(text):.9g}")
    if re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", text):
        at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "T"))
        return round(at.timestamp(), 3)
    if text[0] in "{[":
        return json.dumps(numbers(json.loads(text)), sort_keys=True)
    return {"t": "1.0", "f": "0.0", "true": "1.0", "false": "0.0"}.get(text, text)


def numbers(value):
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    return float(f"{value:.9g}") if isinstance(value, (int, float)) else value


def alike(here, there):
    """Rows of both; a flag is a number here and a letter there."""
    one = [[plain(v) for v in row] for row in here]
    two = [[plain(v) for v in row] for row in there]
    for a, b in zip(one, two):
        for i, v in enumerate(b):
            if v in ("1.0", "0.0"):
                b[i] = float(v)
            if isinstance(a[i], float) and isinstance(b[i], float) and abs(a[i] - b[i]) <= 1e-6 * abs(a[i]):
                b[i] = a[i]
    return one == two, next((f"{a} {b}" for a, b in zip(one, two) if a != b), f"{len(one)} {len(two)} rows")


def views_say_the_same(db, c):
    for view in VIEWS:
        columns = [d[0] for d in db.execute(f"select * from {view}").description]
        order = lambda row: [str(plain(v)) for v in row[:6]]
        here = sorted(db.execute(f"select * from {view}"), key=order)
        there = sorted(c.query(f"select * from {view}"), key=order)
        same, why = alike(here, there)
        report(here and same, f"pg: {view} says what it says in SQLite", f"{columns} {why}")


def traces_are_found_by_their_index(db):
    plan = " ".join(r[3] for r in db.execute("explain query plan select * from pk_traces where trace_id = 'x'"))
    report("SEARCH l USING INDEX pk_log_trace" in plan, "sqlite: pk_traces finds a trace by its index", plan)


def statements_say_the_same(db, c):
    with open(f"{GEN}/statements.def", encoding="utf-8") as f:
        found = {m[0]: m[1:] for m in STATEMENT.findall(f.read())}
    for name, extras in REPORTS.items():
        types, here_text, there_text = (t.replace('\\"', '"') for t in found[name])
        c.query(f"prepare {name} ({', '.join(TYPES[t] for t in types)}) as {there_text}")
        wrong, count = [], 0
        for given in FILTERS:
            for extra in extras:
                args = [bytes(16), b"\xff" * 16] + [given.get(n) for n in FILTER[2:]] + list(extra)
                here = db.execute(here_text, args).fetchall()
                there = c.query(f"execute {name} ({', '.join(spelled(a, t) for a, t in zip(args, types))})")
                same, why = alike(here, there)
                count += len(here)
                if not same:
                    wrong.append(f"{given} {extra}: {why}")
        report(count and not wrong, f"pg: {name} says what it says in SQLite", "\n# ".join(wrong[:3]))


def main():
    db = make_sqlite()
    with pg_temp.Cluster() as pg, pg.connect() as c:
        c.query("create extension if not exists pk")
        fill(db, c)
        views_say_the_same(db, c)
        traces_are_found_by_their_index(db)
        statements_say_the_same(db, c)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
