"""What goes with a committed offset: it comes back as it was, fits into what Kafka keeps, and leaves out what does not
fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.wire.lane_position import METADATA_BYTES, LanePosition, decode_position, encode_position
from streamflow.wire.tasks import Source

SOURCES = st.none() | st.builds(Source, st.just("topic-id"), st.integers(0, 2**60), st.integers(0, 1000))


@st.composite
def positions(draw: st.DrawFn) -> LanePosition:
    at = offset = draw(st.integers(0, 2**50))
    ranges = []
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 2**20), st.integers(1, 2**20)), max_size=60)):
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    counts = draw(st.dictionaries(st.sampled_from(["completed", "copies"]), st.integers(0, 9)))
    return LanePosition(offset, "lane-id", "me", draw(SOURCES), tuple(ranges), counts)


@given(positions())
def test_a_position_comes_back_as_it_was(position: LanePosition) -> None:
    metadata, left_out = encode_position(position)
    assert left_out == 0
    assert decode_position(position.offset, metadata) == position


@given(positions(), st.integers(120, 400))
def test_what_does_not_fit_is_left_out_from_the_end(position: LanePosition, limit: int) -> None:
    metadata, left_out = encode_position(position, limit)
    kept = decode_position(position.offset, metadata)
    assert kept is not None
    assert kept.finished == position.finished[: len(kept.finished)]
    assert left_out == sum(end - begin for begin, end in position.finished[len(kept.finished) :])
    assert len(metadata) <= max(limit, 200)


def test_a_thousand_holes_fit_into_what_kafka_keeps() -> None:
    holes = tuple((at, at + 1) for at in range(1, 2001, 2))
    metadata, left_out = encode_position(
        LanePosition(0, "x" * 22, "y" * 12, Source("z" * 22, 2**40, 9), holes, {"completed": 10**9})
    )
    assert left_out == 0
    assert len(metadata.encode()) <= METADATA_BYTES


def test_ten_thousand_holes_do_not() -> None:
    holes = tuple((at, at + 1) for at in range(1, 20_001, 2))
    metadata, left_out = encode_position(LanePosition(0, "x" * 22, "y" * 12, None, holes))
    assert left_out > 8000
    assert METADATA_BYTES - 8 <= len(metadata.encode()) <= METADATA_BYTES


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "{}",
        "text",
        '{"zz":' + "[" * 2000 + "]" * 2000 + "}",
        *(f'{{"topic":"t","by":"b","done":"{done}"}}' for done in ("!", "gA==", "AQ==")),
    ],
)
def test_metadata_of_others_is_none(metadata: str) -> None:
    assert decode_position(7, metadata) is None
