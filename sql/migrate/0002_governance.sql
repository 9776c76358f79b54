-- 0002_governance.sql - from the foundation to guardrails, limits, prompts, circuits and semantic cache.
--
-- What each table is for is said in ../schema.sql.

-- Numbers of payloads are never given twice, from now on.
@sqlite create table pk_payload_2 (
    id         @sequence@,
    hash       @blob@ not null unique,
    created_us bigint not null,
    encoding   smallint not null,
    bytes      @blob@ not null
);
@sqlite insert into pk_payload_2 (id, hash, created_us, encoding, bytes)
    select id, hash, created_us, encoding, bytes from pk_payload;
@sqlite drop table pk_payload;
@sqlite alter table pk_payload_2 rename to pk_payload;
@sqlite create index pk_payload_created on pk_payload (created_us);
@postgres create index pk_payload_created on pk_payload (created_us);

alter table pk_span add column name text;
alter table pk_span add column input_tokens bigint;
alter table pk_span add column output_tokens bigint;
alter table pk_span add column cost_pusd bigint;

alter table pk_virtual_key add column allowed_models text;
alter table pk_virtual_key add column denied_models text;

-- Each answer now has its size.
create table pk_cache_entry_2 (
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
    bytes         bigint not null,
    encoding      smallint not null,
    body          @blob@ not null
);
insert into pk_cache_entry_2 (key, created_us, expires_us, hits, last_hit_us, provider, model, finish_reason,
        usage_source, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
        cache_write_1h_tokens, reasoning_tokens, cost_pusd, bytes, encoding, body)
    select key, created_us, expires_us, hits, last_hit_us, provider, model, finish_reason,
        usage_source, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
        cache_write_1h_tokens, reasoning_tokens, cost_pusd, length(body) + 256, encoding, body
    from pk_cache_entry;
@postgres alter extension pk drop table pk_cache_entry;
drop table pk_cache_entry;
alter table pk_cache_entry_2 rename to pk_cache_entry;
create index pk_cache_entry_expires on pk_cache_entry (expires_us);
create index pk_cache_entry_created on pk_cache_entry (created_us);
create index pk_cache_entry_used on pk_cache_entry ((coalesce(last_hit_us, created_us)));

create table pk_setting (
    name       text primary key,
    value      text not null,
    updated_us bigint not null
);

create table pk_cache_vector (
    id     @sequence@,
    gate   @blob@ not null,
    key    @blob@ not null,
    traits @blob@ not null,
    vector @blob@ not null,
    unique (key, gate)
);
create index pk_cache_vector_gate on pk_cache_vector (gate, id);

create table pk_cache_size (
    id      @serial@,
    entries bigint not null,
    bytes   bigint not null
);

insert into pk_cache_size (entries, bytes)
    select count(*), coalesce(sum(bytes), 0) from pk_cache_entry having count(*) > 0;

create table pk_guardrail (
    slug       text not null,
    version    integer not null,
    created_us bigint not null,
    in_force   boolean not null,
    body       text not null,
    owner      text,
    primary key (slug, version)
);

create table pk_circuit (
    config      text not null,
    version     bigint not null,
    target_path text not null,
    window_us   bigint not null,
    attempts    bigint not null,
    failures    bigint not null,
    opened_us   bigint,
    until_us    bigint not null,
    primary key (config, version, target_path)
);

create table pk_prompt (
    slug        text not null,
    version     integer not null,
    created_us  bigint not null,
    archived_us bigint,
    hash        @blob@ not null,
    template    text not null,
    model       text,
    parameters  text,
    config      text,
    virtual_key text,
    name        text,
    description text,
    details     text,
    primary key (slug, version)
);

create table pk_prompt_label (
    slug       text not null,
    label      text not null,
    version    integer not null,
    weight     integer not null,
    updated_us bigint not null,
    primary key (slug, label, version)
);

create table pk_api_key (
    name         text primary key,
    description  text,
    hash         @blob@ not null,
    hint         text not null,
    old_hash     @blob@,
    old_until_us bigint,
    scopes       text not null,
    config       text,
    config_fixed boolean not null,
    metadata     @json@,
    created_us   bigint not null,
    updated_us   bigint not null,
    expires_us   bigint,
    revoked_us   bigint
);

create table pk_limit (
    slug       text primary key,
    scope      text not null,
    key        text,
    value      text,
    owned      boolean not null,
    counts     text not null,
    per        text not null,
    rolling    boolean not null,
    budget     boolean not null,
    amount     bigint not null,
    alert      bigint,
    created_us bigint not null,
    updated_us bigint not null
);

create table pk_limit_use (
    limit_slug text not null,
    subject    text not null,
    slot_us    bigint not null,
    until_us   bigint not null,
    keep_us    bigint not null,
    used       bigint not null,
    reserved   bigint not null,
    refused    bigint not null,
    warned_us  bigint,
    refused_us bigint,
    primary key (limit_slug, subject, slot_us)
)@by_key@;
create index pk_limit_use_keep on pk_limit_use (keep_us);

create table pk_reservation (
    id         @uuid@ not null,
    limit_slug text not null,
    subject    text not null,
    slot_us    bigint not null,
    amount     bigint not null,
    expires_us bigint not null,
    primary key (id, limit_slug, subject)
)@by_key@;
create index pk_reservation_expires on pk_reservation (expires_us);

create table pk_audit_item (
    id     @serial@,
    at_us  bigint not null,
    actor  text not null,
    verb   text not null,
    object text not null,
    detail @json@
);
