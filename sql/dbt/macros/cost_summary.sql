{# At the end of a run: what its calls were and cost, by model, from pk_logs. #}
{% macro cost_summary() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'retry', 'snapshot', 'test') -%}
        {%- set may = adapter.dispatch('may_read_logs', 'pk')() -%}
        {%- if may -%}
            {%- do pk.log_costs() -%}
        {%- elif may is not none -%}
            {%- do log("pk: what this run cost is in pk_logs, which " ~ target.user ~ " may not read: grant pk_admin", info=true) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro log_costs() -%}
    {%- do run_query('select pk_flush()') -%}
    {%- set rows = run_query(adapter.dispatch('calls_of_run', 'pk')(run_started_at)).rows -%}
    {%- set total = namespace(calls=0, cost=0) -%}
    {%- for row in rows -%}
        {%- do log("pk: " ~ row[0] ~ ": " ~ pk.calls_line(row), info=true) -%}
        {%- set total.calls = total.calls + row[1] | int -%}
        {%- set total.cost = total.cost + (row[4] or 0) | float -%}
    {%- endfor -%}
    {%- do log("pk: " ~ total.calls ~ " calls in this run, cost " ~ pk.usd(total.cost), info=true) -%}
{%- endmacro %}

{% macro calls_line(row) -%}
    {%- set parts = [row[1] ~ " calls"] -%}
    {%- if row[2] | int -%}{%- do parts.append(row[2] ~ " failed") -%}{%- endif -%}
    {%- if row[3] | int -%}{%- do parts.append(row[3] ~ " from the cache") -%}{%- endif -%}
    {%- do parts.append("cost " ~ pk.usd(row[4] or 0)) -%}
    {%- if row[5] | int -%}{%- do parts.append(row[5] ~ " without a known price") -%}{%- endif -%}
    {{- return(parts | join(", ")) -}}
{%- endmacro %}

{# Whether the role may; none where pk is not there. #}
{% macro postgres__may_read_logs() -%}
    {{- return(run_query("select has_table_privilege(to_regclass('pk_logs'), 'select')").columns[0].values()[0]) -}}
{%- endmacro %}

{% macro sqlite__may_read_logs() -%}
    {{- return(true if run_query("select count(*) from pragma_function_list where name = 'pk_ask'").columns[0].values()[0] | int else none) -}}
{%- endmacro %}

{# model, calls, failed, from the cache, cost, without a price #}
{% macro postgres__calls_of_run(began) -%}
    select coalesce(metadata ->> 'dbt_model', '(no model)'), count(*), count(*) filter (where status <> 'success'),
           count(*) filter (where cache_status like '%HIT'), sum(cost_usd),
           count(*) filter (where cost_usd is null and status = 'success')
      from pk_logs
     where started_at >= '{{ began.isoformat() }}' and metadata ->> 'dbt_invocation_id' = '{{ invocation_id }}'
     group by 1 order by 1
{%- endmacro %}

{% macro sqlite__calls_of_run(began) -%}
    select coalesce(json_extract(metadata, '$.dbt_model'), '(no model)'), count(*), sum(status <> 'success'),
           sum(cache_status like '%HIT'), sum(cost_usd), sum(cost_usd is null and status = 'success')
      from pk_logs
     where started_at >= '{{ began.strftime("%Y-%m-%dT%H:%M:%S") }}'
       and json_extract(metadata, '$.dbt_invocation_id') = '{{ invocation_id }}'
     group by 1 order by 1
{%- endmacro %}
