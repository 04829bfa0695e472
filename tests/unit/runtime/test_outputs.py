"""What happens to outputs when handing them to the producer is interrupted, as a rebalance does."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.engine.commands import CancelRun
from streamflow.ids import partition_of
from streamflow.runtime.outputs import Names, Outputs
from streamflow.settings import Settings, Topics

NAMES = Names("commands", "runs", "dead-letters")


class SlowProducer:
    """Takes one batch, then none until `free` is set, as aiokafka's does while a partition has a batch on its way."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []  # partition and records of each batch
        self.busy = asyncio.Event()
        self.free = asyncio.Event()

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(400, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        if self.taken:
            self.busy.set()
            await self.free.wait()
        self.taken.append((partition, batch.record_count()))
        return asyncio.get_running_loop().create_future()


def test_a_cancelled_send_keeps_what_the_producer_did_not_take() -> None:
    async def scenario() -> None:
        producer: Any = SlowProducer()
        settings = Settings(topics=Topics(partitions=4))
        outputs = Outputs(producer, producer, settings, NAMES, 0, "the-id")
        keys = [f"k{number}" for number in range(40)]
        for key in keys:
            outputs.append(CancelRun(f"c-{key}", "00000000-0"), key)
        sending = asyncio.create_task(outputs.send())
        await producer.busy.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        producer.free.set()
        await outputs.send()
        sent = {partition: sum(count for target, count in producer.taken if target == partition) for partition in range(4)}
        assert sent == {partition: sum(partition_of(key, 4) == partition for key in keys) for partition in range(4)}

    asyncio.run(scenario())
