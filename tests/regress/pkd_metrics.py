#!/usr/bin/env python3
"""What /metrics says of known traffic: pkd_metrics.py BUILD"""
import subprocess

from pkd_harness import *

mock = Mock()
PAGE = "text/plain; version=0.0.4; charset=utf-8"


def parse(text):
    """{(name, frozenset of labels): value}; strict about the format, HELP and TYPE, order and repetition."""
    samples, kinds, done, current = {}, {}, set(), None
    expect(text.endswith("\n"), "the last line ends")
    for line in text[:-1].split("\n"):
        comment = re.fullmatch(r"# (HELP|TYPE) ([a-z][a-z0-9_]*) (\S.*)", line)
        if comment and comment[1] == "HELP":
            expect(comment[2] not in done, f"{comment[2]} comes twice")
            done.add(comment[2])
            current = comment[2]
            continue
        if comment:
            expect(comment[2] == current and comment[3] in ("counter", "gauge", "histogram"), line)
            kinds[current] = comment[3]
            continue
        found = re.fullmatch(r'([a-z][a-z0-9_]*)(?:\{((?:[a-z_]+="[^"\\\n]*",?)+)\})? (-?\d+(?:\.\d+)?)', line)
        expect(found, f"no sample: {line!r}")
        base = re.sub(r"_(bucket|sum|count)$", "", found[1]) if kinds[current] == "histogram" else found[1]
        expect(base == current, f"{found[1]} stands under {current}")
        labels = frozenset(re.findall(r'([a-z_]+)="([^"]*)"', found[2] or ""))
        expect((found[1], labels) not in samples, f"{line} comes twice")
        expect(kinds[current] != "counter" or re.search("_total$", found[1]), found[1])
        samples[found[1], labels] = float(found[3])
    for name, kind in kinds.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return samples


def check_histogram(name, samples):
    """Buckets only grow, the last is the count."""
    series = {}
    for (n, labels), value in samples.items():
        if n == name + "_bucket":
            rest = frozenset(l for l in labels if l[0] != "le")
            series.setdefault(rest, []).append((float(dict(labels)["le"].replace("+Inf", "inf")), value))
    for rest, buckets in series.items():
        expect(buckets == sorted(buckets) and [v for _, v in buckets] == sorted(v for _, v in buckets), buckets)
        expect(buckets[-1] == (float("inf"), samples[name + "_count", rest]), buckets)
        expect((name + "_sum", rest) in samples, name)


def metrics(p, headers=None):
    status, head, body = p.http("GET", "/metrics", headers=headers)
    expect(status == 200 and head["content-type"] == PAGE, status)
    return parse(body.decode())


def value(samples, name, **labels):
    return samples.get((name, frozenset(labels.items())), 0)


def prompt_text_and_keys_are_no_labels(text):
    for secret in "secret words", "sk-test", "x-odd-provider", "pk-":
        expect(secret not in text, secret)


def known_traffic_is_counted():
    p = Pkd("--threads", "2")
    for _ in range(5):
        expect(chat(p, mock)[0] == 200)
    expect(chat(p, mock, stream=True)[0] == 200)
    cached = config(mock, cache={"mode": "simple"})
    for _ in range(3):
        expect(chat(p, mock, "echo", "secret words", cfg=cached)[0] == 200)
    retried = config(mock, retry={"attempts": 2, "on_status_codes": [503]})
    expect(chat(p, mock, "status-503", cfg=retried)[0] == 503)
    both = json.dumps({"strategy": {"mode": "fallback"}, "targets": [
        {"provider": "openai", "api_key": "sk-test", "custom_host": mock.base, "override_params": {"model": "status-500"}},
        {"provider": "groq", "api_key": "sk-test", "custom_host": mock.base}]})
    expect(chat(p, mock, cfg=both)[0] == 200)
    blocked = config(mock, input_guardrails=[{"default.contains": {"words": ["verboten"], "operator": "none"},
                                              "deny": True}])
    expect(chat(p, mock, text="verboten", cfg=blocked)[0] == 446)
    expect(chat(p, mock, cfg='{"nonsense": 1}')[0] == 400)
    expect(p.http("GET", "/nowhere")[0] == 404)
    s = p.raw()
    s.sendall(b"nonsense\r\n\r\n")
    expect(b" 400 " in s.recv(100))
    s.close()
    status, _, body = p.http("GET", "/metrics")
    prompt_text_and_keys_are_no_labels(body.decode())
    m = parse(body.decode())
    for name, labels, want in [
            ("pkd_calls_total", {"operation": "chat", "provider": "openai", "code": "2xx"}, 9),
            ("pkd_calls_total", {"operation": "chat", "provider": "openai", "code": "5xx"}, 1),
            ("pkd_calls_total", {"operation": "chat", "provider": "openai", "code": "4xx"}, 1),
            ("pkd_calls_total", {"operation": "chat", "provider": "groq", "code": "2xx"}, 1),
            ("pkd_attempts_total", {"provider": "openai", "code": "2xx"}, 7),
            ("pkd_attempts_total", {"provider": "openai", "code": "5xx"}, 4),
            ("pkd_attempts_total", {"provider": "groq", "code": "2xx"}, 1),
            ("pkd_retries_total", {}, 2), ("pkd_fallbacks_total", {}, 1),
            ("pkd_outcomes_total", {"status": "success"}, 10), ("pkd_outcomes_total", {"status": "error"}, 1),
            ("pkd_outcomes_total", {"status": "blocked"}, 1),
            ("pkd_cache_total", {"status": "hit"}, 2), ("pkd_cache_total", {"status": "miss"}, 1),
            ("pkd_refused_total", {"by": "guardrail"}, 1), ("pkd_refused_total", {"by": "request"}, 2),
            ("pkd_refused_total", {"by": "limit"}, 0), ("pkd_refused_total", {"by": "auth"}, 0),
            ("pkd_http_malformed_total", {}, 1), ("pkd_calls_in_flight", {}, 0),
            ("pkd_connections_open", {}, 1), ("pkd_connections_total", {}, 16),
            ("pkd_http_requests_total", {}, 15), ("pkd_store_errors_total", {}, 0),
            ("pkd_call_seconds_count", {"provider": "openai"}, 11), ("pkd_overhead_seconds_count", {}, 12),
            ("pkd_first_token_seconds_count", {"provider": "openai"}, 1), ("pkd_log_dropped_total", {}, 0)]:
        got = value(m, name, **labels)
        expect(got == want, f"{name} {labels}: {got}, not {want}")
    expect(value(m, "pkd_build_info", version=version()) == 1)
    for name in "process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds":
        expect(value(m, name) > 0, name)
    expect(abs(value(m, "process_start_time_seconds") - time.time()) < 60)
    fds = len(os.listdir(f"/proc/{p.process.pid}/fd"))
    expect(abs(value(m, "process_open_fds") - fds) <= 2, fds)
    expect(until(lambda: value(metrics(p), "pkd_log_written_total") >= 13))  # 12 calls, a cache entry
    expect(p.stop() == 0)


