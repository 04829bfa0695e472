"""The state of one partition as decisions see it: what changed since the last checkpoint, in memory, over the store (law 3).

`capture` takes the cut that a checkpoint writes; until `saved` the cut is still read from memory, so the store is never read half-way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec

from streamflow.engine.state import KINDS, OWN, Own

META = "!"  # store keys that begin with it are the host's own and not part of the state
_NEVER = 1 << 62
_WRITTEN_ONCE = ("out/", "timer/")

_encoder = msgspec.json.Encoder(order="sorted")
_DECODERS = {kind: msgspec.json.Decoder(form) for kind, form in KINDS.items()}


def encode_record(record: Any) -> bytes:
    """A record as it is stored and as it is in the changelog: JSON with sorted keys."""
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
        self._fresh: set[str] = set()  # written in this interval and not in the store: a deletion leaves nothing to write
        self._first_expiry: int = 0  # no expiry is due before this time
        self.own: Own = self.get(OWN) or Own()

    def get(self, key: str) -> Any:
        """The record under `key`, decoded, or None."""
        if key in self.dirty:
            return self.dirty[key]
        if key in self.saving:
            return self.saving[key]
        value = self.store.get(key)
        if value is None:
            self._absent.add(key)
            return None
        return decode_record(key, value)

    def due(self, prefix: str, until_ms: int, changes: Mapping[str, Any]) -> str | None:
        """The smallest key `<prefix><ms>/...` with a time up to `until_ms` that `changes` does not delete, or None."""
        if prefix == "expiry/" and until_ms < self._first_expiry:
            return None
        first = next((key for key in self.keys(prefix) if changes.get(key, key) is not None), None)
        found_ms = int(first[len(prefix) : len(prefix) + 15]) if first else _NEVER
        if prefix == "expiry/":
            self._first_expiry = found_ms
        return first if found_ms <= until_ms else None

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
                if key not in dirty and (key in absent or key.startswith(_WRITTEN_ONCE)) and key not in self.saving:
                    fresh.add(key)
                if key.startswith("expiry/"):
                    self._first_expiry = min(self._first_expiry, int(key[7:22]))
                dirty[key] = record
            elif key in fresh:
                fresh.discard(key)
                del dirty[key]
            else:
                dirty[key] = None
        self.own = dirty[OWN]

    def capture(self) -> dict[str, bytes | None]:
        """The cut to be written, encoded: every record changed since the last capture. Read from memory until `saved`."""
        if self.saving:
            raise RuntimeError("a capture is still being saved")
        self.saving, self.dirty = self.dirty, {}
        self._fresh.clear()
        self._absent.clear()
        return {key: None if record is None else _encoder.encode(record) for key, record in self.saving.items()}

    def saved(self) -> None:
        """The captured cut is in the changelog and in the store."""
        self.saving = {}
