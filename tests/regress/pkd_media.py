#!/usr/bin/env python3
"""Everything through pkd that is no conversation: images, audio, files, batches, and the proxy: pkd_media.py BUILD"""
import json
import os
import subprocess
import uuid
import zlib

from pkd_harness import *

mock = Mock()
pkd = Pkd(env={"OPENAI_API_KEY": "sk-env"})
SOUND = bytes(range(256)) * 40


def base(plan=None):
    return f"http://127.0.0.1:{mock.port}/m/{plan}/v1" if plan else mock.base


def headers(plan=None, provider="openai", **more):
    return {"x-portkey-config": json.dumps({"provider": provider, "api_key": "sk-test",
                                            "custom_host": base(plan), **more})}


def form(*fields, boundary="xYzZy"):
    """The bytes of a form: (name, text) or (name, bytes, filename, type)."""
    out = b""
    for name, value, *file in fields:
        out += b"--" + boundary.encode() + b'\r\nContent-Disposition: form-data; name="' + name.encode() + b'"'
        if file:
            out += f'; filename="{file[0]}"\r\nContent-Type: {file[1]}'.encode()
        out += b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return out + b"--" + boundary.encode() + b"--\r\n"


FORM = {"content-type": "multipart/form-data; boundary=xYzZy"}


def transcribe(model="gpt-4o-transcribe", extra=(), h=None, **fields):
    body = form(("model", model), ("file", SOUND, "a.wav", "audio/wav"), *fields.items(), *extra)
    return body, pkd.http("POST", "/v1/audio/transcriptions", body, {**(h or headers()), **FORM})


def row(h, columns):
    sql = f"select {columns} from pk_logs where trace_id = '{h['x-portkey-trace-id']}'"
    rows = pkd.rows_within(sql, bool)
    expect(rows, "no row")
    return rows[0]


def logged(trace):
    """What the log has of request and response, through the engine's own door."""
    env = dict(os.environ)
    if os.environ.get("PK_SAN"):  # the shell is not built with sanitizers: their library must come first
        env["LD_PRELOAD"] = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
        env["ASAN_OPTIONS"] = "detect_leaks=0"
    out = subprocess.run(["sqlite3", ":memory:", "-cmd", f".load {program('pk')}",
                          f"select pk_set('store', '{pkd.store}')",
                          f"select request, response from pk_logs where trace_id = '{trace}'"],
                         capture_output=True, text=True, check=True, env=env).stdout
    return out.splitlines()[-1]


def images_are_made_and_their_tokens_counted():
    body = json.dumps({"model": "gpt-image-1", "prompt": "a cat", "n": 2})
    status, h, answer = pkd.http("POST", "/v1/images/generations", body, headers())
    expect(status == 200 and len(json.loads(answer)["data"]) == 2, answer)
    expect(row(h, "operation, provider, model, input_tokens, output_tokens, usage_source") ==
           ("images", "openai", "gpt-image-1", 2, 272, "provider"))
    expect('"data":[{"b64_json":"3 bytes"},{"b64_json":"3 bytes"}],"usage"' in logged(h["x-portkey-trace-id"]))
    body = json.dumps({"model": "dall-e-3", "prompt": "a cat"})
    status, h, answer = pkd.http("POST", "/v1/images/generations", body, headers())
    expect(status == 200)
    cost, why = row(h, "cost_usd, cost_reason")
    expect(cost is None and why, (cost, why))


def a_stream_of_images_is_passed_on():
    body = json.dumps({"model": "gpt-image-1", "prompt": "a cat", "stream": True})
    status, h, answer = pkd.http("POST", "/v1/images/generations", body, headers())
    expect(status == 200 and h["content-type"] == "text/event-stream", h)
    expect(b"image_generation.completed" in answer, answer)
    expect(row(h, "stream, output_tokens, usage_source") == (1, 272, "provider"))


