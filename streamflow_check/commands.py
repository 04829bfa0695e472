"""The commands of one partition: by id, each with the partition's time at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from streamflow_check.dead_letters import Letters
from streamflow_check.promises import Report
from streamflow_check.records import Record
from streamflow_check.run_history import Attempt

RESULTS = frozenset({"CompleteAttempt", "FailAttempt"})
REQUESTS = frozenset({"CancelRun", "FailRun", "RetryStep", "SkipStep"})
# of these a further copy may do what is left to do, at the same time too
REPEATABLE = frozenset({"Continue", "ContinueDelivery", "RetryStep", "SkipStep"})
UNREADABLE = ""
_ORIGIN = ("topic_id", "partition", "offset", "committed")
FORWARDED = "forwarded"  # the header of a command that another partition forwarded
OWN = ("timer/", "child/", "ended/", "deliveries/")  # ids of commands that the engine sends to itself


class Command(NamedTuple):
    """What the checker keeps of a command. `now_ms` is the partition's time at it: the latest broker time so far."""

    id: str
    kind: str
    offset: int
    now_ms: int
    definition: str = ""
    key: str = ""
    event: str = ""
    sha: str = ""
    revision: str = ""
    event_name: str = ""
    identity: int = 0  # of the event in its mailbox: name, source and id
    origin: tuple[str, int, int, int] = ("", 0, 0, 0)  # topic id, partition, offset, committed
    window_ms: int = 0  # how long its event is remembered; 0: as the settings say
    run: str = ""
    attempt: Attempt | None = None
    due_ms: int = 0
    child: bool = False
    by_parent: bool = False  # a cancellation that a parent run asked for
    print: int = 0  # of what the engine itself sent: its copies are identical
    forwarded: bool = False  # whether its partition has forwarded it to another one
    is_copy: bool = False  # whether it was forwarded to this partition before


class Origins:
    """The source records of which commands were made: offsets by topic id and partition, over all partitions of
    `commands`."""

    def __init__(self) -> None:
        self.offsets: dict[tuple[str, int], set[int]] = {}

    def add(self, origin: Mapping[str, Any]) -> None:
        self.offsets.setdefault((origin["topic_id"], origin["partition"]), set()).add(origin["offset"])


class Forwards:
    """Where forwarded commands come from, by partition and offset, with the print of what was forwarded. Partitions
    forward to later ones only, so those are read before."""

    def __init__(self) -> None:
        self._prints: dict[tuple[int, int], int] = {}

    def __bool__(self) -> bool:
        return bool(self._prints)

    def __contains__(self, place: tuple[int, int]) -> bool:
        return place in self._prints

    def add(self, record: Record, report: Report) -> int:
        """Notes a forwarded record; the offset of the one that it is a copy of, -1 for a record that is none."""
        told = record.header(FORWARDED)
        if not told:
            return -1
        try:
            partition, offset = map(int, told.split("/")[:2])
        except ValueError:
            report.broken("one-outcome", f"{record.place} says that it is forwarded from {told[:80]!r}")
            return -1
        report.looked("identical-copies")
        known = self._prints.setdefault((partition, offset), _content(record))
        # a watermark goes to several partitions, and is the same in each
        if known != _content(record):
            report.broken(
                "identical-copies", f"{record.place} differs from another copy of commands/{partition}@{offset}"
            )
        return offset

    def compare(self, record: Record, kind: str, report: Report) -> bool:
        """Whether `record` was forwarded; what arrived must be what it holds. An erasure is not the same: what was
        erased here is counted in it."""
        known = self._prints.get((record.partition, record.offset))
        if known is not None and kind != "EraseKey" and known != _content(record):
            report.broken("identical-copies", f"{record.place} was forwarded as something else")
        return known is not None


def _content(record: Record) -> int:
    return hash((record.key, record.value)) or 1


