"""Conditions as JavaScript writes them, as CEL: comparisons of paths, texts and numbers, joined with && and ||. What
computes more is refused."""

from __future__ import annotations

import re
from typing import Any

from streamflow.importing.report import Refused
from streamflow.importing.templates import Names, require_length

_TOKEN = re.compile(
    r"""\s*(?:(?P<template>\{\{.*?\}\})
    |(?P<number>-?\d+(?:\.\d+)?(?![\w.]))
    |(?P<text>'(?:[^'\\]|\\['"\\])*'|"(?:[^"\\]|\\['"\\])*")
    |(?P<sign>===|!==|==|!=|>=|<=|&&|\|\||[()!<>])
    |(?P<path>[A-Za-z_$][\w$-]*(?:\.[\w$-]+|\[\d+\]|\['[^']*'\]|\["[^"]*"\])*(?!\s*\()))""",
    re.X,
)
_SIGNS = {"===": "==", "!==": "!="}
_WORDS = frozenset({"true", "false", "null"})


def condition(value: Any, names: Names) -> str:
    """The CEL condition that `value` means. Raises Refused."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str) or not value.strip():
        raise Refused("the condition is no text.", "Write a comparison, such as {{check.score}} > 10.")
    require_length(value)
    pieces: list[str] = []
    end, text = 0, value.rstrip()
    while end < len(text):
        found = _TOKEN.match(text, end)
        if found is None:
            raise Refused(
                f"the condition cannot be read from `{text[end : end + 30].strip()}` on: only comparisons of paths, "
                "texts and numbers are.",
                "Write the condition in CEL as the step's `if` after the import.",
            )
        pieces.append(_piece(found, names))
        end = found.end()
    joined = " ".join(pieces)
    return re.sub(r"! (?=\S)", "!", joined.replace("( ", "(").replace(" )", ")"))


def _piece(found: re.Match[str], names: Names) -> str:
    kind, text = found.lastgroup, found[found.lastgroup or 0]
    if kind == "template":
        return names.text(text)
    if kind == "text":
        inner = names.text(re.sub(r"\\(.)", r"\1", text[1:-1]))
        # A template within quotes is text there, whatever it is.
        whole = text[1:-1].startswith("{{") and not inner.startswith(("'", "string("))
        return f"string({inner})" if whole else f"({inner})" if " + " in inner and "{{" in text else inner
    if kind == "path":
        if text == "undefined":
            raise Refused("`undefined` is no value.", "Ask with has(...) in CEL after the import.")
        return text if text in _WORDS else names.path(text)
    return _SIGNS.get(text, text)
