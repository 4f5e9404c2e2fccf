"""Transactions as they come: totals by day, category and customer, which refresh themselves."""

from __future__ import annotations

from datetime import date

import streamlit as st

from dashboard import show
from dashboard.ask import FRESH, ask
from dashboard.show import Column

FIGURES = {
    "money_moved": Column("Moved", show.money),
    "average_transaction": Column("Average", show.money),
    "money_out": Column("Debits", show.money),
    "money_in": Column("Credits", show.money),
    "transactions": Column("Transactions", show.number),
}


def page() -> None:
    """Draw the page."""
    st.title("Transactions")
    days = show.period()
    left, right = st.columns(2)
    with left:
        category = show.choice("Category", "categories")
    with right:
        customer = show.customer_number()
    live(days, category, customer)


@st.fragment(run_every=FRESH)
def live(days: dict[str, date], category: str, customer: int | None) -> None:
    """The figures, of all customers or one; they come anew by themselves."""
    queries = ("money_totals", "money_by_day", "money_by_category")
    if customer is None:
        totals, by_day, by_category, by_customer = ask(*queries, "money_by_customer", **days, category=category)
    else:
        of_one = ask(*(f"customer_{query}" for query in queries), **days, category=category, customer_id=customer)
        totals, by_day, by_category = map(show.of_one_customer, of_one)
    show.updated()
    moved = totals.iloc[0]
    show.figures({column.label: column.shown(moved[name]) for name, column in FIGURES.items()})
    empty = "There is no such transaction in this period."
    if len(by_day):
        alt = f"Debits and credits by day, from {show.day(days['from_date'])} to {show.day(days['to_date'])}."
        show.lines(by_day, "transaction_date", {"money_in": "Credits", "money_out": "Debits"}, alt)
    show.table(
        by_day.iloc[::-1], {"transaction_date": Column("Day", show.day), **FIGURES}, "Transactions by day", empty=empty
    )
    show.table(
        by_category.sort_values(["money_moved", "category"], ascending=[False, True]),
        {"category": Column("Category"), **FIGURES},
        "Transactions by category",
        empty=empty,
    )
    if customer is None:
        show.table(
            by_customer,
            {
                "customer": Column("Customer", show.customer),
                **{f"lifetime_{name}": column for name, column in FIGURES.items()},
            },
            "Customers of all time",
            empty="No customer has a transaction yet.",
        )
