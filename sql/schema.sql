-- schema.sql - the only schema, for SQLite and Postgres. sql/build.awk replaces the words in @...@.
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
    ('schema_version', 16),   -- of the tables: the last file in migrate/
    ('epoch', 1),            -- grows when configs, keys or prices change
    ('prices_as_of', 0);     -- the price list that was loaded last, as the number YYYYMMDD

-- What an operator has set for everybody who opens this store (shared/setting.h).
create table pk_setting (
    name       text primary key,
    value      text not null,
    updated_us bigint not null
);

-- What was sent and answered. Small ones are plain text (encoding 0), others zstd (1), and those that were
-- written together are in packs (2): of these a log row has the place, -(id * 1024 + which one), and the hash is
-- a random number. The others are there once however often they are used; created_us is when that was last,
-- give or take a day. A log row may outlive its payloads, so that a number must not be given to another.
create table pk_payload (
    id         @sequence@,
    hash       @blob@ not null unique,   -- BLAKE2b-256 of the text
    created_us bigint not null,
    encoding   smallint not null,
    bytes      @blob@ not null
);
create index pk_payload_created on pk_payload (created_us);

-- One row a call. Token counts are disjoint: adding them up counts each token once; those that are @spare(x)@ are read as
-- @spared(x)@. Not @by_key@: SQLite appends to a table that has row numbers at less cost. In stores made before 0.1 it is,
-- which makes no other difference. Wide columns of one size come first: Postgres leaves gaps before others.
create table pk_log (
    id                   @uuid@ not null primary key,
    started_us           bigint not null,
    duration_us          bigint not null,
    ttft_us              bigint,            -- from the start to the first token of a stream
    upstream_us          bigint not null,   -- spent waiting for providers
    input_tokens         bigint,
    output_tokens        bigint,
    cache_read_tokens    bigint,            -- @spare(x)@,
    cache_write_tokens   bigint,            -- as is this,
    cache_write_1h_tokens bigint,           -- this
    reasoning_tokens     bigint,            -- and this
    cost_pusd            bigint,
    cost_saved_pusd      bigint,
    request_id           bigint,            -- in pk_payload; negative: a place in a pack
    response_id          bigint,
    span_us              bigint,            -- the only step was an attempt that the row says all else of,
    span_duration_us     bigint,            -- so long after started_us; otherwise null, and pk_span has the steps
    span_ttfb_us         bigint,
    cache_similarity     double precision,
    attempts             @small@ not null,
    retries              @small@ not null,
    fallback_index       @small@ not null,
    http_status          @small@,
    stream               boolean not null,
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
    status               text not null,
    error_type           text,
    error_message        text,
    finish_reason        text,
    usage_source         text not null,
    cost_reason          text,              -- why cost_pusd is not known
    cache_status         text not null,
    virtual_key          text,
    api_key              text,
    user_id              text,
    prompt               text,
    guardrail_verdict    text,
    dropped              text,              -- request fields that the target could not take
    metadata             @json@,
    source               text not null,
    query_id             text
);
@postgres create index pk_log_started on pk_log ((@time(started_us)@)); -- elsewhere times are asked for by id
create index pk_log_trace on pk_log (trace_id);

-- The steps of a call, in order, unless pk_log says it all. Readers join the two: @step(x)@ is where x is.
create table pk_span (
    log_id        @uuid@ not null,
    ord           smallint not null,
    kind          text not null,
    started_us    bigint not null,
    duration_us   bigint not null,
    ttfb_us       bigint,                   -- from its start to the first byte of the answer
    name          text,                     -- of a guardrail
    target_path   text,
    provider      text,
    model         text,
    http_status   integer,
    error_type    text,
    error_message text,
    wait_ms       bigint not null,          -- slept after it, before the next
    input_tokens  bigint,                   -- all that the provider counted, cached ones too
    output_tokens bigint,                   -- hidden ones too
    cost_pusd     bigint,
    primary key (log_id, ord)
)@by_key@;

-- What adding up needs of the calls of an hour that is over, as columns: filled when the hour is first read, and of
-- no worth once pk_log has other calls of that hour (sidecar/hours.h). The hour is that of the calls' ids.
create table pk_log_hour (
    hour_us  bigint not null primary key,   -- when it begins
    from_id  @uuid@ not null,               -- the ids of its calls are from this
    upto_id  @uuid@ not null,               -- up to, but not, this
    first_id @uuid@ not null,               -- the least of them
    calls    bigint not null                -- how many
);

-- A column of some of these calls, in the order of their ids.
create table pk_log_column (
    hour_us  bigint not null,
    part     integer not null,              -- from 0
    what     integer not null,              -- which column: sidecar/columns.def
    encoding smallint not null,             -- as in pk_payload
    bytes    @blob@ not null,
    primary key (hour_us, part, what)
);

create table pk_cache_entry (
    key           @blob@ primary key,
    namespace     text,
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
    bytes         bigint not null,          -- what it counts in pk_cache_size, without its vectors
    encoding      smallint not null,
    body          @blob@ not null
);
create index pk_cache_entry_expires on pk_cache_entry (expires_us);
create index pk_cache_entry_created on pk_cache_entry (created_us);
create index pk_cache_entry_used on pk_cache_entry ((coalesce(last_hit_us, created_us)));

