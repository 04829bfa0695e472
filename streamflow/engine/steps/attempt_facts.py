"""Facts that calls and child runs share: the result of an attempt. Of an item of a list, the step counts it, and the
item has its own record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSucceeded, AttemptSuspended
from streamflow.engine.record_keys import item_key, item_out_key, out_key, timer_key
from streamflow.engine.state import ChildRef, Items, ItemState, RunState, StepState, Timer
from streamflow.engine.steps.attempts import failed_output
from streamflow.engine.steps.kind import Change, FactRule, FormatTime, short
from streamflow.engine.transitions import Transition

replace = msgspec.structs.replace


def known(before: StepState | None) -> StepState:
    """The state before a fact that follows an earlier one, which may be missing where a history has lost its
    beginning."""
    return before if before is not None else StepState(status="calling")


def counted(
    before: StepState | None,
    *,
    item: int,
    begun: bool = False,
    ended: bool = False,
    failed: bool = False,
    output_bytes: int = 0,
) -> StepState:
    """The state of a list after a fact about one of its items."""
    state = known(before)
    items = state.items or Items(total=0)
    retry_cursor = None if items.retry_cursor is None else max(items.retry_cursor, item + 1)
    after = Items(
        total=items.total,
        begun=items.begun + begun,
        ended=items.ended + ended,
        failed=items.failed + failed,
        output_bytes=items.output_bytes + output_bytes,
        retry_cursor=retry_cursor,
    )
    return replace(state, items=after)


def requested(
    before: StepState | None, transition: Transition, *, deadline_ms: int | None, child: ChildRef | None = None
) -> StepState:
    """The state of a step after an attempt was requested; `child` is the run that the attempt is."""
    data, attempt = transition.data, transition.attempt or 0
    if data.item is not None:
        return counted(before, begun=attempt == data.attempts_before_retry + 1, item=data.item)
    return StepState(
        status="calling",
        due_ms=data.due_ms,
        attempt=attempt,
        attempts_before_retry=data.attempts_before_retry,
        first_attempt_ms=before.first_attempt_ms if before is not None else transition.at_ms,
        deadline_ms=deadline_ms,
        child=child,
        inputs_not_ready=before.inputs_not_ready if before is not None else data.inputs_not_ready,
    )


def item_requested(transition: Transition, *, armed_ms: int | None, child: ChildRef | None = None) -> Iterator[Change]:
    """The records of an item of which an attempt was requested; nothing for a step without items."""
    data = transition.data
    if data.item is None:
        return
    after = ItemState(
        status="calling",
        attempt=transition.attempt or 0,
        attempts_before_retry=data.attempts_before_retry,
        due_ms=data.due_ms,
        child=child,
    )
    yield from item_changes(transition, after, armed_ms=armed_ms, due_ms=data.due_ms)


def note_called(state: RunState, transition: Transition) -> dict[str, Any]:
    """The step has called something outside, which stopping the run may have to undo."""
    step = transition.address
    if state.stopping is not None or step in state.called:
        return {}
    return {"called": (*state.called, step)}


def item_changes(
    transition: Transition, after: ItemState | None, *, armed_ms: int | None, due_ms: int | None
) -> Iterator[Change]:
    """The records of an item that changes: its timer, and its state (None: it succeeded)."""
    run, step, item = transition.run, transition.address, transition.data.item
    # one that stays is not touched: a timer that is written again in the decision that deletes it would pass for a new
    # one
    if armed_ms != due_ms:
        if armed_ms is not None:
            yield timer_key(armed_ms, run, step, item), None
        if due_ms is not None:
            yield timer_key(due_ms, run, step, item), Timer(run=run, address=step, due_ms=due_ms, item=item)
    yield item_key(run, step, item), after


# -- suspended


def _suspended(before: StepState | None, transition: Transition) -> StepState:
    data = transition.data
    if data.item is not None:
        return counted(before, item=data.item)
    return replace(known(before), status="suspended", due_ms=data.due_ms, child=None)


def _suspended_records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    data = transition.data
    if data.item is not None:
        after = ItemState(
            status="suspended",
            attempt=transition.attempt or 0,
            attempts_before_retry=data.attempts_before_retry,
            due_ms=data.due_ms,
        )
        yield from item_changes(transition, after, armed_ms=data.armed_ms, due_ms=data.due_ms)


# -- succeeded


def _succeeded(before: StepState | None, transition: Transition) -> StepState:
    data = transition.data
    if data.item is not None:
        return counted(before, ended=True, item=data.item, output_bytes=data.output_bytes)
    return StepState(status="done", outcome="done", attempt=known(before).attempt)


def _succeeded_records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    data, run, step = transition.data, transition.run, transition.address
    if data.item is not None:
        yield from item_changes(transition, None, armed_ms=data.armed_ms, due_ms=None)
        if step in reads:
            yield item_out_key(run, step, data.item), data.output
    elif step in reads:
        yield out_key(run, step), data.output


# -- failed


def _failed(before: StepState | None, transition: Transition) -> StepState:
    data, attempt = transition.data, transition.attempt or 0
    if data.item is not None:
        over = data.retry_ms is None
        never_requested = attempt == data.attempts_before_retry  # its values could not be computed
        return counted(before, begun=never_requested, ended=over, failed=over, item=data.item)
    if data.outcome is not None:
        return StepState(status="done", outcome=data.outcome, attempt=known(before).attempt)
    return replace(known(before), status="retrying", due_ms=data.retry_ms, child=None)


def _failed_records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    data, run, step = transition.data, transition.run, transition.address
    if data.item is not None:
        after = ItemState(
            status="failed" if data.retry_ms is None else "retrying",
            attempt=transition.attempt or 0,
            attempts_before_retry=data.attempts_before_retry,
            due_ms=data.retry_ms,
        )
        yield from item_changes(transition, after, armed_ms=data.armed_ms, due_ms=data.retry_ms)
    elif data.outcome is not None and step in reads:
        attempts = known(state.steps.get(step)).attempt
        yield out_key(run, step), failed_output(data.code, data.message, attempts)


def _failed_words(data: AttemptFailed, time: FormatTime) -> str:
    if data.retry_ms is not None:
        then = f"; retried at {time(data.retry_ms)}"
    else:
        then = "; not retried" if data.outcome is None else f"; ended with {data.outcome}"
    return f"{of_item(data.item)}FAILED with {data.code}: {data.message}{then}"


def of_item(item: int | None) -> str:
    """Which item of a list some words are about."""
    return "" if item is None else f"item {item}: "


ATTEMPT_FACTS: dict[type, FactRule] = {
    AttemptSuspended: FactRule(
        words=lambda data, time: f"{of_item(data.item)}waits for a callback until {time(data.due_ms)}",
        step=_suspended,
        records=_suspended_records,
    ),
    AttemptSucceeded: FactRule(
        words=lambda data, time: f"{of_item(data.item)}gave {short(data.output)}",
        step=_succeeded,
        records=_succeeded_records,
        outcome=lambda data: "done" if data.item is None else None,
    ),
    AttemptFailed: FactRule(
        words=_failed_words,
        step=_failed,
        records=_failed_records,
        outcome=lambda data: data.outcome if data.item is None else None,
    ),
}
