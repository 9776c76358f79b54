"""The Python SDKs against a running pkd; tests/e2e/sdk.py starts it. PKD is its address."""
import asyncio
import json

import anthropic
import openai
from portkey_ai import AsyncPortkey, createHeaders

from sdk_clients import HELLO, KEY, MOCK, PKD, TOOLS, case, end, of_anthropic, of_openai, portkey, raised

FALLBACK = {"strategy": {"mode": "fallback"}, "cache": {"mode": "simple", "max_age": 60},
            "targets": [{"virtual_key": "oai-down"}, {"virtual_key": "oai"}]}


@case
def openai_reads_answers_by_key_provider_and_model():
    for client, model in ((of_openai(virtual_key="oai"), "gpt-4o"),
                          (of_openai(provider="@oai"), "gpt-4o"),
                          (openai.OpenAI(api_key=KEY, base_url=PKD + "/v1"), "@oai/gpt-4o"),
                          (of_openai(virtual_key="ant"), "claude-haiku-4-5")):
        r = client.chat.completions.create(model=model, messages=HELLO)
        assert r.choices[0].message.content == "hello there"
        assert r.usage.total_tokens == 4


@case
def openai_reads_streams_and_their_usage():
    for key in "oai", "ant":
        stream = of_openai(virtual_key=key).chat.completions.create(
            model="echo", messages=HELLO, stream=True, stream_options={"include_usage": True})
        chunks = list(stream)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == "hello there" and chunks[-1].usage.completion_tokens == 2


@case
def openai_reads_tool_calls():
    for key in "oai", "ant":
        for stream in False, True:
            client = of_openai(virtual_key=key).chat.completions
            if stream:
                with client.stream(model="tool-call", messages=HELLO, tools=TOOLS) as s:
                    choice = s.get_final_completion().choices[0]
            else:
                choice = client.create(model="tool-call", messages=HELLO, tools=TOOLS).choices[0]
            assert choice.finish_reason == "tool_calls"
            assert choice.message.tool_calls[0].function.name == "weather"


@case
def openai_raises_its_own_errors():
    create = of_openai(virtual_key="oai").chat.completions.create
    for status, kind in ((400, openai.BadRequestError), (401, openai.AuthenticationError),
                         (404, openai.NotFoundError), (429, openai.RateLimitError),
                         (503, openai.InternalServerError)):
        e = raised(kind, lambda: create(model=f"status-{status}", messages=HELLO))
        assert e.status_code == status and str(status) in e.message
    for config, kind, says in (("nope", openai.NotFoundError, 'config "nope"'),
                               ({"virtual_key": "oai", "retry": {"attempts": 9}},
                                openai.BadRequestError, "retry.attempts: must be 0..5")):
        e = raised(kind, lambda: of_openai(config=config).chat.completions.create(
            model="m", messages=HELLO))
        assert says in e.message
    e = raised(openai.APIStatusError, lambda: of_openai(
        virtual_key="oai", request_timeout="50ms").chat.completions.create(
            model="echo:d=2000", messages=HELLO))
    assert e.status_code == 408


@case
def openai_hears_of_a_stream_that_was_cut():
    stream = of_openai(virtual_key="oai").chat.completions.create(
        model="drop-mid:words=20", messages=HELLO, stream=True)
    raised(openai.APIError, lambda: list(stream))


@case
def openai_lists_models():
    assert any(m.id == "gpt-4o-mini" for m in of_openai(virtual_key="oai").models.list())


@case
def openai_async_clients_share_the_gateway():
    async def ask():
        async with openai.AsyncOpenAI(api_key=KEY, base_url=PKD + "/v1",
                                      default_headers=createHeaders(virtual_key="oai")) as client:
            return await asyncio.gather(*[client.chat.completions.create(
                model="echo:d=20", messages=HELLO) for _ in range(20)])

    assert len(asyncio.run(ask())) == 20


