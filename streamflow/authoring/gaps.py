"""What a draft leaves open, found without a language model: what happens when something fails, comes twice, comes too
early or too late, or does not come at all. A gap is no mistake; the check finds those."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from streamflow.authoring.draft import Draft
from streamflow.authoring.wording import limit_words
from streamflow.definition.catalog import Catalog
from streamflow.definition.graph import Graph, kind_of, outcomes_of
from streamflow.definition.model import Definition, Step
from streamflow.definition.plan import NO_OUTCOME
from streamflow.definition.steps.registry import OUTSIDE

GapKind = Literal[
    "missing_key",
    "no_failure_path",
    "nobody_answers",
    "no_way_out",
    "unreachable_branch",
    "no_time_limit",
    "early_event",
    "duplicate",
    "late_event",
]

RANKS: tuple[GapKind, ...] = get_args(GapKind)
"""All kinds, the one that is asked about first in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One thing that a draft leaves open."""

    kind: GapKind
    """What is missing."""

    address: str
    """Where, by ids, such as `/steps/charge` or `/on/placed`."""

    step: str | None
    """The step, if it is one."""

    subject: str
    """What a question about several of its kind names: a step, an outcome or an event."""

    text: str
    """What is missing and what happens as it stands, as a sentence."""

    @property
    def key(self) -> str:
        """What identifies it among the gaps of the draft, also after edits elsewhere."""
        return f"{self.kind}:{self.address}"


def gaps(draft: Draft, catalog: Catalog, *, settled: Collection[str] = ()) -> tuple[Gap, ...]:
    """What `draft` leaves open, in the order of `RANKS` and within it in that of the text. `settled` are the keys of
    gaps that were decided to be left as they are."""
    definition = draft.definition
    found = [gap for finder in _FINDERS for gap in finder(definition, catalog, Graph(definition))]
    if "runs" in draft.content:
        found = [gap for gap in found if gap.kind != "duplicate"]
    left = [gap for gap in found if gap.key not in settled]
    return tuple(sorted(left, key=lambda gap: RANKS.index(gap.kind)))


def _needed(definition: Definition) -> set[str]:
    return {need for step in definition.steps for need in step.needs}


def _of_step(kind: GapKind, step: Step, text: str, subject: str | None = None, inside: str = "") -> Gap:
    return Gap(
        kind=kind,
        address=f"/steps/{step.id}{inside}",
        step=step.id,
        subject=f"`{step.id}`" if subject is None else subject,
        text=text,
    )


def _missing_key(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    for trigger in definition.on:
        spec = catalog.event(trigger.event)
        if trigger.key is None and spec is not None and spec.key is None:
            yield Gap(
                kind="missing_key",
                address=f"/on/{trigger.id}",
                step=None,
                subject=f"`{trigger.id}`",
                text=f"Neither the trigger `{trigger.id}` nor the catalog says which field of `{trigger.event}` is the "
                "business key; the key of its record is taken.",
            )
    for step in graph.steps.values():
        for clause in step.wait.events if step.wait is not None else ():
            spec = catalog.event(clause.event)
            if spec is not None and spec.key is None:
                text = (
                    f"The catalog does not say which field of `{clause.event}` is the business key; "
                    f"`{step.id}` gets those whose record has the key of the run."
                )
                yield _of_step("missing_key", step, text, f"`{clause.event}`", f"/wait/events/{clause.id}")


def _no_failure_path(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    needed = _needed(definition)
    for step in graph.steps.values():
        if kind_of(step) in OUTSIDE and f"{step.id}.failure" not in needed:
            text = f"Nothing follows when `{step.id}` fails; the run then stays parked until a person decides."
            yield _of_step("no_failure_path", step, text)


def _nobody_answers(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    needed = _needed(definition)
    for step in graph.steps.values():
        limited = step.approval or step.wait
        if limited is not None and limited.within is not None and f"{step.id}.timeout" not in needed:
            who = "nobody decides" if step.approval is not None else "nothing comes"
            text = f"Nothing follows when {who} at `{step.id}` within {limit_words(limited.within)}."
            yield _of_step("nobody_answers", step, text)


def _no_way_out(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    for step in graph.steps.values():
        if step.choose is not None and all(branch.if_ is not None for branch in step.choose):
            text = f"Nothing follows when none of the conditions of `{step.id}` holds."
            yield _of_step("no_way_out", step, text)


def _unreachable_branch(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    needed = _needed(definition)
    for step in graph.steps.values():
        followed = any(need.partition(".")[0] == step.id for need in needed)
        if step.id in needed or (not followed and step.choose is None):
            continue  # every good end continues, or all of them end the run
        for outcome in outcomes_of(step):
            if outcome not in NO_OUTCOME and f"{step.id}.{outcome}" not in needed:
                text = f"Nothing follows when `{step.id}` ends with `{outcome}`."
                yield _of_step("unreachable_branch", step, text, f"`{step.id}.{outcome}`", f"/{outcome}")


def _no_time_limit(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    for step in graph.steps.values():
        waiting = step.wait or step.approval
        if waiting is not None and waiting.forever:
            yield _of_step("no_time_limit", step, f"`{step.id}` waits without a limit of time.")
        outside = step.call or step.run
        if outside is not None and outside.within is None:
            text = f"`{step.id}` has no limit of time as a whole, with all its attempts and pauses."
            if step.run is not None:
                text = f"`{step.id}` waits for the run that it starts without a limit of time."
            yield _of_step("no_time_limit", step, text)


def _early_event(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    starting = {topic for on in definition.on if (spec := catalog.event(on.event)) for topic in spec.topics}
    waits = [(step, step.wait) for step in graph.steps.values() if step.wait is not None]
    kept = {clause.event for _, wait in waits if wait.keep is not None for clause in wait.events}
    for step, wait in waits:
        if wait.keep is not None or wait.since == "here" or not starting:
            continue
        for clause in wait.events:
            spec = catalog.event(clause.event)
            if clause.event in kept or spec is None or not spec.topics or starting.intersection(spec.topics):
                continue
            text = (
                f"`{clause.event}` comes from another topic than what starts a run. If it is read first, `{step.id}` "
                "misses it."
            )
            yield _of_step("early_event", step, text)
            break


def _duplicate(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    if definition.on:
        events = " or ".join(dict.fromkeys(f"`{trigger.event}`" for trigger in definition.on))
        yield Gap(
            kind="duplicate",
            address="/runs",
            step=None,
            subject=events,
            text=f"When another {events} comes for the same key while a run is open, another run starts.",
        )


def _late_event(definition: Definition, catalog: Catalog, graph: Graph) -> Iterator[Gap]:
    waits = {
        id_: {clause.event for clause in step.wait.events} for id_, step in graph.steps.items() if step.wait is not None
    }
    for id_, events in waits.items():
        wait = graph.steps[id_].wait
        later = {event for other, its in waits.items() if id_ in graph.ancestors[other] for event in its}
        if wait is not None and wait.within is not None and not events <= later:
            names = " or ".join(f"`{event}`" for event in sorted(events - later))
            text = (
                f"When {names} arrives after `{id_}` has waited {limit_words(wait.within)}, no run consumes it; it is "
                "recorded as unclaimed."
            )
            yield _of_step("late_event", graph.steps[id_], text)


_FINDERS: tuple[Callable[[Definition, Catalog, Graph], Iterator[Gap]], ...] = (
    _missing_key,
    _no_failure_path,
    _nobody_answers,
    _no_way_out,
    _unreachable_branch,
    _no_time_limit,
    _early_event,
    _duplicate,
    _late_event,
)
