{#- The rows of an entity that belongs to accounts, with the customer who owns the account now: on the model's first run all, later those that
    changed, those of accounts that came to another customer, and those that meet a condition. A row that is deleted, or nobody's, has no customer. -#}
{% macro rows_of_customers(parent, subjects, also='false') -%}
    {%- set new = newer_than_this(parent) if is_incremental() else 'true' -%}
    {%- set new = new if also | trim == 'false' else new ~ ' or coalesce(' ~ also ~ ', false)' -%}
    {%- set owners_may_have_changed = is_incremental() and may_have_news(ref('int_customer_changes')) -%}
    with

    accounts as (

        select
            customer_id,
            account_id
        from {{ ref('int_customer_accounts') }}

    ),

    {% if owners_may_have_changed -%}
    customers as (

        {{ changed_customers(subjects) }}

    ),

    -- Those that these customers have, and those that they had.
    moved_accounts as (

        select account_id from accounts
        left semi join customers on accounts.customer_id = customers.customer_id

        union

        select account_id from {{ this }} as before
        left semi join customers on before.customer_id = customers.customer_id

    ),
    {%- endif %}

    changed as (

        select * from {{ parent }}
        where {{ new }}
        {%- if owners_may_have_changed %}

        union all

        select entity.*
        from {{ parent }} as entity
        left semi join moved_accounts on entity.account_id = moved_accounts.account_id
        where not ({{ new }})
        {%- endif %}

    )

    select
        changed.*,
        accounts.customer_id
    from changed
    left join accounts
        on
            changed.account_id = accounts.account_id
            and not changed.is_deleted
    {%- if not is_incremental() %}
    where accounts.customer_id is not null
    {%- endif %}
{%- endmacro %}
