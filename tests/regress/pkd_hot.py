#!/usr/bin/env python3
"""Requests that equal one another in every byte, by the dozen, on one connection: what each is told, and what is seen
of what changes meanwhile.

    tests/regress/pkd_hot.py BUILD
"""
import contextlib
import json
import re
import sqlite3
import subprocess
import threading
import time
import uuid

from patience import in_a_while
from pkd_harness import SLOW, Mock, Pkd, chat_body, config, end, expect, program, read_response, run, until

mock = Mock()
MANY = 40


def request(text, headers=None, cfg=None, **more):
    body = chat_body("fixed-600", text, **more).encode()
    lines = {"host": "localhost", "content-type": "application/json",
             "x-portkey-config": cfg or config(mock, cache={"mode": "simple"}),
             **(headers or {}), "content-length": len(body)}
    return (b"POST /v1/chat/completions HTTP/1.1\r\n" +
            "".join(f"{k}: {v}\r\n" for k, v in lines.items()).encode() + b"\r\n" + body)


def burst(server, *requests):
    """The answers to requests that are sent at once."""
    with server.raw() as s:
        s.sendall(b"".join(requests))
        f = s.makefile("rb")
        return [read_response(f) for _ in requests]


def whole_streams(server, *requests):
    """The same of streams: their heads, and their events."""
    answers = []
    with server.raw() as s:
        s.sendall(b"".join(requests))
        f = s.makefile("rb")
        for _ in requests:
            status, headers, body = *read_response(f, True)[:2], b""
            while (size := int(f.readline(), 16)) > 0:
                body += f.read(size + 2)[:-2]
            f.readline()
            answers.append((status, headers, body))
    return answers


def statuses(answers):
    return [a[1].get("x-portkey-cache-status", a[0]) for a in answers]


def stored(server, text, headers=None, cfg=None):
    """A request whose answer is in the cache, and no longer in the memory of whoever saved it."""
    r, before = request(text, headers, cfg), server.last_stored()
    expect(statuses(burst(server, r)) == ["MISS"])
    expect(until(lambda: server.last_stored() > before))
    time.sleep(0.3)
    return r


def word():
    return "w" + uuid.uuid4().hex


def admin(server, *words, stdin=None):
    return subprocess.run([program("pkd"), *words, "--store", server.store], input=stdin, text=True, check=True,
                          capture_output=True, timeout=120).stdout.strip()


def sql(server, statement):
    with contextlib.closing(sqlite3.connect(server.store, timeout=10)) as db, db:
        db.execute(statement)


def seen_amid(server, r, change, seen):
    """Whether a `change` is seen, by the statuses of equal requests, while others ask the same all the time."""
    over = threading.Event()

    def go_on():
        while not over.is_set():
            burst(server, *[r] * MANY)
    others = threading.Thread(target=go_on)
    expect(statuses(burst(server, *[r] * MANY)) == ["HIT"] * MANY)
    others.start()
    try:
        time.sleep(0.05)
        change()
        began = time.monotonic()
        got = until(lambda: seen(statuses(burst(server, *[r] * MANY))))
        print(f"# the change is seen after {(time.monotonic() - began) * 1e3:.1f} ms, promised 5", flush=True)
        return got
    finally:
        over.set()
        others.join()


# --- what each is told, and what is logged of it -----------------------------------------------------

LOGGED = ("cache_status, stream, user_id, metadata, api_key, operation, model, request_model, provider, target_path, config, "
          "http_status, status, request, response, cost_usd, cost_saved_usd, input_tokens, finish_reason, source")


def rows_of(server, traces, columns):
    names = ",".join(f"'{t}'" for t in traces)
    where = f"from pk_logs where trace_id in ({names})"
    server.rows_within(f"select count(*) {where}", lambda r: r[0][0] == MANY)
    return server.rows(f"select {columns} {where}")


def each_has_a_row_of_its_own():
    for ask, more in (burst, {}), (whole_streams, {"stream": True}):
        has_rows_of_their_own(ask, more)


