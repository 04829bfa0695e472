"""Source partitions that wait for a schema: the registry has to say it before their next record can be read.

Nothing is lost by that: a partition stays at its record and is read on from there when the schema has come, however
long the registry is away. Other partitions continue."""

from __future__ import annotations

import asyncio

import structlog
from aiokafka.structs import TopicPartition

from streamflow.core.metrics import Metrics
from streamflow.errors import OperationError
from streamflow.registry.readers import SchemaReaders
from streamflow.wire.decoding import Record, schema_ids

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.2
_LOG_EVERY_S = 30.0


class SchemaWaits:
    """Which partitions wait, and what asks the registry for them. Questions are asked again after `retry_s` seconds at
    most."""

    def __init__(self, schemas: SchemaReaders, metrics: Metrics, *, retry_s: float) -> None:
        self._schemas = schemas
        self._metrics = metrics
        self._retry_s = retry_s
        self._waiting: dict[TopicPartition, tuple[int, ...]] = {}
        self._since: dict[
            TopicPartition, tuple[int, float]
        ] = {}  # the record's offset, and since when it is waited for
        self._asked = asyncio.Event()
        self._logged: tuple[str, float] | None = None  # the code of the trouble that was logged last, and when

    @property
    def partitions(self) -> set[TopicPartition]:
        """Those that are not to be read now."""
        return set(self._waiting)

    def must_wait(self, tp: TopicPartition, record: Record) -> bool:
        """Whether `record` cannot be read yet. Then its partition waits from now on."""
        offset, since_s = self._since.get(tp, (-1, 0.0))
        again = offset == record.offset
        missing = self._schemas.missing(schema_ids(record), since_s if again else None)
        if not missing:
            return False
        if not again:
            self._since[tp] = record.offset, self._schemas.now_s()
        self._waiting[tp] = missing
        self._asked.set()
        return True

    def ready(self) -> list[TopicPartition]:
        """The partitions that wait no longer."""
        ready = [tp for tp in self._waiting if not self._lacking(tp)]
        for tp in ready:
            del self._waiting[tp]
        return ready

    def _lacking(self, tp: TopicPartition) -> list[int]:
        _, since_s = self._since[tp]
        return [schema_id for schema_id in self._waiting[tp] if self._schemas.lacks(schema_id, since_s)]

    def drop(self) -> None:
        """The sources are opened again."""
        self._waiting, self._since = {}, {}

    async def ask(self) -> None:
        """Asks the registry for what is waited for, until it is cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._asked.wait()
            wanted = sorted({schema_id for tp in self._waiting for schema_id in self._lacking(tp)})
            if not wanted:
                self._asked.clear()
                continue
            try:
                for schema_id in wanted:
                    await asyncio.to_thread(self._schemas.fetch, schema_id)
            except Exception as error:
                self._report(_known(error), pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._retry_s)
            else:
                pause_s = _FIRST_PAUSE_S
                if self._logged is not None:
                    self._logged = None
                    self._metrics.gauge("sources_without_schema", 0)
                    log.warning("registry_answers", consequence="the sources that waited are read again")

    def _report(self, error: OperationError, again_in_s: float) -> None:
        self._metrics.gauge("sources_without_schema", len(self._waiting))
        now = asyncio.get_running_loop().time()
        if self._logged is not None and self._logged[0] == error.code and now - self._logged[1] < _LOG_EVERY_S:
            return
        self._logged = (error.code, now)
        log.warning(
            "sources_wait_for_registry",
            code=error.code,
            reason=error.message,
            sources=sorted(f"{tp.topic}/{tp.partition}" for tp in self._waiting),
            again_in_s=again_in_s,
            consequence="they are read on when it answers; nothing is dropped, and other sources continue",
        )


def _known(error: Exception) -> OperationError:
    """`error`, or what a fault of ours is reported as: it must not stop the sources that wait for nothing."""
    if isinstance(error, OperationError):
        return error
    log.error("registry_failed", exc_info=error)
    text = f"Asking the schema registry raised {type(error).__name__}. This is a fault of Streamflow's. Report it."
    return OperationError("registry_failed", text)
