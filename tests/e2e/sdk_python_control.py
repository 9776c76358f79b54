"""The control APIs as Portkey's Python SDK calls them: configs, keys, guardrails, logs, analytics."""
import asyncio
import json
import time

import httpx
import openai
from portkey_ai import AsyncPortkey, Portkey

from sdk_clients import HELLO, KEY, MOCK, PKD, case, end, of_openai, portkey, raised


def ask(text="hello there", model="gpt-4o-mini", **headers):
    return of_openai(**headers).chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


def soon(holds):
    """Changes reach every thread and process within a second."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("not within two seconds")


def soon_raised(kind, call):
    def holds():
        try:
            call()
        except kind:
            return True
        return False
    soon(holds)


def members(answer):
    return [m if isinstance(m, dict) else json.loads(str(m)) for m in answer["data"]]


@case
def configs_are_made_used_changed_and_deleted():
    configs = portkey().configs
    made = configs.create(name="Two of them", config={"strategy": {"mode": "fallback"}, "targets": [
        {"virtual_key": "oai-down"}, {"virtual_key": "oai", "override_params": {"model": "gpt-4o"}}]})
    slug = made["data"]["slug"]
    assert made["success"] and slug and made["data"]["version_id"], made
    assert ask(config=slug).model == "gpt-4o"
    got = configs.retrieve(slug=slug)["data"]
    assert got["name"] == "Two of them" and "oai-down" in json.dumps(got["config"]), got
    assert slug in [c["slug"] for c in members(configs.list())]
    put = configs.update(slug=slug, config={"virtual_key": "oai", "override_params": {"model": "gpt-4o-mini"}})
    assert put["success"] and put["data"]["version_id"] != made["data"]["version_id"], put
    soon(lambda: ask(config=slug).model == "gpt-4o-mini")
    e = raised(Exception, lambda: configs.create(name="wrong", config={"targets": [{"virtual_key": "oai", "wieght": 1}]}))
    assert e.status_code == 400 and "wieght" in str(e), e
    configs.delete(slug=slug)
    soon_raised(openai.NotFoundError, lambda: ask(config=slug))


@case
def virtual_keys_are_made_used_changed_and_deleted():
    keys = portkey().virtual_keys
    made = keys.create(name="From Python", provider="openai", key="sk-secret-of-mine", note="mine",
                       usage_limits={"credit_limit": 5, "type": "cost"}, custom_host=MOCK)
    slug = made["data"]["slug"]
    assert ask(virtual_key=slug).model
    got = str(keys.retrieve(slug=slug))
    assert "sk-secret-of-mine" not in got and "From Python" in got, got
    assert slug in [k["slug"] for k in members(keys.list())]
    keys.update(slug=slug, note="other", name="Renamed")
    assert "Renamed" in str(keys.retrieve(slug=slug))
    keys.delete(slug=slug)
    soon_raised(openai.APIStatusError, lambda: ask(virtual_key=slug))


@case
def guardrails_are_made_and_used():
    rails = portkey().guardrails
    made = rails.create(name="no lions", checks=[{"id": "default.contains", "parameters": {
        "operator": "none", "words": ["lion"]}}], actions={"deny": True, "async": False})
    slug = made["slug"] if made["slug"] else made["data"]["slug"]
    config = {"virtual_key": "oai", "input_guardrails": [slug]}
    assert ask(config=config).model
    e = raised(openai.APIStatusError, lambda: ask("a lion", config=config))
    assert e.status_code == 446, e
    assert "no lions" in str(rails.list()) and "no lions" in str(rails.retrieve(guardrail_id=slug))
    rails.update(guardrail_id=slug, name="lions welcome", checks=[{"id": "default.contains", "parameters": {
        "operator": "none", "words": ["tiger"]}}], actions={"deny": True, "async": False})
    def lions_pass():
        try:
            return ask("a lion", config=config).model
        except openai.APIStatusError:
            return False
    soon(lions_pass)
    rails.delete(guardrail_id=slug)
    soon_raised(openai.APIStatusError, lambda: ask(config=config))


@case
def logs_and_analytics_count_what_was_asked():
    now = time.gmtime()
    for i in range(3):
        ask(virtual_key="oai", trace_id="t-count", metadata={"_user": "counter", "n": str(i)})
    client = portkey()
    for _ in range(100):
        got = httpx.get(PKD + "/v1/logs", params={"trace_id": "t-count"}, headers={"x-portkey-api-key": KEY}).json()["data"]
        if len(got) == 3:
            break
        time.sleep(0.05)
    assert len(got) == 3 and {r["trace_id"] for r in got} == {"t-count"}, got
    day = time.strftime("%Y-%m-%dT00:00:00Z", now), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    graph = client.analytics.graphs.requests(time_of_generation_min=day[0], time_of_generation_max=day[1])
    assert json.loads(str(graph))["summary"]["total"] >= 3, graph
    groups = client.analytics.groups.ai_models(time_of_generation_min=day[0], time_of_generation_max=day[1])
    assert "gpt-4o-mini" in str(groups), groups
    for graph in "cost", "latency", "tokens", "users", "errors", "errors_rate", "cache_hit_rate", "requests_rescued":
        got = getattr(client.analytics.graphs, graph)(time_of_generation_min=day[0], time_of_generation_max=day[1])
        assert "data_points" in str(got), (graph, got)
    assert client.analytics.groups.users(time_of_generation_min=day[0], time_of_generation_max=day[1])
    assert client.analytics.groups.metadata(metadata_key="n", time_of_generation_min=day[0], time_of_generation_max=day[1])


@case
def async_clients_administer():
    async def play():
        client = portkey(kind=AsyncPortkey)
        made = await client.configs.create(name="async one", config={"virtual_key": "oai"})
        slug = made["data"]["slug"]
        listed = await client.configs.list()
        await client.configs.delete(slug=slug)
        return slug in [c["slug"] for c in members(listed)]

    assert asyncio.run(play())


@case
def api_keys_are_made_changed_and_deleted():
    keys = portkey().api_keys
    made = keys.create(name="From Python", type="organisation", sub_type="service",
                       scopes=["completions.write", "logs.list"], workspace_id="w1")
    assert made["key"].startswith("pk-") and made["id"], made
    mine = openai.OpenAI(api_key=made["key"], base_url=PKD + "/v1", max_retries=0, default_headers={"x-portkey-virtual-key": "oai"})
    assert mine.chat.completions.create(model="echo", messages=HELLO).choices
    admin = Portkey(api_key=made["key"], base_url=PKD + "/v1")
    e = raised(Exception, admin.configs.list)
    assert e.status_code in (401, 403), e
    assert made["id"] in str(keys.list()) and "From Python" in str(keys.retrieve(id=made["id"]))
    keys.update(id=made["id"], name="Renamed")
    assert "Renamed" in str(keys.retrieve(id=made["id"]))
    keys.delete(id=made["id"])
    soon_raised(openai.AuthenticationError, lambda: mine.chat.completions.create(model="echo", messages=HELLO))


end()
