"""What was understood, as numbered statements in English: what a draft says, what holds because it says nothing, and
what is missing. Each is tied to the places that it is about, so that one lights up the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from streamflow.authoring.draft import Draft
from streamflow.authoring.gaps import gaps
from streamflow.authoring.wording import after_words, limit_words, ways_on, work_sentence
from streamflow.definition.catalog import Catalog
from streamflow.definition.graph import Graph
from streamflow.definition.model import Definition, Step, Trigger
from streamflow.definition.steps.kind import event_name

Origin = Literal["said", "assumed", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One sentence of what was understood."""

    number: int
    """Counted from 1, in the order in which a run comes to it."""

    origin: Origin
    """`said`: the draft says it; `assumed`: it holds because nothing else is said; `missing`: nobody has decided it."""

    text: str
    """The sentence."""

    addresses: tuple[str, ...]
    """The places that it is about, by ids, such as `/steps/paid`; the first is the main one."""

    span: tuple[int, int] | None = None
    """Where the sentence says it from which the draft was made: the first character, and the one after the last."""


@dataclass(frozen=True, slots=True)
class _Said:
    origin: Origin
    text: str
    addresses: tuple[str, ...]


def statements(
    draft: Draft,
    catalog: Catalog,
    *,
    origins: Mapping[str, Origin] | None = None,
    settled: Collection[str] = (),
) -> tuple[Statement, ...]:
    """What `draft` means, statement by statement. What is written in it counts as said, unless `origins` says
    otherwise for an address: who fills in a draft for a person gives `assumed` for what that person did not say.
    `settled` are the keys of gaps that were decided to be left as they are."""
    definition = draft.definition
    known = origins or {}
    said = [*_beginning(definition, draft.content, catalog), *_steps(definition, catalog), *_end(definition)]
    said += [_Said("missing", gap.text, (gap.address,)) for gap in gaps(draft, catalog, settled=settled)]
    return tuple(
        Statement(
            number=number,
            origin=known.get(one.addresses[0], one.origin) if one.origin == "said" else one.origin,
            text=one.text,
            addresses=one.addresses,
        )
        for number, one in enumerate(said, 1)
    )


def facts(found: tuple[Statement, ...]) -> list[dict[str, Any]]:
    """The statements as JSON would have them."""
    return [asdict(statement) for statement in found]


def _beginning(definition: Definition, content: Mapping[str, Any], catalog: Catalog) -> Iterator[_Said]:
    for trigger in definition.on:
        condition = f" and `{trigger.where}` holds" if trigger.where is not None else ""
        event = event_name(trigger.event, catalog)
        yield _Said("said", f"A run starts when this event comes{condition}: {event}.", (f"/on/{trigger.id}",))
        yield from _key(trigger, catalog)
    if definition.input is not None:
        yield _Said("said", "A run starts when it is asked for.", ("/input",))
    if definition.on and "runs" in content:
        yield _Said("said", _RUNS[definition.runs], ("/runs",))
    if definition.window is not None:
        text = (
            f"An event that comes again within {limit_words(definition.window)} is a repeated one and changes nothing."
        )
        yield _Said("said", text, ("/window",))


_RUNS = {
    "many": "Several runs of one key may be open at a time.",
    "one": "While a run is open, no other one of its key starts.",
    "join": "While a run is open, an event that would start another one of its key is offered to the open run.",
}


def _key(trigger: Trigger, catalog: Catalog) -> Iterator[_Said]:
    spec = catalog.event(trigger.event)
    at = (f"/on/{trigger.id}/key", f"/on/{trigger.id}")
    if trigger.key is not None:
        yield _Said("said", f"`{trigger.key}` says whose run it is.", at)
    elif spec is not None and spec.key is not None:
        place = f"the field `{spec.key.path}`" if spec.key.path is not None else f"the header `{spec.key.header}`"
        yield _Said("assumed", f"As the catalog has it, {place} of the event says whose run it is.", at)


def _steps(definition: Definition, catalog: Catalog) -> Iterator[_Said]:
    graph = Graph(definition)
    for id_ in graph.order:
        step = graph.steps[id_]
        yield _Said("said", step_sentence(step, catalog, graph), (f"/steps/{id_}",))
        yield from _assumed(step, catalog)


def step_sentence(step: Step, catalog: Catalog, graph: Graph | None = None) -> str:
    """A step in English: when it comes, what it does, and, with `graph`, where its outcomes lead."""
    title = f" ({step.title})" if step.title else ""
    condition = f", if `{step.if_}` holds" if step.if_ is not None else ""
    begin = after_words(step)
    on = ways_on(step.id, graph) if graph is not None else ""
    return f"{begin[:1].upper()}{begin[1:]}{condition}, `{step.id}`{title}: {work_sentence(step, catalog)}.{on}"


def _assumed(step: Step, catalog: Catalog) -> Iterator[_Said]:
    """What holds of a step because it says nothing else."""
    if step.call is not None:
        spec = catalog.operation(step.call.operation)
        parts = []
        if step.call.retry is None and spec is not None:
            parts.append(f"is attempted up to {spec.retry.attempts} times")
        if step.call.timeout is None and spec is not None:
            parts.append(f"has {limit_words(spec.timeout)} for each attempt")
        if parts:
            yield _Said(
                "assumed", f"As the catalog has it, `{step.id}` {' and '.join(parts)}.", (f"/steps/{step.id}/call",)
            )
    if step.wait is not None:
        parts = []
        if step.wait.since is None:
            early = f", or up to {limit_words(step.wait.keep)} before" if step.wait.keep is not None else ""
            parts.append(f"counts events since the run started{early}")
        if step.wait.take is None:
            parts.append("takes its event for itself, so that no other run gets it")
        if parts:
            yield _Said("assumed", f"`{step.id}` {', and '.join(parts)}.", (f"/steps/{step.id}/wait",))


def _end(definition: Definition) -> Iterator[_Said]:
    if definition.output is not None:
        text = f"The output of a run is that of `{definition.output}`."
        yield _Said("said", text, ("/output", f"/steps/{definition.output}"))
