"""Cases that are more than a call: stored things, SQL's own rules, streams, processes.

A case is a function (door, e, mock) that returns True; its docstring is its name. SQL lists those of
both SQL doors, HTTP those of the daemon, ANY those of all.
"""
import http.client
import json
import signal
import socket
import sqlite3
import threading
import time

import access
import caching
import operations
import fronts
import prompts
import providers
from cases import SECRET, WEATHER
from doors import Answer, until


def options(trace, **more):
    return {"pk": {"trace_id": trace, **more}}


def trace(case):
    return f"{case}-{time.monotonic_ns()}"


# --- all doors -----------------------------------------------------------------------------------

def stored_config(door, e, mock):
    """a stored config is found by its slug, and named in the log"""
    door.function("pk_key_put", "stored-key", "openai", SECRET + "-stored",
                  {"custom_host": e.base + "/v1"})
    put = door.function("pk_config_put", "stored", {
        "virtual_key": "stored-key", "override_params": {"model": "echo"}})
    id_ = trace("stored")
    answer = door.chat("stored", "hi", options(id_))
    row = door.row(id_)
    return (not isinstance(put, Answer) and answer.text == "hi" and row["config"] == "stored"
            and row["virtual_key"] == "stored-key"
            and mock.page("last")["headers"]["authorization"] == f"Bearer {SECRET}-stored")


def bound_key(door, e, mock):
    """a stored key goes only to the host that it was stored with"""
    door.function("pk_key_put", "bound", "openai", SECRET + "-bound",
                  {"custom_host": e.base + "/v1"})
    before = mock.page("stats")["requests"]
    answer = door.chat({"virtual_key": "bound", "custom_host": "http://127.0.0.2:9/v1"}, "hi",
                       {"model": "echo"})
    return (not answer.ok and answer.status == 403 and before == mock.page("stats")["requests"])


def revoked_key(door, e, mock):
    """a rotated key is used at once, a revoked one no more"""
    door.function("pk_key_put", "turn", "openai", SECRET + "-one", {"custom_host": e.base + "/v1"})
    config = {"virtual_key": "turn", "override_params": {"model": "echo"}}
    first = door.chat(config, "hi").ok
    door.function("pk_key_rotate", "turn", SECRET + "-two")
    time.sleep(0.03)  # a daemon may remember for some milliseconds what a reference meant
    second = door.chat(config, "hi").ok
    sent = mock.page("last")["headers"]["authorization"]
    door.function("pk_key_revoke", "turn")
    time.sleep(0.03)
    third = door.chat(config, "hi")
    return first and second and sent.endswith("-two") and not third.ok


def literal_key(door, e, mock):
    """a config with a literal key is not stored"""
    put = door.function("pk_config_put", "leaky", {"provider": "openai", "api_key": SECRET})
    return isinstance(put, Answer) and "api_key" in put.message


def feedback(door, e, mock):
    """feedback is kept beside the trace; a value out of range is refused"""
    id_ = trace("feedback")
    door.chat(e.to("echo"), "hi", options(id_))
    if door.sql:
        door.function("pk_feedback", id_, 5)
        refused = isinstance(door.function("pk_feedback", id_, 11), Answer)
    else:
        door.request("/v1/feedback", {"trace_id": id_, "value": 5}, {})
        refused = door.request("/v1/feedback", {"trace_id": id_, "value": 11}, {})[0] == 400
    rows = door.wait_rows("pk_feedback", id_)
    return refused and len(rows) == 1 and rows[0]["value"] == 5


def secrets(door, e, mock):
    """no key is in any log row, error, answer or file"""
    everything = door.everything()
    return (SECRET.encode() not in everything and len(everything) > 10000) or \
        print("# found near:", everything[max(0, everything.find(SECRET.encode()) - 200):][:300])


# --- SQL -----------------------------------------------------------------------------------------

def raises(door, e, mock):
    """pk_chat raises what pk_try_chat returns"""
    answer = door.raising(e.to("status-503"), "hi")
    return isinstance(answer, Answer) and answer.code == "provider_error"


def asks(door, e, mock):
    """pk_ask gives the text, with a system text, and NULL for a tool call"""
    system = door.ask(e.to("body-echo"), "hi", "be brief")
    return (door.ask(e.to("echo"), "two words") == "two words"
            and json.loads(system)["messages"][0] == {"role": "system", "content": "be brief"}
            and door.ask(e.to("tool-call"), "hi", None, {"tools": [WEATHER]}) is None)


