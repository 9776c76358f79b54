-- first_schema.sql - the schema of version 1, for store_migrate.c: a store that it made must become one of today.
--
-- Tables (singular) are for the machine: times are microseconds since 1970 UTC (*_us), money is
-- pico-dollars (*_pusd), enums are their public words. Views (plural) are for people: ISO-8601 text or
-- timestamptz, dollars, milliseconds. A change to a table needs a file in migrate/ as well; views are
-- made anew whenever a store is migrated.

create table pk_meta (
    name  text primary key,
    value bigint not null
);
insert into pk_meta (name, value) values
    ('schema_version', 1),   -- of the tables
    ('epoch', 1),            -- grows when configs, keys or prices change
    ('prices_as_of', 0);     -- the price list that was loaded last, as the number YYYYMMDD

-- What was sent and answered, once however often. Small ones are plain text (encoding 0), others
-- zstd (1). created_us is when it was last used, give or take a day.
create table pk_payload (
    id         @serial@,
    hash       @blob@ not null unique,   -- BLAKE2b-256 of the text
    created_us bigint not null,
    encoding   smallint not null,
    bytes      @blob@ not null
);

-- One row a call. Token counts are disjoint: adding them up counts each token once.
create table pk_log (
    id                   @uuid@ primary key,
    started_us           bigint not null,
    duration_us          bigint not null,
    ttft_us              bigint,            -- from the start to the first token of a stream
    upstream_us          bigint not null,   -- spent waiting for providers
    trace_id             text not null,
    span_id              text,
    parent_span_id       text,
    span_name            text,
    operation            text not null,
    provider             text,
    request_model        text,
    model                text,
    config               text,
    target_path          text,
    attempts             integer not null,
    retries              integer not null,
    fallback_index       integer not null,
    stream               boolean not null,
    status               text not null,
    http_status          integer,
    error_type           text,
    error_message        text,
    finish_reason        text,
    usage_source         text not null,
    input_tokens         bigint,
    output_tokens        bigint,
    cache_read_tokens    bigint,
    cache_write_tokens   bigint,
    cache_write_1h_tokens bigint,
    reasoning_tokens     bigint,
    cost_pusd            bigint,
    cost_reason          text,              -- why cost_pusd is not known
    cost_saved_pusd      bigint,
    cache_status         text not null,
    cache_similarity     double precision,
    virtual_key          text,
    api_key              text,
    user_id              text,
    prompt               text,
    guardrail_verdict    text,
    dropped              text,              -- request fields that the target could not take
    metadata             @json@,
    request_id           bigint,            -- in pk_payload
    response_id          bigint,
    source               text not null,
    query_id             text
)@by_key@;
create index pk_log_started on pk_log (started_us);
create index pk_log_trace on pk_log (trace_id);

-- The steps of a call, in order.
create table pk_span (
    log_id        @uuid@ not null,
    ord           smallint not null,
    kind          text not null,
    started_us    bigint not null,
    duration_us   bigint not null,
    ttfb_us       bigint,                   -- from its start to the first byte of the answer
    target_path   text,
    provider      text,
    model         text,
    http_status   integer,
    error_type    text,
    error_message text,
    wait_ms       bigint not null,          -- slept after it, before the next
    primary key (log_id, ord)
)@by_key@;

create table pk_cache_entry (
    key           @blob@ primary key,
    created_us    bigint not null,
    expires_us    bigint not null,
    hits          bigint not null default 0,
    last_hit_us   bigint,
    provider      text,
    model         text,
    finish_reason text,
    usage_source  text not null,
    input_tokens          bigint,
    output_tokens         bigint,
    cache_read_tokens     bigint,
    cache_write_tokens    bigint,
    cache_write_1h_tokens bigint,
    reasoning_tokens      bigint,
    cost_pusd     bigint,
    encoding      smallint not null,
    body          @blob@ not null
);
create index pk_cache_entry_expires on pk_cache_entry (expires_us);

create table pk_feedback_item (
    id         @uuid@ primary key,
    created_us bigint not null,
    trace_id   text not null,
    value      integer not null,
    weight     double precision not null,
    metadata   @json@
)@by_key@;
create index pk_feedback_item_trace on pk_feedback_item (trace_id);

