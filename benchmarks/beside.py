"""The same events by two tools that people use instead: `python -m benchmarks.beside delta-rs|dlt <folder> <bronze>`.

Each takes the messages that landed since its last run, keeps the newest of each key by offset, and merges those, hard
deletes included, as their documentation tells it. Neither has an order of its own across runs.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake

os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")

STATE = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("account_id", pa.int32()),
        ("transaction_type", pa.string()),
        ("amount", pa.decimal128(12, 2)),
        ("category", pa.string()),
        ("transacted_at", pa.timestamp("us", tz="UTC")),
    ]
)
EVENTS = STATE.append(pa.field("is_deleted", pa.bool_()))


def main(tool: str, folder: Path, bronze: str) -> None:
    """Merge the new messages into the tool's table."""
    seen = folder / f"{tool}.seen"
    since = datetime.fromisoformat(seen.read_text())
    landed = DeltaTable(bronze).to_pyarrow_dataset().to_table(filter=ds.field("ingested_at") > since)
    if landed.num_rows:
        merge = merge_by_delta_rs if tool == "delta-rs" else merge_by_dlt
        merge(folder, newest_events(landed))
        seen.write_text(pc.max(landed["ingested_at"]).as_py().isoformat())


def newest_events(landed: pa.Table) -> pa.Table:
    """The newest event of each key by offset, typed."""
    newest: dict[int, dict[str, Any]] = {}
    for message in landed.sort_by("offset").select(["key", "value"]).to_pylist():
        if message["value"] is None:
            continue
        event = json.loads(message["value"])
        row = event["after"] or event["before"]
        newest[row["transaction_id"]] = {
            **row,
            "amount": Decimal(row["amount"]),
            "transacted_at": datetime.fromisoformat(row["transaction_date"]),
            "is_deleted": event["op"] == "d",
        }
    return pa.Table.from_pylist(list(newest.values()), schema=EVENTS)


def merge_by_delta_rs(folder: Path, events: pa.Table) -> None:
    """The MERGE of the package deltalake."""
    columns = {name: f"new.{name}" for name in STATE.names}
    (
        DeltaTable(folder / "delta-rs")
        .merge(events, "old.transaction_id = new.transaction_id", source_alias="new", target_alias="old")
        .when_matched_delete("new.is_deleted")
        .when_matched_update(columns, predicate="not new.is_deleted")
        .when_not_matched_insert(columns, predicate="not new.is_deleted")
        .execute()
    )


def merge_by_dlt(folder: Path, events: pa.Table, *, first: bool = False) -> None:
    """The write disposition `merge` of dlt, to Delta tables, where it knows the strategy `upsert` alone."""
    import dlt
    from dlt.common.schema.typing import TUpsertStrategyDict

    upsert: TUpsertStrategyDict = {"disposition": "merge", "strategy": "upsert"}
    transactions = dlt.resource(
        iter([events]),
        name="transactions",
        table_format="delta",
        primary_key="transaction_id",
        write_disposition="replace" if first else upsert,
        columns={"is_deleted": {"data_type": "bool", "hard_delete": not first}},
    )
    pipeline = dlt.pipeline(
        "benchmark",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(folder / "dlt").as_uri()),
        dataset_name="bank",
    )
    pipeline.run(transactions).raise_on_failed_jobs()


def load(folder: Path, state: pa.Table, newest_at: str) -> None:
    """Give both tools a table that holds this state of `STATE`'s columns, of messages until a time."""
    state = state.select(STATE.names).cast(STATE)
    write_deltalake(folder / "delta-rs", state)
    merge_by_dlt(folder, state.append_column("is_deleted", pa.array([False] * state.num_rows)), first=True)
    for tool in ("delta-rs", "dlt"):
        (folder / f"{tool}.seen").write_text(newest_at)


def lines(folder: Path, tool: str) -> dict[int, str]:
    """A tool's rows by id, as one line each (bank.POSTGRES_LINES)."""
    path = folder / "delta-rs" if tool == "delta-rs" else folder / "dlt" / "bank" / "transactions"
    rows = DeltaTable(path).to_pyarrow_table(columns=STATE.names)
    texts = [rows[name].cast(pa.int64()) if name == "transacted_at" else rows[name] for name in STATE.names[1:]]
    joined = pc.binary_join_element_wise(*(text.cast(pa.string()) for text in texts), "|")
    return dict(zip(rows["transaction_id"].to_pylist(), joined.to_pylist(), strict=True))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
