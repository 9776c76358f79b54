#!/usr/bin/env python3
"""Calls through pkd: headers, answers, streams, caching, the log: pkd_calls.py BUILD"""
import gzip
import json
import socket
import threading
import time
import uuid

from pkd_harness import *

mock = Mock()
pkd = Pkd(env={"OPENAI_API_KEY": "sk-env"})
MESSAGES = {"model": "echo", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


def text_of(body):
    return json.loads(body)["choices"][0]["message"]["content"]


def sse(body):
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]


def anthropic():
    return json.dumps({"provider": "anthropic", "api_key": "k", "custom_host": mock.base})


def fallback(*targets, **more):
    return json.dumps({"strategy": {"mode": "fallback"}, "targets": [
        {"provider": "openai", "api_key": "k", "custom_host": mock.base, "override_params": {"model": m}}
        for m in targets], **more})


def a_chat_is_answered_and_its_headers_tell_how():
    status, h, body = chat(pkd, mock, "echo", "hello there")
    expect(status == 200 and text_of(body) == "hello there", body)
    expect(h["content-type"] == "application/json")
    expect(h["x-portkey-cache-status"] == "DISABLED")
    expect(h["x-portkey-provider"] == "openai")
    expect(h["x-portkey-last-used-option-index"] == "config")
    expect(h["x-portkey-retry-attempt-count"] == "0")
    expect(h["x-portkey-trace-id"])
    expect(0 <= int(h["x-pk-overhead-us"]) < 1000000)


def a_known_price_is_told():
    status, h, _ = chat(pkd, mock, "gpt-4o-mini")
    expect(status == 200 and float(h["x-pk-cost-usd"]) > 0, h)


def a_stream_is_relayed_to_its_end():
    status, h, body = chat(pkd, mock, "echo", "one two three", stream=True)
    expect(status == 200 and h["content-type"] == "text/event-stream")
    expect(body.endswith(b"data: [DONE]\n\n"), body[-100:])
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in sse(body) if e["choices"])
    expect(text == "one two three", text)
    expect(h["x-portkey-trace-id"] and h["x-portkey-provider"] == "openai")
    expect(h["x-portkey-last-used-option-index"] == "config")


def messages_are_served_to_anthropic_clients():
    cfg = anthropic()
    for path in "/v1/messages", "/v1/v1/messages":
        status, h, body = pkd.http("POST", path, json.dumps(MESSAGES), {"x-portkey-config": cfg})
        answer = json.loads(body)
        expect(status == 200 and answer["type"] == "message", body)
        expect(answer["content"][0]["text"] == "hi")
    status, _, body = pkd.http("POST", "/v1/messages", json.dumps({**MESSAGES, "stream": True}),
                               {"x-portkey-config": cfg})
    expect(status == 200 and b"event: message_stop" in body, body)
    status, _, body = chat(pkd, mock, "echo", "over there", cfg=cfg)
    expect(status == 200 and text_of(body) == "over there", body)


def headers_alone_name_provider_and_key():
    h = {"x-portkey-provider": "openai", "Authorization": "Bearer sk-mine",
         "x-portkey-custom-host": mock.base}
    status, _, body = pkd.http("POST", "/v1/chat/completions", chat_body("echo", "x"), h)
    expect(status == 200, body)
    expect(mock.page("last")["headers"]["authorization"] == "Bearer sk-mine")
    h = {"x-pk-provider": "anthropic", "x-api-key": "sk-ant", "x-pk-custom-host": mock.base}
    status, _, body = pkd.http("POST", "/v1/messages", json.dumps(MESSAGES), h)
    expect(status == 200, body)
    expect(mock.page("last")["headers"]["x-api-key"] == "sk-ant")


def a_config_without_target_takes_the_provider_of_the_headers():
    h = {"x-portkey-config": '{"retry":{"attempts":1}}', "x-portkey-provider": "openai",
         "Authorization": "Bearer sk-2", "x-portkey-custom-host": mock.base}
    name = "seq-500-200:" + uuid.uuid4().hex
    status, got, body = pkd.http("POST", "/v1/chat/completions", chat_body("seq-500-200"), h)
    expect(status == 200 and got["x-portkey-retry-attempt-count"] == "1", body)
    expect(mock.page("last")["headers"]["authorization"] == "Bearer sk-2")


