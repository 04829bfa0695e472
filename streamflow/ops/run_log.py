"""Log lines about runs, in the topic `logs` too, so that people see them beside the run.

It is a copy for people: bounded in lines a run, in memory and in bytes, and never waited for. What the broker does not
take in time is left out, and counted in the process's own log.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamflow.ids import partition_of_run
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.topics import LOGS, topic_name
from streamflow.secrets import KNOWN
from streamflow.settings import Settings
from streamflow.wire.run_log import LogLine, encode_line

LINES = 200  # of one run, from one process
_RUNS = 10_000  # whose lines are counted; of the others it begins again
_QUEUE = 5000
_SENT_S = 30.0  # until the broker has taken a line
_LOG_EVERY_S = 60.0  # between two log lines on what was left out
_FLUSH_S = 2.0
_RUN = re.compile(r"[0-9a-f]{8}-[a-z0-9]{1,16}-[0-9a-f]{20}")
_LEVELS = frozenset({"debug", "info", "warning", "error"})
_OWN = frozenset({"run", "event", "level", "timestamp", "role", "exc_info", "stack_info", "_record", "_from_structlog"})
_log = structlog.get_logger(__name__)


class RunLog:
    """A processor of log lines: passes each on, and sends a copy of those with a field `run`. Start it, and close it at
    the end."""

    def __init__(
        self, settings: Settings, role: str, send: Callable[[LogLine], None] | None = None, clock: Any = time.time
    ) -> None:
        self._settings = settings
        self._role = role
        self._clock = clock
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._queue: queue.Queue[LogLine | None] = queue.Queue(_QUEUE)
        self._send = send or self._enqueue
        self._thread: threading.Thread | None = None
        self.left_out = 0

    def __call__(self, _logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        run = line.get("run")
        if isinstance(run, str) and _RUN.fullmatch(run) and self._is_wanted(run):
            level = str(line.get("level", method))
            self._send(
                LogLine(
                    run=run,
                    at_ms=int(self._clock() * 1000),
                    role=self._role,
                    level=level if level in _LEVELS else "info",
                    event=str(line.get("event", "")),
                    fields={name: value for name, value in line.items() if name not in _OWN},
                )
            )
        return line

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._work, name="run log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what is there, for two seconds at most."""
        if self._thread is not None:
            self._enqueue(None)
            self._thread.join(2 * _FLUSH_S)

    def _is_wanted(self, run: str) -> bool:
        with self._lock:
            count = self._counts.pop(run, 0) + 1
            self._counts[run] = count
            if len(self._counts) > _RUNS:
                self._counts.popitem(last=False)
            if count > LINES:
                self.left_out += 1
            return count <= LINES

    def _enqueue(self, line: LogLine | None) -> None:
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.left_out += 1

    def _work(self) -> None:
        topic = topic_name(self._settings, LOGS)
        partitions = self._settings.topics.partitions
        producer: Producer | None = None  # made for the first line: roles that write none may have no right to write
        logged_s, known = time.monotonic(), 0
        while True:
            try:
                line = self._queue.get(timeout=1.0)
            except queue.Empty:
                if producer is not None:
                    producer.poll(0)
            else:
                if line is None:
                    break
                producer = producer or self._connected()
                self._produce(producer, topic, partitions, line)
            if self.left_out > known and time.monotonic() - logged_s > _LOG_EVERY_S:
                _log.warning("run_log_left_out", lines=self.left_out - known)
                logged_s, known = time.monotonic(), self.left_out
        if producer is not None:
            producer.flush(_FLUSH_S)

    def _connected(self) -> Producer:
        return Producer(
            confluent_producer_config(self._settings, "run-log", on_error=_ignore)
            | {"linger.ms": 100, "message.timeout.ms": int(_SENT_S * 1000), "queue.buffering.max.messages": _QUEUE}
        )

    def _produce(self, producer: Producer, topic: str, partitions: int, line: LogLine) -> None:
        try:
            value = encode_line(line)
            if KNOWN:
                value = KNOWN.text(value.decode()).encode()
            producer.produce(
                topic, value, line.run.encode(), partition_of_run(line.run, partitions), on_delivery=self._delivered
            )
            producer.poll(0)
        except (BufferError, KafkaException, TypeError, ValueError, RecursionError):
            self.left_out += 1

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.left_out += 1


def _ignore(error: KafkaError) -> None:
    """The worker's own clients say that the broker is away."""
