"""What can be wrong with the expressions of a definition: each is compiled against the types of what it may read, in plan order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cel_expr_python import cel

from streamflow.definition.catalog import Catalog
from streamflow.definition.expression import Expression, compile_expression, order_problems
from streamflow.definition.expression_faults import property_name, syntax_problems
from streamflow.definition.expression_tree import Tree, constant_text
from streamflow.definition.graph import Graph
from streamflow.definition.model import Definition, Emit, Step
from streamflow.definition.plan import NO_OUTCOME
from streamflow.definition.schema_types import ANYTHING, TEXT, WHOLE, Kind, Schema, Types, common, json_types, resolve, schema_fault, with_fields
from streamflow.definition.syntax import nearest
from streamflow.errors import DefinitionError, Problem

CONDITION = ("true or false", frozenset({"BOOL", "DYN"}))
KEY = ("a text or a whole number", frozenset({"STRING", "INT", "UINT", "DYN"}))
INSTANT = ("a timestamp or a text with one", frozenset({"TIMESTAMP", "STRING", "DYN"}))
ANY_VALUE = ("a value", frozenset[str]())

_RUN: Schema = {
    "type": "object",
    "properties": {"id": TEXT, "key": TEXT, "definition": TEXT, "version": TEXT, "started_ms": WHOLE, "trigger": TEXT},
}
_ARITHMETIC = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_"})
_NOT_JSON = re.compile(r"optional_type|TYPE<|MAP<(?!STRING|DYN)")
_JSON_OF = {"STRING": "string", "TIMESTAMP": "string", "DURATION": "string", "BYTES": "string", "INT": "integer", "UINT": "integer"}
_JSON_OF |= {"DOUBLE": "number", "BOOL": "boolean", "NULL": "null"}


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may read: variables with their types, and, where they are known, the JSON Schemas behind them."""

    kinds: Mapping[str, Kind]
    schemas: Mapping[str, Schema]
    before: frozenset[str] = frozenset()  # steps that come before
    certain: frozenset[str] = frozenset()  # of those, the ones that certainly have an output


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

    def run(self) -> list[Problem]:
        """All problems of all expressions."""
        for index, trigger in enumerate(self.definition.on):
            schema = self._schema(trigger.event)
            scope = Scope({"event": self.types.kind(schema)}, {"event": schema})
            self._check(trigger.where, f"/on/{index}/where", scope, CONDITION)
            self._check(trigger.key, f"/on/{index}/key", scope, KEY)
        known = [self._schema(trigger.event) for trigger in self.definition.on if self.catalog.event(trigger.event) is not None]
        trigger_schema = common(known) if known else ANYTHING
        kinds = {"trigger": self.types.kind(trigger_schema), "run": self.types.kind(_RUN), "now": Kind()}
        anything = self.types.kind(ANYTHING)
        certain = _certain(self.graph)
        index_of = {step.id: index for index, step in reversed(list(enumerate(self.definition.steps)))}
        for id_ in self.graph.order:
            before = self.graph.ancestors[id_] - {id_}
            steps = self.types.message((other, self.outputs.get(other, anything)) for other in self.graph.order if other in before)
            schemas = {"trigger": trigger_schema, "run": _RUN, "steps": {"type": "object", "properties": dict(self.output_schemas)}}
            scope = Scope({**kinds, "steps": steps}, schemas, before, certain[id_])
            self._step(self.graph.steps[id_], f"/steps/{index_of[id_]}", scope)
        return self.problems

    def _schema(self, event: str) -> Schema:
        """The payload's schema; one that is no JSON Schema is reported elsewhere and says nothing here."""
        spec = self.catalog.event(event)
        return spec.schema_ if spec is not None and schema_fault(spec.schema_) is None else ANYTHING

    def _step(self, step: Step, at: str, scope: Scope) -> None:
        condition = self._check(step.if_, at + "/if", scope, CONDITION)
        if condition is not None:
            scope = replace(scope, certain=scope.certain | _asked(condition[1]))
        self.outputs[step.id], self.output_schemas[step.id] = self._output(step, at, scope)

    def _output(self, step: Step, at: str, scope: Scope) -> tuple[Kind, Schema]:
        """Checks the work of `step` and gives the type of its output."""
        if step.wait is not None:
            for index, clause in enumerate(step.wait.events):
                schema = self._schema(clause.event)
                within = replace(scope, kinds={**scope.kinds, "event": self.types.kind(schema)}, schemas={**scope.schemas, "event": schema})
                self._check(clause.where, f"{at}/wait/events/{index}/where", within, CONDITION)
            data = common([self._schema(clause.event) for clause in step.wait.events])
            return self._object({"event": TEXT, "id": TEXT, "time_ms": WHOLE, "data": data})
        if step.choose is not None:
            for index, branch in enumerate(step.choose):
                self._check(branch.if_, f"{at}/choose/{index}/if", scope, CONDITION)
            return self._object({"branch": TEXT})
        if step.set is not None:
            values = [(value.name, self._check(value.expr, f"{at}/set/{index}/expr", scope, ANY_VALUE)) for index, value in enumerate(step.set)]
            known = {name: self.types.result(found[0]) if found is not None else self.types.kind(ANYTHING) for name, found in values}
            return self.types.message(known.items()), ANYTHING
        if step.emit is not None:
            self._emit(step.emit, at + "/emit", scope)
            return self._object({"id": TEXT, "topic": TEXT})
        if step.delay is not None:
            self._check(step.delay.until, at + "/delay/until", scope, INSTANT)
            return self._object({"until_ms": WHOLE})
        if step.print is not None:
            self._check(step.print.text, at + "/print/text", scope, ANY_VALUE)
            return self._object({"text": TEXT})
        return self.types.kind(ANYTHING), ANYTHING

    def _object(self, properties: dict[str, Schema]) -> tuple[Kind, Schema]:
        kinds = [(name, self.types.kind(schema)) for name, schema in properties.items()]
        return self.types.message(kinds), {"type": "object", "properties": properties}

    def _emit(self, emit: Emit, at: str, scope: Scope) -> None:
        self._check(emit.key, at + "/key", scope, KEY)
        root = self._schema(emit.event)
        schema = resolve(root, root)
        declared = schema.get("properties")
        properties: Mapping[str, Any] = declared if isinstance(declared, Mapping) else {}
        for index, value in enumerate(emit.data):
            found = self._check(value.expr, f"{at}/data/{index}/expr", scope, ANY_VALUE)
            if value.name in properties:
                if found is not None:
                    self._fits(found, resolve(properties[value.name], root), f"{at}/data/{index}/expr", value.name, emit.event, scope)
            elif properties:
                closed = schema.get("additionalProperties") is False
                near = nearest(value.name, properties)
                if closed or near:
                    fix = f"Did you mean `{near}`?" if near else f"Its fields are {', '.join(properties)}."
                    where, severity = f"{at}/data/{index}/name", "error" if closed else "warning"
                    self.problems.append(Problem("SF241", where, f"the event {emit.event} has no field `{value.name}`.", fix, severity))
        given = {value.name for value in emit.data}
        for name in schema.get("required", ()):
            if name not in given:
                fix = f"Add {{name: {name}, expr: ...}} to `data`."
                self.problems.append(Problem("SF240", at + "/data", f"the event {emit.event} must have the field `{name}`.", fix))

    def _fits(self, found: tuple[cel.Type, Tree], schema: Schema, at: str, name: str, event: str, scope: Scope) -> None:
        allowed = json_types(schema)
        text = constant_text(found[1].expr)
        values = schema.get("enum")
        if text is not None and isinstance(values, list) and text not in values:
            near = nearest(text, [item for item in values if isinstance(item, str)])
            fix = f'Did you mean "{near}"?' if near else f"It may be {', '.join(map(str, values))}."
            self.problems.append(Problem("SF242", at, f'`{name}` of the event {event} cannot be "{text}".', fix))
            return
        given = _json_type(found[0].name(), self.types) or _type_read(found[1].expr, scope)
        fits = given in allowed or (given == "integer" and "number" in allowed) or (given == "number" and "integer" in allowed and found[0].name() == "DYN")
        if given and allowed and not fits:
            message = f"`{name}` of the event {event} must be of type {' or '.join(sorted(allowed))} but this is of type {given}."
            self.problems.append(Problem("SF242", at, message, "Convert it, for example with string(...), int(...) or double(...)."))

    def _check(self, source: str | None, at: str, scope: Scope, expected: tuple[str, frozenset[str]]) -> tuple[cel.Type, Tree] | None:
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
        try:
            typed = self.types.environment(scope.kinds).compile(with_fields(source))
        except (RuntimeError, ValueError) as error:
            self._add(syntax_problems(str(error), lambda struct: self.types.properties.get(struct, ())), at)
            return None
        tree = Tree(typed.serialize())
        returned = typed.return_type()
        problems = order_problems(tree)
        if _NOT_JSON.search(returned.name()):
            problems.append(Problem("SF273", "", "the result has no place in JSON.", "End an optional with orValue(...); give a map texts as keys."))
        elif expected[1] and returned.name() not in expected[1]:
            told = _json_type(returned.name(), self.types) or returned.name().lower()
            problems.append(
                Problem("SF272", "", f"expected {expected[0]} but the result is of type {told}.", "Write a comparison." if expected is CONDITION else "")
            )
        self._add(problems, at)
        self._add(_uncertain(tree, scope), at)
        self._add(_mixed(tree, scope), at)
        return None if problems else (returned, tree)

    def _add(self, problems: Iterator[Problem] | list[Problem] | tuple[Problem, ...], at: str) -> None:
        self.problems += [replace(problem, pointer=at) for problem in problems]

    def _misplaced(self, compiled: Expression, scope: Scope) -> Iterator[Problem]:
        for name in sorted(compiled.names - set(scope.kinds)):
            yield Problem("SF266", "", f"`{name}` is not there in this place.", f"Here you may read {', '.join(sorted(scope.kinds))}.")
        for id_ in sorted(compiled.steps if "steps" in scope.kinds else ()):
            if id_ not in self.graph.steps:
                near = nearest(id_, scope.before or self.graph.steps)
                yield Problem("SF268", "", f"there is no step `{id_}`.", f"Did you mean `{near}`?" if near else "")
            elif id_ not in scope.before:
                yield Problem("SF267", "", f"the step `{id_}` does not come before this one, so its output is not there.", f"Add `{id_}` to `needs`.")


