"""What moved in the bank, what customers have, and how new that is."""

from __future__ import annotations

import streamlit as st

from dashboard import show
from dashboard.ask import ALL, ask
from dashboard.show import Column
from dashboard.views.pipeline import FRESHNESS


def page() -> None:
    """Draw the page."""
    st.title("Overview")
    days = show.period()
    totals, by_day, balances, active, health = ask(
        *("money_totals", "money_by_day", "balance_totals", "active_customers", "pipeline_health"), **days, category=ALL
    )
    moved = totals.iloc[0]
    show.figures(
        {
            "Money in": show.money(moved.money_in),
            "Money out": show.money(moved.money_out),
            "Transactions": show.number(moved.transactions),
        }
    )
    newest = health.last_committed_at.max() if len(health) else None
    show.figures(
        {
            "Balance": show.money(balances.total_balance.iloc[0]),
            "Customers": show.number(balances.customers.iloc[0]),
            "Active customers": show.number(active.customers.iloc[0]),
            "Data as of": show.age(newest),
        },
        {
            "Balance": "Money on all accounts of customers now.",
            "Active customers": "Customers whose balance last changed on the first day of the period or later.",
            "Data as of": "When the bank committed the newest change that is in these figures.",
        },
    )
    if len(by_day):
        alt = f"Money in and out by day, from {show.day(days['from_date'])} to {show.day(days['to_date'])}."
        show.lines(by_day, "transaction_date", {"money_in": "Money in", "money_out": "Money out"}, alt)
    show.table(
        by_day.iloc[::-1],
        {
            "transaction_date": Column("Day", show.day),
            "money_in": Column("Money in", show.money),
            "money_out": Column("Money out", show.money),
            "transactions": Column("Transactions", show.number),
        },
        "Money by day",
        empty="Nothing moved in this period.",
    )
    show.table(health, FRESHNESS, "Freshness", empty="No message has come yet. Run: make ingest build")
