"""The metrics of dbt's semantic layer as measures: formulas in DAX over the marts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from bi import dax
from bi.errors import BiError

# How MetricFlow aggregates, and DAX's functions for it: of a column, and of an expression in each row.
FUNCTIONS = {
    "sum": ("SUM", "SUMX"),
    "min": ("MIN", "MINX"),
    "max": ("MAX", "MAXX"),
    "average": ("AVERAGE", "AVERAGEX"),
    "median": ("MEDIAN", "MEDIANX"),
    "count": ("COUNT", "COUNTX"),
    "count_distinct": ("DISTINCTCOUNT", None),
}
# A ratio with one of these words in its name is a part of a whole.
SHARES = {"rate", "share", "percentage"}

# Kinds of columns, by their names, by mart.
Kinds = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: as in dbt.
        label: as people read it.
        description: one line.
        mart: the one that it is listed with.
        formula: in DAX.
        kind: of what it tells: that of a column, or `share`.
    """

    name: str
    label: str
    description: str
    mart: str
    formula: str
    kind: str


def one_line(text: str) -> str:
    """A description as one line."""
    return " ".join(text.split())


def read_metrics(manifest: dict[str, Any], kinds: Kinds) -> tuple[Metric, ...]:
    """Every metric that a manifest has, by name.

    Args:
        manifest: dbt's artefact manifest.json.
        kinds: of each mart's columns.

    Raises:
        BiError: a metric says something that has no place in such a formula. None is left out.
    """
    declared = {metric["name"]: metric for metric in manifest["metrics"].values()}
    measures = {
        measure["name"]: (model, measure)
        for model in manifest["semantic_models"].values()
        for measure in model["measures"]
    }
    made: dict[str, Metric] = {}

    def metric_named(name: str, wanted_by: str) -> Metric:
        if name not in declared:
            raise BiError(f"The metric {wanted_by} is made of {name}, which is no metric. Run: dbt parse")
        if name not in made:
            try:
                made[name] = make(declared[name])
            except BiError as error:
                line = str(error)
                raise BiError(line if line.startswith("The metric ") else f"The metric {name}: {line}") from error
        return made[name]

    def make(metric: dict[str, Any]) -> Metric:
        name, kind, params = metric["name"], metric["type"], metric["type_params"]
        if kind == "simple":
            return _simple(metric, measures, kinds)
        if kind == "ratio":
            parts = [params["numerator"], params["denominator"]]
        elif kind == "derived":
            parts = params["metrics"] or []
        else:
            raise BiError(f"The metric {name} is {kind}, which bi/metrics.py can't say in DAX. Teach it, or disable it")
        _refuse(name, {"a filter on other metrics": metric.get("filter")})
        for part in parts:
            _refuse(
                name,
                {
                    f"a filter on {part['name']}": part.get("filter"),
                    "an offset": part.get("offset_window") or part.get("offset_to_grain"),
                },
            )
        inputs = {part.get("alias") or part["name"]: metric_named(part["name"], name) for part in parts}
        if kind == "ratio":
            top, bottom = (_reference(metric_named(part["name"], name)) for part in parts)
            formula = f"DIVIDE({top}, {bottom})"
        else:
            formula = _arithmetic(name, params["expr"] or "", inputs)
        tells = "share" if kind == "ratio" and SHARES & set(name.split("_")) else "decimal"
        return Metric(*_described(metric), next(iter(inputs.values())).mart, formula, tells)

    for name in sorted(declared):
        metric_named(name, name)
    _refuse_equal_names(list(made.values()), kinds)
    return tuple(made[name] for name in sorted(made))


def _simple(metric: dict[str, Any], measures: dict[str, tuple[dict[str, Any], dict[str, Any]]], kinds: Kinds) -> Metric:
    """A metric that is one measure of a semantic model, where its filters hold."""
    name, asked = metric["name"], metric["type_params"]["measure"]
    if asked is None or asked["name"] not in measures:
        raise BiError(f"The metric {name} has no measure that bi/metrics.py knows. Declare it in a semantic model")
    model, measure = measures[asked["name"]]
    mart = model["depends_on"]["nodes"][0].split(".")[-1]
    if mart not in kinds:
        raise BiError(f"The metric {name} is one of {mart}, which is no mart, so that no reader of Gold can see it")
    _refuse(
        name,
        {
            "a time spine": asked.get("join_to_timespine"),
            "a value for what is missing": asked.get("fill_nulls_with") is not None,
        },
    )
    formula, kind = _aggregate(measure, mart, kinds[mart])
    if (once := measure.get("non_additive_dimension")) is not None:
        formula = _of_one_time(formula, once, model, mart)
    filters = [*_filters(metric, model, kinds[mart]), *_filters(asked, model, kinds[mart])]
    if kept := [f"KEEPFILTERS({each})" for part in filters for each in dax.conditions(part, mart)]:
        formula = f"CALCULATE({', '.join([formula, *kept])})"
    return Metric(*_described(metric), mart, formula, kind)


