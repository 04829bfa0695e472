"""How a run is compared with what its scenario expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import CallRequested
from streamflow.engine.evolve import FACT_RULES
from streamflow.engine.transitions import Transition
from streamflow.simulation.scenarios import Called, Expected

_ENDED = {"RunCompleted": "completed", "RunFailed": "failed", "RunCancelled": "cancelled"}


def differences(expected: Expected, history: tuple[Transition, ...]) -> Iterator[str]:
    """Every way in which a run is not as expected, as sentences."""
    last = history[-1].data
    parked = _parked(history)
    status = _ENDED.get(history[-1].type, "parked" if parked else "open")
    if status != expected.status:
        causes = f" ({', '.join(f'{step}: {code}' for step, code in parked.items())})" if status == "parked" else ""
        yield difference("status", expected.status, status + causes)
    if expected.path is not None and expected.path != list(path(history)):
        yield difference("path", " > ".join(expected.path), " > ".join(path(history)))
    reason = last.reason if isinstance(last, t.RunFailed | t.RunCancelled) else None
    if expected.reason is not None and expected.reason != reason:
        yield difference("reason", expected.reason, reason)
    if expected.parked is not None and expected.parked != parked:
        yield difference("parked", expected.parked, parked)
    if "output" in expected.model_fields_set:
        output = last.output if isinstance(last, t.RunCompleted) else None
        if not within(expected.output, output):
            yield difference("output", expected.output, output)
    if expected.events is not None:
        emitted = [(fact.event, fact.key, fact.data) for one in history if isinstance(fact := one.data, t.EventEmitted)]
        wanted = [
            (event.event, event.key if event.key is not None else history[0].key, event.data)
            for event in expected.events
        ]
        if len(wanted) != len(emitted) or not all(
            a[:2] == b[:2] and within(a[2], b[2]) for a, b in zip(wanted, emitted, strict=True)
        ):
            yield difference("events", wanted, emitted)
    if expected.calls is not None:
        calls = [
            (one.address, one.data.operation, one.data.input) for one in history if isinstance(one.data, CallRequested)
        ]
        if len(calls) != len(expected.calls) or not all(map(_is_call, expected.calls, calls)):
            yield difference("calls", [call.model_dump(exclude_unset=True) for call in expected.calls], calls)


def path(history: Sequence[Transition]) -> Iterator[str]:
    """The steps of a run that ended, as `step` or `step.outcome`, in the order in which they did; at last the one that
    made it fail. Skipped ones are not among them."""
    stopped = False
    for transition in history:
        outcome = _outcome(transition.data)
        if isinstance(transition.data, t.RunStopping | t.RunFailed) and not stopped:
            stopped, outcome = True, ""
        address = transition.address
        if outcome is not None and address:
            yield address if outcome in ("", "done") else f"{address}.{outcome}"


def _is_call(wanted: Called, call: tuple[str, str, Any]) -> bool:
    step, operation, given = call
    return wanted.step == step and wanted.operation in (None, operation) and within(wanted.input, given)


def _parked(history: tuple[Transition, ...]) -> dict[str, str]:
    """Why each step that is still parked is."""
    found: dict[str, str] = {}
    for one in history:
        if isinstance(one.data, t.StepParked):
            found[one.address] = one.data.code
        elif isinstance(one.data, t.StepRetried):
            found.pop(one.address, None)
        elif isinstance(one.data, t.StepsSkipped):
            for step in one.data.steps:
                found.pop(step, None)
    return found


def within(wanted: Any, given: Any) -> bool:
    """Whether `given` is `wanted`; of objects, at any depth, only the fields that are wanted count."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        return all(name in given and within(value, given[name]) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(given, list):
        return len(wanted) == len(given) and all(map(within, wanted, given))
    return bool(wanted == given) and isinstance(wanted, bool) == isinstance(given, bool)


def _outcome(data: Any) -> str | None:
    """How the step of a fact ended, or None if it did not end by it."""
    outcome = FACT_RULES[type(data)].outcome
    return outcome(data) if outcome is not None else None


def difference(what: str, expected: Any, found: Any) -> str:
    shown, came = (value if value or value is False else "nothing" for value in (expected, found))
    return f"{what}: expected {shown}\n{' ' * len(what)}   but was  {came}"
