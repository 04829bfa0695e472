"""The state of one partition as decisions see it: what changed since the last checkpoint, in memory, over the store
(law one-cut).

`capture` takes the cut that a checkpoint writes; until `saved` the cut is still read from memory, so the store is never
read half-way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

import msgspec

from streamflow.engine.decoded_records import KINDS_HELD, DecodedRecords
from streamflow.engine.state import KINDS, OWN, WRITTEN_ONCE, PartitionState

META = "!"  # store keys that begin with it are the host's own and not part of the state
_DUE = "due/"
_CONTENT = "content/"
_FIRST_OF_HELD = frozenset(kind[0] for kind in (_CONTENT, *KINDS_HELD))  # rules out most other keys at once
_FIRST_OF_NOTED = _FIRST_OF_HELD | {_DUE[0]}
_NOT_HERE: Any = object()  # None is a deleted record
_NEAR = 512  # keys held in memory of what is due or swept; a scan for each would cost a pass over all that changed

_encoder = msgspec.json.Encoder(order="deterministic")
_DECODERS = {kind: msgspec.json.Decoder(form) for kind, form in KINDS.items()}


def encode_record(record: Any) -> bytes:
    """A record as it is in the store and in the changelog: JSON, the same bytes for the same record."""
    return _encoder.encode(record)


def decode_record(key: str, value: bytes) -> Any:
    """The record that `value` is under `key`. Raises msgspec.DecodeError."""
    return _DECODERS[key.partition("/")[0]].decode(value)


class Store(Protocol):
    """Bytes under text keys, in key order. Not thread-safe; one owner."""

    def get(self, key: str) -> bytes | None: ...

    def scan(self, prefix: str, start: str = "") -> Iterator[tuple[str, bytes]]:
        """Records whose key begins with `prefix` and is not below `start`, in order."""

    def write(self, records: Mapping[str, bytes | None]) -> None:
        """Write all of `records` (None deletes), or none of them."""

    def clear(self) -> None:
        """Throw everything away."""

    def close(self) -> None: ...


class Overlay:
    """A `StateView` over a store, and the collection of changes to it. One owner, not thread-safe."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.dirty: dict[str, Any] = {}
        self.saving: dict[str, Any] = {}
        self._absent: set[str] = set()  # looked for in the store in this interval, and not there
        # written in this interval and not in the store: a deletion leaves nothing to write
        self._fresh: set[str] = set()
        self._contents: dict[str, Any] = {}  # they never change, and every command on a run needs one
        self._decoded = DecodedRecords()
        self._near: list[str] = []  # all keys of what is due below `_beyond`, in order
        self._beyond: str | None = _DUE  # None: there are no others
        self._ahead: dict[str, tuple[str, list[str]]] = {}  # by kind: keys under a prefix that is being swept
        self.own: PartitionState = self.get(OWN) or PartitionState()

    def get(self, key: str) -> Any:
        """The record under `key`, decoded, or None."""
        found = self.dirty.get(key, _NOT_HERE)
        if found is _NOT_HERE:
            found = self.saving.get(key, _NOT_HERE)
        if found is not _NOT_HERE:
            return found
        held = key[0] in _FIRST_OF_HELD
        if held:
            if key in self._contents:
                return self._contents[key]
            if key in self._decoded:
                return self._decoded.get(key)
        if key in self._absent:
            return None
        value = self.store.get(key)
        if value is None:
            self._absent.add(key)
            return None
        record = decode_record(key, value)
        if held:
            if key.startswith(_CONTENT):
                self._contents[key] = record
            elif key.startswith(KINDS_HELD):
                self._decoded.hold(key, record, len(value))
        return record

    def due(self, until_ms: int, changes: Mapping[str, Any]) -> str | None:
        """The first `due/<ms>/...` with a time up to `until_ms` that `changes` does not delete, or None."""
        place = 0
        while place < len(self._near) or self._look_beyond():
            key = self._near[place]
            if int(key[4:19]) > until_ms:
                return None
            if changes.get(key, key) is not None:
                return key
            place += 1
        return None

    def _look_beyond(self) -> bool:
        if self._beyond is None:
            return False
        found = list(islice(self.keys(_DUE, self._beyond), _NEAR + 1))
        self._near += found[:_NEAR]
        self._beyond = found[_NEAR] if len(found) > _NEAR else None
        return bool(found)

    def _note_due(self, key: str, record: Any) -> None:
        if self._beyond is not None and key >= self._beyond:
            return
        place = bisect_left(self._near, key)
        if place < len(self._near) and self._near[place] == key:
            if record is None:
                del self._near[place]
        elif record is not None:
            self._near.insert(place, key)
        if len(self._near) > 2 * _NEAR:
            self._beyond = self._near[_NEAR]
            del self._near[_NEAR:]

    def keys_after(self, prefix: str, after: str, count: int) -> list[str]:
        """Up to `count` keys that begin with `prefix` and are not below `after`, in order. Some may have been deleted
        lately. For prefixes under which nothing is written any more: read ahead, and held."""
        kind = prefix.partition("/")[0]
        held_prefix, held = self._ahead.get(kind, ("", []))
        place = bisect_left(held, after) if held_prefix == prefix else len(held)
        if len(held) - place < count:
            held, place = list(islice(self.keys(prefix, after), _NEAR + count)), 0
            self._ahead[kind] = (prefix, held)
        return held[place : place + count]

    def keys(self, prefix: str, start: str = "") -> Iterator[str]:
        """Keys of records that begin with `prefix` and are not below `start`, in order."""
        layers = {**self.saving, **self.dirty}
        pending = sorted(key for key in layers if key.startswith(prefix) and key >= start)
        place = 0
        for key, _ in self.store.scan(prefix, start):
            while place < len(pending) and pending[place] < key:
                if layers[pending[place]] is not None:
                    yield pending[place]
                place += 1
            if key not in layers:
                yield key
        for key in pending[place:]:
            if layers[key] is not None:
                yield key

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Take over the changes of a decision."""
        dirty, fresh, absent = self.dirty, self._fresh, self._absent
        for key, record in changes.items():
            if record is not None:
                if key not in dirty and (key in absent or key.startswith(WRITTEN_ONCE)) and key not in self.saving:
                    fresh.add(key)
                dirty[key] = record
            elif key in fresh:
                fresh.discard(key)
                del dirty[key]
            elif key in dirty or key in self.saving or key not in absent:
                dirty[key] = None
            if key[0] not in _FIRST_OF_NOTED:
                continue
            if key.startswith(_DUE):
                self._note_due(key, record)
            elif record is None and key.startswith(_CONTENT):
                self._contents.pop(key, None)
            elif key.startswith(KINDS_HELD):
                self._decoded.forget(key)
        self.own = dirty[OWN]

    def capture(self) -> dict[str, bytes | None]:
        """The cut to be written, encoded: every record changed since the last capture. Read from memory until
        `saved`."""
        if self.saving:
            raise RuntimeError("a capture is still being saved")
        self.saving, self.dirty = self.dirty, {}
        self._fresh.clear()
        self._absent.clear()
        return {key: None if record is None else _encoder.encode(record) for key, record in self.saving.items()}

    def saved(self) -> None:
        """The captured cut is in the changelog and in the store."""
        self.saving = {}
