"""The search attributes that definitions declare, by the sha256 of their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import structlog

from streamflow.engine.transitions import RunStarted
from streamflow.history.projection import RecordedTransition
from streamflow.kafka.publication import read_log
from streamflow.settings import Settings
from streamflow.wire.unreadable import UNREADABLE

_log = structlog.get_logger(__name__)


class _Attribute(msgspec.Struct):
    name: str
    path: str


class _Definition(msgspec.Struct):
    search: list[_Attribute] = []


class _Content(msgspec.Struct):
    definition: _Definition


class Searches:
    """Read from the definitions log when a run with a content begins that is not known yet: the log had it before any
    start named it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, Mapping[str, str]] = {}

    def learn(self, batch: Iterable[RecordedTransition]) -> None:
        """Have what the runs need that begin in `batch`. Raises OperationError if the log cannot be read."""
        needed = {each.transition.data.sha for each in batch if isinstance(each.transition.data, RunStarted)}
        missing = needed - self._known.keys()
        if not missing:
            return
        contents = read_log(self._settings).contents
        for sha, (content, _) in contents.items():
            if sha not in self._known:
                self._known[sha] = declared(content)
        if gone := missing - contents.keys():
            _log.warning("history_content_gone", contents=sorted(gone), consequence="their runs have no attributes")
            self._known.update({sha: {} for sha in gone})

    def of(self, sha: str) -> Mapping[str, str]:
        """The path by name of each attribute that a content declares."""
        return self._known.get(sha, {})


def declared(content: bytes) -> dict[str, str]:
    """The attributes that canonical content declares: the path by name."""
    try:
        found = msgspec.json.decode(content, type=_Content)
    except UNREADABLE:
        return {}
    return {one.name: one.path for one in found.definition.search}