@case
def anthropic_reads_answers_streams_and_tools_at_both_bases():
    for base in PKD, PKD + "/v1":
        messages = of_anthropic(base).messages
        r = messages.create(model="claude-haiku-4-5", max_tokens=50, messages=HELLO)
        assert r.content[0].text == "hello there" and r.usage.output_tokens == 2
        with messages.stream(model="claude-haiku-4-5", max_tokens=50, messages=HELLO) as s:
            assert s.get_final_text() == "hello there"
        tools = [{"name": "weather", "input_schema": TOOLS[0]["function"]["parameters"]}]
        r = messages.create(model="tool-call", max_tokens=50, messages=HELLO, tools=tools)
        assert r.stop_reason == "tool_use" and r.content[-1].name == "weather"


@case
def anthropic_raises_its_own_errors():
    for status, kind in ((400, anthropic.BadRequestError), (429, anthropic.RateLimitError),
                         (529, anthropic.InternalServerError)):
        e = raised(kind, lambda: of_anthropic().messages.create(
            model=f"status-{status}", max_tokens=5, messages=HELLO))
        assert e.status_code == status and e.body["type"] == "error"
    e = raised(anthropic.BadRequestError, lambda: of_anthropic(key="nope").messages.create(
        model="m", max_tokens=5, messages=HELLO))
    assert 'none called "nope"' in e.body["error"]["message"]


OTHERS = {"oai": "gpt-4o", "goo": "gemini-3-pro-preview", "coh": "command-a-03-2025"}
ANT_TOOLS = [{"name": "weather", "input_schema": TOOLS[0]["function"]["parameters"]}]


@case
def anthropic_reads_answers_and_streams_of_other_providers():
    for key in OTHERS:
        messages = of_anthropic(key=key).messages
        r = messages.create(model="echo", max_tokens=50, system="be brief", messages=HELLO)
        assert (r.type, r.role, r.content[0].text) == ("message", "assistant", "hello there"), r
        assert r.id.startswith("msg_") and r.stop_reason == "end_turn", r
        assert (r.usage.input_tokens, r.usage.output_tokens) == (4, 2), r.usage
        with messages.stream(model="echo:reasoning=3:cached=1", max_tokens=50, messages=HELLO) as s:
            kinds = [e.type for e in s]
            final = s.get_final_message()
        assert kinds[0] == "message_start" and kinds[-1] == "message_stop", kinds
        assert s.get_final_text() == "hello there" and final.stop_reason == "end_turn", final
        assert final.usage.output_tokens >= 2, final.usage
        r = messages.create(model="echo:words=9", max_tokens=2, messages=HELLO)
        assert r.stop_reason in ("max_tokens", "end_turn"), r


@case
def anthropic_uses_tools_of_other_providers():
    for key in OTHERS:
        messages = of_anthropic(key=key).messages
        asked = dict(max_tokens=50, tools=ANT_TOOLS, tool_choice={"type": "auto"})
        r = messages.create(model="tool-call", messages=HELLO, **asked)
        call = r.content[-1]
        assert r.stop_reason == "tool_use" and call.type == "tool_use", r
        assert call.name == "weather" and isinstance(call.input, dict) and call.input, r
        with messages.stream(model="tool-call", messages=HELLO, **asked) as s:
            streamed = s.get_final_message()
        assert streamed.content[-1].input == call.input and streamed.stop_reason == "tool_use", streamed
        r = messages.create(model=OTHERS[key], messages=HELLO + [
            {"role": "assistant", "content": streamed.content},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": streamed.content[-1].id,
                 "content": [{"type": "text", "text": "12 degrees"}]},
                {"type": "text", "text": "so?"}]}], **asked)
        assert r.stop_reason == "end_turn" and r.content[0].text, r


@case
def anthropic_hears_of_other_providers_errors():
    for key in OTHERS:
        messages = of_anthropic(key=key).messages
        for status, kind, name in ((400, anthropic.BadRequestError, "invalid_request_error"),
                                   (401, anthropic.AuthenticationError, "authentication_error"),
                                   (404, anthropic.NotFoundError, "not_found_error"),
                                   (429, anthropic.RateLimitError, "rate_limit_error"),
                                   (503, anthropic.InternalServerError, "api_error")):
            e = raised(kind, lambda: messages.create(model=f"status-{status}", max_tokens=5, messages=HELLO))
            assert e.body["type"] == "error" and e.body["error"]["type"] == name, (key, status, e.body)
        raised(anthropic.APIError, lambda: list(messages.create(
            model="drop-mid:words=20", max_tokens=50, messages=HELLO, stream=True)))


