"""What the capture may see: the publication, the grants, and Debezium's own two tables."""

import psycopg
from psycopg import sql

from source.errors import SourceError

CAPTURE_ROLE = "debezium"
PUBLICATION = "bank_publication"

# FULL where a delete must tell the values it removed. customers stays with its key alone: its notes are
# large, and FULL would write them to the log with every change of an e-mail address.
REPLICA_IDENTITY = {
    "purchase_trends": "full",
    "checking_account": "full",
    "customers": "default",
    "transactions": "full",
    "scheduled_payments": "full",
}


def existing_tables(connection: psycopg.Connection) -> list[str]:
    """Those of the captured tables that this bank has, in a fixed order."""
    rows = connection.execute(
        "select tablename from pg_tables where schemaname = 'public' and tablename = any(%s)",
        [list(REPLICA_IDENTITY)],
    )
    found = {name for (name,) in rows}
    return [table for table in REPLICA_IDENTITY if table in found]


def is_whole(connection: psycopg.Connection) -> bool:
    """Whether the bank has all of the tables, and not just the two plain ones.

    Raises:
        SourceError: it has none.
    """
    tables = existing_tables(connection)
    if "checking_account" not in tables:
        raise SourceError("The bank has no tables yet. Make them with: python -m source migrate")
    return len(tables) == len(REPLICA_IDENTITY)


def open_to_capture(connection: psycopg.Connection) -> None:
    """Let the capture role read the tables that exist, and publish them. Safe to repeat.

    Debezium's tables have the columns its documentation asks of a signal table and of a heartbeat query. They
    belong to the capture and not to the bank's migrations, so that a bank of only the two plain tables is
    captured as well.

    Args:
        connection: as the owner of the tables; the transaction is left open.
    """
    tables = existing_tables(connection)
    connection.execute("create schema if not exists debezium")
    connection.execute(
        "create table if not exists debezium.signal"
        " (id varchar(42) primary key, type varchar(32) not null, data varchar(2048))"
    )
    connection.execute(
        "create table if not exists debezium.heartbeat (id int primary key, beat_at timestamptz not null)"
    )
    for table in tables:
        _set_replica_identity(connection, table)
    _publish(
        connection,
        [("public", table) for table in tables] + [("debezium", "signal"), ("debezium", "heartbeat")],
    )
    _grant(connection, tables)


def _set_replica_identity(connection: psycopg.Connection, table: str) -> None:
    """Set it only where it differs: ALTER TABLE takes an exclusive lock even when it changes nothing."""
    wanted = REPLICA_IDENTITY[table]
    connection.execute(
        sql.SQL(
            "do $$ begin if (select relreplident from pg_class where oid = {name}::regclass) <> {letter} then"
            " alter table public.{table} replica identity {wanted}; end if; end $$"
        ).format(
            name=sql.Literal(f"public.{table}"),
            letter=sql.Literal(wanted[0]),
            table=sql.Identifier(table),
            wanted=sql.SQL(wanted),
        )
    )


def _publish(connection: psycopg.Connection, tables: list[tuple[str, str]]) -> None:
    """Make the publication name exactly these tables; FOR ALL TABLES would need a superuser."""
    exists = connection.execute("select 1 from pg_publication where pubname = %s", [PUBLICATION]).fetchone()
    connection.execute(
        sql.SQL("alter publication {} set table {}" if exists else "create publication {} for table {}").format(
            sql.Identifier(PUBLICATION), sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
        )
    )


def _grant(connection: psycopg.Connection, tables: list[str]) -> None:
    """SELECT on what is captured; INSERT, too, where Debezium writes its watermarks and heartbeats.

    With `incremental.snapshot.watermarking.strategy=insert_insert` Debezium never deletes a signal.
    """
    capture = sql.Identifier(CAPTURE_ROLE)
    names = sql.SQL(", ").join(sql.Identifier("public", table) for table in tables)
    connection.execute(sql.SQL("grant usage on schema public, debezium to {}").format(capture))
    connection.execute(sql.SQL("grant select, insert on debezium.signal to {}").format(capture))
    connection.execute(sql.SQL("grant select, insert, update on debezium.heartbeat to {}").format(capture))
    if tables:
        connection.execute(sql.SQL("grant select on {} to {}").format(names, capture))