def typed(door, e, mock):
    """typed functions give values of their types, ask twice at most, and are logged as one call"""
    def value(sql, *args):
        cast = "::jsonb" if door.dialect == "postgres" else ""
        for i in range(len(args)):
            sql = sql.replace("?", f"${i + 1}", 1) if door.dialect == "postgres" else sql
        return door.call(f"select {sql.replace('@', cast)}", *args)

    said, schema = json.dumps(e.to("said")), '{"type":"object","required":["n"]}'
    id_ = trace("typed")
    before = mock.page("stats")["requests"]
    good = (json.loads(value("pk_extract(?, 'x <<{\"n\":7}>>', ?@)", said, schema)) == {"n": 7}
            and value("pk_classify(?, '<<Red>>', ?@)", said, '["red"]') == "red"
            and value("pk_classify(?, '<<green>>', ?@)", said, '["red"]') is None
            and str(value("pk_filter(?, 'q', '<<yes>>')", said)) in ("1", "t")
            and value("pk_filter(?, 'q', 'x')", json.dumps(e.to("status-500"))) is None
            and float(value("pk_score(?, 'r', '<<0.5>>')", said)) == 0.5
            and value("pk_reduce(?, 'i', 'x')", json.dumps(e.to("echo"))) == "<item>\nx\n</item>\n")
    asked = mock.page("stats")["requests"] - before
    repaired = value("pk_json(?, '<<no>><<{\"n\":1}>>', ?@, null, ?@)", said, schema, json.dumps(options(id_)))
    row, spans = door.row(id_), door.spans(id_)
    wrong = value("pk_json(?, '<<no>>', ?@)", said, schema)
    return (good and asked == 8 and json.loads(repaired) == {"n": 1} and row["attempts"] == 2
            and row["status"] == "success" and [s["error_type"] for s in spans] == ["unfit_answer", None]
            and not wrong.ok and "there is no JSON in the answer" in wrong.message)


def large_body(door, e, mock):
    """a text of 100 MB is refused before anything is sent"""
    before = mock.page("stats")["requests"]
    answer = door.raising(e.to("echo"), "x" * (100 << 20))
    return (isinstance(answer, Answer) and answer.code == "too_large"
            and before == mock.page("stats")["requests"])


def allowed_hosts(door, e, mock):
    """an address that is not loopback by name is denied until allowed_hosts lists it"""
    host = e.base.replace("http://127.0.0.1", "0.0.0.0")  # which is this machine too
    config = {"provider": "openai", "api_key": e.key, "custom_host": f"http://{host}/v1"}
    before = door.chat(config, "hi", {"model": "x"})
    door.allow_hosts(host)
    after = door.chat(config, "hi", {"model": "x"})
    door.allow_hosts("")
    return before.code == "host_not_allowed" and after.text == "hi"


def rolled_back(door, e, mock):
    """a call of a rolled-back transaction is in the log"""
    id_ = trace("rollback")
    run = door.db.execute if door.name == "sqlite" else door.db.query
    run("begin")
    door.chat(e.to("echo"), "hi", options(id_))
    run("rollback")
    return door.row(id_)["status"] == "success"


# --- HTTP ----------------------------------------------------------------------------------------

def headers_for(e, config, **more):
    return {"x-portkey-config": json.dumps(config), **more}


def stream(door, path, config, body, **headers):
    """The data of every event, in order."""
    _, got, text = door.request(path, {"stream": True, **body}, headers_for(None, config, **headers))
    if not got["Content-Type"].startswith("text/event-stream"):
        return []
    return [line[5:].strip() for line in text.decode().splitlines() if line.startswith("data:")]


def turn(text):
    return [{"role": "user", "content": text}]


def streams_openai(door, e, mock):
    """a stream passes through, is counted, priced and logged"""
    id_ = trace("stream")
    data = stream(door, "/v1/chat/completions", e.to(), {"model": "gpt-4o",
                  "messages": turn("hello big world")}, **{"x-portkey-trace-id": id_})
    text = "".join(c["delta"].get("content") or "" for d in data[:-1]
                   for c in json.loads(d)["choices"])
    row = door.row(id_)
    return (text == "hello big world" and data[-1] == "[DONE]" and row["stream"]
            and row["status"] == "success" and (row["input_tokens"], row["output_tokens"]) == (3, 3)
            and str(row["cost_usd"]) == "0.0000375" and row["ttft_ms"] is not None
            and row["response"]["choices"][0]["message"]["content"] == "hello big world")


