"""What each mart must hold, as SQL on the bank: written apart from the models, so that it can prove them wrong.

The bank has only its present state. What needs its past (the commit time of a change, a day's closing balance) can't be
had from it, and is left out of the comparison on both sides, here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mart:
    """How a mart is compared.

    Attributes:
        key: the columns that tell rows apart.
        bank: SQL on Postgres; `%(today)s` is the day (UTC) of the comparison, as Gold has it when it is read.
        gold: SQL on Spark, in which `{model}` is the table of a dbt model; where it isn't said, all of the mart.
    """

    key: tuple[str, ...]
    bank: str
    gold: str | None = None


_TRANSACTION_SUMMARY = """
    select
        customer_id,
        sum(amount)::numeric(22, 2) as total_transactions,
        round(avg(amount), 2)::numeric(22, 2) as average_transaction,
        coalesce(sum(amount) filter (where transaction_type = 'debit'), 0)::numeric(22, 2) as total_debits,
        coalesce(sum(amount) filter (where transaction_type = 'credit'), 0)::numeric(22, 2) as total_credits,
        count(*) as transaction_count
    from transactions join checking_account using (account_id)
    where customer_id is not null
    group by customer_id
"""

# Where the bank never said when a balance moved, the commit time stands in, which Postgres doesn't keep.
_CUSTOMER_BALANCE = """
    select
        customer_id,
        case when bool_and(last_transaction_date is not null)
            then max(last_transaction_date at time zone 'UTC')
        end as updt_ts,
        sum(account_balance)::numeric(20, 2) as latest_balance
    from checking_account
    where customer_id is not null
    group by customer_id
"""

_WITHOUT_COMMIT_TIMES = """
    select
        mart.* except (updt_ts),
        case when undated.customer_id is null then mart.updt_ts end as updt_ts
    from {{{mart}}} as mart
    left join (
        select distinct customer_id
        from {{stg_bank__checking_accounts}}
        where not is_deleted and customer_id is not null and last_transaction_at is null
    ) as undated on mart.customer_id = undated.customer_id
"""

# Of a customer with an account that the bank doesn't date, the day is left out.
_PRESENT_BALANCE = """
    select
        customer_id,
        sum(account_balance)::numeric(20, 2) as closing_balance,
        case when bool_and(last_transaction_date is not null) then max(last_transaction_date)::date end as balance_date
    from checking_account
    where customer_id is not null
    group by customer_id
"""

# A day on which a customer only lost an account has no row (tests/marts/the_last_closing_balance_is_the_balance.sql):
# whoever lost one is taken to be right here, and customer_balance says whether their balance is. So is the day of who
# has an account that was dated later than it is now: the history keeps that day, which the bank has forgotten. One
# aggregation, as joins of the same would take Spark four times as long.
_LAST_CLOSING_BALANCE = """
    with

    ownerships as (

        select
            customer_id,
            account_id,
            false as is_present,
            cast(null as boolean) as is_undated,
            to_date(coalesce(last_transaction_at, _cdc_committed_at)) as known_date,
            cast(null as date) as present_date
        from {base_bank__checking_account_changes}
        where customer_id is not null

        union all

        select
            customer_id,
            account_id,
            true as is_present,
            last_transaction_at is null as is_undated,
            cast(null as date) as known_date,
            to_date(last_transaction_at) as present_date
        from {stg_bank__checking_accounts}
        where not is_deleted and customer_id is not null

    ),

    figures as (

        select
            customer_id,
            struct(balance_date, closing_balance) as closing,
            cast(null as decimal(20, 2)) as latest_balance,
            cast(null as date) as latest_date,
            false as has_lost,
            false as is_undated,
            false as was_later
        from {customer_balance_history}

        union all

        select customer_id, null, latest_balance, to_date(updt_ts), false, false, false
        from {customer_balance}

        union all

        select
            customer_id,
            null,
            null,
            null,
            not bool_or(is_present),
            coalesce(bool_or(is_undated), false),
            coalesce(max(known_date) > max(present_date), false)
        from ownerships
        group by customer_id, account_id

    )

    select
        customer_id,
        max(closing).closing_balance as closing_balance,
        case
            when bool_or(is_undated) then null
            when bool_or(has_lost or was_later) then max(latest_date)
            else max(closing).balance_date
        end as balance_date
    from figures
    group by customer_id
    having not bool_or(has_lost) or max(latest_balance) is not null
"""

_DAILY_TRANSACTIONS = """
    select
        coalesce(category, 'uncategorised') as category,
        sum(amount)::numeric(22, 2) as total_transactions,
        coalesce(sum(amount) filter (where transaction_type = 'debit'), 0)::numeric(22, 2) as total_debits,
        coalesce(sum(amount) filter (where transaction_type = 'credit'), 0)::numeric(22, 2) as total_credits,
        count(*) as transaction_count,
        (transaction_date at time zone 'UTC')::date as transaction_date
    from transactions
    group by 1, 6
