"""Where the parts of a YAML text stand: for each group of fields and each list its members, with the comments and blank
lines that belong to them.

A member of a block is a run of whole lines. Its *lead* are the comments directly above it, its *body* begins with its
key or its dash and ends at the end of the line on which its value ends, a comment on that line and deeper comments
below it included. The blank lines above the lead are the *gap* to the member before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from streamflow.definition.yaml_text import YAML
from streamflow.errors import DefinitionError, Problem

_BLOCK_SCALARS = ("|", ">")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A field of a group or an item of a list. All places are offsets into the text, ends exclusive."""

    key: str | None
    """The name of the field; None for an item."""

    value: Any
    """Its YAML node."""

    begin: int
    """Of its value, for a writer of the value: for a block below its key the first line of that block,
    with the comments above it."""

    gap: str
    """The blank lines between the member before and its lead, each with its line break. In brackets: what stands
    between the two."""

    lead: str
    """The lines of comment above it, each with its line break."""

    body: int
    """Where its key or its dash stands."""

    end: int
    """The end of its body, without a line break."""


def is_block(node: Any) -> bool:
    """Whether `node` is a group or a list that is written in lines, not in brackets."""
    return isinstance(node, MappingNode | SequenceNode) and not node.flow_style


def is_block_scalar(node: Any) -> bool:
    """Whether `node` is a text that is written in separate lines (`|` or `>`)."""
    return isinstance(node, ScalarNode) and node.style in _BLOCK_SCALARS


class Layout:
    """The parts of a text. `root` is its YAML node, a group of fields."""

    def __init__(self, text: str, root: Any = None) -> None:
        """`root` is the node of `text`, if there is one already. Raises DefinitionError for a text that uses anchors of
        YAML, of which a part cannot be written again without another one."""
        self.text = text
        try:
            self.root: Any = YAML(typ="safe").compose(text) if root is None else root
        except (YAMLError, RecursionError) as error:  # `load_text` says it better, and comes first
            raise _unfit(f"the text cannot be read: {str(error).splitlines()[0]}") from None
        self._ends: dict[int, int] = {}
        seen: set[int] = set()
        for node in _nodes(self.root):
            if id(node) in seen or getattr(node, "anchor", None):
                raise _unfit(
                    f"line {node.start_mark.line + 1} has an anchor or an alias, so that a change of one place would "
                    "change another"
                )
            seen.add(id(node))

    def members(self, node: Any, begin: int) -> list[Member]:
        """The members of a group or a list whose text begins at `begin`."""
        parts = [(part[0], part[1]) if isinstance(part, tuple) else (None, part) for part in node.value]
        for key, value in parts:
            if key is not None and _is_nothing(value):  # YAML has it where the next thing begins
                colon = self.text.find(":", key.end_mark.index)
                self._ends[id(value)] = colon + 1 if colon >= 0 else int(key.end_mark.index)
        return list(self._lines(node, parts, begin) if is_block(node) else self._bracketed(parts))

    def end_of(self, node: Any) -> int:
        """The end of the value `node`, exclusive: of a block the end of its last member's body."""
        if is_block(node) and node.value and id(node) not in self._ends:
            self._ends[id(node)] = self.members(node, node.start_mark.index)[-1].end
        if id(node) in self._ends:
            return self._ends[id(node)]
        end = int(node.end_mark.index)
        if is_block_scalar(node):
            header = self.text[node.start_mark.index : self._line_end(node.start_mark.index)]
            kept = "+" in header.partition("#")[0]
            body = self.text[node.start_mark.index : end]
            return int(node.start_mark.index) + len(body[:-1] if kept and body.endswith("\n") else body.rstrip())
        return end

    def column(self, offset: int) -> int:
        """How far from the left `offset` stands."""
        return offset - (self.text.rfind("\n", 0, offset) + 1)

    def _bracketed(self, parts: list[tuple[Any, Any]]) -> Iterator[Member]:
        before = None
        for key, value in parts:
            body = int((key or value).start_mark.index)
            end = self.end_of(value) if key is not None and _is_nothing(value) else int(value.end_mark.index)
            yield Member(
                key=_name(key),
                value=value,
                begin=self._value_begin(key, value, body),
                gap=self.text[before:body] if before is not None else "",
                lead="",
                body=body,
                end=end,
            )
            before = end

    def _lines(self, node: Any, parts: list[tuple[Any, Any]], begin: int) -> Iterator[Member]:
        column = self.column(node.start_mark.index)
        above = begin  # where the lines above a member begin; the first of a block in a line has none
        for number, (key, value) in enumerate(parts):
            if key is not None:
                body = int(key.start_mark.index)
            else:
                body = int(node.start_mark.index) if number == 0 else self._dash(above, column)
            first = self.text.rfind("\n", 0, body) + 1
            gap, lead = self._split(self.text[above:first]) if above < first else ("", "")
            end = self._body_end(value, column)
            yield Member(
                key=_name(key),
                value=value,
                begin=self._value_begin(key, value, body),
                gap=gap,
                lead=lead,
                body=body,
                end=end,
            )
            above = min(end + 1, len(self.text))

    def _dash(self, start: int, column: int) -> int:
        """The dash of the item whose lines begin at `start`."""
        while start < len(self.text):
            end = self._line_end(start)
            line = self.text[start:end]
            if line[column : column + 1] == "-" and not line[:column].strip():
                return start + column
            start = end + 1
        raise _unfit("a list is written in a way that cannot be edited")

    def _value_begin(self, key: Any, value: Any, body: int) -> int:
        start = int(value.start_mark.index)
        if not is_block(value):
            return self.end_of(value) if key is not None and _is_nothing(value) else start
        after = self._line_end(int(key.end_mark.index) if key is not None else body)
        return after + 1 if key is not None and after < start else start

    def _body_end(self, value: Any, column: int) -> int:
        """The end of the line on which `value` ends, or of the deeper comments below it."""
        end = self._line_end(self.end_of(value))
        while end < len(self.text):
            line_end = self._line_end(end + 1)
            line = self.text[end + 1 : line_end]
            below = len(line) - len(line.lstrip(" "))
            if not line.lstrip(" ").startswith("#") or below <= column:
                break
            end = line_end
        return end

    def _line_end(self, offset: int) -> int:
        found = self.text.find("\n", offset)
        return found if found >= 0 else len(self.text)

    @staticmethod
    def _split(lines: str) -> tuple[str, str]:
        """The blank lines at the beginning of `lines`, and the rest."""
        kept = lines.splitlines(keepends=True)
        blank = next((number for number, line in enumerate(kept) if line.strip()), len(kept))
        return "".join(kept[:blank]), "".join(kept[blank:])


def _name(key: Any) -> str | None:
    """The name of a field as the content has it: two escapes for the halves of one character are that character."""
    if key is None:
        return None
    text: str = key.value
    return text if text.isprintable() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _is_nothing(node: Any) -> bool:
    """Whether nothing is written where `node` is: a key without a value."""
    return isinstance(node, ScalarNode) and bool(node.start_mark.index == node.end_mark.index)


def _nodes(root: Any) -> Iterator[Any]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, MappingNode | SequenceNode):
            for part in node.value:
                pending += part if isinstance(part, tuple) else (part,)


def _unfit(reason: str) -> DefinitionError:
    return DefinitionError(
        [Problem("SF100", "", f"{reason}.", "Write it as plain YAML, without anchors, aliases and tags.")]
    )
