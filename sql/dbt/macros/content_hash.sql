{# What an answer depends on: config, model, parameters, question. Where there is no question it is empty. #}
{% macro content_hash(config, prompt, params=none) -%}
    {%- set body = dict(params or {}) -%}
    {%- do body.pop('pk', none) -%}
    coalesce(pk_content_hash({{ pk.literal(pk.config_of(config)) }}, {{ prompt }}, {{ pk.literal(body) }}), '')
{%- endmacro %}
