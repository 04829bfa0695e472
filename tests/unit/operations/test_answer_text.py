"""What a message keeps of an answer that was refused."""

from __future__ import annotations

import pytest

from streamflow.errors import OperationError
from streamflow.operations.answer_text import SAID_CHARS, said
from streamflow.operations.egress import Answer
from streamflow.operations.http import judge
from streamflow.secrets import Redactor


def an_answer(body: bytes, kind: str = "application/json", status: int = 422) -> Answer:
    return Answer(status, {"content-type": kind}, body)


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b'{"error": "amount is missing"}', "application/json", '{"error": "amount is missing"}'),
        (b"  no such order\n", "text/plain", "no such order"),
        ("Käse".encode("latin-1"), "text/plain; charset=latin-1", "Käse"),
        ("zu spät".encode("utf-16"), 'text/plain; charset="utf-16"', "zu spät"),
        (b"K\xe4se", "text/plain", "K\ufffdse"),
        (b"said", "text/plain; charset=no-such", "said"),
        (b"said", "text/plain; charset=zlib", "said"),
        (b"said", "", "said"),
    ],
)
def test_the_body_is_kept_as_text(body: bytes, kind: str, text: str) -> None:
    assert said(an_answer(body, kind)) == f" Its answer says: {text}"


@pytest.mark.parametrize("body", [b"", b" \n", b"PNG\0\1\2"])
def test_nothing_is_kept_of_what_is_no_text(body: bytes) -> None:
    assert said(an_answer(body)) == ""


@pytest.mark.parametrize("letter", ["x", "ä", "水", "😀"])
def test_a_long_body_is_cut(letter: str) -> None:
    text = said(an_answer((letter * 100_000).encode()))
    assert text == f" Its answer says: {letter * SAID_CHARS}"


@pytest.mark.parametrize("status", [304, 400, 404, 408, 422, 429, 500, 503])
def test_every_refused_answer_is_told(status: int) -> None:
    with pytest.raises(OperationError) as refused:
        judge(an_answer(b"amount is missing", status=status), {"url": "http://example.org/"})
    assert refused.value.message.endswith(". Its answer says: amount is missing")


@pytest.mark.parametrize("place", ["whole", "cut"])
def test_a_secret_in_it_is_replaced_also_where_it_is_cut(place: str) -> None:
    secret = "open-sesame-of-the-partner"
    before = SAID_CHARS - 12 if place == "cut" else 5
    redactor = Redactor()
    redactor.add(secret)
    text = redactor.message(said(an_answer(b"-" * before + secret.encode() + b"-" * 50)))
    assert "[secret]" in text
    assert "sesame" not in text
