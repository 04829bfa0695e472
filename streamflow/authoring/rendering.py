"""Plain values as YAML text, in the way in which definitions are written by hand: small groups on one line, larger ones
in blocks."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from streamflow.definition.yaml_text import YAML

_LINE = 100  # characters of a group that is written on one line


def entry(key: str, value: Any, indent: int) -> str:
    """`key: value` in block style for a place `indent` columns from the left: its first line without that indent, and
    without a line break at its end."""
    return _indented(_dumped({key: _styled(value)}), indent)


def item(value: Any, indent: int) -> str:
    """`- value` of a list, likewise; `indent` is the column of the dash."""
    return _indented(_dumped(CommentedSeq([_styled(value)])), indent)


def inline(value: Any, *, as_json: bool) -> str:
    """`value` on one line, for a place between brackets; as strict JSON if the text around it is JSON."""
    if as_json:
        return json.dumps(value, ensure_ascii=False)
    return _dumped(_flow([value])).strip().removeprefix("[").removesuffix("]")


def scalar(value: Any) -> str:
    """A text, a number, true, false or null on one line, for any place that is not JSON."""
    return inline(value, as_json=False)


def _dumped(value: Any) -> str:
    writer = YAML(typ="rt")
    writer.default_flow_style = False
    writer.brace_single_entry_mapping_in_flow_sequence = True
    writer.width = 1_000_000  # lines are broken by nobody but the author
    writer.indent(mapping=2, sequence=4, offset=2)
    target = io.StringIO()
    writer.dump(value, target)
    return target.getvalue()


def _indented(text: str, indent: int) -> str:
    lines = text.rstrip("\n").split("\n")
    margin = min(len(line) - len(line.lstrip(" ")) for line in lines if line.strip())
    first, *others = (line[margin:] for line in lines)
    return "\n".join([first, *(" " * indent + line if line else line for line in others)])


def _styled(value: Any) -> Any:
    """`value` with a style for each of its groups."""
    if isinstance(value, str):
        return LiteralScalarString(value) if _is_literal(value) else _quoted(value)
    if isinstance(value, Mapping | list) and _fits_a_line(value):
        return _flow(value)
    if isinstance(value, Mapping):
        return CommentedMap((key, _styled(one)) for key, one in value.items())
    return CommentedSeq(_styled(one) for one in value) if isinstance(value, list) else value


def _quoted(text: str) -> str:
    """What YAML takes for a line break, or cannot show, is escaped."""
    return text if text.isprintable() else DoubleQuotedScalarString(text)


def _is_literal(text: str) -> bool:
    """Whether a block of lines holds the text as it is."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and all(line.isprintable() and line == line.rstrip() for line in lines)
        and text == text.strip("\n") + "\n"
        and not text.startswith(" ")
    )


def _fits_a_line(value: Mapping[str, Any] | Sequence[Any]) -> bool:
    """Whether hands would write it on one line: it is small, and in it are at most small things."""
    parts = list(value.values()) if isinstance(value, Mapping) else list(value)
    if any(isinstance(part, str) and "\n" in part for part in parts):
        return False
    deep = any(isinstance(part, Mapping | list) and part for part in parts)
    return (not deep or _is_schema(value)) and len(json.dumps(value, ensure_ascii=False)) <= _LINE


def _is_schema(value: Any) -> bool:
    return isinstance(value, Mapping) and "type" in value


def _flow(value: Any) -> Any:
    if isinstance(value, Mapping):
        group = CommentedMap((key, _flow(one)) for key, one in value.items())
        group.fa.set_flow_style()
        return group
    if isinstance(value, list):
        items = CommentedSeq(_flow(one) for one in value)
        items.fa.set_flow_style()
        return items
    return _quoted(value) if isinstance(value, str) else value
