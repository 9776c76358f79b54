#!/usr/bin/env python3
"""What tests may rely on in the mock provider: test.py BUILD"""
import http.client
import json
import socket
import subprocess
import sys
import time

BUILD = sys.argv[1]
failures = 0


class Mock:
    """A running mockd."""

    def __init__(self):
        self.process = subprocess.Popen([BUILD + "/mockd", "--port", "0"], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().rsplit(b":", 1)[1])

    def stop(self):
        self.process.terminate()
        return self.process.wait(5)

    def post(self, model, path="/v1/chat/completions", key="k", **body):
        body = {"model": model, "messages": [{"role": "user", "content": "one two  three"}], **body}
        headers = {"Content-Type": "application/json"}
        if key and ":" in path:
            headers["x-goog-api-key"] = key
            body = {"contents": [{"role": "user", "parts": [{"text": "one two  three"}]}]}
        elif key and "messages" in path.rsplit("/", 1)[1]:
            headers.update({"x-api-key": key, "anthropic-version": "2023-06-01"})
        elif key:
            headers["Authorization"] = "Bearer " + key
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("POST", path, json.dumps({k: v for k, v in body.items() if v is not None}), headers)
        r = c.getresponse()
        return r.status, r.headers, r.read()

    def text(self, model, **more):
        return json.loads(self.post(model, **more)[2])["choices"][0]["message"]["content"]

    def page(self, name, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request(method, "/__mock/" + name)
        return json.loads(c.getresponse().read())


def events(body):
    return [json.loads(line[6:]) for line in body.decode().splitlines()
            if line.startswith("data: {")]


def failing(call, *errors):
    try:
        call()
    except errors:
        return True
    return False


def echoes_the_last_user_text(m):
    answer = json.loads(m.post("gpt-x")[2])
    return (answer["choices"][0]["message"]["content"] == "one two  three"
            and answer["usage"]["prompt_tokens"] == 3 and answer["usage"]["completion_tokens"] == 3)


def streams_each_dialect_word_by_word(m):
    status, headers, body = m.post("x", stream=True, stream_options={"include_usage": True})
    text = "".join(c["delta"].get("content", "") for e in events(body) for c in e["choices"])
    native = events(m.post("x", "/v1/messages", max_tokens=5, stream=True)[2])
    other = "".join(e["delta"].get("text", "") for e in native if "delta" in e)
    google = m.post("x", "/v1beta/models/x:streamGenerateContent?alt=sse")[2]
    third = "".join(p["text"] for e in events(google)
                    for p in e["candidates"][0]["content"]["parts"])
    fourth = "".join(e["delta"]["message"]["content"]["text"]
                     for e in events(m.post("x", "/v2/chat", stream=True)[2])
                     if e["type"] == "content-delta")
    return (text == other == third == fourth == "one two  three" and body.endswith(b"data: [DONE]\n\n")
            and events(body)[-1]["usage"]["total_tokens"] == 6
            and native[-1]["type"] == "message_stop" and status == 200
            and headers["Content-Type"].startswith("text/event-stream"))


def refuses_what_the_real_ones_refuse(m):
    return [m.post("x", key=None)[0], m.post("x", messages=None)[0], m.post(None)[0],
            m.post("x", "/v1/messages", key=None, max_tokens=5)[0], m.post("x", "/v1/messages")[0],
            m.post("x", "/v1/messages", max_tokens=5, n=2)[0], m.post("x", "/v1/nothing")[0],
            m.post("x", temperature=3)[0]] == [401, 400, 400, 401, 400, 400, 404, 400]


def counts_sequences_by_model_and_key(m):
    got = [m.post("seq-503-429-200", key=k)[0] for k in "aabaab"]
    return got == [503, 429, 503, 200, 200, 429]


def says_when_to_try_again(m):
    headers = [m.post("status-429:" + o)[1] for o in
               ("retry-after=2", "retry-after-ms=300", "retry-date=60")]
    return (headers[0]["retry-after"] == "2" and headers[1]["retry-after-ms"] == "300"
            and headers[2]["retry-after"].endswith(" GMT") and m.post("echo:retry-after=2")[1]
            .get("retry-after") is None)


def waits_as_long_as_the_path_says(m):
    started = time.monotonic()
    m.post("x", "/d/120/v1/chat/completions")
    return 0.118 < time.monotonic() - started


def a_path_may_choose_the_plan(m):
    status, _, body = m.post("gpt-4o", "/m/status-529/v1/messages", max_tokens=1)
    return status == 529 and json.loads(body)["error"]["type"] == "overloaded_error"


def breaks_off_where_it_should(m):
    broken = (http.client.HTTPException, OSError)
    return (failing(lambda: m.post("drop-head"), *broken)
            and failing(lambda: m.post("drop-mid"), *broken)
            and failing(lambda: m.post("drop-mid", stream=True), *broken)
            and failing(lambda: json.loads(m.post("truncated-json")[2]), ValueError)
            and b"[DONE]" not in m.post("no-end", stream=True)[2]
            and failing(lambda: m.post("bad-utf8")[2].decode(), UnicodeDecodeError)
            and b"error" in m.post("error-mid-stream", stream=True)[2])


def makes_bodies_of_a_size(m):
    return (len(m.post("fixed-600")[2]) == 600 and len(m.post("fixed-5000")[2]) == 5000
            and len(m.text("huge:3MB")) == 3 << 20)


def echoes_body_and_headers(m):
    body = json.loads(m.text("body-echo", extra=2 ** 60))
    return body["extra"] == 2 ** 60 and "authorization: Bearer k\n" in m.text("headers-echo")


def calls_the_first_tool(m):
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "find", "parameters": schema}}]
    answer = json.loads(m.post("tool-call", tools=tools)[2])["choices"][0]
    call = answer["message"]["tool_calls"][0]["function"]
    return (call["name"] == "find" and json.loads(call["arguments"]) == {"city": "mock", "n": 1}
            and answer["finish_reason"] == "tool_calls")


