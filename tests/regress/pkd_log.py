#!/usr/bin/env python3
"""What pkd writes to stderr: pkd_log.py BUILD"""
import glob
import shlex

from pkd_harness import *

mock = Mock()
PROMPT, KEY = "tell-nobody-the-word-xyzzy", "sk-never-in-a-log-0001"


def lines_of_code_have_the_form():
    """An event and key=value pairs: what sidecar/log.c can take apart."""
    for path in glob.glob(os.path.join(ROOT, "sidecar/*.c")):
        for fmt in re.findall(r'pkd_(?:debug|info|warn|error)\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', open(path).read()):
            fmt = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', fmt))
            expect(re.fullmatch(r"[a-z_]+( [a-z_]+=(%(\.\*s|s|d|u|zu|lld)|[\w:./-])+)*", fmt), f"{path}: {fmt}")


def talk(p):
    """Calls whose answers and errors quote what the client sent."""
    headers = {"authorization": "Bearer " + KEY, "x-portkey-trace-id": 'a trace="x" \\ y'}
    cfg = json.dumps({"provider": "openai", "custom_host": mock.base, "api_key": KEY})
    for model in "echo", "status-400", "status-503", "html-200", "truncated-json", "drop-mid":
        chat(p, mock, model, PROMPT, headers, cfg)
        try:
            chat(p, mock, model, PROMPT, headers, cfg, stream=True)
        except http.client.IncompleteRead:
            pass  # as it should be
    p.http("POST", "/v1/chat/completions", '{"messages": "' + PROMPT, {"content-type": "application/json", **headers})
    p.http("POST", "/v1/chat/completions", "{}", {"x-portkey-config": '{"' + PROMPT + '": 1}', **headers})
    p.http("GET", "/v1/" + PROMPT)


def text_lines_can_be_taken_apart():
    p = Pkd("--log-level", "debug")
    talk(p)
    expect(p.process.poll() is None)
    calls = [l for l in p.text().split("\n") if " debug call " in l]
    expect(len(calls) >= 12, p.text())
    for line in p.text().strip().split("\n"):
        time_, level, event, *pairs = shlex.split(line)
        expect(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time_) and level in ("error", "warn", "info", "debug"), line)
        expect(re.fullmatch("[a-z_]+", event) and all(re.match("[a-z_]+=.", x) for x in pairs), line)
    expect(PROMPT not in p.text() and KEY not in p.text(), "a secret is in the log")
    expect(p.stop() == 0)


def json_lines_are_json():
    p = Pkd("--log-format", "json", "--verbose")
    talk(p)
    folder = p.folder
    lines = [json.loads(l) for l in p.text().strip().split("\n")]
    expect([l["event"] for l in lines[:2]] == ["listening", "ready"], lines[:2])
    calls = [l for l in lines if l["event"] == "call"]
    expect(len(calls) >= 12 and all(type(c["attempts"]) is int and c["level"] == "debug" for c in calls), calls[:2])
    expect(PROMPT not in p.text() and KEY not in p.text(), "a secret is in the log")
    expect(p.stop() == 0 and not os.path.exists(folder))


def calls_are_told_only_when_asked():
    for options, lines in ([], 0), (["--verbose"], 1), (["--log-level", "debug"], 1), (["--log-level", "info"], 0):
        p = Pkd(*options)
        expect(chat(p, mock)[0] == 200)
        expect(until(lambda: len(re.findall(r" debug call .*status=success http=200 provider=openai", p.text())) == lines), p.text())
        expect(p.stop() == 0)


def the_environment_sets_it():
    p = Pkd(env={"PK_LOG_FORMAT": "json"})
    expect(json.loads(p.text().split("\n")[0])["event"] == "listening", p.text())
    expect(p.stop() == 0)


run(lines_of_code_have_the_form, text_lines_can_be_taken_apart, json_lines_are_json, calls_are_told_only_when_asked,
    the_environment_sets_it)
mock.stop()
end()
