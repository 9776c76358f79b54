{# The whole of an incremental model that asks for each row of `relation`, with many calls in flight, and in later runs for
   rows that are new, whose question has changed, or that failed.

   key       the column that names a row; the model's unique_key
   prompt    an SQL expression: what is asked
   columns   of the relation, to be kept beside the answer
   output    the name of the answer's column
   where     a condition on the relation
   retry     'failed' rows are asked again, or 'retryable' ones only
   prefetch  ask before the model is built, whose statement then finds the answers in the cache

   Beside these come pk_ok, pk_error_code, pk_retryable, pk_model, pk_cost_usd, pk_trace_id and pk_hash.
#}
{% macro enrich(relation, key, prompt, output='answer', columns=[], config=none, params=none, where=none,
                retry='failed', prefetch=false) -%}
    {%- do pk.refuse_views() -%}
    {%- if retry not in ('failed', 'retryable') -%}
        {%- do exceptions.raise_compiler_error("pk.enrich: retry must be 'failed' or 'retryable', not " ~ retry) -%}
    {%- endif -%}
    {%- set named = pk.config_of(config) -%}
    {%- set asked = pk.rows_to_ask(relation, key, prompt, columns, named, params, where, retry) -%}
    {%- set query = "select pk_key as key, pk_prompt as prompt from (" ~ asked ~ ") as pk_asked" -%}
    {%- set options = pk.map_params(params) -%}
    {%- if prefetch -%}
        {%- do pk.prefetch(named, query, options) -%}
    {%- endif -%}
with pk_asked as materialized (
    {{ asked }}
),
pk_answers as materialized (
    select key, content, ok, error_code, retryable, model, cost_usd, trace_id
      from pk_map({{ pk.literal(named) }}, {{ pk.literal(query) }}, {{ pk.literal(options) }})
)
select {% for column in [key] + columns %}s.{{ column }}, {% endfor %}a.content as {{ output }}, a.ok as pk_ok,
       a.error_code as pk_error_code, a.retryable as pk_retryable, a.model as pk_model, a.cost_usd as pk_cost_usd,
       a.trace_id as pk_trace_id, s.pk_hash
  from pk_asked as s join pk_answers as a on a.key = s.pk_key
{%- endmacro %}

{# The rows that have no answer to the present question, with the question. The hash is in the key of a call, so that an answer is
   never taken for that to a question which changed meanwhile. #}
{% macro rows_to_ask(relation, key, prompt, columns, config, params, where, retry) -%}
    select s.*, cast(s.{{ key }} as {{ dbt.type_string() }}) || ' ' || s.pk_hash as pk_key
      from (select {% for column in [key] + columns %}{{ column }}, {% endfor %}{{ prompt }} as pk_prompt,
                   {{ pk.content_hash(config, prompt, params) }} as pk_hash
              from {{ relation }}{% if where %} where {{ where }}{% endif %}) as s
    {%- if is_incremental() %}
      left join {{ this }} as t
        on t.{{ key }} = s.{{ key }} and t.pk_hash = s.pk_hash and (t.pk_ok{% if retry == 'retryable' %} or not t.pk_retryable{% endif %})
     where t.{{ key }} is null
    {%- endif %}
    {%- if var('pk_max_rows', none) is not none %}
     order by s.{{ key }} limit {{ var('pk_max_rows') | int }}
    {%- endif %}
{%- endmacro %}

{# What `params` and the variables say about a run of many calls. #}
{% macro map_params(params) -%}
    {%- set given = pk.params_of(params) -%}
    {%- for option in ('concurrency', 'max_cost_usd', 'max_calls', 'max_error_ratio') -%}
        {%- if var('pk_' ~ option, none) is not none and option not in given.pk -%}
            {%- do given.pk.update({option: var('pk_' ~ option)}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(given) -}}
{%- endmacro %}
