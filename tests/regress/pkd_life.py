#!/usr/bin/env python3
"""How pkd starts, stops and dies: pkd_life.py BUILD"""
import contextlib
import json
import os
import re
import resource
import selectors
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
import uuid

from patience import in_a_while
from pkd_harness import *

mock = Mock()


def pkd_command(*words, env=None, stdin=None):
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("PK_")}
    p = subprocess.run([program("pkd"), *words], input=stdin, capture_output=True, text=True,
                       env={**clean, **(env or {})}, timeout=60)
    return p.returncode, p.stdout, p.stderr


def help_and_version_are_printed():
    for words in ["--help"], ["serve", "--help"], ["doctor", "--help"], ["key", "--help"], ["config", "--help"]:
        code, out, _ = pkd_command(*words)
        expect(code == 0 and "--store" in out and "usage: pkd" in out, words)
    code, out, _ = pkd_command("--version")
    expect(code == 0 and re.match(r"pkd \d+\.\d+\.\d+\n$", out), out)
    for words in [], ["nonsense"], ["serve", "--nonsense"], ["serve", "--threads"], ["serve", "extra"], \
            ["serve", "--threads", "0"], ["serve", "--threads=x"]:
        expect(pkd_command(*words)[0] == 2, words)


def addresses_beyond_loopback_are_refused():
    with tempfile.TemporaryDirectory() as d:
        for address in "0.0.0.0:0", "[::]:0", "10.0.0.1:0", "192.168.1.1:80", "example.com:80", "x", "127.0.0.1:99999":
            code, _, err = pkd_command("serve", "--listen", address, "--store", d + "/s.pkdb")
            expect(code == 1 and "cannot_start" in err, f"{address}: {code} {err}")
        code, _, err = pkd_command("serve", "--listen", "0.0.0.0:0", "--store", d + "/s.pkdb")
        expect("API keys" in err, err)


def a_port_in_use_is_told():
    for threads in "1", "2":
        first = Pkd("--threads", threads)
        with tempfile.TemporaryDirectory() as d:
            code, _, err = pkd_command("serve", "--listen", "127.0.0.1:%d" % first.port, "--threads", threads,
                                       "--store", d + "/s.pkdb")
            expect(code == 1 and "another program" in err, err)
        expect(first.stop() == 0)


def it_serves_a_unix_socket():
    folder = tempfile.mkdtemp(prefix="pkd")
    path = folder + "/s"
    p = Pkd("--unix", path, "--listen", "none", folder=folder, tcp=False)
    expect(stat.S_IMODE(os.stat(path).st_mode) == 0o600)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(path)
    s.sendall(chat_request(mock, chat_body("echo", "unix")).replace(b"Host: localhost", b"Host: anything"))
    status, _, body = read_response(s)
    expect(status == 200 and b"unix" in body, body)
    s.close()
    expect(p.stop(signal.SIGKILL) != 0)
    p = Pkd("--unix", path, "--listen", "none", folder=folder, tcp=False)  # the stale socket is replaced
    expect(p.stop() == 0 and not os.path.exists(path))
    shutil.rmtree(folder)


def files_are_the_owners_alone():
    folder = tempfile.mkdtemp(prefix="pkd")
    p = Pkd(folder=folder)
    for name in os.listdir(folder):
        if name != "log":
            expect(stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) & 0o077 == 0, name)
    expect(p.stop() == 0)
    shutil.rmtree(folder)


def the_first_answer_comes_soon():
    folder = tempfile.mkdtemp(prefix="pkd")
    Pkd(folder=folder).stop()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    best = 1e9
    for _ in range(5):
        began = time.monotonic()
        p = subprocess.Popen([program("pkd"), "serve", "--store", folder + "/t.pkdb", "--listen",
                              "127.0.0.1:%d" % port], stderr=subprocess.DEVNULL)
        while True:
            try:
                c = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                time.sleep(0.0005)
        c.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        expect(b" 200 " in c.recv(1000))
        best = min(best, time.monotonic() - began)
        c.close()
        p.terminate()
        expect(p.wait(60) == 0)
    shutil.rmtree(folder)
    expect(soon("the first answer after a start", [best], 0.3), best)


