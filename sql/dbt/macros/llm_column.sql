{# An expression: the answer to `input`, an SQL expression, for each row.

   function  wants      calls
   ask                  pk_ask(config, input, system)
   prompt    prompt     pk_prompt(prompt, input, config): `input` is JSON with the variables of the stored prompt
#}
{% macro llm_column(input, function='ask', config=none, system=none, prompt=none, params=none) -%}
    {%- do pk.refuse_views() -%}
    {%- set calls = {'ask': pk.ask_call, 'prompt': pk.prompt_call} -%}
    {%- if function not in calls -%}
        {%- do exceptions.raise_compiler_error("pk.llm_column: function must be one of " ~ calls | join(', ') ~ ", not " ~ function) -%}
    {%- endif -%}
    {{- return(calls[function](input, config, pk.literal(pk.params_of(params)), {'system': system, 'prompt': prompt}) | trim) -}}
{%- endmacro %}

{# What a function must have beside its input. #}
{% macro wanted(function, given, name) -%}
    {%- if not given[name] -%}
        {%- do exceptions.raise_compiler_error("pk.llm_column: function '" ~ function ~ "' wants " ~ name) -%}
    {%- endif -%}
    {{- return(pk.literal(given[name])) -}}
{%- endmacro %}

{% macro ask_call(input, config, params, given) -%}
    pk_ask({{ pk.literal(pk.config_of(config)) }}, {{ input }}, {{ pk.literal(given.system) if given.system else 'null' }}, {{ params }})
{%- endmacro %}

{# Without a config the prompt's own counts. #}
{% macro prompt_call(input, config, params, given) -%}
    {%- set named = config or var('pk_config', none) -%}
    {%- set call = "pk_prompt(" ~ pk.wanted('prompt', given, 'prompt') ~ ", " ~ input ~ ", "
                   ~ (pk.literal(named) if named else 'null') ~ ", " ~ params ~ ")" -%}
    {{ adapter.dispatch('content', 'pk')(call) }}
{%- endmacro %}

{# The text of an answer in OpenAI's shape. #}
{% macro postgres__content(answer) -%}
    ({{ answer }} #>> '{choices,0,message,content}')
{%- endmacro %}

{% macro sqlite__content(answer) -%}
    json_extract({{ answer }}, '$.choices[0].message.content')
{%- endmacro %}
