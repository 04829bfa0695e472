"""Batches within their bound, above it, and such as no client should have sent."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from streamflow.kafka import batches
from streamflow.kafka.batches import RefusedBatch
from streamflow.kafka.compression import GZIP, LZ4, NAMES, SNAPPY, ZSTD, Oversize, Undecodable, inflate

LIMIT = 100_000
ENCODERS = {GZIP: gzip_encode, SNAPPY: snappy_encode, LZ4: lz4_encode, ZSTD: zstd_encode}
CODECS = pytest.mark.parametrize("codec", ENCODERS, ids=NAMES.values())


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = fetcher.MemoryRecords, fetcher.PartitionRecords, batches.BoundedRecords.limit_bytes
    batches.install(LIMIT)
    yield
    fetcher.MemoryRecords, fetcher.PartitionRecords, batches.BoundedRecords.limit_bytes = before


def batch(first: int, *values: bytes, codec: int = 0, headers: Any = ()) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, 1000 + number, b"k", value, list(headers))
    made = bytearray(builder.build())
    struct.pack_into(">q", made, 0, first)  # as the broker does
    return bytes(made)


def sealed(made: bytearray) -> bytes:
    """`made` with a checksum that is right."""
    struct.pack_into(">I", made, 17, calc_crc32c(bytes(made[21:])))
    return bytes(made)


def read(*made: bytes, at: int = 0, max_records: int | None = None) -> tuple[list[Any], int]:
    """The records of one fetch, and the offset that is fetched next."""
    records = fetcher.PartitionRecords(
        TopicPartition("t", 3), fetcher.MemoryRecords(b"".join(made)), [], at, None, None, True, fetcher.READ_COMMITTED
    )
    return list(records), records.next_fetch_offset


@CODECS
@pytest.mark.parametrize("size", [1, 1000, LIMIT - 1, LIMIT])
def test_what_is_within_the_bound_is_read_exactly(codec: int, size: int) -> None:
    data = os.urandom(size // 2) + bytes(size - size // 2)
    assert inflate(codec, ENCODERS[codec](data), LIMIT) == data


@CODECS
def test_one_byte_more_than_the_bound_is_refused(codec: int) -> None:
    with pytest.raises(Oversize):
        inflate(codec, ENCODERS[codec](bytes(LIMIT + 1)), LIMIT)


@CODECS
@pytest.mark.parametrize(
    "bad", [bytes(50), b"\xff" * 200, b"whole", b"cut short"], ids=["zeros", "ones", "text", "truncated"]
)
def test_data_of_another_codec_is_told(codec: int, bad: bytes) -> None:
    if bad == b"cut short":
        bad = ENCODERS[codec](os.urandom(1000))[:500]
    with pytest.raises((Undecodable, Oversize)):
        inflate(codec, bad, LIMIT)


def test_a_gzip_of_several_members_is_bounded_as_a_whole() -> None:
    half = gzip_encode(bytes(LIMIT // 2))
    assert len(inflate(GZIP, half * 2, LIMIT)) == LIMIT
    with pytest.raises(Oversize):
        inflate(GZIP, half * 2 + gzip_encode(b"x"), LIMIT)


def test_snappy_blocks_of_no_length_end() -> None:
    framed = bytearray(snappy_encode(b"abc"))
    for size in (0, -4, -1, 2**31 - 1):
        struct.pack_into(">i", framed, 16, size)
        with pytest.raises(Undecodable):
            inflate(SNAPPY, bytes(framed), LIMIT)


@CODECS
def test_compressed_batches_are_read_as_aiokafka_reads_them(codec: int) -> None:
    made = batch(7, b"one", b"two" * 1000, codec=codec, headers=[("h", b"v"), ("n", None)])
    theirs = list(DefaultRecordBatch(made))
    ours, following = read(made, at=7)
    assert [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, list(r.headers)) for r in ours] == [
        (r.offset, r.timestamp, r.timestamp_type, r.key, r.value, list(r.headers)) for r in theirs
    ]
    assert following == 9


@CODECS
def test_a_bomb_is_one_record_at_its_end_and_reading_goes_on(codec: int) -> None:
    bomb = batch(5, b"small", bytes(40 * LIMIT), codec=codec)
    found, following = read(batch(4, b"before"), bomb, batch(7, b"after", codec=codec), at=4)
    assert [record.offset for record in found] == [4, 6, 7]
    assert (found[0].value, found[2].value, following) == (b"before", b"after", 8)
    refused = found[1].value
    assert isinstance(refused, RefusedBatch)
    assert (refused, refused.reason, refused.first_offset, refused.records) == (b"", "batch_too_large", 5, 2)
    assert "limits.batch_bytes" in refused.message


def test_a_fetch_of_many_batches_ends_at_the_bound_and_goes_on_behind_it() -> None:
    made = [batch(number, bytes(LIMIT // 4), codec=ZSTD) for number in range(12)]
    first, following = read(*made)
    assert (len(first), following) == (4, 4)
    second, following = read(*made[4:], at=4)
    assert (len(second), following) == (4, 8)


def test_records_that_are_none_cost_their_batch_only() -> None:
    made = bytearray(batch(5, b"one", b"two", headers=[("name", b"v")]))
    broken = {
        "a header's name is not UTF-8": sealed(bytearray(bytes(made).replace(b"name", b"na\xff\xfe"))),
        "lengths lead outside": sealed(bytearray(bytes(made).replace(b"\x08name", b"\x7ename"))),
        "cut": sealed(bytearray(made[:-3])),
    }
    struct.pack_into(">i", made, 57, 9)
    broken["fewer records than said"] = sealed(made)
    for what, bad in broken.items():
        changed = bytearray(bad)
        struct.pack_into(">i", changed, 8, len(changed) - 12)
        found, following = read(batch(4, b"before"), bytes(changed), batch(7, b"after"), at=4)
        assert found[-2].value == b"", what
        assert found[-2].value.reason == "batch_unreadable", what
        assert (found[-2].offset, found[-1].value, following) == (6, b"after", 8), what


@CODECS
def test_what_is_compressed_badly_costs_its_batch_only(codec: int) -> None:
    made = bytearray(batch(5, b"one" * 500, codec=codec))
    made[61:] = b"\x07" * (len(made) - 61)
    found, following = read(sealed(made), batch(6, b"after"), at=5)
    assert [record.value for record in found] == [b"", b"after"]
    assert (found[0].value.reason, following) == ("batch_unreadable", 7)


def test_a_wrong_checksum_stays_an_error() -> None:
    for codec in (0, ZSTD):
        made = bytearray(batch(5, b"one" * 100, codec=codec))
        made[-1] ^= 1
        with pytest.raises(CorruptRecordException):
            read(bytes(made), at=5)


@pytest.mark.parametrize("magic", [0, 1])
def test_batches_of_old_brokers_are_bounded_too(magic: int) -> None:
    for size, expected in ((10, bytes(10)), (20 * LIMIT, b"")):
        builder = LegacyRecordBatchBuilder(magic, GZIP, 1 << 30)
        builder.append(0, 1000, b"k", bytes(size))
        found, _ = read(bytes(builder.build()))
        assert [record.value for record in found] == [expected]