def has_rows_of_their_own(ask, more):
    text, headers = word(), {"x-portkey-metadata": '{"_user": "anna", "room": "a1"}'}
    stored(pkd, text, headers)
    r = request(text, headers, **more)
    alone = ask(pkd, r)[0]
    answers = ask(pkd, *[r] * MANY)
    expect(statuses(answers) == ["HIT"] * MANY, statuses(answers))
    expect({a[2] for a in answers} == {alone[2]}, "the same answer")
    varying = {"date", "x-portkey-trace-id", "x-pk-overhead-us"}
    for a in answers:
        expect({k: v for k, v in a[1].items() if k not in varying} ==
               {k: v for k, v in alone[1].items() if k not in varying}, a)
    traces = [a[1]["x-portkey-trace-id"] for a in answers]
    expect(len(set(traces)) == MANY, "a trace each")
    rows = rows_of(pkd, traces, "id, trace_id, span_id, latency_ms")
    for column in range(3):
        expect(len({r[column] for r in rows}) == MANY, ("an id of its own", column))
    expect(all(r[0] == r[1] and r[3] >= 0 for r in rows), rows)
    expect({r[1] for r in rows} == set(traces), rows)
    of_one = pkd.rows(f"select {LOGGED} from pk_logs where trace_id = '{alone[1]['x-portkey-trace-id']}'")
    expect(of_one and set(rows_of(pkd, traces, LOGGED)) == set(of_one), of_one)
    expect(of_one[0][:4] == ("HIT", bool(more), "anna", '{"_user": "anna", "room": "a1"}'), of_one)


def ids_that_are_given_stay():
    trace = word()
    r = stored(pkd, trace, {"x-portkey-trace-id": trace, "x-portkey-span-id": "mine"})
    expect({a[1]["x-portkey-trace-id"] for a in burst(pkd, *[r] * MANY)} == {trace})
    got = pkd.rows_within(f"select count(*), count(distinct id), max(span_id) from pk_logs where trace_id = '{trace}'",
                          lambda rows: rows[0][0] == MANY + 1)
    expect(got == [(MANY + 1, MANY + 1, "mine")], got)


def what_is_told_apart_by_a_header_is():
    text = word()
    r = [stored(pkd, text, {"x-portkey-metadata": f'{{"_user":"u0","n":"{text}"}}'})]
    r += [request(text, {"x-portkey-metadata": f'{{"_user":"u{i}","n":"{text}"}}'}) for i in range(1, 4)]
    expect(statuses(burst(pkd, *r * 10)) == ["HIT"] * 40)
    got = pkd.rows_within(f"select user_id, count(*) from pk_logs where metadata like '%{text}%' and cache_status = 'HIT' "
                          "group by 1 order by 1", lambda rows: [n for _, n in rows] == [10] * 4)
    expect(got == [(f"u{i}", 10) for i in range(4)], got)


def streams_and_refreshes_are_told_apart():
    text = word()
    plain = stored(pkd, text)
    stream = request(text, stream=True)
    with pkd.raw() as s:
        s.sendall((plain + stream) * 3 + plain)
        f = s.makefile("rb")
        for _ in range(3):
            expect(read_response(f)[1]["content-type"] == "application/json")
            expect(read_response(f, True)[1]["content-type"] == "text/event-stream")
            while f.readline().strip() != b"0":
                pass
            f.readline()
        expect(read_response(f)[1]["x-portkey-cache-status"] == "HIT")
    refresh = request(text, {"x-portkey-cache-force-refresh": "true"})
    expect(statuses(burst(pkd, *[plain] * 8 + [refresh] + [plain] * 8)) == ["HIT"] * 8 + ["REFRESH"] + ["HIT"] * 8)


def equal_heads_have_bodies_of_their_own():
    def texts(answers):
        return [json.loads(a[2])["choices"][0]["message"]["content"] for a in answers]

    def chunked(text):
        head, body = request(text, cfg=config(mock, override_params={"model": "echo"})).split(b"\r\n\r\n")
        head = re.sub(rb"content-length: \d+", b"transfer-encoding: chunked", head)
        return head + b"\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:9], body[9:])) + b"0\r\n\r\n"
    for make in chunked, lambda text: request(text, cfg=config(mock, override_params={"model": "echo"})):
        for _ in range(3):
            said = [word() for _ in range(MANY)]
            expect(texts(burst(pkd, *map(make, said))) == said)
    with pkd.raw() as s:  # nor does a head that is cut go on as another one
        s.sendall(request("x")[:60])
        time.sleep(0.05)
        s.sendall(request("x")[60:])
        expect(read_response(s)[0] == 200)


