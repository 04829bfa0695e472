"""A whole Streamflow in memory: the same plans, matching, decisions and state as in production, in virtual time and
without a broker.

    simulation = Simulation()
    simulation.publish(definition, catalog)
    simulation.send("order.placed", {"id": "o1"}, key="o1")
    simulation.advance("1d")
    simulation.history(simulation.runs()[0])

What takes part is at hand (`log`, `ingress`, `workers`), so that tests may drive it step by step and break it in
between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.definition.duration import parse_ms
from streamflow.definition.model import Definition
from streamflow.engine.builder import Limits
from streamflow.engine.commands import (
    AdvanceWatermark,
    CancelRun,
    Command,
    Decide,
    DefinitionRef,
    Event,
    FailRun,
    OpenGeneration,
    RetryStep,
    SkipStep,
    StartRun,
)
from streamflow.engine.effects import PrintLine, Unclaimed
from streamflow.engine.mailbox.records import tally_key
from streamflow.engine.record_keys import run_key
from streamflow.engine.state import PartitionState, RunState
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.ids import command_place, partition_of, partition_of_run, run_id
from streamflow.simulation.clock import START_MS, Clock
from streamflow.simulation.definitions import Definitions, Reader
from streamflow.simulation.ingress import Ingress
from streamflow.simulation.log import COMMANDS, DEAD_LETTERS, RUNS, UNCLAIMED, Log, Outgoing, Stored
from streamflow.simulation.tasks import Function, Tasks
from streamflow.simulation.worker import Partition, Worker
from streamflow.wire.codec import encode_command
from streamflow.wire.event_record import Stamp, event_record
from streamflow.wire.transitions import decode_transition
from streamflow.wire.unclaimed import decode_unclaimed

TOMBSTONE_RETENTION_MS = 86_400_000
EVENT_BYTES = 512_000  # of the payload of one event: the default of the settings
_NO_HEADERS: Mapping[str, str] = {}
MAX_ROUNDS = 10_000  # of `run_until_quiet`: more is a definition that feeds itself


class Simulation:
    """One installation. `partitions` are those of `commands`, `source_partitions` those of the users' topics.
    `operations` are functions that do what is called, by name (see `tasks`)."""

    def __init__(
        self,
        *,
        partitions: int = 1,
        source_partitions: int = 1,
        workers: Sequence[str] = ("worker",),
        limits: Limits | None = None,
        event_bytes: int = EVENT_BYTES,
        now_ms: int = START_MS,
        partition: Callable[[int, Worker], Partition] = Partition,
        operations: Mapping[str, Function] | None = None,
    ) -> None:
        self.clock = Clock(now_ms)
        self.log = Log(self.clock, partitions, source_partitions)
        self.definitions = Definitions()
        self.tasks = Tasks(self.log, operations or {})
        self.limits = limits or Limits()
        self.ingress = Ingress(self.log, event_bytes=event_bytes, record_bytes=self.limits.record_bytes)
        self.printed: list[PrintLine] = []
        self.workers = {
            name: Worker(
                name,
                self.log,
                Reader(self.definitions),
                self.limits,
                tombstone_retention_ms=TOMBSTONE_RETENTION_MS,
                printed=self.printed.append,
                partition=partition,
            )
            for name in workers
        }
        names = list(self.workers)
        self.owners = {number: names[number % len(names)] for number in range(partitions)}
        self._specs: dict[str, EventSpec] = {}
        self._sent = 0

    # -- what people and their systems do

    def publish(self, definition: Definition, catalog: Catalog) -> str:
        """Publish a version, served from now on; its sha256. Raises ValueError if the version is there with other
        content."""
        sha = self.definitions.publish(definition, catalog, self.clock.now_ms)
        self._specs.update({spec.name: spec for spec in catalog.events})
        self.ingress.serve(self.definitions.published())
        return sha

    def send(
        self,
        event: str,
        data: Any,
        *,
        key: str | None = None,
        id: str | None = None,
        time_ms: int | None = None,
        topic: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Stored:
        """Produce an event of the catalog, as a CloudEvent, to `topic` (its first one). `time_ms` is its source time
        (now), `id` its own (a new one); `headers` go before what else the record would say. Without a `key` the catalog
        says where it is.

        Raises Rejected (`payload_no_object`)."""
        spec = self._specs[event]
        self._sent += 1
        stamp = Stamp(
            id=id or f"event-{self._sent}",
            time_ms=self.clock.now_ms if time_ms is None else time_ms,
            is_cloudevent=True,
            headers=headers,
            number=None if id else self._sent,
        )
        record = event_record(spec, data, key, stamp)
        return self.produce(topic or spec.topics[0], record.value, key=record.key, headers=record.headers)

    def produce(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> Stored:
        """Append a record to a user's topic, as it is."""
        partitions = len(self.log.topic(topic).partitions)
        number = partition_of(key.decode(errors="replace"), partitions) if key is not None else 0
        return self.log.append(Outgoing(topic, number, key, value, headers))

    def start(self, definition: str, data: Any, *, key: str, id: str) -> str:
        """Ask for a run of the newest version of `definition`, as a caller of the API does; the id that the run will
        have, unless it was asked for under this id before."""
        live = next(found for found in self.definitions.published() if found.plan.name == definition and found.newest)
        event = Event(name="", id=id, time_ms=self.clock.now_ms, data=data)
        command = StartRun(
            id=f"start/{id}", definition=definition, key=key, start=DefinitionRef(live.plan.sha, live.at), event=event
        )
        return self.run_of(self.append(command), definition, key)

    def run_of(self, start: Stored, definition: str, key: str) -> str:
        """The id of the run that a start command starts."""
        place = command_place(self.log.topics[COMMANDS].id, start.partition, start.offset)
        return run_id(self.limits.environment, definition, key, place)

    def cancel(self, run: str, reason: str = "") -> None:
        self.append(CancelRun(f"cancel/{run}", run, reason))

    def retry(self, run: str, step: str) -> None:
        self.append(RetryStep(f"retry/{run}/{step}", run, step))

    def skip(self, run: str, step: str) -> None:
        self.append(SkipStep(f"skip/{run}/{step}", run, step))

    def decide(self, run: str, step: str, decision: Literal["approved", "rejected"], by: str, data: Any = None) -> None:
        """Answer an approval."""
        self.append(Decide(id=f"decide/{run}/{step}", run=run, address=step, decision=decision, by=by, data=data))

    def fail(self, run: str, reason: str = "") -> None:
        self.append(FailRun(f"fail/{run}", run, reason))

    def append(self, command: Command) -> Stored:
        """Append a command where it belongs, a watermark to every partition."""
        value = encode_command(command)
        if isinstance(command, AdvanceWatermark):
            places = range(self.log.partitions)
            return [self.log.append(Outgoing(COMMANDS, number, b"", value)) for number in places][-1]
        key = getattr(command, "key", None)
        if key is not None:
            number = partition_of(key, self.log.partitions)
        else:
            number = partition_of_run(command.run, self.log.partitions)  # type: ignore[union-attr]
        return self.log.append(Outgoing(COMMANDS, number, (key or "").encode(), value))

    def grow(self, partitions: int, *, opens: bool = True) -> None:
        """Add a generation of `partitions` partitions, a multiple of the newest one's: what is not under way moves
        there. Without `opens` the growth is broken off when the partitions are there."""
        names = list(self.workers)
        self.log.grow(partitions)
        opened = self.log.generations[-1][0]
        self.owners |= {number: names[number % len(names)] for number in range(opened, self.log.total)}
        if opens:
            self.open_generations()

    def open_generations(self) -> None:
        """Have each generation forward to the next one, as a growth that is repeated does."""
        for (first, before), (opened, partitions) in pairwise(self.log.generations):
            command = OpenGeneration(
                id=f"generation/{opened}", first=opened, partitions=partitions, before_first=first, before=before
            )
            for number in range(first, first + before):
                self.log.append(Outgoing(COMMANDS, number, b"", encode_command(command)))

    # -- time

    def advance(self, duration: str) -> None:
        """Let `duration` (`30s`, `1d`) pass; everything that falls due on the way happens at its time."""
        until = self.clock.now_ms + parse_ms(duration)
        self.run_until_quiet()
        while (due := self.next_timer_ms()) is not None and due <= until:
            self.clock.move_to(max(due, self.clock.now_ms))
            self.run_until_quiet()
        self.clock.move_to(until)
        self.run_until_quiet()

    def run_until_quiet(self) -> None:
        """Do all there is to do at this time, checkpoints included. Raises RuntimeError when it does not end."""
        for _ in range(MAX_ROUNDS):
            busy = self.ingress.read()
            self.ingress.commit()
            busy += self.ingress.advance_watermarks()
            for partition in self.open_partitions():
                partition.worker.definitions.catch_up()
                busy += partition.take(partition.fetch())
                partition.fire()
                busy += partition.send() + partition.publish()
            busy += self.tasks.work()
            if not busy and self.checkpoint() and all(partition.has_read for partition in self.open_partitions()):
                return
        raise RuntimeError(
            f"expected an end within {MAX_ROUNDS} rounds but there is more to do. Look for a definition that starts "
            "itself."
        )

    def checkpoint(self) -> bool:
        """A whole checkpoint of every partition that changed. False if one was fenced: it is closed, and has to be
        opened again."""
        for partition in self.open_partitions():
            partition.send()
            partition.publish()
            try:
                while partition.checkpoint_further():
                    pass
            except OperationError as error:
                if error.code != "fenced":
                    raise
                return False
        return True

    def open_partitions(self) -> list[Partition]:
        """The partition of every owner, opened if it is not."""
        found = []
        for number, name in self.owners.items():
            worker = self.workers[name]
            partition = worker.partitions.get(number)
            if partition is None or partition.closed:
                partition = worker.begin(number)
            while not partition.open:
                partition.open_further()
            found.append(partition)
        return found

    def assign(self, number: int, worker: str) -> None:
        """The group gives partition `number` to `worker`, which opens it again. Another that had it goes on until it
        notices."""
        self.workers[worker].crash(number)
        self.owners[number] = worker

    def next_timer_ms(self) -> int | None:
        """When the next timer is due, in epoch milliseconds; None: there is none."""
        times = [
            due - partition.worker.fast_ms
            for partition in self.open_partitions()
            if (due := partition.next_timer_ms()) is not None
        ]
        return min(times, default=None)

    # -- what there is to see

    def transitions(self) -> list[Transition]:
        """All transitions as a reader of `runs` has them: the first of each `seq`, run by run in the order of their
        starts."""
        seen: dict[str, dict[int, Transition]] = {}
        for record in self.log.topics[RUNS].records():
            transition = decode_transition(record.value or b"", record.headers)
            seen.setdefault(transition.run, {}).setdefault(transition.seq, transition)
        return [transition for run in seen.values() for transition in run.values()]

    def history(self, run: str) -> list[Transition]:
        """The transitions of one run."""
        return [transition for transition in self.transitions() if transition.run == run]

    def runs(self) -> list[str]:
        """Ids of all runs that ever started."""
        return list(dict.fromkeys(transition.run for transition in self.transitions()))

    def head(self, run: str) -> RunState | None:
        """The head of an open run, or None."""
        number = partition_of_run(run, self.log.partitions)
        opened = self.open_partitions()
        places = range(number, self.log.total, self.log.partitions)  # one of each generation is among them
        heads: list[RunState | None] = [opened[place].overlay.get(run_key(run)) for place in places]
        return next((head for head in heads if head is not None), None)

    def own(self, number: int = 0) -> PartitionState:
        """The own record of a partition: counts, time, watermarks."""
        return self.open_partitions()[number].overlay.own

    def published_events(self, topic: str) -> list[Stored]:
        """The records of a user's topic."""
        return self.log.topic(topic).records()

    def unclaimed(self) -> list[Unclaimed]:
        """The events that no run took."""
        return [
            decode_unclaimed(record.value or b"", record.headers) for record in self.log.topics[UNCLAIMED].records()
        ]

    def deliveries(self, definition: str) -> Counter[str]:
        """How deliveries to a definition ended: counts by `<event>/<outcome>`, with `/<reason>` where there is one."""
        counts: Counter[str] = Counter()
        for partition in self.open_partitions():
            counts.update(partition.overlay.get(tally_key(definition)) or {})
        return counts

    def dead_letters(self) -> list[dict[str, str]]:
        """The dead letters and rejections, each as its headers without their prefix (`reason`, `message`, `code`,
        ...)."""
        prefix = "streamflow.dlq."
        letters = self.log.topics[DEAD_LETTERS].records()
        return [
            {name.removeprefix(prefix): text.decode() for name, text in letter.headers if name.startswith(prefix)}
            for letter in letters
        ]
