#!/usr/bin/env python3
"""The OpenAPI document of pkd: it is one, it has every endpoint, and answers are as it says:  pkd_openapi.py BUILD"""
import json
import re

import openapi
import pkd_harness as h
from pkd_harness import Pkd, expect, until

mock = h.Mock()
DOC = openapi.DOCUMENT
OPERATIONS = [(path, method, op) for path, item in DOC["paths"].items() for method, op in item.items()]


def everything_in(part, at=""):
    yield at, part
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, value in inner:
        yield from everything_in(value, f"{at}/{name}")


def pkd_serves_the_document_to_everybody():
    pkd = Pkd()
    status, headers, body = pkd.http("GET", "/openapi.json")
    expect(status == 200 and headers["content-type"] == "application/json", headers)
    expect(json.loads(body) == DOC, "it is the one of docs/")
    expect(pkd.http("HEAD", "/openapi.json")[0] == 200 and pkd.http("POST", "/openapi.json", "{}")[0] == 405)
    pkd.stop()


def the_document_is_openapi_3_1():
    expect(DOC["openapi"] == "3.1.0" and DOC["info"]["title"] and DOC["info"]["version"], DOC["info"])
    for at, part in everything_in(DOC):
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            expect(openapi.resolve(part) is not None, at)
        if isinstance(part, dict) and "nullable" in part:
            raise AssertionError(f"{at}: nullable is of OpenAPI 3.0")
    ids = [op["operationId"] for _, _, op in OPERATIONS]
    expect(len(set(ids)) == len(ids), [i for i in ids if ids.count(i) > 1])
    tags = {t["name"] for t in DOC["tags"]}
    for path, method, op in OPERATIONS:
        where = (path, method)
        named = {p["name"] for p in op.get("parameters", []) if p["in"] == "path"}
        expect(named == set(re.findall(r"\{(\w+)\}", path)), where)
        expect(all(p["required"] for p in op.get("parameters", []) if p["in"] == "path"), where)
        expect(method in ("get", "put", "post", "delete", "patch") and op["responses"], where)
        expect(all(re.fullmatch(r"\d\d\d|default", s) for s in op["responses"]), where)
        expect(all(openapi.resolve(r)["description"] for r in op["responses"].values()), where)
        expect(op["summary"] and set(op["tags"]) <= tags, where)
        expect(method != "get" or "requestBody" not in op, where)
    try:
        from openapi_spec_validator import validate
    except ImportError:
        return
    validate(DOC)


def every_endpoint_is_in_it_and_nothing_else():
    rows = {(r.path, r.method.lower()): r for r in h.endpoints()}
    written = {(openapi.pattern(path), method): op for path, method, op in OPERATIONS}
    expect(set(rows) == set(written), ("only in endpoints.def", sorted(set(rows) - set(written)),
                                       "only in the document", sorted(set(written) - set(rows))))
    for where, row in rows.items():
        scope = "call" if row.kind == "OPERATION_AT" else row.scope.lower()
        expect(written[where]["x-scope"] == scope, (where, scope, written[where]["x-scope"]))
        expect((written[where].get("security") == []) == (scope == "none"), where)


