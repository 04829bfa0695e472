"""Readers of YAML (1.2) whose work is bounded before they build anything.

The text of an author, or of a sender, is limited in its tokens and its depth while it is scanned.
Merge keys (`<<`) are refused: they are no part of YAML 1.2, and a few hundred bytes of them are copied into millions of
fields. Aliases are copied by nobody here; `syntax` counts what they stand for."""

from __future__ import annotations

from typing import Any, Literal, NoReturn

import ruamel.yaml
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor, SafeConstructor
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.scanner import RoundTripScanner, Scanner, ScannerError

TOKENS = 200_000
LEVELS = 60
_MERGE = "tag:yaml.org,2002:merge"


class _Bounded:
    """A scanner that counts."""

    _fetched = 0

    def fetch_more_tokens(self) -> Any:
        scanner: Any = self
        self._fetched += 1
        if self._fetched > TOKENS:
            raise ScannerError(problem=f"it has more than {TOKENS} tokens", problem_mark=scanner.reader.get_mark())
        if scanner.flow_level > LEVELS or len(scanner.indents) > LEVELS:
            raise ScannerError(
                problem=f"it is nested more than {LEVELS} levels deep", problem_mark=scanner.reader.get_mark()
            )
        return super().fetch_more_tokens()  # type: ignore[misc]


class _BoundedScanner(_Bounded, Scanner):
    pass


class _BoundedRoundTripScanner(_Bounded, RoundTripScanner):
    pass


class _QuietComposer(Composer):
    """An anchor may be used again (YAML 1.2, 3.2.2.2): no warning on stderr."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.warn_double_anchors = False


def _refuse_keys(node: Any) -> None:
    """Refuse what JSON has no keys for."""
    for key, _ in node.value:
        if key.tag == _MERGE:
            _fail("merge keys (<<) are not read, write the fields out", key)
        if not isinstance(key, ScalarNode):  # ruamel fails in several ways at those that cannot be hashed
            _fail("a list or a map is the name of a field, write a text", key)


def _fail(problem: str, node: Any) -> NoReturn:
    raise ConstructorError(problem=problem, problem_mark=node.start_mark)


class PlainConstructor(SafeConstructor):
    """Builds plain data."""

    def flatten_mapping(self, node: Any) -> Any:
        _refuse_keys(node)


class _RoundTripConstructor(RoundTripConstructor):
    def flatten_mapping(self, node: Any) -> Any:
        _refuse_keys(node)
        return super().flatten_mapping(node)


class YAML(ruamel.yaml.YAML):
    """ruamel's YAML for plain data (`safe`), or (`rt`) for data that knows its lines. Its `load` raises YAMLError for a
    text beyond the limits. A `Constructor` of one's own is a `PlainConstructor`."""

    def __init__(self, *, typ: Literal["safe", "rt"], pure: bool = True) -> None:
        super().__init__(typ=typ, pure=pure)
        self.Composer = _QuietComposer
        if typ == "safe":
            self.version = "1.2"  # of a writer it would become a first line
            self.Scanner, self.Constructor = _BoundedScanner, PlainConstructor
        else:
            self.Scanner, self.Constructor = _BoundedRoundTripScanner, _RoundTripConstructor
