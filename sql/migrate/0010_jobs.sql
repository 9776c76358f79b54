-- 0010_jobs.sql - the queue.

create table pk_job (
    id           @uuid@ not null primary key,
    created_us   bigint not null,
    finished_us  bigint,
    cancelled_us bigint,
    actor        text not null,
    config       text not null,
    params       text not null,
    prompt       text not null,
    max_attempts integer not null,
    total        bigint not null
);
create index pk_job_open on pk_job (id) where finished_us is null;
create index pk_job_finished on pk_job (finished_us) where finished_us is not null;

create table pk_job_item (
    job_id        @uuid@ not null,
    ord           bigint not null,
    key           text,
    key_is_int    integer not null,
    kind          text not null,
    input         text,
    state         text not null,
    due_us        bigint,
    worker        @blob@,
    tries         integer not null default 0,
    losses        integer not null default 0,
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
    primary key (job_id, ord)
);
create index pk_job_item_due on pk_job_item (due_us) where due_us is not null;
create index pk_job_item_open on pk_job_item (job_id) where due_us is not null;
