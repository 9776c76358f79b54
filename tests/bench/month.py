"""A log as a month of traffic leaves it, for measuring what reads it:  month.py STORE.pkdb [CALLS]

The store must be there, with its tables; rows go straight into pk_log.
"""
import bisect
import itertools
import json
import random
import sqlite3
import sys
import time

CALLS, DAYS = 1000000, 30
DAY_US = 86400 * 10**6
MODELS = [("openai", "gpt-4o-mini", 15, 60), ("openai", "gpt-4o", 250, 1000), ("anthropic", "claude-sonnet-4-5", 300, 1500),
          ("anthropic", "claude-haiku-4-5", 100, 500), ("google", "gemini-2.5-flash", 30, 250), ("groq", "llama-3.3-70b", 59, 79)]
BAD = [("error", 429, "rate_limited"), ("error", 500, "provider"), ("error", 408, "timeout"), ("blocked", 446, "guardrail_blocked"),
       ("client_closed", None, "cancelled")]
COLUMNS = ("id started_us duration_us ttft_us upstream_us input_tokens output_tokens cache_read_tokens cache_write_tokens "
           "cache_write_1h_tokens reasoning_tokens cost_pusd cost_saved_pusd attempts retries fallback_index http_status stream "
           "trace_id operation provider request_model model config target_path status error_type error_message usage_source "
           "cost_reason cache_status virtual_key api_key user_id prompt metadata source").split()


def moments(calls, now_us, rng):
    """When calls begin, in order: more of them by day than by night."""
    hours = [3 if 8 <= h % 24 <= 18 else 1 for h in range(DAYS * 24)]
    upto = list(itertools.accumulate(hours))
    began = now_us - DAYS * DAY_US
    for _ in range(calls):
        at = rng.random() * upto[-1]
        hour = bisect.bisect(upto, at)
        yield began + (hour * 3600 + rng.random() * 3600) * 10**6


def row(at_us, i, rng):
    provider, model, input_cents, output_cents = MODELS[min(int(rng.expovariate(0.6)), len(MODELS) - 1)]
    team, luck = rng.randrange(8), rng.random()
    status, code, failure = BAD[i % len(BAD)] if luck < 0.03 else ("success", 200, None)
    cache = "HIT" if 0.1 < luck < 0.2 else "SEMANTIC HIT" if 0.2 < luck < 0.22 else ("MISS" if team % 2 else "DISABLED")
    hit = cache.endswith("HIT")
    used = status == "success" and not hit
    tokens = (int(rng.lognormvariate(6, 1)), int(rng.lognormvariate(5, 1))) if used else (None, None)
    cost = (tokens[0] * input_cents + tokens[1] * output_cents) * 10**4 if used else 0 if hit else None
    duration = int(rng.lognormvariate(7, 0.8)) + rng.randrange(200) if hit else int(rng.lognormvariate(13.5, 0.7))
    return (at_us // 1000 << 80 | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62),
            at_us, duration, None, 0 if hit else duration - 300, *tokens, *([0] * 4 if used else [None] * 4), cost,
            2000000 if hit else None, 0 if hit else 1, 1 if luck > 0.99 else 0, 1 if luck > 0.985 else 0, code, rng.random() < 0.5,
            f"{rng.getrandbits(128):032x}", "chat", provider, model, model, f"team-{team}", "targets[0]", status, failure,
            failure and f"{provider} said {code}", "provider" if used else "none", None if used or hit else "no usage", cache,
            f"{provider}-prod", f"key-{team}", f"user-{int(rng.paretovariate(0.7)) % 20000}", None if i % 4 else f"greet@{i % 3 + 1}",
            json.dumps({"team": f"t{team}", "feature": ["search", "chat", "mail"][i % 3], "request": f"{i:x}"}), "http")


def rows(calls=CALLS, now_us=None, seed=1):
    """Rows of pk_log in the order of COLUMNS, oldest first; the id is a number."""
    rng = random.Random(seed)
    now_us = now_us or int(time.time() * 10**6)
    for i, at_us in enumerate(sorted(moments(calls, now_us, rng))):
        yield row(int(at_us), i, rng)


def feedback(calls, seed=2):
    """Rows of pk_feedback_item: one in twenty calls is judged, a minute later."""
    rng = random.Random(seed)
    trace = COLUMNS.index("trace_id")
    for r in calls:
        if rng.random() < 0.05:
            at_us = r[1] + 60 * 10**6
            yield (at_us // 1000 << 80 | 7 << 76 | 2 << 62 | rng.getrandbits(62), at_us, r[trace], rng.choice((-5, 3, 5, 8)), 1.0)


def fill_sqlite(path, calls=CALLS):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("begin")
    said = []

    def kept():
        for r in rows(calls):
            said.extend(feedback([r], r[1]))
            yield (r[0].to_bytes(16, "big"), *r[1:])
    db.executemany(f"insert into pk_log ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})", kept())
    db.executemany("insert into pk_feedback_item (id, created_us, trace_id, value, weight) values (?, ?, ?, ?, ?)",
                   ((f[0].to_bytes(16, "big"), *f[1:]) for f in said))
    db.execute("commit")
    db.close()


if __name__ == "__main__":
    fill_sqlite(sys.argv[1], *map(int, sys.argv[2:]))
