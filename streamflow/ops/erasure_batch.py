"""Erasing all business keys with a beginning in common, such as those of a load run: found in `runs`, asked of the
engine one after the other, and its accounts read together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_END

from streamflow.engine.commands import CancelRun, EraseKey
from streamflow.errors import Rejected
from streamflow.ids import partition_of
from streamflow.kafka.topics import AUDIT, DEAD_LETTERS, topic_name
from streamflow.ops.command_request import append, new_id, producer, refusal
from streamflow.ops.erasure import AGAIN_S
from streamflow.ops.history import read_runs
from streamflow.ops.topic_reader import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.erasure import decode_erasure

_NAMED = 5  # runs that a message names


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What `runs` has under keys with a beginning in common."""

    keys: tuple[str, ...]
    open_runs: tuple[tuple[str, str], ...]  # id and key of each run that has not ended


@dataclass(slots=True, kw_only=True)
class Erasures:
    """The result of a batch. `left` are keys that were not erased, each with the code of the reason."""

    keys: int = 0  # that were erased
    records: int = 0  # of the state
    events: int = 0  # of these, kept events
    left: dict[str, str] = field(default_factory=dict)


def find_keys(settings: Settings, prefix: str, progress: Progress | None = None) -> Found:
    """The keys that begin with `prefix`, of the runs that the topic still has. Raises Rejected (`prefix_short`): a few
    letters may be the beginning of many keys."""
    if len(prefix) < 4:
        raise Rejected("prefix_short", f"{prefix!r} may match many keys. Give at least 4 characters.")
    runs = [run for run in read_runs(settings, progress=progress).by_id.values() if run.key.startswith(prefix)]
    return Found(
        keys=tuple(sorted({run.key for run in runs})),
        open_runs=tuple((run.run, run.key) for run in runs if not run.has_ended),
    )


def erase_keys(
    settings: Settings,
    found: Found,
    definitions: Sequence[str],
    *,
    reason: str,
    force: bool,
    timeout_s: float,
    progress: Progress | None = None,
) -> Erasures:
    """Has the engine erase every key; with `force` open runs are cancelled before. Waits up to `timeout_s` seconds
    after the last one was asked for. Raises Rejected (`runs_open`), OperationError when the broker takes no command."""
    if found.open_runs and not force:
        named = ", ".join(run for run, _ in found.open_runs[:_NAMED])
        text = f"{len(found.open_runs)} runs of these keys are open: {named}."
        raise Rejected("runs_open", f"{text} End them, or cancel with --force.")
    done = Erasures()
    with (
        Reading(settings, topic_name(settings, AUDIT), [0], OFFSET_END) as accounts,
        Reading(settings, topic_name(settings, DEAD_LETTERS), [0], OFFSET_END) as letters,
    ):
        made = producer(settings)

        def place(key: str) -> int:
            return partition_of(key, settings.topics.partitions)

        for run, key in found.open_runs:
            append(settings, made, CancelRun(new_id(), run, reason), "", place(key))
        asked: dict[str, str] = {}  # keys by the command that was not answered yet
        again = list(found.keys)
        deadline = time.monotonic() + timeout_s
        while again or (asked and time.monotonic() < deadline):
            for key in again:
                command = EraseKey(new_id(), key, tuple(definitions), reason)
                append(settings, made, command, key, place(key))
                asked[command.id] = key
                deadline = time.monotonic() + timeout_s
            again = []
            for record in accounts.follow(AGAIN_S):
                try:
                    account = decode_erasure(record.value or b"", record.headers)
                except DecodeError:
                    continue  # another kind of record
                if asked.pop(account.command_id, None) is not None:
                    done.keys, done.records = done.keys + 1, done.records + account.records
                    done.events += account.events
            for letter in letters.follow(0.0):
                named_, _, rejected = refusal(settings, letter)
                refused = asked.pop(named_ or "", None)
                if refused is None:
                    continue
                # a cancelled run may still be undone
                if rejected.code == "runs_open" and force and time.monotonic() < deadline:
                    again.append(refused)
                else:
                    done.left[refused] = rejected.code
            if progress is not None:
                progress(done.keys, len(found.keys))
    done.left |= dict.fromkeys(asked.values(), "unanswered")
    return done
