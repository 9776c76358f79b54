-- 0099_test.sql - a migration that only store_migrate.c runs.
alter table pk_feedback_item add column reviewed boolean not null default false;
create table pk_test (
    note text not null
);
insert into pk_test (note) select 'migrated ' || count(*) || ' rows' from pk_log;
