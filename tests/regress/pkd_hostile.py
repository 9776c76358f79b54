#!/usr/bin/env python3
"""What clients can do to pkd that mean it harm, each followed by a look at what is left of it: a plain call
works, no connection is held, and over several rounds nothing grows: pkd_hostile.py BUILD

What is merely malformed, too large or too slow is in pkd_input.py.
"""
import os
import random
import socket
import time

from pkd_harness import *

LIMIT = 150  # connections a thread
ROUNDS = 2
THREADS = int(os.environ.get("PK_THREADS", "1"))
mock = Mock()
pkd = Pkd("--head-timeout", "600", "--body-timeout", "800", "--idle-timeout", "3000", "--write-timeout", "700",
          "--connections", str(LIMIT), "--core-dumps")
H = "Host: localhost"


def head(line="POST /v1/chat/completions HTTP/1.1", *headers, body=b""):
    return (line + "\r\n" + "".join(h + "\r\n" for h in headers) + "\r\n").encode("latin-1") + body


def connect(receive_bytes=0):
    s = socket.socket()
    if receive_bytes:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.settimeout(10 * SLOW)
    s.connect(("127.0.0.1", pkd.port))
    return s


def push(s, data):
    """Sends what the server takes; it may well hang up before the end."""
    try:
        s.sendall(data)
    except OSError:
        pass


def pull(s, seconds=5.0):
    """All that comes until the server closes, or is silent for so long."""
    got = b""
    s.settimeout(seconds * SLOW)
    try:
        while True:
            more = s.recv(65536)
            if not more:
                break
            got += more
    except OSError:
        pass
    s.close()
    return got


def exchange(data, seconds=5.0):
    s = connect()
    push(s, data)
    return pull(s, seconds)


