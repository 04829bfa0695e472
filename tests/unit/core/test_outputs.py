"""What a decision sends, as records: where each goes and what it carries."""

from __future__ import annotations

from streamflow.core.outputs import Output, outputs_of
from streamflow.core.place import Place
from streamflow.engine.commands import CancelRun, FailAttempt
from streamflow.engine.effects import AppendCommand, DeadLetter, Effect, RecordRejection, SendTask
from streamflow.engine.outcome import Decision
from streamflow.engine.tasks import CancelTask, Task
from streamflow.ids import partition_of
from streamflow.wire.codec import decode_command
from streamflow.wire.decoding import Record
from streamflow.wire.tasks import decode_task

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
