-- statements.sql - every statement that the core runs, for SQLite and Postgres.
--
-- A block starts with its name and the types of $1..$n (bigint text blob uuid bool double) and becomes
-- PK_SQL_name. A second block of the same name marked @postgres is what Postgres runs instead.
-- Columns come back in the order written here; shared/store.c counts on it.

-- name: schema_version()
select value from pk_meta where name = 'schema_version'

-- name: epoch()
select value from pk_meta where name = 'epoch'

-- name: epoch_bump(now_us bigint)
-- By the clock, so that a bump that was rolled back is not mistaken for a later one.
update pk_meta set value = case when value < $1 then $1 else value + 1 end where name = 'epoch'

-- name: epoch_bump @postgres
-- Whoever listens (shared/store_pq_watch.c) hears of it at the commit.
with bumped as (update pk_meta set value = case when value < $1 then $1 else value + 1 end
    where name = 'epoch' returning value)
select value, pg_notify('pk_epoch', cast(value as text)) from bumped

-- name: cache_get(key blob, now_us bigint, oldest_us bigint)
select encoding, body, provider, model, finish_reason, usage_source, input_tokens, cache_read_tokens,
    cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, cost_pusd
from pk_cache_entry where key = $1 and expires_us > $2 and created_us >= $3

-- name: cache_bytes(key blob)
select bytes from pk_cache_entry where key = $1

-- name: cache_put(key blob, namespace text, created_us bigint, expires_us bigint, encoding bigint, body blob, bytes bigint, provider text, model text, finish_reason text, usage_source text, input bigint, cache_read bigint, cache_write bigint, cache_write_1h bigint, output bigint, reasoning bigint, cost_pusd bigint)
insert into pk_cache_entry (key, namespace, created_us, expires_us, encoding, body, bytes, provider, model,
    finish_reason, usage_source, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_1h_tokens, output_tokens, reasoning_tokens, cost_pusd)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
on conflict (key) do update set created_us = excluded.created_us, expires_us = excluded.expires_us,
    encoding = excluded.encoding, body = excluded.body, bytes = excluded.bytes,
    provider = excluded.provider, model = excluded.model, finish_reason = excluded.finish_reason,
    usage_source = excluded.usage_source, input_tokens = excluded.input_tokens,
    cache_read_tokens = excluded.cache_read_tokens,
    cache_write_tokens = excluded.cache_write_tokens,
    cache_write_1h_tokens = excluded.cache_write_1h_tokens,
    output_tokens = excluded.output_tokens, reasoning_tokens = excluded.reasoning_tokens,
    cost_pusd = excluded.cost_pusd, hits = 0, last_hit_us = null
where excluded.created_us >= pk_cache_entry.created_us
returning 1

-- name: cache_put_sized(key blob, namespace text, created_us bigint, expires_us bigint, encoding bigint, body blob, bytes bigint, provider text, model text, finish_reason text, usage_source text, input bigint, cache_read bigint, cache_write bigint, cache_write_1h bigint, output bigint, reasoning bigint, cost_pusd bigint)
-- The same for an engine that is far away (shared/store_pq.c): what it adds to the size is one with it.
insert into pk_cache_entry (key, namespace, created_us, expires_us, encoding, body, bytes, provider, model,
    finish_reason, usage_source, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_1h_tokens, output_tokens, reasoning_tokens, cost_pusd)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
on conflict (key) do update set created_us = excluded.created_us, expires_us = excluded.expires_us,
    encoding = excluded.encoding, body = excluded.body, bytes = excluded.bytes,
    provider = excluded.provider, model = excluded.model, finish_reason = excluded.finish_reason,
    usage_source = excluded.usage_source, input_tokens = excluded.input_tokens,
    cache_read_tokens = excluded.cache_read_tokens,
    cache_write_tokens = excluded.cache_write_tokens,
    cache_write_1h_tokens = excluded.cache_write_1h_tokens,
    output_tokens = excluded.output_tokens, reasoning_tokens = excluded.reasoning_tokens,
    cost_pusd = excluded.cost_pusd, hits = 0, last_hit_us = null
where excluded.created_us >= pk_cache_entry.created_us
returning 1

-- name: cache_put_sized @postgres
with before as (select bytes from pk_cache_entry where key = $1),
written as (
    insert into pk_cache_entry (key, namespace, created_us, expires_us, encoding, body, bytes, provider, model,
        finish_reason, usage_source, input_tokens, cache_read_tokens, cache_write_tokens,
        cache_write_1h_tokens, output_tokens, reasoning_tokens, cost_pusd)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
    on conflict (key) do update set created_us = excluded.created_us, expires_us = excluded.expires_us,
        encoding = excluded.encoding, body = excluded.body, bytes = excluded.bytes,
        provider = excluded.provider, model = excluded.model, finish_reason = excluded.finish_reason,
        usage_source = excluded.usage_source, input_tokens = excluded.input_tokens,
        cache_read_tokens = excluded.cache_read_tokens,
        cache_write_tokens = excluded.cache_write_tokens,
        cache_write_1h_tokens = excluded.cache_write_1h_tokens,
        output_tokens = excluded.output_tokens, reasoning_tokens = excluded.reasoning_tokens,
        cost_pusd = excluded.cost_pusd, hits = 0, last_hit_us = null
    where excluded.created_us >= pk_cache_entry.created_us
    returning 1),
grown as (
    insert into pk_cache_size (entries, bytes)
    select case when b.bytes is null then 1 else 0 end, $7 - coalesce(b.bytes, 0)
    from written left join before b on true
    where b.bytes is null or b.bytes <> $7)
select 1 from written

-- name: cache_hit(key blob, at_us bigint, hits bigint)
update pk_cache_entry set hits = hits + $3, last_hit_us = $2 where key = $1

-- name: cache_purge(expired_us bigint, before_us bigint, namespace text, provider text, model text, prefix text, above blob, count bigint)
-- A NULL asks for nothing. In the order of keys: the next call goes on above the largest of this.
delete from pk_cache_entry where key in (select key from pk_cache_entry
    where key > $7 and expires_us <= $1 and created_us < $2
    and ($3 is null or namespace = $3) and ($4 is null or provider = $4)
    and ($5 is null or model = $5) and ($6 is null or substr(model, 1, length($6)) = $6)
    order by key limit $8)
returning key, bytes

-- name: cache_expired(now_us bigint, count bigint)
delete from pk_cache_entry where key in (select key from pk_cache_entry
    where expires_us <= $1 order by expires_us limit $2)
returning key, bytes

-- name: cache_expired @postgres
-- An administrator's purge may hold them in a transaction that takes its time.
delete from pk_cache_entry where key in (select key from pk_cache_entry
    where expires_us <= $1 order by expires_us limit $2 for update skip locked)
returning key, bytes

-- name: cache_due(now_us bigint, before_us bigint)
select 1 where exists (select 1 from pk_cache_entry where expires_us <= $1)
    or exists (select 1 from pk_cache_entry where created_us < $2)

-- name: cache_old(before_us bigint, count bigint)
delete from pk_cache_entry where key in (select key from pk_cache_entry
    where created_us < $1 order by created_us limit $2)
returning key, bytes

-- name: cache_old @postgres
delete from pk_cache_entry where key in (select key from pk_cache_entry
    where created_us < $1 order by created_us limit $2 for update skip locked)
returning key, bytes

-- name: cache_unused(count bigint)
delete from pk_cache_entry where key in (select key from pk_cache_entry
    order by coalesce(last_hit_us, created_us) limit $1)
returning key, bytes

-- name: cache_unused @postgres
delete from pk_cache_entry where key in (select key from pk_cache_entry
    order by coalesce(last_hit_us, created_us) limit $1 for update skip locked)
returning key, bytes

-- name: cache_size()
select count(*), cast(coalesce(sum(entries), 0) as bigint), cast(coalesce(sum(bytes), 0) as bigint)
from pk_cache_size

-- name: cache_size_add(entries bigint, bytes bigint)
insert into pk_cache_size (entries, bytes) values ($1, $2)

-- name: cache_size_take()
delete from pk_cache_size returning entries, bytes

-- name: near_put(gate blob, key blob, traits blob, vector blob)
-- Only beside an entry.
insert into pk_cache_vector (gate, key, traits, vector)
select $1, key, $3, $4 from pk_cache_entry where key = $2
on conflict (key, gate) do nothing returning 1

-- name: near_drop(key blob)
delete from pk_cache_vector where key = $1 returning length(vector)

-- name: near_newer(gate blob, above bigint, count bigint)
select id, key, traits, vector from pk_cache_vector where gate = $1 and id > $2 order by id limit $3

-- name: near_older(gate blob, below bigint, count bigint)
select id, key, traits, vector from pk_cache_vector where gate = $1 and id < $2 order by id desc limit $3

-- name: near_vector(id bigint)
select vector from pk_cache_vector where id = $1

-- name: payload_put(hash blob, created_us bigint, encoding bigint, bytes blob)
-- In SQLite `returning` fills a table in memory, which costs more than payload_find.
insert into pk_payload (hash, created_us, encoding, bytes) values ($1, $2, $3, $4)
on conflict (hash) do nothing

-- name: payload_put @postgres
insert into pk_payload (hash, created_us, encoding, bytes) values ($1, $2, $3, $4)
on conflict (hash) do nothing returning id

-- name: payload_find(hash blob)
select id, created_us from pk_payload where hash = $1

-- name: payload_touch(id bigint, created_us bigint)
update pk_payload set created_us = $2 where id = $1

-- name: pack_begin(mark blob, created_us bigint)
insert into pk_payload (hash, created_us, encoding, bytes) values ($1, $2, 2, '') returning id

-- name: pack_end(id bigint, created_us bigint, encoding bigint, bytes blob)
update pk_payload set created_us = $2, encoding = $3, bytes = $4 where id = $1

-- part: log_types
operation text, provider text, request_model text, model text, config text, target_path text, attempts bigint, retries bigint, fallback_index bigint, stream bool, status text, http_status bigint, finish_reason text, usage_source text, cache_write bigint, cache_write_1h bigint, cost_saved_pusd bigint, cache_status text, virtual_key text, api_key text, source text, span_name text, error_type text, error_message text, cost_reason text, cache_similarity double, prompt text, guardrail_verdict text, dropped text, query_id text

-- part: log_columns
operation, provider, request_model, model, config, target_path, attempts, retries, fallback_index, stream,
    status, http_status, finish_reason, usage_source, cache_write_tokens, cache_write_1h_tokens, cost_saved_pusd,
    cache_status, virtual_key, api_key, source, span_name, error_type, error_message, cost_reason,
    cache_similarity, prompt, guardrail_verdict, dropped, query_id

