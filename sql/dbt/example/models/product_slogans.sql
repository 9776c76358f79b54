select product, count(*) as tickets,
       {{ pk.llm_column("'A slogan for: ' || product", system='Answer in one line.') }} as slogan
  from {{ ref('tickets') }}
 group by product
