"""Dead letters on a real broker: sent again where they belong, with the bytes that they had, dropped with a reason, and
listed by what was done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.cli.main import main
from streamflow.core.outputs import outputs_of
from streamflow.core.place import Place
from streamflow.engine import commands as c
from streamflow.engine.effects import DeadLetter as DeadLetterEffect
from streamflow.engine.effects import RecordRejection
from streamflow.engine.outcome import Decision
from streamflow.kafka.generations import grow
from streamflow.kafka.topics import topic_name
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.wire.codec import encode_command
from streamflow.wire.dead_letter import DeadLetter, dead_letter
from streamflow.wire.decoding import Headers, Record
from streamflow.wire.forwarding import forwarded_header
from streamflow.wire.rejection import rejection

pytestmark = pytest.mark.broker

Run = Callable[..., tuple[int, Any, str]]
HEADERS = (("ce_id", b"1"), ("odd", b"\xfe"), ("streamflow.dlq.reason", b"theirs"))


class Site:
    """Topics of one test, and what is in them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.servers: dict[str, Any] = {"bootstrap.servers": settings.kafka.bootstrap_servers or ""}
        self.source = f"{settings.topics.prefix}orders-source"
        self.producer = Producer(self.servers)
        admin = AdminClient(self.servers)
        admin.create_topics([NewTopic(self.source, 3, 1)])[self.source].result(30)

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Any = (), partition: int = 0) -> int:
        places: list[int] = []
        self.producer.produce(
            topic,
            value,
            key,
            partition,
            headers=list(headers) or None,
            on_delivery=lambda error, message: places.append(message.offset() or 0),
        )
        self.producer.flush(30)
        return places[0]

    def put(self, letter: DeadLetter) -> int:
        return self.send(topic_name(self.settings, "dead-letters"), letter.key, letter.value, letter.headers)

    def source_letter(self, reason: str = "schema_mismatch") -> tuple[int, Record]:
        offset = self.send(self.source, b"K", b'{"a": "\xc3\xa4"}', HEADERS, 2)
        record = Record(self.source, 2, offset, 0, b"K", b'{"a": "\xc3\xa4"}', HEADERS)
        return self.put(dead_letter(record, reason, "m", "ingress")), record

    def engine_letter(
        self, command: c.Command, reason: str = "decision_failed", headers: Headers = (), partition: int = 1
    ) -> tuple[int, bytes]:
        value = encode_command(command)
        offset = self.send(topic_name(self.settings, "commands"), b"K", value, headers, partition)
        record = Record(topic_name(self.settings, "commands"), partition, offset, 0, b"K", value, headers)
        decision = Decision(
            outcome="dead", reason=reason, transitions=[], effects=[DeadLetterEffect(reason, "m")], changes={}
        )
        (output,) = outputs_of(decision, record, command, Place(number=1, partitions=2, topic_id="T"))
        return self.put(DeadLetter(output.key, output.value, output.headers)), value

    def records(self, topic: str) -> list[Record]:
        with Reading(self.settings, topic) as reading:
            return list(reading.to_end())


@pytest.fixture
def site(topics: Settings) -> Site:
    return Site(topics)


