#!/usr/bin/env python3
"""Portkey's config dialect through pkd: what a user of Portkey's gateway sent, and what must come of it.

A case is a config, a request, what the targets t1, t2 ... answer in turn, and the outcome: status, which
targets were called in which order, x-portkey-last-used-option-index, x-portkey-retry-attempt-count. Where pk
deliberately does otherwise than Portkey's open-source gateway (1.15.2), `differs` says how; docs/portkey.md has the
same list for people.

    tests/regress/pkd_portkey.py BUILD
"""
import http.client
import http.server
import json
import socket
import threading
import time

from pkd_harness import Pkd, end, expect, run


# --- the targets ---------------------------------------------------------------------------------

def answer(text="hello world."):
    return 200, {}, json.dumps({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})


def error(status, **headers):
    body = {"error": {"message": f"boom {status}", "type": "t", "param": None, "code": "c"}}
    return status, {k.replace("_", "-"): str(v) for k, v in headers.items()}, json.dumps(body)


def slow(ms):
    return ms, None, None


RESET = (0, None, None)


def stream(*texts, finish=True, fault=False):
    def event(delta, reason=None):
        return "data: " + json.dumps({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}) + "\n\n"
    out = "".join(event({"role": "assistant", "content": t}) for t in texts)
    if fault:
        out += 'data: {"error":{"message":"overloaded"}}\n\n'
    if finish:
        out += event({}, "stop") + "data: [DONE]\n\n"
    return 200, {"content-type": "text/event-stream"}, out


class Targets(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script, calls = {}, []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        name = self.path.split("/")[1]
        Targets.calls.append((name, json.loads(body), dict(self.headers)))
        turns = Targets.script.get(name, [])
        status, headers, text = turns.pop(0) if turns else answer()
        if headers is None:
            if not status:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            time.sleep(status / 1000)
            status, headers, text = answer()
        self.send_response(status)
        for k, v in {"content-type": "application/json", **headers}.items():
            self.send_header(k, v)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *unused):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Targets)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
HOST = f"http://127.0.0.1:{server.server_port}"


def t(n, **more):
    return {"provider": "openai", "api_key": f"k{n}", "custom_host": f"{HOST}/t{n}", **more}


def fallback(*targets, **strategy):
    return {"strategy": {"mode": "fallback", **strategy}, "targets": list(targets)}


def balance(*targets):
    return {"strategy": {"mode": "loadbalance"}, "targets": list(targets)}


def route(query, default="a"):
    strategy = {"mode": "conditional", "conditions": [{"query": query, "then": "b"}]}
    if default:
        strategy["default"] = default
    return {"strategy": strategy, "targets": [t(1, name="a"), t(2, name="b")]}


def contains(words, operator, **more):
    return {"default.contains": {"words": words, "operator": operator}, **more}


PAID = {"x-portkey-metadata": '{"plan":"paid","n":"5"}'}
ONE = "config"
FIRST, SECOND = "config.targets[0]", "config.targets[1]"
SOON = {"retry_after_ms": 20}


# --- the cases -----------------------------------------------------------------------------------

class Case:
    def __init__(self, name, config, status=200, calls=("t1",), index=ONE, retries="0", says=None,
                 body=None, headers=None, script=None, differs=None, check=None):
        self.name, self.config, self.status, self.calls = name, config, status, list(calls)
        self.index, self.retries, self.says = index, retries, says
        self.body, self.headers, self.script = body or {}, headers or {}, script or {}
        self.differs, self.check = differs, check

    def play(self, pkd):
        Targets.calls.clear()
        Targets.script = {k: list(v) for k, v in self.script.items()}
        body = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}], **self.body}
        headers = {"content-type": "application/json", **self.headers}
        if self.config is not None:
            headers["x-portkey-config"] = json.dumps(self.config)
        status, h, text = ask(pkd, json.dumps(body), headers)
        called = [c[0] for c in Targets.calls]
        expect(status == self.status, f"status {status}, not {self.status}: {text[:400]}")
        expect(called == self.calls, f"called {called}, not {self.calls}")
        if self.index:
            expect(h["x-portkey-last-used-option-index"] == self.index,
                   h["x-portkey-last-used-option-index"])
        if self.retries:
            expect(h["x-portkey-retry-attempt-count"] == self.retries,
                   h["x-portkey-retry-attempt-count"])
        expect(h["x-portkey-trace-id"] or status == 400, "no trace id")
        if self.says:
            expect(self.says in text, text[:600])
        if self.check:
            self.check(h, text)