def other_providers_are_asked_for_images_in_their_own_words():
    at = mock.base + "/anything"
    for provider, model, path in (("stability-ai", "sd3.5-large", "/v2beta/stable-image/generate/sd3"),
                                  ("replicate", "a/b", "/models/a/b/predictions"),
                                  ("segmind", "sdxl", "/sdxl")):
        h = {"x-portkey-config": json.dumps({"provider": provider, "api_key": "k", "custom_host": at})}
        body = json.dumps({"model": model, "prompt": "a \u00e9 cat", "quality": "hd"})
        status, h, answer = pkd.http("POST", "/v1/images/generations", body, h)
        last = mock.page("last")
        expect(status == 502 and b"no image" in answer, answer)  # what it got back was its own request
        expect(last["path"].endswith("/anything" + path), last["path"])
        kind = last["headers"]["content-type"]
        expect(kind.startswith("multipart/form-data" if provider == "stability-ai" else "application/json"), kind)
        expect(("a \u00e9 cat" in last["body"] or "\\u00e9" in last["body"]) and "hd" not in last["body"], last["body"])
        expect(last["headers"].get("prefer") == ("wait" if provider == "replicate" else None))
        expect("quality" in h["x-pk-dropped-params"], dict(h))
    status, _, answer = pkd.http("POST", "/v1/audio/speech", json.dumps({"model": "m", "input": "x"}),
                                 {"x-portkey-config": json.dumps({"provider": "replicate", "api_key": "k"})})
    expect(status == 400 and b"replicate: has no speech" in answer, answer)


def edits_and_variations_are_forms():
    body = form(("model", "gpt-image-1"), ("prompt", "a hat"), ("image[]", SOUND, "a.png", "image/png"),
                ("image[]", SOUND, "b.png", "image/png"), ("image", SOUND, "c.png", "image/png"))
    for path, operation in ("edits", "image_edits"), ("variations", "image_variations"):
        status, h, answer = pkd.http("POST", "/v1/images/" + path, body, {**headers(), **FORM})
        expect(status == 200 and json.loads(answer)["data"], answer)
        expect(row(h, "operation, request_model, output_tokens") == (operation, "gpt-image-1", 272))


def speech_is_passed_on_byte_for_byte():
    body = json.dumps({"model": "tts-1:tick=2", "input": "say this aloud", "voice": "alloy"})
    status, h, answer = pkd.http("POST", "/v1/audio/speech", body, headers())
    expect(status == 200 and answer == b"say this aloud", answer)
    expect(h["content-type"] == "audio/mpeg" and "content-length" not in h, dict(h))
    expect(row(h, "operation, status, http_status, request_model, usage_source, cost_usd") ==
           ("speech", "success", 200, "tts-1:tick=2", "none", None))
    expect('"bytes":14' in logged(h["x-portkey-trace-id"]))


def a_form_is_sent_as_it_came_and_logged_without_its_file():
    body, (status, h, answer) = transcribe(language="en")
    expect(status == 200 and json.loads(answer)["text"] == f"10240 bytes, crc32 {zlib.crc32(SOUND):08x}", answer)
    last = mock.page("last")
    expect(last["bytes"] == len(body) and last["crc32"] == f"{zlib.crc32(body):08x}", last)
    expect(last["headers"]["content-type"] == FORM["content-type"])
    expect(row(h, "operation, request_model, input_tokens, usage_source") ==
           ("transcriptions", "gpt-4o-transcribe", 14, "provider"))
    text = logged(h["x-portkey-trace-id"])
    expect('"language":"en"' in text and '"bytes":10240' in text, text)
    _, (status, h, answer) = transcribe("whisper-1", response_format="text")
    expect(status == 200 and answer.startswith(b"10240 bytes") and h["content-type"].startswith("text/plain"))
    _, (status, h, answer) = transcribe("whisper-1")
    expect(json.loads(answer)["usage"]["seconds"] == 27)
    expect(row(h, "usage_source, cost_usd") == ("none", None))


def a_stream_of_a_transcription_tells_its_usage():
    _, (status, h, answer) = transcribe(stream="true")
    expect(status == 200 and b"transcript.text.done" in answer)
    expect(row(h, "input_tokens, output_tokens > 0") == (14, 1))


def the_model_of_a_form_routes_and_is_overridden():
    targets = [{"name": n, "provider": "openai", "api_key": "k", "custom_host": mock.base,
                "override_params": {"model": "other-" + n}} for n in ("a", "b")]
    cfg = json.dumps({"strategy": {"mode": "conditional", "default": "b", "conditions": [
        {"query": {"params.model": {"$regex": "^gpt"}}, "then": "a"}]}, "targets": targets})
    for model, index in ("gpt-4o-transcribe", 0), ("whisper-1", 1):
        body, (status, h, answer) = transcribe(model, h={"x-portkey-config": cfg})
        expect(status == 200 and h["x-portkey-last-used-option-index"] == f"config.targets[{index}]", answer)
        expect(f"crc32 {zlib.crc32(SOUND):08x}" in json.loads(answer)["text"], answer)
        expect(row(h, "request_model") == ("other-" + "ab"[index],))
        expect(mock.page("stats")["by_model"].get("other-" + "ab"[index]))
    body = form(("model", "@openai/whisper-1"), ("file", SOUND, "a", "audio/wav"))
    status, h, _ = pkd.http("POST", "/v1/audio/transcriptions", body,
                            {**FORM, "x-portkey-custom-host": mock.base, "Authorization": "Bearer sk-2"})
    expect(status == 200 and row(h, "request_model") == ("whisper-1",))


