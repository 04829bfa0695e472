"""Erasing a business key: asking the engine, and saying what Kafka still keeps of the key, where and for how long.

A topic with a retention cannot be overwritten. A segment is deleted when its newest record is older than the retention,
and it takes records for `segment.ms` at most, so a record is deleted `retention.ms` + `segment.ms` after its time at
the latest, and the check that deletes runs every few minutes. A compacted topic loses an overwritten record once its
segment is closed and cleaned (`max.compaction.lag.ms` at the latest), and its tombstone with the cleaning that follows
`delete.retention.ms`."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.engine.commands import CancelRun
from streamflow.engine.effects import RecordErasure
from streamflow.engine.mailbox.records import mailbox_name
from streamflow.errors import OperationError, Rejected
from streamflow.ids import partition_of
from streamflow.kafka.admin import Admin
from streamflow.kafka.backoff import pauses
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.topics import (
    COMMANDS,
    DEAD_LETTERS,
    RUNS,
    STATE,
    UNCLAIMED,
    lane_topic_name,
    mirror_topic_name,
    topic_name,
)
from streamflow.kafka.unknown_names import require_definition
from streamflow.ops.command_request import ask, new_id
from streamflow.ops.dead_letters import OPEN, read_dead_letters
from streamflow.ops.erasure_requests import erasure_requests
from streamflow.ops.history import read_runs
from streamflow.ops.settlements import settle
from streamflow.ops.topic_reader import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.settlement import Settlement

AGAIN_S, LONGEST_S = 0.5, 5.0  # between two tries while cancelled runs end; each is a command and its refusal
_NEVER_MS = 253_402_300_800_000  # the year 10000: what lasts longer is not bounded
_ERASED = "its business key was erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What one topic keeps of a business key."""

    topic: str
    records: int  # under the key; in `state` the records that are not yet overwritten
    newest_ms: int  # the newest of them, in epoch milliseconds
    gone_ms: int | None  # when Kafka has deleted the last of them at the latest; None: no setting bounds it
    why: str  # which settings say so


def known_definitions(log: Snapshot, only: str | None) -> tuple[str, ...]:
    """The definitions whose mailboxes an erasure looks into: `only` one, or all that were ever published.

    Raises Rejected (`unknown_definition`)."""
    if only is None:
        return tuple(sorted({name for name, _ in log.versions} | set(log.names)))
    require_definition(log, only)
    return (only,)


def erase(
    settings: Settings, key: str, definitions: Sequence[str], *, reason: str, force: bool, timeout_s: float
) -> RecordErasure:
    """Has the engine erase `key`; with `force` its open runs are cancelled before. The engine's account of it.

    Raises Rejected (`runs_open`) while a run is open, OperationError `unanswered` when nothing was heard in time."""
    deadline, cancelled, waits = time.monotonic() + timeout_s, set[str](), pauses(AGAIN_S, LONGEST_S)
    while True:
        open_runs = [
            run.run
            for run in read_runs(settings, key=key).by_id.values()
            if run.key == key and run.definition in definitions and not run.has_ended
        ]
        if not open_runs:
            try:
                return _ask(settings, key, definitions, reason, max(1.0, deadline - time.monotonic()))
            except Rejected as rejected:
                if rejected.code != "runs_open" or not force:
                    raise
                open_runs = list(rejected.facts.get("runs", ()))  # `runs` may have forgotten their beginning
        if not force or time.monotonic() > deadline:
            text = f"{len(open_runs)} runs of the key are open: {', '.join(open_runs[:5])}. "
            more = "They are being undone or parked: see `runs show`." if force else "End them, or cancel with --force."
            raise Rejected("runs_open", text + more, runs=open_runs)
        for run in open_runs:
            if run not in cancelled:
                cancelled.add(run)
                _cancel(settings, run, key)
        time.sleep(next(waits))


def _cancel(settings: Settings, run: str, key: str) -> None:
    partition = partition_of(key, settings.topics.partitions)
    try:
        ask(settings, CancelRun(new_id(), run, _ERASED), key="", partition=partition)
    except Rejected as rejected:  # it ends, or has ended, already
        if rejected.code not in ("run_stopping", "run_ended", "run_unknown"):
            raise


