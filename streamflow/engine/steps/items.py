"""`each`: the work of a step, done for every item of a list. No separate kind: it changes how a call or a child run
begins and ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import ceil
from typing import TYPE_CHECKING

import msgspec

from streamflow.definition.expression_diagnosis import kind_of
from streamflow.definition.plan import NO_OUTCOME, CallPlan, ChildPlan, EachPlan, StepPlan
from streamflow.engine.attempt_transitions import AttemptFailed, ItemsEnded, ItemsListed
from streamflow.engine.evaluation import EvaluationContext, ParkStep
from streamflow.engine.record_keys import LIST_CHUNK, item_key, item_out_key, list_key, out_key, timer_key
from streamflow.engine.state import Items, ItemState, RunState, StepState
from streamflow.engine.steps.attempt_facts import known
from streamflow.engine.steps.attempts import (
    begin_attempt,
    cancel_attempt,
    failed_output,
    handled_outcome,
    no_values,
    unfinished_inputs,
)
from streamflow.engine.steps.kind import Change, FactRule, FormatTime
from streamflow.engine.transitions import StepParked, Transition

if TYPE_CHECKING:
    from streamflow.engine.builder import RunBuilder

STATUSES = ("listing",)


def begin_list(run: RunBuilder, step: StepPlan, each: EachPlan) -> None:
    """List the items of a step and begin the first of them. Raises ParkStep."""
    place = EvaluationContext(run)
    items = place.evaluate(each.items.evaluate, each.items, "each")
    if not isinstance(items, list):
        raise ParkStep("not_a_list", "each", f"it is {kind_of(items)}")
    limit = run.builder.limits.items
    if len(items) > limit:
        raise ParkStep("too_many_items", "each", f"it has {len(items)} items, and {limit} are allowed")
    place.check_size(items, "each")
    work = step.work
    assert isinstance(work, CallPlan | ChildPlan)
    deadline = None if work.within_ms is None else run.builder.now_ms + work.within_ms
    listed = ItemsListed(items=tuple(items), deadline_ms=deadline, inputs_not_ready=unfinished_inputs(run, work))
    run.record(listed, step.id)
    continue_list(run, step)


def continue_list(run: RunBuilder, step: StepPlan) -> None:
    """Begin items until as many as may be are under way; end the step when all have ended."""
    assert step.each is not None
    if run.head.stopping is not None:
        end_stopped_list(run, step)
        return
    while True:
        items = items_of(run, step)
        found = _next(run, step, items) if items.begun - items.ended < step.each.at_once else None
        if found is None:
            break
        if run.full:
            run.continue_later()
            return
        item, attempts_before_retry = found
        try:
            begin_attempt(run, step, attempts_before_retry + 1, attempts_before_retry=attempts_before_retry, item=item)
        except ParkStep as parked:
            failed = AttemptFailed(
                code=parked.code,
                message=no_values(item, parked),
                item=item,
                attempts_before_retry=attempts_before_retry,
            )
            run.record(failed, step.id, attempt=attempts_before_retry)
    if items.ended == items.total:
        _end(run, step, items.failed, "items_failed", "failure")


def expire(run: RunBuilder, step: StepPlan) -> None:
    """The time of a list is over: what has not succeeded counts as failed."""
    items = items_of(run, step)
    cancel_items(run, step, items.total)
    builder, id_ = run.builder, run.head.run
    if handled_outcome(step, "timeout") is None:  # it is parked: a retry looks for items that failed
        for item in range(items.total):
            known: ItemState | None = builder.get(item_key(id_, step.id, item))
            if known is not None and known.status != "failed":
                if known.due_ms is not None:
                    builder.put(timer_key(known.due_ms, id_, step.id, item), None)
                builder.put(item_key(id_, step.id, item), ItemState(status="failed", attempt=known.attempt))
            elif known is None and items.retry_cursor is None and item >= items.begun:
                builder.put(item_key(id_, step.id, item), ItemState(status="failed", attempt=0))
    _end(run, step, items.total - (items.ended - items.failed), "deadline_passed", "timeout")


def end_stopped_list(run: RunBuilder, step: StepPlan) -> None:
    """End the list of a run that is stopping once no attempt is under way: what has not succeeded counts as failed."""
    items = items_of(run, step)
    if items.ended >= items.begun:
        give_up_list(run, step)


def give_up_list(run: RunBuilder, step: StepPlan) -> None:
    """End the list of a run that is stopping, whatever is still under way. What has succeeded stays, for what undoes
    it."""
    items = items_of(run, step)
    failed = items.total - (items.ended - items.failed)
    run.record(ItemsEnded(total=items.total, failed=failed, outcome="failure" if failed else "done"), step.id)
    forget_items(run, step.id, items.total)


def _end(run: RunBuilder, step: StepPlan, failed: int, code: str, ending: str) -> None:
    """End a list of which `failed` items did not succeed: done, or on the way for it, or parked."""
    total = items_of(run, step).total
    outcome = "done" if not failed else handled_outcome(step, ending)
    run.record(ItemsEnded(total=total, failed=failed, outcome=outcome), step.id)
    if outcome is None:
        run.record(StepParked(code=code, at="each"), step.id)
    else:
        forget_items(run, step.id, total)


def items_of(run: RunBuilder, step: StepPlan) -> Items:
    """How far the list of a step is."""
    items = run.head.steps[step.id].items
    assert items is not None
    return items


def _next(run: RunBuilder, step: StepPlan, items: Items) -> tuple[int, int] | None:
    """The next item to begin, and how many attempts of it were made before a person's retry."""
    if items.retry_cursor is None:
        return (items.begun, 0) if items.begun < items.total else None
    for item in range(items.retry_cursor, items.total):
        state: ItemState | None = run.builder.get(item_key(run.head.run, step.id, item))
        if state is not None and state.status == "failed":
            return item, state.attempt
    return None


