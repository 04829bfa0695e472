"""The counts of a source partition, and how they travel with its offset."""

from __future__ import annotations

import pytest

from streamflow.runtime.sources import SourcePartition, Tally, counts_of


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


@pytest.mark.parametrize("metadata", ["", "{", "[]", "null", "{}", '{"topic_id":"T","read":"many","matched":0,"ignored":0,"dead":0}', "someone's own words"])
def test_metadata_that_ingress_did_not_write_has_no_counts(metadata: str) -> None:
    assert counts_of(metadata) is None