def malformed_forms_are_refused():
    for body in b"", b"x", form(("model", "a"))[:-9], form(("model", "a"), ("model", "b")):
        status, _, answer = pkd.http("POST", "/v1/audio/transcriptions", body, {**headers(), **FORM})
        expect(status == 400 and json.loads(answer)["error"]["message"], answer)
    status, _, answer = pkd.http("POST", "/v1/audio/transcriptions", form(("model", "a")),
                                 {**headers(), "content-type": "multipart/form-data"})
    expect(status == 400 and b"boundary" in answer, answer)


def errors_of_forms_fall_back_and_are_told():
    down = {"provider": "openai", "api_key": "k", "custom_host": base("status-503")}
    up = {"provider": "openai", "api_key": "k", "custom_host": mock.base}
    cfg = json.dumps({"strategy": {"mode": "fallback"}, "targets": [down, up]})
    _, (status, h, answer) = transcribe(h={"x-portkey-config": cfg})
    expect(status == 200 and h["x-portkey-last-used-option-index"] == "config.targets[1]", answer)
    _, (status, h, answer) = transcribe(h={"x-portkey-config": json.dumps(down)})
    expect(status == 503 and json.loads(answer)["provider"] == "openai", answer)


def a_provider_without_the_operation_is_passed_over():
    up = {"provider": "openai", "api_key": "k", "custom_host": mock.base}
    none = {"provider": "anthropic", "api_key": "k", "custom_host": mock.base}
    _, (status, _, answer) = transcribe(h={"x-portkey-config": json.dumps(none)})
    expect(status == 400 and b"anthropic: has no transcriptions" in answer, answer)
    cfg = json.dumps({"strategy": {"mode": "fallback"}, "targets": [none, up]})
    _, (status, h, answer) = transcribe(h={"x-portkey-config": cfg})
    expect(status == 200 and h["x-portkey-last-used-option-index"] == "config.targets[1]", answer)


