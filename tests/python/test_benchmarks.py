"""The benchmark's own arithmetic; nothing is timed here."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pipeline import PROJECT

from benchmarks import Figure, ResultsError, compare, read_figures
from benchmarks.__main__ import main
from benchmarks.beside import newest_events
from benchmarks.bytes_read import read_by_table
from benchmarks.figures import critical_path, differences, told
from benchmarks.latency import PARTS, Latency
from benchmarks.live import Course, latency_figure
from benchmarks.plots import draw_course
from benchmarks.replay import statements
from benchmarks.results import BEGIN, END, figure, merged, write_figures, write_table
from benchmarks.spark_cost import SparkCost, cost_between

LATEST = PROJECT / "docs" / "benchmarks" / "latest.json"


def a_figure(name: str, ratio: float, goal: str = "at most 1.2", met: bool | None = True) -> Figure:
    return Figure(name, ratio, 1.0, ratio, goal, met, [{"value": ratio, "reference": 1.0}])


class TestFigure:
    def test_is_the_ratio_of_the_medians(self) -> None:
        runs = [{"value": value, "reference": reference} for value, reference in ((9.0, 2.0), (2.0, 5.0), (3.0, 1.0))]
        found = figure("f", runs, goal="at most 1.5", against="something")
        assert (found.value, found.reference, found.ratio, found.met) == (3.0, 2.0, 1.5, True)
        assert found.spread == [2.0, 9.0]

    @pytest.mark.parametrize(
        ("goal", "value", "met"),
        [
            ("at least 0.9 of its rate", 0.89, False),
            ("at least 0.9 of its rate", 0.95, True),
            ("at most 1.3 at 10M", 1.31, False),
            ("at most 1.2; the only exact one", 1.1, True),
            ("shown beside", 9.0, True),
        ],
    )
    def test_is_held_against_the_number_in_its_goal(self, goal: str, value: float, met: bool) -> None:
        assert figure("f", [{"value": value, "reference": 1.0}], goal=goal, against="it").met is met

    def test_memory_is_held_against_gibibytes_and_not_the_ratio(self) -> None:
        found = figure("m", [{"value": 6.5, "reference": 6.0}], goal="peak under 6 GiB", against="the bar", unit="GiB")
        assert found.met is False

    def test_is_missed_when_the_rest_of_its_goal_is(self) -> None:
        assert (
            figure("f", [{"value": 1.0, "reference": 1.0}], goal="at most 2", against="it", is_met=False).met is False
        )

    def test_without_a_bar_is_neither_met_nor_missed(self) -> None:
        assert (
            figure("f", [{"value": 9.0, "reference": 1.0}], goal="shown beside", against="it", is_met=None).met is None
        )


class TestCompare:
    def test_tells_what_became_worse(self) -> None:
        lines, is_worse = compare([a_figure("a", 1.0)], [a_figure("a", 1.2)], 0.15)
        assert lines == ["a: 1.000 -> 1.200, +20.0%, worse"]
        assert is_worse

    def test_within_the_tolerance_is_as_before(self) -> None:
        assert compare([a_figure("a", 1.0)], [a_figure("a", 1.14)], 0.15) == (
            ["a: 1.000 -> 1.140, +14.0%, as before"],
            False,
        )

    def test_a_rate_is_worse_when_it_falls(self) -> None:
        old, new = a_figure("a", 1.0, "at least 0.9"), a_figure("a", 0.8, "at least 0.9")
        assert compare([old], [new], 0.15)[1]
        assert not compare([new], [old], 0.15)[1]

    def test_what_has_no_bar_fails_nothing(self) -> None:
        lines, is_worse = compare([a_figure("a", 1.0)], [a_figure("a", 2.0, "shown beside", None)], 0.15)
        assert lines[0].endswith("worse (no bar)")
        assert not is_worse

    def test_names_what_only_one_file_has(self) -> None:
        lines, is_worse = compare([a_figure("a", 1.0)], [a_figure("b", 1.0)], 0.15)
        assert lines == ["a: only in the old file", "b: only in the new file"]
        assert not is_worse

    def test_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        old, new = tmp_path / "old.json", tmp_path / "new.json"
        write_figures(old, [a_figure("a", 1.0)])
        write_figures(new, [a_figure("a", 1.5)])
        assert main(["compare", str(old), str(new)]) == 1
        assert main(["compare", str(old), str(new), "--tolerance", "0.6"]) == 0
        assert main(["compare", str(old), str(tmp_path / "none.json")]) == 1
        assert capsys.readouterr().err.strip().splitlines() == [
            f"{tmp_path / 'none.json'} can't be read: No such file or directory"
        ]

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"figure": "a"}]', "\x00"])
    def test_a_file_of_something_else_is_told_in_one_line(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "other.json"
        path.write_text(text)
        with pytest.raises(ResultsError, match=r"is no file of results[^\n]*$"):
            read_figures(path)


def test_figures_that_were_not_measured_again_stay() -> None:
    old = [a_figure("a", 1.0), a_figure("b", 1.0)]
    new = [a_figure("c", 3.0), a_figure("b", 2.0)]
    assert [(one.figure, one.ratio) for one in merged(old, new)] == [("a", 1.0), ("b", 2.0), ("c", 3.0)]


def test_the_table_stands_between_the_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_table(readme, [a_figure("a", 1.0), a_figure("b", 2.0, met=False)])
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| figure |")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| 2.00 | at most 1.2 | **missed** |" in text


class TestLatest:
    def test_has_the_agreed_keys(self) -> None:
        objects: list[dict[str, Any]] = json.loads(LATEST.read_text())
        assert objects
        for one in objects:
            assert {"figure", "value", "reference", "ratio", "goal", "met", "runs"} <= set(one)
            assert set(one) == {field.name for field in fields(Figure)}
            assert one["met"] in (True, False, None)
            assert one["runs"]

    def test_names_each_figure_once(self) -> None:
        assert set(Counter(one.figure for one in read_figures(LATEST)).values()) == {1}

    def test_can_be_read_and_written_back(self) -> None:
        assert [asdict(one) for one in read_figures(LATEST)] == json.loads(LATEST.read_text())


def test_the_critical_path_is_the_longest_chain() -> None:
    # a -> b -> d, a -> c -> d; a source and a model that didn't run count nothing.
    parents = {"a": ["source"], "b": ["a"], "c": ["a", "not run"], "d": ["b", "c"], "e": [], "not run": ["a"]}
    manifest = {"nodes": {name: {"depends_on": {"nodes": nodes}} for name, nodes in parents.items()}}
    seconds = {"a": 1.0, "b": 5.0, "c": 2.0, "d": 3.0, "e": 8.5}
    results = {"results": [{"unique_id": name, "execution_time": time} for name, time in seconds.items()]}
    assert critical_path(manifest, results) == 9.0
    seconds["e"] = 9.5
    results["results"][-1]["execution_time"] = 9.5
    assert critical_path(manifest, results) == 9.5
    assert critical_path(manifest, {"results": []}) == 0.0


def test_bytes_are_those_of_the_jobs_submitted_meanwhile() -> None:
    def job(submitted: int, *stages: tuple[int, str]) -> str:
        infos = [
            {"Stage ID": stage, "RDD Info": [{"Scope": json.dumps({"id": "1", "name": name})}]}
            for stage, name in stages
        ]
        event = {"Event": "SparkListenerJobStart", "Submission Time": submitted, "Stage Infos": infos}
        return json.dumps(event, separators=(",", ":"))

    def task(stage: int, size: int) -> str:
        metrics = {"Input Metrics": {"Bytes Read": size}}
        event = {"Event": "SparkListenerTaskEnd", "Stage ID": stage, "Task Metrics": metrics}
        return json.dumps(event, separators=(",", ":"))

    failed = '{"Event":"SparkListenerTaskEnd","Stage ID":2,"Task End Reason":{"Reason":"TaskKilled"}}'
    table = "Scan parquet spark_catalog.silver.changes"
    log = [
        '{"Event":"SparkListenerLogStart","Spark Version":"4.2.0"}',
        job(999, (1, table)),
        task(1, 1),
        job(1000, (2, table), (3, "Scan json "), (5, "Scan ExistingRDD mergeMaterializedSource")),
        task(2, 10),
        task(2, 20),
        task(3, 40),
        task(5, 160),
        failed,
        job(2001, (4, table)),
        task(4, 80),
    ]
    assert read_by_table(log, 1.0, 2.0) == {"silver.changes": 30, "Delta's log": 40, "blocks in memory": 160}


def test_the_cost_of_a_command_is_what_was_sent_while_it_ran() -> None:
    def statement(at: float, text: str) -> dict[str, Any]:
        name = "org.apache.spark.sql.connect.service.SparkListenerConnectOperationStarted"
        return {"Event": name, "eventTime": at * 1000, "statementText": text}

    def job(at: float, *stages: int) -> dict[str, Any]:
        return {"Event": "SparkListenerJobStart", "Submission Time": at * 1000, "Stage IDs": stages}

    def task(stage: int) -> dict[str, Any]:
        return {"Event": "SparkListenerTaskEnd", "Stage ID": stage, "Task Metrics": {"Executor CPU Time": 5 * 10**8}}

    events = [
        *(statement(0.9, 'query: "before"'), job(0.9, 1), task(1)),
        *(statement(1.0, 'query: "select 1"'), job(1.5, 2, 3), task(2), task(2), task(3)),
        *(statement(1.5, "config { get { } }"), statement(2.1, 'query: "after"'), job(2.1, 4), task(4)),
        {"Event": "SparkListenerTaskEnd", "Stage ID": 2},
    ]
    log = [json.dumps(event, separators=(",", ":")) for event in events]
    assert cost_between(log, 1.0, 2.0) == SparkCost(statements=1, jobs=1, tasks=4, cpu_seconds=1.5)


def test_wrong_rows_are_missing_stale_or_undead() -> None:
    wrong = differences({1: "a", 2: "b", 3: "c"}, {2: "b", 3: "old", 4: "d"})
    assert wrong == {"missing": 1, "stale": 1, "undead": 1}
    exact = differences({1: "a"}, {1: "a"})
    assert told({"dbt": exact, "other": wrong}) == "dbt 0, other 1 missing + 1 stale + 1 undead"


def test_statements_are_those_of_each_node_in_order() -> None:
    def query(node: str, sql: str) -> str:
        return json.dumps({"info": {"name": "SQLQuery"}, "data": {"conn_name": node, "sql": sql}})

    log = [query("a", "1"), json.dumps({"info": {"name": "Other"}, "data": {}}), query("b", "2"), query("a", "3")]
    assert statements(log) == {"a": ["1", "3"], "b": ["2"]}


def test_tools_beside_are_given_the_newest_event_of_each_key() -> None:
    def message(op: str, key: int, amount: str) -> bytes:
        row = {
            "transaction_id": key,
            "account_id": 1,
            "transaction_type": "debit",
            "amount": amount,
            "category": "rent",
        }
        row["transaction_date"] = "2026-01-01T00:00:00.000000Z"
        return json.dumps(
            {"op": op, "before": row if op == "d" else None, "after": row if op != "d" else None}
        ).encode()

    values = [message("u", 1, "2.00"), message("c", 1, "1.00"), message("d", 2, "1.00"), None]
    landed = pa.table({"offset": [1, 0, 2, 3], "key": [b"{}"] * 4, "value": values})
    events = newest_events(landed).to_pylist()
    assert [(one["transaction_id"], str(one["amount"]), one["is_deleted"]) for one in events] == [
        (1, "2.00", False),
        (2, "1.00", True),
    ]


class TestLatency:
    def test_has_the_percentiles_of_each_part(self) -> None:
        def latency(build: float) -> Latency:
            parts = dict.fromkeys(PARTS, 1.0) | {"build": build}
            return Latency(0.0, sum(parts.values()), parts)

        found = latency_figure("commit to Gold", [latency(build) for build in range(1, 102)], 95, 15)
        assert (found.figure, found.value, found.reference, found.met) == ("commit to Gold, p95", 100.0, 15.0, False)
        assert found.runs[0]["parts"] == {"capture": 1.0, "bronze": 1.0, "wait": 1.0, "build": 96.0, "read": 1.0}

    def test_what_was_not_measured_keeps_its_picture(self, tmp_path: Path) -> None:
        draw_course(Course(), tmp_path)
        assert list(tmp_path.iterdir()) == []
        latencies = {"single changes": [8.0, 9.0], "50 changes a second": [20.0, 30.0, 25.0]}
        draw_course(Course(latencies, [(0.1, 1000), (0.2, 2000)], [(30.0, 1500), (45.0, 2000)]), tmp_path)
        assert {file.name for file in tmp_path.iterdir()} == {"latency.svg", "burst.svg"}
        assert "50 changes a second (3)" in (tmp_path / "latency.svg").read_text()
        assert "committed in Postgres" in (tmp_path / "burst.svg").read_text()