def heads_of_one_length_are_told_apart():
    """More of them than are known at once, each several times, in lines of any order, and one with bytes of Latin-1."""
    traces = [f"trace-{word()}" for _ in range(MANY)]
    users = [f"user-{i:03}" if i else "user-\u00fc0" for i in range(MANY)]
    heads = []
    for i, (trace, user) in enumerate(zip(traces, users)):
        lines = [("x-portkey-trace-id", trace), ("x-portkey-metadata", json.dumps({"_user": user}, ensure_ascii=False))]
        plain = request("x", dict(lines[::-1] if i % 2 else lines), cfg=config(mock)).decode()
        heads.append(plain.encode("latin-1"))
    for order in heads, heads[::-1], [h for h in heads for _ in range(3)]:
        answers = burst(pkd, *order)
        expect([a[1].get("x-portkey-trace-id") for a in answers] == [traces[heads.index(h)] for h in order])
    names = ",".join(f"'{t}'" for t in traces)
    got = pkd.rows_within(f"select user_id, count(*) from pk_logs where trace_id in ({names}) group by 1 order by 1",
                          lambda rows: sum(r[1] for r in rows) == 5 * MANY)
    expect(got == sorted((u, 5) for u in users), got)


def what_chance_or_a_guardrail_decides_is_decided_each_time():
    cfg = json.loads(config(mock))
    balanced = json.dumps({"strategy": {"mode": "loadbalance"}, "cache": {"mode": "simple"}, "targets": [cfg, cfg]})
    guarded = json.dumps({**cfg, "cache": {"mode": "simple"},
                          "input_guardrails": [{"default.wordCount": {"minWords": 0}, "deny": False}]})
    for one, column, many in (balanced, "target_path", 2), (guarded, "guardrail_verdict", 1):
        r = stored(pkd, word(), cfg=one)
        answers = burst(pkd, *[r] * MANY)
        expect(statuses(answers) == ["HIT"] * MANY)
        traces = [a[1]["x-portkey-trace-id"] for a in answers]
        got = rows_of(pkd, traces, f"distinct {column}")
        expect(len(got) == many and None not in got[0], (column, got))
    checks = pkd.rows_within(f"select count(*) from pk_spans where kind = 'guardrail' and trace_id in "
                             f"({','.join(repr(t) for t in traces)})", lambda rows: rows[0][0] == MANY)
    expect(checks == [(MANY,)], checks)


def they_are_counted():
    def count(name):
        text = pkd.http("GET", "/metrics")[2].decode()
        return float(re.search(rf"^{name} (\d+)", text, re.M).group(1))
    text = word()
    for ask, r in (burst, stored(pkd, text)), (whole_streams, request(text, stream=True)):
        hits, repeats = count(r'pkd_cache_total\{status="hit"\}'), count("pkd_cache_repeats_total")
        ask(pkd, *[r] * MANY)
        expect(count(r'pkd_cache_total\{status="hit"\}') == hits + MANY)
        # Most are answered without a call, unless the machine stands still meanwhile.
        expect(until(lambda: ask(pkd, *[r] * MANY) and count("pkd_cache_repeats_total") > repeats + MANY), (r, repeats))


# --- what is seen of what changes ------------------------------------------------------------------

def asked():
    """How often the provider was asked."""
    return mock.page("stats")["by_path"]["/v1/chat/completions"]


def a_purge_is_seen():
    r = stored(pkd, word())
    before = asked()
    expect(statuses(burst(pkd, *[r] * MANY)) == ["HIT"] * MANY and asked() == before)
    expect(seen_amid(pkd, r, lambda: sql(pkd, "delete from pk_cache_entry"), lambda _: asked() > before))
    expect(asked() == before + 1, "whoever came first asked again, for all")


