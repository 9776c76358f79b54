#!/usr/bin/env python3
"""Realtime sessions through pkd: frames both ways, ends, keys, limits, the log: pkd_realtime.py BUILD"""
import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import threading
import time

from pkd_harness import *
from pkd_websocket import *

mock = Mock()
pkd = Pkd("--threads", "2", env={"OPENAI_API_KEY": "sk-env"})


def open_session(model="gpt-realtime", headers=None, cfg=None, at=None, **more):
    h = {"x-portkey-config": cfg or config(mock), **(headers or {})}
    return WebSocket((at or pkd).port, f"/v1/realtime?model={model}", h, **more)


def refused(*args, **more):
    """The status, headers and error of a session that must not begin."""
    try:
        open_session(*args, **more)
    except Refused as r:
        return r.status, r.headers, json.loads(r.body)["error"]
    raise AssertionError("the session began")


def row_of(trace, columns="status, http_status, operation", at=None):
    rows = (at or pkd).rows_within(f"select {columns} from pk_log where trace_id = '{trace}'",
                                   lambda rows: len(rows) > 0, 5)
    expect(len(rows) == 1, (trace, rows))
    return rows[0]


def create(ws):
    """Asks for a response and reads up to its end."""
    ws.send(TEXT, json.dumps({"type": "response.create"}))
    said = b""
    while True:
        opcode, payload, fin = ws.receive()
        if opcode == PING:
            ws.send(PONG, payload)
        elif opcode in (TEXT, 0):
            said += payload
            if fin and b'"response.done"' in said:
                return json.loads(said[said.index(b'{"type":"response.done"'):])


def frames_come_back_as_they_went():
    ws = open_session(headers={"x-portkey-trace-id": "frames"})
    expect(ws.headers["x-portkey-trace-id"] == "frames" and ws.headers["x-request-id"] == "req_mock_rt",
           ws.headers)
    big = os.urandom(1 << 20)
    for opcode, payload in ((TEXT, b"hello"), (BINARY, b"\0\xff\n"), (TEXT, b""), (BINARY, big),
                            (TEXT, b"x" * 126), (TEXT, b"y" * 70000)):
        ws.send(opcode, payload)
        expect(ws.receive() == (opcode, payload, True), (opcode, len(payload)))
    ws.send(TEXT, "one ", fin=False)
    ws.send(PING, "now")
    ws.send(0, "two")
    expect(ws.receive() == (TEXT, b"one ", False))
    expect(ws.receive() == (PONG, b"now", True))
    expect(ws.receive() == (0, b"two", True))
    ws.close()
    expect(row_of("frames") == ("success", 101, "realtime"), row_of("frames"))


def what_is_sent_with_the_handshake_arrives():
    ws = WebSocket.__new__(WebSocket)
    ws.pending = b""
    ws.socket = pkd.raw()
    ws.socket.sendall(b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                      b"Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                      b"Sec-WebSocket-Version: 13\r\nx-portkey-config: " + config(mock).encode() +
                      b"\r\n\r\n" + ws.frame(TEXT, "early"))
    ws.read_head()
    expect(ws.status == 101 and ws.receive() == (TEXT, b"early", True))
    ws.close()


def usage_is_summed_and_priced():
    ws = open_session("gpt-4o-mini", {"x-portkey-trace-id": "usage"})
    for _ in range(2):
        expect(create(ws)["response"]["usage"]["total_tokens"] == 30)
    ws.close()
    row = row_of("usage", "status, input_tokens, output_tokens, usage_source, cost_pusd, cost_reason")
    expect(row[:4] == ("success", 30, 20, "provider"), row)
    expect(row[4] and row[4] > 0 and row[5] is None, row)


def audio_tokens_have_no_price():
    ws = open_session("gpt-4o-mini", {"x-portkey-trace-id": "audio"})
    for _ in range(3):
        create(ws)
    ws.close()
    row = row_of("audio", "output_tokens, cost_pusd, cost_reason")
    expect(row[0] == 30 and row[1] is None and "audio" in row[2], row)


def a_session_without_a_response_has_no_usage():
    ws = open_session(headers={"x-portkey-trace-id": "silent"})
    ws.close()
    row = row_of("silent", "usage_source, cost_pusd, cost_reason")
    expect(row[0] in (None, "none") and row[1] is None and row[2], row)


