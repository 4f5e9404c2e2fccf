"""What may be lost, repeated or begun anew on the way, one chapter after the other on one lane; dbt runs after each.

Nothing but a whole snapshot may end rows by not finding them: an incremental one, one of a part of the table, and one
that was broken off come before it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from confluent_kafka.admin import AdminClient, NewPartitions
from lanes import Lane, Table, drop_slot, lane
from pipeline import Stack, wait_for
from truth import Rows

ACCOUNTS = Table(
    name="accounts",
    key="account_id",
    columns={"account_id": "int", "owner": "string", "balance": "decimal(12, 2)", "changed_at": "timestamp"},
    definition="account_id int primary key, owner text, balance numeric(12, 2), changed_at timestamptz default now()",
    replica_identity="full",
    histories={"accounts_history": None},
)
NOTES = Table(
    name="notes",
    key="note_id",
    columns={"note_id": "bigint", "title": "string", "body": "string"},
    definition="note_id bigint primary key, title text, body text",
    histories={"notes_history": None},
)


def long_text(salt: str) -> str:
    """SQL of a text that Postgres stores out of line; the salt is SQL, too."""
    return f"(select string_agg(md5({salt} || part), '') from generate_series(1, 300) as part)"


NOTE, SIX, SEVEN = (long_text(salt) for salt in ("'note' || n", "'six'", "'seven'"))
FILL = f"""
insert into accounts select n, 'owner ' || n, n * 1.01 from generate_series(1, 60) as n;
insert into notes select n, 'note ' || n, {NOTE} from generate_series(1, 40) as n;
"""


@dataclass
class Story:
    """What was found after each chapter, and the lane, until it is closed."""

    lane: Lane
    close: Callable[[], None] = lambda: None
    differences: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    # Of each history, by chapter.
    versions: dict[str, dict[str, Rows]] = field(default_factory=dict)

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.lane.stack.environment["KAFKA_BOOTSTRAP_SERVERS"]})

    def play(self, *transactions: str) -> None:
        for transaction in transactions:
            self.lane.sql(transaction)

    def signal(self, kind: str, **data: Any) -> None:
        """Ask the connector for a snapshot of both tables, and wait until it has told the rows."""
        before = self.landed_reads()
        tables = [f"{self.lane.name}.{table}" for table in self.lane.tables]
        self.lane.sql(
            "insert into debezium.signal (id, type, data) values (gen_random_uuid(), 'execute-snapshot', %s)",
            [json.dumps({"data-collections": tables, "type": kind, **data})],
        )

        def is_told() -> bool:
            self.lane.ingest()
            return self.landed_reads() > before

        wait_for(is_told, f"the {kind} snapshot")

    def landed_reads(self) -> int:
        """How many rows read by snapshots Bronze has."""
        return sum(
            self.lane.stack.value(
                f'select count(*) from {self.lane.bronze}.{table} where cast(value as string) like \'%"op":"r"%\''
            )
            for table in self.lane.tables
        )

    def slot(self) -> Any:
        """Whether the connector holds its slot; None where there is no slot."""
        slots = self.lane.sql("select active from pg_replication_slots where slot_name = %s", [self.lane.name])
        return slots[0]["active"] if slots else None

    def stop(self) -> None:
        self.lane.tell_connector("PUT", "/stop")
        wait_for(lambda: self.slot() is False, "the slot is free")

    def resume(self) -> None:
        self.lane.tell_connector("PUT", "/resume")
        wait_for(self.slot, "the connector holds its slot")

    def lose_the_slot(self) -> None:
        """What happens from now on, nobody tells."""
        self.stop()
        with self.lane.connect(superuser=True) as connection:
            drop_slot(connection, self.lane.name)

    def end_chapter(self, name: str, *dbt: str) -> None:
        self.lane.round(*dbt)
        self.differences[name] = self.lane.differences()
        self.notes[name] = {
            table.name: self.lane.stack.rows(
                f"select {table.key} as key, is_deleted, _cdc_op from {self.lane.silver}.{table.staging}"
            )
            for table in (ACCOUNTS, NOTES)
        }
        self.versions[name] = {
            history: self.lane.stack.rows(
                f"select * except (_ingested_at, _run_number, _loaded_at) from {self.lane.silver}.{history}"
                f" order by {table.key}, version_number"
            )
            for table in (ACCOUNTS, NOTES)
            for history in table.histories
        }

    def forget(self) -> None:
        shutil.rmtree(self.lane.checkpoints)


def tell(stack: Stack) -> Story:
    """All chapters, one after the other, on a lane that stays open until the story is closed."""
    with contextlib.ExitStack() as lanes:
        story = Story(lanes.enter_context(lane(stack, "resets", [ACCOUNTS, NOTES])))
        story.play(FILL)
        story.lane.capture()
        story.end_chapter("a first snapshot")

        repeats_and_parts(story)
        story.end_chapter("what is told again, or in part")

        more_partitions(story)
        story.end_chapter("more partitions")

        deleted_connector(story)
        story.end_chapter("the connector was deleted")

        lost_slot_and_topics(story)
        story.end_chapter("the slot and the topics were lost")

        story.end_chapter("everything from the beginning", "run", "--full-refresh")
        story.close = lanes.pop_all().close
        return story


def repeats_and_parts(story: Story) -> None:
    """The checkpoint is lost, and come what may of rows that are told again: no row is missed for it."""
    story.play(
        "update accounts set balance = balance + 1 where account_id < 10",
        "delete from accounts where account_id = 60",
        "update notes set title = upper(title) where note_id < 5",
    )
    story.lane.wait_until_captured()
    story.lane.ingest()
    story.forget()
    story.signal("incremental")
    story.play(
        "update accounts set balance = 0 where account_id = 11", "update notes set note_id = 41 where note_id = 1"
    )
    # Debezium takes a whole query as the "filter" of a blocking snapshot.
    conditions = [
        {"data-collection": table, "filter": f"select * from {table} where {key} between 20 and 30"}
        for table, key in ((f"{story.lane.name}.{table.name}", table.key) for table in (ACCOUNTS, NOTES))
    ]
    story.signal("blocking", **{"additional-conditions": conditions})
    story.play("update notes set note_id = 42, title = 'moved twice' where note_id = 41")
    broken_off_snapshot(story)


def broken_off_snapshot(story: Story) -> None:
    """Rows of a whole snapshot, as far as it came before it broke off: the first ten, and no last one."""
    story.lane.wait_until_captured()
    topic = story.lane.topic("accounts")
    first = "get_json_object(cast(value as string), '$.source.lsn')"
    lsn = story.lane.stack.value(f"select max(cast({first} as bigint)) from {story.lane.bronze}.accounts")
    messages = story.lane.stack.spark.sql(
        f"""
        select key, binary(replace(cast(value as string), {first}, '{lsn + 1}')) as value
        from {story.lane.bronze}.accounts
        where
            partition = 0
            and offset < 10
            and ingested_at = (select min(ingested_at) from {story.lane.bronze}.accounts)
        order by offset
        """
    )
    (
        messages.coalesce(1)
        .write.format("kafka")
        .option("kafka.bootstrap.servers", story.lane.stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
        .option("topic", topic)
        .save()
    )
    # What it told is older than the rows are by now: they change once more.
    story.play("update accounts set balance = balance + 0.01 where account_id <= 10")


def more_partitions(story: Story) -> None:
    """Partitions are added while rows change: most rows go on, at a smaller offset, on another one."""
    story.play("update accounts set balance = balance + 100", "update notes set title = 'before ' || note_id")
    story.lane.wait_until_captured()
    topics = [story.lane.topic(table) for table in story.lane.tables]
    for future in story.admin.create_partitions([NewPartitions(topic, 4) for topic in topics]).values():
        future.result()
    # The connector's producer asks for the partitions anew when it starts.
    story.stop()
    story.resume()
    story.play(
        "update accounts set balance = balance + 1000, changed_at = '2026-11-22 00:00:00.000001+00'",
        "delete from accounts where account_id between 40 and 45",
        "insert into accounts select n, 'again', 0.01 from generate_series(40, 42) as n",
        "update notes set title = 'after ' || note_id",
        "update notes set note_id = note_id + 1000 where note_id between 6 and 9",
        f"truncate notes;insert into notes values (6, 'after the truncate', {SIX}), (1006, null, null)",
        "update notes set title = 'and on' where note_id = 6",
    )
    story.lane.wait_until_captured()
    story.lane.ingest()
    story.notes["partitions"] = story.lane.stack.value(
        f"select count(distinct partition) from {story.lane.bronze}.accounts"
    )


UNSEEN = (
    "delete from accounts where account_id between 50 and 55",
    "insert into accounts values (100, 'unseen', 2)",
    "update accounts set balance = 3 where account_id = 56",
    "update accounts set owner = 'unseen' where account_id = 20",
    f"insert into notes values (7, 'unseen', {SEVEN})",
)


def deleted_connector(story: Story) -> None:
    """The connector and all that it remembers are gone, and the bank goes on; a new one reads everything."""
    story.lane.wait_until_captured()
    story.lose_the_slot()
    story.lane.tell_connector("DELETE", "/offsets")
    story.lane.tell_connector("DELETE")
    story.play(*UNSEEN)
    story.lane.capture()
    story.play(
        "update accounts set owner = 'seen again' where account_id = 21", "delete from accounts where account_id = 22"
    )


def lost_slot_and_topics(story: Story) -> None:
    """The slot is gone, and so are the topics; what is made again begins at offset 0."""
    story.lane.wait_until_captured()
    story.lane.ingest()
    story.lose_the_slot()
    topics = [story.lane.topic(table) for table in story.lane.tables]
    for future in story.admin.delete_topics(topics).values():
        future.result()
    story.play(
        "delete from accounts where account_id between 30 and 35",
        "update accounts set owner = 'unseen again' where account_id = 36",
        "delete from notes where note_id = 1006",
    )
    story.resume()
    story.play("update accounts set owner = 'seen again' where account_id = 37")
    story.lane.wait_until_captured()
    story.lane.ingest()
    bronze = f"{story.lane.bronze}.accounts"
    story.notes["offsets"] = story.lane.stack.value(
        f"select min(offset) from {bronze} where ingested_at = (select max(ingested_at) from {bronze})"
    )
