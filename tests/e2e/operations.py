"""Embeddings, rerankers and moderations through every door, in the form of special.py."""
import base64
import json
import math
import struct
import time

from doors import Answer, as_text


def trace(case):
    return f"{case}-{time.monotonic_ns()}"


def vector(door, config, text, dims=None, **params):
    """The floats that a text gives, or the Answer that the failure makes."""
    if door.name == "sqlite":
        got = door.call("select pk_embed(?, ?, ?, ?)", as_text(config), text, dims, as_text(params))
        return got if isinstance(got, Answer) or got is None else list(struct.unpack(f"<{len(got) // 4}f", got))
    if door.name == "postgres":
        got = door.call("select array_to_json(pk_embed($1::text, $2, $3::integer, $4::jsonb))::text", as_text(config),
                        text, dims, as_text(params))
        return got if isinstance(got, Answer) or got is None else json.loads(got)
    answer = posted(door, "/v1/embeddings", config, {"input": text, **({"dimensions": dims} if dims else {}), **params})
    return [float(n) for n in answer.body["data"][0]["embedding"]] if answer.ok else answer


def posted(door, path, config, body):
    body = dict(body)
    headers = {"x-portkey-config": json.dumps(config)}
    id_ = body.pop("pk", {}).get("trace_id")
    if id_:
        headers["x-portkey-trace-id"] = id_
    return door.answer(*door.request(path, json.dumps(body), headers))


def close(a, b):
    return len(a) == len(b) and all(math.isclose(x, y, abs_tol=1e-6) for x, y in zip(a, b))


def targets(e):
    return {"openai": e.to("embed-test"), "google": e.gemini("embed-test"), "cohere": e.cohere("embed-test"),
            "mistral-ai": e.to("embed-test", provider="mistral-ai"), "voyage": e.to("embed-test", provider="voyage"),
            "jina": e.to("embed-test", provider="jina")}


def same_everywhere(door, e, mock):
    """a text has the same vector by whichever provider's words the model is asked"""
    wanted = None
    for provider, config in targets(e).items():
        id_ = trace("everywhere")
        got = vector(door, config, "hello big world", 8, input_type="search_query", pk={"trace_id": id_})
        row = door.row(id_)
        wanted = wanted or got
        if isinstance(got, Answer) or not close(got, wanted):
            return print("#", provider, getattr(got, "message", got))
        told = provider != "google"  # which says nothing of tokens
        if (row["operation"], row["provider"], row["input_tokens"], row["cost_usd"]) != (
                "embeddings", provider, 3 if told else row["input_tokens"], None):
            return print("#", provider, row)
    return len(wanted) == 8 and math.isclose(sum(x * x for x in wanted), 1, abs_tol=1e-4)


def priced_and_cached(door, e, mock):
    """an embedding is priced by its input, and an equal one is free"""
    config = e.to("text-embedding-3-small", cache={"mode": "simple"})
    ids, before = [trace("first"), trace("second")], mock.page("stats")["requests"]
    a, b = [vector(door, config, "hello big world", 16, pk={"trace_id": i}) for i in ids]
    rows = [door.row(i) for i in ids]
    return (close(a, b) and mock.page("stats")["requests"] == before + 1
            and [r["cache_status"] for r in rows] == ["MISS", "HIT"] and str(rows[0]["cost_usd"]) in ("6E-8", "0.00000006")
            and rows[0]["output_tokens"] == 0 and str(rows[1]["cost_saved_usd"]) in ("6E-8", "0.00000006")) or print("#", rows)


def falls_back(door, e, mock):
    """an answer that is no vector is a reason to fall back, by another provider's words"""
    id_ = trace("falls-back")
    got = vector(door, e.fallback(e.to("echo:vectors=text"), e.to("echo:vectors=large"), e.cohere("embed-test")), "hi", 4,
                 pk={"trace_id": id_})
    row = door.row(id_)
    return (len(got) == 4 and (row["attempts"], row["fallback_index"], row["provider"]) == (3, 2, "cohere")
            and [s["error_type"] for s in door.spans(id_)] == ["invalid_answer", "invalid_answer", None])


def hostile(door, e, mock):
    """what is no vector is an error, whatever it looks like"""
    for model in ("echo:vectors=text", "echo:vectors=large", "echo:vectors=empty", "html-200", "empty-200",
                  "truncated-json", "wrong-types", "error-in-200"):
        for config in (e.to(model), e.gemini(model), e.cohere(model)):
            got = vector(door, config, "hi", 4)
            if not isinstance(got, Answer) or got.ok or (got.sqlstate or got.status) not in ("58000", 502) or \
                    "answered 4" in got.message:
                return print("#", model, config["provider"], getattr(got, "status", got))
    return True


def no_embeddings(door, e, mock):
    """a provider without embeddings is named, and asked nothing"""
    before = mock.page("stats")["requests"]
    got = vector(door, e.claude(), "hi")
    return isinstance(got, Answer) and "anthropic: has no embeddings" in got.message and \
        mock.page("stats")["requests"] == before


