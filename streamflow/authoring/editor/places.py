"""Where in a draft something is done: after an outcome of a step, as `nobody answers` or `the score` say it."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.authoring.drafter.named_outcomes import outcomes_named
from streamflow.authoring.drafter.process import Ask
from streamflow.authoring.drafter.stems import content
from streamflow.authoring.drafter.tokens import Tokens, words_at
from streamflow.authoring.editor.part import Part
from streamflow.authoring.question import Choice

_OUTCOMES = {
    "approved": "if they approve it",
    "rejected": "if they reject it",
    "timeout": "if nobody answers",
    "failure": "if that fails",
}
_DONE = ("is done", "was done", "has been done", "is over", "has ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A way on from one step."""

    step: str
    needs: tuple[str, ...]  # each a need that a step may have
    decided: bool  # it is one outcome of several
    reason: str  # how it was said


def place_at(part: Part, tokens: Tokens) -> Place | None:
    """The way on that `tokens` mean; None after a question."""
    outcomes = _by_outcome(part, tokens)
    steps = [step for step in part.naming.meant(_named(tokens)) if step.id not in {one.step for one in outcomes}]
    said = part.said(tokens)
    if len(outcomes) == 1 and not (steps and steps[0].id in _exact(part, tokens)):
        return outcomes[0]
    if outcomes and not steps:
        names = ", ".join(f"`{one.step}`" for one in outcomes)
        part.notes.ask("ambiguous", f"`{said}` may be about {names}. Which of them is meant?", tokens)
        return None
    if len(steps) == 1 and (not outcomes or steps[0].id in _exact(part, tokens)):
        return _after(part, steps[0].id, tokens)
    part.naming.one(_named(tokens), "is meant")
    return None


def is_place(part: Part, tokens: Tokens) -> bool:
    """Whether `tokens` name one step, or an outcome of one."""
    return len(part.naming.meant(_named(tokens))) == 1 or len(_by_outcome(part, tokens)) == 1


def _exact(part: Part, tokens: Tokens) -> frozenset[str]:
    """The step that `tokens` name by its id."""
    written = "_".join(token.lower for token in tokens if not token.is_in({"the", "step"}))
    return frozenset({written} & part.scene.steps.keys())


def _named(tokens: Tokens) -> Tokens:
    """`tokens` without the words by which a step is over."""
    for at in range(len(tokens)):
        if taken := words_at(tokens, at, *_DONE):
            return [*tokens[:at], *tokens[at + taken :]]
    return tokens


def _by_outcome(part: Part, tokens: Tokens) -> list[Place]:
    """The outcomes of steps that `tokens` name, each step once."""
    found: list[Place] = []
    if not content(tokens):
        return found
    for id_, node in part.scene.nodes.items():
        outcomes = outcomes_named(node, tokens, part.scene.vocabulary, part.scene.entry.stems)
        own = part.scene.own_outcomes(id_, outcomes or ())
        if not own:
            continue
        if len(own) > 1 and not any(token.is_in({"or", "not", "nor", "neither", "unless"}) for token in tokens):
            continue  # it comes: of several events one, and which is not said
        needs = tuple(id_ if outcome == "done" else f"{id_}.{outcome}" for outcome in own)
        found.append(Place(step=id_, needs=needs, decided=needs != (id_,), reason=part.said(tokens)))
    named = [one for one in found if part.naming.meant(tokens, lambda step, id_=one.step: step.id == id_)]  # type: ignore[misc]
    return named if len(named) == 1 else found


def _after(part: Part, id_: str, tokens: Tokens) -> Place | None:
    """What comes after a step as it was meant to go; a question where that may be several ways."""
    ways = [way for way in part.scene.ways(id_) if way not in ("timeout", "failure")]
    said = part.said(tokens)
    node = part.scene.nodes.get(id_)
    if isinstance(node, Ask):
        choices = [_instead(part, id_, way) for way in part.scene.ways(id_)]
        text = f"`{said}` may be after any decision of `{id_}`. After which one?"
        part.notes.ask("ambiguous", text, part.tokens, [one for one in choices if one is not None])
        return None
    if len(ways) > 1 or (ways and "timeout" in part.scene.ways(id_)):
        names = ", ".join(f"`{id_}.{way}`" for way in part.scene.ways(id_))
        part.notes.ask("ambiguous", f"`{said}` has several ways on: {names}. Which of them is meant?", tokens)
        return None
    need = f"{id_}.{ways[0]}" if ways else id_
    return Place(step=id_, needs=(need,), decided=False, reason="")


def _instead(part: Part, id_: str, way: str) -> Choice | None:
    """The same edit for one decision, beside what is done after it already."""
    said = _OUTCOMES.get(way)
    mark = next((place for place, token in enumerate(part.tokens) if token.is_in({","})), None)
    if said is None or mark is None or not part.begins("after", "when", "once"):
        return None
    also = ", also" if part.scene.followers([f"{id_}.{way}"]) else ","
    return part.notes.instead((part.tokens[0].start, part.tokens[mark].end), f"{said}{also}", said)
