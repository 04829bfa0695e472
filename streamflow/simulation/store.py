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
        yield from sorted(
            (key, value) for key, value in self._records.items() if key.startswith(prefix) and key >= start
        )

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
