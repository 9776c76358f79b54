#!/usr/bin/env python3
"""Providers that offer HTTP/2, when pkd is told to take it: pkd_http2.py BUILD

nginx stands before the mock provider with TLS and HTTP/2; without nginx or openssl there is nothing to ask.
"""
import os
import shutil
import socket
import subprocess
import tempfile
import threading

from pkd_harness import *

THREADS = int(os.environ.get("PK_THREADS", "1"))
mock = Mock()
folder = tempfile.mkdtemp(prefix="pkd")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Front:
    """nginx, which logs each request's protocol and the number of its connection."""

    def __init__(self):
        self.port = free_port()
        key, self.ca = folder + "/key.pem", folder + "/ca.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", self.ca],
                       check=True, capture_output=True)
        with open(folder + "/nginx.conf", "w") as f:
            f.write(f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  log_format l '$server_protocol $connection $status $uri'; access_log {folder}/access.log l;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s; client_max_body_size 64m; keepalive_requests 100; client_body_buffer_size 16m;
  server {{ listen 127.0.0.1:{self.port} ssl http2; ssl_certificate {self.ca}; ssl_certificate_key {key};
    location / {{ proxy_pass http://127.0.0.1:{mock.port}; proxy_http_version 1.1; proxy_buffering off; }} }}
}}""")
        self.process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", folder + "/nginx.conf", "-p", folder],
                                        stderr=subprocess.DEVNULL)
        running.append(self.process)
        expect(until(lambda: self.answers()), "nginx does not start")

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def seen(self):
        """Protocols and connections of the requests so far."""
        with open(folder + "/access.log") as f:
            rows = [line.split() for line in f]
        return {r[0] for r in rows}, {r[1] for r in rows}, len(rows)

    def forget(self):
        open(folder + "/access.log", "w").close()

    def config(self, **more):
        return json.dumps({"provider": "openai", "api_key": "sk-test", "custom_host": f"https://localhost:{self.port}/v1", **more})


if not (shutil.which("nginx") or os.path.exists("/usr/sbin/nginx")) or not shutil.which("openssl"):
    print("skip http2: needs nginx and openssl")
    mock.stop()
    end()
front = Front()


def ask(pkd, model="echo", text="over two", **more):
    return chat(pkd, mock, model, text, cfg=front.config(), **more)


def together(count, call):
    results = []
    threads = [threading.Thread(target=lambda: results.append(call())) for _ in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def with_http2(case):
    def with_pkd():
        front.forget()
        p = Pkd("--upstream-http2", "--upstream-ca", front.ca)
        case(p)
        expect(p.stop() == 0)
    with_pkd.__name__ = case.__name__
    return with_pkd


def http_1_is_spoken_unless_told_otherwise():
    front.forget()
    p = Pkd("--upstream-ca", front.ca)
    expect(ask(p)[0] == 200)
    expect(until(lambda: front.seen()[2] == 1) and front.seen()[0] == {"HTTP/1.1"}, front.seen())
    expect(p.stop() == 0)


def who_is_vouched_for_by_nobody_is_not_called():
    p = Pkd("--upstream-http2")
    status, _, body = ask(p)
    expect(status == 502 and b"certificate" in body, body)
    expect(p.stop() == 0)


@with_http2
def calls_share_a_connection(p):
    results = together(30, lambda: ask(p, "echo:d=300"))
    expect([r[0] for r in results] == [200] * 30 and all(b"over two" in r[2] for r in results), results[0])
    expect(until(lambda: front.seen()[2] == 30), front.seen())
    protocols, connections, _ = front.seen()
    expect(protocols == {"HTTP/2.0"} and len(connections) <= 2 * THREADS, (protocols, connections))


@with_http2
def streams_errors_and_large_answers_are_as_over_http_1(p):
    results = together(20, lambda: ask(p, "echo:words=30:tick=10", stream=True))
    expect(all(r[0] == 200 and r[2].endswith(b"data: [DONE]\n\n") and r[2].count(b"data: ") > 30 for r in results))
    status, _, body = ask(p, "status-429")
    expect(status == 429, body)
    status, _, body = ask(p, "huge:8MB")
    expect(status == 200 and len(body) > 8 << 20, (status, len(body)))
    status, _, body = ask(p, "echo", "word " * 400000)
    expect(status == 200 and len(body) > 1 << 20, (status, len(body)))
    expect(front.seen()[0] == {"HTTP/2.0"}, front.seen())


def leave_a_stream(p):
    s = p.raw()
    body = chat_body("echo:words=500:tick=20", stream=True).encode()
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\nx-portkey-config: " +
              front.config().encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    expect(s.recv(100))
    s.close()


@with_http2
def a_client_that_leaves_ends_its_stream_and_no_other(p):
    before = mock.page("stats")["aborted"]
    results = []
    other = threading.Thread(target=lambda: results.append(ask(p, "echo:words=40:tick=25", stream=True)))
    other.start()
    leave_a_stream(p)
    expect(until(lambda: mock.page("stats")["aborted"] > before), "upstream goes on")
    other.join()
    expect(results[0][0] == 200 and results[0][2].endswith(b"data: [DONE]\n\n"), results)
    rows = p.rows_within("select status from pk_logs order by status", lambda r: len(r) == 2)
    expect(rows == [("client_closed",), ("success",)], rows)


@with_http2
def a_client_that_leaves_a_connection_of_its_own_ends_its_stream(p):
    before = mock.page("stats")["aborted"]
    leave_a_stream(p)
    expect(until(lambda: mock.page("stats")["aborted"] > before), "upstream goes on")
    expect(ask(p)[0] == 200, "the next has a connection")


@with_http2
def no_call_is_lost_when_a_connection_takes_no_more(p):
    """nginx ends a connection (GOAWAY) after keepalive_requests, while others are about to use it."""
    results = []

    def work():
        for i in range(120):
            status, _, body = ask(p, "echo", stream=i % 2 == 1)
            results.append((status, body if status != 200 or (i % 2 and b"[DONE]" not in body) else b""))
    threads = [threading.Thread(target=work) for _ in range(25)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    bad = [r for r in results if r != (200, b"")]
    expect(len(results) == 3000 and not bad, f"{len(bad)}: {bad[:2]}")
    expect(until(lambda: front.seen()[2] == 3000) and front.seen()[0] == {"HTTP/2.0"}, "and none is sent twice")
    expect(len(front.seen()[1]) >= 30, front.seen()[1])


run(http_1_is_spoken_unless_told_otherwise, who_is_vouched_for_by_nobody_is_not_called, calls_share_a_connection,
    streams_errors_and_large_answers_are_as_over_http_1, a_client_that_leaves_ends_its_stream_and_no_other,
    a_client_that_leaves_a_connection_of_its_own_ends_its_stream, no_call_is_lost_when_a_connection_takes_no_more)
front.process.terminate()
front.process.wait(10)
mock.stop()
shutil.rmtree(folder)
end()
