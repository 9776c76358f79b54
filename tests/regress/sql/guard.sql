\pset format unaligned
create extension pk;
select pk_key_put('key', 'openai', 'sk-1', jsonb_build_object('custom_host', :'config'::jsonb ->> 'custom_host'));

-- A blocked call is an error with its own word; the answer of a warned one says why.
create function try(config jsonb, prompt text) returns text language plpgsql as $$
begin
    return pk_ask(config, prompt);
exception when others then
    return sqlstate || ' ' || sqlerrm;
end $$;
create function guarded(rails jsonb) returns jsonb language sql as
    $$ select jsonb_build_object('virtual_key', 'key', 'override_params', jsonb '{"model": "echo"}', 'guardrails', rails) $$;
select pk_ask(guarded('{"input": [{"type": "contains", "deny": ["bomb"], "message": "Not here."}]}'), 'a bomb');
select try(guarded('{"input": [{"type": "contains", "deny": ["bomb"]}]}'), 'no threat');
select pk_ask(guarded('{"input": [{"type": "pii", "action": "redact"}]}'), 'to anna@example.org');
select g ->> 'verdict' as verdict, g -> 'checks' -> 0 #>> '{data,explanation}' as why
    from pk_chat(guarded('{"output": [{"type": "word_count", "min": 9, "action": "warn"}]}'), '"three words only"') a,
         jsonb_array_elements(a #> '{hook_results,after_request_hooks}') g;
select r #>> '{error,code}' as code, r #>> '{error,http_status}' as status, r #>> '{hook_results,before_request_hooks,0,verdict}' as verdict
    from pk_try_chat(guarded('{"input": [{"type": "contains", "deny": ["bomb"]}]}'), '"a bomb"') r;
select pk_ask(guarded('{"input": [{"type": "containz"}]}'), 'x');
select pk_ask(guarded('{"input": [{"type": "contains", "words": ["x"], "wordz": 1}]}'), 'x');
select pk_ask(guarded('{"input": [{"type": "sql", "predicate": "select true"}]}'), 'x');
select pk_ask(guarded('{"input_guardrails": ["nobody"]}'), 'x');
select pk_config_put('unbound', guarded('{"input_guardrails": ["nobody"]}'));

-- Stored ones have versions, and are the transaction's.
select pk_guardrail_put('polite', '{"type": "contains", "deny": ["damn"]}');
select pk_guardrail_put('polite', '{"checks": [{"id": "default.contains", "parameters": {"words": ["damn"], "operator": "none"}}], "actions": {"deny": true}}');
select slug, version, owner = current_user as mine from pk_guardrails;
select try(guarded('{"input_guardrails": ["polite"]}'), 'damn it');
begin;
select pk_guardrail_delete('polite');
select try(guarded('{"input_guardrails": ["polite"]}'), 'damn it');
rollback;
select try(guarded('{"input_guardrails": ["polite"]}'), 'damn it');
select pk_guardrail_get('polite') -> 'actions', pk_guardrail_get('nobody') is null, pk_guardrail_get(null) is null,
    pk_guardrail_put('polite', null) is null, pk_guardrail_delete('nobody');
select pk_guardrail_put('polite', '{"type": "containz"}');
select pk_guardrail_put('polite', '["x"]');
select verb, object, detail from pk_audit where object = 'polite' order by id;

-- A predicate has the rights of whoever put it, for whoever calls.
create role guard_author login;
create role guard_caller login;
grant pk_admin to guard_author;
grant pk_user to guard_caller;
create schema private;
grant usage on schema private to guard_author;
create table private.taboo (word text);
insert into private.taboo values ('acme');
grant select on private.taboo to guard_author;
create table private.hidden ();
set role guard_author;
select pk_guardrail_put('rivals', '{"type": "sql", "message": "Of others we do not speak.",
    "predicate": "select not exists (select from private.taboo where position(word in lower($1)) > 0)"}');
select pk_guardrail_put('hidden', '{"type": "sql", "predicate": "select not exists (select from private.hidden)"}');
select pk_guardrail_put('tiered', '{"type": "sql", "predicate": "select $2 ->> ''tier'' = ''paid'' and $3 ? ''messages'' and current_user = ''guard_author''"}');
reset role;
set role guard_caller;
select pk_guardrail_put('mine', '{"type": "not_null"}');
select pk_guardrail_get('rivals');
select 1 from pk_guardrails;
select 1 from private.taboo;
select try(guarded('{"input_guardrails": ["rivals"]}'), 'Is Acme good?');
select try(guarded('{"input_guardrails": ["rivals"]}'), 'Is it good?');
select try(guarded('{"input_guardrails": ["tiered"]}'), 'x');
select pk_ask(guarded('{"input_guardrails": ["tiered"]}'), 'x', null, '{"pk": {"metadata": {"tier": "paid"}}}'), current_user;
reset role;

-- What it may not do.
revoke select on private.taboo from guard_author;
select g -> 'checks' -> 0 #>> '{error,message}' as why from pk_try_chat(guarded('{"input_guardrails": ["rivals"]}'), '"x"') r,
    jsonb_array_elements(r #> '{hook_results,before_request_hooks}') g;
create function sql(predicate text) returns text language plpgsql as $$
begin
    return pk_guardrail_put('tried', jsonb_build_object('type', 'sql', 'predicate', predicate));
exception when others then
    return sqlerrm;
end $$;
select sql('select 1'), sql('select true, true'), sql('select true; select true'), sql('insert into private.taboo values (1)'),
    sql('select $4'), sql('select nothing'), sql('with x as (delete from private.taboo returning 1) select true from x'),
    sql('select true from private.taboo for update'), sql('explain select true'), sql('delete from private.taboo returning true'), sql('');
select sql('select set_config(''pk.timeout'', ''1'', false) is null') > '0' as stored;
select try(guarded('{"input_guardrails": ["tried"]}'), 'x'), current_setting('pk.timeout');
create function writes() returns boolean language plpgsql as $$ begin insert into private.taboo values ('x'); return true; end $$;
select sql('select public.writes()') > '0' as stored;
select g -> 'checks' -> 0 #>> '{error,message}' as why from pk_try_chat(guarded('{"input_guardrails": ["tried"]}'), '"x"') r,
    jsonb_array_elements(r #> '{hook_results,before_request_hooks}') g;
select count(*) from private.taboo;
select sql('select pg_sleep(60) is null') > '0' as stored;
select g -> 'checks' -> 0 #>> '{error,message}' as why from pk_try_chat(guarded('{"input_guardrails": ["tried"]}'), '"x"') r,
    jsonb_array_elements(r #> '{hook_results,before_request_hooks}') g;
select pk_guardrail_put('tried', '{"type": "sql", "predicate": "select pg_sleep(60) is null", "action": "warn", "timeout": "1m"}');
select pk_guardrail_put('tried', '{"type": "sql", "predicate": "select pg_sleep(60) is null", "action": "warn", "timeout": "10ms"}');
select try(guarded('{"input_guardrails": ["tried"]}'), 'a warning lets an error pass');
select pk_guardrail_put('tried', '{"type": "sql", "predicate": "select null"}');
select pk_guardrail_put('tried', '{"type": "sql", "predicate": "select null::boolean"}');
select try(guarded('{"input_guardrails": ["tried"]}'), 'null is no yes');

-- A role that is gone lends no rights.
drop owned by guard_author;
drop role guard_author;
select g -> 'checks' -> 0 #>> '{error,message}' as why from pk_try_chat(guarded('{"input_guardrails": ["tiered"]}'), '"x"') r,
    jsonb_array_elements(r #> '{hook_results,before_request_hooks}') g;

-- It is all in the log.
select pk_flush();
select status, http_status, guardrail_verdict, error_type, count(*) from pk_logs group by 1, 2, 3, 4 order by 1, 2, 3;
select kind, name, http_status, error_message from pk_spans where name = 'rivals' and error_message is not null order by log_id;
