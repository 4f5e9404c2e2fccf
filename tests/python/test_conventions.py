"""What every part of the dbt project keeps to, read from its manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
# Nothing is reached: parsing only needs them to be there.
DATABRICKS = {"DATABRICKS_HOST": "localhost", "DATABRICKS_HTTP_PATH": "none"}
MARTS = {
    "transaction_summary",
    "customer_balance",
    "customer_balance_history",
    "customer_history",
    "customer_scheduled_payments",
    "customer_transactions",
    "daily_purchases",
    "daily_scheduled_payments",
    "daily_transactions",
    "pipeline_health",
    "pipeline_runs",
    "popular_products",
    "scheduled_payments_summary",
    "customer_profile",
}


@pytest.fixture(scope="session", params=["local", "dev", "prod"])
def parsed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt put what it parsed for a target, with any deprecation an error."""
    work = tmp_path_factory.mktemp(request.param)
    command = [
        *(sys.executable, "-m", "dbt.cli.main", "--warn-error-options", '{"error": ["Deprecations"]}'),
        *("parse", "--no-partial-parse", "--target", request.param),
        *("--target-path", str(work), "--log-path", str(work)),
    ]
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **DATABRICKS}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return work


@pytest.fixture(scope="session")
def manifest(parsed: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((parsed / "manifest.json").read_text())
    return read


def test_every_node_and_column_is_described(manifest: dict[str, Any]) -> None:
    nodes = [
        node
        for node in [*manifest["nodes"].values(), *manifest["sources"].values()]
        if node["resource_type"] in ("model", "snapshot", "seed", "source")
    ]
    assert len(nodes) > 25
    silent = [node["name"] for node in nodes if not node["description"] or not node["columns"]]
    silent += [
        f"{node['name']}.{name}"
        for node in nodes
        for name, column in node["columns"].items()
        if not column["description"]
    ]
    assert silent == []


def test_each_bronze_table_leads_to_a_mart(manifest: dict[str, Any]) -> None:
    reached: dict[str, set[str]] = {}
    for source in manifest["sources"]:
        seen, ahead = set[str](), [source]
        while ahead:
            node = ahead.pop()
            if node not in seen:
                seen.add(node)
                ahead += manifest["child_map"].get(node, [])
        reached[source] = {name for name in MARTS if f"model.financial_insights.{name}" in seen}
    assert len(reached) == 5
    assert all(reached.values()), reached
    assert set.union(*reached.values()) == MARTS


def test_each_mart_is_published(manifest: dict[str, Any]) -> None:
    published = manifest["nodes"]["model.financial_insights.published_marts"]["depends_on"]["nodes"]
    folder = [node["name"] for node in manifest["nodes"].values() if node["fqn"][1] == "marts"]
    assert {name.rpartition(".")[2] for name in published} == MARTS
    assert set(folder) >= MARTS


def test_the_conventions_hold(parsed: Path, tmp_path: Path) -> None:
    config = tmp_path / "dbt-bouncer.yml"
    config.write_text((PROJECT / "dbt-bouncer.yml").read_text().replace("dir: target", f"dir: {parsed}"))
    done = subprocess.run(
        [sys.executable, "-m", "dbt_bouncer.main", "run", "--config-file", str(config)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
