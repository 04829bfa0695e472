"""The laws, checked after every command from commands and facts alone. It looks at no record, except for whether a
Continue is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.model.mailbox.words import (
    ENTRIES,
    LONGEST,
    OPEN_RUNS,
    Act,
    Broken,
    Command,
    Definition,
    Deliver,
    Fact,
    Mailbox,
    Wait,
)

Identity = tuple[object, ...]


@dataclass(slots=True)
class Delivery:
    """A delivery that has not ended: it is being decided, or kept."""

    offset: int
    at: int
    command: Deliver
    identity: Identity
    keep: dict[str, int]  # by `take`
    open_before: int  # how many runs were open when it came
    original_taken: bool = False
    claims: int = 0
    started: bool = False
    duplicate: bool = False


@dataclass(slots=True)
class OpenRun:
    """An open run, as its facts tell."""

    definition: str
    key: str
    version: int
    start: int
    at: int
    tag: int
    stopping: bool = False
    waits: dict[int, tuple[int, int, int | None]] = field(default_factory=dict)  # begun: (offset, time, limit)
    begun: set[int] = field(default_factory=set)  # also those that have ended
    took: dict[Identity, tuple[int, int]] = field(default_factory=dict)  # (time, delivery)

    @property
    def box(self) -> Mailbox:
        return self.definition, self.key


class Spec:
    """The state that facts tell of, and the laws about it."""

    def __init__(self, definitions: Mapping[str, Definition]) -> None:
        self.definitions = definitions
        self.runs: dict[str, OpenRun] = {}  # in the order of their starts
        self.kept: dict[Mailbox, dict[int, Delivery]] = {}
        # delivery, the time until which it is remembered at least, its time, by whom
        self.used: dict[tuple[Mailbox, Identity], tuple[int, int, int, tuple[str, ...]]] = {}
        self.ended: dict[Mailbox, Counter[str]] = {}  # outcomes
        self.delivered: Counter[Mailbox] = Counter()
        self.known: set[tuple[Mailbox, Identity, tuple[int, int]]] = set()  # source records that were delivered
        self.marks: Counter[int] = Counter()  # by source partition: what ingress had committed, as deliveries say
        self.now = 0

    # -- one command

    def check(
        self, offset: int, at: int, command: Command, facts: list[Fact], committed: list[int], continue_due: bool
    ) -> None:
        """Take in what a command gave. Raises Broken."""
        self.now = max(self.now, at)
        arrived = self._arrive(offset, command) if isinstance(command, Deliver) else None
        for kind, *args in facts:
            if kind == "final":
                entry, outcome, reason = args
                self._final(offset, entry, outcome, reason, committed)
            else:
                getattr(self, f"_{kind}")(offset, *args)
        box = command.box
        if arrived is not None:
            self._require_start(arrived)
            assert isinstance(command, Deliver)
            partition, source_offset, ingress_committed = command.origin
            if source_offset < self.marks[partition] and not arrived.duplicate:
                raise Broken("a record below the mark of its source is no duplicate")
            self.marks[partition] = max(self.marks[partition], ingress_committed)
            self.known.add((box, arrived.identity, command.origin[:2]))
            if offset in self.kept[box]:
                self._require_fresh(arrived, box)
        elif isinstance(command, Act) and (command.kind == "tick" or box not in self.kept):
            return
        if len(self.kept[box]) > ENTRIES:
            raise Broken("a mailbox keeps more than its bound")
        if sum(self.ended.get(box, Counter()).values()) + len(self.kept[box]) != self.delivered[box]:
            raise Broken("the sums of a key do not add up")
        if not continue_due and any(
            self._clause(delivery, run, wait) is not None
            for delivery in self.kept[box].values()
            for run in self._open(box)
            for wait in run.waits
        ):
            raise Broken("an event is kept beside a wait that would take it")

    def _arrive(self, offset: int, command: Deliver) -> Delivery:
        box, event = command.box, command.event
        identity: Identity = (
            (event.name, command.origin[:2]) if event.id is None else (event.name, event.source, event.id)
        )
        keep = {"one": command.keep, "every": command.copies}
        for run in self._open(box):
            for wait in self._plan(run):
                if any(name == event.name for name, _ in wait.clauses):
                    keep[wait.take] = max(keep[wait.take], wait.keep)
        arrived = Delivery(offset, self.now, command, identity, keep, len(list(self._open(box))))
        self.kept.setdefault(box, {})[offset] = arrived
        self.delivered[box] += 1
        return arrived

    def _require_start(self, arrived: Delivery) -> None:
        policy = self.definitions[arrived.command.definition].policy
        allowed = arrived.open_before < OPEN_RUNS and (policy == "many" or not arrived.open_before)
        if arrived.started != (arrived.command.start is not None and not arrived.duplicate and allowed):
            raise Broken("a start is missing, or one too many")

    def _require_fresh(self, delivery: Delivery, box: Mailbox) -> None:
        entry, until, at, runs = self.used.get((box, delivery.identity), (delivery.offset, 0, 0, ()))
        remembered = self.now <= until or (self.now - at < LONGEST and any(run in self.runs for run in runs))
        same = any(
            other.identity == delivery.identity and other.offset < delivery.offset for other in self.kept[box].values()
        )
        if same or (entry != delivery.offset and remembered):
            raise Broken("a duplicate is not noticed")

    # -- facts

    def _start(self, offset: int, name: str) -> None:
        delivery = next(found for box in self.kept.values() for found in box.values() if found.offset == offset)
        command = delivery.command
        self._consume(delivery, command.box, name, is_copy=False)
        assert command.start is not None
        self.runs[name] = OpenRun(
            command.definition, command.key, command.start, offset, self.now, command.event.data % 2
        )
        delivery.started = True

    def _claim(self, offset: int, entry: int, name: str, wait: int, clause: int, take: str) -> None:
        run = self.runs.get(name)
        if run is None or run.stopping:
            raise Broken("a run that stops, or has ended, claims")
        delivery = self.kept[run.box].get(entry)
        if delivery is None or wait not in run.waits or self._clause(delivery, run, wait) != clause:
            raise Broken("a claim that the wait does not allow")
        if any(self._clause(delivery, run, other) is not None for other in run.waits if other < wait):
            raise Broken("not the first wait in plan order")
        if any(
            older.offset < entry and self._clause(older, run, wait) is not None for older in self.kept[run.box].values()
        ):
            raise Broken("not the oldest event")
        if take == "one" and any(
            self._clause(delivery, older, other) is not None
            for older in self._open(run.box)
            if older.start < run.start
            for other in older.waits
        ):
            raise Broken("not the oldest run")
        self._consume(delivery, run.box, name, is_copy=take == "every")
        delivery.claims += 1
        run.took[delivery.identity] = (self.now, entry)
        del run.waits[wait]

    def _consume(self, delivery: Delivery, box: Mailbox, run: str, *, is_copy: bool) -> None:
        entry, until, at, runs = self.used.get((box, delivery.identity), (delivery.offset, 0, 0, ()))
        held = any(name in self.runs for name in runs) and self.now - at < LONGEST
        if entry != delivery.offset and (held or self.now <= until):
            raise Broken("an event is consumed again, in another delivery")
        if not is_copy and delivery.original_taken:
            raise Broken("an original is consumed twice")
        delivery.original_taken = delivery.original_taken or not is_copy
        before = runs if entry == delivery.offset else ()
        until = self.now + delivery.command.window
        self.used[box, delivery.identity] = (delivery.offset, until, self.now, (*before, run))

    def _final(self, offset: int, entry: int, outcome: str, reason: str, committed: list[int]) -> None:
        box, delivery = next((box, found[entry]) for box, found in self.kept.items() if entry in found)
        others = [other for other in self.kept[box].values() if other is not delivery]
        at_once = offset == entry
        delivery.duplicate = outcome == "duplicate"
        if delivery.duplicate:
            self._require_duplicate(delivery, box, reason, committed, others)
        else:
            self._require_fresh(delivery, box)
            if (outcome == "started") != delivery.started:
                raise Broken("a wrong outcome")
            if (outcome == "claimed") != (delivery.claims > 0 and not delivery.started):
                raise Broken("a wrong outcome")
            if outcome == "expired" if at_once else outcome in ("unclaimed", "refused", "overflow"):
                raise Broken("a wrong outcome")
            if outcome == "overflow" and len(others) < ENTRIES:
                raise Broken("a wrong outcome")
            excused = at_once and len(others) >= ENTRIES and outcome != "unclaimed"
            if not excused and self._is_useful(delivery, box):
                raise Broken("what is kept is lost before its time")
        self.ended.setdefault(box, Counter())[outcome] += 1
        del self.kept[box][entry]

    def _require_duplicate(
        self, delivery: Delivery, box: Mailbox, reason: str, committed: list[int], others: list[Delivery]
    ) -> None:
        partition, offset, _ = delivery.command.origin
        is_so = {
            "source": offset < committed[partition],
            "record": (box, delivery.identity, (partition, offset)) in self.known,
            "seen": (box, delivery.identity) in self.used
            or any(other.identity == delivery.identity for other in others),
        }
        if not is_so[reason] or delivery.claims or delivery.started:
            raise Broken(f"no duplicate ({reason})")

    def _begin(self, offset: int, name: str, wait: int, since: int, at: int, limit: int | None) -> None:
        self.runs[name].waits[wait] = (since, at, limit)
        self.runs[name].begun.add(wait)

    def _fire(self, offset: int, name: str, wait: int) -> None:
        del self.runs[name].waits[wait]

    def _cancel(self, offset: int, name: str) -> None:
        self.runs[name].stopping = True

    def _end(self, offset: int, name: str) -> None:
        del self.runs[name]

    def _move(self, offset: int, name: str, version: int) -> None:
        run = self.runs[name]
        count = len(self.definitions[run.definition].plans[version])
        run.version = version
        run.waits = {wait: since for wait, since in run.waits.items() if wait < count}
        run.begun = {wait for wait in run.begun if wait < count}

    # -- what the laws say of a delivery

    def _open(self, box: Mailbox) -> Iterator[OpenRun]:
        return (run for run in self.runs.values() if run.box == box)

    def _plan(self, run: OpenRun) -> tuple[Wait, ...]:
        return self.definitions[run.definition].plans[run.version]

    def _clause(self, delivery: Delivery, run: OpenRun, index: int) -> int | None:
        """The clause of a begun wait that accepts a delivery."""
        wait, (since, at, limit) = self._plan(run)[index], run.waits[index]
        if wait.since == "run":
            since, at = run.start, run.at
        took_at, entry = run.took.get(delivery.identity, (-LONGEST, None))
        if run.stopping or entry == delivery.offset or self.now - took_at < LONGEST or delivery.offset == run.start:
            return None
        if wait.take == "one" and delivery.original_taken:
            return None
        if not (delivery.offset > since or (wait.keep and delivery.at + wait.keep >= at)):
            return None
        event = delivery.command.event
        if limit is not None and event.at > limit:
            return None
        for number, (name, where) in enumerate(wait.clauses):
            if name == event.name and (where is None or event.data == run.tag):
                return number
        return None

    def _is_useful(self, delivery: Delivery, box: Mailbox) -> bool:
        """Whether its keep lasts, or an open run has a wait for it that may still begin."""
        keep, name = delivery.keep, delivery.command.event.name
        if keep["every"] and self.now <= delivery.at + keep["every"]:
            return True
        if keep["one"] and not delivery.original_taken and self.now <= delivery.at + keep["one"]:
            return True
        for run in self._open(box):
            if run.stopping or delivery.identity in run.took or delivery.offset == run.start:
                continue
            for index, wait in enumerate(self._plan(run)):
                if wait.since != "run" or (index in run.begun and not wait.loop):
                    continue
                if not any(event == name for event, _ in wait.clauses) or (
                    delivery.original_taken and wait.take == "one"
                ):
                    continue
                if delivery.offset > run.start or (wait.keep and delivery.at + wait.keep >= run.at):
                    return True
        return False