def a_client_that_leaves_ends_the_session_at_the_provider():
    ws = open_session("gpt-4o-mini", {"x-portkey-trace-id": "left"})
    create(ws)
    before = mock.page("stats")["open"]
    ws.drop()
    expect(until(lambda: mock.page("stats")["open"] < before), mock.page("stats"))
    row = row_of("left", "status, http_status, output_tokens, cost_pusd")
    expect(row[:3] == ("client_closed", 101, 10) and row[3] > 0, row)


def a_provider_that_drops_it_cuts_the_session():
    ws = open_session(headers={"x-portkey-trace-id": "dropped"})
    ws.send(TEXT, '{"type":"drop"}')
    try:
        while True:
            ws.receive()
    except (Gone, ConnectionResetError):
        pass
    row = row_of("dropped", "status, http_status, error_type, error_message")
    expect(row[:2] == ("truncated", 101) and "close frame" in row[3], row)


def a_provider_that_says_goodbye_ends_it_well():
    ws = open_session(headers={"x-portkey-trace-id": "bye"})
    ws.send(TEXT, '{"type":"bye"}')
    expect(ws.receive()[0] == TEXT and ws.receive() == (CLOSE, b"\x03\xe8", True))
    expect(ws.socket.recv(1) == b"")
    ws.drop()
    expect(row_of("bye")[0] == "success")


def refusals_are_ordinary_answers():
    for plan in "status-429", "status-401", "status-503", "status-429-chunked", "status-200":
        status, headers, error = refused(plan, {"x-portkey-trace-id": "no-" + plan})
        want = int(plan.split("-")[1])
        expect(status == (want if want > 399 else 502), (plan, status))
        if want > 399:
            expect(error["message"] == "The session is refused.", error)
        expect(row_of("no-" + plan)[:2] == ("error", status))


def a_fallback_is_made_before_the_session():
    cfg = json.dumps({"strategy": {"mode": "fallback"}, "targets": [
        {"provider": "openai", "api_key": "k", "custom_host": mock.base,
         "override_params": {"model": m}} for m in ("status-429", "gpt-4o-mini")]})
    ws = open_session("any", {"x-portkey-trace-id": "fell"}, cfg)
    expect(ws.headers["x-portkey-last-used-option-index"] == "config.targets[1]", ws.headers)
    create(ws)
    ws.close()
    expect(row_of("fell", "status, attempts, request_model, target_path") ==
           ("success", 2, "gpt-4o-mini", "config.targets[1]"))


def a_refusal_is_retried():
    status, headers, _ = refused("status-503", cfg=config(mock, retry={"attempts": 1}))
    expect(status == 503 and headers["x-portkey-retry-attempt-count"] == "-1", headers)


def conditions_look_at_the_model():
    cfg = json.dumps({"strategy": {"mode": "conditional", "conditions": [
        {"query": {"params.model": "gpt-a"}, "then": "a"}], "default": "b"}, "targets": [
            {"name": n, "provider": "openai", "api_key": "k", "custom_host": mock.base} for n in "ab"]})
    for model, index in ("gpt-a", 0), ("gpt-b", 1):
        ws = open_session(model, cfg=cfg)
        expect(ws.headers["x-portkey-last-used-option-index"] == f"config.targets[{index}]", ws.headers)
        ws.close()


def the_model_may_name_the_provider():
    ws = WebSocket(pkd.port, "/v1/realtime?intent=x&model=%40openai%2Fgpt%20r",
                   {"x-portkey-custom-host": mock.base, "Authorization": "Bearer sk-mine",
                    "OpenAI-Beta": "realtime=v1"})
    last = mock.page("last")
    expect(last["path"] == "/v1/realtime?intent=x&model=gpt%20r", last)
    expect(last["headers"]["authorization"] == "Bearer sk-mine", last)
    expect(last["headers"]["openai-beta"] == "realtime=v1", last)
    ws.close()


def a_header_is_sent_once():
    cfg = config(mock, forward_headers=["openai-beta", "sec-websocket-protocol"])
    ws = open_session(cfg=cfg, headers={"OpenAI-Beta": "realtime=v1", "Sec-WebSocket-Protocol":
                                        "openai-insecure-api-key.pk-secret, realtime"})
    last = mock.page("last")["headers"]
    expect(last["openai-beta"] == "realtime=v1" and last["sec-websocket-protocol"] == "realtime", last)
    ws.close()


