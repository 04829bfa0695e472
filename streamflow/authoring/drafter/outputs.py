"""The outcomes of steps, and the fields of their outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from streamflow.authoring.drafter.fields import Field, fields_of
from streamflow.authoring.drafter.outcomes import ASKED
from streamflow.authoring.drafter.process import Ask, Await, Do, Node
from streamflow.authoring.drafter.vocabulary import Entry
from streamflow.definition.catalog import EventSpec, OperationSpec
from streamflow.definition.graph_check import RESERVED
from streamflow.definition.json_schema import common


def outcomes_of(node: Node) -> frozenset[str]:
    """All outcomes of a step that something may be done after."""
    if isinstance(node, Ask):
        return ASKED
    if isinstance(node, Await):
        return frozenset({*(outcome_of(event) for event in node.events), "timeout"})
    return frozenset({"done", "failure"})


def outcome_of(event: Entry) -> str:
    """The outcome of a wait when this event comes."""
    plain = re.sub(r"[^a-z0-9]+", "_", event.name.split(".")[-1].lower()).strip("_")[:60]
    plain = plain if plain and plain[0].isalpha() else f"event_{plain}"
    return f"{plain}_event" if plain in {"none", "done", "skipped", "failure", "timeout", *RESERVED} else plain


def fields_of_steps(nodes: Iterable[Node]) -> list[Field]:
    """The fields of the outputs of these steps."""
    found: list[Field] = []
    for node in nodes:
        if isinstance(node, Do) and isinstance(node.entry.spec, OperationSpec):
            found += fields_of(f"steps.{node.id}", node.entry.spec.output, node.entry.stems)
        elif isinstance(node, Await):
            schemas = [event.spec.schema_ for event in node.events if isinstance(event.spec, EventSpec)]
            schema = schemas[0] if len(schemas) == 1 else common(schemas)
            owner = frozenset[str]().union(*(event.stems for event in node.events))
            found += fields_of(f"steps.{node.id}.data", schema, owner)
    return found


def about_of(nodes: Iterable[Node]) -> frozenset[str]:
    """The stems of what the events of these steps are about."""
    entries = [entry for node in nodes for entry in _entries(node)]
    return frozenset[str]().union(*(entry.subject for entry in entries))


def _entries(node: Node) -> list[Entry]:
    return node.events if isinstance(node, Await) else [node.entry] if isinstance(node, Do) else []


def verbal(event: Entry) -> set[str]:
    """Other words for an event that came, such as paid for a payment."""
    return {"pay"} if "payment" in event.named else set()
