{# Of the rows of a model made by pk.enrich, less than the share `ratio` has failed. #}
{% test pk_error_rate_below(model, ratio=0.05) %}
select * from (
    select count(*) as asked, coalesce(sum(case when pk_ok then 0 else 1 end), 0) as failed from {{ model }}
) as counted
 where failed > 0 and failed >= {{ ratio }} * asked
{% endtest %}
