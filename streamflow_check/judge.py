"""The judgement of a whole experiment: partition by partition, so that one of them at a time is in memory, then what
goes over all of them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import pairwise

from streamflow_check import (
    api_consistency,
    changelog,
    command_outcomes,
    commands,
    dead_letters,
    deliveries,
    lanes,
    sources,
    transitions,
)
from streamflow_check.commands import Commands, Forwards, Origins
from streamflow_check.experiment import Experiment
from streamflow_check.promises import Report
from streamflow_check.records import Record, Topics
from streamflow_check.transitions import MOMENT_MS, Chains, Watched

Say = Callable[[str], None]
OVERDUE_MS = 60_000  # an armed timer may be behind at rest, where lateness is not judged


def judge(topics: Topics, experiment: Experiment, say: Say = lambda text: None) -> Report:
    """The verdict on everything under the prefix of `topics`."""
    return _Judge(topics, experiment, say).report


class _Judge:
    def __init__(self, topics: Topics, experiment: Experiment, say: Say) -> None:
        self.report = Report()
        self._topics, self._experiment = topics, experiment
        self._watched, self._origins = Watched(experiment), Origins()
        self._facts: dict[str, api_consistency.Fact] = {}
        self._kept = True  # no command has been deleted
        names = topics.names()
        self._lanes = [name for name in names if name.startswith(self._full("tasks."))]
        say("reading what was published, what was committed and the dead letters")
        self._known = known = sources.published(self._each("definitions"))
        self._decided = topics.committed(self._full("engine"), self._full("commands"))
        read = sources.positions(
            topics, {*known.topics, *(each.topic for each in experiment.inputs or () if each.topic)}
        )
        self._letters = dead_letters.read(self._each("dead-letters"), self._full("commands"))
        self._forwards, self._consumed = Forwards(), deliveries.Consumed()
        for partition in reversed(range(topics.partitions(self._full("commands")))):  # as `Forwards` wants it
            say(f"partition {partition}")
            self._partition(partition)
        say("what goes over all partitions")
        if self._forwards:
            deliveries.consumed_once(self._consumed, self.report)
        sources.judge(
            topics, read, known, self._origins, self._letters, self.report, whole=self._kept, at_rest=experiment.at_rest
        )
        sources.inputs(topics, experiment, read, self._watched, self._origins, self._letters, self.report)
        self._outside()
        self._children()
        self._timers()
        entries = known.entries or topics.partitions(self._full("commands"))
        api_consistency.judge(topics, experiment, self._facts, entries, self.report)
        for promise in experiment.without:
            self.report.findings.pop(promise, None)
        self._tell()

    def _full(self, topic: str) -> str:
        return f"{self._topics.prefix}{topic}"

    def _each(self, topic: str) -> Iterator[Record]:
        yield from self._all(self._full(topic))

    def _all(self, topic: str) -> Iterator[Record]:
        for partition in range(self._topics.partitions(topic)):
            yield from self._topics.records(topic, partition)

    def _partition(self, number: int) -> None:
        topics, report, experiment = self._topics, self.report, self._experiment
        state = changelog.read(topics.records(self._full("state"), number, committed=True))
        first = topics.bounds(self._full("commands"), number)[0]
        known = commands.read(
            topics.records(self._full("commands"), number), first, self._letters, self._origins, self._forwards, report
        )
        begins = topics.bounds(self._full("runs"), number)[0]
        told = transitions.read(topics.records(self._full("runs"), number), known, begins, self._watched, report)
        tasks = lanes.Tasks()
        whole = begins == 0
        for lane in self._lanes:
            if number < topics.partitions(lane):
                whole &= topics.bounds(lane, number)[0] == 0
                tasks.take(lane.removeprefix(self._full("tasks.")), topics.records(lane, number), report)
        lanes.compare(tasks, told.requested, report, whole=whole)
        lanes.judge_positions(topics, tasks, number, report, at_rest=experiment.at_rest)
        unclaimed = deliveries.unclaimed_of(topics.records(self._full("unclaimed"), number), report)
        ledger = deliveries.Ledger(
            known, told, self._letters, unclaimed, state.records, number, state.own.get("applied", -1)
        )
        ledger.judge(report, experiment.window_ms)
        if self._forwards:
            for identity, found in ledger.consumed(experiment.window_ms).items():
                self._consumed.setdefault(identity, []).extend(found)
        balance = command_outcomes.Account(known, told, self._letters, number, state.own)
        balance.outcomes(report)
        if state.own or known.count:
            balance.add_up(report)
        if experiment.at_rest:
            changelog.compare(state, told, report, number)
            self._rest(number, state.own.get("applied", -1), known)
        self._gather(number, state, known, told)
        watched = self._watched
        watched.owed.update({f"{id_}/refused": f"{id_} started no run" for id_ in balance.refused})
        watched.owed.update(
            {f"ended/{run.run}": f"{run.run} has ended" for run in told.runs.values() if run.ended and run.child}
        )
        watched.paid.update(id_ for id_, _ in known if id_.startswith(("child/", "ended/")))
        watched.whole &= known.first == 0 == told.first
        self._kept &= known.first == 0

    def _rest(self, number: int, applied: int, known: Commands) -> None:
        if known.count:
            self.report.hold(
                "at-rest",
                applied >= known.last,
                f"commands/{number} is decided up to {applied}, but its last record is {known.last}",
            )
        committed = self._decided.get(number, (-1, ""))[0]
        if applied >= 0:
            self.report.hold(
                "at-rest",
                committed == applied + 1,
                f"commands/{number}: the group has committed {committed}, the state {applied + 1}",
            )

    def _gather(self, number: int, state: changelog.State, known: Commands, told: Chains) -> None:
        counts, watched = self.report.counts, self._watched
        contents = changelog.versions(state)
        watched.time_ms = max(watched.time_ms, state.own.get("time_ms", 0))
        for run in told.runs.values():
            counts[f"runs {run.status}"] += 1
            if (pinned := contents.get(run.sha)) is not None and pinned != (run.definition, run.version):
                self.report.broken(
                    "pinned-version",
                    f"{run.run} is of {run.definition}@{run.version}, its content of {'@'.join(pinned)}",
                )
            if not run.ended:
                watched.due_ms.extend(int(timer[:15]) for timer in run.timers())
            if self._experiment.cli or self._experiment.api:
                self._facts[run.run] = api_consistency.fact(run, number)
        for id_ in watched.commands:
            offsets = {command.offset for command in known.of(id_)}
            if offsets and (id_ in told.caused or any((number, offset) in self._letters.engine for offset in offsets)):
                watched.answered[id_] += 1
        counts["transitions"] += told.records - told.copies
        counts["copies"] += told.copies
        counts["commands"] += known.count
        counts["changelog records"] += state.count
        for name, count in state.own.get("counts", {}).items():
            counts[f"engine {name}"] += count

    def _outside(self) -> None:
        report, watched, ledger = self.report, self._watched, self._experiment.ledger
        for event, told in sorted(watched.emitted.items()):
            there: dict[str, int] = {}
            targets = sorted(self._known.targets.get(event, ()))
            for topic in targets:
                for record in self._all(topic):
                    id_ = record.header("ce_id")
                    if id_ not in told:
                        continue
                    report.looked("identical-copies", int(id_ in there))
                    if there.setdefault(id_, record.print()) != record.print():
                        report.broken("identical-copies", f"event {id_} at {record.place} differs from its first copy")
            for id_, where in told.items():
                report.looked("events-emitted")
                if id_ not in there and id_ not in self._letters.emitted:
                    report.broken(
                        "events-emitted",
                        f"{where} emits {id_}, but no topic of {event} ({', '.join(targets) or 'none'}) holds it",
                    )
        if ledger is None:
            if watched.done:
                report.note("ledger-complete", "calls were done, but no ledger was given")
            return
        for key, where in watched.done.items():
            report.looked("ledger-complete")
            if not ledger[key]:
                report.broken("ledger-complete", f"{where} succeeded, but the ledger does not have {key}")
        for key in ledger.keys() - watched.asked:
            report.broken("ledger-complete", f"the ledger has {key}, which no run asked for")
        report.facts["effects done more than once"] = sum(count > 1 for count in ledger.values())

    def _children(self) -> None:
        """Commands from one partition to another: that a child run is asked for, that it was refused, that it ended."""
        watched, report = self._watched, self.report
        if not watched.whole or not self._experiment.at_rest:
            return
        for id_, why in watched.owed.items():
            report.looked("children-answered")
            if id_ not in watched.paid:
                report.broken("children-answered", f"{why}, but commands does not have {id_}")

    def _timers(self) -> None:
        report, watched, limit = self.report, self._watched, self._experiment.late_ms
        if limit:
            for late in watched.late_ms:
                if late > limit:
                    report.broken("timers-on-time", f"a timer fired {late} ms after its time, allowed are {limit} ms")
        if self._experiment.at_rest:
            newest = max(watched.time_ms, max(watched.moments, default=0) * MOMENT_MS)
            overdue = [due for due in watched.due_ms if due + (limit or OVERDUE_MS) < newest]
            if watched.due_ms:
                report.looked("timers-on-time", len(watched.due_ms))
            if overdue:
                text = (
                    f"{len(overdue)} armed timers have not fired; the oldest is overdue by {newest - min(overdue)} ms"
                )
                report.broken("timers-on-time", text, len(overdue))
        if watched.late_ms:
            times = array("q", sorted(watched.late_ms))
            shares = (times[min(len(times) - 1, len(times) * share // 100)] for share in (50, 99, 100))
            report.facts["timers late by ms (half, 99 %, all)"] = tuple(shares)

    def _tell(self) -> None:
        moments = sorted(self._watched.moments)
        if moments:
            self.report.facts["seconds from first to last transition"] = round(
                (moments[-1] - moments[0]) * MOMENT_MS / 1000, 1
            )
            longest = max((later - earlier for earlier, later in pairwise(moments)), default=0)
            self.report.facts["longest time without a transition, s"] = round(longest * MOMENT_MS / 1000, 1)
