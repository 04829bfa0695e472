"""Bugs planted in a real engine worker: each patches classes in the worker's own process, from outside. Production code
knows nothing of them.

bench.worker(kind=planted("seq-dropped"))
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.integration.forked import altered
from tests.integration.workers import Worker

DIED = "died"  # a file in the state folder: the bug has ended the process once already


def planted(bug: str) -> type[Worker]:
    """A kind of worker that has this bug."""

    return altered(BUGS[bug])


def none(state: Path) -> None:
    """No bug."""


def store_ahead(state: Path) -> None:
    """The store is written before the transaction, and the process dies between the two, once."""
    from streamflow.core.checkpoint import Checkpoint
    from streamflow.runtime.checkpoints import Checkpoints

    save, transaction = Checkpoints.save, Checkpoint.transaction
    stores: list[Any] = []

    async def noted(self: Checkpoints) -> None:
        stores.append(self._store)
        await save(self)

    def ahead(self: Checkpoint) -> Any:
        batches = transaction(self)
        cut = {key: value for batch in batches for key, value in batch}
        stores[-1].write(cut)
        if any(key.startswith("run/") for key in cut) and not (state / DIED).exists():
            (state / DIED).touch()
            os._exit(9)
        return batches

    Checkpoints.save, Checkpoint.transaction = noted, ahead  # type: ignore[method-assign]


def _when_sent(change: Callable[[Any], None]) -> None:
    """Let `change` have every decision before its outputs are made."""
    from streamflow.core import partition
    from streamflow.core.outputs import outputs_of

    def changed(decision: Any, *rest: Any) -> Any:
        change(decision)
        return outputs_of(decision, *rest)

    vars(partition)["outputs_of"] = changed


def seq_dropped(state: Path) -> None:
    """A transition in the middle is not sent."""
    _when_sent(lambda decision: decision.transitions.pop(1) if len(decision.transitions) > 2 else None)


def copy_forged(state: Path) -> None:
    """A transition is sent again with another time."""

    def forge(decision: Any) -> None:
        if decision.transitions:
            last = decision.transitions[-1]
            decision.transitions.append(msgspec.structs.replace(last, at_ms=last.at_ms + 1))

    _when_sent(forge)


def version_changed(state: Path) -> None:
    """Later transitions of a run have another version."""

    def rename(decision: Any) -> None:
        decision.transitions[:] = [
            msgspec.structs.replace(t, version="2") if t.seq > 3 else t for t in decision.transitions
        ]

    _when_sent(rename)


def record_skipped(state: Path) -> None:
    """After a restart the input begins one record too late, and nobody asks for the hole."""
    from streamflow.core.gap_check import Verdict
    from streamflow.core.partition import PartitionCore
    from streamflow.runtime.engine import EngineHost

    release = EngineHost.release

    async def late(self: EngineHost, partition: int, offset: int) -> None:
        await release(self, partition, offset + 1 if offset > 0 else 0)

    def no_hole(self: PartitionCore, first: int, sought: int | None, log_begins: int) -> Verdict:
        return Verdict.TAKE

    EngineHost.release, PartitionCore.judge = late, no_hole  # type: ignore[method-assign]


def batch_kept(state: Path) -> None:
    """The last batch of a partition is kept when the group takes it away, and taken when it comes back."""
    from streamflow.runtime.partition import Partition

    kept: dict[int, Any] = {}
    feed, serve = Partition.feed, Partition._serve_input

    def keep(self: Partition, fetched: Any) -> None:
        kept[self.number] = fetched
        feed(self, fetched)

    async def take_first(self: Partition) -> None:
        if (fetched := kept.pop(self.number, None)) is not None:
            await self._decide(self._core(), fetched.records)
        await serve(self)

    Partition.feed, Partition._serve_input = keep, take_first  # type: ignore[method-assign]


def fields_reordered(state: Path) -> None:
    """A process that comes after another writes the fields of a record in another order."""
    from streamflow.wire import transitions

    if (state / DIED).exists():
        transitions._encoder = msgspec.json.Encoder(order="sorted")
    state.mkdir(exist_ok=True)
    (state / DIED).touch()


def timer_early(state: Path) -> None:
    """The host fires an hour early, and the decision believes it."""
    from streamflow.core.timers import Timers
    from streamflow.engine import commands as c
    from streamflow.engine import decide

    due, fire = Timers.due, decide._DECIDE[c.FireTimer]

    def soon(self: Timers, now_ms: int, *arguments: Any) -> Any:
        return due(self, now_ms + 3_600_000, *arguments)

    def believing(draft: Any, contents: Any, own: Any, command: Any) -> None:
        draft.now_ms = max(draft.now_ms, command.due_ms)
        fire(draft, contents, own, command)

    Timers.due = soon  # type: ignore[method-assign, assignment]
    decide._DECIDE[c.FireTimer] = believing


def counts_wrong(state: Path) -> None:
    """Every tenth command is counted twice."""
    from streamflow.engine import decide

    account = decide._account

    def wrong(own: Any, *rest: Any) -> Any:
        after = account(own, *rest)
        counts = after.counts
        if counts.read % 10 == 0:
            counts = msgspec.structs.replace(counts, applied=counts.applied + 1)
        return msgspec.structs.replace(after, counts=counts)

    decide._account = wrong  # type: ignore[assignment]


def command_swallowed(state: Path) -> None:
    """A delivery is counted as a duplicate, and is none."""
    from streamflow.engine import commands as c
    from streamflow.engine import decide
    from streamflow.engine.outcome import Refused

    deliver = decide._DECIDE[c.Deliver]

    def swallow(builder: Any, contents: Any, own: Any, command: Any) -> Any:
        if command.key.endswith("3"):
            raise Refused("duplicate", "seen")
        return deliver(builder, contents, own, command)

    decide._DECIDE[c.Deliver] = swallow


def result_twice(state: Path) -> None:
    """A result is taken also of a step that has one."""
    from streamflow.engine import results

    pending = results._pending

    def any_status(builder: Any, contents: Any, command: Any, statuses: Any = ()) -> Any:
        return pending(builder, contents, command, ("calling", "suspended", "done"))

    results._pending = any_status


BUGS: dict[str, Callable[[Path], None]] = {
    "none": none,
    "store-ahead": store_ahead,
    "seq-dropped": seq_dropped,
    "copy-forged": copy_forged,
    "version-changed": version_changed,
    "record-skipped": record_skipped,
    "batch-kept": batch_kept,
    "fields-reordered": fields_reordered,
    "timer-early": timer_early,
    "counts-wrong": counts_wrong,
    "result-twice": result_twice,
    "command-swallowed": command_swallowed,
}
