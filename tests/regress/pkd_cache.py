#!/usr/bin/env python3
"""The cache through pkd: streams from similar questions, waiting for one another, bounds, other processes.

    tests/regress/pkd_cache.py BUILD
"""
import contextlib
import json
import os
import sqlite3
import subprocess
import threading
import time
import uuid

from pkd_harness import SLOW, Mock, Pkd, Skip, chat, end, expect, program, run, until

mock = Mock()
host = mock.base[:-len("/v1")]


def similar(plan="", **cache):
    """A config whose embedder is the mock; `plan` is put before the embedder's path."""
    return json.dumps({
        "provider": "openai", "api_key": "sk-test", "custom_host": mock.base,
        "cache": {"mode": "semantic", "similarity_threshold": 0.9, "namespace": "n",
                  "embedder": {"provider": "openai", "api_key": "sk-test", "model": "e",
                               "custom_host": f"{host}{plan}/v1"}, **cache}})


def word():
    return "x" + uuid.uuid4().hex


def status_of(answer):
    expect(answer[0] == 200, answer)
    return answer[1]["x-portkey-cache-status"]


def embeddings():
    return mock.page("stats")["by_path"].get("/v1/embeddings", 0)


def events(body):
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]


def together(count, call):
    results = [None] * count

    def one(i):
        results[i] = call(i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def a_similar_question_is_answered_as_a_stream():
    w = word()
    first = chat(pkd, mock, "echo", f"How do I open {w}?", cfg=similar())
    expect(status_of(first) == "SEMANTIC MISS")
    got = chat(pkd, mock, "echo", f"How can I open {w}, please?", cfg=similar(), stream=True,
               stream_options={"include_usage": True})
    expect(status_of(got) == "SEMANTIC HIT" and got[1]["content-type"] == "text/event-stream")
    parts = events(got[2])
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in parts if e["choices"])
    expect(text == f"How do I open {w}?" and parts[-1]["usage"]["prompt_tokens"] > 0, got[2])
    expect(got[2].endswith(b"data: [DONE]\n\n"), got[2])


def a_stream_answers_a_similar_question():
    w = word()
    expect(status_of(chat(pkd, mock, "echo", f"How do I close {w}?", cfg=similar(),
                          stream=True)) == "SEMANTIC MISS")
    got = chat(pkd, mock, "echo", f"How can I close {w}?", cfg=similar())
    expect(status_of(got) == "SEMANTIC HIT", got)
    expect(json.loads(got[2])["choices"][0]["message"]["content"] == f"How do I close {w}?", got[2])


def the_anthropic_dialect_has_it_too():
    w = word()
    config = json.dumps({**json.loads(similar()), "provider": "anthropic"})

    def ask(text, stream):
        body = {"model": "claude-test", "max_tokens": 50, "stream": stream,
                "messages": [{"role": "user", "content": text}]}
        return pkd.http("POST", "/v1/messages", json.dumps(body), {"x-portkey-config": config})
    expect(status_of(ask(f"What is {w}?", False)) == "SEMANTIC MISS")
    got = ask(f"Tell me what {w} is", True)
    expect(status_of(got) == "SEMANTIC HIT" and b"event: message_stop" in got[2], got)
    text = "".join(e["delta"].get("text", "") for e in events(got[2])
                   if e["type"] == "content_block_delta")
    expect(text == f"What is {w}?", got[2])


def equal_questions_that_wait_are_embedded_once():
    slow = f"/d/{1000 * SLOW}"  # by when all of them are there
    for server in pkd, Pkd("--threads", "3"):
        w = word()
        expect(status_of(chat(server, mock, "echo", f"How do I paint {w}?", cfg=similar())) ==
               "SEMANTIC MISS")
        before = embeddings()
        got = together(30, lambda i: chat(server, mock, "echo", f"How can I paint {w}?",
                                          cfg=similar(slow)))
        # The delay is the embedder's address, which its vectors belong to.
        states = sorted(status_of(g) for g in got)
        expect(states == ["HIT"] * 29 + ["SEMANTIC MISS"], states)
        expect(embeddings() == before + 1, embeddings() - before)
        before = embeddings()
        got = together(30, lambda i: chat(server, mock, "echo", f"How could I paint {w}?",
                                          cfg=similar(slow)))
        expect([status_of(g) for g in got] == ["SEMANTIC HIT"] * 30, [status_of(g) for g in got])
        expect(embeddings() == before + 1, embeddings() - before)
        if server is not pkd:
            expect(server.stop() == 0)


