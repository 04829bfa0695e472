"""Ended runs moved to an object store, and back. An object holds many runs as JSON lines, compressed with gzip: the row
of a run, its search attributes, and its transitions as `runs` had them. So it can be read without this program.

Runs are deleted here after the store has acknowledged their object. A crash in between leaves an object whose runs are
archived a second time; bringing both back gives each run once.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from streamflow.errors import OperationError
from streamflow.history.database import Database, chunks, marks
from streamflow.history.retention import DAY_MS, give_back, old_runs, remove_runs
from streamflow.history.rows import RunRow, TransitionRow
from streamflow.history.sealing import CODEC, seal, unseal
from streamflow.history.writer import RUN_COLUMNS, WAITS_FOR, run_row
from streamflow.operations.bucket import Body, Bucket
from streamflow.operations.buckets import Buckets
from streamflow.operations.contract import Attempt
from streamflow.secrets import read_secret
from streamflow.settings import Connection, Settings

_log = structlog.get_logger(__name__)

OBJECT_BYTES = 64 << 20  # of one object before it is compressed, beside its last run
_READ_BYTES = 256 << 20
_MEDIA_TYPE = "application/gzip"
_STEP = 100  # runs that are read at once


class ArchivedRun(Struct, frozen=True, kw_only=True):
    """A line of an object."""

    run: RunRow
    """The run."""

    attributes: dict[str, str]
    """Its search attributes."""

    transitions: list[tuple[int, int, str, str, msgspec.Raw]]
    """Its transitions: seq, at_ms, type, address of the step, and the value of the record in `runs`."""


class ArchiveObject(Struct, frozen=True, kw_only=True):
    """An object of the archive, as the store remembers it."""

    object: str
    """Its key."""

    connection: str
    """The connection that has it."""

    first_ms: int
    """When the first of its runs ended."""

    last_ms: int
    """When the last one did."""

    runs: int
    """How many runs it has."""

    bytes: int
    """Its size."""

    sha256: str
    """Of its content, in hex."""


class Packed(Struct, frozen=True, kw_only=True):
    """Runs ready for an object."""

    content: bytes
    """The object."""

    runs: list[tuple[int, str]]
    """Number and id of each."""

    first_ms: int
    """When the first of them ended."""

    last_ms: int
    """When the last one did."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ArchivedRun)


def archived(settings: Settings, database: Database, now_ms: int) -> Iterator[int]:
    """Move what is kept long enough to the archive, one object a step: how many runs went each time. A store that
    cannot be reached is logged, and nothing is deleted."""
    before_ms = now_ms - settings.history.runs_days * DAY_MS
    while True:
        try:
            moved = archive_some(settings, database, before_ms, now_ms)
        except OperationError as error:
            if error.code == "history_unavailable":
                raise
            _log.warning("history_archive_failed", code=error.code, error=error.message)
            return
        if moved is None:
            return
        yield moved.runs


def archive_some(settings: Settings, database: Database, before_ms: int, now_ms: int) -> ArchiveObject | None:
    """Move the runs that ended first, before `before_ms`, to one object; None: there is none. Not for use in an event
    loop. Raises OperationError."""
    packed = pack(database, old_runs(database, before_ms, now_ms, settings.history.retention_rows))
    if packed is None:
        return None
    sha256 = hashlib.sha256(packed.content).hexdigest()
    name = settings.history.archive or ""
    made = ArchiveObject(
        object=_key(settings, packed.first_ms, sha256),
        connection=name,
        first_ms=packed.first_ms,
        last_ms=packed.last_ms,
        runs=len(packed.runs),
        bytes=len(packed.content),
        sha256=sha256,
    )
    asyncio.run(_put(settings, name, made.object, Body(packed.content, sha256, _MEDIA_TYPE, made.object)))
    with database.transaction():
        remove_runs(database, packed.runs)
        database.run(
            "INSERT INTO archived (object, connection, first_ms, last_ms, runs, bytes, sha256) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            msgspec.structs.astuple(made),
        )
    give_back(database)
    return made


def objects(database: Database) -> list[ArchiveObject]:
    """The objects of the archive, oldest first."""
    return [
        ArchiveObject(**dict(zip(ArchiveObject.__struct_fields__, values, strict=True)))
        for values in database.rows(
            "SELECT object, connection, first_ms, last_ms, runs, bytes, sha256 FROM archived ORDER BY first_ms, object"
        )
    ]


def restore(settings: Settings, database: Database, connection: str, key: str, until_ms: int) -> tuple[int, int]:
    """Bring the runs of an object back, and keep them until `until_ms`: how many came, and how many were there. Not
    for use in an event loop. Raises OperationError (`archive_unreadable`, and those of the object store)."""
    content = asyncio.run(_get(settings, connection, key))
    came = there = 0
    for some in _grouped(unpack(key, content)):
        with database.transaction():
            for one in some:
                if _bring_back(database, one, until_ms):
                    came += 1
                else:
                    there += 1
    return came, there


def pack(database: Database, runs: Sequence[tuple[int, str]]) -> Packed | None:
    """As many of `runs` as fit one object; None if there are none."""
    written, done, ends = io.BytesIO(), [], []
    size = 0
    with gzip.GzipFile(fileobj=written, mode="wb", mtime=0) as packing:
        for some in chunks(runs, _STEP):
            for no, one in _read(database, some):
                line = _encoder.encode(one) + b"\n"
                packing.write(line)
                size += len(line)
                done.append((no, one.run.run))
                ends.append(one.run.ended_ms or 0)
            if size > OBJECT_BYTES:
                break
    if not done:
        return None
    return Packed(content=written.getvalue(), runs=done, first_ms=min(ends), last_ms=max(ends))


