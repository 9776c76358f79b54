{# Asks for each row of `query` (columns as pk_map wants them) and leaves the answers in the cache, where the model finds them.
   In a model, when it is built and before it is; in a hook; or as an operation:

   {% do pk.prefetch('support', "select " ~ question ~ " as prompt from " ~ ref('tickets')) %}
   dbt run-operation pk.prefetch --args '{config: support, query: "select body as prompt from {{ ref('tickets') }}"}'
#}
{% macro prefetch(config, query, params=none) -%}
    {%- if pk.is_building() -%}
        {%- set call = "select pk_prefetch(" ~ pk.literal(pk.config_of(config)) ~ ", " ~ pk.literal(render(query)) ~ ", "
                       ~ pk.literal(pk.map_params(params)) ~ ")" -%}
        {%- set counts = fromjson(pk.text_of(run_query(call).columns[0].values()[0])) -%}
        {%- set name = model.name if model is defined and model else 'prefetch' -%}
        {%- do log("pk: " ~ name ~ ": " ~ counts.rows ~ " rows, " ~ counts.cached ~ " answered from the cache, " ~ counts.called
                   ~ " calls, " ~ counts.failed ~ " failed, cost " ~ pk.usd(counts.cost_usd), info=true) -%}
    {%- endif -%}
{%- endmacro %}

{# JSON as the adapter gives it: text, or taken apart already. #}
{% macro text_of(value) -%}
    {{- return(value if value is string else tojson(value)) -}}
{%- endmacro %}

{% macro usd(amount) -%}
    {{- return("unknown" if amount is none else "$" ~ ("%.6f" | format(amount | float))) -}}
{%- endmacro %}
