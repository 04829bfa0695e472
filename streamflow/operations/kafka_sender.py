"""Records of operations on their way to Kafka: one producer of librdkafka, whose records end in time when no broker
answers.

Apart from `kafka` because this loads Kafka's clients, which nobody needs who only wants to know what there is.
"""

from __future__ import annotations

import asyncio
import threading

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.topics import is_own, own_prefixes
from streamflow.operations.kafka import Headers
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)

_TOPIC_KNOWN_MS = 3000  # after which a topic that the broker does not show counts as missing
_DELIVERY_MS = 20_000
_POLL_S = 0.5
_CLOSE_S = 3.0
_LISTED_S = 60.0  # an installation is not made every minute

_UNKNOWN_TOPIC = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION})
_DENIED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


class Sender:
    """A producer, and the thread in which its answers arrive. `trouble` is what went wrong last, empty if nothing."""

    def __init__(self, settings: Settings) -> None:
        config = confluent_producer_config(settings, "operations") | {
            "topic.metadata.propagation.max.ms": _TOPIC_KNOWN_MS,
            "delivery.timeout.ms": _DELIVERY_MS,
        }
        self.trouble = ""
        self._cluster: frozenset[str] = frozenset()
        self._listed_s: float | None = None
        self._settings = settings
        self._producer = Producer(config)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka.emit", daemon=True)
        self._thread.start()

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers, timeout_s: float) -> Message:
        """The record as it was acknowledged. Raises OperationError. Cancelled or too late, the record may be written
        all the same."""
        if await self._is_own(topic, timeout_s):
            message = f"expected a users' topic but {topic} is one of Streamflow's own. Choose another."
            raise OperationError("topic_refused", message, retryable=False, topic=topic)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Message] = loop.create_future()

        def settle(error: KafkaError | None, sent: Message) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(sent)
            else:
                done.set_exception(KafkaException(error))

        def delivered(error: KafkaError | None, sent: Message) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, error, sent)

        try:
            self._producer.produce(topic, value, key, on_delivery=delivered, headers=headers)
            async with asyncio.timeout(timeout_s):
                sent = await done
        except TimeoutError as error:
            message = f"expected Kafka to accept the record but it did not within {timeout_s:.0f} s. Try again."
            self.trouble = message
            raise OperationError("kafka_unavailable", message, topic=topic) from error
        except BufferError as error:
            raise OperationError(
                "kafka_unavailable",
                "expected Kafka to accept the record but too many wait already. Try again.",
                topic=topic,
            ) from error
        except KafkaException as error:
            failure = _failure(error.args[0], topic, len(value))
            self.trouble = failure.message if failure.code == "kafka_unavailable" else ""
            raise failure from error
        self.trouble = ""
        return sent

    async def _is_own(self, topic: str, timeout_s: float) -> bool:
        """Whether `topic` is Streamflow's own, of this installation or another on the cluster. The cluster is asked
        only for names that could be, and once in a while. Raises OperationError."""
        if is_own(self._settings, topic):
            return True
        if not own_prefixes(topic):
            return False
        now = asyncio.get_running_loop().time()
        if self._listed_s is None or now - self._listed_s > _LISTED_S:
            try:
                listed = await asyncio.to_thread(self._producer.list_topics, timeout=timeout_s)
            except KafkaException as error:
                raise _failure(error.args[0], topic, 0) from error
            self._cluster, self._listed_s = frozenset(listed.topics), now
        return is_own(self._settings, topic, self._cluster)

    def close(self) -> None:
        """Waits some seconds for what was sent, gives up the rest, and ends the thread."""
        self._producer.flush(_CLOSE_S)
        self._closing.set()
        self._thread.join()
        self._producer.purge()
        if left := self._producer.flush(0):
            _log.warning("records_given_up", records=left)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_S)


def _failure(error: KafkaError, topic: str, size: int) -> OperationError:
    code = error.code()
    if code in _UNKNOWN_TOPIC:
        message = f"expected the topic {topic} but there is none. Create it or correct its name."
        return OperationError("topic_missing", message, retryable=False, topic=topic)
    if code in _DENIED:
        message = (
            f"The broker denies this user WRITE on topic {topic}. Grant it: `streamflow topics plan --acls --role tasks"
            f" --send-to {topic}` shows all that the role needs."
        )
        return OperationError("right_missing", message, retryable=False, topic=topic)
    if code in _TOO_LARGE:
        message = (
            f"expected a record that {topic} accepts but {size} bytes are too many. Store the content and send a "
            "reference."
        )
        return OperationError("message_too_large", message, retryable=False, topic=topic)
    return OperationError(
        "kafka_unavailable", f"expected Kafka to accept the record but {error.str()}. Try again.", topic=topic
    )
