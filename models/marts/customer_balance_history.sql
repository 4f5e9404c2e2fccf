{{ config(unique_key=['customer_id', 'balance_date'], liquid_clustered_by='customer_id') }}

with

changes as (

    select * from {{ ref('base_bank__checking_account_changes') }}
    where _cdc_error is null

),

new_changes as (

    select * from changes
    {% if is_incremental() %}
        where {{ newer_than_this() }}
    {% endif %}

),

-- Emptying the table, or reading it anew, may concern any account.
changed_accounts as (

    select account_id from new_changes
    where _cdc_reset is null

    union distinct

    select changes.account_id
    from changes
    left semi join new_changes on new_changes._cdc_reset is not null

),

-- Whoever had one of these accounts at any time: only its changes say who that was.
customers as (

    select distinct changes.customer_id
    from changes
    left semi join changed_accounts on changes.account_id = changed_accounts.account_id
    where changes.customer_id is not null

),

-- Every account that one of these customers ever had, with all that ever happened to it, also under another owner.
accounts as (

    select distinct
        changes.account_id,
        customers.customer_id
    from changes
    inner join customers on changes.customer_id = customers.customer_id

),

their_changes as (

    select changes.*
    from changes
    left semi join accounts on changes.account_id = accounts.account_id

),

placed as (

    {{ with_places('their_changes', 'account_id') }}

),

resets as (

    select
        *,
        {{ change_place() }} as _cdc_place
    from changes
    where _cdc_reset is not null

),

account_changes as (

    select
        accounts.customer_id,
        accounts.account_id,
        case
            when placed._cdc_op = 'd' then to_date(placed._cdc_committed_at)
            else to_date(coalesce(placed.last_transaction_at, placed._cdc_committed_at))
        end as balance_date,
        placed._cdc_op <> 'd' and placed.customer_id <=> accounts.customer_id as is_owned,
        placed.account_balance,
        placed._cdc_place
    from accounts
    inner join placed on accounts.account_id = placed.account_id

    union all

    -- Emptying the table ends every account that was there before, and a whole new snapshot those that it did not find.
    select distinct
        accounts.customer_id,
        accounts.account_id,
        to_date(resets._cdc_committed_at) as balance_date,
        false as is_owned,
        cast(null as decimal(10, 2)) as account_balance,
        resets._cdc_place
    from resets
    inner join placed as earlier
        on
            resets._cdc_lsn > earlier._cdc_lsn
            -- A transaction that a snapshot missed may have written before the snapshot's place in the log.
            and not (
                resets._cdc_partition = earlier._cdc_partition
                and struct(resets._cdc_topic_life, resets._cdc_offset)
                < struct(earlier._cdc_topic_life, earlier._cdc_offset)
            )
    inner join accounts on earlier.account_id = accounts.account_id
    left anti join their_changes as read_again
        on
            earlier.account_id = read_again.account_id
            and resets._cdc_lsn = read_again._cdc_lsn
            and read_again._cdc_op = 'r'

),

with_owner_before as (

    select
        *,
        lag(is_owned, 1, false) over (partition by customer_id, account_id order by _cdc_place) as was_owned
    from account_changes

),

-- Also the day on which an account goes: what is left is another sum.
customer_days as (

    select distinct
        customer_id,
        balance_date
    from with_owner_before
    where
        is_owned
        or was_owned

),

-- On each day of the customer, and each of the account's own, the newest change of that day, if there was one.
account_days as (

    select
        customer_id,
        account_id,
        balance_date,
        max(struct(_cdc_place, is_owned, account_balance)) as newest
    from account_changes
    group by customer_id, account_id, balance_date

    union all

    select
        accounts.customer_id,
        accounts.account_id,
        customer_days.balance_date,
        null as newest
    from accounts
    inner join customer_days on accounts.customer_id = customer_days.customer_id

),

-- The last value known by the day's end: the newest change of that day or any before it.
closing_accounts as (

    select
        customer_id,
        account_id,
        balance_date,
        max(newest) over (
            partition by customer_id, account_id
            order by balance_date
            range between unbounded preceding and current row
        ) as newest
    from account_days

),

one_per_day as (

    select distinct * from closing_accounts

),

final as (

    select
        one_per_day.customer_id,
        one_per_day.balance_date,
        cast(
            coalesce(sum(one_per_day.newest.account_balance) filter (where one_per_day.newest.is_owned), 0)
            as decimal(20, 2)
        ) as closing_balance,
        {{ run_number() }} as _run_number,
        {{ loaded_at() }} as _loaded_at
    from one_per_day
    left semi join customer_days
        on
            one_per_day.customer_id = customer_days.customer_id
            and one_per_day.balance_date = customer_days.balance_date
    group by one_per_day.customer_id, one_per_day.balance_date

)

select * from final
