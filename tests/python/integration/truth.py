"""The same figures, computed by SQL on Postgres: what Silver and Gold must hold, row by row."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import psycopg.rows

from reconcile import MARTS, customer_profile

# Every state that an account was in, in the order of the commits (a row's lock holds the next change back until then).
# It begins with the rows that the snapshot reads. The time of a commit is Postgres's own.
AUDIT = """
create schema audit;

create table audit.account_changes (
    sequence BIGSERIAL primary key,
    operation TEXT not null,
    account_id INT not null,
    customer_id INT,
    account_balance NUMERIC(10, 2),
    last_transaction_date TIMESTAMP
);

insert into audit.account_changes (operation, account_id, customer_id, account_balance, last_transaction_date)
select 'SNAPSHOT', account_id, customer_id, account_balance, last_transaction_date from checking_account;

create function audit.note_row() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and old.account_id <> new.account_id then
        insert into audit.account_changes (operation, account_id, customer_id, account_balance)
        values ('DELETE', old.account_id, old.customer_id, old.account_balance);
    end if;
    if tg_op <> 'DELETE' then
        insert into audit.account_changes
            (operation, account_id, customer_id, account_balance, last_transaction_date)
        values (tg_op, new.account_id, new.customer_id, new.account_balance, new.last_transaction_date);
    end if;
    return null;
end $$;

create function audit.note_truncate() returns trigger language plpgsql as $$
begin
    insert into audit.account_changes (operation, account_id, customer_id, account_balance)
    select 'DELETE', account_id, customer_id, account_balance from checking_account;
    return null;
end $$;

create trigger note_row after insert or update or delete on checking_account
for each row execute function audit.note_row();

create trigger note_truncate before truncate on checking_account
for each statement execute function audit.note_truncate();
"""

# One query for each Gold table, `make reconcile`'s own where the bank's present state tells all. `today` is the day on
# which Gold is read; `snapshot_at` stands for the commit time of what the snapshot read.
GOLD = {
    "transaction_summary": MARTS["transaction_summary"].bank,
    "customer_balance": """
        select
            customer_id,
            max(coalesce(
                last_transaction_date at time zone 'UTC',
                case when exists (
                    select from audit.account_changes as change
                    where change.account_id = checking_account.account_id and operation <> 'SNAPSHOT'
                ) then pg_xact_commit_timestamp(checking_account.xmin) else %(snapshot_at)s end
            )) as updt_ts,
            sum(account_balance)::numeric(20, 2) as latest_balance
        from checking_account
        where customer_id is not null
        group by customer_id
    """,
    "customer_balance_history": """
        with changes as (
            select
                sequence,
                account_id,
                customer_id,
                account_balance,
                operation <> 'DELETE' as is_there,
                case when operation <> 'DELETE' and last_transaction_date is not null
                    then last_transaction_date
                    else (case when operation = 'SNAPSHOT' then %(snapshot_at)s
                        else pg_xact_commit_timestamp(xmin) end) at time zone 'UTC'
                end::date as day
            from audit.account_changes
        ),
        owners as (
            select
                account_id,
                sequence,
                day,
                case when is_there then customer_id end as owner,
                lag(case when is_there then customer_id end) over (partition by account_id order by sequence)
                    as owner_before
            from changes
        ),
        days as (
            select owner as customer_id, day from owners where owner is not null
            union
            select owner_before, day from owners where owner_before is not null
        )
        select
            customer_id,
            day as balance_date,
            coalesce(sum(account_balance) filter (where is_there), 0)::numeric(20, 2) as closing_balance
        from days left join lateral (
            select distinct on (account_id) account_id, customer_id as owner, account_balance, is_there
            from changes
            where changes.day <= days.day
            order by account_id, sequence desc
        ) as last_known on owner = customer_id
        group by customer_id, day
    """,
    **{
        name: MARTS[name].bank
        for name in (
            "customer_transactions",
            "customer_scheduled_payments",
            "daily_transactions",
            "daily_purchases",
            "daily_scheduled_payments",
            "popular_products",
            "scheduled_payments_summary",
        )
    },
}
GOLD["customer_profile"] = customer_profile(GOLD["customer_balance"])

SILVER = {
    "stg_bank__customers": """
        select customer_id, full_name, email, kyc_notes, created_at, updated_at from customers
    """,
    "stg_bank__checking_accounts": """
        select
            account_id, customer_id, account_holder_name, account_balance,
            last_transaction_date at time zone 'UTC' as last_transaction_at
        from checking_account
    """,
    "stg_bank__transactions": """
        select transaction_id, account_id, transaction_type, category, amount, transaction_date as transacted_at
        from transactions
    """,
    "stg_bank__scheduled_payments": """
        select payment_id, account_id, transaction_id, payee, frequency, status, amount, due_date, updated_at
        from scheduled_payments
    """,
    "stg_bank__purchases": """
        select id as purchase_id, product, quantity, purchase_date at time zone 'UTC' as purchased_at
        from purchase_trends
    """,
}

Rows = list[dict[str, Any]]


def figures(connection: psycopg.Connection[Any], *, today: date, snapshot_at: datetime) -> dict[str, Rows]:
    """Every Silver and Gold table as it must be now."""
    parameters = {"today": today, "snapshot_at": snapshot_at}
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return {name: cursor.execute(query, parameters).fetchall() for name, query in {**SILVER, **GOLD}.items()}


def difference(expected: Rows, actual: Rows) -> str:
    """What the second has too much or too little, compared with the first; empty when they hold the same rows.

    Money must agree in its decimals as well: `1.50` is not `1.5`.
    """
    wanted, got = Counter(map(_as_text, expected)), Counter(map(_as_text, actual))
    missing, extra = sorted((wanted - got).elements()), sorted((got - wanted).elements())
    lines = [f"Postgres: {row}" for row in missing[:20]] + [f"dbt:      {row}" for row in extra[:20]]
    counts = f"{len(missing)} rows are missing and {len(extra)} too many, of {len(expected)}:"
    return "\n".join([counts, *lines]) if lines else ""


def _as_text(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_value(row[name])}" for name in sorted(row))


def _value(value: Any) -> str:
    if isinstance(value, datetime):
        assert value.utcoffset() is not None, "a time must know its time zone"
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return repr(value)