-- The question that an entry answers, for finding others like it.
create table pk_cache_vector (
    id     @sequence@,
    gate   @blob@ not null,                 -- hash of all that must be equal, see cachekey.h
    key    @blob@ not null,                 -- of the entry
    traits @blob@ not null,                 -- traits.h
    vector @blob@ not null,                 -- float32, of length 1
    unique (key, gate)
);
create index pk_cache_vector_gate on pk_cache_vector (gate, id);

-- How large the cache is: the sum of these. Whoever adds or deletes entries appends a row, so that nobody waits
-- for another's; the writer adds them up.
create table pk_cache_size (
    id      @serial@,
    entries bigint not null,
    bytes   bigint not null
);

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

-- Stored guardrails, in versions like configs. A predicate of SQL has its owner's rights.
create table pk_guardrail (
    slug       text not null,
    version    integer not null,
    created_us bigint not null,
    in_force   boolean not null,
    body       text not null,
    owner      text,                        -- a role; null where the engine has none
    primary key (slug, version)
);

-- What came of the attempts at targets with a circuit breaker, in the window that is counted now. The
-- circuit is open while until_us is not over.
create table pk_circuit (
    config      text not null,              -- a slug, or # and a hash of the config itself
    version     bigint not null,            -- of the stored config; 0 = not stored
    target_path text not null,
    window_us   bigint not null,            -- when the window began
    attempts    bigint not null,
    failures    bigint not null,
    opened_us   bigint,                     -- the last time it opened
    until_us    bigint not null,            -- 0 = closed
    primary key (config, version, target_path)
);

-- Every version of a prompt that ever was; "partial/NAME" is a partial. Deleted ones stay, out of use.
create table pk_prompt (
    slug        text not null,
    version     integer not null,
    created_us  bigint not null,
    archived_us bigint,                     -- null: in use
    hash        @blob@ not null,            -- BLAKE2b-256 of the canonical document
    template    text not null,              -- JSON: messages, or a string
    model       text,
    parameters  text,                       -- JSON: all else of the request, tools too
    config      text,                       -- slug or JSON
    virtual_key text,
    name        text,
    description text,
    details     text,                       -- JSON: kept, of no effect
    primary key (slug, version)
);

-- The versions behind slug@label, by weight; "default" is what a bare slug means.
create table pk_prompt_label (
    slug       text not null,
    label      text not null,
    version    integer not null,
    weight     integer not null,
    updated_us bigint not null,
    primary key (slug, label, version)
);

-- Providers that an administrator added to those that pk comes with.
create table pk_provider (
    name       text primary key,
    body       text not null,               -- JSON, as pk_provider_put() takes it, with every member
    created_us bigint not null,
    updated_us bigint not null
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
    revoked_us  bigint,
    allowed_models text,                    -- JSON arrays of patterns; null: all
    denied_models  text,
    fields         text                     -- JSON object of the provider's own fields; no secret is among them
);

-- Keys for the gateway itself, over HTTP: only their hashes.
create table pk_api_key (
    name         text primary key,
    description  text,
    hash         @blob@ not null,           -- BLAKE2b-256 of the key
    hint         text not null,             -- its last letters
    old_hash     @blob@,                    -- of the one before, which holds until:
    old_until_us bigint,
    scopes       text not null,             -- call admin logs, blank separated
    config       text,                      -- of calls that name none
    config_fixed boolean not null,          -- they may not name any
    metadata     @json@,                    -- stamped on every call, over its own
    created_us   bigint not null,
    updated_us   bigint not null,
    expires_us   bigint,
    revoked_us   bigint
);

-- Budgets and rate limits. Those that belong to a key have its slug in theirs, and go with it.
create table pk_limit (
    slug       text primary key,
    scope      text not null,               -- all api_key config metadata role user virtual_key
    key        text,                        -- metadata: the member's name
    value      text,                        -- of whom; null: of each on its own, or of all
    owned      boolean not null,            -- by the key that is its value
    counts     text not null,               -- requests tokens cost
    per        text not null,               -- second minute hour day week month total
    rolling    boolean not null,
    budget     boolean not null,            -- else a rate
    amount     bigint not null,             -- cost: pico-dollars
    alert      bigint,
    created_us bigint not null,
    updated_us bigint not null
);

-- What was used of a limit, by whose count and by slot of time (shared/limit.h).
create table pk_limit_use (
    limit_slug text not null,
    subject    text not null,               -- whose count; '' when there is one for all
    slot_us    bigint not null,             -- when the slot begins
    until_us   bigint not null,             -- it counts until then
    keep_us    bigint not null,             -- the row is of interest until then
    used       bigint not null,
    reserved   bigint not null,             -- set aside by calls that run
    refused    bigint not null,             -- calls
    warned_us  bigint,                      -- when use reached the alert
    refused_us bigint,                      -- when it first was in the way
    primary key (limit_slug, subject, slot_us)
)@by_key@;
create index pk_limit_use_keep on pk_limit_use (keep_us);

-- What calls that run have set aside; one that is not settled in time was cut short, and is given back.
create table pk_reservation (
    id         @uuid@ not null,             -- of the call
    limit_slug text not null,
    subject    text not null,
    slot_us    bigint not null,
    amount     bigint not null,
    expires_us bigint not null,
    primary key (id, limit_slug, subject)
)@by_key@;
create index pk_reservation_expires on pk_reservation (expires_us);

