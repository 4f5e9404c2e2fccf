"""What a statement of Databricks' SQL is outside Databricks: mostly itself, for some the same in other words.

What only a workspace answers is `ONLY_A_WORKSPACE`, the one list of it.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from sqlglot.dialects.databricks import Databricks
from sqlglot.tokens import Token, TokenType

from warehouse.results import texts
from warehouse.unity import Name, Unity, literals, parse

# Statements that are kept as they were said and answered from that, but that nothing here carries out: why not.
ONLY_A_WORKSPACE = {
    "SET TAGS": "tags are Unity Catalog's; here they are kept, and answered in information_schema",
    "PRIMARY KEY": "a key that informs and isn't enforced, which Delta outside Databricks has no place for; kept",
    "GRANT": "users, groups and their privileges are the workspace's; kept, and answered by SHOW GRANTS",
    "REVOKE": "as GRANT",
    "predictive optimization": "OPTIMIZE, VACUUM and ANALYZE that a workspace runs by itself, without a statement",
    "query tags": "a setting of the session, which system.query.history shows; kept with the session",
}


class _Dialect(Databricks):
    class Tokenizer(Databricks.Tokenizer):
        # Words after which the tokenizer would take all the rest for one string.
        COMMANDS: ClassVar[set[TokenType]] = set()


class Words:
    """A statement as the words it is made of, comments left out."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.tokens: list[Token] = _Dialect().tokenize(sql)
        # Some of sqlglot's tokens are two words (PRIMARY KEY).
        self.upper = [token.text.upper() for token in self.tokens]

    def begin(self, *words: str) -> bool:
        """Whether the statement begins so."""
        return self.upper[: len(words)] == list(words)

    def find(self, *words: str) -> int:
        """Where these words first follow each other; -1 where they don't."""
        size = len(words)
        return next((at for at in range(len(self.upper) - size + 1) if self.upper[at : at + size] == list(words)), -1)

    def name(self, at: int) -> tuple[list[str], int]:
        """The parts of the dotted name at a place, in lower case, and the place after it."""
        parts = [self.tokens[at].text.lower()]
        while self.kind(at + 1) is TokenType.DOT:
            at += 2
            parts.append(self.tokens[at].text.lower())
        return parts, at + 1

    def kind(self, at: int) -> TokenType | None:
        """What sort of word stands at a place; None after the end."""
        return self.tokens[at].token_type if at < len(self.tokens) else None

    def in_parentheses(self, at: int) -> tuple[list[list[int]], int]:
        """The places of the words between commas, of the parenthesis that opens at a place; and the place after it."""
        assert self.kind(at) is TokenType.L_PAREN
        parts: list[list[int]] = [[]]
        depth = 0
        for place in range(at, len(self.tokens)):
            kind = self.kind(place)
            depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
            if depth == 0:
                return parts, place + 1
            if depth == 1 and kind is TokenType.COMMA:
                parts.append([])
            elif place > at:
                parts[-1].append(place)
        raise ValueError("A parenthesis isn't closed.")

    def rest(self, at: int) -> str:
        """The statement from a place on."""
        return self.sql[self.tokens[at].start :]


@dataclass
class Journal:
    """What was asked of the warehouse, by kind of statement: how often, and what only a workspace would carry out."""

    carried_out: Counter[str] = field(default_factory=Counter)
    in_other_words: Counter[str] = field(default_factory=Counter)
    only_kept: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, counter: Counter[str], kind: str) -> None:
        with self.lock:
            counter[kind] += 1


