"""Where scenarios are played: scripted operations, the actions one after the other, and every difference from what is
expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow.definition.catalog import Catalog, ChildSpec, EventSpec, OperationSpec
from streamflow.definition.content import operation_names
from streamflow.definition.duration import parse_ms
from streamflow.definition.graph import Graph, outcomes_of
from streamflow.definition.model import Definition
from streamflow.definition.schema_faults import schema_faults
from streamflow.definition.validation import compiled
from streamflow.engine import transitions as t
from streamflow.engine.tasks import Task
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.simulation.comparison import difference, differences, path, within
from streamflow.simulation.driver import Simulation
from streamflow.simulation.scenarios import Action, Answer, Decided, Expected, Operated, Scenario, Sent, start_ms
from streamflow.simulation.tasks import Silent


@dataclass(frozen=True, slots=True)
class Played:
    """How a scenario went. `differences` are sentences, none if it went as expected, and `faults` those which say that
    the scenario itself cannot be played, each with its place in the scenario (JSON pointer); `histories` are its runs,
    in the order of their starts, without child runs of other definitions; `notes` say which events no run took, of
    which the scenario says nothing."""

    name: str
    differences: tuple[str, ...]
    histories: tuple[tuple[Transition, ...], ...]
    faults: tuple[tuple[str, str], ...] = ()  # pointer, sentence
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Faults without their places, then differences."""
        return (*(sentence for _, sentence in self.faults), *self.differences)

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The path of each run."""
        return tuple(tuple(path(history)) for history in self.histories)


Checked = tuple[Definition, Catalog]


def play(
    scenario: Scenario,
    definition: Definition,
    catalog: Catalog,
    answers: Mapping[str, list[Answer]] | None = None,
    children: Sequence[Checked] = (),
) -> Played:
    """Plays `scenario` on `definition`, which `check` found without errors. `answers` hold where it says nothing of an
    operation. `children` are what it starts, and what they start, each after those that it starts itself."""
    stage = Stage(scenario, definition, catalog, {**(answers or {}), **scenario.operations}, children)
    for number, action in enumerate(scenario.do):
        try:
            stage.act(action)
        except Unplayable as wrong:
            stage.faults.append((f"/do/{number}", str(wrong)))
            break  # what would come after it is another story
    return stage.ended()


def untaken(definition: Definition, played: list[Played]) -> list[str]:
    """The steps and outcomes of `definition` that no run of `played` had, in plan order."""
    taken = {part for each in played for run in each.paths for part in run}
    ended = {part.partition(".")[0] for part in taken}
    found = []
    for id_, step in Graph(definition).steps.items():
        outcomes = [outcome for outcome in outcomes_of(step) if outcome != "done"]
        named = {need for other in definition.steps for need in other.needs}
        if id_ not in ended:
            found.append(id_)
        else:
            found += [
                f"{id_}.{outcome}"
                for outcome in outcomes
                if f"{id_}.{outcome}" in named and f"{id_}.{outcome}" not in taken
            ]
    return found


def _with_topic(spec: EventSpec) -> EventSpec:
    """The event, with a topic: the content of a published version names none, they are bindings of an environment."""
    return spec if spec.topics else spec.model_copy(update={"topics": [spec.name]})


class Unplayable(Exception):
    """The scenario cannot continue."""


@dataclass(slots=True)
class Stage:
    """A scenario on its way: `act` does its actions one by one, `ended` compares their results. `faults` and
    `differences` are those of `Played`."""

    scenario: Scenario
    definition: Definition
    catalog: Catalog
    answers: Mapping[str, list[Answer]]
    children: Sequence[Checked]
    differences: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    simulation: Simulation = field(init=False)
    _specs: dict[str, OperationSpec] = field(init=False)
    _started: int = 0

    def __post_init__(self) -> None:
        called = {
            name
            for definition, _ in (*self.children, (self.definition, self.catalog))
            for name in operation_names(definition)
        }
        self.simulation = Simulation(
            operations=dict.fromkeys(called, self._answered), now_ms=start_ms(self.scenario.clock)
        )
        published: dict[tuple[str, str], ChildSpec] = {}
        for definition, catalog in (*self.children, (self.definition, self.catalog)):
            named = [published.get((spec.name, spec.version), spec) for spec in catalog.definitions]
            found = {"definitions": named, "events": [_with_topic(spec) for spec in catalog.events]}
            sha = self.simulation.publish(definition, catalog.model_copy(update=found))
            published[definition.name, definition.version] = ChildSpec(
                name=definition.name, version=definition.version, sha=sha, input=definition.input or {}
            )
        self._specs = {spec.name: spec for _, catalog in self.children for spec in catalog.operations} | {
            spec.name: spec for spec in self.catalog.operations
        }
        for name in sorted(self.scenario.operations.keys() - called):
            said = f"the scenario answers for {name}, which {self.definition.name} does not call"
            self.faults.append((f"/operations/{name}", said))

    # -- what is done

    def act(self, action: Action) -> None:
        """Does one thing, and all that follows from it at once. Raises Unplayable."""
        if action.send is not None:
            self._send(action.send)
        elif action.start is not None:
            self._fits(self.definition.input, action.start.input, "the input of a start")
            self._started += 1
            self.simulation.start(
                self.definition.name, action.start.input, key=action.start.key, id=f"request-{self._started}"
            )
        elif action.wait is not None:
            self.simulation.advance(action.wait)
        elif action.decide is not None:
            self._decide(action.decide)
        elif action.operate is not None:
            self._operate(action.operate)
        self.simulation.run_until_quiet()

    def _send(self, sent: Sent) -> None:
        spec = self.catalog.event(sent.event)
        if spec is None:
            raise Unplayable(
                f"the catalog has no event {sent.event}; it has "
                f"{', '.join(sorted(found.name for found in self.catalog.events))}"
            )
        at_ms = None if sent.time is None else start_ms(sent.time)
        try:
            stored = self.simulation.send(
                sent.event, sent.data, key=sent.key, id=sent.id, time_ms=at_ms, headers=sent.headers
            )
        except Rejected as error:
            raise Unplayable(f"the event {sent.event} cannot be sent: {error.message}") from error
        if stored.key is None:
            raise Unplayable(f"the event {sent.event} has no key: give it `key`, or what the catalog reads")

    def _decide(self, decided: Decided) -> None:
        run = self._run(decided)
        asked = self._asked(run, decided.step)
        if asked is None:
            raise Unplayable(
                f"no approval of {decided.step} was open when {decided.by} decided; approvals that were requested: "
                f"{', '.join(self._all_asked()) or 'none'}"
            )
        if asked.form is not None:
            self._fits(asked.form, decided.data, f"what {decided.by} filled in at {decided.step}")
        self.simulation.decide(run, decided.step, decided.decision, decided.by, decided.data)

    def _operate(self, operated: Operated) -> None:
        run = self._run(operated)
        if operated.run == "cancel":
            self.simulation.cancel(run)
        elif operated.step is None:
            raise Unplayable(f"to {operated.run} a step, name it with `step`")
        else:
            (self.simulation.retry if operated.run == "retry" else self.simulation.skip)(run, operated.step)

    def _asked(self, run: str, step: str) -> t.ApprovalRequested | None:
        history = reversed(self.simulation.history(run))
        return next(
            (one.data for one in history if isinstance(one.data, t.ApprovalRequested) and one.address == step), None
        )

    def _all_asked(self) -> list[str]:
        return [
            f"{one.address} of {one.definition} {one.key}"
            for one in self.simulation.transitions()
            if isinstance(one.data, t.ApprovalRequested)
        ]

    def _run(self, meant: Decided | Operated) -> str:
        """The run that is meant, of this definition or of a child run's: the only one, or the one that `key` and `nth`
        name."""
        name = meant.definition or self.definition.name
        found = dict.fromkeys(
            one.run for one in self.simulation.transitions() if one.definition == name and meant.key in (None, one.key)
        )
        runs = list(found)
        of = f" of {name}" + (f" for {meant.key}" if meant.key is not None else "")
        if meant.nth is not None:
            if meant.nth > len(runs):
                raise Unplayable(f"there is no run number {meant.nth}{of}; there are {len(runs)}")
            return runs[meant.nth - 1]
        if len(runs) != 1:
            others = sorted({one.definition for one in self.simulation.transitions()})
            remedy = (
                "name one by `key`, and by `nth` if they have the same"
                if runs
                else f"runs are of {', '.join(others) or 'none'}"
            )
            raise Unplayable(f"expected one run{of} but there are {len(runs)}; {remedy}")
        return runs[0]

    def _fits(self, schema: Mapping[str, Any] | None, value: Any, what: str) -> None:
        wrong = schema_faults(compiled(schema), value) if schema else ""
        if wrong:
            raise Unplayable(f"{what} does not fit its schema: {wrong}")

    # -- what operations answer

    def _answered(self, input: Any, task: Task) -> Any:
        spec = self._specs.get(task.operation)
        if spec is not None and spec.input and not compiled(spec.input).is_valid(input):
            raise OperationError("input_invalid", "the input does not fit the operation's schema", retryable=False)
        fitting = [answer for answer in self.answers.get(task.operation, ()) if within(answer.when, input)]
        if not fitting:
            self.differences.append(
                f"{task.step} calls {task.operation}, and the scenario says no answer to it: {input}"
            )
            return Silent()
        answer = fitting[min(task.attempt, len(fitting)) - 1]
        if answer.silent:
            return Silent()
        if answer.error is not None:
            declared = (
                next((error.retryable for error in spec.errors if error.id == answer.error.code), True)
                if spec is not None
                else True
            )
            after_s = parse_ms(answer.error.after) / 1000 if answer.error.after is not None else None
            retryable = declared if answer.error.retryable is None else answer.error.retryable
            raise OperationError(
                answer.error.code,
                answer.error.message or "as the scenario says",
                retryable=retryable,
                retry_after_s=after_s,
            )
        try:
            self._fits(spec.output if spec is not None else None, answer.output, f"an answer of {task.operation}")
        except Unplayable as wrong:
            self.differences.append(str(wrong))
        return answer.output

    # -- results

    def ended(self) -> Played:
        """The outcome, compared."""
        histories = {run: tuple(self.simulation.history(run)) for run in self.simulation.runs()}
        left = dict(histories)
        for expected in self.scenario.expected:
            run = next((run for run, history in left.items() if self._meant(expected, history[0])), None)
            if run is None:
                self.differences.append(
                    f"expected a run{f' of {expected.key}' if expected.key else ''} but there is none"
                )
            else:
                self.differences += differences(expected, left.pop(run))
        others = [history[0].key for history in left.values() if history[0].definition == self.definition.name]
        self.differences += [f"there is another run, of {key}, of which the scenario says nothing" for key in others]
        for letter in self.simulation.dead_letters():
            self.differences.append(
                f"a dead letter: {letter.get('code') or letter.get('reason')}: {letter.get('message')}"
            )
        notes = self._look_at_deliveries()
        # Of child runs the histories stay out: their paths are of another definition.
        own = tuple(history for history in histories.values() if history[0].definition == self.definition.name)
        return Played(self.scenario.name, tuple(self.differences), own, tuple(self.faults), tuple(notes))

    def _look_at_deliveries(self) -> list[str]:
        """Compare the events that no run took with what the scenario says of them; what it does not say, as notes."""
        notes: list[str] = []
        left = list(self.simulation.unclaimed())
        wanted = self.scenario.unclaimed
        for one in wanted or ():
            found = next((event for event in left if one.fits(event.event, event.key, event.reason)), None)
            if found is None:
                what = one.model_dump(exclude_none=True)
                self.differences.append(f"expected an event that no run consumes, {what}, but there is none")
            else:
                left.remove(found)
        for other in left:
            near = f", run {other.run}" if other.run else ""
            text = f"no run took the event {other.event} {other.id} of {other.key}: {other.reason}{near}"
            (notes if wanted is None else self.differences).append(text)
        repeated: Counter[str] = Counter()
        for name, count in sorted(self.simulation.deliveries(self.definition.name).items()):
            repeated_event, outcome = name.split("/")[:2]
            repeated[repeated_event] += count if outcome == "duplicate" else 0
        repeated = +repeated
        if self.scenario.duplicates not in (None, repeated.total()):
            self.differences.append(difference("duplicates", self.scenario.duplicates, repeated.total()))
        elif self.scenario.duplicates is None:
            notes += [f"{count} repeated {name} dropped as a duplicate" for name, count in repeated.items()]
        return notes

    def _meant(self, expected: Expected, first: Transition) -> bool:
        return first.definition == (expected.definition or self.definition.name) and expected.key in (None, first.key)