-- What people call a thing that is stored under a slug, and what they note about it. Nothing goes by it.
create table pk_title (
    kind       text not null,               -- config guardrail virtual_key api_key label collection
    slug       text not null,
    name       text,
    note       text,
    details    text,                        -- JSON object: what else they said
    created_us bigint not null,
    updated_us bigint not null,
    primary key (kind, slug)
);

-- One row an administrative change.
create table pk_audit_item (
    id     @serial@,
    at_us  bigint not null,
    actor  text not null,                   -- role:, key: or os: and a name
    verb   text not null,                   -- the SQL function, without "pk_"
    object text not null,                   -- the slug that it was about
    detail @json@                           -- what changed; never a secret
);

-- An export of the log over HTTP: what it is to have, not the rows themselves.
create table pk_log_export (
    id          @uuid@ primary key,
    created_us  bigint not null,
    updated_us  bigint not null,
    status      text not null,              -- draft success stopped
    actor       text not null,
    description text,
    filters     text not null,              -- JSON, in the words of the API
    fields      text not null,              -- names, separated by commas
    total       bigint not null,            -- calls that it had when it was made
    token       @blob@,                     -- BLAKE2b-256 of what the link has to have
    token_us    bigint                      -- until when it holds
);

-- The queue (docs/queue.md). A job is what one statement enqueued; it is open until finished_us.
create table pk_job (
    id           @uuid@ not null primary key,
    created_us   bigint not null,
    finished_us  bigint,                    -- nothing of it waits or runs
    cancelled_us bigint,
    actor        text not null,             -- role: or os: and a name, who enqueued it
    config       text not null,             -- slug, or JSON without a key
    params       text not null,             -- JSON: of every call
    prompt       text not null,             -- whose variables its items have, or ''
    max_attempts integer not null,
    total        bigint not null,
    executor     text not null default 'call' -- batch: through the provider's batch API
);
create index pk_job_turn on pk_job (actor, id) where finished_us is null;
create index pk_job_finished on pk_job (finished_us) where finished_us is not null;

-- due_us: from when a worker may take it; null when it neither waits nor runs. Of one that runs, the end of its
-- worker's lease; never, of one that waits for another's answer. The columns from `content` on are those of pk_map().
create table pk_job_item (
    job_id        @uuid@ not null,
    ord           bigint not null,
    key           text,
    key_is_int    integer not null,         -- it was a number, and is to be one again
    kind          text not null,            -- prompt messages vars
    input         text,
    state         text not null,            -- queued running done failed cancelled
    due_us        bigint,
    worker        @blob@,                   -- who has it: random
    tries         integer not null default 0, -- that ended badly
    losses        integer not null default 0, -- that did not end: the worker was gone
    same_as       bigint,                   -- the item that asks the same, whose answer it gets
    twins         integer not null default 0, -- 1: others are to get its answer, 2: they have it
    content       text,
    response      text,
    error_code    text,
    error_message text,
    retryable     integer,
    http_status   integer,
    provider      text,
    model         text,
    input_tokens  bigint,
    output_tokens bigint,
    cost_pusd     bigint,
    latency_us    bigint,
    attempts      integer,
    cache_status  text,
    trace_id      text,
    batched       integer not null default 0, -- its job's executor is batch
    primary key (job_id, ord)
);
create index pk_job_item_ready on pk_job_item (batched, due_us) where due_us is not null;
create index pk_job_item_turn on pk_job_item (job_id, due_us) where due_us is not null;
create index pk_job_item_same on pk_job_item (job_id, same_as) where same_as is not null and due_us is not null;
create index pk_job_item_shares on pk_job_item (job_id, ord) where twins = 1 and due_us is null;

-- What a batch in flight tells others about once a second, as long as it lasts (shared/progress.h); one whose process
-- was killed stays until it is swept, and is not seen any more.
create table pk_progress (
    id         @uuid@ not null primary key,
    started_us bigint not null,
    updated_us bigint not null,
    kind       text not null,               -- pk_map pk_batch pk_prefetch pk_reduce pk_run PkBatch, pkd map
    source     text not null,               -- as in pk_log
    query_id   text not null,               -- likewise
    actor      text not null,               -- role: or os: and a name, who began it
    host       text not null,
    pid        bigint not null,
    config     text,                        -- slug; null: none is stored, or there are several
    total      bigint,                      -- rows; null while not known
    done       bigint not null,             -- with an answer
    failed     bigint not null,
    in_flight  bigint not null,             -- calls
    cost_pusd  bigint not null
);

-- What was sent to a provider's batch API, from before it is sent (shared/store_job_batch.h). Its items have its id
-- as their worker, and are due when it is over, whenever that is.
create table pk_job_batch (
    id           @uuid@ not null primary key,
    job_id       @uuid@ not null,
    created_us   bigint not null,           -- when the calls of its items began
    provider     text not null,
    target_path  text not null,
    model        text not null,
    items        bigint not null,
    state        text not null,             -- new sent over
    asks         integer not null,          -- how often the provider was asked to make it
    looks        integer not null,          -- and how it is
    due_us       bigint,                    -- when it is looked at next; null when it is over
    worker       @blob@,                    -- who does; then due_us is the end of its lease
    file_id      text,                      -- the provider's
    remote_id    text,
    cancelled    integer not null,          -- the provider was told to stop it
    updated_us   bigint not null
);
create index pk_job_batch_due on pk_job_batch (due_us) where due_us is not null;
create index pk_job_batch_job on pk_job_batch (job_id);

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
    input_batch      bigint,                -- through the provider's batch API
    cache_read_batch bigint,
    output_batch     bigint,
    units          text,                    -- JSON: dollars for one of anything else
    source         text not null default 'list', -- the format that it was imported from
    primary key (provider, model, above_tokens, from_us)
);

