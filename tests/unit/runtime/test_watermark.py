"""How far a source is read, as it is told to the engine."""

from __future__ import annotations

from aiokafka.structs import TopicPartition

from streamflow.runtime.sources import SourcePartition, SourceTopic
from streamflow.runtime.watermark import Watermarks

TOPICS = {"orders": SourceTopic("T", 2)}


def source(partition: int, next_: int, last_ms: int = 0) -> SourcePartition:
    return SourcePartition("orders", partition, "T", next_, 0, last_ms=last_ms)


def ends(*offsets: int) -> dict[TopicPartition, int]:
    return {TopicPartition("orders", partition): offset for partition, offset in enumerate(offsets)}


def test_a_partition_read_to_its_end_is_as_far_as_the_clock_was_before_the_end_was_asked_for() -> None:
    (command,) = Watermarks().advance(1000, ends(5, 0), [source(0, 5, 400), source(1, 0)], TOPICS)
    assert (command.topic, command.partitions, command.at_ms) == ("orders", 2, {"0": 1000, "1": 1000})
    assert command.id == "watermark/orders/0/1000"


def test_a_partition_that_is_behind_is_as_far_as_the_last_record_read() -> None:
    (command,) = Watermarks().advance(1000, ends(9, 9), [source(0, 5, 400), source(1, 9, 900)], TOPICS)
    assert command.at_ms == {"0": 400, "1": 1000}


def test_a_record_from_the_future_moves_no_watermark_past_the_clock() -> None:
    (command,) = Watermarks().advance(1000, ends(9), [source(0, 5, 5000)], TOPICS)
    assert command.at_ms == {"0": 1000}


def test_only_what_moved_is_told_and_it_never_goes_back() -> None:
    marks = Watermarks()
    assert marks.advance(1000, ends(5), [source(0, 5)], TOPICS)
    assert not marks.advance(1000, ends(5), [source(0, 5)], TOPICS)
    assert not marks.advance(2000, ends(6), [source(0, 5, 700)], TOPICS)
    assert marks.advance(3000, ends(6), [source(0, 6, 900)], TOPICS)[0].at_ms == {"0": 3000}


def test_a_partition_whose_end_is_unknown_or_whose_topic_is_gone_is_not_told() -> None:
    assert not Watermarks().advance(1000, {}, [source(0, 5)], TOPICS)
    assert not Watermarks().advance(1000, ends(5), [source(0, 5)], {})