def the_model_may_name_the_provider():
    h = {"Authorization": "Bearer sk-3", "x-portkey-custom-host": mock.base}
    status, _, body = pkd.http("POST", "/v1/chat/completions", chat_body("@openai/echo", "hey"), h)
    expect(status == 200 and text_of(body) == "hey", body)
    last = mock.page("last")
    expect(json.loads(last["body"])["model"] == "echo")
    expect(last["headers"]["authorization"] == "Bearer sk-3")


def what_is_missing_is_said():
    status, _, body = pkd.http("POST", "/v1/chat/completions", chat_body())
    expect(status == 400 and b"x-portkey-config" in body, body)
    for name, value, status in (("x-portkey-config", "no-such-slug", 404),
                                ("x-portkey-config", "{", 400),
                                ("x-portkey-config", '{"provider":"nobody"}', 400),
                                ("x-portkey-config", '{"retry":{"attempts":99}}', 400),
                                ("x-portkey-virtual-key", "nope", 404),
                                ("x-portkey-provider", "nobody", 400)):
        got, _, body = pkd.http("POST", "/v1/chat/completions", chat_body(), {name: value})
        expect(got in (status, 400, 404) and json.loads(body)["error"]["message"], f"{name}: {got} {body}")


def bad_steering_headers_are_refused():
    for name, value in (("metadata", "[1]"), ("metadata", "x"), ("request-timeout", "soon"),
                        ("custom-host", "ftp://x"), ("trace-id", "x" * 200),
                        ("disable-logging", "yes"), ("debug", "off")):
        status, _, body = chat(pkd, mock, headers={"x-portkey-" + name: value})
        expect(status == 400 and name.split("-")[0] in body.decode(), f"{name}: {status} {body}")
    status, _, body = chat(pkd, mock, headers={"content-type": "text/plain"})
    expect(status == 400, body)


def a_host_beyond_the_allowed_is_refused():
    for host in "http://10.1.2.3/v1", "http://169.254.169.254/v1", "http://example.internal/v1":
        status, _, body = chat(pkd, mock, headers={"x-portkey-custom-host": host})
        expect(status == 403, f"{status} {body}")


def fallback_and_retries_are_reported():
    status, h, body = chat(pkd, mock, cfg=fallback("status-503", "echo"))
    expect(status == 200 and h["x-portkey-last-used-option-index"] == "config.targets[1]", h)
    cfg = json.dumps({**json.loads(config(mock)), "retry": {"attempts": 1, "on_status_codes": [503]}})
    status, h, _ = chat(pkd, mock, "status-503:retry-after-ms=5", cfg=cfg)
    expect(status == 503 and h["x-portkey-retry-attempt-count"] == "-1", h)


def a_condition_sees_the_path():
    def to(name, model):
        return {"name": name, "provider": "anthropic", "api_key": "k", "custom_host": mock.base,
                "override_params": {"model": model}}

    cfg = json.dumps({"strategy": {"mode": "conditional", "default": "rest", "conditions": [
        {"query": {"url.pathname": "/v1/messages", "metadata.tier": {"$ne": "free"}}, "then": "messages"}]},
        "targets": [to("messages", "gpt-4o"), to("rest", "gpt-4o-mini")]})
    for path, tier, index in (("/v1/messages", "paid", 0), ("/v1/messages", "free", 1),
                              ("/v1/chat/completions", "paid", 1)):
        body = json.dumps(MESSAGES) if path == "/v1/messages" else chat_body("x")
        status, h, got = pkd.http("POST", path, body, {
            "x-portkey-config": cfg, "x-portkey-metadata": json.dumps({"tier": tier})})
        expect(status == 200 and h["x-portkey-last-used-option-index"] == f"config.targets[{index}]", got)


def an_open_circuit_is_open_in_every_daemon_until_it_closes():
    cfg = json.dumps({**json.loads(fallback("status-500", "echo")),
                      "cb_config": {"failure_threshold": 2, "cooldown_interval": "1s"}})
    other = Pkd(folder=pkd.folder)

    def first_of(daemon):
        before = mock.page("stats")["by_model"].get("status-500", 0)
        status, h, _ = chat(daemon, mock, cfg=cfg)
        expect(status == 200 and h["x-portkey-last-used-option-index"] == "config.targets[1]", h)
        return mock.page("stats")["by_model"].get("status-500", 0) > before

    expect(first_of(pkd))
    expect(first_of(other))
    expect(until(lambda: not first_of(pkd)))
    expect(not first_of(other) or pkd.rows("select 1 from pk_circuits where state = 'closed'"))
    expect(until(lambda: first_of(other)))  # closed again
    rows = pkd.rows("select requests > 0 from pk_circuits where config like '#%'")
    expect(rows == [(1,), (1,)], rows)
    expect(other.stop() == 0)


