#!/usr/bin/env python3
"""Nobody spends more than there is, however many try at once:  limits_race.py [WORD...]

The same races through every door: 1,000 calls and a rate of 300 requests; 1,000 calls and a budget in dollars of
which each call may need, and does use, a small part; 3,000 calls and a rate that is large enough for processes to
set aside ahead of calls. Calls of the first two take a while upstream, so that most are under way together.
"""
import json
import multiprocessing
import os
import selectors
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal

import pg_temp
from patience import until
from pg_case import Mock, case, expect, run_cases

BUILD = pg_temp.BUILD
CALLS = {"rate": 1000, "budget": 1000, "many": 3000}
RATE, BUDGET, MANY = 300, Decimal("0.002"), 2500
MODEL = "gpt-4o"  # priced: 2.5 and 10 dollars per million tokens
PARAMS = {"model": MODEL, "max_tokens": 10}
COST = 2 * Decimal("0.0000025") + 2 * Decimal("0.00001")  # of one call: 2 tokens in, 2 out
SLOW = 5 if os.environ.get("PK_SAN") or os.environ.get("PK_TSAN") else 1


def limits_sql():
    """A limit for each kind of calls."""
    return [("race-rate", {"counts": "requests", "amount": RATE, "per": "day",
                           "metadata": {"race": "rate"}}),
            ("race-many", {"counts": "requests", "amount": MANY, "per": "day",
                           "metadata": {"race": "many"}}),
            ("race-budget", {"counts": "cost", "amount": float(BUDGET), "per": "total",
                             "metadata": {"race": "budget"}})]


def target(mock, race="rate"):
    base = mock.url if race == "many" else mock.url.replace("/v1", "/d/50/v1")
    return {"provider": "openai", "api_key": "sk-test", "custom_host": base}


def params(race):
    return json.dumps({**PARAMS, "pk": {"metadata": {"race": race}}})


def check(what, results, rows):
    """`results` are race, granted and refused; `rows` are used, reserved and remaining, when all is over."""
    granted, refused = dict.fromkeys(CALLS, 0), dict.fromkeys(CALLS, 0)
    for race, good, bad in results:
        granted[race] += good
        refused[race] += bad
    used = {race: rows["race-" + race][0] for race in CALLS}
    print(f"# {what}: {granted} let through; {used['budget']} of {BUDGET} dollars used", flush=True)
    for race, calls in CALLS.items():
        expect(granted[race] + refused[race] == calls, what, race, granted, refused)
        expect(rows["race-" + race][1] == 0, what, rows)
    expect(granted["rate"] == used["rate"] == RATE, what, granted, rows)
    expect(used["budget"] == granted["budget"] * COST and 0 < used["budget"] <= BUDGET, what, granted, rows)
    expect(used["many"] == granted["many"] and MANY * 0.9 < used["many"] <= MANY, what, granted, rows)


def outcome(tried):
    got = json.loads(tried)
    if got["ok"]:
        return True
    expect(got["error"]["code"] in ("rate_limited", "budget_exceeded"), got["error"])
    return False


# --- SQLite: twelve processes ------------------------------------------------------------------