-- Every version that ever was; at most one of a slug is in force.
create table pk_config (
    slug       text not null,
    version    integer not null,
    created_us bigint not null,
    in_force   boolean not null,
    body       text not null,
    primary key (slug, version)
);

create table pk_virtual_key (
    slug        text primary key,
    name        text,
    provider    text not null,
    custom_host text,                       -- null: the provider's own
    origin      text not null,              -- base URL that the secret may be sent to
    kind        text not null,              -- sealed | env | file
    secret      @blob@ not null,            -- ciphertext, variable name or path
    created_us  bigint not null,
    updated_us  bigint not null,
    expires_us  bigint,
    revoked_us  bigint
);

-- Pico-dollars a token; null where not known.
create table pk_price (
    provider       text not null,
    model          text not null,           -- exact, or a prefix that ends in '*'
    above_tokens   bigint not null,         -- applies when all input tokens exceed this
    from_us        bigint not null,
    to_us          bigint not null,         -- 0 = still
    input          bigint,
    cache_read     bigint,
    cache_write    bigint,
    cache_write_1h bigint,
    output         bigint,
    reasoning      bigint,
    origin         text not null,           -- list: shipped with pk; import: the owner's
    primary key (provider, model, above_tokens, from_us)
);

-- pk_logs and pk_spans end in their joins: a reader may append a `where` over l, s and their indexes.
create view pk_logs as select
    @uuid(l.id)@ as id, l.trace_id, l.span_id, l.parent_span_id, l.span_name,
    @time(l.started_us)@ as started_at,
    l.operation, l.provider, l.request_model, l.model, l.config, l.target_path,
    l.attempts, l.retries, l.fallback_index, l.stream, l.status, l.http_status,
    l.error_type, l.error_message, l.finish_reason,
    l.input_tokens, l.output_tokens, l.cache_read_tokens,
    l.cache_write_tokens + l.cache_write_1h_tokens as cache_write_tokens,
    l.reasoning_tokens, l.usage_source,
    @usd(l.cost_pusd)@ as cost_usd, @usd(l.cost_saved_pusd)@ as cost_saved_usd,
    l.cache_status, l.cache_similarity,
    l.virtual_key, l.api_key, l.user_id, l.prompt, l.guardrail_verdict,
    @ms(l.duration_us)@ as latency_ms, @ms(l.ttft_us)@ as ttft_ms,
    @ms((l.duration_us - l.upstream_us))@ as overhead_ms,
    l.metadata,
    @as_json(pk_payload_text(q.encoding, q.bytes))@ as request,
    @as_json(pk_payload_text(a.encoding, a.bytes))@ as response,
    l.source, l.query_id, l.cost_reason, l.dropped as dropped_params
    from pk_log l
    left join pk_payload q on q.id = l.request_id
    left join pk_payload a on a.id = l.response_id;

create view pk_spans as select
    @uuid(s.log_id)@ as log_id, l.trace_id, s.ord, s.kind,
    @time(s.started_us)@ as started_at, @ms(s.duration_us)@ as latency_ms,
    @ms(s.ttfb_us)@ as ttfb_ms,
    s.target_path, s.provider, s.model, s.http_status, s.error_type, s.error_message, s.wait_ms
    from pk_span s join pk_log l on l.id = s.log_id;

create view pk_feedback as select
    @uuid(f.id)@ as id, f.trace_id, f.value, f.weight, f.metadata, @time(f.created_us)@ as created_at
    from pk_feedback_item f;

create view pk_configs as select
    c.slug, c.version, @as_json(c.body)@ as config, @time(c.created_us)@ as created_at
    from pk_config c where c.in_force;

create view pk_virtual_keys as select
    k.slug, k.name, k.provider, k.custom_host, k.kind,
    case when k.revoked_us is null then 'active' else 'revoked' end as status,
    @time(k.expires_us)@ as expires_at, @time(k.created_us)@ as created_at,
    @time(k.updated_us)@ as updated_at
    from pk_virtual_key k;

