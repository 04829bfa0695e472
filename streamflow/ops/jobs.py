"""Jobs: one action on many runs, as records of the compacted topic `jobs`. Pure.

A job, the runs that are left, and a result for each run that is done are records, so a sidecar keeps nothing, and
another one continues where it stopped. Who works on a job holds it until `held_until_ms`, and says so again with each
part of the results; when nothing is heard until then, the next process takes it. The history store has no copy: a
result would come there later than here, and the job is decided on by what is here.

| key | value |
|---|---|
| `job/<id>` | Job |
| `targets/<id>/<part>` | the runs of a part, as long as it has no results |
| `results/<id>/<part>` | their results, in the same order |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from streamflow.wire.unreadable import UNREADABLE

PART = 100  # runs whose results are written together
LONGEST = 10_000  # runs of one job
KEPT_MS = 30 * 24 * 3_600_000  # for how long a job is kept
KEPT_RESULTS = 100_000  # of all jobs together; the oldest jobs that are done go first
HOLD_MS = 60_000  # for how long a job is held without a word

K = TypeVar("K")
T = TypeVar("T")

Action = Literal["cancel", "retry", "skip", "fail"]


class Target(Struct, frozen=True, array_like=True):
    """A run of a job."""

    run: str
    step: str  # its parked step; empty: it has none
    definition: str = ""  # whose run it is; empty: one of those of the job


class Result(Struct, frozen=True, omit_defaults=True):
    """The result of the action on one run."""

    run: str
    outcome: Literal["applied", "refused", "unanswered"]
    code: str = ""  # why it was refused
    message: str = ""  # the same for people


class Job(Struct, frozen=True, kw_only=True):
    """An action on many runs. Times are epoch milliseconds by the clock of a sidecar."""

    id: str
    """Its id, in the ids of its commands, too."""

    action: Action
    """What is asked of each run."""

    filter: dict[str, Any]
    """Which runs were looked for, as in the query of `GET /runs`."""

    reason: str
    """Kept with the runs that are cancelled or failed."""

    who: str
    """Who asked for it."""

    user: str = ""
    """The id of the user who asked for it; empty: the sidecar's token did, or a caller on its machine."""

    groups: tuple[str, ...] = ()
    """The groups that a provider named for that user."""

    definitions: tuple[str, ...]
    """Of its runs."""

    created_ms: int
    """When it was asked for."""

    total: int
    """How many runs it has."""

    applied: int = 0
    """Runs that the engine changed."""

    refused: int = 0
    """Runs that it did not change."""

    unanswered: int = 0
    """Runs of which nothing was heard in time; the command stays, and may still be done."""

    ended_ms: int | None = None
    """When all had a result."""

    holder: str = ""
    """Who works on it; empty: nobody has yet, or who did has ended."""

    held_until_ms: int = 0
    """Until when it is theirs."""

    @property
    def done(self) -> int:
        """How many runs have a result."""
        return self.applied + self.refused + self.unanswered

    def described(self) -> dict[str, Any]:
        """The job as JSON data; `failed` are the runs that were refused or not answered."""
        facts: dict[str, Any] = msgspec.to_builtins(self)
        del facts["holder"], facts["held_until_ms"], facts["user"], facts["groups"]
        state = "running" if self.ended_ms is None else "done"
        return facts | {"state": state, "done": self.done, "failed": self.refused + self.unanswered}


Records = dict[str, bytes | None]
"""Records by key; None deletes."""

_decode_job = msgspec.json.Decoder(Job).decode
_decode_targets = msgspec.json.Decoder(list[Target]).decode
_decode_results = msgspec.json.Decoder(list[Result]).decode
_Parts = dict[str, dict[int, T]]  # by the id of the job and the number of the part


class Board:
    """All jobs, as the topic has them."""

    def __init__(self, records: Mapping[str, bytes] = {}) -> None:
        self._jobs: dict[str, Job] = {}
        self._targets: _Parts[list[Target]] = {}
        self._results: _Parts[list[Result]] = {}
        for key, value in records.items():
            self.take(key, value)

    def take(self, key: str, value: bytes | None) -> bool:
        """Takes a record in; whether it can be read. One that cannot counts as deleted."""
        kind, _, rest = key.partition("/")
        id, _, number = rest.partition("/")
        if kind == "job" and id:
            return _put(self._jobs, id, value, lambda body: _read_job(id, body))
        if not (number.isascii() and number.isdigit() and len(number) < 9):
            return False
        if kind == "targets":
            return _put_part(self._targets, id, int(number), value, _decode_targets)
        return kind == "results" and _put_part(self._results, id, int(number), value, _decode_results)

    def jobs(self) -> list[Job]:
        """The jobs, newest first."""
        return sorted(self._jobs.values(), key=lambda one: (-one.created_ms, one.id))

    def job(self, id: str) -> Job | None:
        """A job by its id."""
        return self._jobs.get(id)

    def next_part(self, id: str) -> tuple[int, list[Target]] | None:
        """The first part of a job that has no results, and its runs; None: all have that can be read."""
        return min(self._targets.get(id, {}).items(), default=None)

    def results(self, id: str) -> Iterator[Result]:
        """The results of a job, in the order of its runs."""
        for _, part in sorted(self._results.get(id, {}).items()):
            yield from part

    def keys(self, id: str) -> list[str]:
        """The keys of all records of a job."""
        targets = [f"targets/{id}/{number}" for number in self._targets.get(id, ())]
        return [f"job/{id}", *targets, *(f"results/{id}/{number}" for number in self._results.get(id, ()))]


