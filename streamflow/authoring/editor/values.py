"""A value that was said for a field of a step that there is."""

from __future__ import annotations

from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.process import Do
from streamflow.authoring.drafter.tokens import Token
from streamflow.authoring.drafter.values import Known, said_value
from streamflow.authoring.editor.part import Part
from streamflow.definition.model import Step


def expression_of(part: Part, step: Step, name: str, tokens: list[Token]) -> str | None:
    """The expression for the field `name` of an `emit` or `call`; None where the words are no value that fits it."""
    node = part.scene.nodes.get(step.id)
    if not isinstance(node, Do):
        return None
    known = Known(
        fields=part.scene.fields_at(part.scene.done_before(step.id)), key_names=frozenset(), decided=None, reason=""
    )
    return said_value(node, name, tokens, known, Notes(part.notes.sentence))
