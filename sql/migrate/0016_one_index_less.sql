-- 0016_one_index_less.sql - ids begin with the time: rows are found by it without an index of its own.

drop index pk_log_started;
