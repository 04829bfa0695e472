"""The newest transitions of `runs` in memory: those that a store of histories, which reads the topic too, does not have
yet. One reader, however many ask; it reads while somebody does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog

from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.kafka.topics import RUNS, topic_name
from streamflow.ops.history import transitions
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from streamflow.wire.unreadable import UNREADABLE, Unreadable

_log = structlog.get_logger(__name__)

MOST = 50_000  # records that are kept; a store that is further behind is not completed from here
_MOST_BYTES = 64 << 20  # of their values
_LINGER_S = 60.0  # how long the reader goes on after the last question: opening it takes some tenths of a second
_KEPT_S = 2.0  # for how long a record stays after the store has it: who asked the store before may still want it
_GATHER_S = 0.02  # for records to come together while nobody waits: each look costs as much as many records
_REACH_S = 10.0  # for the reader to come to the end of a partition

Offsets = Mapping[int, int]


class _Named(msgspec.Struct):
    """What has to be read of every transition."""

    run: str


@dataclass(slots=True)
class _Shelf:
    """The records of one partition: all from `begin` to before `next`. `known` is where the store was, `_KEPT_S` ago or
    less."""

    begin: int
    next: int
    known: int = 0
    order: deque[tuple[int, str]] = field(default_factory=deque)
    by_run: dict[str, deque[Record]] = field(default_factory=dict)

    def add(self, run: str, record: Record) -> None:
        self.order.append((record.offset, run))
        self.by_run.setdefault(run, deque()).append(record)

    def drop(self, before: int) -> list[Record]:
        """Forgets what is before an offset."""
        dropped = []
        while self.order and self.order[0][0] < before:
            _, run = self.order.popleft()
            dropped.append(self.by_run[run].popleft())
            if not self.by_run[run]:
                del self.by_run[run]
        self.begin = max(self.begin, min(before, self.next))
        return dropped


class Recent:
    """Reads `runs` from the positions of a store on. Its methods are for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._opening = asyncio.Lock()
        self._reader: threading.Thread | None = None
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._shelves: dict[int, _Shelf] = {}
        self._count = self._bytes = 0
        self._asked = self._dropped = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[asyncio.Future[None], Offsets] = {}
        self._decoder = msgspec.json.Decoder(_Named)
        self._unreadable = Unreadable(RUNS)

    async def of(self, run: str, positions: Offsets, ends: Offsets, among: Iterable[int]) -> list[Transition] | None:
        """The transitions of a run that the partitions `among` have from the `positions` of a store up to `ends` or
        later, copies too. None when they are not in memory: the store is too far behind, or the topic cannot be
        read."""
        behind = {number: ends[number] for number in among if positions.get(number, 0) < ends[number]}
        self._drop(positions)
        if not behind:
            return []
        if not await self._read_to(behind, positions, ends):
            return None
        with self._lock:
            found: list[Record] = []
            for number in behind:
                shelf = self._shelves.get(number)
                if shelf is None or shelf.begin > positions.get(number, 0):
                    return None
                found += shelf.by_run.get(run, ())
        return list(transitions(found, self._unreadable))

    async def close(self) -> None:
        """Ends the reader."""
        self._closing.set()
        with self._lock:
            reader = self._reader
        if reader is not None:
            await asyncio.to_thread(reader.join)

    def _drop(self, positions: Offsets) -> None:
        """Forgets what the store has had for a while."""
        now = time.monotonic()
        if now - self._dropped < _KEPT_S:
            return
        self._dropped = now
        with self._lock:
            for number, shelf in self._shelves.items():
                for record in shelf.drop(shelf.known):
                    self._count -= 1
                    self._bytes -= len(record.value or b"")
                shelf.known = max(shelf.known, positions.get(number, 0))

    async def _read_to(self, wanted: Offsets, positions: Offsets, ends: Offsets) -> bool:
        """Whether everything before `wanted` is in memory, once it is."""
        self._asked = time.monotonic()
        if self._has(wanted):
            return True
        if self._reader is None and not await self._open(positions, ends):
            return False
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting[arrived] = wanted
        self._wanted.set()
        self._wake()
        try:
            await asyncio.wait_for(arrived, _REACH_S)
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.pop(arrived, None)
        return self._has(wanted)

    def _has(self, wanted: Offsets) -> bool:
        return all(number in self._shelves and self._shelves[number].next >= end for number, end in wanted.items())

    async def _open(self, positions: Offsets, ends: Offsets) -> bool:
        async with self._opening:
            if self._reader is not None:
                return True
            begin = {number: positions.get(number, 0) for number in ends}
            if self._closing.is_set() or sum(max(0, ends[number] - at) for number, at in begin.items()) > MOST:
                return False
            try:
                reading = await asyncio.to_thread(
                    Reading, self._settings, topic_name(self._settings, RUNS), None, begin
                )
            except OperationError:  # whoever reads the topic instead is told
                return False
            self._loop = asyncio.get_running_loop()
            with self._lock:
                self._shelves = {number: _Shelf(at, at) for number, at in reading.at.items()}
                self._count = self._bytes = 0
                self._reader = threading.Thread(target=self._read, args=(reading,), name="recent", daemon=True)
                self._reader.start()
            return True

    # -- in the reader's thread

    def _read(self, reading: Reading) -> None:
        try:
            with reading:
                while not self._over():
                    if not self._waiting:
                        self._wanted.wait(_GATHER_S)
                    self._wanted.clear()
                    self._take(reading.follow(0.2), reading.at)
        except OperationError as error:
            _log.warning(
                "recent_unreadable", code=error.code, error=error.message, consequence="runs are read from the topic"
            )
        finally:
            with self._lock:
                self._reader, self._shelves = None, {}
            self._tell(all_of_them=True)

    def _over(self) -> bool:
        idle = time.monotonic() - self._asked > _LINGER_S
        return idle or self._closing.is_set() or self._count > MOST or self._bytes > _MOST_BYTES

    def _take(self, records: list[Record], at: Offsets) -> None:
        with self._lock:
            for record in records:
                try:
                    run = self._decoder.decode(record.value or b"").run
                except UNREADABLE as error:
                    self._unreadable.skip(record.partition, record.offset, error)
                    continue
                self._shelf(record.partition).add(run, record)
                self._count += 1
                self._bytes += len(record.value or b"")
            for number, offset in at.items():
                self._shelf(number).next = offset
        self._tell()

    def _shelf(self, number: int) -> _Shelf:
        if number not in self._shelves:  # of a partition that was added, which is read from its beginning
            self._shelves[number] = _Shelf(0, 0)
        return self._shelves[number]

    def _tell(self, *, all_of_them: bool = False) -> None:
        if self._waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, all_of_them)

    def _wake(self, all_of_them: bool = False) -> None:
        """Tells those whose records have come; in the event loop."""
        with self._lock:
            ready = [one for one, wanted in self._waiting.items() if all_of_them or self._has(wanted)]
        for arrived in ready:
            if not arrived.done():
                arrived.set_result(None)
