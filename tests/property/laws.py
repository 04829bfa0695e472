"""The laws of docs/design.md as checks on a simulation, made against a fold of the log from scratch. A broken one
raises LawBroken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from streamflow.core.outbox import PREFIX as OUTBOX
from streamflow.core.outbox import Unsent
from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSucceeded
from streamflow.engine.builder import Limits
from streamflow.engine.commands import AdvanceWatermark, Continue, ContinueDelivery, Deliver
from streamflow.engine.evolve import evolve
from streamflow.engine.overlay import META, decode_record, encode_record
from streamflow.engine.state import OWN, PartitionState, RunState
from streamflow.engine.tasks import Task
from streamflow.engine.transitions import DelayElapsed, DelayStarted, RunStarted, WaitStarted, WaitTimedOut
from streamflow.simulation.definitions import Reader
from streamflow.simulation.driver import Simulation
from streamflow.simulation.log import COMMANDS, DEAD_LETTERS, RUNS, Change, Headers, Outgoing, Stored
from streamflow.simulation.store import MemoryStore
from streamflow.simulation.worker import Partition, Worker
from streamflow.wire.codec import decode_command
from streamflow.wire.forwarding import FORWARDED
from streamflow.wire.tasks import decode_task
from streamflow.wire.transitions import decode_transition
from tests.property.undo_order import UndoOrder

State = dict[str, bytes]
Copy = tuple[str, bytes | None, bytes | None, Headers]


class LawBroken(AssertionError):
    """`law` is the part of the design that does not hold."""

    def __init__(self, law: str, detail: str = "") -> None:
        super().__init__(f"{law}: {detail}")
        self.law = law


class Fold:
    """What one partition of `commands` means: the state after each offset and all outputs, decided once, without
    crashes or checkpoints."""

    def __init__(self, number: int, simulation: Simulation, limits: Limits) -> None:
        worker = Worker(
            "fold",
            simulation.log,
            Reader(simulation.definitions),
            limits,
            tombstone_retention_ms=1 << 62,
            printed=lambda line: None,
        )
        self._partition = Partition(number, worker)
        self._partition.serve()
        self._log = simulation.log
        self.events: list[tuple[int, Outgoing]] = []  # with the offset of the command that emitted each
        self._records = simulation.log.topics[COMMANDS].partitions[number]
        self.states: list[State] = [{}]
        self.outputs: list[Outgoing] = []
        self.sent: set[Copy] = set()
        self.heads: dict[str, RunState] = {}
        self.seqs: dict[str, int] = {}
        self.applied: Counter[str] = Counter()
        self.undo_order = UndoOrder()

    def follow(self) -> None:
        """Take in what was appended since."""
        partition = self._partition
        partition.worker.definitions.catch_up()
        for record in self._records[len(self.states) - 1 :]:
            before = partition.overlay.own.counts.applied
            if partition.take([record]) != 1:
                raise LawBroken("everything is decided", f"offset {record.offset}")
            outputs = partition.outbox
            self._evolve(outputs)
            self._emit(record.offset, outputs)
            self.outputs += outputs
            self.sent |= {(output.topic, output.key, output.value, output.headers) for output in outputs}
            partition.core.outputs.clear()
            self.states.append(
                {key: encode_record(value) for key, value in partition.overlay.dirty.items() if value is not None}
            )
            forwards = any(name == FORWARDED for output in outputs for name, _ in output.headers)
            if partition.overlay.own.counts.applied > before and not forwards:
                self._count(record, moved=any(output.topic == RUNS for output in outputs))

    def _emit(self, offset: int, outputs: list[Outgoing]) -> None:
        """Add the events that the command at `offset` emitted, and let the outbox forget them."""
        outbox = self._partition.core.emitted.outbox
        for topic in outbox.depths():
            partitions = len(self._log.topic(topic).partitions)
            while (batch := outbox.next(topic, partitions)) is not None:
                for entry in batch.entries:
                    event = Outgoing(topic, batch.partition, *entry.record())
                    self.events.append((offset, event))
                    outputs.append(event)
                outbox.sent(batch.entries, 0)

    def _evolve(self, outputs: Iterable[Outgoing]) -> None:
        for output in outputs:
            if output.topic != RUNS:
                continue
            transition = decode_transition(output.value or b"", output.headers)
            if isinstance(transition.data, RunStarted) and transition.run in self.heads:
                raise LawBroken("the id of a run is never used again", transition.run)
            head = self.heads[transition.run] = evolve(self.heads.get(transition.run), transition)
            before = self.seqs.get(transition.run, 0)
            self.seqs[transition.run] = transition.seq
            self.undo_order.take(transition)
            if head.seq != before + 1:
                raise LawBroken("seq has no gap", transition.run)
        for run, head in self.heads.items():
            stored = self._partition.overlay.get(f"run/{run}")
            if stored is not None and encode_record(stored) != encode_record(head):
                raise LawBroken("the head is the fold of its transitions", run)

    def _count(self, record: Stored, *, moved: bool) -> None:
        command = decode_command(record.value or b"")
        if isinstance(command, Deliver) and not moved:
            return  # it is kept: what nobody consumes may be offered again
        if isinstance(command, AdvanceWatermark | Continue | ContinueDelivery):
            # idempotent by themselves: a copy of a Continue does what is left to do, which may be the share of the next
            return
        self.applied[command.id] += 1
        if self.applied[command.id] > 1:
            raise LawBroken("no command is applied twice", command.id)

    def own(self) -> PartitionState:
        return self._partition.overlay.own

    def armed_up_to(self, at_ms: int) -> list[str]:
        return [key for key in self.states[-1] if key.startswith("timer/") and int(key[6:21]) <= at_ms]


def memory_of(partition: Partition) -> State:
    """What a partition in a worker's hands would answer, all of it."""
    overlay = partition.overlay
    found: dict[str, bytes | None] = {key: value for key, value in partition.store.scan("") if not key.startswith(META)}
    for layer in (overlay.saving, overlay.dirty):
        found |= {key: None if record is None else encode_record(record) for key, record in layer.items()}
    return {key: value for key, value in found.items() if value is not None}


