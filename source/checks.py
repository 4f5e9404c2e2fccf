"""What capture would silently not carry, by Postgres's catalogue: a line for each table, with the SQL that mends it.

| kind | what would be lost |
|---|---|
| a view, a foreign table, an unlogged table or partition | every change: the log has none |
| not in the publication, or only in part (columns, rows, operations) | what the publication leaves out |
| a partitioned table under the names of its partitions | every change: the connector listens to the table's name |
| no primary key, a replica identity that is not the key | which row a change is of |
| no right to read, row level security | the rows that the snapshot does not see |
| tables that inherit from it | their changes: they come under other names |
| two tables with one topic or one Bronze table | which table a change is of |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import psycopg
import psycopg.rows
from psycopg import sql

from source.capture import CAPTURE_ROLE, PUBLICATION, TableName, captured_tables
from source.errors import SourceError


@dataclass(frozen=True)
class Finding:
    """Something about a table that capture would silently not carry.

    Attributes:
        table: as SQL writes it, or the publication.
        wrong: what is wrong, as the rest of a sentence about it.
        mend: what to do: SQL, where SQL does it.
    """

    table: str
    wrong: str
    mend: str

    def __str__(self) -> str:
        return f"{self.table} {self.wrong}. Mend it with: {self.mend}"


def findings(
    connection: psycopg.Connection[Any],
    tables: Sequence[TableName] | None = None,
    *,
    publication: str = PUBLICATION,
    role: str = CAPTURE_ROLE,
) -> list[Finding]:
    """Everything that is wrong with the capture of these tables; empty when each of them is captured exactly.

    A table that the bank does not have is left out: it may be made later. What an identity, a publication and rights
    must be is PostgreSQL's documentation, "Logical Replication", and CREATE PUBLICATION.

    Args:
        connection: to the bank, as anybody who may log in.
        tables: those of `source/capture.py` when left out.
        publication: its name.
        role: the one that the connector logs in as.
    """
    if connection.execute("select from pg_roles where rolname = %s", [role]).fetchone() is None:
        return [
            Finding(f"The role {role}", "is not there, so that nothing can be captured", "python -m source bootstrap")
        ]
    facts = _facts(connection, list(captured_tables()) if tables is None else tables, publication, role)
    published = _publication(connection, publication)
    found = [*_of_database(connection), *_of_publication(published, publication, facts)]
    for table in facts:
        found += _first(chain(_of_kind(table), _of_capture(table, published)))
    return found + list(_shared_names(facts))


def unfit(connection: psycopg.Connection[Any], tables: Sequence[TableName] | None = None) -> list[Finding]:
    """Those of the `findings` that are about the tables themselves, which `open_to_capture` can't mend."""
    facts = _facts(connection, list(captured_tables()) if tables is None else tables, PUBLICATION, CAPTURE_ROLE)
    found = [finding for table in facts for finding in _first(_of_kind(table))]
    return [*_of_database(connection), *found, *_shared_names(facts)]


def refuse(found: Sequence[Finding]) -> None:
    """Stop where there are findings.

    Raises:
        SourceError: a line for each.
    """
    if found:
        raise SourceError("\n".join(map(str, found)))


def left_out_columns(connection: psycopg.Connection[Any], tables: Sequence[TableName] | None = None) -> list[list[str]]:
    """Columns whose values the log does not have, so that a change would have NULL where the snapshot had a value.

    Virtual generated columns are never in the log; stored ones are published since Postgres 18.

    Returns:
        Schema, table and column of each.
    """
    wanted = list(captured_tables()) if tables is None else tables
    rows = connection.cursor(row_factory=psycopg.rows.tuple_row).execute(
        """
        select nspname, relname, attname
        from pg_attribute
        join pg_class on pg_class.oid = attrelid
        join pg_namespace on pg_namespace.oid = relnamespace
        where
            (nspname, relname) in (select * from unnest(%s::text[], %s::text[]))
            and not attisdropped
            and (attgenerated = 'v' or (attgenerated = 's' and current_setting('server_version_num')::int < 180000))
        order by 1, 2, attnum
        """,
        [[table.schema for table in wanted], [table.name for table in wanted]],
    )
    return [list(row) for row in rows.fetchall()]


