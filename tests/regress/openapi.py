"""docs/openapi.json for the tests: what an answer must look like. Knows the keywords that the document uses, and
no others: one that is new fails until it is added here."""
import datetime
import json
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "docs/openapi.json"), encoding="utf-8") as f:
    DOCUMENT = json.load(f)

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
ANNOTATIONS = {"description", "format"}


def resolve(part):
    """What a part stands for, when it is a {"$ref": "#/..."}."""
    while "$ref" in part:
        at = DOCUMENT
        for step in part["$ref"].removeprefix("#/").split("/"):
            at = at[step]
        part = at
    return part


def is_of(value, name):
    if name in ("integer", "number"):
        return not isinstance(value, bool) and isinstance(value, int if name == "integer" else (int, float))
    return isinstance(value, TYPES[name])


def wrong_object(schema, value, at):
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            return f"{at}.{name}: is missing"
    for name, item in value.items():
        inner = properties.get(name, schema.get("additionalProperties", True))
        if inner is False:
            return f"{at}.{name}: is not in the document"
        found = wrong(inner, item, f"{at}.{name}") if isinstance(inner, dict) else None
        if found:
            return found
    return None


def wrong_format(schema, value, at):
    if schema.get("format") == "date-time" and isinstance(value, str):
        try:
            datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return f"{at}: {value} is no time"
    return None


def wrong(schema, value, at="answer"):
    """The first thing in which `value` is not as `schema` says; None: it is."""
    schema = resolve(schema)
    unknown = set(schema) - ANNOTATIONS - {"type", "properties", "required", "additionalProperties", "items", "enum", "const",
                                           "anyOf", "minimum", "maximum", "pattern"}
    assert not unknown, unknown
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(is_of(value, t) for t in types):
        return f"{at}: {value!r:.60} is not {' or '.join(types)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at}: {value!r:.60} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        return f"{at}: {value!r:.60} is not {schema['const']!r}"
    if "anyOf" in schema:
        reasons = [wrong(s, value, at) for s in schema["anyOf"]]
        if all(reasons):
            return reasons[0]
    if is_of(value, "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{at}: {value} is out of range"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return f"{at}: does not look like {schema['pattern']}"
    if isinstance(value, dict):
        return wrong_object(schema, value, at)
    if isinstance(value, list) and "items" in schema:
        found = (wrong(schema["items"], item, f"{at}[{i}]") for i, item in enumerate(value))
        return next((f for f in found if f), None)
    return wrong_format(schema, value, at)


def pattern(path):
    """A path of the document as endpoints.def spells it."""
    return re.sub(r"\{\w+\}", "*", path.replace("{rest}", "**"))


def fits(path, request):
    parts = [r"/.+" if p == "{rest}" else r"/[^/]+" if p.startswith("{") else "/" + re.escape(p)
             for p in path.strip("/").split("/")]
    return re.fullmatch("".join(parts), request)


def operation(method, request):
    """The operation of a request; of several, the one with the fewest parameters in its path."""
    found = [p for p in DOCUMENT["paths"] if fits(p, request) and method.lower() in DOCUMENT["paths"][p]]
    return DOCUMENT["paths"][min(found, key=lambda p: p.count("{"))][method.lower()] if found else None


def conforms(method, request, status, body):
    """None, or in what an answer is not as the document says. What no operation is for must be an error."""
    found = operation(method, request)
    responses = found["responses"] if found else {}
    response = responses.get(str(status), responses.get("default"))
    if response is None:
        response = {"$ref": "#/components/responses/Error"} if not found and status >= 400 else None
    if response is None:
        return f"{method} {request}: no status {status} is in the document"
    content = resolve(response).get("content", {})
    if "application/json" not in content:
        return None
    return wrong(content["application/json"].get("schema", {}), json.loads(body))
