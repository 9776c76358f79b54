"""Providers of one's own, through every door."""
import json
import time

from cases import SECRET
from doors import Answer


def put(door, name, **options):
    got = door.function("pk_provider_put", name, options)
    time.sleep(0.03)  # a daemon may remember for some milliseconds what a reference meant
    return got


def sent(mock):
    last = mock.page("last")
    return last["path"], last["headers"], json.loads(last["body"])


def is_called(door, e, mock):
    """a provider of one's own is called by its name, with its headers, fields and key"""
    put(door, "mine", base_url=e.base + "/v1", key_header="x-api-key: Own", headers={"x-org": "o1"},
        rejects=["user"], renames={"seed": "random_seed"})
    trace = f"own-{time.monotonic_ns()}"
    answer = door.chat({"provider": "mine", "api_key": "k-1"}, "hi",
                       {"model": "echo", "user": "u", "seed": 3, "pk": {"trace_id": trace}})
    path, headers, body = sent(mock)
    row = door.row(trace)
    return (answer.text == "hi" and path == "/v1/chat/completions" and headers["x-api-key"] == "Own k-1"
            and headers["x-org"] == "o1" and "authorization" not in headers
            and "user" not in body and body["random_seed"] == 3 and "seed" not in body
            and row["provider"] == "mine" and row["dropped_params"] == "user")


def has_keys(door, e, mock):
    """a virtual key of such a provider is sent to its host, and to no other one that it moves to"""
    put(door, "moved", base_url=e.base + "/v1")
    door.function("pk_key_put", "moved-key", "moved", SECRET + "-moved")
    config = {"virtual_key": "moved-key", "override_params": {"model": "echo"}}
    first = door.chat(config, "hi")
    key = sent(mock)[1]["authorization"]
    put(door, "moved", base_url="http://127.0.0.2:9/v1")
    second = door.chat(config, "hi")
    return (first.text == "hi" and key == f"Bearer {SECRET}-moved" and not second.ok
            and "put it anew" in second.message)


def speaks(door, e, mock):
    """a provider of one's own may speak another dialect"""
    put(door, "own-claude", base_url=e.base + "/v1", dialect="anthropic", key_header="x-api-key")
    answer = door.chat({"provider": "own-claude", "api_key": "k-1"}, "hi", {"model": "echo"})
    path, headers, _ = sent(mock)
    return answer.text == "hi" and path == "/v1/messages" and "anthropic-version" in headers


def comes_and_goes(door, e, mock):
    """a provider is there as soon as it is put, and gone when it is deleted"""
    config = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "brief"}]}
    asked = {**config, "targets": [{"provider": "brief", "api_key": "k-1"}]}
    before = door.chat(asked, "hi", {"model": "echo"})
    put(door, "brief", base_url=e.base + "/v1")
    there = door.chat(asked, "hi", {"model": "echo"})
    door.function("pk_config_put", "uses-brief", config)
    refused = door.function("pk_provider_delete", "brief")
    door.function("pk_config_delete", "uses-brief")
    deleted = door.function("pk_provider_delete", "brief")
    time.sleep(0.03)
    after = door.chat(asked, "hi", {"model": "echo"})
    return (not before.ok and "unknown provider" in before.message and there.text == "hi"
            and isinstance(refused, Answer) and "uses-brief" in refused.message
            and bool(deleted) and not isinstance(deleted, Answer) and not after.ok)


def is_checked(door, e, mock):
    """what is wrong with a provider is told before it is stored"""
    wrong = [door.function("pk_provider_put", "wrong", {"base_url": e.base, "colour": 1}),
             door.function("pk_provider_put", "openai", {"base_url": e.base}),
             door.function("pk_provider_put", "wrong", {"base_url": e.base, "rejects": "user"})]
    said = [a.message if isinstance(a, Answer) else "" for a in wrong]
    return ("colour" in said[0] and "pk's own" in said[1] and "options.rejects" in said[2]) or print("#", said)


def by_headers(door, e, mock):
    """headers and models name such a provider as they name any other"""
    put(door, "named", base_url=e.base + "/v1")
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    ok = []
    for headers, model in (({"x-portkey-provider": "named", "authorization": "Bearer k-2"}, "echo"),
                           ({"x-portkey-provider": "@named", "authorization": "Bearer k-2"}, "echo"),
                           ({"authorization": "Bearer k-2"}, "@named/echo")):
        answer = door.answer(*door.request("/v1/chat/completions", {**body, "model": model}, headers))
        ok.append(answer.text == "hi" and sent(mock)[1].get("authorization") == "Bearer k-2"
                  and sent(mock)[2]["model"] == "echo")
    status, headers, _ = door.request("/v1/chat/completions", body, {"x-portkey-provider": "named",
                                    "authorization": "Bearer k-3"})
    return (all(ok) and status == 200 and headers["x-portkey-provider"] == "named") or print("#", ok)


def host_alone(door, e, mock):
    """a custom_host may be without /v1 where it always is that"""
    paths = []
    for provider, host in (("ollama", ""), ("deepseek", ""), ("deepseek", "/v1"), ("vllm", "/v1/"), ("openai", "/v1")):
        config = {"provider": provider, "api_key": "k-1", "custom_host": e.base + host}
        paths.append(door.chat(config, "hi", {"model": "echo"}).text == "hi" and sent(mock)[0])
    return paths == ["/v1/chat/completions"] * 5 or print("#", paths)


def system_role(door, e, mock):
    """a developer message goes as system to those who do not know it"""
    roles = []
    for provider in ("openai", "groq"):
        config = {"provider": provider, "api_key": "k-1", "custom_host": e.base + "/v1"}
        door.chat(config, [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}],
                  {"model": "echo"})
        roles.append(sent(mock)[2]["messages"][0]["role"])
    return roles == ["developer", "system"] or print("#", roles)


def betas(door, e, mock):
    """an Anthropic client's own version and betas go to a provider that speaks its dialect, and to no other"""
    body = {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    seen = []
    for provider in ("anthropic", "openai"):
        door.request("/v1/messages", body, {
            "x-portkey-config": json.dumps({"provider": provider, "custom_host": e.base + "/v1", "api_key": "k-1"}),
            "anthropic-version": "2024-01-01", "anthropic-beta": "one,two"})
        headers = sent(mock)[1]
        seen.append((headers.get("anthropic-version"), headers.get("anthropic-beta")))
    return seen == [("2024-01-01", "one,two"), (None, None)] or print("#", seen)


ANY = [is_called, has_keys, speaks, comes_and_goes, is_checked, host_alone, system_role]
HTTP = [by_headers, betas]
