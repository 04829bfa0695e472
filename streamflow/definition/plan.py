"""The plan: a definition compiled to what a worker runs. Immutable; holds compiled expressions and the graph by step
id.

`compile_plan` in `compile` makes it; the engine only reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from streamflow.definition.validation import Validator

START = ""  # instead of a step's id: the event that started the run
NO_OUTCOME = ("timeout", "failure")  # outcomes that a plain need does not accept
# no event of a wait and no branch has one of these as its id: `none` is the outcome of a choose without a way out, and
# the others say how a step of another kind ended
NO_BRANCH = "none"
OUTCOME_WORDS = frozenset({*NO_OUTCOME, "done", NO_BRANCH, "skipped"})


# What the codes of expressions mean, for people.
ERRORS = {
    "missing_field": "a field, key or index does not exist. Check it with has(...) first, or use .?field.orValue(...)",
    "no_overload": "an operator or function does not take values of these types, such as text compared with a number",
    "division_by_zero": "a number is divided by zero",
    "out_of_range": "a number, a position or a time is too large or too small",
    "invalid_value": "a text cannot be read as what it is converted to, such as a timestamp",
    "not_a_time": "a point in time is needed, but the value is neither a timestamp nor RFC 3339 text with Z or an "
    "offset",
    "not_boolean": "a condition gives something else than true or false",
    "not_json": "the value has no place in JSON, such as infinity, a type or an optional without orValue",
    "empty_list": "min, max or avg of an empty list. Check size() > 0 first",
    "too_costly": "the expression takes too many steps, or what it builds is too large",
    "failed": "any other failure",
}


class ExpressionError(Exception):
    """An expression that failed while it ran. `code` is one of ours; the text of the CEL library is never kept
    (docs/design.md#what-identical-replay-forbids)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NoFields(ExpressionError):
    """A field was read of what is no object, such as null, a text or a list."""

    def __init__(self) -> None:
        super().__init__("no_overload")


_EXACT_BELOW = 1 << 53  # whole numbers that a double holds exactly


def whole_number(value: float) -> int | float:
    """`value` as a whole number where it is one, as JSON may write it: 10.0 and 1e3. Beyond 2^53 the number that was
    written is not known, so it stays a double."""
    return int(value) if abs(value) <= _EXACT_BELOW and value.is_integer() else value


class Compiled(Protocol):
    """A compiled expression."""

    source: str
    steps: frozenset[str]  # ids of the steps whose outputs or errors it reads (`steps.<id>`, `errors.<id>`)
    # the top-level variables it reads: event, cloudevent, trigger, steps, errors, item, index, run, now (given as epoch
    # milliseconds)
    names: frozenset[str]

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value, as plain JSON data (timestamps as RFC 3339 text). Raises ExpressionError."""

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """The value of a condition. Raises ExpressionError, also when the value is no boolean."""

    def instant_ms(self, variables: Mapping[str, Any]) -> int:
        """The value as a point in time, a timestamp or RFC 3339 text, in epoch milliseconds. Raises ExpressionError."""

    def diagnosis(self, variables: Mapping[str, Any], error: ExpressionError) -> str:
        """Which part of it failed with `error`, without a value of the data; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class NeedPlan:
    """One need: a step, and the outcome it must end with (None: any outcome but those of NO_OUTCOME)."""

    step: str
    outcome: str | None

    def accepts(self, outcome: str) -> bool:
        if self.outcome is None:
            return outcome not in NO_OUTCOME
        return outcome == self.outcome and outcome != NO_BRANCH  # no branch was taken, so none has this name


@dataclass(frozen=True, slots=True)
class ClausePlan:
    """One event of a wait, or one trigger."""

    id: str
    event: str
    where: Compiled | None
    key: Compiled | None


@dataclass(frozen=True, slots=True)
class WaitPlan:
    """A wait for the first of several events. Its limit does not fire while ingress is behind with one of them."""

    clauses: tuple[ClausePlan, ...]
    within_ms: int | None  # None: forever
    keep_ms: int | None  # events count that came at most this long before the point; None: none from before it
    since: str = "run"  # the point: `run`, the start of the run, or `here`, the beginning of the wait
    take: str = "one"  # `one`: the event is consumed; `every`: a copy is taken


@dataclass(frozen=True, slots=True)
class BranchPlan:
    id: str
    condition: Compiled | None


@dataclass(frozen=True, slots=True)
class ChoosePlan:
    branches: tuple[BranchPlan, ...]


@dataclass(frozen=True, slots=True)
class SetPlan:
    values: tuple[tuple[str, Compiled], ...]


@dataclass(frozen=True, slots=True)
class EmitPlan:
    event: str
    data: tuple[tuple[str, Compiled], ...]
    key: Compiled | None
    validator: Validator | None = None  # of the event's schema


@dataclass(frozen=True, slots=True)
class DelayPlan:
    for_ms: int | None
    until: Compiled | None


@dataclass(frozen=True, slots=True)
class PrintPlan:
    text: Compiled


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """Attempts and pauses (milliseconds) of a call; `codes` gives both for single error codes."""

    attempts: int
    backoff_ms: int
    factor: int
    longest_ms: int
    codes: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A call. `timeout_ms` and `queue_ms` are one attempt's, `within_ms` the step's (None: no limit)."""

    operation: str
    lane: str
    values: tuple[tuple[str, Compiled], ...]
    retry: RetryPlan
    timeout_ms: int
    queue_ms: int
    within_ms: int | None


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """A child run; `sha` is what its start names."""

    definition: str
    version: str
    sha: str
    key: Compiled | None
    values: tuple[tuple[str, Compiled], ...]
    within_ms: int | None
    validator: Validator | None = None  # of the input that the definition declares


@dataclass(frozen=True, slots=True)
class ApprovalPlan:
    text: Compiled
    who: tuple[str, ...]
    form: Mapping[str, Any] | None
    within_ms: int | None


@dataclass(frozen=True, slots=True)
class FailPlan:
    reason: Compiled


@dataclass(frozen=True, slots=True)
class RequirePlan:
    that: Compiled


@dataclass(frozen=True, slots=True)
class EachPlan:
    items: Compiled
    at_once: int


class Keeps(NamedTuple):
    """The longest `keep` of the waits for an event, in milliseconds: of those that take the original, and of those that
    take copies; 0: none keeps it."""

    original_ms: int = 0
    copies_ms: int = 0

    def longest(self, other: Keeps) -> Keeps:
        """The longer keep of both for each."""
        return Keeps(max(self.original_ms, other.original_ms), max(self.copies_ms, other.copies_ms))


Work = (
    WaitPlan
    | ChoosePlan
    | SetPlan
    | EmitPlan
    | DelayPlan
    | PrintPlan
    | CallPlan
    | ChildPlan
    | ApprovalPlan
    | FailPlan
    | RequirePlan
)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A step's place in the graph and its work. `dependents` are the ids of the steps that need it, in plan order;
    `handled` those outcomes of NO_OUTCOME that one of them needs; `undo` what undoes it, a step of its own with the id
    `<id>.undo`."""

    id: str
    title: str
    needs: tuple[NeedPlan, ...]
    join_all: bool
    condition: Compiled | None
    work: Work
    dependents: tuple[str, ...]
    each: EachPlan | None = None
    handled: frozenset[str] = frozenset()
    undo: StepPlan | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole definition. `steps` are in plan order (topological, ties as written); `waits` maps an event's name to the
    steps that wait for it, in plan order; `emitted` are events with an `emit` step."""

    sha: str
    name: str
    version: str
    policy: str  # many | one | join
    triggers: tuple[ClausePlan, ...]
    steps: Mapping[str, StepPlan]
    waits: Mapping[str, tuple[str, ...]]
    # the steps whose outputs an expression or the run's output reads, and START for what started the run
    reads: frozenset[str]
    output: str | None = None  # the step whose output is the run's
    window_ms: int | None = None  # how long consumed events are remembered; None: as long as the settings say
    sequence: tuple[StepPlan, ...] = field(init=False)
    order: Mapping[str, int] = field(init=False)
    keeps: Mapping[str, Keeps] = field(init=False)  # of the waits for an event, by its name

    def __post_init__(self) -> None:
        object.__setattr__(self, "sequence", tuple(self.steps.values()))
        object.__setattr__(self, "order", {step: place for place, step in enumerate(self.steps)})
        object.__setattr__(self, "keeps", {event: self._keeps(waiting) for event, waiting in self.waits.items()})

    def _keeps(self, waiting: tuple[str, ...]) -> Keeps:
        works = [work for step in waiting if isinstance(work := self.steps[step].work, WaitPlan)]
        return Keeps(
            max((work.keep_ms or 0 for work in works if work.take == "one"), default=0),
            max((work.keep_ms or 0 for work in works if work.take == "every"), default=0),
        )

    def step(self, id_: str) -> StepPlan | None:
        """The step, or the undoing of a step (`<id>.undo`), of this id."""
        found = self.steps.get(id_.removesuffix(".undo"))
        return found.undo if found is not None and id_.endswith(".undo") else found