def guarded(door, e, mock):
    """what is found in an input does not reach the provider"""
    config = e.to("embed-test", guardrails={"input": [{"type": "pii", "action": "redact"}]})
    vector(door, config, "write to anna@example.org")
    sent = mock.page("last")["body"]
    blocked = vector(door, e.to("embed-test", guardrails={"input": [{"type": "contains", "deny": ["bomb"]}]}), "a bomb")
    return "anna@" not in sent and "write to" in sent and isinstance(blocked, Answer) and not blocked.ok


def embedder(door, e, mock):
    """any provider with embeddings can be the semantic cache's embedder"""
    for which in (e.gemini("embed-test"), e.cohere("embed-test")):
        maker = {k: which[k] for k in ("provider", "api_key", "custom_host")}
        config = e.to("echo", cache={"mode": "semantic", "similarity_threshold": 0.9,
                                     "embedder": {**maker, "model": "embed-test", "dimensions": 64}})
        text = f"how do I reset my {which['provider']} password"
        got = [door.chat(config, t, {"model": "echo"}).cached for t in (text, text + " please")]
        if got != ["SEMANTIC MISS", "SEMANTIC HIT"]:
            return print("#", which["provider"], got)
    return True


def moderated(door, e, mock):
    """a moderation says what the provider says"""
    if not door.sql:
        answer = posted(door, "/v1/moderations", e.to("omni-moderation-latest"), {"input": ["a flower", "kill"]})
        return [r["flagged"] for r in answer.body["results"]] == [False, True]
    got = [json.loads(door.function("pk_moderate", as_text(e.to("omni-moderation-latest")), t))
           for t in ("a flower", "I will kill it")]
    return ([g["flagged"] for g in got] == [False, True] and set(got[1]) == {"flagged", "categories", "scores"}
            and got[1]["categories"]["violence"] and got[1]["scores"]["violence"] > 0.9)


def lists(door, e, mock):
    """a list gives a vector each, in the form that is asked for"""
    texts = ["hello big world", "another", "third"]
    for provider, config in targets(e).items():
        floats = posted(door, "/v1/embeddings", config, {"input": texts, "dimensions": 8})
        coded = posted(door, "/v1/embeddings", config, {"input": texts, "dimensions": 8, "encoding_format": "base64"})
        if not floats.ok or not coded.ok:
            return print("#", provider, floats.message, coded.message)
        data = [[float(n) for n in d["embedding"]] for d in floats.body["data"]]
        decoded = [list(struct.unpack("<8f", base64.b64decode(d["embedding"]))) for d in coded.body["data"]]
        if len(data) != 3 or not all(close(a, b) for a, b in zip(data, decoded)) or close(data[0], data[1]) or \
                [d["index"] for d in floats.body["data"]] != [0, 1, 2] or "prompt_tokens" not in floats.body["usage"]:
            return print("#", provider, floats.body)
    fewer = posted(door, "/v1/embeddings", e.gemini("echo:vectors=fewer"), {"input": texts})
    return fewer.status == 502 and "1 embeddings for 3 inputs" in fewer.message


def no_stream(door, e, mock):
    """there are no streams of vectors: who asks for one gets the whole, as JSON"""
    config = e.to("embed-test", cache={"mode": "simple"})
    answers = [posted(door, "/v1/embeddings", config, {"input": "hi", "stream": True}) for _ in range(2)]
    return all(a.ok and a.headers["Content-Type"].startswith("application/json") for a in answers) and \
        answers[1].cached == "HIT"


def tokens(door, e, mock):
    """tokens go to who takes them, and are refused by name elsewhere"""
    passed = posted(door, "/v1/embeddings", e.to("embed-test"), {"input": [1, 2, 3], "dimensions": 4})
    refused = posted(door, "/v1/embeddings", e.gemini("embed-test"), {"input": [[1, 2], [3]]})
    return (len(passed.body["data"]) == 1 and passed.body["usage"]["prompt_tokens"] == 3
            and refused.status == 400 and "input[0]" in refused.message)


def ranked(door, e, mock):
    """a reranker's answer has one shape, whoever gives it"""
    body = {"query": "capital of France", "documents": ["Bern is one", {"text": "the capital of France is Paris"}, "none"],
            "top_n": 2, "return_documents": True}
    for config in (e.cohere("rank-test"), e.to("rank-test", provider="voyage"), e.to("rank-test", provider="jina"),
                   e.to("rank-test")):
        id_ = trace("ranked")
        answer = posted(door, "/v1/rerank", config, {**body, "pk": {"trace_id": id_}})
        results = answer.body.get("results") if answer.ok else answer.message
        if not answer.ok or [r["index"] for r in results] != [1, 0] or \
                results[0]["document"] != {"text": "the capital of France is Paris"}:
            return print("#", config["provider"], results)
        row = door.row(id_)
        if row["operation"] != "rerank" or row["cost_usd"] is not None:
            return print("#", row)
    return posted(door, "/v1/rerank", e.gemini("x"), body).status == 400


ANY = [same_everywhere, priced_and_cached, falls_back, hostile, no_embeddings, guarded, embedder, moderated]
HTTP = [lists, no_stream, tokens, ranked]