def _is_unsent(key: str, change: Change) -> bool:
    return key.startswith(OUTBOX) and change.value is not None


def check_deliveries(state: State) -> None:
    """Every delivery has ended once, or is kept; what is kept is there, and nothing else."""
    kept: Counter[tuple[str, str]] = Counter()
    mail = {key.removeprefix("mail/") for key in state if key.startswith("mail/")}
    for key, value in state.items():
        if key.startswith("box/"):
            box = decode_record(key, value)
            name = key.removeprefix("box/")
            if box.continue_due:
                raise LawBroken("nothing is stuck", key)
            kept.update((name.partition("/")[0], entry.name) for entry in box.entries)
            mail -= {f"{name}/{entry.offset}" for entry in box.entries}
    if mail:
        raise LawBroken("what is kept has an owner", min(mail))
    for key, value in state.items():
        if key.startswith("tally/"):
            balance = Counter[str]()
            for name, count in decode_record(key, value).items():
                event, _, outcome = name.partition("/")
                balance[event] += count if outcome == "delivered" else -count
            definition = key.removeprefix("tally/")
            if wrong := {event: n for event, n in balance.items() if n != kept[definition, event]}:
                raise LawBroken("the counts add up", f"{key}: {wrong}")


def differences(one: State, other: State) -> str:
    keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    return "; ".join(f"{key}: {one.get(key)!r} but {other.get(key)!r}" for key in keys[:4])


