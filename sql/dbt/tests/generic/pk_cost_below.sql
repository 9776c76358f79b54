{# The rows of a model made by pk.enrich cost less than `usd` together. What has no known price is not cheap: it fails, unless `unpriced` is
   'ignore'. #}
{% test pk_cost_below(model, usd, unpriced='fail') %}
select * from (
    select coalesce(sum(pk_cost_usd), 0) as cost_usd,
           coalesce(sum(case when pk_ok and pk_model is not null and pk_cost_usd is null then 1 else 0 end), 0) as unpriced
      from {{ model }}
) as counted
 where cost_usd >= {{ usd }}{% if unpriced != 'ignore' %} or unpriced > 0{% endif %}
{% endtest %}
