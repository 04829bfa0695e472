"""Evolving of what happens outside: calls, lists of them, child runs and approvals. A part of `evolve`, under the same
rule: no plan, no refusal."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any

from streamflow.definition.plan import NO_OUTCOME
from streamflow.engine.state import (
    LIST_CHUNK,
    ChildRef,
    Items,
    ItemState,
    StepState,
    Timer,
    item_key,
    item_out_key,
    list_key,
    out_key,
    timer_key,
)
from streamflow.engine.transitions import (
    ApprovalExpired,
    ApprovalGiven,
    ApprovalRequested,
    AttemptFailed,
    AttemptSucceeded,
    AttemptSuspended,
    CallRequested,
    ChildRequested,
    ItemsEnded,
    ItemsListed,
    Transition,
)

Attempted = CallRequested | ChildRequested | AttemptSuspended | AttemptSucceeded | AttemptFailed
NOT_BEGUN = StepState("skipped")  # in the place of the state of a step that has none


def step_after(before: StepState | None, transition: Transition) -> StepState:
    """The state of the transition's step, which `before` was."""
    data, attempt = transition.data, transition.attempt or 0
    state = before or NOT_BEGUN
    if isinstance(data, Attempted) and data.item is not None:
        return _with(state, items=_counted(state.items or Items(0), data, attempt))
    began = state.began_ms or transition.at_ms
    if isinstance(data, CallRequested):
        return StepState(
            "calling",
            None,
            data.due_ms,
            attempt,
            data.spent,
            began,
            data.deadline_ms,
            unseen=state.unseen or data.unseen,
        )
    if isinstance(data, ChildRequested):
        child = ChildRef(data.child, data.key)
        return StepState(
            "calling",
            None,
            data.due_ms,
            attempt,
            data.spent,
            began,
            data.due_ms,
            None,
            child,
            state.unseen or data.unseen,
        )
    if isinstance(data, AttemptSuspended):
        return StepState(
            "suspended", None, data.due_ms, state.attempt, state.spent, began, state.deadline_ms, unseen=state.unseen
        )
    if isinstance(data, AttemptSucceeded):
        return StepState("done", "done", attempt=state.attempt)
    if isinstance(data, AttemptFailed):
        if data.outcome is not None:
            return StepState("done", data.outcome, attempt=state.attempt)
        return StepState(
            "retrying", None, data.retry_ms, state.attempt, state.spent, began, state.deadline_ms, unseen=state.unseen
        )
    if isinstance(data, ItemsListed):
        return StepState(
            "listing", None, data.deadline_ms, 1, 0, began, data.deadline_ms, Items(len(data.items)), unseen=data.unseen
        )
    assert isinstance(data, ItemsEnded)
    ended = Items(data.total, data.total, data.total, data.failed)
    if data.outcome is None:
        return StepState("listing", None, None, state.attempt, 0, began, None, ended, unseen=state.unseen)
    return StepState("done", data.outcome, None, state.attempt, 0, began, None, ended)


def _with(state: StepState, items: Items) -> StepState:
    return StepState(
        state.status,
        state.outcome,
        state.due_ms,
        state.attempt,
        state.spent,
        state.began_ms,
        state.deadline_ms,
        items,
        None,
        state.unseen,
    )


def _counted(items: Items, data: Attempted, attempt: int) -> Items:
    over = isinstance(data, AttemptSucceeded) or (isinstance(data, AttemptFailed) and data.retry_ms is None)
    failed = over and isinstance(data, AttemptFailed)
    first = False
    if isinstance(data, CallRequested | ChildRequested):
        first = attempt == data.spent + 1
    elif isinstance(data, AttemptFailed):
        first = attempt == data.spent  # its values had faults, so it was never requested
    again = None if items.again is None else max(items.again, (data.item or 0) + 1)
    return Items(items.total, items.begun + first, items.ended + over, items.failed + failed, again)


def parked_after(before: StepState | None) -> StepState:
    """A parked step; one that has called keeps what a retry goes on from."""
    if before is None or not before.attempt:
        return StepState("parked")
    return StepState(
        "parked", None, None, before.attempt, before.spent, before.began_ms, None, before.items, unseen=before.unseen
    )


