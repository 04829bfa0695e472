"""The JSON Schemas of what the expressions of a definition read, as far as the catalog knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamflow.definition.catalog import Catalog
from streamflow.definition.expression import Expression, compile_expression
from streamflow.definition.json_schema import ANYTHING, TEXT, WHOLE, Schema, common
from streamflow.definition.model import Definition, Step
from streamflow.definition.schema_shape import Shape, object_of, shape_of

RUN: Schema = object_of(
    {"id": TEXT, "key": TEXT, "definition": TEXT, "version": TEXT, "started_ms": WHOLE, "trigger": TEXT}
)
# of a CloudEvent, its attributes by name, as texts; of a plain record none
CLOUDEVENT: Schema = {"type": "object", "additionalProperties": TEXT}
ERROR: Schema = object_of({"code": TEXT, "message": TEXT, "attempts": WHOLE})


class ReadSchemas:
    """The schemas by variable, and the compiling of expressions that read them.

    `event`: the events that the variable `event` may be. `item`: the schema of an item of a list."""

    def __init__(self, schemas: Mapping[str, Schema], catalog: Catalog) -> None:
        self._schemas = schemas
        self._catalog = catalog

    @classmethod
    def of(cls, definition: Definition, catalog: Catalog) -> ReadSchemas:
        """What the steps of `definition` read: `trigger`, `steps`, `errors` and `run`."""
        started = [_event(catalog, trigger.event) for trigger in definition.on]
        if definition.input is not None:
            started.append(shape_of(definition.input))
        steps = {step.id: _output(step, catalog) for step in definition.steps}
        errors = dict.fromkeys(steps, ERROR)
        schemas: dict[str, Schema] = {
            "trigger": common(started) if started else ANYTHING,
            "steps": object_of(steps),
            "errors": object_of(errors),
            "run": RUN,
        }
        return cls(schemas, catalog)

    def with_event(self, name: str) -> ReadSchemas:
        """The same where `event` is the event `name`."""
        return ReadSchemas({**self._schemas, "event": _event(self._catalog, name)}, self._catalog)

    def with_item(self, items: Expression) -> ReadSchemas:
        """The same where `item` is an item of what `items` gives."""
        item = items.schema.get("items") if items.schema is not None else None
        return self if item is None else ReadSchemas({**self._schemas, "item": item}, self._catalog)

    def compile(self, source: str) -> Expression:
        """`source` compiled. Raises DefinitionError."""
        return compile_expression(source, self._schemas)


def _event(catalog: Catalog, name: str) -> Schema:
    spec = catalog.event(name)
    return shape_of(spec.schema_) if spec is not None else ANYTHING


def _output(step: Step, catalog: Catalog) -> Schema:
    """The schema of the output of `step`; anything where none is declared."""
    if step.wait is not None:
        data = common(_events(catalog, (clause.event for clause in step.wait.events)))
        return object_of({"event": TEXT, "id": TEXT, "time_ms": WHOLE, "data": data})
    if step.approval is not None:
        return object_of({"decision": TEXT, "by": TEXT, "data": shape_of(step.approval.form or ANYTHING)})
    if step.call is None:
        return ANYTHING
    spec = catalog.operation(step.call.operation)
    output = shape_of(spec.output if spec is not None else ANYTHING)
    return output if step.each is None else Shape(type=["array"], items=output)


def _events(catalog: Catalog, names: Iterable[str]) -> list[Schema]:
    return [_event(catalog, name) for name in names]