def streams_anthropic(door, e, mock):
    """an anthropic stream reaches an OpenAI client as chunks"""
    data = stream(door, "/v1/chat/completions", e.claude(), {"messages": turn("hello big world")})
    text = "".join(c["delta"].get("content") or "" for d in data[:-1]
                   for c in json.loads(d)["choices"])
    return text == "hello big world" and data[-1] == "[DONE]"


def messages_native(door, e, mock):
    """/v1/messages speaks Anthropic's own: answer, stream and errors"""
    body = {"model": "claude-x", "max_tokens": 9, "messages": turn("hello big world")}
    _, _, text = door.request("/v1/messages", body, headers_for(e, e.claude(None)))
    data = stream(door, "/v1/messages", e.claude(None), body)
    status, _, error = door.request("/v1/messages", body, headers_for(e, e.claude("status-529")))
    return (json.loads(text)["content"][0]["text"] == "hello big world"
            and json.loads(data[-1])["type"] == "message_stop" and status == 529
            and json.loads(error)["type"] == "error")


def streams_gemini(door, e, mock):
    """a gemini stream reaches an OpenAI client as chunks, whole or with an error"""
    id_ = trace("gemini")
    data = stream(door, "/v1/chat/completions", e.gemini("gemini-2.5-flash"),
                  {"messages": turn("hello big world"), "stream_options": {"include_usage": True}},
                  **{"x-portkey-trace-id": id_})
    chunks = [json.loads(d) for d in data[:-1]]
    text = "".join(c["delta"].get("content") or "" for d in chunks for c in d["choices"])
    row = door.row(id_)
    tools = stream(door, "/v1/chat/completions", e.gemini("tool-call"), {
        "messages": turn("x"), "tools": [WEATHER]})
    ends = [c["finish_reason"] for d in tools[:-1] for c in json.loads(d)["choices"]]
    for model in ("drop-mid", "no-end", "error-mid-stream:tick=20", "truncated-json:tick=20"):
        broken = stream(door, "/v1/chat/completions", e.gemini(model),
                        {"messages": turn("one two three four")})
        if "[DONE]" in broken or '"error"' not in broken[-1]:
            return print("#", model, broken)
    return (text == "hello big world" and data[-1] == "[DONE]" and chunks[-1]["usage"] ==
            {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6,
             "prompt_tokens_details": {"cached_tokens": 0}}
            and row["status"] == "success" and str(row["cost_usd"]) == "0.0000084"
            and row["response"]["choices"][0]["message"]["content"] == "hello big world"
            and ends[-1] == "tool_calls" and set(ends[:-1]) == {None})


def streams_cohere(door, e, mock):
    """a cohere stream reaches an OpenAI client as chunks, whole or with an error"""
    id_ = trace("cohere")
    data = stream(door, "/v1/chat/completions", e.cohere("command-a-03-2025"),
                  {"messages": turn("hello big world"), "stream_options": {"include_usage": True}},
                  **{"x-portkey-trace-id": id_})
    chunks = [json.loads(d) for d in data[:-1]]
    text = "".join(c["delta"].get("content") or "" for d in chunks for c in d["choices"])
    row = door.row(id_)
    tools = stream(door, "/v1/chat/completions", e.cohere("tool-call"), {
        "messages": turn("x"), "tools": [WEATHER]})
    calls = [t for d in tools[:-1] for c in json.loads(d)["choices"]
             for t in c["delta"].get("tool_calls", [])]
    for model in ("drop-mid", "no-end", "error-mid-stream:tick=20", "truncated-json:tick=20"):
        broken = stream(door, "/v1/chat/completions", e.cohere(model),
                        {"messages": turn("one two three four")})
        if "[DONE]" in broken or '"error"' not in broken[-1]:
            return print("#", model, broken)
    return (text == "hello big world" and data[-1] == "[DONE]"
            and chunks[-1]["usage"]["total_tokens"] == 6 and chunks[0]["model"] == "command-a-03-2025"
            and row["status"] == "success" and str(row["cost_usd"]) == "0.0000375"
            and calls[0]["function"]["name"] == "weather"
            and "".join(t["function"]["arguments"] for t in calls) == '{"city":"mock"}')