_FACTS = """
with wanted as (
    select schema, name, place
    from unnest(%(schemas)s::text[], %(names)s::text[]) with ordinality as wanted (schema, name, place)
),

tables as (
    select pg_class.*, pg_class.oid as id, schema, name, place, format('%%I.%%I', schema, name) as sql_name
    from wanted
    left join pg_namespace on nspname = schema
    left join pg_class on relnamespace = pg_namespace.oid and relname = name and relkind in ('r', 'p', 'v', 'm', 'f')
),

-- The table itself and, of a partitioned one, all of its partitions.
parts as (
    select
        tables.id,
        part.relpersistence,
        part.relreplident,
        format('%%I.%%I', nspname, part.relname) as sql_name,
        part.relreplident = 'f'
        or exists (
            select
            from pg_index
            where
                indrelid = part.oid
                and indisprimary
                and indimmediate
                and indisvalid
                and (part.relreplident = 'd' or (part.relreplident = 'i' and indisreplident))
        ) as is_identified
    from tables
    left join lateral pg_partition_tree(tables.id) as tree on tables.relkind = 'p'
    join pg_class as part on part.oid = coalesce(tree.relid::oid, tables.id)
    join pg_namespace on pg_namespace.oid = part.relnamespace
)

select
    schema,
    name,
    sql_name,
    quote_ident(schema) as sql_schema,
    relkind::text as kind,
    (
        select format('%%I.%%I', nspname, other.relname)
        from pg_class as other
        join pg_namespace on pg_namespace.oid = other.relnamespace
        where
            id is null
            and other.relkind in ('r', 'p')
            and lower(nspname) = lower(schema)
            and lower(other.relname) = lower(name)
        limit 1
    ) as in_other_letters,
    (
        select json_agg(sql_name order by sql_name) from parts where parts.id = tables.id and relpersistence <> 'p'
    ) as unlogged,
    (
        select json_agg(sql_name order by sql_name) from parts where parts.id = tables.id and not is_identified
    ) as unidentified,
    (
        select attname
        from pg_index
        join pg_attribute on attrelid = indrelid and attnum = any(indkey) and attgenerated <> ''
        where
            indrelid = id
            and indisprimary
            and (attgenerated = 'v' or current_setting('server_version_num')::int < 180000)
        limit 1
    ) as generated_key,
    exists (select from pg_index where indrelid = id and indisprimary) as has_key,
    (
        select json_agg(format('alter table %%s no inherit %%s', inhrelid::regclass, sql_name))
        from pg_inherits
        where inhparent = id and relkind = 'r'
    ) as disinherits,
    (
        select format('%%I.%%I', nspname, ancestor.relname)
        from pg_partition_ancestors(id) as up
        join pg_class as ancestor on ancestor.oid = up.relid
        join pg_namespace on pg_namespace.oid = ancestor.relnamespace
        where up.relid <> id and (nspname, ancestor.relname) in (select schema, name from wanted)
        limit 1
    ) as captured_ancestor,
    has_schema_privilege(%(role)s, relnamespace, 'usage')
    and has_table_privilege(%(role)s, id, 'select') as is_readable,
    -- Not whom it is for: a role that owns the table, or may bypass it, would see all rows.
    relrowsecurity
    and not (select rolsuper or rolbypassrls from pg_roles where rolname = %(role)s)
    and not (not relforcerowsecurity and pg_has_role(%(role)s, relowner, 'usage'))
    and not coalesce((
        select bool_or(polpermissive and pg_get_expr(polqual, polrelid) = 'true') and bool_and(polpermissive)
        from pg_policy
        where
            polrelid = id
            and polcmd in ('r', '*')
            and (0::oid = any(polroles) or exists (
                select from unnest(polroles) as given (role) where pg_has_role(%(role)s, given.role, 'usage')
            ))
    ), false) as hides_rows,
    (
        select to_jsonb(member)
        from pg_publication_tables as member
        where pubname = %(publication)s and schemaname = schema and tablename = name
    ) as member,
    array(
        select attname::text
        from pg_attribute
        where
            attrelid = id
            and attnum > 0
            and not attisdropped
            and attgenerated <> 'v'
            and (attgenerated = '' or current_setting('server_version_num')::int >= 180000)
    ) as columns
from tables
order by place
"""


def _facts(
    connection: psycopg.Connection[Any], tables: Sequence[TableName], publication: str, role: str
) -> list[dict[str, Any]]:
    """What the catalogue says of each table; those that the bank does not have are left out."""
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        rows = cursor.execute(
            _FACTS,
            {
                "schemas": [table.schema for table in tables],
                "names": [table.name for table in tables],
                "publication": publication,
                "role": role,
            },
        ).fetchall()
    return [{**row, "publication": publication, "role": role} for row in rows if row["kind"] or row["in_other_letters"]]


def _publication(connection: psycopg.Connection[Any], name: str) -> dict[str, Any] | None:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(
            "select *, quote_ident(pubname) as sql_name from pg_publication where pubname = %s", [name]
        ).fetchone()


def _first(found: Iterator[Finding]) -> list[Finding]:
    """One line for a table: what comes first may explain what comes after."""
    return list(islice(found, 1))


