"""Random statements with scalar calls: made together or one by one, they say the same."""
import os
import random

import pg_temp

SETUP = """
drop table if exists t, s, p, o cascade;
create table t (id integer primary key, k integer, body text);
insert into t select g, g % 7, case when g % 11 = 0 then null else 'b' || g % 23 end from generate_series(1, 40) g;
create index on t (k);
create table s (k integer, word text);
insert into s select g, 'w' || g from generate_series(0, 9) g;
create table p (id integer, k integer, body text) partition by range (id);
create table p1 partition of p for values from (0) to (10);
create table p2 partition of p for values from (10) to (25);
create table p3 partition of p for values from (25) to (100);
insert into p select id, k, body from t;
create table o (id integer, a text);
analyze;
"""
SHAPES = ("set enable_hashjoin = off", "set enable_nestloop = off", "set enable_seqscan = off", "set enable_hashagg = off",
          "set enable_sort = off", "set enable_mergejoin = off", "set enable_partitionwise_join = on", "select 1")


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def one(self, *choices):
        return self.r.choice(choices)

    def text(self, t):
        return self.one(f"{t}.body", f"'q' || {t}.k", f"{t}.body || {t}.k", f"upper({t}.body)", f"coalesce({t}.body, 'none')")

    def call(self, t):
        text = self.text(t)
        return self.one(f"pk_ask('m', {text})", f"pk_ask('m', {text}, 'be short')", f"pk_ask('m', {text})",
                        f"(pk_chat('m', to_jsonb({text})) -> 'choices' -> 0 -> 'message' ->> 'content')",
                        f"(pk_try_chat('m', to_jsonb({text})) ->> 'ok')",
                        f"pk_ask('m', pk_ask('m', {text}))", f"cardinality(pk_embed('e', {text}))::text")

    def expression(self, t):
        call = self.call(t)
        return self.one(call, call, f"upper({call})", f"{call} || '-' || {t}.id", f"length({call})::text",
                        f"case when {t}.id % 2 = 0 then {call} else 'odd' end", f"coalesce({call}, 'nothing')",
                        f"coalesce({t}.body, {call})", f"nullif({call}, 'b1')", f"({call} is null)::text",
                        f"(array[{call}, {t}.body])[1]", f"greatest({call}, {self.call(t)})", f"({call} = {call})::text",
                        f"case {call} when 'b2' then 'two' else 'other' end", f"(row({call}, 1) is null)::text")

    def condition(self, t):
        call = self.call(t)
        return self.one("true", "true", f"{t}.id < {self.r.randint(1, 40)}", f"{call} like '%1%'", f"{call} > 'b15'",
                        f"{t}.k = 3 and {call} is not null", f"{call} like 'b%' and {self.call(t)} like '%2'",
                        f"{call} like '%1' or {t}.id < 5", f"{t}.id < 9 or {call} like '%3'", f"not ({call} like '%1')",
                        f"exists (select from s where s.k = {t}.k and {call} like '%' || s.k)",
                        f"{t}.k in (select k from s where pk_ask('m', word) < 'w4')")

    def source(self):
        """A FROM clause with an alias x that has id, k and body."""
        return self.one("t x", "t x", "p x", "t x join s on s.k = x.k", "t x left join s on s.k = x.k and s.word < 'w4'",
                        f"(select id, k, {self.expression('t')} as body from t where {self.condition('t')}) x",
                        f"(select id, k, {self.expression('p')} as body from p offset 0) x",
                        "(select id, k, body from t union all select id + 100, k, body from p) x",
                        f"t x cross join lateral (select {self.call('x')} as w from s where s.k = x.k limit 1) l",
                        f"(select id, k, {self.call('t')} as body from t order by id limit {self.r.randint(0, 9)}) x",
                        "(select g as id, g as k, 'v' || g as body from generate_series(1, 6) g) x",
                        f"(select t.id, t.k, t.body from t where exists (select from s where s.k = t.k and "
                        f"pk_ask('m', s.word) > 'w2')) x")

    def select(self):
        e, c, f = self.expression("x"), self.condition("x"), self.source()
        limit = self.one("", "", f" limit {self.r.randint(0, 12)}", f" limit {self.r.randint(1, 5)} offset {self.r.randint(0, 4)}")
        return self.one(
            f"select x.id, {e} from {f} where {c} order by x.id, 2{limit}",
            f"select x.id, {e}, {self.expression('x')} from {f} where {c}",
            f"select {e} as a, count(*) from {f} where {c} group by 1 order by 1{limit}",
            f"select x.k, max({e}), count(*) filter (where {self.condition('x')}) from {f} where {c} group by x.k order by 1",
            f"select distinct {e} from {f} where {c} order by 1{limit}",
            f"select x.id, rank() over (partition by x.k order by {e}) from {f} where {c}",
            f"select x.id, {e}, row_number() over (order by x.id) from {f} where {c}",
            f"select count({e}), string_agg(distinct {self.call('x')}, ',') from {f} where {c}",
            f"select x.id from {f} where {c} order by {e}, x.id{limit}",
            f"select x.k, {self.call('x').replace('x.body', 'x.k::text')} from {f} where {c} group by rollup(x.k) order by 1, 2",
            f"select distinct on (x.k) x.k, {e} from {f} where {c} order by x.k, x.id, 2",
            f"with c as materialized (select x.id, {e} as a from {f} where {c}) select c1.id, c2.a from c c1 join c c2 using (id)",
            f"select x.id, (select {self.call('x')} from s where s.k = x.k limit 1) from {f} where {c}",
            f"select x.id, generate_series(1, 2), {e} from {f} where {c}",
            f"select * from (select x.id, {e} from {f} where {c}) y full join s on s.k = y.id")

    def statements(self):
        """A list of them; what the last returns counts."""
        e, c = self.expression("t"), self.condition("t")
        kind = self.r.randrange(12)
        if kind < 5:
            return [self.select()]
        if kind == 5:
            return [f"update t set body = {e} where {c}", "select id, body from t order by id"]
        if kind == 6:
            return [f"insert into o select id, {e} from t where {c}", "select id, a from o order by 1, 2"]
        if kind == 7:
            return [f"create temp table made as {self.named(e, c)}", "select * from made"]
        if kind == 8:
            return [f"delete from t using s where s.k = t.k and {c}", "select id from t order by id"]
        if kind == 9:
            n = self.r.randint(1, 12)
            query = f"select id, {e} from t where {c} and id > $1 order by id limit $2"
            return ["deallocate all", self.one("set plan_cache_mode = force_generic_plan", "set plan_cache_mode = auto"),
                    f"prepare q(integer, bigint) as {query}", f"execute q(3, {n})", f"execute q(0, {n})"]
        if kind == 10:
            scroll = self.one("", " scroll")
            back = "fetch backward 2 from w" if scroll else "fetch 2 from w"
            return [f"declare w{scroll} cursor for {self.named(e, c)} order by id", "fetch 5 from w", back]
        return [f"do $$ declare r record; begin for r in {self.named(e, c)} loop insert into o values (r.id, r.a); "
                "exit when r.id = 9; end loop; end $$", "select id, a from o order by 1, 2"]

    def named(self, e, c):
        return f"select id, {e} as a from t where {c}"


