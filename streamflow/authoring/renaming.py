"""A step under another id, wherever the content names it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamflow.authoring.language import fields_of, texts_of
from streamflow.authoring.references import with_step_renamed
from streamflow.definition.model import Call, Expression, Need, Part, Retry, Step


def rename_step(content: dict[str, Any], old: str, new: str) -> None:
    """Gives the step `old` of `content` the id `new`, in needs, expressions and the output of the definition too."""
    for step in content.get("steps") or ():
        if step.get("id") == old:
            step["id"] = new
            break
    else:
        return
    for need in texts_of(Need, content):
        before, point, rest = need.text.partition(".")
        if before == old:
            need.write(new + point + rest)
    for expression in texts_of(Expression, content):
        expression.write(with_step_renamed(expression.text, old, new))
    if content.get("output") == old:
        content["output"] = new


def named_outcomes(step: dict[str, Any]) -> list[dict[str, Any]]:
    """The branches or events of a step that give its outcomes their names."""
    return _named(step, Step)


def rename_outcome(content: dict[str, Any], step: dict[str, Any], old: str, new: str) -> None:
    """Gives the branch or event `old` of a step of `content` the id `new`, in needs too."""
    for item in named_outcomes(step):
        if item.get("id") == old:
            item["id"] = new
    for need in texts_of(Need, content):
        if need.text == f"{step['id']}.{old}":
            need.write(f"{step['id']}.{new}")


def _named(holder: dict[str, Any], part: type[Part]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, form in fields_of(part).items():
        value = holder.get(name)
        if form.part is None or form.part in (Call, Retry):  # the ids in a call are codes of errors
            continue
        if isinstance(value, list) and "id" in fields_of(form.part):
            found += value
        elif isinstance(value, dict):
            found += _named(value, form.part)
    return found


def originals(renamed: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each id that is given in `renamed`, pairs of an old and a new id in the order in which they were renamed, the
    one that it had at first."""
    found: dict[str, str] = {}
    for old, new in renamed:
        found[new] = found.pop(old, old)
    return found
