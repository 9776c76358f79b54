"""What must be the same through every door: a table of cases.

A case is a name and its calls. `E` builds configs for the running mock: E.to("MODEL") is a target
whose provider is the mock and whose model is MODEL (tests/mock: mockd --help has the models).
Each call names only what it checks:

    text, code, status, says    the answer's text; the failure's word, HTTP status, and a part of its message
    row, spans                  columns of pk_logs; (provider, http_status, error_type) of each attempt
    upstream                    how many requests reached the mock
    cached                      the cache status that the caller is told
    check                       a function (answer, row, mock, spans) -> True

`doors` limits a case to some of the doors, `sql` to both SQL doors.
"""
from decimal import Decimal

SECRET = "sk-e2e-a-secret-that-must-not-appear"
HASHES = set()  # of requests, seen by a case


class E:
    """Configs for one mock and one door; `key` differs from case to case."""

    def __init__(self, base, key):
        self.base, self.key = base, key

    def to(self, model=None, path="", provider="openai", **more):
        target = {"provider": provider, "api_key": self.key, "custom_host": f"{self.base}{path}/v1"}
        if model:
            target["override_params"] = {"model": model, **more.pop("override", {})}
        return {**target, **more}

    def claude(self, model="claude-test", path="", **more):
        return self.to(model, path, "anthropic", **more)

    def semantic(self, model="echo", plan=None, **more):
        """A target with a semantic cache whose embedder is the mock; `plan` is what that does."""
        embedder = {"provider": "openai", "api_key": self.key, "model": "text-embedding-3-small",
                    "custom_host": f"{self.base}{'/m/' + plan if plan else ''}/v1"}
        cache = {"mode": "semantic", "similarity_threshold": 0.9, "embedder": embedder,
                 **more.pop("cache", {})}
        return self.to(model, cache=cache, **more)

    def gemini(self, model="gemini-test", path="", **more):
        return self.to(model, path, "google", **more)

    def cohere(self, model="command-test", path="", **more):
        return self.to(model, path, "cohere", **more)

    def bedrock(self, model="us.anthropic.claude-sonnet-4-5-20250929-v1:0", path="", **more):
        return self.to(model, path, "bedrock", **more)

    def ollama(self, model="llama3.2", path="", **more):
        return self.to(model, path, "ollama-native", **more)

    def any(self, mode, *targets, **more):
        strategy = {"mode": mode, **more.pop("strategy", {})}
        return {"strategy": strategy, "targets": list(targets), **more}

    def when(self, query, then, **named):
        """Goes to `then` when the query holds, else to the last of the named targets."""
        more = {"cache": named.pop("cache")} if "cache" in named else {}
        return self.any("conditional", *[{**t, "name": n} for n, t in named.items()], strategy={
            "conditions": [{"query": query, "then": then}], "default": list(named)[-1]}, **more)

    def fallback(self, *targets, **more):
        return self.any("fallback", *targets, **more)


class Call:
    def __init__(self, config, messages="hello big world", params=None, **expect):
        self.config, self.messages, self.params, self.expect = config, messages, params, expect


class Case:
    def __init__(self, name, *calls, doors=None, sql=False):
        self.name, self.calls = name, calls
        self.doors = doors or (("sqlite", "postgres") if sql else ("sqlite", "postgres", "http"))


def retries(model, **retry):
    return lambda e: e.to(model, retry={"attempts": 2, **retry})


def waited(low_ms, high_ms):
    """The attempts began so far apart; clocks of whole milliseconds may lose one."""
    def check(answer, row, mock, spans):
        at = [r["at_ms"] for r in mock.page("recent")[-2:]]
        return low_ms - 1 <= at[1] - at[0] <= high_ms or print(f"# {at[1] - at[0]} ms apart")
    return check


def sent(**fields):
    """The last request at the mock had these members."""
    import json  # pylint: disable=import-outside-toplevel

    def check(answer, row, mock, spans):
        body = json.loads(mock.page("last")["body"])
        return {k: body.get(k) for k in fields} == fields
    return check


def sent_text(*texts):
    def check(answer, row, mock, spans):
        return all(t in mock.page("last")["body"] for t in texts)
    return check


WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}

