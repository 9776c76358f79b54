"""Budgets, rate limits and model lists: the same through every door. See special.py for what is given."""
import json
import time
from decimal import Decimal

from doors import until


def ask(door, sql, *args):
    """One value from the store's views, through whichever engine holds it."""
    side = getattr(door, "side", door)
    if door.dialect == "postgres":
        for i in range(len(args)):
            sql = sql.replace("?", f"${i + 1}", 1)
    return side.call(sql, *args)


def settled(door, limit, column="used"):
    door.function("pk_flush")
    if door.name == "http":
        time.sleep(0.15)  # what a daemon is told to write, it writes soon
        until(lambda: Decimal(str(ask(door, "select reserved from pk_limits where slug = ?", limit) or 0)) == 0)
    return Decimal(str(ask(door, f"select {column} from pk_limits where slug = ?", limit) or 0))


def put(door, limit, **terms):
    return door.function("pk_limit_put", limit, json.dumps(terms))


def of(case, trace_id=None):
    """The options of a call that only this case's limits name."""
    more = {"trace_id": trace_id} if trace_id else {}
    return {"pk": {"metadata": {"case": case}, **more}}


def key(door, e, slug, **options):
    door.function("pk_key_put", slug, "openai", e.key,
                  json.dumps({"custom_host": e.base + "/v1", **options}))
    return {"virtual_key": slug}


def same(got, code):
    """Postgres tells an SQLSTATE, which budgets and rates share."""
    return got.sqlstate == "53400" or got.code == code


def rate(door, e, mock):
    """a rate limit refuses with 429, says when to come back, and sends nothing"""
    put(door, "e2e-rate", counts="requests", amount=2, per="minute", rolling=True,
        metadata={"case": "rate"})
    answers = [door.chat(e.to("echo"), "hi", of("rate")) for _ in range(2)]
    before = mock.page("stats")["requests"]
    refused = door.chat(e.fallback(e.to("echo"), e.to("echo")), "hi", of("rate", "e2e-rate-refused"))
    row = door.row("e2e-rate-refused")
    told = str(refused.message).rsplit(" ", 2)[-2]
    header = refused.headers.get("retry-after", told)
    return (all(a.ok for a in answers) and same(refused, "rate_limited") and refused.status == 429
            and 'limit "e2e-rate" of rate: 2 requests a minute' in refused.message
            and 1 <= int(told) <= 61 and header == told and mock.page("stats")["requests"] == before
            and row["http_status"] == 429 and row["error_type"] == "rate_limited"
            and row["cost_usd"] is None and settled(door, "e2e-rate") == 2
            and settled(door, "e2e-rate", "refused") == 1
            and door.chat(e.to("echo"), "hi", of("other")).ok)


def budget(door, e, mock):
    """a budget is charged what the log says, and refuses with 412 what may exceed it"""
    put(door, "e2e-budget", counts="cost", amount=0.01, per="total", alert_threshold=0.00005,
        metadata={"case": "budget"})
    params = {"model": "gpt-4o", "max_tokens": 100}
    for i in range(3):
        if not door.chat(e.to(), "hello big world", {**params, **of("budget", f"e2e-budget-{i}")}).ok:
            return False
    costs = [door.row(f"e2e-budget-{i}")["cost_usd"] for i in range(3)]
    refused = door.chat(e.to(), "hi", {**params, "max_tokens": 100000, **of("budget")})
    alerts = ask(door, "select count(*) from pk_alerts where slug = ?", "e2e-budget")
    return (settled(door, "e2e-budget") == sum(costs) == Decimal("0.0001125")
            and settled(door, "e2e-budget", "reserved") == 0 and same(refused, "budget_exceeded")
            and refused.status in (412, 429) and int(alerts) == 2)


def unpriced(door, e, mock):
    """a budget in dollars refuses a model without a price"""
    put(door, "e2e-unpriced", counts="cost", amount=1, per="day", metadata={"case": "unpriced"})
    refused = door.chat(e.to("a-model-nobody-sells"), "hi", of("unpriced"))
    moved = door.chat(e.fallback(e.to("a-model-nobody-sells"), e.to(None, "/m/echo")),
                      "hi", {"model": "gpt-4o", "max_tokens": 10, **of("unpriced")})
    return (same(refused, "budget_exceeded")
            and 'the price of "a-model-nobody-sells" is not known' in refused.message and moved.ok)


