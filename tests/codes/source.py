"""Which codes there are: read from the code, so that none can be left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from streamflow.definition.expression import ERRORS
from streamflow.operations.registry import Registry
from streamflow.settings import Settings

PROJECT = Path(__file__).parents[2]
_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

# What takes the code of an error, among its first arguments or as one of these words.
RAISERS = frozenset(
    {
        *("OperationError", "Rejected", "EngineFault", "DecodeError", "ExpressionError", "ParkStep", "Refused"),
        *("Refusal", "Failure", "RecordRejection", "DeadLetter", "FailAttempt", "Unreadable", "Prepared"),
        *("undecidable", "refused", "_refusal", "_fail", "failed_output", "_StartFailed", "dead_letter"),
        *("_Obstacle", "give_up", "fail"),
    }
)
# Assigned first, and raised by the name of a variable.
_ASSIGNED = {
    "batch_too_large": "kafka",
    "batch_unreadable": "kafka",
    "decision_failed": "core",
    "definition_unapproved": "core",
    "out_of_memory": "core",
    "queue_expired": "engine",
}
_WORDS = ("code", "reason")
_FIRST = 4
# Words that stand among those arguments and are no codes.
_OTHERS = frozenset(
    {
        *("rejected", "ingress", "engine", "tasks", "emit", "open", "replayed", "dropped", "definition"),
        *("behind", "dead", "each", "early", "outputs", "duplicate"),
    }
)


@cache
def _calls() -> tuple[tuple[str, ast.Call], ...]:
    """Every call in the code of the product, with its package (`ops`, `wire`, ...)."""
    product = PROJECT / "streamflow"
    return tuple(
        (path.relative_to(product).parts[0].removesuffix(".py"), node)
        for path in sorted(product.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    )


@cache
def codes() -> dict[str, set[str]]:
    """Every code that the product raises, with the packages that raise it."""
    found: dict[str, set[str]] = {}
    for package, call in _calls():
        for code in _raised(call):
            found.setdefault(code, set()).add(package)
    for one in Registry(Settings()).registered():
        for error in one.operation.spec.errors:
            found.setdefault(error.id, set()).add("operations")
    for code, package in _ASSIGNED.items():
        found.setdefault(code, set()).add(package)
    for code in ERRORS:
        found.setdefault(code, set()).add("definition")
    return found


@cache
def templates() -> dict[str, str]:
    """For each code a message as it is written in the code, with `...` for what is put in; the shortest of several."""
    found: dict[str, str] = {}
    for _, call in _calls():
        if _name(call.func) not in RAISERS:
            continue
        for at, place in enumerate(call.args[:_FIRST]):
            text = _template(call.args[at + 1]) if at + 1 < len(call.args) else ""
            for code in _texts(place):
                if len(text) > len(code) and (code not in found or len(text) < len(found[code])):
                    found[code] = text
    return found


def _template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
    return ""


def _raised(call: ast.Call) -> Iterator[str]:
    named = [word.value for word in call.keywords if word.arg in _WORDS]
    first = call.args[:_FIRST] if _name(call.func) in RAISERS else []
    yield from (code for place in [*first, *named] for code in _texts(place))


def _texts(node: ast.expr) -> Iterator[str]:
    """The codes that an expression may be: a text, or one of two."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
        if node.value not in _OTHERS:
            yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
