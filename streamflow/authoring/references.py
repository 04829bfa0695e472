"""What expressions read of steps: `steps.<id>` and `errors.<id>`, found in their text and renamed there.

An expression is read as tokens (the CEL specification, section Syntax): a text in quotes or the field of another value
is never a reference.
"""

from __future__ import annotations

import re

from streamflow.definition.expression import compile_expression
from streamflow.errors import DefinitionError

_TOKEN = re.compile(
    r"""
    (?P<text>[bB]?[rR][bB]?(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<comment>//[^\n]*)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<space>\s+)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ROOTS = ("steps", "errors")


def with_step_renamed(source: str, old: str, new: str) -> str:
    """`source` with the step `old` called `new`. One that cannot be read is renamed as far as its tokens show."""
    renamed = _renamed(source, old, new)
    if renamed != source and old not in steps_read(source, otherwise=frozenset({old})):
        return source  # a variable of a macro is called like what holds the steps
    return renamed


def steps_read(source: str, otherwise: frozenset[str] = frozenset()) -> frozenset[str]:
    """The ids of the steps whose outputs or errors `source` reads; `otherwise` if it is no expression."""
    try:
        return compile_expression(source).steps
    except DefinitionError:
        return otherwise


def _renamed(source: str, old: str, new: str) -> str:
    tokens = [match for match in _TOKEN.finditer(source) if match.lastgroup not in ("space", "comment")]
    pieces: list[str] = []
    done = 0
    for place, token in enumerate(tokens):
        if token.lastgroup != "name" or token.group() not in _ROOTS or _is_field(tokens, place):
            continue
        found = _step_after(tokens, place)
        if found is None:
            continue
        written = found.group()
        if written == old:
            pieces += [source[done : found.start()], new]
        elif found.lastgroup == "text" and written[1:-1] == old and written[0] in "'\"":
            pieces += [source[done : found.start()], written[0], new, written[0]]
        else:
            continue
        done = found.end()
    return "".join([*pieces, source[done:]])


def _is_field(tokens: list[re.Match[str]], place: int) -> bool:
    """Whether the token is the field of another value, behind `.` or `.?`."""
    before = [token.group() for token in tokens[max(place - 2, 0) : place]]
    return before[-1:] == ["."] or before == [".", "?"]


def _step_after(tokens: list[re.Match[str]], place: int) -> re.Match[str] | None:
    """The token that names the step behind `steps` or `errors`: `.id`, `.?id`, `["id"]`, `[?"id"]`."""
    sign, *rest = (token for token in tokens[place + 1 : place + 4]) if place + 1 < len(tokens) else (None,)
    if sign is None or sign.group() not in (".", "["):
        return None
    named = rest[1:] if rest and rest[0].group() == "?" else rest
    return named[0] if named and named[0].lastgroup == ("name" if sign.group() == "." else "text") else None
