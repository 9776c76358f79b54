#!/usr/bin/env python3
"""pkd on a store in Postgres that is not there yet, or no more: how it starts, and where its log rows wait."""
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.argv[1:] = [os.environ.get("BUILD", "build")]  # as the tests of pkd have it

import pg_temp
import pkd_harness as h
from pkd_harness import Pkd, expect, until

mock = h.Mock()
STARTS = []


class Started:
    """A pkd that is started in a thread, since it says when it is ready."""

    def __init__(self, *options, env=None):
        self.folder = tempfile.mkdtemp(prefix="pkd")
        STARTS.append(self)
        self.pkd = self.failed = None
        self.url = f"postgresql://postgres@/postgres?host={pg.host}&port={pg.port}"
        self.thread = threading.Thread(target=self.run, args=(options, env))
        self.thread.start()

    def run(self, options, env):
        try:
            self.pkd = Pkd("--store", self.url, *options, folder=self.folder, env=env)
        except RuntimeError as e:
            self.failed = str(e)

    def text(self):
        path = os.path.join(self.folder, "log")
        return open(path, encoding="utf-8").read() if os.path.exists(path) else ""

    def process(self):
        expect(until(lambda: "store_unavailable" in self.text()), self.text())
        return h.running[-1]


def master_key(folder):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "master.key")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
        f.write(os.urandom(32))
    return path


def down(mode="fast"):
    if pg.running:
        pg.stop(mode)


def up():
    if not pg.running:
        pg.start()


def rows():
    return int(pg.psql("select count(*) from pk_log"))


def it_waits_for_a_database_that_comes_later():
    down()
    start = Started()
    expect(until(lambda: start.text().count("store_unavailable") >= 3), start.text())
    expect("listening" not in start.text() and start.pkd is None, start.text())
    up()
    start.thread.join(60)
    expect(start.pkd and start.pkd.http("GET", "/readyz")[0] == 200, start.failed)
    expect(h.chat(start.pkd, mock)[0] == 200)
    expect(start.pkd.stop() == 0)


def it_does_not_wait_for_ever():
    down()
    began = time.monotonic()
    start = Started("--store-wait", "700")
    start.thread.join(60)
    expect(start.failed and "cannot_start" in start.text(), start.text())
    expect(0.6 < time.monotonic() - began < 40, time.monotonic() - began)  # a minute otherwise
    up()


def it_can_be_stopped_while_it_waits():
    down()
    start = Started()
    process, began = start.process(), time.monotonic()
    process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    expect(process.poll() is None, "a reload ends nothing")
    process.send_signal(signal.SIGTERM)
    expect(process.wait(40) == 1 and time.monotonic() - began < 40)  # a minute otherwise
    start.thread.join()
    expect("told to end" in start.text(), start.text())
    up()


def what_is_wrong_otherwise_is_told_at_once():
    up()
    began = time.monotonic()
    pg.psql("create database bare")
    start = Started("--store", f"postgresql://postgres@/bare?host={pg.host}&port={pg.port}")
    start.thread.join(60)
    expect(start.failed and "CREATE EXTENSION pk" in start.text() and "store_unavailable" not in start.text(), start.text())
    expect(time.monotonic() - began < 40)  # a minute otherwise


def rows_wait_beside_the_master_key():
    up()
    for named in "option", "variable":
        key = master_key(os.path.join(pg.dir, "keys-" + named))
        before = rows()
        start = Started(*(["--master-key-file", key] if named == "option" else []),
                        env={"PK_MASTER_KEY_FILE": key} if named == "variable" else None)
        start.thread.join(60)
        expect(h.chat(start.pkd, mock, text=named)[0] == 200, start.failed)
        down("immediate")
        expect(h.chat(start.pkd, mock, text=named)[0] == 200)
        folder = os.path.dirname(key)
        expect(until(lambda: any(n.endswith(".spool") for n in os.listdir(folder))), (named, os.listdir(folder)))
        up()
        expect(until(lambda: rows() == before + 2), "and are written later")
        expect(start.pkd.stop() == 0)


def rows_wait_elsewhere_when_the_key_is_mounted():
    if os.geteuid() != 0:
        raise h.Skip("only root can mount")
    key = master_key(os.path.join(pg.dir, "mounted"))
    folder, data = os.path.dirname(key), os.path.join(pg.dir, "data-home")
    h.subprocess.run(["mount", "--bind", folder, folder], check=True)
    up()
    try:
        h.subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        start = Started("--master-key-file", key, env={"XDG_DATA_HOME": data})
        start.thread.join(60)
        expect(start.pkd and h.chat(start.pkd, mock)[0] == 200, start.failed)
        down("immediate")
        got = h.chat(start.pkd, mock)
        expect(got[0] == 200, got)
        expect(until(lambda: any(n.endswith(".spool") for n in os.listdir(data + "/pk"))), os.listdir(data))
        up()
        expect(start.pkd.stop() == 0)
    finally:
        h.subprocess.run(["umount", folder], check=True)


with pg_temp.Cluster() as pg:
    pg.psql("create extension pk")
    try:
        h.run(it_waits_for_a_database_that_comes_later, it_does_not_wait_for_ever, it_can_be_stopped_while_it_waits,
              what_is_wrong_otherwise_is_told_at_once, rows_wait_beside_the_master_key,
              rows_wait_elsewhere_when_the_key_is_mounted)
    finally:
        for one in STARTS:
            shutil.rmtree(one.folder, ignore_errors=True)
h.end()