@case
def anthropic_counts_tokens():
    for key in ["ant", *OTHERS]:
        r = of_anthropic(key=key).messages.with_raw_response.count_tokens(
            model="echo", system="be brief", messages=HELLO, tools=ANT_TOOLS)
        assert (r.headers.get("x-pk-token-count") == "estimated") == (key != "ant"), (key, r.headers)
        assert r.parse().input_tokens == 4 if key == "ant" else 10 < r.parse().input_tokens < 100, r.parse()


@case
def anthropic_falls_back_to_another_provider():
    config = {"strategy": {"mode": "fallback"}, "cache": {"mode": "simple", "max_age": 60}, "targets": [
        {"virtual_key": "ant-down", "override_params": {"model": "claude-sonnet-4-6"}},
        {"virtual_key": "oai", "override_params": {"model": "gpt-4o"}}]}
    client = anthropic.Anthropic(api_key="dummy", base_url=PKD, max_retries=0,
                                 default_headers=createHeaders(api_key=KEY, config=config))
    asked = dict(model="claude-sonnet-4-6", max_tokens=512, system="You are concise.",
                 messages=[{"role": "user", "content": "What is a vector database?"}])
    seen = [client.messages.with_raw_response.create(**asked) for _ in range(2)]
    assert [r.headers["x-portkey-last-used-option-index"] for r in seen[:1]] == ["config.targets[1]"]
    assert [r.headers["x-portkey-cache-status"] for r in seen] == ["MISS", "HIT"]
    for r in seen:
        assert r.parse().content[0].text == "What is a vector database?"
    with client.messages.stream(**asked) as s: # of the cache, as events
        assert s.get_final_text() == "What is a vector database?"


