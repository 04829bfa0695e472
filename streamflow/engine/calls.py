"""Beginning what is done outside: attempts of calls and child runs, and lists of them; and calling them off."""

from __future__ import annotations

from streamflow.definition.plan import CallPlan, ChildPlan, EachPlan, StepPlan
from streamflow.engine import commands as c
from streamflow.engine.draft import RunDraft
from streamflow.engine.effects import AppendCommand, SendTask
from streamflow.engine.evaluation import Parked, Place
from streamflow.engine.state import LIST_CHUNK, Items, ItemState, StepState, item_key, list_key, timer_key
from streamflow.engine.tasks import CancelTask, Task, idempotency_key, task_id
from streamflow.engine.transitions import (
    AttemptFailed,
    CallRequested,
    ChildRequested,
    ItemsEnded,
    ItemsListed,
    StepParked,
)
from streamflow.ids import child_run_id


def begin_call(run: RunDraft, step: StepPlan, work: CallPlan | ChildPlan) -> None:
    """Make the first attempt of a call or of a child run. Raises Parked."""
    begin_attempt(run, step, 1)


def begin_attempt(
    run: RunDraft, step: StepPlan, attempt: int, *, spent: int = 0, item: int | None = None, armed_ms: int | None = None
) -> None:
    """Make an attempt, of one item if the step has a list. `armed_ms` is the item's timer that this ends. Raises
    Parked."""
    draft, head, work = run.draft, run.head, step.work
    assert isinstance(work, CallPlan | ChildPlan)
    state = head.steps.get(step.id)
    deadline = state.deadline_ms if state is not None else None
    if deadline is None and item is None and work.within_ms is not None:
        deadline = draft.now_ms + work.within_ms
    element = (
        None if item is None else (item, draft.get(list_key(head.run, step.id, item // LIST_CHUNK))[item % LIST_CHUNK])
    )
    unseen = _unseen(run, work) if state is None else ()
    place = Place(run, element, None, unseen) if state is None else Place(run, element, state.began_ms, state.unseen)
    values = place.values(work.values, "with")
    task = task_id(head.run, step.id, item, attempt)
    if isinstance(work, ChildPlan):
        key = place.key(work.key, "run/key")
        child = child_run_id(draft.partition.environment, work.definition, key, task)
        start = c.Start(work.sha, work.at, head.revision)
        parent = c.Parent(head.run, head.key, step.id, attempt, item)
        event = c.Event("", task, draft.now_ms, values)
        command = c.StartRun(f"child/{task}", work.definition, key, start, event, draft.trace, parent)
        place.fits(command, "with")
        run.record(
            ChildRequested(child, work.definition, work.version, key, values, deadline, spent, item, unseen),
            step.id,
            attempt=attempt,
        )
        draft.effects.append(AppendCommand(key, command))
        return
    lost = draft.now_ms + work.queue_ms + work.timeout_ms + draft.limits.lost_ms
    due = lost if deadline is None or item is not None else min(lost, deadline)
    run.record(
        CallRequested(work.operation, work.lane, values, due, deadline, spent, item, armed_ms, unseen),
        step.id,
        attempt=attempt,
    )
    draft.effects.append(
        SendTask(
            work.lane,
            Task(
                id=task,
                idempotency_key=idempotency_key(head.run, step.id, item),
                run=head.run,
                definition=head.definition,
                version=head.version,
                key=head.key,
                step=step.id,
                attempt=attempt,
                operation=work.operation,
                input=values,
                timeout_ms=work.timeout_ms,
                queue_ms=work.queue_ms,
                deadline_ms=deadline,
                item=item,
                trace=draft.trace,
            ),
        )
    )


def begin_list(run: RunDraft, step: StepPlan, each: EachPlan) -> None:
    """List the items of a step and begin the first of them. Raises Parked."""
    place = Place(run)
    items = place.evaluate(each.items.evaluate, each.items, "each")
    if not isinstance(items, list):
        raise Parked("not_a_list", "each")
    if len(items) > run.draft.limits.items:
        raise Parked("too_many_items", "each")
    place.fits(items, "each")
    work = step.work
    assert isinstance(work, CallPlan | ChildPlan)
    deadline = None if work.within_ms is None else run.draft.now_ms + work.within_ms
    run.record(ItemsListed(tuple(items), deadline, _unseen(run, work)), step.id)
    go_on_list(run, step)


def go_on_list(run: RunDraft, step: StepPlan) -> None:
    """Begin items until as many as may be are under way; end the step when all have ended."""
    assert step.each is not None
    while True:
        items = _items(run, step)
        found = _next(run, step, items) if items.begun - items.ended < step.each.at_once else None
        if found is None:
            break
        if run.full:
            head = run.head
            run.draft.effects.append(
                AppendCommand(head.key, c.Continue(f"continue/{head.run}/{head.seq}", head.run, head.seq))
            )
            return
        item, spent = found
        try:
            begin_attempt(run, step, spent + 1, spent=spent, item=item)
        except Parked as parked:
            message = f"expected values for item {item} but {parked.at} has none"
            run.record(AttemptFailed(parked.code, message, item=item, spent=spent), step.id, attempt=spent)
    if items.ended == items.total:
        end_list(run, step, items.failed, "items_failed", "failure")


def end_list(run: RunDraft, step: StepPlan, failed: int, code: str, ending: str) -> None:
    """End a list of which `failed` items did not succeed: done, or on the way for it, or parked."""
    total = _items(run, step).total
    outcome = "done" if not failed else path(step, ending)
    run.record(ItemsEnded(total, failed, outcome), step.id)
    if outcome is None:
        run.record(StepParked(code, "each"), step.id)
    else:
        forget_items(run, step.id, total)


def path(step: StepPlan, ending: str) -> str | None:
    """The outcome with which a step ends in vain: `ending` if a step needs that, else `failure` if one needs that, else
    None (it is parked)."""
    return ending if ending in step.handled else "failure" if "failure" in step.handled else None


def _unseen(run: RunDraft, work: CallPlan | ChildPlan) -> tuple[str, ...]:
    """The steps that the values of `work` name and that have not ended: were they seen once they have, attempts would
    differ from each other."""
    states, named = run.head.steps, {name for _, expression in work.values for name in expression.steps}
    if isinstance(work, ChildPlan) and work.key is not None:
        named |= work.key.steps
    if run.head.stopping is not None:  # nothing ends any more
        return ()
    return tuple(
        sorted(name for name in named if (state := states.get(name)) is None or state.status not in ("done", "skipped"))
    )


def _items(run: RunDraft, step: StepPlan) -> Items:
    items = run.head.steps[step.id].items
    assert items is not None
    return items


def _next(run: RunDraft, step: StepPlan, items: Items) -> tuple[int, int] | None:
    """The next item to begin, and how many attempts of it were made before a person's retry."""
    if items.again is None:
        return (items.begun, 0) if items.begun < items.total else None
    for item in range(items.again, items.total):
        state: ItemState | None = run.draft.get(item_key(run.head.run, step.id, item))
        if state is not None and state.status == "failed":
            return item, state.attempt
    return None


def forget_items(run: RunDraft, step: str, total: int) -> None:
    """Delete what is left of the items of a list."""
    draft, id_ = run.draft, run.head.run
    for item in range(total):
        state: ItemState | None = draft.get(item_key(id_, step, item))
        if state is not None:
            draft.put(item_key(id_, step, item), None)
            if state.due_ms is not None:
                draft.put(timer_key(state.due_ms, id_, step, item), None)


def call_off(run: RunDraft, step: StepPlan, state: StepState | ItemState, item: int | None = None) -> None:
    """Tell whoever is at work on an attempt, or on all items of a list, that nobody waits for it any more."""
    draft, head = run.draft, run.head
    if isinstance(state, StepState) and state.items is not None:
        for number in range(state.items.total):
            under_way: ItemState | None = draft.get(item_key(head.run, step.id, number))
            if under_way is not None:
                call_off(run, step, under_way, number)
    elif state.status in ("calling", "suspended"):
        task = task_id(head.run, step.id, item, state.attempt)
        if state.child is not None:
            cancel = c.CancelRun(f"cancel/{task}", state.child.run, f"{head.run} waits for it no longer")
            draft.effects.append(AppendCommand(state.child.key, cancel))
        elif isinstance(step.work, CallPlan):
            draft.effects.append(SendTask(step.work.lane, CancelTask(task, head.key)))
