-- 0009_one_step.sql - a call with one attempt has it in its own row.

alter table pk_log add column span_us bigint;
alter table pk_log add column span_duration_us bigint;
alter table pk_log add column span_ttfb_us bigint;
