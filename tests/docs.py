#!/usr/bin/env python3
"""What the pages say can be run: docs.py BUILD [PAGE...]

Runs the ```sql blocks of README.md and docs/*.md, each page in order, in SQLite and in Postgres, against the
mock provider, and parses their ```json configs; looks that what can be called or set is on some page. A page begins with the same keys, configs and tables (GIVEN).

- A block marked ```sql sqlite or ```sql postgres, or a statement with the comment "-- SQLite" or "-- Postgres", is
  for that engine alone. ```sql skip is not run; neither is a statement with "..." in it.
- What stands between statements, or in the plain block behind them, is the output of the block. Its words must be
  in what comes; numbers, times and ids may differ. One that begins with "ERROR" or "pk: " wants an error.
- A comment <!--sql ... --> on lines of its own is run too: calls that the reader is told were made.
- Hosts of examples, and keys that are stored without a host, lead to the mock.
"""
import glob
import json
import os
import re
import shutil
import sqlite3
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path += [os.path.join(HERE, "regress"), os.path.join(HERE, "e2e")]
os.environ["BUILD"] = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BUILD", "build")

import pg_temp  # pylint: disable=wrong-import-position
from doors import Mock  # pylint: disable=wrong-import-position

BUILD = os.path.join(ROOT, os.environ["BUILD"])
BEGINS = re.compile(r"\s*(select|with|insert|update|delete|create|drop|alter|begin|rollback|commit|set|reset|show|do|"
                    r"explain|grant|revoke|call|attach|pragma|analyze|vacuum|prepare|execute|savepoint|release)\b", re.I)
GIVEN = """
select pk_key_put('openai-prod', 'openai', 'sk-docs-0001');
select pk_key_put('openai', 'openai', 'sk-docs-0002');
select pk_key_put('anthropic-prod', 'anthropic', 'sk-docs-0003');
select pk_key_put('claude', 'anthropic', 'sk-docs-0004');
select pk_key_put('anthropic', 'anthropic', 'sk-docs-0005');
select pk_config_put('quick', '{"virtual_key": "openai-prod", "override_params": {"model": "gpt-4o-mini"}}');
select pk_config_put('support', '{"strategy": {"mode": "fallback"}, "cache": {"mode": "simple"}, "targets": [
  {"virtual_key": "openai-prod", "override_params": {"model": "gpt-4o-mini"}},
  {"virtual_key": "claude", "override_params": {"model": "claude-haiku-4-5"}}]}');
create table tickets (id integer primary key, customer text, body text, mood text);
insert into tickets values (1, 'ann', 'My order is late.', null), (2, 'bob', 'Thank you all!', null);
"""
FRAME = {"ERROR", "DETAIL", "HINT", "NULL", "row", "rows", "true", "false"}  # words of a shell
FAILING = {"README.md": {"openai-prod": "/m/status-503"}}  # keys whose provider is down on that page
ENV = {"OPENAI_API_KEY": "sk-docs-openai", "ANTHROPIC_API_KEY": "sk-docs-anthropic"}


# --- pages -----------------------------------------------------------------------------------------

class Statement:
    """`block` is what was said so far by the statements of its block, and by this one."""

    def __init__(self, line, text, engines, block):
        self.line, self.text, self.engines, self.output, self.block = line, text, engines, [], block

    @property
    def wants_error(self):
        first = next((o for o in self.output if o.strip()), "")
        return bool(re.match(r"\s*(ERROR|pk: |Runtime error|Error:)", first))

    def for_engine(self, engine):
        said = {e for e in ("sqlite", "postgres") if re.search(rf"--.*\b{e}\b", self.text, re.I)}
        return engine in (said or self.engines) and "..." not in self.text


def complete(text):
    """A `;` at its end, outside of quotes and of a $$ body; a comment may follow."""
    bare = re.sub(r"--[^\n]*", "", text)
    return sqlite3.complete_statement(bare) and bare.count("$$") % 2 == 0


