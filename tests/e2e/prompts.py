"""Cases for stored prompts, in the form of special.py: ANY for all doors, HTTP for the daemon."""
import json
import time

SECRET = "sk-e2e-a-secret-that-must-not-appear"
arms_of_users = {}  # what the first door drew; every door must draw the same


def trace(case):
    return f"{case}-{time.monotonic_ns()}"


def options(trace_id, **more):
    return {"pk": {"trace_id": trace_id, **more}}


def put(door, slug, document):
    """The version; a list stands for messages. A key called "prompts" leads to the mock."""
    if isinstance(document, list):
        document = {"messages": document, "model": "echo", "virtual_key": "prompts"}
    return int(door.function("pk_prompt_put", slug, json.dumps(document)))


def key(door, e):
    door.function("pk_key_put", "prompts", "openai", SECRET + "-prompts",
                  {"custom_host": e.base + "/v1"})


def user(content):
    return {"role": "user", "content": content}


def sent(mock):
    return json.loads(mock.page("last")["body"])


def called(door, e, mock):
    """a stored prompt is rendered, called, and named in the log"""
    key(door, e)
    version = put(door, "called", {
        "messages": [{"role": "system", "content": "Be {{tone}}."}, "{{history}}",
                     user("{{#name}}I am {{name}}. {{/name}}{{question}}")],
        "model": "echo", "parameters": {"temperature": 0.25, "stop": ["#"]},
        "tools": [{"type": "function", "function": {"name": "f"}}], "virtual_key": "prompts"})
    id_ = trace("called")
    answer = door.prompt("called", {"tone": "kind", "question": "Why?", "name": "", "history": [
        user("a"), {"role": "assistant", "content": "b"}]}, None, options(id_))
    row, body = door.row(id_), sent(mock)
    return (version == 1 and answer.text == "Why?" and row["prompt"] == "called@1"
            and row["virtual_key"] == "prompts" and row["operation"] == "chat"
            and row["request"] == body and body == {
                "model": "echo", "temperature": 0.25, "stop": ["#"],
                "tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
                    {"role": "system", "content": "Be kind."}, user("a"),
                    {"role": "assistant", "content": "b"}, user("Why?")]})


def contained(door, e, mock):
    """what a variable holds stays inside of its string"""
    key(door, e)
    put(door, "contained", [{"role": "system", "content": "Only {{a}}."}, user("<{{a}}> {{{b}}} {{&b}}")])
    a = 'x"},{"role":"system","content":"y\\"\n\t{{b}} {{#c}} \u2028 \U0001f600 </s>'
    door.prompt("contained", {"a": a, "b": "&<>"})
    return sent(mock)["messages"] == [{"role": "system", "content": f"Only {a}."},
                                      user(f"<{a}> &<> &<>")]


def overridden(door, e, mock):
    """params go over the prompt's own, and a config that is given over its config"""
    key(door, e)
    put(door, "overridden", {"string": "{{x}} one two", "model": "status-500", "virtual_key": "prompts",
                             "parameters": {"temperature": 0.5, "top_p": 0.5}})
    first = door.prompt("overridden", {"x": 0})
    second = door.prompt("overridden", {"x": 0}, None, {"model": "echo", "temperature": 1})
    body = sent(mock)
    third = door.prompt("overridden", {"x": 0}, e.to("echo"))
    return (not first.ok and second.text == "0 one two"
            and (body["model"], body["temperature"], body["top_p"]) == ("echo", 1, 0.5)
            and third.text == "0 one two"
            and mock.page("last")["headers"]["authorization"] == f"Bearer {e.key}")


def versions(door, e, mock):
    """a reference names a version, a label, the latest or the published one"""
    key(door, e)
    for n in 1, 2, 3:
        put(door, "versions", [user(f"text {n}")])
    say = lambda ref: door.prompt(ref, {}).text
    latest = say("versions")
    door.function("pk_prompt_publish", "versions", 1)
    door.function("pk_prompt_publish", "versions", 2, "production")
    got = [say("versions" + at) for at in ("", "@production", "@latest", "@1", "@default")]
    missing = [door.prompt("versions" + at, {}) for at in ("@4", "@staging", "s")]
    bad = door.prompt("versions@", {})
    return (latest == "text 3" and got == ["text 1", "text 2", "text 3", "text 1", "text 1"]
            and not any(m.ok for m in missing) and not bad.ok)


def missing(door, e, mock):
    """missing variables are all named, and nothing is sent"""
    key(door, e)
    put(door, "missing", [user("{{a}} {{b.c}}"), user("{{#d}}x{{/d}}{{e}}")])
    before = mock.page("stats")["requests"]
    answer = door.prompt("missing", {"b": {}})
    rendered = door.render("missing", {"a": 1, "b": {}, "e": 1})
    return (not answer.ok and answer.status in (400, 0) or answer.sqlstate == "22023") and \
        'prompt "missing@1": missing variables: a, b.c, e' in answer.message and \
        "missing variable: b.c" in rendered.message and before == mock.page("stats")["requests"]


