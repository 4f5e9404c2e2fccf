"""How the pipeline is: how new each table is, how much came, what could not be read, and the last runs."""

from __future__ import annotations

import streamlit as st

from dashboard import show
from dashboard.ask import FRESH, ask
from dashboard.show import Column

FRESHNESS = {
    "bronze_table": Column("Table"),
    "last_committed_at": Column("Newest change (UTC)", show.time),
    "last_ingested_at": Column("Landed (UTC)", show.time),
    "last_run_at": Column("Last run of dbt (UTC)", show.time),
}
TABLES = {
    "bronze_table": Column("Table"),
    "change_count": Column("Changes", show.number),
    "quarantined_count": Column("Quarantined", show.number),
    "unknown_fields": Column("Unknown fields"),
    "missing_fields": Column("Missing fields"),
}
RUNS = {
    "run_started_at": Column("Began (UTC)", show.time),
    "change_count": Column("Changes", show.number),
    "quarantined_count": Column("Quarantined", show.number),
    "tables": Column("Tables", show.number),
    "last_committed_at": Column("Newest change (UTC)", show.time),
}


@st.fragment(run_every=FRESH)
def page() -> None:
    """Draw the page, which refreshes itself."""
    st.title("Pipeline")
    health, runs = ask("pipeline_health", "pipeline_runs")
    show.updated()
    drifting = health.unknown_fields.notna() | health.missing_fields.notna()
    show.figures(
        {
            "Newest change": show.age(health.last_committed_at.max() if len(health) else None),
            "Changes": show.number(health.change_count.sum()),
            "Quarantined": show.number(health.quarantined_count.sum()),
            "Tables that drift": show.number(drifting.sum()),
        },
        {
            "Newest change": "When the bank committed the newest change that dbt took up.",
            "Quarantined": "Messages that could not be read; quarantined_messages in Silver says why.",
            "Tables that drift": "Tables whose last messages had other fields than the models expect.",
        },
    )
    empty = "No message has come yet. Run: make ingest build"
    show.table(health, FRESHNESS, "Freshness", empty=empty)
    show.table(health, TABLES, "Messages by table", empty=empty)
    show.table(runs, RUNS, "Last runs", empty=empty)
