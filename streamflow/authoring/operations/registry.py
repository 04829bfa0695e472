"""All operations on drafts, by name: how they are read, and how they are offered to language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Union

from pydantic import TypeAdapter

from streamflow.authoring.operations.add_step import AddStep
from streamflow.authoring.operations.insert_between import InsertBetween
from streamflow.authoring.operations.move_branch import MoveBranch
from streamflow.authoring.operations.operation import Operation, meant
from streamflow.authoring.operations.remove_step import RemoveStep
from streamflow.authoring.operations.rename import Rename
from streamflow.authoring.operations.replace_step import ReplaceStep
from streamflow.authoring.operations.set_field import SetField
from streamflow.authoring.operations.set_trigger import SetTrigger
from streamflow.definition.syntax import validated
from streamflow.errors import DefinitionError, Problem

OPERATIONS: tuple[type[Operation], ...] = (
    AddStep,
    InsertBetween,
    RemoveStep,
    SetField,
    Rename,
    MoveBranch,
    SetTrigger,
    ReplaceStep,
)
"""Every operation, in the order in which they are named to authors."""

MOST = 100  # operations of one edit

_BY_NAME: dict[str, type[Operation]] = {kind.model_fields["op"].annotation.__args__[0]: kind for kind in OPERATIONS}  # type: ignore[union-attr]


def names() -> tuple[str, ...]:
    """The names of all operations."""
    return tuple(_BY_NAME)


def read_operations(value: Any) -> tuple[Operation, ...]:
    """The operations that `value` holds: a list of plain data as JSON has it, or a group with the field `operations`.

    Raises DefinitionError (`edit_malformed`) with every problem of their shape; unknown names and fields are among
    them. Pointers lead into the list."""
    if isinstance(value, dict) and set(value) == {"operations"}:
        value = value["operations"]
    if not isinstance(value, list) or not value:
        raise _malformed([Problem("SF103", "", "expected a list of operations.", "Write [{op: ...}, ...].")])
    if len(value) > MOST:
        text = f"expected at most {MOST} operations but found {len(value)}."
        raise _malformed([Problem("SF106", "", text, "Apply them in several edits.")])
    found: list[Operation] = []
    problems: list[Problem] = []
    for index, one in enumerate(value):
        try:
            found.append(_read(one))
        except DefinitionError as error:
            problems += [replace(problem, pointer=f"/{index}{problem.pointer}") for problem in error.problems]
    if problems:
        raise _malformed(problems)
    return tuple(found)


def _read(value: Any) -> Operation:
    if isinstance(value, Operation):
        return value
    name = value.get("op") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise DefinitionError(
            [Problem("SF102", "/op", "the field `op` is missing.", f"Name one of {', '.join(_BY_NAME)}.")]
        )
    kind = _BY_NAME.get(name)
    if kind is None:
        raise DefinitionError(
            [
                Problem(
                    "SF105",
                    "/op",
                    f"there is no operation `{name[:60]}`.",
                    meant(name, list(_BY_NAME), "The operations are"),
                )
            ]
        )
    return validated(kind, value)


def _malformed(problems: Sequence[Problem]) -> DefinitionError:
    lines = "\n".join(map(str, problems))
    return DefinitionError(
        tuple(problems),
        code="edit_malformed",
        message=f"The operations cannot be read, because of {len(problems)} problem(s). Correct them.\n{lines}",
    )


def tools() -> list[dict[str, Any]]:
    """The operations as tools of a language model: for each one `name`, `description` and `parameters`, a JSON Schema
    that stands alone. They follow from the language's own models."""
    return [
        {"name": name, "description": " ".join((kind.__doc__ or "").split()), "parameters": _parameters(kind)}
        for name, kind in _BY_NAME.items()
    ]


def apply_tool() -> dict[str, Any]:
    """All operations as one tool, in the same form: it takes a list of them, which is applied as one unit."""
    schema = TypeAdapter(list[Union[OPERATIONS]]).json_schema(by_alias=True)  # type: ignore[valid-type]  # noqa: UP007
    shared = schema.pop("$defs", {})
    parameters = {
        "type": "object",
        "properties": {"operations": {**schema, "minItems": 1, "maxItems": MOST}},
        "required": ["operations"],
        "additionalProperties": False,
        "$defs": shared,
    }
    description = "Change the draft by a list of operations, all of them or none."
    return {"name": "apply", "description": description, "parameters": parameters}


def _parameters(kind: type[Operation]) -> dict[str, Any]:
    """The schema of an operation without its name, which the tool has."""
    schema = kind.model_json_schema(by_alias=True)
    properties = {name: field for name, field in schema["properties"].items() if name != "op"}
    required = [name for name in schema.get("required", ()) if name != "op"]
    rest = {name: value for name, value in schema.items() if name not in ("properties", "required", "description")}
    return {**rest, "properties": properties, "required": required}