def cancel_items(run: RunBuilder, step: StepPlan, total: int) -> tuple[int, ...]:
    """Cancel the attempts of items that are under way; the items that had one."""
    cancelled = []
    for item in range(total):
        state: ItemState | None = run.builder.get(item_key(run.head.run, step.id, item))
        if state is not None and state.status in ("calling", "suspended"):
            cancel_attempt(run, step, state, item)
            cancelled.append(item)
    return tuple(cancelled)


def forget_items(run: RunBuilder, step: str, total: int, but: Collection[int] = ()) -> None:
    """Delete what is left of the items of a list, `but` some: their states and timers."""
    builder, id_ = run.builder, run.head.run
    for item in range(total):
        state: ItemState | None = builder.get(item_key(id_, step, item))
        if state is not None and item not in but:
            builder.put(item_key(id_, step, item), None)
            if state.due_ms is not None:
                builder.put(timer_key(state.due_ms, id_, step, item), None)


# -- facts


def _listed(before: StepState | None, transition: Transition) -> StepState:
    data = transition.data
    return StepState(
        status="listing",
        due_ms=data.deadline_ms,
        attempt=1,
        first_attempt_ms=transition.at_ms,
        deadline_ms=data.deadline_ms,
        items=Items(total=len(data.items)),
        inputs_not_ready=data.inputs_not_ready,
    )


def _listed_records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    items = transition.data.items
    for chunk in range(ceil(len(items) / LIST_CHUNK)):
        part = items[chunk * LIST_CHUNK : (chunk + 1) * LIST_CHUNK]
        yield list_key(transition.run, transition.address, chunk), part


def _ended(before: StepState | None, transition: Transition) -> StepState:
    data = transition.data
    items = Items(
        total=data.total,
        begun=data.total,
        ended=data.total,
        failed=data.failed,
        output_bytes=before.items.output_bytes if before is not None and before.items is not None else 0,
    )
    after = msgspec.structs.replace(known(before), due_ms=None, deadline_ms=None, items=items, attempts_before_retry=0)
    if data.outcome is None:
        return after
    return msgspec.structs.replace(after, status="done", outcome=data.outcome, inputs_not_ready=())


def _ended_records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    data, run, step = transition.data, transition.run, transition.address
    if data.outcome is not None:
        yield from list_forgotten(run, step, data.total)
        if data.outcome in NO_OUTCOME and step in reads:
            message = f"{data.failed} of {data.total} items failed"
            yield out_key(run, step), failed_output("items_failed", message, 1)


def list_forgotten(run: str, step: str, total: int) -> Iterator[Change]:
    """The deletion of a list."""
    for chunk in range(ceil(total / LIST_CHUNK)):
        yield list_key(run, step, chunk), None


def outputs_forgotten(run: str, step: str, total: int) -> Iterator[Change]:
    """The deletion of the outputs of the items of a list."""
    for item in range(total):
        yield item_out_key(run, step, item), None


def _listed_words(data: ItemsListed, time: FormatTime) -> str:
    limit = "" if data.deadline_ms is None else f", until {time(data.deadline_ms)}"
    return f"for each of {len(data.items)} items{limit}"


def _ended_words(data: ItemsEnded, time: FormatTime) -> str:
    failed = f", {data.failed} failed" if data.failed else ""
    return f"{data.total - data.failed} of {data.total} items done{failed}"


LIST_FACTS: dict[type, FactRule] = {
    ItemsListed: FactRule(words=_listed_words, step=_listed, records=_listed_records),
    ItemsEnded: FactRule(words=_ended_words, step=_ended, records=_ended_records, outcome=lambda data: data.outcome),
}
