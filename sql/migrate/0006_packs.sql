-- 0006_packs.sql - texts that were written together are one payload.
--
-- The tables stay as they are; the views, which are made anew, find such texts, and older programs do not.

update pk_meta set value = 6 where name = 'schema_version';
