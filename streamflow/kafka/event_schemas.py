"""The schemas of a registry that emitted events are written with: found, tried and held against their forerunners when
a definition is published, and kept in the binding from then on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import msgspec

from streamflow.authoring.sample_values import NoSample, sample_value
from streamflow.definition.catalog import Binding, BoundSchema
from streamflow.errors import Rejected
from streamflow.registry.client import registry_client
from streamflow.registry.writers import payload_writer, self_contained
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError

_SAMPLES = 12  # payloads that the catalog allows, which a schema must be able to write


class EventSchemas:
    """What one publication asks the registry. Nothing is asked, and none must be set, when no event is bound to a
    subject.

    Its methods raise Rejected (`schema_misfit`, `schema_incompatible`, `definition_too_large`) and OperationError
    (`registry_unset`, `registry_unavailable`, `registry_refused`, `subject_unknown`, `schema_unusable`,
    `extra_missing`)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._compatible: dict[tuple[str, int, int], bool] = {}

    def bound(self, event: str, entry: Mapping[str, Any], binding: Binding) -> Binding:
        """`binding` with the schema of its subject, which can write what the catalog's schema in `entry` allows."""
        if binding.registry is None:
            return binding
        wanted = binding.registry
        with closing(registry_client(self._settings.registry)) as registry:
            found = self_contained(registry.version(wanted.subject, wanted.version))
        schema = BoundSchema(
            subject=found.subject or wanted.subject,
            version=found.version,
            id=found.id,
            type=found.type,
            text=found.text,
            references=dict(found.references),
            message=wanted.message,
            mode=wanted.mode,
            uri=f"{(self._settings.registry.url or '').rstrip('/')}/schemas/ids/{found.id}",
        )
        size, limit = len(schema.model_dump_json()), self._settings.limits.definition_bytes
        if size > limit:
            raise Rejected(
                "definition_too_large",
                f"expected at most {limit} bytes but version {schema.version} of {schema.subject}, with what it builds "
                f"on, has {size}. Write {event} with a smaller schema, or raise limits.definition_bytes.",
            )
        self._require_fit(event, entry.get("schema") or {}, schema)
        return binding.model_copy(update={"written": schema})

    def require_compatible(self, event: str, known: Binding | None, binding: Binding) -> None:
        """Refuses a schema that the registry holds to be incompatible with the one that the event was written with."""
        before, now = (known.written if known is not None else None), binding.written
        if before is None or now is None or before.subject != now.subject or before.version == now.version:
            return
        key = (now.subject, now.version, before.version)
        if key not in self._compatible:  # asked once, however often the log has to be read
            with closing(registry_client(self._settings.registry)) as registry:
                self._compatible[key] = registry.is_compatible(*key)
        if not self._compatible[key]:
            raise Rejected(
                "schema_incompatible",
                f"The event {event} is written with version {before.version} of {now.subject}, and version "
                f"{now.version} is not compatible with it by the registry's rule. Correct the schema there, or name "
                "a version in the catalog.",
            )

    def _require_fit(self, event: str, schema: Mapping[str, Any], bound: BoundSchema) -> None:
        write = payload_writer(bound)
        if not schema:
            return
        for number in range(_SAMPLES):
            try:
                payload = sample_value(schema, f"{event}/{number}")
            except NoSample:
                return  # nothing to try it with
            try:
                write(msgspec.json.encode(payload, order="deterministic"))
            except DecodeError as error:
                raise Rejected(
                    "schema_misfit",
                    f"The catalog's schema of {event} allows what version {bound.version} of {bound.subject} cannot "
                    f"hold: {error.facts['why']}. Correct the catalog, or the schema in the registry.",
                ) from error


def written_as(binding: Binding) -> str:
    """How events of this binding are written, in words."""
    schema = binding.written
    return (
        "JSON"
        if schema is None
        else f"version {schema.version} of {schema.subject} (id {schema.id}, {schema.type})"
        + (", in structured mode" if schema.mode == "structured" else "")
    )
