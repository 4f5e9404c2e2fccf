"""What runs on the laptop is what runs on Databricks: the same Bronze through both adapters ends in equal tables.

The rounds of `conftest.py` are run on both targets; here is what came of it. `parity.py` says what is compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from parity import Databricks
from pipeline import Stack
from rounds import Round
from warehouse import ONLY_A_WORKSPACE

RUNS = ["first run", "after changes", "full refresh"]


@pytest.mark.parametrize("run", RUNS)
def test_every_table_is_equal(databricks: Databricks, full_refresh: None, run: str) -> None:
    outcome = databricks.outcome[run]
    assert len(outcome) > 20
    assert {name: told for name, told in outcome.items() if isinstance(told, str)} == {}


def test_there_are_rows_to_compare(databricks: Databricks, full_refresh: None) -> None:
    empty = {name for run in databricks.outcome.values() for name, rows in run.items() if rows == 0}
    assert empty == {"quarantined_messages", "schema_drift"}


def test_a_run_with_nothing_new_commits_nothing(databricks: Databricks, after_live_changes: Round) -> None:
    before, after = databricks.idle
    assert len(before) >= 15
    assert after == before


def test_a_planted_difference_is_seen(planted: dict[str, int | str]) -> None:
    """And in what reads it, and nowhere else."""
    told = {name: how for name, how in planted.items() if isinstance(how, str)}
    assert set(told) == {
        *("popular_products", "customer_scheduled_payments"),
        *("scheduled_payments_summary", "customer_profile"),
    }
    assert (
        "columns or types: [('total_quantity_sold', 'bigint'), ('total_quantity_sold', 'decimal(20,0)')]"
        in told["popular_products"]
    )
    assert "rows are only in local" in told["customer_scheduled_payments"]


def test_docs_and_freshness_are_equal(documented: list[dict[str, dict[str, Any]]]) -> None:
    catalogs = [columns(artifacts["catalog"]) for artifacts in documented]
    assert len(catalogs[0]) > 25
    differ = {name: set(catalogs[0][name]) ^ set(catalogs[1].get(name, [])) for name in catalogs[0]}
    assert {name: columns for name, columns in differ.items() if columns} == {}
    assert catalogs[0] == catalogs[1]
    freshness = [
        {one["unique_id"]: (one["status"], one["max_loaded_at"]) for one in artifacts["sources"]["results"]}
        for artifacts in documented
    ]
    assert len(freshness[0]) == 5
    assert {status for status, _ in freshness[0].values()} == {"pass"}
    assert freshness[0] == freshness[1]


# SHOW TABLE EXTENDED has Spark's names for the types of a view.
SAME = {"long": "bigint", "integer": "int"}


def columns(catalog: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Each table's columns with their types, by the table's name in dbt."""
    return {
        name: [(column["name"], type_of(column)) for column in table["columns"].values()]
        for name, table in {**catalog["nodes"], **catalog["sources"]}.items()
    }


def type_of(column: dict[str, Any]) -> str:
    written = column["type"].replace(" ", "").lower()
    return SAME.get(written, written)


def test_checks_hold_on_both(stack: Stack, full_refresh: None) -> None:
    for prefix in ("", "parity_"):
        properties = stack.rows(f"show tblproperties {prefix}gold.customer_balance_history")
        named = {
            row["key"].removeprefix("delta.constraints.") for row in properties if "delta.constraints." in row["key"]
        }
        assert named == {"a_run_wrote_it"}


def test_a_contract_forbids_null(stack: Stack, full_refresh: None) -> None:
    types = stack.spark.table("parity_gold.customer_balance_history").schema
    assert {column.name for column in types if column.nullable} == {"_run_number", "_loaded_at"}


def test_only_a_workspace_carries_out_what_is_listed(databricks: Databricks, full_refresh: None) -> None:
    """What no run of ours says is no reason to list it, but for what is no statement."""
    kept = databricks.warehouse.journal.only_kept
    assert set(kept) == {"SET TAGS", "PRIMARY KEY", "GRANT"}
    assert set(kept) <= set(ONLY_A_WORKSPACE)


def test_queries_are_tagged(databricks: Databricks, after_the_snapshot: Round) -> None:
    tags = [said["QUERY_TAGS"] for said in databricks.warehouse.session_configurations if "QUERY_TAGS" in said]
    assert tags
    assert all("project:financial_insights,target:dev" in said for said in tags)
    assert any("@@dbt_model_name:customer_balance," in said for said in tags)


LOGINS: list[tuple[str, Sequence[int]]] = [("the service principal", (0, 1)), ("a wrong secret", (0, 0))]


@pytest.mark.parametrize(("who", "parts"), LOGINS)
def test_a_service_principal_logs_in(databricks: Databricks, who: str, parts: Sequence[int]) -> None:
    client = databricks.warehouse.client
    environment = {
        **databricks.environment(),
        "DBT_ENV_SECRET_DATABRICKS_TOKEN": "",
        "DATABRICKS_CLIENT_ID": client[parts[0]],
        "DBT_ENV_SECRET_DATABRICKS_CLIENT_SECRET": client[parts[1]],
    }
    words = ("debug", "--connection", "--log-path", str(databricks.work / "logs"))
    done = databricks.stack.run("dbt.cli.main", *words, environment=environment)
    assert (done.returncode == 0) == (who == "the service principal"), done.stdout + done.stderr
    assert client[1] not in done.stdout + done.stderr


def test_one_run_at_a_time_writes(databricks: Databricks) -> None:
    """A second run fails. After a killed run, the same writer can run again, or anybody after `end_killed_runs`."""
    first = databricks.try_dbt("run", "--select", "int_days")
    assert first.returncode == 0, first.stdout
    job = ("--vars", "{writer: job}")
    killed = databricks.start("run", "--select", "int_days", *job)
    assert [run["writer"] for run in databricks.unfinished_runs()] == ["job"]
    refused = databricks.try_dbt("run", "--select", "int_days")
    assert refused.returncode != 0
    said = r"Another run of dbt \(job\) has been writing Silver and Gold since \S+ \S+ UTC\. Run dbt again when .*"
    assert len(re.findall(said, refused.stdout)) == 1, refused.stdout
    assert "START sql" not in refused.stdout
    killed.kill()
    killed.communicate()
    assert databricks.try_dbt("run", "--select", "int_days", *job).returncode == 0
    assert databricks.unfinished_runs() == []

    killed = databricks.start("run", "--select", "int_days")
    killed.kill()
    killed.communicate()
    assert len(databricks.unfinished_runs()) == 1
    assert databricks.try_dbt("run-operation", "end_killed_runs").returncode == 0
    assert databricks.unfinished_runs() == []
