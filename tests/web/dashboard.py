#!/usr/bin/env python3
"""The dashboard at GET /, in a real browser: dashboard.py BUILD"""
import os
import subprocess
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "../regress")]
from pkd_harness import *
import browser as chromium

FILES = ["/", "/dashboard/app.css", "/dashboard/app.js", "/dashboard/api.js", "/dashboard/draw.js"]
EVIL = '<img src=x onerror="document.title=\'owned\'">'
mock = Mock()
folder = tempfile.mkdtemp(prefix="pkd")
store = os.path.join(folder, "t.pkdb")


def command(*words, stdin=None):
    return subprocess.run([program("pkd"), *words, "--store", store], input=stdin, capture_output=True, text=True,
                          check=True).stdout.strip()


key = command("apikey", "create", "viewer", json.dumps({"scopes": ["admin", "call", "logs"]}))
command("key", "put", "my-openai", "openai", stdin="sk-secret")
command("config", "put", "support", stdin='{"provider": "openai", "retry": {"attempts": 2}}')
command("limit", "put", "enough", stdin='{"user": "*", "counts": "requests", "amount": 5000, "per": "day"}')
command("prompt", "put", "hello", stdin="Hello {{name}}")
pkd = Pkd(folder=folder)
bearer = {"x-portkey-api-key": key}
cached = config(mock, cache={"mode": "simple"})
for i in range(4):
    chat(pkd, mock, "gpt-4o-mini", "a question", {**bearer, "x-portkey-trace-id": "session-1", "x-portkey-metadata": '{"_user": "ann", "feature": "search"}'}, cached)
chat(pkd, mock, "status-500", EVIL, {**bearer, "x-portkey-metadata": json.dumps({"_user": EVIL})})
pkd.rows_within("select 1 from pk_log", lambda r: len(r) == 5)
base = f"http://127.0.0.1:{pkd.port}/"


