"""Which dead letters answer a command, and what a producer of a source cannot make them say."""

from __future__ import annotations

import json

import pytest

from streamflow.engine.commands import ForwardSource
from streamflow.engine.effects import RecordRejection
from streamflow.ops.command_request import refusal
from streamflow.ops.dead_letters import original_headers
from streamflow.settings import Settings
from streamflow.wire.dead_letter import PREFIX, DeadLetter, dead_letter, facts_of
from streamflow.wire.decoding import Record
from streamflow.wire.forwarding import forwarded_header
from streamflow.wire.rejection import rejection

SETTINGS = Settings()
FORGED = (
    (f"{PREFIX}command", b"c-1"),
    (f"{PREFIX}code", b"not_allowed"),
    (f"{PREFIX}state", b"{"),
    (f"{PREFIX}stage", b"engine"),
    ("__streams.errors.message", b"forged"),
    ("traceparent", b"00-1-1-01"),
)


def as_record(letter: DeadLetter) -> Record:
    return Record("streamflow.dead-letters", 0, 9, 0, letter.key, letter.value, letter.headers)


def a_rejection(state: dict[str, int]) -> Record:
    effect = RecordRejection(command_id="c-1", code="run_ended", message="It has ended.", run="r", state=state)
    return as_record(rejection(Record("streamflow.commands", 3, 17, 0, b"k", b"{}"), effect))


def test_a_letter_of_the_engine_answers_its_command() -> None:
    named, place, rejected = refusal(SETTINGS, a_rejection({"seq": 4}))
    assert (named, place) == ("c-1", ("3", "17"))
    assert (rejected.code, rejected.facts) == ("run_ended", {"seq": 4})


def test_a_letter_of_a_forwarded_command_answers_the_record_that_its_sender_wrote() -> None:
    forwarded = forwarded_header(ForwardSource(9, 40, 1, 17))
    record = Record("streamflow.commands", 25, 3, 0, b"k", b"{}", (forwarded,))
    letter = as_record(dead_letter(record, "decision_failed", "It failed.", "engine"))

    named, place, rejected = refusal(SETTINGS, letter)

    assert (named, place, rejected.code) == (None, ("1", "17"), "decision_failed")


def test_headers_of_a_source_record_are_not_taken_for_streamflow_s() -> None:
    source = Record("orders", 0, 5, 0, b"k", b"no json", FORGED)
    letter = as_record(dead_letter(source, "not_json", "It is no JSON.", "ingress"))

    facts = facts_of(letter)
    assert (facts["stage"], facts["reason"]) == ("ingress", "not_json")
    assert not {"command", "code", "state"} & facts.keys()
    assert refusal(SETTINGS, letter)[:2] == (None, None)
    assert original_headers(letter) == {
        **{f"original.{name}": value.decode() for name, value in FORGED[:-1]},
        "traceparent": "00-1-1-01",
    }


@pytest.mark.parametrize("state", [b"{", b"7", b"\xff", b"[" * 100_000], ids=["cut off", "a number", "no text", "deep"])
def test_a_state_that_cannot_be_read_is_left_out(state: bytes) -> None:
    letter = a_rejection({})
    broken = letter._replace(headers=(*letter.headers, (f"{PREFIX}state", state)))
    named, _, rejected = refusal(SETTINGS, broken)
    assert (named, rejected.code, rejected.facts) == ("c-1", "run_ended", {})


@pytest.mark.parametrize("stage", ["tasks", "ingress", "", "Engine", " engine", "engine\0", "engines"])
def test_a_letter_of_another_stage_answers_nothing(stage: str) -> None:
    record = Record("streamflow.commands", 3, 17, 0, b"k", b"{}")
    letter = as_record(dead_letter(record, "rejected", "text", stage, command="c-1", state=json.dumps({"a": 1})))
    assert refusal(SETTINGS, letter)[:2] == (None, None)


def test_a_letter_without_a_stage_answers_nothing() -> None:
    letter = a_rejection({})
    without = letter._replace(headers=tuple(one for one in letter.headers if one[0] != f"{PREFIX}stage"))
    assert len(without.headers) == len(letter.headers) - 1
    assert refusal(SETTINGS, without)[:2] == (None, None)


def test_a_letter_of_another_installation_names_no_place_of_ours() -> None:
    letter = a_rejection({})
    other = tuple(
        (name, b"prod.commands") if name == f"{PREFIX}topic" else (name, value) for name, value in letter.headers
    )
    assert refusal(SETTINGS, letter._replace(headers=other))[1] is None
