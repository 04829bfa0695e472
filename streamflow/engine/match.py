"""What an event gives: runs to start and events to offer, for every published version. Pure: plans and an event in,
commands out.

A definition starts runs by its newest version alone, by the first of its triggers that fits. An event is offered to a
definition once for each key under which one of its versions waits for it; which run takes it, and whether a wait's
condition holds, only the engine can say, because that needs the run's state. Offers come before starts, so that an
event never meets the run that it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamflow import ids
from streamflow.definition.catalog import EventSpec
from streamflow.definition.plan import ClausePlan, ExpressionError, Plan, WaitPlan
from streamflow.engine.commands import REVISION, DefinitionRef, DeliverEvent, Event, Origin, StartRun


@dataclass(frozen=True, slots=True)
class Published:
    """A version that is served. `specs` are the events of its own pinned catalog by name, `at` the offset in
    `definitions` at or below which it was read, `newest` whether its name points to it, `published_ms` the broker's
    time of its publication, `revision` the engine's that its runs are to start with. The topics of `specs` are those
    of the environment's bindings; `bound_ms` says by event's name since when."""

    plan: Plan
    specs: Mapping[str, EventSpec]
    at: int
    newest: bool
    published_ms: int = 0
    revision: str = REVISION
    bound_ms: Mapping[str, int] = field(default_factory=dict)


class Source(NamedTuple):
    """The record that an event was read from; `committed` is the offset that ingress had committed when it read it."""

    topic_id: str
    partition: int
    offset: int
    committed: int
    trace: str | None = None


class Failure(NamedTuple):
    """A definition (or, with an empty name, all of them) that gets nothing from an event, and why."""

    code: str
    message: str
    event: str
    definition: str = ""
    version: str = ""
    trigger: str = ""


class Matched(NamedTuple):
    """The commands of one record, offers first, and what failed beside them."""

    commands: list[DeliverEvent | StartRun]
    failures: list[Failure]


class Matcher:
    """Matches events to the versions it was made of. `specs` are the distinct events that they name; the same spec in
    many versions is one."""

    def __init__(self, published: Iterable[Published]) -> None:
        self.published = tuple(
            sorted(published, key=lambda live: (not live.newest, -live.at, live.plan.name, live.plan.version))
        )
        specs: dict[str, tuple[int, EventSpec]] = {}
        waits: list[dict[str, int]] = []
        starts: list[list[Published]] = []
        for live in self.published:
            for name in dict.fromkeys(
                [trigger.event for trigger in live.plan.triggers if live.newest] + list(live.plan.waits)
            ):
                spec = live.specs[name]
                identity = spec.model_dump_json(by_alias=True)
                if identity not in specs:
                    specs[identity] = (len(specs), spec)
                    waits.append({})
                    starts.append([])
                index = specs[identity][0]
                if name in live.plan.waits:
                    waits[index][live.plan.name] = max(_keep_ms(live.plan, name), waits[index].get(live.plan.name, 0))
                if live.newest and any(trigger.event == name for trigger in live.plan.triggers):
                    starts[index].append(live)
        self.specs: tuple[EventSpec, ...] = tuple(spec for _, spec in specs.values())
        self._waits = [tuple(names.items()) for names in waits]
        self._starts = [tuple(versions) for versions in starts]

    def topics(self) -> frozenset[str]:
        """All topics that a version reads."""
        return frozenset(topic for spec in self.specs for topic in spec.topics)

    def limited_topics(self) -> frozenset[str]:
        """The topics of events that some wait with a limit is for: where its clock is a watermark."""
        works = ((live, step.work) for live in self.published for step in live.plan.steps.values())
        return frozenset(
            topic
            for live, work in works
            if isinstance(work, WaitPlan) and work.within_ms is not None
            for clause in work.clauses
            for topic in live.specs[clause.event].topics
        )

    def published_ms(self, topic: str) -> int | None:
        """When the oldest version that reads `topic` was published, or its event bound to it if that was later; None
        when no version does."""
        return min(
            (
                max(live.published_ms, live.bound_ms.get(name, 0))
                for live in self.published
                for name in _names(live)
                if topic in live.specs[name].topics
            ),
            default=None,
        )

    def match(self, occurrences: Sequence[tuple[int, Event, str | None]], source: Source) -> Matched:
        """What one record gives, as the events in `occurrences` (index into `specs`, event, key). Never raises for what
        an event holds."""
        offers: dict[str, DeliverEvent | StartRun] = {}
        starts: list[StartRun] = []
        failures: list[Failure] = []
        started: set[tuple[str, str]] = set()
        for index, event, key in occurrences:
            if key is None and self._waits[index]:
                failures.append(_missing_key(event.name))
            elif key is not None:
                for name, keep_ms in self._waits[index]:
                    tag = ids.tag("deliver", name, event.name, key)
                    offers.setdefault(
                        tag,
                        DeliverEvent(
                            id=_id(source, tag),
                            definition=name,
                            key=key,
                            event=event,
                            origin=_origin(source, tag),
                            trace=source.trace,
                            keep_ms=keep_ms,
                        ),
                    )
            for live in self._starts[index]:
                if (live.plan.name, event.name) in started:
                    continue
                try:
                    trigger, run_key = _first(live.plan, event, key)
                except _StartFailed as failed:
                    failures.append(failed.failure)
                    continue
                if trigger is None:
                    continue
                started.add((live.plan.name, event.name))
                tag = ids.tag("start", live.plan.name, event.name, run_key)
                start = DefinitionRef(live.plan.sha, live.at, live.revision)
                starts.append(
                    StartRun(
                        id=_id(source, tag),
                        definition=live.plan.name,
                        key=run_key,
                        start=start,
                        trigger=trigger.id,
                        event=event,
                        origin=_origin(source, tag),
                        trace=source.trace,
                    )
                )
        return Matched([*offers.values(), *starts], list(dict.fromkeys(failures)))


class _StartFailed(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


def _first(plan: Plan, event: Event, key: str | None) -> tuple[ClausePlan | None, str]:
    """The first trigger of `plan` that fits, and the key of the run that it starts. Raises _StartFailed."""
    for trigger in plan.triggers:
        if trigger.event != event.name:
            continue
        variables = {"event": event.data}
        try:
            if trigger.where is not None and not trigger.where.holds(variables):
                continue
            found = trigger.key.evaluate(variables) if trigger.key is not None else key
        except ExpressionError as error:
            message = (
                f"expected the where and key of the trigger to have values but one failed ({error.code}); "
                "correct the definition or the event"
            )
            raise _StartFailed(
                Failure("expression_failed", message, event.name, plan.name, plan.version, trigger.id)
            ) from error
        run_key = _key_text(found)
        if run_key:
            return trigger, run_key
        raise _StartFailed(_missing_key(event.name) if trigger.key is None else _missing_key(event.name, plan, trigger))
    return None, ""


def _missing_key(event: str, plan: Plan | None = None, trigger: ClausePlan | None = None) -> Failure:
    where = f"the key of trigger {trigger.id}" if trigger else "the place that the catalog declares"
    message = (
        f"expected the key of {event} as text or a whole number in {where} but found none; correct the record, "
        "the catalog or the definition"
    )
    return Failure(
        "missing_key",
        message,
        event,
        plan.name if plan else "",
        plan.version if plan else "",
        trigger.id if trigger else "",
    )


def _key_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _keep_ms(plan: Plan, event: str) -> int:
    """How long `event` is kept before a run of `plan` starts: as long as the most patient of its waits says."""
    works = [plan.steps[step].work for step, _ in plan.waits[event]]
    return max(work.keep_ms or 0 for work in works if isinstance(work, WaitPlan))


def _names(live: Published) -> Iterable[str]:
    return [trigger.event for trigger in live.plan.triggers if live.newest] + list(live.plan.waits)


def _id(source: Source, tag: str) -> str:
    return f"{source.topic_id}/{source.partition}/{source.offset}/{tag}"


def _origin(source: Source, tag: str) -> Origin:
    return Origin(
        topic_id=source.topic_id, partition=source.partition, offset=source.offset, committed=source.committed, tag=tag
    )
