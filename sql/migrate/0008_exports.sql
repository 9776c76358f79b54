-- 0008_exports.sql - exports of the log, and views that are new.

create table pk_log_export (
    id          @uuid@ primary key,
    created_us  bigint not null,
    updated_us  bigint not null,
    status      text not null,
    actor       text not null,
    description text,
    filters     text not null,
    fields      text not null,
    total       bigint not null,
    token       @blob@,
    token_us    bigint
);
