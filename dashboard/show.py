"""How figures look: numbers, tables with their CSV, charts with words for those who can't see them, and filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import altair
import pandas
import streamlit as st

from dashboard.ask import ALL, ask, days_ago, now

NOTHING = "\N{EN DASH}"
ANY_DAY = (date(2000, 1, 1), date(2099, 12, 31))


def is_nothing(value: Any) -> bool:
    """Whether there is no value: a query's NULL, however pandas keeps it."""
    return value is None or bool(pandas.isna(value))


def money(value: Any) -> str:
    """1234.5 as `1,234.50`."""
    return NOTHING if is_nothing(value) else f"{Decimal(value):,.2f}"


def number(value: Any) -> str:
    """1234 as `1,234`."""
    return NOTHING if is_nothing(value) else f"{int(value):,}"


def share(value: Any) -> str:
    """0.1234 as `12.34%`."""
    return NOTHING if is_nothing(value) else f"{float(value):.2%}"


def day(value: Any) -> str:
    """A day as `2026-11-25`."""
    return NOTHING if is_nothing(value) else f"{value:%Y-%m-%d}"


def time(value: Any) -> str:
    """A time (UTC) as `2026-11-25 17:40:12`."""
    return NOTHING if is_nothing(value) else f"{value:%Y-%m-%d %H:%M:%S}"


def text(value: Any) -> str:
    """A text as it is: nothing in it is taken for markup."""
    if is_nothing(value):
        return NOTHING
    return "".join(
        f"\\{character}" if character in "\\`*_{}[]()<>#+-.!|~$:&" else character for character in str(value)
    )


def customer(value: Any) -> str:
    """A customer's number, leading to their page."""
    return NOTHING if is_nothing(value) else f"[{int(value)}](/customer?customer={int(value)})"


