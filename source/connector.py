"""The Debezium connector, as Kafka Connect's REST API knows it."""

import json
import time
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import psycopg
import requests

from source.capture import TableName, captured_tables, literal_pattern
from source.checks import findings, left_out_columns, refuse
from source.database import connect
from source.errors import SourceError, one_line

_REQUEST_TIMEOUT_S = 30.0
_POLL_S = 0.5
_RESTART_GRACE_S = 5.0


def start_capture(connect_url: str, database_url: str) -> list[str]:
    """Register the connector for the bank's tables, if each of them can be captured exactly. Safe to repeat.

    Args:
        connect_url: Kafka Connect's REST address.
        database_url: the bank, as its owner.

    Returns:
        A line for each column that is left out, as the log does not have its values.

    Raises:
        SourceError: a table can't be captured exactly (a line for each, before anything is registered), or what
            `register_connector` raises.
    """
    with connect(database_url) as connection:
        refuse(findings(connection))
        columns = left_out_columns(connection)
    register_connector(connect_url, settings_of(list(captured_tables()), columns))
    return [
        f"{'.'.join(column)} is generated, and this Postgres does not write its values to the log: it is not captured."
        for column in columns
    ]


def settings_of(tables: Sequence[TableName], left_out: Sequence[Sequence[str]]) -> dict[str, str]:
    """The connector's settings that name tables, and columns (schema, table, column) that are to be left out."""
    settings = {"table.include.list": ",".join(table.pattern for table in tables)}
    if left_out:
        settings["column.exclude.list"] = ",".join(r"\.".join(map(literal_pattern, column)) for column in left_out)
    return settings


def register_connector(connect_url: str, config: Mapping[str, str] | None = None, *, timeout: float = 90) -> None:
    """Register `source/debezium.json` and wait until the connector and its task run. Safe to repeat.

    `snapshot.mode` is `when_needed`: should the replication slot be lost, a whole new snapshot is taken. It names no
    row that was deleted meanwhile, but Silver sees by its end which rows it did not find (docs/decisions/0008).

    Args:
        connect_url: Kafka Connect's REST address.
        config: settings that differ from the file's, by Debezium's property names.
        timeout: seconds to wait for RUNNING.

    Raises:
        SourceError: Connect can't be reached or refuses the settings, or the task fails or isn't up in time.
    """
    file = _file()
    settings = {"name": file["name"], **file["config"], **settings_of(list(captured_tables()), []), **(config or {})}
    url = f"{connect_url.rstrip('/')}/connectors/{settings['name']}"
    deadline = time.monotonic() + timeout

    known = _call("GET", url)
    if known.ok and known.json()["config"] != settings:
        # Or its task would go on for a while as it is, and could take a signal for a table that it doesn't know.
        _call("PUT", f"{url}/stop")
        while _states(url) != {"STOPPED", "NO TASK"}:
            _sleep_until(deadline, "The connector does not stop to take new settings")
    while (response := _call("PUT", f"{url}/config", settings)).status_code == requests.codes.conflict:
        # 409: the workers are just sharing out the work among them, which passes.
        _sleep_until(deadline, "Kafka Connect is still rebalancing")
    if not response.ok:
        raise SourceError(f"Kafka Connect refuses the connector: {_reason(response)}")
    if known.ok:
        _call("PUT", f"{url}/resume")

    # A task that failed before, say while Postgres was down, stays failed whatever its settings, until it is
    # told to restart. So the first failure seen is answered with a restart, and the one after that is final.
    restarted_at: float | None = None
    while (states := _states(url)) != {"RUNNING"}:
        if "FAILED" in states:
            if restarted_at is None:
                _call("POST", f"{url}/restart?includeTasks=true&onlyFailed=true")
                restarted_at = time.monotonic()
            elif time.monotonic() - restarted_at > _RESTART_GRACE_S:
                raise SourceError(f"The connector failed: {_trace(url)}")
        _sleep_until(deadline, f"The connector is not running yet ({', '.join(sorted(states))})")