def sigterm_lets_calls_finish():
    p = Pkd()
    idle = p.raw()
    results, before = {}, mock.page("stats")["requests"]
    def call(name, **more):
        results[name] = chat(p, mock, "echo:d=%d" % (1800 + 700 * SLOW), name, **more)  # still at work when it is told to end
    threads = [threading.Thread(target=call, args=("json",)),
               threading.Thread(target=call, args=("sse",), kwargs={"stream": True})]
    for t in threads:
        t.start()
    expect(until(lambda: mock.page("stats")["requests"] == before + 2))
    p.process.send_signal(signal.SIGTERM)
    expect(idle.recv(1) == b"", "an idle connection stays")
    expect(until(lambda: refuses(p)), "it still accepts")  # threads close what they listen on one by one
    expect(not results, "calls that end before it is told to prove nothing")
    for t in threads:
        t.join()
    expect(results["json"][0] == 200 and results["json"][1]["connection"] == "close", results["json"])
    expect(results["sse"][2].endswith(b"data: [DONE]\n\n"))
    expect(p.process.wait(60) == 0)
    rows = p.rows("select status from pk_logs")
    expect(rows == [("success",)] * 2, rows)
    p.stop()


def hang(s):
    """A call is under way that has no end."""
    before = mock.page("stats")["requests"]
    s.sendall(chat_request(mock, chat_body("hang")))
    expect(until(lambda: mock.page("stats")["requests"] > before))


def refuses(p):
    try:
        p.raw(1).close()
    except OSError:
        return True
    return False


def the_grace_period_is_bounded():
    p = Pkd("--grace", "500")
    s = p.raw()
    hang(s)
    began = time.monotonic()
    p.process.send_signal(signal.SIGTERM)
    status, _, body = read_response(s)
    expect(status == 503 and b"shutting down" in body, body)
    expect(p.process.wait(60) == 0)
    expect(time.monotonic() - began < 9.5 * SLOW)  # 10 s otherwise
    expect(p.rows("select status, error_type, http_status from pk_logs") == [("cancelled", "shutting_down", 503)])
    p.stop()


def a_stream_beyond_the_grace_ends_with_an_error_event():
    ends = {"/v1/chat/completions": b'data: {"error":', "/v1/messages": b"event: error\ndata: "}
    p = Pkd("--grace", "300")
    streams = []
    for path in ends:
        s = p.raw()
        s.sendall(chat_request(mock, chat_body("stall-after:4", "a word or two or three", max_tokens=100, stream=True), path=path))
        streams.append((s, s.recv(4096), ends[path]))
        expect(b"200 OK" in streams[-1][1])
    p.process.send_signal(signal.SIGTERM)
    for s, got, end in streams:
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
        last = got[got.rindex(end):]
        expect(b"the gateway is shutting down" in last, last)
        expect(b"[DONE]" not in got and b"message_stop" not in got and not got.endswith(b"0\r\n\r\n"), got[-300:])
        s.close()
    expect(p.process.wait(60) == 0)
    rows = p.rows("select status, error_type, http_status, usage_source from pk_logs")
    expect(rows == [("cancelled", "shutting_down", 200, "estimated")] * 2, rows)
    p.stop()


def a_second_signal_ends_it_at_once():
    p = Pkd()
    s = p.raw()
    hang(s)
    p.process.send_signal(signal.SIGINT)
    expect(until(lambda: refuses(p)), "it still accepts")
    expect(p.process.poll() is None)
    p.process.send_signal(signal.SIGINT)
    expect(p.process.wait(8) == 128 + signal.SIGINT)
    s.close()
    p.stop()


def what_was_answered_survives_kill_9():
    folder = tempfile.mkdtemp(prefix="pkd")
    p = Pkd("--threads", "2", folder=folder)
    answered, stopping = [], threading.Event()

    def load():
        c = http.client.HTTPConnection("127.0.0.1", p.port, timeout=10)
        while not stopping.is_set():
            trace = uuid.uuid4().hex
            try:
                c.request("POST", "/v1/chat/completions", chat_body("echo", "x"),
                          {"x-portkey-config": config(mock), "x-portkey-trace-id": trace})
                if c.getresponse().read():
                    answered.append((time.monotonic(), trace))
            except (OSError, http.client.HTTPException):
                return
    threads = [threading.Thread(target=load) for _ in range(8)]
    for t in threads:
        t.start()
    time.sleep(2)
    expect(until(lambda: len(answered) > 500), "it is hardly used")
    p.process.kill()
    stopping.set()
    for t in threads:
        t.join()
    p.process.wait()
    last = max(at for at, _ in answered)
    old = [trace for at, trace in answered if at < last - 0.5]
    p = Pkd(folder=folder)
    logged = {r[0] for r in p.rows("select trace_id from pk_logs")}
    expect(len(old) > 20 and not set(old) - logged, f"{len(set(old) - logged)} of {len(old)} are missing")
    expect(p.rows("pragma integrity_check") == [("ok",)])
    expect(chat(p, mock)[0] == 200)
    expect(p.stop() == 0)
    shutil.rmtree(folder)