def a_thread_finds_what_another_has_just_saved():
    server = Pkd("--threads", "4")
    for _ in range(20):
        w = word()
        expect(status_of(chat(server, mock, "echo", f"Where is {w}?", cfg=similar())) ==
               "SEMANTIC MISS")
        got = chat(server, mock, "echo", f"Tell me where {w} is", cfg=similar())
        expect(status_of(got) == "SEMANTIC HIT", got)
    expect(server.stop() == 0)


def what_another_process_saved_is_found():
    if not os.path.exists(program("pk.so")):
        raise Skip("no pk.so")
    w = word()
    script = ("import sqlite3, sys\n"
              "db = sqlite3.connect(':memory:')\n"
              "db.enable_load_extension(True)\n"
              f"db.load_extension({program('pk')!r})\n"
              "db.execute('select pk_set(?, ?)', ('store', sys.argv[1]))\n"
              "print(db.execute('select pk_chat(?, ?, ?)', sys.argv[2:5]).fetchone()[0])\n"
              "db.execute('select pk_flush()')\n")

    env = dict(os.environ)
    if os.environ.get("PK_SAN"):  # Python is not built with sanitizers: their library must come first
        library = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True,
                                 check=True).stdout.strip()
        env.update({"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0"})

    def in_sql(text):
        out = subprocess.run([os.environ.get("PYTHON", "/usr/bin/python3"), "-c", script, pkd.store, similar(),
                              text, '{"model": "echo"}'], capture_output=True, check=False, env=env)
        expect(out.returncode == 0, out.stderr)
        return json.loads(out.stdout)["pk"]["cache_status"]
    expect(in_sql(f"How deep is {w}?") == "SEMANTIC MISS")
    expect(until(lambda: status_of(chat(pkd, mock, "echo", f"Tell me how deep {w} is",
                                        cfg=similar())) == "SEMANTIC HIT"))
    expect(in_sql(f"How deep is the {w}, please?") == "SEMANTIC HIT")


def a_purge_is_seen():
    w, before = word(), pkd.last_stored()
    for text, status in (f"Who is {w}?", "SEMANTIC MISS"), (f"Tell me who {w} is", "SEMANTIC HIT"):
        expect(status_of(chat(pkd, mock, "echo", text, cfg=similar())) == status)
    expect(until(lambda: pkd.last_stored() > before))
    time.sleep(0.3)  # until it is not a moment old any more
    with sqlite3.connect(pkd.store, timeout=10) as db:
        db.execute("delete from pk_cache_entry")
        db.execute("delete from pk_cache_vector")
    db.close()
    expect(status_of(chat(pkd, mock, "echo", f"Tell me who {w} is, please", cfg=similar())) ==
           "SEMANTIC MISS")


def a_purge_is_seen_amid_many_hits():
    config = json.dumps({**json.loads(similar()), "cache": {"mode": "simple"}})
    text = f"What is {word()}?"
    status = lambda: status_of(chat(pkd, mock, "echo", text, cfg=config))  # noqa: E731
    before = pkd.last_stored()
    expect(status() == "MISS")
    expect(until(lambda: pkd.last_stored() > before))
    time.sleep(0.3)  # until it is not a moment old any more
    expect(all(status() == "HIT" for _ in range(100)))
    with contextlib.closing(sqlite3.connect(pkd.store, timeout=10)) as db, db:
        db.execute("delete from pk_cache_entry")
    expect(until(lambda: status() == "MISS"))


def the_cache_stays_within_bounds_under_load():
    server = Pkd("--cache-max-entries", "50", "--cache-max-size", "1MB", "--threads", "2")
    config = json.dumps({**json.loads(similar()), "cache": {"mode": "simple"}})
    texts = [word() for _ in range(400)]
    got = together(8, lambda t: [status_of(chat(server, mock, "echo", x, cfg=config))
                                 for x in texts[t::8]])
    expect(all(s == "MISS" for part in got for s in part))
    rows = server.rows_within("select count(*) from pk_log", lambda r: r[0][0] == 400)
    expect(rows == [(400,)], rows)
    [(entries, counted, size)] = server.rows_within(
        "select (select count(*) from pk_cache_entry), (select sum(entries) from pk_cache_size), "
        "(select sum(bytes) from pk_cache_size)", lambda r: 30 <= r[0][0] <= 50 and r[0][0] == r[0][1])
    expect(30 <= entries <= 50 and counted == entries and size < 1 << 20, (entries, counted, size))
    last = [word() for _ in range(20)]  # what went in last stays, since others go first
    for want in "MISS", "HIT":
        for x in last:
            got = status_of(chat(server, mock, "echo", x, cfg=config))
            expect(got == want, (x, got, want))
        expect(server.rows_within("select count(*) from pk_log", lambda r: r[0][0] >= 420)[0][0] >= 420)
        time.sleep(0.2)  # the process' own memory of the moment is over, the store answers
    expect(server.stop() == 0)


