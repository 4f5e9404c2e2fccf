{{ config(unique_key=['customer_id', 'subject'], liquid_clustered_by='customer_id') }}

{#- What changed since the last run; on the first, everything. -#}
{%- set new, entities = {}, ['checking_accounts', 'scheduled_payments'] -%}
{%- for entity in entities -%}
    {%- do new.update({entity: newer_than_this(ref('stg_bank__' ~ entity)) if is_incremental() else 'true'}) -%}
{%- endfor -%}

with

accounts as (

    select * from {{ ref('stg_bank__checking_accounts') }}

),

-- Without a whole snapshot, an update may be the first that is known of an account: one of a part read others.
whole_snapshots as (

    select count(*) as snapshot_count
    from {{ ref('base_bank__checking_account_changes') }}
    where _cdc_reset = 'snapshot'

),

new_account_changes as (

    select
        account_id,
        customer_id,
        try_cast(get_json_object(_cdc_before, '$.customer_id') as int) as previous_customer_id,
        _cdc_op,
        _cdc_reset
    from {{ ref('base_bank__checking_account_changes') }}
    where {{ new.checking_accounts }}

),

-- An account that goes from one customer to another changes both. Silver's state knows the new one, the change the old.
account_changes as (

    select
        customer_id,
        null as previous_customer_id,
        is_deleted as may_change_owner
    from accounts
    where {{ new.checking_accounts }}

    union all

    select
        changed.customer_id,
        changed.previous_customer_id,
        not changed.customer_id <=> changed.previous_customer_id
        or whole_snapshots.snapshot_count = 0 as may_change_owner
    from new_account_changes as changed
    cross join whole_snapshots
    {% if is_incremental() %}

        union all

        -- A row that a snapshot read doesn't tell what it was before. All who ever had the account may have lost it.
        select
            earlier.customer_id,
            null as previous_customer_id,
            true as may_change_owner
        from {{ ref('base_bank__checking_account_changes') }} as earlier
        left semi join new_account_changes as read_again
            on
                earlier.account_id = read_again.account_id
                and read_again.previous_customer_id is null
                and read_again._cdc_op in ('r', 'u')
    {% endif %}

),

account_owners as (

    select
        explode(array(customer_id, previous_customer_id)) as customer_id,
        may_change_owner
    from account_changes

),

new_payment_changes as (

    select
        payment_id,
        try_cast(get_json_object(_cdc_before, '$.account_id') as int) as previous_account_id,
        _cdc_op,
        _cdc_reset
    from {{ ref('base_bank__scheduled_payment_changes') }}
    where {{ new.scheduled_payments }}

),

payment_accounts as (

    select account_id from {{ ref('stg_bank__scheduled_payments') }}
    where {{ new.scheduled_payments }}

    union distinct

    select previous_account_id as account_id from new_payment_changes
    {% if is_incremental() %}

        union distinct

        select earlier.account_id
        from {{ ref('base_bank__scheduled_payment_changes') }} as earlier
        left semi join new_payment_changes as read_again
            on
                earlier.payment_id = read_again.payment_id
                and read_again.previous_account_id is null
                and read_again._cdc_op in ('r', 'u')
    {% endif %}

),

-- A table that was emptied or read anew doesn't tell whose its rows were, and they may be somebody else's by now.
resets as (

    select explode(array('accounts', 'account_owners')) as subject
    from new_account_changes
    where _cdc_reset is not null

    union distinct

    select 'scheduled_payments' as subject
    from new_payment_changes
    where _cdc_reset is not null

),

changes as (

    select
        customer_id,
        'accounts' as subject
    from account_owners

    union all

    select
        customer_id,
        'account_owners' as subject
    from account_owners
    where may_change_owner

    union all

    select
        accounts.customer_id,
        'scheduled_payments' as subject
    from accounts
    left semi join payment_accounts on accounts.account_id = payment_accounts.account_id
    {% if is_incremental() %}

        union all

        select
            known.customer_id,
            resets.subject
        from {{ this }} as known
        cross join resets
    {% endif %}

),

final as (

    select distinct
        customer_id,
        subject,
        {{ loaded_at() }} as _loaded_at
    from changes
    where customer_id is not null

)

select * from final
