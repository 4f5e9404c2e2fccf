"""The bank's database: how it is reached, and how its schema comes to be."""

from importlib import resources

import psycopg
from psycopg import conninfo

from source.capture import open_to_capture
from source.checks import refuse, unfit
from source.errors import SourceError, one_line

HELD_BY_PYTHON = "between '0001-01-01' and '9999-12-31 23:59:59.999999'"
"""For a time that is read into Python: Postgres also has infinity, years before Christ, and those after 9999."""


def connect(database_url: str) -> psycopg.Connection:
    """Open a connection in UTC, so that `TIMESTAMP` columns are read and written as UTC.

    Args:
        database_url: a libpq URL or key/value string.

    Raises:
        SourceError: the URL can't be read, the server can't be reached, or it doesn't let us in.
    """
    try:
        settings = conninfo.conninfo_to_dict(database_url)
    except psycopg.ProgrammingError:
        # libpq's own message repeats the URL, and with it the password.
        raise SourceError(
            "The database URL can't be read. Write it as postgresql://user:password@host:port/database"
        ) from None
    options = f"{settings.get('options', '')} -c timezone=UTC"
    try:
        return psycopg.connect(database_url, options=options, connect_timeout=10)
    except psycopg.OperationalError as error:
        where = f"{settings.get('host', 'the local socket')}:{settings.get('port', 5432)}"
        what = one_line(error)
        if "authentication failed" in what:
            advice = f"Postgres at {where} refused user {settings.get('user')}: check the password."
        elif "does not exist" in what:
            missing = what.rsplit("FATAL:", 1)[-1].strip()
            advice = f"Postgres at {where} says that {missing}. Create it with: python -m source bootstrap"
        else:
            advice = f"Postgres can't be reached at {where}. Is it running? Start the local stack with: make up"
        raise SourceError(advice) from None


def migrate(database_url: str, *, upto: str | None = None) -> list[str]:
    """Bring the schema up to date, then open the tables that now exist to capture.

    Each file of `source/migrations/` is applied once, in order of its number, in a transaction of its own.
    Safe to repeat, and safe to run twice at once.

    Args:
        database_url: the bank, as its owner.
        upto: the number of the last migration wanted (`"0001"`); all of them when left out.

    Returns:
        The names applied by this call, oldest first; empty when there was nothing to do.

    Raises:
        SourceError: no migration has that number, the database can't be reached, or a table is of a kind that can't be
            captured: a line for each, after the migrations, and before anything is opened.
    """
    # Our own few lines rather than yoyo-migrations: that keeps four tables of its own in the bank's `public`
    # schema, where a database with nothing but the two plain tables is a supported case, and wants a URL of
    # its own dialect.
    folder = resources.files("source") / "migrations"
    names = sorted(file.name.removesuffix(".sql") for file in folder.iterdir() if file.name.endswith(".sql"))
    if upto is not None:
        numbers = [name[:4] for name in names]
        if upto not in numbers:
            raise SourceError(f"There is no migration {upto!r}. Choose one of: {', '.join(numbers)}")
        names = names[: numbers.index(upto) + 1]

    applied: list[str] = []
    with connect(database_url) as connection:
        # One key for all runs: whoever comes second waits, and then finds nothing left to do.
        connection.execute("select pg_advisory_lock(hashtext('source.migrations'))")
        connection.execute("create schema if not exists migrations")
        connection.execute(
            "create table if not exists migrations.applied"
            " (name text primary key, applied_at timestamptz not null default now())"
        )
        done = {name for (name,) in connection.execute("select name from migrations.applied")}
        connection.commit()
        for name in names:
            if name in done:
                continue
            with connection.transaction():
                connection.execute((folder / f"{name}.sql").read_bytes())
                connection.execute("insert into migrations.applied (name) values (%s)", [name])
            applied.append(name)
        refuse(unfit(connection))
        open_to_capture(connection)
    return applied
