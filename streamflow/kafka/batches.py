"""Batches of records as they are fetched: decompressed within a bound, and passed over as a whole where that fails.

aiokafka inflates a batch without a bound, and raises at a batch that it cannot read whenever it is fetched, which is
for ever. `install` puts two classes in their place: a batch above the bound, with other data than its codec
says, or with records that are none, becomes one record at the batch's last offset, whose value is a `RefusedBatch`.
To a reader that knows nothing of it the value is empty, which is no command, no task and no definition: it is skipped
and counted like any other record that cannot be read. The format is that of Kafka's documentation, section "Record
batch"; a wrong checksum is still an error of aiokafka's, for the next fetch may bring the right bytes.

Fetched batches of one partition are inflated up to the same bound in all; what is behind it is fetched again.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import structlog
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBase
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import calc_crc32c

from streamflow.kafka.compression import NAMES, Oversize, Undecodable, inflate

_log = structlog.get_logger(__name__)

_HEADER = struct.Struct(">qiibIhiqqqhii")  # of a batch (magic 2): base offset ... number of records
_LENGTH_AT, _MAGIC_AT, _CRC_AT, _ATTRIBUTES_AT = 8, 16, 17, 21
_LENGTH_FROM = 12  # what the field of the length counts begins here
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_LOG_FIRST, _LOG_EVERY = 10, 1000  # refused batches of a topic that are logged: the first ones, then one in a thousand

TOO_LARGE, UNREADABLE = "batch_too_large", "batch_unreadable"


class RefusedBatch(bytes):
    """The empty value of the record that stands for a batch which was not read."""

    reason: str
    """`batch_too_large` or `batch_unreadable`: also the code of its dead letter."""

    message: str
    """What is wrong, and what to do."""

    first_offset: int
    """The offset of the batch's first record; the record that stands for it has the last one."""

    records: int
    """How many records the batch says that it has."""

    wire_bytes: int
    """Its size as it was fetched."""


class _Refused:
    """A batch of one record, its last, with a RefusedBatch as the value; it looks like aiokafka's batches."""

    is_control_batch = False

    def __init__(self, header: tuple[Any, ...], reason: str, message: str, wire_bytes: int) -> None:
        self.base_offset, _, _, _, _, attributes, last, first_ms, last_ms, self.producer_id, _, _, records = header
        self.is_transactional = bool(attributes & _TRANSACTIONAL)
        self.next_offset = self.base_offset + last + 1
        value = RefusedBatch()
        value.reason, value.message = reason, message
        value.first_offset, value.records, value.wire_bytes = self.base_offset, max(records, 1), wire_bytes
        kind = int(bool(attributes & _APPEND_TIME))
        self._record = _record(self.next_offset - 1, last_ms if kind else first_ms, kind, value)

    def validate_crc(self) -> bool:
        return True  # it was, before the batch was refused

    def __iter__(self) -> Iterator[Any]:
        return iter((self._record,))


def _record(offset: int, timestamp_ms: int, timestamp_kind: int, value: RefusedBatch) -> Any:
    return DefaultRecord(offset, timestamp_ms, timestamp_kind, None, value, [])