def split(block, line, engines):
    """Statements, each with what stands behind it as its output."""
    found, text, began, said = [], "", line, {}
    for n, row in enumerate(block, line):
        if not text and not BEGINS.match(row):
            if found and not row.startswith("."):
                found[-1].output.append(row)
            continue
        if not text:
            began = n
        text += row + "\n"
        if complete(text):
            found.append(Statement(began, text, engines, said))
            text = ""
    if text.strip():
        found.append(Statement(began, text, engines, said))
    return found


def read_page(path):
    """(statements, configs): (line, text) of each ```json config."""
    statements, configs, lines = [], [], open(path, encoding="utf-8").read().split("\n")
    i, last_sql_end = 0, None
    while i < len(lines):
        fence = re.match(r"(?:```|<!--)(\w*) ?(\w*)\s*$", lines[i])
        if not fence:
            i += 1
            continue
        ends = ("```", "-->")
        end = next(k for k in range(i + 1, len(lines) + 1) if k == len(lines) or lines[k].startswith(ends))
        block, kind, mark = lines[i + 1:end], fence.group(1), fence.group(2)
        if kind == "sql" and mark != "skip":
            engines = {mark} if mark else {"sqlite", "postgres"}
            statements += split(block, i + 2, engines)
            last_sql_end = end
        elif kind == "" and last_sql_end is not None and not "".join(lines[last_sql_end + 1:i]).strip():
            if statements:
                statements[-1].output += block
        elif kind == "json":
            configs.append((i + 2, "\n".join(block)))
        i = end + 1
    return statements, configs


def towards_mock(sql, base, failing=()):
    """Keys without a host get the mock's; so do hosts of examples, and providers that are named in a config."""
    sql = re.sub(r"https?://(127\.0\.0\.1|localhost):(8799|8080|11434)\b", base, sql)
    sql = re.sub(r"https://[\w.-]*example\.(com|org)[\w./]*", base + "/v1", sql)
    sql = re.sub(r"pk_key_put\(('[^']*'), *('(?:openai|anthropic)'), *('[^']*')\)",
                 rf"""pk_key_put(\1, \2, \3, '{{"custom_host": "{base}/v1"}}')""", sql)
    for slug in failing:
        sql = re.sub(rf"(pk_key_put\('{slug}'.*?{base})/v1", rf"\1{failing[slug]}/v1", sql)
    if "pk_cache_purge" in sql:
        return sql
    return re.sub(r'"provider": *"(openai|anthropic)"(?![^{}]*"(?:api_key|custom_host)")', r'"virtual_key": "\1"', sql)


# --- engines ---------------------------------------------------------------------------------------

class Sqlite:
    name = "sqlite"

    def __init__(self, mock):
        self.folder = tempfile.mkdtemp(prefix="pk-docs-")
        os.environ["PK_STORE"] = os.path.join(self.folder, "store.pkdb")
        self.base = mock.base
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.enable_load_extension(True)
        self.db.load_extension(os.path.join(BUILD, "pk"))

    def run(self, sql):
        """(text of the rows, error)"""
        try:
            cursor = self.db.execute(sql)
            names = [c[0] for c in cursor.description or ()]
            return shown(names, cursor.fetchall()), None
        except (sqlite3.Error, sqlite3.Warning) as e:
            return "", str(e)

    def close(self):
        self.db.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres:
    name = "postgres"

    def __init__(self, mock, cluster, database):
        self.base, self.cluster, self.database = mock.base, cluster, database
        with cluster.connect() as c:
            c.query(f'create database "{database}"')
        self.db = cluster.connect(database)
        self.db.query("create extension pk")

    def run(self, sql):
        if re.match(r"\s*create extension", sql, re.I):
            return "", None
        try:
            self.db.query("select pk_flush()")
            return shown([], self.db.query(sql)), None
        except pg_temp.Error as e:
            return "", " ".join(filter(None, ("ERROR:", e.sqlstate, e.message, e.detail, e.hint)))

    def close(self):
        self.db.close()


def shown(names, rows):
    return " ".join(names) + "\n" + "\n".join(" | ".join("" if v is None else str(v) for v in r) for r in rows)