def files_and_batches_live_at_the_provider():
    body = form(("purpose", "batch"), ("file", b'{"custom_id":"1"}\n', "b.jsonl", "application/jsonl"))
    status, h, answer = pkd.http("POST", "/v1/files", body, {**headers(), **FORM})
    expect(status == 200, answer)
    file = json.loads(answer)["id"]
    expect(row(h, "operation, status, cost_usd, cost_reason") ==
           ("files", "success", None, "no tokens were asked for"))
    status, _, answer = pkd.http("GET", "/v1/files?purpose=batch", headers=headers())
    expect(status == 200 and any(f["id"] == file for f in json.loads(answer)["data"]), answer)
    expect(mock.page("last")["path"].endswith("/v1/files?purpose=batch"))
    status, h, answer = pkd.http("GET", f"/v1/files/{file}/content", headers=headers())
    expect(status == 200 and answer == b'{"custom_id":"1"}\n' and "attachment" in h["content-disposition"], answer)
    batch = json.dumps({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"})
    status, h, answer = pkd.http("POST", "/v1/batches", batch, headers())
    expect(status == 200 and json.loads(answer)["status"] == "in_progress", answer)
    expect(row(h, "operation, usage_source") == ("batches", "none"))
    one = json.loads(answer)["id"]
    status, h, answer = pkd.http("GET", "/v1/batches/" + one, headers=headers())
    expect(json.loads(answer)["status"] == "completed", answer)
    expect(row(h, "usage_source") == ("none",))  # the batch's own usage is not this call's
    out = json.loads(answer)["output_file_id"]
    status, _, answer = pkd.http("GET", f"/v1/files/{out}/content", headers=headers())
    expect(status == 200 and json.loads(answer)["custom_id"] == "1", answer)
    status, h, answer = pkd.http("GET", f"/v1/batches/{one}/output", headers=headers())
    expect(status == 200 and json.loads(answer)["custom_id"] == "1", answer)
    expect(h["x-portkey-retry-attempt-count"] == "0" and "attachment" in h["content-disposition"], dict(h))
    expect(row(h, "operation, status, attempts, retries, usage_source") == ("batches", "success", 2, 0, "none"))
    status, _, answer = pkd.http("POST", f"/v1/batches/{one}/cancel", headers=headers())
    expect(status == 200 and json.loads(answer)["status"] == "completed", answer)  # it was over
    status, _, answer = pkd.http("DELETE", "/v1/files/" + file, headers=headers())
    expect(status == 200 and json.loads(answer)["deleted"], answer)
    status, _, answer = pkd.http("GET", "/v1/files/" + file, headers=headers())
    expect(status == 404 and json.loads(answer)["error"]["message"], answer)
    status, _, answer = pkd.http("POST", "/v1/fine_tuning/jobs", "{}", headers())
    expect(status == 200 and json.loads(answer)["object"] == "fine_tuning.job", answer)


def output_that_is_not_there_is_not_found():
    def batch(**settings):
        mock.page("batches", "POST", json.dumps(settings))
        line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": json.loads(chat_body(settings.get("model", "echo")))}
        form_of = form(("purpose", "batch"), ("file", json.dumps(line).encode() + b"\n", "b.jsonl", "application/jsonl"))
        _, _, file = pkd.http("POST", "/v1/files", form_of, {**headers(), **FORM})
        status, _, answer = pkd.http("POST", "/v1/batches", json.dumps(
            {"input_file_id": json.loads(file)["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}), headers())
        expect(status == 200, answer)
        return pkd.http("GET", f"/v1/batches/{json.loads(answer)['id']}/output", headers=headers())
    for settings, said in (({"end": "never"}, b"its status is in_progress"), ({"end": "failed"}, b"its status is failed")):
        status, h, answer = batch(**settings)
        expect(status == 404 and said in answer, answer)
        expect(row(h, "operation, status, attempts") == ("batches", "error", 1))
    status, _, answer = batch(model="status-400")  # all of it went wrong: what there is are errors
    expect(status == 200 and json.loads(answer)["response"]["status_code"] == 400, answer)
    mock.page("batches", "POST", "{}")
    status, _, answer = pkd.http("GET", "/v1/batches/none/output", headers=headers())
    expect(status == 404 and json.loads(answer)["error"]["message"], answer)
    elsewhere = json.dumps(dict(strategy={"mode": "fallback"}, targets=[{"provider": "anthropic", "api_key": "k"},
                                                                       {"provider": "openai", "api_key": "k", "custom_host": mock.base}]))
    status, h, answer = pkd.http("GET", "/v1/batches/none/output", headers={"x-portkey-config": elsewhere})
    expect(status == 404, answer)


def azures_paths_are_those_of_openai():
    last = lambda: mock.page("last")  # noqa: E731
    for prefix in "/openai", "/v1/openai":
        for body in {"model": "m", "messages": []}, {"messages": []}:
            body["messages"] = [{"role": "user", "content": "hi"}]
            status, h, answer = pkd.http("POST", f"{prefix}/deployments/my%20gpt/chat/completions?api-version=2024-10-21",
                                         json.dumps(body), {**headers(), "content-type": "application/json"})
            expect(status == 200 and last()["path"].endswith("/v1/chat/completions"), answer)
            expect(json.loads(last()["body"])["model"] == "my gpt", last()["body"])
            expect(row(h, "operation, request_model") == ("chat", "my gpt"))
        same = '{"model":  "d", "messages": [{"role":"user","content":"hi"}]}'
        pkd.http("POST", f"{prefix}/deployments/d/chat/completions?api-version=x", same, headers())
        expect(last()["body"] == same, last()["body"])
        status, h, answer = pkd.http("POST", f"{prefix}/deployments/d/completions", '{"prompt": "x"}', headers())
        expect(status == 200 and last()["path"].endswith("/v1/completions") and row(h, "request_model") == ("d",), answer)
        body = form(("file", SOUND, "a.wav", "audio/wav"))
        status, h, answer = pkd.http("POST", f"{prefix}/deployments/gpt-4o-transcribe/audio/transcriptions?api-version=x",
                                     body, {**headers(), **FORM})
        expect(status == 200 and row(h, "request_model") == ("gpt-4o-transcribe",), answer)
        status, h, answer = pkd.http("POST", f"{prefix}/responses?api-version=x", '{"model": "m", "input": "x"}', headers())
        expect(status == 200 and row(h, "operation") == ("responses",), answer)
        status, h, answer = pkd.http("GET", f"{prefix}/files?purpose=batch&api-version=x", headers=headers())
        expect(status == 200 and last()["path"].endswith("/v1/files?purpose=batch"), answer)
        status, h, answer = pkd.http("GET", f"{prefix}/anything/1?api-version=x&a=b", headers=headers())
        expect(status == 200 and last()["path"].endswith("/v1/anything/1?a=b"), answer)
        status, h, answer = pkd.http("POST", f"{prefix}/v1/embeddings", '{"model": "m", "input": "x"}', headers())
        expect(status == 200 and row(h, "operation") == ("embeddings",), answer)
        expect(pkd.http("GET", f"{prefix}/models?api-version=x")[0] == 200)
        for path in "/configs", "/virtual-keys", "/deployments/d/nothing", "/deployments//embeddings", "/deployments/%ff/embeddings", "/deployments/%4/embeddings", "/healthz":
            status, _, answer = pkd.http("GET" if "dep" not in path else "POST", f"{prefix}{path}?api-version=x", "{}")
            expect(status == 404, (path, status, answer))
    status, _, answer = pkd.http("POST", "/v1/openai/anything", "{}", {**headers(), "content-type": "application/json"})
    expect(last()["path"].endswith("/openai/anything"), last()["path"])  # a path of the provider's


def azures_header_holds_a_key():
    """Of the provider as long as there are no keys of the gateway's; else of these."""
    status, _, answer = pkd.http("POST", "/openai/deployments/m/embeddings?api-version=x", '{"input": "x"}',
                                 {"x-portkey-provider": "openai", "x-portkey-custom-host": mock.base, "api-key": "sk-azure"})
    expect(status == 200 and mock.page("last")["headers"]["authorization"] == "Bearer sk-azure", answer)


def anthropics_files_are_passed_on_with_their_beta():
    status, _, answer = pkd.http("GET", "/v1/files?limit=2", headers={
        **headers(provider="anthropic"), "anthropic-beta": "files-api-2025-04-14", "openai-beta": "x=1"})
    sent = mock.page("last")
    expect(status == 200 and json.loads(answer)["object"] == "list", answer)
    expect(sent["path"].endswith("/v1/files?limit=2"), sent)
    got = {k: sent["headers"].get(k) for k in ("anthropic-beta", "anthropic-version", "openai-beta")}
    expect(got == {"anthropic-beta": "files-api-2025-04-14", "anthropic-version": "2023-06-01", "openai-beta": None}, got)


def large_files_go_up_and_down():
    size = 20 << 20
    content = os.urandom(1 << 20) * 20
    body = form(("purpose", "vision"), ("file", content, "big", "application/octet-stream"))
    status, _, answer = pkd.http("POST", "/v1/files", body, {**headers(), **FORM}, timeout=120)
    expect(status == 200 and json.loads(answer)["bytes"] == size, answer)
    status, _, answer = pkd.http("GET", f"/v1/files/{json.loads(answer)['id']}/content", headers=headers(), timeout=120)
    expect(status == 200 and zlib.crc32(answer) == zlib.crc32(content), len(answer))
    huge = 80 << 20  # more than pk keeps of anything
    for kind in "application/octet-stream", "application/json":
        status, h, answer = pkd.http("GET", f"/v1/anything?type={kind}&bytes={huge}", headers=headers(), timeout=120)
        expect(status == 200 and len(answer) == huge, len(answer))
        expect(h["content-type"] == kind)
    status, _, answer = pkd.http("POST", "/v1/files", b"x" * (33 << 20), {**headers(), **FORM}, timeout=120)
    expect(status == 413, answer)


def text_completions_and_their_streams_are_passed_on():
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": "one two three"}
    status, h, answer = pkd.http("POST", "/v1/completions", json.dumps(body), headers())
    expect(status == 200 and json.loads(answer)["choices"][0]["text"] == "one two three", answer)
    expect(row(h, "operation, input_tokens, output_tokens") == ("completions", 3, 3))
    body.update(stream=True, stream_options={"include_usage": True})
    status, h, answer = pkd.http("POST", "/v1/completions", json.dumps(body), headers())
    expect(status == 200 and answer.endswith(b"data: [DONE]\n\n"), answer)
    expect(row(h, "stream, input_tokens, output_tokens") == (1, 3, 3))


def any_other_path_is_proxied():
    for method in "GET", "POST", "PUT", "PATCH", "DELETE":
        body = b"{\"a\": 1.10,\n \"b\":\"\\u0000\"}" if method != "GET" else None
        for path in "/v1/anything/x?q=1%202", "/v1/proxy/anything/x?q=1%202", "/v1/proxy/v1/anything/x?q=1%202":
            status, h, answer = pkd.http(method, path, body, {**headers(), "content-type": "application/json",
                                                              "x-mine": "yes", "cookie": "c=1",
                                                              "x-forwarded-for": "10.0.0.1"})
            last = json.loads(answer)
            expect(status == 200 and last["method"] == method, answer)
            expect(last["path"] == "/v1/anything/x?q=1%202", last["path"])
            expect(last["body"].encode() == (body or b""), last)
            sent = last["headers"]
            expect(sent["x-mine"] == "yes" and sent["authorization"] == "Bearer sk-test", sent)
            expect(not any(n.startswith("x-portkey") or n in ("cookie", "x-forwarded-for") for n in sent), sent)
            expect(h["x-thing"] == "of the provider" and "set-cookie" not in h, dict(h))
            expect("access-control-allow-origin" not in h)
            expect(row(h, "operation, status, http_status") == ("proxy", "success", 200))


def a_proxied_answer_keeps_its_status_and_bytes():
    for code in 201, 204, 400, 404, 418, 422, 500, 503:
        for kind in "text/html", "application/json":
            status, h, answer = pkd.http("GET", f"/v1/anything?status={code}&type={kind}&bytes={0 if code == 204 else 7}",
                                         headers=headers())
            expect(status == code and answer == (b"" if code == 204 else b"x" * 7), (code, status, answer))
            expect(h["content-type"] == (None if code == 204 else kind), dict(h))
            expect(row(h, "status, http_status") == ("success" if code < 300 else "error", code))
    status, h, answer = pkd.http("HEAD", "/v1/anything?type=text/plain&bytes=9", headers=headers())
    expect(status == 200 and answer == b"")
    cfg = headers(retry={"attempts": 1})
    status, h, answer = pkd.http("POST", "/v1/proxy/m/seq-503-200/chat/completions",
                                 chat_body("seq-503-200:" + uuid.uuid4().hex), cfg)


def usage_of_proxied_answers_is_counted():
    status, h, answer = pkd.http("POST", "/v1/proxy/chat/completions", chat_body("gpt-4o-mini", "a b c"), headers())
    expect(status == 200 and row(h, "operation, model, input_tokens, output_tokens, cost_usd > 0") ==
           ("proxy", "gpt-4o-mini", 3, 3, 1), answer)
    body = chat_body("gpt-4o-mini", "a b c", stream=True, stream_options={"include_usage": True})
    status, h, answer = pkd.http("POST", "/v1/proxy/chat/completions", body, headers())
    expect(status == 200 and answer.endswith(b"data: [DONE]\n\n"))
    expect(row(h, "input_tokens, output_tokens, cost_usd > 0") == (3, 3, 1))
    body = json.dumps({"model": "claude-haiku-4-5", "max_tokens": 9, "stream": True,
                       "messages": [{"role": "user", "content": "a b c"}]})
    status, h, answer = pkd.http("POST", "/v1/proxy/v1/messages", body, headers(provider="anthropic"))
    expect(status == 200 and b"message_stop" in answer, answer)
    expect(row(h, "input_tokens, output_tokens") == (3, 3), answer)
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "a b"}]}]})
    status, h, answer = pkd.http("POST", "/v1/proxy/models/gemini-pro:generateContent", body, headers(provider="google"))
    expect(status == 200 and row(h, "request_model, input_tokens") == ("gemini-pro", 2), answer)