-- part: log_values
$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, @spare($15)@, @spare($16)@, @spare($17)@, $18,
    $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30

-- part: log_own_types
id uuid, started_us bigint, duration_us bigint, trace_id text, span_id text, upstream_us bigint, ttft_us bigint, input bigint, output bigint, cache_read bigint, reasoning bigint, cost_pusd bigint, user_id text, metadata text, parent_span_id text, request_id bigint, response_id bigint, span_us bigint, span_duration_us bigint, span_ttfb_us bigint

-- part: log_own_columns
id, started_us, duration_us, trace_id, span_id, upstream_us, ttft_us, input_tokens, output_tokens,
    cache_read_tokens, reasoning_tokens, cost_pusd, user_id, metadata, parent_span_id, request_id, response_id,
    span_us, span_duration_us, span_ttfb_us

-- name: log_put(@log_types@, @log_own_types@)
insert into pk_log (@log_columns@, @log_own_columns@)
values (@log_values@,
    $31, $32, $33, $34, $35, $36, $37, $38, $39, @spare($40)@, @spare($41)@, $42, $43, cast($44 as @json@), $45,
    $46, $47, $48, $49, $50)
on conflict (id) do nothing

-- name: log_rows(@log_types@, @log_own_types@, @log_own_types@, @log_own_types@, @log_own_types@, @log_own_types@, @log_own_types@, @log_own_types@, @log_own_types@)
-- Where it fails its transaction does.
@insert_or_fail@ into pk_log (@log_columns@, @log_own_columns@)
values (@log_values@, $31, $32, $33, $34, $35, $36, $37, $38, $39, @spare($40)@, @spare($41)@, $42, $43, cast($44 as @json@), $45,
    $46, $47, $48, $49, $50),
    (@log_values@, $51, $52, $53, $54, $55, $56, $57, $58, $59, @spare($60)@, @spare($61)@, $62, $63, cast($64 as @json@), $65,
    $66, $67, $68, $69, $70),
    (@log_values@, $71, $72, $73, $74, $75, $76, $77, $78, $79, @spare($80)@, @spare($81)@, $82, $83, cast($84 as @json@), $85,
    $86, $87, $88, $89, $90),
    (@log_values@, $91, $92, $93, $94, $95, $96, $97, $98, $99, @spare($100)@, @spare($101)@, $102, $103, cast($104 as @json@),
    $105, $106, $107, $108, $109, $110),
    (@log_values@, $111, $112, $113, $114, $115, $116, $117, $118, $119, @spare($120)@, @spare($121)@, $122, $123, cast($124 as
    @json@), $125, $126, $127, $128, $129, $130),
    (@log_values@, $131, $132, $133, $134, $135, $136, $137, $138, $139, @spare($140)@, @spare($141)@, $142, $143, cast($144 as
    @json@), $145, $146, $147, $148, $149, $150),
    (@log_values@, $151, $152, $153, $154, $155, $156, $157, $158, $159, @spare($160)@, @spare($161)@, $162, $163, cast($164 as
    @json@), $165, $166, $167, $168, $169, $170),
    (@log_values@, $171, $172, $173, $174, $175, $176, $177, $178, $179, @spare($180)@, @spare($181)@, $182, $183, cast($184 as
    @json@), $185, $186, $187, $188, $189, $190)
on conflict (id) do nothing

-- name: log_request(id uuid)
select q.encoding, q.bytes, l.request_id, l.config, l.operation, l.trace_id, l.span_id, l.user_id, l.prompt,
    cast(l.metadata as text)
from pk_log l left join pk_payload q on q.id = @payload(l.request_id)@ where l.id = $1

-- name: log_find(id uuid)
select 1 from pk_log where id = $1

-- name: span_put(log_id uuid, ord bigint, kind text, started_us bigint, duration_us bigint, ttfb_us bigint, name text, target_path text, provider text, model text, http_status bigint, error_type text, error_message text, wait_ms bigint, input bigint, output bigint, cost_pusd bigint)
insert into pk_span (log_id, ord, kind, started_us, duration_us, ttfb_us, name, target_path,
    provider, model, http_status, error_type, error_message, wait_ms, input_tokens, output_tokens,
    cost_pusd)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
on conflict (log_id, ord) do nothing

-- name: feedback_put(id uuid, created_us bigint, trace_id text, value bigint, weight double, metadata text)
insert into pk_feedback_item (id, created_us, trace_id, value, weight, metadata)
values ($1, $2, $3, $4, $5, cast($6 as @json@))
on conflict (id) do nothing

-- name: circuit_count(config text, version bigint, target_path text, at_us bigint, cooldown_us bigint, slack_us bigint, attempts bigint, failures bigint)
-- A window that is over, or was opened and has cooled down, begins anew. An open one is left alone.
insert into pk_circuit (config, version, target_path, window_us, attempts, failures, until_us)
values ($1, $2, $3, $4, $7, $8, 0)
on conflict (config, version, target_path) do update set
    attempts = excluded.attempts + case when pk_circuit.until_us > 0
        or $4 >= pk_circuit.window_us + $5 then 0 else pk_circuit.attempts end,
    failures = excluded.failures + case when pk_circuit.until_us > 0
        or $4 >= pk_circuit.window_us + $5 then 0 else pk_circuit.failures end,
    window_us = case when pk_circuit.until_us > 0 or $4 >= pk_circuit.window_us + $5
        then $4 else pk_circuit.window_us end,
    until_us = 0
where $4 >= pk_circuit.until_us and $4 >= pk_circuit.window_us - $6
returning attempts, failures

-- name: circuit_open(config text, version bigint, target_path text, opened_us bigint, until_us bigint)
update pk_circuit set opened_us = $4, until_us = $5
where config = $1 and version = $2 and target_path = $3

-- name: circuit_purge(before_us bigint)
delete from pk_circuit where window_us < $1 and until_us < $1

-- name: circuits_open(config text, version bigint, now_us bigint)
select target_path, until_us from pk_circuit where config = $1 and version = $2 and until_us > $3

-- part: inputs
l.input_tokens + coalesce(l.cache_read_tokens, 0) + coalesce(l.cache_write_tokens, 0)
    + coalesce(l.cache_write_1h_tokens, 0)

-- part: outputs
l.output_tokens + coalesce(l.reasoning_tokens, 0)

-- name: figures(since uuid, config text)
-- Ids begin with the time, so the newest are last. What a client got wrong, or did not wait for, says nothing.
select s.target_path, s.provider, s.model,
    cast(sum(case when s.error_type is null then 1 else 0 end) as bigint),
    cast(sum(case when s.error_type in ('connection_error', 'timeout_error', 'invalid_answer')
        or s.http_status >= 500 or s.http_status in (408, 429) then 1 else 0 end) as bigint),
    cast(sum(case when s.error_type is null then s.duration_us else 0 end) as bigint),
    cast(coalesce(sum(s.cost_pusd), 0) as bigint),
    cast(sum(case when s.cost_pusd is null then 0 else s.input_tokens + s.output_tokens end) as bigint)
from (select @step(target_path)@ as target_path, @step(provider)@ as provider,
        coalesce(case when l.span_us is null then s.model else l.request_model end, '') as model,
        @step(http_status)@ as http_status, s.error_type, coalesce(s.duration_us, l.span_duration_us) as duration_us,
        @step(cost_pusd)@ as cost_pusd,
        case when l.span_us is null then s.input_tokens else @inputs@ end as input_tokens,
        case when l.span_us is null then s.output_tokens else @outputs@ end as output_tokens
    from (select * from pk_log where id >= $1 order by id desc limit 4000) l
    left join pk_span s on s.log_id = l.id and s.kind = 'attempt'
    where coalesce(l.config, '') = $2) s
where s.target_path is not null
group by s.target_path, s.provider, s.model
order by count(*) desc limit 64

-- name: config_get(slug text)
select body, version from pk_config where slug = $1 and in_force

-- name: config_retire(slug text)
update pk_config set in_force = false where slug = $1 and in_force returning version

-- name: config_put(slug text, created_us bigint, body text)
insert into pk_config (slug, version, created_us, in_force, body)
values ($1, (select coalesce(max(version), 0) + 1 from pk_config where slug = $1), $2, true, $3)
returning version

-- name: guardrail_get(slug text)
select body, owner from pk_guardrail where slug = $1 and in_force

-- name: guardrail_retire(slug text)
update pk_guardrail set in_force = false where slug = $1 and in_force returning version

-- name: guardrail_put(slug text, created_us bigint, body text, owner text)
insert into pk_guardrail (slug, version, created_us, in_force, body, owner)
values ($1, (select coalesce(max(version), 0) + 1 from pk_guardrail where slug = $1), $2, true, $3,
    $4)
returning version

-- name: guardrail_page(slug text)
-- As config_page.
select g.slug, t.name, g.version, g.body, g.created_us,
    (select min(f.created_us) from pk_guardrail f where f.slug = g.slug)
from pk_guardrail g left join pk_title t on t.kind = 'guardrail' and t.slug = g.slug
where g.in_force and ($1 is null or g.slug = $1) order by g.slug

-- name: guardrail_put @postgres
-- What pkd puts belongs to its login.
insert into pk_guardrail (slug, version, created_us, in_force, body, owner)
values ($1, (select coalesce(max(version), 0) + 1 from pk_guardrail where slug = $1), $2, true, $3,
    coalesce($4, cast(session_user as text)))
returning version

-- name: predicate(owner text, predicate text, content text, metadata text, document text, timeout_ms bigint, run bool)
-- For an engine that is not in the database itself; SQLite runs predicates by shared/store_query.c.
select null

-- name: predicate @postgres
select pk_predicate($1, $2, $3, cast($4 as jsonb), cast($5 as jsonb), $6, $7)

-- name: guardrail_list()
select slug, version from pk_guardrail where in_force order by slug

-- name: config_list()
select slug, version from pk_config where in_force order by slug

-- name: config_page(slug text)
-- NULL: all that are in force. The second time is that of the first version.
select c.slug, t.name, c.version, c.body, c.created_us,
    (select min(f.created_us) from pk_config f where f.slug = c.slug)
from pk_config c left join pk_title t on t.kind = 'config' and t.slug = c.slug
where c.in_force and ($1 is null or c.slug = $1) order by c.slug

-- part: prompt_in_use
p.version = (select max(n.version) from pk_prompt n where n.slug = p.slug)
or exists (select 1 from pk_prompt_label l where l.slug = p.slug and l.version = p.version)

-- name: config_users(slug text)
select 'API key ' || name from pk_api_key where config = $1 and revoked_us is null
union all
select 'prompt ' || p.slug || '@' || p.version from pk_prompt p
where p.config = $1 and p.archived_us is null and (@prompt_in_use@) order by 1

