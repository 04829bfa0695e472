"""Advancing a run: every step that can begin begins, until all wait, are done, or the command has made its share of transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Any

import msgspec

from streamflow.definition.plan import (
    ChoosePlan,
    ClausePlan,
    DelayPlan,
    EmitPlan,
    ExpressionError,
    PrintPlan,
    SetPlan,
    StepPlan,
    WaitPlan,
)
from streamflow.engine.commands import Continue, Event
from streamflow.engine.draft import RunDraft
from streamflow.engine.effects import AppendCommand, PrintLine, PublishEvent
from streamflow.engine.transitions import (
    BranchChosen,
    DelayElapsed,
    DelayStarted,
    EventEmitted,
    LinePrinted,
    RunCompleted,
    StepParked,
    StepsSkipped,
    ValuesSet,
    WaitSatisfied,
    WaitStarted,
)

_encoder = msgspec.json.Encoder()


class _Parked(Exception):
    """The step cannot go on: `code` says why, `at` which part of it."""

    def __init__(self, code: str, at: str) -> None:
        super().__init__(code)
        self.code = code
        self.at = at


def advance(run: RunDraft, begin_with: Iterable[str] | None = None) -> None:
    """Begin every step that can begin. `begin_with` are the steps to look at first (None: all that have not begun)."""
    plan, order = run.plan, run.plan.order
    queue = [order[step] for step in (plan.steps if begin_with is None else begin_with)]
    heapify(queue)
    skipped: list[str] = []
    while queue:
        step = plan.sequence[heappop(queue)]
        if step.id in run.head.steps or step.id in skipped:
            continue
        verdict = _readiness(run, step, skipped)
        if verdict is None:
            continue
        if run.full:
            _flush(run, skipped)
            head = run.head
            run.draft.effects.append(AppendCommand(head.key, Continue(f"continue/{head.run}/{head.seq}", head.run, head.seq)))
            return
        if verdict:
            _flush(run, skipped)
            if not _begin(run, step):
                skipped.append(step.id)
        else:
            skipped.append(step.id)
        if step.id in skipped or run.head.steps[step.id].status == "done":
            for dependent in step.dependents:
                heappush(queue, order[dependent])
    _flush(run, skipped)
    steps = run.head.steps
    if len(steps) == len(plan.steps) and all(s.status in ("done", "skipped") for s in steps.values()):
        run.record(RunCompleted(_ended(run)))


def _flush(run: RunDraft, skipped: list[str]) -> None:
    if skipped:
        run.record(StepsSkipped(tuple(skipped)))
        skipped.clear()


def _readiness(run: RunDraft, step: StepPlan, skipped: list[str]) -> bool | None:
    """True: it can begin. False: it never can. None: not yet."""
    states = run.head.steps
    met = dead = 0
    for need in step.needs:
        state = states.get(need.step)
        if need.step in skipped or (state is not None and state.status == "skipped"):
            dead += 1
        elif state is not None and state.status == "done":
            if need.accepts(state.outcome or ""):
                met += 1
            else:
                dead += 1
    total = len(step.needs)
    if step.join_all:
        return False if dead else (True if met == total else None)
    return True if met or not total else (False if dead == total else None)


def _ended(run: RunDraft) -> tuple[str, ...]:
    steps = run.head.steps
    ended = []
    for step in run.plan.sequence:
        state = steps[step.id]
        if state.status == "done" and not any(steps[d].status == "done" for d in step.dependents):
            ended.append(step.id if state.outcome == "done" else f"{step.id}.{state.outcome}")
    return tuple(ended)


def _begin(run: RunDraft, step: StepPlan) -> bool:
    """Begin `step`; False if its `if` does not hold, so that it is to be skipped."""
    try:
        if step.condition is not None and not _evaluate(run, step.condition.holds, step.condition, "if"):
            return False
        _BEGIN[type(step.work)](run, step, step.work)
    except _Parked as parked:
        run.record(StepParked(parked.code, parked.at), step.id)
    return True


def _evaluate(run: RunDraft, call: Callable[..., Any], expression: Any, at: str, event: Any = None) -> Any:
    try:
        return call(run.variables(expression, event))
    except ExpressionError as error:
        raise _Parked(error.code, at) from None


def _values(run: RunDraft, mappings: Iterable[tuple[str, Any]], at: str) -> dict[str, Any]:
    values = {name: _evaluate(run, expression.evaluate, expression, f"{at}/{name}") for name, expression in mappings}
    if len(_encoder.encode(values)) > run.draft.limits.record_bytes:
        raise _Parked("too_large", at)
    return values


def _wait(run: RunDraft, step: StepPlan, work: WaitPlan) -> None:
    now = run.draft.now_ms
    due = None if work.within_ms is None else now + work.within_ms
    run.record(WaitStarted(tuple(sorted({clause.event for clause in work.clauses})), due), step.id)
    for kept in run.head.kept:
        clause = claim(run, work, kept.event, due)
        if isinstance(clause, ClausePlan):
            run.record(WaitSatisfied(clause.id, kept.event), step.id)
            return


def claim(run: RunDraft, work: WaitPlan, event: Event, due_ms: int | None) -> ClausePlan | str | None:
    """The clause of a begun wait that `event` meets; `late`, or the code of an expression that failed; None if it meets none."""
    failed: str | None = None
    for clause in work.clauses:
        if clause.event != event.name:
            continue
        if due_ms is not None and event.time_ms > due_ms:
            return "late"
        if clause.where is None:
            return clause
        try:
            if clause.where.holds(run.variables(clause.where, event.data)):
                return clause
        except ExpressionError as error:
            failed = error.code
    return failed


def _choose(run: RunDraft, step: StepPlan, work: ChoosePlan) -> None:
    for branch in work.branches:
        if branch.condition is None or _evaluate(run, branch.condition.holds, branch.condition, f"choose/{branch.id}"):
            run.record(BranchChosen(branch.id), step.id)
            return
    run.record(BranchChosen(None), step.id)


def _set(run: RunDraft, step: StepPlan, work: SetPlan) -> None:
    run.record(ValuesSet(_values(run, work.values, "set")), step.id)


def _emit(run: RunDraft, step: StepPlan, work: EmitPlan) -> None:
    head, data = run.head, _values(run, work.data, "emit")
    key = head.key if work.key is None else _evaluate(run, work.key.evaluate, work.key, "emit/key")
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise _Parked("not_a_key", "emit/key")
    if len(str(key).encode()) > run.draft.limits.name_bytes:
        raise _Parked("too_large", "emit/key")
    event_id = f"{head.run}/{head.seq + 1}"
    run.record(EventEmitted(work.event, work.topic, event_id, str(key), data), step.id)
    draft = run.draft
    draft.effects.append(PublishEvent(work.topic, str(key), event_id, work.event, draft.now_ms, data, head.definition, head.run, draft.trace))


def _delay(run: RunDraft, step: StepPlan, work: DelayPlan) -> None:
    if work.for_ms is not None:
        until = run.draft.now_ms + work.for_ms
    else:
        assert work.until is not None
        until = _evaluate(run, work.until.instant_ms, work.until, "delay/until")
    run.record(DelayStarted(until), step.id)
    if until <= run.draft.now_ms:
        run.record(DelayElapsed(until), step.id)


def _print(run: RunDraft, step: StepPlan, work: PrintPlan) -> None:
    value = _evaluate(run, work.text.evaluate, work.text, "print/text")
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    run.record(LinePrinted(text[:4000]), step.id)
    run.draft.effects.append(PrintLine(run.head.run, step.id, text[:4000]))


_BEGIN: dict[type, Callable[[RunDraft, StepPlan, Any], None]] = {
    WaitPlan: _wait,
    ChoosePlan: _choose,
    SetPlan: _set,
    EmitPlan: _emit,
    DelayPlan: _delay,
    PrintPlan: _print,
}
