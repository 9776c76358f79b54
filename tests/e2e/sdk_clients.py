"""What the cases of the Python SDKs share: clients of a running pkd, whose address is PKD, and a judge.

Every response of pkd to any SDK must name its trace; that is looked at below all clients.
"""
import json
import os
import sys
import traceback
import urllib.request

import anthropic
import httpx
import openai
from portkey_ai import Portkey, createHeaders

PKD, MOCK, KEY = (os.environ[name] for name in ("PKD", "MOCK", "KEY"))
HELLO = [{"role": "user", "content": "hello there"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}}]
failures = 0
nameless = []  # responses without a trace


def note(response):
    if str(response.url).startswith(PKD) and not response.headers.get("x-portkey-trace-id"):
        nameless.append(f"{response.request.method} {response.url} {response.status_code}")
    return response


def named(send):
    return lambda self, *args, **more: note(send(self, *args, **more))


def named_async(send):
    async def sent(self, *args, **more):
        return note(await send(self, *args, **more))
    return sent


httpx.Client.send = named(httpx.Client.send)
httpx.AsyncClient.send = named_async(httpx.AsyncClient.send)


def case(body):
    global failures
    name = body.__name__ + " (python)"
    nameless.clear()
    try:
        body()
        assert not nameless, f"no trace id: {nameless}"
        print("ok", name, flush=True)
    except Exception as e:
        failures += 1
        for line in traceback.format_exc().splitlines():
            print("#", line)
        print("not ok", name, "-", type(e).__name__, flush=True)


def end():
    sys.exit(failures != 0)


def of_openai(kind=openai.OpenAI, max_retries=0, timeout=None, **headers):
    return kind(api_key=KEY, base_url=PKD + "/v1", max_retries=max_retries, timeout=timeout,
                default_headers=createHeaders(**headers))


def of_anthropic(base=PKD, key="ant", kind=anthropic.Anthropic, max_retries=0, timeout=None):
    return kind(api_key=KEY, base_url=base, max_retries=max_retries, timeout=timeout,
                default_headers={"x-portkey-virtual-key": key})


def portkey(kind=Portkey, **options):
    return kind(api_key=KEY, base_url=PKD + "/v1", **options)


def raised(kind, call):
    try:
        call()
    except kind as e:
        return e
    raise AssertionError(f"no {kind.__name__}")


def mock_page(name):
    with urllib.request.urlopen(MOCK.removesuffix("/v1") + "/__mock/" + name, timeout=10) as f:
        return json.load(f)


def sent():
    """The body of the last request that reached the provider."""
    return json.loads(mock_page("last")["body"])
