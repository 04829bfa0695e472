"""Where scenarios are played: scripted operations, the actions one after the other, and every difference from what is
expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow.definition.catalog import Catalog, ChildSpec, OperationSpec
from streamflow.definition.content import operation_names
from streamflow.definition.duration import parse_ms
from streamflow.definition.graph import Graph, outcomes_of
from streamflow.definition.model import Definition
from streamflow.definition.validation import compiled
from streamflow.engine import transitions as t
from streamflow.engine.evolve import FACT_RULES
from streamflow.engine.tasks import Task
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.simulation.driver import Simulation
from streamflow.simulation.scenarios import Action, Answer, Called, Decided, Expected, Mended, Scenario, Sent
from streamflow.simulation.tasks import Silent

_ENDED = {"RunCompleted": "completed", "RunFailed": "failed", "RunCancelled": "cancelled"}


@dataclass(frozen=True, slots=True)
class Played:
    """How a scenario went. `differences` are sentences, none if it went as expected; `histories` are its runs, in the
    order of their starts, without child runs of other definitions."""

    name: str
    differences: tuple[str, ...]
    histories: tuple[tuple[Transition, ...], ...]

    @property
    def ok(self) -> bool:
        return not self.differences

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
    stage = _Stage(scenario, definition, catalog, {**(answers or {}), **scenario.operations}, children)
    try:
        for action in scenario.do:
            stage.act(action)
    except _Wrong as wrong:
        stage.differences.append(str(wrong))
    return stage.ended()


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


def _outcome(data: Any) -> str | None:
    """How the step of a fact ended, or None if it did not end by it."""
    outcome = FACT_RULES[type(data)].outcome
    return outcome(data) if outcome is not None else None


class _Wrong(Exception):
    """The scenario cannot go on."""


@dataclass(slots=True)
class _Stage:
    scenario: Scenario
    definition: Definition
    catalog: Catalog
    answers: Mapping[str, list[Answer]]
    children: Sequence[Checked]
    differences: list[str] = field(default_factory=list)
    simulation: Simulation = field(init=False)
    _specs: dict[str, OperationSpec] = field(init=False)
    _started: int = 0

    def __post_init__(self) -> None:
        called = {
            name
            for definition, _ in (*self.children, (self.definition, self.catalog))
            for name in operation_names(definition)
        }
        self.simulation = Simulation(operations=dict.fromkeys(called, self._answered))
        published: dict[tuple[str, str], ChildSpec] = {}
        for definition, catalog in (*self.children, (self.definition, self.catalog)):
            named = [published.get((spec.name, spec.version), spec) for spec in catalog.definitions]
            sha = self.simulation.publish(definition, catalog.model_copy(update={"definitions": named}))
            published[definition.name, definition.version] = ChildSpec(
                name=definition.name, version=definition.version, sha=sha, input=definition.input or {}
            )
        self._specs = {spec.name: spec for _, catalog in self.children for spec in catalog.operations} | {
            spec.name: spec for spec in self.catalog.operations
        }
        for name in sorted(self.scenario.operations.keys() - called):
            self.differences.append(f"the scenario answers for {name}, which {self.definition.name} does not call")

    # -- what is done

    def act(self, action: Action) -> None:
        """Does one thing, and all that follows from it at once."""
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
        elif action.mend is not None:
            self._mend(action.mend)
        self.simulation.run_until_quiet()

    def _send(self, sent: Sent) -> None:
        spec = self.catalog.event(sent.event)
        if spec is None:
            raise _Wrong(
                f"the catalog has no event {sent.event}; it has "
                f"{', '.join(sorted(found.name for found in self.catalog.events))}"
            )
        key = sent.key if sent.key is not None else _at(sent.data, spec.key.path if spec.key is not None else None)
        if key is None:
            raise _Wrong(f"the event {sent.event} has no key: give it `key`, or what the catalog reads")
        self.simulation.send(sent.event, sent.data, key=str(key), id=sent.id)

    def _decide(self, decided: Decided) -> None:
        run = self._run(decided.key)
        asked = next(
            (
                one.data
                for one in reversed(self.simulation.history(run))
                if isinstance(one.data, t.ApprovalRequested) and one.address == decided.step
            ),
            None,
        )
        if asked is None:
            raise _Wrong(f"nobody was asked to approve {decided.step} when {decided.by} did")
        if asked.form is not None:
            self._fits(asked.form, decided.data, f"what {decided.by} filled in at {decided.step}")
        self.simulation.decide(run, decided.step, decided.decision, decided.by, decided.data)

    def _mend(self, mended: Mended) -> None:
        run = self._run(mended.key)
        if mended.run == "cancel":
            self.simulation.cancel(run)
        elif mended.step is None:
            raise _Wrong(f"to {mended.run} a step, name it with `step`")
        else:
            (self.simulation.retry if mended.run == "retry" else self.simulation.skip)(run, mended.step)

    def _run(self, key: str | None) -> str:
        found = {
            one.run
            for one in self.simulation.transitions()
            if one.definition == self.definition.name and key in (None, one.key)
        }
        if len(found) != 1:
            raise _Wrong(f"expected one run{f' of {key}' if key else ''} but there are {len(found)}; name one by `key`")
        return found.pop()

    def _fits(self, schema: Mapping[str, Any] | None, value: Any, what: str) -> None:
        wrong = next(iter(compiled(schema).iter_errors(value)), None) if schema else None
        if wrong is not None:
            raise _Wrong(f"{what} does not fit its schema: /{'/'.join(map(str, wrong.instance_path))}: {wrong.message}")

    # -- what operations answer

    def _answered(self, input: Any, task: Task) -> Any:
        spec = self._specs.get(task.operation)
        if spec is not None and spec.input and not compiled(spec.input).is_valid(input):
            raise OperationError("input_invalid", "the input does not fit the operation's schema", retryable=False)
        fitting = [answer for answer in self.answers.get(task.operation, ()) if _within(answer.when, input)]
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
        except _Wrong as wrong:
            self.differences.append(str(wrong))
        return answer.output

    # -- what came of it

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
                self._compare(expected, left.pop(run))
        others = [history[0].key for history in left.values() if history[0].definition == self.definition.name]
        self.differences += [f"there is another run, of {key}, of which the scenario says nothing" for key in others]
        for letter in self.simulation.dead_letters():
            self.differences.append(
                f"a dead letter: {letter.get('code') or letter.get('reason')}: {letter.get('message')}"
            )
        # Of child runs the histories stay out: their paths are of another definition.
        own = tuple(history for history in histories.values() if history[0].definition == self.definition.name)
        return Played(self.scenario.name, tuple(self.differences), own)

    def _meant(self, expected: Expected, first: Transition) -> bool:
        return first.definition == (expected.definition or self.definition.name) and expected.key in (None, first.key)

    def _compare(self, expected: Expected, history: tuple[Transition, ...]) -> None:
        last = history[-1].data
        parked = _parked(history)
        status = _ENDED.get(history[-1].type, "parked" if parked else "open")
        if status != expected.status:
            told = f" ({', '.join(f'{step}: {code}' for step, code in parked.items())})" if status == "parked" else ""
            self._differ("status", expected.status, status + told)
        if expected.path is not None and expected.path != list(path(history)):
            self._differ("path", " > ".join(expected.path), " > ".join(path(history)))
        reason = last.reason if isinstance(last, t.RunFailed | t.RunCancelled) else None
        if expected.reason is not None and expected.reason != reason:
            self._differ("reason", expected.reason, reason)
        if expected.parked is not None and expected.parked != parked:
            self._differ("parked", expected.parked, parked)
        if "output" in expected.model_fields_set:
            output = last.output if isinstance(last, t.RunCompleted) else None
            if not _within(expected.output, output):
                self._differ("output", expected.output, output)
        if expected.events is not None:
            emitted = [
                (fact.event, fact.key, fact.data) for one in history if isinstance(fact := one.data, t.EventEmitted)
            ]
            wanted = [
                (event.event, event.key if event.key is not None else history[0].key, event.data)
                for event in expected.events
            ]
            if len(wanted) != len(emitted) or not all(
                a[:2] == b[:2] and _within(a[2], b[2]) for a, b in zip(wanted, emitted, strict=True)
            ):
                self._differ("events", wanted, emitted)
        if expected.calls is not None:
            calls = [
                (one.address, one.data.operation, one.data.input)
                for one in history
                if isinstance(one.data, t.CallRequested)
            ]
            if len(calls) != len(expected.calls) or not all(map(_is_call, expected.calls, calls)):
                self._differ("calls", [call.model_dump(exclude_unset=True) for call in expected.calls], calls)

    def _differ(self, what: str, expected: Any, found: Any) -> None:
        shown, came = (value if value or value is False else "nothing" for value in (expected, found))
        self.differences.append(f"{what}: expected {shown}\n{' ' * len(what)}   but was  {came}")


def _is_call(wanted: Called, call: tuple[str, str, Any]) -> bool:
    step, operation, given = call
    return wanted.step == step and wanted.operation in (None, operation) and _within(wanted.input, given)


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


def _within(wanted: Any, given: Any) -> bool:
    """Whether `given` is `wanted`; of objects, at any depth, only the fields that are wanted count."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        return all(name in given and _within(value, given[name]) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(given, list):
        return len(wanted) == len(given) and all(map(_within, wanted, given))
    return bool(wanted == given) and isinstance(wanted, bool) == isinstance(given, bool)


def _at(data: Any, place: str | None) -> Any:
    for part in place.split(".") if place else ():
        data = data.get(part) if isinstance(data, dict) else None
    return data if place else None
