"""What the tests of the queue share: a provider that counts what each prompt cost, and the doors to a store."""
import http.server
import json
import os
import re
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter

import pg_temp
from patience import SLOW, STORE_TIMEOUT, until
from pg_case import expect

BUILD = pg_temp.BUILD


class Provider:
    """OpenAI's chat completions: `answered` and `asked` count by prompt. What a prompt says is what it does:
    "slow N" waits so many ms, "bad N times" fails first, "always N" fails with that status."""

    def __init__(self, delay=0.0):
        self.asked, self.answered, self.lock = Counter(), Counter(), threading.Lock()
        self.delay, self.at_once, self.most, self.forgot = delay, 0, 0, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *unused):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.serve(self, body["messages"][-1]["content"])

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

            def handle_error(self, *unused):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, to, prompt):
        with self.lock:
            self.asked[prompt] += 1
            began = self.forgot
            times = self.asked[prompt]
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        slow = re.search(r"slow (\d+)", prompt)
        time.sleep(int(slow[1]) / 1e3 if slow else self.delay)
        bad, always = re.search(r"bad (\d+) times", prompt), re.search(r"always (\d+)", prompt)
        status = int(always[1]) if always else 503 if bad and times <= int(bad[1]) else 200
        usage = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
        out = ({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "usage": usage, "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "re " + prompt}}]}
            if status == 200 else {"error": {"message": "no: " + prompt, "type": "t", "code": "c"}})
        data = json.dumps(out).encode()
        with self.lock:
            self.at_once -= began == self.forgot  # else an earlier test's, that went away
            self.answered[prompt] += status == 200
        to.send_response(status)
        to.send_header("content-type", "application/json")
        to.send_header("content-length", str(len(data)))
        to.end_headers()
        to.wfile.write(data)

    def config(self, **more):
        return json.dumps({"virtual_key": "counted", "override_params": {"model": "gpt-4o"}, **more})

    def forget(self):
        with self.lock:
            self.asked.clear()
            self.answered.clear()
            self.most = self.at_once = 0
            self.forgot += 1


class Worker:
    """`pkd serve` that only works off the queue."""

    def __init__(self, store, *options, key=None):
        self.log = tempfile.NamedTemporaryFile("rb", prefix="pkd")
        command = [os.path.join(BUILD, "pkd"), "serve", "--store", store, "--listen", "none", "--unix",
                   tempfile.mktemp(prefix="pkdsock"), *options]
        if key:
            command += ["--master-key-file", key]
        with open(self.log.name, "wb") as err:
            self.process = subprocess.Popen(command, stderr=err, env={**STORE_TIMEOUT, **os.environ})
        expect(until(lambda: "ready" in self.text() or self.process.poll() is not None), "not ready")
        expect(self.process.poll() is None, self.text())

    def text(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30 * SLOW)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


class SqliteDoor:
    """The SQLite extension and a store file."""
    name = "sqlite"
    map_sql = "select * from pk_map where config = ? and query = ? and params = ?"
    batch_sql = "select * from pk_batch(?, ?, ?)"

    def __init__(self, folder, provider):
        self.store = os.path.join(folder, "q.pkdb")
        self.db = self.connect()
        self.one("select pk_key_put('counted', 'openai', 'sk-test', ?)", json.dumps({"custom_host": provider.url}))

    def connect(self):
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        db.enable_load_extension(True)
        db.load_extension(os.path.join(BUILD, "pk"))
        db.execute("select pk_set('store', ?)", (self.store,)).fetchone()
        return db

    def rows(self, sql, *args):
        return self.db.execute(sql, args).fetchall()

    def one(self, sql, *args):
        return self.rows(sql, *args)[0][0]

    def series(self, count, text="'say ' || value"):
        return (f"with recursive n(value) as (select 1 union all select value + 1 from n where value < {count}) "
                f"select value as key, {text} as prompt from n")

    def map_args(self, config, params):
        return config, "select 1 as key, 'x' as prompt", params

    def setting(self, name, value):
        self.one("select pk_set(?, ?)", name, value)

    def job(self, job):
        return json.loads(self.one("select pk_job(?)", job))

    def collect(self, job, columns="key, ok, content"):
        return self.rows(f"select {columns} from pk_collect(?)", job)

    def worker(self, *options):
        return Worker(self.store, *options)

    def error(self, sql, *args):
        try:
            self.rows(sql, *args)
        except sqlite3.Error as e:
            return str(e)
        raise AssertionError("no error: " + sql)


class PostgresDoor:
    """The Postgres extension, and a pkd with nothing but the role pk_gateway."""
    name = "postgres"
    map_sql = "select * from pk_map($1, $2, $3)"
    batch_sql = "select * from pk_batch($1::text, array[$2], $3::jsonb)"
    count = 0

    def __init__(self, pg, provider):
        PostgresDoor.count += 1
        self.pg, self.database = pg, f"queue{PostgresDoor.count}"
        pg.psql(f"create database {self.database}")
        pg.psql("create extension pk", self.database)
        if not pg.connect("postgres").query("select 1 from pg_roles where rolname = 'gateway'"):
            pg.psql("create role gateway login in role pk_gateway")
        self.db = self.connect()
        self.one("select pk_key_put('counted', 'openai', 'sk-test', $1::jsonb)",
                 json.dumps({"custom_host": provider.url}))
        self.store = f"postgresql://gateway@/{self.database}?host={pg.host}&port={pg.port}"

    def connect(self, **more):
        return self.pg.connect(self.database, **more)

    def rows(self, sql, *args):
        for a in args:
            sql = re.sub(r"\$\d|\?", "'" + str(a).replace("'", "''").replace("\\", "\\\\") + "'", sql, count=1)
        return self.db.query(sql)

    def one(self, sql, *args):
        return self.rows(sql, *args)[0][0]

    def series(self, count, text="'say ' || value"):
        return f"select value as key, {text} as prompt from generate_series(1, {count}) value"

    def map_args(self, config, params):
        return config, "select 1 as key, 'x' as prompt", params

    def setting(self, name, value):
        self.rows(f"set pk.{name} = {pg_temp.quoted(value)}")

    def job(self, job):
        return json.loads(self.one("select pk_job(?)", job))

    def collect(self, job, columns="key, ok, content"):
        def typed(v):
            return int(v) if isinstance(v, str) and re.fullmatch(r"\d+", v) else {"t": 1, "f": 0}.get(v, v)
        return [tuple(typed(v) for v in r) for r in self.rows(f"select {columns} from pk_collect(?)", job)]

    def worker(self, *options):
        key = os.path.join(self.pg.dir, "worker.key")
        if not os.path.exists(key):
            with open(os.path.join(self.pg.data, "pk_master.key"), "rb") as of, \
                    open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as to:
                to.write(of.read())
        return Worker(self.store, *options, key=key)

    def error(self, sql, *args):
        try:
            self.rows(sql, *args)
        except pg_temp.Error as e:
            return e.message
        raise AssertionError("no error: " + sql)
