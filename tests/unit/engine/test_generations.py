"""Generations of partitions: which of the records that open or forward to one are believed."""

from __future__ import annotations

from typing import Any, cast

import pytest

from streamflow.engine.commands import ForwardSource, OpenGeneration
from streamflow.engine.generations import open_generation
from streamflow.engine.outcome import Refused
from streamflow.engine.state import NextGeneration, PartitionState
from streamflow.wire.codec import DecodeError
from streamflow.wire.forwarding import forward_source, forwarded_header


class Builder:
    successor: NextGeneration | None = None


def opened(first: int, partitions: int, before_first: int, before: int, *, partition: int = 2) -> NextGeneration | None:
    """What partition 2 of 4 forwards to after the command."""
    command = OpenGeneration(
        id="g", first=first, partitions=partitions, before_first=before_first, before=before, trace=None
    )
    builder = Builder()
    open_generation(cast(Any, builder), cast(Any, None), PartitionState(partition=partition), command)
    return builder.successor


def test_a_generation_of_a_multiple_of_the_partitions_is_opened() -> None:
    assert opened(4, 8, 0, 4) == NextGeneration(first=4, partitions=8, index=2, before=4)


@pytest.mark.parametrize(
    "numbers",
    [(4, 0, 0, 4), (4, -4, 0, 4), (4, 2, 0, 4), (4, 6, 0, 4), (4, 8, 0, 0), (4, 8, 0, -4), (2, 8, 0, 4), (4, 8, 3, 4)],
)
def test_other_numbers_are_refused(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(Refused) as caught:
        opened(*numbers)
    assert (caught.value.outcome, caught.value.reason) == ("dead", "bad_generation")


def test_a_forwarded_command_says_where_it_is_from() -> None:
    source = ForwardSource(3, 2**63 - 1, 1, 0)
    assert forward_source([("other", b"1"), forwarded_header(source)]) == source
    assert forward_source([("other", b"1")]) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"1/2/3",
        b"1/2/3/4/5",
        b"0/-1/0/0",
        b"0/1_0/0/0",
        b" 0/1/0/0",
        "0/\u0663/0/0".encode(),
        b"0/" + b"9" * 30 + b"/0/0",
    ],
)
def test_what_is_no_place_in_commands_is_not_believed(value: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        forward_source([("forwarded", value)])
    assert caught.value.code == "bad_command"
