"""The files for Power BI and Tableau say what dbt's project says of Gold, and are those that are committed."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from bi_files import BI, DEFINITION, fields, in_power_bi, in_tableau, read_tmdl, tables, types

import bi

PROJECT = Path(__file__).resolve().parents[2]
Manifest = dict[str, Any]

# The members of each JSON file that Microsoft's schema of it (github.com/microsoft/json-schemas) requires and allows.
MEMBERS: dict[str, tuple[set[str], set[str]]] = {
    "pbip/pbipProperties/1.0.0": ({"version", "artifacts"}, {"settings"}),
    "item/semanticModel/definitionProperties/1.0.0": ({"version"}, {"settings"}),
    "item/report/definitionProperties/2.0.0": ({"version", "datasetReference"}, set()),
    "gitIntegration/platformProperties/2.0.0": ({"metadata", "config"}, set()),
    "item/report/definition/versionMetadata/1.0.0": (set(), {"version"}),
    "item/report/definition/report/3.0.0": ({"themeCollection"}, {"settings"}),
    "item/report/definition/pagesMetadata/1.0.0": (set(), {"pageOrder", "activePageName"}),
    "item/report/definition/page/2.0.0": ({"name", "displayName", "displayOption"}, {"height", "width"}),
}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return bi.read_manifest()


@pytest.fixture(scope="module")
def marts(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """dbt's own word on each mart."""
    return {
        node["name"]: node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1] == "marts" and node["config"]["contract"]["enforced"]
    }


@pytest.fixture
def changed(manifest: Manifest) -> Manifest:
    """A manifest to change, without metrics: one of a column that is gone is refused, and rightly."""
    return copy.deepcopy({**manifest, "metrics": {}, "semantic_models": {}})


def files(manifest: Manifest, connection: bi.Connection | None = None) -> dict[str, str]:
    return bi.make(bi.from_manifest(manifest), connection)


def node(manifest: Manifest, name: str) -> dict[str, Any]:
    found: dict[str, Any] = manifest["nodes"][f"model.financial_insights.{name}"]
    return found


