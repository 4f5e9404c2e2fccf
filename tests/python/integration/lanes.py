"""Tables beside the bank's own, added as a user adds one, and each with a way through the chain of its own.

A lane has a Postgres schema, a connector, topics, Bronze and Silver schemas, and a copy of the dbt project in a folder
of its own. It shares the stack with whatever else the tests do there, and leaves nothing behind but its topics.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import psycopg.rows
import requests
import yaml
from pipeline import PROJECT, Stack, wait_for
from truth import Rows, difference

import ingestion
import source
from source.capture import TableName, open_to_capture
from source.checks import left_out_columns
from source.connector import settings_of

# What the copy takes over as it is.
PARTS = ("dbt_project.yml", "profiles.yml", "selectors.yml", "models/_groups.yml", "macros", "tests/generic")
# What speaks of every table there is, and is therefore taken over as well.
MODELS_OF_ALL = ("quarantined_messages", "schema_drift")
# Columns that a history adds.
VERSIONS = ("version_number", "is_current", "valid_from", "valid_to")
TESTS_OF_ALL = ("every_bronze_message_is_accounted_for", "every_field_is_declared", "no_message_is_in_quarantine")


@dataclass(frozen=True)
class Table:
    """A table of the bank, and what its models declare.

    Attributes:
        name: in Bronze; that of Postgres, and so of the topic, unless `in_bank` says another.
        key: the primary key by Silver's names, as the macros take it.
        columns: Silver's columns with their types, in order.
        definition: what stands between the parentheses of `create table`.
        options: what stands after them.
        replica_identity: `default` or `full`.
        fields: the column's name in Postgres, where Silver calls it something else.
        meta: what else the base model's YAML says in a column's `meta`.
        in_postgres: SQL on Postgres that gives what Silver must hold, for columns where that isn't the column itself.
        in_bank: its name in Postgres, where that isn't Bronze's.
        histories: history models of the table, by name, each with the columns it tracks; None tracks all.
    """

    name: str
    key: str | Sequence[str]
    columns: Mapping[str, str]
    definition: str
    replica_identity: str = "default"
    fields: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    in_postgres: Mapping[str, str] = field(default_factory=dict)
    options: str = ""
    in_bank: str = ""
    histories: Mapping[str, Sequence[str] | None] = field(default_factory=dict)

    @property
    def sql_name(self) -> str:
        return quoted(self.in_bank or self.name)

    @property
    def keys(self) -> list[str]:
        return [self.key] if isinstance(self.key, str) else list(self.key)

    @property
    def base(self) -> str:
        return f"base_bank__{self.name}_changes"

    @property
    def staging(self) -> str:
        return f"stg_bank__{self.name}"

    @property
    def query(self) -> str:
        """What Silver's rows that aren't deleted must be, as SQL on Postgres."""
        return f"select {', '.join(self._in_postgres(column) for column in self.columns)} from {self.sql_name}"

    def _in_postgres(self, column: str) -> str:
        # A time without a zone is UTC's: that is the sessions' time zone.
        cast = "::timestamptz" if self.columns[column] == "timestamp" else ""
        return f"{self.in_postgres.get(column, quoted(self.fields.get(column, column)) + cast)} as {column}"


def quoted(name: str) -> str:
    """A name as Postgres takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