def keys_limits(door, e, mock):
    """the limit of a virtual key moves the call on to the next target; the last one's stands"""
    one = key(door, e, "e2e-one", rate_limits=[{"type": "requests", "unit": "rpm", "value": 1}])
    two = key(door, e, "e2e-two", rate_limits=[{"type": "requests", "unit": "rpm", "value": 2}])
    both = e.fallback(one, two, override_params={"model": "echo"})
    rows = []
    for i in range(4):
        door.chat(both, "hi", {"pk": {"trace_id": f"e2e-keys-{i}"}})
        rows.append(door.row(f"e2e-keys-{i}"))
    spans = [s["error_type"] for s in door.spans("e2e-keys-1") if s["kind"] == "attempt"]
    return ([r["virtual_key"] for r in rows] == ["e2e-one", "e2e-two", "e2e-two", "e2e-two"]
            and [r["http_status"] for r in rows] == [200, 200, 200, 429]
            and spans == ["rate_limited", None])


def models(door, e, mock):
    """a virtual key is for the models that it names"""
    some = key(door, e, "e2e-some", allowed_models=["gpt-4o*", "echo"], denied_models=["*-audio"])
    def chat(model, **more):
        return door.chat({**some, **more}, "hi", {"model": model})
    refused = chat("gpt-4o-audio")
    changed = chat("echo", override_params={"model": "o1"})
    return (chat("gpt-4o-mini").ok and chat("echo").ok and refused.status == 403
            and 'virtual key "e2e-some": model "gpt-4o-audio" is not allowed' in refused.message
            and 'model "o1" is not allowed' in changed.message
            and chat("o1", override_params={"model": "echo"}).ok)


def no_usage(door, e, mock):
    """an answer without a bill is charged what it is estimated to have used"""
    put(door, "e2e-no-usage", counts="tokens", amount=100000, per="day", metadata={"case": "none"})
    door.chat(e.to(path="/m/echo:usage=off"), "hello big world",
              {"model": "gpt-4o", "max_tokens": 50, **of("none", "e2e-no-usage")})
    row = door.row("e2e-no-usage")
    return (row["usage_source"] == "estimated" and row["cost_usd"] > 0
            and settled(door, "e2e-no-usage") == row["input_tokens"] + row["output_tokens"] > 10)


def hits(door, e, mock):
    """a cache hit is not counted"""
    put(door, "e2e-hits", counts="requests", amount=1, per="day", metadata={"case": "hits"})
    config = e.to("echo", cache={"mode": "simple"})
    got = [door.chat(config, "cached and limited", of("hits")) for _ in range(3)]
    return all(g.ok for g in got) and settled(door, "e2e-hits") == 1


def bad_limits(door, e, mock):
    """a limit that says nothing, or names what is not there, is refused"""
    for terms, word in ((b'{"counts":"requests"}', "amount"), (b"{", ""), (b"[]", "object"),
                        (b'{"counts":"cost","amount":-1,"per":"day"}', "limit.amount"),
                        (b'{"counts":"cost","amount":1,"per":"day","virtual_key":"no-such"}', "no-such"),
                        (b'{"counts":"cost","amount":1,"per":"day","api_key":"no-such"}', "no-such")):
        got = door.function("pk_limit_put", "e2e-bad", terms.decode())
        if getattr(got, "ok", True) or word not in got.message:
            return print("#", terms, got if isinstance(got, str) else got.message)
    return not str(ask(door, "select count(*) from pk_limits where slug = ?", "e2e-bad")) != "0"


def audit(door, e, mock):
    """administrative changes are told, and no secret with them"""
    door.function("pk_limit_put", "e2e-audit", '{"counts":"requests","amount":5,"per":"day"}')
    gone = door.function("pk_limit_delete", "e2e-audit")
    key(door, e, "e2e-audited")
    door.function("pk_key_rotate", "e2e-audited", e.key)
    door.function("pk_key_revoke", "e2e-audited")
    rows = ask(door, "select count(*) from pk_audit where object like ?", "e2e-audit%")
    told = ask(door, "select count(*) from pk_audit where cast(detail as text) like ?", f"%{e.key}%")
    return str(gone) in ("1", "t", "True") and int(rows) == 5 and int(told) == 0


def rolled_back(door, e, mock):
    """what a call used stays charged when its transaction is rolled back"""
    put(door, "e2e-rollback", counts="requests", amount=10, per="day", metadata={"case": "rollback"})
    door.call("begin")
    answer = door.chat(e.to("echo"), "hi", of("rollback"))
    door.call("rollback")
    return answer.ok and settled(door, "e2e-rollback") == 1


ANY = [rate, budget, unpriced, keys_limits, models, no_usage, hits, bad_limits, audit]
SQL = [rolled_back]
