"""The counts of a source partition, and how they travel with its offset."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamflow.errors import OperationError
from streamflow.runtime.sources import SourcePartition, SourceTopics, Tally, counts_of


def test_counts_come_back_from_the_metadata_of_the_offset_they_belong_to() -> None:
    source = SourcePartition("orders", 0, "T", 5, 5)
    source.add(Tally(next=15, last_ms=99, read=9, matched=4, ignored=3, dead=2))
    source.add(Tally(next=16, last_ms=100, read=1, matched=0, ignored=1, dead=0))
    offset, metadata = source.position()
    assert offset == 16
    assert counts_of(metadata) == {"topic_id": "T", "read": 10, "matched": 4, "ignored": 4, "dead": 2}


def test_metadata_fits_what_a_broker_takes() -> None:
    source = SourcePartition("orders", 0, "T" * 22, 2**62, 2**62, 2**62, 2**62, 2**62, 2**62)
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
        "someone's own words",
    ],
)
def test_metadata_that_ingress_did_not_write_has_no_counts(metadata: str) -> None:
    assert counts_of(metadata) is None


class _GoneController:
    """A client whose picture of the cluster names a controller that is gone."""

    def __init__(self) -> None:
        self.looked = 0

    def describe_topics(self, topics: Any, **options: Any) -> dict[str, Future[Any]]:
        answer: Future[Any] = Future()
        answer.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        return {"orders": answer}

    def list_topics(self, timeout: float) -> None:
        self.looked += 1


def test_a_client_that_was_not_answered_finds_out_who_is_there() -> None:
    client: Any = _GoneController()
    with pytest.raises(OperationError) as caught:
        asyncio.run(SourceTopics(client).describe(["orders"]))
    assert caught.value.code == "source_unreachable"
    assert client.looked == 1
