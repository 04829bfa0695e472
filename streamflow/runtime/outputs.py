"""Sends what the core of one partition has queued for Streamflow's own topics, through one idempotent producer of the
process.

Records of one topic partition are sent in the order in which they were given (as law identical-replay requires).
`flush` returns when everything that was sent is acknowledged."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer

from streamflow.core.outputs import AUDIT, COMMANDS, DEAD_LETTERS, RUNS, TASKS, UNCLAIMED, Output
from streamflow.core.partition import PartitionCore
from streamflow.errors import OperationError
from streamflow.kafka.topics import lane_topic_name, topic_name
from streamflow.runtime.batch_sender import Batch, BatchFailed, BatchSender, Destination, Fields
from streamflow.settings import Settings

BATCH_BYTES = 512 * 1024
UNSENT = "outputs_unsent"

Queued = tuple[int, Output]  # with the interval between two captures in which it was made


def names_of(settings: Settings) -> dict[str, str]:
    """The full names of the topics that the engine writes, by role."""
    roles = {role: topic_name(settings, role) for role in (COMMANDS, RUNS, DEAD_LETTERS, UNCLAIMED, AUDIT)}
    return roles | {TASKS + lane: lane_topic_name(settings, lane) for lane in settings.tasks.lanes}


class Outputs:
    """The outgoing records of one engine partition. `names` are the full names of topics by role."""

    def __init__(self, producer: AIOKafkaProducer, names: Mapping[str, str]) -> None:
        self._producer = producer
        self._names = names
        self._sender: BatchSender[Queued] = BatchSender(_fields, self._acknowledged)
        self._core: PartitionCore | None = None

    def bind(self, core: PartitionCore) -> None:
        """Send what `core` queues from now on."""
        self._core = core

    async def send(self) -> None:
        """Hand everything queued to the producer, in order, also what the core queues in the meantime. Acknowledgements
        come later. Cancelled, it leaves in the queue what the producer did not take.

        Raises OperationError (`outputs_unsent`), as `flush`, when something sent before has failed."""
        try:
            while self._gather():
                await self._sender.send(self._producer)
        except BatchFailed as error:
            raise _unsent(error) from error

    def _gather(self) -> bool:
        """Whether there is anything to send."""
        outputs = self._core.outputs if self._core is not None else ()
        last: tuple[str, int] | None = None  # most go where the one before went
        queue: deque[Queued] = deque()
        while outputs:
            queued = outputs.popleft()
            output = queued[1]
            target = (output.topic, output.partition)
            if target != last:
                last, queue = target, self._sender.queue(Destination(self._names[output.topic], output.partition))
            queue.append(queued)
        return self._sender.waiting

    def _acknowledged(self, batch: Batch[Queued]) -> None:
        if self._core is not None:
            records = batch.records
            if records[0][0] == records[-1][0]:  # most batches: intervals never go back
                self._core.acknowledged(records[0][0], len(records))
                return
            for interval, count in Counter(interval for interval, _ in records).items():
                self._core.acknowledged(interval, count)

    def oldest_s(self) -> float:
        """For how many seconds the oldest batch has waited."""
        return self._sender.oldest_s()

    async def flush(self) -> None:
        """Return when everything sent so far is acknowledged. Raises OperationError (`outputs_unsent`): the producer
        must be replaced, for aiokafka's is refused ever after by a partition that has refused it once."""
        try:
            await self._sender.flush()
        except BatchFailed as error:
            raise _unsent(error) from error

    def close(self) -> None:
        """Forget what is on its way: the next owner of the partition sends it again."""
        self._sender.forget()


def _fields(queued: Queued) -> Fields:
    output = queued[1]
    return output.key, output.value, output.headers


def _unsent(error: BatchFailed) -> OperationError:
    return OperationError(UNSENT, f"The broker did not accept all outputs: {error}. They are produced and sent again.")