def the_page_needs_no_key_and_lets_nothing_else_run():
    for path in FILES:
        status, headers, body = pkd.http("GET", path)
        expect(status == 200 and len(body) > 200, f"{path}: {status}")
        policy = headers["content-security-policy"]
        expect("default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, policy)
        expect(headers["x-content-type-options"] == "nosniff", headers)
        expect(not re.search(rb"""(?:src|href|import|from|url\()\s*[=(]?\s*["']?(?:https?:)?//""", body), f"{path} loads from elsewhere")
        expect(b"innerHTML" not in body and b"eval(" not in body and b"insertAdjacentHTML" not in body, path)
    expect(pkd.http("HEAD", "/")[0] == 200 and pkd.http("GET", "/dashboard/none")[0] == 404)
    expect(pkd.http("GET", "/v1/logs")[0] == 401)


def with_browser(case):
    """A case in a fresh browser, which has the key unless the case wants to give it."""
    def run_it():
        if not chromium.find():
            raise Skip("no Chromium")
        b = chromium.Browser()
        try:
            b.size(1280, 900)
            b.open(base)
            if case is not a_key_is_asked_for_and_kept_for_the_tab:
                b.until("document.querySelector('#ask-key').open")
                b.value(f"sessionStorage.setItem('pk.api-key', {json.dumps(key)})")
                b.complaints()
                b.open(base + "?again")
            case(b)
        finally:
            b.close()
    run_it.__name__ = case.__name__
    return run_it


def text(b):
    return b.value("document.querySelector('main').innerText")


def go(b, place, wait):
    b.value(f"location.hash = {json.dumps(place)}")
    expect(b.until(f"!document.querySelector('main').ariaBusy && {wait}"), f"{place}: {text(b)}")


def a_key_is_asked_for_and_kept_for_the_tab(b):
    expect(b.until("document.querySelector('#ask-key').open"), "it asks for a key")
    expect("API key" in b.value("document.querySelector('[role=alert]').innerText"))
    b.write("pk-" + "0" * 43)
    b.press("Enter")
    expect(b.until("document.querySelector('#ask-key').open && document.querySelector('#key').value === ''"), "a wrong key")
    b.write(key)
    b.press("Enter")
    expect(b.until("document.querySelectorAll('.tile').length === 6"), text(b))
    expect(b.value("Object.keys(localStorage).length + document.cookie.length") == 0 and key not in b.value("location.href"))
    b.open(base + "?later")
    expect(b.until("document.querySelectorAll('.tile').length === 6"), "it is known in this tab")
    b.value("document.querySelector('#change-key').click()")
    b.value("document.querySelector('button[value=forget]').click()")
    expect(b.until("document.querySelector('[role=alert]')"), "it was forgotten")


def the_overview_adds_up(b):
    go(b, "#/overview?time_range=1h", "document.querySelectorAll('.chart svg').length === 5")
    tiles = dict(zip(*[iter(b.value("[...document.querySelectorAll('.tile')].flatMap(t => [t.children[0].innerText, t.children[1].innerText])"))] * 2))
    expect(tiles["Requests"] == "5" and tiles["Errors"] == "1" and tiles["Cache hits"] == "3", tiles)
    expect(tiles["Cost"].startswith("$0.0"), tiles)
    expect(b.value("document.querySelectorAll('.chart rect, .chart circle').length") >= 5)
    for name in "24h", "7d", "30d", "6h":
        go(b, "#/overview?time_range=" + name, f"document.querySelector('.ranges [aria-current]').innerText === '{name}'")
    expect("gpt-4o-mini" in text(b) and "ann" in text(b))
    expect(b.complaints() == [], b.events)


def logs_are_filtered_and_one_is_shown(b):
    go(b, "#/logs", "document.querySelectorAll('tbody tr').length === 5")
    b.value("document.querySelector('#f-metadata').value = 'feature=search', document.querySelector('main form button').click()")
    expect(b.until("document.querySelectorAll('tbody tr').length === 4"), text(b))
    go(b, "#/logs?status=error", "document.querySelectorAll('tbody tr').length === 1")
    b.value("document.querySelector('tbody a').click()")
    expect(b.until("document.querySelector('.alert') && document.querySelectorAll('.halves .card').length === 2"), text(b))
    shown = text(b)
    expect(EVIL in shown and "openai answered 500" in shown and "attempt openai" in shown, shown)
    expect("owned" not in b.value("document.title") and b.value("document.querySelectorAll('main img').length") == 0)
    go(b, "#/logs?trace_id=session-1", "document.querySelectorAll('tbody tr').length === 4")
    b.value("document.querySelector('tbody a').click()")
    expect(b.until("document.querySelectorAll('.spans').length === 2"), text(b))
    expect("Trace: 4 calls" in text(b) and "a question" in text(b), text(b))
    expect(b.complaints() == [], "complaints")


def feedback_is_given(b):
    go(b, "#/logs?trace_id=session-1", "document.querySelectorAll('tbody tr').length === 4")
    b.value("document.querySelector('tbody a').click()")
    expect(b.until("document.querySelector('#value')"))
    b.value("document.querySelector('#value').value = -3, document.querySelector('#value').form.querySelector('button').click()")
    expect(b.until("document.querySelector('[role=status]').innerText.includes('Thank you')"), text(b))
    expect(pkd.rows_within("select value from pk_feedback_item where trace_id = 'session-1'", len) == [(-3,)])


def what_is_stored_is_listed_without_secrets(b):
    for place, word in ("configs", "support"), ("keys", "my-openai"), ("keys", "viewer"), ("limits", "enough"), ("limits", "Alerts"), ("prompts", "hello"), ("guardrails", "No guardrails"):
        go(b, "#/" + place, f"document.querySelector('main').innerText.includes({json.dumps(word)})")
        expect("sk-secret" not in text(b) and key not in text(b), place)
    go(b, "#/configs/support", "document.querySelector('pre')")
    expect("attempts" in text(b), text(b))
    expect(b.complaints() == [], "complaints")


def it_is_served_from_here_alone(b):
    go(b, "#/logs", "document.querySelectorAll('tbody tr').length === 5")
    elsewhere = [u for u in b.requested() if not u.startswith(base) and not u.startswith("data:")]
    expect(elsewhere == [], elsewhere)


def it_can_be_used_with_keys_alone(b):
    go(b, "#/logs", "document.querySelectorAll('tbody tr').length === 5")
    b.value("document.activeElement.blur(), document.querySelector('.skip').focus()")
    seen = []
    for _ in range(40):
        seen.append(b.value("document.activeElement.innerText || document.activeElement.name || ''"))
        expect(b.value("getComputedStyle(document.activeElement).outlineStyle") != "none", f"{seen[-1]} shows no focus")
        if b.value("document.activeElement.closest('tbody') !== null"):
            break
        b.press("Tab")
    expect({"Overview", "Logs", "API key", "provider", "Filter"} <= set(seen), seen)
    b.press("Enter")
    expect(b.until("location.hash.startsWith('#/logs/')"), "a call opens by its link")


def it_fits_narrow_screens_and_dark_ones(b):
    b.size(360, 780)
    for place in "overview", "logs", "keys", "configs":
        go(b, "#/" + place, "document.querySelector('main h1')")
        time.sleep(0.3)
        expect(b.value("document.documentElement.scrollWidth") <= 360, place)
    light = b.value("getComputedStyle(document.body).backgroundColor")
    b.dark(True)
    expect(b.value("getComputedStyle(document.body).backgroundColor") != light)


run(the_page_needs_no_key_and_lets_nothing_else_run,
    *map(with_browser, (a_key_is_asked_for_and_kept_for_the_tab, the_overview_adds_up, logs_are_filtered_and_one_is_shown,
                        feedback_is_given, what_is_stored_is_listed_without_secrets, it_is_served_from_here_alone,
                        it_can_be_used_with_keys_alone, it_fits_narrow_screens_and_dark_ones)))
expect(pkd.stop() == 0)
shutil.rmtree(folder)
mock.stop()
end()
