"""One customer: what they have and had, what moved, what is to be paid, and what the bank wrote about them."""

from __future__ import annotations

import streamlit as st

from dashboard import show
from dashboard.ask import ALL, ask
from dashboard.show import Column

PAYMENTS = {
    "due_date": Column("Due", show.day),
    "payee": Column("Payee"),
    "state": Column("State"),
    "frequency": Column("Frequency"),
    "amount": Column("Amount", show.money),
}
TRANSACTIONS = {
    "transacted_at": Column("Time (UTC)", show.time),
    "category": Column("Category"),
    "transaction_type": Column("Type"),
    "amount": Column("Amount", show.money),
    "account_id": Column("Account"),
}
HISTORY = {
    "valid_from": Column("From (UTC)", show.time),
    "valid_to": Column("To (UTC)", show.time),
    "full_name": Column("Name"),
    "email": Column("E-mail"),
    "is_deleted": Column("Deleted", lambda is_deleted: "yes" if is_deleted else "no"),
}


def page() -> None:
    """Draw the page."""
    st.title("Customer")
    number = show.customer_number(is_needed=True)
    if number is None:
        st.info("Write a customer's number above, or follow one from another page.", icon=":material/info:")
        return
    days = show.period()
    profile, history, balances, totals, payments, transactions = ask(
        *("customer", "customer_history", "customer_balance_by_day", "customer_money_totals"),
        *("customer_scheduled_payments", "customer_transactions"),
        **days,
        category=ALL,
        customer_id=number,
    )
    if profile.empty:
        st.warning(f"There is no customer {number}. Those with most money moved are on the page Transactions.")
        show.table(history, HISTORY, "History of changes", empty="The bank never wrote anything about them.")
        return
    whole, moved = profile.iloc[0], totals.iloc[0]
    if len(history):
        st.markdown(f"**{show.text(history.full_name.iloc[0])}**, customer {number}")
    show.figures(
        {
            "Balance": show.money(whole.latest_balance),
            "Money in": show.money(moved.customer_money_in),
            "Money out": show.money(moved.customer_money_out),
            "Transactions": show.number(moved.customer_transactions),
        },
        {"Balance": "Money on all accounts now. The other figures are of the period."},
    )
    show.figures(
        {
            "Due": show.number(whole.scheduled_count),
            "Amount due": show.money(whole.scheduled_amount),
            "Overdue": show.number(whole.overdue_count),
            "Amount overdue": show.money(whole.overdue_amount),
            "Failed": show.number(whole.failed_count),
        },
        {"Failed": "Scheduled payments that ever failed for lack of funds."},
    )
    if len(balances):
        alt = f"Balance of customer {number} at the end of each day on which it changed."
        show.lines(balances, "balance_date", {"closing_balance": "Balance"}, alt, is_step=True)
    show.table(
        balances.iloc[::-1],
        {"balance_date": Column("Day", show.day), "closing_balance": Column("Balance", show.money)},
        "Balance by day",
        empty="The balance didn't change in this period.",
    )
    show.table(payments, PAYMENTS, "Scheduled payments", empty="Nothing is planned, and nothing was in this period.")
    show.table(history, HISTORY, "History of changes", empty="Nothing is known; it is taken up by: dbt snapshot")
    show.table(transactions, TRANSACTIONS, "Transactions", empty="Nothing moved in this period.")
