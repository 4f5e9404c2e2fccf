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
    "popular_products",
    "scheduled_payments_summary",
    "customer_profile",
}


@pytest.fixture(scope="session", params=["local", "dev", "prod"])
def manifest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The manifest as dbt parses it for a target, with any deprecation an error."""
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
    parsed: dict[str, Any] = json.loads((work / "manifest.json").read_text())
    return parsed


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


def test_every_mart_has_a_contract_and_a_tested_key(manifest: dict[str, Any]) -> None:
    marts = {
        node["name"]: unique_id
        for unique_id, node in manifest["nodes"].items()
        if node.get("fqn", [""] * 2)[1] == "marts"
    }
    models = {name: unique_id for name, unique_id in marts.items() if unique_id.startswith("model.")}
    assert models.keys() == MARTS
    for unique_id in models.values():
        node = manifest["nodes"][unique_id]
        assert node["config"]["contract"]["enforced"], unique_id
        tests = {
            manifest["nodes"][child]["test_metadata"]["name"]
            for child in manifest["child_map"][unique_id]
            if manifest["nodes"].get(child, {}).get("test_metadata")
        }
        assert tests & {"unique", "primary_key"}, unique_id
        assert tests & {"not_null", "primary_key"}, unique_id


def test_only_base_models_read_bronze_and_each_reads_one_table(manifest: dict[str, Any]) -> None:
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model":
            sources = [parent for parent in node["depends_on"]["nodes"] if parent.startswith("source.")]
            assert len(sources) == (1 if node["name"].startswith("base_") else 0), node["name"]