def an_entry_that_expires_is_given_no_more():
    r = stored(pkd, word(), cfg=config(mock, cache={"mode": "simple", "max_age": 1}))
    before = asked()
    for _ in range(int(1.5 * SLOW / 0.05)):
        burst(pkd, *[r] * MANY)
        time.sleep(0.05)
    expect(asked() > before)


def a_new_answer_is_seen_at_once():
    """By each thread, for it is of this process."""
    server = Pkd("--threads", "4")
    text = word()
    cfg = config(mock, cache={"mode": "simple"}, override_params={"model": "echo"})  # its answers have ids
    r = stored(server, text, cfg=cfg)
    refresh = request(text, {"x-portkey-cache-force-refresh": "true"}, cfg=cfg)
    seen = set()
    for _ in range(20):
        for _ in range(8):
            burst(server, *[r] * 8)
        new = burst(server, refresh)[0][2]
        for _ in range(8):
            expect({a[2] for a in burst(server, *[r] * 8)} == {new})
        seen.add(new)
    expect(len(seen) == 20, "a new one each time")
    expect(server.stop() == 0)


def a_changed_config_is_seen():
    def put(**more):
        admin(pkd, "config", "put", "hot", stdin=json.dumps({"virtual_key": "hot", **more}))
    admin(pkd, "key", "put", "hot", "openai", json.dumps({"custom_host": mock.base}), stdin="sk-test")
    put(cache={"mode": "simple"})
    r = stored(pkd, word(), cfg="hot")
    expect(seen_amid(pkd, r, put, lambda got: got == ["DISABLED"] * MANY))


def a_revoked_key_is_refused():
    server = Pkd()
    key = admin(server, "apikey", "create", "first")
    expect(until(lambda: burst(server, request("x"))[0][0] == 401), "the first key is seen")
    headers = {"x-portkey-api-key": key}
    r = stored(server, word(), headers)
    expect(seen_amid(server, r, lambda: admin(server, "apikey", "revoke", "first"), lambda got: got == [401] * MANY))
    expect(server.stop() == 0)


def a_key_that_expires_is_refused():
    server = Pkd()
    admin(server, "apikey", "create", "first")
    expect(until(lambda: burst(server, request("x"))[0][0] == 401), "the first key is seen")
    asked = []

    def is_hot(soon):
        key = admin(server, "apikey", "create", f"brief-{len(asked)}", json.dumps({"expires_at": soon}))
        asked.append(request(word(), {"x-portkey-api-key": key}))
        if not until(lambda: statuses(burst(server, asked[-1])) == ["HIT"], 5):
            return False
        time.sleep(0.3)  # it is no longer in the memory of whoever saved it
        return statuses(burst(server, *asked[-1:] * MANY)) == ["HIT"] * MANY
    expect(in_a_while(is_hot, (5, 20)))
    expect(until(lambda: statuses(burst(server, *asked[-1:] * MANY)) == [401] * MANY))
    expect(server.stop() == 0)


def in_durable_mode_each_waits_for_its_row():
    server = Pkd("--durable")
    text = word()
    r = stored(server, text)
    traces = [a[1]["x-portkey-trace-id"] for a in burst(server, *[r] * MANY)]
    names = ",".join(f"'{t}'" for t in traces)
    expect(server.rows(f"select count(*) from pk_logs where trace_id in ({names})") == [(MANY,)])
    expect(server.stop() == 0)


pkd = Pkd()
run(each_has_a_row_of_its_own, ids_that_are_given_stay, what_is_told_apart_by_a_header_is,
    streams_and_refreshes_are_told_apart, what_chance_or_a_guardrail_decides_is_decided_each_time,
    they_are_counted, equal_heads_have_bodies_of_their_own,
    heads_of_one_length_are_told_apart, a_purge_is_seen,
    an_entry_that_expires_is_given_no_more, a_new_answer_is_seen_at_once, a_changed_config_is_seen,
    a_revoked_key_is_refused, a_key_that_expires_is_refused, in_durable_mode_each_waits_for_its_row)
expect(pkd.stop() == 0)
mock.stop()
end()
