#!/usr/bin/env python3
"""Three pkd over one Postgres, each in a network namespace of its own:  pkd_shared.py [BUILD]

As root, where `unshare` and `ip` are there, the test moves into a network namespace of its own, with a bridge, the
database and a namespace for each pkd; they go with it. Otherwise the three are processes on loopback.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from decimal import Decimal

import pg_temp
from pkd_harness import *

LISTEN = 5432
MOCK = 9377  # in every namespace; on loopback any
INSIDE = "PK_TEST_NETNS"
RUN = {"SECRET": "sk-in-no-log-4711", "BOSS": None}


def can_have_namespaces():
    return (os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter", "ip"))) and
            subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"],
                           capture_output=True).returncode == 0)


if not os.environ.get(INSIDE):
    apart = can_have_namespaces()
    os.environ[INSIDE] = "1" if apart else "0"
    if apart:
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    print("# no network namespaces here: three processes on loopback", flush=True)
APART = os.environ[INSIDE] == "1"


def ip(*words, pid=None):
    inside = ["nsenter", "-t", str(pid), "-n"] if pid else []
    subprocess.run([*inside, "ip", *words], check=True)


def start_mock(inside=()):
    process = subprocess.Popen([*inside, program("mockd"), "--port", str(MOCK if APART else 0)],
                               stdout=subprocess.PIPE)
    running.append(process)
    return int(process.stdout.readline().rsplit(b":", 1)[1])


class Node:
    """One pkd, and the machine that it is on."""

    def __init__(self, number, url, key_file):
        self.number, self.url, self.key_file = number, url, key_file
        self.folder = tempfile.mkdtemp(prefix="pkd-shared")
        self.host, self.port, self.inside = "127.0.0.1", 0, []
        if APART:
            self.make_machine()
        self.start()

    def make_machine(self):
        self.machine = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
        running.append(self.machine)
        pid = self.machine.pid
        mine = os.readlink("/proc/self/ns/net")
        expect(until(lambda: os.readlink(f"/proc/{pid}/ns/net") != mine))
        self.host, self.port = f"10.77.0.{self.number + 2}", 8787
        ip("link", "add", f"pk{self.number}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", f"pk{self.number}", "master", "pkbr", "up")
        ip("addr", "add", self.host + "/24", "dev", "eth0", pid=pid)
        ip("link", "set", "eth0", "up", pid=pid)
        ip("link", "set", "lo", "up", pid=pid)
        self.inside = ["nsenter", "-t", str(pid), "-n", "--"]
        start_mock(self.inside)

    def command(self, *words):
        return [*self.inside, program("pkd"), *words, "--store", self.url, "--master-key-file",
                self.key_file]

    def environment(self):
        clean = {k: v for k, v in os.environ.items()
                 if not k.endswith("_API_KEY") and (not k.startswith("PK_") or k == "PK_THREADS")}
        return {**clean, "PGPASSWORD": RUN["SECRET"]}

    def start(self, patience=STORE_TIMEOUT):
        self.log = os.path.join(self.folder, "log")
        log = open(self.log, "ab")
        begin = log.tell()
        self.process = subprocess.Popen(
            self.command("serve", "--listen", f"{self.host}:{self.port}", "--server-name", self.host,
                         "--spool", os.path.join(self.folder, "spool")),
            stderr=log, env={**self.environment(), **patience})
        running.append(self.process)
        expect(until(lambda: "ready" in self.text(begin) or self.process.poll() is not None))
        found = re.search(r"addr=[0-9.]+:(\d+)", self.text(begin))
        expect(found and self.process.poll() is None, self.text(begin))
        self.port = int(found.group(1))

    def start_again(self, patience=STORE_TIMEOUT):
        self.process.terminate()
        self.process.wait(60)
        self.start(patience)

    def text(self, begin=0):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            f.seek(begin)
            return f.read()

    def tell(self, *words, stdin=""):
        done = subprocess.run(self.command(*words), input=stdin, text=True, capture_output=True,
                              env={**self.environment(), **STORE_TIMEOUT})
        expect(done.returncode == 0, done.stdout + done.stderr)
        return done.stdout

    def open(self, timeout=120):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def chat(self, cfg, text="hello", key=None, on=None, **headers):
        c = on or self.open()
        c.request("POST", "/v1/chat/completions",
                  json.dumps({"model": "gpt-4o", "max_tokens": 10,
                              "messages": [{"role": "user", "content": text}]}),
                  {"content-type": "application/json", "x-portkey-config": cfg,
                   "x-portkey-api-key": key or RUN["BOSS"],
                   **{k.replace("_", "-"): v for k, v in headers.items()}})
        r = c.getresponse()
        return r.status, r.headers, r.read()

    def has_heard(self, epoch):
        status, body = self.get("/readyz")
        return status == 200 and json.loads(body)["epoch"] >= epoch

    def get(self, path):
        c = self.open()
        c.request("GET", path, headers={"x-portkey-api-key": RUN["BOSS"]})
        r = c.getresponse()
        return r.status, r.read()


class Load:
    """Calls without pause at some nodes, by `width` threads each."""

    def __init__(self, nodes, cfg, width=2, **headers):
        self.going, self.seen, self.lock = True, [], threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(n, cfg, headers, i), daemon=True)
                        for n in nodes for i in range(width)]
        for t in self.threads:
            t.start()

    def work(self, node, cfg, headers, which):
        c, i = None, 0
        while self.going:
            i += 1
            begun = time.monotonic()
            try:
                c = c or node.open()
                status, _, _ = node.chat(cfg, f"{node.number}.{which}.{i}", on=c, **headers)
            except (OSError, http.client.HTTPException):
                status, c = 0, None
                time.sleep(0.05)
            with self.lock:
                self.seen.append((node.number, status, time.monotonic() - begun))

    def counts(self, node=None):
        found = {}
        with self.lock:
            for number, status, _ in self.seen:
                if node is None or number == node.number:
                    found[status] = found.get(status, 0) + 1
        return found

    def slowest(self):
        with self.lock:
            return max((took for _, _, took in self.seen), default=0)

    def stop(self):
        self.going = False
        for t in self.threads:
            t.join(30)
        return self.counts()


def sql(text, *args):
    return RUN["PG"].value(text, *args)


def within(good, what):
    """Comes true, at once where the machine does nothing else; how long it took is printed."""
    begun = time.monotonic()
    expect(until(good), what)
    print(f"# {what}: {time.monotonic() - begun:.3f} s", flush=True)


def all_have_heard():
    """Of every change of the store until now."""
    epoch = int(sql("select value from pk_meta where name = 'epoch'"))
    within(lambda: all(n.has_heard(epoch) for n in nodes), f"all know of change {epoch}")


# --- the cases, in this order -------------------------------------------------------------------

def what_one_is_told_serves_the_others():
    for maker in nodes:
        slug = f"made-by-{maker.number}"
        maker.tell("config", "put", slug, stdin='{"virtual_key": "main"}')
        within(lambda: all(n.chat(slug)[0] == 200 for n in nodes), "a config of one serves all")
    sql("select pk_config_put('by-sql', '{\"virtual_key\": \"main\"}')")
    within(lambda: all(n.chat("by-sql")[0] == 200 for n in nodes), "a config of SQL serves all")
    sql("select pk_config_delete('by-sql')")
    within(lambda: all(n.chat("by-sql")[0] == 404 for n in nodes), "it is gone for all")


def a_command_waits_longer_than_a_server_for_a_slow_database():
    def start(*words):
        process = subprocess.Popen(nodes[0].command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=log, text=True, env=nodes[0].environment())
        running.append(process)
        return process
    folder = tempfile.mkdtemp(prefix="pkd-slow")
    path = os.path.join(folder, "log")
    said = lambda what: what in open(path, encoding="utf-8").read()
    with open(path, "wb") as log:
        os.kill(postmaster(), signal.SIGSTOP)  # a connection is accepted, and then nothing is said
        try:
            served = start("serve", "--listen", "none", "--unix", os.path.join(folder, "s"),
                           "--spool", os.path.join(folder, "spool"))
            expect(until(lambda: said("store_unavailable")), "a server is told what it waits for")
            hasty = start("config", "list", "--store-timeout", "100")
            expect(hasty.wait(30) == 1 and said("pkd config list: store"), hasty.returncode)
            patient = [start("config", "list"), start("doctor")]
            time.sleep(2)
        finally:
            os.kill(postmaster(), signal.SIGCONT)
    found = [p.communicate(timeout=60)[0] for p in patient]
    expect("made-by-0" in found[0] and "epoch" in found[1], found)
    expect(until(lambda: said("ready")), "the server starts")
    served.terminate()
    expect(served.wait(60) == 0)


def an_api_key_made_anywhere_opens_every_door():
    key = sql("select pk_api_key_create('guest')")
    within(lambda: all(n.chat("plain", key=key)[0] == 200 for n in nodes), "an API key of SQL")
    nodes[1].tell("apikey", "revoke", "guest")
    within(lambda: all(n.chat("plain", key=key)[0] == 401 for n in nodes), "it is revoked for all")


def an_answer_that_one_has_cached_is_a_hit_at_the_others():
    hit = lambda n: n.chat("cached", "what is shared?")[1].get("x-portkey-cache-status") == "HIT"
    expect(not hit(nodes[0]))
    within(lambda: all(hit(n) for n in nodes), "a cached answer is everybody's")


def hits_that_come_together_have_a_row_each():
    body = json.dumps({"model": "gpt-4o", "max_tokens": 10, "messages": [{"role": "user", "content": "what is shared?"}]})
    lines = {"host": nodes[0].host, "content-type": "application/json", "x-portkey-config": "cached",
             "x-portkey-api-key": RUN["BOSS"], "content-length": len(body)}
    request = ("POST /v1/chat/completions HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) +
               "\r\n" + body).encode()
    with socket.create_connection((nodes[0].host, nodes[0].port), 30) as s:
        s.sendall(request * 50)
        f = s.makefile("rb")
        answers = [read_response(f) for _ in range(50)]
    traces = {headers["x-portkey-trace-id"] for _, headers, _ in answers}
    expect(len(traces) == 50, traces)
    rows = lambda: sql("""select count(*) || ' ' || count(distinct id) || ' ' || count(distinct span_id) || ' ' ||
        count(distinct (request::text, response::text, provider, model, cost_saved_usd, api_key)) || ' ' ||
        max(cache_status) from pk_logs where trace_id = any($1::text[])""", "{" + ",".join(traces) + "}")
    expect(until(lambda: rows() == "50 50 50 1 HIT"), rows())


def sql_and_pkd_share_the_cache():
    entries = lambda: int(sql("select count(*) from pk_cache where namespace = 'n1'"))
    def ask(text):
        sql("""select pk_chat('common', jsonb_build_array(jsonb_build_object('role', 'user',
               'content', $1::text)), '{"model": "gpt-4o", "max_tokens": 10}')""", text)
        sql("select pk_flush()")
        return sql("""select cache_status from pk_logs where source = 'postgres'
                      order by started_at desc limit 1""")
    def chat(node, text):
        status, headers, body = node.chat("common", text)
        expect(status == 200, body)
        return headers.get("x-portkey-cache-status")
    expect(ask("from SQL") == "MISS")
    within(lambda: entries() == 1, "an answer of pk_chat is kept")
    expect(chat(nodes[0], "from SQL") == "HIT")
    expect(chat(nodes[1], "from pkd") == "MISS")
    within(lambda: entries() == 2, "an answer of pkd is kept")
    expect(ask("from pkd") == "HIT")


def three_do_not_spend_more_than_there_is():
    budget = Decimal("0.002")
    sql("""select pk_limit_put('shared', '{"counts": "cost", "amount": 0.002, "per": "total",
           "metadata": {"race": "budget"}}')""")
    all_have_heard()
    load = Load(nodes, "slow", width=4, x_portkey_metadata='{"race":"budget"}')
    row = lambda: RUN["PG"].query("select used, reserved from pk_limits where slug = 'shared'")[0]
    expect(until(lambda: Decimal(row()[0]) > budget / 2), (row(), load.counts()))
    granted = -1
    while load.counts().get(200, 0) != granted or 412 not in load.counts():
        granted = load.counts().get(200, 0)
        time.sleep(1)
    counts = load.stop()
    expect(set(counts) == {200, 412}, counts)
    expect(until(lambda: Decimal(row()[1]) == 0), row())
    used = Decimal(row()[0])
    print(f"# {counts}; {used} of {budget} dollars used by {counts[200]} calls", flush=True)
    expect(budget / 2 < used <= budget, used)
    spent = lambda: Decimal(sql("select sum(cost_usd) from pk_logs where metadata ->> 'race' = 'budget'"))
    expect(until(lambda: spent() == used), (spent(), used))