def _file() -> dict[str, Any]:
    """`source/debezium.json`: the connector's name and its config."""
    file: dict[str, Any] = json.loads((resources.files("source") / "debezium.json").read_text())
    return file


def _call(method: str, url: str, body: Mapping[str, str] | None = None) -> requests.Response:
    try:
        return requests.request(method, url, json=body, timeout=_REQUEST_TIMEOUT_S)
    except requests.RequestException:
        where = url.split("/connectors/")[0]
        raise SourceError(f"Kafka Connect can't be reached at {where}. Start the local stack with: make up") from None


def _status(url: str) -> list[dict[str, Any]]:
    """The connector's state and its tasks'; empty while Connect hasn't got round to it."""
    response = _call("GET", f"{url}/status")
    if not response.ok:
        return []
    status = response.json()
    return [status["connector"], *status["tasks"]]


def _states(url: str) -> set[str]:
    """RUNNING alone means that the connector and at least one task run."""
    parts = _status(url)
    return {part["state"] for part in parts} if len(parts) > 1 else {part["state"] for part in parts} | {"NO TASK"}


def _trace(url: str) -> str:
    failed = (part for part in _status(url) if part["state"] == "FAILED")
    return next((one_line(part.get("trace", "no reason given")) for part in failed), "no reason given")


def _reason(response: requests.Response) -> str:
    try:
        message = response.json()["message"]
    except (ValueError, KeyError):
        message = response.reason
    return " ".join(str(message).split())


def _sleep_until(deadline: float, otherwise: str) -> None:
    if time.monotonic() > deadline:
        raise SourceError(f"{otherwise}. Look at Kafka Connect's log: make logs")
    time.sleep(_POLL_S)


def wait_until_captured(
    database_url: str, lsn: str | None = None, *, slot: str | None = None, timeout: float = 120
) -> str:
    """Wait until everything committed up to a place in the log is on the topics.

    The slot's confirmed_flush_lsn is what the connector has had acknowledged by Kafka (PostgreSQL's documentation,
    pg_replication_slots). A heartbeat is committed first, so that there is a captured change behind the last one.

    Args:
        database_url: the bank, as its owner.
        lsn: the place, as Postgres writes it (`0/1A2B3C4D`); the log's present end when left out.
        slot: the connector's replication slot; that of `source/debezium.json` when left out.
        timeout: seconds.

    Returns:
        The place that was waited for.

    Raises:
        SourceError: that is no LSN or one that the log hasn't come to, the slot is missing, or the connector does not
            get there in time.
    """
    slot = slot or _file()["config"]["slot.name"]
    with connect(database_url) as connection:
        connection.autocommit = True
        (end,) = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone() or ("0/0",)
        target = end if lsn is None else _known_lsn(connection, lsn, end)
        connection.execute(
            "insert into debezium.heartbeat (id, beat_at) values (1, now())"
            " on conflict (id) do update set beat_at = excluded.beat_at"
        )
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            row = connection.execute(
                "select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s",
                [target, slot],
            ).fetchone()
            if row and row[0]:
                return target
            time.sleep(0.2)
    raise SourceError(
        f"The connector has not captured the bank's changes within {timeout:.0f} seconds. "
        "Look at Connect's log (make logs), then run it again."
    )


def _known_lsn(connection: psycopg.Connection, lsn: str, end: str) -> str:
    """The LSN as Postgres writes it, if the log, which ends at `end`, has come to it."""
    try:
        row = connection.execute("select %s::pg_lsn::text, %s::pg_lsn <= %s::pg_lsn", [lsn, lsn, end]).fetchone()
    except psycopg.DataError:
        raise SourceError(f"{lsn!r} is no LSN. Write it as Postgres does, such as {end}") from None
    known, is_past = row or (lsn, False)
    if not is_past:
        raise SourceError(f"The bank's log has not come to {known} yet: it ends at {end}")
    return str(known)