-- What a model is and can do; null where not known.
create table pk_model (
    provider          text not null,
    model             text not null,        -- exact
    mode              text,                 -- chat embedding image_generation ...
    context_window    bigint,               -- tokens
    max_output_tokens bigint,
    deprecation_date  text,                 -- YYYY-MM-DD
    capabilities      text,                 -- JSON object
    origin            text not null,        -- as in pk_price
    source            text not null,
    updated_us        bigint not null,
    primary key (provider, model)
);

-- pk_logs and pk_spans end in their joins: a reader may append a `where` over l, s and their indexes.
create view pk_logs as select
    @uuid(l.id)@ as id, l.trace_id, l.span_id, l.parent_span_id, l.span_name,
    @time(l.started_us)@ as started_at,
    l.operation, l.provider, l.request_model, l.model, l.config, l.target_path,
    l.attempts, l.retries, l.fallback_index, l.stream, l.status, l.http_status,
    l.error_type, l.error_message, l.finish_reason,
    l.input_tokens, l.output_tokens, @spared(cache_read_tokens)@ as cache_read_tokens,
    @spared(cache_write_tokens)@ + coalesce(l.cache_write_1h_tokens, 0) as cache_write_tokens,
    @spared(reasoning_tokens)@ as reasoning_tokens, l.usage_source,
    @usd(l.cost_pusd)@ as cost_usd, @usd(coalesce(l.cost_saved_pusd, 0))@ as cost_saved_usd,
    l.cache_status, l.cache_similarity,
    l.virtual_key, l.api_key, l.user_id, l.prompt, l.guardrail_verdict,
    @ms(l.duration_us)@ as latency_ms, @ms(l.ttft_us)@ as ttft_ms,
    @ms((l.duration_us - l.upstream_us))@ as overhead_ms,
    l.metadata,
    @as_json(pk_payload_text(q.encoding, q.bytes, l.request_id))@ as request,
    @as_json(pk_payload_text(a.encoding, a.bytes, l.response_id))@ as response,
    l.source, l.query_id, l.cost_reason, l.dropped as dropped_params
    from pk_log l
    left join pk_payload q on q.id = @payload(l.request_id)@
    left join pk_payload a on a.id = @payload(l.response_id)@;

create view pk_spans as select
    @uuid(l.id)@ as log_id, l.trace_id, coalesce(s.ord, 0) as ord, coalesce(s.kind, 'attempt') as kind,
    @time(coalesce(s.started_us, l.started_us + l.span_us))@ as started_at,
    @ms(coalesce(s.duration_us, l.span_duration_us))@ as latency_ms,
    @ms(coalesce(s.ttfb_us, l.span_ttfb_us))@ as ttfb_ms, s.name,
    @step(target_path)@ as target_path, @step(provider)@ as provider,
    case when l.span_us is null then s.model else l.request_model end as model,
    @step(http_status)@ as http_status, s.error_type, s.error_message, coalesce(s.wait_ms, 0) as wait_ms,
    case when l.span_us is null then s.input_tokens
        else l.input_tokens + coalesce(l.cache_read_tokens, 0) + coalesce(l.cache_write_tokens, 0)
            + coalesce(l.cache_write_1h_tokens, 0) end as input_tokens,
    case when l.span_us is null then s.output_tokens
        else l.output_tokens + coalesce(l.reasoning_tokens, 0) end as output_tokens,
    @usd((case when l.span_us is null then s.cost_pusd else l.cost_pusd end))@ as cost_usd
    from pk_log l left join pk_span s on s.log_id = l.id
    join (select 1) o on s.log_id is not null or l.span_us is not null;

create view pk_feedback as select
    @uuid(f.id)@ as id, f.trace_id, f.value, f.weight, f.metadata, @time(f.created_us)@ as created_at
    from pk_feedback_item f;

create view pk_configs as select
    c.slug, c.version, @as_json(c.body)@ as config, @time(c.created_us)@ as created_at
    from pk_config c where c.in_force;

create view pk_guardrails as select
    g.slug, g.version, @as_json(g.body)@ as guardrail, g.owner, @time(g.created_us)@ as created_at
    from pk_guardrail g where g.in_force;

create view pk_circuits as select
    c.config, c.version, c.target_path,
    case when c.until_us > @now_us@ then 'open' else 'closed' end as state,
    c.attempts as requests, c.failures, @time(c.window_us)@ as counted_since,
    @time(c.opened_us)@ as opened_at,
    case when c.until_us > 0 then @time(c.until_us)@ end as until
    from pk_circuit c;

-- `labels` are those of the version, with its weight among the versions that share one.
create view pk_prompts as select
    p.slug, p.version, p.name, p.description, @as_json(p.template)@ as template, p.model,
    @as_json(p.parameters)@ as parameters, @as_json(p.parameters)@ -> 'tools' as tools,
    p.config, p.virtual_key,
    (select @object(l.label, l.weight)@ from pk_prompt_label l
        where l.slug = p.slug and l.version = p.version) as labels,
    @time(p.created_us)@ as created_at, @hex(p.hash)@ as hash
    from pk_prompt p where p.archived_us is null;