def predicates_run_as_their_owner():
    rule = {"type": "sql", "action": "block"}
    seen = lambda n, slug, text: n.chat(json.dumps({"virtual_key": "main", "input_guardrails": [slug]}),
                                        text)
    nodes[0].tell("guardrail", "put", "no-bombs", stdin=json.dumps(
        {**rule, "predicate": "select $1 not like '%bomb%'"}))
    within(lambda: [seen(n, "no-bombs", t)[0] for n in nodes for t in ("a rose", "a bomb")] ==
           [200, 446] * 3, "a predicate of pkd's own")
    sql("select pk_guardrail_put('of-nobody', $1::jsonb)", json.dumps({**rule, "predicate": "select true"}))
    sql("update pk_guardrail set owner = 'somebody' where slug = 'of-nobody'")
    sql("create role somebody")
    status, _, body = seen(nodes[1], "of-nobody", "hello")
    expect(status == 446 and b"GRANT" in body, (status, body))
    sql("grant somebody to pkd_login")
    within(lambda: seen(nodes[1], "of-nobody", "hello")[0] == 200, "the role was granted")
    refused = subprocess.run(["psql", RUN["URL"], "-c", "insert into pk.pk_guardrail (slug, version, "
                              "created_us, in_force, body, owner) values ('x', 1, 1, true, '{}', "
                              "'postgres')"], env=nodes[0].environment(), capture_output=True, text=True)
    expect("row-level security" in refused.stderr, refused.stderr)


