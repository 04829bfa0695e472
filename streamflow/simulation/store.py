"""A store in memory; held to the one on disk by a contract test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class MemoryStore:
    """Bytes under text keys, in key order, as `engine.overlay.Store` asks."""

    def __init__(self, records: Mapping[str, bytes] | None = None) -> None:
        self._records: dict[str, bytes] = dict(records or {})

    def get(self, key: str) -> bytes | None:
        return self._records.get(key)

    def scan(self, prefix: str, start: str = "") -> Iterator[tuple[str, bytes]]:
        for key in sorted(k for k in self._records if k.startswith(prefix) and k >= start):
            yield key, self._records[key]

    def write(self, records: Mapping[str, bytes | None]) -> None:
        for key, value in records.items():
            if value is None:
                self._records.pop(key, None)
            else:
                self._records[key] = value

    def clear(self) -> None:
        self._records.clear()

    def close(self) -> None:
        pass