-- Those that pk comes with are what pk_provider_table() says.
create view pk_providers as select
    p.name, p.body ->> 'dialect' as dialect, p.body ->> 'base_url' as base_url,
    p.body ->> 'key_header' as key_header, p.body ->> 'key_env' as key_env,
    p.body -> 'rejects' as rejects, p.body -> 'renames' as renames, p.body -> 'headers' as headers,
    @flag(p.body ->> 'stream_usage')@ as stream_usage,
    @flag(p.body ->> 'developer_role')@ as developer_role, p.body -> 'operations' as operations, p.builtin,
    @time(p.created_us)@ as created_at, @time(p.updated_us)@ as updated_at
    from (select o.name, @as_json(o.body)@ as body, false as builtin, o.created_us, o.updated_us
          from pk_provider o
          union all
          select t.key, t.value, true, null, null from json_each(pk_provider_table()) t) p;

create view pk_virtual_keys as select
    k.slug, k.name, k.provider, k.custom_host, k.kind,
    case when k.revoked_us is not null then 'revoked'
         when k.expires_us <= @now_us@ then 'expired' else 'active' end as status,
    @time(k.expires_us)@ as expires_at, @time(k.created_us)@ as created_at,
    @time(k.updated_us)@ as updated_at,
    @as_json(k.allowed_models)@ as allowed_models, @as_json(k.denied_models)@ as denied_models,
    @as_json(k.fields)@ as fields
    from pk_virtual_key k;

create view pk_api_keys as select
    k.name, k.description,
    case when k.revoked_us is not null then 'revoked'
         when k.expires_us <= @now_us@ then 'expired' else 'active' end as status,
    k.scopes, k.config, not k.config_fixed as allow_config_override, k.metadata, k.hint,
    @time(k.created_us)@ as created_at, @time(k.updated_us)@ as updated_at,
    @time(k.expires_us)@ as expires_at, @time(k.old_until_us)@ as old_key_until
    from pk_api_key k;

-- One row a limit and count; cost is in dollars.
create view pk_limits as select
    l.slug, l.scope as applies_to, l.key as metadata_key, l.value, u.subject, l.counts,
    @units(l.amount)@ as amount, l.per, l.rolling,
    @units(coalesce(u.used, 0))@ as used, @units(coalesce(r.amount, 0))@ as reserved,
    @units(l.amount - coalesce(u.used, 0) - coalesce(r.amount, 0))@ as remaining,
    coalesce(u.refused, 0) as refused, @units(l.alert)@ as alert_threshold,
    case when coalesce(u.until_us, l.ends_us) < 9000000000000000000
        then @time(coalesce(u.until_us, l.ends_us))@ end as resets_at,
    @time(l.created_us)@ as created_at, @time(l.updated_us)@ as updated_at
    from (select m.*, case when m.rolling then null else case m.per -- before the first use: when the calendar says
            when 'second' then (@now_us@ / 1000000 + 1) * 1000000
            when 'minute' then (@now_us@ / 60000000 + 1) * 60000000
            when 'hour' then (@now_us@ / 3600000000 + 1) * 3600000000
            when 'day' then (@now_us@ / 86400000000 + 1) * 86400000000
            when 'week' then ((@now_us@ / 86400000000 + 3) / 7 * 7 + 4) * 86400000000 -- 1970 began on a Thursday
            when 'month' then @next_month_us@ end end as ends_us
          from pk_limit m) l
    left join (select x.limit_slug, x.subject, cast(sum(x.used) as bigint) as used,
                   cast(sum(x.refused) as bigint) as refused, min(x.until_us) as until_us
               from pk_limit_use x where x.until_us > @now_us@
               group by x.limit_slug, x.subject) u on u.limit_slug = l.slug
    left join (select x.limit_slug, x.subject, cast(sum(y.amount) as bigint) as amount
               from pk_reservation y join pk_limit_use x on x.limit_slug = y.limit_slug
                   and x.subject = y.subject and x.slot_us = y.slot_us and x.until_us > @now_us@
               where y.expires_us > @now_us@
               group by x.limit_slug, x.subject) r
        on r.limit_slug = u.limit_slug and r.subject = u.subject;

-- When use reached the threshold of a limit, and when a budget was first in the way of a call.
create view pk_alerts as
    select @time(x.warned_us)@ as at, 'threshold' as kind, l.slug, l.scope as applies_to, x.subject,
        l.counts, @units(l.amount)@ as amount, @units(l.alert)@ as alert_threshold, l.per
    from pk_limit_use x join pk_limit l on l.slug = x.limit_slug where x.warned_us is not null
    union all
    select @time(x.refused_us)@ as at, 'exhausted' as kind, l.slug, l.scope as applies_to, x.subject,
        l.counts, @units(l.amount)@ as amount, @units(l.alert)@ as alert_threshold, l.per
    from pk_limit_use x join pk_limit l on l.slug = x.limit_slug
    where x.refused_us is not null and l.budget;

create view pk_audit as select
    a.id, @time(a.at_us)@ as at, a.actor, a.verb, a.object, a.detail
    from pk_audit_item a;