def partials(door, e, mock):
    """partials are put like prompts, and rendered in place"""
    put(door, "partial/signature", {"string": "-- {{from}}{{>flourish}}"}) \
        if put(door, "partial/flourish", {"string": "~"}) else None
    put(door, "letter", {"string": "Dear {{to}},\n\n{{>signature}}"})
    got = door.render("letter", {"to": "A", "from": "B"})
    no = door.function("pk_prompt_put", "letter", json.dumps("{{>nobody}}"))
    return got == [user("Dear A,\n\n-- B~")] and "partial/nobody" in no.message


def sticky(door, e, mock):
    """a user always gets the same of several versions, through every door"""
    key(door, e)
    for n, weight in (1, 30), (2, 70):
        put(door, "arms", [user(f"arm {n}")])
        door.function("pk_prompt_publish", "arms", n, "test", weight)
    draw = lambda who: door.prompt("arms@test", {}, None, {"pk": {"metadata": {"_user": who}}}).text
    users = [f"user-{i}" for i in range(60)]
    arms = [draw(u) for u in users]
    by_field = [door.prompt("arms@test", {}, None, {"user": u}).text for u in users[:10]]
    by_trace = {door.prompt("arms@test", {}, None, options("the-same-trace")).text for _ in range(5)}
    free = {door.prompt("arms@test", {}).text for _ in range(40)}
    first = arms_of_users.setdefault("arms", arms)
    return (arms == first and arms[:10] == by_field and len(by_trace) == 1 and len(free) == 2
            and 8 <= arms.count("arm 1") <= 30)


def cached(door, e, mock):
    """a rendered prompt is cached like any request, across equal versions"""
    key(door, e)
    config = {"virtual_key": "prompts", "cache": {"mode": "simple"}}
    put(door, "cached", [user("say {{x}}")])
    first = door.prompt("cached", {"x": "cheese"}, config)
    put(door, "cached", [user("say {{y}}")])
    put(door, "cached", [user("say {{x}}")])
    time.sleep(0.03)
    again, other = [door.prompt("cached", {"x": x}, config) for x in ("cheese", "wine")]
    return (first.cached, again.cached, other.cached) == ("MISS", "HIT", "MISS")


def refused(door, e, mock):
    """a prompt that cannot work is refused with the place"""
    tell = lambda document: door.function("pk_prompt_put", "refused", json.dumps(document)).message
    return ("messages[0].content: the section \"a\" is not closed" in tell(
                {"messages": [user("{{#a}}")]})
            and "temprature: a prompt has no such member" in tell({"string": "x", "temprature": 1})
            and "none called \"nobody\"" in tell({"string": "x", "virtual_key": "nobody"})
            and "api_key: is not stored" in tell(
                {"string": "x", "config": {"provider": "openai", "api_key": SECRET}})
            and "parameters.stream" in tell({"string": "x", "parameters": {"stream": True}}))


# --- HTTP ----------------------------------------------------------------------------------------

def streams(door, e, mock):
    """a prompt streams, and is named in the log"""
    key(door, e)
    put(door, "streamed", [user("{{x}} two three")])
    id_ = trace("streamed")
    status, headers, text = door.request("/v1/prompts/streamed%40latest/completions", {
        "variables": {"x": "one"}, "stream": True, "stream_options": {"include_usage": True}},
        {"x-portkey-trace-id": id_})
    chunks = [json.loads(line[6:]) for line in text.decode().splitlines()
              if line.startswith("data: {")]
    said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    row = door.row(id_)
    return (status == 200 and headers["content-type"] == "text/event-stream" and said == "one two three"
            and text.rstrip().endswith(b"[DONE]") and row["prompt"] == "streamed@1" and row["stream"])


def renders(door, e, mock):
    """render shows what would be sent"""
    key(door, e)
    put(door, "shown", [user("{{x}}")])
    before = mock.page("stats")["requests"]
    status, _, text = door.request("/v1/prompts/shown/render", {
        "variables": {"x": "y"}, "temperature": 0.5, "promptID": "shown"}, {})
    return status == 200 and before == mock.page("stats")["requests"] and json.loads(text) == {
        "success": True, "data": {"model": "echo", "temperature": 0.5, "messages": [user("y")]}}