def a_host_that_the_client_chose_opens_no_circuit():
    cfg = json.dumps({**json.loads(fallback("status-500", "status-501")), "cb_config": {"failure_threshold": 1}})
    status, h, _ = chat(pkd, mock, cfg=cfg, headers={"x-portkey-custom-host": "http://127.0.0.1:9/v1"})
    expect(status == 502, status)
    expect(pkd.rows_within(f"select 1 from pk_logs where trace_id = '{h['x-portkey-trace-id']}'", bool))
    counted = len(pkd.rows("select 1 from pk_circuits"))
    expect(chat(pkd, mock, cfg=cfg)[0] == 501)
    rows = pkd.rows_within("select 1 from pk_circuits", lambda rows: len(rows) == counted + 2)
    expect(len(rows) == counted + 2, rows)


def provider_errors_keep_their_status():
    for code in 400, 401, 404, 429, 500, 529:
        status, h, body = chat(pkd, mock, "status-%d" % code)
        answer = json.loads(body)
        expect(status == code and answer["error"]["message"] and answer["provider"] == "openai", body)
        expect(h["x-portkey-trace-id"])
    status, _, body = pkd.http("POST", "/v1/messages", json.dumps({**MESSAGES, "model": "status-429"}),
                               {"x-portkey-config": anthropic()})
    expect(status == 429 and json.loads(body)["type"] == "error", body)


def a_timeout_is_a_408():
    began = time.monotonic()
    status, _, body = chat(pkd, mock, "hang", headers={"x-portkey-request-timeout": "1200"})
    expect(status == 408, body)
    expect(1.1 < time.monotonic() - began < 30)  # it hangs for ever
    expect(until(lambda: mock.page("stats")["in_flight"] <= 1))


def trace_ids_and_metadata_come_back_and_are_logged():
    trace = uuid.uuid4().hex
    h = {"x-portkey-trace-id": trace, "x-portkey-span-id": "s1", "x-portkey-parent-span-id": "p1",
         "x-pk-span-name": "step", "x-portkey-metadata": '{"_user":"ann","team":"a"}'}
    status, got, _ = chat(pkd, mock, "echo", headers=h)
    expect(got["x-portkey-trace-id"] == trace)
    sql = ("select span_id, parent_span_id, span_name, user_id, status, http_status, source, metadata "
           "from pk_logs where trace_id = '%s'" % trace)
    rows = pkd.rows_within(sql, lambda r: r)
    expect(rows and rows[0][:7] == ("s1", "p1", "step", "ann", "success", 200, "http"), rows)
    expect(json.loads(rows[0][7])["team"] == "a")


def payloads_stay_out_of_the_log_when_asked():
    for name, value in (("disable-logging", "true"), ("disable-logging", "True"), ("disable-logging", "1"),
                        ("debug", "false"), ("debug", "0")):
        trace = uuid.uuid4().hex
        chat(pkd, mock, "echo", "secret text", {"x-portkey-trace-id": trace, "x-portkey-" + name: value})
        rows = pkd.rows_within("select request, response from pk_logs where trace_id = '%s'" % trace,
                               lambda r: r)
        expect(rows == [(None, None)], rows)


def headers_are_forwarded_only_when_asked():
    h = {"x-mine": "1", "x-other": "2", "cookie": "c=d", "x-portkey-forward-headers": "x-mine"}
    chat(pkd, mock, "echo", headers=h)
    last = mock.page("last")["headers"]
    expect(last.get("x-mine") == "1" and "x-other" not in last and "cookie" not in last, last)


def a_provider_header_alone_uses_the_environment():
    status, _, body = pkd.http("POST", "/v1/chat/completions", chat_body("echo"),
                               {"x-portkey-provider": "openai", "x-portkey-custom-host": mock.base})
    expect(status in (200, 403), f"{status} {body}")
    if status == 200:
        expect(mock.page("last")["headers"]["authorization"] == "Bearer sk-env")


def gateway_keys_are_not_sent_to_providers():
    h = {"x-portkey-provider": "openai", "Authorization": "Bearer pk-gateway",
         "x-portkey-custom-host": mock.base}
    before = mock.page("stats")["requests"]
    pkd.http("POST", "/v1/chat/completions", chat_body("echo"), h)
    if mock.page("stats")["requests"] > before:
        expect("pk-gateway" not in json.dumps(mock.page("last")["headers"]))


