{# An expression: what pk makes of `input`, an SQL expression, for each row.

   function  wants     gives
   ask                 the text of an answer to `input`, under `system`
   prompt    prompt    the text of an answer through a stored prompt; `input` is JSON with its variables
   json      schema    JSON that fits the schema, under `system`
   extract   schema    JSON that fits the schema, taken from `input`
   classify  labels    one of the labels, or NULL
   filter    question  whether it is so of `input`, or NULL
   score     rubric    a number
#}
{% macro llm_column(input, function='ask', config=none, system=none, prompt=none, schema=none, labels=none, question=none,
                    rubric=none, params=none) -%}
    {%- do pk.refuse_views() -%}
    {%- set given = {'prompt': prompt, 'schema': schema, 'labels': labels, 'question': question, 'rubric': rubric} -%}
    {%- set wants = {'ask': none, 'prompt': 'prompt', 'json': 'schema', 'extract': 'schema', 'classify': 'labels',
                     'filter': 'question', 'score': 'rubric'} -%}
    {%- if function not in wants -%}
        {%- do exceptions.raise_compiler_error("pk.llm_column: function must be one of " ~ wants | join(', ') ~ ", not " ~ function) -%}
    {%- endif -%}
    {%- set wanted = wants[function] -%}
    {%- if wanted and not given[wanted] -%}
        {%- do exceptions.raise_compiler_error("pk.llm_column: function '" ~ function ~ "' wants " ~ wanted) -%}
    {%- endif -%}
    {%- set options = pk.literal(pk.params_of(params)) -%}
    {%- if function == 'prompt' -%}
        {#- Without a config the prompt's own counts. -#}
        {%- set named = config or var('pk_config', none) -%}
        {%- set call = ["pk_prompt(" ~ pk.literal(prompt), input, pk.literal(named) if named else 'null', options] | join(', ') ~ ")" -%}
        {{- return(adapter.dispatch('content', 'pk')(call)) -}}
    {%- endif -%}
    {%- set args = [pk.literal(pk.config_of(config))] -%}
    {%- if wanted in ('question', 'rubric') -%}
        {%- do args.extend([pk.literal(given[wanted]), input]) -%}
    {%- else -%}
        {%- do args.append(input) -%}
        {%- if wanted -%}{%- do args.append(adapter.dispatch('json', 'pk')(pk.literal(given[wanted]))) -%}{%- endif -%}
    {%- endif -%}
    {%- if function in ('ask', 'json') -%}{%- do args.append(pk.literal(system) if system else 'null') -%}{%- endif -%}
    {{- return("pk_" ~ function ~ "(" ~ (args + [options]) | join(', ') ~ ")") -}}
{%- endmacro %}

{# The text of an answer in OpenAI's shape. #}
{% macro postgres__content(answer) -%}
    {{- return("(" ~ answer ~ " #>> '{choices,0,message,content}')") -}}
{%- endmacro %}

{% macro sqlite__content(answer) -%}
    {{- return("json_extract(" ~ answer ~ ", '$.choices[0].message.content')") -}}
{%- endmacro %}

{# A literal of JSON. #}
{% macro postgres__json(literal) -%}
    {{- return(literal ~ "::jsonb") -}}
{%- endmacro %}

{% macro sqlite__json(literal) -%}
    {{- return(literal) -}}
{%- endmacro %}