def two_thousand_streams_run_at_once():
    count, most = 2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < 2 * count + 100:
        raise Skip(f"the system allows {most} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    p = Pkd("--threads", "1")
    request = chat_request(mock, chat_body("echo:words=20:tick=150", "x", stream=True))
    before = memory_kb(p.process.pid)
    sel = selectors.DefaultSelector()
    data = {}
    for _ in range(count):
        s = p.raw(60)
        s.sendall(request)
        s.setblocking(False)
        data[s] = bytearray()
        sel.register(s, selectors.EVENT_READ)
    peak, left, end = 0, count, time.monotonic() + 60 * SLOW
    while left and time.monotonic() < end:
        for key, _ in sel.select(0.5):
            got = key.fileobj.recv(65536)
            data[key.fileobj] += got
            if not got or data[key.fileobj].endswith(b"0\r\n\r\n"):
                sel.unregister(key.fileobj)
                left -= 1
        peak = max(peak, memory_kb(p.process.pid))
    whole = sum(d.endswith(b"0\r\n\r\n") and b"data: [DONE]" in d for d in data.values())
    for s in data:
        s.close()
    print("# %d streams whole, %.1f KB each" % (whole, (peak - before) / count))
    expect(whole == count, whole)
    rows = p.rows_within("select count(*) from pk_logs where status = 'success'",
                         lambda r: r[0][0] == count)
    expect(rows == [(count,)], rows)
    expect(p.stop() == 0)


def memory_stays_small_under_256_connections():
    p = Pkd()
    request = chat_request(mock, chat_body())
    files = []
    for _ in range(256):
        s = p.raw(60)
        files.append((s, s.makefile("rb")))
    sizes = []
    for _ in range(30):
        for s, _ in files:
            s.sendall(request)
        for _, f in files:
            expect(read_response(f)[0] == 200)
        sizes.append(memory_kb(p.process.pid))
    print("# RSS %.1f MB after 5 rounds of 256 calls, %.1f MB after 30" % (sizes[4] / 1024, sizes[-1] / 1024))
    expect(sizes[-1] < 32 * 1024 or SLOW > 1, sizes)  # sanitizers keep what is freed
    for s, f in files:
        f.close()
        s.close()
    expect(p.stop() == 0)


def doctor_finds_nothing_wrong():
    with tempfile.TemporaryDirectory() as d:
        store = d + "/s.pkdb"
        code, out, _ = pkd_command("doctor", "--store", store, "--listen", "127.0.0.1:0")
        expect(code == 0 and "FAIL" not in out and "not there yet" in out, out)
        expect(not os.listdir(d), "it made something")
        Pkd(folder=d).stop()
        code, out, _ = pkd_command("doctor", "--store", d + "/t.pkdb", "--listen", "127.0.0.1:0", "--json",
                                   env={"GROQ_API_KEY": "gsk-secret"})
        findings = {f["check"]: f for f in json.loads(out)}
        expect(code == 0 and findings["store"]["status"] == "ok", out)
        expect("GROQ_API_KEY" in findings["environment"]["message"] and "gsk-secret" not in out, out)


def doctor_finds_what_is_wrong():
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/bad.pkdb", "w") as f:
            f.write("this is not a database, and it is longer than a header would be" * 20)
        with open(d + "/key", "w") as f:
            f.write("short")
        code, out, _ = pkd_command("doctor", "--store", d + "/bad.pkdb", "--master-key-file", d + "/key",
                                   "--listen", "0.0.0.0:1")
        expect(code == 1 and out.count("FAIL") == 3, out)


def doctor_names_the_place_and_the_remedy():
    def examine(store, *more):
        code, out, err = pkd_command("doctor", "--json", "--store", store, "--listen", "127.0.0.1:0", *more)
        return code, {f["check"]: (f["status"], f["message"], f["advice"]) for f in json.loads(out or "[]")}, err

    with tempfile.TemporaryDirectory() as d:
        good = d + "/s.pkdb"
        expect(pkd_command("key", "put", "team-a", "openai", "--store", good, stdin="sk-sealed\n")[0] == 0)
        code, found, _ = examine(good)
        expect(code == 0 and found["store"][0] == found["master key"][0] == found["clock"][0] == "ok", found)
        expect(found["environment"][:2] == ("ok", "no provider key is set; virtual keys in the store: 1"), found["environment"])

        for store, words in (("/proc/x/y.pkdb", "cannot be made in /proc"), (d + "/" + "n" * 300, "File name too long"),
                             (good + "/x.pkdb", "Not a directory")):
            code, found, _ = examine(store)
            expect(code == 1 and found["store"][0] == "fail" and words in found["store"][1], found["store"])
        expect("not file:/x" in examine("file:/x")[2])

        with open(d + "/other.key", "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(b"k" * 32)
        for name, words in ("other.key", "not the one that sealed"), ("none.key", "missing"):
            code, found, _ = examine(good, "--master-key-file", d + "/" + name)
            expect(code == 1 and found["master key"][0] == "fail" and words in found["master key"][1] and
                   d + "/" + name in found["master key"][1], found["master key"])

        for version, status, words, advice in (1, "warn", "schema version 1; it is brought to", "copy it first"), (999, "fail", "update pk", ""):
            with contextlib.closing(sqlite3.connect(good)) as db, db:
                db.execute("update pk_meta set value = ? where name = 'schema_version'", (version,))
            with open(good, "rb") as f:
                before = f.read()
            code, found, _ = examine(good)
            expect(found["store"][0] == status and words in found["store"][1] and advice in found["store"][2], found)
            with open(good, "rb") as f:
                expect(f.read() == before, "doctor has changed the store")

        code, found, _ = examine("postgresql://127.0.0.1:1/x")
        expect(code == 1 and "Connection refused" in found["store"][1] and "start the database" in found["store"][2] and
               found["master key"][0] != "fail", found)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            place = "127.0.0.1:%d" % taken.getsockname()[1]
            code, found, _ = examine(d + "/new.pkdb", "--listen", place)
            expect(code == 1 and place in found["port"][1] and "choose --listen" in found["port"][2], found)
        expect(not [f for f in os.listdir(d) if f.startswith(".pkd-doctor") or f == "new.pkdb"], os.listdir(d))


def another_master_key_takes_the_place_of_the_first():
    folder = tempfile.mkdtemp(prefix="pkd")
    store, first, second = (os.path.join(folder, f) for f in ("t.pkdb", "master.key", "new.key"))
    at = ["--store", store]
    expect(pkd_command("key", "put", "team-a", "openai", json.dumps({"custom_host": mock.base}), *at, stdin="sk-sealed\n")[0] == 0)
    code, out, err = pkd_command("key", "reseal", second, *at)
    expect(code == 0 and out.startswith("1 keys are sealed under") and second in out and first in out, out + err)
    code, _, err = pkd_command("key", "reseal", second, *at)  # the first is still in place
    expect(code == 1 and "team-a" in err, err)
    expect(stat.S_IMODE(os.stat(second).st_mode) == 0o600)
    os.rename(second, first)
    code, out, err = pkd_command("key", "reseal", second, "--json", *at)
    expect(code == 0 and json.loads(out) == {"file": second, "keys": 1}, out + err)
    os.rename(second, first)
    p = Pkd("--store", store)
    answer = p.http("POST", "/v1/chat/completions", chat_body(), {"content-type": "application/json", "x-portkey-config": "team-a"})
    expect(answer[0] == 200, answer)
    expect(p.stop() == 0)
    shutil.rmtree(folder)


def keys_and_configs_are_kept_from_the_shell():
    folder = tempfile.mkdtemp(prefix="pkd")
    at = ["--store", folder + "/t.pkdb"]
    code, out, err = pkd_command("key", "put", "team-a", "openai", json.dumps({"custom_host": mock.base}),
                                 *at, stdin="sk-sealed\n")
    expect(code == 0, err)
    expect("sk-sealed" not in open(folder + "/t.pkdb", "rb").read().decode("latin-1"))
    code, out, err = pkd_command("config", "put", "main", *at, stdin='{"virtual_key":"team-a"}')
    expect(code == 0 and out == "main@1\n", out + err)
    expect("team-a\topenai\tactive" in pkd_command("key", "list", *at)[1])
    expect("main\t1" in pkd_command("config", "list", *at)[1])
    expect(json.loads(pkd_command("key", "list", "--json", *at)[1]) == [
        {"slug": "team-a", "provider": "openai", "status": "active"}])
    past = json.dumps({"expires_at": "2020-01-31T12:00:00Z"})
    code, _, err = pkd_command("key", "put", "old", "openai", past, *at, stdin="sk-old\n")
    expect(code == 1 and "expires_at: is in the past" in err, err)
    expect(in_a_while(lambda soon: pkd_command("key", "put", "old", "openai", json.dumps({"expires_at": soon}), *at,
                                               stdin="sk-old\n")[0] == 0))
    expect(until(lambda: "old\topenai\texpired" in pkd_command("key", "list", *at)[1]))
    both = json.dumps({"strategy": {"mode": "fallback"}, "targets": [
        {"virtual_key": "old", "cache": {"mode": "simple"}}, {"virtual_key": "team-a"}]})
    expect(pkd_command("config", "put", "spare", *at, stdin=both)[0] == 0)
    expect(json.loads(pkd_command("config", "get", "main", *at)[1]) == {"virtual_key": "team-a"})
    p = Pkd(folder=folder)
    for h in {"x-portkey-config": "main"}, {"x-portkey-virtual-key": "team-a"}, {"x-portkey-provider": "@team-a"}:
        status, _, body = p.http("POST", "/v1/chat/completions", chat_body("echo"), h)
        expect(status == 200, body)
        expect(mock.page("last")["headers"]["authorization"] == "Bearer sk-sealed")
    rows = p.rows_within("select config, virtual_key from pk_logs", lambda r: len(r) == 3)
    expect(("main", "team-a") in rows, rows)
    status, got, body = p.http("POST", "/v1/chat/completions", chat_body("echo"), {"x-portkey-config": "spare"})
    expect(status == 200 and got["x-portkey-last-used-option-index"] == "config.targets[1]", body)
    why = p.rows_within("select error_message from pk_spans where error_type = 'missing_key'", lambda r: r)
    expect(why and "has expired" in why[0][0], why)
    code, _, err = pkd_command("key", "revoke", "team-a", *at)
    expect(code == 0 and err == 'pkd: virtual key "team-a": is named by config main, config spare\n', err)
    status, _, body = p.http("POST", "/v1/chat/completions", chat_body("echo"), {"x-portkey-config": "main"})
    expect(status >= 400, body)
    expect(pkd_command("key", "revoke", "team-a", *at)[0] == 1)
    expect(pkd_command("config", "delete", "main", *at)[0] == 0)
    expect(pkd_command("config", "get", "main", *at)[0] == 1)
    expect(pkd_command("key", "frobnicate", *at)[0] == 2)
    expect(p.stop() == 0)
    shutil.rmtree(folder)


def prompts_are_kept_from_the_shell():
    folder = tempfile.mkdtemp(prefix="pkd")
    prompt = lambda *words, **more: pkd_command("prompt", *words, "--store", folder + "/t.pkdb", **more)
    expect(prompt("put", "greet", stdin="Hello {{name}}\n")[:2] == (0, "greet@1\n"))
    expect(prompt("put", "greet", stdin='{"string": "Hi {{name}}", "model": "echo"}')[:2] == (0, "greet@2\n"))
    expect(prompt("put", "greet", stdin="{{#name}}")[0] == 1)
    expect(prompt("publish", "greet", "1")[0] == 0)
    expect(prompt("publish", "greet", "2", "ab", "30")[0] == 0)
    expect(prompt("publish", "greet", "3")[0] == 1)
    expect(prompt("publish", "greet", "two")[0] == 1)
    expect(prompt("list")[1] == 'greet\t2\t{"ab":2,"default":1}\n')
    expect(json.loads(prompt("list", "--json")[1]) == [
        {"slug": "greet", "version": 2, "labels": {"ab": 2, "default": 1}}])
    expect(json.loads(prompt("get", "greet@latest")[1]) == {"string": "Hi {{name}}", "model": "echo"})
    expect(json.loads(prompt("render", "greet", stdin='{"name": "\\"A\\""}')[1]) == [
        {"role": "user", "content": 'Hello "A"'}])
    code, _, err = prompt("render", "greet", stdin="{}")
    expect(code == 1 and 'prompt "greet@1": missing variable: name' in err, err)
    expect(prompt("delete", "greet")[0] == 0 and prompt("delete", "greet")[0] == 1)
    expect(prompt("get", "greet")[0] == 1 and prompt("frobnicate")[0] == 2)
    shutil.rmtree(folder)


def guardrails_are_kept_from_the_shell():
    folder = tempfile.mkdtemp(prefix="pkd")
    at = ["--store", folder + "/t.pkdb"]
    guardrail = lambda *words, **more: pkd_command("guardrail", *words, *at, **more)
    bombs = {"type": "contains", "deny": ["bomb"], "message": "No."}
    expect(guardrail("put", "bombs", stdin=json.dumps(bombs))[:2] == (0, "bombs@1\n"))
    expect(guardrail("put", "bombs", stdin='{"type": "containz"}')[0] == 1)
    expect(json.loads(guardrail("list", "--json")[1]) == [{"slug": "bombs", "version": 1}])
    expect(guardrail("list")[1] == "bombs\t1\n" and json.loads(guardrail("get", "bombs")[1]) == bombs)
    expect(pkd_command("key", "put", "key", "openai", json.dumps({"custom_host": mock.base}), *at, stdin="sk-1")[0] == 0)
    config = '{"virtual_key": "key", "input_guardrails": ["bombs"]}'
    expect(pkd_command("config", "put", "main", *at, stdin=config.replace("bombs", "bomb"))[0] == 1)
    expect(pkd_command("config", "put", "main", *at, stdin=config)[0] == 0)
    p = Pkd(folder=folder)
    ask = lambda text: p.http("POST", "/v1/chat/completions", chat_body("echo", text), {"x-portkey-config": "main"})
    expect(ask("a flower")[0] == 200 and ask("a bomb")[0] == 446)
    code, _, err = guardrail("delete", "bombs")
    expect(code == 1 and 'guardrail "bombs": is named by config main' in err, err)
    expect(pkd_command("config", "put", "main", *at, stdin='{"virtual_key": "key"}')[0] == 0)
    expect(guardrail("delete", "bombs")[0] == 0 and guardrail("delete", "bombs")[0] == 1)
    expect(guardrail("get", "bombs")[0] == 1 and until(lambda: ask("a bomb")[0] == 200))
    expect(p.stop() == 0)
    shutil.rmtree(folder)


def what_one_process_is_told_reaches_the_others():
    folder = tempfile.mkdtemp(prefix="pkd")
    both = [Pkd("--threads", "2", folder=folder), Pkd(folder=folder)]
    status = lambda p: p.http("POST", "/v1/chat/completions", chat_body("echo", "hi"), {"x-portkey-config": "told"})[0]
    expect([status(p) for p in both] == [404, 404])
    for port, good in ((9, {502}), (mock.port, {200})):  # at the first nobody answers
        tell = lambda *words, stdin: expect(pkd_command(*words, "--store", both[0].store, stdin=stdin)[0] == 0, words)
        tell("key", "put", f"k{port}", "openai", json.dumps({"custom_host": f"http://127.0.0.1:{port}/v1"}), stdin="sk")
        tell("config", "put", "told", stdin=json.dumps({"virtual_key": f"k{port}"}))
        expect(until(lambda: {status(p) for p in both} == good), port)
    for p in both:
        expect(p.stop() == 0)
    shutil.rmtree(folder)


run(what_one_process_is_told_reaches_the_others, prompts_are_kept_from_the_shell, guardrails_are_kept_from_the_shell, help_and_version_are_printed, addresses_beyond_loopback_are_refused, a_port_in_use_is_told,
    it_serves_a_unix_socket, files_are_the_owners_alone, the_first_answer_comes_soon,
    sigterm_lets_calls_finish, the_grace_period_is_bounded, a_stream_beyond_the_grace_ends_with_an_error_event, a_second_signal_ends_it_at_once,
    what_was_answered_survives_kill_9, two_thousand_streams_run_at_once, memory_stays_small_under_256_connections,
    doctor_finds_nothing_wrong, doctor_finds_what_is_wrong, doctor_names_the_place_and_the_remedy, another_master_key_takes_the_place_of_the_first, keys_and_configs_are_kept_from_the_shell)
mock.stop()
end()