def streams_bedrock(door, e, mock):
    """a bedrock stream, in AWS's frames, reaches an OpenAI client as chunks, whole or with an error"""
    id_ = trace("bedrock")
    data = stream(door, "/v1/chat/completions", e.bedrock(),
                  {"messages": turn("hello big world"), "stream_options": {"include_usage": True}},
                  **{"x-portkey-trace-id": id_})
    path = mock.page("last")["path"]
    chunks = [json.loads(d) for d in data[:-1]]
    text = "".join(c["delta"].get("content") or "" for d in chunks for c in d["choices"])
    row = door.row(id_)
    tools = stream(door, "/v1/chat/completions", e.bedrock("tool-call"), {
        "messages": turn("x"), "tools": [WEATHER]})
    calls = [t for d in tools[:-1] for c in json.loads(d)["choices"]
             for t in c["delta"].get("tool_calls", [])]
    for model in ("drop-mid", "no-end", "error-mid-stream:tick=20", "truncated-json:tick=20"):
        broken = stream(door, "/v1/chat/completions", e.bedrock(model),
                        {"messages": turn("one two three four")})
        if "[DONE]" in broken or '"error"' not in broken[-1]:
            return print("#", model, broken)
    over = stream(door, "/v1/chat/completions",
                  e.fallback(e.bedrock("error-in-200"), e.bedrock(), strategy={"on_status_codes": [500]}),
                  {"messages": turn("hello big world")})
    status, _, error = door.request("/v1/chat/completions", {"messages": turn("x")},
                                    headers_for(e, e.bedrock("status-429", retry={"attempts": 0})))
    return (text == "hello big world" and data[-1] == "[DONE]" and over[-1] == "[DONE]"
            and status == 429 and json.loads(error)["error"]["type"] == "ThrottlingException"
            and path.endswith("/converse-stream") and chunks[-1]["usage"]["total_tokens"] == 6
            and row["status"] == "success" and row["stream"]
            and (row["input_tokens"], row["output_tokens"]) == (3, 3)
            and row["response"]["choices"][0]["message"]["content"] == "hello big world"
            and calls[0]["function"]["name"] == "weather"
            and "".join(t["function"]["arguments"] for t in calls) == '{"city":"mock"}')


def messages_bedrock(door, e, mock):
    """/v1/messages reaches Claude on Bedrock in its own dialect, other models there by Converse"""
    id_ = trace("bedrock-claude")
    body = {"model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "max_tokens": 9,
            "messages": turn("hello big world")}
    _, _, text = door.request("/v1/messages", body, {
        **headers_for(e, e.bedrock(None)),
        "anthropic-beta": "claude-code-20250219, interleaved-thinking-2025-05-14"})
    sent = mock.page("last")
    data = stream(door, "/v1/messages", e.bedrock(None), body, **{"x-portkey-trace-id": id_})
    path, row = mock.page("last")["path"], door.row(id_)
    status, _, error = door.request("/v1/messages", body, headers_for(
        e, e.bedrock("anthropic.claude-x", path="/m/status-429", retry={"attempts": 0})))
    for plan in ("drop-mid", "no-end", "error-mid-stream:tick=20"):
        broken = stream(door, "/v1/messages", e.bedrock(None, path=f"/m/{plan}"),
                        {**body, "messages": turn("one two three four")})
        if json.loads(broken[-1])["type"] != "error":
            return print("#", plan, broken)
    nova = stream(door, "/v1/messages", e.bedrock("us.amazon.nova-lite-v1:0"), body)
    return (json.loads(text)["content"][0]["text"] == "hello big world"
            and sent["path"].endswith("/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke")
            and json.loads(sent["body"]) == {"max_tokens": 9, "messages": turn("hello big world"),
                                             "anthropic_version": "bedrock-2023-05-31",
                                             "anthropic_beta": ["interleaved-thinking-2025-05-14"]}
            and path.endswith("/invoke-with-response-stream")
            and json.loads(data[-1])["type"] == "message_stop"
            and (row["input_tokens"], row["output_tokens"], row["status"]) == (3, 3, "success")
            and row["response"]["content"][0]["text"] == "hello big world"
            and status == 429 and json.loads(error)["error"]["type"] == "rate_limit_error"
            and json.loads(nova[-1])["type"] == "message_stop"
            and mock.page("last")["path"].endswith("/converse-stream"))


