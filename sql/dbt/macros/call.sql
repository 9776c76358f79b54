{# What every call of a model has in common: its config, who calls, and that a view must not. #}

{# An SQL literal of a text; of an object, its JSON. #}
{% macro literal(value) -%}
    {%- set text = value if value is string else tojson(value) -%}
    '{{ text | replace("'", "''") }}'
{%- endmacro %}

{# `config`, else the variable pk_config: the slug of a config or a virtual key, or an object. #}
{% macro config_of(config) -%}
    {%- set named = config or var('pk_config', none) -%}
    {%- if not named -%}
        {%- do exceptions.raise_compiler_error("pk: which config? Give the macro a `config`, or the project the variable pk_config") -%}
    {%- endif -%}
    {{- return(named) -}}
{%- endmacro %}

{# Who calls, as pk_logs.metadata has it. A model that is inlined into another calls for the other. #}
{% macro metadata() -%}
    {%- set who = {'dbt_invocation_id': invocation_id, 'dbt_project': project_name, 'dbt_target': target.name} -%}
    {%- if model is defined and model -%}
        {%- do who.update({'dbt_model': model.name}) -%}
    {%- endif -%}
    {{- return(who) -}}
{%- endmacro %}

{# `params` with what the package adds: who calls, and the cache, so that nothing is paid for twice. #}
{% macro params_of(params) -%}
    {%- set given = dict(params or {}) -%}
    {%- set options = {'cache': var('pk_cache', true)} -%}
    {%- do options.update(given.get('pk', {})) -%}
    {%- set who = dict(options.get('metadata', {})) -%}
    {%- do who.update(pk.metadata()) -%}
    {%- do options.update({'metadata': who}) -%}
    {%- do given.update({'pk': options}) -%}
    {{- return(given) -}}
{%- endmacro %}

{# A view asks, and pays, whenever somebody looks at it; what is ephemeral, in each model that uses it. #}
{% macro refuse_views() -%}
    {%- if model is defined and model and model.resource_type == 'model'
           and config.get('materialized', 'view') in ('view', 'materialized_view', 'ephemeral') -%}
        {%- do exceptions.raise_compiler_error("pk: " ~ model.name ~ " is materialized as " ~ config.get('materialized', 'view')
               ~ ", and would call, and pay, whenever it is read: materialize it as table or incremental") -%}
    {%- endif -%}
{%- endmacro %}

{# Commands that build something. Others render the same SQL, and must not pay for it. #}
{% macro is_building() -%}
    {{- return(execute and flags.WHICH in ('run', 'build', 'retry', 'snapshot', 'run-operation')) -}}
{%- endmacro %}

{# A pre-hook for models that call pk's functions by themselves: stamps who calls on every call of the session. #}
{% macro set_metadata() -%}
    {{- return(adapter.dispatch('set_metadata', 'pk')(tojson(pk.metadata()))) -}}
{%- endmacro %}

{% macro postgres__set_metadata(who) -%}
    set pk.metadata = {{ pk.literal(who) }}
{%- endmacro %}

{% macro sqlite__set_metadata(who) -%}
    select pk_set('metadata', {{ pk.literal(who) }})
{%- endmacro %}
