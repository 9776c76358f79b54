#!/usr/bin/env python3
"""The dbt package and its example, with dbt itself, in SQLite and in Postgres:  tests/e2e/dbt.py BUILD [--install] [ENGINE...]

dbt is kept in BUILD/sdk/dbt. --install puts it there (pip, from its registry); without it the cases are skipped.
A story in each engine: what is built first, what a second run asks for (nothing), what a changed, a new and a failed row do.
"""
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "regress"))

import pg_temp
from pkd_harness import Mock, ROOT, Skip, end, expect, program, run, running, until

PACKAGES = ["dbt-core==1.10.23", "dbt-postgres==1.9.1", "dbt-sqlite==1.10.0"]
HOME = program("sdk/dbt")
DONE = HOME + "/installed"
QUIET = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_USE_COLORS": "false"}


def install():
    if os.path.exists(DONE):
        return
    try:
        subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
        subprocess.run([HOME + "/bin/pip", "install", "-q", *PACKAGES], check=True)
        open(DONE, "w").close()
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"# dbt: {e}")


class Project:
    """A copy of the example beside a copy of the package, in a folder of its own."""

    def __init__(self, engine, mock):
        self.engine, self.mock = engine, mock
        self.folder = tempfile.mkdtemp(prefix="pk-dbt")
        shutil.copytree(os.path.join(ROOT, "sql/dbt"), self.folder + "/dbt")
        self.example = self.folder + "/dbt/example"
        self.env = {**os.environ, **QUIET, "DBT_PROFILES_DIR": self.example}

    def dbt(self, *words, fails=False):
        """What a command prints; it must end as it is said to."""
        done = subprocess.run([HOME + "/bin/dbt", *words, "--target", self.engine], cwd=self.example, env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        expect((done.returncode != 0) == fails, f"dbt {' '.join(words)} ended with {done.returncode}:\n{done.stdout}".replace("\n", "\n# "))
        return done.stdout

    def calls(self):
        return self.mock.page("stats")["requests"]

    def provider(self, plan=""):
        """The key that all configs use leads to the mock, which does as planned."""
        base = f"http://127.0.0.1:{self.mock.port}{plan}/v1"
        self.sql(f"""select pk_key_put('openai', 'openai', 'sk-of-dbt', '{{"custom_host": "{base}"}}')""")

    def provider_is_gone(self):
        self.mock.stop()

    def provider_is_back(self):
        """At the same address, as a changed address would be a changed config; its counters begin anew."""
        self.mock.process = subprocess.Popen([program("mockd"), "--port", str(self.mock.port)], stdout=subprocess.PIPE)
        running.append(self.mock.process)
        self.mock.process.stdout.readline()

    def write(self, path, text):
        with open(os.path.join(self.example, path), "w", encoding="utf-8") as f:
            f.write(text)

    def close(self):
        shutil.rmtree(self.folder)


class Sqlite(Project):
    def __init__(self, mock):
        super().__init__("sqlite", mock)
        own = {"PK_STORE": self.folder + "/store.pkdb", "TICKETS_DB": self.folder + "/tickets.db",
               "TICKETS_FOLDER": self.folder, "PK_SO": program("pk.so")}
        self.env.update(own)
        os.environ.update(own)

    def sql(self, text):
        db = sqlite3.connect(self.folder + "/tickets.db")
        db.enable_load_extension(True)
        db.load_extension(program("pk"))
        try:
            rows = db.execute(text).fetchall()
            db.commit()
            return [[None if v is None else str(v) for v in row] for row in rows]
        finally:
            db.close()


class Postgres(Project):
    def __init__(self, mock):
        super().__init__("postgres", mock)
        self.cluster = pg_temp.Cluster({"max_worker_processes": "64"})
        self.cluster.__enter__()
        self.env.update(self.cluster.client_env())
        self.sql("create extension pk")

    def sql(self, text):
        with self.cluster.connect() as c:
            return [[{"t": "1", "f": "0"}.get(v, v) for v in row] for row in c.query(text)]

    def close(self):
        self.cluster.__exit__()
        super().close()


# --- the story, in order ---------------------------------------------------------------------------

def it_builds_with_a_call_for_each_distinct_question(p):
    p.provider()
    p.sql("""select pk_config_put('support', '{"virtual_key": "openai", "override_params": {"model": "gpt-4o-mini"}}')""")
    p.dbt("deps")
    told = p.dbt("build")
    expect(p.calls() == 10 + 9 + 4, p.calls())  # of 12 rows two are equal, and one has no text
    expect("pk: ticket_moods: 10 calls, cost $0.0" in told and "pk: 23 calls in this run, cost $0.0" in told, told)
    rows = p.sql("select id, mood, pk_ok, pk_error_code, pk_model from ticket_moods where id in (1, 4, 12) order by id")
    leak = "The mood of this ticket, in one word: The kettle leaks at the handle and the kitchen is wet every morning."
    expect(rows == [["1", leak, "1", None, "gpt-4o-mini"], ["4", None, "1", None, None], ["12", leak, "1", None, "gpt-4o-mini"]], rows)
    expect(p.sql("select count(*), count(slogan) from product_slogans") == [["4", "4"]])


def its_calls_say_who_made_them(p):
    flush(p)
    rows = p.sql("select metadata, count(*) from pk_logs group by 1")
    rows = sorted(((json.loads(m), int(n)) for m, n in rows), key=lambda r: r[0]["dbt_model"])
    expect([(m["dbt_model"], n) for m, n in rows] == [("product_slogans", 4), ("ticket_moods", 10), ("ticket_replies", 9)], rows)
    for m, _ in rows:
        expect(re.fullmatch(r"[0-9a-f-]{36}", m["dbt_invocation_id"]), m)
        expect((m["dbt_project"], m["dbt_target"]) == ("tickets", p.engine), m)


def a_second_run_makes_no_call(p):
    before = p.calls()
    told = p.dbt("run")
    expect(p.calls() == before, f"{p.calls() - before} calls")
    expect("pk: product_slogans: 4 calls, 4 from the cache, cost $0.000000" in told, told)
    expect("ticket_moods:" not in told, told)


def compiling_makes_no_call(p):
    before = p.calls()
    p.dbt("compile", "--full-refresh")
    expect(p.calls() == before)


def a_full_refresh_pays_for_nothing_again(p):
    before = p.calls()
    told = p.dbt("run", "--full-refresh")
    expect(p.calls() == before, f"{p.calls() - before} calls")
    expect("pk: ticket_moods: 10 calls, 10 from the cache" in told, told)
    expect(p.sql("select count(*), sum(case when pk_ok then 1 else 0 end) from ticket_moods") == [["12", "12"]])


def a_changed_row_is_asked_again_and_a_new_one(p):
    p.sql("update tickets set body = 'Which bulb does it take, please?' where id = 3")
    before = p.calls()
    p.dbt("run", "--select", "ticket_moods")
    expect(p.calls() - before == 1, p.calls() - before)
    rows = p.sql("select mood from ticket_moods where id = 3")
    expect(rows == [["The mood of this ticket, in one word: Which bulb does it take, please?"]], rows)
    p.sql("insert into tickets (id, customer, product, body) values (13, 'max', 'Lamp', 'It''s too \\ bright: 100%!')")
    before = p.calls()
    p.dbt("run", "--select", "ticket_moods")
    expect(p.calls() - before == 1, p.calls() - before)
    expect(p.sql("select mood from ticket_moods where id = 13") == [["The mood of this ticket, in one word: It's too \\ bright: 100%!"]])


def another_model_asks_again_another_timeout_does_not(p):
    put = """select pk_config_put('support', '{"virtual_key": "openai", %s"override_params": {"model": "%s"}}')"""
    before = p.calls()
    p.sql(put % ('"request_timeout": 9000, ', "gpt-4o-mini"))
    p.dbt("run", "--select", "ticket_moods")
    expect(p.calls() == before, p.calls() - before)
    p.sql(put % ("", "gpt-4o"))
    p.dbt("run", "--select", "ticket_moods")
    expect(p.calls() - before == 11, p.calls() - before)
    expect(p.sql("select distinct pk_model from ticket_moods where mood is not null") == [["gpt-4o"]])
    p.sql(put % ("", "gpt-4o-mini"))
    p.dbt("run", "--select", "ticket_moods")
    expect(p.calls() - before == 11, p.calls() - before)  # the cache has the answers of the first model


def a_failed_row_is_told_and_asked_again(p):
    p.provider_is_gone()
    p.sql("insert into tickets (id, customer, product, body) values (14, 'nia', 'Lamp', 'Where is my lamp?')")
    told = p.dbt("run", "--select", "ticket_moods")
    expect("pk: ticket_moods: 1 calls, 1 failed" in told, told)
    rows = p.sql("select mood, pk_ok, pk_error_code, pk_retryable from ticket_moods where id = 14")
    expect(rows == [[None, "0", "connection_error", "1"]], rows)
    told = p.dbt("test", "--select", "ticket_moods", fails=True)
    expect(re.search(r"FAIL 1 pk_pk_no_retryable_left_ticket_moods", told) and "PASS pk_pk_error_rate_below_ticket_moods" in told, told)
    p.provider_is_back()
    p.dbt("run", "--select", "ticket_moods")
    expect(p.calls() == 1, p.calls())
    rows = p.sql("select mood, pk_ok from ticket_moods where id = 14")
    expect(rows == [["The mood of this ticket, in one word: Where is my lamp?", "1"]], rows)
    p.dbt("test", "--select", "ticket_moods")


def too_many_errors_and_too_high_a_cost_fail_the_tests(p):
    kept = open(p.example + "/models/models.yml", encoding="utf-8").read()
    p.sql("update ticket_moods set pk_ok = pk_ok and id > 4")
    p.write("models/models.yml", kept.replace("usd: 0.5", "usd: 0.0000001"))
    told = p.dbt("test", "--select", "ticket_moods", fails=True)
    expect("FAIL 1 pk_pk_error_rate_below_ticket_moods" in told and "FAIL 1 pk_pk_cost_below_ticket_moods" in told, told)
    p.sql("update ticket_moods set pk_cost_usd = null where id = 5")
    p.write("models/models.yml", kept)
    told = p.dbt("test", "--select", "ticket_moods", fails=True)
    expect("FAIL 1 pk_pk_cost_below_ticket_moods" in told, told)  # a cost that is not known


def a_run_keeps_to_its_bounds(p):
    p.sql("insert into tickets (id, customer, product, body) values (15, 'oli', 'Lamp', 'One.'), (16, 'pam', 'Lamp', 'Two.')")
    p.sql("delete from ticket_moods where id < 5")
    before = p.calls()
    p.dbt("run", "--select", "ticket_moods", "--vars", "{pk_max_rows: 5}")  # four from the cache, one that is new
    expect(p.calls() - before == 1, p.calls() - before)
    expect(p.sql("select count(*) from ticket_moods") == [["15"]])


def views_are_refused(p):
    for kind in "view", "ephemeral":
        p.write("models/watched.sql", "{{ config(materialized='%s') }}\nselect id, {{ pk.llm_column('body') }} as a from {{ ref('tickets') }}" % kind)
        p.write("models/watcher.sql", "select * from {{ ref('watched') }}")
        before = p.calls()
        told = p.dbt("run", "--select", "watched", "watcher", fails=True)
        expect(f"pk: watched is materialized as {kind}, and would call, and pay, whenever it is read" in told, told)
        expect(p.calls() == before)
    os.unlink(p.example + "/models/watched.sql")
    os.unlink(p.example + "/models/watcher.sql")


def answers_are_fetched_ahead(p):
    p.write("models/ahead.sql", """{{ config(materialized='table') }}
        {% set question = "'Say: ' || customer" %}
        {% do pk.prefetch('support', "select " ~ question ~ " as prompt from " ~ ref('tickets')) %}
        select id, {{ pk.llm_column(question) }} as said from {{ ref('tickets') }}""")
    before = p.calls()
    told = p.dbt("run", "--select", "ahead")
    expect(p.calls() - before == 16, p.calls() - before)
    expect("pk: ahead: 16 rows, 0 answered from the cache, 16 calls, 0 failed, cost $0.0" in told, told)
    expect(p.sql("select said from ahead where id = 13") == [["Say: max"]])
    os.unlink(p.example + "/models/ahead.sql")
    told = p.dbt("run-operation", "pk.prefetch", "--args",
                 json.dumps({"config": "support", "query": "select 'Say: ' || customer as prompt from {{ ref('tickets') }}"}))
    expect("pk: prefetch: 16 rows, 16 answered from the cache, 0 calls" in told, told)
    p.write("models/first.sql", """{{ config(materialized='incremental', unique_key='id') }}
        {{ pk.enrich(ref('tickets'), key='id', prompt="'Again: ' || customer", prefetch=true) }}""")
    before = p.calls()
    told = p.dbt("run", "--select", "first")
    expect(p.calls() - before == 16 and "pk: first: 16 rows, 0 answered from the cache, 16 calls" in told, told)
    os.unlink(p.example + "/models/first.sql")


def calls_of_ones_own_are_stamped_too(p):
    p.write("models/own.sql", """{{ config(materialized='table', pre_hook=["{{ pk.set_metadata() }}",
            "{{ pk.prefetch('support', 'select customer as prompt from ' ~ ref('tickets') ~ ' limit 2') }}"]) }}
        select pk_ask('support', 'Say nothing.') as said""")
    told = p.dbt("run", "--select", "own")
    expect("pk: own: 2 rows, 0 answered from the cache, 2 calls" in told and "pk: own: 3 calls, cost $0.0" in told, told)
    os.unlink(p.example + "/models/own.sql")


def a_run_that_is_killed_is_run_again_for_the_rest(p):
    p.provider("/d/150")
    p.write("models/killed.sql", """{{ config(materialized='table') }}
        {{ pk.enrich(ref('tickets'), key='id', prompt="'Kill: ' || customer", params={'pk': {'concurrency': 1}}) }}""")
    before = p.calls()
    dbt = subprocess.Popen([HOME + "/bin/dbt", "run", "--select", "killed", "--target", p.engine], cwd=p.example, env=p.env,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    expect(until(lambda: p.calls() - before >= 6, 60), "it does not call")
    os.killpg(dbt.pid, 9)
    dbt.wait()
    p.dbt("run", "--select", "killed")
    made = p.calls() - before  # what was in flight, and what the log held for the last 100 ms, may be asked again
    expect(16 <= made <= 18, made)
    expect(p.sql("select count(answer) from killed") == [["16"]])
    p.provider()
    os.unlink(p.example + "/models/killed.sql")


def a_role_that_may_not_read_the_log_is_told(p):
    if p.engine == "sqlite":
        raise Skip("it has no roles")
    p.sql("create role modeller login; grant pk_user to modeller; grant all on schema public to modeller; grant select on tickets to modeller")
    p.env["PGUSER"] = "modeller"
    p.write("models/modest.sql", "{{ config(materialized='table') }} {{ pk.enrich(ref('tickets'), key='id', prompt='customer') }}")
    told = p.dbt("run", "--select", "modest")
    expect("pk: what this run cost is in pk_logs, which modeller may not read: grant pk_admin" in told, told)
    expect(p.sql("select count(answer) from modest") == [["16"]])
    p.env.update(p.cluster.client_env())
    os.unlink(p.example + "/models/modest.sql")


def columns_have_types(p):
    p.sql("""select pk_config_put('said', '{"virtual_key": "openai", "override_params": {"model": "said"}}')""")
    p.sql("""select pk_prompt_put('greet', '{"string": "Greet {{name}}.", "virtual_key": "openai", "model": "gpt-4o-mini"}')""")
    p.write("models/typed.sql", """{{ config(materialized='table') }}
        {% set schema = {'type': 'array', 'items': {'type': 'integer'}} %}
        {% set names = 'jsonb_build_object' if target.type == 'postgres' else 'json_object' %}
        select {{ pk.llm_column("'<<[1]>>'", 'json', config='said', schema=schema, system='Be brief.') }} as made,
               {{ pk.llm_column("'<<[2]>>'", 'extract', config='said', schema=schema) }} as taken,
               {{ pk.llm_column("'<<It''s red>>'", 'classify', config='said', labels=["It's red", 'blue']) }} as label,
               {{ pk.llm_column("'<<true>>'", 'filter', config='said', question="Isn't it so?") }} as so,
               {{ pk.llm_column("'<<0.25>>'", 'score', config='said', rubric='How much?', params={'pk': {'range': [0, 1]}}) }} as score,
               {{ pk.llm_column(names ~ "('name', 'Ann')", 'prompt', prompt='greet') }} as greeting""")
    p.dbt("run", "--select", "typed")
    made = p.sql("select made, taken, label, so, score, greeting from typed")[0]
    expect([json.loads(made[0]), json.loads(made[1]), *made[2:]] == [[1], [2], "It's red", "1", "0.25", "Greet Ann."], made)
    os.unlink(p.example + "/models/typed.sql")


def bad_arguments_are_named(p):
    for wrong, says in (("pk.llm_column('body', function='guess')", "function must be one of ask"),
                        ("pk.llm_column('body', function='classify')", "function 'classify' wants labels"),
                        ("pk.enrich(ref('tickets'), key='id', prompt='body', retry='never')", "retry must be")):
        p.write("models/wrong.sql", "select {{ %s }} from {{ ref('tickets') }}" % wrong)
        told = p.dbt("compile", "--select", "wrong", fails=True)
        expect(says in told, told)
    os.unlink(p.example + "/models/wrong.sql")


def flush(p):
    if p.engine == "postgres":
        p.sql("select pk_flush()")


STORY = (it_builds_with_a_call_for_each_distinct_question, its_calls_say_who_made_them, a_second_run_makes_no_call, compiling_makes_no_call,
         a_full_refresh_pays_for_nothing_again, a_changed_row_is_asked_again_and_a_new_one, another_model_asks_again_another_timeout_does_not, a_failed_row_is_told_and_asked_again,
         too_many_errors_and_too_high_a_cost_fail_the_tests, a_run_keeps_to_its_bounds, views_are_refused, answers_are_fetched_ahead,
         calls_of_ones_own_are_stamped_too,
         a_run_that_is_killed_is_run_again_for_the_rest, a_role_that_may_not_read_the_log_is_told, columns_have_types, bad_arguments_are_named)


def play(project):
    def told(chapter):
        def case():
            chapter(project)
        case.__name__ = f"dbt in {project.engine}: {chapter.__name__}"
        return case

    try:
        run(*(told(chapter) for chapter in STORY))
    finally:
        project.close()


def main():
    if "--install" in sys.argv:
        install()
    if not os.path.exists(DONE):
        print("skip dbt: not installed (make sdk)")
        return
    wanted = [word for word in sys.argv[2:] if word in ("sqlite", "postgres")]
    for name, kind in (("sqlite", Sqlite), ("postgres", Postgres)):
        if not wanted or name in wanted:
            mock = Mock()
            play(kind(mock))
            mock.stop()
    end()


main()