def one_is_killed_and_the_others_go_on():
    load = Load(nodes, "cached", x_portkey_metadata='{"run":"kill"}')
    expect(until(lambda: all(load.counts(n).get(200, 0) > 20 for n in nodes)), load.counts())
    nodes[2].process.send_signal(signal.SIGKILL)
    nodes[2].process.wait(10)
    before = load.counts()
    expect(until(lambda: load.counts().get(200, 0) > before.get(200, 0) + 200), (before, load.counts()))
    load.stop()
    nodes[2].start()
    for n in nodes[:2]:
        expect(set(load.counts(n)) == {200}, load.counts(n))
    expect(nodes[2].chat("cached")[0] == 200)


def the_database_stops_and_comes_back_under_load():
    load = Load(nodes, "cached", x_portkey_metadata='{"run":"stop"}')
    expect(until(lambda: all(load.counts(n).get(200, 0) > 20 for n in nodes)), load.counts())
    cluster.stop()
    down = load.counts()
    expect(until(lambda: nodes[0].get("/readyz")[0] == 503))
    status, body = nodes[0].get("/readyz")
    expect(status == 503 and b"store_unavailable" in body and RUN["SECRET"].encode() not in body, body)
    status, _, body = nodes[0].chat("never-seen")
    expect(status == 503, body)
    expect(nodes[0].chat("plain", key="pk-unknown-key")[0] == 503)
    status, _, body = nodes[0].chat("slow", x_portkey_metadata='{"race":"budget"}')
    print(f"# a call under a limit: {status} {body[:120]}", flush=True)
    expect(status in (412, 503), body)
    expect(until(lambda: load.counts().get(200, 0) > down.get(200, 0) + 500), (down, load.counts()))
    cluster.start()
    RUN["PG"] = cluster.connect(**RUN["AS"])
    within(lambda: all(n.get("/readyz")[0] == 200 for n in nodes), "ready without a restart")
    counts = load.stop()
    print(f"# {counts}, the slowest {load.slowest():.3f} s", flush=True)
    expect(set(counts) == {200}, counts)
    logged = lambda: RUN["PG"].query("""select count(*), count(distinct trace_id) from pk_logs
                                        where metadata ->> 'run' = 'stop'""")[0]
    within(lambda: int(logged()[0]) >= counts[200], "the log is whole")
    expect([int(n) for n in logged()] == [counts[200]] * 2, (logged(), counts))


