-- 0011_equals.sql - equal items of a job are asked once.

alter table pk_job_item add column same_as bigint;
alter table pk_job_item add column twins integer not null default 0;
create index pk_job_item_same on pk_job_item (job_id, same_as) where same_as is not null and due_us is not null;
create index pk_job_item_shares on pk_job_item (job_id, ord) where twins = 1 and due_us is null;