# --- checks ----------------------------------------------------------------------------------------

def words(text):
    """What must not differ: no numbers, times, ids or keys."""
    text = re.sub(r"\b[0-9a-f]{8}[0-9a-f-]*|sk-[\w-]*|\d{4}-\d\d-[\dT:.Z+ -]*", " ", text)
    return set(re.findall(r"[A-Za-z_][A-Za-z_]{2,}", text))


class Page:
    def __init__(self, name, path):
        self.name = name
        self.statements, self.configs = read_page(path)
        self.problems = []

    def complain(self, engine, line, what):
        self.problems.append(f"{self.name}:{line}: {engine.name}: {what}")

    def prepare(self, engine):
        for s in split(GIVEN.strip().split("\n"), 0, {engine.name}):
            _, error = engine.run(self.translated(engine, s))
            if error:
                raise RuntimeError(error)

    def translated(self, engine, s):
        return towards_mock(s.text, engine.base, FAILING.get(self.name, {}))

    def run_on(self, engine):
        self.prepare(engine)
        for s in self.statements:
            if s.for_engine(engine.name):
                self.check(engine, s, *engine.run(self.translated(engine, s)))
        for line, text in self.configs:
            self.check_config(engine, line, text)

    def check(self, engine, s, got, error):
        shown_words = words("\n".join(s.output)) - FRAME
        if s.wants_error and not error:
            self.complain(engine, s.line, f"no error, but: {got.strip()[:200]}")
        if error and not s.wants_error and not (shown_words and shown_words <= words(error)):
            self.complain(engine, s.line, f"{error}\n#    {s.text.strip()[:300]}")
            return
        said = s.block[engine.name] = s.block.get(engine.name, "") + f" {got} {error or ''} {s.text}"
        missing = shown_words - words(said)
        if missing and not s.text.lower().startswith("do "):  # its notices go elsewhere
            self.complain(engine, s.line, f"the page shows {sorted(missing)}, and this came: "
                                          f"{(error or got).strip()[:400]}")

    def check_config(self, engine, line, text):
        try:
            config = json.loads(text)
        except ValueError:
            return  # a part of one, with comments or dots
        if not isinstance(config, dict) or not {"strategy", "targets", "virtual_key", "provider"} & set(config):
            return
        if engine.name != "sqlite" or "api_key" in text:
            return
        for slug in set(re.findall(r'"(?:virtual_key|virtualKey)": *"([\w.-]+)"', text)):
            if engine.run(f"select 1 from pk_virtual_keys where slug = '{slug}'")[0].strip() == "1":
                engine.run(f"select pk_key_put('{slug}', 'openai', 'sk-docs')")
        _, error = engine.run("select pk_config_put('of-the-page', '" + text.replace("'", "''") + "')")
        if error:
            self.complain(engine, line, f"this config is refused: {error}")

    def report(self):
        for p in self.problems:
            print("# " + p)
        ran = len(self.statements) + len(self.configs)
        print(f"{'not ok' if self.problems else 'ok'} {self.name}: what it says can be run ({ran} statements and configs)",
              flush=True)
        return not self.problems


# --- what must be on some page ---------------------------------------------------------------------

