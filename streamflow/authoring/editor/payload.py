"""What is to be done, in words, as new steps of a draft."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.authoring.drafter.building import Builder, Exit
from streamflow.authoring.drafter.clauses import clauses_of
from streamflow.authoring.drafter.process import Node, Stop
from streamflow.authoring.drafter.reading import Reader
from streamflow.authoring.drafter.tokens import Tokens, words_at
from streamflow.authoring.editor.part import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """New steps."""

    steps: list[dict[str, Any]]  # as a definition has them; the first ones have the needs of the place
    on: tuple[str, ...]  # the needs with which it continues after them
    takes_time: bool  # it waits, or asks people


def payload(
    part: Part, tokens: Tokens, needs: Sequence[str], done: frozenset[str], reason: str, freed: Iterable[str] = ()
) -> Payload | None:
    """The steps that `tokens` ask for, after `needs` (none: the start of the run), where the steps in `done` are done.
    `freed` are ids that are free again. Without steps: it was said that nothing is done. None after a question."""
    scene, notes = part.scene, part.notes
    tokens = tokens[words_at(tokens, 0, "a new step to", "a step to", "the step to") :]
    asked = notes.blocking
    nodes = [node for id_, node in scene.nodes.items() if id_ not in set(freed)]
    reader = Reader(notes, scene.vocabulary, scene.entry, frozenset())
    reader.resume(nodes, done, scene.taken - set(freed))
    reader.read(clauses_of(tokens, scene.vocabulary))
    block: list[Node] = reader.root
    if notes.blocking > asked:
        return None
    if block and all(isinstance(node, Stop) for node in block):
        return Payload(steps=[], on=(), takes_time=False)
    builder = Builder(notes, scene.entry, [], reason or scene.entry.spec.title or scene.entry.name)
    entries = tuple(Exit(need=need, known=done, reason=reason) for need in needs) or (
        Exit(need=None, known=done, reason=reason),
    )
    exits = builder.resume(nodes, block, entries)
    if not builder.steps or notes.blocking > asked:
        if notes.blocking == asked:
            part.ask(f"What should be done: `{part.said(tokens)}`?", tokens)
        return None
    on = tuple(dict.fromkeys(one.need for one in exits.good if one.need is not None))
    waits = any(kind in step for step in builder.steps for kind in ("wait", "approval", "delay", "choose"))
    return Payload(steps=builder.steps, on=on, takes_time=waits)