def _read_job(id: str, value: bytes) -> Job:
    found = _decode_job(value)
    if found.id != id:
        raise msgspec.ValidationError(f"the record of the job {id} has the id {found.id}")
    msgspec.json.encode(found)  # a number that cannot be written again would stop every sidecar that takes the job
    return found


def _put(found: dict[K, T], key: K, value: bytes | None, read: Callable[[bytes], T]) -> bool:
    """Puts what a record says in its place, or deletes it there; whether it can be read."""
    found.pop(key, None)
    if value is None:
        return True
    try:
        found[key] = read(value)
    except UNREADABLE:
        return False
    return True


def _put_part(parts: _Parts[T], id: str, number: int, value: bytes | None, read: Callable[[bytes], T]) -> bool:
    readable = _put(parts.setdefault(id, {}), number, value, read)
    if not parts[id]:
        del parts[id]
    return readable


def added(board: Board, job: Job, targets: Sequence[Target]) -> Records:
    """The records of a new job, and the deletion of old ones."""
    records: Records = {}
    left = KEPT_RESULTS
    for one in board.jobs():
        left -= one.total
        if one.ended_ms is not None and (left < 0 or one.created_ms < job.created_ms - KEPT_MS):
            records |= dict.fromkeys(board.keys(one.id))
    for begin in range(0, len(targets), PART):
        records[f"targets/{job.id}/{begin // PART}"] = msgspec.json.encode(targets[begin : begin + PART])
    made = job if targets else msgspec.structs.replace(job, ended_ms=job.created_ms)
    return records | {f"job/{job.id}": msgspec.json.encode(made)}


def free(board: Board, now_ms: int) -> Job | None:
    """The oldest job that is not done and that nobody holds."""
    waiting = [one for one in board.jobs() if one.ended_ms is None and one.held_until_ms <= now_ms]
    return waiting[-1] if waiting else None


def held(board: Board, id: str, holder: str, now_ms: int) -> Records:
    """The records by which `holder` takes a job, or keeps it; none if another process has it, or it is done."""
    job = board.job(id)
    if job is None or job.ended_ms is not None or (job.holder != holder and job.held_until_ms > now_ms):
        return {}
    return _written(msgspec.structs.replace(job, holder=holder, held_until_ms=now_ms + HOLD_MS))


def let_go(board: Board, id: str, holder: str) -> Records:
    """The records by which `holder` leaves a job to the next process."""
    job = board.job(id)
    if job is None or job.ended_ms is not None or job.holder != holder:
        return {}
    return _written(msgspec.structs.replace(job, held_until_ms=0))


def done(board: Board, id: str, holder: str, part: int, results: Sequence[Result], now_ms: int) -> Records:
    """The records of the results of a part; none if `holder` no longer has the job, or the part has its results."""
    job, left = board.job(id), board.next_part(id)
    if job is None or job.holder != holder or left is None or left[0] != part:
        return {}
    counts = {
        name: getattr(job, name) + sum(one.outcome == name for one in results)
        for name in ("applied", "refused", "unanswered")
    }
    made = msgspec.structs.replace(job, **counts, held_until_ms=now_ms + HOLD_MS)
    if made.done == made.total:
        made = msgspec.structs.replace(made, ended_ms=now_ms)
    return {
        f"results/{id}/{part}": msgspec.json.encode(results),
        f"targets/{id}/{part}": None,
        **_written(made),
    }


def given_up(board: Board, id: str, holder: str, now_ms: int) -> Records:
    """The records by which `holder` ends a job of which some runs cannot be read; nothing is heard of these."""
    job = board.job(id)
    if job is None or job.ended_ms is not None or job.holder != holder or board.next_part(id) is not None:
        return {}
    missing = max(0, job.total - job.done)
    return _written(msgspec.structs.replace(job, unanswered=job.unanswered + missing, ended_ms=now_ms))


def _written(job: Job) -> Records:
    return {f"job/{job.id}": msgspec.json.encode(job)}
