#!/usr/bin/env python3
"""/v1/logs, /v1/analytics and what is beside them over a store in Postgres. That each report says there what it says in
SQLite is pg_reports.py's; here the way to it is tried, with a login that has the role pk_gateway and nothing else.
"""
import json
import os
import sys
import urllib.parse

sys.argv[1:] = [os.environ.get("BUILD", "build")]  # as the tests of pkd have it

import pg_temp
import pkd_harness as h
from pkd_harness import Mock, Pkd, chat, expect, run, until

MOCK = Mock()


def get(path, want=200, **query):
    text = urllib.parse.urlencode({k: json.dumps(v) if isinstance(v, dict) else v for k, v in query.items()})
    code, _, body = PKD.http("GET", path + ("?" + text if text else ""))
    expect(code == want, f"{path} {query}: {code} {body[:300]}")
    return json.loads(body)


def post(path, body, method="POST"):
    code, _, answer = PKD.http(method, path, json.dumps(body), {"content-type": "application/json"})
    expect(code == 200, f"{path}: {code} {answer[:300]}")
    return json.loads(answer)


def sql(text):
    with pg.connect("logs") as c:
        return c.query(text)


def calls_are_listed_with_filters():
    for i in range(6):
        headers = {"x-portkey-trace-id": f"t-{i % 2}", "x-portkey-metadata": json.dumps({"_user": f"u{i}", "a.b": i % 3})}
        expect(chat(PKD, MOCK, headers=headers)[0] == 200)
    expect(chat(PKD, MOCK, model="status-500")[0] == 500)
    expect(until(lambda: get("/v1/logs")["total"] == 7), get("/v1/logs")["total"])
    for query, where in (({"trace_id": "t-1"}, "trace_id = 't-1'"), ({"metadata": {"a.b": "2"}}, "metadata ->> 'a.b' = '2'"),
                         ({"status": "error"}, "status = 'error'"), ({"search": "MOCK"}, "error_message ilike '%mock%'"),
                         ({"time_range": "1h", "user": "u1,u2"}, "user_id in ('u1', 'u2')"), ({"latency_max": 0.001}, "false")):
        want = [r[0] for r in sql(f"select id from pk_logs where {where} order by id desc")]
        expect([r["id"] for r in get("/v1/logs", **query)["data"]] == want, f"{query}: {want}")
    page = get("/v1/logs", page_size=3)
    expect(len(get("/v1/logs", after=page["next_after"])["data"]) == 4, "pages")


def one_call_has_its_payloads_spans_and_feedback():
    row = get("/v1/logs", trace_id="t-0")["data"][0]
    given = post("/v1/feedback", {"trace_id": "t-0", "value": 4, "metadata": {"x": 1}})["feedback_ids"][0]
    expect(until(lambda: sql("select count(*) from pk_feedback")[0][0] == "1"), "it is stored")
    post("/v1/feedback/" + given, {"value": 6}, "PUT")
    one = get("/v1/logs/" + row["id"])
    expect(one["request"]["body"]["messages"] and one["response"]["body"]["choices"] and one["spans"], one)
    expect([(f["value"], f["metadata"]) for f in one["feedback"]] == [(6, {"x": 1})], one["feedback"])


def the_log_is_added_up():
    for path in ("requests", "cost", "latency", "tokens", "users", "users/requests", "errors", "errors/rate", "errors/stacks",
                 "errors/status-codes", "requests/rescued", "cache/hit-rate", "cache/latency", "feedbacks", "feedbacks/scores",
                 "feedbacks/weighted", "feedbacks/ai-models"):
        told = get("/v1/analytics/graphs/" + path, time_range="1h")
        expect(told["object"] == "analytics-graph", told)
    expect(get("/v1/analytics/graphs/requests")["summary"]["total"] == 7, "requests")
    expect(get("/v1/analytics/graphs/feedbacks", trace_id="t-0")["summary"]["total"] == 1, "feedbacks")
    expect(get("/v1/analytics/groups/metadata/a.b")["total"] == 3, "groups")
    expect(get("/v1/analytics/groups/users")["total"] == 6 and get("/v1/analytics/groups/ai-models")["total"] == 2, "groups")
    expect(get("/v1/analytics/summary/cache")["summary"]["total_requests"] == 7, "cache")
    expect(get("/v1/analytics/requests", trace_id="t-1", time_range="24h")["summary"]["total"] == 3, "session")


def calls_go_in_and_files_come_out():
    post("/v1/logs", {"request": {"url": "https://api.openai.com/v1/chat/completions", "body": {"model": "gpt-4o-mini"}},
                      "response": {"status": 200, "body": {"usage": {"prompt_tokens": 9, "completion_tokens": 1}}},
                      "metadata": {"trace_id": "t-out"}})
    expect(until(lambda: get("/v1/logs", trace_id="t-out")["total"] == 1), "it is in")
    expect(get("/v1/logs", trace_id="t-out")["data"][0]["cost"], "it is priced")
    with pg.connect("logs") as c:
        names = ", ".join(r[0] for r in c.query("select attname from pg_attribute where attrelid = 'pk_log'::regclass and "
                                                "attnum > 0 and attname not in ('id', 'trace_id')"))
        c.query(f"insert into pk_log (id, trace_id, {names}) select ('01a0' || right(md5(i::text), 28))::uuid, 'many', "
                f"{names} from (select * from pk_log limit 1) l, generate_series(1, 5000) i")
    code, _, body = PKD.http("GET", "/v1/logs/export?source=http&format=csv&fields=id,trace_id")
    expect(code == 200 and body.count(b"\r\n") == 1 + int(sql("select count(*) from pk_logs where source = 'http'")[0][0]), code)
    made = post("/v1/logs/exports", {"filters": {"trace_id": "t-1"}, "requested_data": ["id"], "description": "x"})
    path = "/v1/logs/exports/" + made["id"]
    expect(made["total"] == 3 and get("/v1/logs/exports")["total"] == 1, made)
    post(path, {"filters": {"trace_id": "t-0"}}, "PUT")
    post(path + "/start", {})
    link = urllib.parse.urlsplit(get(path + "/download")["signed_url"])
    code, _, body = PKD.http("GET", f"{link.path}?{link.query}")
    expect(code == 200 and body.count(b"\n") == 3, (code, body))
    post(path + "/cancel", {})


def the_rest_is_told():
    expect(get("/v1/alerts")["object"] == "list", "alerts")
    post("/v1/configs", {"name": "c", "config": {"provider": "openai"}})
    expect(get("/v1/audit-logs", action="config_put")["total"] == 1, "audit")
    expect(get("/v1/model-configs/pricing/openai/gpt-4o")["pay_as_you_go"]["request_token"]["price"] > 0, "price")


with pg_temp.Cluster() as pg:
    pg.psql("create database logs")
    pg.psql("create extension pk", "logs")
    pg.psql("create role gateway login in role pk_gateway")
    key = os.path.join(pg.dir, "master.key")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
        f.write(os.urandom(32))
    PKD = Pkd("--store", f"postgresql://gateway@/logs?host={pg.host}&port={pg.port}", "--master-key-file", key)
    run(calls_are_listed_with_filters, one_call_has_its_payloads_spans_and_feedback, the_log_is_added_up,
        calls_go_in_and_files_come_out, the_rest_is_told)
    PKD.stop()
MOCK.stop()
h.end()