-- name: key_users(slug text)
-- An API key may have it in place of a config.
select 'API key ' || name from pk_api_key where config = $1 and revoked_us is null
union all
select 'prompt ' || p.slug || '@' || p.version from pk_prompt p
where (p.virtual_key = $1 or p.config = $1) and p.archived_us is null and (@prompt_in_use@) order by 1

-- name: prompt_configs()
-- Most are slugs.
select p.slug || '@' || p.version, p.config from pk_prompt p
where substr(p.config, 1, 1) = '{' and p.archived_us is null and (@prompt_in_use@) order by 1

-- name: prompt_templates(slug text)
-- Of all but this one.
select p.slug || '@' || p.version, p.template from pk_prompt p
where p.slug <> $1 and p.archived_us is null and (@prompt_in_use@) order by 1

-- name: config_versions(slug text)
select c.version, c.body, c.created_us, t.name
from pk_config c left join pk_title t on t.kind = 'config' and t.slug = c.slug
where c.slug = $1 order by c.version desc

-- name: titles(kind text, slug text)
-- NULL: all of the kind.
select slug, name, note, details, created_us, updated_us from pk_title
where kind = $1 and ($2 is null or slug = $2) order by slug

-- name: title_put(kind text, slug text, name text, note text, details text, now_us bigint)
insert into pk_title (kind, slug, name, note, details, created_us, updated_us)
values ($1, $2, $3, $4, $5, $6, $6)
on conflict (kind, slug) do update set name = excluded.name, note = excluded.note,
    details = excluded.details, updated_us = excluded.updated_us

-- name: collection_page(slug text)
select slug, name, note, details, created_us, updated_us from pk_title
where kind = 'collection' and ($1 is null or slug = $1) order by slug

-- name: label_page(slug text)
-- Those that prompts have, too.
select slug, name, note, details, created_us, updated_us from pk_title
where kind = 'label' and ($1 is null or slug = $1)
union all
select l.label, null, null, null, min(l.updated_us), max(l.updated_us) from pk_prompt_label l
where l.label <> 'default' and ($1 is null or l.label = $1)
    and not exists (select 1 from pk_title t where t.kind = 'label' and t.slug = l.label)
group by l.label order by 1

-- name: label_drop(label text)
delete from pk_prompt_label where label = $1

-- name: title_delete(kind text, slug text)
delete from pk_title where kind = $1 and slug = $2 returning slug

-- name: prompt_get(slug text, version bigint)
-- Version 0: the latest.
select version, template, model, parameters, config, virtual_key, name, description, details,
    created_us, hash
from pk_prompt where slug = $1 and archived_us is null and ($2 = 0 or version = $2)
order by version desc limit 1

-- name: prompt_put(slug text, created_us bigint, hash blob, template text, model text, parameters text, config text, virtual_key text, name text, description text, details text)
insert into pk_prompt (slug, version, created_us, hash, template, model, parameters, config,
    virtual_key, name, description, details)
values ($1, (select coalesce(max(version), 0) + 1 from pk_prompt where slug = $1), $2, $3, $4, $5,
    $6, $7, $8, $9, $10, $11)
returning version

-- name: prompt_archive(slug text, now_us bigint)
update pk_prompt set archived_us = $2 where slug = $1 and archived_us is null returning version

-- name: prompt_label_get(slug text, label text)
select version, weight from pk_prompt_label where slug = $1 and label = $2 order by version

-- name: prompt_label_put(slug text, label text, version bigint, weight bigint, now_us bigint)
insert into pk_prompt_label (slug, label, version, weight, updated_us) values ($1, $2, $3, $4, $5)
on conflict (slug, label, version) do update set weight = excluded.weight,
    updated_us = excluded.updated_us

-- name: prompt_label_drop(slug text, label text, version bigint)
-- NULL: every label, every version.
delete from pk_prompt_label
where slug = $1 and ($2 is null or label = $2) and ($3 is null or version = $3)

-- name: prompt_list()
select p.slug, max(p.version),
    (select @object(l.label, l.version)@ from pk_prompt_label l where l.slug = p.slug)
from pk_prompt p where p.archived_us is null group by p.slug order by p.slug

-- name: prompt_page()
select p.slug, p.version, p.name, p.model, p.details, p.created_us,
    (select min(f.created_us) from pk_prompt f where f.slug = p.slug and f.archived_us is null)
from pk_prompt p
where p.archived_us is null and p.version =
    (select max(n.version) from pk_prompt n where n.slug = p.slug and n.archived_us is null)
order by p.slug

-- name: prompt_versions(slug text)
select p.version, p.template, p.model, p.parameters, p.description, p.created_us,
    (select min(l.label) from pk_prompt_label l
        where l.slug = p.slug and l.version = p.version and l.label <> 'default')
from pk_prompt p where p.slug = $1 and p.archived_us is null order by p.version desc

-- name: provider_get(name text)
select body from pk_provider where name = $1

-- name: provider_put(name text, body text, now_us bigint)
insert into pk_provider (name, body, created_us, updated_us) values ($1, $2, $3, $3)
on conflict (name) do update set body = excluded.body, updated_us = excluded.updated_us

-- name: provider_delete(name text)
delete from pk_provider where name = $1 returning name

-- name: provider_list()
select name, body from pk_provider order by name

-- name: provider_keys(name text)
select slug from pk_virtual_key where provider = $1 and revoked_us is null order by slug

-- name: config_bodies()
select slug, body from pk_config where in_force order by slug

-- name: guardrail_bodies()
select slug, body from pk_guardrail where in_force order by slug

-- name: key_list()
select slug, provider, status from pk_virtual_keys order by slug

-- name: key_get(slug text)
select provider, custom_host, origin, kind, secret, revoked_us, expires_us, allowed_models,
    denied_models, fields, name
from pk_virtual_key where slug = $1

-- name: key_page(slug text)
-- NULL: all that are not revoked. A secret that is sealed stays where it is.
select k.slug, k.name, k.provider, k.custom_host, k.kind,
    case when k.kind <> 'sealed' then k.secret end, k.expires_us, k.allowed_models,
    k.denied_models, k.fields, k.created_us, k.updated_us, t.note, t.details
from pk_virtual_key k left join pk_title t on t.kind = 'virtual_key' and t.slug = k.slug
where k.revoked_us is null and ($1 is null or k.slug = $1) order by k.slug

-- name: key_put(slug text, name text, provider text, custom_host text, origin text, kind text, secret blob, now_us bigint, expires_us bigint, allowed text, denied text, fields text)
insert into pk_virtual_key (slug, name, provider, custom_host, origin, kind, secret, created_us,
    updated_us, expires_us, allowed_models, denied_models, fields)
values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12)
on conflict (slug) do update set name = excluded.name, provider = excluded.provider,
    custom_host = excluded.custom_host, origin = excluded.origin, kind = excluded.kind,
    secret = excluded.secret, updated_us = excluded.updated_us, expires_us = excluded.expires_us,
    allowed_models = excluded.allowed_models, denied_models = excluded.denied_models,
    fields = excluded.fields, revoked_us = null

-- name: key_rotate(slug text, kind text, secret blob, now_us bigint)
update pk_virtual_key set kind = $2, secret = $3, updated_us = $4
where slug = $1 and revoked_us is null returning slug

-- name: key_revoke(slug text, now_us bigint)
update pk_virtual_key set revoked_us = $2, updated_us = $2, secret = ''
where slug = $1 and revoked_us is null returning slug

-- name: api_keys()
select name, hash, old_hash, old_until_us, scopes, config, config_fixed, metadata, expires_us,
    revoked_us
from pk_api_key

-- name: api_key_state(name text)
select case when revoked_us is null then 1 else 0 end from pk_api_key where name = $1

-- name: api_key_put(name text, description text, hash blob, hint text, scopes text, config text, config_fixed bool, metadata text, now_us bigint, expires_us bigint)
insert into pk_api_key (name, description, hash, hint, scopes, config, config_fixed, metadata,
    created_us, updated_us, expires_us)
values ($1, $2, $3, $4, $5, $6, $7, cast($8 as @json@), $9, $9, $10)
on conflict (name) do update set description = excluded.description, hash = excluded.hash,
    hint = excluded.hint, old_hash = null, old_until_us = null, scopes = excluded.scopes,
    config = excluded.config, config_fixed = excluded.config_fixed, metadata = excluded.metadata,
    created_us = excluded.created_us, updated_us = excluded.updated_us,
    expires_us = excluded.expires_us, revoked_us = null

-- name: api_key_first(name text)
-- A row when there never was a key.
select 1 where $1 is not null and not exists (select 1 from pk_api_key)

-- name: api_key_update(name text, description text, scopes text, config text, config_fixed bool, metadata text, now_us bigint, expires_us bigint)
update pk_api_key set description = $2, scopes = $3, config = $4, config_fixed = $5,
    metadata = cast($6 as @json@), updated_us = $7, expires_us = $8
where name = $1 and revoked_us is null returning name

-- name: api_key_page(name text)
-- NULL: all that are not revoked.
select k.name, t.name, k.description, k.scopes, k.config, k.config_fixed, k.metadata, k.hint,
    k.created_us, k.updated_us, k.expires_us, k.old_until_us
from pk_api_key k left join pk_title t on t.kind = 'api_key' and t.slug = k.name
where k.revoked_us is null and ($1 is null or k.name = $1) order by k.name

-- name: api_key_rotate(name text, hash blob, hint text, old_until_us bigint, now_us bigint)
update pk_api_key set old_hash = case when $4 > $5 then hash end,
    old_until_us = case when $4 > $5 then $4 end, hash = $2, hint = $3, updated_us = $5
where name = $1 and revoked_us is null returning name

-- name: api_key_revoke(name text, now_us bigint)
update pk_api_key set revoked_us = $2, updated_us = $2 where name = $1 and revoked_us is null
returning name

-- name: api_key_admins(now_us bigint)
-- Whether a key administers.
select 1 from pk_api_key
where revoked_us is null and (expires_us is null or expires_us > $1) and ' ' || scopes || ' ' like '% admin %'
limit 1

-- name: api_key_list()
select name, status, scopes, hint from pk_api_keys order by name

-- name: limits()
select slug, scope, key, value, counts, per, rolling, budget, amount, alert from pk_limit

-- name: limit_put(slug text, scope text, key text, value text, owned bool, counts text, per text, rolling bool, budget bool, amount bigint, alert bigint, now_us bigint)
insert into pk_limit (slug, scope, key, value, owned, counts, per, rolling, budget, amount, alert,
    created_us, updated_us)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
