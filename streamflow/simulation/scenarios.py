"""Scenarios: what happens to a definition, as its author wrote it, and what is expected of it. Played in the simulator,
in virtual time.

A scenario says what operations answer, what is done (events, requests, time passing, decisions of people), and what is
to come of it. `play` reports every difference. An answer must fit the contract of its operation, so a scenario cannot
rely on what the real one would never give.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from streamflow.definition.duration import PATTERN
from streamflow.definition.evaluator.times import parse_timestamp
from streamflow.definition.model import Duration, ErrorCode, OperationName, Part
from streamflow.definition.syntax import parse_as


def _point(text: str) -> str:
    if parse_timestamp(text) is None:
        raise ValueError(f'expected a point in time such as 2026-03-01T08:00:00Z but found "{text}"')
    return text


CLOCK = "2026-01-01T00:00:00Z"
Point = Annotated[str, AfterValidator(_point)]  # in time: RFC 3339 with an offset, in quotes


def start_ms(point: str) -> int:
    """A point in time of a scenario in epoch milliseconds."""
    found = parse_timestamp(point)
    assert found is not None  # validated
    return found.ns // 1_000_000


class Failure(Part):
    """The error that an attempt ends with. `after` is when the other side asks to be asked again."""

    code: ErrorCode
    message: str = ""
    retryable: bool | None = None  # absent: as the operation declares the code, which holds where it says no
    after: Duration | None = None


class Answer(Part):
    """How an operation answers one call: one of `output`, `error` and `silent` (it never does).

    Of the answers for its input (`when`: the fields that select it) each attempt of a step takes the next one, and
    the last for all that follow."""

    when: dict[str, Any] = Field(default_factory=dict)
    output: Any = None
    error: Failure | None = None
    silent: bool = False

    @model_validator(mode="after")
    def _one(self) -> Answer:
        given = [name for name in ("output", "error", "silent") if name in self.model_fields_set]
        if len(given) != 1:
            raise ValueError(f"expected one of output, error and silent but found {' and '.join(given) or 'none'}")
        return self


class Sent(Part):
    """An event of the catalog. Without `key` the catalog says where it is in `data` or `headers`; `id`, `key` and what
    identifies the event are put where the catalog reads them, if nothing is there. `headers` are those of the
    record, such as `ce_source`."""

    event: str
    data: Any = Field(default_factory=dict)
    key: str | None = None
    id: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    time: Point | None = None  # that the event bears (its CloudEvents time); absent: now, by the scenario's clock


class Started(Part):
    """A run that is started by request, without an event."""

    key: str
    input: Any = Field(default_factory=dict)


class Decided(Part):
    """A person's answer to an approval. `key`, `definition` and `nth` name the run, if there are several."""

    step: str
    decision: Literal["approved", "rejected"]
    by: str
    data: Any = None
    key: str | None = None
    definition: str | None = None  # of a child run
    nth: int | None = Field(default=None, ge=1)  # of the runs with that key, in the order of their starts


class Operated(Part):
    """An operator's action: `cancel` a run, or `retry` or `skip` a parked step of it."""

    run: Literal["cancel", "retry", "skip"]
    step: str | None = None
    key: str | None = None
    definition: str | None = None  # of a child run
    nth: int | None = Field(default=None, ge=1)  # of the runs with that key, in the order of their starts


class Action(Part):
    """One action; exactly one field is given."""

    send: Sent | None = None
    start: Started | None = None
    wait: Annotated[str, Field(pattern=PATTERN)] | None = None
    decide: Decided | None = None
    operate: Operated | None = None

    @model_validator(mode="after")
    def _one(self) -> Action:
        if len(self.model_fields_set) != 1:
            raise ValueError(
                f"expected one of {', '.join(type(self).model_fields)} but found {len(self.model_fields_set)}"
            )
        return self


class Emitted(Part):
    """An event that a run publishes. Of `data` only the fields that are given are compared."""

    event: str
    data: dict[str, Any] = Field(default_factory=dict)
    key: str | None = None


class Called(Part):
    """An attempt of a call. Of `input` only the fields that are given are compared."""

    step: str
    operation: OperationName | None = None
    input: dict[str, Any] = Field(default_factory=dict)


class Expected(Part):
    """The expected result of a run; fields that are not given are not compared. `key` and `definition` name the run, if
    there are several; of several runs with one key the first is the one that started first.

    `path` are the steps that ended, each as `step` or `step.outcome`, in the order in which they did. `output` is that
    of the run; of an object only the fields that are given are compared. `events` are all that it publishes, `calls`
    all its attempts, in order."""

    key: str | None = None
    definition: str | None = None  # of a child run
    status: Literal["completed", "failed", "cancelled", "parked", "open"] = "completed"
    path: list[str] | None = None
    output: Any = None
    events: list[Emitted] | None = None
    calls: list[Called] | None = None
    parked: dict[str, str] | None = None  # code by step
    reason: str | None = None  # of a run that failed or was cancelled


class NotTaken(Part):
    """An event that no run consumes. Fields that are not given are not compared."""

    event: str
    key: str | None = None
    reason: str | None = None  # as `streamflow events unclaimed` names it

    def fits(self, event: str, key: str, reason: str) -> bool:
        """Whether this entry matches."""
        return self.event == event and self.key in (None, key) and self.reason in (None, reason)


def _several(value: Any) -> str:
    return "several" if isinstance(value, list) else "one"


Expectation = Annotated[
    Annotated[Expected, Tag("one")] | Annotated[list[Expected], Tag("several")], Discriminator(_several)
]


class Scenario(Part):
    """One story. `expect` is about its only run, or a list with one for each; `unclaimed` about all events that no run
    takes, in any order, and `duplicates` about the events that are dropped as repeated ones."""

    name: str = Field(min_length=1, max_length=200)
    operations: dict[str, list[Answer]] = Field(default_factory=dict)
    clock: Point = CLOCK  # what time it is when it begins
    do: list[Action] = Field(min_length=1)
    expect: Expectation
    unclaimed: list[NotTaken] | None = None
    duplicates: int | None = Field(default=None, ge=0)

    @property
    def expected(self) -> list[Expected]:
        return self.expect if isinstance(self.expect, list) else [self.expect]


class Scenarios(Part):
    """A file of them. `operations` answer where a scenario says nothing of an operation, and `clock` holds where it
    says nothing of that."""

    operations: dict[str, list[Answer]] = Field(default_factory=dict)
    clock: Point | None = None
    scenarios: list[Scenario] = Field(min_length=1)


def parse_scenarios(text: str) -> Scenarios:
    """The scenarios that `text` (YAML 1.2 or JSON) holds. Raises DefinitionError with every problem of its shape."""
    found = parse_as(Scenarios, text)
    if found.clock is None:
        return found
    clocked = [
        one if "clock" in one.model_fields_set else one.model_copy(update={"clock": found.clock})
        for one in found.scenarios
    ]
    return found.model_copy(update={"scenarios": clocked})
