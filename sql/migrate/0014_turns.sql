-- 0014_turns.sql - jobs take turns.

drop index pk_job_open;
create index pk_job_turn on pk_job (actor, id) where finished_us is null;
drop index pk_job_item_open;
create index pk_job_item_turn on pk_job_item (job_id, due_us) where due_us is not null;