on conflict (slug) do update set scope = excluded.scope, key = excluded.key, value = excluded.value,
    owned = excluded.owned, counts = excluded.counts, per = excluded.per,
    rolling = excluded.rolling, budget = excluded.budget, amount = excluded.amount,
    alert = excluded.alert, updated_us = excluded.updated_us

-- name: limit_delete(slug text)
delete from pk_limit where slug = $1 returning slug

-- name: limit_use_delete(slug text)
delete from pk_limit_use where limit_slug = $1

-- name: reservation_delete(slug text)
delete from pk_reservation where limit_slug = $1

-- name: limit_owned(scope text, value text)
select slug from pk_limit where scope = $1 and value = $2 and owned

-- name: limit_page(scope text, value text, now_us bigint)
-- Those of keys, with what is used of them now. NULL: of every key.
select l.value, l.counts, l.per, l.budget, l.amount, l.alert,
    cast(coalesce(sum(u.used), 0) as bigint), min(u.until_us), l.rolling
from pk_limit l left join pk_limit_use u on u.limit_slug = l.slug and u.until_us > $3
where l.owned and l.scope = $1 and ($2 is null or l.value = $2)
group by l.slug, l.value, l.counts, l.per, l.budget, l.amount, l.alert, l.rolling order by l.slug

-- name: limit_rows(slug text)
-- NULL: all. What is used now, by all who are counted.
select l.slug, t.name, l.scope, l.key, l.value, l.counts, l.per, l.rolling, l.amount, l.alert,
    l.owned, l.created_us, l.updated_us, cast(coalesce(u.used, 0) as bigint), u.until_us
from pk_limit l
left join pk_title t on t.kind = 'limit' and t.slug = l.slug
left join (select x.limit_slug, sum(x.used) as used, min(x.until_us) as until_us from pk_limit_use x
           where x.until_us > @now_us@ group by x.limit_slug) u on u.limit_slug = l.slug
where $1 is null or l.slug = $1 order by l.slug

-- name: budget_rows(slug text)
select l.slug, t.name, l.scope, l.key, l.value, l.counts, l.per, l.rolling, l.amount, l.alert,
    l.owned, l.created_us, l.updated_us, t.details
from pk_limit l left join pk_title t on t.kind = 'limit' and t.slug = l.slug
where l.budget and not l.owned and ($1 is null or l.slug = $1) order by l.slug

-- name: rate_rows(slug text)
select l.slug, t.name, l.scope, l.key, l.value, l.counts, l.per, l.rolling, l.amount, l.alert,
    l.owned, l.created_us, l.updated_us, t.details
from pk_limit l left join pk_title t on t.kind = 'limit' and t.slug = l.slug
where not l.budget and not l.owned and ($1 is null or l.slug = $1) order by l.slug

-- name: limit_use_forget(scope text, value text)
update pk_limit_use set used = 0, refused = 0, warned_us = null, refused_us = null
where limit_slug in (select slug from pk_limit where scope = $1 and value = $2 and owned)

-- name: limit_subjects(slug text)
--- Whose use of it counts now.
select subject, cast(sum(used) as bigint), min(until_us) from pk_limit_use
where limit_slug = $1 and until_us > @now_us@ group by subject order by subject

-- name: limit_subject_forget(slug text, subject text)
update pk_limit_use set used = 0, refused = 0, warned_us = null, refused_us = null
where limit_slug = $1 and subject = $2

-- name: limit_list()
select slug, scope, coalesce(key || '=', '') || coalesce(value, '*'), counts, per, amount
from pk_limit order by slug

-- name: limit_lock(slug text)
-- Whoever changes the use of a limit takes this first; in SQLite the transaction is enough.
select amount from pk_limit where slug = $1

-- name: limit_lock @postgres
select amount from pk_limit where slug = $1 for update

-- name: limit_take(slug text, subject text, slot_us bigint, until_us bigint, keep_us bigint, amount bigint, room bigint, now_us bigint)
-- Sets aside (or gives back) when the limit has that much room; no row: it has not.
insert into pk_limit_use (limit_slug, subject, slot_us, until_us, keep_us, used, reserved, refused)
select l.slug, $2, $3, $4, $5, 0, $6, 0 from pk_limit l
where l.slug = $1 and ($6 <= 0 or $7 + (
    select coalesce(sum(u.used + u.reserved), 0) from pk_limit_use u
    where u.limit_slug = $1 and u.subject = $2 and (u.until_us > $8 or u.slot_us = $3)) <= l.amount)
on conflict (limit_slug, subject, slot_us) do update
    set reserved = pk_limit_use.reserved + excluded.reserved
returning slot_us

-- name: limit_state(slug text, subject text, now_us bigint)
select until_us, used, reserved from pk_limit_use
where limit_slug = $1 and subject = $2 and until_us > $3 order by slot_us

-- name: limit_refused(slug text, subject text, slot_us bigint, until_us bigint, keep_us bigint, now_us bigint)
insert into pk_limit_use (limit_slug, subject, slot_us, until_us, keep_us, used, reserved, refused,
    refused_us)
select l.slug, $2, $3, $4, $5, 0, 0, 1, $6 from pk_limit l where l.slug = $1
on conflict (limit_slug, subject, slot_us) do update set refused = pk_limit_use.refused + 1,
    refused_us = coalesce(pk_limit_use.refused_us, excluded.refused_us)

-- name: limit_settle(slug text, subject text, slot_us bigint, until_us bigint, keep_us bigint, used bigint, released bigint, now_us bigint)
insert into pk_limit_use (limit_slug, subject, slot_us, until_us, keep_us, used, reserved, refused)
select l.slug, $2, $3, $4, $5, $6, 0 - $7, 0 from pk_limit l where l.slug = $1
on conflict (limit_slug, subject, slot_us) do update set
    used = pk_limit_use.used + excluded.used,
    reserved = pk_limit_use.reserved + excluded.reserved,
    warned_us = case when pk_limit_use.warned_us is null and exists (
            select 1 from pk_limit l where l.slug = $1 and l.alert <= excluded.used + (
                select coalesce(sum(u.used), 0) from pk_limit_use u
                where u.limit_slug = $1 and u.subject = $2
                    and (u.until_us > $8 or u.slot_us = $3)))
        and not exists (
            select 1 from pk_limit_use u where u.limit_slug = $1 and u.subject = $2
                and u.until_us > $8 and u.warned_us is not null)
        then $8 else pk_limit_use.warned_us end

-- name: limit_use_purge(now_us bigint)
delete from pk_limit_use where (limit_slug, subject, slot_us) in (
    select limit_slug, subject, slot_us from pk_limit_use where keep_us <= $1 limit 100)

-- name: reservation_add(id uuid, slug text, subject text, slot_us bigint, amount bigint, expires_us bigint)
insert into pk_reservation (id, limit_slug, subject, slot_us, amount, expires_us)
values ($1, $2, $3, $4, $5, $6)
on conflict (id, limit_slug, subject) do update set amount = pk_reservation.amount + excluded.amount,
    expires_us = case when excluded.expires_us > pk_reservation.expires_us then excluded.expires_us
        else pk_reservation.expires_us end

-- name: reservation_get(id uuid, slug text, subject text)
select amount from pk_reservation where id = $1 and limit_slug = $2 and subject = $3

-- name: reservation_drop(id uuid, slug text, subject text, amount bigint)
delete from pk_reservation where id = $1 and limit_slug = $2 and subject = $3 and amount = $4
returning amount

-- name: reservation_less(id uuid, slug text, subject text, amount bigint)
update pk_reservation set amount = amount - $4
where id = $1 and limit_slug = $2 and subject = $3 and amount > $4
returning $4

-- name: reservation_end(id uuid, slug text, subject text)
delete from pk_reservation where id = $1 and limit_slug = $2 and subject = $3 returning amount

-- name: reservations_expired(now_us bigint)
select id, limit_slug, subject, slot_us, amount from pk_reservation where expires_us <= $1
order by expires_us limit 100

-- Settings of the store, and what goes by them (shared/store_sweep.c). The deletes take a few of the oldest
-- rows, found by an index, behind those that went before: Postgres goes over deleted rows again and again
-- while a transaction may still see them. An array of keys is always looked up by the index there.

-- name: settings()
select name, value from pk_setting

-- name: setting_put(name text, value text, now_us bigint)
insert into pk_setting (name, value, updated_us) values ($1, $2, $3)
on conflict (name) do update set value = excluded.value, updated_us = excluded.updated_us

-- name: setting_delete(name text)
delete from pk_setting where name = $1

-- name: sweep_logs(after uuid, before uuid, rows bigint)
-- The last of the oldest rows. UUIDv7 sort by time.
select id from (select id from pk_log where id > $1 and id < $2 order by id limit $3) o
order by id desc limit 1

-- name: sweep_logs_delete(after uuid, upto uuid)
delete from pk_log where id > $1 and id <= $2 returning 1

-- name: sweep_spans_delete(after uuid, upto uuid)
delete from pk_span where log_id > $1 and log_id <= $2 returning 1

-- name: sweep_hours(before_us bigint, rows bigint)
-- What was kept of hours that calls are gone from.
select hour_us from pk_log_hour where hour_us < $1 order by hour_us limit $2

-- name: sweep_hour_columns(hour_us bigint)
delete from pk_log_column where hour_us <= $1

-- name: sweep_hour(hour_us bigint)
delete from pk_log_hour where hour_us <= $1 returning 1

-- name: sweep_payloads(from_us bigint, before_us bigint)
select 1 from pk_payload where created_us >= $1 and created_us < $2 limit 1

-- name: sweep_payloads_delete(from_us bigint, before_us bigint, rows bigint, bytes bigint)
-- One at least; no more once they have so many bytes.
delete from pk_payload where id in (
    select id from (
        select id, len, sum(len) over (order by created_us, id) as upto from (
            select id, created_us, length(bytes) as len from pk_payload
            where created_us >= $1 and created_us < $2 order by created_us, id limit $3) a) b
    where upto - len < $4) returning created_us

-- name: sweep_payloads_delete @postgres
delete from pk_payload where id = any (array(
    select id from (
        select id, len, sum(len) over (order by created_us, id) as upto from (
            select id, created_us, length(bytes) as len from pk_payload
            where created_us >= $1 and created_us < $2 order by created_us, id limit $3) a) b
    where upto - len < $4)) returning created_us

-- name: sweep_feedback(after uuid, before uuid)
select 1 from pk_feedback_item where id > $1 and id < $2 limit 1

-- name: sweep_feedback_delete(after uuid, before uuid, rows bigint)
delete from pk_feedback_item where id in (
    select id from pk_feedback_item where id > $1 and id < $2 order by id limit $3) returning id