-- Of a database those of the role that looks, and all for pk_admin.
create view pk_jobs as select
    @uuid(j.id)@ as id,
    case when j.cancelled_us is not null then 'cancelled'
         when j.finished_us is null and coalesce(n.begun, 0) = 0 then 'queued'
         when j.finished_us is null then 'running'
         when n.failed > 0 and n.done = 0 then 'failed' else 'done' end as state,
    j.actor, @as_json(j.params)@ as params, j.config, j.max_attempts, j.total,
    coalesce(n.queued, 0) as queued, coalesce(n.running, 0) as running, coalesce(n.done, 0) as done,
    coalesce(n.failed, 0) as failed, coalesce(n.cancelled, 0) as cancelled,
    @usd(n.cost_pusd)@ as cost_usd,
    @time(j.created_us)@ as created_at, @time(j.finished_us)@ as finished_at
    from pk_job j
    left join (select i.job_id, count(*) filter (where i.state = 'queued') as queued,
                   count(*) filter (where i.state = 'running') as running,
                   count(*) filter (where i.state = 'done') as done,
                   count(*) filter (where i.state = 'failed') as failed,
                   count(*) filter (where i.state = 'cancelled') as cancelled,
                   count(*) filter (where i.state <> 'queued' or i.tries + i.losses > 0) as begun,
                   cast(sum(i.cost_pusd) as bigint) as cost_pusd
               from pk_job_item i group by i.job_id) n on n.job_id = j.id
    where @mine(j.actor)@;

-- Likewise. What was not told of for ten seconds has ended, with its process. A job is under way while a worker has
-- items of it.
create view pk_running as select
    @uuid(r.id)@ as id, r.kind, r.source, r.query_id, r.actor, r.host, r.pid, r.config,
    @time(r.started_us)@ as started_at, @time(r.updated_us)@ as updated_at,
    r.total, r.done, r.failed, r.in_flight, @usd(r.cost_pusd)@ as cost_usd,
    cast(r.done + r.failed as double precision) * 1000000 / nullif(r.updated_us - r.started_us, 0) as rate,
    cast(r.total - r.done - r.failed as double precision) * (r.updated_us - r.started_us) / 1000000
        / nullif(r.done + r.failed, 0) as eta_s
    from (select p.id, p.kind, p.source, p.query_id, p.actor, p.host, p.pid, p.config, p.started_us, p.updated_us,
              p.total, p.done, p.failed, p.in_flight, p.cost_pusd
          from pk_progress p where p.updated_us > @now_us@ - 10000000
          union all
          select j.id, 'job', @engine@, cast(@uuid(j.id)@ as text), j.actor, null, null,
              case when substr(j.config, 1, 1) = '{' then null else j.config end, j.created_us, @now_us@,
              j.total, n.done, n.failed, n.in_flight, coalesce(n.cost_pusd, 0)
          from pk_job j
          join (select i.job_id, count(*) filter (where i.state = 'done') as done,
                    count(*) filter (where i.state = 'failed') as failed,
                    count(*) filter (where i.state = 'running' and i.due_us > @now_us@) as in_flight,
                    cast(sum(i.cost_pusd) as bigint) as cost_pusd
                from pk_job_item i where i.job_id in (
                    select o.job_id from pk_job_item o
                    where o.batched in (0, 1) and o.due_us > @now_us@ and o.state = 'running')
                group by i.job_id) n on n.job_id = j.id and n.in_flight > 0
          where j.finished_us is null) r
    where @mine(r.actor)@;

create view pk_settings as select s.name, s.value, @time(s.updated_us)@ as updated_at from pk_setting s;

-- Dollars per million tokens.
create view pk_prices as select
    p.provider, p.model, p.above_tokens,
    @usd_m(p.input)@ as input_usd, @usd_m(p.cache_read)@ as cache_read_usd,
    @usd_m(p.cache_write)@ as cache_write_usd, @usd_m(p.cache_write_1h)@ as cache_write_1h_usd,
    @usd_m(p.output)@ as output_usd, @usd_m(p.reasoning)@ as reasoning_usd,
    @time(p.from_us)@ as valid_from,
    case when p.to_us > 0 then @time(p.to_us)@ end as valid_to, p.origin,
    @usd_m(p.input_batch)@ as input_batch_usd, @usd_m(p.cache_read_batch)@ as cache_read_batch_usd,
    @usd_m(p.output_batch)@ as output_batch_usd, @as_json(p.units)@ as units, p.source
    from pk_price p;

-- One row a model that is known by name, with its price of this moment for short requests, in dollars per
-- million tokens.
create view pk_models as select
    n.provider, n.model, m.mode, m.context_window, m.max_output_tokens,
    @usd_m(p.input)@ as input_usd, @usd_m(p.output)@ as output_usd,
    @usd_m(p.cache_read)@ as cache_read_usd, @usd_m(p.cache_write)@ as cache_write_usd,
    @usd_m(p.cache_write_1h)@ as cache_write_1h_usd,
    m.deprecation_date, @as_json(m.capabilities)@ as capabilities,
    coalesce(p.source, m.source) as source, @time(p.from_us)@ as effective_from
    from (select x.provider, x.model from pk_model x
          union select y.provider, y.model from pk_price y where y.model not like '%*') n
    left join pk_model m on m.provider = n.provider and m.model = n.model
    left join (select q.provider, q.model, max(q.from_us) as from_us from pk_price q
               where q.above_tokens = 0 and q.from_us <= @now_us@
                   and (q.to_us = 0 or q.to_us > @now_us@)
               group by q.provider, q.model) c on c.provider = n.provider and c.model = n.model
    left join pk_price p on p.provider = c.provider and p.model = c.model and p.above_tokens = 0
        and p.from_us = c.from_us;

