"""Ingestion beside the builds: in a thread and a Spark session of its own."""

from __future__ import annotations

import contextlib
import json
import threading
import warnings
from collections.abc import Callable

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.listener import (
    QueryIdleEvent,
    QueryProgressEvent,
    QueryStartedEvent,
    QueryTerminatedEvent,
    StreamingQueryListener,
)

import ingestion

# One second is about as long as a micro-batch takes. What lands in between is in the next one.
EVERY = "1 second"
# Seconds. Looking for new topics takes Spark a few seconds of work.
LOOK_FOR_TOPICS_EVERY = 120.0


class BronzeIngestion(threading.Thread):
    """Lands messages until it is stopped, and tells which tables have new ones.

    It hears of a micro-batch in two ways: from a listener, at once, and by asking each query once a second. Spark drops
    all listeners of a session silently after one error of their connection (pyspark.sql.connect,
    StreamingQueryListenerBus).
    """

    def __init__(
        self,
        spark: SparkSession,
        config: ingestion.Config,
        *,
        landed: Callable[[str], None],
        report: Callable[[str], None],
    ) -> None:
        """Prepare the thread; `start` starts it.

        Args:
            spark: a session that nothing else uses.
            config: where to read and write.
            landed: gets the name of a Bronze table, without its schema, when messages have landed in it.
            report: gets one line when a topic starts and when one fails.
        """
        super().__init__(name="ingestion", daemon=True)
        self.error: Exception | None = None
        self._spark = spark
        self._config = config
        self._landed = landed
        self._report = report
        self._stopping = threading.Event()
        self._batches: dict[str, ingestion.MicroBatch] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Land messages; what ends it early is kept in `error`."""
        # PySpark warns when it drops the listener. The poll goes on, so nobody has to act.
        warnings.filterwarnings("ignore", message="StreamingQueryListenerBus", category=UserWarning)
        listener = Listener(self._landed_of)
        try:
            self._spark.streams.addListener(listener)
            ingestion.ingest_continuously(
                self._spark,
                self._config,
                every=EVERY,
                look_for_topics_every=LOOK_FOR_TOPICS_EVERY,
                report=self._report,
                should_stop=self._stopping.is_set,
                landed=self._landed_of,
            )
        except Exception as error:  # Kept for the main thread, which reports it.
            self.error = error
        finally:
            # PySpark's thread would keep the process alive.
            with contextlib.suppress(PySparkException):
                self._spark.streams.removeListener(listener)

    def stop(self, seconds: float) -> None:
        """Stop the queries, each at the end of a micro-batch, and wait for it."""
        self._stopping.set()
        self.join(seconds)

    def _landed_of(self, topic: str, batch: ingestion.MicroBatch) -> None:
        """Report each micro-batch once: the listener and the poll both see it."""
        with self._lock:
            known = self._batches.get(topic)
            if known == batch or (known is not None and known[0] == batch[0] and known[1] > batch[1]):
                return
            self._batches[topic] = batch
        self._landed(ingestion.last_part(self._config.table_of(topic)))


class Listener(StreamingQueryListener):
    """Hears of each micro-batch that landed messages."""

    def __init__(self, landed: Callable[[str, ingestion.MicroBatch], None]) -> None:
        super().__init__()
        self._landed = landed

    def onQueryStarted(self, event: QueryStartedEvent) -> None:
        """Nothing has landed yet."""

    def onQueryProgress(self, event: QueryProgressEvent) -> None:
        """Report the batch of the query's topic: each query reads one."""
        progress = event.progress
        # Ingestion also has queries without a name, which look for topics and land nothing.
        if progress.name and progress.numInputRows:
            for source in progress.sources:
                for topic in json.loads(source.endOffset or "{}"):
                    self._landed(topic, (progress.runId, progress.batchId + 1))

    def onQueryIdle(self, event: QueryIdleEvent) -> None:
        """Nothing to say."""

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:
        """`ingest_continuously` sees it as well, and says why."""