-- Dollars per million tokens.
create view pk_prices as select
    p.provider, p.model, p.above_tokens,
    @usd_m(p.input)@ as input_usd, @usd_m(p.cache_read)@ as cache_read_usd,
    @usd_m(p.cache_write)@ as cache_write_usd, @usd_m(p.cache_write_1h)@ as cache_write_1h_usd,
    @usd_m(p.output)@ as output_usd, @usd_m(p.reasoning)@ as reasoning_usd,
    @time(p.from_us)@ as valid_from,
    case when p.to_us > 0 then @time(p.to_us)@ end as valid_to, p.origin
    from pk_price p;

create view pk_cache as select
    @hex(e.key)@ as key, e.provider, e.model, e.hits,
    e.input_tokens, e.output_tokens, e.cache_read_tokens,
    e.cache_write_tokens + e.cache_write_1h_tokens as cache_write_tokens, e.reasoning_tokens,
    @usd(e.cost_pusd)@ as cost_usd,
    @time(e.created_us)@ as created_at, @time(e.expires_us)@ as expires_at,
    @time(e.last_hit_us)@ as last_hit_at,
    @as_json(pk_payload_text(e.encoding, e.body))@ as response
    from pk_cache_entry e;

-- For the two views below: hours in the machine's units. A call that failed counts for the model that
-- was asked.
create view pk_usage as select
    l.started_us / 3600000000 * 3600000000 as at_us,
    l.provider, coalesce(l.model, l.request_model) as model, l.config, l.virtual_key, l.user_id,
    count(*) as requests,
    sum(case when l.status = 'success' then 0 else 1 end) as errors,
    sum(case when l.cache_status in ('HIT', 'SEMANTIC HIT') then 1 else 0 end) as cache_hits,
    cast(sum(l.input_tokens) as bigint) as input_tokens,
    cast(sum(l.output_tokens) as bigint) as output_tokens,
    cast(sum(l.cache_read_tokens) as bigint) as cache_read_tokens,
    cast(sum(l.cache_write_tokens + l.cache_write_1h_tokens) as bigint) as cache_write_tokens,
    cast(sum(l.reasoning_tokens) as bigint) as reasoning_tokens,
    sum(l.cost_pusd) as cost_pusd,
    sum(case when l.cost_reason is null then 0 else 1 end) as unpriced,
    sum(l.cost_saved_pusd) as cost_saved_pusd,
    sum(l.duration_us) as duration_us
    from pk_log l
    group by l.started_us / 3600000000 * 3600000000,
        l.provider, coalesce(l.model, l.request_model), l.config, l.virtual_key, l.user_id;

-- `unpriced` requests are those whose cost is not known; latency_ms is the mean.
create view pk_usage_hourly as select
    @time(u.at_us)@ as hour, u.provider, u.model, u.config, u.virtual_key, u.user_id,
    u.requests, u.errors, u.cache_hits, u.input_tokens, u.output_tokens, u.cache_read_tokens,
    u.cache_write_tokens, u.reasoning_tokens, @usd(u.cost_pusd)@ as cost_usd, u.unpriced,
    @usd(u.cost_saved_pusd)@ as cost_saved_usd, @ms((u.duration_us / u.requests))@ as latency_ms
    from pk_usage u;

create view pk_usage_daily as select
    @time((u.at_us / 86400000000 * 86400000000))@ as day,
    u.provider, u.model, u.config, u.virtual_key, u.user_id,
    cast(sum(u.requests) as bigint) as requests, cast(sum(u.errors) as bigint) as errors,
    cast(sum(u.cache_hits) as bigint) as cache_hits,
    cast(sum(u.input_tokens) as bigint) as input_tokens,
    cast(sum(u.output_tokens) as bigint) as output_tokens,
    cast(sum(u.cache_read_tokens) as bigint) as cache_read_tokens,
    cast(sum(u.cache_write_tokens) as bigint) as cache_write_tokens,
    cast(sum(u.reasoning_tokens) as bigint) as reasoning_tokens,
    @usd(sum(u.cost_pusd))@ as cost_usd, cast(sum(u.unpriced) as bigint) as unpriced,
    @usd(sum(u.cost_saved_pusd))@ as cost_saved_usd,
    @ms((sum(u.duration_us) / sum(u.requests)))@ as latency_ms
    from pk_usage u
    group by u.at_us / 86400000000 * 86400000000,
        u.provider, u.model, u.config, u.virtual_key, u.user_id;