def the_proxy_is_no_way_around_anything():
    for path in "/v1/anything/../x", "/v1/proxy/%2e%2e/x", "/v1/files/..%2f..":
        status, _, answer = pkd.http("GET", path, headers=headers())
        expect(status in (400, 404), (path, status, answer))
    for host in "http://10.1.2.3/v1", "http://169.254.169.254/v1", "http://example.internal/v1":
        for path in "/v1/proxy/x", "/v1/x/y", "/v1/files":
            h = {"x-portkey-provider": "openai", "x-portkey-custom-host": host, "Authorization": "Bearer sk"}
            status, _, answer = pkd.http("GET", path, headers=h)
            expect(status == 403, (path, status, answer))
    for guards in {"input": [{"type": "contains", "deny": ["x"], "action": "block"}]}, \
                  {"output": [{"type": "contains", "deny": ["x"], "action": "block"}]}:
        h = headers(guardrails=guards)
        status, _, answer = pkd.http("POST", "/v1/proxy/chat/completions", chat_body(), h)
        expect(status == 400 and b"guardrails" in answer, answer)
        status, _, answer = pkd.http("GET", "/v1/anything", headers=h)
        expect(status == 200, answer)


def a_tuned_model_is_deleted_where_it_is():
    pkd.http("DELETE", "/v1/models/ft:gpt-4o-mini:acme::1", headers=headers())
    sent = mock.page("last")
    expect(sent["method"] == "DELETE" and sent["path"].endswith("/v1/models/ft:gpt-4o-mini:acme::1"), sent)
    expect(pkd.http("DELETE", "/v1/models/ft:x")[0] == 400, "of no provider")