def answers_are_as_it_says():
    pkd = Pkd()
    config = {"content-type": "application/json", "x-portkey-config": h.config(mock)}
    prompt = {"slug": "p", "name": "P", "string": "Hello {{name}}", "parameters": {}, "model": "fixed-600",
              "collection_id": "c"}
    asked = [
        ("POST", "/v1/chat/completions", json.loads(h.chat_body())),
        ("POST", "/v1/messages", {"model": "fixed-600", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}),
        ("POST", "/v1/messages", {"model": "fixed-600"}),
        ("POST", "/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "x"}]}),
        ("POST", "/v1/responses", {"model": "fixed-600", "input": "x"}),
        ("POST", "/v1/embeddings", {"model": "embed", "input": "x"}),
        ("GET", "/v1/models", None), ("GET", "/v1/models/openai/gpt-4o", None), ("GET", "/v1/models/none", None),
        ("GET", "/v1/prices?provider=openai", None), ("PUT", "/v1/prices?dry_run=true", []),
        ("POST", "/v1/feedback", {"trace_id": "t", "value": 5}), ("POST", "/v1/feedback", {"value": 50}),
        ("POST", "/v1/prompts", prompt), ("GET", "/v1/prompts", None), ("GET", "/v1/prompts/p", None),
        ("PUT", "/v1/prompts/p", {"string": "Bye {{name}}"}), ("GET", "/v1/prompts/p/versions", None),
        ("PUT", "/v1/prompts/p/makeDefault", {"version": 2}), ("GET", "/v1/prompts/p/versions/1", None),
        ("PUT", "/v1/prompts/p/versions/1", {"label_id": "production"}), ("GET", "/v1/prompts/none", None),
        ("POST", "/v1/prompts/p/render", {"variables": {"name": "x"}}),
        ("POST", "/v1/prompts/p/completions", {"variables": {"name": "x"}}), ("DELETE", "/v1/prompts/p", None),
        ("POST", "/v1/prompts/partials", {"slug": "q", "name": "Q", "string": "x"}),
        ("GET", "/v1/prompts/partials", None), ("GET", "/v1/prompts/partials/q", None),
        ("PUT", "/v1/prompts/partials/q", {"string": "y"}), ("GET", "/v1/prompts/partials/q/versions", None),
        ("PUT", "/v1/prompts/partials/q/makeDefault", {"version": 1}), ("DELETE", "/v1/prompts/partials/q", None),
        ("GET", "/v1/analytics/requests?time_range=24h", None), ("GET", "/v1/logs?page_size=5", None),
        ("GET", "/v1/logs/none", None), ("POST", "/v1/logs/exports", {"filters": {}, "requested_data": ["id"]}),
        ("GET", "/v1/logs/exports", None), ("GET", "/v1/alerts", None), ("GET", "/v1/audit-logs", None),
        ("POST", "/v1/logs", {"request": {"url": "x", "body": {}}, "response": {}}),
        ("GET", "/v1/model-configs/pricing/openai/gpt-4o", None), ("PUT", "/v1/feedback/none", {"value": 1}), ("GET", "/healthz", None), ("GET", "/readyz", None),
        ("GET", "/v1/no/such/path", None), ("PUT", "/v1/virtual-keys", {}),
    ]
    seen = set()
    for method, path, body in asked:
        headers = config if method == "POST" else {}
        status, _, answer = pkd.http(method, path, None if body is None else json.dumps(body), headers)
        wrong = openapi.conforms(method, path.partition("?")[0], status, answer)
        expect(not wrong, (method, path, status, wrong, answer[:300]))
        found = openapi.operation(method, path.partition("?")[0])
        if status == 200:
            seen.add(found["operationId"])
    expect(until(lambda: json.loads(pkd.http("GET", "/v1/logs")[2])["data"]))
    one = "/v1/logs/" + json.loads(pkd.http("GET", "/v1/logs")[2])["data"][0]["id"]
    status, _, answer = pkd.http("GET", one)
    expect(status == 200 and not openapi.conforms("GET", one, status, answer), answer[:300])
    expect(len(seen) >= 28, ("these were answered", sorted(seen)))
    pkd.stop()


def the_check_sees_what_is_wrong():
    for schema, good, bad in (({"type": "integer"}, 1, True), ({"type": ["string", "null"]}, None, 1),
                              ({"const": "x"}, "x", "y"), ({"enum": ["a"]}, "a", "b"),
                              ({"type": "array", "items": {"type": "string"}}, ["a"], [1]),
                              ({"type": "object", "required": ["a"]}, {"a": 1}, {}),
                              ({"type": "object", "additionalProperties": False}, {}, {"a": 1}),
                              ({"type": "string", "format": "date-time"}, "2030-01-31T12:00:00.000Z", "soon"),
                              ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "x", 5),
                              ({"type": "number", "minimum": 1, "maximum": 2}, 1.5, 3)):
        expect(openapi.wrong(schema, good) is None and openapi.wrong(schema, bad), (schema, good, bad))


h.run(the_check_sees_what_is_wrong, the_document_is_openapi_3_1, every_endpoint_is_in_it_and_nothing_else,
      pkd_serves_the_document_to_everybody, answers_are_as_it_says)
mock.stop()
h.end()