def notices_clients_that_leave(m):
    m.page("reset", "POST")
    s = socket.create_connection(("127.0.0.1", m.port))
    body = b'{"model":"stall-after:1","stream":true,"messages":[{"role":"user","content":"x"}]}'
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
              b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    s.recv(100)
    before = m.page("stats")
    s.close()
    for _ in range(100):
        after = m.page("stats")
        if after["aborted"]:
            break
        time.sleep(0.01)
    return (before["in_flight"], before["aborted"], after["in_flight"], after["aborted"],
            after["by_model"]) == (1, 0, 0, 1, {"stall-after:1": 1})


def answers_pipelined_requests_in_order(m):
    s = socket.create_connection(("127.0.0.1", m.port))
    one = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n\r\n"
    s.sendall(one * 20 + one.replace(b"models", b"none") + one.replace(b"\r\n\r\n",
                                                                     b"\r\nConnection: close\r\n\r\n"))
    got = b"".join(iter(lambda: s.recv(65536), b""))
    return got.count(b"HTTP/1.1 200") == 21 and got.rindex(b" 404 ") < got.rindex(b" 200 ")


def embeds_texts_with_the_same_words_near_each_other(m):
    def vectors(*texts, **more):
        status, _, body = m.post("e", "/v1/embeddings", messages=None, input=list(texts), **more)
        return status, [d["embedding"] for d in json.loads(body).get("data", [])]

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b))
    status, (a, b, c) = vectors("How do I reset my password?", "How can I reset the passwords",
                                "Where is the airport?")
    short = vectors("x", dimensions=8)[1][0]
    return (status == 200 and len(a) == 256 and len(short) == 8 and abs(cosine(a, a) - 1) < 1e-5
            and cosine(a, b) > 0.95 and abs(cosine(a, c)) < 0.5
            and m.post("e", "/v1/embeddings", messages=None, input="x", key=None)[0] == 401
            and m.post("e", "/v1/embeddings", messages=None)[0] == 400
            and m.post("status-503", "/v1/embeddings", messages=None, input="x")[0] == 503)


def refuses_embeddings_and_rankings_that_the_real_ones_refuse(m):
    def status(path, **body):
        return m.post("e", path, messages=None, **body)[0]
    texts = {"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"]}
    ranks = {"query": "b", "documents": ["a", "b"]}
    ranked = json.loads(m.post("e", "/v2/rerank", messages=None, **ranks, top_n=1)[2])["results"]
    return ([status("/v2/embed", **texts), status("/v2/embed", **{**texts, "input_type": None}),
             status("/v2/embed", **texts, input="a"), status("/v1beta/models/e:batchEmbedContents")]
            == [200, 400, 400, 400]
            and [status("/v2/rerank", **ranks), status("/v2/rerank", **ranks, return_documents=True),
                 status("/v1/rerank", **ranks, return_documents=True), status("/v1/rerank", **ranks, top_k=1, top_n=1)]
            == [200, 400, 200, 400] and ranked == [{"index": 1, "relevance_score": 1}]
            and status("/v1/moderations", input="a") == 200 and status("/v1/moderations") == 400)


CASES = [echoes_the_last_user_text, streams_each_dialect_word_by_word,
         refuses_what_the_real_ones_refuse, counts_sequences_by_model_and_key,
         says_when_to_try_again, waits_as_long_as_the_path_says, a_path_may_choose_the_plan,
         breaks_off_where_it_should, makes_bodies_of_a_size, echoes_body_and_headers,
         calls_the_first_tool, notices_clients_that_leave, answers_pipelined_requests_in_order,
         embeds_texts_with_the_same_words_near_each_other,
         refuses_embeddings_and_rankings_that_the_real_ones_refuse]

mock = Mock()
for case in CASES:
    try:
        good = case(mock)
    except Exception as e:  # a case that raises has failed; the next ones still run
        good = print("#", repr(e))
    print("ok" if good else "not ok", case.__name__)
    failures += not good
stopped = mock.stop() == 0
print("ok" if stopped else "not ok", "stops on SIGTERM")
sys.exit(bool(failures) or not stopped)