NAMES = (  # what, file, pattern; what is found must be on a page as it is
    ("SQL function", "ext-pg/pk.sql.in", r"create (?:function|aggregate|procedure) (pk_\w+)"),
    ("SQL function", "ext-sqlite/pk_sqlite.c", r'\{"(pk_\w+)", +\d'),
    ("relation", "ext-sqlite/vtab.c", r'\{"(pk_\w+)", +\d'),
    ("setting of Postgres", "ext-pg/pk_pg.c", r'"(pk\.\w+)"'),
    ("setting of SQLite", "ext-sqlite/settings.c", r'\] += \{"(\w+)"'),
    ("option of pkd", "sidecar/options.def", r'(?:OPTION|COMMON|FILTER)\(\w+, +\w+, +"([\w-]+)"'),
    ("variable", "sidecar/options.def", r'(?:OPTION|COMMON|FILTER)\(\w+, +\w+, +"[\w-]+", +"(\w+)"'),
    ("header", "sidecar/headers.def", r'HEADER\(\w+, +"([\w-]+)"'),
    ("member of a config", "shared/config_members.c", r'\{"(\w+)", \w+\}'),
    ("call option", "shared/request.c", r'\{"(\w+)", read_\w+\}'),
    ("event of the log", "sidecar/*.c", r'pkd_(?:debug|info|warn|error)\("([a-z_]+)'),
    ("metric", "sidecar/metrics.def", r'"((?:pkd|process)_\w+)"'),
    ("metric", "sidecar/metrics.c", r'"((?:pkd|process)_\w+)[" {]'),
    ("endpoint", "sidecar/endpoints.def", r'"(/[\w/-]*\w)'),
)
UNNAMED = {"pk_payload_text", "pk_provider_table", "pk_usage",  # for the views alone
           "pk_run_progress",                                   # for pk_run() alone
           "pk_owned_price", "pk_owned_model",  # of triggers
           "pk_reduce_add", "pk_reduce_end"}  # of the aggregate


def check_names():
    pages = "\n".join(open(p, encoding="utf-8").read() for p in all_pages().values())
    # "pk.retention_logs`, `_payloads`" and the like: a page may leave out what the names share
    shared = re.sub(r"(\w*[.\w]+?)(_\w+)`((?:, `_\w+`)+)",
                    lambda m: m.group(0) + " " + " ".join(m.group(1) + e for e in re.findall(r"_\w+", m.group(3))), pages)
    missing = []
    for what, path, pattern in NAMES:
        text = "\n".join(open(p, encoding="utf-8").read() for p in sorted(glob.glob(os.path.join(ROOT, path))))
        for name in sorted(set(re.findall(pattern, text))):
            if name not in UNNAMED and not re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", shared):
                missing.append(f"{what} {name} ({path})")
    for m in missing:
        print("# on no page: " + m)
    print(f"{'not ok' if missing else 'ok'} everything that can be called or set is on a page", flush=True)
    return not missing


def all_pages():
    paths = {"README.md": os.path.join(ROOT, "README.md")}
    for name in sorted(os.listdir(os.path.join(ROOT, "docs"))):
        if name.endswith(".md"):
            paths[name] = os.path.join(ROOT, "docs", name)
    return paths


def anchor_of(heading):
    """As GitHub makes it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def check_links():
    """Whatever a page links to is there, the heading too."""
    texts = {p: re.sub(r"^```.*?^```", "", open(p, encoding="utf-8").read(), flags=re.S | re.M) for p in all_pages().values()}
    anchors = {p: {anchor_of(h) for h in re.findall(r"^#+ (.*)$", t, re.M)} for p, t in texts.items()}
    wrong = []
    for path, text in texts.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            place, _, anchor = link.partition("#")
            to = os.path.normpath(os.path.join(os.path.dirname(path), place)) if place else path
            if "://" not in link and (not os.path.exists(to) or anchor and anchor not in anchors.get(to, {anchor})):
                wrong.append(f"{os.path.relpath(path, ROOT)}: {link}")
    for w in wrong:
        print("# leads nowhere: " + w)
    print(f"{'not ok' if wrong else 'ok'} every link leads somewhere", flush=True)
    return not wrong


def main(only):
    paths = all_pages()
    os.environ.update(ENV)
    good = check_names() & check_links()
    mock = Mock(BUILD)
    try:
        with pg_temp.Cluster({"max_worker_processes": "64"}, env=ENV) as cluster:
            for name, path in paths.items():
                page = Page(name, path)
                if only and not any(o in name for o in only) or not page.statements + page.configs:
                    continue
                for engine in (Sqlite(mock), Postgres(mock, cluster, re.sub(r"\W", "_", name))):
                    try:
                        page.run_on(engine)
                    finally:
                        engine.close()
                good = page.report() and good
    finally:
        mock.stop()
    return not good


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
