#!/usr/bin/env python3
"""pkd speaks TLS to its clients: pkd_tls.py BUILD"""
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

from pkd_harness import *

mock = Mock()


class Authority:
    """A certificate for localhost that signs itself, and another; in a folder of their own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pkd")
        for name in "one", "two":
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                            "2", "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                            "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem")],
                           check=True, capture_output=True)
        self.use("one")

    def path(self, name):
        return os.path.join(self.folder, name)

    def use(self, name):
        for ending in "key", "pem":
            shutil.copy(self.path(name + "." + ending), self.path("live." + ending + ".new"))
            os.rename(self.path("live." + ending + ".new"), self.path("live." + ending))

    def options(self):
        return ["--tls-cert", self.path("live.pem"), "--tls-key", self.path("live.key")]

    def trust(self, name="one", **more):
        c = ssl.create_default_context(cafile=self.path(name + ".pem"))
        for k, v in more.items():
            setattr(c, k, v)
        return c


authority = Authority()
LIMIT = ["--head-timeout", "700", "--idle-timeout", "3000", "--write-timeout", "1000"]


def secure(pkd, context=None, timeout=60):
    return (context or authority.trust()).wrap_socket(pkd.raw(timeout * SLOW), server_hostname="localhost")


def ask(s, body=None):
    s.sendall(chat_request(mock, body or chat_body("echo", "in secret")))
    return read_response(s.makefile("rb"))


def with_tls(case, limit=LIMIT):
    """The case gets a pkd that speaks TLS, which must serve when it is over."""
    def with_pkd():
        p = Pkd(*authority.options(), *limit, "--core-dumps")
        case(p)
        s = secure(p)
        status, _, body = ask(s)
        expect(status == 200 and b"in secret" in body, body)
        s.close()
        expect(p.stop() == 0)
    with_pkd.__name__ = case.__name__
    return with_pkd


def with_patient_tls(case):
    return with_tls(case, ())


@with_tls
def tls_is_spoken_as_of_1_2_with_http_1_1(p):
    for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
        c = authority.trust(minimum_version=version, maximum_version=version)
        c.set_alpn_protocols(["h2", "http/1.1"])
        s = secure(p, c)
        expect(s.version() == version.name.replace("_", ".") and s.selected_alpn_protocol() == "http/1.1", s.version())
        for _ in range(3):
            expect(ask(s)[0] == 200)
        s.close()
    c = authority.trust()
    c.set_alpn_protocols(["h2"])
    for refused in c, None:
        try:
            if refused:
                secure(p, refused)
            else:
                old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                old.set_ciphers("ALL:@SECLEVEL=0")
                old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
                old.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
                secure(p, old)
            raise AssertionError("it was let in")
        except (ssl.SSLError, OSError):
            pass


@with_patient_tls
def large_bodies_and_streams_are_whole(p):
    s = secure(p, timeout=60)
    text = "word " * (1 << 20)
    status, _, body = ask(s, chat_body("echo", text))
    expect(status == 200 and len(body) > 5 << 20, (status, len(body)))
    s.close()
    s = secure(p, timeout=60)
    s.sendall(chat_request(mock, chat_body("echo:words=30000", "x", stream=True)))
    data, at = bytearray(), 0
    while not data.endswith(b"0\r\n\r\n"):
        more = s.recv(1000 if len(data) < 100000 else 65536)
        expect(more, "cut after %d bytes" % len(data))
        data += more
        at += 1
        if at % 40 == 0 and at < 400:
            time.sleep(0.01)
    expect(b"data: [DONE]" in data and data.count(b"data: ") > 30000, data.count(b"data: "))
    s.close()


@with_patient_tls
def many_streams_at_once_are_whole(p):
    results = []

    def one():
        s = secure(p, timeout=120)
        s.sendall(chat_request(mock, chat_body("echo:words=20:tick=20", stream=True)))
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            more = s.recv(65536)
            if not more:
                break
            data += more
        results.append(data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        s.close()
    threads = [threading.Thread(target=one) for _ in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(results == [True] * 60, results)


def held(p):
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return sum(int(r[1].split(":")[1], 16) == p.port and r[3] not in ("0A", "06") and r[9] != "0" for r in rows)


@with_tls
def handshakes_that_are_none_or_slow_are_given_up(p):
    hello = ssl.MemoryBIO()
    half = authority.trust().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    try:
        half.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = hello.read()
    sockets = []
    for start in b"", b"\x16", hello[:50], hello[:-1], hello, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70000, \
            hello + b"garbage" * 100, b"\x80\x2e\x01\x00\x02", b"\0" * 1000:
        for _ in range(10):
            s = p.raw(5 * SLOW)
            try:
                s.sendall(start)
            except OSError:
                pass
            sockets.append(s)
    expect(until(lambda: held(p) == 0, 8), f"{held(p)} are still there")
    for s in sockets:
        s.close()
    slow = p.raw(5 * SLOW)  # a byte at a time never gets there
    began = time.monotonic()
    try:
        for c in hello * 20:
            slow.sendall(bytes([c]))
            time.sleep(0.02)
        raise AssertionError("it waits for ever")
    except OSError:
        pass
    expect(time.monotonic() - began < 9 * SLOW)  # without the option: 10 s


@with_tls
def clients_that_leave_are_noticed(p):
    for how in "close", "reset", "unwrap", "half":
        before = mock.page("stats")["aborted"]
        s = secure(p)
        s.sendall(chat_request(mock, chat_body("stall-after:3:words=9", stream=True)))
        expect(s.recv(100))
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "unwrap":
            s.settimeout(0.2)
            try:
                s.unwrap()
            except (OSError, ssl.SSLError):
                pass
        if how == "half":
            socket.socket.shutdown(s, socket.SHUT_WR)
        else:
            s.close()
        expect(until(lambda: mock.page("stats")["aborted"] > before), how + ": upstream goes on")
        if how == "half":
            s.close()
    expect(until(lambda: held(p) == 0))


@with_tls
def a_client_that_does_not_read_holds_nothing(p):
    before = memory_kb(p.process.pid)
    sockets = [secure(p) for _ in range(4)]
    for s in sockets:
        s.sendall(chat_request(mock, chat_body("echo:words=30000", stream=True), "x-portkey-disable-logging: true\r\n"))
    expect(until(lambda: held(p) == 0), f"{held(p)} are still there")
    grown = memory_kb(p.process.pid) - before
    expect(grown < 32 * 1024 or SLOW > 1, grown)  # sanitizers keep what is freed
    for s in sockets:
        s.close()


@with_tls
def a_new_certificate_is_read_at_sighup(p):
    kept = secure(p)
    expect(ask(kept)[0] == 200)
    authority.use("two")
    p.process.send_signal(signal.SIGHUP)
    expect(until(lambda: "reloaded" in p.text()), p.text())
    s = secure(p, authority.trust("two"))
    expect(ask(s)[0] == 200)
    s.close()
    try:
        secure(p)
        raise AssertionError("the old certificate is still shown")
    except ssl.SSLCertVerificationError:
        pass
    expect(ask(kept)[0] == 200, "a connection was cut")
    kept.close()
    with open(authority.path("live.pem"), "w") as f:
        f.write("no certificate")
    p.process.send_signal(signal.SIGHUP)
    expect(until(lambda: "not_reloaded" in p.text()) and authority.path("live.pem") in p.text(), p.text())
    s = secure(p, authority.trust("two"))
    expect(ask(s)[0] == 200, "the last good one stays")
    s.close()
    authority.use("one")
    p.process.send_signal(signal.SIGHUP)
    expect(until(lambda: p.text().count(" reloaded") == 2))


def bad_certificates_are_told():
    bad, cert, key = authority.path("bad"), authority.path("one.pem"), authority.path("one.key")
    with open(bad, "w") as f:
        f.write("nothing")
    locked = authority.path("locked.key")
    subprocess.run(["openssl", "ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked], check=True, capture_output=True)
    for options, why in ((["--tls-cert", cert], "need each other"), (["--tls-key", key], "need each other"),
                         (["--tls-cert", "/none.pem", "--tls-key", key], "--tls-cert: /none.pem: No such file"),
                         (["--tls-cert", bad, "--tls-key", key], "--tls-cert: " + bad), (["--tls-cert", cert, "--tls-key", bad], "--tls-key: " + bad),
                         (["--tls-cert", cert, "--tls-key", locked], "--tls-key: " + locked),
                         (["--tls-cert", cert, "--tls-key", authority.path("two.key")], "mismatch")):
        out = subprocess.run([program("pkd"), "serve", "--listen", "127.0.0.1:0", "--store", authority.path("s.pkdb"), *options],
                             capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        expect(out.returncode == 1 and why in out.stderr, out.stderr)


def its_health_is_asked_over_tls():
    p = Pkd(*authority.options())
    ask_health = lambda *more: subprocess.run([program("pkd"), "health", "--listen", "127.0.0.1:%d" % p.port, *more],
                                              capture_output=True, text=True, timeout=120)
    out = ask_health(*authority.options())
    expect(out.returncode == 0 and "ok" in out.stdout, out)
    expect(ask_health().returncode == 1, "plain HTTP is served")
    expect(p.stop() == 0)


def a_unix_socket_stays_plain():
    p = Pkd(*authority.options(), "--unix", authority.path("s"))
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10 * SLOW)
    s.connect(authority.path("s"))
    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    expect(read_response(s)[0] == 200)
    s.close()
    expect(p.stop() == 0)


def the_openai_sdk_speaks_to_it():
    script = ("import sys, openai, httpx\n"
              "c = openai.OpenAI(base_url=sys.argv[1], api_key='x', default_headers={'x-portkey-config': sys.argv[2]},\n"
              "                  http_client=httpx.Client(verify=sys.argv[3]))\n"
              "m = [{'role': 'user', 'content': 'over https'}]\n"
              "print(c.chat.completions.create(model='echo', messages=m).choices[0].message.content)\n"
              "print(''.join(e.choices[0].delta.content or '' for e in c.chat.completions.create(model='echo', messages=m, stream=True) if e.choices))\n")
    p = Pkd(*authority.options())
    python = next((x for x in (program("sdk/venv/bin/python"), sys.executable) if os.path.exists(x) and subprocess.run(
        [x, "-c", "import openai"], capture_output=True).returncode == 0), None)
    if not python:
        p.stop()
        raise Skip("the SDK is not installed (make sdk)")
    out = subprocess.run([python, "-c", script, f"https://127.0.0.1:{p.port}/v1", config(mock), authority.path("one.pem")],
                         capture_output=True, text=True, timeout=60 * SLOW)
    expect(out.stdout == "over https\nover https\n", out.stderr[-800:])
    expect(p.stop() == 0)


run(tls_is_spoken_as_of_1_2_with_http_1_1, large_bodies_and_streams_are_whole, many_streams_at_once_are_whole,
    handshakes_that_are_none_or_slow_are_given_up, clients_that_leave_are_noticed, a_client_that_does_not_read_holds_nothing,
    a_new_certificate_is_read_at_sighup, bad_certificates_are_told,
    its_health_is_asked_over_tls, a_unix_socket_stays_plain, the_openai_sdk_speaks_to_it)
mock.stop()
shutil.rmtree(authority.folder)
end()
