"""A definition as a Mermaid flowchart. Always made from the definition and never read back as truth.

Nothing an author wrote is ever syntax: node ids are `n0`, `n1`, ..., and every text stands in quotes with what Mermaid
or HTML would read as its own escaped. The same definition gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, covers, sha256_of
from streamflow.definition.graph import Graph
from streamflow.definition.model import Definition, Step
from streamflow.definition.steps.call import CALL, label_call
from streamflow.definition.steps.kind import event_title
from streamflow.definition.steps.registry import form_of, forms_of

STATES = ("done", "waiting", "skipped", "parked", "failed")
CHANGES = ("added", "removed", "moved", "changed")

_LABEL = 80  # characters of one line; a diagram is for looking, the definition for reading
_EACH = ("[/", "\\]")
_NO_KIND = ("[", "]")
_STYLES = {
    "done": "fill:#d7f0dd,stroke:#2e7d4f,color:#10301d",
    "waiting": "fill:#fff3cd,stroke:#a67c00,color:#3d2e00",
    "skipped": "fill:#eeeeee,stroke:#9e9e9e,color:#616161,stroke-dasharray:4 3",
    "parked": "fill:#fde2c8,stroke:#c75b12,color:#4a2000",
    "failed": "fill:#f9d6d5,stroke:#b3261e,color:#410e0b",
    "added": "fill:#d7f0dd,stroke:#2e7d4f,color:#10301d,stroke-width:3px",
    "removed": "fill:#f9d6d5,stroke:#b3261e,color:#410e0b,stroke-dasharray:4 3",
    "moved": "fill:#dbe7fb,stroke:#2b5ea7,color:#0d2240",
    "changed": "fill:#fff3cd,stroke:#a67c00,color:#3d2e00",
}


def mermaid(definition: Definition, catalog: Catalog | None = None, *, overlay: Mapping[str, str] | None = None) -> str:
    """The flowchart of `definition`, as text that ends with a newline.

    `catalog` gives events and operations their titles, and, if it has all of them, the comment with the content hash,
    by which a diagram is known again. `overlay` maps ids of steps (`<id>.undo`: of their undoing) to one of STATES, to
    show a run, or of CHANGES, to show what an edit changed; other words and ids are left out."""
    graph = Graph(definition)
    starts = [
        (f"trigger={on.id}", _quoted("When", event_title(on.event, catalog), on.where or "")) for on in definition.on
    ]
    if definition.input is not None:
        starts.append(("request", _quoted("When", "it is asked for")))
    nodes = {step.id: f"n{index}" for index, step in enumerate(graph.steps.values(), len(starts))}
    end = f"n{len(starts) + len(graph.steps)}"
    undoing = {step.id: step.undo for step in graph.steps.values() if step.undo is not None}
    nodes |= {f"{id_}.undo": f"n{index}" for index, id_ in enumerate(undoing, len(starts) + len(graph.steps) + 1)}
    lines = ["flowchart TD", f"  %% streamflow:definition={definition.name}@{definition.version}"]
    if catalog is not None and covers(catalog, definition):
        lines.append(f"  %% streamflow:sha256={sha256_of(canonical(definition, catalog))}")
    for index, (start, label) in enumerate(starts):
        lines += [f"  %% streamflow:{start}", f"  n{index}([{label}])"]
    for step in graph.steps.values():
        left, right = _shape(step)
        lines += [
            f"  %% streamflow:step={step.id}",
            f"  {nodes[step.id]}{left}{_quoted(*_words(step, catalog))}{right}",
        ]
    lines += ["  %% streamflow:end", f'  {end}((("End")))']
    left, right = CALL.shape
    for id_, call in undoing.items():
        title = graph.steps[id_].title or id_
        lines += [
            f"  %% streamflow:undo={id_}",
            f"  {nodes[f'{id_}.undo']}{left}{_quoted(f'undo: {title}', *label_call(call, catalog))}{right}",
        ]
    lines += _edges(len(starts), graph, nodes, end)
    lines += [f"  {nodes[id_]} -.->|{_quoted('undo')}| {nodes[f'{id_}.undo']}" for id_ in undoing]
    lines += _classes(nodes, overlay or {})
    return "\n".join(lines) + "\n"


def _edges(starts: int, graph: Graph, nodes: Mapping[str, str], end: str) -> list[str]:
    lines = []
    for step in graph.steps.values():
        if not graph.needs[step.id]:
            lines += [f"  n{index} --> {nodes[step.id]}" for index in range(starts)]
        arrow = "-.->" if step.join == "any" and len(step.needs) > 1 else "-->"
        for need in dict.fromkeys(step.needs):
            before, _, outcome = need.partition(".")
            if before in nodes:
                label = f"|{_quoted(outcome)}|" if outcome else ""
                lines.append(f"  {nodes[before]} {arrow}{label} {nodes[step.id]}")
    return lines + [f"  {nodes[id_]} --> {end}" for id_ in graph.steps if not graph.dependents[id_]]


def _classes(nodes: Mapping[str, str], overlay: Mapping[str, str]) -> list[str]:
    lines = []
    for state in (*STATES, *CHANGES):
        shown = [node for id_, node in nodes.items() if overlay.get(id_) == state]
        if shown:
            lines += [f"  classDef {state} {_STYLES[state]}", f"  class {','.join(shown)} {state}"]
    return lines


def _shape(step: Step) -> tuple[str, str]:
    form = form_of(step)
    return _EACH if step.each is not None else form[0].shape if form is not None else _NO_KIND


def _words(step: Step, catalog: Catalog | None) -> list[str]:
    """The lines of a step's label: its title, what it does, and its condition."""
    lines = [step.title or step.id]
    if step.each is not None:
        lines.append(f"for each of {step.each.items}, {step.each.at_once} at once")
    for form, part in forms_of(step):
        lines += form.label(part, catalog)
    return [*lines, f"if {step.if_}"] if step.if_ is not None else lines


_ESCAPES = {
    '"': "#quot;",
    "#": "#35;",
    "<": "#lt;",
    ">": "#gt;",
    "&": "#amp;",
    "`": "#96;",
    "\\": "#92;",
    "%": "#37;",
    "{": "#123;",
    "}": "#125;",
}
_ESCAPES |= {"*": "#42;", "_": "#95;", "$": "#36;", "|": "#124;", ";": "#59;", ":": "#58;", "@": "#64;"}
_INVISIBLE = re.compile(
    r"[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\uffff]+"
)


def _quoted(*lines: str) -> str:
    """`lines` as one quoted label."""
    shown = [" ".join(_INVISIBLE.sub(" ", line).split()) for line in lines]
    cut = [line if len(line) <= _LABEL else line[: _LABEL - 1] + "…" for line in shown]
    return (
        '"'
        + ("<br/>".join("".join(_ESCAPES.get(letter, letter) for letter in line) for line in cut if line) or " ")
        + '"'
    )