def streams_ollama(door, e, mock):
    """a stream of ollama's lines reaches an OpenAI client as chunks, whole or with an error"""
    id_ = trace("ollama")
    data = stream(door, "/v1/chat/completions", e.ollama(),
                  {"messages": turn("hello big world"), "stream_options": {"include_usage": True}},
                  **{"x-portkey-trace-id": id_})
    chunks = [json.loads(d) for d in data[:-1]]
    text = "".join(c["delta"].get("content") or "" for d in chunks for c in d["choices"])
    row = door.row(id_)
    tools = stream(door, "/v1/chat/completions", e.ollama("tool-call"), {
        "messages": turn("x"), "tools": [WEATHER]})
    ends = [c["finish_reason"] for d in tools[:-1] for c in json.loads(d)["choices"]]
    for model in ("drop-mid", "no-end", "error-mid-stream:tick=20", "truncated-json:tick=20"):
        broken = stream(door, "/v1/chat/completions", e.ollama(model),
                        {"messages": turn("one two three four")})
        if "[DONE]" in broken or '"error"' not in broken[-1]:
            return print("#", model, broken)
    return (text == "hello big world" and data[-1] == "[DONE]" and ends[-1] == "tool_calls"
            and chunks[-1]["usage"]["total_tokens"] == 6 and row["status"] == "success"
            and row["response"]["choices"][0]["message"]["content"] == "hello big world")


def broken_stream(door, e, mock):
    """a stream that breaks upstream ends with an error event and is logged as truncated"""
    for model in ("drop-mid", "no-end", "error-mid-stream:tick=20", "truncated-json:tick=20"):
        id_ = trace("broken")
        data = stream(door, "/v1/chat/completions", e.to(model), {"messages": turn("one two three")},
                      **{"x-portkey-trace-id": id_})
        row = door.row(id_)
        if "[DONE]" in data or '"error"' not in data[-1] or row["status"] != "truncated":
            return print("#", model, data[-1:], row["status"])
    return True


def fallback_before_first_byte(door, e, mock):
    """a stream falls back as long as nothing was sent"""
    data = stream(door, "/v1/chat/completions", e.fallback(e.to("status-503"), e.to("error-in-200"),
                  e.claude("error-in-200"), e.to("echo")), {"messages": turn("hi")})
    native = stream(door, "/v1/messages", e.fallback(e.claude("status-529"), e.claude("error-in-200"),
                    e.claude("drop-head"), e.claude(None)),
                    {"model": "claude-x", "max_tokens": 9, "messages": turn("hi")})
    return (len(data) > 1 and data[-1] == "[DONE]"
            and [json.loads(d)["type"] for d in native].count("error") == 0
            and json.loads(native[-1])["type"] == "message_stop")


def response_headers(door, e, mock):
    """the answer's headers tell what happened"""
    config = e.fallback(e.to("status-503"), e.fallback(e.to("status-503"), e.to("echo")),
                        cache={"mode": "simple"})
    got = [door.request("/v1/chat/completions", {"model": "x", "messages": turn("headers")},
                        headers_for(e, config, **{"x-portkey-trace-id": "my-trace"}))[1]
           for _ in range(2)]
    return (got[0]["x-portkey-cache-status"] == "MISS" and got[1]["x-portkey-cache-status"] == "HIT"
            and got[0]["x-portkey-trace-id"] == "my-trace"
            and got[0]["x-portkey-provider"] == "openai"
            and got[0]["x-portkey-last-used-option-index"] == "config.targets[1].targets[1]"
            and got[1]["x-portkey-last-used-option-index"] == "config.targets[0]"
            and json.loads(got[0]["x-portkey-last-used-option-params"])
            == {"provider": "openai", "model": "echo"}
            and got[0]["x-portkey-retry-attempt-count"] == "0" and int(got[0]["x-pk-overhead-us"]) >= 0)


def disconnect(door, e, mock):
    """a client that leaves ends the upstream request at once"""
    id_ = trace("left")
    body = json.dumps({"stream": True, "messages": turn("one two three four")}).encode()
    before = mock.page("stats")["aborted"]
    s = socket.create_connection(("127.0.0.1", door.port))
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
            f"\r\nx-portkey-trace-id: {id_}\r\nx-portkey-config: {json.dumps(e.to('stall-after:3'))}"
            f"\r\nContent-Length: {len(body)}\r\n\r\n")
    s.sendall(head.encode() + body)
    s.recv(4096)
    s.close()
    closed = time.monotonic()
    while mock.page("stats")["aborted"] == before and time.monotonic() < closed + 30:
        time.sleep(0.005)
    took = time.monotonic() - closed
    print(f"# upstream ended after {took:.3f} s")
    return took < 30 and door.row(id_)["status"] == "client_closed"


