{# No row failed in a way that another try may mend: a run was not the last. #}
{% test pk_no_retryable_left(model) %}
select * from {{ model }} where not pk_ok and pk_retryable
{% endtest %}