class Project:
    """A copy of the dbt project that has the given tables in place of the bank's."""

    def __init__(self, folder: Path, tables: Sequence[Table], schema: str) -> None:
        self.folder = folder
        self.schema = schema
        self.bank = folder / "models" / "staging" / "bank"
        for part in PARTS:
            self._take(part)
        # A lane has few runs.
        settings = folder / "dbt_project.yml"
        often = settings.read_text().replace("runs_between_compactions: 50", "runs_between_compactions: 4")
        assert often != settings.read_text()
        settings.write_text(often)
        for name in MODELS_OF_ALL:
            self._take(f"models/staging/bank/{name}.sql")
        for name in TESTS_OF_ALL:
            self._take(f"tests/staging/{name}.sql")
        self._take("models/staging/bank/_bank__docs.md")
        self._write_sources(tables)
        self._write_models("base/_bank__base_models.yml", [self._base_yaml(table) for table in tables])
        described = [model for model in self._models("_bank__models.yml") if model["name"] in MODELS_OF_ALL]
        self._write_models("_bank__models.yml", described + [self._staging_yaml(table) for table in tables])
        histories = [self._history_yaml(table, name) for table in tables for name in table.histories]
        self._write_models("history/_bank__history_models.yml", histories)
        for table in tables:
            self._write_sql(table)
        self._name_bases(tables)

    def _take(self, part: str) -> None:
        target = self.folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / part).is_dir():
            shutil.copytree(PROJECT / part, target)
        else:
            shutil.copy(PROJECT / part, target)

    def _write_sources(self, tables: Sequence[Table]) -> None:
        (bronze,) = yaml.safe_load((PROJECT / "models/staging/bank/_bank__sources.yml").read_text())["sources"]
        columns = bronze["tables"][0]["columns"]
        bronze["tables"] = [
            {
                "name": table.name,
                "description": f"Messages about {table.name}.",
                "columns": columns,
                "config": {"meta": {"schema": self.schema, "table": table.in_bank or table.name}},
            }
            for table in tables
        ]
        (self.bank / "_bank__sources.yml").write_text(yaml.safe_dump({"sources": [bronze]}))

    def _models(self, file: str) -> list[dict[str, Any]]:
        read: dict[str, Any] = yaml.safe_load((PROJECT / "models/staging/bank" / file).read_text())
        return list(read["models"])

    def _metadata(self, file: str, model_begins: str) -> list[dict[str, Any]]:
        """The columns that every such model has, copied from the first."""
        model = next(model for model in self._models(file) if model["name"].startswith(model_begins))
        return [column for column in model["columns"] if column["name"].startswith("_") or column["name"] in VERSIONS]

    def _base_yaml(self, table: Table) -> dict[str, Any]:
        columns = []
        for name, data_type in table.columns.items():
            meta = dict(table.meta.get(name, {}))
            if name in table.fields:
                meta["field"] = table.fields[name]
            config = {"config": {"meta": meta}} if meta else {}
            columns.append({"name": name, "description": f"The bank's {name}.", "data_type": data_type, **config})
        return {
            "name": table.base,
            "description": f"Every change of {table.name}.",
            "columns": columns + self._metadata("base/_bank__base_models.yml", "base_"),
            "data_tests": [{"primary_key": {"arguments": {"columns": ["_cdc_change_id"]}}}],
        }

    def _staging_yaml(self, table: Table) -> dict[str, Any]:
        columns = [
            {"name": name, "description": f"The bank's {name}.", "data_type": data_type}
            for name, data_type in {**table.columns, "is_deleted": "boolean"}.items()
        ]
        return {
            "name": table.staging,
            "description": f"One row per key of {table.name} ever seen.",
            "columns": columns + self._metadata("_bank__models.yml", "stg_"),
            "data_tests": [{"primary_key": {"arguments": {"columns": table.keys}}}],
        }

    def _history_yaml(self, table: Table, name: str) -> dict[str, Any]:
        yaml = self._staging_yaml(table)
        return {
            **yaml,
            "name": name,
            "description": f"Every version of the rows of {table.name}.",
            "columns": [column for column in yaml["columns"] if not column["name"].startswith("_")]
            + self._metadata("history/_bank__history_models.yml", ""),
            "data_tests": [{"primary_key": {"arguments": {"columns": [*table.keys, "version_number"]}}}],
        }

    def _write_models(self, file: str, models: list[dict[str, Any]]) -> None:
        (self.bank / file).parent.mkdir(parents=True, exist_ok=True)
        (self.bank / file).write_text(yaml.safe_dump({"models": models}, sort_keys=False))

    def _write_sql(self, table: Table) -> None:
        key = _as_typed(table.key)
        in_bank = [table.fields.get(name, name) for name in table.keys]
        key_in_bank = _as_typed(in_bank[0] if isinstance(table.key, str) else in_bank)
        (self.bank / "base" / f"{table.base}.sql").write_text(
            f"{{{{ decode_changes(source('bronze', '{table.name}'), key={key_in_bank}) }}}}\n"
        )
        (self.bank / f"{table.staging}.sql").write_text(
            f"{{{{ config(unique_key={key}) }}}}\n\n{{{{ current_state(ref('{table.base}'), key={key}) }}}}\n"
        )
        for name, tracked in table.histories.items():
            words = f"key={key}" if tracked is None else f"key={key}, tracked={list(tracked)}"
            (self.bank / "history" / f"{name}.sql").write_text(
                f"{{{{ config(unique_key={[*table.keys, 'version_number']}) }}}}\n\n"
                f"{{{{ history(ref('{table.base}'), {words}) }}}}\n"
            )

    def _name_bases(self, tables: Sequence[Table]) -> None:
        """What asks all base models names the bank's, which aren't here: these are named instead."""
        named = ", ".join(f"{{{{ ref('{table.base}') }}}}" for table in tables)
        files = [self.bank / f"{name}.sql" for name in MODELS_OF_ALL]
        files += [self.folder / "tests" / "staging" / f"{name}.sql" for name in TESTS_OF_ALL]
        for file in files:
            text, count = re.subn(r"(-- depends_on: .*\n)+", f"-- depends_on: {named}\n", file.read_text())
            if count:
                file.write_text(text)


