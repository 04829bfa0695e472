"""The local store of one partition: its own RocksDB, written by checkpoints only, so never ahead of the changelog
(law one-cut)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from streamflow.errors import OperationError

log = structlog.get_logger(__name__)

STORE_FAILED = "store_failed"

_MEASURE_S = 10.0
_SIZES = {
    "memtables": "rocksdb.cur-size-all-mem-tables",
    "block_cache": "rocksdb.block-cache-usage",
    "table_readers": "rocksdb.estimate-table-readers-mem",
    "files": "rocksdb.total-sst-files-size",
}


@contextmanager
def _failures_named(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # rocksdict has no class for what RocksDB refuses
        message = f"expected the local store to {what} but {error}; it is deleted and restored from the changelog"
        raise OperationError(STORE_FAILED, message, path=str(path)) from error


class RocksStore:
    """The store on disk. Raises OperationError (`store_failed`) for whatever RocksDB or the disk refuse: it holds
    nothing that the changelog does not, so its owner deletes it and restores. `measured` is passed its sizes in bytes
    now and then, after a write."""

    def __init__(
        self,
        path: Path,
        *,
        write_buffer_bytes: int,
        block_cache_bytes: int,
        measured: Callable[[Mapping[str, int]], None] | None = None,
    ) -> None:
        self.path = path
        self._measured = measured
        self._measure_at = 0.0
        self._write_buffer_bytes = write_buffer_bytes
        self._block_cache_bytes = block_cache_bytes
        with _failures_named(path, "open"):
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
        try:
            value: bytes | None = self._db.get(key.encode())
        except Exception as error:
            message = f"expected to read the local store but {error}; it is deleted and restored from the changelog"
            raise OperationError(STORE_FAILED, message, path=str(self.path)) from error
        return value

    def scan(self, prefix: str, start: str = "") -> Iterator[tuple[str, bytes]]:
        wanted = prefix.encode()
        with _failures_named(self.path, "be read"):
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
        with _failures_named(self.path, "be written"):
            self._db.write(batch)
            if self._measured is not None and (now := time.monotonic()) >= self._measure_at:
                self._measure_at = now + _MEASURE_S
                self._measured({kind: self._db.property_int_value(name) or 0 for kind, name in _SIZES.items()})

    def clear(self) -> None:
        """Remove every record. An empty store is left as it is: making it again blocks the worker's event loop for
        about 0.1 s."""
        with _failures_named(self.path, "be cleared"):
            if next(iter(self._db.keys()), None) is None:
                return
            self._db.close()
            shutil.rmtree(self.path)
            self._open()

    def close(self) -> None:
        """Gives the folder back, whatever the disk says: a store that cannot be closed in order holds nothing that the
        changelog does not."""
        try:
            self._db.close()
        except Exception as error:
            log.warning(
                "store_not_closed",
                path=str(self.path),
                error=str(error),
                consequence="what was not written is restored from the changelog",
            )
        del self._db  # a database that failed to close lets go of its folder here
