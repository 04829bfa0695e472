"""The check of the expressions of a definition: each is compiled against the types of what it may read, in
plan order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_

from streamflow.definition import model
from streamflow.definition.catalog import Catalog
from streamflow.definition.expression import Expression, compile_expression, hidden_problems, order_problems
from streamflow.definition.expression_environment import untyped
from streamflow.definition.expression_faults import syntax_problems
from streamflow.definition.expression_guards import NOTHING_ASKED, Asked, asked_for, guard_problems
from streamflow.definition.expression_tree import Tree
from streamflow.definition.fields_check import Found, Receiver, field_problems, json_type
from streamflow.definition.graph import Graph, kind_of
from streamflow.definition.model import Call, ChildRun, Definition, Each, Emit, Step
from streamflow.definition.read_schemas import CLOUDEVENT, ERROR, RUN
from streamflow.definition.schema_shape import Shape, object_of, shape_of
from streamflow.definition.schema_types import (
    ANYTHING,
    TEXT,
    WHOLE,
    Kind,
    Schema,
    Types,
    common,
    list_of,
    schema_fault,
    with_fields,
)
from streamflow.definition.scope import Scope, asked, certain_steps, mixed, only_types, read_schema, uncertain
from streamflow.definition.steps.registry import OUTSIDE
from streamflow.definition.syntax import nearest
from streamflow.errors import DefinitionError, Problem

# in words, the names of the CEL types that fit (empty: all), a fix for others
Expected = tuple[str, frozenset[str], str]

CONDITION = ("true or false", frozenset({"BOOL", "DYN"}), "Write a comparison.")
KEY = (
    "a text or a whole number",
    frozenset({"STRING", "INT", "UINT", "DYN"}),
    "Convert it, for example with string(...).",
)
INSTANT = (
    "a timestamp or a text with one",
    frozenset({"TIMESTAMP", "STRING", "DYN"}),
    "Write timestamp(...), or now + duration(...).",
)
LIST = ("a list", frozenset({"LIST", "DYN"}), "Name a list, or write one, such as [trigger.id].")
ANY_VALUE = ("a value", frozenset[str](), "")

_EMITTED = ("SF240", "SF241", "SF242")
_GIVEN = ("SF243", "SF244", "SF245")
_NOT_JSON = re.compile(r"optional_type|TYPE<|MAP<(?!STRING|DYN)")


@dataclass(slots=True)
class ExpressionCheck:
    """One pass over the expressions of a definition. `problems` are complete when `run` has returned."""

    definition: Definition
    catalog: Catalog
    graph: Graph
    types: Types = field(default_factory=Types)
    problems: list[Problem] = field(default_factory=list)
    outputs: dict[str, Kind] = field(default_factory=dict)
    output_schemas: dict[str, Schema] = field(default_factory=dict)
    event_schemas: dict[str, Schema] = field(default_factory=dict)

    def run(self) -> list[Problem]:
        """All problems of all expressions."""
        asks: list[Asked] = []
        for index, trigger in enumerate(self.definition.on):
            schema = self._schema(trigger.event)
            scope = Scope(
                {"event": self.types.kind(schema), "cloudevent": self.types.kind(CLOUDEVENT)},
                {"event": schema, "cloudevent": CLOUDEVENT},
            )
            where = self._check(trigger.where, f"/on/{index}/where", scope, CONDITION)
            asks.append(asked_for(_raw(trigger.where)) if where is not None and trigger.where else NOTHING_ASKED)
            self._check(trigger.key, f"/on/{index}/key", replace(scope, asked=asks[-1]), KEY)
        if self.definition.input is not None:
            asks.append(NOTHING_ASKED)
        asked_by_all = reduce(and_, asks).renamed("event", "trigger") if asks else NOTHING_ASKED
        trigger_schema = self._trigger()
        kinds = {"trigger": self.types.kind(trigger_schema), "run": self.types.kind(RUN), "now": Kind()}
        anything, error = self.types.kind(ANYTHING), self.types.kind(ERROR)
        certain = certain_steps(self.graph)
        index_of = {step.id: index for index, step in reversed(list(enumerate(self.definition.steps)))}
        for id_ in self.graph.order:
            before = self.graph.ancestors[id_] - {id_}
            known = [other for other in self.graph.order if other in before]
            steps = self.types.message((other, self.outputs.get(other, anything)) for other in known)
            errors = self.types.message(
                (other, error) for other in known if kind_of(self.graph.steps[other]) in OUTSIDE
            )
            schemas = {
                "trigger": trigger_schema,
                "run": RUN,
                "steps": object_of(self.output_schemas),
            }
            scope = Scope(
                {**kinds, "steps": steps, "errors": errors}, schemas, before, *certain[id_], asked=asked_by_all
            )
            self._step(self.graph.steps[id_], f"/steps/{index_of[id_]}", scope)
        return self.problems

    def _trigger(self) -> Schema:
        """What may have started a run: one of the events, or a request."""
        known = [
            self._schema(trigger.event)
            for trigger in self.definition.on
            if self.catalog.event(trigger.event) is not None
        ]
        if self.definition.input is not None:
            known.append(_valid(self.definition.input))
        return common(known) if known else ANYTHING

    def _schema(self, event: str) -> Schema:
        if event not in self.event_schemas:
            spec = self.catalog.event(event)
            self.event_schemas[event] = _valid(spec.schema_) if spec is not None else ANYTHING
        return self.event_schemas[event]

    def _step(self, step: Step, at: str, scope: Scope) -> None:
        condition = self._check(step.if_, at + "/if", scope, CONDITION)
        if condition is not None:
            scope = replace(
                scope,
                certain=scope.certain | asked(condition[1], "steps"),
                failed=scope.failed | asked(condition[1], "errors"),
                asked=scope.asked | asked_for(_raw(step.if_ or "")),
            )
        self.outputs[step.id], self.output_schemas[step.id] = self._output(step, at, scope)
        if step.undo is not None:
            before = (*(other for other in self.graph.order if other in scope.before), step.id)
            steps = self.types.message((other, self.outputs.get(other, self.types.kind(ANYTHING))) for other in before)
            failing = [other for other in before if kind_of(self.graph.steps[other]) in OUTSIDE]
            errors = self.types.message((other, self.types.kind(ERROR)) for other in failing)
            schemas = {**scope.schemas, "steps": object_of(self.output_schemas)}
            kinds = {**scope.kinds, "steps": steps, "errors": errors}
            within = replace(scope, kinds=kinds, schemas=schemas, before=frozenset(before), undone=step.id)
            self._call(step.undo, at + "/undo", within)

    def _output(self, step: Step, at: str, scope: Scope) -> tuple[Kind, Schema]:
        """Checks the work of `step` and gives the type of its output."""
        if step.wait is not None:
            for index, clause in enumerate(step.wait.events):
                schema = self._schema(clause.event)
                within = replace(
                    scope,
                    kinds={
                        **scope.kinds,
                        "event": self.types.kind(schema),
                        "cloudevent": self.types.kind(CLOUDEVENT),
                    },
                    schemas={**scope.schemas, "event": schema, "cloudevent": CLOUDEVENT},
                )
                self._check(clause.where, f"{at}/wait/events/{index}/where", within, CONDITION)
            data = common([self._schema(clause.event) for clause in step.wait.events])
            return self._object({"event": TEXT, "id": TEXT, "time_ms": WHOLE, "data": data})
        if step.choose is not None:
            for index, branch in enumerate(step.choose):
                self._check(branch.if_, f"{at}/choose/{index}/if", scope, CONDITION)
            return self._object({"branch": TEXT})
        if step.set is not None:
            values = [
                (value.name, self._check(value.expr, f"{at}/set/{index}/expr", scope, ANY_VALUE))
                for index, value in enumerate(step.set)
            ]
            known = {
                name: self.types.result(found[0]) if found is not None else self.types.kind(ANYTHING)
                for name, found in values
            }
            return self.types.message(known.items()), ANYTHING
        if step.emit is not None:
            self._emit(step.emit, at + "/emit", scope)
            return self._object({"id": TEXT})
        if step.delay is not None:
            self._check(step.delay.until, at + "/delay/until", scope, INSTANT)
            return self._object({"until_ms": WHOLE})
        if step.print is not None:
            self._check(step.print.text, at + "/print/text", scope, ANY_VALUE)
            return self._object({"text": TEXT})
        if step.approval is not None:
            self._check(step.approval.text, at + "/approval/text", scope, ANY_VALUE)
            return self._object({"decision": TEXT, "by": TEXT, "data": _valid(step.approval.form or ANYTHING)})
        if step.require is not None:
            self._check(step.require.that, at + "/require/that", scope, CONDITION)
            return self._object({"met": {"type": "boolean"}})
        if step.fail is not None:
            self._check(step.fail.reason, at + "/fail/reason", scope, ANY_VALUE)
        return self._outside(step, at, scope)

    def _outside(self, step: Step, at: str, scope: Scope) -> tuple[Kind, Schema]:
        """The same for a call or a child run, once or for each item of a list."""
        kind, schema = self.types.kind(ANYTHING), ANYTHING
        inside = self._item(step.each, at + "/each", scope) if step.each is not None else scope
        if step.call is not None:
            schema = self._call(step.call, at + "/call", inside)
            kind = self.types.kind(schema)
        elif step.run is not None:
            self._child(step.run, at + "/run", inside)
            kind, schema = self._object({"run": TEXT, "ended": TEXT, "output": ANYTHING})
        return (
            (list_of(kind), Shape(type=["array"], items=shape_of(schema))) if step.each is not None else (kind, schema)
        )

    def _item(self, each: Each, at: str, scope: Scope) -> Scope:
        """What is read for one item of the list."""
        kind, schema = self.types.kind(ANYTHING), ANYTHING
        found = self._check(each.items, at + "/items", scope, LIST)
        if found is not None:
            kind = self.types.element(found[0])
            read = read_schema(found[1].expr, scope)
            schema = read.get("items", ANYTHING) if read is not None else ANYTHING
        kinds = {**scope.kinds, "item": kind, "index": self.types.kind(WHOLE)}
        return replace(scope, kinds=kinds, schemas={**scope.schemas, "item": schema, "index": WHOLE})

    def _call(self, call: Call, at: str, scope: Scope) -> Schema:
        """Checks what the operation is given, and gives the schema of its output."""
        spec = self.catalog.operation(call.operation)
        taken = _valid(spec.input) if spec is not None else ANYTHING
        self._given(
            call.with_, Receiver(f"the operation {call.operation}", taken, at + "/with", _GIVEN, strict=True), scope
        )
        return _valid(spec.output) if spec is not None else ANYTHING

    def _child(self, run: ChildRun, at: str, scope: Scope) -> None:
        self._check(run.key, at + "/key", scope, KEY)
        spec = self.catalog.definition(run.definition, run.version)
        name = f"the definition {run.definition}@{run.version}"
        taken = _valid(spec.input) if spec is not None else ANYTHING
        self._given(run.with_, Receiver(name, taken, at + "/with", _GIVEN, strict=True), scope)

    def _given(self, values: list[model.Mapping], receiver: Receiver, scope: Scope) -> None:
        found = [
            self._check(value.expr, f"{receiver.at}/{index}/expr", scope, ANY_VALUE)
            for index, value in enumerate(values)
        ]
        self.problems += field_problems(receiver, values, found, scope, self.types)

    def _object(self, properties: dict[str, Schema]) -> tuple[Kind, Schema]:
        kinds = [(name, self.types.kind(schema)) for name, schema in properties.items()]
        return self.types.message(kinds), object_of(properties)

    def _emit(self, emit: Emit, at: str, scope: Scope) -> None:
        self._check(emit.key, at + "/key", scope, KEY)
        self._given(
            emit.data,
            Receiver(f"the event {emit.event}", self._schema(emit.event), at + "/data", _EMITTED, strict=False),
            scope,
        )

    def _check(self, source: str | None, at: str, scope: Scope, expected: Expected) -> Found | None:
        """The type and tree of `source`, or None if it is absent or has errors, which are then among the problems."""
        if source is None:
            return None
        try:
            compiled = compile_expression(source)
        except DefinitionError as error:
            self._add(error.problems, at)
            return None
        misplaced = list(self._misplaced(compiled, scope))
        if misplaced:
            self._add(misplaced, at)
            return None
        text = with_fields(source)
        try:
            typed = self.types.environment(scope.kinds).compile(text)
        except (RuntimeError, ValueError) as error:
            self._add(syntax_problems(str(error), text, lambda struct: self.types.properties.get(struct, ())), at)
            return None
        tree = Tree(typed.serialize())
        returned = typed.return_type()
        problems = order_problems(tree) + hidden_problems(sorted(tree.bound() & set(scope.kinds)))
        if _NOT_JSON.search(returned.name()):
            problems.append(
                Problem(
                    "SF273",
                    "",
                    "the result has no place in JSON.",
                    "End an optional with orValue(...), and give a map texts as keys.",
                )
            )
        elif expected[1] and returned.name().partition("<")[0] not in expected[1]:
            name = json_type(returned.name(), self.types) or returned.name().lower()
            problems.append(
                Problem("SF272", "", f"expected {expected[0]} but the result is of type {name}.", expected[2])
            )
        elif expected is CONDITION and (types := only_types(tree.expr, scope)) and "boolean" not in types:
            names = " or ".join(sorted(types))
            problems.append(
                Problem("SF272", "", f"expected {CONDITION[0]} but the result is of type {names}.", CONDITION[2])
            )
        self._add(problems, at)
        self._add(uncertain(tree, scope), at)
        self._add(mixed(tree, scope), at)
        # by the names of properties, not by those of fields
        self._add(guard_problems(_raw(source), scope.schemas, scope.asked, expected[0] if expected[1] else ""), at)
        return None if problems else (returned, tree)

    def _add(self, problems: Iterator[Problem] | list[Problem] | tuple[Problem, ...], at: str) -> None:
        self.problems += [replace(problem, pointer=at) for problem in problems]

    def _misplaced(self, compiled: Expression, scope: Scope) -> Iterator[Problem]:
        for name in sorted(compiled.names - set(scope.kinds)):
            fix = (
                "In a step with `each`, `with` of its call or child run may read it."
                if name in ("item", "index")
                else ""
            )
            yield Problem(
                "SF266",
                "",
                f"`{name}` is not there in this place.",
                fix or f"Here you may read {', '.join(sorted(scope.kinds))}.",
            )
        for id_ in sorted(compiled.steps if "steps" in scope.kinds else ()):
            if id_ not in self.graph.steps:
                near = nearest(id_, scope.before or self.graph.steps)
                yield Problem("SF268", "", f"there is no step `{id_}`.", f"Did you mean `{near}`?" if near else "")
            elif id_ not in scope.before:
                yield Problem(
                    "SF267",
                    "",
                    f"the step `{id_}` does not come before this one, so it has left nothing to read.",
                    f"Add `{id_}` to `needs`.",
                )
            elif id_ in compiled.failing and kind_of(self.graph.steps[id_]) not in OUTSIDE:
                yield Problem("SF276", "", f"the step `{id_}` has no errors.", "Only those of kind call and run have.")


def _raw(source: str) -> Tree:
    """The tree of `source`, which compiles, with the names of properties instead of those of fields."""
    return Tree(untyped().compile(source).serialize())


def _valid(schema: Schema) -> Schema:
    """What `schema` says; anything where it is no JSON Schema, which is reported elsewhere."""
    return shape_of(schema) if schema_fault(schema) is None else ANYTHING
