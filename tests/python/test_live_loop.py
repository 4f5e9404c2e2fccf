"""Which builds the service runs, and when; dbt and Spark are there in tests/python/integration/test_live.py."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from pipeline import PROJECT

import live.builder
from live import service
from live.builder import Outcome
from live.moved import MovedTables


class Builder:
    """Says of each build what it would have built; a build of a broken table fails."""

    def __init__(self, moved: MovedTables, broken: set[str]) -> None:
        self.moved, self.broken = moved, broken
        self.builds: list[str] = []

    def build(self, tables: Iterable[str] | None = None) -> Outcome:
        names = ["everything"] if tables is None else sorted(tables)
        self.builds.append(", ".join(names))
        # Messages keep coming to both.
        self.moved.add("good", "bad")
        failed = frozenset(self.broken & {*names})
        return Outcome(0.0, [f"{name}: it is broken" for name in failed], not failed, failed)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> MovedTables:
    monkeypatch.setattr(service, "SETTLE", 0.0)
    monkeypatch.setattr(service, "TICK", 0.01)
    return MovedTables()


def follow(builder: Builder, moved: MovedTables, *, until: int) -> list[str]:
    """Run the loop until there were so many builds, or for ten seconds; the lines that it reports."""
    deadline = time.monotonic() + 10
    said: list[str] = []
    steps = SimpleNamespace(built=lambda: None, is_due=lambda: False)
    bronze = SimpleNamespace(error=None, is_alive=lambda: True)
    service.follow(
        bronze,  # type: ignore[arg-type]
        builder,  # type: ignore[arg-type]
        moved,
        steps,  # type: ignore[arg-type]
        keep_alive=lambda: None,
        report=said.append,
        should_stop=lambda: len(builder.builds) >= until or time.monotonic() > deadline,
    )
    return said


def test_a_table_that_fails_holds_up_no_other(moved: MovedTables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RETRY", 60.0)
    builder = Builder(moved, {"bad"})
    said = follow(builder, moved, until=4)
    assert builder.builds == ["everything", "bad, good", "good", "good"]
    assert said.count("bad: it is broken") == 1


def test_what_failed_is_tried_again(moved: MovedTables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RETRY", 0.0)
    builder = Builder(moved, {"everything"})
    said = follow(builder, moved, until=2)
    assert builder.builds == ["everything", "everything"]
    assert sum(line.startswith("It is tried again in ") for line in said) == 2


def test_a_failed_model_names_the_bronze_tables_that_it_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path))
    project = live.builder.Builder(PROJECT)
    totals, marts = (f"model.financial_insights.{name}" for name in ("int_transaction_totals", "published_marts"))
    assert project._bronze_behind([totals]) == {"transactions"}
    assert project._bronze_behind([marts]) == {*project._sources}