def _ask(settings: Settings, key: str, definitions: Sequence[str], reason: str, timeout_s: float) -> RecordErasure:
    with erasure_requests(settings) as requests:
        requests.ask(key, definitions, reason)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for _, answer in requests.heard(0.1):
                if isinstance(answer, Rejected):
                    raise answer
                return answer
    raise OperationError(
        "unanswered",
        f"The engine did not answer within {timeout_s:g} s. The command stays in commands: check whether an engine is "
        "running.",
    )


def drop_letters(settings: Settings, keys: Collection[str], definition: str | None) -> int:
    """Drop the open dead letters of erased keys, so that nobody sends them again; how many. Raises OperationError."""
    erased = {key.encode() for key in keys}
    found = [
        letter
        for letter in read_dead_letters(settings)
        if letter.state == OPEN and letter.key in erased and definition in (None, letter.facts.get("definition"))
    ]
    ends = [Settlement(letter=letter.id, state="dropped", why=_ERASED) for letter in found]
    return sum(1 for _ in settle(settings, ends))


def remains(
    settings: Settings, key: str, definitions: Sequence[str], progress: Progress | None = None
) -> list[Remains]:
    """What the own topics keep of `key` now, for each that keeps something.

    Raises OperationError."""
    entry = partition_of(key, settings.topics.partitions)
    lanes = [lane_topic_name(settings, lane) for lane in sorted(settings.tasks.lanes)]
    topics = [topic_name(settings, role) for role in (COMMANDS, RUNS, UNCLAIMED)] + lanes
    dead, state = topic_name(settings, DEAD_LETTERS), topic_name(settings, STATE)
    mirrored = {topic_name(settings, role): mirror_topic_name(settings, role) for role in settings.mirror.topics}
    single = {dead, mirrored.get(dead)}  # topics of one partition
    found: list[Remains] = []
    actual = Admin(settings).describe([*topics, dead, *mirrored.values(), state])
    for topic in (*topics, dead, *mirrored.values()):
        times = _times(settings, topic, None if topic in single else entry, key, progress)
        if times and topic in actual:
            found.append(_until_deleted(topic, times, actual[topic].config))
    return found + list(_in_state(settings, state, entry, key, definitions, actual[state].config, progress))


def _times(settings: Settings, topic: str, entry: int | None, key: str, progress: Progress | None) -> list[int]:
    """When the records under `key` were appended."""
    wanted = key.encode()
    with Reading(settings, topic, entry=entry) as reading:
        return [record.timestamp_ms for record in reading.to_end(progress) if record.key == wanted]


def _until_deleted(topic: str, times: Sequence[int], config: Mapping[str, str]) -> Remains:
    retention, segment = int(config.get("retention.ms", "-1")), int(config.get("segment.ms", "604800000"))
    newest = max(times)
    gone = newest + retention + segment
    is_bounded = retention >= 0 and gone < _NEVER_MS
    why = f"retention.ms {retention} + segment.ms {segment} after the newest"
    return Remains(topic=topic, records=len(times), newest_ms=newest, gone_ms=gone if is_bounded else None, why=why)


def _in_state(
    settings: Settings,
    topic: str,
    entry: int,
    key: str,
    definitions: Iterable[str],
    config: Mapping[str, str],
    progress: Progress | None,
) -> Iterator[Remains]:
    """The records of the changelog that name a mailbox of the key, overwritten ones and tombstones too."""
    names = [f"/{mailbox_name(definition, key)}".encode() for definition in definitions]
    with Reading(settings, topic, entry=entry) as reading:
        times = [
            record.timestamp_ms
            for record in reading.to_end(progress)
            if any(name in (record.key or b"") for name in names)
        ]
    if not times:
        return
    lag, deletions = int(config.get("max.compaction.lag.ms", "0")), int(config.get("delete.retention.ms", "0"))
    bounded = 0 < lag < 10 * 365 * 86_400_000
    yield Remains(
        topic=topic,
        records=len(times),
        newest_ms=max(times),
        gone_ms=max(times) + 2 * lag + deletions if bounded else None,
        why=f"2 x max.compaction.lag.ms {lag} + delete.retention.ms {deletions} after the newest"
        if bounded
        else "max.compaction.lag.ms is not set",
    )


def described(account: RecordErasure) -> dict[str, Any]:
    """The account as JSON data."""
    return {
        "command": account.command_id,
        "definitions": list(account.definitions),
        "reason": account.reason,
        "records": account.records,
        "events": account.events,
        "at_ms": account.at_ms,
    }