def keys_of_browsers_stay_here():
    ws = open_session(headers={"Sec-WebSocket-Extensions": "permessage-deflate", "Sec-WebSocket-Protocol":
                               "realtime, openai-insecure-api-key.pk-secret, openai-beta.realtime-v1"})
    last = mock.page("last")["headers"]
    expect(last["sec-websocket-protocol"] == "realtime, openai-beta.realtime-v1", last)
    expect("sec-websocket-extensions" not in last and "pk-secret" not in json.dumps(last), last)
    expect(ws.headers["sec-websocket-protocol"] == "realtime", ws.headers)
    ws.close()
    cfg = json.dumps({"custom_host": mock.base})
    ws = WebSocket(pkd.port, "/v1/realtime?model=m", {
        "x-portkey-provider": "openai", "x-portkey-config": cfg,
        "Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.sk-browser"})
    last = mock.page("last")["headers"]
    expect(last["authorization"] == "Bearer sk-browser" and
           last["sec-websocket-protocol"] == "realtime", last)
    ws.close()


def what_is_no_handshake_is_refused():
    for headers, status in (({}, 426), ({"Connection": "Upgrade", "Upgrade": "h2c"}, 426),
                            ({"Connection": "Upgrade", "Upgrade": "websocket"}, 400),
                            ({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "k",
                              "Sec-WebSocket-Version": "8"}, 426)):
        got = pkd.http("GET", "/v1/realtime?model=m", headers={"x-portkey-config": config(mock), **headers})
        expect(got[0] == status, (headers, got[0], got[2]))
    expect(pkd.http("POST", "/v1/realtime", "{}")[0] == 405)
    try:
        WebSocket(pkd.port, "/v1/realtime?model=a&model=b", {"x-portkey-config": config(mock)})
        expect(False, "two models")
    except Refused as r:
        expect(r.status == 400, r)


def hosts_that_are_not_listed_are_not_called():
    cfg = json.dumps({"provider": "openai", "api_key": "k", "custom_host": "http://10.1.2.3/v1"})
    expect(refused(cfg=cfg)[0] == 403, refused(cfg=cfg))
    cfg = json.dumps({"provider": "anthropic", "api_key": "k", "custom_host": mock.base})
    status, _, error = refused(cfg=cfg)
    expect(status == 400 and "has no realtime" in error["message"], error)


def azure_is_asked_by_its_newer_api():
    azure = {"provider": "azure-openai", "api_key": "k-azure", "custom_host": mock.base[:-3] + "/openai"}
    ws = open_session("my-deployment", cfg=json.dumps({**azure, "api_version": "v1"}))
    last = mock.page("last")
    expect(last["path"] == "/openai/v1/realtime?model=my-deployment" and
           last["headers"]["api-key"] == "k-azure", last)
    ws.close()
    status, _, error = refused("m", cfg=json.dumps({**azure, "api_version": "2024-10-21", "deployment_id": "d"}))
    expect(status == 400 and "api_version" in error["message"], (status, error))


def guardrails_are_not_passed_over():
    cfg = config(mock, output_guardrails=[{"type": "contains", "deny": ["x"]}])
    status, _, error = refused(cfg=cfg)
    expect(status == 400 and "guardrails" in error["message"], error)


