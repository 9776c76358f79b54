{{ config(materialized='incremental', unique_key='id') }}
{{ pk.enrich(ref('tickets'), key='id', columns=['customer'], output='mood',
             prompt="'The mood of this ticket, in one word: ' || body") }}