def leave_early(node, count):
    """Clients that ask for what is cached, and go."""
    for i in range(count):
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": f"gone {i}"}]})
        with socket.create_connection((node.host, node.port), timeout=10) as s:
            s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: {node.host}\r\ncontent-type: "
                      f"application/json\r\nx-portkey-config: cached\r\nx-portkey-api-key: {RUN['BOSS']}\r\n"
                      f"content-length: {len(body)}\r\n\r\n{body}".encode())
            time.sleep(0.005)


def a_database_that_says_nothing_is_not_waited_for():
    for n in nodes:
        n.start_again(patience={})  # a second
        expect(until(lambda n=n: n.chat("cached")[0] == 200))  # its config is known from here on
    servers = subprocess.run(["pgrep", "-P", str(postmaster()), "-f", "postgres"], text=True,
                             capture_output=True).stdout.split() + [str(postmaster())]
    load = Load(nodes, "cached", x_portkey_metadata='{"run":"silent"}')
    expect(until(lambda: all(load.counts(n).get(200, 0) > 20 for n in nodes)), load.counts())
    for pid in servers:
        os.kill(int(pid), signal.SIGSTOP)
    silent = time.monotonic()
    leave_early(nodes[0], 20)  # while the first look-ups are waited for
    try:
        time.sleep(4)
        before, begun = load.counts().get(200, 0), time.monotonic()
        go_on = until(lambda: load.counts().get(200, 0) > before + 500, 5)  # a call a second in each thread is 30
        print(f"# 500 calls in {time.monotonic() - begun:.3f} s of silence", flush=True)
        begun = time.monotonic()
        leave_early(nodes[2], 20)
        nodes[2].process.send_signal(signal.SIGTERM)
        code = nodes[2].process.wait(60)
        print(f"# stopped in {time.monotonic() - begun:.3f} s", flush=True)
    finally:
        for pid in servers:
            os.kill(int(pid), signal.SIGCONT)
    silent = time.monotonic() - silent
    within(lambda: all(n.get("/readyz")[0] == 200 for n in nodes[:2]), "ready again")
    load.stop()
    counts = [load.counts(n) for n in nodes[:2]]
    print(f"# {counts}, the slowest {load.slowest():.3f} s of {silent:.3f}", flush=True)
    expect(code == 0 and all(set(c) == {200} for c in counts) and go_on, (code, counts))
    for n in nodes:
        n.start_again()
    expect(nodes[2].chat("cached")[0] == 200)
    expect(load.slowest() < silent - 1, load.slowest())