-- name: sweep_feedback_delete @postgres
delete from pk_feedback_item where id = any (array(
    select id from pk_feedback_item where id > $1 and id < $2 order by id limit $3)) returning id

-- name: sweep_audit(after bigint, before_us bigint)
-- Numbers grow with the time.
select 1 from (select at_us from pk_audit_item where id > $1 order by id limit 1) o where at_us < $2

-- name: sweep_audit_delete(after bigint, before_us bigint, rows bigint)
delete from pk_audit_item where id in (
    select id from (select id, at_us from pk_audit_item where id > $1 order by id limit $3) o
    where at_us < $2) returning id

-- name: sweep_audit_delete @postgres
delete from pk_audit_item where id = any (array(
    select id from (select id, at_us from pk_audit_item where id > $1 order by id limit $3) o
    where at_us < $2)) returning id

-- A person's calls (shared/store_erase.h). A part of the filter that is null asks for nothing.

-- part: hers
($3 is null or l.trace_id = $3) and ($4 is null or l.user_id = $4) and ($5 is null or l.api_key = $5)
    and ($6 is null or @holds($6)@)

-- name: erase_begin()
-- What is deleted is overwritten in the file.
pragma secure_delete = on

-- name: erase_begin @postgres
select 1

-- name: erase_find(after uuid, upto uuid, trace_id text, user_id text, api_key text, metadata text)
select l.id, l.request_id, l.response_id from pk_log l where l.id > $1 and l.id <= $2 and @hers@ order by l.id

-- name: erase_uses(after uuid, upto uuid)
select id, request_id, response_id from pk_log
where id > $1 and id <= $2 and (request_id is not null or response_id is not null)

-- name: erase_call(id uuid)
select l.trace_id, l.started_us, l.duration_us, l.provider, l.model, l.cache_status, a.encoding, a.bytes, l.response_id
from pk_log l left join pk_payload a on a.id = @payload(l.response_id)@ where l.id = $1

-- name: erase_payload(id bigint)
delete from pk_payload where id = $1 returning 1

-- name: erase_pack_get(id bigint)
select bytes from pk_payload where id = $1 and encoding = 2

-- name: erase_pack_get @postgres
with p as (select bytes from pk_payload where id = $1 and encoding = 2 for update) select bytes from p

-- name: erase_pack_put(id bigint, bytes blob)
update pk_payload set bytes = $2 where id = $1

-- name: erase_cached(provider text, model text, from_us bigint, to_us bigint)
select key, encoding, body, created_us from pk_cache_entry where created_us >= $3 and created_us <= $4
    and coalesce(provider, '') = coalesce($1, '') and coalesce(model, '') = coalesce($2, '')
order by created_us desc limit 1000

-- name: erase_cache_entry(key blob)
delete from pk_cache_entry where key = $1 returning key, bytes

-- name: erase_feedback(trace_id text, id uuid, of_trace text, user_id text, api_key text, metadata text)
-- On a trace that is the person's alone, by its first call: then each is counted once.
delete from pk_feedback_item where trace_id = $1 and not exists (
    select 1 from pk_log l where l.trace_id = pk_feedback_item.trace_id and (l.id < $2 or (@hers@) is not true))
returning 1

-- name: erase_feedback_upto(after uuid, rows bigint)
select id from (select id from pk_feedback_item where id > $1 order by id limit $2) o order by id desc limit 1

-- name: erase_feedback_find(after uuid, upto uuid, metadata text)
select l.id from pk_feedback_item l where l.id > $1 and l.id <= $2 and @holds($3)@

-- name: erase_feedback_item(id uuid)
delete from pk_feedback_item where id = $1 returning 1

-- name: erase_spans(log_id uuid)
delete from pk_span where log_id = $1 returning 1

-- name: erase_log(id uuid)
delete from pk_log where id = $1 returning 1

-- name: erase_columns(hour_us bigint)
delete from pk_log_column where hour_us = $1

-- name: erase_hour(hour_us bigint)
delete from pk_log_hour where hour_us = $1

-- part: not_so_any_more
select h.hour_us from pk_log_hour h where h.hour_us >= $1 and h.hour_us <= $2
    and h.calls <> (select count(*) from pk_log l where l.id >= h.from_id and l.id < h.upto_id)

-- name: erase_old_columns(from_us bigint, to_us bigint)
-- Somebody may have kept an hour as it was before.
delete from pk_log_column where hour_us in (@not_so_any_more@)

-- name: erase_old_hours(from_us bigint, to_us bigint)
delete from pk_log_hour where hour_us in (@not_so_any_more@)

-- name: erase_jobs(after uuid, rows bigint)
select id, params, case when finished_us is null then 0 else 1 end from pk_job where id > $1 order by id limit $2

-- name: erase_job_trace(job uuid, trace_id text)
update pk_job_item set key = null, key_is_int = 0, input = null, content = null, response = null, error_message = null
where job_id = $1 and trace_id = $2 and due_us is null
    and coalesce(key, input, content, response, error_message) is not null
returning 1

-- name: erase_job_count(job uuid)
select count(*) from pk_job_item where job_id = $1

-- name: erase_job_items(job uuid, rows bigint)
delete from pk_job_item where job_id = $1
    and ord in (select ord from pk_job_item where job_id = $1 order by ord limit $2)
returning 1

-- name: erase_job_batches(job uuid)
delete from pk_job_batch where job_id = $1

-- name: erase_job(job uuid)
delete from pk_job where id = $1 returning 1

-- name: erase_limit_use(scope text, key text, subject text)
delete from pk_limit_use where subject = $3
    and limit_slug in (select slug from pk_limit where scope = $1 and ($2 is null or key = $2))
returning 1

-- name: audit_put(at_us bigint, actor text, verb text, object text, detail text)
insert into pk_audit_item (at_us, actor, verb, object, detail)
values ($1, $2, $3, $4, cast($5 as @json@))

-- name: prices()
select p.provider, p.model, p.above_tokens, p.from_us, p.to_us, p.input, p.cache_read, p.cache_write,
    p.cache_write_1h, p.output, p.reasoning, coalesce(m.max_output_tokens, 0),
    coalesce(m.context_window, 0), p.input_batch, p.cache_read_batch, p.output_batch
from pk_price p left join pk_model m on m.provider = p.provider and m.model = p.model

-- name: prices_of(provider text)
select p.provider, p.model, p.above_tokens, p.from_us, p.to_us, p.input, p.cache_read, p.cache_write,
    p.cache_write_1h, p.output, p.reasoning, coalesce(m.max_output_tokens, 0),
    coalesce(m.context_window, 0), p.input_batch, p.cache_read_batch, p.output_batch
from pk_price p left join pk_model m on m.provider = p.provider and m.model = p.model
where p.provider = $1

-- name: price_lock()
-- An import takes this before it looks at what there is; in SQLite the transaction is enough.
select value from pk_meta where name = 'prices_as_of'

-- name: price_lock @postgres
select value from pk_meta where name = 'prices_as_of' for update

-- name: price_rows()
select provider, model, above_tokens, from_us, to_us, input, cache_read, cache_write,
    cache_write_1h, output, reasoning, input_batch, cache_read_batch, output_batch, units
from pk_price

-- name: price_end(provider text, model text, at_us bigint)
update pk_price set to_us = $3
where provider = $1 and model = $2 and from_us < $3 and (to_us = 0 or to_us > $3)

-- name: price_put(provider text, model text, above_tokens bigint, from_us bigint, to_us bigint, input bigint, cache_read bigint, cache_write bigint, cache_write_1h bigint, output bigint, reasoning bigint, input_batch bigint, cache_read_batch bigint, output_batch bigint, units text, source text)
insert into pk_price (provider, model, above_tokens, from_us, to_us, input, cache_read, cache_write,
    cache_write_1h, output, reasoning, input_batch, cache_read_batch, output_batch, units, source, origin)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'import')
on conflict (provider, model, above_tokens, from_us) do update set to_us = excluded.to_us,
    input = excluded.input, cache_read = excluded.cache_read, cache_write = excluded.cache_write,
    cache_write_1h = excluded.cache_write_1h, output = excluded.output,
    reasoning = excluded.reasoning, input_batch = excluded.input_batch,
    cache_read_batch = excluded.cache_read_batch, output_batch = excluded.output_batch,
    units = excluded.units, source = excluded.source, origin = excluded.origin

-- name: price_list()
select provider, model, above_tokens, cast(@usd_m(input)@ as text), cast(@usd_m(cache_read)@ as text),
    cast(@usd_m(cache_write)@ as text), cast(@usd_m(output)@ as text), source
from pk_price where from_us <= @now_us@ and (to_us = 0 or to_us > @now_us@)
order by provider, model, above_tokens

-- name: model_rows()
select provider, model, mode, context_window, max_output_tokens, deprecation_date, capabilities, source
from pk_model

-- name: model_put(provider text, model text, mode text, context_window bigint, max_output_tokens bigint, deprecation_date text, capabilities text, source text, updated_us bigint)
insert into pk_model (provider, model, mode, context_window, max_output_tokens, deprecation_date,
    capabilities, source, updated_us, origin)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'import')
on conflict (provider, model) do update set mode = excluded.mode,
    context_window = excluded.context_window, max_output_tokens = excluded.max_output_tokens,
    deprecation_date = excluded.deprecation_date, capabilities = excluded.capabilities,
    source = excluded.source, updated_us = excluded.updated_us, origin = excluded.origin

-- name: models(now_us bigint, provider text, model text)
-- As the view pk_models has them, in the machine's units. NULL asks for all.
select n.provider, n.model, m.mode, m.context_window, m.max_output_tokens, m.deprecation_date,
    m.capabilities, p.from_us, p.input, p.output, p.cache_read, p.cache_write, p.cache_write_1h
from (select x.provider, x.model from pk_model x
      union select y.provider, y.model from pk_price y where y.model not like '%*') n
left join pk_model m on m.provider = n.provider and m.model = n.model
left join (select q.provider, q.model, max(q.from_us) as from_us from pk_price q
           where q.above_tokens = 0 and q.from_us <= $1 and (q.to_us = 0 or q.to_us > $1)
           group by q.provider, q.model) c on c.provider = n.provider and c.model = n.model
left join pk_price p on p.provider = c.provider and p.model = c.model and p.above_tokens = 0
    and p.from_us = c.from_us
where ($2 is null or n.provider = $2) and ($3 is null or n.model = $3)
order by n.provider, n.model

-- What the control API reads of the log (sidecar/logs*.c, analytics*.c). A filter is always all of these
-- parameters; one that is NULL asks for nothing. Lists are written ",a,b,". Ids begin with the time, so that
-- $1 and $2 are a range of it too.