def retried_after(before: StepState, deadline_ms: int | None) -> StepState | None:
    """A parked step that is tried again, a list until `deadline_ms`; None: from its beginning."""
    if not before.attempt:
        return None
    if before.items is None:
        return StepState("retrying", None, None, before.attempt, before.attempt, before.began_ms, unseen=before.unseen)
    succeeded = before.items.total - before.items.failed
    items = Items(before.items.total, succeeded, succeeded, 0, 0)
    return StepState(
        "listing", None, deadline_ms, before.attempt, 0, before.began_ms, deadline_ms, items, unseen=before.unseen
    )


def attempt_records(before: StepState | None, transition: Transition, read: bool) -> Iterator[tuple[str, Any]]:
    """Timers, outputs, lists and items that the transition writes or deletes; outputs only if they are `read`."""
    data, run, step, attempt = transition.data, transition.run, transition.step or "", transition.attempt or 0
    item: int | None = getattr(data, "item", None)
    armed = getattr(data, "armed_ms", None) if item is not None else (before.due_ms if before is not None else None)
    due = _due_ms(data)
    # one that stays is not touched: a timer that is written again in the decision that deletes it would pass for a new
    # one
    if armed != due:
        if armed is not None:
            yield timer_key(armed, run, step, item), None
        if due is not None:
            yield timer_key(due, run, step, item), Timer(run, step, due, item)
    if item is not None:
        after = _item_after(data, attempt)
        yield item_key(run, step, item), after
    if isinstance(data, AttemptSucceeded) and read:
        yield (out_key(run, step) if item is None else item_out_key(run, step, item)), data.output
    elif isinstance(data, AttemptFailed) and data.outcome is not None and read:
        yield (
            out_key(run, step),
            {"code": data.code, "message": data.message, "attempts": before.attempt if before else 0},
        )
    elif isinstance(data, ApprovalGiven) and read:
        yield out_key(run, step), {"decision": data.decision, "by": data.by, "data": data.data}
    elif isinstance(data, ItemsListed):
        for chunk in range(ceil(len(data.items) / LIST_CHUNK)):
            yield list_key(run, step, chunk), data.items[chunk * LIST_CHUNK : (chunk + 1) * LIST_CHUNK]
    elif isinstance(data, ItemsEnded) and data.outcome is not None:
        yield from list_forgotten(run, step, data.total)
        if data.outcome in NO_OUTCOME and read:
            yield (
                out_key(run, step),
                {"code": "items_failed", "message": f"{data.failed} of {data.total} items failed", "attempts": 1},
            )


def _due_ms(data: Any) -> int | None:
    """The timer that a fact arms."""
    if isinstance(data, ItemsListed):
        return data.deadline_ms
    if isinstance(data, AttemptFailed):
        return data.retry_ms
    if isinstance(data, CallRequested | ChildRequested | AttemptSuspended | ApprovalRequested):
        return data.due_ms
    return None


def _item_after(data: Any, attempt: int) -> ItemState | None:
    if isinstance(data, CallRequested):
        return ItemState("calling", attempt, data.spent, data.due_ms)
    if isinstance(data, ChildRequested):
        return ItemState("calling", attempt, data.spent, data.due_ms, ChildRef(data.child, data.key))
    if isinstance(data, AttemptSuspended):
        return ItemState("suspended", attempt, data.spent, data.due_ms)
    if isinstance(data, AttemptFailed):
        return ItemState("failed" if data.retry_ms is None else "retrying", attempt, data.spent, data.retry_ms)
    return None


def list_forgotten(run: str, step: str, total: int) -> Iterator[tuple[str, None]]:
    """The deletion of a list."""
    for chunk in range(ceil(total / LIST_CHUNK)):
        yield list_key(run, step, chunk), None


def step_forgotten(run: str, name: str, state: StepState, read: bool) -> Iterator[tuple[str, None]]:
    """The deletion of every record of a step but those of its items, which only the state knows."""
    if state.due_ms is not None:
        yield timer_key(state.due_ms, run, name), None
    if state.items is not None:
        if state.status != "done":
            yield from list_forgotten(run, name, state.items.total)
        if read:
            for item in range(state.items.total):
                yield item_out_key(run, name, item), None
    if (
        read
        and state.status == "done"
        and (state.outcome != "timeout" or state.attempt)
        and (state.items is None or state.outcome in NO_OUTCOME)
    ):
        yield out_key(run, name), None


ATTEMPT_FACTS = (
    ItemsListed,
    CallRequested,
    ChildRequested,
    AttemptSuspended,
    AttemptSucceeded,
    AttemptFailed,
    ItemsEnded,
)
APPROVAL_FACTS = (ApprovalRequested, ApprovalGiven, ApprovalExpired)
