"""Whatever an author writes as a title or an expression, the diagram is valid Mermaid with exactly the nodes and edges of the definition."""

from __future__ import annotations

import json

import merman
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Branch, Definition, Print, Step, Trigger, Wait, WaitEvent

ENGINE = merman.Merman()

NASTY = st.sampled_from(
    [
        "end",
        "graph",
        "subgraph x",
        "click n0 call f()",
        "A---oB",
        "A e1@--> B",
        "%%{init: {}}%%",
        "%% x",
        "```",
        "`md`",
        "**b**",
        "<b>",
        "</b>",
        "&lt;",
        "#quot;",
        "#35;",
    ]
    + [
        '"',
        '"]',
        "|",
        "||",
        "]]",
        "}}",
        "))",
        "\\",
        "\\n",
        "\n",
        "\r\n",
        "\t",
        "\x00",
        "\u2028",
        "\u202e",
        "$$x$$",
        "style n0 fill:red",
        "class n0 x",
        ";",
        ":::x",
        "@{shape: x}",
        "-->",
    ]
)
TEXTS = st.lists(st.one_of(NASTY, st.text(max_size=20)), min_size=1, max_size=5).map("".join).map(lambda text: text[:200] or "x")


@settings(max_examples=200, deadline=None)
@given(title=TEXTS, where=TEXTS, condition=TEXTS, words=TEXTS)
def test_any_text_gives_valid_mermaid_with_the_same_graph(title: str, where: str, condition: str, words: str) -> None:
    definition = Definition(
        name="a",
        version="1",
        on=[Trigger(id="t", event="order.placed", where=where)],
        steps=[
            Step(id="w", title=title, wait=Wait(events=[WaitEvent(id="x", event="end")], within="1h")),
            Step(id="end", title=title, needs=["w.timeout"], choose=[Branch(id="graph", if_=condition), Branch(id="o")]),
            Step(id="p", title=words, needs=["w", "end.graph"], join="any", if_=condition, print=Print(text=words)),
        ],
    )
    text = mermaid(definition, overlay={"w": "done", "p": "failed"})
    text.encode()
    assert ENGINE.validate(text, None).valid, text
    diagram = json.loads(ENGINE.parse_json(text, None))
    assert [node["id"] for node in diagram["nodes"]] == ["n0", "n1", "n2", "n3", "n4"], text
    assert [(edge["from"], edge["to"]) for edge in diagram["edges"]] == [("n0", "n1"), ("n1", "n2"), ("n1", "n3"), ("n2", "n3"), ("n3", "n4")], text
