#!/usr/bin/env python3
"""What pkd tells of its log: /v1/logs and /v1/analytics.

Known calls are made; what the endpoints say is compared with what SQL says of pk_logs.

    tests/regress/pkd_logs.py BUILD
"""
import csv
import datetime
import io
import json
import os
import random
import socket
import sqlite3
import subprocess
import time
import urllib.parse

from pkd_harness import Mock, Pkd, chat, config, end, expect, memory_kb, program, run, until

MOCK = Mock()
PKD = Pkd(env={"OPENAI_API_KEY": "sk-test", "PK_ALLOWED_HOSTS": "127.0.0.1"})
PRICED = {"cfg": config(MOCK, override_params={"model": "fixed-600"})}


def get(path, want=200, headers=None, **query):
    text = urllib.parse.urlencode({k: json.dumps(v) if isinstance(v, dict) else v for k, v in query.items()})
    code, _, body = PKD.http("GET", path + ("?" + text if text else ""), headers=headers)
    expect(code == want, f"{path} {query}: {code} {body[:300]}")
    return json.loads(body)


def logs(**query):
    return get("/v1/logs", **query)


def ids(**query):
    return [row["id"] for row in logs(**query)["data"]]


def refused(word, path="/v1/logs", **query):
    why = get(path, 400, **query)["error"]["message"]
    expect(why.startswith(word + ":"), why)


def call(trace, metadata=None, status=200, model="fixed-600", **more):
    headers = {"x-portkey-trace-id": trace}
    if metadata is not None:
        headers["x-portkey-metadata"] = json.dumps(metadata)
    headers.update(more.pop("headers", {}))
    time.sleep(0.002)  # ids of one millisecond are in no order
    code, _, body = chat(PKD, MOCK, model, headers=headers, **more)
    expect(code == status, f"{trace}: {code} {body[:200]}")


def make_calls():
    for i in range(5):
        call("t-a", {"_user": "anna", "feature": "search", "session": f"s{i}", "turn": i})
    call("t-b", {"_user": "bob", "feature": "chat", "path": "a/b é", "a.b": "dot", "$x": "dollar", 'q"': 'say "x"',
                 "long": "a value that is long", "7": "digit"}, text="said by bob")
    call("t-c", {"feature": "search"}, status=500, model="status-500")
    call("t-d", {"_prompt": "greet@12"})


def sql(text):
    return PKD.rows(text)


# --- the list --------------------------------------------------------------------------------------

def the_list_has_every_call_newest_first():
    page = logs()
    expect(page["object"] == "list" and page["total"] == 8, page["total"])
    expect([r["trace_id"] for r in page["data"]] == ["t-d", "t-c", "t-b"] + ["t-a"] * 5,
           [r["trace_id"] for r in page["data"]])
    expect(page["next_after"] is None, page)


def a_row_has_the_columns_of_pk_logs():
    mine = {r["id"]: r for r in logs()["data"]}
    names = [n for n in mine[next(iter(mine))] if n not in
             ("created_at", "is_success", "ai_org", "ai_model", "req_units", "res_units", "total_units", "cost",
              "cost_currency", "response_time", "response_status_code", "stream_mode", "retry_success_count",
              "last_used_option_index", "mode", "prompt_slug")]
    for row in sql(f"select {', '.join(names)} from pk_logs"):
        told = mine[row[0]]
        for name, value in zip(names, row):
            given = told[name]
            if name == "metadata":
                value = json.loads(value) if value else None
            if isinstance(value, float):
                expect(abs(value - given) < 1e-9 * max(1, abs(value)), f"{name}: {value} {given}")
            else:
                expect(given == (bool(value) if name == "stream" else value), f"{name}: {value} {given}")
        expect(told["response_status_code"] == told["http_status"], told)
        if told["cost"] is not None:
            expect(abs(told["cost"] - 100 * told["cost_usd"]) < 1e-9, told)


def pages_follow_each_other():
    everything, seen, after = ids(), [], None
    while True:
        page = logs(page_size=3, **({"after": after} if after else {}))
        seen += [r["id"] for r in page["data"]]
        after = page["next_after"]
        if not after:
            break
    expect(seen == everything, (seen, everything))
    expect(ids(page_size=3, current_page=1) == everything[3:6], "current_page")
    expect(logs(page_size=3)["total"] == 8, "total")


