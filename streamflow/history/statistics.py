"""How many ended in each hour and how long they took, from counters. Raises OperationError (`history_unavailable`)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from streamflow.history.counters import HOUR_MS, decode_histogram, merged, percentile
from streamflow.history.database import Database
from streamflow.history.filters import one_of


class Point(Struct, frozen=True, kw_only=True):
    """The runs or steps that ended in one hour with one outcome. Durations are milliseconds."""

    hour_ms: int
    """When the hour began."""

    outcome: str
    """`started`, `completed`, `failed` or `cancelled`; of a step its outcome, `skipped` or `parked`."""

    n: int
    """How many there were."""

    mean_ms: float | None
    """The mean duration; None: nothing has one."""

    p50_ms: float | None
    """The median, within 10 %."""

    p95_ms: float | None
    """What 95 % did not exceed."""

    p99_ms: float | None
    """What 99 % did not exceed."""


class Outcomes(Struct, frozen=True, kw_only=True):
    """How often a step ended with an outcome, over a range of time."""

    step: str
    """The address of the step."""

    outcome: str
    """Its outcome."""

    n: int
    """How often."""

    p50_ms: float | None
    """The median duration."""

    p95_ms: float | None
    """What 95 % did not exceed."""


def statistics(
    database: Database,
    from_ms: int,
    to_ms: int,
    *,
    definition: str | None = None,
    version: str | None = None,
    step: str | None = None,
    within: Sequence[str] | None = None,
) -> list[Point]:
    """What ended in each hour of a range, by outcome: of runs, or of a step of a definition. From counters. `within`:
    only of definitions with these names."""
    table, outcome = ("hour", "status") if step is None else ("step_hour", "outcome")
    parts = ["hour >= ?", "hour < ?"]
    values: list[str | int] = [from_ms // HOUR_MS, -(-to_ms // HOUR_MS)]
    for name, value in (("definition", definition), ("version", version), ("step", step)):
        if value is not None:
            parts.append(f"{name} = ?")
            values.append(value)
    if within is not None:
        parts.append(one_of("definition", within))
        values += within
    found = database.rows(
        f"SELECT hour, {outcome}, n, total_ms, hist FROM {table} WHERE {' AND '.join(parts)}",  # noqa: S608
        values,
    )
    together: dict[tuple[int, str], list[tuple[int, int, bytes]]] = {}
    for hour, name, n, total_ms, body in found:
        together.setdefault((hour, name), []).append((n, total_ms, bytes(body)))
    return [_point(hour, name, rows) for (hour, name), rows in sorted(together.items())]


def _point(hour: int, outcome: str, rows: list[tuple[int, int, bytes]]) -> Point:
    histogram = merged(body for _, _, body in rows)
    timed = sum(histogram.values())
    return Point(
        hour_ms=hour * HOUR_MS,
        outcome=outcome,
        n=sum(n for n, _, _ in rows),
        mean_ms=sum(total for _, total, _ in rows) / timed if timed else None,
        p50_ms=percentile(histogram, 0.5),
        p95_ms=percentile(histogram, 0.95),
        p99_ms=percentile(histogram, 0.99),
    )


def traffic(database: Database, definition: str, version: str, from_ms: int, to_ms: int) -> list[Outcomes]:
    """How often each step of a version ended with each outcome, over whole hours. From counters."""
    found = database.rows(
        "SELECT step, outcome, n, hist FROM step_hour WHERE definition = ? AND version = ? AND hour >= ? AND hour < ?",
        (definition, version, from_ms // HOUR_MS, -(-to_ms // HOUR_MS)),
    )
    counted: dict[tuple[str, str], int] = {}
    taken: dict[tuple[str, str], dict[int, int]] = {}
    for step, outcome, n, body in found:
        place = step, outcome
        counted[place] = counted.get(place, 0) + n
        histogram = taken.setdefault(place, {})
        for bucket, held in decode_histogram(bytes(body)).items():
            histogram[bucket] = histogram.get(bucket, 0) + held
    return [
        Outcomes(
            step=step,
            outcome=outcome,
            n=counted[step, outcome],
            p50_ms=percentile(taken[step, outcome], 0.5),
            p95_ms=percentile(taken[step, outcome], 0.95),
        )
        for step, outcome in sorted(counted)
    ]