def statuses(got):
    return [int(line.split()[1]) for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def refused(data, *status):
    got = exchange(data)
    expect(len(statuses(got)) == 1 and statuses(got)[0] in status, f"{data[:300]!r}: {got[:300]!r}")


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()


def held():
    """Sockets of clients that the server has not let go of."""
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return sum(int(r[1].split(":")[1], 16) == pkd.port and r[3] not in ("0A", "06") and r[9] != "0" for r in rows)


def descriptors():
    return len(os.listdir(f"/proc/{pkd.process.pid}/fd"))


def asked(marker):
    """Whether the provider has seen a request to a path with `marker`."""
    return any(marker in r["path"] for r in mock.page("recent"))


# --- two readings of one request ---------------------------------------------------------------

def framing_that_two_servers_read_differently_is_refused():
    inner = head("POST /v1/smuggled HTTP/1.1", H, "x-portkey-config: " + config(mock), "Content-Length: 2", body=b"{}")
    chunked = b"0\r\n\r\n" + inner
    for coding in ("Transfer-Encoding : chunked", " Transfer-Encoding: chunked", "Transfer-Encoding:\x0bchunked",
                   "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chunked,",
                   "Transfer-Encoding: identity, chunked", "Transfer-Encoding: chunked\x00", "Transfer-Encoding: chu\xa0nked",
                   "Transfer-Encoding\x00: chunked", "X: y\rTransfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked",
                   "Transfer-Encoding:\r\n chunked", "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"):
        refused(head("POST /v1/feedback HTTP/1.1", H, "Content-Length: %d" % len(chunked), coding, body=chunked), 400, 501)
        refused(head("POST /v1/feedback HTTP/1.1", H, coding, "Content-Length: %d" % len(chunked), body=chunked), 400, 501)
    for length in ("0, %d", "%d, 0", "+%d", "-%d", "%d ,", "0x%x", "%d.0", "%d\x00", "1e%d", "00000000000000000000%d", "_%d"):
        refused(head("POST /v1/feedback HTTP/1.1", H, "Content-Length: " + length % len(inner), body=inner), 400, 413)
    for second in "Content-Length: 0", "content-length: %d" % len(inner), "CONTENT-LENGTH:\t0":
        refused(head("POST /v1/feedback HTTP/1.1", H, "Content-Length: %d" % len(inner), second, body=inner), 400)
    expect(not asked("smuggled"))


def a_request_in_a_body_stays_in_the_body():
    inner = head("POST /v1/smuggled HTTP/1.1", H, "x-portkey-config: " + config(mock), "Content-Length: 2", body=b"{}")
    got = exchange(head("GET /healthz HTTP/1.1", H, "Content-Length: %d" % len(inner), "Connection: close", body=inner))
    expect(statuses(got) == [200], got)
    got = exchange(head("GET /healthz HTTP/1.1", H, "Transfer-Encoding: chunked", "Connection: close",
                        body=b"%x\r\n" % len(inner) + inner + b"\r\n0\r\n\r\n"))
    expect(statuses(got) == [200], got)
    got = exchange(head("GET /healthz HTTP/1.1", H, "Connection: close", body=inner))
    expect(statuses(got) == [200], "what follows a last request is nobody's: %r" % got)
    expect(not asked("smuggled"))


def trailers_and_chunk_extensions_change_nothing():
    def send(chunks):
        return exchange(head("POST /v1/chat/completions HTTP/1.1", H, "Transfer-Encoding: chunked", "Connection: close",
                             "x-portkey-config: " + config(mock), body=chunks))
    body = chat_body("echo").encode()
    whole = b"%x%s\r\n" % (len(body), b";a=b;c=\"d\"") + body + b"\r\n0\r\n"
    got = send(whole + b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\nx-portkey-trace-id: trailed\r\n\r\n")
    expect(statuses(got) == [200] and b"trailed" not in got, got)
    got = send(b"000000000000%x\r\n" % len(body) + body + b"\r\n00\r\n\r\n")
    expect(statuses(got) == [200], got)
    for bad in (b"%x;" % len(body) + b"e" * 5000 + b"\r\n", b"%x;a\nb\r\n" % len(body), b"%x\n" % len(body), b"0x5\r\n",
                b"5 \r\nhello\r\n", b"\r\n", b";a\r\n", b"8000000000000000\r\n", b"ffffffffffffffff1\r\n",
                b"5\r\nhello 0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"0\r\nX: y\nZ: w\r\n\r\n", b"0\r\n\0: y\r\n\r\n"):
        expect(statuses(send(bad)) in ([400], [413]), bad[:40])
    expect(statuses(send(b"0\r\n" + b"X: y\r\n" * 10000 + b"\r\n")) in ([400], [431]), "ten thousand trailers")


# --- words in headers ----------------------------------------------------------------------------

STEERING = ("config provider virtual-key api-key custom-host forward-headers request-timeout trace-id span-id "
            "parent-span-id span-name metadata cache-force-refresh cache-namespace disable-logging debug "
            "log-payloads strict-params").split()


def no_header_makes_another():
    for name in STEERING:
        for line_break in "\r", "\n", "\0", "\r ", "\n\t":
            refused(head("POST /v1/chat/completions HTTP/1.1", H, "x-portkey-%s: a%sx-evil: 1" % (name, line_break),
                         "Content-Length: 2", body=b"{}"), 400)
    evil = "a\r\nx-evil: 1\r\n\r\nHTTP/1.1 200 OK\r\nx-evil: 2"
    escaped = json.dumps(evil)[1:-1]
    cases = []
    for name in STEERING:
        cases.append(({"x-portkey-" + name: escaped}, chat_body("echo")))
        cases.append(({"x-portkey-" + name: "%0d%0ax-evil:%201"}, chat_body("echo")))
    for field in "provider", "api_key", "virtual_key", "custom_host", "name":
        cases.append(({"x-portkey-config": config(mock, **{field: evil})}, chat_body("echo")))
    named = {"strategy": {"mode": "conditional", "conditions": [{"query": {}, "then": evil}], "default": evil},
             "targets": [{**json.loads(config(mock)), "name": evil}]}
    cases.append(({"x-portkey-config": json.dumps(named)}, chat_body("echo")))
    cases.append(({"x-portkey-metadata": json.dumps({"_user": evil, evil: evil})}, chat_body("echo")))
    cases.append(({}, chat_body("echo" + evil)))
    cases.append(({}, chat_body("@" + evil + "/echo")))
    cases.append(({}, chat_body("echo", **{evil: 1})))
    cases.append(({"x-portkey-config": config(mock, override_params={evil: 1, "model": "echo" + evil})}, chat_body("echo")))
    for headers, body in cases:
        lines = {"x-portkey-config": config(mock), "Content-Length": str(len(body.encode())), "Connection": "close", **headers}
        got = exchange(head("POST /v1/chat/completions HTTP/1.1", H, *["%s: %s" % l for l in lines.items()],
                            body=body.encode()))
        expect(len(statuses(got.split(b"\r\n\r\n")[0])) == 1 and b"\nx-evil" not in got.split(b"\r\n\r\n")[0], f"{headers}: {got}")
        expect("x-evil" not in mock.page("last")["headers"], headers)


def no_path_makes_a_header_upstream():
    for path in ("/v1/files/%0d%0ax-evil:%201", "/v1/proxy/a%0d%0ax-evil:%201", "/v1/files/a%00b", "/v1/files/../../x",
                 "/v1/proxy/%2e%2e/%2e%2e/x", "/v1/files/a?b=%0d%0ax-evil:1", "/v1//evil.example/x", "/v1/proxy/@evil.example/x",
                 "/v1/proxy//evil.example/", "/v1/proxy/\\evil.example", "/v1/files/a#b", "/v1/proxy/a?b#c"):
        got = exchange(head("GET %s HTTP/1.1" % path, H, "x-portkey-config: " + config(mock), "Connection: close"))
        expect(len(statuses(got)) == 1, f"{path}: {got}")
        last = mock.page("last")
        expect("x-evil" not in last["headers"] and last["headers"]["host"] == "127.0.0.1:%d" % mock.port, last)


def headers_of_the_connection_are_never_forwarded():
    names = ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "keep-alive",
             "proxy-authorization", "authorization", "x-portkey-config", "x-fine"]
    body = chat_body("echo").encode()
    got = exchange(head("POST /v1/chat/completions HTTP/1.1", H, "x-portkey-config: " + config(mock),
                        "x-portkey-forward-headers: " + ",".join(names), "Content-Length: %d" % len(body), "TE: trailers",
                        "Trailer: x", "Keep-Alive: timeout=1", "Proxy-Authorization: x", "Connection: close, x-fine", "x-fine: 1", body=body))
    if statuses(got) == [200]:
        last = mock.page("last")["headers"]
        expect(last["host"] == "127.0.0.1:%d" % mock.port and "transfer-encoding" not in last, last)
        expect(not {"te", "trailer", "proxy-authorization", "x-portkey-config", "upgrade"} & set(last), last)
        expect(last["authorization"] == "Bearer sk-test", last)
    else:
        expect(statuses(got) == [400], got)


def targets_of_other_forms_lead_nowhere_else():
    before = mock.page("stats")["requests"]
    good = head("GET http://evil.example/healthz HTTP/1.1", H, "Connection: close")
    expect(statuses(exchange(good)) in ([200], [400], [403]))
    for line in ("CONNECT 127.0.0.1:%d HTTP/1.1" % mock.port, "CONNECT evil.example:443 HTTP/1.1", "GET localhost:80 HTTP/1.1",
                 "GET http:// HTTP/1.1", "GET http://[::1/x HTTP/1.1", "GET //evil.example/healthz HTTP/1.1",
                 "GET ftp://localhost/x HTTP/1.1", "GET * HTTP/1.1", "GET ?x HTTP/1.1", "GET \\healthz HTTP/1.1",
                 "GET /v1/chat/completions\x7f HTTP/1.1", "GET /\xff HTTP/1.1", "GET  /healthz HTTP/1.1", "GET /healthz  HTTP/1.1",
                 "GET\t/healthz HTTP/1.1", "get /healthz HTTP/1.1", "GETS /healthz HTTP/1.1", "BREW /healthz HTTP/1.1",
                 "TRACE /healthz HTTP/1.1", "GET /healthz HTTP/1.1 x", "GET /healthz http/1.1", "GET /healthz HTTP/01.1",
                 "GET /healthz HTTP/1.10", "GET /healthz HTTP/11", "GET /healthz HTTP/-1.1", "GET /healthz"):
        got = exchange(head(line, H, "Connection: close"))
        expect(len(statuses(got)) == 1 and statuses(got)[0] >= 400, f"{line}: {got}")
    expect(mock.page("stats")["requests"] == before)


def upgrades_that_are_none_are_answered_plainly():
    body = chat_body("echo").encode()
    for upgrade in "h2c", "websocket", "TLS/1.2", "h2c, websocket", "\x7f":
        got = exchange(head("POST /v1/chat/completions HTTP/1.1", H, "Connection: Upgrade, HTTP2-Settings, close", "Upgrade: " + upgrade,
                            "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", "x-portkey-config: " + config(mock),
                            "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13", "Content-Length: %d" % len(body), body=body))
        expect(len(statuses(got)) == 1 and statuses(got)[0] in (200, 400), got)
    got = exchange(head("GET /v1/realtime?model=echo HTTP/1.1", H, "Connection: Upgrade", "Upgrade: websocket"))
    expect(statuses(got)[0] >= 400, got)


# --- too much ------------------------------------------------------------------------------------

def too_much_is_refused_before_it_is_kept():
    before = memory_kb(pkd.process.pid)
    huge = b"a" * (8 << 20)
    refused(head("GET /healthz HTTP/1.1", H, *["X%d: y" % i for i in range(10000)]), 431)
    refused(head("GET /healthz HTTP/1.1", H, *["X: y"] * 10000), 431)
    refused(b"GET /" + huge + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, 431)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + huge + b"\r\n\r\n", 431)
    refused(b"GET /healthz HTTP/1.1\r\n" + huge + b": y\r\n\r\n", 431)
    refused(huge, 400, 431)
    expect(statuses(exchange(b"\r\n" * (1 << 20))) in ([], [408]), "empty lines are no request")
    sockets = [connect() for _ in range(40)]
    for s in sockets:
        push(s, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 60000)
    grown = memory_kb(pkd.process.pid) - before
    expect(grown < 12 * 1024 or SLOW > 1, f"{grown} kB for 40 heads")
    for s in sockets:
        s.close()


def a_body_that_is_announced_takes_no_memory():
    before = memory_kb(pkd.process.pid)
    sockets = [connect() for _ in range(100)]
    for s in sockets:
        push(s, head("POST /v1/chat/completions HTTP/1.1", H, "Content-Length: 33000000", body=b"{"))
    time.sleep(0.2)
    grown = memory_kb(pkd.process.pid) - before
    expect(grown < 8 * 1024 or SLOW > 1, f"{grown} kB")
    for s in sockets:
        s.close()


def requests_sent_ahead_wait_outside():
    before = memory_kb(pkd.process.pid)
    s = connect(4096)
    s.setblocking(False)
    ahead, sent = head("GET /v1/models HTTP/1.1", H) * 2000, 0
    end = time.monotonic() + 1
    while time.monotonic() < end and sent < 64 << 20:
        try:
            sent += s.send(ahead)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break  # given up, since it does not read
    grown = memory_kb(pkd.process.pid) - before
    expect(grown < 8 * 1024 or SLOW > 1, f"{grown} kB after {sent} bytes of requests")
    s.close()


def one_byte_chunks_are_taken():
    body = chat_body("echo", "x" * 30000).encode()
    got = exchange(head("POST /v1/chat/completions HTTP/1.1", H, "Transfer-Encoding: chunked", "Connection: close",
                        "x-portkey-config: " + config(mock),
                        body=b"".join(b"1\r\n%c\r\n" % c for c in body) + b"0\r\n\r\n"))
    expect(statuses(got) == [200], got[:300])


# --- too slow --------------------------------------------------------------------------------------

def many_slow_clients_hold_nobody_up():
    stages = [b"G", b"GET /healthz HTTP/1.1\r\nX: ", head("POST /v1/feedback HTTP/1.1", H, "Content-Length: 9999"),
              head("POST /v1/feedback HTTP/1.1", H, "Transfer-Encoding: chunked", body=b"5")]
    sockets = [connect() for _ in range(100)]
    for i, s in enumerate(sockets):
        push(s, stages[i % len(stages)])
    times, end = [], time.monotonic() + 2 * SLOW
    while time.monotonic() < end:
        for s in random.sample(sockets, 10):
            push(s, b"1")
        began = time.monotonic()
        expect(pkd.http("GET", "/healthz")[0] == 200)
        times.append(time.monotonic() - began)
        time.sleep(0.02)
    expect(soon("an answer beside 100 slow clients", times, 0.02), sorted(times)[-5:])
    expect(until(lambda: held() < 10, 7), f"{held()} slow clients are still there")
    for s in sockets:
        s.close()


def a_flood_of_connections_passes():
    """More than the server takes, silent: they time out in turn, and who stands behind them is served."""
    sockets = [connect() for _ in range(THREADS * LIMIT * 2)]
    began = time.monotonic()
    expect(pkd.http("GET", "/healthz", timeout=40 * SLOW)[0] == 200)
    expect(time.monotonic() - began < 40 * SLOW)  # they may be silent for 75 s otherwise
    expect(held() <= THREADS * LIMIT + 5, held())
    for s in sockets:
        s.close()


def clients_that_never_read_are_given_up():
    before = memory_kb(pkd.process.pid)
    sockets = [connect(4096) for _ in range(12)]
    request = chat_request(mock, chat_body("echo:words=30000", "x", stream=True), "x-portkey-disable-logging: true\r\n")
    for s in sockets:
        push(s, request)
    most = before

    def gone():
        nonlocal most
        most = max(most, memory_kb(pkd.process.pid))
        return held() == 0
    expect(until(gone, 30, pause=0.05), f"{held()} are still there")
    expect(most - before < 64 * 1024 or SLOW > 1, f"{most - before} kB for 12 streams")
    for s in sockets:
        s.close()


# --- gone ------------------------------------------------------------------------------------------

def leave(s, how):
    if how == "reset":
        reset(s)
    elif how == "half":
        try:
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        pull(s, 1.0)
    else:
        s.close()


def clients_may_leave_at_every_stage():
    plain, stream = chat_request(mock, chat_body("echo")), chat_request(mock, chat_body("echo:words=50:tick=5", stream=True))
    cuts = [b"", b"P", plain[:40], plain[:-1], plain, stream, plain * 3, plain + plain[:50], head("GET /healthz HTTP/1.1", H),
            head("POST /v1/chat/completions HTTP/1.1", H, "Expect: 100-continue", "Content-Length: 5"),
            head("POST /v1/chat/completions HTTP/1.1", H, "Transfer-Encoding: chunked", body=b"5\r\nhel"),
            b"GET /healthz HTTP/1.1\nbad\n\n", chat_request(mock, chat_body("hang")), chat_request(mock, chat_body("huge:8MB"))]
    for how in "close", "reset", "half":
        for data in cuts:
            for wait in 0, 0.03:
                s = connect()
                push(s, data)
                time.sleep(wait)
                leave(s, how)
        for size in 1, 100, 3000:  # in the middle of the answer
            s = connect()
            push(s, stream)
            left = size
            while left > 0:
                left -= len(s.recv(left))
            leave(s, how)
    expect(until(lambda: mock.page("stats")["in_flight"] <= 1), "providers still work for clients who left")


def garbage_is_told_from_requests():
    rnd = random.Random(5)
    for start in (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"SSH-2.0-x\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 100,
                  b"\xff\xfb\x01", b"EHLO x\r\n", b"\x05\x01\0", b"{}\n", b"HTTP/1.1 200 OK\r\n\r\n", b"*1\r\n$4\r\nPING\r\n"):
        s = connect()
        push(s, start + bytes(rnd.randrange(256) for _ in range(2000)) + b"\r\n\r\n")
        got = pull(s, 3)
        expect(not got or statuses(got)[0] >= 400, f"{start}: {got}")


# --- what is left ------------------------------------------------------------------------------------

def unharmed(case):
    """The case, and then: a call works, and no client's connection is still held."""
    def run_and_look():
        case()
        status, _, body = chat(pkd, mock, "echo", "still here")
        expect(status == 200 and b"still here" in body, body)
        expect(until(lambda: held() == 0), f"{held()} connections are held")
    run_and_look.__name__ = case.__name__
    return run_and_look


cases = (framing_that_two_servers_read_differently_is_refused, a_request_in_a_body_stays_in_the_body,
         trailers_and_chunk_extensions_change_nothing, no_header_makes_another, no_path_makes_a_header_upstream,
         headers_of_the_connection_are_never_forwarded, targets_of_other_forms_lead_nowhere_else,
         upgrades_that_are_none_are_answered_plainly, too_much_is_refused_before_it_is_kept,
         a_body_that_is_announced_takes_no_memory, requests_sent_ahead_wait_outside, one_byte_chunks_are_taken,
         many_slow_clients_hold_nobody_up, a_flood_of_connections_passes, clients_that_never_read_are_given_up,
         clients_may_leave_at_every_stage, garbage_is_told_from_requests)
run(*map(unharmed, cases))


def nothing_grows_when_it_is_all_done_again():
    seen = []
    for _ in range(ROUNDS):
        for case in cases:
            unharmed(case)()
        seen.append((memory_kb(pkd.process.pid), descriptors()))
    print("# RSS and descriptors after each round:", seen)
    expect(seen[-1][1] <= seen[0][1] + 8, seen)
    expect(seen[-1][0] - seen[0][0] < 20 * 1024 * SLOW, seen)  # the allocator gives back what exceeds 16 MB


def thousands_leave_nothing_behind():
    """Each leaves in another way; a few hundred bytes for each that stayed would show."""
    plain, stream = chat_request(mock, chat_body("echo")), chat_request(mock, chat_body("echo:words=50:tick=1", stream=True))
    ways = [plain[:200], plain[:-1], plain, stream, b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n", b"\x16\x03\x01" + b"x" * 200,
            head("POST /v1/chat/completions HTTP/1.1", H, "Transfer-Encoding: chunked", body=b"5\r\nhel"), plain * 3]

    def all_leave(count):
        for i in range(count):
            s = connect()
            push(s, ways[i % len(ways)])
            if i % 3 == 0:
                s.recv(64) if i % len(ways) in (2, 3, 4, 7) else None
            reset(s) if i % 2 else s.close()
        expect(until(lambda: held() == 0), f"{held()} connections are held")
        time.sleep(0.3)  # the log's writer
        return memory_kb(pkd.process.pid)
    def nothing_grows():
        before, after = all_leave(500), all_leave(4000)
        print("# RSS %d kB, and %d kB after 4000 more" % (before, after), flush=True)
        return after - before < 1024 or SLOW > 1
    all_leave(1000)
    expect(some_time(nothing_grows), "it grows each time")


def it_ends_cleanly_after_all_that():
    expect(pkd.stop() == 0)


if not failures:
    run(nothing_grows_when_it_is_all_done_again, thousands_leave_nothing_behind)
run(it_ends_cleanly_after_all_that)
mock.stop()
end()