FILTERS = [
    ({"trace_id": "t-a"}, "trace_id = 't-a'"),
    ({"trace_id": "t-a,t-b"}, "trace_id in ('t-a', 't-b')"),
    ({"trace_id": "none"}, "false"),
    ({"metadata": {"feature": "search"}}, "metadata ->> 'feature' = 'search'"),
    ({"metadata": {"feature": "search", "session": "s3"}}, "metadata ->> 'session' = 's3'"),
    ({"metadata": {"turn": 2}}, "metadata ->> 'turn' = 2"),
    ({"metadata": {"turn": "2"}}, "metadata ->> 'turn' = 2"),
    ({"metadata": {"path": "a/b é"}}, "metadata ->> 'path' = 'a/b é'"),
    ({"metadata": {"nobody": "x"}}, "false"),
    ({"metadata": {"a.b": "dot", "$x": "dollar", 'q"': 'say "x"', "7": "digit"}}, "trace_id = 't-b'"),
    ({"metadata": {"long": "a value that is long", "feature": "chat"}}, "trace_id = 't-b'"),
    ({"metadata": {"long": "a value that is long", "feature": "search"}}, "false"),
    ({"metadata": {"feature": "a value that is long"}}, "false"),
    ({"metadata": '{"feature": "ch\\u0061t"}'}, "trace_id = 't-b'"),
    ({"metadata": {"_user": "anna"}, "trace_id": "t-b"}, "false"),
    ({"user": "bob"}, "user_id = 'bob'"),
    ({"status": "error"}, "status = 'error'"),
    ({"status_code": "500,429"}, "http_status = 500"),
    ({"http_status_min": 400, "http_status_max": 499}, "false"),
    ({"provider": "openai"}, "provider = 'openai'"),
    ({"provider": "open_i"}, "false"),
    ({"model": "status-500"}, "request_model = 'status-500'"),
    ({"ai_org_model": "openai__status-500"}, "request_model = 'status-500'"),
    ({"cache_status": "HIT"}, "cache_status = 'HIT'"),
    ({"operation": "chat"}, "operation = 'chat'"),
    ({"source": "http,sqlite"}, "true"),
    ({"virtual_key": "none"}, "false"),
    ({"prompt": "greet"}, "prompt = 'greet@12'"),
    ({"prompt": "greet@12,other"}, "prompt = 'greet@12'"),
    ({"prompt": "greet@1"}, "false"),
    ({"search": "MOCK"}, "error_message like '%mock%'"),
    ({"total_units_min": 1}, "input_tokens + output_tokens >= 1"),
    ({"prompt_token_min": 1, "completion_token_max": 1000000}, "input_tokens >= 1 and output_tokens <= 1000000"),
    ({"cost_min": 0}, "cost_usd >= 0"),
    ({"latency_min": 0, "latency_max": 0.001}, "false"),
    ({"time_range": "1h"}, "true"),
    ({"time_of_generation_min": "2020-01-01T00:00:00Z", "time_of_generation_max": "2020-01-02"}, "false"),
    ({"start_time": 1577836800}, "true"),
    ({"end_time": 1577836800000}, "false"),
    ({"trace_id": ""}, "true"),
    ({"workspace_slug": "anything"}, "true"),
]


def every_filter_lets_through_what_sql_says():
    for query, where in FILTERS:
        want = [r[0] for r in sql(f"select id from pk_logs where {where} order by id desc")]
        expect(ids(**query) == want, f"{query}: {len(ids(**query))} rows, not {len(want)}")
        expect(logs(page_size=1, **query)["total"] == len(want), f"{query}: total")


def a_range_is_as_exact_as_its_ends():
    rows = sql("select id, started_at from pk_logs order by id")
    middle = rows[4][1]
    expect(set(ids(start_time=middle)) >= {r[0] for r in rows[4:]}, middle)
    expect(set(ids(end_time=middle)) >= {r[0] for r in rows[:5]}, middle)
    ms = datetime.datetime.fromisoformat(middle.replace("Z", "+00:00")).timestamp() * 1000
    expect(ids(start_time=int(ms + 0.5)) == ids(start_time=middle), "milliseconds")


def what_is_no_filter_is_an_error_that_names_it():
    refused("provder", provder="openai")
    refused("metadata", metadata="[1]")
    refused("metadata", metadata="{")
    refused("status", status="succes")
    refused("operation", operation="chat,embedings")
    refused("source", source="https")
    refused("cache_status", cache_status="HIT, MIS")
    refused("status_code", status_code="200,4xx")
    refused("status_code", "/v1/analytics/graphs/requests", status_code="-1")
    expect(get("/v1/logs", cache_status="HIT, SEMANTIC MISS", operation="chat,embeddings", status_code="0,200"))
    refused("cost_min", cost_min="much")
    refused("time_range", time_range="yesterday")
    refused("start_time", start_time="soon")
    refused("page_size", page_size=0)
    refused("page_size", page_size=100000)
    refused("after", after="t-a")
    refused("payloads", payloads="some")
    code, _, body = PKD.http("GET", "/v1/logs?trace_id=%zz")
    expect(code == 400 and b"trace_id" in body, body)


# --- one call --------------------------------------------------------------------------------------

def one_call_is_shown_in_portkeys_shape():
    trace = "t-b"
    row = logs(trace_id=trace)["data"][0]
    code, _, body = PKD.http("POST", "/v1/feedback", json.dumps({"trace_id": trace, "value": 7, "weight": 0.5}),
                             {"content-type": "application/json"})
    expect(code == 200, body)
    one = get("/v1/logs/" + row["id"])
    expect(one["_id"] == row["id"] and one["metrics"] == row, one)
    expect(one["request"]["body"]["messages"][0]["content"] == "said by bob", one["request"])
    expect(one["request"]["url"] == "/v1/chat/completions" and one["request"]["method"] == "POST", one["request"])
    expect(one["response"]["status"] == 200 and one["response"]["body"]["choices"], one["response"])
    expect([s["kind"] for s in one["spans"]] == ["attempt"] and one["spans"][0]["http_status"] == 200, one["spans"])
    expect([(f["value"], f["weight"]) for f in one["feedback"]] == [(7, 0.5)], one["feedback"])
    expect(ids(weighted_feedback_min=3) == [row["id"]] and ids(weighted_feedback_max=3) == [], "feedback")


