"""Advancing a run: every step that can begin begins, until all wait, are done, or the command has made its share of
transitions."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from operator import attrgetter

from streamflow.definition.plan import NO_OUTCOME, StepPlan
from streamflow.engine.builder import RunBuilder, answer_of
from streamflow.engine.compensation import continue_compensation
from streamflow.engine.evaluation import EvaluationContext, ParkStep
from streamflow.engine.steps.registry import begin_step
from streamflow.engine.transitions import RunCompleted, StepParked, StepsSkipped

_ENDED = frozenset({"done", "skipped"})
_status = attrgetter("status")


def advance(run: RunBuilder, begin_with: Iterable[str] | None = None) -> None:
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
            run.continue_later()
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
    if _all_ended(run):
        _complete(run)


def advance_after(run: RunBuilder, step: StepPlan) -> None:
    """Begin what may begin now that `step` may have ended."""
    if run.closed or run.head.steps[step.id].status not in ("done", "skipped"):
        return
    if run.head.stopping is not None:
        continue_compensation(run)
    else:
        advance(run, step.dependents)


def _all_ended(run: RunBuilder) -> bool:
    steps = run.head.steps
    return len(steps) == len(run.plan.steps) and _ENDED.issuperset(map(_status, steps.values()))


def _complete(run: RunBuilder) -> None:
    """End the run with its output: that of the step that the definition names for it. If no record takes it, that step
    is parked."""
    head, ended, step = run.head, _ended(run), run.plan.output
    if step is None or head.steps[step].status != "done" or head.steps[step].outcome in NO_OUTCOME:
        run.record(RunCompleted(ended=ended))
        return
    completed = RunCompleted(ended=ended, output=run.output(step))
    answer = completed if head.parent is None else answer_of(head.parent, head.run, completed, run.trace)
    try:
        EvaluationContext(run).check_size(answer, "output")
    except ParkStep as parked:
        code = "output_too_large" if parked.code == "too_large" else parked.code
        run.record(StepParked(code=code, at="output", detail=parked.detail), step)
        return
    run.record(completed)


def _flush(run: RunBuilder, skipped: list[str]) -> None:
    if skipped:
        run.record(StepsSkipped(steps=tuple(skipped)))
        skipped.clear()


def _readiness(run: RunBuilder, step: StepPlan, skipped: list[str]) -> bool | None:
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


def _ended(run: RunBuilder) -> tuple[str, ...]:
    """The steps that are done and that no other step followed, each with its outcome unless that is `done`."""
    steps = run.head.steps
    done = {id_ for id_, state in steps.items() if state.status == "done"}
    ended = []
    for step in run.plan.sequence:
        if step.id in done and done.isdisjoint(step.dependents):
            outcome = steps[step.id].outcome
            ended.append(step.id if outcome == "done" else f"{step.id}.{outcome}")
    return tuple(ended)


def _begin(run: RunBuilder, step: StepPlan) -> bool:
    """Begin `step`; False if its `if` does not hold, so that it is to be skipped."""
    try:
        if step.condition is not None and not EvaluationContext(run).evaluate(
            step.condition.holds, step.condition, "if"
        ):
            return False
        begin_step(run, step)
    except ParkStep as parked:
        run.record(parked.fact, step.id)
    return True
