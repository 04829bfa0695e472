"""Decompression bombs, as a consumer of ours reads them; `tests/integration/test_compression.py` sends them through a
broker."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.attack import Attack, Seen
from tests.attack.processes import program

READER = """
import json, resource, sys
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from streamflow.kafka import batches

def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

made = open(sys.argv[1], "rb").read()
batches.install(16 << 20)
before = peak()
parts = fetcher.PartitionRecords(TopicPartition("t", 0), fetcher.MemoryRecords(made), [], 0, None, None, True, 0)
found = [getattr(record.value, "reason", "read") for record in parts]
print(json.dumps({"wire": len(made), "before": before, "after": peak(), "found": found}))
"""
MAKER = """
import sys
from aiokafka.record.default_records import DefaultRecordBatchBuilder
builder = DefaultRecordBatchBuilder(2, int(sys.argv[2]), 0, -1, -1, -1, 1 << 30)
builder.append(0, 0, b"k", bytes(int(sys.argv[3])), [])
open(sys.argv[1], "wb").write(builder.build())
print("made")
"""
CODECS = {"gzip": (1, 300_000_000), "snappy": (2, 300_000_000), "lz4": (3, 300_000_000), "zstd": (4, 300_000_000)}
_GROWTH_BYTES = 64 << 20


def _bombs(_seed: int) -> Seen:
    seen = Seen(peak_bytes=0)
    with tempfile.TemporaryDirectory() as folder:
        for name, (codec, size) in CODECS.items():
            file = str(Path(folder) / name)
            with program(MAKER, file, str(codec), str(size)) as making:
                making.communicate(timeout=120)
            with program(READER, file) as reading:
                out, _ = reading.communicate(timeout=120)
            told = json.loads(out.splitlines()[-1] if out else "{}")  # behind the log's lines
            seen.require(told.get("found") == ["batch_too_large"], f"{name}: {told.get('found')}")
            grown = told.get("after", 0) - told.get("before", 0)
            wire = told.get("wire", 0)
            seen.require(grown < _GROWTH_BYTES + wire, f"{name}: the memory grew by {grown} bytes")
            seen.figures[name] = f"{wire} bytes say {size}; the reader grew by {grown / 2**20:.0f} MB"
            seen.peak_bytes = max(seen.peak_bytes or 0, told.get("after", 0))
    return seen


ATTACKS = (
    Attack(
        name="decompression-bombs",
        done="a batch of every codec that says 300 MB, read by a consumer of a source topic",
        expected="batch_too_large, and no more memory than the bound",
        make=_bombs,
    ),
)
