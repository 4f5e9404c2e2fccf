"""The bank: its Postgres schema and roles, the Debezium connector, and a simulator of its daily life."""

from source.capture import CAPTURE_ROLE, PUBLICATION
from source.checks import Finding, findings, refuse
from source.connector import register_connector, start_capture, wait_until_captured
from source.database import connect, migrate
from source.errors import SourceError
from source.gap import behind, catch_up
from source.history import History, load_history
from source.live import Summary, simulate
from source.roles import DATABASE, OWNER_ROLE, bootstrap

__all__ = [
    "CAPTURE_ROLE",
    "DATABASE",
    "OWNER_ROLE",
    "PUBLICATION",
    "Finding",
    "History",
    "SourceError",
    "Summary",
    "behind",
    "bootstrap",
    "catch_up",
    "connect",
    "findings",
    "load_history",
    "migrate",
    "refuse",
    "register_connector",
    "simulate",
    "start_capture",
    "wait_until_captured",
]