-- part: filter
from_id uuid, to_id uuid, trace_id text, span_id text, status text, http_status text, provider text, model text, ai_org_model text, virtual_key text, config text, api_key text, user_id text, prompt text, cache_status text, operation text, source text, search text, cost_min bigint, cost_max bigint, units_min bigint, units_max bigint, input_min bigint, input_max bigint, output_min bigint, output_max bigint, duration_min bigint, duration_max bigint, http_min bigint, http_max bigint, metadata text, feedback_min double, feedback_max double, needle text

-- part: opinion
(select avg(o.value * o.weight) from pk_feedback_item o where o.trace_id = l.trace_id)

-- part: matches
($3 is null or @has($3, @item(l.trace_id)@)@)
and ($4 is null or @has($4, @item(l.span_id)@)@)
and ($5 is null or @has($5, @item(l.status)@)@)
and ($6 is null or @has($6, @item(cast(l.http_status as text))@)@)
and ($7 is null or @has($7, @item(l.provider)@)@)
and ($8 is null or @has($8, @item(l.model)@)@
    or @has($8, @item(l.request_model)@)@)
and ($9 is null or @has($9, @item(l.provider || '__' || coalesce(l.model, l.request_model))@)@)
and ($10 is null or @has($10, @item(l.virtual_key)@)@)
and ($11 is null or @has($11, @item(l.config)@)@)
and ($12 is null or @has($12, @item(l.api_key)@)@)
and ($13 is null or @has($13, @item(l.user_id)@)@)
and ($14 is null or @has($14, @item(l.prompt)@)@
    or @has($14, @item(rtrim(l.prompt, '0123456789'))@)@)
and ($15 is null or @has($15, @item(l.cache_status)@)@)
and ($16 is null or @has($16, @item(l.operation)@)@)
and ($17 is null or @has($17, @item(l.source)@)@)
and ($18 is null or @has(lower(l.error_message), lower($18))@)
and ($19 is null or l.cost_pusd >= $19) and ($20 is null or l.cost_pusd <= $20)
and ($21 is null and $22 is null or @inputs@ + @outputs@ between coalesce($21, 0) and coalesce($22, 9223372036854775807))
and ($23 is null and $24 is null or @inputs@ between coalesce($23, 0) and coalesce($24, 9223372036854775807))
and ($25 is null and $26 is null or @outputs@ between coalesce($25, 0) and coalesce($26, 9223372036854775807))
and ($27 is null or l.duration_us >= $27) and ($28 is null or l.duration_us <= $28)
and ($29 is null or l.http_status >= $29) and ($30 is null or l.http_status <= $30)
and ($34 is null or @mentions($34)@) and ($31 is null or @holds($31)@)
and ($32 is null or @opinion@ >= $32) and ($33 is null or @opinion@ <= $33)

-- part: wanted
l.id >= $1 and l.id < $2 and @matches@

-- part: log_columns
l.id, l.trace_id, l.span_id, l.parent_span_id, l.span_name, l.started_us, l.operation, l.provider,
    l.request_model, l.model, l.config, l.target_path, l.attempts, l.retries, l.fallback_index, l.stream, l.status,
    l.http_status, l.error_type, l.error_message, l.finish_reason, l.input_tokens, l.output_tokens,
    @spared(cache_read_tokens)@, @spared(cache_write_tokens)@ + coalesce(l.cache_write_1h_tokens, 0),
    @spared(reasoning_tokens)@, l.usage_source, l.cost_pusd, l.cost_reason, coalesce(l.cost_saved_pusd, 0),
    l.cache_status, l.cache_similarity, l.virtual_key, l.api_key, l.user_id, l.prompt, l.guardrail_verdict, l.duration_us, l.ttft_us, l.duration_us - l.upstream_us,
    cast(l.metadata as text), l.source, l.query_id, l.dropped,
    case when l.status = 'success' then 1 else 0 end, @inputs@, @outputs@, @inputs@ + @outputs@,
    q.encoding, l.request_id, q.bytes, a.encoding, l.response_id, a.bytes

-- name: trace_range(trace_id text)
-- When its calls began.
select min(started_us), max(started_us) from pk_log where trace_id = $1

-- name: logs(@filter@, count bigint, skip bigint, payloads bool)
select @log_columns@
from pk_log l left join pk_payload q on q.id = @payload(l.request_id)@ and $37
left join pk_payload a on a.id = @payload(l.response_id)@ and $37
where @wanted@ order by l.id desc limit $35 offset $36

-- name: logs_count(@filter@, most bigint)
select count(*) from (select 1 from pk_log l where @wanted@ limit $35) c

-- name: log_get(id uuid)
select @log_columns@
from pk_log l left join pk_payload q on q.id = @payload(l.request_id)@
left join pk_payload a on a.id = @payload(l.response_id)@
where l.id = $1

-- name: log_spans(log_id uuid)
select coalesce(s.ord, 0), coalesce(s.kind, 'attempt'), coalesce(s.started_us, l.started_us + l.span_us),
    coalesce(s.duration_us, l.span_duration_us), coalesce(s.ttfb_us, l.span_ttfb_us), s.name, @step(target_path)@,
    @step(provider)@, case when l.span_us is null then s.model else l.request_model end, @step(http_status)@,
    s.error_type, s.error_message, coalesce(s.wait_ms, 0),
    case when l.span_us is null then s.input_tokens else @inputs@ end,
    case when l.span_us is null then s.output_tokens else @outputs@ end, @step(cost_pusd)@
from pk_log l left join pk_span s on s.log_id = l.id
where l.id = $1 and (s.log_id is not null or l.span_us is not null) order by s.ord

-- name: log_feedback(id uuid)
-- That about its trace.
select f.id, f.value, f.weight, cast(f.metadata as text), f.created_us
from pk_log l join pk_feedback_item f on f.trace_id = l.trace_id where l.id = $1 order by f.id limit 1000

-- What is added up of the log (sidecar/hours.h): so many calls, oldest first.

-- name: log_cells(@filter@, count bigint, metadata bool)
select l.id, l.started_us, l.duration_us, @inputs@, @outputs@, l.cost_pusd, l.cost_saved_pusd, l.http_status, l.retries,
    l.fallback_index, l.status, l.cache_status, l.provider, l.model, l.request_model, l.config, l.virtual_key, l.api_key,
    l.user_id, l.prompt, l.operation, l.source, case when $36 then @texts(l.metadata)@ end
from pk_log l where @wanted@ order by l.id limit $35

-- name: metadata_texts(metadata text)
select @texts($1)@

-- name: metadata_texts @postgres
select @texts(cast($1 as jsonb))@

-- name: log_next(id uuid)
select id from pk_log where id >= $1 order by id limit 1

-- name: log_hour_calls(from_us bigint, to_us bigint)
select hour_us, calls from pk_log_hour where hour_us >= $1 and hour_us < $2 order by hour_us

-- name: log_hours(from_us bigint, to_us bigint, what bigint, more bigint, more_2 bigint, more_3 bigint, more_4 bigint)
-- Of hours whose calls are still those that were there: calls come and go, but none changes, and those that are too old
-- go from the first on. Bit n of $3 asks for column n, if there are so many; $4 to $7 name columns.
select h.hour_us, c.part, c.what, c.encoding, c.bytes, h.calls
from pk_log_hour h join pk_log_column c on c.hour_us = h.hour_us
    and ((c.what < 63 and ($3 >> c.what) & 1 = 1) or c.what in ($4, $5, $6, $7))
where h.hour_us >= $1 and h.hour_us < $2
    and h.calls = (select count(*) from pk_log l where l.id >= h.from_id and l.id < h.upto_id)
    and h.first_id = (select l.id from pk_log l where l.id >= h.from_id and l.id < h.upto_id order by l.id limit 1)
order by h.hour_us, c.part, c.what

-- name: log_hour_put(hour_us bigint, from_id uuid, upto_id uuid, first_id uuid, calls bigint)
-- Before its columns: who does the same at the same time waits here.
insert into pk_log_hour (hour_us, from_id, upto_id, first_id, calls) values ($1, $2, $3, $4, $5)
on conflict (hour_us) do update set first_id = excluded.first_id, calls = excluded.calls

-- name: log_hour_empty(hour_us bigint)
delete from pk_log_column where hour_us = $1

-- name: log_column_put(hour_us bigint, part bigint, what bigint, encoding bigint, bytes blob)
insert into pk_log_column (hour_us, part, what, encoding, bytes) values ($1, $2, $3, $4, $5)

-- Feedback on calls that the filter lets through, or on whatever it is when that asks for nothing but a time.

-- part: on_wanted
f.id >= $1 and f.id < $2
and (not $35 or exists (select 1 from pk_log l where l.trace_id = f.trace_id and @matches@))

-- name: graph_feedback(@filter@, narrow bool, bucket_us bigint)
select f.created_us / $36 * $36, count(*), avg(f.value * f.weight)
from pk_feedback_item f where @on_wanted@ group by 1 order by 1

-- name: graph_scores(@filter@, narrow bool)
select f.value, count(*) from pk_feedback_item f where @on_wanted@ group by 1 order by 1

-- name: graph_feedback_models(@filter@, narrow bool)
select m.model, count(*), avg(f.value * f.weight)
from pk_feedback_item f join (
    select distinct l.trace_id, coalesce(l.model, l.request_model) as model from pk_log l
    where l.trace_id in (select o.trace_id from pk_feedback_item o where o.id >= $1 and o.id < $2)
    and (not $35 or (@matches@))) m on m.trace_id = f.trace_id
where f.id >= $1 and f.id < $2 and m.model is not null group by 1 order by 2 desc, 1

-- name: group_opinions(@filter@, key text)
-- Of the calls that there is feedback on.
select x.value, avg(x.opinion), count(*)
from (select @member($35)@ as value, o.opinion
    from (select f.trace_id, avg(f.value * f.weight) as opinion from pk_feedback_item f group by f.trace_id) o
    join pk_log l on l.trace_id = o.trace_id
    where @wanted@) x
where x.value is not null group by x.value

-- The largest first; the last column is how many there are. For groups that are more than fit into memory.

-- name: group_metadata(@filter@, count bigint, skip bigint, key text)
select x.value, count(*), cast(sum(x.cost_pusd) as bigint),
    (cast(sum(x.units) as bigint) * 2000 / count(x.units) + 1) / 2, avg(x.opinion), count(x.opinion), max(x.started_us),
    count(*) over ()
from (select @member($37)@ as value, l.cost_pusd, @inputs@ + @outputs@ as units, l.started_us,
        o.opinion
    from pk_log l left join (
        select f.trace_id, avg(f.value * f.weight) as opinion from pk_feedback_item f group by f.trace_id) o
        on o.trace_id = l.trace_id
    where @member($37)@ is not null and @wanted@) x
