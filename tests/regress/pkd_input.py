#!/usr/bin/env python3
"""What pkd does with requests that are malformed, ambiguous, too large, too slow or too many:
pkd_input.py BUILD"""
import json
import socket
import time

from pkd_harness import *

mock = Mock()
pkd = Pkd("--head-timeout", "700", "--body-timeout", "900", "--idle-timeout", "1500")


def exchange(data, wait=5.0):
    """Sends bytes; returns what came until the server closed or went quiet, and whether it closed."""
    s = pkd.raw(wait)
    try:
        s.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    got = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return got, True
            got += more
            if b"\r\n\r\n" in got and wait < 1:
                continue
    except socket.timeout:
        return got, False
    except ConnectionResetError:
        return got, True
    finally:
        s.close()


def statuses(got):
    return [int(line.split()[1]) for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def refused(data, *status):
    got, closed = exchange(data, 3.0 * SLOW)
    expect(closed, f"the connection stays open: {got!r}")
    expect(len(statuses(got)) == 1 and statuses(got)[0] in status, f"{got!r}")
    body = json.loads(got.split(b"\r\n\r\n", 1)[1])
    expect(body["error"]["message"], got)


def head(line="POST /v1/chat/completions HTTP/1.1", *headers, body=b""):
    return (line + "\r\n" + "".join(h + "\r\n" for h in headers) + "\r\n").encode("latin-1") + body


H = "Host: localhost"


def both_lengths_are_refused():
    refused(head("POST / HTTP/1.1", H, "Content-Length: 5", "Transfer-Encoding: chunked",
                 body=b"0\r\n\r\n"), 400)
    refused(head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked", "Content-Length: 5",
                 body=b"0\r\n\r\n"), 400)


def two_lengths_are_refused():
    refused(head("POST / HTTP/1.1", H, "Content-Length: 5", "Content-Length: 6", body=b"hello"), 400)
    refused(head("POST / HTTP/1.1", H, "Content-Length: 5", "Content-Length: 5", body=b"hello"), 400)
    refused(head("POST / HTTP/1.1", H, "Content-Length: 5, 5", body=b"hello"), 400)


def odd_lengths_are_refused():
    for value in "+5", "-5", "5x", "0x5", "", "5 5", "99999999999999999999":
        refused(head("POST / HTTP/1.1", H, "Content-Length: " + value, body=b"hello"), 400, 413)