def single_flight(door, e, mock):
    """ten equal calls at once are one request upstream"""
    config = e.to("echo", "/d/300", cache={"mode": "simple"})
    before, texts = mock.page("stats")["requests"], []
    threads = [threading.Thread(target=lambda: texts.append(door.chat(config, "all at once").text))
               for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return texts == ["all at once"] * 10 and mock.page("stats")["requests"] == before + 1


def bad_http(door, e, mock):
    """bad JSON, no body, no config, 100 MB and deep JSON are refused"""
    path, good = "/v1/chat/completions", headers_for(e, e.to("echo"))
    cases = [("{", good, 400, "invalid_json"), ("", good, 400, None), ("[]", good, 400, None),
             ('{"messages":' + "[" * 10000 + "]" * 10000 + "}", good, 400, "invalid_json"),
             ('{"messages":[{"role":"user","content":"\\u0000"}]}', good, 400, "invalid_json"),
             (b'{"messages":[{"role":"user","content":"\xff\xfe"}]}', good, 400, "invalid_json"),
             ('{"messages":[]}', {}, 400, None)]
    for body, headers, status, code in cases:
        got, _, text = door.request(path, body, headers)
        error = json.loads(text)["error"]
        if got != status or (code and error["type"] != code):
            return print("#", body[:60], got, text[:200])
    return True


def huge_request(door, e, mock):
    """a request body of 100 MB is refused"""
    try:
        status = door.request("/v1/chat/completions", b"x" * (100 << 20),
                              headers_for(e, e.to("echo")))[0]
    except (BrokenPipeError, ConnectionError):
        status = 413  # refused while it was still being sent
    return status == 413 and door.chat(e.to("echo"), "hi").text == "hi"


def operation(door, e, mock):
    """/healthz, /readyz and /v1/models answer"""
    return all(door.request(p, "", {}, "GET")[0] == 200 for p in ("/healthz", "/readyz", "/v1/models"))


def after_kill(door, sql):
    """Whether the store is whole, and what is in it."""
    if door.dialect == "postgres":
        return True, {r[0] for r in door.side.db.query(sql)}
    db = sqlite3.connect(door.store)
    clean = db.execute("pragma integrity_check").fetchone()[0] == "ok"
    logged = {r[0] for r in db.execute(sql)}
    db.close()
    return clean, logged


def killed(door, e, mock):
    """kill -9 in the middle of a load leaves a clean store with what was answered before"""
    done, ends = [], threading.Event()

    def load(n):
        i = 0
        while not ends.is_set():
            id_ = f"kill-{n}-{i}"
            try:
                if door.chat(e.to("echo"), "hi", options(id_)).ok:
                    done.append((time.monotonic(), id_))
            except (OSError, http.client.HTTPException):
                return
            i += 1
    threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    time.sleep(1.5)
    until(lambda: len(done) > 500)
    door.process.send_signal(signal.SIGKILL)
    door.process.wait()
    ends.set()
    for t in threads:
        t.join()
    clean, logged = after_kill(door, "select trace_id from pk_log where trace_id like 'kill-%'")
    old = [id_ for t, id_ in done if t < max(done)[0] - 0.5]
    door.start()
    again = door.chat(e.to("echo"), "hi").ok
    missing = [id_ for id_ in old if id_ not in logged]
    if missing or not clean:
        print(f"# {len(old)} answered early enough, {len(missing)} of them not logged, clean: {clean}")
    return clean and again and len(old) > 20 and not missing


ANY = [stored_config, bound_key, revoked_key, literal_key, feedback] + prompts.ANY + \
    caching.ANY + operations.ANY + providers.ANY + access.ANY
SQL = [raises, asks, typed, large_body, allowed_hosts, rolled_back] + access.SQL
HTTP = [streams_openai, streams_anthropic, streams_gemini, streams_cohere, streams_bedrock, messages_bedrock, streams_ollama, messages_native, broken_stream,
        fallback_before_first_byte, response_headers, disconnect, single_flight, bad_http,
        huge_request, operation] + operations.HTTP + prompts.HTTP + providers.HTTP + access.HTTP + fronts.HTTP
LAST_HTTP = [killed]
LAST = [secrets] + access.LAST  # when all the others have left their traces
