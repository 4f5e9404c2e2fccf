"""What the comparison found, for a person."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich import box
from rich.markup import escape
from rich.table import Table

from reconcile.check import Difference, Result
from reconcile.project import Column

KINDS = ("missing", "too many", "different")


def summary(results: Sequence[Result]) -> Table:
    """A line for each table that was compared."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("table", no_wrap=True)
    table.add_column("against")
    for name in ("bank", "here", *KINDS):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        more = "" if result.is_complete else "+"
        table.add_row(
            escape(result.comparison.table),
            escape(result.comparison.against),
            f"{result.expected:,}",
            f"{result.actual:,}",
            *(f"{result.counts[kind]:,}{more}" if result.counts[kind] else more for kind in KINDS),
            style=None if result.is_equal else "red",
        )
    return table


def differences(result: Result) -> Table:
    """The first keys that differ, each with what is wrong with it."""
    key = result.comparison.columns[: result.comparison.keys]
    shown, known = len(result.differences), result.counts.total()
    title = escape(result.comparison.table)
    if not result.is_complete:
        title += f": the first {shown} of more than {known:,} keys"
    elif shown < known:
        title += f": the first {shown} of {known:,} keys"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in key:
        table.add_column(escape(column.name), justify="right")
    table.add_column("what")
    table.add_column("in")
    for difference in result.differences:
        texts = (_shown(column, text) for column, text in zip(key, difference.key, strict=True))
        table.add_row(*map(escape, texts), difference.kind, escape("\n".join(_columns(difference))))
    return table


def mending(results: Sequence[Result]) -> Iterator[str]:
    """A line for each table of Silver that differs, with the command that reads it, or the keys that differ, again."""
    for result in results:
        comparison = result.comparison
        if comparison.bank is None or not comparison.against.startswith("public."):
            continue
        command = f"make resnapshot TABLE={shlex.quote(comparison.against.removeprefix('public.'))}"
        keys = [difference.key[0] or "" for difference in result.differences]
        if comparison.keys == 1 and len(keys) == result.counts.total() and result.is_complete and all(keys):
            words = (f'"{key}"' if set(key) & set(', "') else key for key in keys if '"' not in key)
            command += f" KEYS={shlex.quote(','.join(words))}" if not any('"' in key for key in keys) else ""
        yield f"{comparison.table} kept what the bank changed without a message, if its models are right: {command}"


def _columns(difference: Difference) -> Iterator[str]:
    """A line for each column that differs. Of texts only the name: they are long, and may be about people."""
    for column, bank, ours in difference.columns:
        if column.data_type.startswith(("string", "varchar", "char", "binary", "array")):
            yield column.name
        else:
            yield f"{column.name}: {_shown(column, bank)} in the bank, {_shown(column, ours)} here"


def _shown(column: Column, text: str | None) -> str:
    """A canonical text as a reader expects it."""
    if text is None:
        return "nothing"
    if column.data_type.startswith("timestamp") and text.removeprefix("-").isdecimal():
        try:
            return str(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(text))).removesuffix("+00:00")
        except OverflowError:
            return f"{text} µs"
    return text