def version():
    return subprocess.run([program("pkd"), "--version"], capture_output=True, text=True).stdout.split()[1]


def cost_and_tokens_are_those_of_the_log():
    p = Pkd()
    for text in "one", "two words":
        expect(chat(p, mock, "gpt-4o-mini", text)[0] == 200)
    rows = p.rows_within("select sum(cost_pusd), sum(input_tokens), sum(output_tokens), count(*) from pk_log",
                         lambda r: r[0][3] == 2)
    m = metrics(p)
    cost = value(m, "pkd_cost_usd_total", provider="openai")
    tokens = [value(m, "pkd_tokens_total", provider="openai", kind=k) for k in ("input", "output")]
    expect(cost > 0 and min(tokens) > 0, (cost, tokens))
    expect(round(cost * 1e12) == rows[0][0] and tokens == [rows[0][1], rows[0][2]], (cost, tokens, rows))
    expect(p.stop() == 0)


def calls_in_progress_show():
    p = Pkd()
    s = p.raw()
    body = chat_body("slow-bytes:5ms", "x" * 100).encode()
    s.sendall(chat_request(mock, body))
    expect(until(lambda: value(metrics(p), "pkd_calls_in_flight") == 1))
    expect(value(metrics(p), "pkd_connections_open") == 2)
    expect(read_response(s)[0] == 200)
    expect(until(lambda: value(metrics(p), "pkd_calls_in_flight") == 0))
    s.close()
    expect(p.stop() == 0)


def with_keys_it_needs_one_that_may_read_logs():
    folder = tempfile.mkdtemp(prefix="pkd")
    store = os.path.join(folder, "t.pkdb")

    def key(scope):
        done = subprocess.run([program("pkd"), "apikey", "create", scope, json.dumps({"scopes": [scope]}), "--store", store],
                              capture_output=True, text=True, check=True)
        return {"authorization": "Bearer " + done.stdout.strip()}

    call, logs, admin = key("call"), key("logs"), key("admin")
    p = Pkd(folder=folder)
    expect(p.http("GET", "/metrics")[0] == 401)
    expect(p.http("GET", "/metrics", headers=call)[0] == 403)
    expect(p.http("GET", "/metrics", headers=admin)[0] == 200)
    m = metrics(p, logs)
    expect(value(m, "pkd_refused_total", by="auth") == 2)
    expect(p.stop() == 0)
    p = Pkd("--metrics-open", folder=folder)
    expect(p.http("GET", "/metrics")[0] == 200)
    expect(p.http("GET", "/metrics", headers={"host": "10.0.0.7:9090"})[0] == 200)
    expect(p.http("GET", "/v1/models")[0] == 401)
    expect(p.http("POST", "/metrics", "", admin)[0] == 405)
    expect(p.stop() == 0)
    shutil.rmtree(folder)


def the_prometheus_client_reads_it():
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise Skip("no prometheus_client")
    p = Pkd()
    expect(chat(p, mock)[0] == 200)
    families = {f.name: f for f in text_string_to_metric_families(p.http("GET", "/metrics")[2].decode())}
    expect(families["pkd_calls"].type == "counter" and families["pkd_calls"].samples[0].value == 1, families)
    expect(families["pkd_call_seconds"].type == "histogram", families)
    expect(p.stop() == 0)


run(known_traffic_is_counted, cost_and_tokens_are_those_of_the_log, calls_in_progress_show,
    with_keys_it_needs_one_that_may_read_logs, the_prometheus_client_reads_it)
mock.stop()
end()
