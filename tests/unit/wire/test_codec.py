"""Commands to bytes and back."""

from __future__ import annotations

import pytest

from streamflow.engine.commands import AdvanceWatermark, Deliver, Event, Origin, Start, StartRun
from streamflow.wire.codec import DecodeError, decode_command, encode_command

EVENT = Event("submitted", "e-1", 1_700_000_000_000, {"b": 1, "a": {"d": None, "c": [1.5, "x"]}})
ORIGIN = Origin("topic-id", 3, 7, 5)


@pytest.mark.parametrize(
    "command",
    [
        StartRun("c-1", "loan", "k", Start("sha", 4), EVENT, "00-trace"),
        Deliver("c-2", "loan", "k", EVENT, ORIGIN, Start("sha", 4), "t", 1000, 2000, "00-trace"),
        AdvanceWatermark("c-3", "src", 2, {"0": 1, "1": 2}),
    ],
)
def test_a_command_comes_back_as_it_was(command: StartRun | Deliver | AdvanceWatermark) -> None:
    assert decode_command(encode_command(command)) == command


def test_the_same_command_gives_the_same_bytes_whatever_the_order_of_its_keys() -> None:
    one = Deliver("c", "loan", "k", Event("e", "1", 0, {"a": 1, "b": {"x": 1, "y": 2}}), ORIGIN)
    other = Deliver("c", "loan", "k", Event("e", "1", 0, {"b": {"y": 2, "x": 1}, "a": 1}), ORIGIN)
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
    command = Deliver("c", "loan", "k", Event("e", "1", 0, {"n": 2**70, "m": -(2**70)}), ORIGIN)
    assert decode_command(encode_command(command)) == command


def test_data_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        encode_command(Deliver("c", "loan", "k", Event("e", "1", 0, {"n": object()}), ORIGIN))
    assert caught.value.code == "event_unusable"


@pytest.mark.parametrize("levels", [126, 2000])
def test_a_command_is_no_deeper_than_every_process_can_follow(levels: int) -> None:
    """Whether 900 levels are read is a matter of the stack that happens to be there."""

    def a_start(levels: int) -> bytes:
        return (
            b'{"definition":"d","event":{"data":%b,"id":"e","name":"n","time_ms":1},"id":"c","key":"k","kind":"StartRun","start":{"sha":"s","at":1}}'
            % (b"[" * levels + b"]" * levels)
        )

    assert decode_command(encode_command(decode_command(a_start(126))))
    with pytest.raises(DecodeError) as caught:
        decode_command(a_start(levels + 1))
    assert caught.value.code == "too_deep"
