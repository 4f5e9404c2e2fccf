"""Plots of the figures, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Drawing

from benchmarks.live import Course
from benchmarks.results import BAR, Figure

# A ratio beyond is told in figures; its bar ends here, so that the others can be seen.
WIDEST = 3.0

SETTINGS = {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9}


def draw(figures: list[Figure], growth: list[dict[str, Any]], memory: list[tuple[float, int]], to: Path) -> None:
    """Draw what there is: the ratios, the increments by the table's size, and the memory's course.

    Args:
        figures: all of them.
        growth: increments, each with `kind`, `rows`, `seconds` and `bytes`.
        memory: seconds since the start, and bytes of the whole stack.
        to: folder.
    """
    with matplotlib.rc_context(SETTINGS):  # type: ignore[arg-type]
        draw_ratios([one for one in figures if one.ratio is not None], to / "ratios.svg")
        if growth:
            draw_growth(growth, to / "growth.svg")
        if memory:
            draw_memory(memory, to / "memory.svg")


def draw_course(course: Course, to: Path) -> None:
    """Draw how far Gold was behind, and how it caught up after a burst; what was not measured stays as it was."""
    with matplotlib.rc_context(SETTINGS):  # type: ignore[arg-type]
        if course.latencies:
            draw_latencies(course.latencies, to / "latency.svg")
        if course.seen:
            draw_burst(course, to / "burst.svg")


def draw_latencies(latencies: dict[str, list[float]], path: Path) -> None:
    """A histogram of the seconds from commit to Gold for each load, as shares of its changes."""
    figure, axes = plt.subplots(figsize=(8, 3))
    widest = max(max(found) for found in latencies.values())
    for name, found in latencies.items():
        shares = [100 / len(found)] * len(found)
        axes.hist(found, bins=40, range=(0, widest), weights=shares, alpha=0.6, label=f"{name} ({len(found):,})")
    axes.set(xlabel="seconds from the commit in Postgres until a reader of Gold has it", ylabel="% of the changes")
    axes.legend()
    save(figure, path)


def draw_burst(course: Course, path: Path) -> None:
    """Rows that the bank had committed and rows that Gold had, in the course of a burst."""
    figure, axes = plt.subplots(figsize=(8, 3))
    for points, label in ((course.committed, "committed in Postgres"), (course.seen, "in Gold")):
        axes.step(
            [0.0, *(seconds for seconds, _ in points)], [0, *(rows for _, rows in points)], where="post", label=label
        )
    axes.set(xlabel="seconds since the first commit", ylabel="rows", ylim=(0, None))
    axes.legend()
    save(figure, path)


def draw_ratios(figures: list[Figure], path: Path) -> None:
    """A bar for each figure's ratio; what misses its goal is red, what has none is grey."""
    colours = {True: "tab:green", False: "tab:red", None: "tab:gray"}
    figure, axes = plt.subplots(figsize=(8, 0.4 + 0.32 * len(figures)))
    axes.barh(
        [one.figure for one in figures],
        [min(one.ratio or 0, WIDEST) for one in figures],
        color=[colours[one.met] for one in figures],
    )
    for place, one in enumerate(figures):
        ratio, bar = one.ratio or 0, BAR.search(one.goal)
        text = f" {ratio:.2f}" + (f", {bar[0]}" if bar and "GiB" not in one.goal else "")
        axes.text(min(ratio, WIDEST), place, text, va="center", fontsize=7)
    axes.axvline(1, color="black", linewidth=0.5)
    axes.invert_yaxis()
    axes.set(xlabel="ratio to the reference", xlim=(0, 1.5 * WIDEST))
    axes.tick_params(axis="y", labelsize=7)
    save(figure, path)


def draw_growth(growth: list[dict[str, Any]], path: Path) -> None:
    """Seconds and megabytes of each increment, by the table's rows."""
    figure, both = plt.subplots(1, 2, figsize=(8, 3))
    for axes, measure, unit, label in ((both[0], "seconds", 1.0, "s"), (both[1], "bytes", 1e6, "MB read")):
        for kind, mark in (("recent", "o"), ("scattered", "x")):
            runs = [run for run in growth if run["kind"] == kind]
            axes.plot([run["rows"] for run in runs], [run[measure] / unit for run in runs], mark, label=kind)
        axes.set(xscale="log", xlabel="rows of the table", ylabel=label, ylim=(0, None))
        axes.legend()
    save(figure, path)


def draw_memory(memory: list[tuple[float, int]], path: Path) -> None:
    """The stack's memory in the course of the run, in some hundred points, each the greatest of its stretch."""
    step = max(1, len(memory) // 300)
    stretches = [memory[place : place + step] for place in range(0, len(memory), step)]
    figure, axes = plt.subplots(figsize=(8, 3))
    axes.plot([one[0][0] / 60 for one in stretches], [max(size for _, size in one) / 2**30 for one in stretches])
    axes.axhline(6, color="tab:red", linewidth=0.5)
    axes.set(xlabel="minutes", ylabel="GiB of all processes", ylim=(0, None))
    save(figure, path)


def save(figure: Drawing, path: Path) -> None:
    """Write it without a date, so that the same figures give the same file."""
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
