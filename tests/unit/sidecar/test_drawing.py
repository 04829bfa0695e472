"""Pictures of diagrams: lines of labels stay lines, what an author wrote stays text, and a picture is drawn once."""

from __future__ import annotations

import re

import merman

from streamflow.definition.mermaid import mermaid
from streamflow.definition.syntax import parse_definition
from streamflow.sidecar.drawing import _PLAIN, svg

DEFINITION = parse_definition("""
name: d
version: "1"
on: [{id: a, event: payment.authorised}]
steps:
- {id: one, title: "<br/> <b>bold</b> & \\"quoted\\"", if: "trigger.amount_cents > 1", print: {text: "'x'"}}
- {id: two, needs: [one], title: "<script>alert(1)</script>", print: {text: "'javascript:alert(1)'"}}
""")


def test_the_picture_is_that_of_the_text() -> None:
    """The text is given to the library with line breaks that it reads faster; what it draws is the same."""
    text = mermaid(DEFINITION)
    assert text.count("<br/>") >= 3

    drawn, whole = svg(text), merman.Merman().render_svg(_PLAIN + text, None)

    assert drawn[drawn.index(">") :] == whole[whole.index(">") :]  # but for the size in the first tag
    assert len(set(re.findall(r'<tspan[^>]* y="([^"]*)"', drawn))) > 1


def test_what_an_author_wrote_is_text_in_a_picture() -> None:
    drawn = svg(mermaid(DEFINITION))

    assert not re.search(r"<(?:script|b|br|foreignObject)\b|\bon\w+=|href=", drawn)
    assert "alert(1)" in drawn


def test_a_picture_is_drawn_once() -> None:
    text = mermaid(DEFINITION)

    assert svg(text) is svg(text)
