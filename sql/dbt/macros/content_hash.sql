{# What an answer depends on: config, parameters of the model, question. Two rows with the same hash have the same answer.
   Where there is no question it is empty. #}
{% macro content_hash(config, prompt, params=none) -%}
    {%- set body = dict(params or {}) -%}
    {%- do body.pop('pk', none) -%}
    {{- adapter.dispatch('content_hash', 'pk')(local_md5(tojson([config, body])), prompt) -}}
{%- endmacro %}

{% macro postgres__content_hash(settings, prompt) -%}
    coalesce(md5('{{ settings }} ' || ({{ prompt }})), '')
{%- endmacro %}

{# SQLite has no hash function of its own. #}
{% macro sqlite__content_hash(settings, prompt) -%}
    coalesce('{{ settings }} ' || ({{ prompt }}), '')
{%- endmacro %}