@case
def claude_code_is_answered_by_another_provider():
    for key in OTHERS:
        with of_anthropic(key=key).beta.messages.stream(
                model=OTHERS[key], max_tokens=32000, betas=["claude-code-20250219", "interleaved-thinking-2025-05-14"],
                system=[{"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}],
                thinking={"type": "enabled", "budget_tokens": 4096},
                metadata={"user_id": "user_" + "a" * 64 + "_account__session_1"},
                context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
                tools=[{**ANT_TOOLS[0], "cache_control": {"type": "ephemeral"}},
                       {"type": "web_search_20250305", "name": "web_search"}],
                messages=[{"role": "user", "content": [{"type": "text", "text": "look"}]},
                          {"role": "assistant", "content": [
                              {"type": "thinking", "thinking": "Hm.", "signature": ""},
                              {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}]},
                          {"role": "user", "content": [
                              {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True,
                               "content": [{"type": "text", "text": "no such city"}]},
                              {"type": "text", "text": "and now?", "cache_control": {"type": "ephemeral"}}]}]) as s:
            assert s.get_final_message().content[-1].text, key


FLAT = {"type": "function", **TOOLS[0]["function"]}
RESPONDERS = {"oai": "gpt-4o", "ant": "claude-haiku-4-5", "mis": "mistral-large", **OTHERS}


@case
def openai_responses_of_every_provider():
    for key in RESPONDERS:
        responses = of_openai(virtual_key=key).responses
        r = responses.create(model="echo", input="hello there", instructions="be brief", metadata={"a": "b"})
        assert (r.object, r.status, r.output_text) == ("response", "completed", "hello there"), r
        assert r.id.startswith("resp_") and r.output[0].id.startswith("msg_"), r
        assert (r.usage.input_tokens, r.usage.output_tokens, r.usage.total_tokens) == (4, 2, 6), r.usage
        events = list(responses.create(model="echo", input=HELLO, stream=True))
        assert [e.sequence_number for e in events] == list(range(len(events))), key
        kinds = [e.type for e in events]
        assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "hello there"
        assert events[-1].response.output_text == "hello there", events[-1]
        with responses.stream(model="echo:words=3", input="x") as s:
            for e in s:
                pass
            assert s.get_final_response().output_text, key


@case
def openai_responses_use_tools_of_every_provider():
    for key in RESPONDERS:
        responses = of_openai(virtual_key=key).responses
        r = responses.create(model="tool-call", input="weather?", tools=[FLAT], tool_choice="auto")
        call = r.output[-1]
        assert (call.type, call.name) == ("function_call", "weather") and json.loads(call.arguments), r
        with responses.stream(model="tool-call", input="weather?", tools=[FLAT]) as s:
            for e in s:
                pass
            final = s.get_final_response()
        assert json.loads(final.output[-1].arguments) == json.loads(call.arguments), final
        r = responses.create(model=RESPONDERS[key], tools=[FLAT], store=False, input=[
            {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
            *[i.to_dict() for i in final.output],
            {"type": "function_call_output", "call_id": final.output[-1].call_id, "output": "12 degrees"},
            {"role": "user", "content": "so?"}])
        assert r.output_text == "so?", r


@case
def openai_responses_say_what_is_wrong():
    for key in RESPONDERS:
        responses = of_openai(virtual_key=key).responses
        for status, kind in ((400, openai.BadRequestError), (429, openai.RateLimitError),
                             (503, openai.InternalServerError)):
            e = raised(kind, lambda: responses.create(model=f"status-{status}", input="x"))
            assert e.status_code == status, e
        raised(openai.APIError, lambda: list(responses.create(model="drop-mid:words=20", input="x", stream=True)))
        if key == "oai":
            continue
        for more, names in (({"previous_response_id": "resp_1"}, "previous_response_id"),
                            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
                            ({"background": True}, "background")):
            e = raised(openai.BadRequestError, lambda: responses.create(model="echo", input="x", **more))
            assert names in e.message, e
        r = responses.create(model="echo", input="x", store=True)
        assert r.status == "completed", r


@case
def portkey_falls_back_and_hits_the_cache():
    client = portkey(config=FALLBACK)
    first, second = [client.chat.completions.create(model="gpt-4o", messages=HELLO).get_headers()
                     for _ in range(2)]
    assert first["last-used-option-index"] == "config.targets[1]"
    assert (first["cache-status"], second["cache-status"]) == ("MISS", "HIT")


@case
def portkey_options_and_feedback_meet_in_the_log():
    client = portkey(virtual_key="oai")
    r = client.with_options(trace_id="trace-python", metadata={"_user": "u1", "env": "test"}) \
        .chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert r.get_headers()["trace-id"] == "trace-python"
    f = client.feedback.create(trace_id="trace-python", value=5, weight=0.5)
    assert f.status == "success" and len(f.feedback_ids) == 1
    raised(Exception, lambda: client.feedback.create(trace_id="trace-python", value=11))


VARIABLES = {"tone": "kind", "words": 'a "b"\nc', "from": "me"}


@case
def portkey_completes_prompts_and_streams_them():
    create = portkey().prompts.completions.create
    r = create(prompt_id="pp-greet", variables=VARIABLES)
    assert r.choices[0].message.content == 'Say "a "b"\nc" -- me' and r.usage.total_tokens > 0
    text = "".join(c.choices[0].delta.content or "" for c in create(
        prompt_id="pp-greet@latest", variables=VARIABLES, stream=True) if c.choices)
    assert text == 'Say "a "b"\nc" -- me'
    r = create(prompt_id="pp-greet@1", variables=VARIABLES, model="body-echo", temperature=1, top_p=0.5,
               max_tokens=7)
    body = json.loads(r.choices[0].message.content)
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (1, 0.5, 7)
    assert "variables" not in body and "top_k" not in body, body


@case
def portkey_prompts_say_what_is_missing():
    e = raised(Exception, lambda: portkey().prompts.completions.create(
        prompt_id="pp-greet", variables={"tone": "x"}))
    assert e.status_code == 400 and "missing variables: words, from" in str(e), e
    e = raised(Exception, lambda: portkey().prompts.completions.create(prompt_id="pp-nobody", variables={}))
    assert e.status_code == 404, e


@case
def portkey_renders_prompts():
    r = portkey().prompts.render(prompt_id="pp-greet", variables=VARIABLES, temperature=0.25)
    assert r.success and r.data.model == "echo" and r.data.temperature == 0.25 and r.data.max_tokens == 99
    assert [m.content for m in r.data.messages] == ["Be kind.", 'Say "a "b"\nc" -- me']


@case
def portkey_administers_prompts_and_partials():
    prompts = portkey().prompts
    made = prompts.create(name="Sum Up, please", collection_id="c1", string="Sum up: {{text}}", model="echo",
                          parameters={"temperature": 0.1}, virtual_key="oai", version_description="first")
    assert (made.id, made.slug, made.version_id) == ("pp-sum-up-please",) * 2 + ("pp-sum-up-please@1",), made
    assert prompts.create(name="Sum Up, please", collection_id="c1", string="x",
                          parameters={}).slug == "pp-sum-up-please-2"
    got = prompts.retrieve(made.slug)
    assert (got.string, got.parameters, got.model, got.virtual_key, got.prompt_version, got.status) == (
        "Sum up: {{text}}", {"temperature": 0.1}, "echo", "oai", 1, "active"), got
    assert (got.name, got.collection_id, got.prompt_version_description) == ("Sum Up, please", "c1", "first")
    tools = [{"type": "function", "function": {"name": "f"}}]
    put = prompts.update(made.slug, string="In short: {{text}}", tools=tools)
    assert put.prompt_version_id == made.slug + "@2", put
    got = prompts.retrieve(made.slug)
    assert (got.prompt_version, got.string, got.tools, got.virtual_key) == (
        2, "In short: {{text}}", tools, "oai"), got
    prompts.publish(made.slug, version=1)
    say = lambda ref: prompts.completions.create(prompt_id=ref, variables={"text": "t"}).choices[0].message.content
    assert (say(made.slug), say(made.slug + "@latest")) == ("Sum up: t", "In short: t")
    prompts.versions.update(made.slug, made.slug + "@2", label_id="staging")
    assert say(made.slug + "@staging") == "In short: t"
    listed = prompts.versions.list(made.slug)
    assert [(v["prompt_version"], v["label_id"]) for v in listed.data] == [(2, "staging"), (1, None)], listed
    assert prompts.versions.retrieve(made.slug, "1").prompt_version == 1
    found = prompts.list(search="sum-up", page_size=1)
    assert found.total == 2 and [p["slug"] for p in found.data] == [made.slug], found
    prompts.delete(made.slug)
    raised(Exception, lambda: prompts.retrieve(made.slug))

    partials = prompts.partials
    footer = partials.create(name="Footer", string="-- {{who}}", version_description="d")
    assert footer.version_id == "pp-footer@1", footer
    prompts.create(name="Letter", collection_id="c", string="Dear, {{>pp-footer}}", parameters={})
    render = lambda: prompts.render(prompt_id="pp-letter", variables={"who": "me"}).data.messages[0].content
    assert render() == "Dear, -- me"
    assert partials.update("pp-footer", string="== {{who}}").prompt_partial_version_id == "pp-footer@2"
    assert render() == "Dear, == me"
    partials.publish("pp-footer", version=1)
    assert render() == "Dear, -- me" and partials.retrieve("pp-footer").string == "-- {{who}}"
    assert [v["version"] for v in partials.versions.list("pp-footer").data] == ["2", "1"]
    assert any(p["slug"] == "pp-footer" for p in partials.list().data)
    e = raised(Exception, lambda: partials.delete("pp-footer"))
    assert "409" in str(e) and "pp-letter" in str(e), e
    prompts.delete("pp-letter")
    partials.delete("pp-footer")
    assert not any(p["slug"] == "pp-footer" for p in partials.list().data)


@case
def openai_embeds_with_every_provider():
    texts, vectors = ["hello there", "another"], {}
    for key in "oai", "goo", "coh", "mis", "voy":
        for format_ in {}, {"encoding_format": "float"}:  # without one it asks for base64
            answer = of_openai(virtual_key=key).embeddings.create(
                model="embed-test", input=texts, dimensions=8, **format_)
            assert [d.index for d in answer.data] == [0, 1] and answer.usage.prompt_tokens >= 0, answer
            assert all(isinstance(x, float) for d in answer.data for x in d.embedding), answer
            for got, wanted in zip(answer.data, vectors.setdefault("first", answer.data)):
                assert all(abs(a - b) < 1e-6 for a, b in zip(got.embedding, wanted.embedding, strict=True)), key
    assert of_openai(virtual_key="oai").moderations.create(input="I will kill it").results[0].flagged
    assert isinstance(raised(openai.BadRequestError, lambda: of_openai(virtual_key="ant").embeddings.create(
        model="m", input="x")).body, dict)


@case
def openai_holds_realtime_sessions():
    with of_openai(virtual_key="oai").realtime.connect(model="gpt-realtime") as session:
        session.response.create()
        done = next(e for e in session if e.type == "response.done")
        assert done.response.usage.total_tokens == 30, done
    e = raised(Exception, of_openai(virtual_key="oai").realtime.connect(model="status-429").enter)
    assert "429" in str(e), e

    async def ask():
        client = openai.AsyncOpenAI(api_key=KEY, base_url=PKD + "/v1",
                                    default_headers=createHeaders(virtual_key="oai"))
        async with client.realtime.connect(model="gpt-realtime") as other:
            await other.response.create()
            async for event in other:
                if event.type == "response.done":
                    return event.response.usage.output_tokens

    assert asyncio.run(ask()) == 10


@case
def openai_makes_images_sounds_files_and_batches():
    client = of_openai(virtual_key="oai")
    assert client.images.generate(model="gpt-image-1", prompt="a cat", n=2).data[1].b64_json == "a cat"
    with client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="one two") as sound:
        assert b"".join(sound.iter_bytes()) == b"one two"
    heard = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", b"x" * 1000))
    assert heard.text.startswith("1000 bytes"), heard
    pieces = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", b"x" * 10), stream=True)
    assert list(pieces)[-1].type == "transcript.text.done"
    file = client.files.create(file=("r.jsonl", b'{"custom_id":"1"}\n'), purpose="batch")
    assert client.files.content(file.id).read() == b'{"custom_id":"1"}\n'
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = client.batches.retrieve(batch.id)
    assert done.status == "completed" and client.files.content(done.output_file_id).text
    assert client.files.delete(file.id).deleted
    raised(openai.NotFoundError, lambda: client.files.retrieve(file.id))
    assert client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi").choices[0].text == "hi"
    text = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="one two", stream=True)
    assert "".join(c.choices[0].text for c in text) == "one two"


@case
def azure_openai_asks_with_its_own_paths():
    for base in PKD, PKD + "/v1":
        for own, model in ({}, "gpt-4o"), ({"azure_deployment": "dep"}, "dep"):
            client = openai.AzureOpenAI(azure_endpoint=base, api_version="2024-10-21", api_key=KEY,
                                        default_headers=createHeaders(virtual_key="oai"), **own)
            r = client.chat.completions.create(model="gpt-4o", messages=HELLO)
            assert r.model == model and r.choices[0].message.content == "hello there", r
            stream = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
            assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "hello there"
            assert client.embeddings.create(model="e", input="x").data[0].embedding
            assert client.responses.create(model="m", input="hello there").output_text == "hello there"
            assert client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"abc")).text

