"""Scheduled payments: the calendar, what is due and overdue, and whose fail."""

from __future__ import annotations

import streamlit as st

from dashboard import show
from dashboard.ask import ask
from dashboard.show import Column

FIGURES = {
    "scheduled_payments": Column("Due", show.number),
    "scheduled_amount": Column("Amount due", show.money),
    "overdue_payments": Column("Overdue", show.number),
    "overdue_amount": Column("Amount overdue", show.money),
    "executed_payments": Column("Executed", show.number),
    "failed_payments": Column("Failed", show.number),
    "cancelled_payments": Column("Cancelled", show.number),
    "payment_failure_rate": Column("Failure rate", show.share),
}
FAILING = {
    "customer": Column("Customer", show.customer),
    "lifetime_failed_payments": Column("Failed", show.number),
    "lifetime_executed_payments": Column("Executed", show.number),
    "lifetime_payment_failure_rate": Column("Failure rate", show.share),
    "lifetime_overdue_payments": Column("Overdue", show.number),
    "lifetime_overdue_amount": Column("Amount overdue", show.money),
}


def page() -> None:
    """Draw the page."""
    st.title("Scheduled payments")
    days = show.period(ahead=30)
    customer = show.customer_number()
    if customer is None:
        totals, by_day, failing = ask("payment_totals", "payments_by_day", "payments_by_customer", **days)
    else:
        of_one = ask("customer_payment_totals", "customer_payments_by_day", **days, customer_id=customer)
        totals, by_day = map(show.of_one_customer, of_one)
    whole = totals.iloc[0]
    written = {column.label: column.shown(whole[name]) for name, column in FIGURES.items()}
    show.figures({label: written[label] for label in ("Due", "Amount due", "Overdue", "Amount overdue")})
    show.figures({label: written[label] for label in ("Executed", "Failed", "Cancelled", "Failure rate")})
    if customer is None:
        show.table(failing, FAILING, "Payments that fail most", empty="No customer has a scheduled payment yet.")
    if len(by_day):
        st.header("Calendar")
        counted = by_day.assign(payments=by_day[[name for name in FIGURES if name in COUNTED]].sum(axis="columns"))
        alt = (
            f"Scheduled payments by the day they are due, {show.day(days['from_date'])} to {show.day(days['to_date'])}."
        )
        show.calendar(counted, "due_date", "payments", alt)
    show.table(
        by_day, {"due_date": Column("Day", show.day), **FIGURES}, "Payments by day", empty="None is due in this period."
    )


# Overdue ones are among those that are due.
COUNTED = {"scheduled_payments", "executed_payments", "failed_payments", "cancelled_payments"}
