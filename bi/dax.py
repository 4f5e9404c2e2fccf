"""SQL expressions over one mart in DAX, as far as both mean the same."""

from __future__ import annotations

from collections.abc import Callable

import sqlglot
from sqlglot import exp

from bi.errors import BiError, one_line

OPERATORS: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.And: "&&",
    exp.Or: "||",
    # With two equals signs BLANK equals neither zero nor the empty text, as NULL in SQL.
    exp.EQ: "==",
    exp.NEQ: "<>",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
}
# In SQL none of these holds of what is missing. In DAX it is less than everything and unlike everything.
NEVER_OF_WHAT_IS_MISSING = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NEQ)


def parse(sql: str) -> exp.Expr:
    """An expression of Databricks' SQL.

    Raises:
        BiError: it isn't one.
    """
    try:
        return sqlglot.parse_one(sql, dialect="databricks")
    except sqlglot.ParseError as error:
        raise BiError(f"{sql} is no SQL expression: {one_line(error)}") from error


def column(mart: str, name: str) -> str:
    """A column as DAX names it."""
    return "'" + mart.replace("'", "''") + "'[" + name.replace("]", "]]") + "]"


def formula(expression: exp.Expr, mart: str) -> str:
    """The value of an expression in a row of the mart.

    A sum or difference takes BLANK for zero, where SQL gives NULL: it is right where no value is missing.

    Raises:
        BiError: it has something that isn't known to mean the same in DAX.
    """

    def say(node: exp.Expr) -> str:
        if operator := OPERATORS.get(type(node)):
            said = f"{say(node.this)} {operator} {say(node.expression)}"
            if isinstance(node, NEVER_OF_WHAT_IS_MISSING):
                said = where_present(node, said)
            # `and` binds closer than `or` in both, but only brackets show it to a reader.
            said = f"({said})" if isinstance(node, exp.Or) else said
        else:
            said = next((saying(node) for kind, saying in sayings.items() if isinstance(node, kind)), "")
        if said:
            return said
        raise BiError(f"{expression.sql('databricks')} has {node.sql('databricks')}, which bi/dax.py can't say in DAX")

    def where_present(node: exp.Expr, said: str) -> str:
        names = dict.fromkeys(each.name for each in node.find_all(exp.Column))
        return (
            ""
            if node.find(exp.Case)
            else " && ".join([*(f"NOT(ISBLANK({column(mart, name)}))" for name in names), said])
        )

    def negation(node: exp.Expr) -> str:
        negated = node.this.unnest()
        if isinstance(negated, exp.Is):
            return f"NOT({say(negated)})"
        return where_present(node, f"NOT({say(negated)})") if isinstance(negated, (exp.In, exp.EQ)) else ""

    def case(node: exp.Expr) -> str:
        if node.this:
            raise BiError(
                f"{node.sql('databricks')} compares one value, which bi/dax.py can't say in DAX. Write conditions"
            )
        otherwise = say(node.args["default"]) if node.args.get("default") else "BLANK()"
        for branch in reversed(node.args["ifs"]):
            otherwise = f"IF({say(branch.this)}, {say(branch.args['true'])}, {otherwise})"
        return otherwise

    sayings: dict[type[exp.Expr], Callable[[exp.Expr], str]] = {
        exp.Column: lambda node: column(mart, node.name),
        exp.Literal: lambda node: '"' + node.name.replace('"', '""') + '"' if node.is_string else node.name,
        exp.Boolean: lambda node: "TRUE()" if node.this else "FALSE()",
        exp.Paren: lambda node: f"({say(node.this)})",
        exp.Not: negation,
        exp.Neg: lambda node: f"-{say(node.this)}",
        exp.In: lambda node: f"{say(node.this)} IN {{{', '.join(map(say, node.expressions))}}}",
        exp.Is: lambda node: f"ISBLANK({say(node.this)})" if isinstance(node.expression, exp.Null) else "",
        # dbt runs in UTC, and so does Power BI's service.
        exp.CurrentDate: lambda node: "UTCTODAY()",
        exp.Case: case,
    }
    return say(expression)


def conditions(expression: exp.Expr, mart: str) -> list[str]:
    """What must hold of a row, each condition by itself."""
    while isinstance(expression, exp.Paren):
        expression = expression.this
    parts = expression.flatten() if isinstance(expression, exp.And) else [expression]
    return [formula(part, mart) for part in parts]
