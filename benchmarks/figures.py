"""The stages of a run, in the order in which the bank grows, and the figures that come of them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from confluent_kafka import Message
from pyspark.sql import functions as F

import ingestion
from benchmarks import bank, beside, bytes_read, pages, topic
from benchmarks.chain import TOPIC, Chain, Ran
from benchmarks.memory import MemorySampler
from benchmarks.results import Figure, figure
from benchmarks.spark_cost import SparkCost, cost_since

STAGES = ("kafka", "first-load", "silver", "idle", "pages", "growth", "memory")
SIZES = {"100k": 100_000, "1M": 1_000_000, "10M": 10_000_000}
SILVER = ("base_bank__transaction_changes", "stg_bank__transactions")
THREADS = 4  # as profiles.yml has it
# A table's rows as bank.POSTGRES_LINES writes them.
LINES = (
    "select transaction_id, concat_ws('|', account_id, transaction_type, amount, category, unix_micros(transacted_at))"
    " as line from {table} where not is_deleted"
)
STATES = {"dbt": "bench_silver.stg_bank__transactions", "by hand": "by_hand.state"}


@dataclass
class Increment:
    """One `dbt run` of all models after 1,000 changes. `files` is the bytes of the files that hold changed keys."""

    kind: str
    size: str
    rows: int
    seconds: float
    elapsed: float
    path: float
    bytes: int
    files: int
    statements: int
    jobs: int
    tasks: int
    cpu_seconds: float


@dataclass
class Benchmark:
    """One run of it.

    Attributes:
        chain: the stack.
        scale: what the sizes of the bank are multiplied with.
        repeats: of each measurement, without the warm-up.
        stages: those that are asked for.
        say: shows a line of progress.
        detail: shows a line for who looks for a reason.
        keep: is given the figures after each stage.
    """

    chain: Chain
    scale: float
    repeats: int
    stages: set[str]
    say: Callable[[str], None]
    detail: Callable[[str], None]
    keep: Callable[[list[Figure]], None]
    figures: list[Figure] = field(default_factory=list)
    increments: list[Increment] = field(default_factory=list)
    shift: int = 0

    def run(self) -> list[Figure]:
        """All stages that are asked for."""
        with MemorySampler(self.chain.home) as memory:
            self.memory = memory
            self.at_100k()
            if self.stages - {"memory"}:
                self.at_1m()
            if "growth" in self.stages:
                self.at_10m()
        if "memory" in self.stages:
            self.add(memory_figure(memory))
        return self.figures

    def at_100k(self) -> None:
        """The bank as capture finds it; what is timed later is warmed here."""
        self.say(f"a bank of {self.rows('100k'):,} transactions, and its snapshot")
        bank.open_bank(self.chain, self.rows("100k"))
        self.chain.ingest()
        self.say("dbt run, the first")
        self.chain.dbt_run()
        if self.stages & {"first-load", "silver"}:
            self.load_silver()
        if "growth" in self.stages:
            self.measure_increments("100k")

    def at_1m(self) -> None:
        """Most figures."""
        self.grow("1M")
        if "kafka" in self.stages:
            self.kafka_to_bronze()
        self.chain.ingest()
        if "first-load" in self.stages:
            self.first_load()
        elif "silver" in self.stages:
            self.load_silver()
        if "silver" in self.stages:
            self.silver_increments()
        if self.stages & {"idle", "pages", "growth"}:
            self.say("dbt run, what the bank grew by")
            self.chain.dbt_run()
        if "idle" in self.stages:
            self.nothing_new()
        if "pages" in self.stages:
            self.say("the dashboard, in a browser")
            self.chain.optimize()
            self.add(*pages.waiting(self.chain, self.repeats))
        if "growth" in self.stages:
            self.measure_increments("1M")
            self.add(self.critical_path())

    def at_10m(self) -> None:
        """The increments again, and what became of them."""
        self.grow("10M")
        self.chain.ingest()
        self.say("dbt run, what the bank grew by")
        self.chain.dbt_run()
        self.measure_increments("10M")
        self.add(*self.growth())

    def rows(self, size: str) -> int:
        """How many transactions a size means at this scale."""
        return max(1000, round(SIZES[size] * self.scale))

    def grow(self, size: str) -> None:
        """The bank grows, and capture follows."""
        self.say(f"the bank grows to {self.rows(size):,} transactions")
        bank.grow(self.chain, self.rows(size))

    def add(self, *figures: Figure) -> None:
        """Keep figures, also in the file that a failure later leaves as it is."""
        self.figures += figures
        self.keep(self.figures)

    # Kafka to Bronze

    def kafka_to_bronze(self) -> None:
        """Ingestion of the one topic, and the same messages read and written by Spark alone."""
        self.say("Kafka to Bronze, and the same as plain Parquet")
        folder = self.chain.folder / "kafka"
        spark = self.chain.spark
        messages = topic.end(self.chain.environment["KAFKA_BOOTSTRAP_SERVERS"])
        runs = []
        for repeat in range(-1, self.repeats):
            config = replace(
                self.chain.config(),
                checkpoints=str(folder / f"checkpoints{repeat}"),
                topic_prefix="bank.public.trans",
                schema="bench_kafka",
            )
            started = time.monotonic()
            (landed,) = ingestion.ingest_available(spark, config)
            seconds = time.monotonic() - started
            started = time.monotonic()
            read = spark.read.format("kafka").options(**config.reader_options()).option("subscribe", TOPIC).load()
            parquet = ingestion.to_bronze(read, F.current_timestamp()).write.mode("overwrite")
            parquet.parquet(str(folder / "parquet"))
            reference = time.monotonic() - started
            if repeat >= 0:
                runs.append({"value": messages / seconds, "reference": messages / reference})
        # Not before: to make a table is no part of a steady state.
        spark.sql(f"drop table {landed.table}")
        shutil.rmtree(folder)
        self.add(
            figure(
                "Kafka to Bronze, 1M messages, steady state",
                runs,
                unit="messages/s",
                goal="at least 0.9 of its rate",
                against="Spark reading the topic and writing plain Parquet",
                note=f"{messages:,} messages, median of {len(runs)} runs.",
            )
        )

    # Silver, beside a hand-written job

    def load_silver(self) -> tuple[Ran, Ran]:
        """Silver of one table from all of Bronze, by dbt and by hand."""
        by_dbt = self.chain.dbt_run("--full-refresh", "--select", *SILVER, schema="bench")
        return by_dbt, self.chain.command("benchmarks.by_hand", "--first")

    def first_load(self) -> None:
        """Silver of one table from all of Bronze."""
        runs = []
        for repeat in range(min(2, self.repeats)):
            self.say(f"first load of Silver, {repeat + 1}")
            by_dbt, by_hand = self.load_silver()
            runs.append({"value": by_dbt.seconds, "reference": by_hand.seconds})
        wrong = self.wrong_rows("dbt", "by hand")
        self.add(
            figure(
                "first load of Silver, 1M events",
                runs,
                goal="at most 1.6",
                against="the same result by the shortest hand-written Spark job",
                note=f"{self.rows('1M'):,} rows. Rows wrong: {told(wrong)}.",
                is_met=not any(wrong["dbt"].values()),
            )
        )

    def silver_increments(self) -> None:
        """5,000 changes, a stretch of them sent again, by dbt, by hand, and by two tools beside them."""
        # As tables in daily use are.
        self.chain.optimize(schema="bench")
        self.chain.spark.sql("optimize by_hand.state zorder by (transaction_id)")
        folder = self.chain.folder / "beside"
        # As a text, as a time without a zone would be read in this machine's.
        newest_at = self.chain.value("select string(max(ingested_at)) from bronze.transactions")
        columns = ", ".join(beside.STATE.names)
        state = self.chain.arrow(f"select {columns} from {STATES['dbt']} where not is_deleted")
        beside.load(folder, state, f"{newest_at}+00:00")
        bronze = str(self.chain.home.root / "warehouse" / "bronze.db" / "transactions")
        ways: dict[str, Callable[[], Ran]] = {
            "dbt": lambda: self.chain.dbt_run("--select", *SILVER, schema="bench"),
            "by hand": lambda: self.chain.command("benchmarks.by_hand"),
            "delta-rs": lambda: self.chain.command("benchmarks.beside", "delta-rs", str(folder), bronze),
            "dlt": lambda: self.chain.command("benchmarks.beside", "dlt", str(folder), bronze),
        }
        times: list[dict[str, float]] = []
        for repeat in range(-1, self.repeats):
            self.say(f"Silver increment, {repeat + 1 or 'warm-up'}")
            messages, cut = self.change()
            self.send_again(messages, cut)
            self.chain.ingest()
            # Who comes first changes, as the files are not in the system's cache then.
            names = list(ways) if repeat % 2 else list(reversed(ways))
            measured = {name: ways[name]().seconds for name in names}
            if repeat >= 0:
                times.append(measured)
        together = self.wrong_rows(*ways)
        self.say("Silver increment, the stretch sent again arrives in a later run")
        messages, cut = self.change()
        for is_again in (False, True):
            if is_again:
                self.send_again(messages, cut)
            self.chain.ingest()
            for run_it in ways.values():
                run_it()
        later = self.wrong_rows(*ways)
        is_exact = not any(together["dbt"].values()) and not any(later["dbt"].values())
        self.add(
            figure(
                "Silver increment, 5,000 changes into 1M rows",
                [{"value": run["dbt"], "reference": run["by hand"]} for run in times],
                goal="at most 1.5; the only exact one",
                against="the same hand-written job",
                note="Rows wrong when a stretch is sent again in the same run: "
                f"{told({name: together[name] for name in STATES})}; in a later run: "
                f"{told({name: later[name] for name in STATES})}.",
                is_met=is_exact,
            ),
            *(
                figure(
                    f"Silver increment by {name}",
                    [{"value": run[name], "reference": run["by hand"], "wrong_rows": later[name]} for run in times],
                    goal="shown beside",
                    against="the same hand-written job",
                    note=f"Rows wrong when a stretch is sent again in the same run: {told({name: together[name]})}; "
                    f"in a later run, too: {told({name: later[name]})}. It keeps the current state only, no changes.",
                    is_met=None,
                )
                for name in ("delta-rs", "dlt")
            ),
        )

    def change(self) -> tuple[list[Message], int]:
        """3,000 updates of recent rows, 1,500 inserts, 500 deletes.

        Returns:
            Their messages, and how many of them come before the second update of a row, or its delete.
        """
        servers = self.chain.environment["KAFKA_BOOTSTRAP_SERVERS"]
        place = topic.end(servers)
        with self.chain.connect() as connection:
            ids = bank.recent_ids(connection, 2000)
            bank.update(connection, ids)
            bank.insert(connection, 1500)
            new = bank.recent_ids(connection, 1500)
            bank.update(connection, ids[-1000:])
            bank.delete(connection, ids[-400:] + new[:100])
        self.chain.capture()
        return topic.messages_since(servers, place), len(ids) + len(new)

    def send_again(self, messages: list[Message], cut: int) -> None:
        """What Debezium does after a crash: all since its last note is sent again.

        And as it crashes while it does so, the first part once more: of rows that were changed twice or deleted, what
        is on the topic last is not what happened last.
        """
        topic.send_again(self.chain.environment["KAFKA_BOOTSTRAP_SERVERS"], messages + messages[:cut])

    def wrong_rows(self, *names: str) -> dict[str, dict[str, int]]:
        """How many rows each way has that are not the bank's: missing, stale, undead."""
        bank_lines = bank.lines(self.chain)
        found = {}
        for name in names:
            if name in STATES:
                table = self.chain.arrow(LINES.format(table=STATES[name]))
                lines = dict(zip(table["transaction_id"].to_pylist(), table["line"].to_pylist(), strict=True))
            else:
                lines = beside.lines(self.chain.folder / "beside", name)
            found[name] = differences(bank_lines, lines)
        return found

    # All models

    def nothing_new(self) -> None:
        """`dbt run` that has nothing to do, and its statements without dbt."""
        self.say("dbt run, nothing new")
        log = self.chain.folder / "statements.log"
        # The topic may end in messages that were sent again. Each run reads these until a change follows.
        self.change()
        self.chain.ingest()
        self.chain.dbt_run()
        self.chain.dbt_run()
        shutil.copy(self.chain.target() / "logs" / "dbt.log", log)
        runs, costs = [], []
        for repeat in range(-1, self.repeats):
            straight = self.chain.command("benchmarks.replay", str(log), str(THREADS))
            position = self.chain.event_log.stat().st_size
            by_dbt = self.chain.dbt_run()
            if repeat >= 0:
                runs.append({"value": by_dbt.seconds, "reference": straight.seconds})
                costs.append(self.cost_of(by_dbt, position))
        self.add(
            figure(
                "dbt run, nothing new",
                runs,
                goal="at most 1.5",
                against="the same statements sent straight to the engine",
                note="Both are commands, their start included.",
            ),
            *(
                figure(
                    f"dbt run, nothing new: {unit}",
                    [{"value": getattr(cost, unit), "reference": bar} for cost in costs],
                    unit=unit,
                    goal="at most 1.0" if bar else "shown beside",
                    against="the bar" if bar else "",
                    is_met=True if bar else None,
                )
                for unit, bar in (("statements", 10), ("jobs", 15), ("tasks", None))
            ),
        )

    def cost_of(self, ran: Ran, position: int) -> SparkCost:
        """What a command cost Spark, whose log was as long before it as the position says."""
        time.sleep(1)  # Spark writes its log a moment later
        return cost_since(self.chain.event_log, position, ran.started, ran.started + ran.seconds)

    def measure_increments(self, size: str) -> None:
        """1,000 changes and a whole `dbt run`, of recent and of scattered keys in turn."""
        self.chain.optimize()
        for repeat in range(-1, self.repeats):
            for kind in ("recent", "scattered"):
                self.say(f"Silver and Gold increment at {size}, {kind} keys, {repeat + 1 or 'warm-up'}")
                increment = self.increment(kind, size)
                if repeat >= 0:
                    self.increments.append(increment)

    def increment(self, kind: str, size: str) -> Increment:
        """800 updates and 200 inserts, and the `dbt run` that takes them up."""
        self.shift += 1
        with self.chain.connect() as connection:
            if kind == "recent":
                ids = bank.recent_ids(connection, 800)
            else:
                ids = bank.scattered_ids(connection, shift=self.shift)
            bank.update(connection, ids)
            bank.insert(connection, 200)
            rows = bank.one(connection, "select count(*) from transactions")
        keys = f"transaction_id in ({', '.join(map(str, ids))})"
        before = self.chain.value("select string(max(ingested_at)) from bronze.transactions")
        self.chain.capture()
        self.chain.ingest()
        files = self.file_bytes("silver.stg_bank__transactions", keys)
        position = self.chain.event_log.stat().st_size
        ran = self.chain.dbt_run()
        cost = self.cost_of(ran, position)
        tables = bytes_read.read_since(self.chain.event_log, position, ran.started, ran.started + ran.seconds)
        size_read = sum(size for name, size in tables.items() if name != bytes_read.IN_MEMORY)
        files += self.file_bytes("bronze.transactions", f"ingested_at > '{before}'")
        changes = "silver.base_bank__transaction_changes"
        run_number = self.chain.value(f"select max(_run_number) from {changes}")
        files += self.file_bytes(changes, f"_run_number = {run_number}")
        results = json.loads((self.chain.target() / "run_results.json").read_text())
        manifest = json.loads((self.chain.target() / "manifest.json").read_text())
        path = critical_path(manifest, results)
        self.detail(
            f"  {ran.seconds:.1f} s; read of {size_read:,} bytes, files {files:,}: "
            + ", ".join(f"{name} {size:,}" for name, size in tables.most_common(12))
        )
        slowest = sorted(results["results"], key=lambda one: -one["execution_time"])[:8]
        self.detail(
            "  " + ", ".join(f"{one['unique_id'].split('.')[-1]} {one['execution_time']:.1f}" for one in slowest)
        )
        return Increment(kind, size, rows, ran.seconds, results["elapsed_time"], path, size_read, files, **asdict(cost))

    def file_bytes(self, table: str, condition: str) -> int:
        """Bytes of the files of a table that hold rows of a condition."""
        query = f"select distinct _metadata.file_path, _metadata.file_size from {table} where {condition}"
        return int(self.chain.value(f"select coalesce(sum(file_size), 0) from ({query})"))

    def of(self, kind: str, size: str, measure: str) -> list[float]:
        """A measure of the increments of a kind at a size."""
        return [getattr(one, measure) for one in self.increments if (one.kind, one.size) == (kind, size)]

    def critical_path(self) -> Figure:
        """What dbt adds to the models that wait for each other."""
        increments = [one for one in self.increments if one.size == "1M"]
        return figure(
            "whole dbt run increment",
            [{"value": one.elapsed, "reference": one.path, "kind": one.kind} for one in increments],
            goal="at most 1.3",
            against="sum over the critical path of its models",
            note="Of the increments at 1M, by the times that dbt writes down itself.",
        )

    def growth(self) -> list[Figure]:
        """What the table's size does to an increment."""
        found = []
        for kind, growing in (("recent", "at most 1.3 at 10M"), ("scattered", "shown beside")):
            base = median(self.of(kind, "100k", "seconds"))
            for size in ("1M", "10M"):
                has_bar = growing != "shown beside" and size == "10M"
                found.append(
                    figure(
                        f"Silver + Gold increment, 1,000 changes of {kind} keys, table of {size} rows",
                        [{"value": value, "reference": base} for value in self.of(kind, size, "seconds")],
                        goal=growing if has_bar else "shown beside",
                        against="itself at 100k",
                        is_met=True if has_bar else None,
                    )
                )
        found += self.costs()
        read, files = (
            [median(self.of("scattered", size, measure)) for size in ("1M", "10M")] for measure in ("bytes", "files")
        )
        found.append(
            figure(
                "the same with scattered keys: bytes read, growth from 1M to 10M",
                [{"value": read[1] / read[0], "reference": files[1] / files[0], "bytes": read, "files": files}],
                unit="times",
                goal="grows with those files, not with the table: at most 1.3",
                against="growth of the bytes of the files holding those keys",
                note=f"Read {read[0]:,.0f} and {read[1]:,.0f} bytes; files of {files[0]:,.0f} and {files[1]:,.0f}.",
            )
        )
        for kind in ("recent", "scattered"):
            for size in SIZES:
                both = zip(self.of(kind, size, "bytes"), self.of(kind, size, "files"), strict=True)
                found.append(
                    figure(
                        f"bytes read by that increment, {kind} keys, {size} rows",
                        [{"value": value, "reference": reference} for value, reference in both],
                        unit="bytes",
                        goal="at most 2",
                        against="bytes of the files that hold changed keys",
                    )
                )
        return found

    def costs(self) -> list[Figure]:
        """What an increment costs Spark, as the table grows."""
        found = []
        units = {"statements": "statements", "jobs": "jobs", "tasks": "tasks", "cpu_seconds": "s"}
        names = {**units, "cpu_seconds": "CPU of its tasks"}
        for measure, unit in units.items():
            for size in ("1M", "10M"):
                base = median(self.of("recent", "100k", measure))
                found.append(
                    figure(
                        f"Silver + Gold increment, recent keys, table of {size} rows: {names[measure]}",
                        [{"value": value, "reference": base} for value in self.of("recent", size, measure)],
                        unit=unit,
                        goal="shown beside",
                        against="itself at 100k",
                        is_met=None,
                    )
                )
        return found


