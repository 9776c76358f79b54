"""The Python SDKs' own doings over HTTP: bodies of all kinds, retries, timeouts, errors, cancelled streams."""
import asyncio
import base64
import json
import tempfile
import time
import wave

import anthropic
import httpx
import openai
from portkey_ai import AsyncPortkey
from pydantic import BaseModel

from sdk_clients import HELLO, KEY, PKD, case, end, mock_page, of_anthropic, of_openai, portkey, raised, sent

OURS = {"x-portkey-api-key": KEY}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
# What ends a line for some reader of streams, and what JSON must escape.
ODD = "a\u2028b\u2029c\u0085d\u000be\u000cf\u001cg\u007fh\U0001f600i\"j\\k\r\nl</s>"


class Weather(BaseModel):
    city: str
    days: int


def user(content):
    return [{"role": "user", "content": content}]


@case
def answers_fill_classes():
    asked = user('{"city": "Oslo", "days": 3}')
    for key in "oai", "ant", "goo", "coh", "mis":
        choice = of_openai(virtual_key=key).chat.completions.parse(
            model="echo", messages=asked, response_format=Weather).choices[0]
        assert choice.message.parsed == Weather(city="Oslo", days=3), (key, choice)
    r = of_openai(virtual_key="oai").responses.parse(model="echo", input=asked, text_format=Weather)
    assert r.output_parsed == Weather(city="Oslo", days=3), r
    r = of_openai(virtual_key="oai").chat.completions.create(
        model="echo", messages=asked, response_format={"type": "json_object"})
    assert json.loads(r.choices[0].message.content)["days"] == 3
    assert sent()["response_format"] == {"type": "json_object"}


@case
def pictures_are_sent_on():
    content = [{"type": "text", "text": "what is it?"},
               {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL, "detail": "low"}}]
    for key in "oai", "ant", "goo", "coh", "mis":
        r = of_openai(virtual_key=key).chat.completions.create(model="echo", messages=user(content))
        assert "what is it?" in r.choices[0].message.content, (key, r)
        assert PIXEL in json.dumps(sent()), key
    assert of_openai(virtual_key="oai").chat.completions.create(
        model="echo", messages=user(content)) and sent()["messages"][0]["content"] == content
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    for key in "ant", "oai", "goo":
        r = of_anthropic(key=key).messages.create(model="echo", max_tokens=50, messages=user(
            [picture, {"type": "text", "text": "what is it?"}]))
        assert "what is it?" in r.content[0].text and PIXEL in json.dumps(sent()), key
    r = of_openai(virtual_key="oai").responses.create(model="echo", input=user(
        [{"type": "input_text", "text": "what is it?"},
         {"type": "input_image", "image_url": "data:image/png;base64," + PIXEL, "detail": "auto"}]))
    assert "what is it?" in r.output_text and PIXEL in json.dumps(sent()), r