create view pk_cache as select
    @hex(e.key)@ as key, e.namespace, e.provider, e.model, e.hits,
    e.input_tokens, e.output_tokens, e.cache_read_tokens,
    e.cache_write_tokens + e.cache_write_1h_tokens as cache_write_tokens, e.reasoning_tokens,
    @usd(e.cost_pusd)@ as cost_usd,
    @time(e.created_us)@ as created_at, @time(e.expires_us)@ as expires_at,
    @time(e.last_hit_us)@ as last_hit_at, e.bytes,
    exists (select 1 from pk_cache_vector v where v.key = e.key) as semantic,
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
    cast(sum(@spared(cache_read_tokens)@) as bigint) as cache_read_tokens,
    cast(sum(@spared(cache_write_tokens)@ + coalesce(l.cache_write_1h_tokens, 0)) as bigint) as cache_write_tokens,
    cast(sum(@spared(reasoning_tokens)@) as bigint) as reasoning_tokens,
    sum(l.cost_pusd) as cost_pusd,
    sum(case when l.cost_reason is null then 0 else 1 end) as unpriced,
    sum(coalesce(l.cost_saved_pusd, 0)) as cost_saved_pusd,
    cast(sum(l.duration_us) as bigint) as duration_us
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
    @ms((cast(sum(u.duration_us) as bigint) / cast(sum(u.requests) as bigint)))@ as latency_ms
    from pk_usage u
    group by u.at_us / 86400000000 * 86400000000,
        u.provider, u.model, u.config, u.virtual_key, u.user_id;

-- How long calls took that a provider answered, in milliseconds: a percentile is the least latency that so many
-- of them do not exceed.
create view pk_latency as select
    x.provider, x.model, count(*) as requests,
    @ms(min(case when x.place * 100 >= x.calls * 50 then x.us end))@ as p50,
    @ms(min(case when x.place * 100 >= x.calls * 90 then x.us end))@ as p90,
    @ms(min(case when x.place * 100 >= x.calls * 95 then x.us end))@ as p95,
    @ms(min(case when x.place * 100 >= x.calls * 99 then x.us end))@ as p99,
    @ms((cast(sum(x.us) as bigint) / count(*)))@ as latency_ms
    from (select l.provider, coalesce(l.model, l.request_model) as model, l.duration_us as us,
              row_number() over (partition by l.provider, coalesce(l.model, l.request_model)
                                 order by l.duration_us) as place,
              count(*) over (partition by l.provider, coalesce(l.model, l.request_model)) as calls
          from pk_log l
          where l.status = 'success' and l.cache_status not in ('HIT', 'SEMANTIC HIT')) x
    group by x.provider, x.model;

-- One row a trace. It is an error when one of its calls was none of success; it lasts from the start of its first
-- call to the end of the last. `unpriced` calls are those whose cost is not known.
create view pk_traces as select
    l.trace_id, @time(min(l.started_us))@ as started_at, @time(max(l.started_us + l.duration_us))@ as ended_at,
    @ms((max(l.started_us + l.duration_us) - min(l.started_us)))@ as duration_ms,
    count(*) as calls, count(case when l.status <> 'success' then 1 end) as errors,
    case when count(case when l.status <> 'success' then 1 end) = 0 then 'success' else 'error' end as status,
    count(case when l.cache_status in ('HIT', 'SEMANTIC HIT') then 1 end) as cache_hits,
    cast(coalesce(sum(l.input_tokens + coalesce(l.cache_read_tokens, 0) + coalesce(l.cache_write_tokens, 0)
        + coalesce(l.cache_write_1h_tokens, 0)), 0) as bigint) as input_tokens,
    cast(coalesce(sum(l.output_tokens + coalesce(l.reasoning_tokens, 0)), 0) as bigint) as output_tokens,
    @usd(sum(l.cost_pusd))@ as cost_usd, count(l.cost_reason) as unpriced,
    max(l.user_id) as user_id,
    (select count(*) from pk_feedback_item f where f.trace_id = l.trace_id) as feedbacks,
    (select avg(f.value * f.weight) from pk_feedback_item f where f.trace_id = l.trace_id) as feedback_avg
    from pk_log l group by l.trace_id;

-- For the view below: calls and their steps in the machine's units. Ids that OpenTelemetry would not take, which are
-- not made of hex digits, become the hex digits of their last letters.
create view pk_otel_span as select
    l.id as log_id, -1 as ord, l.trace_id as trace, 'call' as step, l.operation, l.provider, l.request_model,
    l.model, l.started_us, l.duration_us, l.span_id as own_id, l.parent_span_id as parent_id, l.status,
    l.http_status, l.error_type, l.error_message, l.finish_reason,
    l.input_tokens + coalesce(l.cache_read_tokens, 0) + coalesce(l.cache_write_tokens, 0)
        + coalesce(l.cache_write_1h_tokens, 0) as input_tokens,
    l.output_tokens + coalesce(l.reasoning_tokens, 0) as output_tokens,
    @spared(cache_read_tokens)@ as cache_read_tokens,
    @spared(cache_write_tokens)@ + coalesce(l.cache_write_1h_tokens, 0) as cache_write_tokens,
    @spared(reasoning_tokens)@ as reasoning_tokens, l.ttft_us, l.cost_pusd,
    l.cache_status, l.config, l.virtual_key, l.api_key, l.user_id, l.prompt, l.target_path, l.span_name as name
    from pk_log l
    union all
    select
    l.id, coalesce(s.ord, 0), l.trace_id, coalesce(s.kind, 'attempt'), l.operation,
    coalesce(s.provider, l.provider), l.request_model,
    case when l.span_us is null then s.model else l.request_model end,
    coalesce(s.started_us, l.started_us + l.span_us), coalesce(s.duration_us, l.span_duration_us), null, l.span_id,
    case when s.error_type is null then 'success' else 'error' end,
    @step(http_status)@, s.error_type, s.error_message, null, null, null, null, null, null,
    coalesce(s.ttfb_us, l.span_ttfb_us),
    null, null, null, null, null, null, null, @step(target_path)@, s.name
    from pk_log l left join pk_span s on s.log_id = l.id where s.log_id is not null or l.span_us is not null;