class Statements:
    """Carries out statements in one session of Spark.

    Args:
        spark: the session.
        unity: what Unity Catalog would keep, for all sessions.
        journal: notes what was asked, for all sessions.
        catalog: name of the one catalog there is; in Spark it is `spark_catalog`.
    """

    def __init__(self, spark: SparkSession, unity: Unity, journal: Journal, catalog: str = "main") -> None:
        self.spark, self.unity, self.journal, self.catalog = spark, unity, journal, catalog
        self.temporary: set[str] = set()

    def forget_temporary(self) -> None:
        """Drop the session's own views, as its end would."""
        for name in self.temporary:
            self.spark.catalog.dropTempView(name)
        self.temporary.clear()

    def execute(self, sql: str) -> pa.Table:
        """Carry out a statement.

        Returns:
            Its result; without columns for a statement that has none.

        Raises:
            PySparkException: as Spark says it.
            ValueError: what isn't supported, or a key that leads nowhere.
        """
        words = Words(sql)
        for is_it, carry_out in self.special(words):
            if is_it:
                kind = " ".join(words.upper[:2] if words.begin("SHOW") or words.begin("USE") else words.upper[:1])
                self.journal.note(self.journal.in_other_words, kind)
                return carry_out(words)
        self.journal.note(self.journal.carried_out, words.upper[0])
        if words.find("TEMPORARY", "VIEW") > 0:
            self.temporary.add(words.tokens[words.find("TEMPORARY", "VIEW") + 2].text)
        return self.run(words.sql)

    def special(self, words: Words) -> Iterator[tuple[bool, Callable[[Words], pa.Table]]]:
        """What isn't given to Spark as it is, each with how it is done."""
        yield "INFORMATION_SCHEMA" in words.upper, self.information_schema
        yield words.begin("USE", "CATALOG"), self.use_catalog
        yield words.begin("SHOW", "SCHEMAS"), self.show_schemas
        yield words.begin("SHOW", "TABLE", "EXTENDED"), self.show_table_extended
        yield words.begin("SHOW", "GRANTS"), self.show_grants
        yield words.begin("DESCRIBE") and words.upper[-2:] == ["AS", "JSON"], self.describe_as_json
        yield words.begin("COMMENT", "ON", "COLUMN"), self.comment_on_column
        yield words.begin("GRANT") or words.begin("REVOKE"), self.grant
        yield words.begin("ALTER") and words.find("TAGS", "(") > 0, self.set_tags
        yield words.begin("ALTER") and words.find("ADD", "CONSTRAINT") > 0, self.add_constraint
        yield words.begin("ALTER") and words.find("DROP", "CONSTRAINT") > 0, self.drop_constraint
        yield words.begin("CREATE", "OR", "REPLACE", "TABLE") or words.begin("CREATE", "TABLE"), self.create_table
        yield words.begin("DROP") and not words.begin("DROP", "SCHEMA"), self.drop
        yield words.find("CURRENT_CATALOG", "(") > 0, self.current_catalog

    # --- Spark --------------------------------------------------------------------------------------------------

    def run(self, sql: str) -> pa.Table:
        """Let Spark carry out a statement, with its own name for the catalog."""
        frame = self.spark.sql(self.in_spark(sql))
        # What `toArrow` does but for its cast, which fails where an expression's rows can be NULL against its own type.
        table, _ = frame._to_table()
        variants = [column.name for column in frame.schema if isinstance(column.dataType, T.VariantType)]
        if variants:
            # Databricks sends these as JSON.
            table, _ = frame.withColumns({name: F.to_json(name) for name in variants})._to_table()
        return table

    def in_spark(self, sql: str) -> str:
        """A statement with Spark's name for the catalog, where a dotted name begins with it."""
        words, written, end = Words(sql), [], 0
        for at, token in enumerate(words.tokens):
            begins = words.kind(at + 1) is TokenType.DOT and (at == 0 or words.kind(at - 1) is not TokenType.DOT)
            if begins and token.text.lower() == self.catalog and token.token_type is not TokenType.STRING:
                written += [sql[end : token.start], "spark_catalog"]
                end = token.end + 1
        return "".join([*written, sql[end:]])

    def spark_name(self, name: Name) -> str:
        return f"spark_catalog.`{name.schema}`.`{name.table}`"

    def whole_name(self, parts: list[str]) -> Name:
        """A table's name, which dbt always says in full."""
        if len(parts) != 3 or parts[0] != self.catalog:
            raise ValueError(
                f"[NO_SUCH_CATALOG_EXCEPTION] This warehouse has the catalog {self.catalog}: {'.'.join(parts)}"
            )
        return Name(*parts)

    # --- metadata -----------------------------------------------------------------------------------------------

    def information_schema(self, words: Words) -> pa.Table:
        """Look up what the query's conditions speak of, then answer it from there."""
        query = parse(words.sql)
        for schema in literals(query, "table_schema"):
            if "TABLES" in words.upper or "VIEWS" in words.upper:
                self.look_up_relations(schema)
            if "COLUMNS" in words.upper:
                for table in literals(query, "table_name"):
                    self.look_up_columns(Name(self.catalog, schema, table))
        return self.unity.query(query)

    def look_up_relations(self, schema: str) -> None:
        where = {"table_catalog": self.catalog, "table_schema": schema}
        found = self.extended(schema, "*")
        kinds = {"MANAGED": "MANAGED", "EXTERNAL": "EXTERNAL", "VIEW": "VIEW"}
        relations = []
        for name, information in found.items():
            said = dict(line.split(": ", 1) for line in information.splitlines() if ": " in line)
            relations.append(
                {
                    "table_name": name,
                    "table_type": kinds[said["Type"]],
                    "data_source_format": said.get("Provider", "UNKNOWN").upper(),
                    "table_owner": said.get("Owner"),
                    "comment": said.get("Comment"),
                    "last_altered": said.get("Created Time"),
                }
            )
        self.unity.replace("tables", where, relations)
        views = [
            {"table_name": name, "view_definition": information.split("View Text: ", 1)[1].split("\nView ", 1)[0]}
            for name, information in found.items()
            if "View Text: " in information
        ]
        self.unity.replace("views", where, views)

    def look_up_columns(self, name: Name) -> None:
        where = {"table_catalog": name.catalog, "table_schema": name.schema, "table_name": name.table}
        schema = self.spark.table(self.spark_name(name)).schema
        columns = [
            {
                "column_name": column.name,
                "ordinal_position": number,
                "is_nullable": "YES" if column.nullable else "NO",
                "full_data_type": column.dataType.simpleString(),
                "comment": column.metadata.get("comment"),
            }
            for number, column in enumerate(schema)
        ]
        self.unity.replace("columns", where, columns)

    def extended(self, schema: str, pattern: str) -> dict[str, str]:
        """What Spark says of each relation of a schema, by name; nothing for a schema that isn't there."""
        if not self.spark.catalog.databaseExists(f"spark_catalog.{schema}"):
            return {}
        statement = f"show table extended in spark_catalog.`{schema}` like '{pattern}'"
        for attempt in range(5):
            try:
                rows = self.spark.sql(statement).toArrow().to_pylist()
                break
            except AnalysisException:
                # Spark lists the names, then asks for each; another session may have dropped one meanwhile.
                if attempt == 4:
                    raise
        return {row["tableName"]: row["information"] for row in rows if not row["isTemporary"]}

    def use_catalog(self, words: Words) -> pa.Table:
        if words.upper[2] != self.catalog.upper():
            raise ValueError(f"[NO_SUCH_CATALOG_EXCEPTION] Catalog '{words.tokens[2].text}' was not found.")
        return texts([], [])

    def current_catalog(self, words: Words) -> pa.Table:
        return texts(["current_catalog()"], [(self.catalog,)])

    def show_schemas(self, words: Words) -> pa.Table:
        pattern = f" like '{words.tokens[-1].text}'" if "LIKE" in words.upper else ""
        rows = self.spark.sql(f"show schemas in spark_catalog{pattern}").collect()
        return texts(["databaseName"], [tuple(row) for row in rows])

    def show_table_extended(self, words: Words) -> pa.Table:
        """Of a Delta table Spark's own text has no columns or, when it was replaced, only outlines of their types."""
        parts, _ = words.name(4)
        schema = parts[-1]
        rows = []
        for name, information in self.extended(schema, words.tokens[-1].text).items():
            if "Provider: delta" in information:
                described = self.spark.table(self.spark_name(Name(self.catalog, schema, name))).schema
                lines = [f" |-- {one.name}: {one.dataType.simpleString()} (nullable = true)\n" for one in described]
                information = "".join([information.split("Schema: root")[0], "Schema: root\n", *lines])
            rows.append((schema, name, False, f"Catalog: {self.catalog}\n{information}"))
        return texts(["database", "tableName", "isTemporary", "information"], rows)

    def describe_as_json(self, words: Words) -> pa.Table:
        """Spark answers this for views and for tables of its own, but not for Delta's."""
        parts, _ = words.name(words.find("EXTENDED") + 1)
        name = ".".join(f"`{part}`" for part in (["spark_catalog", *parts[1:]] if len(parts) == 3 else parts))
        columns = [
            {
                "name": column.name,
                "type": as_json(column.dataType),
                "nullable": column.nullable,
                **({"comment": column.metadata["comment"]} if "comment" in column.metadata else {}),
            }
            for column in self.spark.table(name).schema
        ]
        return texts(["json_metadata"], [(json.dumps({"table_name": parts[-1], "columns": columns}),)])

    def comment_on_column(self, words: Words) -> pa.Table:
        parts, after = words.name(3)
        return self.run(
            f"alter table {self.spark_name(self.whole_name(parts[:-1]))} "
            f"alter column `{parts[-1]}` comment {words.rest(after + 1)}"
        )

    # --- what only Unity Catalog keeps --------------------------------------------------------------------------

    def keep(self, kind: str) -> None:
        assert kind in ONLY_A_WORKSPACE
        self.journal.note(self.journal.only_kept, kind)

    def set_tags(self, words: Words) -> pa.Table:
        parts, after = words.name(2)
        name = self.whole_name(parts)
        where = {"catalog_name": name.catalog, "schema_name": name.schema, "table_name": name.table}
        table = "table_tags"
        if words.upper[after : after + 2] == ["ALTER", "COLUMN"]:
            table, where = "column_tags", {**where, "column_name": words.tokens[after + 2].text}
        at = words.find("TAGS", "(")
        is_set = words.upper[at - 1] == "SET"
        for pair in words.in_parentheses(at + 1)[0]:
            tag = {**where, "tag_name": words.tokens[pair[0]].text}
            self.unity.replace(table, tag, [{"tag_value": words.tokens[pair[2]].text}] if is_set else [])
        self.keep("SET TAGS")
        return texts([], [])

    def grant(self, words: Words) -> pa.Table:
        """GRANT privilege ON kind name TO principal; REVOKE … FROM principal."""
        on = words.find("ON")
        parts, after = words.name(on + 2)
        privileges = [word for word in words.upper[1:on] if word != ","]
        for privilege in privileges:
            where = {
                "kind": words.upper[on + 1],
                "name": ".".join(parts),
                "principal": words.tokens[after + 1].text,
                "privilege": privilege,
            }
            self.unity.replace("grants", where, [{}] if words.begin("GRANT") else [])
        self.keep(words.upper[0])
        return texts([], [])

    def show_grants(self, words: Words) -> pa.Table:
        parts, _ = words.name(4)
        where = {"kind": words.upper[3], "name": ".".join(parts)}
        rows = self.unity.rows("grants", where, ["principal", "privilege", "kind", "name"])
        return texts(["Principal", "ActionType", "ObjectType", "ObjectKey"], rows)

    def add_constraint(self, words: Words) -> pa.Table:
        parts, after = words.name(2)
        if "CHECK" in words.upper:
            return self.run(words.sql)
        self.keep_key(self.whole_name(parts), words, list(range(after + 1, len(words.tokens))))
        return texts([], [])

    def drop_constraint(self, words: Words) -> pa.Table:
        parts, after = words.name(2)
        constraint = next(word for word in words.upper[after + 2 :] if word not in ("IF", "EXISTS")).lower()
        name = self.whole_name(parts)
        self.unity.forget_constraints(name, constraint)
        return self.run(f"alter table {self.spark_name(name)} drop constraint if exists `{constraint}`")

    def keep_key(self, name: Name, words: Words, places: list[int]) -> None:
        """Keep [CONSTRAINT name] PRIMARY KEY (columns)."""
        at = places[0]
        constraint = f"{name.table}_key"
        if words.upper[at] == "CONSTRAINT":
            constraint, at = words.tokens[at + 1].text.lower(), at + 2
        kind, at = (words.upper[at], at + 1) if " " in words.upper[at] else (" ".join(words.upper[at : at + 2]), at + 2)
        columns, _ = words.in_parentheses(at)
        self.keep(kind)
        key = {"constraint_catalog": name.catalog, "constraint_schema": name.schema, "constraint_name": constraint}
        table = {"table_catalog": name.catalog, "table_schema": name.schema, "table_name": name.table}
        self.unity.replace("table_constraints", key, [{**table, "constraint_type": kind}])
        usages = [
            {**table, "column_name": words.tokens[column[0]].text, "ordinal_position": number}
            for number, column in enumerate(columns, start=1)
        ]
        self.unity.replace("key_column_usage", key, usages)

    def create_table(self, words: Words) -> pa.Table:
        """A table made anew has the keys that are said with it, and no others. Spark isn't told of them."""
        parts, after = words.name(words.find("TABLE") + 1)
        name = self.whole_name(parts)
        sql, keys = words.sql, []
        if words.kind(after) is TokenType.L_PAREN:
            keys = [places for places in words.in_parentheses(after)[0] if is_key(words, places)]
            for places in reversed(keys):
                begin, end = words.tokens[places[0] - 1].start, words.tokens[places[-1]].end + 1
                sql = sql[:begin] + sql[end:]
        table = self.run(sql)
        self.unity.forget_constraints(name)
        for places in keys:
            self.keep_key(name, words, places)
        return table

    def drop(self, words: Words) -> pa.Table:
        table = self.run(words.sql)
        parts, _ = words.name(4 if words.find("IF", "EXISTS") > 0 else 2)
        if len(parts) == 3:
            self.unity.forget_table(self.whole_name(parts))
        return table


def is_key(words: Words, places: list[int]) -> bool:
    """Whether an element of CREATE TABLE is a primary key of the table."""
    begin = " ".join(words.upper[place] for place in places[:4])
    return re.match(r"(CONSTRAINT \S+ )?PRIMARY KEY\b", begin) is not None


def as_json(kind: T.DataType) -> dict[str, object]:
    """A type as DESCRIBE … AS JSON writes it (Databricks' SQL reference, DESCRIBE TABLE, JSON-formatted output)."""
    match kind:
        case T.StructType():
            fields = [
                {"name": field.name, "type": as_json(field.dataType), "nullable": field.nullable} for field in kind
            ]
            return {"name": "struct", "fields": fields}
        case T.ArrayType():
            return {"name": "array", "element_type": as_json(kind.elementType), "element_nullable": kind.containsNull}
        case T.MapType():
            return {"name": "map", "key_type": as_json(kind.keyType), "value_type": as_json(kind.valueType)}
        case T.DecimalType():
            return {"name": "decimal", "precision": kind.precision, "scale": kind.scale}
        case T.TimestampType():
            return {"name": "timestamp_ltz"}
        case _:
            return {"name": kind.simpleString()}
