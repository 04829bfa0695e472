"""What an answer of an HTTP server says, as text: its encoding, and the words for an answer that is refused."""

from __future__ import annotations

from streamflow.operations.egress import Answer

SAID_CHARS = 2000
_MOST_BYTES = 4  # of a character, in any encoding


def charset(parameters: str) -> str:
    """The encoding that the `parameters` of a content type name (RFC 9110, section 8.3.2), or else UTF-8."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value:
            return value.strip("\"' ")
    return "utf-8"


def said(answer: Answer) -> str:
    """The sentence that ends a message about an answer that is refused: the body's first `SAID_CHARS` characters, which
    usually say what was wrong. Empty when it has no body or the body is no text.

    It is nothing but the body at its end, so that a secret which is cut there is still found (`Redactor.message`)."""
    _, _, parameters = answer.headers.get("content-type", "").partition(";")
    try:
        text = answer.body[: SAID_CHARS * _MOST_BYTES].decode(charset(parameters), errors="replace")
    except (LookupError, ValueError):  # an encoding that there is not, or that is none of text
        text = answer.body[: SAID_CHARS * _MOST_BYTES].decode(errors="replace")
    text = text.strip()[:SAID_CHARS]
    return f" Its answer says: {text}" if text and "\0" not in text else ""
