"""The embedded stack: real Postgres, Kafka, Connect with Debezium, and Spark with Delta, as plain processes."""

from local.home import Home, StackError
from local.stack import down, status, superuser_url, up

__all__ = ["Home", "StackError", "down", "status", "superuser_url", "up"]