class BoundedRecords(_MemoryRecordsPy):  # type: ignore[misc] # aiokafka has no types
    """The batches of one partition in one fetch. `limit_bytes` bounds what a compressed batch may say, and what all of
    them may."""

    limit_bytes = 16 << 20

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.last: memoryview | None = None  # the batch that was handed out last, as it was fetched
        self._inflated = 0

    def has_next(self) -> bool:
        return self._inflated < self.limit_bytes and bool(super().has_next())

    def next_batch(self) -> Any:
        self.last = raw = self._next_slice
        if raw is None or len(raw) < _HEADER.size or raw[_MAGIC_AT] < 2:
            return self._legacy(raw)
        header = _HEADER.unpack_from(raw)
        codec = header[5] & _CODEC
        if not codec or header[5] & _CONTROL:
            return super().next_batch()
        original = super().next_batch()
        if not original.validate_crc():
            return original  # whose reader raises
        try:
            data = inflate(codec, bytes(raw[_HEADER.size :]), self.limit_bytes)
        except (Oversize, Undecodable) as error:
            return self.refused(error)
        self._inflated += len(data)
        return DefaultRecordBatch(_plain(raw, data))

    def refused(self, error: Exception) -> Any:
        """The batch that was handed out last, as one that is not read."""
        assert self.last is not None
        header = _HEADER.unpack_from(self.last)
        if isinstance(error, Oversize):
            reason = TOO_LARGE
            message = (
                f"A batch of {header[12]} records ({len(self.last)} bytes, {NAMES.get(header[5] & _CODEC)}) has more "
                f"than {self.limit_bytes} bytes when it is decompressed. Have its producer send smaller batches, or "
                "raise limits.batch_bytes."
            )
        else:
            reason = UNREADABLE
            message = (
                f"A batch of {header[12]} records ({len(self.last)} bytes) cannot be read: {str(error)[:200]}. Check "
                "the client with which its producer sends."
            )
        return _Refused(header, reason, message, len(self.last))

    def _legacy(self, raw: memoryview | None) -> Any:
        """A batch of before Kafka 0.11 (magic 0 and 1). Its only record holds the others, if it is compressed."""
        batch = super().next_batch()
        if raw is None or len(raw) < LegacyRecordBase.HEADER_STRUCT_V0.size or not raw[_MAGIC_AT + 1] & _CODEC:
            return batch
        base = LegacyRecordBase
        at = base.KEY_OFFSET_V1 if raw[_MAGIC_AT] else base.KEY_OFFSET_V0
        (key_size,) = struct.unpack_from(">i", raw, at)
        at += base.KEY_LENGTH + max(key_size, 0) + base.VALUE_LENGTH
        header = (struct.unpack_from(">q", raw)[0], 0, 0, 0, 0, raw[_MAGIC_AT + 1] & _CODEC, 0, 0, 0, None, 0, 0, 1)
        try:
            self._inflated += len(inflate(raw[_MAGIC_AT + 1] & _CODEC, bytes(raw[at:]), self.limit_bytes))
        except (Oversize, Undecodable) as error:
            return _Refused(header, TOO_LARGE if isinstance(error, Oversize) else UNREADABLE, str(error), len(raw))
        return batch


def _plain(raw: memoryview, records: bytes) -> bytes:
    """The batch `raw` as it would be without compression, its checksum included."""
    plain = bytearray(raw[: _HEADER.size])
    plain += records
    struct.pack_into(">i", plain, _LENGTH_AT, len(plain) - _LENGTH_FROM)
    (attributes,) = struct.unpack_from(">h", plain, _ATTRIBUTES_AT)
    struct.pack_into(">h", plain, _ATTRIBUTES_AT, attributes & ~_CODEC)
    struct.pack_into(">I", plain, _CRC_AT, calc_crc32c(memoryview(plain)[_ATTRIBUTES_AT:]))
    return bytes(plain)


class BoundedPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one partition in one fetch; what aiokafka cannot parse is passed over with its batch."""

    def __next__(self) -> Any:
        records: BoundedRecords = self._records
        try:
            found = super().__next__()
        except (CorruptRecordException, UnicodeDecodeError, ValueError, IndexError, OverflowError) as error:
            raw = records.last
            if raw is None or raw[_MAGIC_AT] < 2 or not DefaultRecordBatch(bytes(raw)).validate_crc():
                raise
            batch = records.refused(error)
            self.next_fetch_offset = batch.next_offset
            self._records_iterator = self._unpack_records()  # continues with the next batch
            found = self._consumer_record(self._tp, next(iter(batch)))
        if type(found.value) is RefusedBatch:
            _log_refused(self._tp, found.value)
        return found


_refused: Counter[str] = Counter()


def _log_refused(tp: Any, batch: RefusedBatch) -> None:
    _refused[tp.topic] += 1
    count = _refused[tp.topic]
    if count <= _LOG_FIRST or count % _LOG_EVERY == 0:
        _log.warning(
            "batch_refused",
            topic=tp.topic,
            partition=tp.partition,
            offset=batch.first_offset,
            records=batch.records,
            reason=batch.reason,
            message=batch.message,
            refused=count,
        )


def install(limit_bytes: int) -> None:
    """From now on all consumers of aiokafka in this process read so; `limit_bytes` is that of every batch."""
    BoundedRecords.limit_bytes = limit_bytes
    fetcher.MemoryRecords = BoundedRecords
    fetcher.PartitionRecords = BoundedPartitionRecords