class InvariantChecker:
    """Watches a simulation. `check` after every step, `check_rest` when nothing but faults could still happen."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._log = simulation.log
        self.folds = [Fold(number, simulation, simulation.limits) for number in range(simulation.log.partitions)]
        self._read: dict[tuple[str, int], int] = {}
        self._copies: dict[bytes, Copy] = {}
        self._seen: set[Copy] = set()
        self._published: set[tuple[str, bytes]] = set()  # topic and id of emitted events
        self._given_up: set[tuple[str, bytes]] = set()  # those that became dead letters
        self._in_order: dict[Copy, int] = {}  # first copies of emitted events, as they came
        self._last_seq: dict[str, int] = {}
        self._due: dict[tuple[str, str], int] = {}

    def follow(self) -> None:
        """Take in what was appended since, also in partitions that were added."""
        for number in range(len(self.folds), self._log.total):
            self.folds.append(Fold(number, self._simulation, self._simulation.limits))
        for fold in self.folds:
            fold.follow()

    def check(self) -> None:
        self.follow()
        self._check_readers()
        for number, fold in enumerate(self.folds):
            self._check_changelog(number, fold)
            self._check_outbox(number, fold)
            for worker in self._simulation.workers.values():
                partition = worker.partitions.get(number)
                if partition is not None and partition.open:
                    self._check_memory(partition, fold)
                if (store := worker.stores.get(number)) is not None:
                    self._check_store(number, store)

    def _check_readers(self) -> None:
        for topic in list(self._log.topics.values()):
            if topic.name == COMMANDS:
                continue
            for number, records in enumerate(topic.partitions):
                for record in records[self._read.get((topic.name, number), 0) :]:
                    self._read_one(record)
                self._read[topic.name, number] = len(records)

    def _read_one(self, record: Stored) -> None:
        headers = dict(record.headers)
        identity = headers.get("streamflow.dlq.id") if record.topic == DEAD_LETTERS else headers.get("ce_id")
        if (
            record.topic not in (DEAD_LETTERS, RUNS)
            and not record.topic.startswith("tasks.")
            and "ce_streamflowrun" not in headers
        ):
            return  # not ours
        copy = (record.topic, record.key, record.value, record.headers)
        if headers.get("streamflow.dlq.stage") == b"emit":
            self._read_given_up(record, headers)
        elif headers.get("streamflow.dlq.stage") == b"ingress":
            if self._copies.setdefault(identity or b"", copy) != copy:
                raise LawBroken("copies are identical", str(record))
        elif not any(copy in fold.sent for fold in self.folds):
            raise LawBroken("copies are identical", f"the log gives no {record}")
        elif record.topic == RUNS and copy not in self._seen:
            self._read_transition(record)
        self._seen.add(copy)
        if "ce_streamflowrun" in headers:
            self._published.add((record.topic, headers["ce_id"]))
            self._in_order.setdefault(copy, len(self._in_order))

    def _read_given_up(self, record: Stored, headers: dict[str, bytes]) -> None:
        """The dead letter of an event that its topic refused: the event as it would have been there."""
        topic = headers["streamflow.dlq.topic"].decode()
        own = tuple(header for header in record.headers if not header[0].startswith(("streamflow.dlq.", "__streams.")))
        if not any((topic, record.key, record.value, own) in fold.sent for fold in self.folds):
            raise LawBroken("copies are identical", f"no run emits {record}")
        self._given_up.add((topic, headers["ce_id"]))

    def _read_transition(self, record: Stored) -> None:
        transition = decode_transition(record.value or b"", record.headers)
        if transition.seq != 1 and transition.seq != self._last_seq.get(transition.run, 0) + 1:
            raise LawBroken("a reader sees no gap", f"{transition.run}/{transition.seq}")
        self._last_seq[transition.run] = transition.seq
        place = (transition.run, transition.step or "")
        if isinstance(transition.data, WaitStarted):
            self._due[place] = transition.data.due_ms or 0
        elif isinstance(transition.data, DelayStarted):
            self._due[place] = transition.data.until_ms
        elif isinstance(transition.data, WaitTimedOut | DelayElapsed) and transition.at_ms < self._due[place]:
            raise LawBroken("a timer is never early", str(transition))

    def _check_changelog(self, number: int, fold: Fold) -> None:
        changelog = self._log.changelogs[number]
        content = changelog.state()
        if content != fold.states[changelog.committed]:
            raise LawBroken(
                "the changelog alone is the fold up to the committed offset",
                differences(content, fold.states[changelog.committed]),
            )

    def _check_outbox(self, number: int, fold: Fold) -> None:
        """Of every event that a saved command emitted, one copy is in its topic, in the changelog's outbox, or among
        the dead letters."""
        kept = {
            unsent.id
            for key, change in self._log.changelogs[number].records.items()
            if key.startswith(OUTBOX) and change.value is not None
            for unsent in [msgspec.json.decode(change.value, type=Unsent)]
        }
        committed = self._log.changelogs[number].committed
        done = self._published | self._given_up
        for offset, event in fold.events:
            if offset >= committed:
                break
            headers = dict(event.headers)
            if headers["ce_id"].decode() not in kept and (event.topic, headers["ce_id"]) not in done:
                raise LawBroken("an emitted event is never lost", f"{event} of command {offset}")

    def _check_memory(self, partition: Partition, fold: Fold) -> None:
        memory = memory_of(partition)
        if partition.applied + 1 >= len(fold.states) or memory != fold.states[partition.applied + 1]:
            wanted = fold.states[partition.applied + 1] if partition.applied + 1 < len(fold.states) else {}
            raise LawBroken("memory is the fold up to the applied offset", differences(memory, wanted))
        counts = partition.overlay.own.counts
        if (
            counts.read != partition.applied + 1
            or counts.read != counts.applied + counts.rejected + counts.duplicate + counts.dead
        ):
            raise LawBroken("the counts add up", str(counts))

    def _check_store(self, number: int, store: MemoryStore) -> None:
        own = store.get(OWN)
        if own is not None and msgspec.json.decode(own)["applied"] >= self._log.changelogs[number].committed:
            raise LawBroken("the store is never ahead of the changelog", f"partition {number}")

    def _check_order(self, fold: Fold) -> None:
        """The first copies of events for one key of a topic came in the order in which they were emitted."""
        last: dict[tuple[str, bytes | None], int] = {}
        for _, event in fold.events:
            copy = (event.topic, event.key, event.value, event.headers)
            if copy not in self._in_order or (event.topic, dict(event.headers)["ce_id"]) in self._given_up:
                continue  # given up; after a crash it may be sent all the same
            place = self._in_order[copy]
            if place < last.get((event.topic, event.key), -1):
                raise LawBroken("emitted events keep their order", str(event))
            last[event.topic, event.key] = place

    def check_rest(self, started_once: Iterable[tuple[str, str, str]]) -> None:
        """`started_once`: (definition, key, event id) of events sent once, that start a run each."""
        self.check()
        results: Counter[tuple[str, str | None, int | None, int]] = Counter()
        have = {
            Outgoing(r.topic, r.partition, r.key, r.value, r.headers)
            for topic in self._log.topics.values()
            for r in topic.records()
        }
        for number, fold in enumerate(self.folds):
            for output in fold.outputs:
                if output not in have and (output.topic, dict(output.headers).get("ce_id")) not in self._given_up:
                    raise LawBroken("no output is lost", str(output))
            if armed := fold.armed_up_to(self._log.clock.now_ms):
                raise LawBroken("a timer is never lost", armed[0])
            if self._log.changelogs[number].committed != len(fold.states) - 1:
                raise LawBroken("nothing is stuck", f"partition {number}")
            if left := [key for key, change in self._log.changelogs[number].records.items() if _is_unsent(key, change)]:
                raise LawBroken("nothing is stuck", left[0])
            self._check_order(fold)
            check_deliveries(fold.states[-1])
            for key in fold.states[-1]:
                kind, _, rest = key.partition("/")
                run = rest.split("/")[1 if kind == "timer" else 0]
                if kind in ("out", "timer", "item", "list") and f"run/{run}" not in fold.states[-1]:
                    raise LawBroken("a run that has ended leaves nothing behind", key)
        done = {task.id for task in self._simulation.tasks.calls}
        for record in have:
            task = decode_task(record.value or b"") if record.topic.startswith("tasks.") else None
            if isinstance(task, Task) and task.id not in done and task.id not in self._simulation.tasks.cancelled:
                raise LawBroken("every task is done", task.id)
        for transition in self._simulation.transitions():
            if isinstance(transition.data, AttemptSucceeded | AttemptFailed) and transition.attempt:
                results[transition.run, transition.step, transition.data.item, transition.attempt] += 1
        if twice := [place for place, count in results.items() if count > 1]:
            raise LawBroken("an attempt has one result", str(twice[0]))
        starts: Counter[tuple[str, str, str]] = Counter()
        for transition in self._simulation.transitions():
            if isinstance(transition.data, RunStarted):
                starts[transition.definition, transition.key, transition.data.event.id] += 1
        for place in started_once:
            if starts[place] != 1:
                raise LawBroken("an event starts its run once", f"{place} started {starts[place]}")