@pytest.fixture
def streamflow(topics: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main(
            [
                *words,
                "--json",
                "--bootstrap",
                topics.kafka.bootstrap_servers or "",
                "--prefix",
                topics.topics.prefix,
            ]
        )
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out.strip() else None, captured.err

    return run


def states(streamflow: Run) -> dict[int, str]:
    listed = streamflow("dead-letters", "list", "--status", "all")[1]["dead_letters"]
    return {letter["letter"]: letter["status"] for letter in listed}


def test_a_record_of_a_source_goes_there_again_as_it_was(site: Site, streamflow: Run) -> None:
    letter, record = site.source_letter()

    code, answer, err = streamflow("dead-letters", "replay", str(letter))

    assert (code, answer["sent"]) == (0, 1), err
    again = site.records(site.source)[-1]
    assert (again.partition, again.key, again.value, again.headers) == (2, record.key, record.value, record.headers)
    assert again.offset == record.offset + 1
    assert states(streamflow) == {letter: "replayed"}


def test_a_record_that_was_cut_is_read_where_it_came_from(site: Site, streamflow: Run) -> None:
    value = b"x" * 200_000
    offset = site.send(site.source, b"K", value, HEADERS, 1)
    record = Record(site.source, 1, offset, 0, b"K", value, HEADERS)
    letter = site.put(dead_letter(record, "event_too_large", "m", "ingress", limit_bytes=0))

    assert streamflow("dead-letters", "replay", str(letter))[1]["sent"] == 1
    again = site.records(site.source)[-1]
    assert (again.partition, again.key, again.value, again.headers) == (1, b"K", value, HEADERS)


def test_an_event_that_the_engine_refused_is_sent_from_its_source_and_not_as_a_command(
    site: Site, streamflow: Run
) -> None:
    offset = site.send(site.source, b"K", b'{"n": 1}', HEADERS, 2)
    origin = c.Origin(topic_id="", partition=2, offset=offset, committed=0, topic=site.source)
    event = c.Event(name="placed", id="e1", time_ms=1, data={"n": 1})
    letter, _ = site.engine_letter(c.Deliver(id="d", definition="o", key="K", event=event, origin=origin))
    before = site.records(topic_name(site.settings, "commands"))

    (listed,) = streamflow("dead-letters", "list")[1]["dead_letters"]
    assert streamflow("dead-letters", "replay", str(letter))[1]["sent"] == 1

    assert listed["source_topic"] == site.source
    assert [(r.partition, r.value) for r in site.records(site.source)] == [(2, b'{"n": 1}')] * 2
    assert site.records(topic_name(site.settings, "commands")) == before


@pytest.mark.parametrize(
    "command",
    [
        c.CompleteAttempt("c1", "00000001-main-x", "s", 1, {"paid": True}),
        c.FireTimer("c2", "00000001-main-x", "s", 5),
        c.CancelRun("c3", "00000001-main-x", "why"),
    ],
)
def test_another_command_goes_to_its_partition_under_its_id(site: Site, streamflow: Run, command: c.Command) -> None:
    letter, value = site.engine_letter(command)

    assert streamflow("dead-letters", "replay", str(letter))[1]["sent"] == 1

    found = site.records(topic_name(site.settings, "commands"))
    assert [(record.partition, record.key, record.value) for record in found] == [(1, b"K", value)] * 2


def test_a_forwarded_command_enters_again_by_the_first_generation(site: Site, streamflow: Run) -> None:
    """Where it was refused, its header would make it a copy of what was forwarded before."""
    grow(site.settings, 4)
    command = c.CompleteAttempt("c1", "00000001-main-x", "s", 1, {"paid": True})
    header = forwarded_header(c.ForwardSource(1, 7, 1, 7))
    letter, value = site.engine_letter(command, headers=(header, ("odd", b"kept")), partition=3)

    assert streamflow("dead-letters", "replay", str(letter))[1]["sent"] == 1

    found = [record for record in site.records(topic_name(site.settings, "commands")) if record.value == value]
    assert {record.partition: record.headers for record in found} == {
        3: (header, ("odd", b"kept")),
        1: (("odd", b"kept"),),
    }


def test_an_emitted_event_goes_to_its_topic_under_its_id(site: Site, streamflow: Run) -> None:
    headers = (("ce_id", b"run-1/7"), ("ce_type", b"shipped"))
    record = Record(site.source, -1, -1, 0, b"K", b"{}", headers)
    letter = site.put(dead_letter(record, "undeliverable", "m", "emit", event="shipped", id="run-1/7"))

    assert streamflow("dead-letters", "replay", str(letter))[1]["sent"] == 1
    (sent,) = site.records(site.source)
    assert (sent.key, sent.value, sent.headers) == (b"K", b"{}", headers)


def test_what_cannot_be_sent_says_why(site: Site, streamflow: Run) -> None:
    nowhere = Record("no-such-topic", 0, 3, 0, b"K", b"{", ())
    own = Record(topic_name(site.settings, "commands"), 0, 3, 0, b"K", b"{}", ())
    command = c.CancelRun("c3", "00000001-main-x", "why")
    refused = rejection(
        own, RecordRejection(command_id=command.id, code="run_unknown", message="no", run=None, state={})
    )
    origin = c.Origin(topic_id="another", partition=0, offset=0, committed=0, topic=site.source)
    event = c.Event(name="placed", id="e1", time_ms=1, data={})
    letters = {
        site.put(dead_letter(nowhere, "not_json", "m", "ingress")): "topic_missing",
        site.put(refused): "letter_answers",
        site.put(dead_letter(own, "not_json", "m", "ingress")): "topic_reserved",
        site.put(dead_letter(own, "misrouted", "m", "engine")): "source_unknown",
        site.engine_letter(c.Deliver(id="d", definition="o", key="K", event=event, origin=origin))[0]: "source_gone",
    }

    code, answer, _ = streamflow("dead-letters", "replay", *map(str, letters))

    assert code == 3
    assert {one["letter"]: one["code"] for one in answer["letters"]} == letters
    assert all(one["message"] for one in answer["letters"])
    assert set(states(streamflow).values()) == {"open"}


def test_an_event_without_an_id_is_sent_only_as_a_new_one(site: Site, streamflow: Run, tmp_path: Path) -> None:
    (tmp_path / "definition.yaml").write_text(
        'streamflow: "1"\nname: o\nversion: "1"\non: [{id: p, event: placed}]\n'
        "steps: [{id: s, print: {text: run.key}}]\n"
    )
    match = "match: {path: type, equals: placed}"
    (tmp_path / "catalog.yaml").write_text(f"events: [{{name: placed, topics: [{site.source}], {match}}}]\n")
    assert streamflow("definitions", "publish", str(tmp_path))[0] == 0
    record = Record(site.source, 2, 0, 0, b"K", b'{"type": "placed"}', ())
    letter = site.put(dead_letter(record, "expression_failed", "m", "ingress", event="placed", definition="o"))

    code, answer, _ = streamflow("dead-letters", "replay", str(letter))
    assert (code, answer["letters"][0]["code"]) == (3, "event_without_id")
    assert streamflow("dead-letters", "replay", str(letter), "--as-new")[1]["sent"] == 1


def test_letters_are_chosen_in_bulk_shown_first_and_sent_once(site: Site, streamflow: Run) -> None:
    letters = [site.source_letter()[0] for _ in range(4)] + [site.source_letter("not_json")[0]]
    chosen = ("--reason", "schema_mismatch", "--topic", site.source, "--since", "1h")

    code, answer, _ = streamflow("dead-letters", "replay", *chosen, "--limit", "3", "--dry-run")
    assert (code, [one["letter"] for one in answer["letters"]], answer["sent"]) == (0, letters[:3], 0)
    code, _, err = streamflow("dead-letters", "replay", *chosen)
    assert (code, json.loads(err)["error"]["code"]) == (3, "confirmation_missing")
    assert set(states(streamflow).values()) == {"open"}

    assert streamflow("dead-letters", "replay", *chosen, "--limit", "3", "--yes")[1]["sent"] == 3
    assert streamflow("dead-letters", "replay", *chosen, "--yes")[1]["sent"] == 1
    assert streamflow("dead-letters", "replay", *chosen, "--yes")[1]["sent"] == 0
    assert states(streamflow) == dict.fromkeys(letters[:4], "replayed") | {letters[4]: "open"}
    code, answer, _ = streamflow("dead-letters", "replay", str(letters[0]))
    assert (code, answer["letters"][0]["code"]) == (3, "letter_settled")


def test_letters_are_dropped_with_a_reason_that_is_kept(site: Site, streamflow: Run) -> None:
    first, second = site.source_letter("not_json")[0], site.source_letter("not_json")[0]
    assert json.loads(streamflow("dead-letters", "drop", str(first))[2])["error"]["code"] == "reason_missing"

    assert streamflow("dead-letters", "drop", "--reason", "not_json", "--why", "noise", "--dry-run")[1]["dropped"] == 0
    assert streamflow("dead-letters", "drop", str(first), "--reason-text", "noise")[1]["dropped"] == 1

    assert states(streamflow) == {first: "dropped", second: "open"}
    assert streamflow("dead-letters", "show", str(first))[1]["why"] == "noise"
    answer = streamflow("dead-letters", "list")[1]
    assert ([one["letter"] for one in answer["dead_letters"]], answer["statuses"]) == (
        [second],
        {"dropped": 1, "open": 1},
    )
