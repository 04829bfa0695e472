"""Texts of models that UTF-8 cannot hold: gateways cut characters into halves of surrogate pairs."""

from __future__ import annotations

from streamflow.models.conversation import MadeCall, well_formed
from streamflow.models.protocol import Text, message_of


def test_halves_are_joined_and_a_half_alone_is_replaced() -> None:
    assert well_formed("a\ud83d\ude00b") == "a\U0001f600b"
    assert well_formed("a\ud83d") == "a\ufffd"
    assert message_of([Text("x\ud83d"), Text("\ude00")]).text == "x\U0001f600"


def test_arguments_that_are_sent_again_can_be_sent() -> None:
    call = MadeCall("c", "t", '{"a": "\\ud83d\\ude00", "b": "\\ud800", "c": [1, {"d\\udc00": true}]}')
    assert call.parsed() == {"a": "\U0001f600", "b": "\ufffd", "c": [1, {"d\ufffd": True}]}
    assert MadeCall("c", "t", "[1]").parsed() == {}
    assert MadeCall("c", "t", "{").parsed() == {}
