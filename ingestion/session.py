"""The Spark session: Databricks' own, or the local stack's server."""

from __future__ import annotations

import os
import socket
import time
from urllib.parse import urlsplit

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from ingestion.errors import IngestionError

# Seconds for which a server that does not answer is asked again. PySpark's own ten minutes are for clusters that come
# back with their sessions; a Connect server that was started again knows none of the sessions it had.
PATIENCE = 20.0


def spark_session() -> SparkSession:
    """The session of the cluster this runs on, or one on the Spark Connect server that `SPARK_REMOTE` names.

    Raises:
        IngestionError: nothing listens there.
    """
    return open_session(is_new=False)


def new_spark_session() -> SparkSession:
    """A further session of this process on that server, or the cluster's one session.

    PySpark takes the newest for the process's own.

    Raises:
        IngestionError: nothing listens there.
    """
    return open_session(is_new=True)


def open_session(*, is_new: bool) -> SparkSession:
    """The two above."""
    if not names_a_server():
        return SparkSession.builder.getOrCreate()
    require_spark()
    session = SparkSession.builder.create() if is_new else SparkSession.builder.getOrCreate()
    give_up_soon(session)
    return session


def names_a_server() -> bool:
    """Whether `SPARK_REMOTE` names a Spark Connect server.

    Databricks' serverless compute sets the variable too, to a socket that its own PySpark knows ("unix:///…").
    """
    return os.environ.get("SPARK_REMOTE", "").startswith("sc://")


def give_up_soon(session: SparkSession) -> None:
    """Let a session over Spark Connect end with an error when its server is gone, instead of asking for ten minutes."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    class GiveUpSoon(DefaultPolicy):
        """Asks again for `PATIENCE` seconds in all, however many calls fail by then."""

        def __init__(self) -> None:
            super().__init__(max_retries=None, max_backoff=1000, max_server_retry_delay=1000)
            self.patience = PATIENCE
            self.first_failure = self.last_failure = float("-inf")

        def can_retry(self, e: BaseException) -> bool:
            if not super().can_retry(e):
                return False
            now = time.monotonic()
            if now - self.last_failure > PATIENCE:
                self.first_failure = now
            self.last_failure = now
            return now - self.first_failure < self.patience

    session.client.set_retry_policies([GiveUpSoon()])


def give_up_now(session: SparkSession) -> None:
    """Let calls of a session that are asking again end as well: somebody wants to leave."""
    for policy in session.client.get_retry_policies():
        vars(policy)["patience"] = 0.0


def close_session(session: SparkSession) -> None:
    """End a session over Spark Connect; do nothing to a cluster's own.

    To be called before Python exits. At its exit PySpark closes the connection. If the server died during a call, gRPC
    then waits for that call for ever.
    """
    if names_a_server():
        session.stop()


def session_id(session: SparkSession) -> str | None:
    """What the server calls a session over Spark Connect; None for another one."""
    return getattr(session, "session_id", None)


def end_session(identity: str) -> None:
    """End a session whose process is gone: its statements and streaming queries stop. Nothing happens if it has ended.

    Only at the server that `SPARK_REMOTE` names, and with this user's name.
    """
    remote = os.environ.get("SPARK_REMOTE", "")
    if not remote.startswith("sc://"):
        return
    from pyspark.sql.connect.client import SparkConnectClient

    client = SparkConnectClient(f"{remote.rstrip('/;')}/;session_id={identity}")
    try:
        client.release_session()
    finally:
        client.close()


def spark_ended(error: BaseException) -> bool:
    """Whether an error says that the Spark server does not answer, or is another one than the session began with."""
    text = str(error)
    return isinstance(error, PySparkException) and any(
        sign in text
        for sign in ("StatusCode.UNAVAILABLE", "INVALID_HANDLE.SESSION", "SESSION_CHANGED", "NO_ACTIVE_SESSION")
    )


def told_that_spark_ended() -> str:
    """One line on a server that ended, for whoever's command depended on it."""
    return (
        f"Spark ended while this ran: it does not answer at {where()}, or was started again. "
        "Nothing that was written is lost. Run: make up, and then this again"
    )


def where() -> str:
    """The server's address, without what follows it, which may be a token."""
    address = urlsplit(os.environ.get("SPARK_REMOTE", "").partition(";")[0])
    return f"{address.scheme}://{address.netloc}"


def require_spark() -> None:
    """See that something listens where `SPARK_REMOTE` says: Spark's client would go on trying for ten minutes.

    Raises:
        IngestionError: nothing does, or nothing is said: Spark would start a server of its own then, without Delta.
    """
    remote = os.environ.get("SPARK_REMOTE")
    if not remote:
        raise IngestionError("The local stack is not up. Start it with: make up")
    address = urlsplit(remote.partition(";")[0])
    try:
        socket.create_connection((address.hostname or "localhost", address.port or 15002), timeout=5).close()
    except OSError as error:
        raise IngestionError(f"Spark is not running at {where()}. Start the local stack with: make up") from error