-- One row a span, in the words of OpenTelemetry's conventions for generative AI. Tokens and cost are the call's
-- alone, so that they add up.
create view pk_logs_otel as select
    @uuid(x.log_id)@ as log_id,
    case when length(x.trace_hex) = 32 and ltrim(x.trace_hex, '0123456789abcdef') = '' then x.trace_hex
         else substr(@hex_text(x.trace)@ || '00000000000000000000000000000000',
                     case when length(@hex_text(x.trace)@) > 32 then length(@hex_text(x.trace)@) - 31 else 1 end, 32)
         end as trace_id,
    case when x.ord >= 0 then x.child_id when x.own_id is null then substr(x.child_id, 1, 14) || 'ff'
         when length(x.own_id) = 16 and ltrim(lower(x.own_id), '0123456789abcdef') = '' then lower(x.own_id)
         else substr(@hex_text(x.own_id)@ || '0000000000000000',
                     case when length(@hex_text(x.own_id)@) > 16 then length(@hex_text(x.own_id)@) - 15 else 1 end, 16)
         end as span_id,
    case when x.parent_id is null then case when x.ord >= 0 then substr(x.child_id, 1, 14) || 'ff' end
         when length(x.parent_id) = 16 and ltrim(lower(x.parent_id), '0123456789abcdef') = '' then lower(x.parent_id)
         else substr(@hex_text(x.parent_id)@ || '0000000000000000',
                     case when length(@hex_text(x.parent_id)@) > 16 then length(@hex_text(x.parent_id)@) - 15
                          else 1 end, 16) end as parent_span_id,
    case when x.step in ('call', 'attempt')
         then x.words || coalesce(' ' || coalesce(case when x.ord >= 0 then x.model end, x.request_model), '')
         else x.step || coalesce(' ' || x.name, '') end as name,
    case when x.step in ('call', 'attempt') then 'CLIENT' else 'INTERNAL' end as kind,
    @time(x.started_us)@ as started_at,
    x.started_us * 1000 as start_time_unix_nano, (x.started_us + x.duration_us) * 1000 as end_time_unix_nano,
    case x.status when 'success' then 'OK' else 'ERROR' end as status_code, x.error_message as status_message,
    @attributes('gen_ai.operation.name', x.words, 'gen_ai.provider.name', x.maker,
        'gen_ai.request.model', x.request_model, 'gen_ai.response.model', x.model,
        'gen_ai.response.finish_reasons', case when x.finish_reason is not null then @list(x.finish_reason)@ end,
        'gen_ai.usage.input_tokens', x.input_tokens, 'gen_ai.usage.output_tokens', x.output_tokens,
        'gen_ai.usage.cache_read.input_tokens', x.cache_read_tokens,
        'gen_ai.usage.cache_creation.input_tokens', x.cache_write_tokens,
        'gen_ai.usage.reasoning.output_tokens', x.reasoning_tokens,
        'gen_ai.response.time_to_first_chunk', x.ttft_us / 1e6,
        'http.response.status_code', x.http_status, 'error.type', x.failure, 'user.id', x.user_id,
        'pk.step', x.step, 'pk.trace_id', x.trace, 'pk.span_name', x.name, 'pk.status', x.status,
        'pk.cost_usd', x.cost_usd, 'pk.cache_status', x.cache_status, 'pk.config', x.config,
        'pk.target_path', x.target_path, 'pk.virtual_key', x.virtual_key, 'pk.api_key', x.api_key,
        'pk.prompt', x.prompt)@ as attributes
    from (select o.*, replace(lower(o.trace), '-', '') as trace_hex,
              substr(replace(cast(@uuid(o.log_id)@ as text), '-', ''), 19, 14)
                  || case when o.ord < 10 then '0' else '' end || o.ord as child_id,
              @usd(o.cost_pusd)@ as cost_usd,
              case o.operation when 'messages' then 'chat' when 'responses' then 'chat'
                   when 'completions' then 'text_completion' else o.operation end as words,
              case o.provider when 'google' then 'gcp.gemini' when 'vertex-ai' then 'gcp.vertex_ai'
                   when 'bedrock' then 'aws.bedrock' when 'azure-openai' then 'azure.ai.openai'
                   when 'azure-ai' then 'azure.ai.inference'
                   when 'mistral-ai' then 'mistral_ai' when 'x-ai' then 'x_ai'
                   when 'perplexity-ai' then 'perplexity' else o.provider end as maker,
              case o.status when 'success' then null else coalesce(o.error_type, o.status) end as failure
          from pk_otel_span o) x;
