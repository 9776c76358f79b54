-- 0012_progress.sql - what batches in flight tell others.

create table pk_progress (
    id         @uuid@ not null primary key,
    started_us bigint not null,
    updated_us bigint not null,
    kind       text not null,
    source     text not null,
    query_id   text not null,
    actor      text not null,
    host       text not null,
    pid        bigint not null,
    config     text,
    total      bigint,
    done       bigint not null,
    failed     bigint not null,
    in_flight  bigint not null,
    cost_pusd  bigint not null
);