def pk_s_own_paths_and_unknown_ones_reach_no_provider():
    before = mock.page("stats")["requests"]
    for method, path, want in (("GET", "/v1/nothing", 404), ("POST", "/v1/proxy/x", 404), ("GET", "/v2/x", 404)):
        status, _, answer = pkd.http(method, path)
        expect(status == want, (path, status, answer))
    for method, path, want in (("DELETE", "/v1/feedback", 405), ("POST", "/v1/models", 405), ("PATCH", "/v1/prompts", 405),
                               ("GET", "/v1/configs/x", 404), ("POST", "/v1/logs/exports", 400),
                               ("GET", "/v1/prompts/a/b/c/d", 404), ("GET", "/v1/secret-references", 404), ("PUT", "/v1/virtual-keys", 405),
                               ("POST", "/healthz", 405), ("GET", "/other", 404)):
        status, _, answer = pkd.http(method, path, headers=headers())
        expect(status == want, (method, path, status, answer))
    for path, hint in (("/chat/completions", True), ("/models", True), ("/v1/nothing", False), ("/other", False)):
        said = json.loads(pkd.http("POST", path)[2])["error"]["message"]
        expect(said == path + ": no such endpoint" + hint * f"; the base URL ends in /v1: /v1{path}", said)
    expect(mock.page("stats")["requests"] == before)
    status, h, _ = pkd.http("PATCH", "/v1/embeddings")
    expect(status == 405 and h["allow"] == "POST, OPTIONS", dict(h))