def models_are_listed():
    status, _, body = pkd.http("GET", "/v1/models")
    answer = json.loads(body)
    expect(status == 200 and answer["object"] == "list" and len(answer["data"]) > 20)
    ids = [(m["id"], m["owned_by"]) for m in answer["data"]]
    expect(("gpt-4o", "openai") in ids and len(ids) == len(set(ids)))
    expect(all(m["object"] == "model" and isinstance(m["created"], int) for m in answer["data"]))
    expect([p["id"] for p in answer["providers"]] == ["openai"], answer["providers"])


def models_are_described():
    status, _, body = pkd.http("GET", "/v1/models/gpt-4o")
    answer = json.loads(body)
    expect(status == 200 and (answer["id"], answer["owned_by"], answer["object"]) == ("gpt-4o", "openai", "model"), body)
    expect(answer["context_window"] == 128000 and answer["max_output_tokens"] == 16384, body)
    expect(answer["pricing"]["input_usd"] == 2.5 and answer["capabilities"]["supports_vision"], body)
    for path in ("/v1/models/openai/gpt-4o", "/v1/models/openai%2Fgpt-4o", "/v1/models/gpt-4o?provider=openai"):
        expect(json.loads(pkd.http("GET", path)[2]) == answer, path)
    one = json.loads(pkd.http("GET", "/v1/models/groq/openai/gpt-oss-120b")[2])
    expect((one["id"], one["owned_by"]) == ("openai/gpt-oss-120b", "groq"), one)
    status, _, body = pkd.http("GET", "/v1/models/no-such-model")
    expect(status == 404 and "no-such-model" in json.loads(body)["error"]["message"], body)
    expect(pkd.http("GET", "/v1/models/gpt-4o?provider=groq")[0] == 404)
    for path, headers in (("/v1/models?provider=anthropic", {}), ("/v1/models", {"x-portkey-provider": "@anthropic"})):
        owners = {m["owned_by"] for m in json.loads(pkd.http("GET", path, None, headers)[2])["data"]}
        expect(owners == {"anthropic"}, owners)


def prices_are_listed_and_imported():
    row = {"provider": "openai", "model": "m-http", "input_usd": 0.5, "output_usd": 2, "units": {"image": 0.04}}
    status, _, body = pkd.http("PUT", "/v1/prices?dry_run=true", json.dumps([row]))
    expect(status == 200 and json.loads(body)["counts"]["added"] == 1 and json.loads(body)["dry_run"], body)
    expect(json.loads(pkd.http("GET", "/v1/prices?model=m-http")[2])["data"] == [])
    expect(pkd.http("POST", "/v1/prices", json.dumps([row]))[0] == 200)
    listed = json.loads(pkd.http("GET", "/v1/prices?model=m-http&provider=openai")[2])["data"]
    expect(len(listed) == 1 and {**listed[0], **row} == listed[0], listed)
    status, _, body = pkd.http("PUT", "/v1/prices", json.dumps(listed))
    expect(json.loads(body)["counts"]["unchanged"] == 1, body)
    status, _, body = pkd.http("PUT", "/v1/prices?format=litellm", '{"m": {"litellm_provider": "openai", "input_cost_per_token": -1}}')
    expect(status == 400 and "m.input_cost_per_token" in json.loads(body)["error"]["message"], body)
    expect(json.loads(pkd.http("GET", "/v1/models/m-http")[2])["pricing"] == {"input_usd": 0.5, "output_usd": 2})


