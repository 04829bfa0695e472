"""Starting a run again by a corrected version, although its event is a duplicate and its request was served
(docs/design.md#a-run-follows-one-content)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from streamflow.engine.commands import CancelRun
from streamflow.engine.transitions import ENDINGS, RunCompleted, RunStarted, Transition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import read_log
from streamflow.ops.command_request import ANSWER_S, ask, new_id
from streamflow.ops.history import find_history, partition_of_known_run, read_history
from streamflow.ops.starts import Request, request, started_before
from streamflow.settings import Settings

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Restarted:
    """The run that goes instead of another one: its id, its version, and whether it was there already."""

    run: str
    version: str
    already: bool


def restart(
    settings: Settings, run: str, *, why: str, version: str | None = None, timeout_s: float = ANSWER_S
) -> Restarted:
    """Ends `run` if it is open, with what it has to undo, and starts a run of `version` (the one that starts use) with
    the same key and the same data. `why` is the reason of the old run's end; the new one bears the old one's id in that
    of its request. Asked for twice, only one run starts.

    Raises Rejected (`run_unknown`, `run_completed`, `run_is_child`, `version_same`, `run_stopping`, and what
    `ops.starts.request` raises) or OperationError. Nothing is ended when the start would not be possible."""
    history = read_history(settings, run)
    again = request_of(read_log(settings), history, version)
    if not isinstance(history[-1].data, ENDINGS):
        _end(settings, run, f"started again with {again.command.definition}@{again.version}: {why}", timeout_s)
    partition = partition_of_known_run(settings, run)  # of the key, which is the same
    try:
        answer = ask(settings, again.command, key=again.command.key, partition=partition, timeout_s=timeout_s)
    except Rejected as error:
        return _known(settings, started_before(error), again.version)
    return Restarted(answer.transitions[0].run, again.version, already=False)


def request_of(log: Snapshot, history: list[Transition], version: str | None = None) -> Request:
    """The start that puts a run instead of the one of `history`. Raises Rejected (see `restart`)."""
    first, last = history[0], history[-1]
    started = first.data
    if not isinstance(started, RunStarted):
        raise Rejected(
            "run_unknown", f"The beginning of {first.run} is no longer in runs. Start a run: `streamflow runs start`."
        )
    if started.parent is not None:
        raise Rejected(
            "run_is_child",
            f"{first.run} was started by the step {started.parent.address} of {started.parent.run}, which waits for "
            "this run. Restart that one.",
            parent=started.parent.run,
        )
    if isinstance(last.data, RunCompleted):
        raise Rejected("run_completed", f"{first.run} has completed. To start a new run: `streamflow runs start`.")
    reference = first.definition if version is None else f"{first.definition}@{version}"
    event = started.event
    again = request(
        log,
        reference,
        key=first.key,
        data=event.data,
        id=f"restart/{first.run}",
        event=event.name or None,
        correlation_id=started.correlation_id,
    )
    if version is None and again.command.start.sha256 == started.sha:
        raise Rejected(
            "version_same",
            f"Runs of {first.definition} start with the version that {first.run} has, {again.version}. Publish a "
            "corrected version first, or name one with --version.",
        )
    return again


def _end(settings: Settings, run: str, reason: str, timeout_s: float) -> None:
    """Ends an open run, and waits until it has undone what it has to. Raises Rejected, OperationError."""
    deadline = time.monotonic() + timeout_s
    try:
        ask(
            settings,
            CancelRun(new_id(), run, reason),
            key="",
            partition=partition_of_known_run(settings, run),
            timeout_s=timeout_s,
        )
    except Rejected as error:
        if error.code not in ("run_stopping", "run_ended"):
            raise
    while not isinstance(find_history(settings, run)[-1].data, ENDINGS):
        if time.monotonic() > deadline:
            raise OperationError(
                "run_stopping",
                f"{run} is being stopped, and still undoes steps. Repeat the command when it has ended; the new run "
                "starts then.",
            )
        time.sleep(_POLL_S)


def _known(settings: Settings, run: str, version: str) -> Restarted:
    history = find_history(settings, run)
    return Restarted(run, history[0].version if history else version, already=True)