def refusal(manifest: Manifest) -> str:
    """The one line by which a manifest is refused."""
    with pytest.raises(bi.BiError) as refused:
        files(manifest)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def test_what_is_committed_is_made_of_the_marts(manifest: Manifest, tmp_path: Path) -> None:
    bi.write(files(manifest), tmp_path)
    made = {file.relative_to(tmp_path).as_posix(): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    committed = {
        file.relative_to(BI).as_posix(): file.read_bytes()
        for program in ("power_bi", "tableau")
        for file in (BI / program).rglob("*")
        if file.is_file() and ".pbi" not in file.parts
    }
    differing = sorted(path for path in made.keys() | committed.keys() if made.get(path) != committed.get(path))
    assert differing == [], "These files aren't what the marts make them. Make them anew, and commit them: make bi"


def test_every_column_has_its_type_and_description(marts: dict[str, dict[str, Any]]) -> None:
    assert len(marts) >= 6
    for program, found in enumerate([in_power_bi(), in_tableau()]):
        expected = {
            name: {
                column["name"]: (
                    types(column["data_type"])[program],
                    " ".join(column["description"].split()),
                    column["name"].startswith("_"),
                )
                for column in mart["columns"].values()
            }
            for name, mart in marts.items()
        }
        # In Power BI a column that leads to another table is hidden as well; which, another test looks at.
        actual = {
            mart: {
                name: (each.data_type, each.description, each.is_hidden and (program == 1 or name.startswith("_")))
                for name, each in columns.items()
            }
            for mart, columns in found.items()
        }
        assert actual == expected


def test_tables_are_described_and_read_from_gold(marts: dict[str, dict[str, Any]]) -> None:
    for name, table in tables().items():
        assert table.description == " ".join(marts[name]["description"].split())
        (partition,) = table.of_kind("partition")
        assert partition.formula == "m"
        assert partition.properties["mode"] == "import"
        assert f'Gold{{[Name="{name}"]}}[Data]' in partition.properties["source"]


def test_every_metric_is_a_measure(manifest: Manifest) -> None:
    actual = {each.name: each.description for table in tables().values() for each in table.of_kind("measure")}
    expected = {each["label"]: " ".join(each["description"].split()) for each in manifest["metrics"].values()}
    assert actual == expected


def test_what_is_not_to_be_added_up_is_not(marts: dict[str, dict[str, Any]]) -> None:
    summaries = {
        (name, column.name): (column.properties["summarizeBy"], column.properties.get("formatString"))
        for name, table in tables().items()
        for column in table.of_kind("column")
    }
    assert summaries["customer_profile", "customer_id"] == ("none", "0")
    assert summaries["customer_profile", "latest_balance"] == ("sum", "#,0.00")
    assert summaries["customer_profile", "transaction_count"] == ("sum", "#,0")
    assert summaries["customer_profile", "average_transaction"] == ("average", "#,0.00")
    assert summaries["customer_profile", "next_due_date"] == ("none", "yyyy-mm-dd")
    assert summaries["customer_profile", "updt_ts"] == ("none", "yyyy-mm-dd hh:nn:ss")
    # Over days it would be a multiple of the money that there is.
    assert summaries["customer_balance_history", "closing_balance"] == ("average", "#,0.00")

    aggregations = {
        (name, column.attrib["name"]): (column.attrib["role"], column.get("aggregation"))
        for name in marts
        for column in ElementTree.parse(BI / "tableau" / f"{name}.tds").getroot().findall("column")
    }
    assert aggregations["customer_profile", "[customer_id]"] == ("dimension", "Count")
    assert aggregations["customer_profile", "[latest_balance]"] == ("measure", "Sum")
    assert aggregations["customer_profile", "[average_transaction]"] == ("measure", "Avg")
    assert aggregations["customer_balance_history", "[closing_balance]"] == ("measure", "Avg")


def links() -> list[tuple[str, str, str, str, bool]]:
    """Power BI's relationships: mart and column, dimension and key, and whether it is active."""
    return [
        (
            *each.properties["fromColumn"].split("."),
            *each.properties["toColumn"].split("."),
            each.properties.get("isActive") != "false",
        )
        for each in read_tmdl((DEFINITION / "relationships.tmdl").read_text())
    ]


def test_relationships_lead_from_columns_that_are_there_to_keys(manifest: Manifest) -> None:
    unique = {
        (test["attached_node"].split(".")[-1], test["column_name"])
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test" and (test.get("test_metadata") or {}).get("name") == "unique"
    }
    found = in_power_bi()
    assert links()
    for mart, column, dimension, key, _ in links():
        assert found[mart][column].data_type == found[dimension][key].data_type
        assert found[mart][column].is_hidden
        assert (dimension, key) in unique


def test_customers_are_those_of_the_profile() -> None:
    with_customers = {mart for mart, columns in in_power_bi().items() if "customer_id" in columns}
    of_the_profile = {
        mart
        for mart, column, *dimension, is_active in links()
        if (column, dimension, is_active) == ("customer_id", ["customer_profile", "customer_id"], True)
    }
    assert of_the_profile == with_customers - {"customer_profile"}
    assert not in_power_bi()["customer_profile"]["customer_id"].is_hidden


def ways(edges: list[tuple[str, str]], start: str, end: str) -> int:
    return sum(1 if ahead == end else ways(edges, ahead, end) for begin, ahead in edges if begin == start)


def assert_one_way_at_most(edges: list[tuple[str, str]]) -> None:
    places = {place for edge in edges for place in edge}
    assert [(start, end) for start in places for end in places if ways(edges, start, end) > 1] == []


def test_there_is_one_active_way_between_two_tables() -> None:
    assert_one_way_at_most([(mart, dimension) for mart, _, dimension, _, is_active in links() if is_active])


def test_a_second_way_is_inactive_and_the_common_dimension_is_kept(changed: Manifest) -> None:
    """A mart that leads to another one, which both lead to the customers."""
    node(changed, "customer_balance_history")["constraints"].append(
        {
            "type": "foreign_key",
            "columns": ["closing_balance"],
            "to": "ref('customer_balance')",
            "to_columns": ["latest_balance"],
        }
    )
    found = bi.from_manifest(changed).relationships
    assert_one_way_at_most([(each.mart, each.dimension) for each in found if each.is_active])
    inactive = {(each.mart, each.dimension) for each in found if not each.is_active}
    assert ("customer_balance_history", "customer_balance") in inactive
    assert ("customer_balance_history", "customer_profile") not in inactive


def test_of_two_marts_with_the_key_the_one_made_of_the_others_leads(changed: Manifest) -> None:
    balance = node(changed, "customer_balance")
    balance["constraints"] = [each for each in balance["constraints"] if each["type"] != "foreign_key"]
    of_customers = {each.dimension for each in bi.from_manifest(changed).relationships if each.key == "customer_id"}
    assert of_customers == {"customer_profile"}


def test_a_key_of_two_marts_without_a_word_on_which_leads_is_refused(changed: Manifest) -> None:
    balance = node(changed, "customer_balance")
    balance["constraints"] = [each for each in balance["constraints"] if each["type"] != "foreign_key"]
    balance["depends_on"]["nodes"] = list(node(changed, "customer_profile")["depends_on"]["nodes"])
    line = refusal(changed)
    assert "customer_id" in line
    assert "customer_balance and customer_profile" in line


def test_names_of_columns_and_ids_are_their_own() -> None:
    tags = [
        each.properties["lineageTag"]
        for table in tables().values()
        for each in (table, *table.of_kind("column"), *table.of_kind("measure"))
    ]
    tags += [each.properties["lineageTag"] for each in read_tmdl((DEFINITION / "expressions.tmdl").read_text())]
    assert len(tags) == len({UUID(tag) for tag in tags})
    for file in (BI / "tableau").glob("*.tds"):
        captions = [column.attrib["caption"] for column in ElementTree.parse(file).getroot().findall("column")]
        assert len(captions) == len(set(captions))


def test_the_model_knows_its_tables_and_parameters(marts: dict[str, dict[str, Any]]) -> None:
    objects = read_tmdl((DEFINITION / "model.tmdl").read_text())
    assert [each.name for each in objects if each.kind == "ref"] == [f"table {name}" for name in sorted(marts)]
    queries = {each.name: each for each in read_tmdl((DEFINITION / "expressions.tmdl").read_text())}
    assert list(queries) == ["DatabricksHost", "DatabricksHttpPath", "DatabricksCatalog", "GoldSchema", "Gold"]
    *parameters, gold = queries.values()
    assert all("IsParameterQuery=true" in each.formula for each in parameters)
    assert parameters[2].formula.startswith('"prod" meta')
    assert parameters[3].formula.startswith('"gold" meta')
    assert "Databricks.Catalogs(DatabricksHost, DatabricksHttpPath" in gold.formula
    assert all(f"Name={each.name}" in gold.formula for each in parameters[2:])
    (order,) = (each for each in objects if each.name == "PBI_QueryOrder")
    assert json.loads(order.formula) == [*queries, *sorted(marts)]


def test_json_files_are_of_their_schemas_and_lead_to_each_other() -> None:
    project = BI / "power_bi"
    found = {}
    for file in project.rglob("*"):
        if file.suffix in (".json", ".pbip", ".pbir", ".pbism") or file.name == ".platform":
            content = json.loads(file.read_text())
            schema = content.pop("$schema")
            match = re.fullmatch(r"https://developer\.microsoft\.com/json-schemas/fabric/(\S+)/schema\.json", schema)
            assert match, schema
            required, allowed = MEMBERS[match[1]]
            assert required <= content.keys() <= required | allowed, file
            found[file.relative_to(project).as_posix()] = content
    assert len(found) == 9
    report = project / found["FinancialInsights.pbip"]["artifacts"][0]["report"]["path"]
    reference = found[f"{report.name}/definition.pbir"]["datasetReference"]["byPath"]["path"]
    assert (report / reference / "definition.pbism").exists()
    pages = found[f"{report.name}/definition/pages/pages.json"]
    assert pages["activePageName"] in pages["pageOrder"]
    for page in pages["pageOrder"]:
        assert found[f"{report.name}/definition/pages/{page}/page.json"]["name"] == page
    platforms = [content for path, content in found.items() if path.endswith(".platform")]
    assert {each["metadata"]["type"] for each in platforms} == {"Report", "SemanticModel"}
    assert len({UUID(each["config"]["logicalId"]) for each in platforms}) == 2


def test_nothing_is_committed_that_only_one_workspace_has(manifest: Manifest) -> None:
    secrets = (
        r"(?i)dapi[0-9a-f]{8}|password|client_?secret|pwd\s*=|\.azuredatabricks\.|\.databricks\.com|\bwarehouses/\w"
    )
    for path, text in files(manifest).items():
        assert re.findall(secrets, text) == [], path
    for file in (BI / "tableau").glob("*.tds"):
        (connection,) = ElementTree.parse(file).getroot().findall(".//connection[@class='databricks']")
        assert connection.attrib["authentication"] == "oauth"
        assert connection.attrib["username"] == ""
        assert connection.attrib["server"].startswith("enter ")
        assert connection.attrib["v-http-path"].startswith("enter ")


def test_a_warehouse_can_be_said_once_for_all_files(manifest: Manifest) -> None:
    connection = bi.Connection("a.host", "/sql/1.0/warehouses/1", "test", "my_gold", "directQuery")
    made = files(manifest, connection)
    expressions = made["power_bi/FinancialInsights.SemanticModel/definition/expressions.tmdl"]
    for value in (connection.host, connection.http_path, connection.catalog, connection.schema):
        assert f'= "{value}" meta' in expressions
    for path, text in made.items():
        if path.endswith(".tds"):
            source = ElementTree.fromstring(text.encode())
            (each,) = source.findall(".//connection[@class='databricks']")
            assert (each.get("server"), each.get("v-http-path")) == (connection.host, connection.http_path)
            (relation,) = source.findall(".//relation")
            assert relation.attrib["table"] == f"[test].[my_gold].[{Path(path).stem}]"
        elif "/tables/" in path:
            assert "mode: directQuery" in text


def test_any_name_of_a_catalog_and_schema_is_quoted(manifest: Manifest) -> None:
    made = files(manifest, bi.Connection("a.host", "/sql/1.0/warehouses/1", "te]st's", 'my "gold" #(lf) 100%'))
    expressions = made["power_bi/FinancialInsights.SemanticModel/definition/expressions.tmdl"]
    assert '= "my ""gold"" #(#)(lf) 100%" meta' in expressions
    assert '= "te]st\'s" meta' in expressions
    (relation,) = ElementTree.fromstring(made["tableau/popular_products.tds"].encode()).findall(".//relation")
    assert relation.attrib["table"] == '[te]]st\'s].[my "gold" #(lf) 100%].[popular_products]'


def test_a_column_renamed_in_a_mart_is_renamed_in_both(changed: Manifest) -> None:
    columns = node(changed, "transaction_summary")["columns"]
    columns["total_debits"]["name"] = "money_spent"
    columns["money_spent"] = columns.pop("total_debits")
    made = files(changed)
    (table,) = read_tmdl(made["power_bi/FinancialInsights.SemanticModel/definition/tables/transaction_summary.tmdl"])
    source = made["tableau/transaction_summary.tds"]
    in_both = [
        {column.properties["sourceColumn"] for column in table.of_kind("column")},
        {name for name, _ in fields(ElementTree.fromstring(source.encode()))},
    ]
    for names in in_both:
        assert "money_spent" in names
        assert "total_debits" not in names


def test_a_new_mart_is_in_both_and_one_that_is_gone_in_neither(changed: Manifest, tmp_path: Path) -> None:
    bi.write(files(changed), tmp_path)
    (tmp_path / "tableau" / "notes.txt").write_text("somebody's own")
    product = changed["nodes"].pop("model.financial_insights.popular_products")
    changed["nodes"]["model.financial_insights.loans"] = {**product, "name": "loans"}
    bi.write(files(changed), tmp_path)
    definition = tmp_path / DEFINITION.relative_to(BI)
    for found in (in_power_bi(definition), in_tableau(tmp_path / "tableau")):
        assert "loans" in found
        assert "popular_products" not in found
    assert (tmp_path / "tableau" / "notes.txt").exists()


def test_a_model_without_a_contract_is_left_out(changed: Manifest) -> None:
    node(changed, "popular_products")["config"]["contract"]["enforced"] = False
    assert "tableau/popular_products.tds" not in files(changed)


@pytest.mark.parametrize("data_type", ["map<string,int>", "variant", "", None])
def test_a_type_that_neither_knows_is_refused_in_a_line(changed: Manifest, data_type: str | None) -> None:
    node(changed, "popular_products")["columns"]["product"]["data_type"] = data_type
    line = refusal(changed)
    assert line.startswith("popular_products.product is of type ")
    assert "bi/marts.py" in line


@pytest.mark.parametrize(
    ("data_type", "expected"),
    [
        ("decimal(20,0)", ("decimal", "#,0")),
        ("decimal(38,4)", ("decimal", "#,0.0000")),
        ("decimal(38, 10)", ("double", "#,0.0000000000")),
        ("numeric", ("decimal", "#,0")),
        ("double", ("double", "#,0.00")),
        ("varchar(20)", ("string", None)),
        ("BOOLEAN", ("boolean", None)),
        ("timestamp_ntz", ("dateTime", "yyyy-mm-dd hh:nn:ss")),
    ],
)
def test_other_types_that_a_mart_may_have(changed: Manifest, data_type: str, expected: tuple[str, str | None]) -> None:
    node(changed, "popular_products")["columns"]["total_quantity_sold"]["data_type"] = data_type
    text = files(changed)["power_bi/FinancialInsights.SemanticModel/definition/tables/popular_products.tmdl"]
    (table,) = read_tmdl(text)
    (column,) = (each for each in table.of_kind("column") if each.name == "total_quantity_sold")
    assert (column.properties["dataType"], column.properties.get("formatString")) == expected


def test_marts_in_two_schemas_are_refused(changed: Manifest) -> None:
    node(changed, "popular_products")["schema"] = "elsewhere"
    assert "one schema" in refusal(changed)


def with_metrics(manifest: Manifest, *metrics: dict[str, Any], **measure: Any) -> Manifest:
    """A manifest with a semantic model over the history of balances, and metrics; `other` is the measure to vary."""
    measures = {
        "balance": {"agg": "average", "expr": "closing_balance"},
        "closing_balance": {"agg": "max"},
        "customers": {"agg": "count_distinct", "expr": "customer_id"},
        "days": {"agg": "sum", "expr": "1"},
        "other": {"agg": "sum", "expr": "closing_balance", **measure},
    }
    once = {"name": "day", "window_choice": "max", "window_groupings": ["customer"]}
    measures["at_last"] = {"agg": "sum", "expr": "closing_balance", "non_additive_dimension": once}
    model = {
        "measures": [{"name": name, **said} for name, said in measures.items()],
        "dimensions": [
            {"name": "day", "type": "time", "expr": "balance_date"},
            {"name": "written", "type": "time", "expr": "_loaded_at"},
            {"name": "closing_balance", "type": "categorical", "expr": None},
        ],
        "entities": [{"name": "customer", "type": "foreign", "expr": "customer_id"}],
        "primary_entity": "customer_day",
        "depends_on": {"nodes": ["model.financial_insights.customer_balance_history"]},
    }
    manifest["semantic_models"] = {"semantic_model.financial_insights.history": model}
    manifest["metrics"] = {f"metric.financial_insights.{each['name']}": each for each in metrics}
    return manifest


def simple(name: str, *filters: str, measure: str | None = None, **more: Any) -> dict[str, Any]:
    asked = {"name": measure or name, "filter": None, "join_to_timespine": False, "fill_nulls_with": None, **more}
    where = {"where_filters": [{"where_sql_template": each} for each in filters]} if filters else None
    return metric(name, "simple", {"measure": asked}, filter=where)


def metric(name: str, kind: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    described = {"name": name, "label": f"{name.title()}, it's [said]", "description": "What it\ntells."}
    return {**described, "type": kind, "type_params": params, "filter": None, **more}


def measures(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """Formula and format of each measure, by the metric's name."""
    text = files(manifest)["power_bi/FinancialInsights.SemanticModel/definition/tables/customer_balance_history.tmdl"]
    (table,) = read_tmdl(text)
    found = table.of_kind("measure")
    assert {each.description for each in found} == {"What it tells."}
    return {
        each.name.removesuffix(", it's [said]").lower(): (each.formula, each.properties["formatString"])
        for each in found
    }


RATIO = {"numerator": {"name": "balance"}, "denominator": {"name": "days"}}
TABLE = "'customer_balance_history'"


def test_metrics_are_measures(changed: Manifest) -> None:
    derived = {"expr": "(balance - d) / 100", "metrics": [{"name": "balance"}, {"name": "days", "alias": "d"}]}
    with_metrics(
        changed,
        *(simple(name) for name in ("balance", "closing_balance", "customers", "days", "at_last")),
        metric("each", "ratio", RATIO),
        metric("rate_of_success", "ratio", RATIO),
        metric("calculated", "derived", derived),
    )
    last = f"VAR ChosenTime = CALCULATE(MAX({TABLE}[balance_date])) RETURN"
    assert measures(changed) == {
        "balance": (f"AVERAGE({TABLE}[closing_balance])", "#,0.00"),
        "closing_balance": (f"MAX({TABLE}[closing_balance])", "#,0.00"),
        "customers": (f"DISTINCTCOUNT({TABLE}[customer_id])", "#,0"),
        "days": (f"COUNTROWS({TABLE})", "#,0"),
        "at_last": (
            f"SUMX(SUMMARIZE({TABLE}, {TABLE}[customer_id]),"
            f" {last} CALCULATE(SUM({TABLE}[closing_balance]), {TABLE}[balance_date] = ChosenTime))",
            "#,0.00",
        ),
        "each": ("DIVIDE([Balance, it's [said]]], [Days, it's [said]]])", "#,0.00"),
        "rate_of_success": ("DIVIDE([Balance, it's [said]]], [Days, it's [said]]])", "0.0%"),
        "calculated": ("( [Balance, it's [said]]] - [Days, it's [said]]] ) / 100", "#,0.00"),
    }


@pytest.mark.parametrize(
    ("expression", "formula"),
    [
        ("closing_balance * 2", f"SUMX({TABLE}, {TABLE}[closing_balance] * 2)"),
        ("customer_id + 1", f"SUMX({TABLE}, {TABLE}[customer_id] + 1)"),
        (
            "case when customer_id = 1 then closing_balance when customer_id in (2, 3) then 1 else 0 end",
            f"SUMX({TABLE}, IF({TABLE}[customer_id] == 1, {TABLE}[closing_balance],"
            f" IF({TABLE}[customer_id] IN {{2, 3}}, 1, 0)))",
        ),
        ("case when customer_id is null then 1 end", f"SUMX({TABLE}, IF(ISBLANK({TABLE}[customer_id]), 1, BLANK()))"),
    ],
)
def test_an_expression_is_added_up_row_by_row(changed: Manifest, expression: str, formula: str) -> None:
    with_metrics(changed, simple("other"), expr=expression)
    shown = "#,0" if "closing_balance" not in expression else "#,0.00"
    assert measures(changed) == {"other": (formula, shown)}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("{{ Dimension('customer_day__closing_balance') }} = 5", ["{}[closing_balance] == 5"]),
        ("{{Dimension('customer_day__customer')}} in (1, 2)", ["{}[customer_id] IN {{1, 2}}"]),
        (
            "{{ TimeDimension('customer_day__day', 'day') }} < current_date() and true",
            ["NOT(ISBLANK({0}[balance_date])) && {0}[balance_date] < UTCTODAY()", "TRUE()"],
        ),
        (
            "{{ Dimension('customer_day__customer') }} <> 1 or {{ Dimension('customer_day__customer') }} = 2",
            ["(NOT(ISBLANK({0}[customer_id])) && {0}[customer_id] <> 1 || {0}[customer_id] == 2)"],
        ),
        (
            "{{Dimension('customer_day__customer')}} not in (1) and {{Dimension('customer_day__day')}} is not null",
            ["NOT(ISBLANK({0}[customer_id])) && NOT({0}[customer_id] IN {{1}})", "NOT(ISBLANK({0}[balance_date]))"],
        ),
    ],
)
def test_a_filter_is_kept_beside_what_the_reader_chooses(changed: Manifest, written: str, kept: list[str]) -> None:
    with_metrics(changed, simple("days", written))
    conditions = ", ".join(f"KEEPFILTERS({each.format(TABLE)})" for each in kept)
    assert measures(changed) == {"days": (f"CALCULATE(COUNTROWS({TABLE}), {conditions})", "#,0")}


BALANCE = {"name": "balance"}


@pytest.mark.parametrize(
    ("metrics", "measure", "said"),
    [
        ([metric("m", "cumulative", {"measure": BALANCE})], {}, "is cumulative"),
        ([metric("m", "simple", {"measure": None})], {}, "no measure"),
        ([simple("days", join_to_timespine=True)], {}, "a time spine"),
        ([simple("days", fill_nulls_with=0)], {}, "a value for what is missing"),
        ([simple("days", "{{ Dimension('customer__day') }} = 'x'")], {}, "no column of the metric's own mart"),
        ([simple("days", "{{ TimeDimension('customer_day__day', 'month') }} = 'x'")], {}, "is no day"),
        ([simple("days", "{{ TimeDimension('customer_day__written', 'day') }} = 'x'")], {}, "is no day"),
        ([simple("days", "{{ Metric('days', group_by=['customer']) }} > 1")], {}, "is no filter"),
        ([simple("days", "{{ Dimension('customer_day__customer') }} = = 1")], {}, "is no SQL expression"),
        ([simple("days", "{{ Dimension('customer_day__customer') }} like '1%'")], {}, "like"),
        ([simple("days", "not ({{ Dimension('customer_day__customer') }} is null and true)")], {}, "NOT"),
        ([simple("other")], {"expr": "round(closing_balance)"}, "ROUND"),
        ([simple("other")], {"expr": "case customer_id when 1 then 2 end"}, "compares one value"),
        ([simple("other")], {"expr": "no_such_column"}, "no_such_column, which customer_balance_history doesn't have"),
        ([simple("other")], {"agg": "percentile"}, "percentile"),
        ([metric("m", "ratio", RATIO)], {}, "which is no metric"),
        (
            [simple("days"), metric("m", "ratio", {**RATIO, "numerator": {"name": "days", "filter": {"x": 1}}})],
            {},
            "a filter on days",
        ),
        (
            [
                simple("days"),
                metric("m", "derived", {"expr": "days", "metrics": [{"name": "days", "offset_to_grain": "month"}]}),
            ],
            {},
            "an offset",
        ),
        ([simple("days"), metric("m", "derived", {"expr": "days % 2", "metrics": [{"name": "days"}]})], {}, "%"),
        ([simple("days") | {"label": "Closing_Balance"}], {}, "another label"),
        ([simple("days"), simple("balance") | {"label": "dAYS, it's [said]"}], {}, "another label"),
    ],
)
def test_a_metric_that_a_measure_cannot_say_is_refused(
    changed: Manifest, metrics: list[dict[str, Any]], measure: dict[str, Any], said: str
) -> None:
    line = refusal(with_metrics(changed, *metrics, **measure))
    assert line.startswith("The metric ")
    assert said.lower() in line.lower()


def test_a_metric_of_a_model_that_is_no_mart_is_refused(changed: Manifest) -> None:
    with_metrics(changed, simple("days"))
    (model,) = changed["semantic_models"].values()
    model["depends_on"]["nodes"] = ["model.financial_insights.stg_bank__transactions"]
    assert "which is no mart" in refusal(changed)


def test_what_stands_in_the_way_of_a_users_files_is_said_in_a_line(tmp_path: Path) -> None:
    """On a project that dbt can't parse, which is the first thing that goes wrong for who changes a mart."""
    (tmp_path / "bi").mkdir()
    for file in (PROJECT / "bi").glob("*.py"):
        (tmp_path / "bi" / file.name).write_text(file.read_text())
    done = subprocess.run([sys.executable, "-m", "bi"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "dbt can't read its project" in done.stderr
