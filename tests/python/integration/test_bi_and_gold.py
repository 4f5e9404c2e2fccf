"""The columns and types in the files for Power BI and Tableau are those of Gold's tables."""

from __future__ import annotations

from bi_files import in_power_bi, in_tableau, types
from pipeline import Stack
from rounds import Round


def test_the_files_have_golds_own_columns_and_types(stack: Stack, after_the_snapshot: Round) -> None:
    tables = {row["tableName"] for row in stack.rows("show tables in gold")} - {"published_marts"}
    described = {table: stack.rows(f"describe table gold.{table}") for table in tables}
    for program, found in enumerate([in_power_bi(), in_tableau()]):
        expected = {
            table: {row["col_name"]: types(row["data_type"])[program] for row in rows if "#" not in row["col_name"]}
            for table, rows in described.items()
        }
        assert {
            table: {name: column.data_type for name, column in columns.items()} for table, columns in found.items()
        } == expected