class Store:
    """A store of its own; the limits are in it."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "race.pkdb")
        self.db = connect(self.path)
        for slug, terms in limits_sql():
            self.db.execute("select pk_limit_put(?, ?)", (slug, json.dumps(terms))).fetchone()

    def rows(self):
        self.db.execute("select pk_flush()").fetchone()
        found = self.db.execute("select slug, used, reserved, remaining from pk_limits").fetchall()
        return {r[0]: tuple(Decimal(str(round(v, 12))).normalize() for v in r[1:]) for r in found}

    def settled(self):
        return all(r[1] == 0 for r in self.rows().values())


def connect(path):
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(BUILD + "/pk")
    db.execute("select pk_set('store', ?)", (path,)).fetchone()
    return db


def sqlite_process(path, config, race, count, results):
    db = connect(path)
    good = sum(outcome(db.execute("select pk_try_chat(?, 'hi all', ?)",
                                  (config, params(race))).fetchone()[0]) for _ in range(count))
    db.execute("select pk_flush()").fetchone()
    results.put((race, good, count - good))


@case
def sqlite_processes_never_overspend(pg, mock):
    store = Store(pg.dir)
    fresh = multiprocessing.get_context("spawn")  # a store is not for the children of a fork
    results = fresh.Queue()
    processes = [fresh.Process(target=sqlite_process, args=(
        store.path, json.dumps(target(mock, race)), race, calls // 4, results))
        for race, calls in CALLS.items() for _ in range(4)]
    for p in processes:
        p.start()
    added = [results.get(timeout=300) for _ in processes]
    for p in processes:
        p.join(30)
    check("sqlite", added, store.rows())


def held_and_killed(path, config, ready):
    db = connect(path)
    threading.Thread(target=lambda: (time.sleep(0.5), ready.set())).start()
    db.execute("select pk_try_chat(?, 'hi', ?)", (config, json.dumps(
        {"model": "hang", "max_tokens": 100, "pk": {"metadata": {"race": "killed"}}}))).fetchone()


@case
def sqlite_a_killed_process_gives_back_what_it_held(pg, mock):
    path = os.path.join(pg.dir, "killed.pkdb")
    db = connect(path)
    db.execute("select pk_limit_put('l', ?)", (json.dumps(
        {"counts": "requests", "amount": 1, "per": "total"}),)).fetchone()
    fresh = multiprocessing.get_context("spawn")
    ready = fresh.Event()
    p = fresh.Process(target=held_and_killed, args=(path, json.dumps(
        {**target(mock), "custom_host": mock.url}), ready))
    p.start()
    expect(ready.wait(30))
    reserved = "select reserved from pk_limits"
    expect(until(lambda: db.execute(reserved).fetchone()[0] == 1), "the call has reserved")
    os.kill(p.pid, signal.SIGKILL)
    p.join()
    good = json.dumps({"provider": "openai", "api_key": "k", "custom_host": mock.url})
    chat = "select pk_try_chat(?, 'hi', '{\"model\":\"echo\"}')"
    expect(not outcome(db.execute(chat, (good,)).fetchone()[0]), "its reservation still holds")
    raw = sqlite3.connect(path)  # as if its deadline had passed
    raw.execute("update pk_reservation set expires_us = 1")
    raw.commit()
    raw.close()
    expect(outcome(db.execute(chat, (good,)).fetchone()[0]), "its reservation is given back")
    db.execute("select pk_flush()").fetchone()
    expect(db.execute("select used, reserved from pk_limits").fetchone() == (1, 0))


# --- Postgres: sixty backends ------------------------------------------------------------------

def pg_session(pg, config, race, count, results):
    with pg.connect() as c:
        c.query("set client_min_messages = error")  # it warns of a provider key in the config
        good = sum(outcome(c.value("select pk_try_chat($1::text, '\"hi all\"', $2::jsonb)", config,
                                   params(race))) for _ in range(count))
    results.append((race, good, count - good))


def pg_rows(c):
    c.query("select pk_flush()")
    return {r[0]: tuple(Decimal(v).normalize() for v in r[1:]) for r in
            c.query("select slug, used, reserved, remaining from pk_limits")}


@case
def postgres_backends_never_overspend(pg, mock):
    with pg.connect() as c:
        for slug, terms in limits_sql():
            c.query("select pk_limit_put($1, $2)", slug, json.dumps(terms))
        results = []
        threads = [threading.Thread(target=pg_session, args=(
            pg, json.dumps(target(mock, race)), race, calls // 20, results))
            for race, calls in CALLS.items() for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        check("postgres", results, pg_rows(c))


# --- pkd: a thousand connections at once ----------------------------------------------------------

def requests(config, race, port, count):
    """The status of each of `count` calls, all of which are sent before the first is answered."""
    body = json.dumps({**PARAMS, "messages": [{"role": "user", "content": "hi all"}]}).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n"
            f"connection: close\r\nx-portkey-config: {config}\r\n"
            f"x-portkey-metadata: {json.dumps({'race': race})}\r\n"
            f"content-length: {len(body)}\r\n\r\n").encode()
    waiting, statuses = selectors.DefaultSelector(), []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", port), 60)
        s.sendall(head + body)
        waiting.register(s, selectors.EVENT_READ, bytearray())
    while waiting.get_map():
        for key, _ in waiting.select(60):
            piece = key.fileobj.recv(65536)
            key.data.extend(piece)
            if not piece:
                statuses.append(int(key.data.split(b" ", 2)[1]))
                waiting.unregister(key.fileobj)
                key.fileobj.close()
    return statuses


said = []  # by every pkd, but that it was ready


def start_pkd(path, threads):
    p = subprocess.Popen([BUILD + "/pkd", "serve", "--store", path, "--listen", "127.0.0.1:0",
                          "--threads", str(threads)], stderr=subprocess.PIPE, text=True)
    port = None
    for line in p.stderr:
        if "listening addr=" in line:
            port = int(line.split("addr=127.0.0.1:")[1].split()[0])
        if " ready" in line:
            break
    threading.Thread(target=lambda: said.extend(p.stderr), daemon=True).start()
    return p, port


def pkd_race(pg, mock, name, daemons, threads):
    folder = os.path.join(pg.dir, name)
    os.mkdir(folder)
    store = Store(folder)
    started = [start_pkd(store.path, threads) for _ in range(daemons)]
    results = []

    def load(race, port, count):
        got = requests(json.dumps(target(mock, race)), race, port, count)
        results.append((race, got.count(200), got.count(429) + got.count(412)))
    try:
        loads = [threading.Thread(target=load, args=(race, port, calls // daemons))
                 for race, calls in CALLS.items() for _, port in started]
        for t in loads:
            t.start()
        for t in loads:
            t.join()
        expect(until(store.settled), results, store.rows(), *said)
    finally:
        for p, _ in started:
            p.terminate()
            p.wait(30)
    check(name, results, store.rows())


@case
def pkd_never_overspends(pg, mock):
    pkd_race(pg, mock, "pkd", 1, 2)


@case
def several_pkd_on_one_store_never_overspend(pg, mock):
    pkd_race(pg, mock, "several-pkd", 2, 1)


@case
def a_killed_pkd_gives_back_what_it_held(pg, mock):
    folder = os.path.join(pg.dir, "killed-pkd")
    os.mkdir(folder)
    store = Store(folder)
    p, port = start_pkd(store.path, 1)
    body = json.dumps({"model": "hang", "max_tokens": 10, "messages": []}).encode()
    s = socket.create_connection(("127.0.0.1", port), 10)
    s.sendall((f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nx-portkey-metadata: "
               '{"race": "rate"}\r\n'
               f"x-portkey-config: {json.dumps({**target(mock), 'custom_host': mock.url})}\r\n"
               f"content-length: {len(body)}\r\n\r\n").encode() + body)
    expect(until(lambda: store.rows().get("race-rate", (0, 0))[1] == 1), store.rows())
    p.kill()
    p.wait()
    s.close()
    raw = sqlite3.connect(store.path)
    expect(raw.execute("pragma integrity_check").fetchone()[0] == "ok")
    raw.execute("update pk_reservation set expires_us = 1")
    raw.commit()
    raw.close()
    expect(store.settled(), "an expired reservation is not shown")
    p, port = start_pkd(store.path, 1)
    config = json.dumps({**target(mock), "custom_host": mock.url})
    expect(requests(config, "rate", port, 1) == [200])
    p.terminate()
    p.wait(30)
    expect(store.rows()["race-rate"][:2] == (1, 0), store.rows())


def main():
    with pg_temp.Cluster() as pg, Mock() as mock:
        with pg.connect() as c:
            c.query("create extension pk")
        return run_cases(pg, mock)


if __name__ == "__main__":
    sys.exit(main() != 0)