def unpack(key: str, content: bytes) -> Iterator[ArchivedRun]:
    """The runs in an object, as they are read. Raises OperationError (`archive_unreadable`)."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as lines:
            while line := lines.readline(OBJECT_BYTES):
                yield _decoder.decode(line)
    except (OSError, EOFError, ValueError) as error:
        raise OperationError(
            "archive_unreadable",
            f"The object {key} is not an archive of the history, or is truncated ({type(error).__name__}). Name "
            "another, or check the archive.",
            retryable=False,
        ) from error


def _read(database: Database, runs: Sequence[tuple[int, str]]) -> Iterator[tuple[int, ArchivedRun]]:
    names = [run for _, run in runs]
    within = marks(len(names))
    rows = {
        values[0]: run_row(values)
        for values in database.rows(f"SELECT {', '.join(RUN_COLUMNS)} FROM run WHERE run IN ({within})", names)  # noqa: S608
    }
    sealed = {
        run: (codec, bytes(body))
        for run, codec, body in database.rows(f"SELECT run, codec, body FROM sealed WHERE run IN ({within})", names)  # noqa: S608
    }
    attributes: dict[int, dict[str, str]] = {}
    for no, name, value in database.rows(
        f"SELECT no, name, value FROM attr WHERE no IN ({within}) AND name <> ?",  # noqa: S608
        [*[no for no, _ in runs], WAITS_FOR],
    ):
        attributes.setdefault(no, {})[name] = value
    for no, run in runs:
        history = unseal(run, *sealed[run]) if run in sealed else []
        transitions = [(row.seq, row.at_ms, row.kind, row.step, msgspec.Raw(row.body)) for row in history]
        yield no, ArchivedRun(run=rows[run], attributes=attributes.get(no, {}), transitions=transitions)


def _bring_back(database: Database, one: ArchivedRun, until_ms: int) -> bool:
    inserted = database.run(
        f"INSERT INTO run ({', '.join(RUN_COLUMNS)}) VALUES ({marks(len(RUN_COLUMNS))}) ON CONFLICT DO NOTHING",  # noqa: S608
        msgspec.structs.astuple(one.run),
    )
    database.run(
        "INSERT INTO kept (run, until_ms) VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET until_ms = excluded.until_ms",
        (one.run.run, until_ms),
    )
    if inserted != 1:
        return False
    history = [
        TransitionRow(run=one.run.run, seq=seq, at_ms=at_ms, kind=kind, step=step, body=bytes(value))
        for seq, at_ms, kind, step, value in one.transitions
    ]
    database.run(
        "INSERT INTO sealed (run, n, codec, body) VALUES (?, ?, ?, ?)",
        (one.run.run, len(history), CODEC, seal(history)),
    )
    database.many(
        "INSERT INTO attr (name, value, started_ms, no) SELECT ?, ?, started_ms, no FROM run WHERE run = ? "
        "ON CONFLICT DO NOTHING",
        [(name, value, one.run.run) for name, value in one.attributes.items()],
    )
    return True


def _grouped(runs: Iterator[ArchivedRun]) -> Iterator[list[ArchivedRun]]:
    some: list[ArchivedRun] = []
    for one in runs:
        some.append(one)
        if len(some) == _STEP:
            yield some
            some = []
    if some:
        yield some


def _key(settings: Settings, first_ms: int, sha256: str) -> str:
    day = datetime.fromtimestamp(first_ms / 1000, UTC).strftime("%Y/%m/%d")
    place = settings.topics.prefix.strip(".") or settings.environment
    return f"history/{settings.environment}/{place}/{day}/{first_ms}-{sha256[:16]}.jsonl.gz"


class _Store:
    """The bucket of a connection, as operations reach it."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._buckets = Buckets(settings)
        self._settings = settings
        self._name = name

    async def __aenter__(self) -> Bucket:
        try:
            bucket, _, _ = await self._buckets.bucket(self._name, None, self._attempt())
        except BaseException:
            await self._buckets.close()
            raise
        return bucket

    async def __aexit__(self, *_: object) -> None:
        await self._buckets.close()

    def _attempt(self) -> Attempt:
        return Attempt(
            id="history/archive",
            idempotency_key="history/archive",
            run="",
            definition="",
            version="",
            key="",
            step="",
            attempt=1,
            item=None,
            timeout_s=60.0,
            trace=None,
            callback_url=_no_callback,
            secret=read_secret,
            connection=self._connection,
        )

    def _connection(self, name: str) -> Connection:
        found = self._settings.tasks.connections.get(name)
        if found is None:
            raise OperationError(
                "connection_unknown",
                f"The settings have no connection {name}. Add it under tasks.connections, or correct history.archive.",
                retryable=False,
            )
        return found


def _no_callback(for_s: float) -> str:
    raise OperationError("callbacks_off", "An archive is not called back.", retryable=False)


async def _put(settings: Settings, name: str, key: str, body: Body) -> None:
    async with _Store(settings, name) as bucket:
        await bucket.create(key, body)  # the key names the content: what is there already is the same


async def _get(settings: Settings, name: str, key: str) -> bytes:
    async with _Store(settings, name) as bucket:
        content: Any = (await bucket.read(key, _READ_BYTES))[0]
        return bytes(content)
