-- 0016_one_index_less.sql - ids begin with the time: rows are found by it without an index of its own.

@sqlite drop index pk_log_started;
@postgres drop index pk_log_started;
@postgres create index pk_log_started on pk_log ((@time(started_us)@));
-- In Postgres this was added to 10 later.
@postgres create index pk_job_finished on pk_job (finished_us) where finished_us is not null;
