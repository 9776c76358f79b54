"""The front doors beside chat completions, before providers of every dialect: cases like those of special.py."""
import json

SAID = "hello big world"
BACKS = ("to", "claude", "gemini", "cohere")


def messages(stream=False):
    return "/v1/messages", {"model": "x", "max_tokens": 50, "stream": stream,
                            "messages": [{"role": "user", "content": SAID}]}


def responses(stream=False):
    return "/v1/responses", {"model": "x", "stream": stream, "input": SAID}


def text_of(answer):
    if "content" in answer:
        return "".join(b.get("text", "") for b in answer["content"])
    return "".join(p.get("text", "") for i in answer["output"] for p in i.get("content", []))


def events_of(body):
    return [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: ")]


def text_of_events(events):
    said = [e["delta"] for e in events if e["type"] in ("content_block_delta", "response.output_text.delta")]
    return "".join(d if isinstance(d, str) else d.get("text", "") for d in said)


def is_end(event):
    return event.get("type") in ("message_stop", "response.completed", "response.incomplete")


def each(e):
    """(what asks, a config for a back) for every front and back."""
    for front in messages, responses:
        for back in BACKS:
            yield front, lambda model=None, back=back, **more: getattr(e, back)(model or "echo", **more)


def ask(door, config, front, stream=False, **headers):
    path, body = front(stream)
    status, got, text = door.request(path, body, {"x-portkey-config": json.dumps(config), **headers})
    return status, {k.lower(): v for k, v in dict(got).items()}, text.decode()


def fronts_and_backs(door, e, mock):
    """every front before every back: an answer and a stream say the same, and are logged alike"""
    for front, back in each(e):
        rows = []
        for stream in False, True:
            trace = f"front-{front.__name__}-{back()['provider']}-{stream}"
            status, _, text = ask(door, back(), front, stream, **{"x-portkey-trace-id": trace})
            said = text_of_events(events_of(text)) if stream else text_of(json.loads(text))
            row = door.row(trace)
            rows.append({k: row[k] for k in ("operation", "provider", "model", "input_tokens", "output_tokens",
                                             "cost_usd", "status", "finish_reason", "http_status")})
            if status != 200 or said != SAID or text_of(row["response"]) != SAID:
                return print("#", trace, status, text, row)
        if rows[0] != rows[1] or rows[0]["input_tokens"] != 3 or rows[0]["operation"] != front.__name__:
            return print("#", rows)
    return True


def fronts_hear_of_broken_streams(door, e, mock):
    """a stream that breaks ends with an error event in every front, never with a clean end"""
    for front, back in each(e):
        for model in "drop-mid:words=20", "error-mid-stream:tick=20:words=9", "truncated-json:tick=20":
            _, _, text = ask(door, back(model), front, True)
            last = events_of(text)[-1] if events_of(text) else json.loads(text) # nothing had been said yet
            if is_end(last) or "error" not in last:
                return print("#", front.__name__, back()["provider"], model, text)
    return True


def fronts_and_the_cache(door, e, mock):
    """what one client was told is replayed from the cache to the next, whole and as a stream"""
    for front, back in each(e):
        config = back(cache={"mode": "simple", "max_age": 60, "namespace": front.__name__ + back()["provider"]})
        for stream in False, True:
            told = []
            for expected in "MISS", "HIT":
                status, headers, text = ask(door, config, front, stream)
                told.append(text_of_events(events_of(text)) if stream else text_of(json.loads(text)))
                if headers["x-portkey-cache-status"] != expected and not stream:
                    return print("#", front.__name__, config, headers)
            if told != [SAID] * 2 or (stream and not is_end(events_of(text)[-1])):
                return print("#", front.__name__, config, told, text)
    return True


def fronts_and_guardrails(door, e, mock):
    """guardrails block, warn, redact and replace in every front's own shape"""
    for front, back in each(e):
        def asked(stream=False, **guards):
            return ask(door, back(**guards), front, stream)

        check = {"type": "contains", "deny": ["big"], "id": "g", "message": "no such word"}
        for phase in "input", "output":
            status, _, text = asked(guardrails={phase: [{**check, "action": "block"}]})
            error = json.loads(text)
            if status != 446 or error["error"]["message"] != "no such word" or "hook_results" not in error:
                return print("#", front.__name__, phase, status, text)
            status, _, text = asked(guardrails={phase: [{**check, "action": "warn"}]})
            if status != 246 or text_of(json.loads(text)) != SAID or "hook_results" not in json.loads(text):
                return print("#", front.__name__, phase, status, text)
            status, _, text = asked(guardrails={phase: [{**check, "action": "replace"}]})
            if text_of(json.loads(text)) != "no such word":
                return print("#", front.__name__, phase, status, text)
        words = {"type": "contains", "words": ["big"], "operator": "none", "action": "redact"}
        for stream in False, True:
            for phase in "input", "output":
                status, _, text = asked(stream, guardrails={phase: [{**words, "id": "r"}]})
                said = text_of_events(events_of(text)) if stream else text_of(json.loads(text))
                if "big" in said or not said.startswith("hello") or (stream and not is_end(events_of(text)[-1])):
                    return print("#", front.__name__, phase, stream, text)
        status, _, text = asked(True, guardrails={"output": [{**check, "action": "block"}]})
        if is_end(events_of(text)[-1] if events_of(text) else json.loads(text)):
            return print("#", front.__name__, text)
    return True


def fronts_say_what_was_dropped(door, e, mock):
    """what a provider is not sent is told in the client's own words, or refused when the client is strict"""
    asked = {"model": "x", "max_tokens": 9, "top_k": 4, "metadata": {"user_id": "u" * 65}, "bad\r\nx-evil: 1": 2,
             "messages": [{"role": "user", "content": SAID}]}
    for value, want in ("false", 200), ("true", 400), ("maybe", 400):
        status, headers, text = door.request("/v1/messages", asked, {
            "x-portkey-config": json.dumps(e.to("echo")), "x-pk-strict-params": value})
        headers = {k.lower(): v for k, v in dict(headers).items()}
        if status != want or "x-evil" in headers:
            return print("#", value, status, headers, text)
        dropped = headers.get("x-pk-dropped-params", "")
        if want == 200 and not dropped.startswith("top_k, metadata.user_id, bad"):
            return print("#", headers)
        if value == "true" and "top_k" not in json.loads(text)["error"]["message"]:
            return print("#", text)
    return True


def betas_reach_anthropic(door, e, mock):
    """anthropic-beta goes to a provider of that dialect and to no other, and two betas share no answer"""
    cache = {"mode": "simple", "max_age": 60, "namespace": "betas"}
    for beta, expected in ("a-1,b-2", "MISS"), ("a-1,b-2", "HIT"), ("c-3", "MISS"):
        _, headers, _ = ask(door, e.claude("echo", cache=cache), messages, **{"anthropic-beta": beta})
        if headers["x-portkey-cache-status"] != expected or (
                expected == "MISS" and mock.page("last")["headers"].get("anthropic-beta") != beta):
            return print("#", beta, headers, mock.page("last")["headers"])
    ask(door, e.to("echo"), messages, **{"anthropic-beta": "a-1"})
    return "anthropic-beta" not in mock.page("last")["headers"]


def tokens_are_counted(door, e, mock):
    """count_tokens asks Anthropic, and estimates for others without a request; neither uses anything"""
    body = {"model": "x", "messages": [{"role": "user", "content": SAID}]}
    for back in BACKS:
        trace = "count-" + back
        before = mock.page("stats")["requests"]
        status, headers, text = door.request("/v1/messages/count_tokens", body, {
            "x-portkey-config": json.dumps(getattr(e, back)("echo")), "x-portkey-trace-id": trace})
        estimated = dict((k.lower(), v) for k, v in dict(headers).items()).get("x-pk-token-count") == "estimated"
        row = door.row(trace)
        asked = mock.page("stats")["requests"] - before
        if status != 200 or json.loads(text)["input_tokens"] < 3 or estimated != (back != "claude") or \
                asked != (back == "claude") or row["cost_usd"] or row["input_tokens"] or row["operation"] != "count_tokens":
            return print("#", back, status, headers, text, row, asked)
    status, _, text = door.request("/v1/messages/count_tokens", {"model": "x"}, {"x-portkey-config": json.dumps(e.to())})
    return status == 400 and json.loads(text)["type"] == "error"


HTTP = [fronts_and_backs, fronts_hear_of_broken_streams, fronts_and_the_cache, fronts_and_guardrails,
        fronts_say_what_was_dropped, betas_reach_anthropic, tokens_are_counted]
