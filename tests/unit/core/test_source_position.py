"""The counts of a source partition travel with its offset, and neither passes a command that is held back."""

from __future__ import annotations

import random

import pytest

from streamflow.core.source_position import Counts, SourcePosition, Stored, stored_of


def position(next_: int = 5) -> SourcePosition:
    return SourcePosition(topic="orders", partition=0, topic_id="T", next=next_, committed=next_, partitions=3)


def test_counts_come_back_from_the_metadata_of_the_offset_they_belong_to() -> None:
    source = position()
    for offset, outcome in enumerate(["matched", "ignored", "dead", "matched"], 5):
        source.count(offset, outcome, outdated=offset == 6)
    offset, metadata = source.position()
    assert offset == 9
    assert stored_of(metadata) == Stored("T", Counts(read=4, matched=2, ignored=1, dead=1, outdated=1), 3)


def test_metadata_fits_what_a_broker_takes() -> None:
    most = 2**62
    source = SourcePosition("orders", 0, "T" * 22, most, most, Counts(most, most, most, most, most), most)
    assert len(source.position()[1]) < 4096


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"topic_id":"T","read":"many","matched":0,"ignored":0,"dead":0}',
        "an operator's own words",
        '{"read":' + "[" * 2000 + "]" * 2000 + "}",
        '{"topic_id":"T","read":1e400,"matched":0,"ignored":0,"dead":0}',
        '{"topic_id":"T","read":[],"matched":0,"ignored":0,"dead":0}',
    ],
)
def test_metadata_that_ingress_did_not_write_has_no_counts(metadata: str) -> None:
    assert stored_of(metadata) is None


def test_nothing_is_committed_past_a_command_that_is_held_back() -> None:
    source = position(0)
    for offset in range(6):
        if offset in (2, 4):
            source.hold(offset)
        source.count(offset, "matched")
    assert (source.next, source.committable) == (6, 2)
    assert stored_of(source.position()[1]) == Stored("T", Counts(read=2, matched=2), 3)
    source.release(4)
    assert source.committable == 2
    source.release(2)
    assert source.position()[0] == 6
    assert stored_of(source.position()[1]) == Stored("T", Counts(read=6, matched=6), 3)


def test_a_record_waits_for_all_of_its_commands() -> None:
    source = position(0)
    source.hold(0)
    source.hold(0)
    source.count(0, "matched")
    source.release(0)
    assert source.committable == 0
    source.release(0)
    assert source.committable == 1


def test_offset_and_counts_are_one_cut_in_whatever_order_commands_are_released() -> None:
    chance = random.Random(4)
    for _ in range(200):
        source, held = position(0), []
        for offset in range(30):
            for _ in range(chance.choice([0, 0, 1, 2])):
                source.hold(offset)
                held.append(offset)
            source.count(offset, "matched")
        chance.shuffle(held)
        while held:
            source.release(held.pop())
            lowest = min(held, default=30)
            offset, metadata = source.position()
            found = stored_of(metadata)
            assert found is not None
            assert (offset, found.counts.read) == (lowest, lowest)