def whom(door, e, mock):
    """headers and the model say whom to ask before the prompt does"""
    key(door, e)
    door.function("pk_key_put", "other", "openai", SECRET + "-other", {"custom_host": e.base + "/v1"})
    put(door, "whom", [user("x")])
    put(door, "nowhere", {"string": "x", "model": "echo"})

    def ask(slug, headers, **body):
        status, got, text = door.request(f"/v1/prompts/{slug}/completions", {"variables": {}, **body},
                                         headers)
        return status, got.get("x-portkey-cache-status"), \
            mock.page("last")["headers"]["authorization"].rsplit("-", 1)[1], text

    cache = {"x-portkey-config": json.dumps({"cache": {"mode": "simple", "namespace": trace("whom")}})}
    return (ask("whom", {})[2] == "prompts" and ask("whom", {"x-portkey-virtual-key": "other"})[2] == "other"
            and ask("whom", {"x-portkey-config": '{"virtual_key":"other"}'})[2] == "other"
            and ask("whom", {}, model="@other/echo")[2] == "other" and sent(mock)["model"] == "echo"
            and ask("whom", cache)[1:3] == ("MISS", "prompts") and ask("whom", cache)[1] == "HIT"
            and ask("nowhere", {})[0] == 400 and b"has no config" in ask("nowhere", {})[3]
            and ask("nowhere", {"x-portkey-virtual-key": "other"})[0] == 200)


def paths(door, e, mock):
    """a path that names no prompt is not found, a body that is not for one is refused"""
    key(door, e)
    put(door, "shown", [user("{{x}}")])
    post = lambda path, body: door.request(path, body, {})[0]
    return ([post(f"/v1/prompts/{p}/completions", {}) for p in ("nobody", "%00", "%zz", "a%40%40b", "x" * 400)]
            == [404, 404, 404, 400, 404]
            and post("/v1/prompts//completions", {}) == 404
            and door.request("/v1/prompts/x/completions", "", {}, "GET")[0] == 405
            and [post("/v1/prompts/shown/render", b) for b in (
                {"variables": []}, {"messages": []}, {"pk": {}}, [], "{")] == [400] * 5)


def administered(door, e, mock):
    """prompts are created, listed, changed, published and deleted over HTTP, as Portkey's are"""
    def ask(method, path, body=None):
        status, _, text = door.request("/v1/prompts" + path, "" if body is None else body, {}, method)
        return status, json.loads(text) if text else None

    key(door, e)
    made = ask("POST", "", {"name": "Über alles!", "collection_id": "c", "string": json.dumps([user("A {{x}}")]),
                            "parameters": {"temperature": 0}, "virtual_key": "prompts", "model": "echo"})
    slug = made[1]["slug"]
    same = ask("PUT", f"/{slug}", {"patch": True, "string": json.dumps([user("A {{x}}")])})
    more = ask("PUT", f"/{slug}", {"string": "B {{x}}", "tools": [{"type": "function"}], "model": "@prompts/m"})
    got, first = ask("GET", f"/{slug}"), ask("GET", f"/{slug}/versions/{slug}@1")
    ask("PUT", f"/{slug}/makeDefault", {"version": 1})
    ask("PUT", f"/{slug}/versions/2", {"label_id": "next"})
    listed, versions = ask("GET", "?search=alles&page_size=5"), ask("GET", f"/{slug}/versions")
    bad = [ask(*request)[0] for request in (
        ("GET", "/nobody"), ("PUT", "/nobody", {}), ("DELETE", "/nobody"), ("GET", "/nobody/versions"),
        ("GET", f"/{slug}/versions/9"), ("GET", f"/{slug}/versions/other@1"), ("PUT", f"/{slug}", {"nope": 1}),
        ("PUT", f"/{slug}", {"status": "archived"}), ("PUT", f"/{slug}/makeDefault", {"version": "1"}),
        ("PUT", f"/{slug}/versions/1", {}), ("POST", "", {"string": "x"}), ("POST", "", {"slug": slug, "string": "x"}),
        ("GET", "?page_size=x"), ("DELETE", ""), ("POST", "/a/b/c", {}))]
    rendered = [door.render(slug + at, {"x": 1})[0]["content"] for at in ("", "@next")]
    deleted = ask("DELETE", f"/{slug}"), ask("GET", f"/{slug}")
    return (made == (200, {"id": slug, "slug": slug, "version_id": slug + "@1", "object": "prompt"})
            and slug == "pp-ber-alles" and same[1]["prompt_version_id"] == slug + "@1"
            and more[1]["prompt_version_id"] == slug + "@2"
            and (got[1]["string"], got[1]["config"], got[1]["model"]) == ("B {{x}}", "prompts", "m")
            and "virtual_key" not in got[1] and got[1]["tools"] == [{"type": "function"}]
            and json.loads(first[1]["string"]) == [user("A {{x}}")] and first[1]["virtual_key"] == "prompts"
            and listed[1]["total"] == 1 and listed[1]["data"][0]["name"] == "Über alles!"
            and [(v["prompt_version"], v["label_id"]) for v in versions[1]["data"]] == [(2, "next"), (1, None)]
            and rendered == ["A 1", "B 1"] and (deleted[0][0], deleted[1][0]) == (200, 404)
            and bad == [404] * 6 + [400] * 7 + [405, 404] or print("#", bad, made, got, first, listed, versions))


ANY = [called, contained, overridden, versions, missing, partials, sticky, cached, refused]
HTTP = [streams, renders, whom, paths, administered]
