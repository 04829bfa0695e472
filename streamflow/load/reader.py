"""The reader of `runs` in a load run: notes in a tally every run that begins and ends, in a thread of its own."""

from __future__ import annotations

import threading
import time

from confluent_kafka import OFFSET_END

from streamflow.errors import OperationError
from streamflow.kafka.topics import RUNS, topic_name
from streamflow.load.tally import Tally
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.simulation.volume import ENDED
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Record
from streamflow.wire.transitions import decode_transition, source_of
from streamflow.wire.unreadable import Unreadable

_WAIT_S = 0.1
_TYPE = "streamflow."
_STARTED, _PARKED = "RunStarted", "StepParked"


class RunsReader:
    """Reads from the end of `runs` as it is when this is made, until `close`. A context manager.

    `mark` is in the key of every run that counts, `definition` is what they run. `error` is what ended the reading.
    Raises OperationError when the topic cannot be read."""

    def __init__(self, settings: Settings, tally: Tally, *, definition: str, mark: str) -> None:
        self.error: OperationError | None = None
        self.unreadable = Unreadable(RUNS)
        self._tally = tally
        self._mark = mark.encode()
        self._source = source_of(settings.environment, definition)
        self._reading = Reading(settings, topic_name(settings, RUNS), start=OFFSET_END)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="runs", daemon=True)
        self._thread.start()

    def __enter__(self) -> RunsReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _read(self) -> None:
        with self._reading:
            try:
                while not self._ended.is_set():
                    records = self._reading.follow(_WAIT_S)
                    at_s = time.monotonic()
                    for record in records:
                        self.take(record, at_s)
            except OperationError as error:
                self.error = error

    def take(self, record: Record, at_s: float) -> None:
        """Takes one record of `runs` in, which was seen at that monotonic time."""
        if self._mark not in (record.key or b""):
            return
        headers = dict(record.headers)
        if headers.get("ce_source") != self._source:
            return
        kind = (headers.get("ce_type") or b"").decode("utf-8", "replace").removeprefix(_TYPE)
        run = (headers.get("ce_id") or b"").decode("utf-8", "replace").rpartition("/")[0]
        if kind == _STARTED:
            try:
                started = decode_transition(record.value or b"", record.headers)
            except DecodeError as error:
                self.unreadable.skip(record.partition, record.offset, error)
                return
            self._tally.start(run, started.data.event.id, at_s)
        elif kind in ENDED:
            self._tally.end(run, ENDED[kind], at_s)
        elif kind == _PARKED:
            self._tally.park(run)
