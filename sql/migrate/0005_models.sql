-- 0005_models.sql - what a model is and can do, and more kinds of prices.
--
-- What the columns are for is said in ../schema.sql.

alter table pk_price add column input_batch bigint;
alter table pk_price add column cache_read_batch bigint;
alter table pk_price add column output_batch bigint;
alter table pk_price add column units text;
alter table pk_price add column source text not null default 'list';

create table pk_model (
    provider          text not null,
    model             text not null,
    mode              text,
    context_window    bigint,
    max_output_tokens bigint,
    deprecation_date  text,
    capabilities      text,
    origin            text not null,
    source            text not null,
    updated_us        bigint not null,
    primary key (provider, model)
);
