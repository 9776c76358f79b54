-- 0003_providers.sql - providers that an administrator adds.
--
-- What the table is for is said in ../schema.sql.

create table pk_provider (
    name       text primary key,
    body       text not null,
    created_us bigint not null,
    updated_us bigint not null
);
