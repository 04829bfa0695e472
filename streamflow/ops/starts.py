"""Asking for a run without an event: which version, for which key, with what input, checked before anything is
appended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.engine.commands import DefinitionRef, Event, StartRun
from streamflow.errors import Rejected
from streamflow.ids import command_place, run_id
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.unknown_names import unknown_version
from streamflow.operations.schema import misfit
from streamflow.ops.command_request import new_id

NO_EVENT = ""  # instead of an event's name, for a start that stands for none
_LONGEST_NAME = 400  # bytes; the engine refuses longer ones


@dataclass(frozen=True, slots=True)
class Request:
    """A start that may be appended: its command, and the version that it names. `named`: it was asked for with an id,
    so that it may have been asked for before."""

    command: StartRun
    version: str
    named: bool


def request(
    log: Snapshot,
    reference: str,
    *,
    key: str,
    data: Any,
    id: str | None = None,
    event: str | None = None,
    correlation_id: str = "",
) -> Request:
    """A start of `reference` (`name` or `name@version`) for `key` with `data`. Asked for twice with one `id` (within
    its definition and key), only one run starts. `event` is the trigger's event that `data` stands for; without it
    `data` is the definition's input, or that of its first trigger. `correlation_id` is what the caller knows the run
    by.

    Raises Rejected (`version_unknown`, `version_retired`, `definition_unapproved`, `event_unknown`, `schema_mismatch`,
    `key_missing`, `id_too_long`)."""
    if not key:
        raise Rejected("key_missing", "expected a business key but it is empty. Name what the run is about.")
    if len(key.encode()) > _LONGEST_NAME or (id is not None and len(id.encode()) > _LONGEST_NAME):
        raise Rejected(
            "id_too_long", f"expected a key and an id of at most {_LONGEST_NAME} bytes but one is longer. Shorten it."
        )
    name, version, sha = _published(log, reference)
    stands_for = _checked(*log.read_version(name, version), event, data)
    _, offset = log.contents[sha]
    command_id = f"request/{id}" if id is not None else new_id()
    command = StartRun(
        id=command_id,
        definition=name,
        key=key,
        start=DefinitionRef(sha, offset, log.revision),
        event=Event(name=stands_for, id=command_id, time_ms=time.time_ns() // 1_000_000, data=data),
        correlation_id=correlation_id,
    )
    return Request(command, version, id is not None)


def run_of(request: Request, environment: str, topic_id: str, partition: int, offset: int) -> str:
    """The id of the run that a request starts, once its command is at `offset` of a partition of `commands`, the topic
    with `topic_id`; unless it was asked for under the same id before."""
    command = request.command
    return run_id(environment, command.definition, command.key, command_place(topic_id, partition, offset))


def started_before(error: Rejected) -> str:
    """The run that a request under the same id has started. Raises `error` when that is not why it was refused."""
    if error.code != "run_exists":
        raise error
    return str(error.facts["run"])


def _published(log: Snapshot, reference: str) -> tuple[str, str, str]:
    """Name, version and sha256 of what is to be started. Raises Rejected."""
    name, _, version = reference.partition("@")
    if not version and name in log.names:
        version = log.names[name].version
    record = log.versions.get((name, version))
    if record is None:
        raise unknown_version(log, name, version)
    if record.retired:
        raise Rejected(
            "version_retired",
            f"expected a version that is in use but {name}@{version} is retired. Start another one.",
        )
    if (refusal := log.refusal(name, version)) is not None:
        raise Rejected(
            "definition_unapproved",
            f"{name}@{version} has no valid approval ({refusal}), and one is required here. Approve its content, and "
            "publish it with that.",
            refusal=refusal,
        )
    return name, version, record.sha


def _checked(definition: Definition, catalog: Catalog, event: str | None, data: Any) -> str:
    """What a start stands for; `data` must be what expressions were checked against. Raises Rejected."""
    names = [trigger.event for trigger in definition.on]
    if event is None and (definition.input is not None or not names):
        check_schema(definition.input, data, f"an input of {definition.name}")
        return NO_EVENT
    chosen = event or names[0]
    spec = catalog.event(chosen)
    if chosen not in names or spec is None:
        known = ", ".join(names) or "none"
        raise Rejected(
            "event_unknown", f"expected an event that starts {definition.name} but {chosen} does not; it has {known}"
        )
    check_schema(spec.schema_, data, f"a payload of {chosen}")
    return chosen


def check_schema(schema: Any, data: Any, what: str) -> None:
    """Raises Rejected (`schema_mismatch`) if `data` does not fit the JSON Schema; without one, everything does."""
    if not schema:
        return
    wrong = misfit(data, schema)
    if wrong is not None:
        place = wrong.partition(": ")[0] if wrong.startswith("/") else None
        remedy = "Correct it." if data is not None else "Give it: on the command line with --data, such as --data '{}'."
        raise Rejected(
            "schema_mismatch",
            f"expected {what} but {wrong}. {remedy}",
            pointer=place,
        )
