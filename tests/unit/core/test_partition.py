"""A partition core over state in memory: what cannot be decided is put aside, what ingress holds back costs nothing,
and a checkpoint is carried out in its order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any

import pytest

from streamflow.core.gap_check import Verdict
from streamflow.core.outbox import GIVE_UP_S
from streamflow.core.partition import PartitionCore
from streamflow.core.place import Place
from streamflow.core.tracing import Traced
from streamflow.engine.commands import AdvanceWatermark, CancelRun, Command
from streamflow.engine.outcome import Decision
from streamflow.engine.state import OWN, PartitionState
from streamflow.errors import EngineFault
from streamflow.simulation.driver import Simulation
from streamflow.simulation.store import MemoryStore
from streamflow.simulation.worker import Partition
from streamflow.wire.codec import encode_command
from streamflow.wire.decoding import Record
from tests.builders import NOW_MS, a_catalog, a_definition

PLACE = Place(number=0, partitions=1, topic_id="the-id")
NOBODY = "00000000-0000"


class Definitions:
    def readable(self, start: Any) -> bool:
        return True

    def content(self, start: Any) -> None:
        return None

    def plan(self, sha: str, content: Callable[[], str]) -> Any:
        raise AssertionError("nothing is published")


class Collected:
    """Metrics as they came."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.seen: dict[str, list[float]] = {}

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        self.counts[name, *labels.values()] += int(value)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.seen.setdefault(name, []).append(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        self.seen.setdefault(name, []).append(value)

    def decided(self, decision: Decision, seconds: float | None) -> None:
        self.counts["commands", decision.outcome, decision.reason] += 1
        if seconds is not None:
            self.seen.setdefault("decision_seconds", []).append(seconds)

    def forget(self, name: str | None = None, /, **labels: str) -> None: ...

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def sample(self, take: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


def a_core(store: MemoryStore | None = None, **options: Any) -> PartitionCore:
    known: dict[str, Any] = {"now_ms": NOW_MS, "topic_of": lambda event: f"{event}s"}
    return PartitionCore(PLACE, store or MemoryStore(), Definitions(), **known | options)


def a_record(offset: int, command: Command | None = None) -> Record:
    value = encode_command(command or CancelRun(f"c{offset}", NOBODY))
    return Record("commands", 0, offset, NOW_MS + offset, b"k", value, ())


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, offset: int) -> None:
    """Let the decision on one command fail."""
    from streamflow.core import partition as module
    from streamflow.engine.decide import decide

    def decided(*arguments: Any) -> Any:
        if arguments[5] == offset:
            raise error
        return decide(*arguments)

    monkeypatch.setattr(module, "decide", decided)


def letters(core: PartitionCore) -> list[str]:
    return [
        dict(output.headers)["streamflow.dlq.reason"].decode()
        for _, output in core.outputs
        if output.topic == "dead-letters"
    ]


def saved(core: PartitionCore) -> None:
    """Carry a checkpoint out."""
    while core.outputs:
        core.acknowledged(core.outputs.popleft()[0], 1)
    cut = core.capture()
    assert cut is not None
    cut.transaction()
    cut.committed()
    cut.records()
    core.saved()


# -- what cannot be decided


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_a_command_that_needs_too_much_memory_closes_the_partition_once_and_is_put_aside_then(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, error, 1)
    first = a_core()
    first.take(a_record(0), NOW_MS)
    before = list(first.outputs)
    with pytest.raises(MemoryError):
        first.take(a_record(1), NOW_MS)
    assert (first.applied, list(first.outputs)) == (0, before)
    again = a_core(failed_at=1)
    for offset in (0, 1):
        again.take(a_record(offset), NOW_MS)
    assert again.applied == 1
    assert letters(again) == ["rejected", "out_of_memory"]
    assert again.overlay.own.counts.dead == 1


def test_another_command_that_needs_too_much_memory_closes_the_partition_too(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, MemoryError(), 0)
    with pytest.raises(MemoryError):
        a_core(failed_at=7).take(a_record(0), NOW_MS)


def test_nothing_is_decided_after_a_command_put_aside_until_that_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ValueError("a bug"), 0)
    reports: list[tuple[int, str]] = []
    core = a_core(put_aside=lambda offset, reason, error: reports.append((offset, reason)))
    core.take(a_record(0), NOW_MS)
    assert (letters(core), reports) == (["decision_failed"], [(0, "decision_failed")])
    with pytest.raises(EngineFault, match="verdict_unsaved"):
        core.take(a_record(1), NOW_MS)
    saved(core)
    core.take(a_record(1), NOW_MS)


def test_a_checkpoint_captured_before_a_command_was_put_aside_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ValueError("a bug"), 1)
    core = a_core()
    core.take(a_record(0), NOW_MS)
    while core.outputs:
        core.acknowledged(core.outputs.popleft()[0], 1)
    cut = core.capture()
    assert cut is not None
    core.take(a_record(1), NOW_MS)
    cut.transaction()
    cut.committed()
    core.saved()
    with pytest.raises(EngineFault, match="verdict_unsaved"):
        core.take(a_record(2), NOW_MS)
    saved(core)
    core.take(a_record(2), NOW_MS)


