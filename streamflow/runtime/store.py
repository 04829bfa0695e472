"""The local store of one partition: a RocksDB of its own, written by checkpoints only, so never ahead of the changelog (law 3)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch


class RocksStore:
    """The store on disk. Raises OSError-like errors of RocksDB as they come: whoever owns the partition closes it."""

    def __init__(self, path: Path, *, write_buffer_bytes: int, block_cache_bytes: int) -> None:
        self.path = path
        self._write_buffer_bytes = write_buffer_bytes
        self._block_cache_bytes = block_cache_bytes
        self._open()

    def _open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(self._write_buffer_bytes)
        options.set_max_write_buffer_number(2)
        options.set_keep_log_file_num(2)
        options.set_max_open_files(64)
        table = BlockBasedOptions()
        table.set_block_cache(Cache(self._block_cache_bytes))
        table.set_bloom_filter(10, False)
        options.set_block_based_table_factory(table)
        self._db = Rdict(str(self.path), options)

    def get(self, key: str) -> bytes | None:
        value: bytes | None = self._db.get(key.encode())
        return value

    def scan(self, prefix: str, start: str = "") -> Iterator[tuple[str, bytes]]:
        wanted = prefix.encode()
        found: Any = self._db.items(from_key=max(prefix, start).encode())
        for key, value in found:
            if not key.startswith(wanted):
                return
            yield key.decode(), value

    def write(self, records: Mapping[str, bytes | None]) -> None:
        batch = WriteBatch(raw_mode=True)
        for key, value in records.items():
            if value is None:
                batch.delete(key.encode())
            else:
                batch.put(key.encode(), value)
        self._db.write(batch)

    def clear(self) -> None:
        self._db.close()
        shutil.rmtree(self.path)
        self._open()

    def close(self) -> None:
        self._db.close()