def bytes_are_bounded_too():
    server = Pkd("--cache-max-size", "64kB")
    config = json.dumps({**json.loads(similar()), "cache": {"mode": "simple"}})
    for _ in range(40):
        text = " ".join(uuid.uuid4().hex for _ in range(150))  # does not compress well
        expect(status_of(chat(server, mock, "echo", text, cfg=config)) == "MISS")
    rows = server.rows_within("select count(*) from pk_log", lambda r: r[0][0] == 40)
    expect(rows == [(40,)], rows)
    size, = server.rows("select sum(bytes) from pk_cache_size")[0]
    expect(20000 < size <= 64 << 10, size)
    expect(server.stop() == 0)


def the_default_embedder_is_an_option():
    embedder = {"provider": "openai", "api_key": "k", "model": "e", "custom_host": mock.base}
    config = json.dumps({"provider": "openai", "api_key": "k", "custom_host": mock.base,
                         "cache": {"mode": "semantic", "similarity_threshold": 0.9}})
    for how in ({"env": {"PK_EMBEDDER": json.dumps(embedder)}}, None):
        options = [] if how else ["--embedder", json.dumps(embedder)]
        server = Pkd(*options, **(how or {}))
        w = word()
        for text, status in (f"Why {w}?", "SEMANTIC MISS"), (f"Tell me why {w}", "SEMANTIC HIT"):
            expect(status_of(chat(server, mock, "echo", text, cfg=config)) == status)
        expect(server.stop() == 0)
    w = word() # without one, words are compared
    for text, status in ((f"Why {w}?", "SEMANTIC MISS"), (f"why {w}", "SEMANTIC HIT"),
                         (f"Tell me why {w}", "SEMANTIC MISS")):
        expect(status_of(chat(pkd, mock, "echo", text, cfg=config)) == status, text)


def limits_that_are_none_are_refused():
    for option, value in (("--cache-max-size", "much"), ("--cache-max-entries", "0")):
        out = subprocess.run([program("pkd"), "serve", "--listen", "127.0.0.1:0", option, value],
                             env={**os.environ, "PK_STORE": os.path.join(pkd.folder, "other.pkdb")},
                             capture_output=True, timeout=120, check=False)
        expect(out.returncode == 1 and option.encode() + b": must be" in out.stderr, out)


def a_hit_names_who_answered_then():
    """Not the provider of one target and the model of another."""
    cfg = json.dumps({"strategy": {"mode": "fallback"}, "cache": {"mode": "simple"}, "targets": [
        {"provider": "openai", "api_key": "k", "custom_host": host + "/m/status-503/v1", "override_params": {"model": "first"}},
        {"provider": "anthropic", "api_key": "k", "custom_host": mock.base, "override_params": {"model": "second"}}]})
    text = word()
    for status in "MISS", "HIT", "HIT":
        for stream in (False, True) if status == "HIT" else (False,):
            answer = chat(pkd, mock, text=text, cfg=cfg, stream=stream)
            expect(status_of(answer) == status, answer)
            expect(json.loads(answer[1]["x-portkey-last-used-option-params"]) == {"provider": "anthropic", "model": "second"}, answer[1])


def what_the_key_denies_by_now_is_no_hit():
    """Not even one that was repeated byte for byte."""
    def admin(method, path, body):
        status, _, answer = pkd.http(method, "/v1/virtual-keys" + path, json.dumps(body), {"content-type": "application/json"})
        expect(status == 200, answer)
    key = {"name": "narrow", "slug": "narrow", "provider": "openai", "key": "sk", "custom_host": mock.base}
    cfg = json.dumps({"virtual_key": "narrow", "cache": {"mode": "simple"}})
    admin("POST", "", key)
    text = word()

    def got():
        status, h, _ = chat(pkd, mock, text=text, cfg=cfg)
        return status, h.get("x-portkey-cache-status")
    expect([got() for _ in range(4)] == [(200, "MISS")] + [(200, "HIT")] * 3)
    admin("PUT", "/narrow", {"allowed_models": ["gpt-*"]})
    expect(until(lambda: got() == (403, "DISABLED")), got())
    admin("PUT", "/narrow", {"allowed_models": None})
    expect(until(lambda: got() == (200, "HIT")), got())
    admin("DELETE", "/narrow", {})
    expect(until(lambda: got()[0] == 401), got())


