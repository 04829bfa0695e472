"""What an engine worker does with commands that are wrong, and with topics that are: each is told, loses nothing, and
blocks no other key."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from streamflow.engine import commands as c
from streamflow.errors import Rejected
from streamflow.ids import partition_of, run_id
from streamflow.kafka import admin
from streamflow.kafka.engine_records import skip_commands
from streamflow.kafka.publication import read_log
from streamflow.ops.skips import skip_command
from streamflow.wire.codec import encode_command
from tests.conftest import eventually
from tests.integration.workers import Bench, Worker, bench, make_bench

__all__ = ["bench"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

SHARES = """
name: shares
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: share
    set: [{name: each, expr: 100 / trigger.total}]
  - id: told
    needs: [share]
    print: {text: '"told"'}
"""

SHIPPING = """
name: shipping
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: ship
    emit: {event: order.shipped, data: [{name: id, expr: run.key}]}
"""


class Running(NamedTuple):
    """A worker that many tests share: each uses keys of its own."""

    bench: Bench
    worker: Worker
    payment: c.DefinitionRef
    shares: c.DefinitionRef
    shipping: c.DefinitionRef


@pytest.fixture(scope="module")
def running(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with make_bench(bootstrap, tmp_path_factory.mktemp("running")) as bench:
        payment, shares = bench.publish(), bench.publish(SHARES)
        shipping = bench.publish(SHIPPING, shipped_to=f"{bench.prefix}nowhere")
        yield Running(bench, bench.worker(), payment, shares, shipping)
        bench.wait_saved()
        bench.workers[0].stop()
        bench.check_exact()
        bench.check_stores(bench.workers[0])
        gauge = sum(own["parked"] for own in bench.own().values())
        assert gauge == 0


def finishes(running: Running, key: str) -> None:
    """A run of another key in the same partition goes its way."""
    run = running.bench.start(running.payment, key)
    running.bench.deliver(key)
    running.bench.wait_history(run, "RunCompleted")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (b"\xff\x00 no JSON", "bytes"),
        (b"", "nothing"),
        (None, "a deletion"),
        (b'{"kind": "Unheard"}', "an unknown kind"),
        (b'{"kind": "Deliver", "id": 7}', "a wrong type"),
        (b"[" * 5000, "deep nesting"),
        (b'{"kind":"FireTimer","id":"t","run":"nonsense","address":"s","due_ms":1}', "a run without a slot"),
    ],
)
def test_a_record_that_is_no_command_is_dead_lettered_with_its_bytes(
    running: Running, value: bytes | None, what: str
) -> None:
    bench = running.bench
    key = f"bad-{what.replace(' ', '-')}"
    place = partition_of(key, bench.partitions)
    bench.append(place, value, key.encode())
    finishes(running, bench.key_of(place, 20 + len(what)))
    reason = "misrouted" if "slot" in what else "bad_command"
    letter = bench.wait(
        lambda: [m for m in bench.letters(reason) if m.key == key.encode()], f"the dead letter of {what}"
    )[0]
    assert letter.value == value
    assert letter.headers["streamflow.dlq.topic"] == bench.topic("commands")
    assert letter.headers["streamflow.dlq.partition"] == str(place)
    assert int(letter.headers["streamflow.dlq.offset"]) >= 0


def test_a_command_in_the_wrong_partition_is_misrouted_and_moves_nothing(running: Running) -> None:
    bench = running.bench
    key = bench.key_of(0, 1)
    event = c.Event(name="order.placed", id="lost", time_ms=1, data={"id": key, "total": 5})
    lost = c.Deliver(
        id="lost",
        definition="payment",
        key=key,
        event=event,
        origin=c.Origin(topic_id="source", partition=0, offset=0, committed=0),
        start=running.payment,
        trigger="placed",
    )
    bench.append(1, encode_command(lost), key.encode())
    bench.flush()
    finishes(running, bench.key_of(1, 1))
    letter = bench.wait_letter("misrouted", partition="1")
    assert "murmur2" in letter.headers["streamflow.dlq.message"]
    assert not [t for t in bench.transitions() if t.fields["key"] == key]


def test_a_command_over_the_limit_is_dead_lettered_with_its_size_and_first_bytes(running: Running) -> None:
    bench = running.bench
    key = bench.key_of(0, 2)
    event = c.Event(name="order.paid", id="big", time_ms=1, data={"id": key, "note": "x" * 950_000})
    value = encode_command(
        c.Deliver(
            id="big",
            definition="payment",
            key=key,
            event=event,
            origin=c.Origin(topic_id="source", partition=0, offset=0, committed=0),
        )
    )
    bench.append(0, value, key.encode())
    bench.flush()
    letter = bench.wait_letter("too_large")
    assert letter.headers["streamflow.dlq.size"] == str(len(value))
    assert letter.value == value[:65_536]
    finishes(running, bench.key_of(0, 3))


def test_a_start_of_a_definition_that_nobody_published_is_dead_lettered(running: Running) -> None:
    bench = running.bench
    key = bench.key_of(0, 4)
    run = bench.start(c.DefinitionRef("0" * 64, 0), key)
    letter = bench.wait_letter("unknown_definition")
    assert letter.key == key.encode()
    assert bench.history(run) == []
    finishes(running, bench.key_of(0, 5))


@pytest.mark.parametrize("ahead", [1, 1000, 1 << 60])
def test_a_start_that_names_an_offset_beyond_the_definitions_is_refused_at_once(running: Running, ahead: int) -> None:
    bench = running.bench
    key = bench.key_of(0, 6)
    end = bench.stranger.ends(bench.topic("definitions"))[0][1]
    run = bench.start(c.DefinitionRef(sha256="1" * 64, log_offset=end + ahead), key)
    letters = bench.wait(
        lambda: [
            letter
            for letter in bench.letters("unknown_definition")
            if f"offset {end + ahead} " in letter.headers["streamflow.dlq.message"]
        ],
        "the dead letter",
    )
    assert letters[0].key == key.encode()
    assert bench.history(run) == []
    finishes(running, bench.key_of(0, 60 + len(str(ahead))))


def test_a_step_whose_expression_fails_is_parked_until_a_person_retries_skips_or_fails_it(running: Running) -> None:
    bench = running.bench
    one, two = bench.key_of(0, 7), bench.key_of(1, 7)
    skipped, failed = (bench.start(running.shares, key, "shares", total=0) for key in (one, two))
    for run in (skipped, failed):
        bench.wait_history(run, "RunStarted", "StepParked")
    told = bench.transitions(skipped)[-1].fields
    assert told["step"] == "share"
    assert told["data"]["at"] == "set/each"
    bench.send(c.RetryStep("retry-1", skipped, "share"))
    bench.wait_history(skipped, "StepParked", "StepRetried", "StepParked")
    bench.send(c.SkipStep("skip-1", skipped, "share"), c.FailRun("fail-1", failed, "no shares"))
    assert "LinePrinted" not in bench.wait_history(skipped, "RunCompleted")
    bench.wait_history(failed, "RunFailed")
    assert bench.transitions(failed)[-1].fields["data"] == {"reason": "no shares"}
    fine = bench.start(running.shares, bench.key_of(0, 8), "shares", total=4)
    bench.wait_history(fine, "RunStarted", "ValuesSet", "LinePrinted", "RunCompleted")


def test_an_event_for_a_topic_that_does_not_exist_becomes_a_dead_letter_and_holds_up_nobody(running: Running) -> None:
    bench = running.bench
    key = bench.key_of(0, 9)
    run = bench.start(running.shipping, key, "shipping")
    finishes(running, bench.key_of(0, 10))
    bench.wait_history(run, "RunStarted", "EventEmitted", "RunCompleted")
    letter = bench.wait_letter("undeliverable", run=run)
    assert letter.key == key.encode()
    assert json.loads(letter.value or b"") == {"id": key}
    assert letter.headers["streamflow.dlq.topic"] == f"{bench.prefix}nowhere"
    assert letter.headers["ce_type"] == "order.shipped"


def test_an_event_that_its_topic_refuses_becomes_a_dead_letter_and_the_next_one_is_published(running: Running) -> None:
    bench = running.bench
    narrow = f"{bench.prefix}narrow"
    for future in bench.admin.create_topics([NewTopic(narrow, 1, config={"max.message.bytes": "2000"})]).values():
        future.result()
    start = bench.publish(
        SHIPPING.replace("name: shipping", "name: narrow").replace("run.key}", "trigger.id}"), shipped_to=narrow
    )
    big, small = bench.key_of(0, 13), bench.key_of(0, 14)
    runs = [bench.start(start, big, "narrow", id="x" * 5000), bench.start(start, small, "narrow")]
    for run in runs:
        bench.wait_history(run, "EventEmitted", "RunCompleted")
    letter = bench.wait_letter("undeliverable", run=runs[0])
    assert json.loads(letter.value or b"") == {"id": "x" * 5000}
    assert [
        json.loads(m.value() or b"")
        for m in bench.wait(lambda: list(bench.stranger.messages(narrow)), "the small event")
    ] == [{"id": small}]
    bench.wait_saved()
    assert bench.lines(running.worker, "partition_failed") == []


def test_an_event_that_nobody_waits_for_is_counted_and_no_dead_letter(running: Running) -> None:
    bench = running.bench
    bench.deliver(bench.key_of(0, 11), event_id="unwanted")
    bench.wait_saved()
    assert bench.reasons()["unclaimed"] >= 1
    assert [letter for letter in bench.letters() if b"unwanted" in (letter.value or b"")] == []


def test_a_request_that_does_not_fit_is_answered_with_its_id_and_the_state_it_met(running: Running) -> None:
    bench = running.bench
    key = bench.key_of(1, 12)
    open_run, unknown = bench.start(running.payment, key), run_id("main", "payment", key, "never")
    bench.send(
        c.CancelRun("cancel-unknown", unknown),
        c.RetryStep("retry-waiting", open_run, "paid"),
        c.CancelRun("cancel-1", open_run, "enough"),
    )
    bench.wait_history(open_run, "RunCancelled")
    bench.send(c.CancelRun("cancel-2", open_run))
    answers = {
        name: bench.wait_letter("rejected", command=name).headers
        for name in ("cancel-unknown", "retry-waiting", "cancel-2")
    }
    codes = {name: headers["streamflow.dlq.code"] for name, headers in answers.items()}
    assert codes == {"cancel-unknown": "run_unknown", "retry-waiting": "not_parked", "cancel-2": "run_unknown"}
    assert json.loads(answers["retry-waiting"]["streamflow.dlq.state"])["steps"]["paid"] == "waiting"


# -- topics that are wrong: each with a worker of its own


def test_commands_deleted_unread_stop_their_partition_until_a_person_skips_them(bench: Bench) -> None:
    start = bench.publish()
    runs = {
        (partition, nth): bench.start(start, bench.key_of(partition, nth)) for partition in range(2) for nth in range(3)
    }
    bench.admin.delete_records([TopicPartition(bench.topic("commands"), 0, 2)])[
        TopicPartition(bench.topic("commands"), 0, 2)
    ].result()
    worker = bench.worker()
    line = bench.wait_line(worker, "partition_stopped")
    assert line["partition"] == 0
    assert "input_gap" in line["error"]
    assert "commands skip 0 1 " in line["error"]
    assert "offset=0" in line["error"]
    assert line["consequence"]
    bench.wait_history(runs[1, 2], "WaitStarted")
    bench.wait_saved([1])
    skip_commands(bench.settings, partition=0, offset=1, reason="they were a test")
    bench.wait_history(runs[0, 2], "WaitStarted")
    assert bench.wait_line(worker, "commands_skipped", partition=0)["reason"] == "they were a test"
    bench.wait_saved()
    worker.stop()
    bench.check_exact()


def test_a_command_that_stops_its_partition_is_passed_over_when_a_person_says_so(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    before = bench.start(start, bench.key_of(0, 1))
    bench.wait_history(before, "WaitStarted")
    strange = bench.start(c.DefinitionRef(start.sha256, start.log_offset, "from the future"), bench.key_of(0, 2))
    after = bench.start(start, bench.key_of(0, 3))
    line = bench.wait_line(worker, "partition_stopped", partition=0)
    assert "unknown_revision" in line["error"]
    named = re.search(r"streamflow commands skip (\d+) (\d+) --reason", line["error"])
    assert named is not None
    partition, offset = map(int, named.groups())

    for wrong, code in ((offset - 1, "command_decided"), (offset + 100, "command_unknown")):
        with pytest.raises(Rejected) as caught:
            skip_command(bench.settings, partition=partition, offset=wrong, reason="no")
        assert caught.value.code == code
    skip_command(bench.settings, partition=partition, offset=offset, reason="a stranger sent it")

    bench.wait_history(after, "WaitStarted")
    assert bench.history(strange) == []
    letter = bench.wait_letter("skipped")
    assert "a stranger sent it" in letter.headers["streamflow.dlq.message"]
    assert read_log(bench.settings).skips[partition][offset].reason == "a stranger sent it"
    bench.wait_saved()
    worker.stop()
    bench.check_exact()


def test_commands_made_anew_under_an_old_state_stop_the_partitions(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    run = bench.start(start, bench.key_of(0))
    bench.wait_history(run, "WaitStarted")
    bench.wait_saved([0])
    worker.stop()
    recreate(bench, "commands")
    bench.restart(worker)
    line = bench.wait_line(worker, "partition_stopped", partition=0)
    assert "commands_recreated" in line["error"]
    fresh = bench.start(start, bench.key_of(1))
    bench.wait_history(fresh, "WaitStarted")
    worker.stop()


def test_a_changelog_that_lost_its_end_stops_the_partition_rather_than_the_runs_in_it(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    run = bench.start(start, bench.key_of(0))
    bench.wait_history(run, "WaitStarted")
    bench.wait_saved([0])
    worker.stop()
    recreate(bench, "state")
    bench.restart(worker)
    line = bench.wait_line(worker, "partition_stopped", partition=0)
    assert "changelog_recreated" in line["error"]
    worker.stop()
    shutil.rmtree(worker.state)  # a person accepts it: commands are all there, so nothing is lost
    bench.restart(worker)
    bench.deliver(bench.key_of(0))
    bench.wait_history(run, "RunCompleted")
    bench.wait_saved()
    worker.stop()
    bench.check_exact()


def recreate(bench: Bench, role: str) -> None:
    for future in bench.admin.delete_topics([bench.topic(role)]).values():
        future.result()
    eventually(lambda: bench.topic(role) not in bench.admin.list_topics(timeout=60).topics)
    admin.apply(bench.settings)
    bench.forget_topics()


@pytest.mark.parametrize("broken", ["missing", "drifted"])
def test_a_worker_without_its_topics_ends_with_a_clear_error(bench: Bench, broken: str) -> None:
    for future in bench.admin.delete_topics([bench.topic("runs")]).values():
        future.result()
    eventually(lambda: bench.topic("runs") not in bench.admin.list_topics(timeout=60).topics)
    if broken == "drifted":
        for future in bench.admin.create_topics([NewTopic(bench.topic("runs"), 7)]).values():
            future.result()
    worker = bench.worker()
    process = worker._running()
    assert process.wait(30) not in (0, None)
    worker._process = None
    told = worker.tail()
    assert "Traceback" not in told
    assert bench.topic("runs") in told
    assert ("topics_missing" if broken == "missing" else "topics_differ") in told
