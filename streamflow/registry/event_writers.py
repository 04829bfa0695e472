"""How the events are written that are bound to a subject of a registry. Its libraries are imported for the first."""

from __future__ import annotations

from collections.abc import Callable

from streamflow.core.outbox import Written
from streamflow.definition.catalog import Binding, BoundSchema

_CONTENT_TYPES = {"AVRO": "application/avro", "JSON": "application/json", "PROTOBUF": "application/protobuf"}


class EventWriters:
    """The writers of a process, one for each event, made when its binding is new."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[BoundSchema, Written]] = {}

    def of(self, event: str, binding: Binding | None) -> Written | None:
        """How `event` is written by its binding; None: as JSON.

        Raises OperationError (`schema_unusable`, `extra_missing`)."""
        schema = binding.written if binding is not None else None
        if schema is None:
            return None
        made = self._made.get(event)
        if made is None or (made[0] is not schema and made[0] != schema):
            from streamflow.registry.writers import payload_writer

            made = self._made[event] = (schema, _written(schema, payload_writer(schema)))
        return made[1]


def _written(schema: BoundSchema, write: Callable[[bytes], bytes]) -> Written:
    return Written(write, _headers(schema), is_structured=schema.mode == "structured")


def _headers(schema: BoundSchema) -> tuple[tuple[str, str], ...]:
    headers = (("content-type", _CONTENT_TYPES[schema.type]),)
    return (*headers, ("ce_dataschema", schema.uri)) if schema.uri else headers
