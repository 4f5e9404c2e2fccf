"""Whatever is lost, repeated or begun anew on the way: Silver ends equal to the database, with each change once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing

import pytest
from resets import ACCOUNTS, NOTES, Story
from truth import difference


@pytest.fixture(scope="module")
def story(resets: Future[Story]) -> Iterator[Story]:
    with closing(resets.result()) as story:
        yield story


CHAPTERS = [
    "a first snapshot",
    "what is told again, or in part",
    "more partitions",
    "the connector was deleted",
    "the slot and the topics were lost",
    "everything from the beginning",
]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_silver_is_what_postgres_holds(story: Story, chapter: str) -> None:
    assert not story.differences[chapter]


def deleted(story: Story, chapter: str, table: str) -> dict[int, str]:
    """By what each deleted row ended, by its key."""
    return {row["key"]: row["_cdc_op"] for row in story.notes[chapter][table] if row["is_deleted"]}


def test_only_a_whole_snapshot_ends_rows_that_it_did_not_find(story: Story) -> None:
    assert deleted(story, "what is told again, or in part", "accounts") == {60: "d"}
    unseen = deleted(story, "the connector was deleted", "accounts")
    assert {key for key, op in unseen.items() if op == "r"} == set(range(50, 56))
    assert unseen[22] == "d"
    lost = deleted(story, "the slot and the topics were lost", "accounts")
    assert {key for key, op in lost.items() if op == "r"} == set(range(30, 36)) | set(range(50, 56))


def test_the_chapters_were_what_they_are_meant_to_be(story: Story) -> None:
    assert story.notes["partitions"] == 4
    assert story.notes["offsets"] == 0


@pytest.mark.parametrize("history", [name for table in (ACCOUNTS, NOTES) for name in table.histories])
def test_an_incremental_history_equals_a_full_refresh(story: Story, history: str) -> None:
    """Metadata too, as later runs depend on it."""
    grown, made = (story.versions[chapter][history] for chapter in CHAPTERS[-2:])
    assert difference(made, grown) == ""
    assert any(row["version_number"] > 3 for row in made)
    assert any(row["is_deleted"] and not row["is_current"] for row in made)


def test_no_change_is_there_twice(story: Story) -> None:
    for table in (ACCOUNTS, NOTES):
        twice = story.lane.stack.value(
            f"""
            select count(*) from (
                select {table.key}, _cdc_op, _cdc_lsn, _cdc_tx_id, _cdc_reset
                from {story.lane.silver}.{table.base}
                group by all having count(*) > 1
            )
            """
        )
        assert twice == 0
    landed_twice = story.lane.stack.value(
        f"select count(*) - count(distinct partition, offset, value) from {story.lane.bronze}.accounts"
    )
    assert landed_twice > 0


def test_every_message_is_accounted_for(story: Story) -> None:
    result = story.lane.dbt("test", "--select", "every_bronze_message_is_accounted_for", "no_message_is_in_quarantine")
    assert result.returncode == 0, result.stdout
    # Two tests, and what runs at the beginning and the end of each run.
    assert "PASS=4 WARN=0" in result.stdout, result.stdout


def test_a_message_that_never_came_to_silver_is_named(story: Story) -> None:
    """Also where an earlier life of the topic had another message at its place."""
    base = f"{story.lane.silver}.{ACCOUNTS.base}"
    (lost,) = story.lane.stack.rows(
        f"delete from {base} where _cdc_partition = 0 and _cdc_offset = 0 and _cdc_topic_life = 2"
    )
    assert lost == {"num_affected_rows": 1}
    result = story.lane.dbt("test", "--select", "every_bronze_message_is_accounted_for")
    assert "FAIL 1 every_bronze_message_is_accounted_for" in result.stdout, result.stdout