def unknown_transfer_codings_are_refused():
    for value in "xchunked", "gzip, chunked", "chunked, chunked", "identity", "chunked\x0b":
        refused(head("POST / HTTP/1.1", H, "Transfer-Encoding: " + value, body=b"0\r\n\r\n"), 400, 501)
    refused(head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked",
                 body=b"0\r\n\r\n"), 400, 501)
    refused(head("POST / HTTP/1.0", H, "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400)


def malformed_heads_are_refused():
    refused(b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\tc\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\nHost: localhost\n\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\nA: b\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: local\0host\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA\0: b\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: b\rc\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA:\0b\r\n\r\n", 400)
    for early in (b"\r\xca3\r\nabc\r\n0\r\nA: b", b"A:\rXb: c", b"\r\r", b"\rA: b"):  # where a parser may see the end of the head
        for more in (b"", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n"):
            refused(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + more + early + b"\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n: b\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\n Host: localhost\r\n\r\n", 400)
    refused(b"GET /healthz HXYZ/1.1\r\nHost: localhost\r\n\r\n", 400)
    refused(b"GET /healthz H\0TP/1.1\r\nHost: localhost\r\n\r\n", 400)
    refused(b"GET /health z HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)
    refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400)
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505)


def versions_other_than_one_are_refused():
    refused(b"GET /healthz\r\n\r\n", 505, 400)
    refused(b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505, 400)
    refused(b"GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n", 505, 400)


def the_host_header_is_needed_once():
    refused(b"GET /healthz HTTP/1.1\r\n\r\n", 400)
    refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400)


def names_that_are_not_ours_are_refused():
    for name in "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "":
        got, _ = exchange(head("GET /healthz HTTP/1.1", "Host: " + name, "Connection: close"))
        expect(statuses(got)[0] in ((403,) if name else (200, 400, 403)), f"{name}: {got!r}")
    for name in "localhost", "localhost:1", "127.0.0.1", "[::1]:8787", "a.localhost", "LOCALHOST":
        got, _ = exchange(head("GET /healthz HTTP/1.1", "Host: " + name, "Connection: close"))
        expect(statuses(got) == [200], f"{name}: {got!r}")


def pages_of_other_sites_are_refused():
    for origin in "http://evil.example", "null", "https://localhost.evil.example":
        got, _ = exchange(head("POST /v1/feedback HTTP/1.1", H, "Origin: " + origin,
                               "Connection: close", "Content-Length: 2", body=b"{}"))
        expect(statuses(got) == [403], f"{origin}: {got!r}")
        expect(b"access-control" not in got.lower(), got)
    status, _, _ = pkd.http("GET", "/healthz", headers={"Origin": "http://localhost:3000"})
    expect(status == 200)


def large_heads_are_refused():
    refused(head("GET /healthz HTTP/1.1", H, "A: " + "b" * 70000), 431)
    refused(head("GET /healthz HTTP/1.1", H, *["A%d: b" % i for i in range(200)]), 431)
    refused(head("GET /" + "a" * 9000 + " HTTP/1.1", H), 414)
    refused(b"A" * 70000, 400, 431)


patient = Pkd()  # what is large takes its time to arrive


def large_bodies_are_refused():
    refused(head("POST /v1/chat/completions HTTP/1.1", H, "Content-Length: 33554433"), 413)
    refused(head("POST /v1/chat/completions HTTP/1.1", H, "Content-Length: 33554433",
                 "Expect: 100-continue"), 413)
    s = patient.raw(60)
    s.sendall(head("POST /v1/chat/completions HTTP/1.1", H, "Transfer-Encoding: chunked"))
    try:
        for _ in range(33):
            s.sendall(b"100000\r\n" + b"a" * (1 << 20) + b"\r\n")
    except OSError:
        pass
    expect(read_response(s)[0] == 413)
    s.close()


def a_body_of_the_largest_size_is_taken():
    body = chat_body("body-echo", "a" * (31 << 20)).encode()
    status, headers, answer = patient.http("POST", "/v1/chat/completions", body,
                                           {"x-portkey-config": config(mock)}, 60)
    expect(status in (200, 502), f"{status} {answer[:200]}")
    expect(mock.page("last")["path"] == "/v1/chat/completions")


def malformed_chunks_are_refused():
    for chunks in b"x\r\n", b"5\r\nhelloXX0\r\n", b"5\rX\n", b"5\n", b"5;a\nb\r\n", b"0\r\n a: b\r\n\r\n", b"-1\r\n", b"5 5\r\nhello\r\n", b"fffffffffffffffff\r\n":
        refused(head("POST / HTTP/1.1", H, "Transfer-Encoding: chunked", body=chunks), 400, 413)


def a_trickled_head_is_given_up():
    s = pkd.raw(10)
    began = time.monotonic()
    got = b""
    try:
        for c in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: bbbbbbbbbbbbbbbbbbb":
            s.sendall(bytes([c]))
            time.sleep(0.05)
        got = s.recv(4096)
    except OSError:
        got = s.recv(4096)
    took = time.monotonic() - began
    expect(b" 408 " in got, got)
    expect(took < 8 * SLOW, took)
    s.close()


def a_trickled_body_is_given_up():
    s = pkd.raw(10)
    s.sendall(head("POST /v1/chat/completions HTTP/1.1", H, "Content-Length: 1000"))
    began = time.monotonic()
    got = b""
    s.settimeout(0.05)
    while not got and time.monotonic() - began < 30:
        try:
            s.sendall(b" ")
            got = s.recv(4096)
        except socket.timeout:
            pass
    expect(b" 408 " in got, got)
    expect(time.monotonic() - began < 8 * SLOW)
    s.close()


def silence_is_closed():
    s = pkd.raw(10)
    began = time.monotonic()
    expect(s.recv(1) == b"")
    expect(time.monotonic() - began < 8 * SLOW)
    s.close()
    s = pkd.raw(10)
    s.sendall(head("GET /healthz HTTP/1.1", H))
    expect(read_response(s)[0] == 200)
    began = time.monotonic()
    expect(s.recv(1) == b"")
    expect(1 < time.monotonic() - began < 9 * SLOW)


def expectations_are_met():
    s = pkd.raw()
    body = chat_body().encode()
    s.sendall(head("POST /v1/chat/completions HTTP/1.1", H, "Expect: 100-continue",
                   "x-portkey-config: " + config(mock), "Content-Length: %d" % len(body)))
    expect(s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n")
    s.sendall(body)
    expect(read_response(s)[0] == 200)
    s.close()
    refused(head("POST / HTTP/1.1", H, "Expect: a-pony", "Content-Length: 1", body=b"a"), 417)


def chunked_bodies_are_joined():
    body = chat_body("body-echo", "x" * 300).encode()
    s = pkd.raw()
    s.sendall(head("POST /v1/chat/completions HTTP/1.1", H, "Transfer-Encoding: chunked",
                   "x-portkey-config: " + config(mock)))
    for i in range(0, len(body), 7):
        piece = body[i:i + 7]
        s.sendall(b"%x;ext=1\r\n" % len(piece) + piece + b"\r\n")
        if i % 70 == 0:
            time.sleep(0.005)
    s.sendall(b"0\r\nTrailer: x\r\n\r\n")
    status, _, _ = read_response(s)
    expect(status == 200, status)
    expect(json.loads(mock.page("last")["body"]) == json.loads(body), "the body changed")
    s.close()


def any_cut_of_the_bytes_reads_the_same():
    request = chat_request(mock, chat_body())
    for step in 1, 2, 3, 17, 100:
        s = patient.raw(60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(request), step):
            s.sendall(request[i:i + step])
            if i % (step * 40) == 0:
                time.sleep(0.0005)
        expect(read_response(s)[0] == 200, step)
        s.close()


def pipelined_requests_are_answered_in_order():
    s = pkd.raw(20)
    f = s.makefile("rb")
    paths = ["/healthz", "/nothing", "/v1/models", "/healthz"] * 8
    data = b"".join(head("GET %s HTTP/1.1" % p, H) for p in paths)
    for i in range(0, len(paths), 5):
        data += b""
    mixed = b"".join(chat_request(mock, chat_body("echo", "turn %d" % i)) +
                     head("GET /healthz HTTP/1.1", H) for i in range(10))
    s.sendall(data + mixed)
    for p in paths:
        status, _, body = read_response(f)
        expect(status == (404 if p == "/nothing" else 200), p)
    for i in range(10):
        status, _, body = read_response(f)
        expect(status == 200 and json.loads(body)["choices"][0]["message"]["content"] ==
               "turn %d" % i, body)
        expect(read_response(f)[0] == 200)
    s.close()


def a_smuggled_request_is_not_seen():
    got, _ = exchange(head("POST /v1/feedback HTTP/1.1", H, "Content-Length: 4", "Connection: close",
                           body=b"nope" + head("GET /healthz HTTP/1.1", H)))
    expect(statuses(got) == [400], got)


def methods_are_told_apart():
    s = pkd.raw()
    s.sendall(head("HEAD /healthz HTTP/1.1", H) + head("GET /healthz HTTP/1.1", H))
    f = s.makefile("rb")
    status, headers, _ = read_response(f, head_only=True)
    expect(status == 200 and int(headers["content-length"]) > 0)
    expect(read_response(f)[0] == 200, "a body came with HEAD")
    s.close()
    status, headers, body = pkd.http("DELETE", "/v1/chat/completions")
    expect(status == 405 and headers["allow"] == "POST, OPTIONS", headers)
    expect(json.loads(body)["error"]["type"] == "invalid_request")
    status, headers, _ = pkd.http("POST", "/healthz", "")
    expect(status == 405 and "GET" in headers["allow"])
    status, headers, body = pkd.http("OPTIONS", "/v1/chat/completions")
    expect(status == 204 and body == b"" and "POST" in headers["allow"])
    expect(not [h for h in headers if h.lower().startswith("access-control")])
    expect(exchange(head("OPTIONS * HTTP/1.1", H, "Connection: close"))[0].startswith(b"HTTP/1.1 204"))
    got, _ = exchange(head("CONNECT localhost:80 HTTP/1.1", H), 1.0)
    expect(statuses(got)[0] >= 400, got)


def old_clients_are_served():
    got, closed = exchange(head("GET /healthz HTTP/1.0"))
    expect(closed and statuses(got) == [200], got)
    s = pkd.raw()
    s.sendall(head("GET /healthz HTTP/1.0", "Connection: keep-alive"))
    f = s.makefile("rb")
    _, headers, _ = read_response(f)
    expect(headers["connection"] == "keep-alive")
    s.sendall(head("GET /healthz HTTP/1.0"))
    expect(read_response(f)[0] == 200)
    s.close()
    body = chat_body("echo", "hi", stream=True)
    got, closed = exchange(head("POST /v1/chat/completions HTTP/1.0",
                                "x-portkey-config: " + config(mock),
                                "Content-Length: %d" % len(body), body=body.encode()))
    expect(closed and b"data: [DONE]\n\n" in got and b"transfer-encoding" not in got, got)


def upgrades_are_ignored():
    s = pkd.raw()
    s.sendall(head("GET /healthz HTTP/1.1", H, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
    f = s.makefile("rb")
    expect(read_response(f)[0] == 200)
    s.sendall(head("GET /healthz HTTP/1.1", H))
    expect(read_response(f)[0] == 200)
    s.close()


def bad_json_is_told_in_the_dialect_of_the_endpoint():
    for path, shape in ("/v1/chat/completions", "openai"), ("/v1/messages", "anthropic"):
        for body in "", "{", "[1]", "\xff", '{"model":"m"}', "[" * 10000, '{"messages":"\\u0000"}':
            status, _, answer = pkd.http("POST", path, body.encode("latin-1"),
                                         {"x-portkey-config": config(mock)})
            expect(status == 400, f"{body[:20]!r}: {status} {answer[:100]}")
            answer = json.loads(answer)
            expect("error" in answer, answer)
            expect((answer.get("type") == "error") == (shape == "anthropic"), answer)


def an_unknown_path_is_told_in_the_dialect_of_its_api():
    for path, shape in ("/v1/chat", "openai"), ("/v1/messages/x", "anthropic"), ("/v1/v1/messages/x", "anthropic"):
        status, _, answer = pkd.http("POST", path, "{}")
        expect(status == 404 and path in json.loads(answer)["error"]["message"], answer)
        expect((json.loads(answer).get("type") == "error") == (shape == "anthropic"), answer)


def many_connections_are_served():
    sockets = [pkd.raw() for _ in range(500)]
    for s in sockets:
        s.sendall(head("GET /healthz HTTP/1.1", H))
    for s in sockets:
        expect(read_response(s)[0] == 200)
        s.close()
    expect(pkd.process.poll() is None)


def random_bytes_do_no_harm():
    import random
    rnd = random.Random(7)
    good = chat_request(mock, chat_body())
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rnd.randint(1, 8)):
            at = rnd.randrange(len(data))
            data[at:at + rnd.randint(0, 3)] = bytes(rnd.randrange(256) for _ in range(rnd.randint(0, 3)))
        s = pkd.raw()
        s.sendall(bytes(data))
        if rnd.random() < 0.5:
            s.settimeout(0.01)
            try:
                s.recv(100)
            except OSError:
                pass
        s.close()
    expect(pkd.process.poll() is None)
    expect(pkd.http("GET", "/healthz")[0] == 200)


run(both_lengths_are_refused, two_lengths_are_refused, odd_lengths_are_refused,
    unknown_transfer_codings_are_refused, malformed_heads_are_refused,
    versions_other_than_one_are_refused, the_host_header_is_needed_once,
    names_that_are_not_ours_are_refused, pages_of_other_sites_are_refused, large_heads_are_refused,
    large_bodies_are_refused, a_body_of_the_largest_size_is_taken, malformed_chunks_are_refused,
    a_trickled_head_is_given_up, a_trickled_body_is_given_up, silence_is_closed, expectations_are_met,
    chunked_bodies_are_joined, any_cut_of_the_bytes_reads_the_same,
    pipelined_requests_are_answered_in_order, a_smuggled_request_is_not_seen, methods_are_told_apart,
    old_clients_are_served, upgrades_are_ignored, bad_json_is_told_in_the_dialect_of_the_endpoint,
    an_unknown_path_is_told_in_the_dialect_of_its_api, many_connections_are_served, random_bytes_do_no_harm)
code = pkd.stop()
mock.stop()


def it_ends_cleanly_after_all_that():
    expect(code == 0, code)


run(it_ends_cleanly_after_all_that)
end()
