"""Whatever an author writes as a title or an expression, the diagram is valid Mermaid with exactly the nodes and edges
of the definition."""

from __future__ import annotations

import json

import merman
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Definition
from tests.conftest import examples

ENGINE = merman.Merman()

WORDS = (
    "end | graph | click n0 call f() | A---oB | A e1@--> B | %%{init: {}}%% | ``` | `md` | **b** | <b> | </b> | "
    "&lt; | #quot; | #35; | $$x$$ | --> | :::x"
)
SIGNS = [
    '"',
    '"]',
    "|",
    "]]",
    "}}",
    "))",
    ";",
    "\\",
    "\n",
    "\r\n",
    "\t",
    "\x00",
    "\u2028",
    "\u202e",
    "style n0 fill:red",
    "@{shape: x}",
    "%% x",
]
NASTY = st.sampled_from([*WORDS.split(" | "), *SIGNS])
TEXTS = (
    st.lists(st.one_of(NASTY, st.text(max_size=20)), min_size=1, max_size=5)
    .map("".join)
    .map(lambda text: text[:200] or "x")
)


@settings(max_examples=examples(200), deadline=None)
@given(title=TEXTS, where=TEXTS, condition=TEXTS, words=TEXTS)
def test_any_text_gives_valid_mermaid_with_the_same_graph(title: str, where: str, condition: str, words: str) -> None:
    wait = {"events": [{"id": "x", "event": "end"}], "within": "1h"}
    choice = [{"id": "graph", "if": condition}, {"id": "o"}]
    steps = [
        {"id": "w", "title": title, "wait": wait},
        {"id": "end", "title": title, "needs": ["w.timeout"], "choose": choice},
        {
            "id": "p",
            "title": words,
            "needs": ["w", "end.graph"],
            "join": "any",
            "if": condition,
            "print": {"text": words},
        },
    ]
    on = [{"id": "t", "event": "order.placed", "where": where}]
    definition = Definition.model_validate({"name": "a", "version": "1", "on": on, "steps": steps})
    text = mermaid(definition, overlay={"w": "done", "p": "failed"})
    text.encode()
    assert ENGINE.validate(text, None).valid, text
    diagram = json.loads(ENGINE.parse_json(text, None))
    assert [node["id"] for node in diagram["nodes"]] == ["n0", "n1", "n2", "n3", "n4"], text
    assert [(edge["from"], edge["to"]) for edge in diagram["edges"]] == [
        ("n0", "n1"),
        ("n1", "n2"),
        ("n1", "n3"),
        ("n2", "n3"),
        ("n3", "n4"),
    ], text


@settings(max_examples=examples(200), deadline=None)
@given(title=TEXTS, words=TEXTS, who=TEXTS)
def test_any_text_about_what_is_done_outside_does_too(title: str, words: str, who: str) -> None:
    call = {"operation": "card.charge", "with": [{"name": "a", "expr": words}]}
    steps = [
        {"id": "c", "title": title, "each": {"items": words}, "call": call, "undo": call},
        {"id": "r", "title": title, "needs": ["c.failure"], "run": {"definition": "end", "version": "1"}},
        {
            "id": "end",
            "title": title,
            "needs": ["r.timeout"],
            "approval": {"text": words, "who": [who[:100]], "forever": True},
        },
        {"id": "f", "title": title, "needs": ["end.rejected"], "fail": {"reason": words}},
    ]
    text = mermaid(Definition.model_validate({"name": "a", "version": "1", "input": {}, "steps": steps}))
    assert ENGINE.validate(text, None).valid, text
    diagram = json.loads(ENGINE.parse_json(text, None))
    assert {node["id"] for node in diagram["nodes"]} == {f"n{index}" for index in range(7)}, text
    edges = [(edge["from"], edge["to"]) for edge in diagram["edges"]]
    assert edges == [("n0", "n1"), ("n1", "n2"), ("n2", "n3"), ("n3", "n4"), ("n4", "n5"), ("n1", "n6")], text
