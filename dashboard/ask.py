"""Gold for the pages: what a page needs, asked for at once, and kept for a moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pandas
import streamlit as st

from dashboard.errors import DashboardError
from dashboard.gold import Gold, Parameter, open_gold

# Seconds for which an answer is shown again before Gold is asked anew. Pages that refresh themselves do so as often.
FRESH = 10
AT_ONCE = 4
# Filters that let everything through.
ALL = "all"


@st.cache_resource(show_spinner=False)
def gold() -> Gold:
    """The store, once for all who look."""
    return open_gold()


def ask(*queries: str, **parameters: Parameter) -> list[pandas.DataFrame]:
    """The rows of each query, in order. A page that can't have them says why, and ends there.

    Args:
        queries: names of queries.
        parameters: for all of them.
    """
    try:
        with st.spinner("Reading Gold"):
            return _answers(queries, tuple(sorted(parameters.items())))
    except DashboardError as error:
        st.error(str(error), icon=":material/error:")
        st.stop()


@st.cache_data(ttl=FRESH, max_entries=500, show_spinner=False)
def _answers(queries: tuple[str, ...], parameters: tuple[tuple[str, Parameter], ...]) -> list[pandas.DataFrame]:
    store = gold()
    publication = store.published()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda name: store.query(name, publication, **dict(parameters)), queries))


def now() -> datetime:
    """The time, UTC, without saying so, as in all rows."""
    return datetime.now(UTC).replace(tzinfo=None)


def today() -> date:
    """The day, UTC."""
    return now().date()


def days_ago(days: int) -> date:
    """A day before today, UTC."""
    return today() - timedelta(days=days)