class Commands:
    """All commands of a partition. `first` is where the topic begins: below it causes cannot be known. `last` is the
    last record's offset."""

    def __init__(self, first: int, forwards: Forwards) -> None:
        self._forwards = forwards
        self._forwarded_to = -1  # the highest offset of what was forwarded to this partition
        self.first = first
        self.last = first - 1
        self.count = 0
        self.now_ms = 0
        self.kinds: Counter[str] = Counter()
        self._by_id: dict[str, Command | list[Command]] = {}
        self.offsets: list[int] = []

    def take(self, record: Record, letters: Letters, origins: Origins, report: Report) -> None:
        self.now_ms = max(self.now_ms, record.at_ms)
        self.count += 1
        self.last = record.offset
        self.offsets.append(record.offset)
        command = parsed(record, self.now_ms, origins)
        if command.id.startswith(OWN):
            command = command._replace(print=_content(record))
        source = self._forwards.add(record, report)
        command = command._replace(
            forwarded=self._forwards.compare(record, command.kind, report), is_copy=0 <= source <= self._forwarded_to
        )
        self._forwarded_to = max(self._forwarded_to, source)
        self.kinds[command.kind] += 1
        letter = letters.engine.get((record.partition, record.offset))
        if letter is not None:
            report.looked("dead-letters-whole")
            if not letter.cut and letter.value != record.value:
                report.broken(
                    "dead-letters-whole",
                    f"{record.place}: its dead letter ({letter.reason}) holds other bytes than the command",
                )
        before = self._by_id.get(command.id)
        if before is not None and command.print:
            report.looked("identical-copies")
            if (before[0] if isinstance(before, list) else before).print != command.print:
                report.broken("identical-copies", f"command {command.id} at {record.place} differs from its first copy")
        if before is None:
            self._by_id[command.id] = command
        elif isinstance(before, list):
            before.append(command)
        else:
            self._by_id[command.id] = [before, command]

    def of(self, id_: str) -> list[Command]:
        """All records of a command, in order."""
        found = self._by_id.get(id_)
        return [] if found is None else found if isinstance(found, list) else [found]

    def __iter__(self) -> Iterator[tuple[str, list[Command]]]:
        for id_, found in self._by_id.items():
            yield id_, found if isinstance(found, list) else [found]

    def up_to(self, offset: int) -> int:
        """How many records lie at or below `offset`."""
        if offset >= self.last:
            return self.count
        return sum(1 for known in self.offsets if known <= offset)


def parsed(record: Record, now_ms: int, origins: Origins) -> Command:
    """The command in a record; one of the kind UNREADABLE if there is none."""
    told = record.json()
    try:
        kind, id_ = told["kind"], told["id"]
        if (origin := told.get("origin")) is not None:
            origins.add(origin)
        if kind in ("StartRun", "Deliver"):
            start, event = told.get("start") or {}, told["event"]
            name, source = event["name"], event.get("source", "")
            return Command(
                id_,
                kind,
                record.offset,
                now_ms,
                told["definition"],
                told["key"],
                event["id"],
                start.get("sha256", ""),
                start.get("engine_revision", ""),
                name,
                hash((told["definition"], told["key"], name, source, event["id"])),
                tuple(origin[part] for part in _ORIGIN) if origin is not None else ("", 0, 0, 0),
                window_ms=told.get("window_ms", 0),
                child=told.get("parent") is not None,
            )
        if kind in RESULTS or kind == "SuspendAttempt":
            attempt = Attempt(told["address"], told.get("item"), told["attempt"])
            return Command(id_, kind, record.offset, now_ms, run=told["run"], attempt=attempt)
        run, due_ms, by_parent = told.get("run", ""), told.get("due_ms", 0), told.get("by_parent", False)
        return Command(id_, kind, record.offset, now_ms, run=run, due_ms=due_ms, by_parent=by_parent)
    except (TypeError, KeyError, AttributeError):
        return Command(f"@{record.offset}", UNREADABLE, record.offset, now_ms)


def read(
    records: Iterable[Record], first: int, letters: Letters, origins: Origins, forwards: Forwards, report: Report
) -> Commands:
    """The commands of one partition."""
    found = Commands(first, forwards)
    for record in records:
        found.take(record, letters, origins, report)
    return found
