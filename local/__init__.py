"""The embedded stack: real Postgres, Kafka, Connect with Debezium, and Spark with Delta, as plain processes."""

from local.home import Home, StackError
from local.stack import down, status, superuser_url, up
from local.temporary import environment_for, temporary_home

__all__ = [
    "Home",
    "StackError",
    "down",
    "environment_for",
    "status",
    "superuser_url",
    "temporary_home",
    "up",
]
