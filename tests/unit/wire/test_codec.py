"""Commands to bytes and back."""

from __future__ import annotations

import pytest

from streamflow.engine.commands import AdvanceWatermark, DefinitionRef, Deliver, Event, Origin, StartRun
from streamflow.engine.trace import Trace
from streamflow.wire.codec import DecodeError, decode_command, encode_command

EVENT = Event(name="submitted", id="e-1", time_ms=1_700_000_000_000, data={"b": 1, "a": {"d": None, "c": [1.5, "x"]}})
ORIGIN = Origin(topic_id="topic-id", partition=3, offset=7, committed=5)

START = DefinitionRef("sha", 4)
TRACE = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1", True)


@pytest.mark.parametrize(
    "command",
    [
        StartRun(
            id="c-1",
            definition="loan",
            key="k",
            start=DefinitionRef("sha", 4),
            event=EVENT,
            trace=TRACE,
            correlation_id="ours",
        ),
        Deliver(
            id="c-2",
            definition="loan",
            key="k",
            event=EVENT,
            origin=ORIGIN,
            start=DefinitionRef("sha", 4),
            trigger="t",
            keep_ms=1000,
            copies_ms=2000,
            window_ms=3_600_000,
            trace=TRACE,
            correlation_id="ours",
        ),
        AdvanceWatermark(id="c-3", topic="src", partitions=2, at_ms={"0": 1, "1": 2}),
    ],
)
def test_a_command_comes_back_as_it_was(command: StartRun | Deliver | AdvanceWatermark) -> None:
    assert decode_command(encode_command(command)) == command


def test_the_same_command_gives_the_same_bytes_whatever_the_order_of_its_keys() -> None:
    one = Deliver(
        id="c",
        definition="loan",
        key="k",
        event=Event(name="e", id="1", time_ms=0, data={"a": 1, "b": {"x": 1, "y": 2}}),
        origin=ORIGIN,
    )
    other = Deliver(
        id="c",
        definition="loan",
        key="k",
        event=Event(name="e", id="1", time_ms=0, data={"b": {"y": 2, "x": 1}, "a": 1}),
        origin=ORIGIN,
    )
    assert encode_command(one) == encode_command(other)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"kind":"NoSuchCommand","id":"1"}',
        b'{"kind":"CancelRun"}',
        b"\xff",
        b"[" * 5000,
        b'{"kind":"CancelRun","id":1,"run":"r"}',
    ],
)
def test_bytes_that_are_no_command_are_refused_with_a_code_and_without_their_content(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_command(data)
    assert caught.value.code == "bad_command"
    assert not caught.value.retryable
    assert "NoSuchCommand" not in str(caught.value)


def test_a_whole_number_keeps_all_its_digits() -> None:
    command = Deliver(
        id="c",
        definition="loan",
        key="k",
        event=Event(name="e", id="1", time_ms=0, data={"n": 2**70, "m": -(2**70)}),
        origin=ORIGIN,
    )
    assert decode_command(encode_command(command)) == command


def test_data_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        encode_command(
            Deliver(
                id="c",
                definition="loan",
                key="k",
                event=Event(name="e", id="1", time_ms=0, data={"n": object()}),
                origin=ORIGIN,
            )
        )
    assert caught.value.code == "event_unusable"


@pytest.mark.parametrize("levels", [126, 2000])
def test_a_command_is_no_deeper_than_every_process_can_follow(levels: int) -> None:
    """Whether 900 levels are read is a matter of the stack that happens to be there."""

    def a_start(levels: int) -> bytes:
        return (
            b'{"definition":"d","event":{"data":%b,"id":"e","name":"n","time_ms":1},"id":"c","key":"k","kind":"StartRun","start":{"sha256":"s","log_offset":1}}'
            % (b"[" * levels + b"]" * levels)
        )

    assert decode_command(encode_command(decode_command(a_start(126))))
    with pytest.raises(DecodeError) as caught:
        decode_command(a_start(levels + 1))
    assert caught.value.code == "too_deep"