@case
def lines_of_a_stream_end_where_they_should():
    for key in "oai", "ant", "goo", "coh", "mis":
        client = of_openai(virtual_key=key).chat.completions
        assert client.create(model="echo", messages=user(ODD)).choices[0].message.content == ODD, key
        chunks = client.create(model="echo", messages=user(ODD), stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == ODD, key
        with of_anthropic(key=key).messages.stream(model="echo", max_tokens=99, messages=user(ODD)) as s:
            assert s.get_final_text() == ODD, key
    events = of_openai(virtual_key="oai").responses.create(model="echo", input=ODD, stream=True)
    assert [e for e in events][-1].response.output_text == ODD
    body = {"model": "echo", "messages": user(ODD), "stream": True}
    for key in "oai", "ant":
        with httpx.stream("POST", PKD + "/v1/chat/completions", json=body,
                          headers={**OURS, "x-portkey-virtual-key": key}) as r:
            raw = r.read()
        lines = [line for line in raw.decode().splitlines() if line]  # ends lines at every one of them
        assert all(line.startswith("data: ") for line in lines), lines
        assert "".join(json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in lines[:-1]
                       if json.loads(line[6:])["choices"]) == ODD


@case
def raw_responses_have_headers():
    client = of_openai(virtual_key="oai", trace_id="t-raw", metadata={"a": "b"})
    r = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HELLO)
    h = r.headers
    assert (h["x-portkey-trace-id"], h["x-portkey-provider"], h["x-portkey-cache-status"]) == ("t-raw", "openai", "DISABLED"), h
    assert h["x-portkey-retry-attempt-count"] == "0" and h["x-portkey-last-used-option-index"] == "config", h
    assert int(h["x-pk-overhead-us"]) >= 0 and float(h["x-pk-cost-usd"]) > 0, h
    with client.chat.completions.with_streaming_response.create(model="echo", messages=HELLO, stream=True) as s:
        assert s.headers["content-type"].startswith("text/event-stream") and s.headers["x-portkey-trace-id"] == "t-raw"
        assert b"".join(s.iter_bytes()).endswith(b"data: [DONE]\n\n")
    r = of_anthropic().messages.with_raw_response.create(model="echo", max_tokens=9, messages=HELLO)
    assert r.headers["x-portkey-provider"] == "anthropic" and r.parse().content[0].text == "hello there"
    assert portkey(virtual_key="oai").chat.completions.create(model="echo", messages=HELLO).get_headers()["provider"] == "openai"


@case
def statuses_are_classes():
    oai, ant = of_openai(virtual_key="oai").chat.completions, of_anthropic().messages
    for status, name in ((400, "BadRequestError"), (401, "AuthenticationError"), (403, "PermissionDeniedError"),
                         (404, "NotFoundError"), (409, "ConflictError"), (422, "UnprocessableEntityError"),
                         (429, "RateLimitError"), (500, "InternalServerError"), (503, "InternalServerError")):
        e = raised(getattr(openai, name), lambda: oai.create(model=f"status-{status}", messages=HELLO))
        assert e.status_code == status and e.response.headers["x-portkey-trace-id"] and e.message, e
        e = raised(getattr(openai, name), lambda: oai.create(model=f"status-{status}", messages=HELLO, stream=True))
        assert e.status_code == status and isinstance(e.body, dict), e
        e = raised(getattr(anthropic, name), lambda: ant.create(model=f"status-{status}", max_tokens=5, messages=HELLO))
        assert e.body["type"] == "error" and e.body["error"]["type"] and e.body["error"]["message"], e.body


@case
def a_wrong_key_is_a_401():
    client = openai.OpenAI(api_key="pk-wrong", base_url=PKD + "/v1", max_retries=0)
    assert raised(openai.AuthenticationError, client.models.list).response.headers["x-portkey-trace-id"]
    e = raised(anthropic.AuthenticationError, lambda: anthropic.Anthropic(api_key="pk-wrong", base_url=PKD).messages.create(
        model="echo", max_tokens=5, messages=HELLO))
    assert e.body["error"]["type"] == "authentication_error", e.body
    e = raised(Exception, lambda: portkey(virtual_key="oai").copy(api_key="pk-wrong").chat.completions.create(
        model="echo", messages=HELLO))
    assert getattr(e, "status_code", None) == 401, e


@case
def a_blocked_call_is_a_446():
    config = {"virtual_key": "oai", "guardrails": {"input": [{"type": "contains", "deny": ["hello"], "action": "block"}]}}
    e = raised(openai.APIStatusError, lambda: of_openai(config=config, max_retries=2).chat.completions.create(
        model="echo", messages=HELLO))
    assert e.status_code == 446 and e.body, e
    e = raised(Exception, lambda: portkey(config=config).chat.completions.create(model="echo", messages=HELLO))
    assert getattr(e, "status_code", None) == 446, e
    e = raised(anthropic.APIStatusError, lambda: anthropic.Anthropic(
        api_key=KEY, base_url=PKD, default_headers={"x-portkey-config": json.dumps({**config, "virtual_key": "ant"})}
    ).messages.create(model="echo", max_tokens=5, messages=HELLO))
    assert e.status_code == 446 and e.body["type"] == "error", e


