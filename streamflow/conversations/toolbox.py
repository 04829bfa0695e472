"""The tools of the assistant. None of them publishes, runs, calls out or reads a secret: they look up the catalog, show
what was understood, and try operations on a copy of the draft."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import apply_tool
from streamflow.conversations.events import Mode, Understood
from streamflow.models.tools import Tool

SEARCH = "search_catalog"
LOOK_UP = "get_entries"
UNDERSTAND = "understand"
APPLY = "apply"
_QUESTIONS = 3
_CHOICES = 4
_STATEMENTS = 40

_TEXT = {"type": "string", "minLength": 1, "maxLength": 1000}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@cache
def tools_of(mode: Mode) -> tuple[Tool, ...]:
    """The tools of a turn: in `ask` none that says or changes anything of the draft, in `plan` none that changes it."""
    found = [
        Tool(SEARCH, "Finds events and operations of the catalog by words.", _object(text=_TEXT)),
        Tool(
            LOOK_UP,
            "Shows entries of the catalog whole, with their fields.",
            _object(names={"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 12}),
        ),
    ]
    if mode != "ask":
        found.append(Tool(UNDERSTAND, "Shows the person what you understood, and asks.", _understand()))
    if mode == "edit":
        applying = apply_tool()
        found.append(Tool(applying["name"], applying["description"], applying["parameters"]))
    return tuple(found)


def _understand() -> dict[str, Any]:
    statement = _object(
        origin={"enum": ["said", "assumed", "missing"]},
        text=_TEXT,
        steps={"type": "array", "items": {"type": "string", "maxLength": 100}, "maxItems": 20},
    )
    question = _object(text=_TEXT, choices={"type": "array", "items": _TEXT, "maxItems": _CHOICES})
    return _object(
        statements={"type": "array", "items": statement, "minItems": 1, "maxItems": _STATEMENTS},
        questions={"type": "array", "items": question, "maxItems": _QUESTIONS},
    )


def read_understood(turn: str, given: Mapping[str, Any], draft: Draft) -> Understood:
    """The event of a call of `understand`, whose arguments fit its schema. A step that the draft does not have yet is
    an address all the same: the statement may be about one that is to come."""
    statements = [
        {
            "number": number,
            "origin": one["origin"],
            "text": one["text"],
            "addresses": [f"/steps/{step}" for step in one["steps"]],
            "span": None,
        }
        for number, one in enumerate(given["statements"], 1)
    ]
    questions = [
        {
            "kind": "asked",
            "text": one["text"],
            "blocks": True,
            "addresses": [],
            "gaps": [],
            "phrase": "",
            "span": None,
            "choices": [{"text": choice, "operations": [], "sentence": choice} for choice in one["choices"]],
        }
        for one in given["questions"]
    ]
    return Understood(turn=turn, statements=statements, questions=questions)
