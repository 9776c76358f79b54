#!/usr/bin/env python3
"""API keys of pkd: who is let in, and what a key brings along:  pkd_keys.py BUILD"""
import json
import signal
import socket
import subprocess
import time

import pkd_harness as h
from patience import in_a_while
from pkd_harness import Pkd, chat, config, expect, until

mock = h.Mock()


def admin(pkd, *words, stdin=None):
    """What `pkd` prints when it is called on the same store."""
    done = subprocess.run([h.program("pkd"), *words, "--store", pkd.store], input=stdin, text=True,
                          capture_output=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def with_keys(*options):
    """A pkd that has one API key, and the key."""
    pkd = Pkd()
    key = admin(pkd, "apikey", "create", "first", *options)
    expect(until(lambda: ask(pkd)[0] == 401), "the first key is seen")
    return pkd, key


def ask(pkd, headers=None, **more):
    return chat(pkd, mock, headers=headers, **more)


def error_of(answer):
    return json.loads(answer[2])["error"]


def without_keys_a_placeholder_is_let_in():
    pkd = Pkd()
    for name in ("x-portkey-api-key", "x-pk-api-key", "authorization", "x-api-key"):
        expect(ask(pkd, {name: "pk-placeholder"})[0] == 200, name)
    pkd.stop()


def with_keys_every_request_needs_one():
    pkd, key = with_keys()
    for method, path in (("POST", "/v1/chat/completions"), ("POST", "/v1/messages"),
                         ("GET", "/v1/models"), ("POST", "/v1/feedback"), ("GET", "/v1/prompts"),
                         ("GET", "/no/such/path")):
        status, headers, body = pkd.http(method, path, "{}" if method == "POST" else None)
        expect(status == 401 and headers["www-authenticate"] == "Bearer", (path, status, body))
        expect(key not in body.decode(), path)
        if path == "/v1/messages":  # in the words of that API
            expect(json.loads(body)["error"]["type"] == "authentication_error", body)
    expect(pkd.http("GET", "/healthz")[0] == 200 and pkd.http("GET", "/readyz")[0] == 200)
    for name, value in (("x-portkey-api-key", key), ("x-pk-api-key", key), ("x-api-key", key),
                        ("authorization", "Bearer " + key), ("Authorization", "bearer " + key)):
        expect(ask(pkd, {name: value})[0] == 200, name)
    for value in ("pk-wrong", key[:-1], key + "x", key.upper(), "sk-other", "Bearer"):
        answer = ask(pkd, {"x-portkey-api-key": value})
        expect(answer[0] == 401 and error_of(answer)["type"] == "invalid_api_key", value)
        expect(ask(pkd, {"authorization": "Bearer " + value})[0] == 401, value)
    pkd.stop()


def the_gateways_key_goes_to_nobody():
    pkd, key = with_keys()
    cfg = json.dumps({"provider": "openai", "custom_host": mock.base,
                      "forward_headers": ["authorization", "x-api-key", "x-portkey-api-key"]})
    for name, value in (("authorization", "Bearer " + key), ("x-api-key", key),
                        ("x-portkey-api-key", key)):
        ask(pkd, {name: value}, cfg=cfg)  # the mock refuses it: it has no key of its own
        seen = json.dumps(mock.page("last"))
        expect("hello" in seen, seen)
        expect(key not in seen and "pk-" not in seen, seen)
    pkd.stop()


def a_revoked_or_expired_key_is_refused():
    pkd, key = with_keys()
    second = admin(pkd, "apikey", "create", "second")
    briefs = {}

    def is_seen(soon):
        name = f"brief-{len(briefs)}"
        briefs[name] = brief = admin(pkd, "apikey", "create", name, json.dumps({"expires_at": soon}))
        return until(lambda: ask(pkd, {"x-api-key": brief})[0] == 200, 5)
    expect(in_a_while(is_seen), "a new key is seen")
    admin(pkd, "apikey", "revoke", "first")
    expect(until(lambda: ask(pkd, {"x-api-key": key})[0] == 401), "revoked")
    expect(ask(pkd, {"x-api-key": second})[0] == 200)
    name, brief = list(briefs.items())[-1]
    expect(until(lambda: ask(pkd, {"x-api-key": brief})[0] == 401), "expired")
    states = {k["name"]: k["status"] for k in json.loads(admin(pkd, "apikey", "list", "--json"))}
    expect(states == {"first": "revoked", "second": "active", **dict.fromkeys(briefs, "expired")}, states)
    expect(name + "\texpired\tcall\t" + brief[-4:] in admin(pkd, "apikey", "list"))
    admin(pkd, "apikey", "revoke", "second")
    expect(until(lambda: ask(pkd, {"x-api-key": second})[0] == 401))
    expect(ask(pkd)[0] == 401, "nobody is let in because the last key is gone")
    pkd.stop()


def a_rotated_key_holds_for_as_long_as_was_said():
    pkd, key = with_keys()
    second = admin(pkd, "apikey", "rotate", "first", '{"key_transition_period_ms": 60000}')
    expect(until(lambda: ask(pkd, {"x-api-key": second})[0] == 200))
    expect(ask(pkd, {"x-api-key": key})[0] == 200, "the old one, for a minute")
    third = admin(pkd, "apikey", "rotate", "first")
    expect(until(lambda: ask(pkd, {"x-api-key": third})[0] == 200))
    expect(ask(pkd, {"x-api-key": second})[0] == 401 and ask(pkd, {"x-api-key": key})[0] == 401)
    pkd.stop()


def a_key_may_do_what_its_scopes_say():
    pkd, key = with_keys('{"scopes": ["logs"]}')
    admins = admin(pkd, "apikey", "create", "admins", '{"scopes": ["admin"]}')
    expect(until(lambda: pkd.http("GET", "/v1/prompts", None, {"x-api-key": admins})[0] == 200))
    answer = ask(pkd, {"x-api-key": key})
    expect(answer[0] == 403 and "needs the scope call" in error_of(answer)["message"], answer)
    expect(ask(pkd, {"x-api-key": admins})[0] == 403)
    expect(pkd.http("GET", "/v1/prompts", None, {"x-api-key": key})[0] == 403)
    expect(pkd.http("GET", "/v1/models", None, {"x-api-key": key})[0] == 200)
    expect(pkd.http("PUT", "/v1/prices", "[]", {"x-api-key": key})[0] == 403)
    expect(pkd.http("PUT", "/v1/prices", "[]", {"x-api-key": admins})[0] == 200)
    body = '{"slug": "p", "string": "hi", "name": "p", "collection_id": "c", "parameters": {}}'
    pkd.http("POST", "/v1/prompts", body, {"x-api-key": admins})
    actors = [r[0] for r in pkd.rows("select actor from pk_audit where verb like 'prompt%'")]
    expect(set(actors) <= {"key:admins"}, actors)
    pkd.stop()


def a_key_brings_a_config_and_metadata():
    pkd = Pkd()
    admin(pkd, "key", "put", "k", "openai", json.dumps({"custom_host": mock.base}), stdin="sk-test")
    admin(pkd, "config", "put", "house", stdin='{"virtual_key": "k"}')
    free = admin(pkd, "apikey", "create", "free", json.dumps(
        {"defaults": {"config": "house", "metadata": {"team": "red"}}}))
    fixed = admin(pkd, "apikey", "create", "fixed", json.dumps(
        {"defaults": {"config": "house", "allow_config_override": False}}))

    def bare(key, **headers):
        return pkd.http("POST", "/v1/chat/completions", h.chat_body(),
                        {"content-type": "application/json", "authorization": "Bearer " + key,
                         **headers})
    expect(until(lambda: bare(free)[0] == 200), "the key's config is used")
    mine = json.dumps({"team": "blue", "run": "7"})
    expect(bare(free, **{"x-portkey-trace-id": "meta", "x-portkey-metadata": mine})[0] == 200)
    row = pkd.rows_within("select metadata, api_key, config from pk_logs where trace_id = 'meta'", bool)
    expect(json.loads(row[0][0]) == {"team": "red", "run": "7"}, row)
    expect(row[0][1:] == ("free", "house"), row)
    expect(bare(free, **{"x-portkey-config": config(mock)})[0] == 200)
    expect(bare(fixed)[0] == 200)
    for name, value in (("config", config(mock)), ("virtual-key", "k"), ("provider", "openai"),
                        ("custom-host", mock.base)):
        answer = bare(fixed, **{"x-portkey-" + name: value})
        expect(answer[0] == 403 and "allows no config but its own" in error_of(answer)["message"], name)
    pkd.stop()


def a_key_has_a_rate_of_its_own():
    pkd, key = with_keys('{"rate_limits": [{"type": "requests", "unit": "rpm", "value": 2}]}')
    other = admin(pkd, "apikey", "create", "other")
    expect(until(lambda: ask(pkd, {"x-api-key": other})[0] == 200))
    expect([ask(pkd, {"x-api-key": key})[0] for _ in range(2)] == [200, 200])
    answer = ask(pkd, {"x-api-key": key})
    expect(answer[0] == 429 and error_of(answer)["type"] == "rate_limited", answer)
    expect(1 <= int(answer[1]["retry-after"]) <= 61, answer[1]["retry-after"])
    expect(ask(pkd, {"x-api-key": other})[0] == 200)
    pkd.stop()


def whoever_asks_and_leaves_at_once_is_not_waited_for():
    """Its call ends before its limits are asked."""
    pkd, key = with_keys('{"rate_limits": [{"type": "requests", "unit": "rpm", "value": 1000000}]}')
    asked = h.chat_request(mock, h.chat_body("echo"), f"x-api-key: {key}\r\n")
    for _ in range(50):
        sockets = [pkd.raw() for _ in range(8)]
        for s in sockets:
            s.sendall(asked)
            s.close()
    expect(ask(pkd, {"x-api-key": key})[0] == 200)
    expect(pkd.rows_within("select count(*) from pk_log where status <> 'success'", lambda r: r[0][0] > 0)[0][0] > 0)
    expect(pkd.stop() == 0)


def without_a_key_nobody_beyond_loopback_is_listened_to():
    pkd, key = with_keys()
    pkd.process.send_signal(signal.SIGTERM)
    pkd.process.wait(30)
    empty = Pkd()
    refused = subprocess.run([h.program("pkd"), "serve", "--store", empty.store, "--listen",
                              "0.0.0.0:0"], capture_output=True, text=True, timeout=120)
    expect(refused.returncode != 0 and "beyond loopback" in refused.stderr, refused.stderr)
    empty.stop()
    wide = Pkd("--listen", "0.0.0.0:0", folder=pkd.folder, tcp=False)
    expect(ask(wide)[0] == 401 and ask(wide, {"x-api-key": key})[0] == 200)
    named = {"x-api-key": key, "host": "gateway.example.org"}
    expect(ask(wide, named)[0] == 200, "any name will do with a key")
    wide.stop()
    pkd.own_folder = True
    pkd.stop()


def the_socket_needs_a_key_too():
    path = "/tmp/pkd-keys-%d.sock" % time.time_ns()
    pkd = Pkd("--unix", path)
    admin(pkd, "apikey", "create", "k")
    expect(until(lambda: ask(pkd)[0] == 401))
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall(h.chat_request(mock, h.chat_body()))
    expect(h.read_response(s)[0] == 401)
    s.close()
    pkd.stop()


h.run(without_keys_a_placeholder_is_let_in, with_keys_every_request_needs_one,
      the_gateways_key_goes_to_nobody, a_revoked_or_expired_key_is_refused,
      a_rotated_key_holds_for_as_long_as_was_said, a_key_may_do_what_its_scopes_say,
      a_key_brings_a_config_and_metadata, a_key_has_a_rate_of_its_own, whoever_asks_and_leaves_at_once_is_not_waited_for,
      without_a_key_nobody_beyond_loopback_is_listened_to, the_socket_needs_a_key_too)
mock.stop()
h.end()
