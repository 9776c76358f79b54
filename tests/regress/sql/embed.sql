-- pk_embed and pk_moderate.
create extension pk;
\set ON_ERROR_STOP 0
\pset null NULL

select pk_embed(:'config', 'hello big world', 4, '{"model": "e"}');
select pg_typeof(v), array_length(v, 1), v = pk_embed(:'config'::jsonb, 'hello big world', params => '{"model": "e"}') as same
    from pk_embed(:'config', 'hello big world', params => '{"model": "e"}') v;
select pk_embed(:'config', 'hello big world', 4, '{"model": "e", "encoding_format": "base64"}');

-- NULL in, NULL out, and no call.
select pk_embed(null::text, 'x') is null as a, pk_embed(:'config', null) is null as b,
       pk_moderate(:'config', null) is null as c;
select pk_embed(:'config', 'x', null, null) is null as a; -- there is no model

-- What is wrong is said before any call.
select pk_embed(:'config', 'x', 0, '{"model": "e"}');
select pk_embed(:'config', 'x', 3, '{"model": "e", "dimensions": 4}');
select pk_embed(:'config', 'x', 3, '{"model": "e", "input": "y"}');
select pk_embed(:'config', 'x', 3, '{"model": "e", "pk": {"unknown": 1}}');

-- What comes must be a vector, as long as it was asked for.
select pk_embed(:'config', 'x', 3, '{"model": "echo:vectors=text"}');
select pk_embed(:'config', 'x', 3, '{"model": "echo:vectors=large"}');
select pk_embed(:'config', 'x', 3, '{"model": "echo:vectors=empty"}');
select pk_embed(:'config', 'x', 5000, '{"model": "e"}');
select pk_embed(:'config', 'x', 3, '{"model": "html-200"}');
select pk_embed(:'config', 'x', 3, '{"model": "empty-200"}');
select pk_embed(:'config', 'x', 3, '{"model": "status-503"}');
set pk.on_error = 'null';
select pk_embed(:'config', 'x', 3, '{"model": "status-503"}') is null as a,
       pk_moderate(:'config', 'x', '{"model": "status-503"}') is null as b;
set pk.on_error = 'json';
select pk_embed(:'config', 'x', 3, '{"model": "status-503"}');
select pk_moderate(:'config', 'x', '{"model": "status-503"}') #>> '{error,code}' as code;
reset pk.on_error;

-- An equal text is not paid twice.
select pk_embed(:'config'::jsonb || '{"cache": {"mode": "simple"}}', 'again', 2, '{"model": "e", "pk": {"trace_id": "twice"}}') =
       pk_embed(:'config'::jsonb || '{"cache": {"mode": "simple"}}', 'again', 2, '{"model": "e", "pk": {"trace_id": "twice"}}') as same;
select pk_flush();
select operation, cache_status, input_tokens, output_tokens from pk_logs where trace_id = 'twice' order by cache_status desc;

select pk_moderate(:'config', 'I will kill it'), pk_moderate(:'config'::jsonb, 'a flower') ->> 'flagged' as flower;
select provolatile, proparallel, proisstrict, procost from pg_proc where proname in ('pk_embed', 'pk_moderate') group by 1, 2, 3, 4;