group by x.value order by 2 desc, 1 limit $35 offset $36

-- Exports of the log: what they are to have.

-- part: export_columns
x.id, x.created_us, x.updated_us, x.status, x.actor, x.description, x.filters, x.fields, x.total, x.token, x.token_us

-- name: export_get(id uuid)
select @export_columns@ from pk_log_export x where x.id = $1

-- name: export_list(count bigint, skip bigint)
select @export_columns@, count(*) over () from pk_log_export x order by x.id desc limit $1 offset $2

-- name: export_put(id uuid, now_us bigint, actor text, description text, filters text, fields text, total bigint)
insert into pk_log_export (id, created_us, updated_us, status, actor, description, filters, fields, total)
values ($1, $2, $2, 'draft', $3, $4, $5, $6, $7)

-- name: export_change(id uuid, now_us bigint, description text, filters text, fields text, total bigint)
update pk_log_export set updated_us = $2, description = $3, filters = $4, fields = $5, total = $6 where id = $1

-- name: export_status(id uuid, now_us bigint, status text)
update pk_log_export set updated_us = $2, status = $3 where id = $1

-- name: export_token(id uuid, token blob, until_us bigint)
update pk_log_export set token = $2, token_us = $3 where id = $1

-- name: feedback_change(id uuid, value bigint, weight double, metadata text)
-- NULL: as it was.
update pk_feedback_item set value = $2, weight = coalesce($3, weight),
    metadata = coalesce(cast($4 as @json@), metadata)
where id = $1 returning 1

-- name: alerts()
-- As the view pk_alerts has them, newest first.
select a.at_us, a.kind, a.slug, a.scope, a.subject, a.counts, a.amount, a.alert, a.per
from (select x.warned_us as at_us, 'threshold' as kind, l.slug, l.scope, x.subject, l.counts, l.amount, l.alert,
          l.per
      from pk_limit_use x join pk_limit l on l.slug = x.limit_slug where x.warned_us is not null
      union all
      select x.refused_us, 'exhausted', l.slug, l.scope, x.subject, l.counts, l.amount, l.alert, l.per
      from pk_limit_use x join pk_limit l on l.slug = x.limit_slug
      where x.refused_us is not null and l.budget) a
order by a.at_us desc, a.slug, a.subject, a.kind limit 10000

-- name: audit_page(from_us bigint, to_us bigint, verb text, actor text, kind text, count bigint, skip bigint)
-- An actor is found with or without what he is; a kind is what verbs begin with.
select a.id, a.at_us, a.actor, a.verb, a.object, cast(a.detail as text), count(*) over ()
from pk_audit_item a
where a.at_us >= $1 and a.at_us <= $2 and ($3 is null or a.verb = $3)
    and ($4 is null or a.actor = $4 or substr(a.actor, @find(a.actor, ':')@ + 1) = $4)
    and ($5 is null or substr(a.verb, 1, length($5)) = $5)
order by a.id desc limit $6 offset $7

-- The queue. Where $n is an actor, null stands for everybody.

-- name: job_put(id uuid, now_us bigint, actor text, config text, params text, prompt text, max_attempts bigint, executor text)
insert into pk_job (id, created_us, actor, config, params, prompt, max_attempts, total, executor)
values ($1, $2, $3, $4, $5, $6, cast($7 as integer), 0, $8)

-- name: job_item_put(id uuid, ord bigint, key text, key_is_int bigint, kind text, input text, due_us bigint, same_as bigint, batched bigint)
-- A row without a text needs no call.
insert into pk_job_item (job_id, ord, key, key_is_int, kind, input, state, due_us, cost_pusd, same_as, batched)
values ($1, $2, $3, cast($4 as integer), $5, $6, case when $6 is null then 'done' else 'queued' end,
    case when $6 is null then null else $7 end, case when $6 is null then 0 end, $8, cast($9 as integer))

-- name: job_item_leads(id uuid, ord bigint)
update pk_job_item set twins = 1 where job_id = $1 and ord = $2

-- name: job_total(id uuid, total bigint, finished_us bigint)
update pk_job set total = $2, finished_us = $3 where id = $1

-- name: job_get(id uuid)
select actor, config, params, prompt, max_attempts from pk_job where id = $1

-- part: job_counts
select count(*) filter (where i.state = 'queued') as queued,
    count(*) filter (where i.state = 'running') as running,
    count(*) filter (where i.state = 'done') as done, count(*) filter (where i.state = 'failed') as failed,
    count(*) filter (where i.state = 'cancelled') as cancelled,
    count(*) filter (where i.state <> 'queued' or i.tries + i.losses > 0) as begun,
    cast(sum(i.cost_pusd) as bigint) as cost_pusd
from pk_job_item i where i.job_id = $1

-- name: job_status(id uuid, actor text)
select j.created_us, j.finished_us, j.cancelled_us, j.actor, j.config, j.max_attempts, j.total,
    n.queued, n.running, n.done, n.failed, n.cancelled, n.begun, n.cost_pusd
from pk_job j cross join (@job_counts@) n
where j.id = $1 and ($2 is null or j.actor = $2)

-- name: job_over(id uuid, actor text)
-- Its last number: whether this transaction made it, so that no worker knows it yet.
select j.finished_us, 0 from pk_job j where j.id = $1 and ($2 is null or j.actor = $2)

-- name: job_over @postgres
select j.finished_us, case when j.xmin = cast(pg_current_xact_id_if_assigned() as xid) then 1 else 0 end
from pk_job j where j.id = $1 and ($2 is null or j.actor = $2)

-- part: newest_jobs
select cast(j.id as text), j.state, j.total, j.queued, j.running, j.done, j.failed, j.cancelled from pk_jobs j
order by j.created_at desc, j.id desc

-- name: job_list()
@newest_jobs@ limit 1000

-- name: job_page(count bigint, skip bigint)
@newest_jobs@ limit $1 offset $2

-- name: job_count()
select count(*) from pk_job j where @mine(j.actor)@

-- name: job_results(id uuid, after bigint, count bigint, actor text)
-- Of so many items behind `after`, those that are over; one row without an item when there are none. By number, so
-- that no engine has to sort what it does not return.
select j.total, i.ord, i.key, i.key_is_int, i.state, i.content, i.response, i.error_code, i.error_message, i.retryable,
    i.http_status, i.provider, i.model, i.input_tokens, i.output_tokens, i.cost_pusd, i.latency_us, i.attempts,
    i.cache_status, i.trace_id
from pk_job j left join pk_job_item i on i.job_id = j.id and i.ord > $2 and i.ord <= $2 + $3 and i.due_us is null
where j.id = $1 and ($4 is null or j.actor = $4)
order by i.ord

-- name: job_cancel(id uuid, actor text, now_us bigint)
update pk_job set cancelled_us = $3 where id = $1 and ($2 is null or actor = $2) and finished_us is null
    and cancelled_us is null returning 1

-- name: job_cancel_items(id uuid)
update pk_job_item set state = 'cancelled', due_us = null where job_id = $1 and state = 'queued'

-- name: job_retry(id uuid, now_us bigint, never_us bigint)
update pk_job_item set state = 'queued', due_us = case when same_as is null then $2 else $3 end, tries = 0, losses = 0,
    worker = null, error_code = null, error_message = null, retryable = null, http_status = null
where job_id = $1 and state in ('failed', 'cancelled') returning 1

-- name: job_retry_leads(id uuid)
update pk_job_item set twins = 1 where job_id = $1 and twins = 2

-- name: job_reopen(id uuid)
update pk_job set finished_us = null, cancelled_us = null where id = $1

-- name: job_open()
select 1 from pk_job where finished_us is null limit 1

-- part: job_waits
j.finished_us is null and j.cancelled_us is null and j.executor = 'call'
    and exists (select 1 from pk_job_item i where i.job_id = j.id and i.due_us <= $1)

-- name: job_turn(now_us bigint, last text)
-- Who comes after the one who was last, and whether somebody else has something too. Looked at before anything is
-- claimed: a statement that writes would lock the file.
with first as (select actor from (
    select * from (select j.actor from pk_job j where j.actor > $2 and @job_waits@ order by j.actor limit 1) a
    union all
    select * from (select j.actor from pk_job j where j.actor <= $2 and @job_waits@ order by j.actor limit 1) b) c limit 1)
select f.actor, case when exists (select 1 from pk_job j where j.actor > f.actor and @job_waits@)
    or exists (select 1 from pk_job j where j.actor < f.actor and @job_waits@) then 1 else 0 end
from first f

-- part: job_next
-- Jobs of an actor, those after the one that was served last first; and how many items each may have of what is asked
-- for.
jobs as materialized (select c.id from (
    select * from (select j.id from pk_job j where j.actor = $6 and j.id > $7 and @job_waits@ order by j.id limit $4) a
    union all
    select * from (select j.id from pk_job j where j.actor = $6 and j.id <= $7 and @job_waits@ order by j.id limit $4) b
    ) c limit $4),
share as materialized (select ($4 + count(*) - 1) / case when count(*) = 0 then 1 else count(*) end as items from jobs)

-- name: job_claim(now_us bigint, until_us bigint, worker blob, count bigint, losses bigint, actor text, last uuid)
update pk_job_item set state = 'running', worker = $3, due_us = $2,
    losses = losses + case when state = 'running' then 1 else 0 end
where (job_id, ord) in (
    with @job_next@
    select i.job_id, i.ord from jobs j cross join pk_job_item i where i.rowid in (
        select k.rowid from pk_job_item k where k.job_id = j.id and k.due_us <= $1 and k.losses < $5
        order by k.due_us limit (select items from share)) limit $4)
returning job_id, ord, kind, input, tries

-- name: job_claim @postgres
with @job_next@,
picked as materialized (
    select i.job_id, i.ord from jobs j cross join lateral (
        select k.job_id, k.ord from pk_job_item k where k.job_id = j.id and k.due_us <= $1 and k.losses < $5
        order by k.due_us limit (select items from share) for update skip locked) i limit $4)
update pk_job_item t set state = 'running', worker = $3, due_us = $2,
    losses = t.losses + case when t.state = 'running' then 1 else 0 end
from picked p where t.job_id = p.job_id and t.ord = p.ord
returning t.job_id, t.ord, t.kind, t.input, t.tries

-- name: job_renew(worker blob, until_us bigint)
update pk_job_item set due_us = $2 where due_us is not null and state = 'running' and worker = $1

