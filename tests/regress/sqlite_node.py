#!/usr/bin/env python3
"""The SQLite extension in better-sqlite3, which brings a SQLite of its own."""
import json
import os
import shutil
import subprocess

from sqlite_door import BUILD, CACHED, PK, SAN, Skip, case, config, contains, equal, main

SCRIPT = """
const Database = require('better-sqlite3');
const [pk, good, cached] = process.argv.slice(2);
const db = new Database(':memory:');
db.loadExtension(pk);
db.loadExtension(pk);
const one = (sql, ...args) => db.prepare(sql).pluck().get(...args);
const out = {};
out.sqlite = one('select sqlite_version()');
out.ask = one('select pk_ask(?, ?)', good, 'from node');
for (let i = 0; i < 3; i++) out.chat = JSON.parse(one('select pk_chat(?, ?)', cached, 'x'));
out.rows = one('select count(*) from pk_logs');
db.exec('create table t(x)');
try { db.transaction(() => { db.prepare('insert into t select pk_ask(?, ?)').run(good, 'y'); throw 1; })(); } catch (e) {}
out.kept = one('select count(*) from pk_logs');
out.empty = one('select count(*) from t');
out.nested = one("select json_type(json_array(pk_health()), '$[0]')");
try { one('select pk_chat(?, 5)', good); } catch (e) { out.error = e.message; }
console.log(JSON.stringify(out));
one('select pk_ask(?, ?)', good, 'last words');
process.exit(0);  // without closing
"""


def modules():
    """A folder with node_modules/better-sqlite3, kept between runs; None when there is none to be had."""
    folder = os.path.join(BUILD, "node")
    if os.path.isdir(os.path.join(folder, "node_modules", "better-sqlite3", "build", "Release")):
        return folder
    if not shutil.which("npm") or not os.environ.get("PK_TEST_NPM"):
        return None
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "package.json"), "w") as f:
        f.write('{"private":true}')
    run = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "better-sqlite3"], cwd=folder, timeout=600,
                         capture_output=True)
    return folder if run.returncode == 0 else None


@case
def better_sqlite3_works(folder):
    if SAN:
        raise Skip("node is not built with the sanitizers")
    where = modules()
    if not where:
        raise Skip("better-sqlite3 is not installed (PK_TEST_NPM=1 fetches it)")
    script = os.path.join(where, "pk.js")
    with open(script, "w") as f:
        f.write(SCRIPT)
    run = subprocess.run(["node", script, PK, config(), config(**CACHED)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    got = json.loads(run.stdout)
    print("# better-sqlite3 with SQLite", got["sqlite"])
    equal((got["ask"], got["rows"], got["kept"], got["empty"], got["nested"]), ("from node", 4, 5, 0, "object"))
    equal(got["chat"]["pk"]["cache_status"], "HIT")
    contains(got["error"], "pk: invalid_request: messages")
    from sqlite_door import connect, one
    equal(one(connect(), "select count(*) from pk_logs"), 6)


if __name__ == "__main__":
    main()
