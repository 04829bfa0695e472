"""`python -m tests.bench.bare_calls ROLE BOOTSTRAP COMMANDS TASKS OUT RUNS STEPS`: the bare loops of calls, without any
engine.

`start` appends RUNS records to COMMANDS. `engine` passes each record on to TASKS and, for each, one to OUT, until it
has been there STEPS times; `tasks` passes every record of TASKS back to COMMANDS. Both end when all records have gone
all ways.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

_PAD = b"x" * 300


async def main(role: str, bootstrap: str, commands: str, tasks: str, out: str, runs: int, steps: int) -> dict[str, int]:
    """How many records were passed on."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", linger_ms=0, max_batch_size=1 << 19
    )
    await producer.start()
    count = 0
    if role == "start":
        sent = [
            await producer.send(commands, b"0" + _PAD, key=b"k%d" % number, partition=number % 12)
            for number in range(runs)
        ]
        await asyncio.gather(*sent)
        await producer.stop()
        return {"records": len(sent)}
    source, wanted = (commands, runs * (steps + 1)) if role == "engine" else (tasks, runs * steps)
    consumer = AIOKafkaConsumer(
        source,
        bootstrap_servers=bootstrap,
        group_id=f"bare-{role}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    while count < wanted:
        batches = await consumer.getmany(timeout_ms=10_000)
        if not batches:
            raise TimeoutError(f"expected {wanted} records but no more came after {count}")
        acks = []
        for place, records in batches.items():
            outgoing: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
            for record in records:
                hop = int(record.value[:1])
                if role == "tasks":
                    outgoing[commands].append((record.key, b"%d" % (hop + 1) + _PAD))
                else:
                    outgoing[out].append((record.key, record.value))
                    outgoing[out].append((record.key, record.value))
                    if hop < steps:
                        outgoing[tasks].append((record.key, record.value))
            for topic, pairs in outgoing.items():
                batch = producer.create_batch()
                for key, value in pairs:
                    if batch.append(key=key, value=value, timestamp=None) is None:
                        batch.close()
                        acks.append(await producer.send_batch(batch, topic, partition=place.partition))
                        batch = producer.create_batch()
                        batch.append(key=key, value=value, timestamp=None)
                batch.close()
                acks.append(await producer.send_batch(batch, topic, partition=place.partition))
            count += len(records)
        await asyncio.gather(*acks)
        await consumer.commit()
    await consumer.stop()
    await producer.stop()
    return {"records": count}


if __name__ == "__main__":
    role, bootstrap, commands, tasks, out, runs, steps = sys.argv[1:]
    print(json.dumps(uvloop.run(main(role, bootstrap, commands, tasks, out, int(runs), int(steps)))))