@case
def sdks_retry_and_obey_retry_after():
    for i, (wait, least) in enumerate((("retry-after=1", 1), ("retry-after-ms=300", 0.3))):
        client = of_openai(virtual_key="oai", max_retries=2).chat.completions
        started = time.monotonic()
        r = client.create(model=f"seq-429-200:{wait}:words={i + 1}", messages=HELLO)
        assert r.choices and least <= time.monotonic() - started < least + 3, time.monotonic() - started
    client = of_anthropic(max_retries=2).messages
    started = time.monotonic()
    assert client.create(model="seq-529-200:retry-after=1:words=3", max_tokens=9, messages=HELLO).content
    assert time.monotonic() - started >= 1
    e = raised(openai.RateLimitError, lambda: of_openai(virtual_key="oai").chat.completions.create(
        model="status-429:retry-after=7", messages=HELLO))
    assert e.response.headers["retry-after"] == "7", e.response.headers


def row_of(trace, good=lambda row: True):
    """The log row of a trace, once it is there and good; pkd's own API tells."""
    for _ in range(100):
        got = httpx.get(PKD + "/v1/logs", params={"trace_id": trace}, headers=OURS).json()["data"]
        if got and good(got[0]):
            return got[0]
        time.sleep(0.05)
    raise AssertionError(f"no such row of {trace}: {got}")


def upstream_is_quiet():
    for _ in range(60):
        if mock_page("stats")["in_flight"] == 0:
            return True
        time.sleep(0.02)
    return False


@case
def a_client_that_gives_up_ends_the_call():
    client = of_openai(virtual_key="oai", trace_id="t-impatient", timeout=0.3).chat.completions
    raised(openai.APITimeoutError, lambda: client.create(model="echo:d=5000", messages=HELLO))
    assert upstream_is_quiet()
    row_of("t-impatient", lambda row: row["status"] == "client_closed")
    e = raised(Exception, lambda: portkey(virtual_key="oai", request_timeout=1000).chat.completions.create(
        model="echo:d=5000", messages=HELLO))
    assert getattr(e, "status_code", None) == 408, e


@case
def a_stream_that_is_left_ends_upstream():
    client = of_openai(virtual_key="oai", trace_id="t-left").chat.completions
    with client.create(model="echo:words=500:tick=20", messages=HELLO, stream=True) as stream:
        for _, chunk in zip(range(3), stream):
            assert chunk.id
    assert upstream_is_quiet()
    row = row_of("t-left", lambda row: row["status"] == "client_closed")
    assert row["cost"] is None or row["cost"] >= 0, row
    with of_anthropic().messages.stream(model="echo:words=500:tick=20", max_tokens=999, messages=HELLO) as stream:
        next(iter(stream))
    assert upstream_is_quiet()


