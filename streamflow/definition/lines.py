"""Where in a text something is that a JSON pointer names."""

from __future__ import annotations

from typing import Any

from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.error import YAMLError

from streamflow.definition.yaml_text import YAML


class Lines:
    """The line and the column of every place in a YAML or JSON text."""

    def __init__(self, text: str) -> None:
        try:
            self._root: Any = YAML(typ="rt").load(text)
        except (YAMLError, ValueError, RecursionError):
            self._root = None  # the problem says the line itself

    def of(self, pointer: str) -> tuple[int, int]:
        node: Any = self._root
        place = (1, 1) if self._root is not None else (0, 0)
        for part in pointer.split("/")[1:]:
            name: Any = part.replace("~1", "/").replace("~0", "~")
            try:
                if isinstance(node, CommentedSeq):
                    name = int(name)
                    line, column = node.lc.item(name)
                else:
                    line, column = node.lc.key(name)
                place = (int(line) + 1, int(column) + 1)
                node = node[name]
            except (AttributeError, KeyError, IndexError, TypeError, ValueError):
                break  # what is missing has no place: the place of what it is missing in
        return place