def postmaster():
    with open(os.path.join(cluster.data, "postmaster.pid"), encoding="utf-8") as f:
        return int(f.readline())


def what_is_wrong_with_a_store_is_said_at_the_start():
    def refused(store, **env):
        done = subprocess.run([*nodes[0].inside, program("pkd"), "serve", "--listen", "none", "--unix",
                               os.path.join(nodes[0].folder, "s"), "--store", store],
                              env={**nodes[0].environment(), **STORE_TIMEOUT, "PK_STORE_WAIT": "1", **env}, capture_output=True, text=True,
                              timeout=60)
        expect(done.returncode == 1 and "cannot_start" in done.stderr, done.stderr)
        expect(RUN["SECRET"] not in done.stderr and "wrong-4711" not in done.stderr, done.stderr)
        return done.stderr
    sql("create database bare")
    sql("create role nobody_login login password 'x'")
    expect("CREATE EXTENSION pk" in refused(RUN["URL"].replace("/postgres", "/bare")))
    expect("authentication failed" in refused(RUN["URL"], PGPASSWORD="wrong-4711"))
    expect("GRANT pk_gateway" in refused(RUN["URL"].replace("pkd_login", "nobody_login"), PGPASSWORD="x"))
    expect("%40" in refused("postgresql://pkd_login:wrong-4711@x@" + RUN["URL"].split("@")[1]))
    wrong = os.path.join(nodes[0].folder, "wrong.key")
    with open(os.open(wrong, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as f:
        f.write(os.urandom(32))
    expect("not the one that sealed" in refused(RUN["URL"], PK_MASTER_KEY_FILE=wrong))


def no_secret_is_in_any_log():
    for n in nodes:
        expect(RUN["SECRET"] not in n.text() and "sk-sealed" not in n.text())


def start_database():
    address = "10.77.0.1" if APART else "127.0.0.1"
    if APART:
        ip("link", "set", "lo", "up")
        ip("link", "add", "pkbr", "type", "bridge")
        ip("addr", "add", address + "/24", "dev", "pkbr")
        ip("link", "set", "pkbr", "up")
    port = LISTEN
    if not APART:
        with socket.socket() as s:
            s.bind((address, 0))
            port = s.getsockname()[1]
    c = pg_temp.Cluster({"listen_addresses": address})
    c.port = port
    c.create()
    with open(os.path.join(c.data, "pg_hba.conf"), "r+", encoding="utf-8") as hba:
        rules = hba.read()
        hba.seek(0)
        hba.write(f"host all all {address}/24 scram-sha-256\n" + rules)
    c.start()
    RUN["URL"] = f"postgresql://pkd_login@{address}:{port}/postgres"
    RUN["AS"] = {"options": "-c search_path=pk,public"}
    return c


def prepare(port):
    base = f"http://127.0.0.1:{port}/v1"
    pg = RUN["PG"] = cluster.connect(**RUN["AS"])
    pg.query("create schema pk; create extension pk schema pk; create role pkd_login login")
    pg.query(f"alter role pkd_login password '{RUN['SECRET']}'; grant pk_gateway to pkd_login")
    for slug, host in (("main", base), ("slow", base.replace("/v1", "/d/50/v1"))):
        sql("select pk_key_put($1, 'openai', 'sk-sealed', jsonb_build_object('custom_host', $2::text))",
            slug, host)
    for slug, cfg in (("plain", {"virtual_key": "main"}), ("slow", {"virtual_key": "slow"}),
                      ("cached", {"virtual_key": "main", "cache": {"mode": "simple"}}),
                      ("common", {"virtual_key": "main", "cache": {"mode": "simple", "namespace": "n1"}})):
        sql("select pk_config_put($1, $2::jsonb)", slug, json.dumps(cfg))
    RUN["BOSS"] = sql("select pk_api_key_create('boss', '{\"scopes\": [\"call\", \"admin\", \"logs\"]}')")
    copy = os.path.join(tempfile.mkdtemp(prefix="pkd-key"), "pk_master.key")
    shutil.copy(os.path.join(cluster.data, "pk_master.key"), copy)
    os.chmod(copy, 0o600)
    return copy


cluster = start_database()
try:
    key_file = prepare(start_mock())
    nodes = [Node(i, RUN["URL"], key_file) for i in range(3)]
    run(what_one_is_told_serves_the_others,
        a_command_waits_longer_than_a_server_for_a_slow_database,
        an_api_key_made_anywhere_opens_every_door,
        an_answer_that_one_has_cached_is_a_hit_at_the_others,
        hits_that_come_together_have_a_row_each,
        sql_and_pkd_share_the_cache,
        three_do_not_spend_more_than_there_is,
        predicates_run_as_their_owner,
        one_is_killed_and_the_others_go_on,
        the_database_stops_and_comes_back_under_load,
        a_database_that_says_nothing_is_not_waited_for,
        what_is_wrong_with_a_store_is_said_at_the_start,
        no_secret_is_in_any_log)
finally:
    end_all()
    cluster.destroy()
sys.exit(1 if failures else 0)
