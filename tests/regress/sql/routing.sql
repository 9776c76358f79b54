-- docs/routing.md, in Postgres.
create extension pk;
-- Equal calls are calls of their own here.
set pk.batch = off;
select set_config('t.host', (:'config'::json) ->> 'custom_host', false) is not null as ok;
select pk_key_put('large', 'openai', 'sk-mock', json_build_object('custom_host', current_setting('t.host'))::jsonb),
       pk_key_put('small', 'openai', 'sk-mock', json_build_object('custom_host', current_setting('t.host'))::jsonb);

select pk_config_put('tiers', '{
  "strategy": {
    "mode": "conditional",
    "conditions": [
      {"query": {"metadata.tier": {"$in": ["paid", "trial"]}}, "then": "premium"},
      {"query": {"$or": [{"params.max_tokens": {"$gt": 2000}},
                         {"params.model": {"$regex": "^o[0-9]"}}]}, "then": "premium"}
    ],
    "default": "budget"
  },
  "targets": [
    {"name": "premium", "virtual_key": "large", "override_params": {"model": "gpt-4o"}},
    {"name": "budget", "virtual_key": "small", "override_params": {"model": "gpt-4o-mini"}}
  ]
}') as version;
select pk_chat('tiers', '"hello"', '{"pk": {"metadata": {"tier": "paid"}}}') ->> 'model' as paid,
       pk_chat('tiers', '"hello"', '{"pk": {"metadata": {"tier": "free"}}}') ->> 'model' as free,
       pk_chat('tiers', '"hello"', '{"max_tokens": 4000}') ->> 'model' as long;
select pk_config_put('typo', '{"strategy": {"mode": "conditional", "conditions": [
  {"query": {"metadata.tier": {"$equals": "paid"}}, "then": "premium"}]},
  "targets": [{"name": "premium", "virtual_key": "large"}]}');

select pk_config_put('sticky', '{
  "strategy": {"mode": "loadbalance", "sticky": {"hash_fields": ["metadata.user"], "ttl": 0}},
  "targets": [
    {"name": "a", "virtual_key": "large", "weight": 2},
    {"name": "b", "virtual_key": "small", "weight": 1}
  ]
}') as version;
select count(pk_chat('sticky', '"hello"', jsonb_build_object('model', 'echo', 'pk',
    jsonb_build_object('metadata', jsonb_build_object('user', 'user-' || n % 100))))) from generate_series(1, 300) n;
select pk_flush();
-- The same users are in the same place as in SQLite, or anywhere.
select target_path, count(*) as calls, count(distinct metadata ->> 'user') as users
from pk_logs where config = 'sticky' group by target_path order by target_path;

select pk_config_put('guarded', '{
  "strategy": {"mode": "fallback", "cb_config": {"failure_threshold": 3, "cooldown_interval": "600s"}},
  "targets": [
    {"virtual_key": "large", "override_params": {"model": "status-503"}},
    {"virtual_key": "small", "override_params": {"model": "gpt-4o-mini"}}
  ]
}') as version;
select pk_ask('guarded', 'one'), pk_ask('guarded', 'two'), pk_ask('guarded', 'three');
select pk_flush();
select config, version, target_path, state, requests, failures, until - opened_at as cooldown from pk_circuits order by 3;
select pk_chat('guarded', '"four"') -> 'pk' ->> 'attempts' as attempts;
-- Another version of the config has circuits of its own.
select pk_config_put('guarded', pk_config_get('guarded')) as version;
select pk_chat('guarded', '"five"') -> 'pk' ->> 'attempts' as attempts;

-- Figures are read at the first call; what it logs is seen half a minute later.
select pk_config_put('fastest', '{
  "strategy": {"mode": "loadbalance", "by": "latency", "sticky": {"hash_fields": ["prefix"], "ttl": 0}},
  "targets": [
    {"name": "slow", "virtual_key": "large", "override_params": {"model": "gpt-4o-mini:d=20"}},
    {"name": "fast", "virtual_key": "small", "override_params": {"model": "gpt-4o-mini"}}
  ]
}') as version;
select count(distinct pk_chat('fastest', '"hello"') -> 'pk' ->> 'provider') as providers from generate_series(1, 5);
select pk_flush();
select count(distinct target_path) as targets, count(*) as calls from pk_logs where config = 'fastest';

select pk_config_put('both', '{
  "strategy": {"mode": "fallback", "on_status_codes": [200]},
  "targets": [
    {"virtual_key": "large", "override_params": {"model": "gpt-4o"}},
    {"virtual_key": "small", "override_params": {"model": "gpt-4o-mini"}}
  ]
}') as version;
select pk_chat('both', '"hello"', '{"pk": {"trace_id": "twice"}}') -> 'pk' ->> 'cost_usd' as cost_usd;
select pk_flush();
select target_path, http_status, error_type, input_tokens, output_tokens, cost_usd
from pk_spans where trace_id = 'twice' order by ord;
