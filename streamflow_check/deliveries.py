"""The ledger of events: every delivery ends once, and every event is consumed once at most, by one run.

A delivery is a command `Deliver`. Its result is seen in `runs` (it started a run, or waits claimed it), in
`unclaimed`, in the dead letters, or in the mailbox that still keeps it. One of which nothing is seen must be a
duplicate of an earlier one."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from streamflow_check.commands import Command, Commands
from streamflow_check.dead_letters import Letters
from streamflow_check.promises import Report
from streamflow_check.records import Record
from streamflow_check.transitions import Chains

PROMISE = "events-accounted"


class Unclaimed(NamedTuple):
    """A record of `unclaimed`."""

    definition: str
    event: str
    outcome: str  # expired: it was kept before
    offset: int


class Mailboxes:
    """What the mailboxes of a partition keep."""

    def __init__(self, records: Mapping[str, bytes]) -> None:
        self.kept: dict[int, str] = {}  # offset of the delivery -> mailbox
        self.names: Counter[tuple[str, str]] = Counter()  # (definition, event)
        self.tallies: dict[str, dict[str, int]] = {}
        for key, value in records.items():
            kind, _, rest = key.partition("/")
            if kind == "box":
                for entry in json.loads(value)[1]:
                    self.kept[entry[0]] = rest
                    self.names[rest.partition("/")[0], entry[1]] += 1
            elif kind == "tally":
                self.tallies[rest] = json.loads(value)


def unclaimed_of(records: Iterable[Record], report: Report) -> dict[int, Unclaimed]:
    """The records of one partition of `unclaimed`, by the offset of the delivery. Copies are the same bytes."""
    found: dict[int, Unclaimed] = {}
    prints: dict[int, int] = {}
    for record in records:
        told = record.json()
        try:
            offset = told["offset"]
            one = Unclaimed(told["definition"], told["event"], told["outcome"], offset)
        except (TypeError, KeyError) as error:
            report.broken(PROMISE, f"{record.place} says nothing of an event: {error!r}")
            continue
        if prints.setdefault(offset, record.print()) != record.print():
            report.broken("identical-copies", f"{record.place} differs from its first copy")
        found[offset] = one
    return found


Consumed = dict[int, list[tuple[int, int, str]]]  # by identity: when, how long it is remembered, by which run


def consumed_once(consumed: Consumed, report: Report) -> None:
    """No event is consumed again while it is remembered."""
    for found in consumed.values():
        found.sort()
        report.looked("once-consumed")
        for (before_ms, window_ms, before), (at_ms, _, where) in pairwise(found):
            if at_ms - before_ms <= window_ms:
                report.broken("once-consumed", f"{where} consumes an event that {before} has consumed")


class Ledger:
    """The deliveries of one partition and the result of each."""

    def __init__(
        self,
        commands: Commands,
        chains: Chains,
        letters: Letters,
        unclaimed: Mapping[int, Unclaimed],
        state: Mapping[str, bytes],
        partition: int,
        applied: int,
    ) -> None:
        self._chains, self._unclaimed, self._partition = chains, unclaimed, partition
        self._boxes = Mailboxes(state)
        self._letters = {offset for number, offset in letters.engine if number == partition}
        self._deliveries = [
            command
            for _, copies in commands
            for command in copies
            if command.kind == "Deliver" and command.offset <= applied
        ]
        self._deliveries.sort(key=lambda command: command.offset)
        self.whole = commands.first == 0 == chains.first

    def judge(self, report: Report, window_ms: int) -> None:
        """Each delivery ends once; no event is consumed twice; the counts say the same."""
        if not self.whole:
            report.note(PROMISE, "some commands or transitions are no longer kept, so events were not accounted for")
            return
        endings: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        seen: set[int] = set()
        marks: dict[tuple[str, int], int] = {}
        for command in self._deliveries:
            topic_id, number, offset, committed = command.origin
            below = offset < marks.get((topic_id, number), 0)
            marks[topic_id, number] = max(committed, marks.get((topic_id, number), 0))
            if command.forwarded or command.is_copy:
                continue  # another partition has it, or this one has it already
            report.looked(PROMISE)
            ended = self._ended(command, report)
            if not ended and command.identity not in seen and not below:
                report.broken(PROMISE, f"{self._name(command)} was decided, but nothing tells of it")
            seen.add(command.identity)
            endings[command.definition, command.event_name][ended or "duplicate"] += 1
        consumed_once(self.consumed(window_ms), report)
        self._add_up(endings, report)

    def _name(self, command: Command) -> str:
        return f"delivery {command.id} of {command.event_name} at {self._partition}@{command.offset}"

    def _ended(self, command: Command, report: Report) -> str:
        offset = command.offset
        started, claimed = offset in self._chains.starts, offset in self._chains.claims
        unclaimed, letter = self._unclaimed.get(offset), offset in self._letters
        if unclaimed is not None and (started or claimed):
            report.broken(PROMISE, f"{self._name(command)} was consumed, and is unclaimed too")
        if offset in self._boxes.kept:
            if unclaimed is not None:
                report.broken(PROMISE, f"{self._name(command)} is kept, and is unclaimed too")
            return "kept"
        if started or claimed:
            return "started" if started else "claimed"
        if unclaimed is not None:
            return unclaimed.outcome
        return "dead" if letter else ""

    def consumed(self, window_ms: int) -> Consumed:
        """Who has consumed each event, by its identity."""
        found: Consumed = defaultdict(list)
        deliveries = {command.offset: command for command in self._deliveries}
        for offset, taken in self._chains.originals.items():
            if (command := deliveries.get(offset)) is not None:
                window = command.window_ms or window_ms
                found[command.identity].extend((at_ms, window, where) for at_ms, where in taken)
        return found

    def _add_up(self, endings: Mapping[tuple[str, str], Counter[str]], report: Report) -> None:
        """The counts of the partition against what can be seen."""
        for (definition, event), seen in sorted(endings.items()):
            tally = self._boxes.tallies.get(definition, {})
            counted: Counter[str] = Counter()
            for name, count in tally.items():
                if name.startswith(f"{event}/"):
                    counted[name.removeprefix(f"{event}/").partition("/")[0]] += count
            where = f"partition {self._partition}, {definition}, {event}"
            delivered = counted.pop("delivered", 0)
            kept = self._boxes.names[definition, event]
            total = sum(counted.values()) + kept
            report.hold(
                PROMISE, delivered == total, f"{where}: {delivered} delivered, but outcomes and kept are {total}"
            )
            counted["dead"] = seen["dead"]  # those of before the mailbox are no outcomes of it
            counted.pop("overflow", 0)
            counted["kept"] = kept
            wrong = {name: (counted[name], seen[name]) for name in {*counted, *seen} if counted[name] != seen[name]}
            report.hold(PROMISE, not wrong, f"{where}: counted and seen differ: {wrong}")