def _of_database(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """The connector writes the name into a URL as it is, where these letters say something else (Debezium 3.7)."""
    name = connection.info.dbname
    if letters := set(name) & set("%+?/"):
        quoted = sql.Identifier(name).as_string(connection)
        yield Finding(
            f"The database {quoted}",
            f"can't be reached by the connector, as its name has {' '.join(sorted(letters))} in it",
            f"alter database {quoted} rename to another name",
        )


def _of_publication(published: dict[str, Any] | None, name: str, facts: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    what = f"The publication {name}"
    if published is None:
        yield Finding(what, "is not there, so that nothing is captured", "make up")
        return
    sql_name = published["sql_name"]
    if not all(published[f"pub{kind}"] for kind in ("insert", "update", "delete", "truncate")):
        every = "publish = 'insert, update, delete, truncate'"
        yield Finding(what, "does not carry every kind of change", f"alter publication {sql_name} set ({every})")
    if not published["pubviaroot"] and any(table["kind"] == "p" for table in facts):
        yield Finding(
            what,
            "gives changes of a partitioned table under the names of its partitions",
            f"alter publication {sql_name} set (publish_via_partition_root = true)",
        )
    if published.get("pubgencols", "s") != "s":
        yield Finding(
            what,
            "leaves out the values of generated columns",
            f"alter publication {sql_name} set (publish_generated_columns = stored)",
        )


def _of_kind(table: dict[str, Any]) -> Iterator[Finding]:
    """What no publication, right or identity could mend."""
    name = table["sql_name"]
    out = "take it out of REPLICA_IDENTITY in source/capture.py"
    if table["kind"] is None:
        other = table["in_other_letters"]
        yield Finding(name, f"is not there, but {other} is", f"name it so in source/capture.py: {other}")
        return
    if table["kind"] in "vmf":
        kind = {"v": "view", "m": "materialized view", "f": "foreign table"}[table["kind"]]
        yield Finding(
            name, f"is a {kind}, and the log has no changes of its rows", f"{out}, and name the tables it reads"
        )
        return
    for part in table["unlogged"] or ():
        whose = "is unlogged" if part == name else f"has the unlogged partition {part}"
        yield Finding(name, f"{whose}: the log has no changes of its rows", f"alter table {part} set logged")
    if table["disinherits"]:
        mend = "; ".join(table["disinherits"])
        yield Finding(name, "has tables that inherit from it, whose changes come under their own names", mend)
    if table["captured_ancestor"]:
        ancestor = table["captured_ancestor"]
        yield Finding(name, f"is a partition of {ancestor}, which is captured, and brings its changes", out)
    if not table["has_key"]:
        yield Finding(
            name,
            "has no primary key, so that nothing tells its rows apart",
            f"alter table {name} add primary key (…), with the columns that do",
        )
    if table["generated_key"]:
        key = table["generated_key"]
        yield Finding(
            name, f"has the generated column {key} in its primary key, and the log does not have its values", out
        )
    if table["hides_rows"]:
        yield Finding(
            name,
            f"has row level security, which hides rows from {table['role']}",
            f"create policy capture on {name} for select to {table['role']} using (true)"
            " (no restrictive policy may be for that role)",
        )


def _of_capture(table: dict[str, Any], published: dict[str, Any] | None) -> Iterator[Finding]:
    """What `make up` sets right by itself, and somebody may have altered since."""
    name, role = table["sql_name"], table["role"]
    if table["kind"] is None:
        return
    for part in table["unidentified"] or ():
        whose = "" if part == name else f" of its partition {part}"
        mend = f"alter table {part} replica identity full"
        yield Finding(name, f"has a replica identity{whose} that does not hold its primary key", mend)
    if not table["is_readable"]:
        mend = f"grant usage on schema {table['sql_schema']} to {role}; grant select on {name} to {role}"
        yield Finding(name, f"can't be read by {role}", mend)
    if published is None:
        return
    publication, member = published["sql_name"], table["member"]
    add = f"alter publication {publication} add table {name}"
    if member is None:
        # Under the names of its partitions, it is there: that is said of the publication.
        if table["kind"] == "r" or published["pubviaroot"]:
            yield Finding(name, f"is not in the publication {publication}", add)
        return
    is_whole = published.get("pubgencols", "s") != "s" or set(table["columns"]) <= set(
        member.get("attnames", table["columns"])
    )
    if member.get("rowfilter") or not is_whole:
        what = "some of its rows" if member.get("rowfilter") else "some of its columns"
        drop = f"alter publication {publication} drop table {name}"
        yield Finding(name, f"is in the publication {publication} with {what} only", f"{drop}; {add}")


def _shared_names(facts: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Bronze knows no letters but small ones, and Kafka few: `Config.table_of` in ingestion."""
    first: dict[str, str] = {}
    for table in facts:
        bronze = re.sub(r"[^a-z0-9_]", "_", TableName(table["schema"], table["name"]).topic.lower())
        other = first.setdefault(bronze, table["sql_name"])
        if other != table["sql_name"]:
            yield Finding(
                table["sql_name"],
                f"would come to the same Bronze table as {other}",
                "take one of them out of REPLICA_IDENTITY in source/capture.py, or rename it in the bank",
            )