class Script:
    """A provider that answers each handshake with bytes of the test's choice, which may have {accept} in them."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.config = json.dumps({"provider": "openai", "api_key": "sk-of-the-provider", "custom_host":
                                  f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"})
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        s, _ = self.listener.accept()
        said = b""
        while b"\r\n\r\n" not in said:
            said += s.recv(65536)
        key = re.search(rb"sec-websocket-key: (.*)\r", said).group(1)
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        for piece in self.answer:
            s.sendall(piece.replace(b"{accept}", accept))
            time.sleep(0.01)
        s.close()
        self.listener.close()


def answers_that_are_no_handshake_are_errors():
    error = b'{"error":{"message":"no sk-of-the-provider"}}'
    for name, status, message, *answer in (
            ("nothing", 502, "closed before", b""),
            ("no HTTP", 502, "not HTTP", b"220 ready\r\n\r\n"),
            ("half a head", 502, "closed before", b"HTTP/1.1 101 Yes\r\nsec-web"),
            ("no accept", 502, "handshake", b"HTTP/1.1 101 Yes\r\n\r\n"),
            ("a head without an end", 502, "too large", b"HTTP/1.1 101 Yes\r\n" + b"x: y\r\n" * 20000),
            ("a body up to the end", 401, "no *", b"HTTP/1.1 401 No\r\n\r\n" + error),
            ("a body with a length", 403, "no *", b"HTTP/1.1 403 No\r\ncontent-length: %d\r\n\r\n" % len(error),
             error + b"more"),
            ("a body that is cut", 429, "{", b"HTTP/1.1 429 No\r\ncontent-length: 99\r\n\r\n{"),
            ("a length that is none", 404, "404", b"HTTP/1.1 404 No\r\ncontent-length: x\r\n\r\n{}"),
            ("chunks", 400, "no *", b"HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\n" + error[:5],
             b"\r\n%x\r" % (len(error) - 5), b"\n" + error[5:], b"\r\n0\r\nx: y\r\n\r\n"),
            ("a chunk without an end", 400, "{",
             b"HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n{"),
            ("no content", 502, "204", b"HTTP/1.1 204 No\r\n\r\n")):
        got = refused(cfg=Script(answer).config)
        expect(got[0] == status and message in got[2]["message"], (name, got[0], got[2]))
        expect("sk-of-the-provider" not in json.dumps(got[2]), got)


def a_session_may_begin_in_many_pieces():
    whole = (b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Accept: {accept}\r\n\r\n\x81\x02hi\x88\x02\x03\xe8")
    cut = whole.index(b"{accept}") + 8
    for pieces in ([whole], [whole[:30], whole[30:cut], whole[cut:cut + 3], whole[cut + 3:]]):
        ws = open_session(cfg=Script(pieces).config)
        expect(ws.receive() == (TEXT, b"hi", True) and ws.receive() == (CLOSE, b"\x03\xe8", True))
        ws.drop()


def nobody_reaches_a_provider_that_is_not_there():
    cfg = json.dumps({"provider": "openai", "api_key": "k", "custom_host": "http://127.0.0.1:1/v1"})
    status, _, error = refused(cfg=cfg)
    expect(status == 502, (status, error))


def a_slow_reader_holds_its_provider_back():
    ws = open_session(headers={"x-portkey-trace-id": "slow"}, receive_bytes=4096)
    piece, count = os.urandom(1 << 20), 48
    before = memory_kb(pkd.process.pid)

    def pour():
        for _ in range(count):
            ws.send(BINARY, piece)

    sender = threading.Thread(target=pour)
    sender.start()
    time.sleep(1)  # the kernel may hold all of it, but pkd holds little
    expect(memory_kb(pkd.process.pid) - before < 16 << 10 or SLOW > 1,
           memory_kb(pkd.process.pid) - before)
    for _ in range(count):
        expect(ws.receive() == (BINARY, piece, True))
    sender.join()
    ws.close()
    expect(row_of("slow")[0] == "success")


def two_hundred_sessions_at_a_time():
    sessions, failed = [], []

    def converse(ws, i):
        try:
            for n in range(5):
                text = f"{i}-{n}".encode() * 50
                ws.send(TEXT, text)
                expect(ws.receive() == (TEXT, text, True))
            create(ws)
        except Exception as e:
            failed.append(e)

    for i in range(200):
        sessions.append(open_session(headers={"x-portkey-trace-id": f"many-{i}"}))
    threads = [threading.Thread(target=converse, args=(ws, i)) for i, ws in enumerate(sessions)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(not failed, failed[:3])
    for ws in sessions:
        ws.close()
    rows = pkd.rows_within("select count(*), sum(output_tokens) from pk_log where trace_id like 'many-%' "
                           "and status = 'success'", lambda r: r[0][0] == 200)
    expect(rows == [(200, 2000)], rows)


def an_idle_session_is_ended():
    ws = open_session(headers={"x-portkey-trace-id": "idle"}, cfg=config(mock, idle_timeout="300ms"))
    for _ in range(4):
        time.sleep(0.1)
        ws.send(PONG, "still here")  # the mock answers nothing: the client's bytes count, too
    expect(ws.receive() == (CLOSE, b"\x03\xe9", True))
    row = row_of("idle", "status, error_type, duration_us")
    expect(row[0] == "truncated" and row[2] >= 600000, row)
    ws.drop()


def admin(at, *words, stdin=None):
    """What `pkd` prints when it is called on the same store."""
    done = subprocess.run([program("pkd"), *words, "--store", at.store], input=stdin, text=True,
                          capture_output=True, timeout=120)
    expect(done.returncode == 0, done.stderr)
    return done.stdout.strip()


def keys_are_needed_in_any_place():
    other = Pkd()
    key = admin(other, "apikey", "create", "first")
    expect(until(lambda: other.http("GET", "/v1/models")[0] == 401), "the first key is seen")
    status, headers, error = refused(at=other)
    expect(status == 401 and headers["www-authenticate"] == "Bearer", headers)
    expect(refused(at=other, headers={"Authorization": "Bearer pk-wrong"})[0] == 401)
    for name, value in (("x-portkey-api-key", key), ("Authorization", "Bearer " + key), ("x-api-key", key),
                        ("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key." + key)):
        ws = open_session(headers={name: value, "Origin": "https://app.example.com"}, at=other)
        last = json.dumps(mock.page("last"))
        expect(key not in last and "sk-test" in last, (name, last))
        ws.close()
    other.stop()


def what_is_used_up_ends_a_session_and_refuses_the_next():
    other = Pkd()
    admin(other, "limit", "put", "all", stdin='{"counts": "tokens", "amount": 40, "per": "total"}')
    expect(until(lambda: admin(other, "limit", "list") != ""))
    ws = open_session("gpt-4o-mini", {"x-portkey-trace-id": "spent"}, at=other)
    for _ in range(2):
        create(ws)
    expect(ws.receive() == (CLOSE, b"\x03\xf0", True))
    ws.drop()
    row = row_of("spent", "status, error_type, input_tokens + output_tokens, cost_pusd", at=other)
    expect(row[:3] == ("truncated", "budget_exceeded", 50) and row[3] > 0, row)  # 10 more of a cache
    status, headers, error = refused("gpt-4o-mini", at=other)
    expect(status in (402, 412, 429) and error["message"], (status, error))
    expect(mock.page("stats")["in_flight"] == 0)
    other.stop()


def a_gateway_that_stops_says_goodbye():
    other = Pkd("--grace", "5000")
    ws = open_session(headers={"x-portkey-trace-id": "stopped"}, at=other)
    other.process.send_signal(signal.SIGTERM)
    expect(ws.receive() == (CLOSE, b"\x03\xe9", True))
    ws.drop()
    expect(other.process.wait(10 * SLOW) == 0)
    expect(row_of("stopped", "status, http_status, error_type", at=other) == ("cancelled", 101, "shutting_down"))
    other.stop()


run(frames_come_back_as_they_went, what_is_sent_with_the_handshake_arrives, usage_is_summed_and_priced,
    audio_tokens_have_no_price, a_session_without_a_response_has_no_usage,
    a_client_that_leaves_ends_the_session_at_the_provider, a_provider_that_drops_it_cuts_the_session,
    a_provider_that_says_goodbye_ends_it_well, refusals_are_ordinary_answers,
    a_fallback_is_made_before_the_session, a_refusal_is_retried, conditions_look_at_the_model,
    the_model_may_name_the_provider, a_header_is_sent_once, keys_of_browsers_stay_here, what_is_no_handshake_is_refused,
    hosts_that_are_not_listed_are_not_called, azure_is_asked_by_its_newer_api, guardrails_are_not_passed_over,
    answers_that_are_no_handshake_are_errors, a_session_may_begin_in_many_pieces,
    nobody_reaches_a_provider_that_is_not_there, a_slow_reader_holds_its_provider_back,
    two_hundred_sessions_at_a_time, an_idle_session_is_ended, keys_are_needed_in_any_place,
    what_is_used_up_ends_a_session_and_refuses_the_next,
    a_gateway_that_stops_says_goodbye)
if pkd.process.poll() is not None:
    print("# " + pkd.text().replace("\n", "\n# "))
pkd.stop()
mock.stop()
end()