@case
def openai_reaches_any_path_by_the_proxy():
    client = of_openai(virtual_key="oai")
    sent = client.post("/anything/at/all", body={"a": 1}, cast_to=object, options={"params": {"q": "x"}})
    assert sent["path"].endswith("/anything/at/all?q=x") and json.loads(sent["body"]) == {"a": 1}, sent
    e = raised(openai.APIStatusError, lambda: client.get("/anything?status=418&bytes=3", cast_to=object))
    assert e.status_code == 418 and e.response.text == "xxx"
    r = portkey(virtual_key="oai").post("/anything/else", a=1)
    assert r, r


@case
def portkey_passes_provider_key_host_and_headers():
    r = portkey(provider="openai", Authorization="Bearer sk-mine", custom_host=MOCK,
                forward_headers=["x-mine"]).chat.completions.create(
                    model="headers-echo", messages=HELLO, extra_headers={"x-mine": "1", "x-other": "2"})
    sent = r.choices[0].message.content.splitlines()
    assert "authorization: Bearer sk-mine" in sent and "x-mine: 1" in sent
    assert not any(h.startswith(("x-other", "x-portkey")) for h in sent)


@case
def portkey_async_clients_stream():
    async def ask():
        client = AsyncPortkey(api_key=KEY, base_url=PKD + "/v1", virtual_key="oai")
        stream = await client.chat.completions.create(model="echo", messages=HELLO, stream=True)
        return [c async for c in stream]

    assert len(asyncio.run(ask())) >= 3


end()
