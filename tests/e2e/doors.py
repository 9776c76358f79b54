"""The three doors, behind one small interface: chat, rows, spans, administration.

A door turns (config, messages, params) into its own kind of request, and whatever comes back into
an Answer. Log rows are read in SQL, through whichever engine holds the store.
"""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "regress"))

from mockd import Mockd
from patience import PATIENCE_S, STORE_TIMEOUT, until

# name -> (HTTP status, SQLSTATE), from the one table that the product has.
CODES = {name: (int(status), state) for name, status, state in re.findall(
    r'^\w+\(PK_\w+,\s*"(\w+)",\s*(\d+),\s*"(\w+)"', open(os.path.join(ROOT, "shared/errors.def"),
                                                       encoding="utf-8").read(), re.M)}
MASTER_KEY = bytes(range(32))


class Answer:
    """What came back. `code` is the word for the failure; empty where the door does not tell it."""

    def __init__(self, body=None, status=200, code=None, message="", sqlstate=None, headers=None,
                 cached=None):
        self.body, self.status, self.code, self.message = body, status, code, message
        self.sqlstate, self.headers, self.cached = sqlstate, headers or {}, cached
        self.ok = code is None

    @property
    def text(self):
        try:
            return self.body["choices"][0]["message"]["content"]
        except (TypeError, KeyError, IndexError):
            return None


class Skip(Exception):
    """The door is not there; the text says why."""


def loads(text):
    return json.loads(text, parse_float=Decimal)


class Mock(Mockd):
    def __init__(self, build):
        super().__init__(build)
        self.base = self.origin


class Door:
    """`seen` collects all that a user could read, for the search for secrets."""
    name = sql = None
    dialect = "sqlite"  # of the SQL beside it

    def __init__(self, build, env):
        self.build, self.seen = build, []
        self.tmp = tempfile.mkdtemp(prefix="pk-e2e-")
        self.env = {**os.environ, **env}

    def skip(self, why):
        Door.stop(self)
        raise Skip(why)

    def row(self, trace_id, wait_s=PATIENCE_S):
        """The log row, which may come a moment after the answer."""
        return (self.wait_rows("pk_logs", trace_id, wait_s) or [None])[0]

    def spans(self, trace_id):
        return sorted(self.rows("pk_spans", trace_id), key=lambda s: s["ord"])

    def wait_rows(self, relation, trace_id, wait_s=PATIENCE_S):
        for _ in range(int(wait_s / 0.02)):
            rows = self.rows(relation, trace_id)
            if rows:
                break
            time.sleep(0.02)
        return rows

    def stop(self):
        shutil.rmtree(self.tmp, ignore_errors=True)


class Sqlite(Door):
    name, sql, source = "sqlite", True, "sqlite"

    def __init__(self, build, env):
        super().__init__(build, env)
        if not os.path.exists(build + "/pk.so"):
            self.skip("no pk.so")
        self.store = os.path.join(self.tmp, "store.pkdb")
        key = os.path.join(self.tmp, "master")
        with open(key, "wb") as f:
            f.write(MASTER_KEY)
        os.chmod(key, 0o600)
        os.environ.update({**env, "PK_STORE": self.store, "PK_MASTER_KEY_FILE": key})
        self.db = self.connect()

    def connect(self):
        db = sqlite3.connect(os.path.join(self.tmp, "app.db"), check_same_thread=False)
        db.enable_load_extension(True)
        db.load_extension(self.build + "/pk")
        return db

    def call(self, sql, *args):
        """One value, or the Answer that the error makes."""
        try:
            row = self.db.execute(sql, args).fetchone()
            return row[0] if row else None
        except (sqlite3.Error, ValueError, OverflowError, MemoryError) as e:
            self.seen.append(str(e))
            m = re.match(r"pk: (\w+): (.*)", str(e), re.S)
            code = m.group(1) if m else "unknown"
            return Answer(code=code, message=m.group(2) if m else str(e),
                          status=CODES.get(code, (0,))[0])

    def chat(self, config, messages, params=None):
        return sql_chat(self, "select pk_try_chat(?, ?, ?)", config, messages, params)

    def raising(self, config, messages, params=None):
        return self.call("select pk_chat(?, ?, ?)", *map(as_text, (config, messages, params)))

    def ask(self, config, prompt, *more):
        marks = ", ".join("?" * (2 + len(more)))
        return self.call(f"select pk_ask({marks})", as_text(config), prompt, *map(as_text, more))

    def prompt(self, ref, variables, config=None, params=None):
        return sql_answer(self, self.call("select pk_prompt(?, ?, ?, ?)", ref, *map(
            as_text, (variables, config, params))))

    def render(self, ref, variables):
        got = self.call("select pk_render(?, ?)", ref, as_text(variables))
        return got if isinstance(got, Answer) else loads(got)

    def rows(self, relation, trace_id):
        cursor = self.db.execute(f"select * from {relation} where trace_id = ?", (trace_id,))
        names = [c[0] for c in cursor.description]
        rows = [dict(zip(names, row)) for row in cursor]
        self.seen.append(repr(rows))
        return [row_of(r) for r in rows]

    def function(self, name, *args):
        return self.call(f"select {name}({', '.join('?' * len(args))})", *map(as_text, args))

    def allow_hosts(self, hosts):
        self.function("pk_set", "allowed_hosts", hosts)

    def everything(self):
        self.function("pk_flush")
        for relation in ("pk_logs", "pk_spans", "pk_feedback", "pk_configs", "pk_virtual_keys",
                         "pk_cache"):
            self.seen.append(repr(self.db.execute(f"select * from {relation}").fetchall()))
        return store_bytes(self.store) + "\n".join(self.seen).encode("utf-8", "replace")

    def stop(self):
        self.db.close()
        super().stop()


