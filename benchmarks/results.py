"""What was measured: figures, their file, the table in docs/benchmarks/README.md, and two files compared."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
BAR = re.compile(r"(at least|at most|under) ([\d.]+)")


class ResultsError(Exception):
    """A file of results can't be used. The message is one line."""


@dataclass
class Figure:
    """One measured thing. `ratio` is value by reference; `met` is None where there is no bar.

    `spread` is the least and the greatest of the value's runs, `against` says what the reference is, and
    `conditions` what it was measured on.
    """

    figure: str
    value: float | None
    reference: float | None
    ratio: float | None
    goal: str
    met: bool | None
    runs: list[dict[str, Any]]
    unit: str = "s"
    spread: list[float] = field(default_factory=list)
    against: str = ""
    note: str = ""
    conditions: dict[str, Any] = field(default_factory=dict)


def figure(
    name: str,
    runs: list[dict[str, Any]],
    *,
    goal: str,
    against: str,
    unit: str = "s",
    note: str = "",
    is_met: bool | None = True,
) -> Figure:
    """A figure of the medians of runs, each with `value` and `reference`.

    Args:
        name: as it is called in the table.
        runs: what each repeat gave.
        goal: in words; the bar is the number that follows "at least", "at most" or "under".
        against: what the reference is.
        unit: of both.
        note: what is to be known of it.
        is_met: whether what the goal asks beside its number holds; None for a figure that has no bar.
    """
    values = [run["value"] for run in runs]
    references = [run["reference"] for run in runs if run.get("reference") is not None]
    value, reference = median(values), median(references) if references else None
    ratio = value / reference if reference else None
    met = is_met and ratio is not None and holds(goal, ratio if "GiB" not in goal else value)
    return Figure(
        figure=name,
        value=round(value, 3),
        reference=None if reference is None else round(reference, 3),
        ratio=None if ratio is None else round(ratio, 3),
        goal=goal,
        met=None if is_met is None else met,
        runs=runs,
        unit=unit,
        spread=[round(min(values), 3), round(max(values), 3)],
        against=against,
        note=note,
    )


def holds(goal: str, number: float) -> bool:
    """Whether a number is on the right side of the bar that a goal names."""
    bar = BAR.search(goal)
    if bar is None:
        return True
    return number >= float(bar[2]) if bar[1] == "at least" else number <= float(bar[2])


def write_figures(path: Path, figures: list[Figure]) -> None:
    """Write the file of results, a list of objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in figures], indent=1) + "\n")


def read_figures(path: Path) -> list[Figure]:
    """Read a file of results.

    Raises:
        ResultsError: it isn't there, or is no such file.
    """
    try:
        objects = json.loads(path.read_text())
        if not isinstance(objects, list):
            raise TypeError
        figures = [Figure(**one) for one in objects]
        if not all(isinstance(one.ratio, int | float | None) for one in figures):
            raise TypeError
        return figures
    except OSError as error:
        raise ResultsError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ResultsError(f"{path} is no file of results. Such a file is made by: make bench") from None


def merged(old: list[Figure], new: list[Figure]) -> list[Figure]:
    """The old figures in their order, those measured again replaced, then what is new."""
    again = {one.figure: one for one in new}
    kept = [again.pop(one.figure, one) for one in old]
    return kept + list(again.values())


def compare(old: list[Figure], new: list[Figure], tolerance: float) -> tuple[list[str], bool]:
    """What became of each figure's ratio: a line each, and whether one with a bar got worse by more than the tolerance.

    Args:
        old: of one run.
        new: of a later one.
        tolerance: share of the old ratio; 0.15 is 15 %.
    """
    before, after = ({one.figure: one for one in figures} for figures in (old, new))
    lines, is_worse = [], False
    for name in [*before, *(name for name in after if name not in before)]:
        one, other = before.get(name), after.get(name)
        if one is None or other is None:
            lines.append(f"{name}: only in the {'new' if one is None else 'old'} file")
        elif one.ratio is None or other.ratio is None or not one.ratio:
            lines.append(f"{name}: no ratio")
        else:
            change = other.ratio / one.ratio - 1
            worse = -change if "at least" in other.goal else change
            verdict = "worse" if worse > tolerance else "better" if worse < -tolerance else "as before"
            if other.met is None:
                verdict += " (no bar)"
            elif verdict == "worse":
                is_worse = True
            lines.append(f"{name}: {one.ratio:.3f} -> {other.ratio:.3f}, {change:+.1%}, {verdict}")
    return lines, is_worse


def shown(number: float | None, unit: str) -> str:
    """A number with its unit, as a reader takes it in."""
    if number is None:
        return ""
    if unit == "bytes":
        return f"{number / 1e6:,.2f} MB"
    return f"{number:,.0f} {unit}" if number >= 1000 else f"{number:.2f} {unit}"


def row(one: Figure) -> list[str]:
    """A figure's line in a table."""
    met = {True: "met", False: "**missed**", None: ""}[one.met]
    reference = f"{shown(one.reference, one.unit)} ({one.against})" if one.reference is not None else one.against
    ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
    return [one.figure, shown(one.value, one.unit), reference, ratio, one.goal, met]


HEADINGS = ["figure", "value", "reference", "ratio", "goal", ""]


def markdown(figures: list[Figure]) -> str:
    """The table for docs/benchmarks/README.md, and what is to be known of its figures."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(row(one) for one in figures)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    notes = "\n".join(f"- {one.figure}: {one.note}" for one in figures if one.note)
    conditions = "\n".join(
        f"- {text}"
        for text in dict.fromkeys(", ".join(f"{k} {v}" for k, v in one.conditions.items()) for one in figures)
    )
    return f"{table}\n\nNotes:\n\n{notes}\n\nMeasured on:\n\n{conditions}"


def write_table(readme: Path, figures: list[Figure]) -> None:
    """Put the table between the markers of a Markdown file; a file of its own where there is none."""
    text = readme.read_text() if readme.exists() else f"{BEGIN}\n{END}\n"
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    readme.write_text(f"{head}{BEGIN}\n{markdown(figures)}\n{END}{tail}")