def age(moment: datetime | None) -> str:
    """How long ago a time (UTC) was, in the largest unit that fits: `3 min ago`."""
    if is_nothing(moment) or moment is None:
        return NOTHING
    passed = max(now() - moment, timedelta(0))
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if passed >= length:
            return f"{passed // length} {unit} ago"
    return f"{passed.seconds} s ago"


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and how a value is written."""

    label: str
    shown: Callable[[Any], str] = text


def table(rows: pandas.DataFrame, columns: Mapping[str, Column], name: str, *, empty: str) -> None:
    """A table, and the same rows as CSV, in full precision.

    Args:
        rows: as Gold gave them.
        columns: which are shown, in order.
        name: what the table is called, by a reader and in the CSV's name.
        empty: what is said when there are no rows.
    """
    st.header(name)
    if rows.empty:
        st.info(empty, icon=":material/info:")
        return
    chosen = rows[list(columns)]
    labels = {key: column.label for key, column in columns.items()}
    written = chosen.rename(columns=labels).style.format({column.label: column.shown for column in columns.values()})
    st.table(written, hide_index=True, border="horizontal", alt=name)
    st.download_button(
        f"{name} as CSV",
        chosen.to_csv(index=False),
        file_name=f"{name.lower().replace(' ', '_')}.csv",
        mime="text/csv",
        key=f"csv {name}",
        on_click="ignore",
        icon=":material/download:",
    )


def figures(values: Mapping[str, str], helps: Mapping[str, str] | None = None) -> None:
    """Figures side by side, each with its name; one below the other on a phone."""
    for column, (label, value) in zip(st.columns(len(values)), values.items(), strict=True):
        column.metric(label, value, help=(helps or {}).get(label), border=True)


def lines(rows: pandas.DataFrame, x: str, ys: Mapping[str, str], alt: str, *, is_step: bool = False) -> None:
    """A line for each of some columns, over days; told apart by colour and by dashes.

    Args:
        rows: one a day.
        x: the column of the day.
        ys: columns of numbers, and what they are called.
        alt: the chart in words.
        is_step: whether a value holds until the next one.
    """
    long = rows[[x, *ys]].rename(columns=dict(ys)).melt(x, var_name="figure", value_name="value")
    long["value"] = long["value"].astype(float)
    named = list(ys.values())
    mark = altair.Chart(long).mark_line(
        interpolate="step-after" if is_step else "linear", point=len(rows) < 3, aria=False
    )
    chart = mark.encode(
        x=altair.X(f"{x}:T", title=None, axis=altair.Axis(format="%b %d", labelOverlap=True)),
        y=altair.Y("value:Q", title=None, axis=altair.Axis(format="~s")),
        color=altair.Color("figure:N", title=None, sort=named, legend=legend(len(named))),
        strokeDash=altair.StrokeDash("figure:N", title=None, sort=named, legend=legend(len(named))),
        tooltip=[
            altair.Tooltip(f"{x}:T", title="Day", format="%Y-%m-%d"),
            altair.Tooltip("figure:N", title="Figure"),
            altair.Tooltip("value:Q", title="Value", format=",.2f"),
        ],
    )
    draw(chart, alt)


def bars(rows: pandas.DataFrame, label: str, value: str, alt: str, *, shown: str = ",") -> None:
    """A horizontal bar for each row, the longest first."""
    short = rows[[label, value]].assign(**{value: rows[value].astype(float)})
    chart = (
        altair.Chart(short)
        .mark_bar(aria=False)
        .encode(
            x=altair.X(f"{value}:Q", title=None, axis=altair.Axis(format="~s")),
            y=altair.Y(f"{label}:N", title=None, sort="-x"),
            tooltip=[altair.Tooltip(f"{label}:N"), altair.Tooltip(f"{value}:Q", format=shown)],
        )
    )
    draw(chart, alt)


def calendar(rows: pandas.DataFrame, x: str, value: str, alt: str) -> None:
    """A square for each day, weeks side by side: the darker, the more."""
    long = rows[[x, value]].assign(**{value: rows[value].astype(float)})
    base = altair.Chart(long).encode(
        x=altair.X(f"yearweek({x}):O", title=None, axis=altair.Axis(format="%b %d", labelAngle=0, labelOverlap=True)),
        y=altair.Y(f"day({x}):O", title=None),
        tooltip=[altair.Tooltip(f"{x}:T", title="Day", format="%Y-%m-%d"), altair.Tooltip(f"{value}:Q", format=",")],
    )
    squares = base.mark_rect(aria=False).encode(
        color=altair.Color(f"{value}:Q", title=None, legend=None, scale=altair.Scale(scheme="blues"))
    )
    draw(squares, alt)


def legend(count: int) -> altair.Legend | None:
    """Above the chart, where there is more than one line."""
    return altair.Legend(orient="top", aria=False) if count > 1 else None


def draw(chart: Any, alt: str) -> None:
    """A chart, with what it shows in words; the figures themselves are in the table below it."""
    st.altair_chart(chart.properties(height=260), width="stretch", alt=alt)


def period(*, ahead: int = 0) -> dict[str, date]:
    """Two fields for the first and the last day, the last 30 days at first; as parameters of queries.

    Args:
        ahead: days after today that are shown at first.
    """
    left, right = st.columns(2)
    first = left.date_input("From", days_ago(30), *ANY_DAY, key="from", format="YYYY-MM-DD", bind="query-params")
    last = right.date_input("To", days_ago(-ahead), *ANY_DAY, key="to", format="YYYY-MM-DD", bind="query-params")
    if not isinstance(first, date) or not isinstance(last, date) or first > last:
        st.warning("The period ends before it begins. Choose an earlier day in `From`, or a later one in `To`.")
        st.stop()
    return {"from_date": first, "to_date": last}


def choice(label: str, query: str) -> str:
    """A field with everything that a query's one column gives to choose from; `all` at first."""
    (rows,) = ask(query)
    options = [ALL, *rows.iloc[:, 0].tolist()]
    return str(st.selectbox(label, options, key=label.lower(), bind="query-params"))


def customer_number(*, is_needed: bool = False) -> int | None:
    """A field for a customer's number; None while it is empty."""
    written = st.text_input(
        "Customer",
        key="customer",
        placeholder="Number" if is_needed else "All",
        help="The bank's own number of the customer.",
        bind="query-params",
    ).strip()
    if not written:
        return None
    if not (written.isascii() and written.isdigit()) or int(written) > 2**31 - 1:
        st.error(f"{text(written)} is no customer's number: only digits, up to 2147483647.", icon=":material/error:")
        st.stop()
    return int(written)


def of_one_customer(rows: pandas.DataFrame) -> pandas.DataFrame:
    """One customer's figures under the names of the bank's, so that a page shows either."""
    return rows.rename(columns=lambda name: name.removeprefix("customer_").replace("transacted_at", "transaction_date"))


def share_of_all(rows: pandas.DataFrame, column: str) -> pandas.Series[float]:
    """Each row's part of a column's sum."""
    total = rows[column].sum()
    return rows[column] / total if total else rows[column] * 0.0


def updated() -> None:
    """When the page was filled last."""
    st.markdown(f"Updated at {now():%H:%M:%S} UTC")