def _aggregate(measure: dict[str, Any], mart: str, kinds: Mapping[str, str]) -> tuple[str, str]:
    """A measure's formula without what it is filtered by, and the kind of what it tells."""
    aggregation, written = measure["agg"], str(measure.get("expr") or measure["name"])
    if written == "1" and aggregation in ("sum", "count"):
        return f"COUNTROWS('{mart}')", "integer"
    expression = dax.parse(written)
    used = {each.name for each in expression.find_all(exp.Column)}
    if unknown := used - kinds.keys():
        raise BiError(f"{written} reads {', '.join(sorted(unknown))}, which {mart} doesn't have")
    of_a_column, of_each_row = FUNCTIONS.get(aggregation, (None, None))
    if of_a_column and isinstance(expression, exp.Column):
        formula = f"{of_a_column}({dax.column(mart, expression.name)})"
    elif of_each_row:
        formula = f"{of_each_row}('{mart}', {dax.formula(expression, mart)})"
    else:
        raise BiError(
            f"{aggregation} of {written} is nothing that bi/metrics.py can say in DAX. Teach it, or disable it"
        )
    if aggregation.startswith("count"):
        return formula, "integer"
    if isinstance(expression, exp.Column) and aggregation in ("sum", "min", "max"):
        return formula, kinds[expression.name]
    are_whole = aggregation == "sum" and all(kinds[each] == "integer" for each in used)
    return formula, "integer" if are_whole else "decimal"


def _of_one_time(formula: str, once: dict[str, Any], model: dict[str, Any], mart: str) -> str:
    """A measure that isn't added up over time: of each group's last time (or first) that is looked at."""
    choose = {"max": "MAX", "min": "MIN"}[once["window_choice"]]
    time = dax.column(mart, _expressions(model, "dimensions").get(once["name"], once["name"]))
    entities = _expressions(model, "entities")
    groups = [dax.column(mart, entities.get(each, each)) for each in once["window_groupings"]]
    chosen = f"VAR ChosenTime = CALCULATE({choose}({time})) RETURN CALCULATE({formula}, {time} = ChosenTime)"
    if not groups:
        return chosen
    return f"SUMX(SUMMARIZE('{mart}', {', '.join(groups)}), {chosen})"


def _filters(said: dict[str, Any], model: dict[str, Any], kinds: Mapping[str, str]) -> list[exp.Expr]:
    """The filters of a metric or of its measure, over the mart's own columns."""
    dimensions = {**_expressions(model, "dimensions"), **_expressions(model, "entities")}
    owners = [each["name"] for each in model["entities"] if each["type"] == "primary"] or [model["primary_entity"]]

    def own(match: re.Match[str]) -> str:
        kind, name, grain = match[1], match[2], match[3]
        owner, _, dimension = name.rpartition("__")
        column = dimensions.get(dimension)
        if owner not in owners or column is None or column not in kinds:
            raise BiError(f"{match[0]} is no column of the metric's own mart, which bi/metrics.py can't say in DAX")
        if kind == "TimeDimension" and (grain != "day" or kinds[column] != "date"):
            raise BiError(f"{match[0]} is no day, which bi/metrics.py can't say in DAX")
        return f"`{column}`"

    written = [each["where_sql_template"] for each in (said.get("filter") or {}).get("where_filters", [])]
    reference = r"\{\{\s*(Dimension|TimeDimension)\(\s*'(\w+)'\s*(?:,\s*'(\w+)'\s*)?\)\s*\}\}"
    plain = [re.sub(reference, own, each) for each in written]
    if left := [each for each in plain if "{" in each]:
        raise BiError(f"{one_line(left[0])} is no filter that bi/metrics.py can say in DAX. Teach it, or disable it")
    return [dax.parse(each) for each in plain]


def _expressions(model: dict[str, Any], what: str) -> dict[str, str]:
    """The columns of a semantic model's dimensions or entities, by their names."""
    return {each["name"]: each.get("expr") or each["name"] for each in model[what]}


def _described(metric: dict[str, Any]) -> tuple[str, str, str]:
    return metric["name"], metric["label"], one_line(metric["description"])


def _reference(metric: Metric) -> str:
    """A metric's measure as DAX names it."""
    return "[" + metric.label.replace("]", "]]") + "]"


def _arithmetic(name: str, expression: str, inputs: dict[str, Metric]) -> str:
    """A derived metric's expression: metrics, numbers, brackets and the four operations."""
    formula = []
    for word in re.findall(r"\w+(?:\.\d+)?|\S", expression):
        if word in inputs:
            formula.append(_reference(inputs[word]))
        elif word in "+-*/()" or re.fullmatch(r"\d+(\.\d+)?", word):
            formula.append(word)
        else:
            raise BiError(f"The metric {name} is {expression}, whose {word} bi/metrics.py can't say in DAX")
    return " ".join(formula)


def _refuse(name: str, said: dict[str, Any]) -> None:
    """Refuse a metric with something that the formula would leave out."""
    for what, value in said.items():
        if value:
            raise BiError(
                f"The metric {name} has {what}, which bi/metrics.py can't say in DAX. Teach it, or disable it"
            )


def _refuse_equal_names(metrics: list[Metric], kinds: Kinds) -> None:
    """Power BI wants a measure's name to be one of its own in the model, and no column's of its table, in any case."""
    seen: dict[str, str] = {}
    for metric in metrics:
        label = metric.label.lower()
        if label in seen or label in {column.lower() for column in kinds[metric.mart]}:
            other = seen.get(label, f"the column {metric.mart}.{metric.label}")
            raise BiError(f"The metric {metric.name} is called {metric.label}, like {other}. Give it another label")
        seen[label] = f"the metric {metric.name}"