class Postgres(Door):
    name, sql, source = "postgres", True, "postgres"
    dialect = "postgres"

    def __init__(self, build, env):
        super().__init__(build, env)
        if os.environ.get("PK_SAN"):
            self.skip("the server is not built with sanitizers")
        try:
            import pg_temp  # pylint: disable=import-outside-toplevel
        except ImportError as e:
            self.skip(f"no harness: {e}")
        if not os.path.exists(os.path.join(ROOT, "ext-pg", "pk.control")):
            self.skip("no extension")
        self.error = pg_temp.Error
        self.stack = contextlib.ExitStack()
        self.cluster = self.stack.enter_context(pg_temp.Cluster(env={**env}))
        self.db = self.stack.enter_context(self.cluster.connect())
        self.db.query("create extension pk")

    def call(self, sql, *args):
        try:
            return self.db.value(sql, *args)
        except self.error as e:
            self.seen += [str(e), str(e.detail), str(e.hint)]
            code = next((c for c, (_, state) in CODES.items() if state == e.sqlstate), "unknown")
            return Answer(code=code, message=" ".join(filter(None, (e.message, e.detail))),
                          sqlstate=e.sqlstate, status=CODES.get(code, (0,))[0])

    def chat(self, config, messages, params=None):
        if isinstance(messages, str) and not messages.lstrip().startswith(("[", "{", '"')):
            messages = json.dumps(messages)
        return sql_chat(self, "select pk_try_chat($1::text, $2::jsonb, $3::jsonb)", config, messages,
                        params)

    def raising(self, config, messages, params=None):
        if isinstance(messages, str) and not messages.lstrip().startswith(("[", "{", '"')):
            messages = json.dumps(messages)
        return self.call("select pk_chat($1::text, $2::jsonb, $3::jsonb)",
                         *map(as_text, (config, messages, params)))

    def ask(self, config, prompt, *more):
        types = ["text", "text", "text", "jsonb"][:2 + len(more)]
        marks = ", ".join(f"${i + 1}::{t}" for i, t in enumerate(types))
        return self.call(f"select pk_ask({marks})", as_text(config), prompt, *map(as_text, more))

    def prompt(self, ref, variables, config=None, params=None):
        return sql_answer(self, self.call(
            "select pk_prompt($1::text, $2::jsonb, $3::text, $4::jsonb)", ref, *map(
                as_text, (variables, config, params))))

    def render(self, ref, variables):
        got = self.call("select pk_render($1::text, $2::jsonb)", ref, as_text(variables))
        return got if isinstance(got, Answer) else loads(got)

    def rows(self, relation, trace_id):
        rows = self.db.query(f"select row_to_json(r) from {relation} r where trace_id = $1", trace_id)
        self.seen.append(repr(rows))
        return [row_of(loads(r[0])) for r in rows]

    def function(self, name, *args):
        marks = ", ".join(f"${i + 1}" for i in range(len(args)))
        return self.call(f"select {name}({marks})", *map(as_text, args))

    def allow_hosts(self, hosts):
        self.cluster.configure({"pk.allowed_hosts": hosts})
        self.cluster.reload()
        if not until(lambda: self.db.value("show pk.allowed_hosts") == hosts):
            raise RuntimeError("the server does not read its settings")

    def everything(self):
        self.function("pk_flush")
        dump = subprocess.run(["pg_dump", "--inserts"], capture_output=True, check=True,
                              env={**os.environ, **self.cluster.client_env()}).stdout
        for relation in ("pk_logs", "pk_spans", "pk_feedback", "pk_configs", "pk_virtual_keys",
                         "pk_cache"):
            self.seen.append(repr(self.db.query(f"select * from {relation}")))
        return dump + "\n".join(self.seen + [self.cluster.log_text()]).encode("utf-8", "replace")

    def stop(self):
        self.stack.close()
        super().stop()