-- name: job_item_end(id uuid, ord bigint, state text, tries bigint, content text, response text, error_code text, error_message text, retryable bigint, http_status bigint, provider text, model text, input_tokens bigint, output_tokens bigint, cost_pusd bigint, latency_us bigint, attempts bigint, cache_status text, trace_id text)
-- An answer counts whoever has the item by now: it is paid for.
update pk_job_item set state = $3, due_us = null, worker = null, tries = cast($4 as integer), content = $5,
    response = $6, error_code = $7, error_message = $8, retryable = cast($9 as integer),
    http_status = cast($10 as integer), provider = $11, model = $12, input_tokens = $13, output_tokens = $14,
    cost_pusd = coalesce(cost_pusd, 0) + $15, latency_us = $16, attempts = cast($17 as integer),
    cache_status = $18, trace_id = $19
where job_id = $1 and ord = $2 and due_us is not null

-- name: job_item_again(id uuid, ord bigint, worker blob, tries bigint, due_us bigint, cost_pusd bigint, error_code text, error_message text)
update pk_job_item set state = 'queued', due_us = $5, worker = null, tries = cast($4 as integer),
    cost_pusd = coalesce(cost_pusd, 0) + coalesce($6, 0), error_code = $7, error_message = $8
where job_id = $1 and ord = $2 and worker = $3 and due_us is not null

-- name: job_give_back(worker blob, now_us bigint)
update pk_job_item set state = 'queued', due_us = $2, worker = null
where due_us is not null and state = 'running' and worker = $1

-- name: job_tidy_cancelled(now_us bigint)
-- What was under way when its job was cancelled, and did not come back.
update pk_job_item set state = 'cancelled', due_us = null, worker = null
where due_us is not null and (state = 'queued' or due_us < $1)
    and job_id in (select id from pk_job where finished_us is null and cancelled_us is not null)

-- name: job_tidy_lost(now_us bigint, losses bigint, error_code text, error_message text)
update pk_job_item set state = 'failed', due_us = null, worker = null, error_code = $3, error_message = $4,
    retryable = 1 where batched in (0, 1) and due_us < $1 and losses >= $2

-- name: job_shares()
select 1 from pk_job_item where twins = 1 and due_us is null limit 1

-- name: job_share(count bigint)
-- Items that waited for another's answer get it: the answer, not the bill.
update pk_job_item set state = l.state, due_us = null, content = l.content, response = l.response,
    error_code = l.error_code, error_message = l.error_message, retryable = l.retryable, http_status = l.http_status,
    provider = l.provider, model = l.model, input_tokens = l.input_tokens, output_tokens = l.output_tokens,
    cost_pusd = 0, latency_us = 0, attempts = 0, cache_status = case when l.state = 'done' then 'HIT' end,
    trace_id = l.trace_id
from (select s.job_id as to_job, s.ord as to_ord, k.* from pk_job_item k
      join pk_job_item s on s.job_id = k.job_id and s.same_as = k.ord and s.due_us is not null
      where k.twins = 1 and k.due_us is null limit $1) l
where pk_job_item.job_id = l.to_job and pk_job_item.ord = l.to_ord and pk_job_item.due_us is not null
returning 1

-- name: job_shared()
update pk_job_item set twins = 2 where twins = 1 and due_us is null and not exists (
    select 1 from pk_job_item s where s.job_id = pk_job_item.job_id and s.same_as = pk_job_item.ord
        and s.due_us is not null)

-- name: job_finish(now_us bigint)
update pk_job set finished_us = $1 where finished_us is null
    and not exists (select 1 from pk_job_item i where i.job_id = pk_job.id and i.due_us is not null)

-- name: job_finish @postgres
with over as (update pk_job set finished_us = $1 where finished_us is null
    and not exists (select 1 from pk_job_item i where i.job_id = pk_job.id and i.due_us is not null)
    returning id)
select pg_notify('pk_jobs', cast(id as text)) from over

-- What is worked off through providers' batch APIs (shared/store_job_batch.h).

-- name: job_batch_wanted()
select 1 from pk_job where finished_us is null and executor = 'batch' limit 1

-- name: job_batch_next(now_us bigint, losses bigint)
-- The job of the item that has waited longest.
select i.job_id from pk_job_item i where i.batched = 1 and i.due_us <= $1 and i.losses < $2
    and not exists (select 1 from pk_job j where j.id = i.job_id and j.cancelled_us is not null)
order by i.due_us limit 1

-- name: job_batch_claim(now_us bigint, until_us bigint, worker blob, count bigint, losses bigint, job uuid)
update pk_job_item set state = 'running', worker = $3, due_us = $2,
    losses = losses + case when state = 'running' then 1 else 0 end
where (job_id, ord) in (
    select i.job_id, i.ord from pk_job_item i
    where i.batched = 1 and i.due_us <= $1 and i.losses < $5 and i.job_id = $6 order by i.due_us limit $4)
returning job_id, ord, kind, input, tries

-- name: job_batch_claim @postgres
with picked as materialized (
    select i.job_id, i.ord from pk_job_item i
    where i.batched = 1 and i.due_us <= $1 and i.losses < $5 and i.job_id = $6
    order by i.due_us limit $4 for update of i skip locked)
update pk_job_item t set state = 'running', worker = $3, due_us = $2,
    losses = t.losses + case when t.state = 'running' then 1 else 0 end
from picked p where t.job_id = p.job_id and t.ord = p.ord
returning t.job_id, t.ord, t.kind, t.input, t.tries

-- name: job_batch_put(id uuid, job uuid, created_us bigint, provider text, target_path text, model text, worker blob, until_us bigint)
-- All that the worker has becomes the batch's.
insert into pk_job_batch (id, job_id, created_us, provider, target_path, model, items, state, asks, looks, due_us, worker,
    cancelled, updated_us)
select $1, $2, $3, $4, $5, $6, (select count(*) from pk_job_item i where i.job_id = $2 and i.due_us is not null
    and i.worker = $7), 'new', 0, 0, $8, $7, 0, $3
returning items

-- name: job_batch_put_items(job uuid, worker blob, batch blob, later_us bigint)
update pk_job_item set worker = $3, due_us = $4 where job_id = $1 and due_us is not null and worker = $2

-- name: job_batch_due(now_us bigint)
select 1 from pk_job_batch where due_us <= $1 limit 1

-- name: job_batch_take(now_us bigint, until_us bigint, worker blob)
update pk_job_batch set due_us = $2, worker = $3 where id = (
    select b.id from pk_job_batch b where b.due_us <= $1 order by b.due_us limit 1)
returning id, job_id, created_us, provider, target_path, model, items, state, asks, looks, file_id, remote_id, cancelled

-- name: job_batch_take @postgres
update pk_job_batch set due_us = $2, worker = $3 where id = (
    select b.id from pk_job_batch b where b.due_us <= $1 order by b.due_us limit 1 for update skip locked)
returning id, job_id, created_us, provider, target_path, model, items, state, asks, looks, file_id, remote_id, cancelled

-- name: job_batch_save(id uuid, worker blob, state text, asks bigint, looks bigint, due_us bigint, file_id text, remote_id text, cancelled bigint, now_us bigint, keep bigint)
-- Of whoever still has it.
update pk_job_batch set state = $3, asks = cast($4 as integer), looks = cast($5 as integer), due_us = $6, file_id = $7,
    remote_id = $8, cancelled = cast($9 as integer), updated_us = $10, worker = case when $11 = 1 then worker end
where id = $1 and worker = $2 returning 1

-- name: job_batch_items(job uuid, batch blob)
select ord, kind, input, tries from pk_job_item where job_id = $1 and due_us is not null and worker = $2 order by ord

-- name: job_batch_known(remote_id text)
select 1 from pk_job_batch where remote_id = $1 limit 1

-- name: job_batch_stopped(job uuid)
select case when cancelled_us is null then 0 else 1 end from pk_job where id = $1

-- name: job_batch_hurry(now_us bigint)
-- Of a job that was cancelled, the provider is to be told.
update pk_job_batch set due_us = $1 where due_us > $1 and worker is null and cancelled = 0
    and exists (select 1 from pk_job j where j.id = pk_job_batch.job_id and j.cancelled_us is not null)

-- name: job_batch_drop(job uuid, batch blob)
update pk_job_item set state = 'cancelled', due_us = null, worker = null
where job_id = $1 and due_us is not null and worker = $2

-- name: sweep_job_batches(before_us bigint, rows bigint)
delete from pk_job_batch where job_id in (
    select o.id from (select j.id from pk_job j where j.finished_us < $1 order by j.finished_us limit $2) o)

-- name: sweep_jobs_look(before_us bigint)
select 1 from pk_job where finished_us < $1 limit 1

-- name: sweep_job_items(before_us bigint, rows bigint)
-- Of one job, that was over by then.
delete from pk_job_item where job_id = (
        select j.id from pk_job j where j.finished_us < $1 order by j.finished_us limit 1)
    and ord in (
        select i.ord from pk_job_item i where i.job_id = (
            select j.id from pk_job j where j.finished_us < $1 order by j.finished_us limit 1)
        order by i.ord limit $2)
returning 1

-- name: sweep_jobs(before_us bigint, rows bigint)
-- Those that have no item any more.
delete from pk_job where id in (
    select o.id from (select j.id from pk_job j where j.finished_us < $1 order by j.finished_us limit $2) o
    where not exists (select 1 from pk_job_item i where i.job_id = o.id))
returning 1

-- What batches in flight tell others.

-- name: progress_put(id uuid, started_us bigint, updated_us bigint, kind text, source text, query_id text, actor text, host text, pid bigint, config text, total bigint, done bigint, failed bigint, in_flight bigint, cost_pusd bigint)
insert into pk_progress (id, started_us, updated_us, kind, source, query_id, actor, host, pid, config, total, done,
    failed, in_flight, cost_pusd)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
on conflict (id) do update set updated_us = excluded.updated_us, config = excluded.config, total = excluded.total,
    done = excluded.done, failed = excluded.failed, in_flight = excluded.in_flight, cost_pusd = excluded.cost_pusd
where excluded.updated_us >= pk_progress.updated_us

-- name: progress_end(id uuid)
delete from pk_progress where id = $1

-- part: under_way
select r.kind, r.actor, r.host, r.pid, r.total, r.done, r.failed, r.in_flight, cast(r.cost_usd as text),
    cast(round(cast(r.rate as numeric), 2) as text), cast(round(cast(r.eta_s as numeric), 1) as text), cast(r.id as text)
from pk_running r order by r.started_at, r.id

-- name: running_list()
@under_way@ limit 1000

-- name: running_page(count bigint, skip bigint)
@under_way@ limit $1 offset $2

-- name: running_count()
select count(*) from pk_running r

-- name: sweep_progress_look(before_us bigint)
select 1 from pk_progress where updated_us < $1 limit 1

-- name: sweep_progress(before_us bigint)
delete from pk_progress where updated_us < $1 returning 1
