-- Configs, keys, feedback, prices, rights.
create extension pk;

select pk_config_put('c', '{"provider": "openai", "override_params": {"model": "m"}}') as version;
select pk_config_put('c', '{"provider": "anthropic"}') as version;
select pk_config_get('c');
select slug, version, config->>'provider' as provider from pk_configs;
select pk_config_put('bad', '{"provider": "openai", "api_key": "sk-literal"}');
select pk_config_put('bad', '{"virtual_key": "nobody"}');
select pk_config_put('bad slug', '{"provider": "openai"}');
select pk_config_delete('c') as existed, pk_config_delete('c') as again;
select pk_config_get('c') is null as gone;

select pk_key_put('k', 'openai', 'env:HOME');
select pk_key_put('sealed', 'anthropic', 'sk-1', '{"name": "theirs"}');
select slug, name, provider, kind, status from pk_virtual_keys order by slug;
select pk_key_put('k2', 'openai', 'x', '{"colour": "red"}');
select pk_key_rotate('nobody', 'x');
select pk_key_revoke('k') as existed, pk_key_revoke('k') as again, pk_key_revoke('nobody') as unknown;
select slug, status from pk_virtual_keys order by slug;

-- A change is part of the transaction.
begin;
select pk_key_put('later', 'openai', 'sk-2');
rollback;
select count(*) from pk_virtual_keys where slug = 'later';

select length(pk_feedback('trace-1', 7, 0.25, '{"who": "me"}')::text);
select trace_id, value, weight, metadata from pk_feedback;
select pk_feedback('trace-1', 11);
select pk_feedback('trace-1', 1, 2);
select pk_feedback(null, 1) is null as no_trace;

select pk_cost('no-such-model', 1, 1) is null as unknown;
select pk_cost('openai/gpt-4o', 1000, 0) > 0 as known;
select pk_cost('gpt-4o', -1, 1);
select count(*) > 20 as shipped from pk_prices;

select pk_price_import('litellm', '{"m-1": {"litellm_provider": "openai", "input_cost_per_token": 1.5e-07}}') -> 'added' as added;
select pk_price_import('litellm', '{"m-1": {"litellm_provider": "openai", "input_cost_per_token": 3e-07}}'::jsonb) -> 'changed' as changed;
select pk_cost('m-1', 1000000, 0);
select input_usd, valid_to is null as holds, source from pk_prices where model = 'm-1' order by 1;
select pk_price_import('litellm', '{"m-1": {"litellm_provider": "openai", "input_cost_per_token": 1}, "m-2": 2}');
select provider, input_usd from pk_models where model like 'm-_';

set pk.on_error = 'sometimes';
set pk.timeout = '-1s';
set pk.metadata = 'not json';
set pk.master_key_file = '/tmp/x';

select p.oid::regprocedure from pg_proc p where p.proname ~ '^pk_'
    and has_function_privilege('public', p.oid, 'execute');
select c.relname from pg_class c where c.relname ~ '^pk_' and c.relkind in ('r', 'v')
    and has_table_privilege('public', c.oid, 'select');
select c.relname from pg_class c where c.relname ~ '^pk_' and c.relkind in ('r', 'v')
    and has_table_privilege('pk_user', c.oid, 'select') order by 1;
select provolatile, proparallel, proisstrict, procost from pg_proc where proname = 'pk_chat';

drop extension pk;
