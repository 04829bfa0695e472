"""What a source's producer may have compressed, without ingress taking more memory than its bound."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamflow.settings import Ingress, Settings
from tests.conftest import eventually
from tests.integration.ingress_bench import Bench, Worker, by_path, starts

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

FAST = Ingress(watermark_s=0.1, commit_s=0.1)
WHOLE = 100_000_000  # bytes of a bomb's value
SNAPPY_BYTES = 18_000_000  # snappy packs 21 to 1 at best, and a batch is a megabyte on the wire
GROWTH = 100 << 20  # bytes: the batch on the wire, the bound, and what Python keeps


@pytest.fixture
def bench(topics: Settings, tmp_path: Path) -> Iterator[Bench]:
    found = Bench(topics.model_copy(update={"ingress": FAST}), tmp_path)
    yield found
    for worker in found.workers:
        if worker.process.poll() is None:
            worker.kill()


def peak_bytes(worker: Worker) -> int:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


def bomb(bench: Bench, topic: str, codec: str, size: int) -> None:
    producer = Producer(bench.servers | {"compression.type": codec, "message.max.bytes": 200_000_000})
    failed: list[object] = []
    producer.produce(topic, bytes(size), b"k", partition=0, on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(60) == 0
    assert failed == [None]


def test_bombs_of_every_codec_are_dead_letters_and_ingress_goes_on(bench: Bench) -> None:
    source = bench.topic(1)
    bench.publish("d", "1", on="created", created=by_path(source, "created"))
    ingress = bench.worker()
    bench.send(source, {"kind": "created", "order": "first"})
    eventually(lambda: len(starts(bench.commands())) == 1, timeout=40, every=0.2)
    before = peak_bytes(ingress)
    codecs = {"gzip": WHOLE, "lz4": WHOLE, "zstd": WHOLE, "snappy": SNAPPY_BYTES}
    for codec, size in codecs.items():
        bomb(bench, source, codec, size)
        bench.send(source, {"kind": "created", "order": f"after-{codec}-{uuid.uuid4().hex[:4]}"})
    counts = bench.read(source, 9)
    assert counts == {"offset": 9, "read": 9, "matched": 5, "ignored": 0, "dead": 4}
    assert len(starts(bench.commands())) == 5
    assert peak_bytes(ingress) - before < GROWTH
    letters = [dict(record.headers() or []) for record in bench.records("dead-letters")]
    places = [
        tuple((letter[f"streamflow.dlq.{name}"] or b"").decode() for name in ("topic", "partition", "offset", "reason"))  # type: ignore[union-attr]
        for letter in letters
    ]
    assert sorted(places) == [(source, "0", str(offset), "batch_too_large") for offset in (1, 3, 5, 7)]
    assert ingress.says("batch_refused")