def ask(pkd, body, headers):
    c = http.client.HTTPConnection("127.0.0.1", pkd.port, timeout=120)
    c.request("POST", "/v1/chat/completions", body, headers)
    r = c.getresponse()
    try:
        return r.status, r.headers, r.read().decode()
    except http.client.IncompleteRead as e:  # a stream that broke has no clean end
        return r.status, r.headers, e.partial.decode()


def sent(n=0):
    return Targets.calls[n][1]


def sends(check):
    return lambda h, text: expect(check(sent()), sent())


def hooks(phase, verdict, *, transformed=False):
    def check(h, text):
        results = json.loads(text)["hook_results"][phase]
        expect(len(results) == 1 and results[0]["verdict"] is verdict, results)
        expect(results[0]["transformed"] is transformed, results)
        for key in ("id", "checks", "feedback", "execution_time", "async", "type", "created_at",
                    "deny"):
            expect(key in results[0], key)
        for key in ("data", "verdict", "id", "execution_time", "transformed", "created_at"):
            expect(key in results[0]["checks"][0], key)
    return check


IN, OUT = "before_request_hooks", "after_request_hooks"
COUNT = {"id": "default.wordCount", "parameters": {"minWords": 9, "maxWords": 10}}

CASES = [
    # timeouts
    Case("a timeout is a 408", t(1, request_timeout=1100), 408, script={"t1": [slow(2500)]},
         says='"type":"timeout_error"'),
    Case("a timeout is not retried", t(1, request_timeout="100ms", retry={"attempts": 2}), 408,
         script={"t1": [slow(400)]}),
    Case("a timeout is retried when listed",
         t(1, request_timeout="100ms", retry={"attempts": 1, "on_status_codes": [408]}), 200,
         ["t1", "t1"], retries="1", script={"t1": [slow(400)]}),
    Case("a timeout falls back", {**fallback(t(1), t(2)), "request_timeout": "100ms"}, 200,
         ["t1", "t2"], SECOND, script={"t1": [slow(400)]}),
    # retries
    Case("a 503 is retried", t(1, retry={"attempts": 2}), 200, ["t1", "t1"], retries="1",
         script={"t1": [error(503)]}),
    Case("retries that are used up count -1", t(1, retry={"attempts": 2}), 429,
         ["t1"] * 3, retries="-1", script={"t1": [error(429, **SOON)] * 3}),
    Case("a 400 is not retried", t(1, retry={"attempts": 2}), 400, script={"t1": [error(400)]}),
    Case("listed codes are retried", t(1, retry={"attempts": 1, "on_status_codes": [418]}), 200,
         ["t1", "t1"], retries="1", script={"t1": [error(418)]}),
    Case("retry-after-ms is obeyed",
         t(1, retry={"attempts": 2, "use_retry_after_header": True}), 200, ["t1", "t1"],
         retries="1", script={"t1": [error(429, **SOON)]}),
    Case("the documentation's spelling use_retry_after_headers works",
         t(1, retry={"attempts": 1, "use_retry_after_headers": True}), 200, ["t1", "t1"],
         retries="1", script={"t1": [error(429, **SOON)]}),
    Case("a wait of over a minute is not waited for",
         t(1, retry={"attempts": 2, "use_retry_after_header": True}), 429, retries=None,
         script={"t1": [error(429, retry_after=61)]}),
    Case("a connection that breaks is retried", t(1, retry={"attempts": 1}), 200, ["t1", "t1"],
         retries=None, script={"t1": [RESET]}),
    Case("529 is retried", t(1, retry={"attempts": 1}), 200, ["t1", "t1"], retries="1",
         script={"t1": [error(529)]}, differs="529 is among the default codes, as documented"),
    Case("camelCase works at every level",
         {"provider": "openai", "apiKey": "k1", "customHost": f"{HOST}/t1", "requestTimeout": 5000,
          "retry": {"attempts": 1, "onStatusCodes": [418]}}, 200, ["t1", "t1"], retries="1",
         script={"t1": [error(418)]}),
    # strategies
    Case("fallback moves on from any error", fallback(t(1), t(2)), 200, ["t1", "t2"], SECOND,
         script={"t1": [error(400)]}),
    Case("fallback stays when the code is not listed", fallback(t(1), t(2), on_status_codes=[429]),
         500, ["t1"], FIRST, script={"t1": [error(500)]}),
    Case("the last error stands", fallback(t(1), t(2)), 500, ["t1", "t2"], SECOND,
         script={"t1": [error(500)], "t2": [error(500)]}, says="boom 500"),
    Case("fallback moves on from a dead address",
         fallback({**t(1), "custom_host": "http://127.0.0.1:1/v1"}, t(2)), 200, ["t2"], SECOND),
    Case("a weight of 0 is never picked", balance(t(1, weight=0), t(2, weight=1)), 200, ["t2"],
         SECOND),
    Case("weights of 0 alone are refused", balance(t(1, weight=0), t(2, weight=0)), 400, [], None,
         None, "every weight is 0", differs="an error, where Portkey's gateway hangs"),
    Case("single takes the first", {"strategy": {"mode": "single"}, "targets": [t(1), t(2)]}, 200,
         ["t1"], FIRST),
    Case("nested, with parameters inherited and won by the child",
         {"strategy": {"mode": "fallback"}, "override_params": {"temperature": 0.1, "top_p": 0.2},
          "targets": [t(1), {"strategy": {"mode": "loadbalance"}, "override_params": {"top_p": 0.9},
                             "targets": [t(2, weight=0),
                                         t(3, override_params={"model": "z"})]}]},
         200, ["t1", "t3"], "config.targets[1].targets[1]", script={"t1": [error(500)]},
         check=lambda h, text: expect((sent(1)["model"], sent(1)["temperature"], sent(1)["top_p"])
                                      == ("z", 0.1, 0.9), sent(1))),
    Case("default_params supply, drop_params remove",
         t(1, default_params={"top_p": 0.5, "model": "other"}, drop_params=["user"]), 200,
         body={"user": "u"},
         check=sends(lambda b: b["top_p"] == 0.5 and b["model"] == "gpt-x" and "user" not in b)),
    # conditional routing
    Case("metadata decides", route({"metadata.plan": {"$eq": "paid"}}), 200, ["t2"], SECOND,
         headers=PAID),
    Case("a bare value means equal", route({"metadata.plan": "paid"}), 200, ["t2"], SECOND,
         headers=PAID),
    Case("else the default", route({"metadata.plan": {"$eq": "free"}}), 200, ["t1"], FIRST,
         headers=PAID),
    Case("no match and no default is a 400", route({"metadata.plan": {"$eq": "free"}}, None), 400,
         [], None, None, headers=PAID),
    Case("an unknown name is found before any call",
         {**route({"metadata.plan": "paid"}), "strategy": {
             "mode": "conditional", "conditions": [{"query": {"metadata.plan": "paid"},
                                                    "then": "zz"}], "default": "a"}},
         400, [], None, None, "zz", headers=PAID),
    Case("an unknown operator is refused", route({"metadata.plan": {"$foo": 1}}), 400, [], None,
         None, "$foo", headers=PAID),
    Case("$or, $regex and parameters",
         route({"$or": [{"params.model": {"$regex": "^gpt"}}, {"metadata.n": {"$gt": 9}}]}), 200,
         ["t2"], SECOND, headers=PAID),
    Case("numbers in strings compare as numbers", route({"metadata.n": {"$gte": 5}}), 200, ["t2"],
         SECOND, headers=PAID),
    Case("the path decides", route({"url.pathname": {"$eq": "/v1/chat/completions"}}), 200, ["t2"],
         SECOND),
    Case("keys of metadata keep their spelling", route({"metadata.user_plan": {"$eq": "paid"}}),
         200, ["t2"], SECOND, headers={"x-portkey-metadata": '{"user_plan":"paid"}'}),
    Case("$or joins its neighbours by and",
         route({"$or": [{"params.model": "gpt-x"}], "metadata.plan": "free"}), 200, ["t1"], FIRST,
         headers=PAID, differs="keys after $or and $and count, whatever their order"),
    Case("$in, $nin and $ne with a missing key",
         route({"metadata.plan": {"$in": ["paid", "gold"]}, "metadata.x": {"$nin": ["y"]},
                "metadata.z": {"$ne": "q"}}), 200, ["t2"], SECOND, headers=PAID),
    Case("a circuit breaker may be configured",
         fallback(t(1), t(2), cb_config={"failure_threshold": 1, "cooldown_interval": 30000}), 200,
         ["t1"], FIRST),
    # guardrails
    Case("an input guardrail passes", t(1, input_guardrails=[contains(["hi"], "any")]), 200,
         check=hooks(IN, True)),
    Case("one that fails without deny is a 246", t(1, input_guardrails=[contains(["zz"], "any")]),
         246, check=hooks(IN, False)),
    Case("with deny it is a 446 and no call",
         t(1, input_guardrails=[contains(["zz"], "any", deny=True, id="my-g")]), 446, [],
         says="hooks_failed", check=hooks(IN, False)),
    Case("an asynchronous one never denies",
         t(1, input_guardrails=[contains(["zz"], "any", deny=True, **{"async": True})]), 200),
    Case("a check without a dot is default's",
         t(1, input_guardrails=[{"contains": {"words": ["hi"], "operator": "any"}}]), 200,
         check=hooks(IN, True)),
    Case("a guardrail that is not stored is an error", t(1, input_guardrails=["pg-abc"]), 400, [],
         None, None, "pg-abc", differs="not found is an error, never a silent pass"),
    Case("an unknown check is an error", t(1, input_guardrails=[{"foo.bar": {}, "deny": True}]),
         400, [], None, None, "foo.bar", differs="not known is an error, never a silent pass"),
    Case("the full form, with feedback",
         t(1, before_request_hooks=[{
             "type": "guardrail", "id": "g1", "deny": False,
             "checks": [{"id": "default.wordCount", "parameters": {"minWords": 1, "maxWords": 1}}],
             "on_success": {"feedback": {"value": 5, "weight": 1, "metadata": {"u": "x"}}},
             "on_fail": {"feedback": {"value": -5, "weight": 1}}}]), 200,
         check=lambda h, text: expect(
             json.loads(text)["hook_results"][IN][0]["feedback"]["value"] == 5, text)),
    Case("a hook without a type runs",
         t(1, before_request_hooks=[{"id": "g1", "deny": True, "checks": [COUNT]}]), 446, [],
         differs="a missing type means guardrail; Portkey's gateway skips the checks"),
    Case("an output guardrail denies",
         t(1, output_guardrails=[contains(["hello"], "none", deny=True)]), 446, ["t1"],
         check=hooks(OUT, False)),
    Case("an output guardrail warns", t(1, output_guardrails=[contains(["hello"], "none")]), 246,
         ["t1"], says="hello world.", check=hooks(OUT, False)),
    Case("a denied answer is retried when 446 is listed",
         t(1, retry={"attempts": 2, "on_status_codes": [446]},
           output_guardrails=[contains(["hello"], "none", deny=True)]), 200, ["t1", "t1"],
         retries="1", script={"t1": [answer(), answer("bye")]}, check=hooks(OUT, True)),
    Case("fallback on 446",
         fallback(t(1, input_guardrails=[contains(["zz"], "any", deny=True)]), t(2),
                  on_status_codes=[446]), 200, ["t2"], SECOND),
    Case("fallback on 246",
         fallback(t(1, output_guardrails=[contains(["hello"], "none")]), t(2),
                  on_status_codes=[246]), 200, ["t1", "t2"], SECOND),
    Case("regexReplace changes the request",
         t(1, input_guardrails=[{"default.regexReplace": {"rule": "\\d+", "redactText": "[X]"}}]),
         200, body={"messages": [{"role": "user", "content": "my ssn 123"}]},
         check=lambda h, text: (
             expect(sent()["messages"][0]["content"] == "my ssn [X]", sent()),
             hooks(IN, True, transformed=True)(h, text))),
    Case("regexReplace changes the answer",
         t(1, output_guardrails=[{"default.regexReplace": {"rule": "world",
                                                           "redactText": "[X]"}}]),
         200, says="hello [X].", check=hooks(OUT, True, transformed=True)),
    Case("addPrefix is a mutator", t(1, input_mutators=[{"default.addPrefix": {"prefix": "PRE "}}]),
         200, check=sends(lambda b: b["messages"][0]["content"] == "PRE hi")),
    Case("default guardrails come by header", t(1), 446, [],
         headers={"x-portkey-default-input-guardrails":
                  json.dumps([contains(["zz"], "any", deny=True)])}),
    Case("an error is not looked at by output guardrails",
         t(1, output_guardrails=[contains(["hello"], "none", deny=True)]), 500, ["t1"],
         script={"t1": [error(500)]}, says="boom 500"),
    Case("a stream whose input guardrail warns is a 246",
         t(1, input_guardrails=[contains(["zz"], "any")]), 246, body={"stream": True},
         script={"t1": [stream("hello")]}, says="data: [DONE]"),
    Case("an output guardrail denies a stream",
         t(1, output_guardrails=[contains(["hello"], "none", deny=True)]), 446,
         body={"stream": True}, script={"t1": [stream("hello")]}, says="hooks_failed",
         check=lambda h, text: expect("hello" not in text.split("hook_results")[0], text),
         differs="output guardrails hold for streams; Portkey's gateway skips them"),
    # streams
    Case("a stream that is cut ends in an error", t(1), 200, body={"stream": True},
         script={"t1": [stream("hello", finish=False)]}, says='"error"',
         check=lambda h, text: expect("[DONE]" not in text, text),
         differs="an error event, where Portkey's gateway ends cleanly"),
    Case("a stream that fails before its first content falls back", fallback(t(1), t(2)), 200,
         ["t1", "t2"], SECOND, body={"stream": True},
         script={"t1": [stream(finish=False, fault=True)], "t2": [stream("hello")]}, says="hello",
         differs="the next target answers; Portkey's gateway passes the error on as a 200"),
    # the cache
    Case("an error is not cached", t(1, cache={"mode": "simple"}), 500,
         body={"messages": [{"role": "user", "content": "err"}]}, script={"t1": [error(500)]},
         check=lambda h, text: expect(h["x-portkey-cache-status"] == "MISS", dict(h)),
         differs="only successes are stored"),
    Case("so the next call is made", t(1, cache={"mode": "simple"}), 200,
         body={"messages": [{"role": "user", "content": "err"}]},
         check=lambda h, text: expect(h["x-portkey-cache-status"] == "MISS", dict(h))),
    Case("and then it is a hit", t(1, cache={"mode": "simple"}), 200, [], retries=None,
         body={"messages": [{"content": "err", "role": "user"}]},
         check=lambda h, text: expect(
             h["x-portkey-cache-status"] == "HIT" and
             json.loads(h["x-portkey-last-used-option-params"])["model"] == "m", dict(h)),  # as the answer says
         differs="the order of members does not matter at any depth"),
    Case("another key never sees it", {**t(1, cache={"mode": "simple"}), "api_key": "other"}, 200,
         body={"messages": [{"role": "user", "content": "err"}]},
         check=lambda h, text: expect(h["x-portkey-cache-status"] == "MISS", dict(h)),
         differs="provider, host and key are part of the cache key"),
    Case("nor does a call without a cache", t(1), 200,
         body={"messages": [{"role": "user", "content": "err"}]},
         check=lambda h, text: expect(h["x-portkey-cache-status"] == "DISABLED", dict(h)),
         differs="a call without `cache` does not read it"),
    Case("a cached answer passes the guardrails too",
         t(1, cache={"mode": "simple"}, input_guardrails=[contains(["zz"], "any")]), 246, [],
         retries=None, body={"messages": [{"role": "user", "content": "err"}]}),
]


def play_all(pkd):
    def case_of(c):
        def case():
            c.play(pkd)
        case.__name__ = c.name.replace(" ", "_")
        return case
    run(*[case_of(c) for c in CASES])


pkd = Pkd()
try:
    play_all(pkd)
finally:
    pkd.stop()
    server.shutdown()
end()