def _json_type(name: str, types: Types) -> str:
    if name.startswith("LIST<"):
        return "array"
    return "object" if name.startswith("MAP<") or name in types.properties else _JSON_OF.get(name, "")


def _certain(graph: Graph) -> dict[str, frozenset[str]]:
    """For each step, the steps before it that certainly ended with an output when it begins."""
    certain: dict[str, frozenset[str]] = {}
    for id_ in graph.order:
        step = graph.steps[id_]
        ways = []
        for need in step.needs:
            before, _, outcome = need.partition(".")
            known = certain.get(before, frozenset())
            ways.append(known if outcome in NO_OUTCOME else known | {before})
        if step.join == "all":
            certain[id_] = frozenset[str]().union(*ways)
        else:
            certain[id_] = ways[0].intersection(*ways[1:]) if ways else frozenset()
    return certain


def _asked(tree: Tree) -> frozenset[str]:
    """The steps that the expression asks for with `has(steps.<id>)`."""
    return frozenset(node.select_expr.field for node in tree.nodes() if _reads_step(node) and node.select_expr.test_only)


def _reads_step(node: Any) -> bool:
    return bool(node.WhichOneof("kind") == "select_expr" and node.select_expr.operand.ident_expr.name == "steps")


def _uncertain(tree: Tree, scope: Scope) -> Iterator[Problem]:
    read = {node.select_expr.field for node in tree.nodes() if _reads_step(node) and not node.select_expr.test_only}
    for id_ in sorted((read & scope.before) - scope.certain - _asked(tree)):
        fix = f"Ask first: has(steps.{id_}) ? ... : ..."
        yield Problem("SF269", "", f"the step `{id_}` may have been skipped or have timed out, and then has no output.", fix, "warning")


