"""Evolving: (state, transition) -> state. Never refuses a recorded fact, never looks at a plan.

Facts about steps are in `steps/`, those about the run as a whole are here. `records_of` gives the records beside the
head that a transition writes or deletes: outputs, timers, lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from streamflow.definition.plan import ERRORS, NO_OUTCOME, START
from streamflow.engine.record_keys import out_key, timer_key
from streamflow.engine.state import Ending, Items, RunState, StepState, Timer
from streamflow.engine.steps.items import list_forgotten, outputs_forgotten
from streamflow.engine.steps.kind import SKIPPED, Change, FactRule, FormatTime, short
from streamflow.engine.steps.registry import STEP_FACTS
from streamflow.engine.trace import Trace
from streamflow.engine.transitions import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunStopping,
    StepParked,
    StepRetried,
    StepsSkipped,
    Transition,
    UnderWay,
)

replace = msgspec.structs.replace


def evolve(state: RunState | None, transition: Transition) -> RunState:
    """The head of the run after `transition`; `state` is None before a RunStarted."""
    data = transition.data
    if state is None:
        return RunState(
            run=transition.run,
            definition=transition.definition,
            version=transition.version,
            sha=data.sha,
            revision=data.revision,
            key=transition.key,
            seq=transition.seq,
            started_ms=transition.at_ms,
            trigger=data.trigger,
            steps={},
            parent=data.parent,
            at=data.at,
            trace=Trace(data.trace, data.tracestate, data.recorded) if data.trace is not None else None,
            correlation_id=data.correlation_id,
        )
    rule = FACT_RULES[type(data)]
    steps = state.steps
    if rule.step is not None:
        step = transition.address
        steps = {**steps, step: rule.step(steps.get(step), transition)}
    if rule.run is None:
        return replace(state, seq=transition.seq, steps=steps)
    return replace(state, **{"seq": transition.seq, "steps": steps, **rule.run(state, transition)})


def records_of(before: RunState | None, after: RunState, transition: Transition, reads: frozenset[str]) -> list[Change]:
    """The records that `transition` writes or deletes beside the head of its run, which it took from `before` to
    `after`. Outputs that no expression of the plan reads (`reads`) are in `runs` only."""
    run, step = transition.run, transition.address
    rule = FACT_RULES[type(transition.data)]
    records: list[Change] = []
    if rule.output is not None and step in reads:
        records.append((out_key(run, step), rule.output(transition.data)))
    if before is None:
        return records
    if rule.step is not None or rule.run is not None:
        was, now = before.steps.get(step), after.steps.get(step)
        if was is not now:
            records += _timer_changes(run, step, was, now)
    if rule.records is not None:
        records += rule.records(before, transition, reads)
    return records


def _timer_changes(run: str, step: str, before: StepState | None, after: StepState | None) -> Sequence[Change]:
    armed = before.due_ms if before is not None else None
    due = after.due_ms if after is not None else None
    # one that stays is not touched: a timer that is written again in the decision that deletes it would pass for a new
    # one
    if armed == due:
        return ()
    changes: list[Change] = []
    if armed is not None:
        changes.append((timer_key(armed, run, step), None))
    if due is not None:
        changes.append((timer_key(due, run, step), Timer(run=run, address=step, due_ms=due)))
    return changes


# -- facts about the run


def parked_after(before: StepState | None) -> StepState:
    """A parked step; one that has called keeps what a retry continues from, and one that was done keeps its outcome:
    its output does not fit into the end of the run."""
    if before is not None and before.status == "done":
        return replace(before, status="parked")
    if before is None or not before.attempt:
        return StepState(status="parked")
    return replace(before, status="parked", outcome=None, due_ms=None, deadline_ms=None, child=None)


def retried_after(before: StepState, deadline_ms: int | None) -> StepState | None:
    """A parked step that is retried, a list until `deadline_ms`; None: from its beginning."""
    if before.outcome is not None:
        return replace(before, status="done")
    if not before.attempt:
        return None
    if before.items is None:
        return replace(before, status="retrying", attempts_before_retry=before.attempt)
    succeeded = before.items.total - before.items.failed
    items = Items(
        total=before.items.total,
        begun=succeeded,
        ended=succeeded,
        output_bytes=before.items.output_bytes,
        retry_cursor=0,
    )
    return replace(
        before, status="listing", due_ms=deadline_ms, deadline_ms=deadline_ms, attempts_before_retry=0, items=items
    )


def _parked(state: RunState, transition: Transition) -> dict[str, Any]:
    step = transition.address
    return {"steps": {**state.steps, step: parked_after(state.steps.get(step))}}


def _retried(state: RunState, transition: Transition) -> dict[str, Any]:
    steps = dict(state.steps)
    after = retried_after(steps.pop(transition.address), transition.data.deadline_ms)
    return {"steps": steps if after is None else {**state.steps, transition.address: after}}


def _skipped(state: RunState, transition: Transition) -> dict[str, Any]:
    return {"steps": {**state.steps, **dict.fromkeys(transition.data.steps, SKIPPED)}}


def _skipped_records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    for name in transition.data.steps:
        if (step := state.steps.get(name)) is not None:  # it was parked
            yield from step_forgotten(state.run, name, step, name in reads)


def stopped_after(before: StepState, under_way: UnderWay | None) -> StepState:
    """A step of a run that is stopping: it keeps waiting for answers that are under way, and for nothing else."""
    if before.has_ended:
        return replace(before, status="done") if before.status == "parked" else before
    if under_way is None:
        return SKIPPED
    items = before.items
    if items is not None:
        items = replace(items, begun=items.ended + len(under_way.items), retry_cursor=None)
    return replace(before, due_ms=under_way.due_ms, deadline_ms=None, items=items)


def _stopping(state: RunState, transition: Transition) -> dict[str, Any]:
    data = transition.data
    under_way = {one.address: one for one in data.under_way}
    return {
        "steps": {name: stopped_after(step, under_way.get(name)) for name, step in state.steps.items()},
        "stopping": Ending(ending=data.ending, reason=data.reason, undo=data.undo),
    }


def _stopping_records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    under_way = {one.address: one for one in transition.data.under_way}
    for name, step in state.steps.items():
        if step.has_ended:
            continue
        if name in under_way:
            yield from _timer_changes(state.run, name, step, stopped_after(step, under_way[name]))
        else:
            yield from step_forgotten(state.run, name, step, name in reads)


def _ended_records(state: RunState, transition: Transition, reads: frozenset[str]) -> Iterator[Change]:
    if START in reads:
        yield out_key(state.run, START), None
    for name, step in state.steps.items():
        yield from step_forgotten(state.run, name, step, name in reads)


def step_forgotten(run: str, name: str, state: StepState, read: bool) -> Iterator[Change]:
    """The deletion of every record of a step but those of its items, which only the state knows."""
    if state.due_ms is not None:
        yield timer_key(state.due_ms, run, name), None
    done = state.is_done
    if state.items is not None:
        if not done:
            yield from list_forgotten(run, name, state.items.total)
        if read:
            yield from outputs_forgotten(run, name, state.items.total)
    if (
        read
        and done
        and (state.outcome != "timeout" or state.attempt)
        and (state.items is None or state.outcome in NO_OUTCOME)
    ):
        yield out_key(run, name), None


def _started_words(data: RunStarted, time: FormatTime) -> str:
    by = "by request"
    if data.trigger:
        by = f"by trigger {data.trigger}"
    elif data.parent:
        by = f"by step {data.parent.address} of run {data.parent.run}"
    return f"started {by}: " + (f"{data.event.name} " if data.event.name else "") + short(data.event.data)


def _stopping_words(data: RunStopping, time: FormatTime) -> str:
    waits = [f"{', '.join(one.address for one in data.under_way)} answered"] if data.under_way else []
    waits += [f"{', '.join(data.undo)} undone"] if data.undo else []
    return f"ends as {data.ending} ({data.reason or 'no reason given'}) after: {'; '.join(waits)}"


def _completed_words(data: RunCompleted, time: FormatTime) -> str:
    return f"completed: {', '.join(data.ended)}" + (f"; output {short(data.output)}" if data.output is not None else "")


def _parked_words(data: StepParked, time: FormatTime) -> str:
    meaning = f" ({ERRORS[data.code]})" if data.code in ERRORS else ""
    detail = f": {data.detail}" if data.detail else ""
    return f"PARKED at {data.at}: {data.code}{meaning}{detail}. Retry, skip, restart or fail it with `streamflow runs`."


RUN_FACTS: dict[type, FactRule] = {
    RunStarted: FactRule(words=_started_words, output=lambda data: data.event.data),
    RunStopping: FactRule(words=_stopping_words, run=_stopping, records=_stopping_records),
    StepsSkipped: FactRule(
        words=lambda data, time: f"skipped {', '.join(data.steps)}", run=_skipped, records=_skipped_records
    ),
    StepParked: FactRule(
        words=_parked_words,
        run=_parked,
    ),
    StepRetried: FactRule(words=lambda data, time: "retried", run=_retried),
    RunCompleted: FactRule(words=_completed_words, records=_ended_records),
    RunFailed: FactRule(words=lambda data, time: f"failed: {data.reason or 'no reason given'}", records=_ended_records),
    RunCancelled: FactRule(
        words=lambda data, time: f"cancelled: {data.reason or 'no reason given'}", records=_ended_records
    ),
}

FACT_RULES: dict[type, FactRule] = RUN_FACTS | STEP_FACTS
"""What every fact does. A test holds it to have all of them."""
