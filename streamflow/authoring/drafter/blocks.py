"""Blocks of things to be done: in which one each step stands, what is done before it, and which ids are taken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from streamflow.authoring.drafter.process import Always, Ask, Await, Do, Node
from streamflow.definition.graph_check import RESERVED

Block = list[Node]


@dataclass(slots=True)
class Opened:
    """The last condition: what it decides, for `otherwise`."""

    node: Node
    outcomes: frozenset[str] = frozenset()  # of a step; none: it is a choice by data
    fields: frozenset[str] = frozenset()  # that the condition reads
    enclosing: Block = field(default_factory=list)


class Blocks:
    """The blocks of a process that is read. `taken` are ids that no step may have."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._ids = set(taken)
        self._homes: dict[int, Block] = {}  # by id of the node: the block that it is in
        self._done: dict[int, frozenset[str]] = {}  # by block: steps done before it begins

    def take(self, ids: Iterable[str]) -> None:
        """No step may have these ids."""
        self._ids.update(ids)

    def begin(self, block: Block, done: frozenset[str]) -> None:
        """`block` begins where the steps `done` are done."""
        self._done[id(block)] = done

    def append(self, node: Node, block: Block) -> None:
        """`node` is done last in `block`."""
        block.append(node)
        self._homes[id(node)] = block

    def home(self, node: Node) -> Block:
        """The block that `node` is in."""
        return self._homes[id(node)]

    def done_at(self, block: Block, before: Node | None = None) -> frozenset[str]:
        """The steps that are done where the next action of `block` stands, or at `before`."""
        own: set[str] = set()
        for node in block:
            if node is before:
                break
            if isinstance(node, Always):
                own.clear()
            elif isinstance(node, Ask | Await | Do):
                own.add(node.id)
        return self._done.get(id(block), frozenset()) | own

    def new_id(self, text: str) -> str:
        """An id like `text` that no step has yet; it is taken from now on."""
        plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:50] or "step"
        plain = plain if plain[0].isalpha() else f"step_{plain}"
        plain = f"{plain}_step" if plain in RESERVED else plain
        number, found = 2, plain
        while found in self._ids:
            found, number = f"{plain}_{number}", number + 1
        self._ids.add(found)
        return found