def _read(node: Any, scope: Scope) -> tuple[Schema, Schema] | None:
    """The schema of what `node` reads by fields and indexes, with the schema that its references point into; None if not known."""
    kind = node.WhichOneof("kind")
    if kind == "ident_expr":
        schema = scope.schemas.get(node.ident_expr.name)
        return (resolve(schema, schema), schema) if schema is not None else None
    if kind == "select_expr":
        found = _read(node.select_expr.operand, scope)
        part = found[0].get("properties", {}).get(property_name(node.select_expr.field)) if found is not None else None
    elif kind == "call_expr" and node.call_expr.function == "_[_]":
        found = _read(node.call_expr.args[0], scope)
        part = found[0].get("items") if found is not None else None
    else:
        return None
    if found is None or not isinstance(part, Mapping):
        return None
    root = part if "$defs" in part or "definitions" in part else found[1]
    return resolve(part, root), root


def _type_read(node: Any, scope: Scope) -> str:
    found = _read(node, scope)
    types = json_types(found[0]) if found is not None else frozenset[str]()
    return next(iter(types)) if len(types) == 1 else ""


def _mixed(tree: Tree, scope: Scope) -> Iterator[Problem]:
    for node in tree.nodes():
        if node.WhichOneof("kind") == "call_expr" and node.call_expr.function in _ARITHMETIC:
            for operand in node.call_expr.args:
                if _type_read(operand, scope) == "number":
                    name = property_name(operand.select_expr.field) or "it"
                    yield Problem(
                        "SF274",
                        "",
                        f"`{name}` may come as 10 or as 10.5, and arithmetic does not mix whole numbers with others.",
                        "Write double(...) around it, and 1.0 instead of 1.",
                        "warning",
                    )
