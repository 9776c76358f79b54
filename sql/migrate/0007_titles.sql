-- 0007_titles.sql - names and notes of what is stored under a slug.
--
-- What the columns are for is said in ../schema.sql.

create table pk_title (
    kind       text not null,
    slug       text not null,
    name       text,
    note       text,
    details    text,
    created_us bigint not null,
    updated_us bigint not null,
    primary key (kind, slug)
);
