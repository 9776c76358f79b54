#!/usr/bin/env python3
"""What pkd tells of its log: /v1/logs and /v1/analytics.

Known calls are made; what the endpoints say is compared with what SQL says of pk_logs.

    tests/regress/pkd_logs.py BUILD
"""
import datetime
import json
import subprocess
import time
import urllib.parse

from pkd_harness import SLOW, Mock, Pkd, chat, config, end, expect, program, run, until

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
    expect(word in why, why)


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
    call("t-b", {"_user": "bob", "feature": "chat", "path": "a/b é"}, text="said by bob")
    call("t-c", {"feature": "search"}, status=500, model="status-500")
    call("t-d")


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


# --- rights ----------------------------------------------------------------------------------------

PATHS = ["/v1/logs", "/v1/analytics/requests"]


def only_a_key_for_logs_reads_them():
    keys = {}
    for scope in ("call", "admin", "logs"):
        done = subprocess.run([program("pkd"), "apikey", "--store", PKD.store, "create", "k" + scope,
                               json.dumps({"scopes": [scope]})], capture_output=True, text=True, check=True)
        keys[scope] = done.stdout.strip()
    expect(until(lambda: PKD.http("GET", "/v1/logs")[0] == 401, 5 * SLOW), "no key")
    for path in PATHS:
        get(path, 200, {"x-portkey-api-key": keys["logs"]})
        get(path, 403, {"x-portkey-api-key": keys["call"]})
        get(path, 403, {"x-portkey-api-key": keys["admin"]})


make_calls()
run(the_list_has_every_call_newest_first, a_row_has_the_columns_of_pk_logs, pages_follow_each_other,
    every_filter_lets_through_what_sql_says, a_range_is_as_exact_as_its_ends,
    what_is_no_filter_is_an_error_that_names_it, one_call_is_shown_in_portkeys_shape,
    payloads_are_listed_when_asked_for, a_call_that_is_not_there_is_a_404,
    a_session_adds_up_to_what_sql_says, only_a_key_for_logs_reads_them)
PKD.stop()
MOCK.stop()
end()
