"""`call`: an operation, done by a task worker. Also what undoes a step."""

from __future__ import annotations

from collections.abc import Iterator

from streamflow.definition.catalog import Catalog, OperationSpec
from streamflow.definition.duration import format_ms, parse_ms
from streamflow.definition.model import Call, Retry
from streamflow.definition.plan import CallPlan, RetryPlan
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.steps.kind import (
    StepForm,
    Unresolved,
    length,
    limit_of,
    milliseconds,
    not_beyond,
    outside_outcomes,
    unique,
    values,
)
from streamflow.errors import Problem


def compile_call(part: Call, catalog: Catalog, schemas: ReadSchemas) -> CallPlan:
    """The work of a call. Raises Unresolved."""
    spec = catalog.operation(part.operation)
    if spec is None:
        raise Unresolved(f"the operation {part.operation}")
    return CallPlan(
        operation=part.operation,
        lane=part.lane or spec.lane,
        values=values(part.with_, schemas),
        retry=_retry(part, spec),
        timeout_ms=parse_ms(part.timeout or spec.timeout),
        queue_ms=parse_ms(part.queue or spec.queue),
        within_ms=milliseconds(part.within),
    )


def _retry(part: Call, spec: OperationSpec) -> RetryPlan:
    """The retries of a call. A declared error that is not retryable is attempted once, unless the step says
    otherwise."""
    retry = part.retry or spec.retry
    backoff = parse_ms(retry.backoff)
    once = {error.id: (1, backoff) for error in spec.errors if not error.retryable}
    said = {
        code.id: (code.attempts, parse_ms(code.backoff) if code.backoff is not None else backoff)
        for code in retry.codes
    }
    return RetryPlan(
        attempts=retry.attempts,
        backoff_ms=backoff,
        factor=retry.factor,
        longest_ms=parse_ms(retry.longest),
        codes=once | said,
    )


def check_call(part: Call, at: str) -> Iterator[Problem]:
    """What is wrong with a call, apart from its expressions and what the catalog says."""
    yield from unique([value.name for value in part.with_], at + "/with", "name", "value")
    for field in ("timeout", "queue", "within"):
        yield from length(getattr(part, field), f"{at}/{field}")
    for field in ("timeout", "queue"):
        yield from not_beyond(getattr(part, field), part.within, f"{at}/{field}", "within")
    if part.retry is not None:
        yield from _check_retry(part.retry, part.within, at + "/retry")


def _check_retry(retry: Retry, within: str | None, at: str) -> Iterator[Problem]:
    yield from unique([code.id for code in retry.codes], at + "/codes", "id", "error code")
    yield from length(retry.longest, at + "/longest")
    pauses = [
        (retry.backoff, at + "/backoff"),
        *((code.backoff, f"{at}/codes/{index}/backoff") for index, code in enumerate(retry.codes)),
    ]
    for pause, place in pauses:
        yield from length(pause, place, allow_zero=True)
        yield from not_beyond(pause, retry.longest, place, "longest")
        yield from not_beyond(pause, within, place, "within")


def describe_call(work: CallPlan) -> str:
    """What is called where, how often, and how long at most."""
    limits = {"timeout": work.timeout_ms, "queue": work.queue_ms, "within": work.within_ms}
    said = [f"{name} {format_ms(ms)}" for name, ms in limits.items() if ms is not None]
    codes = [f"{code} {attempts}" for code, (attempts, _) in sorted(work.retry.codes.items())]
    attempts = f"{work.retry.attempts} attempts" + (f" ({', '.join(codes)})" if codes else "")
    return ", ".join([f"call {work.operation} in {work.lane}", attempts, *said])


def label_call(part: Call, catalog: Catalog | None) -> list[str]:
    """The lines of a call in a diagram."""
    spec = catalog.operation(part.operation) if catalog is not None else None
    lines = [f"call {spec.title or spec.name if spec is not None else part.operation}"]
    if part.retry is not None:
        lines.append(f"up to {part.retry.attempts} times" if part.retry.attempts > 1 else "once")
    return lines + limit_of(part.within)


def call_sentence(part: Call, catalog: Catalog) -> str:
    """What a call does, for an outline."""
    spec = catalog.operation(part.operation)
    name = f"{spec.title} ({spec.name})" if spec is not None and spec.title else part.operation
    attempts = part.retry.attempts if part.retry is not None else spec.retry.attempts if spec is not None else None
    said = [f"call {name}"] + ([f"up to {attempts} times"] if attempts is not None else [])
    return ", ".join(said + limit_of(part.within))


CALL = StepForm(
    name="call",
    plan=CallPlan,
    compile=compile_call,
    check=check_call,
    expressions=lambda work: [expression for _, expression in work.values],
    describe=describe_call,
    outcomes=outside_outcomes,
    shape=("(", ")"),
    label=label_call,
    sentence=call_sentence,
    outside=True,
)