def feedback_is_taken():
    trace = uuid.uuid4().hex
    status, _, body = pkd.http("POST", "/v1/feedback", json.dumps(
        {"trace_id": trace, "value": 5, "weight": 0.5, "metadata": {"a": 1}}))
    answer = json.loads(body)
    expect(status == 200 and answer["status"] == "success" and len(answer["feedback_ids"]) == 1, body)
    status, _, body = pkd.http("POST", "/v1/feedback", json.dumps(
        [{"trace_id": trace, "value": -10}, {"trace_id": trace, "value": 10}]))
    expect(len(json.loads(body)["feedback_ids"]) == 2, body)
    rows = pkd.rows_within("select value, weight from pk_feedback where trace_id = '%s' order by value"
                           % trace, lambda r: len(r) == 3)
    expect(rows == [(-10, 1.0), (5, 0.5), (10, 1.0)], rows)
    trace = uuid.uuid4().hex
    for given in ({"label": "thumbs_up"}, {"label": "a\"b", "metadata": {"n": 1}},
                  {"label": "a", "metadata": {"label": "own"}}, {"label": "", "metadata": None}):
        status, _, body = pkd.http("POST", "/v1/feedback", json.dumps(
            {"trace_id": trace, "value": 1, **given}))
        expect(status == 200, body)
    rows = pkd.rows_within("select metadata from pk_feedback where trace_id = '%s' order by 1" % trace,
                           lambda r: len(r) == 4)
    kept = sorted((json.loads(r[0]) for r in rows), key=json.dumps)
    expect(kept == [{"label": ""}, {"label": "a\"b", "n": 1}, {"label": "own"}, {"label": "thumbs_up"}], kept)
    for bad in ('{}', '[]', '3', '{"trace_id":"a"}', '{"trace_id":"a","value":1,"label":1}',
                '{"trace_id":"a","value":1,"label":"b","metadata":[]}', '{"trace_id":"a","value":11}',
                '{"trace_id":"a","value":"5"}', '{"trace_id":"a","value":1,"weight":2}',
                '{"trace_id":"a","value":1,"nonsense":2}', '{"trace_id":1,"value":1}',
                '[{"trace_id":"a","value":1},{"value":1}]'):
        status, _, body = pkd.http("POST", "/v1/feedback", bad)
        expect(status == 400, f"{bad}: {body}")


def health_is_told():
    for path in "/healthz", "/readyz":
        status, _, body = pkd.http("GET", path)
        expect(status == 200 and json.loads(body)["status"] == "ok")
    status, _, body = pkd.http("GET", "/nothing?a=b")
    expect(status == 404 and json.loads(body)["error"]["type"] == "not_found", body)


# --- streams that break, clients that leave ---------------------------------------------------


def a_broken_stream_never_ends_cleanly():
    for model in "drop-mid:words=40", "no-end:words=40", "error-mid-stream:words=10:tick=20":
        s = pkd.raw()
        s.sendall(chat_request(mock, chat_body(model, "x", stream=True)))
        data = b""
        while True:
            more = s.recv(65536)
            if not more:
                break
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        expect(b" 200 " in head and b"chunked" in head, head)
        expect(not body.endswith(b"0\r\n\r\n"), model + ": a clean end")
        expect(b"[DONE]" not in body and b'"error"' in body, body[-300:])
        s.close()
    rows = pkd.rows_within("select count(*) from pk_logs where status = 'truncated'",
                           lambda r: r[0][0] >= 3)
    expect(rows[0][0] >= 3, rows)


def a_client_that_leaves_ends_the_call(how, model, stream, after):
    trace = uuid.uuid4().hex
    aborted = mock.page("stats")["aborted"]
    s, before = pkd.raw(), mock.page("stats")["requests"]
    s.sendall(chat_request(mock, chat_body(model, "a b c", stream=stream),
                           "x-portkey-trace-id: %s\r\n" % trace))
    if after == "bytes":
        expect(s.recv(100))
    else:
        expect(until(lambda: mock.page("stats")["requests"] > before))
    if how == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how == "half":
        s.shutdown(socket.SHUT_WR)
    else:
        s.close()
    expect(until(lambda: mock.page("stats")["aborted"] > aborted), "upstream goes on")
    rows = pkd.rows_within("select status, http_status from pk_logs where trace_id = '%s'" % trace,
                           lambda r: r)
    expect(rows and rows[0][0] == "client_closed", rows)
    if how == "half":
        s.close()


def clients_that_leave_end_their_calls():
    for how in "close", "reset", "half":
        a_client_that_leaves_ends_the_call(how, "hang", False, None)
        a_client_that_leaves_ends_the_call(how, "hang", True, None)
        a_client_that_leaves_ends_the_call(how, "stall-after:3:words=9", True, "bytes")


