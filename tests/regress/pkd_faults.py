#!/usr/bin/env python3
"""pkd when memory, descriptors or the disk run out: calls fail or are whole, and afterwards all is well: pkd_faults.py BUILD

What the provider answered is in the log, or counted among what was dropped.
"""
import ctypes
import os
import random
import resource
import shutil
import subprocess
import tempfile
import threading

from failing import Failing
from pkd_harness import *

mock = Mock()
LOST = "select count(*) from pk_logs"


def asked():
    return mock.page("stats")["requests"]


def call(p, text="hello", base=mock.base):
    """Status and content of a plain call, 0 when the connection ended."""
    try:
        status, _, body = p.http("POST", "/v1/chat/completions", chat_body("echo", text),
                                 {"content-type": "application/json", "x-portkey-config": config(mock, custom_host=base, **CACHE)}, 10)
    except OSError as e:
        return 0, str(e)
    except http.client.HTTPException as e:
        return 0, str(e)
    return status, body.decode()


CACHE = {"cache": {"mode": "simple"}, "retry": {"attempts": 1}}


def is_right(status, body, text):
    """A whole answer, or an error in words."""
    if status == 0:
        return True
    doc = json.loads(body)
    return doc["choices"][0]["message"]["content"] == text if status == 200 else bool(doc["error"]["message"])


def is_well(p, text="after"):
    status, body = call(p, text)
    expect(status == 200 and is_right(status, body, text), (status, body))
    status, _, body = p.http("POST", "/v1/chat/completions", chat_body("echo:words=5", text, stream=True),
                             {"content-type": "application/json", "x-portkey-config": config(mock)})
    expect(status == 200 and body.endswith(b"data: [DONE]\n\n"), (status, body))


def metric(p, name):
    _, _, body = p.http("GET", "/metrics")
    return sum(float(line.split()[-1]) for line in body.decode().splitlines() if line.startswith(name))


def memory_fails(files, every, base=mock.base):
    failing = Failing(BUILD)
    before = asked()
    p = Pkd("--threads", "2", env=failing.env)
    os.unlink(failing.env["PK_FAILING"])
    is_well(p)
    random.seed(every)
    good = bad = failed = 0
    for i in range(300):
        failing.begin(files, random.randrange(every), random.randrange(every))
        text = f"call {i % 50}" if files == "pkd" else f"call {i}"
        if i % 7 == 3:
            try:
                p.http("POST", "/v1/chat/completions", chat_body("echo:words=5", text, stream=True),
                       {"content-type": "application/json", "x-portkey-config": config(mock)}, 10)
            except (OSError, http.client.HTTPException):
                pass
        elif i % 7 == 5:
            for path in ("/v1/logs?page_size=5", "/v1/configs", "/metrics", "/v1/models"):
                try:
                    p.http("GET", path, timeout=10)
                except (OSError, http.client.HTTPException):
                    pass
        else:
            status, body = call(p, text, base)
            expect(is_right(status, body, text), (status, body))
            good, bad = good + (status == 200), bad + (status != 200)
        failed += failing.end()
        expect(p.process.poll() is None, (i, p.process.poll(), p.text()[-3000:]))
    print(f"# {files}: {failed} allocations failed, {good} answers, {bad} errors", flush=True)
    expect(failed > 20 and good and (bad or files != "pkd"), (failed, good, bad))
    is_well(p)
    wanted = asked() - before
    told = lambda: (p.rows(LOST)[0][0], metric(p, "pkd_log_dropped_total"))
    expect(until(lambda: sum(told()) >= wanted), f"{wanted} asked, {told()} in the log and dropped: {p.text()[-1000:]}")
    expect(files == "pkd" or told()[1] == 0, f"{told()} in the log and dropped: {p.text()[-1000:]}")
    expect(p.stop() == 0)


def memory_fails_now_and_then_in_pkd():
    memory_fails("pkd", 12)


def memory_fails_now_and_then_in_the_libraries():
    memory_fails("libsqlite3", 150)
    memory_fails("libcurl", 12, mock.base.replace("127.0.0.1", "localhost"))  # by name: curl resolves and connects


def descriptors_run_out():
    p = Pkd("--threads", "2")
    is_well(p)
    _, hard = resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{p.process.pid}/fd"))
    resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE, (used + 12, hard))
    held = []
    for _ in range(30):
        try:
            s = p.raw(1)
            s.sendall(b"GET /healthz HTTP/1.1\r\n")
            held.append(s)
        except OSError:
            break
    for i in range(5):  # whoever has a connection may not get one to the provider
        status, body = call(p, f"full {i}") if i else (0, "")
        expect(is_right(status, body, f"full {i}"), (status, body))
    cpu = cpu_s(p)
    time.sleep(1)
    expect(cpu_s(p) - cpu < 0.5 * SLOW, "it spins")
    for s in held:
        s.close()
    expect(until(lambda: call(p, "room")[0] == 200), "there is room again")
    is_well(p)
    resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    is_well(p, "again")
    expect(p.stop() == 0)


def cpu_s(p):
    with open(f"/proc/{p.process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def a_disk_fills_up():
    """The store and the spool on a file system of 16 MB."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder = tempfile.mkdtemp(prefix="pkd")
    if os.geteuid() != 0 or libc.unshare(0x20000) != 0 or libc.mount(b"none", b"/", None, 0x44000, None) != 0 or \
            libc.mount(b"none", folder.encode(), b"tmpfs", 0, b"size=16m") != 0:
        raise Skip("no file system of one's own may be mounted")
    before = asked()
    p = Pkd(folder=folder)
    is_well(p)
    filler = os.path.join(folder, "filler")
    with open(filler, "wb", 0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass
    answers = sum(call(p, f"full {i} " + os.urandom(4000).hex())[0] == 200 for i in range(400))
    expect(answers == 400, f"{answers} of 400 answered")
    expect(until(lambda: metric(p, "pkd_log_pending") > 100), "there was room for all")
    said = p.http("GET", "/v1/logs/export?source=http", timeout=120)[0]
    expect(said in (200, 500, 503), said)
    os.unlink(filler)
    is_well(p)
    wanted = asked() - before
    until(lambda: p.rows(LOST)[0][0] >= wanted)
    rows, dropped = p.rows(LOST)[0][0], metric(p, "pkd_log_dropped_total")
    print(f"# {wanted} asked, {rows} in the log, {dropped:.0f} dropped", flush=True)
    expect(rows >= wanted and dropped == 0, f"{wanted} asked, {rows} in the log, {dropped} dropped")
    expect(p.rows("pragma integrity_check") == [("ok",)])
    expect(p.stop() == 0)
    libc.umount2(folder.encode(), 2)


CASES = [memory_fails_now_and_then_in_pkd, memory_fails_now_and_then_in_the_libraries, descriptors_run_out, a_disk_fills_up]
run(*CASES)
end()