def test_a_worker_goes_on_after_a_command_that_never_fits_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation()
    simulation.publish(a_definition({"id": "p", "print": {"text": "run.key"}}), a_catalog("placed"))
    for key in ("k1", "k2", "k3"):
        simulation.send("placed", {}, key=key)
    failing(monkeypatch, MemoryError(), 1)
    simulation.run_until_quiet()
    assert [line.text for line in simulation.printed if line.text != "k1"] == ["k3"]
    assert [letter["reason"] for letter in simulation.dead_letters()] == ["out_of_memory"]


# -- opening and input


def test_a_state_of_another_topic_is_not_served() -> None:
    core = a_core()
    core.overlay.apply({OWN: PartitionState(topic_id="another")})
    with pytest.raises(EngineFault, match="commands_recreated"):
        core.begin(0)


def test_a_state_with_an_unknown_revision_is_not_served() -> None:
    core = a_core()
    core.overlay.apply({OWN: PartitionState(topic_id=PLACE.topic_id, revisions={"from the future": 1})})
    with pytest.raises(EngineFault, match="unknown_revision"):
        core.begin(0)


def test_deleted_commands_are_passed_over_only_if_a_person_said_so() -> None:
    core = a_core()
    assert core.begin(0) is None
    for skips in ({}, {3: "too few"}, {5: "one that is there"}):
        with pytest.raises(EngineFault, match="input_gap"):
            core.begin(5, skips)
    skipped = core.begin(5, {4: "an outage"})
    assert skipped == (0, 5, "an outage")
    assert core.applied == 4
    assert core.dirty


def test_a_batch_is_trimmed_sought_for_or_taken_and_a_gap_stops() -> None:
    core = a_core()
    core.take(a_record(0), NOW_MS)
    assert [record.offset for record in core.trim([a_record(0), a_record(1)])] == [1]
    assert core.is_next(1)
    assert not core.is_next(2)
    assert core.judge(3, None, 0) is Verdict.SEEK
    assert core.judge(3, 0, 0) is Verdict.SEEK
    assert core.judge(3, 1, 1) is Verdict.HOLE
    with pytest.raises(EngineFault, match="input_gap"):
        core.judge(3, 1, 2)


# -- timers


TWO_TOPICS = {
    "id": "pay",
    "wait": {
        "events": [{"id": "paid", "event": "paid"}, {"id": "refunded", "event": "refunded"}],
        "within": "10s",
    },
}


def watermark(topic: str, at_ms: int) -> AdvanceWatermark:
    return AdvanceWatermark(
        id=f"{topic}/{at_ms}", topic=topic, partitions=1, at_ms={"0": at_ms}, feeds={topic.removesuffix("s"): (topic,)}
    )


def test_a_wait_that_ingress_holds_back_costs_no_command_until_all_its_topics_are_read() -> None:
    simulation = Simulation()
    simulation.publish(a_definition(TWO_TOPICS), a_catalog("placed", "paid", "refunded"))
    for number in range(5):
        simulation.send("placed", {}, key=f"k{number}")
    simulation.ingress.read()
    (partition,) = simulation.open_partitions()
    partition.worker.definitions.catch_up()

    def work() -> None:
        partition.take(partition.fetch())
        partition.fire()
        partition.send()
        partition.take(partition.fetch())

    work()
    simulation.clock.now_ms += 10_000
    for _ in range(60):  # one topic is read, the other is not there
        simulation.clock.now_ms += 1000
        simulation.append(watermark("paids", simulation.clock.now_ms))
        work()
    assert partition.overlay.own.reasons == {}
    simulation.append(watermark("refundeds", simulation.clock.now_ms))
    work()
    work()
    assert sum(t.type == "WaitTimedOut" for t in simulation.transitions()) == 5
    assert partition.overlay.own.reasons == {}


# -- checkpoints


def test_a_checkpoint_gives_nothing_to_commit_before_its_outputs_have_arrived() -> None:
    core = a_core()
    core.take(a_record(0), NOW_MS)
    cut = core.capture()
    assert cut is not None
    with pytest.raises(EngineFault, match="checkpoint_out_of_order"):
        cut.transaction()
    core.take(a_record(1), NOW_MS)
    core.acknowledged(core.outputs[0][0], 1)
    assert cut.applied == 0
    assert cut.transaction()
    with pytest.raises(EngineFault, match="checkpoint_out_of_order"):
        cut.records()
    cut.committed()
    assert OWN in cut.records()


def test_a_checkpoint_waits_for_outputs_of_earlier_intervals_too() -> None:
    core = a_core()
    core.take(a_record(0), NOW_MS)
    assert core.capture() is not None
    core.saved()  # as if its outputs had arrived
    core.take(a_record(1), NOW_MS)
    cut = core.capture()
    assert cut is not None
    core.acknowledged(1, 1)
    assert not cut.is_acknowledged
    core.acknowledged(0, 1)
    assert cut.is_acknowledged


