{{ config(materialized='incremental', unique_key='id') }}
{{ pk.enrich(ref('tickets'), key='id', columns=['customer', 'product'], output='reply', where="product <> 'Gift card'",
             prompt="'Draft a short, friendly reply to: ' || body", params={'temperature': 0, 'max_tokens': 200}) }}
