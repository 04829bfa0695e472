"""The bare loop: what aiokafka and RocksDB give for the same bytes, without any engine. The ceiling that ours is
measured against.

    loop BOOTSTRAP GROUP TOPIC OUT STATE COMMANDS OUTPUTS OUTPUT_BYTES RECORDS RECORD_BYTES FOLDER
    consume BOOTSTRAP GROUP TOPIC RECORDS

`loop` reads commands, decodes each, and for each gets and puts RECORDS keys in a RocksDB of the partition and produces
OUTPUTS records to OUT and RECORDS to STATE (averages, so they may be fractions), of these sizes; then it commits.
Batches of all partitions run at the same time. Nothing is atomic and nothing is exact. `consume` reads and does
nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from rocksdict import Options, Rdict, WriteBatch

_BATCH = 2000
_BATCH_BYTES = 512 * 1024
_PATIENCE_S = 30.0


class _Share:
    """So many per command on average, in whole numbers."""

    def __init__(self, average: float) -> None:
        self._average = average
        self._owed = 0.0

    def next(self) -> int:
        self._owed += self._average
        whole = int(self._owed)
        self._owed -= whole
        return whole


class _Partition:
    def __init__(
        self,
        number: int,
        producer: AIOKafkaProducer,
        folder: Path,
        out: tuple[str, float, int],
        state: tuple[str, float, int],
    ) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        self._db = Rdict(str(folder / str(number)), options)
        self._number = number
        self._producer = producer
        self._out, self._state = out[0], state[0]
        self._outputs, self._records = _Share(out[1]), _Share(state[1])
        self._output, self._record = b"x" * out[2], b"x" * state[2]
        self._acks: list[Any] = []

    async def take(self, records: list[Any]) -> int:
        """One batch; the offset to commit."""
        write = WriteBatch(raw_mode=True)
        batches = {topic: self._producer.create_batch() for topic in (self._out, self._state)}
        for record in records:
            msgspec.json.decode(record.value)
            for number in range(self._records.next()):
                key = b"%b/%d" % (record.key, number)
                self._db.get(key)
                write.put(key, self._record)
                await self._add(batches, self._state, key, self._record)
            for _ in range(self._outputs.next()):
                await self._add(batches, self._out, record.key, self._output)
        for topic, batch in batches.items():
            await self._submit(topic, batch)
        for ack in self._acks:
            await ack
        self._acks.clear()
        self._db.write(write)
        return int(records[-1].offset) + 1

    async def _add(self, batches: dict[str, Any], topic: str, key: bytes, value: bytes) -> None:
        if batches[topic].append(key=key, value=value, timestamp=None) is None:
            await self._submit(topic, batches[topic])
            batches[topic] = self._producer.create_batch()
            batches[topic].append(key=key, value=value, timestamp=None)

    async def _submit(self, topic: str, batch: Any) -> None:
        if batch.record_count():
            batch.close()
            self._acks.append(await self._producer.send_batch(batch, topic, partition=self._number))


async def _consumer(bootstrap: str, group: str, topic: str) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=1 << 20,
    )
    await consumer.start()
    return consumer


async def _fetch(consumer: AIOKafkaConsumer) -> dict[TopicPartition, list[Any]]:
    deadline = time.monotonic() + _PATIENCE_S
    while not (found := await consumer.getmany(timeout_ms=500, max_records=_BATCH)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected more records but none came for {_PATIENCE_S:.0f} s")
    batches: dict[TopicPartition, list[Any]] = found
    return batches


async def loop(
    bootstrap: str,
    group: str,
    topic: str,
    out: tuple[str, float, int],
    state: tuple[str, float, int],
    count: int,
    folder: Path,
) -> dict[str, float]:
    """Takes `count` commands. `out` and `state` are (topic, records per command, bytes of each)."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", linger_ms=0, max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    consumer = await _consumer(bootstrap, group, topic)
    partitions: dict[int, _Partition] = {}
    taken = 0
    while taken < count:
        batches = await _fetch(consumer)
        for tp in batches:
            if tp.partition not in partitions:
                partitions[tp.partition] = _Partition(tp.partition, producer, folder, out, state)
        positions = await asyncio.gather(*(partitions[tp.partition].take(records) for tp, records in batches.items()))
        await consumer.commit(dict(zip(batches, positions, strict=True)))
        taken += sum(map(len, batches.values()))
    await consumer.stop()
    await producer.stop()
    return {"records": taken}


async def consume(bootstrap: str, group: str, topic: str, count: int) -> dict[str, float]:
    """Reads `count` records; the time counts from the first batch."""
    consumer = await _consumer(bootstrap, group, topic)
    taken, began, before = 0, 0.0, 0.0
    while taken < count:
        batches = await _fetch(consumer)
        if not taken:
            began, before = time.perf_counter(), time.process_time()
        taken += sum(map(len, batches.values()))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - before
    await consumer.stop()
    return {"records": taken, "seconds": seconds, "cpu_s": cpu_s}


def main(mode: str, *given: str) -> int:
    if mode == "consume":
        bootstrap, group, topic, count = given
        said = uvloop.run(consume(bootstrap, group, topic, int(count)))
    else:
        bootstrap, group, topic, out, state, count, outputs, output_bytes, records, record_bytes, folder = given
        Path(folder).mkdir(parents=True)
        outward, stored = (out, float(outputs), int(output_bytes)), (state, float(records), int(record_bytes))
        said = uvloop.run(loop(bootstrap, group, topic, outward, stored, int(count), Path(folder)))
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
