"""The bank's calendar. All dates and times are UTC."""

import calendar
from collections.abc import Iterator
from datetime import date, datetime, timedelta

_HOLIDAYS = {(1, 1), (5, 1), (12, 25), (12, 26)}


def days_between(start: datetime, until: datetime) -> Iterator[date]:
    """The days from one moment to another, both days included."""
    for number in range((until.date() - start.date()).days + 1):
        yield start.date() + timedelta(days=number)


def is_working_day(day: date) -> bool:
    """Monday to Friday, but for the fixed holidays."""
    return day.weekday() < 5 and (day.month, day.day) not in _HOLIDAYS


def working_day_from(day: date) -> date:
    """The day itself, or the first working day after it: when a payment due then is carried out."""
    while not is_working_day(day):
        day += timedelta(days=1)
    return day


def working_day_until(day: date) -> date:
    """The day itself, or the last working day before it: when a salary for then is paid."""
    while not is_working_day(day):
        day -= timedelta(days=1)
    return day


def month_end(day: date) -> date:
    """The last day of the day's month."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def next_due(due: date, frequency: str) -> date | None:
    """When a standing order falls due again; None for a one-off. Monthly: the 28th at the latest."""
    if frequency == "weekly":
        return due + timedelta(days=7)
    if frequency == "monthly":
        following = month_end(due) + timedelta(days=1)
        return following.replace(day=min(due.day, 28))
    return None
