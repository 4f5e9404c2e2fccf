"""dbt's own checks, on the tables that the rounds made."""

from __future__ import annotations

import json
import subprocess
import sys

from pipeline import PROJECT, Stack
from rounds import Round


def test_dbts_unit_tests(stack: Stack, after_the_snapshot: Round) -> None:
    stack.dbt("test", "--selector", "unit_tests")
    results = json.loads((stack.work / "target" / "run_results.json").read_text())["results"]
    assert len(results) > 50
    tests = [result for result in results if result["unique_id"].startswith("unit_test.")]
    assert {result["status"] for result in tests} == {"pass"}


def test_sql_style(stack: Stack, after_the_snapshot: Round) -> None:
    # Compiling an incremental model asks Spark, so this needs the stack.
    done = subprocess.run(
        [sys.executable, "-m", "sqlfluff", "lint", "--disable-progress-bar"],
        cwd=PROJECT,
        env={**stack.clean_environment(), **stack.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_docs_describe_every_column_that_is_there(stack: Stack, after_the_snapshot: Round) -> None:
    stack.dbt("docs", "generate")
    target = stack.work / "target"
    manifest = json.loads((target / "manifest.json").read_text())
    catalog = json.loads((target / "catalog.json").read_text())
    tables = {**catalog["nodes"], **catalog["sources"]}
    assert len(tables) > 25
    silent = [
        f"{unique_id}.{name}"
        for unique_id, table in tables.items()
        for name in table["columns"]
        if not (manifest["nodes"] | manifest["sources"])[unique_id]["columns"].get(name, {}).get("description")
    ]
    assert silent == []


def test_optimizing_changes_no_row(stack: Stack, after_the_snapshot: Round) -> None:
    table = "silver.checking_accounts_history"
    rows = stack.rows(f"select * from {table} order by account_id, version_number")
    stack.dbt("run-operation", "optimize_tables")
    assert stack.newest_commits("silver")[table][1] == "OPTIMIZE"
    assert stack.rows(f"select * from {table} order by account_id, version_number") == rows
