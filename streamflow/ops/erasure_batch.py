"""Erasing all business keys with a beginning in common, such as those of a load run: found in `runs`, asked of the
engine one after the other, and its accounts read together."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from streamflow.engine.commands import CancelRun
from streamflow.errors import Rejected
from streamflow.ids import partition_of
from streamflow.kafka.backoff import pauses
from streamflow.ops.command_request import append, new_id, producer
from streamflow.ops.erasure import AGAIN_S, LONGEST_S
from streamflow.ops.erasure_requests import erasure_requests
from streamflow.ops.history import read_runs
from streamflow.ops.topic_reader import Progress
from streamflow.settings import Settings

_NAMED = 5  # runs that a message names


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What `runs` has under keys with a beginning in common."""

    keys: tuple[str, ...]
    open_runs: tuple[tuple[str, str], ...]  # id and key of each run that has not ended


@dataclass(slots=True, kw_only=True)
class Erasures:
    """The result of a batch. `left` are keys that were not erased, each with the code of the reason."""

    erased: list[str] = field(default_factory=list)  # keys
    records: int = 0  # of the state
    events: int = 0  # of these, kept events
    left: dict[str, str] = field(default_factory=dict)


def find_keys(settings: Settings, prefix: str, definitions: Collection[str], progress: Progress | None = None) -> Found:
    """The keys that begin with `prefix`, of the runs that the topic still has, and their open runs of `definitions`:
    one of them may have kept an event of a key and no run. Raises Rejected (`prefix_short`): a few letters
    may be the beginning of many keys."""
    if len(prefix) < 4:
        raise Rejected("prefix_short", f"{prefix!r} may match many keys. Give at least 4 characters.")
    runs = [run for run in read_runs(settings, progress=progress).by_id.values() if run.key.startswith(prefix)]
    return Found(
        keys=tuple(sorted({run.key for run in runs})),
        open_runs=tuple((run.run, run.key) for run in runs if run.definition in definitions and not run.has_ended),
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
    with erasure_requests(settings) as requests:
        made = producer(settings)
        for run, key in found.open_runs:
            partition = partition_of(key, settings.topics.partitions)
            append(settings, made, CancelRun(new_id(), run, reason), "", partition)
        for key in found.keys:
            requests.ask(key, definitions, reason)
        deadline, waits = time.monotonic() + timeout_s, pauses(AGAIN_S, LONGEST_S)
        again: list[str] = []
        again_at = 0.0
        while (requests.unanswered or again) and time.monotonic() < deadline:
            for key, answer in requests.heard(AGAIN_S):
                if not isinstance(answer, Rejected):
                    done.erased.append(key)
                    done.records, done.events = done.records + answer.records, done.events + answer.events
                elif answer.code == "runs_open" and force and time.monotonic() < deadline:
                    again.append(key)  # a cancelled run may still be undone
                else:
                    done.left[key] = answer.code
            if again and time.monotonic() >= again_at:
                for key in again:
                    requests.ask(key, definitions, reason)
                again, again_at = [], time.monotonic() + next(waits)
            if progress is not None:
                progress(len(done.erased), len(found.keys))
        done.left |= dict.fromkeys(again, "runs_open") | dict.fromkeys(requests.unanswered, "unanswered")
    return done
