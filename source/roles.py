"""Who may log in to the bank: its owner, and the capture."""

import psycopg
from psycopg import conninfo, sql

from source.capture import CAPTURE_ROLE
from source.database import connect
from source.errors import SourceError

DATABASE = "bank"
OWNER_ROLE = "bank_owner"


def bootstrap(superuser_url: str, *, owner_password: str, capture_password: str) -> None:
    """Create the database `bank` and its two roles. Safe to repeat; other passwords replace the old ones.

    `bank_owner` owns the database and runs the migrations; `debezium` may log in and replicate, and is given
    what it may read by `migrate`.

    Args:
        superuser_url: any database of the server, as a superuser.
        owner_password: of `bank_owner`.
        capture_password: of `debezium`.

    Raises:
        SourceError: a password is empty, the role isn't a superuser, or the server can't be reached.
    """
    if not owner_password or not capture_password:
        raise SourceError("A role needs a password: neither the owner's nor the capture's may be empty.")
    with connect(superuser_url) as connection:
        # CREATE DATABASE can't run in a transaction.
        connection.autocommit = True
        (is_superuser,) = connection.execute("show is_superuser").fetchone() or ("off",)
        if is_superuser != "on":
            raise SourceError(f"{connection.info.user} is no superuser: bootstrap needs one, to create roles.")
        _login_role(connection, OWNER_ROLE, owner_password, replication=False)
        _login_role(connection, CAPTURE_ROLE, capture_password, replication=True)
        _database(connection)
    # Since Postgres 15 this is the default; before, anyone could create tables in public.
    with connect(conninfo.make_conninfo(superuser_url, dbname=DATABASE)) as connection:
        connection.execute("revoke create on schema public from public")
        connection.execute(sql.SQL("grant create on schema public to {}").format(sql.Identifier(OWNER_ROLE)))


def _login_role(connection: psycopg.Connection, role: str, password: str, *, replication: bool) -> None:
    """Create the role, or change its password.

    Only the SCRAM verifier travels, so that no statement log can show the password.
    """
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    exists = connection.execute("select from pg_roles where rolname = %s", [role]).fetchone() is not None
    connection.execute(
        sql.SQL("{} role {} login nosuperuser nocreatedb nocreaterole nobypassrls {} password {}").format(
            sql.SQL("alter" if exists else "create"),
            sql.Identifier(role),
            sql.SQL("replication" if replication else "noreplication"),
            sql.Literal(verifier.decode()),
        )
    )


def _database(connection: psycopg.Connection) -> None:
    """Create the database, or make sure that it is the owner's; nobody else but the capture may connect."""
    exists = connection.execute("select from pg_database where datname = %s", [DATABASE]).fetchone() is not None
    names = {name: sql.Identifier(name) for name in (DATABASE, OWNER_ROLE, CAPTURE_ROLE)}
    create = "alter database {bank} owner to {bank_owner}"
    if not exists:
        create = "create database {bank} owner {bank_owner} encoding 'UTF8' template template0"
    for statement in (
        create,
        # The bank's TIMESTAMP columns hold UTC, also where a default of CURRENT_TIMESTAMP fills them.
        "alter database {bank} set timezone to 'UTC'",
        "revoke all on database {bank} from public",
        "grant connect on database {bank} to {debezium}",
    ):
        connection.execute(sql.SQL(statement).format(**names))