def differences(bank_lines: dict[int, str], lines: dict[int, str]) -> dict[str, int]:
    """How many rows are missing, stale (other values than the bank's), or undead (the bank deleted them)."""
    return {
        "missing": sum(key not in lines for key in bank_lines),
        "stale": sum(line != bank_lines.get(key, line) for key, line in lines.items()),
        "undead": sum(key not in bank_lines for key in lines),
    }


def told(wrong: dict[str, dict[str, int]]) -> str:
    """Rows that are wrong, in words."""
    return ", ".join(
        f"{name} {' + '.join(f'{count} {kind}' for kind, count in kinds.items() if count) or '0'}"
        for name, kinds in wrong.items()
    )


def critical_path(manifest: dict[str, Any], results: dict[str, Any]) -> float:
    """Seconds of the models of a run that waited for each other longest (dbt's manifest.json and run_results.json)."""
    seconds = {one["unique_id"]: float(one["execution_time"]) for one in results["results"]}
    known: dict[str, float] = {}

    def until(node: str) -> float:
        if node not in known:
            parents = manifest["nodes"].get(node, {}).get("depends_on", {}).get("nodes", [])
            known[node] = seconds.get(node, 0.0) + max(map(until, parents), default=0.0)
        return known[node]

    return max(map(until, seconds), default=0.0)


def memory_figure(memory: MemorySampler) -> Figure:
    """The greatest sum at one moment, and each service's own greatest."""
    gib = 2**30
    peaks = {service: round(size / gib, 3) for service, size in sorted(memory.peaks.items())}
    return figure(
        "memory of the whole embedded stack",
        [{"value": memory.peak / gib, "reference": 6.0, "peaks_gib": peaks}],
        unit="GiB",
        goal="peak under 6 GiB, recorded per process",
        against="the bar",
        note="Greatest of each: " + ", ".join(f"{service} {size:.2f} GiB" for service, size in peaks.items()) + ".",
    )
