"""The engine worker as a process of its own on a real broker: what it writes, and that nothing that happens to it shows
in that."""

from __future__ import annotations

import json
import shutil
from functools import partial

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, Message, Producer, TopicPartition

from streamflow.engine import commands as c
from streamflow.engine.trace import Trace
from streamflow.ids import partition_of
from streamflow.wire.codec import encode_command
from tests.integration.workers import Bench, Worker, bench, complaints

__all__ = ["bench"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]


def test_a_run_from_start_to_end_is_told_in_runs_as_the_contract_says(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    run = bench.start(start, "order-1", total=4)
    event = c.Event(name="order.paid", id="pay-1", time_ms=7, data={"id": "order-1", "amount": 8})
    bench.send(
        c.Deliver(
            id="deliver-1",
            definition="payment",
            key="order-1",
            event=event,
            origin=c.Origin(topic_id="source", partition=0, offset=99, committed=0),
            trace=Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        )
    )
    bench.wait_history(run, "RunCompleted")
    told = bench.transitions(run)
    assert [t.name for t in told] == [
        "RunStarted",
        "ValuesSet",
        "WaitStarted",
        "WaitSatisfied",
        "LinePrinted",
        "RunCompleted",
    ]
    for seq, transition in enumerate(told, 1):
        fields, headers = transition.fields, dict(transition.headers)
        assert transition.key == b"order-1"
        assert transition.partition == partition_of("order-1", bench.partitions)
        assert transition.value == json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        always, of_steps = ["run", "definition", "version", "key", "seq", "at_ms", "cause", "data"], ["step", "attempt"]
        assert list(fields) == always + [name for name in of_steps if name in fields]
        if event := fields["data"].get("event"):
            assert list(event["data"]) == sorted(event["data"])
        assert (fields["run"], fields["definition"], fields["version"], fields["key"], fields["seq"]) == (
            run,
            "payment",
            "1",
            "order-1",
            seq,
        )
        assert fields["cause"] == ("start-order-1" if seq <= 3 else "deliver-1")
        assert headers["ce_id"] == f"{run}/{seq}".encode()
        assert headers["ce_source"] == b"/streamflow/main/definitions/payment"
        assert headers["ce_specversion"] == b"1.0"
        assert headers["content-type"] == b"application/json"
        assert ("traceparent" in headers) == (seq > 3)
    assert [t.fields.get("step") for t in told] == [None, "double", "paid", "paid", "bye", None]
    bench.wait_saved()
    worker.stop()
    bench.check_exact()
    bench.check_stores(worker)
    assert complaints(worker) == []


def test_a_killed_worker_goes_on_from_its_disk_and_a_stopped_one_has_nothing_to_do_again(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker(checkpoint_s=0.3)
    keys = [f"order-{number}" for number in range(600)]
    runs = {key: bench.start(start, key) for key in keys}
    bench.flush()
    bench.wait(lambda: len(bench.transitions()) > 300, "some transitions")
    worker.kill()
    for key in keys:
        bench.deliver(key, flush=False)
    bench.flush()
    bench.restart(worker)
    bench.wait_saved()
    worker.stop()
    bench.check_exact()
    bench.check_stores(worker)
    told = bench.stranger.runs().runs
    assert {run: told[run].ended for run in runs.values()} == dict.fromkeys(runs.values(), "bye")
    ends = bench.stranger.ends(bench.topic("runs"))
    bench.restart(worker)
    bench.wait_open(worker)
    for partition in range(bench.partitions):
        line = bench.lines(worker, "partition_open", partition=partition)[-1]
        assert line["restored"] == 0
        assert line["applied"] == bench.ends()[partition] - 1
    worker.stop()
    assert bench.stranger.ends(bench.topic("runs")) == ends
    assert complaints(worker) == []


def test_a_deleted_store_and_a_stale_one_are_brought_up_to_date_from_the_changelog_alone(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    runs = [bench.start(start, bench.key_of(nth % 2, nth)) for nth in range(20)]
    bench.wait_history(runs[-1], "WaitStarted")
    bench.wait_saved()
    worker.stop()
    stale, gone = worker.state / f"{bench.prefix}0", worker.state / f"{bench.prefix}1"
    earlier = bench.folder / "earlier"
    shutil.copytree(stale, earlier)
    bench.restart(worker)
    for nth in range(10):
        bench.deliver(bench.key_of(nth % 2, nth))
    bench.wait_history(runs[9], "RunCompleted")
    bench.wait_saved()
    worker.kill()
    shutil.rmtree(gone)
    shutil.rmtree(stale)
    shutil.move(earlier, stale)
    bench.restart(worker)
    for nth in range(10, 20):
        bench.deliver(bench.key_of(nth % 2, nth))
    bench.wait_history(runs[19], "RunCompleted")
    bench.wait_saved()
    worker.stop()
    restored = {p: bench.lines(worker, "partition_open", partition=p)[-1]["restored"] for p in range(2)}
    assert 0 < restored[0] < restored[1]  # what came after the copy was made; everything
    bench.check_exact()
    bench.check_stores(worker)
    assert {run.ended for run in bench.stranger.runs().runs.values()} == {"bye"}


def test_a_worker_that_was_stopped_in_its_tracks_cannot_save_after_another_took_over(bench: Bench) -> None:
    start = bench.publish()
    zombie = bench.worker("zombie", session_timeout_s=2, checkpoint_s=1.5, checkpoint_idle_s=1.5)
    first = bench.start(start, "first")
    bench.wait_history(first, "WaitStarted")
    runs = [bench.start(start, f"order-{number}") for number in range(20)]
    bench.wait(lambda: all(bench.history(run) for run in runs), "the starts to be decided, and not saved")
    zombie.pause()
    heir = bench.worker("heir", kind=Worker, session_timeout_s=2)  # with a hash seed of its own
    bench.wait_open(heir)
    for number in range(20):
        bench.deliver(f"order-{number}")
    bench.wait_history(runs[-1], "RunCompleted")
    zombie.resume()
    bench.wait(
        lambda: any("Fenced" in str(line.get("error")) for line in bench.lines(zombie)), "the zombie to be fenced"
    )
    late = [bench.start(start, f"late-{number}") for number in range(6)]
    for number in range(6):
        bench.deliver(f"late-{number}")
    for run in late:
        bench.wait_history(run, "RunCompleted")
    bench.wait(lambda: len(bench.lines(zombie, "partitions_assigned")) > 1, "the zombie to join again")
    bench.wait_saved()
    assert bench.stranger.runs().copies > 0  # of what the zombie had sent and not saved
    heir.stop()
    zombie.stop()
    bench.check_exact()


def test_a_killed_worker_of_a_known_name_has_its_partitions_back_and_the_other_never_stops(bench: Bench) -> None:
    start = bench.publish()
    one, two = bench.worker("one", session_timeout_s=8), bench.worker("two", session_timeout_s=8)

    def shares() -> list[list[int]]:
        return [
            lines[-1]["partitions"] if (lines := bench.lines(worker, "partitions_assigned")) else []
            for worker in (one, two)
        ]

    bench.wait(lambda: sorted(shares()) == [[0], [1]], "both to have a partition")
    before = shares()
    one.kill()
    bench.restart(one)
    runs = [bench.start(start, bench.key_of(partition)) for partition in range(2)]
    bench.wait(lambda: all(bench.history(run) for run in runs), "both partitions to be served")
    assert shares() == before
    assert len(bench.lines(two, "partitions_assigned")) <= 2
    assert (
        bench.lines(two, "partitions_assigned")[-1] == bench.lines(two, "partitions_assigned", partitions=before[1])[0]
    )
    bench.wait_saved()
    one.stop()
    two.stop()
    bench.check_exact()


def test_the_input_position_is_the_states_whatever_the_group_says(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    runs = [bench.start(start, bench.key_of(nth % 2, nth)) for nth in range(8)]
    bench.wait_saved()
    worker.stop()
    ends = bench.stranger.ends(bench.topic("runs"))
    group, commands = f"{bench.prefix}engine", bench.topic("commands")
    wrong = [TopicPartition(commands, 0, 1), TopicPartition(commands, 1, 3)]

    def moved() -> bool:
        try:
            return bool(
                bench.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, wrong)])[group].result()
            )
        except KafkaException:  # the member that left is still known for a moment
            return False

    bench.wait(moved, "the group's offsets to be moved")
    bench.restart(worker)
    bench.wait_open(worker)
    for nth in range(8):
        bench.deliver(bench.key_of(nth % 2, nth))
    for run in runs:
        bench.wait_history(run, "RunCompleted")
    bench.wait_saved()
    worker.stop()
    held = bench.stranger.ends(bench.topic("runs"))
    # nothing was decided again
    assert sum(high for _, high in held.values()) - sum(high for _, high in ends.values()) == 8 * 3
    bench.check_exact()


def test_marks_of_foreign_transactions_in_commands_are_no_records_and_hold_nothing_up(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    foreign = Producer(bench.servers | {"transactional.id": f"{bench.prefix}foreign"})
    foreign.init_transactions(10)
    commands: dict[int, c.Deliver] = {}
    offsets: dict[int, int] = {}

    def delivered(nth: int, _: KafkaError | None, message: Message) -> None:
        offsets[nth] = message.offset() or 0

    for nth in range(4):
        key = bench.key_of(0, nth)
        event = c.Event(name="order.placed", id=f"placed-{key}", time_ms=1, data={"id": key, "total": 5})
        command = c.Deliver(
            id=f"start-{nth}",
            definition="payment",
            key=key,
            event=event,
            origin=c.Origin(topic_id="source", partition=0, offset=nth, committed=0),
            start=start,
            trigger="placed",
        )
        foreign.begin_transaction()
        foreign.produce(
            bench.topic("commands"),
            encode_command(command),
            key.encode(),
            partition=0,
            on_delivery=partial(delivered, nth),
        )
        commands[nth] = command
        foreign.flush(10)
        if nth == 2:
            foreign.abort_transaction(10)
        else:
            foreign.commit_transaction(10)
    for nth in (0, 1, 3):
        key = bench.key_of(0, nth)
        bench.deliver(key)
        bench.wait_history(bench.run_of(commands[nth], offsets[nth]), "RunCompleted")
    bench.wait_saved()
    worker.stop()
    held = [m for m in bench.stranger.messages(bench.topic("commands"), committed=False) if m.partition() == 0]
    assert bench.own()[0]["counts"]["read"] == len(held)
    assert bench.stranger.runs().faults == []