class Provider(threading.Thread):
    """Streams by hand: `say` sends an event; `gone` is set, with the time, when pkd hangs up."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = "http://127.0.0.1:%d/v1" % self.listener.getsockname()[1]
        self.open, self.gone = threading.Event(), threading.Event()
        self.start()

    def run(self):
        self.s, _ = self.listener.accept()
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        while b"\r\n\r\n" not in data or not data.endswith(b"}"):
            data += self.s.recv(65536)
        self.s.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        self.open.set()
        try:
            while self.s.recv(100):
                pass
        except OSError:
            pass
        self.gone_at = time.monotonic()
        self.gone.set()
        self.s.close()
        self.listener.close()

    def say(self, word):
        event = b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}]}).encode() + b"\n\n"
        self.s.sendall(b"%x\r\n" % len(event) + event + b"\r\n")


def a_stream_by_hand():
    provider = Provider()
    body = chat_body("gpt-4o", "how are you", stream=True).encode()
    s = pkd.raw()
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nx-portkey-config: " +
              json.dumps({"provider": "openai", "api_key": "k", "custom_host": provider.base}).encode() +
              b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    expect(provider.open.wait(30))
    return provider, s


def every_event_is_passed_at_once():
    provider, s = a_stream_by_hand()
    times = []
    for i in range(30):
        began = time.monotonic()
        provider.say("word%d" % i)
        data = b""
        while b"word%d\"" % i not in data:
            data += s.recv(65536)
        times.append(time.monotonic() - began)
    expect(soon("an event", times, 0.01) and soon("the first", times[:1], 0.05), times)
    s.close()
    expect(provider.gone.wait(30))


def a_client_that_leaves_is_noticed_within_50_ms_and_billed():
    took = []
    for how in "close", "reset", "half", "close", "reset", "half":
        before = pkd.rows("select count(*) from pk_logs where status = 'client_closed'")[0][0]
        provider, s = a_stream_by_hand()
        provider.say("one two three four")
        data = b""
        while b"one two" not in data:
            data += s.recv(65536)
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        began = time.monotonic()
        if how == "half":
            s.shutdown(socket.SHUT_WR)
        else:
            s.close()
        expect(provider.gone.wait(30), how)
        took.append(provider.gone_at - began)
        s.close()
        rows = pkd.rows_within("select input_tokens, output_tokens, usage_source, cost_usd from pk_logs "
                               "where status = 'client_closed' order by id desc", lambda r: len(r) > before)
        expect(rows and rows[0][0] > 0 and rows[0][1] > 0 and rows[0][2] == "estimated" and rows[0][3], rows)
    expect(soon("upstream is closed", took, 0.05), took)


def a_slow_reader_pauses_the_provider():
    trace = uuid.uuid4().hex
    before = memory_kb(pkd.process.pid)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(60)
    s.connect(("127.0.0.1", pkd.port))
    s.sendall(chat_request(mock, chat_body("huge:12MB", "x", stream=True),
                           "x-portkey-disable-logging: true\r\nx-portkey-trace-id: %s\r\n" % trace))
    time.sleep(1.0)
    expect(pkd.http("GET", "/healthz")[0] == 200)
    expect(pkd.rows("select 1 from pk_logs where trace_id = '%s'" % trace) == [], "it was not paused")
    size = 0
    while True:
        more = s.recv(1 << 20)
        if not more:
            break
        size += len(more)
        if more.endswith(b"0\r\n\r\n"):
            break
    expect(size > 12 << 20, size)
    s.close()
    rows = pkd.rows_within("select status from pk_logs where trace_id = '%s'" % trace, lambda r: r)
    expect(rows == [("success",)], rows)


def an_answer_beyond_the_limits_is_the_providers_fault():
    for stream in False, True:
        status, _, body = chat(pkd, mock, "big-event:40MB", stream=stream)
        expect(status == 502 and json.loads(body)["error"]["type"] == "too_large", f"{status} {body[:200]}")


def a_client_that_never_reads_is_given_up():
    slow = Pkd("--write-timeout", "600")
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", slow.port))
    s.sendall(chat_request(mock, chat_body("echo:words=30000", "x", stream=True)))
    rows = slow.rows_within("select status from pk_logs", lambda r: r)
    expect(rows == [("client_closed",)], rows)
    s.close()
    expect(slow.stop() == 0)


def a_large_answer_arrives_whole():
    status, _, body = chat(pkd, mock, "huge:8MB")
    expect(status == 200 and len(text_of(body)) >= 8 << 20)
    status, _, body = chat(pkd, mock, "huge:40MB")
    expect(status == 502, status)


def a_slow_provider_is_relayed_as_it_comes():
    s = pkd.raw()
    s.sendall(chat_request(mock, chat_body("echo:words=5:tick=200", "a b c d e", stream=True)))
    f = s.makefile("rb")
    expect(read_response(f)[0] == 200)
    times = []
    for line in f:
        if line.startswith(b"data: "):
            times.append(time.monotonic())
        if b"[DONE]" in line:
            break
    expect(times[-1] - times[0] > 0.4, times)
    s.close()


# --- the cache -------------------------------------------------------------------------------


def cached(**more):
    return config(mock, cache={"mode": "simple", "max_age": 60}, **more)


def an_equal_request_is_a_hit_at_once():
    for i in range(20):
        text = uuid.uuid4().hex
        before = mock.page("stats")["requests"]
        status, h, first = chat(pkd, mock, "echo", text, cfg=cached())
        expect(h["x-portkey-cache-status"] == "MISS")
        status, h, second = chat(pkd, mock, "echo", text, cfg=cached())
        expect(h["x-portkey-cache-status"] == "HIT" and first == second, h)
        expect(mock.page("stats")["requests"] == before + 1)
    time.sleep(0.3)
    status, h, third = chat(pkd, mock, "echo", text, cfg=cached())
    expect(h["x-portkey-cache-status"] == "HIT" and first == third, "out of the store")
    status, h, body = chat(pkd, mock, "echo", text, cfg=cached(), stream=True)
    expect(h["x-portkey-cache-status"] == "HIT" and body.endswith(b"data: [DONE]\n\n"), body)


def cache_headers_are_obeyed():
    text = uuid.uuid4().hex
    chat(pkd, mock, "echo", text, cfg=cached())
    for value, status in ("true", "REFRESH"), ("", "REFRESH"), ("false", "HIT"):
        _, h, _ = chat(pkd, mock, "echo", text, {"x-portkey-cache-force-refresh": value}, cached())
        expect(h["x-portkey-cache-status"] == status, h)
    _, h, _ = chat(pkd, mock, "echo", text, {"x-portkey-cache-namespace": "other"}, cached())
    expect(h["x-portkey-cache-status"] == "MISS", h)
    for value, status in ("false", "DISABLED"), ("true", "HIT"):
        _, h, _ = chat(pkd, mock, "echo", text, {"x-portkey-debug": value}, cached())
        expect(h["x-portkey-cache-status"] == status, h)


def openais_own_headers_go_along():
    sent = {"openai-organization": "org-1", "openai-project": "proj-1", "openai-beta": "b=v2"}
    mine = {"x-portkey-provider": "openai", "authorization": "Bearer sk-mine", "x-portkey-custom-host": mock.base}

    def upstream(provider="openai", **headers):
        status, _, body = pkd.http("POST", "/v1/chat/completions", chat_body(), {
            "content-type": "application/json", **mine, **sent, "x-portkey-provider": provider, **headers})
        expect(status == 200, body)
        got = mock.page("last")["headers"]
        return {name: got[name] for name in sent if name in got}
    expect(upstream() == sent)
    expect(upstream(**{"x-portkey-openai-project": "proj-2"}) == {**sent, "openai-project": "proj-2"})
    expect(upstream("groq") == {"openai-beta": "b=v2"}, "an account is OpenAI's alone")
    chat(pkd, mock, headers=sent)
    expect("openai-organization" not in mock.page("last")["headers"], "nor another key's")


def a_header_may_be_latin_1():
    trace = uuid.uuid4().hex
    for value in "José".encode("latin-1"), "José".encode():
        status, h, body = chat(pkd, mock, headers={
            "x-portkey-metadata": b'{"who": "' + value + b'"}', "x-portkey-span-name": value, "x-portkey-trace-id": trace})
        expect(status == 200, body)
    rows = pkd.rows_within(f"select span_name, metadata ->> 'who' from pk_logs where trace_id = '{trace}'", lambda r: len(r) == 2)
    expect(rows == [("José", "José")] * 2, rows)


def a_compressed_body_is_refused():
    body = gzip.compress(chat_body().encode())
    headers = {"content-type": "application/json", "x-portkey-config": config(mock)}
    status, _, said = pkd.http("POST", "/v1/chat/completions", body, {**headers, "content-encoding": "gzip"})
    expect(status == 400 and b"content-encoding: a body must come as it is" in said, said)
    expect(chat(pkd, mock, headers={"content-encoding": "identity"})[0] == 200)


def a_host_of_ones_own_needs_no_key():
    bare = Pkd()
    for headers in ({"x-portkey-custom-host": "http://127.0.0.1:%d/v1" % mock.port}, {}):
        status, _, body = bare.http("POST", "/v1/chat/completions", chat_body(), {
            "content-type": "application/json", "x-portkey-provider": "openai", **headers})
        said = json.loads(body)["error"]
        # The mock's answer to a request without a key; without a host it is not asked.
        expect(status == 401 and (said["code"] == "invalid_api_key") == bool(headers), said)
    bare.stop()


def together(count, call):
    results = [None] * count
    def one(i):
        results[i] = call(i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def equal_requests_in_flight_are_one():
    for server in pkd, Pkd("--threads", "3"):
        text = uuid.uuid4().hex
        before = mock.page("stats")["requests"]
        got = together(40, lambda i: chat(server, mock, "echo:d=300", text, cfg=cached()))
        expect(all(g[0] == 200 and g[2] == got[0][2] for g in got))
        expect(mock.page("stats")["requests"] == before + 1, mock.page("stats")["requests"] - before)
        states = sorted(g[1]["x-portkey-cache-status"] for g in got)
        expect(states == ["HIT"] * 39 + ["MISS"], states)
        if server is not pkd:
            expect(server.stop() == 0)


def a_leader_that_fails_passes_the_lead_on():
    text = uuid.uuid4().hex
    model = "seq-500-500-200:d=150"
    got = together(6, lambda i: chat(pkd, mock, model, text, cfg=cached()))
    codes = sorted(g[0] for g in got)
    expect(codes == [200, 200, 200, 200, 500, 500], codes)


def a_leader_that_leaves_passes_the_lead_on():
    text = uuid.uuid4().hex
    request = chat_request(mock, "").replace(config(mock).encode(), cached().encode())
    body = chat_body("echo:d=2000", text).encode()
    request = request.replace(b"Content-Length: 0", b"Content-Length: %d" % len(body)) + body
    leader = pkd.raw()
    leader.sendall(request)
    time.sleep(0.1)
    waiter = pkd.raw()
    waiter.sendall(request)
    time.sleep(0.1)
    leaves = pkd.raw()
    leaves.sendall(request)
    time.sleep(0.05)
    leaves.close()
    leader.close()
    status, h, body = read_response(waiter)
    expect(status == 200 and h["x-portkey-cache-status"] == "MISS", h)
    waiter.close()


def a_request_timeout_is_for_attempts_not_for_a_wait():
    text = uuid.uuid4().hex
    before = mock.page("stats")["requests"]
    leader = threading.Thread(target=lambda: chat(pkd, mock, "echo:d=1200", text, cfg=cached()))
    leader.start()
    expect(until(lambda: mock.page("stats")["requests"] == before + 1))
    cfg = json.dumps({**json.loads(cached()), "request_timeout": 300})
    status, _, body = chat(pkd, mock, "echo:d=1200", text, cfg=cfg)
    expect(status == 200 and text_of(body) == text, (status, body))
    expect(mock.page("stats")["requests"] == before + 1)
    leader.join()


run(a_chat_is_answered_and_its_headers_tell_how, a_known_price_is_told, a_stream_is_relayed_to_its_end,
    messages_are_served_to_anthropic_clients, headers_alone_name_provider_and_key,
    a_config_without_target_takes_the_provider_of_the_headers, the_model_may_name_the_provider,
    what_is_missing_is_said, bad_steering_headers_are_refused, a_host_beyond_the_allowed_is_refused,
    fallback_and_retries_are_reported, a_condition_sees_the_path,
    an_open_circuit_is_open_in_every_daemon_until_it_closes, a_host_that_the_client_chose_opens_no_circuit,
    provider_errors_keep_their_status, a_timeout_is_a_408,
    trace_ids_and_metadata_come_back_and_are_logged, payloads_stay_out_of_the_log_when_asked,
    headers_are_forwarded_only_when_asked, a_provider_header_alone_uses_the_environment,
    gateway_keys_are_not_sent_to_providers, models_are_listed, models_are_described,
    prices_are_listed_and_imported, feedback_is_taken, health_is_told,
    a_broken_stream_never_ends_cleanly, clients_that_leave_end_their_calls, every_event_is_passed_at_once,
    a_client_that_leaves_is_noticed_within_50_ms_and_billed,
    a_slow_reader_pauses_the_provider, a_client_that_never_reads_is_given_up,
    a_large_answer_arrives_whole, an_answer_beyond_the_limits_is_the_providers_fault, a_slow_provider_is_relayed_as_it_comes,
    openais_own_headers_go_along, a_header_may_be_latin_1, a_compressed_body_is_refused, a_host_of_ones_own_needs_no_key,
    an_equal_request_is_a_hit_at_once, cache_headers_are_obeyed, equal_requests_in_flight_are_one,
    a_leader_that_fails_passes_the_lead_on, a_leader_that_leaves_passes_the_lead_on,
    a_request_timeout_is_for_attempts_not_for_a_wait)
code = pkd.stop()
mock.stop()


def it_ends_cleanly_after_all_that():
    expect(code == 0, code)


run(it_ends_cleanly_after_all_that)
end()
