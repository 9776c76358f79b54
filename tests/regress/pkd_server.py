#!/usr/bin/env python3
"""How pkd lives with a service manager, hands its address over and speaks TLS: pkd_server.py BUILD"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from pkd_harness import *

mock = Mock()


# --- a service manager -----------------------------------------------------------------------------

class Manager:
    """Starts pkd as systemd does: sockets from descriptor 3 on, and a socket to be told of its state."""

    def __init__(self, *options, sockets=(), env=None, abstract=False):
        self.folder = tempfile.mkdtemp(prefix="pkd")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.settimeout(10 * SLOW)
        path = "\0pkd-%d" % os.getpid() if abstract else self.folder + "/notify"
        self.notify.bind(path)
        self.log = open(self.folder + "/log", "w+")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PK_") or k == "PK_THREADS"}
        clean.update({"NOTIFY_SOCKET": path.replace("\0", "@"), **(env or {})})
        command = [program("pkd"), "serve", "--store", self.folder + "/t.pkdb", *options]
        fds = [s.fileno() for s in sockets]
        setup = ("import os, sys\n"
                 f"for i, fd in enumerate({fds}): os.dup2(fd, 100 + i)\n"
                 f"for i in range({len(fds)}): os.dup2(100 + i, 3 + i); os.close(100 + i); os.set_inheritable(3 + i, True)\n"
                 f"if {len(fds)}: os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='{len(fds)}', LISTEN_FDNAMES='web')\n"
                 "os.execv(sys.argv[1], sys.argv[1:])\n")
        self.process = subprocess.Popen([sys.executable, "-c", setup, *command], env=clean, pass_fds=fds, stderr=self.log)
        running.append(self.process)

    def heard(self):
        return self.notify.recv(4096).decode()

    def heard_until(self, word):
        end, got = time.monotonic() + PATIENCE_S, []
        while time.monotonic() < end:
            got.append(self.heard())
            if word in got[-1]:
                return got
        raise AssertionError(f"no {word} in {got}")

    def text(self):
        with open(self.log.name) as f:
            return f.read()

    def stop(self, signalled=False):
        if not signalled:
            self.process.terminate()
        code = self.process.wait(30)
        self.log.close()
        self.notify.close()
        shutil.rmtree(self.folder)
        return code


def listener(path=None):
    s = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    s.bind(path or ("127.0.0.1", 0))
    s.listen(128)
    return s


def get(address, path="/healthz"):
    s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    s.settimeout(10 * SLOW)
    s.connect(address)
    s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    answer = read_response(s)
    s.close()
    return answer


def it_serves_the_sockets_that_it_is_passed():
    folder = tempfile.mkdtemp(prefix="pkd")
    tcp, local = listener(), listener(folder + "/s")
    for threads in "1", "3":
        m = Manager("--threads", threads, sockets=[tcp, local])
        expect("READY=1" in m.heard(), m.text())
        expect(m.text().count("listening addr=") == 2 and ":8787" not in m.text(), m.text())
        for _ in range(10):
            expect(get(tcp.getsockname())[0] == 200 and get(folder + "/s")[0] == 200)
        expect(m.stop() == 0)
        expect(os.path.exists(folder + "/s"), "the manager's socket is gone")
    tcp.close()
    local.close()
    shutil.rmtree(folder)


def a_connection_waits_for_the_next_pkd():
    """What comes while none runs is served by the next."""
    tcp = listener()
    m = Manager(sockets=[tcp])
    m.heard_until("READY=1")
    expect(m.stop() == 0)
    s = socket.create_connection(tcp.getsockname(), 10 * SLOW)
    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    m = Manager(sockets=[tcp])
    expect(read_response(s)[0] == 200)
    s.close()
    expect(m.stop() == 0)
    tcp.close()


def passed_sockets_that_make_no_sense_are_refused():
    datagrams, silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
    wide = socket.socket()
    wide.bind(("0.0.0.0", 0))
    wide.listen(5)
    for sockets, env, why in (([datagrams], {}, "no listening stream"), ([silent], {}, "no listening stream"),
                              ([wide], {}, "beyond loopback"), ([listener() for _ in range(5)], {}, "at most 4")):
        m = Manager(sockets=sockets, env=env)
        expect(m.process.wait(20) == 1 and why in m.text(), m.text())
        m.stop()
    m = Manager("--listen", "127.0.0.1:0", env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})  # another's
    m.heard_until("READY=1")
    expect(m.stop() == 0)


def the_service_manager_is_told_of_every_turn():
    for abstract in False, True:
        m = Manager("--listen", "127.0.0.1:0", abstract=abstract, env={"WATCHDOG_USEC": "200000"})
        expect("READY=1" in m.heard(), m.text())
        with Promise("five turns of a watchdog of 0.2 s", 0.5, 10):
            for _ in range(5):
                m.heard_until("WATCHDOG=1")
        before = time.monotonic_ns() // 1000
        m.process.send_signal(signal.SIGHUP)
        told = m.heard_until("RELOADING=1")[-1]
        expect(before <= int(told.split("MONOTONIC_USEC=")[1]) <= time.monotonic_ns() // 1000, told)
        m.heard_until("READY=1")
        expect("reloaded" in m.text(), m.text())
        m.process.terminate()
        m.heard_until("STOPPING=1")
        expect(m.stop(signalled=True) == 0)


def a_watchdog_of_another_process_is_not_fed():
    m = Manager("--listen", "127.0.0.1:0", env={"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"})
    m.heard_until("READY=1")
    m.notify.settimeout(0.3)
    try:
        raise AssertionError(m.heard())
    except socket.timeout:
        pass
    expect(m.stop() == 0)


# --- hand-over ---------------------------------------------------------------------------------------

class Load:
    """Clients that connect, call and leave, and some that stay connected; and streams that are open all the time."""

    def __init__(self, port):
        self.port, self.over = port, threading.Event()
        self.done = self.streams = 0
        self.wrong = []
        self.threads = [threading.Thread(target=what) for what in [self.connecting] * 3 + [self.streaming] * 8 + [self.staying] * 2]
        for t in self.threads:
            t.start()

    def connecting(self):
        while not self.over.is_set() and len(self.wrong) < 20:
            try:
                answer = get(("127.0.0.1", self.port))
                if answer is None or answer[0] != 200:
                    self.wrong.append(answer)
                self.done += 1
            except OSError as e:
                self.wrong.append(e)

    def staying(self):
        """A client as SDKs are: it keeps its connection until it is told not to."""
        c = None
        while not self.over.is_set() and len(self.wrong) < 20:
            c = c or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOW)
            try:
                c.request("POST", "/v1/chat/completions", chat_body("echo"), {"x-portkey-config": config(mock)})
                r = c.getresponse()
                r.read()
                if r.status != 200:
                    self.wrong.append(r.status)
                if r.getheader("connection") == "close":
                    c = None
                self.done += 1
            except (OSError, http.client.HTTPException) as e:
                self.wrong.append(e)
                c = None

    def streaming(self):
        while not self.over.is_set() and len(self.wrong) < 20:
            try:
                s = socket.create_connection(("127.0.0.1", self.port), 20 * SLOW)
                s.sendall(chat_request(mock, chat_body("echo:words=40:tick=25", stream=True)))
                data = b""
                while not data.endswith(b"0\r\n\r\n"):
                    more = s.recv(65536)
                    if not more:
                        break
                    data += more
                s.close()
                if not data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
                    self.wrong.append(data[-200:])
                self.streams += 1
            except OSError as e:
                self.wrong.append(e)

    def end(self):
        self.over.set()
        for t in self.threads:
            t.join()
        print(f"# {self.done} calls, {self.streams} streams")
        expect(not self.wrong, f"{len(self.wrong)}: {self.wrong[:5]}")
        expect(self.done > 100 and self.streams > 8, (self.done, self.streams))


def another_takes_over_without_a_call_lost():
    folder = tempfile.mkdtemp(prefix="pkd")
    for threads in "1", "2":
        old = Pkd("--threads", threads, "--unix", folder + "/s", folder=folder)
        load = Load(old.port)
        for _ in range(3):
            time.sleep(0.5)
            new = Pkd("--threads", threads, "--listen", "127.0.0.1:%d" % old.port, "--unix", folder + "/s", "--take-over",
                      folder=folder, tcp=False)
            expect(get(folder + "/s")[0] == 200)
            with Promise("the end of the old one, when its streams have ended", 1, 8):  # a grace is 10 s
                expect(old.stop() == 0)
            expect(get(folder + "/s")[0] == 200, "the old one took the socket's file along")
            old = new
        load.end()
        cut = old.rows("select status, count(*) from pk_logs where status <> 'success' group by 1")
        expect(cut == [], cut)
        expect(old.stop() == 0 and not os.path.exists(folder + "/s"))
    shutil.rmtree(folder)


def passed_sockets_are_handed_over_without_a_call_lost():
    tcp = listener()
    old = Manager(sockets=[tcp])
    old.heard_until("READY=1")
    load = Load(tcp.getsockname()[1])
    for _ in range(3):
        time.sleep(0.5)
        new = Manager(sockets=[tcp])
        new.heard_until("READY=1")
        expect(old.stop() == 0)
        old = new
    load.end()
    expect(old.stop() == 0)
    tcp.close()


def without_a_word_nobody_takes_over():
    p = Pkd()
    with tempfile.TemporaryDirectory() as d:
        out = subprocess.run([program("pkd"), "serve", "--listen", "127.0.0.1:%d" % p.port, "--store", d + "/s.pkdb"],
                             capture_output=True, text=True, timeout=120)
        expect(out.returncode == 1 and "another program" in out.stderr, out)
    expect(p.stop() == 0)


run(it_serves_the_sockets_that_it_is_passed, a_connection_waits_for_the_next_pkd, passed_sockets_that_make_no_sense_are_refused,
    the_service_manager_is_told_of_every_turn, a_watchdog_of_another_process_is_not_fed,
    another_takes_over_without_a_call_lost, passed_sockets_are_handed_over_without_a_call_lost, without_a_word_nobody_takes_over)
mock.stop()
end()
