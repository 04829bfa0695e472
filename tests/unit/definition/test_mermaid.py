from __future__ import annotations

import json
from typing import Any

import merman

from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.mermaid import mermaid
from streamflow.definition.syntax import parse_definition
from tests.unit.definition.examples import CATALOG, GOOD, OUTSIDE

DEFINITION = parse_definition(GOOD)


def parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(merman.Merman().parse_json(text, None))
    return found


def test_every_step_is_a_node_of_its_shape_and_every_need_an_edge_with_its_outcome() -> None:
    diagram = parsed(mermaid(DEFINITION, CATALOG))
    assert {node["id"]: node["shape"] for node in diagram["nodes"]} == {
        "n0": "stadium",
        "n1": "hexagon",
        "n2": "square",
        "n3": "diamond",
        "n4": "lean_right",
        "n5": "stadium",
        "n6": "odd",
        "n7": "doublecircle",
    }
    assert [(edge["from"], edge["to"], edge["label"] or "") for edge in diagram["edges"]] == [
        ("n0", "n1", ""),
        ("n1", "n2", ""),
        ("n2", "n3", ""),
        ("n3", "n4", "large"),
        ("n3", "n5", "small"),
        ("n1", "n6", "timeout"),
        ("n4", "n7", ""),
        ("n5", "n7", ""),
        ("n6", "n7", ""),
    ]
    labels = {node["id"]: node["label"] for node in diagram["nodes"]}
    assert labels["n0"].startswith("When<br/>Order placed<br/>")
    assert labels["n1"] == "Wait for the payment<br/>wait for payment.captured<br/>at most 24h"


def test_what_is_done_outside_has_shapes_of_its_own_and_undoing_is_dotted() -> None:
    diagram = parsed(mermaid(parse_definition(OUTSIDE), CATALOG))
    assert {node["id"]: node["shape"] for node in diagram["nodes"]} == {
        "n0": "stadium",
        "n1": "stadium",
        "n2": "round",
        "n3": "trapezoid",
        "n4": "subroutine",
        "n5": "inv_trapezoid",
        "n6": "square",
        "n7": "circle",
        "n8": "odd",
        "n9": "odd",
        "n10": "doublecircle",
        "n11": "round",
    }
    labels = {node["id"]: node["label"] for node in diagram["nodes"]}
    assert labels["n1"] == "When<br/>it is asked for"
    assert labels["n2"] == "Take the money<br/>call Charge a card<br/>up to 4 times<br/>at most 1h"
    assert labels["n3"].startswith("reserve<br/>for each of ")
    assert labels["n3"].endswith(", 3 at once<br/>call stock.reserve")
    assert labels["n4"] == "parcels<br/>run parcel@1<br/>at most 2d"
    assert labels["n5"] == "ask<br/>ask clerks, anna: 'well?'<br/>at most 2h"
    assert labels["n7"].startswith("refused<br/>fail: has(")
    assert labels["n11"] == "undo: Take the money<br/>call card.refund"
    edges = [(edge["from"], edge["to"], edge["label"] or "", edge["stroke"]) for edge in diagram["edges"]]
    assert ("n2", "n8", "failure", "normal") in edges
    assert ("n2", "n9", "timeout", "normal") in edges
    assert [edge for edge in edges if "n11" in edge[:2]] == [("n2", "n11", "undo", "dotted")]
    assert [edge for edge in edges if edge[0] in ("n0", "n1")] == [
        ("n0", "n2", "", "normal"),
        ("n1", "n2", "", "normal"),
    ]


def test_the_undoing_of_a_step_is_coloured_too() -> None:
    diagram = parsed(mermaid(parse_definition(OUTSIDE), CATALOG, overlay={"charge": "done", "charge.undo": "parked"}))
    assert {node["id"]: node["classes"] for node in diagram["nodes"] if node["classes"]} == {
        "n2": ["done"],
        "n11": ["parked"],
    }


def test_a_hash_is_only_told_when_it_is_that_of_what_would_be_published() -> None:
    assert "streamflow:sha256" in mermaid(parse_definition(OUTSIDE), CATALOG)
    assert "streamflow:sha256" not in mermaid(parse_definition(OUTSIDE), CATALOG.model_copy(update={"operations": []}))


def test_comments_name_steps_and_content() -> None:
    text = mermaid(DEFINITION, CATALOG)
    assert "%% streamflow:definition=order-payment@1.0.0" in text
    assert f"%% streamflow:sha256={sha256_of(canonical(DEFINITION, CATALOG))}" in text
    lines = text.splitlines()
    assert lines[lines.index("  %% streamflow:step=paid") + 1].startswith("  n1{{")


def test_an_overlay_colours_the_states_of_a_run() -> None:
    diagram = parsed(
        mermaid(
            DEFINITION, overlay={"paid": "done", "total": "done", "size": "parked", "rest": "bogus", "gone": "done"}
        )
    )
    assert {node["id"]: node["classes"] for node in diagram["nodes"] if node["classes"]} == {
        "n1": ["done"],
        "n2": ["done"],
        "n3": ["parked"],
    }


def test_a_faulty_definition_is_drawn_as_far_as_it_goes() -> None:
    text = mermaid(parse_definition(GOOD.replace("needs: [paid]", "needs: [gone]")), CATALOG)
    assert merman.Merman().validate(text, None).valid


def test_nothing_that_an_author_wrote_is_syntax() -> None:
    nasty = 'x"]; click n0 "javascript:alert(1)" %%{init: {}}%% <script>alert(1)</script> `end` #quot; A---oB'
    diagram = parsed(
        mermaid(DEFINITION.model_copy(update={"steps": [DEFINITION.steps[0].model_copy(update={"title": nasty})]}))
    )
    assert [node["id"] for node in diagram["nodes"]] == ["n0", "n1", "n2"]
    assert all(node["link"] is None and not node["haveCallback"] for node in diagram["nodes"])
    assert [(edge["from"], edge["to"]) for edge in diagram["edges"]] == [("n0", "n1"), ("n1", "n2")]