FAMILIES = [
    # --- answers ---------------------------------------------------------------------------
    Case("a plain answer is priced and logged",
         Call(lambda e: e.to(), params={"model": "gpt-4o"}, text="hello big world", upstream=1,
              status=200, row={
                  "status": "success", "http_status": 200, "provider": "openai", "model": "gpt-4o",
                  "request_model": "gpt-4o", "operation": "chat", "attempts": 1, "retries": 0,
                  "fallback_index": 0, "stream": False, "finish_reason": "stop", "input_tokens": 3,
                  "output_tokens": 3, "usage_source": "provider", "cost_usd": Decimal("0.0000375"),
                  "cache_status": "DISABLED", "error_type": None, "error_message": None},
              spans=[("openai", 200, None)])),
    Case("the cost of an unknown model is NULL, never 0",
         Call(lambda e: e.to("a-model-nobody-sells"), text="hello big world",
              row={"cost_usd": None, "input_tokens": 3, "status": "success"})),
    Case("a provider that reports no usage has no cost",
         Call(lambda e: e.to(path="/m/echo:usage=off"), params={"model": "gpt-4o"},
              row={"cost_usd": None, "usage_source": "none"})),
    Case("tokens from the provider's cache are counted apart and cost less",
         Call(lambda e: e.to(path="/m/echo:cached=2"), params={"model": "gpt-4o"},
              row={"input_tokens": 1, "cache_read_tokens": 2, "output_tokens": 3,
                   "cost_usd": Decimal("0.000035")})),
    Case("messages may be an array with several roles",
         Call(lambda e: e.to(), [{"role": "system", "content": "be brief"},
                                 {"role": "user", "content": "first"},
                                 {"role": "assistant", "content": "yes"},
                                 {"role": "user", "content": "second one"}], {"model": "echo"},
              text="second one", row={"input_tokens": 6})),
    Case("tool calls and several choices",
         Call(lambda e: e.to("tool-call"), params={"tools": [WEATHER]}, text=None,
              row={"finish_reason": "tool_calls"},
              check=lambda a, r, m, s: a.body["choices"][0]["message"]["tool_calls"][0]["function"]
              == {"name": "weather", "arguments": '{"city":"mock"}'}),
         Call(lambda e: e.to("echo"), params={"n": 3},
              check=lambda a, r, m, s: len(a.body["choices"]) == 3, row={"output_tokens": 9})),

    # --- what is sent ------------------------------------------------------------------------
    Case("override_params win over the request",
         Call(lambda e: e.to("echo", override={"temperature": 0.5, "top_p": 1}),
              params={"model": "other", "temperature": 1.5}, row={"request_model": "echo"},
              check=sent(model="echo", temperature=0.5, top_p=1))),
    Case("unknown fields and big integers pass through byte for byte",
         Call(lambda e: e.to(), [{"role": "user", "content": "x", "made_up": 9007199254740993}],
              '{"model": "echo", "seed": 12345678901234567890, "x_new": {"a": [1e400, -0.10]}}',
              check=sent_text("12345678901234567890", "9007199254740993", "1e400", "-0.10")),
         doors=("sqlite",)),
    Case("big integers keep every digit",
         Call(lambda e: e.to(), [{"role": "user", "content": "x", "made_up": 9007199254740993}],
              '{"model": "echo", "seed": 12345678901234567890, "x_new": {"a": [1]}}',
              check=sent_text("12345678901234567890", "9007199254740993", "x_new"))),
    Case("text in many scripts arrives as it was",
         Call(lambda e: e.to("echo"), "naïve 日本語 😀 \"quoted\" \\ back",
              text="naïve 日本語 😀 \"quoted\" \\ back")),
    Case("the key goes to the provider, and call options do not",
         Call(lambda e: e.to("echo"), params={"pk": {"metadata": {"a": "b"}}},
              check=lambda a, r, m, s: SECRET in m.page("last")["headers"]["authorization"]
              and "metadata" not in m.page("last")["body"])),

    # --- fallback and retry ----------------------------------------------------------------------
    Case("a fallback answers after a 503",
         Call(lambda e: e.fallback(e.to("status-503"), e.to("echo")), text="hello big world",
              upstream=2, row={"status": "success", "attempts": 2, "fallback_index": 1,
                               "target_path": "config.targets[1]", "http_status": 200},
              spans=[("openai", 503, "provider_error"), ("openai", 200, None)])),
    Case("a status that on_status_codes does not list is the answer",
         Call(lambda e: e.fallback(e.to("status-400"), e.to("echo"),
                                   strategy={"on_status_codes": [503]}),
              status=400, code="provider_error", upstream=1,
              row={"status": "error", "http_status": 400, "attempts": 1, "cost_usd": None,
                   "error_type": "provider_error"})),
    Case("a fallback across providers",
         Call(lambda e: e.fallback(e.to("status-500"), e.claude()), text="hello big world",
              row={"provider": "anthropic", "model": "claude-test", "fallback_index": 1},
              spans=[("openai", 500, "provider_error"), ("anthropic", 200, None)])),
    Case("when every target fails the last failure is told",
         Call(lambda e: e.fallback(e.to("status-500"), e.to("status-429")), status=429,
              code="provider_error", says="asked to answer 429", upstream=2,
              row={"status": "error", "http_status": 429, "attempts": 2})),
    Case("a provider that goes away is a reason to fall back",
         Call(lambda e: e.fallback(e.to("drop-head"), e.to("drop-mid"), e.to("echo")),
              text="hello big world", row={"attempts": 3, "fallback_index": 2},
              check=lambda a, r, m, s: [x["error_type"] for x in s] ==
              ["connection_error", "connection_error", None])),
    Case("nobody listens",
         Call(lambda e: {"provider": "openai", "api_key": e.key,
                         "custom_host": "http://127.0.0.1:1/v1"}, params={"model": "x"},
              code="connection_error", status=502, row={"status": "error", "attempts": 1})),
    Case("retries until it works",
         Call(retries("seq-503-503-200"), text="hello big world", upstream=3,
              row={"attempts": 3, "retries": 2, "fallback_index": 0, "status": "success"},
              spans=[("openai", 503, "provider_error")] * 2 + [("openai", 200, None)])),
    Case("retries only what is listed",
         Call(retries("seq-503-200", on_status_codes=[429]), status=503, upstream=1)),
    Case("retries are used up before the fallback",
         Call(lambda e: e.fallback(e.to("status-503:retry-after-ms=1", retry={"attempts": 1}),
                                   e.to("echo")), text="hello big world", upstream=3,
              row={"attempts": 3, "fallback_index": 1})),
    Case("Retry-After in seconds is obeyed",
         Call(retries("seq-429-200:retry-after=1"), text="hello big world",
              check=waited(1000, 1900))),
    Case("Retry-After in milliseconds is obeyed",
         Call(retries("seq-429-200:retry-after-ms=350"), text="hello big world",
              check=waited(350, 900))),
    Case("Retry-After as a date is obeyed",
         Call(retries("seq-429-200:retry-date=2"), text="hello big world",
              check=waited(900, 2900))),

    # --- load balance, nesting ---------------------------------------------------------------
    Case("a weight of 0 is never drawn",
         *[Call(lambda e: e.any("loadbalance", e.to("status-500", weight=0), e.to("echo", weight=1)),
                text="hello big world", upstream=1)] * 8),
    Case("strategies nest",
         Call(lambda e: e.fallback(
             e.any("loadbalance", e.to("status-503", weight=1), e.to("status-503", weight=0)),
             e.fallback(e.to("status-429"), e.to("echo"))), text="hello big world", upstream=3,
              row={"attempts": 3, "target_path": "config.targets[1].targets[1]"})),
    Case("the same config in camelCase",
         Call(lambda e: {"strategy": {"mode": "fallback", "onStatusCodes": [503]}, "targets": [
             {"provider": "openai", "apiKey": e.key, "customHost": e.base + "/v1",
              "overrideParams": {"model": m}} for m in ("status-503", "echo")]},
              text="hello big world", upstream=2)),

    # --- conditions, stickiness, circuits, costs -----------------------------------------------
    Case("a condition on metadata chooses the target",
         *[Call(lambda e: e.when({"metadata.tier": {"$eq": "paid"}}, "premium",
                                 premium=e.to("gpt-4o"), budget=e.to("gpt-4o-mini")),
                params={"pk": {"metadata": {"tier": tier}}}, text="hello big world", upstream=1,
                row={"request_model": model, "target_path": f"config.targets[{i}]"})
           for tier, model, i in (("paid", "gpt-4o", 0), ("free", "gpt-4o-mini", 1))]),
    Case("conditions look at params and at the path",
         Call(lambda e: e.when({"params.temperature": {"$gte": 0.5, "$lt": "1"},
                                "url.pathname": "/v1/chat/completions",
                                "$or": [{"params.model": {"$regex": "^gpt-4"}},
                                        {"params.model": {"$in": ["o1", "o3"]}}]}, "yes",
                               yes=e.to(), no=e.to("status-500")),
              params={"model": "o3", "temperature": 0.7}, text="hello big world",
              row={"target_path": "config.targets[0]", "request_model": "o3"})),
    Case("no condition and no default is the caller's error",
         Call(lambda e: e.any("conditional", e.to("echo", name="a"), strategy={
             "conditions": [{"query": {"metadata.tier": "paid"}, "then": "a"}]}),
              code="invalid_request", status=400, says="no condition holds", upstream=0)),
    Case("bad config: a condition that names nothing",
         Call(lambda e: e.when({"metadata.tier": "paid"}, "premum", premium=e.to("echo"),
                               budget=e.to("echo")), code="invalid_config", status=400,
              says='strategy.conditions[0].then: no target here is called "premum"', upstream=0),
         Call(lambda e: e.when({"metadata.tier": {"$eqq": "paid"}}, "premium",
                               premium=e.to("echo"), budget=e.to("echo")), code="invalid_config",
              says='strategy.conditions[0].query.metadata.tier: unknown operator "$eqq"')),
    Case("tenants that conditions tell apart do not share answers",
         *[Call(lambda e: e.when({"metadata.tier": "paid"}, "premium", premium=e.to("gpt-4o"),
                                 budget=e.to("gpt-4o-mini"), cache={"mode": "simple"}),
                "for tenants", {"pk": {"metadata": {"tier": tier, "n": n}}}, cached=cached)
           for n, tier, cached in ((1, "paid", "MISS"), (2, "free", "MISS"), (3, "free", "HIT"),
                                   (4, "paid", "HIT"))]),
    Case("a sticky balance keeps users where they are, through every door",
         *[Call(lambda e: e.any("loadbalance", *[e.to("echo", name=n) for n in "abc"], strategy={
             "sticky": {"enabled": True, "hash_fields": ["metadata.user"], "ttl": 0}}),
                params={"pk": {"metadata": {"user": user}}}, upstream=1,
                row={"target_path": f"config.targets[{i}]"})
           for user, i in (("ann", 0), ("bob", 1), ("eve", 2), ("ann", 0), ("bob", 1))]),
    Case("a target that keeps failing is left alone",
         *[Call(lambda e: e.fallback(e.to("status-500"), e.to("echo"), strategy={"cb_config": {
             "failure_threshold": 2, "cooldown_interval": 600000}}),
                text="hello big world", upstream=tries, row={"attempts": tries},
                check=lambda *unused: __import__("time").sleep(0.02) or True)
           for tries in (2, 2, 1, 1)]),
    Case("an answer that is dropped is paid for",
         Call(lambda e: e.fallback(e.to(), e.to(), strategy={"on_status_codes": [200]}),
              params={"model": "gpt-4o"}, text="hello big world", upstream=2,
              row={"cost_usd": Decimal("0.000075"), "input_tokens": 3},
              check=lambda a, r, m, s: [x["cost_usd"] for x in s] == [Decimal("0.0000375")] * 2
              and [x["input_tokens"] for x in s] == [3, 3])),

    # --- time ----------------------------------------------------------------------------------
    Case("an attempt that takes too long ends with 408",
         Call(lambda e: e.to("echo", "/d/3000", request_timeout="200ms"), code="timeout_error",
              status=408, row={"status": "error", "http_status": 408, "attempts": 1},
              check=lambda a, r, m, s: r["latency_ms"] < 1500)),
    Case("an attempt that takes too long is a reason to fall back",
         Call(lambda e: e.fallback(e.to("hang", request_timeout="150ms"), e.to("echo")),
              text="hello big world", upstream=2, row={"fallback_index": 1},
              spans=[("openai", None, "timeout_error"), ("openai", 200, None)])),
    Case("a body that drips too slowly ends with 408",
         Call(lambda e: e.to("slow-bytes:20ms", request_timeout="300ms"), status=408)),
    Case("the call says its own timeout",
         Call(lambda e: e.to("hang"), params={"pk": {"request_timeout": "150ms"}}, status=408)),

    # --- cache ---------------------------------------------------------------------------------
    Case("the second equal call is a cache hit and costs nothing",
         Call(lambda e: e.to(cache={"mode": "simple"}), params={"model": "gpt-4o"}, cached="MISS",
              upstream=1, row={"cache_status": "MISS", "cost_usd": Decimal("0.0000375")}),
         Call(lambda e: e.to(cache={"mode": "simple"}), params={"model": "gpt-4o"}, cached="HIT",
              upstream=0, text="hello big world",
              row={"cache_status": "HIT", "cost_usd": Decimal(0), "attempts": 0,
                   "cost_saved_usd": Decimal("0.0000375"), "status": "success"}),
         Call(lambda e: e.to(cache={"mode": "simple"}), "another text", {"model": "gpt-4o"},
              cached="MISS", upstream=1)),
    Case("an entry that is older than max_age is a miss",
         Call(lambda e: e.to("echo", cache={"mode": "simple", "max_age": 1}), cached="MISS"),
         Call(lambda e: e.to("echo", cache={"mode": "simple", "max_age": 1}), cached="HIT",
              check=lambda *unused: __import__("time").sleep(1.1) or True),
         Call(lambda e: e.to("echo", cache={"mode": "simple", "max_age": 1}), cached="MISS",
              upstream=1)),
    Case("namespaces do not share entries",
         Call(lambda e: e.to("echo", cache={"mode": "simple"}), cached="MISS",
              params={"pk": {"cache": {"namespace": "one"}}}),
         Call(lambda e: e.to("echo", cache={"mode": "simple"}), cached="MISS",
              params={"pk": {"cache": {"namespace": "two"}}}),
         Call(lambda e: e.to("echo", cache={"mode": "simple"}), cached="HIT",
              params={"pk": {"cache": {"namespace": "one"}}})),
    Case("a forced refresh asks again and stores the new answer",
         Call(lambda e: e.to("echo", cache={"mode": "simple"}), cached="MISS"),
         Call(lambda e: e.to("echo", cache={"mode": "simple"}), cached="REFRESH", upstream=1,
              params={"pk": {"cache": {"force_refresh": True}}}, row={"cache_status": "REFRESH"}),
         Call(lambda e: e.to("echo", cache={"mode": "simple"}), cached="HIT", upstream=0)),
    Case("failures are not cached",
         Call(lambda e: e.to("seq-400-200", cache={"mode": "simple"}), status=400),
         Call(lambda e: e.to("seq-400-200", cache={"mode": "simple"}), cached="MISS", upstream=1)),
    Case("another key never gets the answer of the first",
         Call(lambda e: e.to("echo", cache={"mode": "simple"}), "for one tenant", cached="MISS"),
         Call(lambda e: {**e.to("echo", cache={"mode": "simple"}), "api_key": e.key + "-other"},
              "for one tenant", cached="MISS", upstream=1)),

    # --- the semantic cache --------------------------------------------------------------------
    Case("a question like another gets its answer",
         Call(lambda e: e.semantic(None), "How do I reset my password?", {"model": "gpt-4o"},
              cached="SEMANTIC MISS", upstream=2, text="How do I reset my password?",
              row={"cache_status": "SEMANTIC MISS", "cache_similarity": None,
                   "cost_usd": Decimal("0.00007512"), "attempts": 1},
              check=lambda a, r, m, s: [(x["kind"], x["model"], x["cost_usd"]) for x in s] == [
                  ("cache", "text-embedding-3-small", Decimal("1.2E-7")),
                  ("attempt", "gpt-4o", Decimal("0.000075"))]),
         Call(lambda e: e.semantic(None), "How can I reset the password, please?",
              {"model": "gpt-4o"}, cached="SEMANTIC HIT", upstream=1,
              text="How do I reset my password?",
              row={"cache_status": "SEMANTIC HIT", "attempts": 0, "status": "success",
                   "cost_usd": Decimal("1.4E-7"), "cost_saved_usd": Decimal("0.000075")},
              check=lambda a, r, m, s: 0.9 < r["cache_similarity"] < 1),
         Call(lambda e: e.semantic(None), "How do I reset my password?", {"model": "gpt-4o"},
              cached="HIT", upstream=0, row={"cache_similarity": None}),
         Call(lambda e: e.semantic(None), "Where is the nearest airport?", {"model": "gpt-4o"},
              cached="SEMANTIC MISS", upstream=2)),
    Case("what must not be answered alike is not",
         *[Call(lambda e: e.semantic(), text, cached="SEMANTIC MISS", upstream=2, text=text)
           for text in ("Cancel my order 12", "Cancel my order 13", "Don't cancel my order 12",
                        "Mail the report to John", "Mail the report to Mary",
                        "Enable the firewall rule", "Disable the firewall rule")],
         Call(lambda e: e.semantic(), "Please cancel the order 12", cached="SEMANTIC HIT",
              upstream=1, text="Cancel my order 12")),
    Case("all but the last text must be equal for a similar answer",
         Call(lambda e: e.semantic(), [{"role": "system", "content": "be brief"},
                                       {"role": "user", "content": "what is a monad"}],
              cached="SEMANTIC MISS"),
         Call(lambda e: e.semantic(), [{"role": "system", "content": "be verbose"},
                                       {"role": "user", "content": "what is the monad"}],
              cached="SEMANTIC MISS"),
         Call(lambda e: e.semantic(), [{"role": "system", "content": "be brief"},
                                       {"role": "user", "content": "what is the monad"}],
              {"temperature": 0.1}, cached="SEMANTIC MISS"),
         Call(lambda e: e.semantic(cache={"namespace": "other"}), [
             {"role": "system", "content": "be brief"},
             {"role": "user", "content": "what is the monad"}], cached="SEMANTIC MISS"),
         Call(lambda e: e.semantic(), [{"role": "system", "content": "be brief"},
                                       {"role": "user", "content": [
                                           {"type": "text", "text": "what is the monad"}]}],
              cached="SEMANTIC MISS"),  # a list is another request than a text
         Call(lambda e: e.semantic(), [{"role": "system", "content": "be brief"},
                                       {"role": "user", "content": "what is the monad"}],
              cached="SEMANTIC HIT", text="what is a monad")),
    Case("an embedder that fails does not fail the call",
         Call(lambda e: e.semantic(plan="status-500"), "one text", cached="SEMANTIC MISS",
              upstream=2, text="one text", check=lambda a, r, m, s: s[0]["error_type"] ==
              "provider_error" and "asked to answer 500" in s[0]["error_message"]),
         Call(lambda e: e.semantic(plan="status-500"), "one text", cached="HIT", upstream=0),
         Call(lambda e: e.semantic(cache={"embedder": {
             "provider": "openai", "api_key": e.key, "custom_host": "http://127.0.0.1:1/v1"}}),
              "another text", cached="SEMANTIC MISS", text="another text",
              check=lambda a, r, m, s: s[0]["error_type"] == "connection_error")),
    Case("requests with tools or pictures are looked up exactly",
         Call(lambda e: e.semantic("tool-call"), params={"tools": [WEATHER]}, cached="MISS",
              upstream=1),
         Call(lambda e: e.semantic("tool-call"), params={"tools": [WEATHER]}, cached="HIT",
              upstream=0)),
    Case("a refresh replaces the answer that the like of it get",
         Call(lambda e: e.semantic(), "the tallest tower", cached="SEMANTIC MISS"),
         Call(lambda e: e.semantic(), "the tallest tower", {"pk": {"cache": "refresh"}},
              cached="REFRESH", upstream=2),
         Call(lambda e: e.semantic(), "the tallest of the towers", cached="SEMANTIC HIT",
              upstream=1)),
    Case("the embedder gets what a guardrail leaves of the text",
         Call(lambda e: e.semantic(guardrails={"input": [{"type": "pii", "action": "redact"}]}),
              "Write a letter to anna@example.org", cached="SEMANTIC MISS",
              text="Write a letter to {{EMAIL_ADDRESS}}"),
         Call(lambda e: e.semantic(guardrails={"input": [{"type": "pii", "action": "redact"}]}),
              "Please write the letter to bob@example.org", cached="SEMANTIC HIT", upstream=1,
              check=lambda a, r, m, s: "bob@" not in m.page("last")["body"]
              and "EMAIL_ADDRESS" in m.page("last")["body"])),
    Case("a similar answer passes the guardrails too",
         Call(lambda e: e.semantic(), "the colour of the sky", cached="SEMANTIC MISS"),
         Call(lambda e: e.semantic(guardrails={"output": [
             {"type": "contains", "words": ["colour"], "operator": "none", "action": "block"}]}),
              "what is the colour of the sky", status=446, code="guardrail_blocked", upstream=1)),
    Case("semantic mode without an embedder knows what was only typed otherwise",
         Call(lambda e: e.to("echo", cache={"mode": "semantic"}), "Which rooms are still free?",
              cached="SEMANTIC MISS", upstream=1),
         Call(lambda e: e.to("echo", cache={"mode": "semantic"}), "which rooms are  still free",
              cached="SEMANTIC HIT", upstream=0, text="Which rooms are still free?"),
         Call(lambda e: e.to("echo", cache={"mode": "semantic"}), "Which rooms are already taken?",
              cached="SEMANTIC MISS", upstream=1)),

    # --- the anthropic dialect -------------------------------------------------------------------
    Case("anthropic: system, texts and limits are translated",
         Call(lambda e: e.claude("claude-sonnet-4-5"), [{"role": "system", "content": "be brief"},
                                               {"role": "user", "content": "hello big world"}],
              {"max_tokens": 7, "stop": "END", "temperature": 0.5}, text="hello big world",
              row={"provider": "anthropic", "model": "claude-sonnet-4-5", "input_tokens": 5,
                   "output_tokens": 3, "finish_reason": "stop",
                   "cost_usd": Decimal("0.00006")},
              check=sent(system=[{"type": "text", "text": "be brief"}], max_tokens=7,
                         stop_sequences=["END"], temperature=0.5))),
    Case("anthropic: max_tokens is there even when the caller has none",
         Call(lambda e: e.claude(), text="hello big world",
              check=lambda a, r, m, s: '"max_tokens"' in m.page("last")["body"])),
    Case("anthropic: tools and tool calls are translated",
         Call(lambda e: e.claude("tool-call"), params={"tools": [WEATHER]},
              row={"finish_reason": "tool_calls"},
              check=lambda a, r, m, s: a.body["choices"][0]["message"]["tool_calls"][0]["function"]
              ["name"] == "weather" and '"input_schema"' in m.page("last")["body"])),
    Case("anthropic: a tool result goes back",
         Call(lambda e: e.claude(), [
             {"role": "user", "content": "weather?"},
             {"role": "assistant", "content": None, "tool_calls": [
                 {"id": "call_1", "type": "function",
                  "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}]},
             {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}], {"tools": [WEATHER]},
              status=200, check=sent_text('"tool_result"', '"tool_use"', "sunny", "Paris"))),
    Case("strict_params: what a target cannot take is dropped and said, or an error by which a fallback goes on",
         Call(lambda e: e.claude(), params={"logit_bias": {"1": 2}}, text="hello big world",
              check=lambda a, r, m, s: (a.headers.get("x-pk-dropped-params") or
                                        a.body.get("pk", {}).get("dropped")) == "logit_bias"),
         Call(lambda e: e.claude(strict_params=True), params={"logit_bias": {"1": 2}}, code="invalid_request",
              says="logit_bias: cannot be sent to anthropic", status=400, upstream=0),
         Call(lambda e: e.fallback(e.claude(), e.to("echo"), strict_params=True),
              params={"logit_bias": {"1": 2}}, text="hello big world", row={"provider": "openai"})),
    Case("anthropic: the provider's words are in the error",
         Call(lambda e: e.claude("status-529"), status=529, says="asked to answer 529",
              row={"provider": "anthropic", "status": "error"})),

    # --- the gemini dialect ----------------------------------------------------------------------
    Case("gemini: system, texts and limits are translated",
         Call(lambda e: e.gemini("gemini-2.5-flash"), [{"role": "system", "content": "be brief"},
                                                       {"role": "user", "content": "hello big world"}],
              {"max_tokens": 7, "stop": "END", "temperature": 0.5}, text="hello big world",
              row={"provider": "google", "model": "gemini-2.5-flash", "input_tokens": 5,
                   "output_tokens": 3, "finish_reason": "stop", "cost_usd": Decimal("0.000009")},
              check=sent(systemInstruction={"parts": [{"text": "be brief"}]},
                         generationConfig={"maxOutputTokens": 7, "temperature": 0.5,
                                           "stopSequences": ["END"]}))),
    Case("gemini: the model is in the path and the key in its own header",
         Call(lambda e: e.gemini("echo:x/y?z"), status=200,
              check=lambda a, r, m, s: m.page("last")["path"] ==
              "/v1/models/echo%3Ax%2Fy%3Fz:generateContent"
              and SECRET in m.page("last")["headers"]["x-goog-api-key"]
              and "authorization" not in m.page("last")["headers"])),
    Case("gemini: without a model nothing is sent",
         Call(lambda e: {**e.gemini(), "override_params": {"top_p": 1}}, code="invalid_request",
              status=400, says="model", upstream=0)),
    Case("gemini: thoughts and what came from the cache are counted apart",
         Call(lambda e: e.gemini("gemini-2.5-flash", "/m/echo:cached=2:reasoning=4"),
              row={"input_tokens": 1, "cache_read_tokens": 2, "output_tokens": 3,
                   "reasoning_tokens": 4, "cost_usd": Decimal("0.00001786")})),
    Case("gemini: tools, their calls with signatures, and the results go both ways",
         Call(lambda e: e.gemini("gemini-3-pro-preview", "/m/tool-call"), "weather?",
              {"tools": [WEATHER], "tool_choice": "required"},
              row={"finish_reason": "tool_calls"},
              check=lambda a, r, m, s: a.body["choices"][0]["message"]["tool_calls"][0]["function"]
              == {"name": "weather", "arguments": '{"city":"mock"}'}
              and a.body["choices"][0]["message"]["tool_calls"][0]["extra_content"] ==
              {"google": {"thought_signature": "bW9jaw=="}}
              and '"parametersJsonSchema"' in m.page("last")["body"]
              and '"mode":"ANY"' in m.page("last")["body"]),
         Call(lambda e: e.gemini("gemini-3-pro-preview"), [
             {"role": "user", "content": "weather?"},
             {"role": "assistant", "content": None, "tool_calls": [
                 {"id": "call_1", "type": "function",
                  "extra_content": {"google": {"thought_signature": "bW9jaw=="}},
                  "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
                 {"id": "call_2", "type": "function",
                  "function": {"name": "clock", "arguments": ""}}]},
             {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
             {"role": "tool", "tool_call_id": "call_2", "content": "12:00"}], {"tools": [WEATHER]},
              status=200, check=sent_text('"thoughtSignature":"bW9jaw=="', '"output":"sunny"',
                                          '"name":"clock"'))),
    Case("gemini: calls of another provider's model are accepted without a signature",
         Call(lambda e: e.gemini("gemini-3-pro-preview"), [
             {"role": "user", "content": "weather?"},
             {"role": "assistant", "content": None, "tool_calls": [
                 {"id": "call_1", "type": "function",
                  "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}]},
             {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}], status=200)),
    Case("gemini: several choices",
         Call(lambda e: e.gemini("echo"), params={"n": 2}, row={"output_tokens": 6},
              check=lambda a, r, m, s: [c["index"] for c in a.body["choices"]] == [0, 1])),
    Case("gemini: a fallback to it, and from it",
         Call(lambda e: e.fallback(e.to("status-500"), e.gemini()), text="hello big world",
              row={"provider": "google", "fallback_index": 1}),
         Call(lambda e: e.fallback(e.gemini("status-503"), e.claude()), text="hello big world",
              spans=[("google", 503, "provider_error"), ("anthropic", 200, None)])),
    Case("gemini: the provider's words are in the error",
         Call(lambda e: e.gemini("status-429"), status=429, says="asked to answer 429",
              row={"provider": "google", "status": "error"})),
    *[Case(f"gemini: hostile answer: {model}",
           Call(lambda e, model=model: e.gemini(model), code="invalid_answer", status=502,
                row={"status": "error", "error_type": "invalid_answer"}))
      for model in ("html-200", "empty-200", "truncated-json", "wrong-types", "bad-utf8",
                    "no-end")],
    Case("gemini: an error with status 200",
         Call(lambda e: e.gemini("error-in-200"), code="provider_error", status=502,
              says="asked to answer 500")),

    # --- the cohere dialect ----------------------------------------------------------------------
    Case("cohere: texts and limits are translated, and what is billed counts",
         Call(lambda e: e.cohere("command-a-03-2025"), [{"role": "developer", "content": "be brief"},
                                                        {"role": "user", "content": "hello big world"}],
              {"max_tokens": 7, "stop": "END", "temperature": 0.5, "top_p": 1},
              text="hello big world",
              row={"provider": "cohere", "model": "command-a-03-2025", "input_tokens": 5,
                   "output_tokens": 3, "finish_reason": "stop", "cost_usd": Decimal("0.0000425")},
              check=lambda a, r, m, s: a.body["model"] == "command-a-03-2025"
              and m.page("last")["path"] == "/v1/v2/chat"
              and sent(max_tokens=7, stop_sequences=["END"], temperature=0.5, p=0.99,
                       messages=[{"role": "system", "content": "be brief"},
                                 {"role": "user", "content": "hello big world"}])(a, r, m, s))),
    Case("cohere: tools, their calls with the plan, and the results go both ways",
         Call(lambda e: e.cohere("tool-call"), "weather?",
              {"tools": [WEATHER], "tool_choice": "required"}, text="I will call it.",
              row={"finish_reason": "tool_calls"},
              check=lambda a, r, m, s: a.body["choices"][0]["message"]["tool_calls"][0]["function"]
              == {"name": "weather", "arguments": '{"city":"mock"}'}
              and '"tool_choice":"REQUIRED"' in m.page("last")["body"]),
         Call(lambda e: e.cohere(), [
             {"role": "user", "content": "weather?"},
             {"role": "assistant", "content": "I will call it.", "tool_calls": [
                 {"id": "call_1", "type": "function",
                  "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}]},
             {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}], {"tools": [WEATHER]},
              status=200, check=sent_text('"tool_plan":"I will call it."', "sunny", "Paris"))),
    Case("cohere: a fallback to it, and from it",
         Call(lambda e: e.fallback(e.to("status-500"), e.cohere()), text="hello big world",
              row={"provider": "cohere", "fallback_index": 1}),
         Call(lambda e: e.fallback(e.cohere("status-503"), e.gemini()), text="hello big world",
              spans=[("cohere", 503, "provider_error"), ("google", 200, None)])),
    Case("cohere: the provider's words are in the error",
         Call(lambda e: e.cohere("status-429"), status=429, says="asked to answer 429",
              row={"provider": "cohere", "status": "error"})),
    *[Case(f"cohere: hostile answer: {model}",
           Call(lambda e, model=model: e.cohere(model), code="invalid_answer", status=502,
                row={"status": "error", "error_type": "invalid_answer"}))
      for model in ("html-200", "empty-200", "truncated-json", "wrong-types", "bad-utf8",
                    "no-end", "error-in-200")],

    # --- the bedrock dialect ---------------------------------------------------------------------
    Case("bedrock: texts and limits are translated, and the model is in the path",
         Call(lambda e: e.bedrock(), [{"role": "developer", "content": "be brief"},
                                      {"role": "user", "content": "hello big world"}],
              {"max_tokens": 7, "stop": "END", "temperature": 0.5, "seed": 1},
              text="hello big world",
              row={"provider": "bedrock", "model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                   "input_tokens": 5, "output_tokens": 3, "finish_reason": "stop"},
              check=lambda a, r, m, s:
              a.body["model"] == "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
              and a.body["choices"][0]["metrics"] == {"latencyMs": 7}
              and m.page("last")["path"]
              == "/v1/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
              and sent(system=[{"text": "be brief"}],
                       messages=[{"role": "user", "content": [{"text": "hello big world"}]}],
                       inferenceConfig={"maxTokens": 7, "temperature": 0.5,
                                        "stopSequences": ["END"]})(a, r, m, s))),
    Case("bedrock: an ARN is a model too",
         Call(lambda e: e.bedrock("arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.amazon."
                                  "nova-lite-v1:0"), text="hello big world",
              check=lambda a, r, m, s: m.page("last")["path"] == "/v1/model/arn%3Aaws%3Abedrock%3A"
              "us-east-1%3A123456789012%3Ainference-profile%2Feu.amazon.nova-lite-v1%3A0/converse")),
    Case("bedrock: tools, their calls, and parallel results in one message",
         Call(lambda e: e.bedrock("tool-call"), "weather?",
              {"tools": [WEATHER], "tool_choice": "required"}, status=200,
              row={"finish_reason": "tool_calls"},
              check=lambda a, r, m, s: a.body["choices"][0]["message"]["tool_calls"][0]["function"]
              == {"name": "weather", "arguments": '{"city":"mock"}'}
              and '"toolChoice":{"any":{}}' in m.page("last")["body"]),
         Call(lambda e: e.bedrock(), [
             {"role": "user", "content": "weather?"},
             {"role": "assistant", "content": None, "tool_calls": [
                 {"id": f"call_{c}", "type": "function",
                  "function": {"name": "weather", "arguments": f'{{"city":"{c}"}}'}}
                 for c in ("Paris", "Oslo")]},
             {"role": "tool", "tool_call_id": "call_Paris", "content": "sunny"},
             {"role": "tool", "tool_call_id": "call_Oslo", "content": "snow"},
             {"role": "user", "content": "thanks"}], {"tools": [WEATHER]}, status=200,
              check=sent_text('{"toolUse":{"toolUseId":"call_Paris"', "sunny", "snow",
                              '"role":"user","content":[{"toolResult":'))),
    Case("bedrock: an image from the web is refused by name, before any call",
         Call(lambda e: e.bedrock(), [{"role": "user", "content": [
             {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}],
              code="invalid_request", says="messages[0].content[0]: this provider fetches nothing")),
    Case("bedrock: a fallback to it, and from it",
         Call(lambda e: e.fallback(e.to("status-500"), e.bedrock()), text="hello big world",
              row={"provider": "bedrock", "fallback_index": 1}),
         Call(lambda e: e.fallback(e.bedrock("status-503"), e.gemini()), text="hello big world",
              spans=[("bedrock", 503, "provider_error"), ("google", 200, None)])),
    Case("bedrock: the provider's words are in the error",
         Call(lambda e: e.bedrock("status-429"), status=429, says="asked to answer 429",
              row={"provider": "bedrock", "status": "error"})),
    *[Case(f"bedrock: hostile answer: {model}",
           Call(lambda e, model=model: e.bedrock(model), code="invalid_answer", status=502,
                row={"status": "error", "error_type": "invalid_answer"}))
      for model in ("html-200", "empty-200", "truncated-json", "wrong-types", "bad-utf8",
                    "no-end")],
    Case("bedrock: an error with status 200",
         Call(lambda e: e.bedrock("error-in-200"), code="provider_error", status=502,
              says="asked to answer 500")),

    # --- ollama's own dialect --------------------------------------------------------------------
    Case("ollama: texts, limits and images are translated",
         Call(lambda e: e.ollama(), [{"role": "developer", "content": "be brief"},
                                     {"role": "user", "content": [
                                         {"type": "text", "text": "hello big world"},
                                         {"type": "image_url", "image_url": {
                                             "url": "data:image/png;base64,iVBORw0KGgo="}}]}],
              {"max_tokens": 7, "stop": "END", "reasoning_effort": "none"},
              text="hello big world",
              row={"provider": "ollama-native", "model": "llama3.2", "input_tokens": 5,
                   "output_tokens": 3, "finish_reason": "stop"},
              check=lambda a, r, m, s: m.page("last")["path"] == "/v1/api/chat"
              and sent(stream=False, think=False, options={"num_predict": 7, "stop": ["END"]},
                       messages=[{"role": "system", "content": "be brief"},
                                 {"role": "user", "content": "hello big world",
                                  "images": ["iVBORw0KGgo="]}])(a, r, m, s))),
    Case("ollama: tools, their calls, and the results go both ways",
         Call(lambda e: e.ollama("tool-call"), "weather?", {"tools": [WEATHER]}, status=200,
              row={"finish_reason": "tool_calls"},
              check=lambda a, r, m, s: a.body["choices"][0]["message"]["tool_calls"][0]["function"]
              == {"name": "weather", "arguments": '{"city":"mock"}'}),
         Call(lambda e: e.ollama(), [
             {"role": "user", "content": "weather?"},
             {"role": "assistant", "content": None, "tool_calls": [
                 {"id": "call_1", "type": "function",
                  "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}]},
             {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}], {"tools": [WEATHER]},
              status=200, check=sent_text('"tool_name":"weather"', "sunny"))),
    Case("ollama: a fallback to it, and from it",
         Call(lambda e: e.fallback(e.to("status-500"), e.ollama()), text="hello big world",
              row={"provider": "ollama-native", "fallback_index": 1}),
         Call(lambda e: e.fallback(e.ollama("status-503"), e.gemini()), text="hello big world",
              spans=[("ollama-native", 503, "provider_error"), ("google", 200, None)])),
    *[Case(f"ollama: hostile answer: {model}",
           Call(lambda e, model=model: e.ollama(model), code="invalid_answer", status=502,
                row={"status": "error", "error_type": "invalid_answer"}))
      for model in ("html-200", "empty-200", "truncated-json", "wrong-types", "bad-utf8",
                    "no-end")],
    Case("ollama: an error with status 200",
         Call(lambda e: e.ollama("error-in-200"), code="provider_error", status=502,
              says="asked to answer 500")),

    # --- what is logged ------------------------------------------------------------------------
    Case("metadata, trace and spans of the caller are in the log",
         Call(lambda e: e.to("echo"), params={"pk": {
             "metadata": {"team": "red", "_user": "u1", "_prompt": "p@2"}, "span_id": "s1",
             "parent_span_id": "p1", "span_name": "summary"}},
              row={"metadata": {"team": "red", "_user": "u1", "_prompt": "p@2"}, "user_id": "u1",
                   "prompt": "p@2", "span_id": "s1", "parent_span_id": "p1",
                   "span_name": "summary"})),
    Case("request and answer are in the log",
         Call(lambda e: e.to("echo"), check=lambda a, r, m, s:
              r["request"]["messages"] == [{"role": "user", "content": "hello big world"}]
              and r["response"]["choices"][0]["message"]["content"] == "hello big world")),
    Case("payloads stay out of the log when the caller says so",
         Call(lambda e: e.to("echo"), params={"pk": {"log": False}},
              row={"request": None, "response": None, "input_tokens": 3}),
         Call(lambda e: e.to("echo", log_payloads="none"), params={"pk": {"log": "full"}},
              row={"request": None, "response": None, "input_tokens": 3})),
    Case("without payloads a provider's words are told but not kept",
         Call(lambda e: e.to("status-400", log_payloads="none"), status=400, says="asked to answer 400",
              row={"error_message": "openai answered 400", "request": None},
              check=lambda a, r, m, s: s[0]["error_message"] is None)),
    Case("hashes stand in for payloads; equal requests have equal ones",
         *[Call(lambda e: e.to("echo"), params={"pk": {"log": "hash"}}, text="hello big world",
                check=lambda a, r, m, s: HASHES.add(r["request"]["sha256"]) is None and
                r["request"]["bytes"] > 20 and len(r["response"]["sha256"]) == 64)] * 2,
         Call(lambda e: e.to("echo", logPayloads="hash"), "another text",
              check=lambda a, r, m, s: r["request"]["sha256"] not in HASHES)),
    Case("personal data is replaced in the log and nowhere else",
         Call(lambda e: e.to("echo", log_redact=["EMAIL_ADDRESS"], cache={"mode": "simple"}),
              "write to anna@example.org", {"pk": {"metadata": {"_user": "anna@example.org", "n": 1}}},
              text="write to anna@example.org", cached="MISS",
              row={"user_id": "{{EMAIL_ADDRESS}}", "metadata": {"_user": "{{EMAIL_ADDRESS}}", "n": 1}},
              check=lambda a, r, m, s: r["request"]["messages"][0]["content"] == "write to {{EMAIL_ADDRESS}}"
              and r["response"]["choices"][0]["message"]["content"] == "write to {{EMAIL_ADDRESS}}"
              and "anna@example.org" in m.page("last")["body"]),
         Call(lambda e: e.to("echo", log_redact=True, cache={"mode": "simple"}),
              "write to anna@example.org", text="write to anna@example.org", cached="HIT",
              check=lambda a, r, m, s: "anna" not in repr(r))),

    Case("names that others choose are cut in the log",
         Call(lambda e: e.to("echo"), params={"user": "\u00fc" * 1000, "pk": {"log": False}},
              row={"user_id": "\u00fc" * 128}),
         Call(lambda e: e.to("status-500:" + "x" * 1000), code="provider_error",
              check=lambda a, r, m, s: len(r["request_model"]) == 256 and len(s[0]["model"]) == 256)),

    # --- hostile answers -----------------------------------------------------------------------
    *[Case(f"hostile answer: {model}",
           Call(lambda e, model=model: e.to(model), code="invalid_answer", status=502,
                row={"status": "error", "error_type": "invalid_answer"}),
           Call(lambda e, model=model: e.fallback(e.to(model), e.to("echo")),
                text="hello big world", upstream=2))
      for model in ("html-200", "empty-200", "truncated-json", "wrong-types", "bad-utf8",
                    "no-end")],
    Case("hostile answer: an error with status 200",
         Call(lambda e: e.to("error-in-200"), code="provider_error", status=502,
              says="asked to answer 500", row={"status": "error"}),
         Call(lambda e: e.fallback(e.to("error-in-200"), e.to("echo")), text="hello big world",
              upstream=2)),
    Case("hostile answer: 40 MB",
         Call(lambda e: e.to("huge:40MB"), code="too_large", row={"status": "error"})),
    Case("hostile answer: a redirect is not followed",
         Call(lambda e: e.to("redirect"), code="provider_error", upstream=1,
              check=lambda a, r, m, s: m.page("last")["path"] == "/v1/chat/completions")),

    # --- bad input -----------------------------------------------------------------------------
    *[Case(f"bad config: {says}", Call(lambda e, config=config: config, code="invalid_config",
                                       status=400, says=says, upstream=0))
      for config, says in (
          ({"provider": "openai", "api_key": "k", "retry": {"attempts": 9}}, "retry.attempts"),
          ({"strategy": {"mode": "fallback"}, "targets": [
              {"provider": "openai", "api_key": "k"},
              {"provider": "openai", "api_key": "k", "weight": -1}]}, "targets[1].weight"),
          ({"strategy": {"mode": "sometimes"}, "targets": [{"provider": "openai"}]},
           "strategy.mode"),
          ({"provider": "openai", "api_key": "k", "colour": "red"}, "colour"),
          ({"provider": "no-such-provider", "api_key": "k"}, "no-such-provider"),
          ({"provider": "openai", "api_key": 5}, "api_key"),
          ({"provider": "openai", "api_key": "k", "request_timeout": "soon"}, "request_timeout"),
          ({"provider": "openai", "api_key": "k", "custom_host": "ftp://x/v1"}, "custom_host"),
          ({"targets": []}, "targets"))],
    Case("bad config: a slug that is not there",
         Call("no-such-slug", code="not_found", says="no-such-slug", upstream=0)),
    Case("bad config: a key in the place of a name is not repeated",
         Call("sk-proj-" + "aB3" * 16, code="not_found", says="(what looks like a key)", upstream=0),
         Call({"virtual_key": "sk-proj-" + "aB3" * 16}, code="invalid_config",
              says='none called "(what looks like a key)"', upstream=0)),
    Case("bad config: a virtual key that is not there",
         Call({"virtual_key": "no-such-key"}, code="invalid_config",
              says='config.virtual_key: there is none called "no-such-key"', upstream=0)),
    Case("bad config: no key for the provider",
         Call({"provider": "openai"}, code="missing_key", status=401, upstream=0)),
    Case("bad config: text that is not JSON",
         Call('{"provider":', status=400, code="invalid_json", upstream=0)),
    Case("bad config: NUL, deep, long",
         Call('{"provider":"a\\u0000b"}', status=400, upstream=0),
         Call('{"targets":' + "[" * 10000, status=400, upstream=0),
         Call("[]", code="not_found", upstream=0),
         Call('{"provider":"' + "x" * 20000 + '"}', status=400, upstream=0)),
    Case("a private address is denied",
         Call(lambda e: {"provider": "openai", "api_key": e.key, "custom_host": "http://10.1.2.3/v1"},
              params={"model": "x"}, code="host_not_allowed", status=403),
         Call(lambda e: {"provider": "openai", "api_key": e.key,
                         "custom_host": "http://169.254.169.254/v1"}, params={"model": "x"},
              code="host_not_allowed", status=403)),
    Case("bad messages",
         Call(lambda e: e.to("echo"), '{"role":"user"}', code="invalid_request", upstream=0),
         Call(lambda e: e.to("echo"), '[{"role"', code="invalid_json", upstream=0),
         Call(lambda e: e.to("echo"), "[" * 10000 + "]" * 10000, code="invalid_json", upstream=0),
         sql=True),
    Case("bad params",
         Call(lambda e: e.to("echo"), params="[1]", code="invalid_request", upstream=0),
         Call(lambda e: e.to("echo"), params='{"pk":{"colour":1}}', code="invalid_request",
              says="colour", upstream=0),
         Call(lambda e: e.to("echo"), params='{"stream":true}', code="invalid_request", upstream=0),
         sql=True),
    Case("NULL in, NULL out, and no call",
         Call(None, upstream=0, check=lambda a, r, m, s: a.body is None),
         Call(lambda e: e.to("echo"), None, upstream=0, check=lambda a, r, m, s: a.body is None),
         sql=True),
    Case("an empty text is sent as it is",
         Call(lambda e: e.to("echo"), "", status=200, upstream=1, text="")),
]
CASES = [c for c in FAMILIES if c.doors]