def text_completions_are_kept_and_told_as_streams():
    cfg = {"content-type": "application/json", "x-portkey-config": json.dumps(
        {"provider": "openai", "api_key": "sk", "custom_host": mock.base, "cache": {"mode": "simple"}})}

    def ask(text, headers=None, **more):
        body = {"model": "gpt-3.5-turbo-instruct", "prompt": text, **more}
        status, h, answer = pkd.http("POST", "/v1/completions", json.dumps(body), {**cfg, **(headers or {})})
        expect(status == 200, answer)
        return h["x-portkey-cache-status"], h["content-type"], answer
    text = "a b " + word()
    before = mock.page("stats")["by_path"].get("/v1/completions", 0)
    status, _, whole = ask(text)
    expect((status, ask(text)[0], ask(text)[2]) == ("MISS", "HIT", whole), status)
    for usage in False, True:
        status, kind, told = ask(text, stream=True, stream_options={"include_usage": usage})
        expect((status, kind) == ("HIT", "text/event-stream") and told.endswith(b"data: [DONE]\n\n"), told)
        parts = events(told)
        expect("".join(c["text"] for p in parts for c in p["choices"]) == text, told)
        expect([p["choices"][0]["finish_reason"] for p in parts if p["choices"]][-1] == "stop", told)
        expect([p["usage"] for p in parts if "usage" in p] == [json.loads(whole)["usage"]] * usage, told)
    streamed = "c d " + word()
    expect(ask(streamed, stream=True, stream_options={"include_usage": True})[0] == "MISS")
    status, kind, answer = ask(streamed)
    answer = json.loads(answer)
    expect((status, kind) == ("HIT", "application/json") and answer["choices"][0]["text"] == streamed, answer)
    expect(answer["usage"]["prompt_tokens"] == 3 and answer["object"] == "text_completion", answer)
    expect(mock.page("stats")["by_path"]["/v1/completions"] == before + 2)
    expect(ask(text, {"openai-beta": "another"})[0] == "MISS")  # it is sent on, and may change the answer
    expect(ask(text, {"x-mine": "another"})[0] == "HIT")


def forms_are_kept_with_their_files():
    def ask(path, file, model="gpt-4o-transcribe", **fields):
        parts = [(k, v.encode(), "") for k, v in {"model": model, **fields}.items()]
        parts.append(("file" if "audio" in path else "image", file, '; filename="a"\r\ncontent-type: audio/wav'))
        body = b"".join(b'--x\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (n.encode(), h.encode(), c)
                        for n, c, h in parts) + b"--x--\r\n"
        status, h, answer = pkd.http("POST", path, body, {
            "content-type": "multipart/form-data; boundary=x", "x-portkey-config": json.dumps(
                {"provider": "openai", "api_key": "sk", "custom_host": mock.base, "cache": {"mode": "simple"}})})
        expect(status == 200, answer)
        return h["x-portkey-cache-status"], answer
    sound = word().encode()
    for path in "/v1/audio/transcriptions", "/v1/audio/translations":
        status, answer = ask(path, sound)
        expect(status == "MISS" and ask(path, sound) == ("HIT", answer), answer)
        expect(ask(path, sound.upper())[0] == "MISS")  # as long, and of the same name
        for fields in {"response_format": "text"}, {"stream": "true"}:
            expect([ask(path, sound, **fields)[0] for _ in range(2)] == ["DISABLED"] * 2, fields)
    for path in "/v1/images/edits", "/v1/images/variations":
        expect([ask(path, sound, prompt="a hat")[0] for _ in range(2)] == ["MISS", "HIT"], path)


def what_is_no_json_is_not_kept():
    cfg = {"content-type": "application/json", "x-portkey-config": json.dumps(
        {"provider": "openai", "api_key": "sk", "custom_host": mock.base, "cache": {"mode": "simple"}})}
    for path, body in (("/v1/audio/speech", {"model": "tts-1", "input": "x", "voice": "alloy"}),
                       ("/v1/proxy/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}]})):
        for _ in range(2):
            status, h, answer = pkd.http("POST", path, json.dumps(body), cfg)
            expect((status, h["x-portkey-cache-status"]) == (200, "DISABLED"), answer)


pkd = Pkd()
run(a_hit_names_who_answered_then, a_similar_question_is_answered_as_a_stream, a_stream_answers_a_similar_question,
    the_anthropic_dialect_has_it_too, equal_questions_that_wait_are_embedded_once,
    a_thread_finds_what_another_has_just_saved, what_another_process_saved_is_found, a_purge_is_seen,
    a_purge_is_seen_amid_many_hits, what_the_key_denies_by_now_is_no_hit,
    text_completions_are_kept_and_told_as_streams, forms_are_kept_with_their_files, what_is_no_json_is_not_kept,
    the_cache_stays_within_bounds_under_load, bytes_are_bounded_too,
    the_default_embedder_is_an_option, limits_that_are_none_are_refused)
expect(pkd.stop() == 0)
mock.stop()
end()