def a_relay_that_breaks_has_no_clean_end():
    body = json.dumps({"model": "drop-mid", "input": "one two three four five six seven", "voice": "x"})
    s = pkd.raw()
    s.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nx-portkey-trace-id: broken\r\nx-portkey-config: " +
              headers()["x-portkey-config"].encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body.encode())
    f = s.makefile("rb")
    status, h, _ = read_response(f)
    rest = f.read()
    expect(status == 200 and h["transfer-encoding"] == "chunked" and b"one" in rest, rest)
    expect(not rest.endswith(b"0\r\n\r\n"), rest)
    expect(pkd.rows_within("select status, http_status from pk_logs where trace_id = 'broken'", bool) ==
           [("truncated", 200)])


def a_client_that_leaves_ends_the_call():
    body = json.dumps({"model": "stall-after-2", "input": "one two three four", "voice": "x"})
    s = pkd.raw()
    s.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nx-portkey-trace-id: left\r\nx-portkey-config: " +
              headers()["x-portkey-config"].encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body.encode())
    f = s.makefile("rb")
    expect(read_response(f)[0] == 200)
    f.close()
    s.close()
    expect(pkd.rows_within("select status from pk_logs where trace_id = 'left'", bool) == [("client_closed",)])


def admin(*words, document=None):
    return subprocess.run([program("pkd"), *words, "--store", pkd.store], check=True, capture_output=True,
                          input=json.dumps(document) if document else "sk-stored", text=True).stdout


def a_key_s_models_hold_for_forms_and_paths():
    admin("key", "put", "narrow", "openai", json.dumps({"custom_host": mock.base, "allowed_models": ["whisper-*"]}))
    h = {"x-portkey-virtual-key": "narrow"}
    _, (status, _, answer) = transcribe("whisper-1", h=h)
    expect(status == 200, answer)
    for got in (transcribe("gpt-4o-transcribe", h=h)[1],
                pkd.http("POST", "/v1/proxy/chat/completions", chat_body("gpt-4o"), h),
                pkd.http("POST", "/v1/proxy/models/gpt-4o:go", json.dumps({"model": "whisper-1"}), h),
                pkd.http("POST", "/v1/proxy/deployments/gpt%2D4o/x", json.dumps({"model": "whisper-1"}), h),
                pkd.http("POST", "/v1/proxy/chat/completions", chat_body("gpt-4o"), {**h, "content-type": "text/plain"}),
                pkd.http("POST", "/v1/batches", json.dumps({"input_file_id": "file-0"}), h)):
        expect(got[0] == 403 and b"not allowed" in got[2], got)


