#!/usr/bin/env python3
"""ALTER EXTENSION pk UPDATE: a database of the first version becomes one of today, with what is in it."""
import os
import subprocess
import sys

import pg_temp
from pg_case import Mock, case, expect, expect_error, run_cases

ROOT = pg_temp.ROOT
# Columns and views by name, indexes, functions and what they return, rights, what pg_dump takes along.
SHAPE = r"""
select 'column ' || c.relname || ' ' || a.attname || ' ' ||
       replace(format_type(a.atttypid, a.atttypmod), 'smallint', 'integer') || ' ' || a.attnotnull::text
  from pg_class c join pg_attribute a on a.attrelid = c.oid
  where c.relname like 'pk\_%' and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped
union all select 'index ' || replace(indexdef, 'entry_2_pkey', 'entry_pkey') from pg_indexes where tablename like 'pk\_%'
union all select 'function ' || p.oid::regprocedure::text || ' ' || p.prokind::text || coalesce(pg_get_function_result(p.oid), '') ||
       md5(p.prosrc) || coalesce((select string_agg(x::text, ',' order by x::text) from unnest(p.proacl) x), '')
  from pg_proc p join pg_depend d on d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
  where d.refobjid = (select oid from pg_extension where extname = 'pk')
union all select 'rights ' || relname || ' ' ||
       coalesce((select string_agg(x::text, ',' order by x::text) from unnest(relacl) x where x::text not like 'analyst=%'), '')
  from pg_class where relname like 'pk\_%' and relkind in ('r', 'v')
union all select 'dumped ' || c::text || ' ' || w from pg_extension e, unnest(e.extconfig::regclass[], e.extcondition) u(c, w) where extname = 'pk'
union all select 'trigger ' || tgname || tgrelid::regclass::text from pg_trigger where tgname like 'pk%'
union all select 'policy ' || polname from pg_policy
union all select name || ' ' || value from pk_meta where name in ('schema_version', 'prices_as_of')
union all select 'member ' || pg_describe_object(classid, objid, 0) from pg_depend
  where deptype = 'e' and refobjid = (select oid from pg_extension where extname = 'pk') and classid = 'pg_class'::regclass
order by 1"""


def first_version():
    """The script of an extension with the first tables and functions."""
    relations = subprocess.run(["awk", "-f", "sql/build.awk", "-v", "what=extension", "tests/first_schema.sql"], cwd=ROOT,
                               check=True, capture_output=True, text=True).stdout
    with open(os.path.join(ROOT, "tests/migrate/first_extension.sql.in"), encoding="utf-8") as f:
        return f.read().replace("@schema@\n", relations)


def put_first_version(pg):
    installed = "" if os.environ.get("PK_PG_OWN") else os.path.join(pg.dir, "installed")
    folder = installed + pg_temp.pg_config("sharedir") + "/extension"
    path = os.path.join(folder, "pk--0.1.0.sql")
    with open(path, "w", encoding="utf-8") as f:
        f.write(first_version())
    os.chmod(path, 0o644)


OLD_ROWS = """
insert into pk_payload (hash, created_us, encoding, bytes) values ('\\x01', 1700000000000000, 0, '{"messages":[]}');
insert into pk_log (id, started_us, duration_us, upstream_us, trace_id, operation, attempts, retries, fallback_index,
    stream, status, usage_source, cache_status, source, request_id)
    values ('01890000-0000-7000-8000-000000000001', 1700000000000000, 5, 5, 'old', 'chat', 1, 0, 0, false, 'success', 'none',
            'DISABLED', 'postgres', (select min(id) from pk_payload));
insert into pk_feedback_item (id, created_us, trace_id, value, weight) values ('01890000-0000-7000-8000-000000000002', 1, 'old', 3, 1);
insert into pk_cache_entry (key, created_us, expires_us, provider, model, usage_source, encoding, body)
    values ('\\x02', 1, 9000000000000000, 'openai', 'm', 'none', 0, '{"a":1}');
insert into pk_config (slug, version, created_us, in_force, body) values ('old', 1, 1, true, '{"provider": "openai"}');
"""