def payloads_are_listed_when_asked_for():
    row = logs(trace_id="t-b", payloads="true")["data"][0]
    expect(row["request"]["messages"][0]["content"] == "said by bob" and row["response"]["choices"], row)
    call("t-secret", headers={"x-portkey-debug": "false"})
    row = logs(trace_id="t-secret", payloads="true")["data"][0]
    expect(row["request"] is None and row["response"] is None, row)
    one = get("/v1/logs/" + row["id"])
    expect(one["request"]["body"] is None, one)


def a_call_that_is_not_there_is_a_404():
    get("/v1/logs/019aa635-733b-7100-9f00-000000000000", 404)
    get("/v1/logs/nonsense", 404)


# --- analytics -------------------------------------------------------------------------------------

def a_session_adds_up_to_what_sql_says():
    answer = get("/v1/analytics/requests", trace_id="t-a", time_range="24h")
    total = answer["summary"]
    want = sql("select count(*), sum(cost_usd), sum(input_tokens), sum(output_tokens), avg(latency_ms), "
               "count(distinct user_id) from pk_logs where trace_id = 't-a'")[0]
    expect((total["total"], total["errors"], total["input_tokens"], total["output_tokens"], total["users"]) ==
           (want[0], 0, want[2], want[3], want[5]), (total, want))
    expect(abs(total["avg_latency_ms"] - want[4]) < 0.002, (total, want))
    expect(len(answer["data"]) == 5 and answer["total"] == 5, answer["total"])
    nothing = get("/v1/analytics/requests", trace_id="none")
    expect(nothing["summary"]["total"] == 0 and nothing["data"] == [], nothing)


DAY = 86400 * 10**6
MODELS = ("gpt-4o", "claude-haiku-4-5", None)


