"""The reference of settings, made from the tree itself: docs/settings.md is this text, and a test compares them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from streamflow.settings import Settings

_HEAD = """# Settings

Generated from `streamflow/settings` by `streamflow settings docs`. Do not edit.

Environment variables come first, then the YAML file that `STREAMFLOW_CONFIG` (or `--config`) names, then the defaults.
Unknown names in the file are refused. Secrets are references, `env:NAME` or `file:/path`, and are read when they are used.
`<NAME>` in a variable is a name of your choice; it is read in lower case.
"""  # noqa: E501

_ROW = "| `{variable}` | {default} | {limits} | {what} |\n"
_TABLE = "| variable | default | limits | meaning |\n|---|---|---|---|\n"
_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting: its path in the tree (and in the YAML file), environment variable, default, limits and
    description."""

    path: tuple[str, ...]
    variable: str
    default: str
    limits: str
    what: str


def entries() -> list[Entry]:
    """All settings, in the order of the tree."""
    return list(_walk(Settings, ()))


def markdown() -> str:
    """The whole reference."""
    text = _HEAD
    alone = [entry for entry in entries() if len(entry.path) == 1]
    for name, field in Settings.model_fields.items():
        section = _section(field)
        if section is not None:
            text += f"\n## {name}\n\n{_doc(section)}\n\n" + _table(
                [entry for entry in entries() if entry.path[0] == name]
            )
            text += "".join(_table_of_inner(name, inner) for inner in section.model_fields.items())
    return text + "\n## Others\n\n" + _table(alone)


def _table_of_inner(section: str, named: tuple[str, FieldInfo]) -> str:
    """The settings inside a setting that is a mapping of names to sections, or a section that may be unset."""
    name, field = named
    inner = next(
        (
            kind
            for kind in getattr(field.annotation, "__args__", ())
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ),
        None,
    )
    if inner is None:
        return ""
    mapping = getattr(field.annotation, "__origin__", None) is dict
    path, subject = ((section, name, "<name>"), "Each of ") if mapping else ((section, name), "")
    return f"\n{subject}`{section}.{name}`: {_doc(inner)}\n\n" + _table(list(_walk(inner, path)))


def _table(rows: list[Entry]) -> str:
    return _TABLE + "".join(
        _ROW.format(variable=row.variable, default=row.default, limits=row.limits, what=row.what.replace("|", "\\|"))
        for row in rows
    )


def _walk(model: type[BaseModel], above: tuple[str, ...], given: Any = None) -> Iterator[Entry]:
    """The settings of `model`; defaults are those of `given`, which is what its own section has by default."""
    for name, field in model.model_fields.items():
        path = (*above, name)
        default = field.get_default(call_default_factory=True) if given is None else getattr(given, name)
        section = _section(field)
        if section is not None:
            yield from _walk(section, path, default)
        else:
            shown = "required" if given is None and field.is_required() else _default(default)
            yield Entry(path, "STREAMFLOW_" + "__".join(path).upper(), shown, _limits(field), field.description or "")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _default(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"`{json.dumps(to_jsonable_python(value))}`"
    return "none" if value is None else f"`{value}`"


def _limits(field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    limits = [f"{_SIGNS[type(one)]} {_value(one)}" for one in field.metadata if type(one) in _SIGNS]
    return ", ".join(limits or [f"`{choice}`" for choice in choices])


def _value(limit: Any) -> Any:
    return next(getattr(limit, name) for name in ("ge", "gt", "le", "lt") if hasattr(limit, name))


def _choices(kind: Any) -> list[str]:
    found: list[str] = []
    for one in getattr(kind, "__args__", ()):
        if isinstance(one, str):
            found.append(one)
        elif one is not type(None):
            found += _choices(one)
    return found


def _doc(section: type) -> str:
    return " ".join((inspect.getdoc(section) or "").split())
