-- 0004_key_fields.sql - a virtual key has its provider's own fields.
--
-- What they are is said in ../../shared/target_fields.def.

alter table pk_virtual_key add column fields text;