class Http(Door):
    """pkd, and the SQLite extension on the same store to read what it logged."""
    name, sql, source = "http", False, "http"

    def __init__(self, build, env):
        super().__init__(build, env)
        if not os.path.exists(build + "/pkd"):
            self.skip("no pkd")
        self.log = open(os.path.join(self.tmp, "log"), "ab")
        self.side, self.store, key = self.beside(build, env)
        self.function = self.told
        self.env.update({"PK_STORE": self.store, "PK_MASTER_KEY_FILE": key})
        self.start()

    def told(self, name, *args):
        return self.side.function(name, *args)

    def beside(self, build, env):
        side = Sqlite(build, env)  # raises Skip without pk.so
        return side, side.store, os.environ["PK_MASTER_KEY_FILE"]

    def start(self, *options):
        self.log.truncate(0)
        self.process = subprocess.Popen(
            [self.build + "/pkd", "serve", "--listen", "127.0.0.1:0", *options],
            stdout=self.log, stderr=self.log, env=self.env)
        self.port = listening(self.process, self.log_text)

    def log_text(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def request(self, path, body, headers, method="POST"):
        """(status, headers, text) of one exchange; a dict as body is sent as JSON."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = body if isinstance(body, (bytes, str)) else json.dumps(body)
            if isinstance(data, str):
                data = data.encode("utf-8")
            c.request(method, path, data, {"Content-Type": "application/json", **headers})
            r = c.getresponse()
            try:
                text = r.read()
            except http.client.IncompleteRead as e:  # how a broken stream has to end
                text = e.partial
        finally:
            c.close()
        self.seen.append(f"{r.status} {r.getheaders()} {text!r}")
        return r.status, r.headers, text

    def chat(self, config, messages, params=None):
        params = loads(params) if isinstance(params, str) else dict(params or {})
        headers = {"x-portkey-config": as_text(config), **option_headers(params.pop("pk", {}))}
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        body = json.dumps({**params, "messages": messages}, default=str)
        return self.answer(*self.request("/v1/chat/completions", body, headers))

    def prompt(self, ref, variables, config=None, params=None):
        params = dict(params or {})
        headers = option_headers(params.pop("pk", {}))
        if config is not None:
            headers["x-portkey-config"] = as_text(config)
        return self.answer(*self.request(f"/v1/prompts/{ref}/completions",
                                         {"variables": variables, **params}, headers))

    def render(self, ref, variables):
        answer = self.answer(*self.request(f"/v1/prompts/{ref}/render", {"variables": variables}, {}))
        return answer.body["data"]["messages"] if answer.ok else answer

    def answer(self, status, headers, text):
        try:
            body = loads(text)
        except ValueError:
            return Answer(status=status, code="no JSON", message=repr(text[:200]), headers=headers)
        cached = headers.get("x-portkey-cache-status")
        if 200 <= status < 300:
            return Answer(body, status, headers=headers, cached=cached)
        error = body.get("error", {})
        return Answer(body, status, error.get("type") or "", error.get("message", ""),
                      headers=headers, cached=cached)

    def rows(self, relation, trace_id):
        return self.side.rows(relation, trace_id)

    def everything(self):
        return self.side.everything() + "\n".join(self.seen + [self.log_text()]).encode(
            "utf-8", "replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        self.side.stop()
        self.log.close()
        super().stop()


class Shared(Http):
    """pkd over the database of the Postgres extension, which is beside it."""
    name, dialect = "http", "postgres"

    def beside(self, build, env):
        side = Postgres(build, env)
        side.db.query("create role pkd_login login; grant pk_gateway to pkd_login; "
                      "grant postgres to pkd_login")  # whose guardrails' predicates it may run
        side.function("pk_key_put", "makes-the-key", "openai", "x")
        key = os.path.join(self.tmp, "pk_master.key")
        shutil.copy(os.path.join(side.cluster.data, "pk_master.key"), key)
        os.chmod(key, 0o600)
        self.env.update(STORE_TIMEOUT)
        self.env["PK_SPOOL"] = os.path.join(self.tmp, "spool")
        return side, (f"postgresql://pkd_login@/postgres?host={side.cluster.host}"
                      f"&port={side.cluster.port}"), key

    def told(self, name, *args):
        got = self.side.function(name, *args)
        epoch = int(self.side.db.value("select value from pk_meta where name = 'epoch'"))
        if not until(lambda: json.loads(self.request("/readyz", "", {}, "GET")[2])["epoch"] >= epoch):
            raise RuntimeError(f"pkd has not heard of change {epoch}")
        return got


def listening(process, log_text):
    """The port that a daemon says it listens on, once it is ready."""
    for _ in range(6000):
        m = re.search(r"listening\b.*127\.0\.0\.1:(\d+)", log_text())
        if m and " ready" in log_text():
            return int(m.group(1))
        if process.poll() is not None:
            break
        time.sleep(0.01)
    raise RuntimeError("the daemon did not start: " + log_text())


def sql_answer(door, got):
    """What a function that raises gave, as an Answer."""
    if isinstance(got, Answer):
        return got
    door.seen.append(str(got))
    body = loads(got)
    return Answer(body, cached=body["pk"]["cache_status"])


def sql_chat(door, sql, config, messages, params):
    got = door.call(sql, as_text(config), as_text(messages), as_text(params))
    if isinstance(got, Answer):
        return got
    door.seen.append(str(got))
    if got is None:
        return Answer(None)
    tried = loads(got)
    if tried["ok"]:
        body = tried["response"]
        return Answer(body, cached=body["pk"]["cache_status"])
    error = tried["error"]
    return Answer(tried, error["http_status"], error["code"], error["message"])


def option_headers(options):
    """params.pk as request headers."""
    headers = {}
    cache = options.get("cache")
    if cache == "refresh" or isinstance(cache, dict) and cache.get("force_refresh"):
        headers["x-portkey-cache-force-refresh"] = "true"
    if isinstance(cache, dict) and "namespace" in cache:
        headers["x-portkey-cache-namespace"] = cache["namespace"]
    for name in ("trace_id", "span_id", "parent_span_id", "span_name", "request_timeout"):
        if name in options:
            headers["x-portkey-" + name.replace("_", "-")] = str(options[name])
    if "metadata" in options:
        headers["x-portkey-metadata"] = json.dumps(options["metadata"])
    if options.get("log") is False:
        headers["x-portkey-disable-logging"] = "true"
    elif "log" in options:
        headers["x-portkey-log-payloads"] = options["log"]
    return headers


def as_text(value):
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    return json.dumps(value)


def row_of(row):
    """A row in one spelling, whichever engine it came from."""
    for name in ("metadata", "request", "response"):
        if isinstance(row.get(name), str):
            row[name] = loads(row[name])
    for name in ("cost_usd", "cost_saved_usd"):
        if row.get(name) is not None:
            row[name] = Decimal(str(row[name])).normalize()
    if row.get("cache_similarity") is not None:
        row["cache_similarity"] = float(row["cache_similarity"])
    if "stream" in row:
        row["stream"] = bool(row["stream"])
    return row


def store_bytes(path):
    found = b""
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            with open(path + suffix, "rb") as f:
                found += f.read()
    return found


DOORS = {"sqlite": Sqlite, "postgres": Postgres, "http": Http, "shared": Shared}
