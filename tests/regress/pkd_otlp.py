#!/usr/bin/env python3
"""Calls told to an OpenTelemetry collector: what arrives is what pk_logs_otel says, and a collector that is slow, down
or refuses does not delay a call.

    tests/regress/pkd_otlp.py BUILD
"""
import http.server
import json
import os
import sqlite3
import sys
import threading
import time

from pkd_harness import ROOT, Mock, Pkd, Promise, Skip, chat, end, expect, run, until

BUILD = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BUILD", "build")


class Collector(http.server.ThreadingHTTPServer):
    """Answers with `status` after `delay`; keeps the spans that it took."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.delay, self.spans, self.headers, self.paths, self.resources, self.asked = 200, 0, [], [], [], [], 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        c = self.server
        c.asked += 1
        time.sleep(c.delay)
        if c.status == 200:
            for resource in body["resourceSpans"]:
                c.resources.append(resource["resource"])
                for scope in resource["scopeSpans"]:
                    c.spans += scope["spans"]
            c.headers.append(dict(self.headers.items()))
            c.paths.append(self.path)
        self.send_response(c.status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


MOCK = Mock()


def start(collector, **more):
    return Pkd(env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "shop", **more})


def value(v):
    (kind, inner), = v.items()
    if kind == "intValue":
        return int(inner)
    return [value(i) for i in inner["values"]] if kind == "arrayValue" else inner


def attributes(span):
    return {a["key"]: value(a["value"]) for a in span["attributes"]}


def metric(pkd, name):
    lines = pkd.http("GET", "/metrics")[2].decode().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(name + " ")), None)


def rows_of(pkd):
    """pk_logs_otel, by the extension."""
    if not os.path.exists(os.path.join(ROOT, BUILD, "pk.so")):
        raise Skip("there is no extension in " + BUILD)
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(os.path.join(ROOT, BUILD, "pk"), entrypoint="sqlite3_pk_init") if sys.version_info >= (3, 12) else \
        db.load_extension(os.path.join(ROOT, BUILD, "pk"))
    db.execute("select pk_set('store', ?)", (pkd.store,))
    rows = db.execute("select trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano, end_time_unix_nano, "
                      "status_code, status_message, attributes from pk_logs_otel").fetchall()
    db.close()
    return rows


def the_collector_is_told_what_the_view_says():
    collector = Collector()
    pkd = start(collector, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20x%3Dy, x-team=a")
    chat(pkd, MOCK, headers={"x-portkey-trace-id": "visit-5", "x-portkey-metadata": '{"_user": "anna"}'})
    chat(pkd, MOCK, headers={"x-portkey-span-id": "my step", "x-portkey-span-name": "draft", "x-portkey-parent-span-id": "root"})
    chat(pkd, MOCK, model="status-500")
    chat(pkd, MOCK, model="fixed-600", stream=True)
    expect(until(lambda: len({s["traceId"] for s in collector.spans}) == 4), collector.spans)
    want = {(r[0], r[1]): r for r in rows_of(pkd)}
    expect(len(want) == len(collector.spans) >= 8, f"{len(want)} {len(collector.spans)}")
    for span in collector.spans:
        row = want[span["traceId"], span["spanId"]]
        told = (span.get("parentSpanId"), span["name"], {1: "INTERNAL", 3: "CLIENT"}[span["kind"]],
                int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]), {1: "OK", 2: "ERROR"}[span["status"]["code"]],
                span["status"].get("message"))
        expect(told == row[2:9], f"{told} {row}")
        said, there = json.loads(row[9]), attributes(span)
        expect(set(said) == set(there), f"{set(said) ^ set(there)}")
        for name, v in said.items():
            same = abs(v - there[name]) < 1e-9 if isinstance(v, float) else v == there[name]
            expect(same, f"{name}: {v} {there[name]}")
    expect(collector.paths[0] == "/v1/traces" and collector.headers[0]["authorization"] == "Bearer x=y" and
           collector.headers[0]["x-team"] == "a", collector.headers)
    expect(attributes(collector.resources[0]) == {"service.name": "shop"}, collector.resources)
    expect(until(lambda: metric(pkd, "pkd_otlp_sent_total") == 4), "metrics")
    pkd.stop()


def a_traceparent_places_a_call_in_its_trace():
    collector = Collector()
    pkd = start(collector)
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    code, headers, _ = chat(pkd, MOCK, headers={"traceparent": parent})
    expect(code == 200 and headers["x-portkey-trace-id"] == "4bf92f3577b34da6a3ce929d0e0e4736", headers)
    code, headers, _ = chat(pkd, MOCK, headers={"traceparent": parent, "x-portkey-trace-id": "mine"})
    expect(headers["x-portkey-trace-id"] == "mine", headers)
    code, headers, _ = chat(pkd, MOCK, headers={"traceparent": "00-nonsense"})
    expect(code == 200 and len(headers["x-portkey-trace-id"]) == 36, headers)
    expect(until(lambda: any(s["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736" and s.get("parentSpanId") == "00f067aa0ba902b7"
                             for s in collector.spans)), collector.spans)
    pkd.stop()


def a_collector_that_hangs_delays_no_call():
    collector = Collector()
    collector.delay = 60
    pkd = start(collector)
    chat(pkd, MOCK)
    expect(until(lambda: collector.asked), "it is asked")
    with Promise("50 calls", 2, 30):
        for _ in range(50):
            expect(chat(pkd, MOCK)[0] == 200)
    with Promise("the end", 10, 40):
        expect(pkd.stop(wait=60) == 0)


def what_is_not_taken_is_sent_again_and_then_dropped():
    collector = Collector()
    collector.status = 503
    pkd = start(collector)
    chat(pkd, MOCK)
    expect(until(lambda: collector.asked >= 2), collector.asked)
    collector.status = 200
    expect(until(lambda: len(collector.spans) >= 2), "it was sent again")
    collector.status = 400
    chat(pkd, MOCK)
    expect(until(lambda: metric(pkd, "pkd_otlp_dropped_total") == 1), "400 is not tried again")
    expect("otlp_dropped" in pkd.text(), pkd.text())
    pkd.stop()


def what_is_left_is_sent_at_the_end():
    collector = Collector()
    pkd = start(collector)
    chat(pkd, MOCK)
    expect(pkd.stop() == 0 and len(collector.spans) >= 2, collector.spans)


def nothing_is_sent_unless_asked_for():
    collector = Collector()
    pkd = start(collector, OTEL_SDK_DISABLED="true")
    chat(pkd, MOCK)
    expect(metric(pkd, "pkd_otlp_sent_total") is None)
    pkd.stop()
    expect(collector.asked == 0)


def settings_that_cannot_be_used_are_named():
    for name, wrong in (("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0d%0ac: d")):
        try:
            Pkd(env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: wrong}).stop()
        except RuntimeError as e:
            expect(name in str(e), str(e))
            continue
        raise AssertionError(f"{name}={wrong} was taken")


run(the_collector_is_told_what_the_view_says, a_traceparent_places_a_call_in_its_trace, a_collector_that_hangs_delays_no_call,
    what_is_not_taken_is_sent_again_and_then_dropped, what_is_left_is_sent_at_the_end, nothing_is_sent_unless_asked_for,
    settings_that_cannot_be_used_are_named)
MOCK.stop()
end()
