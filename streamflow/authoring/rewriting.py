"""A text whose content has changed: written again where the content is another, and byte for byte the same elsewhere.

Operations change the content, which is plain data; what that means for the text is found here, by comparing. An item of
a list is known again because it is the same object, and else by its id or name.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from streamflow.authoring.layout import Layout, Member, is_block, is_block_scalar
from streamflow.authoring.rendering import entry, inline, item, scalar


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are the same for a reader of the text: 1, 1.0 and true are three values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def name_of(value: Any) -> str | None:
    """What identifies an item of a list: its `id` or its `name`, of a text the text itself."""
    if isinstance(value, dict):
        found = value.get("id", value.get("name"))
        return found if isinstance(found, str) else None
    return value if isinstance(value, str) else None


class Rewriting:
    """The content of a text, to be changed in place, and then the text with these changes."""

    def __init__(self, layout: Layout, content: Mapping[str, Any]) -> None:
        """`content` is what `layout.text` holds; it stays as it is."""
        self.content: dict[str, Any] = copy.deepcopy(dict(content))
        """Yours to change. An item of a list that is to keep its text stays the same object."""
        self._layout = layout
        self._text = layout.text
        self._json = layout.text.lstrip().startswith("{")
        self._was: dict[int, Any] = {}  # by node: its value in the text
        self._nodes: dict[int, Any] = {}  # by object of the content: its node
        self._kept: list[Any] = []  # no object may die while its address stands for a node
        self._follow(layout.root, content, self.content)

    def text(self, *, whole_items: bool = False) -> str:
        """The text that holds the content. With `whole_items` an item of a list in which anything changed is written
        again as a whole, for texts in which its parts cannot be distinguished."""
        self._whole_items = whole_items
        root = self._layout.root
        begin = int(root.start_mark.index)
        found = self._value(root, begin, self.content, bracketed=not is_block(root))
        if found is None:
            return "".join(entry(key, value, 0) + "\n" for key, value in self.content.items())
        return self._text[:begin] + found + self._text[self._layout.end_of(root) :]

    def _follow(self, node: Any, value: Any, twin: Any) -> None:
        self._was[id(node)] = value
        if isinstance(node, ScalarNode):
            return
        self._nodes[id(twin)] = node
        self._kept.append(twin)
        if isinstance(node, MappingNode):
            for (_, part), one, other in zip(node.value, value.values(), twin.values(), strict=True):
                self._follow(part, one, other)
        else:
            for part, one, other in zip(node.value, value, twin, strict=True):
                self._follow(part, one, other)

    def _value(self, node: Any, begin: int, new: Any, *, bracketed: bool) -> str | None:
        """The text of `node` from `begin` on with the value `new`; None where it has to be written with its key."""
        old = self._was[id(node)]
        if same(old, new):
            return self._text[begin : self._layout.end_of(node)]
        if isinstance(node, ScalarNode):
            if isinstance(new, dict | list) or is_block_scalar(node) or (isinstance(new, str) and "\n" in new):
                return None
            if node.start_mark.index == node.end_mark.index:  # nothing is written there, it has no place itself
                return None
            return json.dumps(new, ensure_ascii=False) if self._json else scalar(new)
        if not isinstance(new, dict if isinstance(node, MappingNode) else list) or not (new and node.value):
            return None
        members = self._layout.members(node, begin)
        pairs = self._fields(members, new) if isinstance(new, dict) else self._items(members, new)
        return self._bracketed(node, members, pairs) if bracketed else self._lines(node, begin, members, pairs)

    def _fields(self, members: list[Member], new: Mapping[str, Any]) -> list[tuple[Member | None, str | None, Any]]:
        """The members of a group as it is to be: those that were there in their order, each new one after the one
        before it."""
        known = {member.key: member for member in members}
        order: list[str] = [member.key for member in members if member.key is not None and member.key in new]
        place = 0
        for key in new:
            if key in known:
                place = order.index(key) + 1
            else:
                order.insert(place, key)
                place += 1
        return [(known.get(key), key, new[key]) for key in order]

    def _items(self, members: list[Member], new: list[Any]) -> list[tuple[Member | None, str | None, Any]]:
        """The member of each item of a list as it is to be: the one that it was, else one that says the same, else one
        of its name."""
        left = list(members)
        chosen: dict[int, Member] = {}

        def choose(fits: Callable[[Any, Any], bool]) -> None:
            for place, value in enumerate(new):
                found = next((member for member in left if place not in chosen and fits(member.value, value)), None)
                if found is not None:
                    left.remove(found)
                    chosen[place] = found

        choose(lambda node, value: self._nodes.get(id(value)) is node)
        choose(lambda node, value: same(self._was[id(node)], value))
        choose(lambda node, value: _alike(self._was[id(node)], value))
        return [(chosen.get(place), None, value) for place, value in enumerate(new)]

    def _lines(
        self, node: Any, begin: int, members: list[Member], pairs: list[tuple[Member | None, str | None, Any]]
    ) -> str:
        column = self._layout.column(int(node.start_mark.index))
        usual = Counter(member.gap for member in members[1:]).most_common(1)
        below = begin < node.start_mark.index  # a block below its key, with its own lines above its first member
        pieces: list[str] = []
        for place, (member, key, value) in enumerate(pairs):
            body = self._body(member, key, value, column)
            lead = member.lead if member is not None else ""
            if place:
                has_gap = member is not None and member is not members[0]
                gap = member.gap if member is not None and has_gap else usual[0][0] if usual else ""
                pieces += ["\n", gap, lead, " " * column, body]
            elif below:
                pieces += [members[0].gap, lead, " " * column, body]
            else:
                pieces.append(body)
        return "".join(pieces)

    def _body(self, member: Member | None, key: str | None, value: Any, column: int) -> str:
        if member is None:
            return _rendered(key, value, column)
        whole = (
            self._whole_items
            and key is None
            and isinstance(value, dict)
            and not same(self._was[id(member.value)], value)
        )
        written = (
            None if whole else self._value(member.value, member.begin, value, bracketed=_in_brackets(member.value))
        )
        behind = self._text[self._layout.end_of(member.value) : member.end]
        if written is not None:
            return self._text[member.body : member.begin] + written + behind
        rendered = _rendered(key, value, column)
        return rendered + behind if "\n" not in rendered + behind else rendered

    def _bracketed(self, node: Any, members: list[Member], pairs: list[tuple[Member | None, str | None, Any]]) -> str:
        opening = self._text[node.start_mark.index : members[0].body]
        closing = self._text[members[-1].end : node.end_mark.index]
        usual = members[1].gap if len(members) > 1 else "," + (opening[1:] or " ")
        pieces = [opening]
        for place, (member, key, value) in enumerate(pairs):
            if place:
                pieces.append(member.gap if member is not None and member is not members[0] else usual)
            pieces.append(self._part(member, key, value))
        return "".join([*pieces, closing])

    def _part(self, member: Member | None, key: str | None, value: Any) -> str:
        if member is not None:
            written = self._value(member.value, member.begin, value, bracketed=True)
            if written is not None:
                return self._text[member.body : member.begin] + written
        if key is None:
            return inline(value, as_json=self._json)
        if self._json:
            return f"{json.dumps(key, ensure_ascii=False)}: {inline(value, as_json=True)}"
        return inline({key: value}, as_json=False)[1:-1]


def _alike(old: Any, new: Any) -> bool:
    return isinstance(old, dict) and isinstance(new, dict) and name_of(new) is not None and name_of(old) == name_of(new)


def _in_brackets(node: Any) -> bool:
    return isinstance(node, MappingNode | SequenceNode) and bool(node.flow_style)


def _rendered(key: str | None, value: Any, column: int) -> str:
    return entry(key, value, column) if key is not None else item(value, column)
