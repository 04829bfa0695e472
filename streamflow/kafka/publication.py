"""Publishing and retiring versions of definitions, and registering operations, in the definitions log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streamflow.approvals.approval import Approval
from streamflow.approvals.gate import accepted
from streamflow.definition.catalog import BINDING_FIELDS, Binding, ChildSpec, TopicEnds
from streamflow.errors import Rejected
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.event_schemas import EventSchemas, written_as
from streamflow.kafka.log_reading import read_log as read_log
from streamflow.kafka.log_writing import Recorded, Records, encoded, judged, write
from streamflow.kafka.registration import is_registration_new
from streamflow.kafka.topic_ends import topic_ends
from streamflow.kafka.topics import is_own, own_prefixes
from streamflow.kafka.unknown_names import unknown_version
from streamflow.settings import Settings

_TIMEOUT_S = 30.0  # for the names of the cluster's topics


@dataclass(frozen=True, slots=True)
class Published:
    """The result of a publication: `offset` is the content's own, which start commands name with `sha`; `acknowledged`
    is the offset of the last record written (of the version's record if nothing was). `already`: the same content was
    published before. `rebound` are the events that were bound to other topics until now, for every definition.
    `ends_unknown` are the topics that were newly bound and whose ends could not be read, with the reason; `rewritten`
    the events that are written in another way from now on, with the schema, or JSON."""

    name: str
    version: str
    sha: str
    offset: int
    acknowledged: int
    already: bool
    rebound: tuple[str, ...] = ()
    ends_unknown: Mapping[str, str] = field(default_factory=dict)
    rewritten: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retired:
    """The result of a retirement: the version that starts use now, if any, and the offset of the last record
    written."""

    name: str
    version: str
    current: str | None
    acknowledged: int
    already: bool


def publish(
    settings: Settings,
    *,
    name: str,
    version: str,
    content: bytes,
    events: Mapping[str, Mapping[str, Any]],
    children: Iterable[ChildSpec] = (),
    scenarios: str | None = None,
    approval: Approval | None = None,
    by: str = "",
) -> Published:
    """Publishes `content` as `name@version` with the catalog entries of `events`, and binds these events to the topics
    of their entries; starts use it from now on. The same content again is a success, and binds as well. `children` are
    the definitions that it starts, `scenarios` a text that goes with the version, and may be replaced. `approval` is
    one of this content (else the one that is kept for it), and `by` who publishes.

    Raises Rejected (`version_taken`, `version_retired`, `child_unknown`, `definition_too_large`, `topic_reserved`,
    and as `approvals.gate.accepted` and `EventSchemas`) or OperationError."""
    limit = settings.limits.definition_bytes
    if len(content) > limit:
        size = f"{len(content)} bytes"
        raise Rejected(
            "definition_too_large",
            f"expected at most {limit} bytes but the definition with its events has {size}. Split it.",
        )
    if scenarios is not None and len(scenarios.encode()) > limit:
        raise Rejected(
            "definition_too_large",
            f"expected at most {limit} bytes but the scenarios have {len(scenarios.encode())}. Publish fewer.",
        )
    sha = hashlib.sha256(content).hexdigest()
    named = [topic for entry in events.values() for topic in entry.get("topics", ()) if own_prefixes(topic)]
    cluster = cluster_topics(settings) if named else frozenset()
    bindings = {
        event: _binding(settings, event, entry, cluster)
        for event, entry in sorted(events.items())
        if entry.get("topics")
    }
    schemas = EventSchemas(settings)
    bindings = {event: schemas.bound(event, events[event], binding) for event, binding in bindings.items()}
    # before anything is written: an event that comes after the acknowledgement lies behind these ends
    ends = topic_ends(settings, {topic for binding in bindings.values() for topic in binding.topics})
    already, rebound, ends_unknown = False, tuple[str, ...](), dict[str, str]()
    rewritten: dict[str, str] = {}

    def records(log: Snapshot) -> Records:
        nonlocal already, rebound, ends_unknown, rewritten
        taken = log.versions.get((name, version))
        already = taken is not None
        known = log.approvals.get(sha)
        before = taken.approval if taken is not None and taken.sha == sha else None
        approved = approval
        if approval is not None or known is not None or settings.approvals.required:
            approved = accepted(
                settings.approvals,
                log.environment,
                name=name,
                version=version,
                sha256=sha,
                by=by,
                given=approval,
                kept=known,
                published=before,
                scenarios=scenarios,
            )
        moved = {event: binding for event, binding in bindings.items() if _moves(log.bindings.get(event), binding)}
        before_it = {event: log.bindings.get(event) for event in moved}
        rebound = tuple(
            event for event, old in before_it.items() if old is not None and _is_elsewhere(old, moved[event])
        )
        rewritten = {
            event: written_as(moved[event])
            for event, old in before_it.items()
            if (old.written if old is not None else None) != moved[event].written
        }
        for event, old in before_it.items():
            schemas.require_compatible(event, old, moved[event])
        moved = {event: _with_ends(log.bindings.get(event), binding, ends.found) for event, binding in moved.items()}
        without = {topic for binding in moved.values() for topic in binding.topics if topic not in binding.ends}
        ends_unknown = {topic: why for topic, why in ends.unknown.items() if topic in without}
        bound: Records = {f"binding/{event}": _binding_bytes(binding) for event, binding in moved.items()}
        beside: Records = {}
        if scenarios is not None and log.scenarios.get((name, version)) != scenarios:
            beside[f"scenarios/{name}@{version}"] = scenarios.encode()
        if taken is not None:
            _refuse_another(name, version, sha, taken.sha, retired=taken.retired)
            if approved is not None and approved != before:
                key = f"version/{name}@{version}"
                bound[key] = _version(sha, retired=False, published_ms=taken.published_ms, approval=approved)
            return bound | beside
        for child in children:
            _require_child(log, child)
        # bindings first: starts name the offset of the content, and anyone who has read up to there can emit the events
        wanted: Records = dict(bound)
        if sha not in log.contents:
            wanted[f"definition/{sha}"] = content
        entries = {event: _logical(entry) for event, entry in sorted(events.items())}
        wanted |= {
            f"event/{event}": encoded(entry) for event, entry in entries.items() if log.events.get(event) != entry
        }
        wanted[f"version/{name}@{version}"] = _version(sha, retired=False, published_ms=0, approval=approved)
        wanted[f"name/{name}"] = encoded({"version": version, "sha": sha})
        return wanted | beside

    log, offsets = write(settings, records)
    key = f"definition/{sha}"
    offset = offsets[key] if key in offsets else log.contents[sha][1]
    acknowledged = max(offsets.values()) if offsets else log.versions[name, version].offset
    return Published(
        name=name,
        version=version,
        sha=sha,
        offset=offset,
        acknowledged=acknowledged,
        already=already,
        rebound=rebound,
        ends_unknown=ends_unknown,
        rewritten=rewritten,
    )


def retire(settings: Settings, *, name: str, version: str) -> Retired:
    """Takes `name@version` out of use: no new run starts on it, runs on it continue. Starts use the newest version that
    is left.

    Raises Rejected (`version_unknown`) or OperationError."""
    current: list[str | None] = [None]

    def records(log: Snapshot) -> Records:
        known = log.versions.get((name, version))
        if known is None:
            raise unknown_version(log, name, version)
        wanted: Records = {}
        if not known.retired:
            wanted[f"version/{name}@{version}"] = _version(
                known.sha, retired=True, published_ms=known.published_ms, approval=known.approval
            )
        pointer = log.names.get(name)
        moves = pointer is not None and (pointer.version == version or (name, pointer.version) not in log.versions)
        left = log.newest(name, without=version) if moves or pointer is None else pointer.version
        current[0] = left
        if moves:
            wanted[f"name/{name}"] = encoded({"version": left, "sha": log.versions[name, left].sha}) if left else None
        return wanted

    log, offsets = write(settings, records)
    acknowledged = max(offsets.values()) if offsets else log.versions[name, version].offset
    return Retired(name, version, current[0], acknowledged, already=not offsets)


def register_operation(
    settings: Settings, *, name: str, registration: Mapping[str, Any], replace: bool = False
) -> Recorded:
    """Registers the plugin operation `name` (its contract as `spec`, where it is as `plugin`); with `replace` also
    instead of another one of that name. Task workers have it at once. The same again is a success.

    Raises Rejected (`registration_too_large`, `operation_registered`) or OperationError."""
    value, limit = encoded(registration), settings.limits.definition_bytes
    if len(value) > limit:
        raise Rejected(
            "registration_too_large",
            f"expected at most {limit} bytes but the registration of {name} has {len(value)}. Shorten its schemas.",
        )

    def records(log: Snapshot) -> Records:
        changed = is_registration_new(name, log.operations.get(name), registration, replace=replace)
        return {f"operation/{name}": value} if changed else {}

    _, offsets = write(settings, records)
    return Recorded(name, max(offsets.values(), default=None))


def unregister_operation(settings: Settings, *, name: str) -> Recorded:
    """Takes the plugin operation `name` away. Calls of it are retried until their attempts are used up.

    Raises Rejected (`operation_unknown`) when it is not registered, or OperationError."""

    def records(log: Snapshot) -> Records:
        if name not in log.operations:
            known = ", ".join(sorted(log.operations)) or "none"
            raise Rejected(
                "operation_unknown",
                f"expected a registered plugin but {name} is not one of them ({known}). See `streamflow operations "
                "list`.",
            )
        return {f"operation/{name}": None}

    _, offsets = write(settings, records)
    return Recorded(name, max(offsets.values(), default=None))


def _refuse_another(name: str, version: str, sha: str, taken: str, *, retired: bool) -> None:
    if taken != sha:
        raise Rejected(
            "version_taken",
            f"expected {name}@{version} to be free but other content has it. Choose another version.",
            sha=taken,
        )
    if retired:
        raise Rejected(
            "version_retired",
            f"expected {name}@{version} to be new but it is retired. Publish under another version.",
        )


def _require_child(log: Snapshot, child: ChildSpec) -> None:
    record, content = log.versions.get((child.name, child.version)), log.contents.get(child.sha)
    if record is None or record.retired or record.sha != child.sha or content is None:
        reference = f"{child.name}@{child.version}"
        raise Rejected(
            "child_unknown",
            f"expected {reference} to be published with the content that this was checked against but it is not. "
            "Publish it, then this again.",
        )


def _version(sha: str, *, retired: bool, published_ms: int, approval: Approval | None = None) -> bytes:
    return encoded({"sha": sha, "retired": retired, "published_ms": published_ms, "approval": approval})


def _logical(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A catalog entry without its binding."""
    return {name: value for name, value in entry.items() if name not in BINDING_FIELDS}


def cluster_topics(settings: Settings) -> frozenset[str]:
    """The names of all topics of the cluster that we may see. Raises OperationError."""
    errors: list[KafkaError] = []
    try:
        client = AdminClient(confluent_config(settings, "publisher", on_error=errors.append))
        return frozenset(client.list_topics(timeout=_TIMEOUT_S).topics)
    except KafkaException as error:
        raise judged(error.args[0], errors) from error


def _binding(settings: Settings, event: str, entry: Mapping[str, Any], cluster: frozenset[str]) -> Binding:
    """The binding in a catalog entry. Raises Rejected when it names a topic that no definition may use."""
    binding = Binding(topics=list(entry["topics"]), start=entry.get("start", "now"), registry=entry.get("registry"))
    for topic in binding.topics:
        if is_own(settings, topic, cluster):
            raise Rejected(
                "topic_reserved",
                f"The event {event} cannot be bound to {topic}, which is a topic of Streamflow's own. Name another "
                "topic in the catalog.",
                topic=topic,
            )
    return binding


def _with_ends(known: Binding | None, binding: Binding, ends: Mapping[str, TopicEnds]) -> Binding:
    """`binding` with the ends of its topics; those that the event was bound to before keep theirs."""
    found = {topic: ends[topic] for topic in binding.topics if topic in ends}
    if known is not None:
        found |= {topic: end for topic, end in known.ends.items() if topic in binding.topics}
    return binding.model_copy(update={"ends": found})


def _moves(known: Binding | None, binding: Binding) -> bool:
    """Whether `binding` says anything else than the one that is `known`."""
    return known is None or _said(known) != _said(binding)


def _said(binding: Binding) -> tuple[Any, ...]:
    return binding.topics, binding.start, binding.registry, binding.written


def _is_elsewhere(known: Binding, binding: Binding) -> bool:
    return (known.topics, known.start) != (binding.topics, binding.start)


def _binding_bytes(binding: Binding) -> bytes:
    """A binding as it is kept. What it does not have is left out: who does not know of it yet reads the rest."""
    return encoded(binding.model_dump(exclude_none=True))
