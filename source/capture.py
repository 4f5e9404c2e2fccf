"""What the capture may see: the publication, the grants, and Debezium's own two tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from source.errors import SourceError

CAPTURE_ROLE = "debezium"
PUBLICATION = "bank_publication"


class TableName(NamedTuple):
    """A table of the bank, by its names as Postgres has them: unquoted, in their own letters."""

    schema: str
    name: str

    @property
    def topic(self) -> str:
        """The end of its topic's name: Debezium puts `_` for what Kafka does not allow."""
        return re.sub(r"[^A-Za-z0-9._-]", "_", f"{self.schema}.{self.name}")

    @property
    def pattern(self) -> str:
        """A regular expression for this table alone, as `table.include.list` takes them, with commas between."""
        return r"\.".join(map(literal_pattern, self))


def literal_pattern(name: str) -> str:
    """A regular expression for a name, whatever is in it. Blanks are numbers in it: Debezium trims what it lists."""
    return re.sub(r"[^\w]", lambda found: f"\\u{ord(found[0]):04x}" if found[0].isspace() else f"\\{found[0]}", name)


# By table of `public`, or by ("schema", "table"), in the letters that Postgres shows.
# FULL where a delete must tell the values it removed. customers stays with its key alone: its notes are
# large, and FULL would write them to the log with every change of an e-mail address.
REPLICA_IDENTITY: dict[str | tuple[str, str], str] = {
    "purchase_trends": "full",
    "checking_account": "full",
    "customers": "default",
    "transactions": "full",
    "scheduled_payments": "full",
}


def captured_tables() -> dict[TableName, str]:
    """The tables that are to be captured, and the replica identity of each."""
    named = ((("public", key) if isinstance(key, str) else key, wanted) for key, wanted in REPLICA_IDENTITY.items())
    return {TableName(*name): wanted for name, wanted in named}


def existing_tables(connection: psycopg.Connection[Any], tables: Sequence[TableName] | None = None) -> list[TableName]:
    """Those of the captured tables, or of others, that this bank has, whatever they are, in their order."""
    tables = list(captured_tables()) if tables is None else tables
    rows = connection.cursor(row_factory=tuple_row).execute(
        "select nspname, relname from pg_class join pg_namespace on pg_namespace.oid = relnamespace"
        " where relkind in ('r', 'p', 'v', 'm', 'f')"
        " and (nspname, relname) in (select * from unnest(%s::text[], %s::text[]))",
        [[table.schema for table in tables], [table.name for table in tables]],
    )
    found = {TableName(*row) for row in rows}
    return [table for table in tables if table in found]


def is_whole(connection: psycopg.Connection[Any]) -> bool:
    """Whether the bank has all of the tables, and not just the two plain ones.

    Raises:
        SourceError: it has none.
    """
    tables = existing_tables(connection)
    if TableName("public", "checking_account") not in tables:
        raise SourceError("The bank has no tables yet. Make them with: python -m source migrate")
    return len(tables) == len(REPLICA_IDENTITY)


def open_to_capture(
    connection: psycopg.Connection[Any],
    wanted: Mapping[TableName, str] | None = None,
    *,
    publication: str = PUBLICATION,
) -> None:
    """Let the capture role read the tables that exist, and publish them. Safe to repeat.

    Debezium's tables have the columns its documentation asks of a signal table and of a heartbeat query. They
    belong to the capture and not to the bank's migrations, so that a bank of only the two plain tables is
    captured as well.

    Args:
        connection: as the owner of the tables; the transaction is left open.
        wanted: the tables, each with its replica identity; those of REPLICA_IDENTITY when left out.
        publication: its name.
    """
    wanted = captured_tables() if wanted is None else wanted
    tables = existing_tables(connection, list(wanted))
    connection.execute("create schema if not exists debezium")
    connection.execute(
        "create table if not exists debezium.signal"
        " (id varchar(42) primary key, type varchar(32) not null, data varchar(2048))"
    )
    connection.execute(
        "create table if not exists debezium.heartbeat (id int primary key, beat_at timestamptz not null)"
    )
    for table in tables:
        _set_replica_identity(connection, table, wanted[table])
    of_debezium = [TableName("debezium", "signal"), TableName("debezium", "heartbeat")]
    _publish(connection, publication, [*tables, *of_debezium])
    _grant(connection, tables)


def _set_replica_identity(connection: psycopg.Connection[Any], table: TableName, wanted: str) -> None:
    """Set it, of a partitioned table also on each partition, as none takes it over from the table.

    Only where it differs: ALTER TABLE takes an exclusive lock even when it changes nothing. A deferrable primary key
    identifies no row (PostgreSQL's documentation, ALTER TABLE, REPLICA IDENTITY), so that such a table needs FULL.
    """
    rows = (
        connection.cursor(row_factory=tuple_row)
        .execute(
            """
        with parts as (
            select coalesce(tree.relid, pg_class.oid) as oid
            from pg_class
            join pg_namespace on pg_namespace.oid = relnamespace
            left join lateral pg_partition_tree(pg_class.oid) as tree on relkind = 'p'
            where nspname = %(schema)s and relname = %(name)s
        ),
        wanted as (
            select
                oid,
                case
                    when exists (select from pg_index where indrelid = oid and indisprimary and not indimmediate)
                        then 'full'
                    else %(wanted)s
                end as identity
            from parts
        )
        select nspname, relname, identity
        from wanted
        join pg_class using (oid)
        join pg_namespace on pg_namespace.oid = relnamespace
        where relreplident <> left(identity, 1)::"char"
        """,
            {"schema": table.schema, "name": table.name, "wanted": wanted},
        )
        .fetchall()
    )
    for schema, name, identity in rows:
        connection.execute(
            sql.SQL("alter table {} replica identity {}").format(sql.Identifier(schema, name), sql.SQL(identity))
        )


def _publish(connection: psycopg.Connection[Any], publication: str, tables: list[TableName]) -> None:
    """Make the publication carry exactly these tables, whole; FOR ALL TABLES would need a superuser.

    A partitioned table comes under its own name, whatever partitions it has or gets. Since Postgres 18 the values of
    stored generated columns can come, too.
    """
    name = sql.Identifier(publication)
    listed = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
    exists = connection.execute("select 1 from pg_publication where pubname = %s", [publication]).fetchone()
    connection.execute(
        sql.SQL("alter publication {} set table {}" if exists else "create publication {} for table {}").format(
            name, listed
        )
    )
    options = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
    if connection.info.server_version >= 180000:
        options += ", publish_generated_columns = stored"
    connection.execute(sql.SQL("alter publication {} set ({})").format(name, sql.SQL(options)))


def _grant(connection: psycopg.Connection[Any], tables: list[TableName]) -> None:
    """SELECT on what is captured; INSERT, too, where Debezium writes its watermarks and heartbeats.

    With `incremental.snapshot.watermarking.strategy=insert_insert` Debezium never deletes a signal.
    """
    capture = sql.Identifier(CAPTURE_ROLE)
    schemas = sql.SQL(", ").join(map(sql.Identifier, sorted({"debezium", *(table.schema for table in tables)})))
    connection.execute(sql.SQL("grant usage on schema {} to {}").format(schemas, capture))
    connection.execute(sql.SQL("grant select, insert on debezium.signal to {}").format(capture))
    connection.execute(sql.SQL("grant select, insert, update on debezium.heartbeat to {}").format(capture))
    if tables:
        names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
        connection.execute(sql.SQL("grant select on {} to {}").format(names, capture))