def outcome(k, statements, batch):
    k.query("begin")
    try:
        k.query(f"set local pk.batch = {batch}")
        for s in statements[:-1]:
            k.query(s)
        return k.query(statements[-1])
    except pg_temp.Error as e:
        return [["error", e.sqlstate]]
    finally:
        k.query("rollback")


def is_batched(k, statements):
    """Whether a statement that can be explained has the node in its plan."""
    for s in statements:
        if s.split()[0] in ("select", "with", "insert", "update", "delete") and "pk_" in s:
            if any("PkBatch" in row[0] for row in k.query("explain " + s)):
                return True
    return False


def run(k, store, expect):
    seed, count = int(os.environ.get("PK_SCAN_SEED", "1")), int(os.environ.get("PK_SCAN_QUERIES", "300"))
    k.query("rollback")
    k.query(SETUP)
    k.query("set client_min_messages = error")
    store("m")
    store("e")
    batched = 0
    for i in range(count):
        make = Maker(seed * 1000003 + i)
        statements, shape = make.statements(), make.one(*SHAPES)
        k.query(shape)
        together, alone = outcome(k, statements, "on"), outcome(k, statements, "off")
        batched += is_batched(k, statements)
        k.query("reset all")
        k.query("set client_min_messages = error")
        if "order by" not in statements[-1]:
            together, alone = (sorted(map(repr, rows)) for rows in (together, alone))
        expect(together == alone, "seed", seed, "query", i, shape, statements, "together", together[:9], "alone", alone[:9])
    expect(batched > count / 3, "only", batched, "plans of", count, "have the node")
    return batched, count
