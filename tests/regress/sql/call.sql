-- Calls as a reader of the documentation would make them. :config is an inline config of the mock provider.
create extension pk;
select pk_version() is not null as has_version;

select pk_ask(:'config', 'one two three', params => '{"model": "gpt-4o"}');
select pk_chat(:'config', '"hello"', '{"model": "gpt-4o"}') #>> '{choices,0,message,content}' as content;
select pk_chat(:'config', '[{"role": "system", "content": "short"}, {"role": "user", "content": "list"}]',
               '{"model": "gpt-4o"}') #>> '{choices,0,message,content}' as content;
select pk_chat(:'config'::jsonb, '"as jsonb"', '{"model": "gpt-4o"}') #>> '{pk,provider}' as provider;

-- NULL in, NULL out.
select pk_ask(null::text, 'x') is null as a, pk_ask(:'config', null) is null as b,
       pk_chat(:'config', null) is null as c, pk_try_chat(null::jsonb, '"x"') is null as d;
-- NULL options are no options.
select pk_ask(:'config', 'x', null, '{"model": "gpt-4o"}') = 'x' as a;

-- What is wrong is said, and where.
\set VERBOSITY sqlstate
select pk_ask('no-such-slug', 'x');
select pk_ask('{"provider": "openai", "retry": {"attempts": 9}}', 'x');
select pk_chat(:'config', '{"role": "user"}');
\set VERBOSITY default
select pk_ask('{"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai", "retry": {"attempts": 9}}]}', 'x');
select pk_ask('{"provider": ', 'x');
select pk_ask(:'config', 'x', null, '{"pk": {"unknown": true}}');
select pk_ask(:'config', 'x', null, '{"model": "gpt-4o", "stream": true}');

-- Over rows, in a CTE, in DML.
select g, pk_ask(:'config', 'row ' || g, null, '{"model": "gpt-4o"}') from generate_series(1, 3) g order by g;
create table t (id int primary key, x text, y text);
insert into t select g, 'v' || g from generate_series(1, 3) g;
update t set y = pk_ask(:'config', upper(x), null, '{"model": "gpt-4o"}');
select * from t order by id;

-- EXPLAIN costs nothing.
explain (costs off) select pk_ask(:'config', 'explained', null, '{"model": "gpt-4o"}') where false;
select pk_flush();
select count(*), count(distinct trace_id), min(status), min(source), bool_and(usage_source = 'provider') as usage,
       bool_and(cost_usd > 0) as priced
from pk_logs;
select count(*) from pk_logs where request::text like '%explained%';
drop extension pk;