def a_budget_that_is_used_up_refuses():
    admin("key", "put", "poor", "openai", json.dumps({"custom_host": mock.base}))
    admin("limit", "put", "poor", document={"virtual_key": "poor", "counts": "tokens", "amount": 20, "per": "day"})
    h = {"x-portkey-virtual-key": "poor"}
    status, _, answer = pkd.http("POST", "/v1/proxy/anything", b"\x00", {**h, "content-type": "x/y"})
    expect(status == 200, answer)
    _, (status, got, answer) = transcribe(h=h)
    expect(status == 200, answer)
    expect(row(got, "input_tokens + output_tokens") == (18,))
    _, (status, got, answer) = transcribe(h=h)
    expect(status == 200, answer)
    row(got, "1")
    for got in transcribe(h=h)[1], pkd.http("GET", "/v1/files", headers=h), \
            pkd.http("POST", "/v1/proxy/anything", b"\x00", {**h, "content-type": "x/y"}):
        expect(got[0] in (402, 403, 429), got)


def a_key_is_needed_for_these_too():
    key = admin("apikey", "create", "app").strip()
    ops = admin("apikey", "create", "ops", json.dumps({"scopes": ["admin"]})).strip()
    for path in "/v1/files", "/v1/anything", "/v1/proxy/x":
        expect(pkd.http("GET", path, headers=headers())[0] == 401)
        status, _, answer = pkd.http("GET", path, headers={**headers(), "x-portkey-api-key": ops})
        expect(status == 403, (path, status, answer))
    status, h, answer = pkd.http("GET", "/v1/anything", headers={**headers(), "x-portkey-api-key": key})
    expect(status == 200 and row(h, "api_key") == ("app",), answer)
    expect(key not in json.dumps(json.loads(answer)["headers"]))
    for value, good in (key, 200), (key[:-1], 401), ("sk-other", 401):
        status, h, answer = pkd.http("POST", "/openai/deployments/m/embeddings?api-version=x", '{"input": "x"}',
                                     {**headers(), "api-key": value})
        expect(status == good and (good == 401 or row(h, "api_key") == ("app",)), answer)
        expect(good == 401 or key not in json.dumps(mock.page("last")["headers"]))
    fixed = admin("apikey", "create", "fixed", json.dumps({"defaults": {"config": "narrow"}})).strip()
    status, h, answer = pkd.http("GET", "/v1/anything", headers={"x-portkey-api-key": fixed})
    expect(status == 403 and b"not allowed" in answer, answer)  # the config of the key names the provider


run(images_are_made_and_their_tokens_counted,
    a_stream_of_images_is_passed_on,
    other_providers_are_asked_for_images_in_their_own_words,
    edits_and_variations_are_forms,
    speech_is_passed_on_byte_for_byte,
    a_form_is_sent_as_it_came_and_logged_without_its_file,
    output_that_is_not_there_is_not_found,
    azures_paths_are_those_of_openai,
    azures_header_holds_a_key,
    a_stream_of_a_transcription_tells_its_usage,
    the_model_of_a_form_routes_and_is_overridden,
    malformed_forms_are_refused,
    errors_of_forms_fall_back_and_are_told,
    a_provider_without_the_operation_is_passed_over,
    files_and_batches_live_at_the_provider,
    anthropics_files_are_passed_on_with_their_beta, a_tuned_model_is_deleted_where_it_is,
    large_files_go_up_and_down,
    text_completions_and_their_streams_are_passed_on,
    any_other_path_is_proxied,
    a_proxied_answer_keeps_its_status_and_bytes,
    usage_of_proxied_answers_is_counted,
    the_proxy_is_no_way_around_anything,
    pk_s_own_paths_and_unknown_ones_reach_no_provider,
    a_relay_that_breaks_has_no_clean_end,
    a_client_that_leaves_ends_the_call,
    a_key_s_models_hold_for_forms_and_paths,
    a_budget_that_is_used_up_refuses,
    a_key_is_needed_for_these_too)
pkd.stop()
mock.stop()
end()
