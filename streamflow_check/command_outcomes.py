"""Every command has exactly one outcome, and the stored counters agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow_check.commands import REPEATABLE, REQUESTS, RESULTS, UNREADABLE, Command, Commands
from streamflow_check.dead_letters import Letters
from streamflow_check.promises import Report
from streamflow_check.transitions import Chains

_UNSEEN = ("Deliver", "ContinueDelivery", "EraseKey", "OpenGeneration")  # what may be applied without a transition
OUTCOMES = ("applied", "rejected", "duplicate", "dead")


class Account:
    """The commands of one partition with what can be seen of each: `caused` transitions, a letter, neither."""

    def __init__(
        self, commands: Commands, chains: Chains, letters: Letters, partition: int, own: Mapping[str, Any]
    ) -> None:
        self._commands, self._chains, self._own = commands, chains, own
        self._applied: int = own.get("applied", -1)
        self._partition = partition
        self._letters = {offset: letter for (number, offset), letter in letters.engine.items() if number == partition}
        self.refused: list[str] = []  # starts of child runs: their parents must have been told
        self.unseen = 0  # what may have been applied without a transition: kept events, and Continues of deliveries

    def outcomes(self, report: Report) -> None:
        """Every decided command has an outcome that can be seen, or is of a kind that is only counted."""
        if self._chains.first > 0:
            report.note(
                "one-outcome", "some transitions are no longer kept, so what became of old commands was not looked for"
            )
            return
        for id_, copies in self._commands:
            decided = [command for command in copies if command.offset <= self._applied]
            if not decided:
                continue
            report.looked("one-outcome", len(decided))
            if id_ in self._chains.caused or any(command.offset in self._letters for command in decided):
                continue
            decided = [command for command in decided if not (command.forwarded or command.is_copy)]
            if not decided:
                continue
            first = decided[0]
            self.unseen += len(decided) if first.kind in _UNSEEN else 0
            if self._seen(first):
                continue
            if first.child:
                self.refused.append(id_)
            else:
                what = f"{first.kind or 'an unreadable record'} {id_} at {self._partition}@{first.offset}"
                report.broken(
                    "one-outcome",
                    f"{what} was decided, but nothing tells of it: no transition, no dead letter, no earlier copy",
                )

    def _seen(self, command: Command) -> bool:
        kind, chains = command.kind, self._chains
        if kind == "StartRun":
            return hash((command.definition, command.key, command.event)) in chains.known
        if kind in REQUESTS or kind == UNREADABLE:
            return command.by_parent  # refused without an answer: the parent waits for the child's end alone
        if kind in RESULTS:
            run = chains.runs.get(command.run)
            if run is None or run.ended or command.attempt is None:
                return True
            step = run.steps.get(command.attempt.step)
            numbers = [asked.number for asked in run.asked if asked[:2] == command.attempt[:2]]
            waits = step is not None and step.status in ("calling", "suspended") and command.attempt.item is None
            return not (
                waits and numbers and command.attempt.number == max(numbers) and command.attempt not in run.results
            )
        return True

    def add_up(self, report: Report) -> None:
        """The partition's own record against what its topics hold."""
        counts, where = self._own.get("counts", {}), f"partition {self._partition}"
        read = counts.get("read", 0)
        total = sum(counts.get(name, 0) for name in OUTCOMES)
        report.hold(
            "counts-add-up", read == total, f"{where}: read {read}, but its outcomes add up to {total}: {dict(counts)}"
        )
        refused = read - counts.get("applied", 0)
        reasons = sum(self._own.get("reasons", {}).values())
        report.hold(
            "counts-add-up", reasons == refused, f"{where}: {refused} were not applied, but there are {reasons} reasons"
        )
        if self._commands.first > 0 or self._chains.first > 0:
            report.note(
                "counts-add-up",
                "some commands or transitions are no longer kept, so the counts of their partitions were not compared "
                "with them",
            )
            return
        held = self._commands.up_to(self._applied)
        report.hold(
            "counts-add-up",
            read == held,
            f"{where}: read {read}, but commands holds {held} up to the applied offset {self._applied}",
        )
        self._dead(counts.get("dead", 0), counts.get("rejected", 0), where, report)
        self._visible(counts.get("applied", 0), where, report)

    def _dead(self, dead: int, rejected: int, where: str, report: Report) -> None:
        ids = {copy.offset: id_ for id_, copies in self._commands for copy in copies if copy.offset in self._letters}
        told = refused = 0
        for offset, letter in self._letters.items():
            if offset <= self._applied and letter.reason == "rejected":
                refused += 1
            # otherwise a part of it: some run took the event
            elif offset <= self._applied and ids.get(offset) not in self._chains.caused:
                told += 1
        report.hold("counts-add-up", dead == told, f"{where}: counts {dead} dead letters, dead-letters holds {told}")
        report.hold(
            "counts-add-up",
            rejected >= refused,
            f"{where}: counts {rejected} rejected, dead-letters holds {refused} answers",
        )

    def _visible(self, applied: int, where: str, report: Report) -> None:
        """Those that were applied: they caused something, moved a watermark, were forwarded, or kept an event."""
        caused = repeats = 0
        for id_, times in self._chains.caused.items():
            copies = self._commands.of(id_)
            caused += len(times)
            if copies and copies[0].kind in REPEATABLE:
                repeats += len(copies) - len(times)
            if len(times) > max(len(copies), 1):
                report.broken(
                    "counts-add-up",
                    f"{where}: {id_} was applied {len(times)} times, but is in commands {len(copies)} times",
                )
        least = caused + sum(
            1
            for _, copies in self._commands
            for copy in copies
            if (copy.kind == "AdvanceWatermark" or copy.forwarded) and not copy.is_copy and copy.offset <= self._applied
        )
        most = least + self.unseen + repeats
        seen = f"{least}" if least == most else f"{least} to {most}"
        report.hold(
            "counts-add-up",
            least <= applied <= most,
            f"{where}: counts {applied} applied, {seen} can be seen in runs and commands",
        )
