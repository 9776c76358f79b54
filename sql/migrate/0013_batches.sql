-- 0013_batches.sql - providers' batch APIs as an executor of the queue.

alter table pk_job add column executor text not null default 'call';
alter table pk_job_item add column batched integer not null default 0;
drop index pk_job_item_due;
create index pk_job_item_ready on pk_job_item (batched, due_us) where due_us is not null;

create table pk_job_batch (
    id           @uuid@ not null primary key,
    job_id       @uuid@ not null,
    created_us   bigint not null,
    provider     text not null,
    target_path  text not null,
    model        text not null,
    items        bigint not null,
    state        text not null,
    asks         integer not null,
    looks        integer not null,
    due_us       bigint,
    worker       @blob@,
    file_id      text,
    remote_id    text,
    cancelled    integer not null,
    updated_us   bigint not null
);
create index pk_job_batch_due on pk_job_batch (due_us) where due_us is not null;
create index pk_job_batch_job on pk_job_batch (job_id);
