-- 0015_hours.sql - columns of the log, by the hour, for adding up.

create table pk_log_hour (
    hour_us  bigint not null primary key,
    from_id  @uuid@ not null,
    upto_id  @uuid@ not null,
    first_id @uuid@ not null,
    calls    bigint not null
);
create table pk_log_column (
    hour_us  bigint not null,
    part     integer not null,
    what     integer not null,
    encoding smallint not null,
    bytes    @blob@ not null,
    primary key (hour_us, part, what)
);
