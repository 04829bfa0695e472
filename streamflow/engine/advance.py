"""Advancing a run: every step that can begin begins, until all wait, are done, or the command has made its share of
transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Any

from streamflow.definition.plan import (
    NO_OUTCOME,
    ApprovalPlan,
    CallPlan,
    ChildPlan,
    ChoosePlan,
    DelayPlan,
    EmitPlan,
    ExpressionError,
    FailPlan,
    PrintPlan,
    SetPlan,
    StepPlan,
    WaitPlan,
)
from streamflow.engine.calls import begin_call, begin_list
from streamflow.engine.commands import Continue
from streamflow.engine.draft import RunDraft, answer_of
from streamflow.engine.effects import AppendCommand, PrintLine, PublishEvent
from streamflow.engine.evaluation import Parked, Place
from streamflow.engine.stopping import stop
from streamflow.engine.transitions import (
    ApprovalRequested,
    BranchChosen,
    DelayElapsed,
    DelayStarted,
    EventEmitted,
    LinePrinted,
    RunCompleted,
    StepParked,
    StepsSkipped,
    ValuesSet,
    WaitStarted,
)

TEXT_CHARS = 4000  # of what is shown to people


def advance(run: RunDraft, begin_with: Iterable[str] | None = None) -> None:
    """Begin every step that can begin. `begin_with` are the steps to look at first (None: all that have not begun)."""
    if run.is_over():
        return
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
            run.draft.effects.append(
                AppendCommand(head.key, Continue(f"continue/{head.run}/{head.seq}", head.run, head.seq))
            )
            return
        if verdict:
            _flush(run, skipped)
            if not _begin(run, step):
                skipped.append(step.id)
            if run.is_over():
                return
        else:
            skipped.append(step.id)
        if step.id in skipped or run.head.steps[step.id].status == "done":
            for dependent in step.dependents:
                heappush(queue, order[dependent])
    _flush(run, skipped)
    steps = run.head.steps
    if len(steps) == len(plan.steps) and all(s.status in ("done", "skipped") for s in steps.values()):
        run.record(_completed(run))


def _completed(run: RunDraft) -> RunCompleted:
    """The end of the run with its output: that of the step the definition names, or None if it has none, or one that no
    record takes."""
    head, ended, step = run.head, _ended(run), run.plan.output
    if step is None or head.steps[step].status != "done" or head.steps[step].outcome in NO_OUTCOME:
        return RunCompleted(ended)
    completed = RunCompleted(ended, run.output(step))
    try:
        Place(run).fits(completed if head.parent is None else answer_of(head.parent, head.run, completed), "output")
    except Parked:
        return RunCompleted(ended)
    return completed


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
        if step.condition is not None and not Place(run).evaluate(step.condition.holds, step.condition, "if"):
            return False
        if step.each is not None:
            begin_list(run, step, step.each)
        else:
            _BEGIN[type(step.work)](run, step, step.work)
    except Parked as parked:
        run.record(StepParked(parked.code, parked.at), step.id)
    return True


def _wait(run: RunDraft, step: StepPlan, work: WaitPlan) -> None:
    draft, head = run.draft, run.head
    due = None if work.within_ms is None else draft.now_ms + work.within_ms
    since = draft.offset if work.since == "here" else None
    run.record(WaitStarted(tuple(sorted({clause.event for clause in work.clauses})), due, since), step.id)
    draft.mailbox(head.definition, head.key).claim_for(run, step)


def _choose(run: RunDraft, step: StepPlan, work: ChoosePlan) -> None:
    for branch in work.branches:
        if branch.condition is None or Place(run).evaluate(
            branch.condition.holds, branch.condition, f"choose/{branch.id}"
        ):
            run.record(BranchChosen(branch.id), step.id)
            return
    run.record(BranchChosen(None), step.id)


def _set(run: RunDraft, step: StepPlan, work: SetPlan) -> None:
    run.record(ValuesSet(Place(run).values(work.values, "set")), step.id)


def _emit(run: RunDraft, step: StepPlan, work: EmitPlan) -> None:
    head, place = run.head, Place(run)
    data, key = place.values(work.data, "emit"), place.key(work.key, "emit/key")
    event_id = f"{head.run}/{head.seq + 1}"
    run.record(EventEmitted(work.event, work.topic, event_id, key, data), step.id)
    draft = run.draft
    draft.effects.append(
        PublishEvent(work.topic, key, event_id, work.event, draft.now_ms, data, head.definition, head.run, draft.trace)
    )


def _delay(run: RunDraft, step: StepPlan, work: DelayPlan) -> None:
    if work.for_ms is not None:
        until = run.draft.now_ms + work.for_ms
    else:
        assert work.until is not None
        until = Place(run).evaluate(work.until.instant_ms, work.until, "delay/until")
    run.record(DelayStarted(until), step.id)
    if until <= run.draft.now_ms:
        run.record(DelayElapsed(until), step.id)


def _approval(run: RunDraft, step: StepPlan, work: ApprovalPlan) -> None:
    text = Place(run).text(work.text, "approval/text")[:TEXT_CHARS]
    due = None if work.within_ms is None else run.draft.now_ms + work.within_ms
    run.record(ApprovalRequested(text, work.who, work.form, due), step.id)


def _fail(run: RunDraft, step: StepPlan, work: FailPlan) -> None:
    stop(run, "failed", Place(run).text(work.reason, "fail/reason"), step.id)


def _print(run: RunDraft, step: StepPlan, work: PrintPlan) -> None:
    text = Place(run).text(work.text, "print/text")[:TEXT_CHARS]
    run.record(LinePrinted(text), step.id)
    run.draft.effects.append(PrintLine(run.head.run, step.id, text))


_BEGIN: dict[type, Callable[[RunDraft, StepPlan, Any], None]] = {
    WaitPlan: _wait,
    ChoosePlan: _choose,
    SetPlan: _set,
    EmitPlan: _emit,
    DelayPlan: _delay,
    PrintPlan: _print,
    CallPlan: begin_call,
    ChildPlan: begin_call,
    ApprovalPlan: _approval,
    FailPlan: _fail,
}