def works(k, mock):
    """Old rows are there, and every kind of call works."""
    expect(k.query("select trace_id, request::text from pk_logs where trace_id = 'old'") == [["old", '{"messages":[]}']])
    expect(k.value("select value from pk_feedback") == "3" and k.value("select count(*) from pk_cache") == "1")
    expect(k.value("select pk_config_get('old')") == '{"provider": "openai"}')
    expect(int(k.value("select count(*) from pk_prices")) > 100 and int(k.value("select count(*) from pk_models")) > 100)
    cfg = mock.config(cache={"mode": "simple"})
    for _ in range(2):
        expect(k.value(f"""select pk_ask('{cfg}', 'hello', null, '{{"model": "echo"}}')""").startswith("hello"))
        k.query("select pk_flush()")
    expect(k.value("select count(*) from pk_map('" + cfg + "', 'select 1 as key, ''x'' as prompt', '{\"model\": \"echo\"}') where ok") == "1")
    k.query("select pk_flush()")
    rows = k.query("select cache_status, count(*) from pk_logs where trace_id <> 'old' and response is not null group by 1 order by 1")
    expect(rows == [["HIT", "1"], ["MISS", "2"]], rows)
    k.query("select pk_set('retention_logs', '9999d')")
    expect('"logs":0' in k.value("select pk_retention_run()").replace(" ", ""))


@case
def the_first_version_becomes_todays(pg, mock):
    put_first_version(pg)
    with pg.connect() as k:
        k.query("create extension pk")
        fresh = [r[0] for r in k.query(SHAPE)]
        k.query("drop extension pk")
        k.query("create role analyst login")
        k.query("create extension pk version '0.1.0'")
        for statement in OLD_ROWS.strip().split(";\n"):
            k.query(statement)
        k.query("grant select on pk_logs to analyst")
        expect_error("55000", lambda: k.query(f"select pk_ask('{mock.config()}', 'x')"), "ALTER EXTENSION pk UPDATE")
        k.query("alter extension pk update")
        now = [r[0] for r in k.query(SHAPE)]
        expect(now == fresh, "missing", set(fresh) - set(now), "extra", set(now) - set(fresh))
        works(k, mock)
        expect(k.value("select has_table_privilege('analyst', 'pk_logs', 'select')") == "t", "rights are lost")
        k.query("alter extension pk update")  # a NOTICE


@case
def what_was_updated_travels_with_pg_dump(pg, mock):
    with pg.connect() as k:
        dump = subprocess.run([pg.bin + "/pg_dump", "-h", pg.host, "-U", pg.user, "postgres"], check=True,
                              capture_output=True, text=True).stdout
        k.query("create database other")
    pg.psql(dump, "other")
    with pg.connect("other") as k:
        expect(k.value("select trace_id || request::text from pk_logs where trace_id = 'old'") == 'old{"messages":[]}')
        k.query("delete from pk_log where trace_id <> 'old'")
        k.query("delete from pk_cache_entry where key <> '\\x02'")
        works(k, mock)


@case
def a_dump_of_the_first_version_is_restored_into_todays(pg, mock):
    with pg.connect() as k:
        k.query("create database first")
        k.query("create database third")
    with pg.connect("first") as k:
        k.query("create extension pk version '0.1.0'")
        for statement in OLD_ROWS.strip().split(";\n"):
            k.query(statement)
        k.query("delete from pk_cache_entry")  # its entries had no sizes
    dump = subprocess.run([pg.bin + "/pg_dump", "-h", pg.host, "-U", pg.user, "first"], check=True, capture_output=True,
                          text=True).stdout
    pg.psql(dump, "third")
    with pg.connect("third") as k:
        expect(k.value("select request::text from pk_logs") == '{"messages":[]}')


with Mock() as mock, pg_temp.Cluster() as pg:
    failed = run_cases(pg, mock)
    if failed:
        print("# " + pg.log_text()[-4000:].replace("\n", "\n# "))
sys.exit(failed != 0)