@case
def async_clients_stream_side_by_side():
    async def ask():
        oai = of_openai(kind=openai.AsyncOpenAI, virtual_key="oai")
        ant = of_anthropic(kind=anthropic.AsyncAnthropic)
        por = portkey(kind=AsyncPortkey, virtual_key="oai")

        async def of_chat(client):
            stream = await client.chat.completions.create(model="echo:tick=5", messages=HELLO, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

        async def of_messages():
            async with ant.messages.stream(model="echo:tick=5", max_tokens=9, messages=HELLO) as s:
                return await s.get_final_text()

        async def of_responses():
            return [e async for e in await oai.responses.create(model="echo:tick=5", input=HELLO, stream=True)][-1].response.output_text
        return await asyncio.gather(*[f for _ in range(15) for f in (
            of_chat(oai), of_chat(por), of_messages(), of_responses())])

    assert set(asyncio.run(ask())) == {"hello there"}


@case
def an_async_task_that_is_cancelled_ends_upstream():
    async def ask():
        client = of_openai(kind=openai.AsyncOpenAI, virtual_key="oai", trace_id="t-cancelled")
        task = asyncio.create_task(client.chat.completions.create(model="echo:d=5000", messages=HELLO))
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(ask())
    assert upstream_is_quiet()
    row_of("t-cancelled", lambda row: row["status"] == "client_closed")


@case
def plain_http_is_enough():
    h = {**OURS, "x-portkey-virtual-key": "oai", "x-portkey-trace-id": "t-httpx"}
    with httpx.Client(base_url=PKD, headers=h) as client:
        r = client.post("/v1/chat/completions", json={"model": "echo", "messages": HELLO})
        assert r.json()["choices"][0]["message"]["content"] == "hello there" and r.headers["x-portkey-trace-id"] == "t-httpx"
        with client.stream("POST", "/v1/chat/completions", json={"model": "echo", "messages": HELLO, "stream": True}) as s:
            lines = [line for line in s.iter_lines() if line]
        assert lines[-1] == "data: [DONE]" and all(line.startswith("data: ") for line in lines), lines
        for method, path, status in (("GET", "/v1/models", 200), ("GET", "/v1/nothing/here", None),
                                     ("POST", "/v1/chat/completions", 400), ("POST", "/v1/feedback", 400)):
            r = client.request(method, path, content=b"{" if method == "POST" else None)
            assert r.headers["x-portkey-trace-id"] and status in (None, r.status_code), (method, path, r.status_code)
    r = httpx.post(PKD + "/v1/chat/completions", json={"model": "echo", "messages": HELLO}, headers={"x-portkey-virtual-key": "oai"})
    assert r.status_code == 401 and r.headers["x-portkey-trace-id"]


@case
def portkey_speaks_of_everything_else():
    client = portkey(virtual_key="oai")
    vector = client.embeddings.create(model="embed-test", input="hello there", dimensions=8, encoding_format="float")
    assert len(vector.data[0].embedding) == 8, vector
    assert client.moderations.create(input="I will kill it").results[0].flagged
    assert client.images.generate(model="gpt-image-1", prompt="a cat").data[0].b64_json == "a cat"
    assert client.audio.speech.create(model="tts-1", voice="alloy", input="one two").read() == b"one two"
    with tempfile.NamedTemporaryFile(suffix=".wav") as sound:  # this SDK looks how long it lasts
        with wave.open(sound.name, "wb") as w:
            w.setparams((1, 2, 8000, 0, "NONE", None))
            w.writeframes(bytes(1000 - 44))
        assert client.audio.transcriptions.create(model="gpt-4o-transcribe", file=sound.file).text.startswith("1000 bytes")
    file = client.files.create(file=("r.jsonl", b'{"custom_id":"1"}\n'), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.retrieve(batch.id).status == "completed"
    assert any(m.id == "gpt-4o-mini" for m in client.models.list().data)
    assert client.responses.create(model="echo", input="hello there").output_text == "hello there"
    assert client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi").choices[0].text == "hi"
    asked = client.with_options(metadata={"step": "2"}, trace_id="t-options").chat.completions.create(model="echo", messages=HELLO)
    assert asked.get_headers()["trace-id"] == "t-options"
    row = row_of("t-options")
    assert row["metadata"]["step"] == "2", row
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    for stream in client.chat.completions.create(model="tool-call", messages=HELLO, tools=tools, stream=True):
        last = stream
    assert last.choices == [] or last.choices[0].finish_reason == "tool_calls", last


@case
def models_are_listed_for_every_sdk():
    ids = {m.id for m in of_openai(virtual_key="oai").models.list()}
    assert "gpt-4o-mini" in ids
    assert of_openai(virtual_key="oai").models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"
    assert ids >= {m.id for m in of_anthropic().models.list()} != set()


end()
