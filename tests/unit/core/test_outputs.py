"""What a decision sends, as records: where each goes and what it carries."""

from __future__ import annotations

import pytest

from streamflow.core.outputs import Output, outputs_of
from streamflow.core.place import Place
from streamflow.engine.commands import CancelRun, Command, Deliver, FailAttempt, Origin
from streamflow.engine.effects import AppendCommand, DeadLetter, Effect, RecordRejection, SendTask
from streamflow.engine.outcome import Decision
from streamflow.engine.tasks import CancelTask, Task
from streamflow.ids import partition_of
from streamflow.wire.codec import decode_command
from streamflow.wire.decoding import Record
from streamflow.wire.tasks import decode_task
from tests.builders import an_event

PLACE = Place(number=3, partitions=4, topic_id="the-id", lanes=frozenset({"default", "slow"}))
HEADERS = (("traceparent", b"00-1-2-01"), ("sent-by", b"someone"))


def sent(*effects: Effect, offset: int = 17) -> list[Output]:
    record = Record("commands", 3, offset, 1000, b"k", b"{}", HEADERS)
    return list(
        outputs_of(
            Decision(outcome="applied", reason="", transitions=[], effects=list(effects), changes={}),
            record,
            None,
            PLACE,
        )
    )


def a_task(number: int) -> Task:
    return Task(
        id=f"r{number}/s/1",
        idempotency_key=f"r{number}/s",
        run=f"r{number}",
        definition="order",
        version="1",
        key="k",
        step="s",
        attempt=1,
        operation="pay",
        input={},
        timeout_ms=1000,
        queue_ms=1000,
    )


def test_tasks_go_to_their_lanes_and_name_the_command_that_they_were_decided_on() -> None:
    outputs = sent(
        SendTask("slow", a_task(1)),
        SendTask("default", a_task(2)),
        SendTask("slow", CancelTask("r1/s/1", "k")),
    )
    assert [(output.topic, output.partition, output.headers) for output in outputs] == [
        ("tasks.slow", 3, (("source", b"the-id/17/0"),)),
        ("tasks.default", 3, (("source", b"the-id/17/1"),)),
        ("tasks.slow", 3, (("source", b"the-id/17/2"),)),
    ]
    assert [decode_task(output.value or b"") for output in outputs[::2]] == [a_task(1), CancelTask("r1/s/1", "k")]


def test_a_task_for_a_lane_that_the_settings_lack_fails_and_its_cancellation_is_dropped() -> None:
    (refusal,) = sent(SendTask("unknown", a_task(3)), SendTask("unknown", CancelTask("r3/s/1", "k")))
    assert (refusal.topic, refusal.partition) == ("commands", 3)
    failed = decode_command(refusal.value or b"")
    assert isinstance(failed, FailAttempt)
    assert (failed.run, failed.code, failed.retryable) == ("r3", "lane_unknown", True)


def test_a_command_goes_to_the_partition_of_its_key() -> None:
    keys = [f"k{number}" for number in range(20)]
    outputs = sent(*(AppendCommand(key, CancelRun(f"c-{key}", "00000000-0")) for key in keys))
    assert [(output.topic, output.partition, output.key) for output in outputs] == [
        ("commands", partition_of(key, 4), key.encode()) for key in keys
    ]


def test_a_dead_letter_begins_with_the_headers_of_its_command() -> None:
    (letter,) = sent(DeadLetter("bad_command", "no"))
    assert letter.headers[: len(HEADERS)] == HEADERS
    assert (letter.topic, letter.partition, letter.key, letter.value) == ("dead-letters", 0, b"k", b"{}")


def test_a_rejection_begins_with_the_headers_of_its_command() -> None:
    (letter,) = sent(
        RecordRejection(command_id="c1", code="run_ended", message="no", run="r1", state={"status": "done"})
    )
    assert letter.headers[: len(HEADERS)] == HEADERS
    assert dict(letter.headers)["streamflow.dlq.code"] == b"run_ended"


def facts_of(command: Command | None) -> dict[str, str]:
    record = Record("commands", 3, 17, 1000, b"k", b"{}", HEADERS)
    decision = Decision(
        outcome="dead", reason="x", transitions=[], effects=[DeadLetter(reason="x", message="m")], changes={}
    )
    (letter,) = outputs_of(decision, record, command, PLACE)
    return {
        name.removeprefix("streamflow.dlq."): value.decode()
        for name, value in letter.headers
        if name.startswith("streamflow.dlq.")
    }


def test_a_dead_letter_names_the_source_record_of_its_event() -> None:
    origin = Origin(topic_id="T", partition=5, offset=99, committed=90, topic="orders")
    facts = facts_of(Deliver(id="d", definition="order", key="k", event=an_event("paid"), origin=origin))
    assert [facts[f"source_{name}"] for name in ("topic", "topic_id", "partition", "offset")] == [
        "orders",
        "T",
        "5",
        "99",
    ]
    assert (facts["kind"], facts["event"], facts["definition"]) == ("Deliver", "paid", "order")
    assert (facts["topic"], facts["partition"], facts["offset"]) == ("commands", "3", "17")


@pytest.mark.parametrize(
    ("command", "kind", "run"),
    [
        (CancelRun("c", "00000000-0"), "CancelRun", "00000000-0"),
        (FailAttempt("c", "00000000-1", "s", 1, "code", "m"), "FailAttempt", "00000000-1"),
        (None, None, None),
    ],
)
def test_a_dead_letter_of_another_command_names_its_run_and_no_source(
    command: Command | None, kind: str | None, run: str | None
) -> None:
    facts = facts_of(command)
    assert (facts.get("kind"), facts.get("run")) == (kind, run)
    assert not any(name.startswith("source_") for name in facts)