def uuid7(at_us, i):
    return (at_us // 1000).to_bytes(6, "big") + (0x7000 | i % 4096).to_bytes(2, "big") + (1 << 63 | i).to_bytes(8, "big")


def days_of_calls():
    """Calls of the last twenty days, straight into the store."""
    draw = random.Random(5)
    now = int(time.time() * 10**6)
    calls, opinions = [], []
    for i in range(3000):
        at = now - 20 * DAY + i * 20 * DAY // 3000
        bad, cached, model = draw.random() < 0.1, draw.random() < 0.3, draw.choice(MODELS)
        known = draw.random() < 0.9
        calls.append({
            "id": uuid7(at, i), "started_us": at, "duration_us": draw.randrange(1000, 3000000), "upstream_us": 500,
            "trace_id": f"days-{i % 500}", "span_id": f"{i:016x}", "operation": "chat",
            "provider": draw.choice(("openai", "anthropic")), "request_model": "asked", "model": model,
            "attempts": 1, "retries": draw.choice((0, 0, 0, 1, 2)), "fallback_index": draw.choice((0, 0, 0, 1)),
            "stream": 0, "status": "error" if bad else "success", "http_status": draw.choice((429, 500, None)) if bad else 200,
            "usage_source": "provider" if known else "none",
            "input_tokens": draw.randrange(2000) if known else None, "output_tokens": draw.randrange(500) if known else None,
            "cache_read_tokens": 7 if known else None, "cache_write_tokens": 0 if known else None,
            "cache_write_1h_tokens": 0 if known else None, "reasoning_tokens": 3 if known else None,
            "cost_pusd": draw.randrange(10**9) if known else None, "cost_reason": None if known else "no price",
            "cost_saved_pusd": draw.randrange(10**9) if cached else None,
            "cache_status": draw.choice(("HIT", "SEMANTIC HIT")) if cached else draw.choice(("MISS", "DISABLED", "REFRESH")),
            "user_id": draw.choice((None, "u1", "u2", "u3")), "source": "sqlite",
            "metadata": json.dumps({"tier": draw.choice(("free", "paid", 3)), "n": i % 7}) if i % 3 else None})
        if i % 10 == 0:
            opinions.append((uuid7(at + 1000, i), at + 1000, f"days-{i % 500}", draw.randrange(-10, 11), draw.choice((1.0, 0.5)), None))
    opinions.append((uuid7(now, 1), now, "of-no-call", 3, 1.0, None))
    db = sqlite3.connect(PKD.store, timeout=120)
    names = list(calls[0])
    db.executemany(f"insert into pk_log ({', '.join(names)}) values ({', '.join('?' * len(names))})",
                   [tuple(c.values()) for c in calls])
    db.executemany("insert into pk_feedback_item (id, created_us, trace_id, value, weight, metadata) "
                   "values (?, ?, ?, ?, ?, ?)", opinions)
    db.commit()
    db.close()
    return now - 20 * DAY, now


def table(where="true"):
    """The rows of the log, as dicts with the machine's units."""
    names = [r[1] for r in sql("pragma table_info(pk_log)")]
    return [dict(zip(names, row)) for row in sql(f"select {', '.join(names)} from pk_log l where {where} order by id")]


def add(values):
    return sum(v for v in values if v is not None)


def mean(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def units(r):
    return None if r["input_tokens"] is None else sum(r[n] for n in (
        "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens"))


def percentile(rows, p):
    values = sorted(r["duration_us"] for r in rows)
    return values[-(-len(values) * p // 100) - 1] / 1000


def failed(rows):
    return [r for r in rows if r["status"] != "success"]


def saved(rows, status):
    return add(r["cost_saved_pusd"] for r in rows if r["cache_status"] == status)


def hits(rows):
    return [r for r in rows if r["cache_status"] in ("HIT", "SEMANTIC HIT")]


def looked(rows):
    return [r for r in rows if r["cache_status"] not in ("DISABLED", "REFRESH")]


def hit_rate(rows):
    return 100 * len(hits(rows)) / len(looked(rows)) if looked(rows) else None


def ms(value):
    return None if value is None else value / 1000


def cents(value):
    return None if value is None else value / 10**10


def users(rows):
    return {r["user_id"] for r in rows if r["user_id"]}


def by_user(rows):
    return len([r for r in rows if r["user_id"]]) / len(users(rows)) if users(rows) else None


def rescued(rows, by):
    return len([r for r in rows if r["status"] == "success" and r[by] > 0])


def cost(rows):
    known = [r["cost_pusd"] for r in rows if r["cost_pusd"] is not None]
    return {"total": cents(sum(known)) if known else None, "avg": cents(mean(known))}


def latency(rows):
    return {"avg": ms(mean(r["duration_us"] for r in rows)), **{f"p{p}": percentile(rows, p) for p in (50, 90, 95, 99)}}


# What is counted of the calls of one point, and of all.
GRAPHS = {
    "requests": (lambda rows: {"total": len(rows)},) * 2,
    "cost": (cost, cost),
    "latency": (latency, latency),
    "tokens": (lambda rows: {"total": add(map(units, rows)), "avg": mean(map(units, rows))},) * 2,
    "users": (lambda rows: {"total": len(users(rows))},) * 2,
    "users/requests": (lambda rows: {"avg": by_user(rows)},
                       lambda rows: {"avg": by_user(rows), "unique": len(users(rows))}),
    "errors": (lambda rows: {"total": len(failed(rows))},) * 2,
    "errors/rate": (lambda rows: {"rate": 100 * len(failed(rows)) / len(rows)},) * 2,
    "requests/rescued": (None, lambda rows: {"retry": rescued(rows, "retries"), "fallback": rescued(rows, "fallback_index")}),
    "errors/stacks": (None, lambda rows: {"total": len(failed(rows))}),
    "errors/status-codes": (None, lambda rows: {"total_errors": len(failed(rows)),
                                                "unique_error_codes": len({r["http_status"] for r in failed(rows)})}),
    "cache/hit-rate": (lambda rows: {"rate": hit_rate(rows), "simple_hits": len([r for r in rows if r["cache_status"] == "HIT"]),
                                     "semantic_hits": len([r for r in rows if r["cache_status"] == "SEMANTIC HIT"])},
                       lambda rows: {"total": len(hits(rows)), "rate": hit_rate(rows)}),
    "cache/latency": (lambda rows: {"avg": ms(mean(r["duration_us"] for r in hits(rows)))},) * 2,
}


def near(told, want, what):
    for name, value in want.items():
        if value is None or told[name] is None:
            expect(value == told[name], f"{what} {name}: {told[name]} not {value}")
        else:
            expect(abs(value - told[name]) <= 0.0005001, f"{what} {name}: {told[name]} not {value}")


def iso(at_us):
    return datetime.datetime.fromtimestamp(at_us // 10**6, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def every_graph_shows_what_the_rows_add_up_to():
    for asked, where, width in (({}, "true", DAY), ({"interval": "hour"}, "true", DAY // 24),
                                ({"metadata": {"tier": "paid"}, "provider": "openai"},
                                 "metadata ->> 'tier' = 'paid' and provider = 'openai'", DAY)):
        rows, points = table(where), {}
        for r in rows:
            points.setdefault(r["started_us"] // width * width, []).append(r)
        for name, (point, whole) in GRAPHS.items():
            told = get("/v1/analytics/graphs/" + name, **asked)
            expect(told["object"] == "analytics-graph", told)
            near(told["summary"], whole(rows), f"{name} summary")
            if not point:
                continue
            expect([p["timestamp"] for p in told["data_points"]] == [iso(at) for at in sorted(points)], name)
            for at, p in zip(sorted(points), told["data_points"]):
                near(p, point(points[at]), f"{name} {iso(at)}")


def graphs_of_parts_add_up():
    bad = failed(table())
    codes = {}
    for r in bad:
        codes[r["http_status"] or 0] = codes.get(r["http_status"] or 0, 0) + 1
    told = get("/v1/analytics/graphs/errors/status-codes")
    expect({p["status_code"]: p["count"] for p in told["data_points"]} == codes, told)
    told = get("/v1/analytics/graphs/errors/stacks")["data_points"]
    expect(sum(s["count"] for p in told for s in p["stats"]) == len(bad), told)
    expect(len({p["timestamp"] for p in told}) == len(told), "one point a day")
    whole = get("/v1/analytics/graphs/requests/rescued")
    expect(sum(p["fallback"] for p in whole["data_points"]) == whole["summary"]["fallback"], whole["summary"])
    expect(sum(r["count"] for p in whole["data_points"] for r in p["retry"] if r["retry_count"]) ==
           whole["summary"]["retry"], whole["summary"])
    last = get("/v1/analytics/graphs/cache/hit-rate")["data_points"][-1]
    near(last, {"cumulative_simple_cache_savings": cents(saved(table(), "HIT")),
                "cumulative_semantic_cache_savings_usd": saved(table(), "SEMANTIC HIT") / 10**12}, "savings")


def graphs_of_feedback_show_what_was_said():
    said = sql("select value, weight, trace_id from pk_feedback_item")
    whole = get("/v1/analytics/graphs/feedbacks")
    expect(whole["summary"]["total"] == len(said) == sum(p["total"] for p in whole["data_points"]), whole["summary"])
    scores = {p["score"]: p["total"] for p in get("/v1/analytics/graphs/feedbacks/scores")["data_points"]}
    expect(scores == {s: len([1 for v, _, _ in said if v == s]) for s in {v for v, _, _ in said}}, scores)
    near(get("/v1/analytics/graphs/feedbacks/weighted")["summary"], {"avg": mean(v * w for v, w, _ in said)}, "weighted")
    traces = {r["trace_id"] for r in table("provider = 'openai' and model = 'gpt-4o'")}
    mine = [v * w for v, w, t in said if t in traces]
    told = get("/v1/analytics/graphs/feedbacks/weighted", provider="openai", model="gpt-4o")
    near(told["summary"], {"avg": mean(mine)}, "of a model")
    told = get("/v1/analytics/graphs/feedbacks/ai-models", provider="openai", model="gpt-4o")["data_points"]
    near(told[0], {"total": len(mine), "avg_weighted_feedback": mean(mine)}, str(told))
    expect(get("/v1/analytics/graphs/feedbacks", trace_id="t-b")["summary"]["total"] == 1, "of a trace")


def groups_are_the_largest_first():
    rows = table()
    for path, of in (("users", lambda r: r["user_id"]), ("ai-models", lambda r: r["model"] or r["request_model"]),
                     ("metadata/tier", lambda r: json.loads(r["metadata"] or "{}").get("tier"))):
        want = {}
        for r in rows:
            if of(r) is not None:
                want.setdefault(str(of(r)), []).append(r)
        told = get("/v1/analytics/groups/" + path)
        name = {"users": "user", "ai-models": "ai_model"}.get(path, "metadata_value")
        expect(told["total"] == len(want) and [g["requests"] for g in told["data"]] ==
               sorted((len(r) for r in want.values()), reverse=True), f"{path}: {told}")
        for g in told["data"]:
            mine = want[g[name]]
            known = [r["cost_pusd"] for r in mine if r["cost_pusd"] is not None]
            near(g, {"requests": len(mine), "cost": cents(sum(known)) if known else None}, path)
            if "last_seen" in g:
                said = dict(sql("select trace_id, avg(value * weight) from pk_feedback_item group by 1"))
                scores = [said[r["trace_id"]] for r in mine if r["trace_id"] in said]
                near(g, {"avg_tokens": mean(map(units, mine)), "requests_with_feedback": len(scores),
                         "avg_weighted_feedback": mean(scores)}, path)
        second = get("/v1/analytics/groups/" + path, page_size=1, current_page=1)
        expect(second["data"] == told["data"][1:2] and second["total"] == len(want), second)


def the_cache_is_summed_up():
    told = get("/v1/analytics/summary/cache", source="sqlite")["summary"]
    rows = table("source = 'sqlite'")
    missed = mean(r["duration_us"] for r in rows if r["cache_status"] in ("MISS", "SEMANTIC MISS"))
    hit = mean(r["duration_us"] for r in hits(rows))
    near(told, {"hits": len(hits(rows)), "total_requests": len(rows), "avg_latency": hit / 1000,
                "cache_speedup": missed / hit}, "cache")


def an_empty_range_has_no_points():
    for name in GRAPHS:
        told = get("/v1/analytics/graphs/" + name, trace_id="none")
        expect(told["data_points"] == [] and not any(told["summary"].values()), f"{name}: {told}")
    expect(get("/v1/analytics/groups/users", trace_id="none")["data"] == [], "groups")


def what_is_no_graph_is_a_404():
    get("/v1/analytics/graphs/nothing", 404)
    get("/v1/analytics/groups/nothing", 404)
    get("/v1/analytics/groups/metadata", 404)
    refused("interval", "/v1/analytics/graphs/cost", interval="year")
    refused("provder", "/v1/analytics/graphs/cost", provder="x")
    expect(get("/v1/analytics/groups/metadata/$x.y")["data"] == [], "an odd name")


# --- calls that went another way ---------------------------------------------------------------------

def post(path, body, want=200, method="POST", headers=None):
    code, _, answer = PKD.http(method, path, body if isinstance(body, (str, bytes)) else json.dumps(body),
                               {"content-type": "application/json", **(headers or {})})
    expect(code == want, f"{method} {path}: {code} {answer[:300]}")
    return json.loads(answer)


def outside(trace, **response):
    return {"request": {"url": "https://api.openai.com/v1/chat/completions", "method": "POST", "headers": {},
                        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "elsewhere"}]}},
            "response": {"status": 200, "headers": {}, "response_time": 1500,
                         "body": {"model": "gpt-4o-mini", "choices": [{"finish_reason": "stop", "message": {}}],
                                  "usage": {"prompt_tokens": 1000, "completion_tokens": 200,
                                            "prompt_tokens_details": {"cached_tokens": 400}}}, **response},
            "metadata": {"trace_id": trace, "span_id": "s-1", "span_name": "mine", "_user": "carl", "team": "x"}}


def a_call_of_another_way_is_logged_with_its_cost():
    made = post("/v1/logs", outside("t-out"))["ids"]
    one = get("/v1/logs/" + made[0])
    row = one["metrics"]
    expect(one["request"]["body"]["messages"][0]["content"] == "elsewhere", one["request"])
    for name, value in (("trace_id", "t-out"), ("span_id", "s-1"), ("span_name", "mine"), ("user_id", "carl"),
                        ("metadata", {"_user": "carl", "team": "x"}), ("provider", "openai"), ("operation", "chat"),
                        ("model", "gpt-4o-mini"), ("status", "success"), ("http_status", 200), ("source", "http"),
                        ("input_tokens", 600), ("cache_read_tokens", 400), ("output_tokens", 200), ("latency_ms", 1500),
                        ("finish_reason", "stop"), ("cache_status", "DISABLED"), ("usage_source", "provider")):
        expect(row[name] == value, f"{name}: {row[name]}")
    price = get("/v1/model-configs/pricing/openai/gpt-4o-mini")["pay_as_you_go"]
    cents = (600 * price["request_token"]["price"] + 400 * price["cache_read_input_token"]["price"] +
             200 * price["response_token"]["price"])
    expect(abs(row["cost"] - cents) < 1e-9, f"{row['cost']} {cents}")


def many_are_taken_or_none():
    made = post("/v1/logs", [outside("t-many"), outside("t-many", status=429, body={"error": {"message": "slow down"}})])
    expect(len(made["ids"]) == 2 and logs(trace_id="t-many")["total"] == 2, made)
    bad = logs(trace_id="t-many", status="error")["data"][0]
    expect(bad["http_status"] == 429 and bad["error_message"] == "slow down" and bad["cost"] is None, bad)
    expect(bad["cost_reason"], bad)
    post("/v1/logs", [outside("t-none"), {"request": {}}], 400)
    expect(logs(trace_id="t-none")["total"] == 0, "one was taken")
    for wrong in ([], 5, {}, {"request": {"url": "x", "body": {}}}, {**outside("t-none"), "metadata": "x"},
                  outside("t-none", status=9), outside("t-none", response_time=-1)):
        post("/v1/logs", wrong, 400)
    anthropic = outside("t-other", body={"model": "claude-haiku-4-5", "stop_reason": "end_turn",
                                         "usage": {"input_tokens": 5, "output_tokens": 6}})
    anthropic["request"]["url"] = "https://api.anthropic.com/v1/messages"
    post("/v1/logs", anthropic)
    row = logs(trace_id="t-other")["data"][0]
    expect((row["provider"], row["operation"], row["input_tokens"], row["finish_reason"]) ==
           ("anthropic", "messages", 5, "end_turn"), row)


# --- files -----------------------------------------------------------------------------------------

def fetch(path, want=200, **query):
    code, headers, body = PKD.http("GET", path + "?" + urllib.parse.urlencode(query), timeout=120)
    expect(code == want, f"{path}: {code} {body[:300]}")
    return headers, body


def a_file_has_what_the_filter_lets_through():
    headers, body = fetch("/v1/logs/export", format="jsonl", source="sqlite")
    expect("x-ndjson" in headers["content-type"] and "attachment" in headers["content-disposition"], headers)
    rows = [json.loads(line) for line in body.splitlines()]
    want = [r[0] for r in sql("select id from pk_logs where source = 'sqlite' order by id desc")]
    expect([r["id"] for r in rows] == want and len(want) == 3000, f"{len(rows)} rows")
    expect(rows[0] == logs(source="sqlite", page_size=1)["data"][0], rows[0])
    _, body = fetch("/v1/logs/export", format="csv", trace_id="t-b", fields="id, metadata, cost, request")
    table = list(csv.reader(io.StringIO(body.decode())))
    expect(table[0] == ["id", "metadata", "cost", "request"] and len(table) == 2, table)
    expect(json.loads(table[1][1])["path"] == "a/b é" and "said by bob" in table[1][3], table)
    _, body = fetch("/v1/logs/export", trace_id="none")
    expect(body == b"", body)
    refused("fields", "/v1/logs/export", fields="id,nonsense")
    refused("format", "/v1/logs/export", format="xml")
    refused("provder", "/v1/logs/export", provder="x")


def many_calls():
    """As many as make a file of hundreds of megabytes."""
    db = sqlite3.connect(PKD.store, timeout=60)
    names = ", ".join(n for n in (r[1] for r in db.execute("pragma table_info(pk_log)")) if n not in ("id", "trace_id", "source"))
    db.execute(f"""insert into pk_log (id, trace_id, source, {names})
        with recursive n(i) as (select 0 union all select i + 1 from n where i < 299999)
        select cast(x'01a00000' || randomblob(12) as blob), 'many', 'postgres', {names} from n
        cross join (select * from pk_log where source = 'sqlite' limit 1)""")
    db.commit()
    db.close()


def a_large_file_takes_no_memory_and_no_store():
    many_calls()
    before = memory_kb(PKD.process.pid)
    s = PKD.raw(60)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.sendall(b"GET /v1/logs/export?source=postgres HTTP/1.1\r\nHost: localhost\r\n\r\n")
    lines, got, slowed, tail = 0, 0, 0, b""
    while True:
        piece = s.recv(1 << 20)
        got += len(piece)
        lines += (tail[-1:] + piece).count(b"}\n")  # a line's end may come in two pieces
        tail = (tail + piece)[-5:]
        if slowed < 20:  # a slow client: the store is read no faster, and written meanwhile
            slowed += 1
            time.sleep(0.02)
            post("/v1/feedback", {"trace_id": "t-d", "value": 1})
        if tail == b"0\r\n\r\n" or not piece:
            break
    expect(lines == 300000, f"{lines} lines in {got} bytes")
    grown = memory_kb(PKD.process.pid) - before
    expect(grown < 24 << 10 or os.environ.get("PK_SAN"), f"{grown} KB more")  # sanitizers keep what is freed
    s.close()


def a_client_that_leaves_ends_its_file():
    for _ in range(6):  # more than may run at a time
        s = PKD.raw(60)
        s.sendall(b"GET /v1/logs/export?source=postgres HTTP/1.1\r\nHost: localhost\r\n\r\n")
        expect(s.recv(1000).startswith(b"HTTP/1.1 200"), "no answer")
        s.close()
        expect(until(lambda: PKD.http("GET", "/v1/logs/export?trace_id=none")[0] == 200), "it still runs")
    open_ones = []
    for _ in range(2):
        s = PKD.raw(60)
        s.sendall(b"GET /v1/logs/export?source=postgres HTTP/1.1\r\nHost: localhost\r\n\r\n")
        s.recv(1000)
        open_ones.append(s)
    expect(PKD.http("GET", "/v1/logs/export?trace_id=none")[0] == 429, "a third")
    expect(logs(page_size=1)["data"], "others are served")
    for s in open_ones:
        s.close()
    expect(until(lambda: PKD.http("GET", "/v1/logs/export?trace_id=none")[0] == 200), "it still runs")


def an_export_is_what_it_is_to_have():
    made = post("/v1/logs/exports", {"filters": {"trace_id": "t-a", "page_size": 5000, "metadata": {"feature": "search"}},
                                     "requested_data": ["id", "trace_id", "cost"], "description": "of a", "workspace_id": "w"})
    expect(made["total"] == 5 and made["object"] == "export", made)
    path = "/v1/logs/exports/" + made["id"]
    one = get(path)
    expect(one["status"] == "draft" and one["requested_data"] == ["id", "trace_id", "cost"] and
           one["filters"]["metadata"] == {"feature": "search"} and one["description"] == "of a", one)
    get(path + "/download", 400)
    expect(post(path, {"filters": {"trace_id": "t-a,t-b"}}, method="PUT")["total"] == 6, "changed")
    post(path + "/start", "")
    link = urllib.parse.urlsplit(get(path + "/download")["signed_url"])
    expect(link.netloc.endswith(str(PKD.port)), link)
    _, body = fetch(link.path, token=urllib.parse.parse_qs(link.query)["token"][0])
    rows = [json.loads(line) for line in body.splitlines()]
    expect(len(rows) == 6 and list(rows[0]) == ["id", "trace_id", "cost"], rows[:1])
    fetch(link.path, 403, token="0" * 64)
    fetch(link.path, 403)
    listed = get("/v1/logs/exports")
    expect(listed["total"] == 1 and listed["data"][0]["status"] == "success", listed)
    post(path + "/cancel", "")
    get(path + "/download", 400)
    get("/v1/logs/exports/none", 404)
    post("/v1/logs/exports", {"filters": {"nonsense": 1}, "requested_data": []}, 400)
    post("/v1/logs/exports", {"filters": {}, "requested_data": ["nonsense"]}, 400)
    post("/v1/logs/exports", {"requested_data": ["id"]}, 400)


# --- feedback, alerts, the audit, prices ------------------------------------------------------------

def feedback_is_changed_by_its_id():
    made = post("/v1/feedback", {"trace_id": "of nobody", "value": 3, "weight": 0.5, "metadata": {"a": 1}})["feedback_ids"][0]
    expect(until(lambda: sql(f"select 1 from pk_feedback where id = '{made}'")))
    changed = post("/v1/feedback/" + made, {"value": -4}, method="PUT")
    expect(changed["feedback_ids"] == [made] and changed["status"] == "success", changed)
    row = sql(f"select value, weight, metadata from pk_feedback where id = '{made}'")
    expect(row == [(-4, 0.5, '{"a": 1}')], row)
    post("/v1/feedback/" + made, {"value": 2, "weight": 1, "metadata": {"b": 2}}, method="PUT")
    row = sql(f"select value, weight, metadata from pk_feedback where id = '{made}'")
    expect(row == [(2, 1, '{"b": 2}')], row)
    for wrong in ({"value": 11}, {"weight": 1}, {"value": 1, "trace_id": "x"}, {"value": 1, "nonsense": 1}, []):
        post("/v1/feedback/" + made, wrong, 400, method="PUT")
    post("/v1/feedback/none", {"value": 1}, 404, method="PUT")


def pkd_command(*arguments):
    done = subprocess.run([program("pkd"), arguments[0], "--store", PKD.store, *arguments[1:]],
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


def the_audit_names_who_did_what():
    body = post("/v1/configs", {"name": "audited", "config": {"provider": "openai"}})
    expect(body, body)
    told = get("/v1/audit-logs", start_time="2020-01-01T00:00:00Z", end_time="2100-01-01")
    first = told["records"][0]
    expect(first["action"] == "config_put" and first["resource_type"] == "config" and first["user_type"] == "user" and
           told["total"] == sql("select count(*) from pk_audit")[0][0], told)
    expect(get("/v1/audit-logs", action="none")["records"] == [], "action")
    expect(get("/v1/audit-logs", resource_type="config", user_id=first["user_id"])["records"][0] == first, "filters")
    expect(get("/v1/audit-logs", end_time="2020-01-01")["records"] == [], "end_time")
    refused("start_time", "/v1/audit-logs", start_time="soon")


def a_price_is_in_cents_a_token():
    told = get("/v1/model-configs/pricing/openai/gpt-4o")
    want = sql("select input_usd, output_usd from pk_prices where provider = 'openai' and model = 'gpt-4o' and above_tokens = 0")
    expect(abs(told["pay_as_you_go"]["request_token"]["price"] - want[0][0] / 1e4) < 1e-12 and
           abs(told["pay_as_you_go"]["response_token"]["price"] - want[0][1] / 1e4) < 1e-12 and
           told["currency"] == "USD" and told["calculate"]["request"]["operation"] == "sum", told)
    get("/v1/model-configs/pricing/openai/none", 404)


def an_alert_is_told_of():
    config_of_budget = {"virtual_key": "tight", "override_params": {"model": "fixed-600"}}
    post("/v1/virtual-keys", {"name": "tight", "slug": "tight", "provider": "openai", "key": "sk-x", "custom_host": MOCK.base,
                              "rate_limits": [], "usage_limits": {"type": "tokens", "credit_limit": 1, "alert_threshold": 1}})
    for _ in range(3):
        chat(PKD, MOCK, cfg=json.dumps(config_of_budget))
    expect(until(lambda: get("/v1/alerts")["total"] >= 1), get("/v1/alerts"))
    one = get("/v1/alerts")["data"][0]
    rows = sql("select kind, slug, counts, amount from pk_alerts order by at desc")
    expect((one["kind"], one["slug"], one["counts"], one["amount"]) in rows, (one, rows))


# --- rights ----------------------------------------------------------------------------------------

READERS = {"logs": ("/v1/logs", "/v1/analytics/requests", "/v1/analytics/graphs/cost", "/v1/analytics/groups/users",
                    "/v1/analytics/summary/cache", "/v1/logs/export?trace_id=none", "/v1/logs/exports", "/v1/alerts"),
           "admin": ("/v1/audit-logs", "/v1/alerts")}


def every_endpoint_wants_its_scope():
    keys = {scope: pkd_command("apikey", "create", "k" + scope, json.dumps({"scopes": [scope]}))
            for scope in ("call", "admin", "logs")}
    expect(until(lambda: PKD.http("GET", "/v1/logs")[0] == 401), "no key")
    for path in set(READERS["logs"] + READERS["admin"]):
        for scope, key in keys.items():
            code = PKD.http("GET", path, headers={"x-portkey-api-key": key})[0]
            expect(code == (200 if path in READERS.get(scope, ()) else 403), f"{path} {scope}: {code}")
    post("/v1/logs", outside("t-key"), 403, headers={"x-portkey-api-key": keys["admin"]})
    post("/v1/logs", outside("t-key"), headers={"x-portkey-api-key": keys["call"]})
    row = get("/v1/logs", headers={"x-portkey-api-key": keys["logs"]}, trace_id="t-key")["data"][0]
    expect(row["api_key"] == "kcall", row)


def absurd_numbers_do_not_wrap_around():
    body = {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 5 * 10**15, "completion_tokens": 0}}
    for _ in range(2):
        post("/v1/logs", outside("t-absurd", body=body, status=599))
    expect(until(lambda: logs(trace_id="t-absurd")["total"] == 2))
    graph = get("/v1/analytics/graphs/tokens", status_code=599, time_range="24h")
    expect(graph["summary"] == {"total": 10**16, "avg": 5 * 10**15}, graph["summary"])


make_calls()
expect(until(lambda: sql("select count(*) from pk_logs") == [(8,)]), "the calls are logged")
run(the_list_has_every_call_newest_first, a_row_has_the_columns_of_pk_logs, pages_follow_each_other,
    every_filter_lets_through_what_sql_says, a_range_is_as_exact_as_its_ends,
    what_is_no_filter_is_an_error_that_names_it, one_call_is_shown_in_portkeys_shape,
    payloads_are_listed_when_asked_for, a_call_that_is_not_there_is_a_404,
    a_session_adds_up_to_what_sql_says)
days_of_calls()
run(every_graph_shows_what_the_rows_add_up_to, graphs_of_parts_add_up, graphs_of_feedback_show_what_was_said,
    groups_are_the_largest_first, the_cache_is_summed_up, an_empty_range_has_no_points, what_is_no_graph_is_a_404,
    a_call_of_another_way_is_logged_with_its_cost, many_are_taken_or_none, a_file_has_what_the_filter_lets_through,
    a_large_file_takes_no_memory_and_no_store, a_client_that_leaves_ends_its_file, an_export_is_what_it_is_to_have,
    feedback_is_changed_by_its_id, the_audit_names_who_did_what, a_price_is_in_cents_a_token, an_alert_is_told_of,
    absurd_numbers_do_not_wrap_around, every_endpoint_wants_its_scope)
PKD.stop()
MOCK.stop()
end()