"""

_CUSTOMER_TRANSACTIONS = """
    select
        transaction_id,
        account_id,
        customer_id,
        transaction_type,
        coalesce(category, 'uncategorised') as category,
        amount,
        transaction_date as transacted_at
    from transactions join checking_account using (account_id)
    where customer_id is not null
"""

_DAILY_PURCHASES = """
    select
        product,
        sum(quantity)::bigint as quantity_sold,
        count(*) as purchase_count,
        purchase_date::date as purchase_date
    from purchase_trends
    where purchase_date is not null
    group by 1, 4
"""

_DAILY_SCHEDULED_PAYMENTS = """
    select
        status,
        sum(amount)::numeric(22, 2) as total_amount,
        count(*) as payment_count,
        status = 'scheduled' and due_date < %(today)s as is_overdue,
        due_date
    from scheduled_payments
    group by status, due_date
"""

_CUSTOMER_SCHEDULED_PAYMENTS = """
    select
        payment_id,
        account_id,
        customer_id,
        transaction_id,
        payee,
        frequency,
        status,
        amount,
        status = 'scheduled' and due_date < %(today)s as is_overdue,
        due_date
    from scheduled_payments join checking_account using (account_id)
    where customer_id is not null
"""

_POPULAR_PRODUCTS = """
    select product, sum(quantity)::bigint as total_quantity_sold
    from purchase_trends
    group by product
"""

_SCHEDULED_PAYMENTS_SUMMARY = """
    select
        customer_id,
        count(*) filter (where status = 'scheduled') as scheduled_count,
        coalesce(sum(amount) filter (where status = 'scheduled'), 0)::numeric(22, 2) as scheduled_amount,
        min(due_date) filter (where status = 'scheduled' and due_date >= %(today)s) as next_due_date,
        count(*) filter (where status = 'scheduled' and due_date < %(today)s) as overdue_count,
        coalesce(sum(amount) filter (where status = 'scheduled' and due_date < %(today)s), 0)::numeric(22, 2)
            as overdue_amount,
        count(*) filter (where status = 'executed') as executed_count,
        count(*) filter (where status = 'failed') as failed_count,
        count(*) filter (where status = 'cancelled') as cancelled_count
    from scheduled_payments join checking_account using (account_id)
    where customer_id is not null
    group by customer_id
"""


def customer_profile(balances: str) -> str:
    """The profile as SQL on the bank, from a query of its balances (customer_id, updt_ts, latest_balance)."""
    return f"""
    select
        customer_id,
        latest_balance,
        updt_ts,
        coalesce(total_transactions, 0)::numeric(22, 2) as total_transactions,
        average_transaction,
        coalesce(total_debits, 0)::numeric(22, 2) as total_debits,
        coalesce(total_credits, 0)::numeric(22, 2) as total_credits,
        coalesce(transaction_count, 0) as transaction_count,
        coalesce(scheduled_count, 0) as scheduled_count,
        coalesce(scheduled_amount, 0)::numeric(22, 2) as scheduled_amount,
        next_due_date,
        coalesce(overdue_count, 0) as overdue_count,
        coalesce(overdue_amount, 0)::numeric(22, 2) as overdue_amount,
        coalesce(executed_count, 0) as executed_count,
        coalesce(failed_count, 0) as failed_count,
        coalesce(cancelled_count, 0) as cancelled_count
    from customers
    left join ({balances}) as balances using (customer_id)
    left join ({_TRANSACTION_SUMMARY}) as totals using (customer_id)
    left join ({_SCHEDULED_PAYMENTS_SUMMARY}) as payments using (customer_id)
    """


_CUSTOMER = ("customer_id",)

MARTS = {
    "transaction_summary": Mart(_CUSTOMER, _TRANSACTION_SUMMARY),
    "customer_balance": Mart(_CUSTOMER, _CUSTOMER_BALANCE, _WITHOUT_COMMIT_TIMES.format(mart="customer_balance")),
    "customer_balance_history": Mart(_CUSTOMER, _PRESENT_BALANCE, _LAST_CLOSING_BALANCE),
    "customer_transactions": Mart(("transaction_id",), _CUSTOMER_TRANSACTIONS),
    "customer_scheduled_payments": Mart(("payment_id",), _CUSTOMER_SCHEDULED_PAYMENTS),
    "daily_transactions": Mart(("transaction_date", "category"), _DAILY_TRANSACTIONS),
    "daily_purchases": Mart(("purchase_date", "product"), _DAILY_PURCHASES),
    "daily_scheduled_payments": Mart(("due_date", "status"), _DAILY_SCHEDULED_PAYMENTS),
    "popular_products": Mart(("product",), _POPULAR_PRODUCTS),
    "scheduled_payments_summary": Mart(_CUSTOMER, _SCHEDULED_PAYMENTS_SUMMARY),
    "customer_profile": Mart(
        _CUSTOMER, customer_profile(_CUSTOMER_BALANCE), _WITHOUT_COMMIT_TIMES.format(mart="customer_profile")
    ),
}