def test_cuts_are_numbered_on_from_what_was_restored() -> None:
    store = MemoryStore()
    for offset in range(2):
        core = a_core(store)
        core.take(a_record(offset), NOW_MS)
        cut = core.capture()
        assert cut is not None
        core.acknowledged(0, 1)
        cut.transaction()
        cut.committed()
        store.write(cut.records())
        assert store.get("!cut/end") == b"%d 1" % (offset + 1)


# -- events


EMITS = a_definition({"id": "tell", "emit": {"event": "told", "data": [{"name": "key", "expr": "run.key"}]}})


def a_stalled_topic() -> tuple[Simulation, Partition]:
    simulation = Simulation()
    simulation.publish(EMITS, a_catalog("placed", "told"))
    simulation.log.down = {"tolds"}
    for number in range(3):
        simulation.send("placed", {}, key=f"k{number}")
    simulation.run_until_quiet()
    (partition,) = simulation.open_partitions()
    return simulation, partition


def test_a_topic_that_takes_nothing_holds_up_neither_runs_nor_checkpoints_and_gets_its_events_later() -> None:
    simulation, _ = a_stalled_topic()
    assert sum(t.type == "RunCompleted" for t in simulation.transitions()) == 3
    assert simulation.log.changelogs[0].committed == len(simulation.log.topics["commands"].records())
    simulation.assign(0, "worker")  # and its owner is lost
    assert simulation.published_events("tolds") == []
    simulation.log.down = set()
    simulation.run_until_quiet()
    assert [record.key for record in simulation.published_events("tolds")] == [b"k0", b"k1", b"k2"]
    assert not any(
        key.startswith("!outbox") and change.value is not None
        for key, change in simulation.log.changelogs[0].records.items()
    )


def test_an_event_that_is_refused_for_too_long_becomes_a_dead_letter_with_its_own_bytes() -> None:
    simulation, partition = a_stalled_topic()
    core = partition.core
    batch = core.emitted.outbox.next("tolds", 1)
    assert batch is not None
    core.emitted.failed(batch.entries[:1])
    assert letters(core) == []
    simulation.clock.now_ms += int(GIVE_UP_S * 1000) + 1
    core.emitted.failed(batch.entries[:1])
    assert letters(core) == ["undeliverable"]
    _, letter = core.outputs[-1]
    assert (letter.key, letter.value) == (b"k0", b'{"key":"k0"}')
    assert dict(letter.headers)["ce_type"] == b"told"
    assert len(core.emitted.outbox) == 2
    simulation.run_until_quiet()
    assert simulation.dead_letters()[0]["reason"] == "undeliverable"


# -- metrics


def test_the_core_reports_what_it_does() -> None:
    metrics = Collected()
    core = a_core(metrics=metrics, clock=count().__next__)
    core.take(a_record(0), NOW_MS)
    core.take(a_record(1)._replace(value=b"no command"), NOW_MS)
    assert metrics.counts == {
        ("commands", "rejected", "run_unknown"): 1,
        ("commands", "dead", "bad_command"): 1,
    }
    assert metrics.seen["decision_seconds"] == [1]
    cut = core.capture()
    assert cut is not None
    assert metrics.seen["checkpoint_bytes"] == [cut.size]


@pytest.mark.parametrize("traced", [None, lambda *given: None], ids=["untraced", "traced"])
def test_every_seventh_command_is_timed_and_every_one_is_counted(traced: Traced | None) -> None:
    metrics = Collected()
    core = a_core(metrics=metrics, clock=count().__next__, traced=traced)
    for offset in range(16):
        core.take(a_record(offset), NOW_MS)
    assert metrics.counts == {("commands", "rejected", "run_unknown"): 16}
    assert len(metrics.seen["decision_seconds"]) == 3
    assert set(metrics.seen["decision_seconds"]) == {1}


def test_deliveries_are_counted_once_their_cut_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, store = Collected(), MemoryStore()
    store.write({"tally/orders": b'{"order.placed/delivered":4,"order.placed/started":4}'})
    core = a_core(store, metrics=metrics)
    changes = {
        OWN: PartitionState(parked=2),
        "tally/orders": {
            "order.placed/delivered": 7,
            "order.placed/started": 5,
            "order.placed/unclaimed/where_failed:type": 1,
        },
    }
    decision = Decision(
        outcome="applied", reason="", transitions=[], effects=[], changes=changes, tallied={"orders": {}}
    )
    monkeypatch.setattr(core, "_decide", lambda own, command, record: decision)
    core.take(a_record(0), NOW_MS)
    assert core.capture() is not None
    assert not [name for name, *_ in metrics.counts if name == "deliveries"]
    core.saved()
    assert metrics.counts == {
        ("commands", "applied", ""): 1,
        ("deliveries", "orders", "order.placed", "delivered", ""): 3,
        ("deliveries", "orders", "order.placed", "started", ""): 1,
        ("deliveries", "orders", "order.placed", "unclaimed", "where_failed:type"): 1,
    }
    assert (metrics.seen["kept_events"], metrics.seen["parked_runs"]) == ([1], [2])