def _as_typed(key: str | Sequence[str]) -> str:
    """A key as one types it in a model: a name, or a list of several."""
    return f"'{key}'" if isinstance(key, str) else str(list(key))


class Lane:
    """Tables of one test, and their way from Postgres to Silver."""

    def __init__(self, stack: Stack, name: str, tables: Sequence[Table]) -> None:
        self.stack = stack
        self.name = name
        self.tables = {table.name: table for table in tables}
        self.work = stack.work / name
        self.bronze = f"{name}_bronze"
        self.silver = f"{name}_silver"

    @cached_property
    def project(self) -> Project:
        return Project(self.work / "project", list(self.tables.values()), self.name)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "TOPIC_PREFIX": f"{self.name}.{self.name}.",
            "BRONZE_SCHEMA": self.bronze,
            "CHECKPOINTS": str(self.checkpoints),
            "DBT_SCHEMA": self.name,
        }

    @property
    def checkpoints(self) -> Path:
        return self.work / "checkpoints"

    def topic(self, table: str) -> str:
        return f"{self.name}.{self.in_bank(self.tables[table]).topic}"

    def create(self) -> None:
        """The tables in Postgres, and the publication and the rights that capture needs. No connector yet."""
        self.sql(f"create schema {self.name}")
        for table in self.tables.values():
            self.sql(f"create table {table.sql_name} ({table.definition}) {table.options}")
        with self.connect() as connection:
            wanted = {self.in_bank(table): table.replica_identity for table in self.tables.values()}
            open_to_capture(connection, wanted, publication=self.name)

    def in_bank(self, table: Table) -> TableName:
        return TableName(self.name, table.in_bank or table.name)

    def findings(self) -> list[str]:
        """What is wrong with the capture of the tables."""
        with self.connect() as connection:
            tables = [self.in_bank(table) for table in self.tables.values()]
            return [str(found) for found in source.findings(connection, tables, publication=self.name)]

    def capture(self, **settings: str) -> None:
        """Register the lane's connector, which reads what is there and then follows.

        Args:
            settings: further settings of the connector, with `__` where Debezium's names have a dot.
        """
        tables = [self.in_bank(table) for table in self.tables.values()]
        with self.connect() as connection:
            left_out = left_out_columns(connection, tables)
        source.register_connector(
            self.stack.environment["CONNECT_URL"],
            {
                "name": self.name,
                "slot.name": self.name,
                "publication.name": self.name,
                "topic.prefix": self.name,
                **settings_of(tables, left_out),
                **{name.replace("__", "."): value for name, value in settings.items()},
            },
        )

    def tell_connector(self, method: str, path: str = "") -> None:
        """Ask Kafka Connect's REST interface for something to be done with the lane's connector, if there is one."""
        url = f"{self.stack.environment['CONNECT_URL']}/connectors/{self.name}{path}"

        def is_done() -> bool:
            response = requests.request(method, url, timeout=30)
            # Refused (409) while the worker takes up another connector, which passes.
            return response.ok or response.status_code == requests.codes.not_found

        wait_for(is_done, f"{method} {url}")

    def connect(self, *, superuser: bool = False) -> psycopg.Connection[dict[str, Any]]:
        """A connection as the bank's owner, in UTC, where the tables' names stand alone; statements commit."""
        role = {"user": "postgres", "password": self.stack.home.secrets()["superuser"]} if superuser else {}
        return psycopg.connect(
            self.stack.database_url,
            **role,
            autocommit=True,
            options=f"-c timezone=UTC -c search_path={self.name}",
            row_factory=psycopg.rows.dict_row,
        )

    def sql(self, statement: str, parameters: Sequence[Any] | None = None) -> Rows:
        """Run SQL on Postgres. Several statements together are one transaction, unless they say otherwise."""
        with self.connect() as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def wait_until_captured(self) -> None:
        source.wait_until_captured(self.stack.database_url, slot=self.name)

    def send(self, table: str, messages: Sequence[tuple[bytes | None, bytes | None]]) -> None:
        """Put messages on a table's topic, in order; each is a key and a value."""
        self.stack.send(self.topic(table), messages)

    def ingest(self, *, max_offsets_per_trigger: int | None = None) -> dict[str, int]:
        """Land what is on the topics, and return how many messages of each Bronze table that were.

        By the job's own function: `python -m ingestion` takes seconds to start, and test_ingestion.py tries that.
        """
        config = ingestion.Config.from_environment(
            {**self.stack.environment, **self.environment}, max_offsets_per_trigger=max_offsets_per_trigger
        )
        return {one.table: one.rows for one in ingestion.ingest_available(self.stack.spark, config)}

    def dbt(self, *words: str, ahead: timedelta = timedelta()) -> subprocess.CompletedProcess[str]:
        """Run dbt in the lane's project; it may fail, and says by its exit code whether it did."""
        return self.stack.run(
            *("dbt.cli.main", "--no-use-colors", "--log-path", str(self.work / "logs")),
            *words,
            *self.of_project,
            environment=self.environment,
            timeout=600,
            ahead=ahead,
        )

    @property
    def of_project(self) -> tuple[str, ...]:
        """dbt's options that name the lane's project."""
        return (
            *("--project-dir", str(self.project.folder), "--profiles-dir", str(self.project.folder)),
            *("--target-path", str(self.work / "target"), "--vars", f"{{bronze_schema: {self.bronze}}}"),
        )

    def build(self, *words: str, ahead: timedelta = timedelta()) -> None:
        """Run dbt, which must succeed: `dbt run` when nothing else is said."""
        result = self.dbt(*(words or ("run",)), ahead=ahead)
        assert result.returncode == 0, result.stdout + result.stderr

    def round(self, *words: str) -> None:
        """Bring everything that was committed through to Silver."""
        self.wait_until_captured()
        self.ingest()
        self.build(*words)

    def silver_rows(self, table: str) -> Rows:
        """A table's rows in Silver that aren't deleted, without what the pipeline adds."""
        wanted = self.tables[table]
        return self.stack.rows(
            f"select {', '.join(wanted.columns)} from {self.silver}.{wanted.staging} where not is_deleted"
        )

    def postgres_rows(self, table: str) -> Rows:
        """The same as Postgres has them."""
        return self.sql(self.tables[table].query)

    def current_versions(self, table: str, history: str) -> Rows:
        """The same of a history of the table."""
        return self.stack.rows(
            f"select {', '.join(self.tables[table].columns)} from {self.silver}.{history}"
            " where is_current and not is_deleted"
        )

    def differences(self) -> str:
        """Where Silver is not what Postgres holds; empty when it is."""
        found = {}
        for name, table in self.tables.items():
            wanted = self.postgres_rows(name)
            found[name] = difference(wanted, self.silver_rows(name))
            for history in table.histories:
                found[history] = difference(wanted, self.current_versions(name, history))
        return "\n".join(f"{table}: {text}" for table, text in found.items() if text)

    def close(self) -> None:
        """Take everything away again but the topics."""
        self.tell_connector("DELETE")
        with self.connect(superuser=True) as connection:
            drop_slot(connection, self.name)
        self.sql(f"drop publication if exists {self.name}")
        self.sql(f"drop schema if exists {self.name} cascade")
        for schema in (self.bronze, self.silver):
            self.stack.spark.sql(f"drop schema if exists {schema} cascade")
        shutil.rmtree(self.work, ignore_errors=True)


def drop_slot(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a replication slot, if it is there, as soon as nobody holds it."""

    def is_left() -> bool:
        query = "select from pg_replication_slots where slot_name = %s and active"
        return connection.execute(query, [name]).fetchone() is None

    wait_for(is_left, "the connector leaves its slot")
    drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s"
    connection.execute(drop, [name])


@contextlib.contextmanager
def lane(stack: Stack, name: str, tables: Sequence[Table]) -> Iterator[Lane]:
    """A lane with its tables in Postgres, not yet captured; nothing of it is left afterwards.

    Args:
        name: what the lane's name begins with. The rest is new each time, as Kafka and Connect remember the last one.
    """
    one = Lane(stack, f"{name}_{uuid.uuid4().hex[:8]}", tables)
    try:
        one.create()
        yield one
    finally:
        one.close()
