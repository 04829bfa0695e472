"""What the definitions log says up to a position; the docstring of `definitions` lists its records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
import structlog

from streamflow.approvals.approval import Approval, Refusal
from streamflow.approvals.report import Approved
from streamflow.definition.catalog import Binding, Catalog, EventSpec
from streamflow.definition.content import read_content
from streamflow.definition.model import Definition
from streamflow.engine.commands import REVISION
from streamflow.errors import OperationError
from streamflow.kafka.topics import DEFINITIONS
from streamflow.settings import DEFAULT_ENVIRONMENT
from streamflow.wire.unreadable import UNREADABLE, Unreadable

_log = structlog.get_logger(__name__)


class Verifier(Protocol):
    """Which approvals are accepted here (`approvals.trust.Trust`)."""

    def refusal(self, approval: Approval | None, *, name: str, version: str, sha256: str) -> Refusal | None:
        """Why `approval` is none of that content under that name and version; None if it is one."""


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A published version."""

    sha: str  # of its content
    retired: bool  # no run starts by it any more
    published_ms: int  # epoch milliseconds by the broker's clock
    offset: int  # of this record
    approval: Approval | None = None  # as it is in the log; `Snapshot.refusal` says whether it is accepted


@dataclass(frozen=True, slots=True)
class NameRecord:
    """The version of a definition that starts use."""

    version: str
    sha: str


class _Version(msgspec.Struct):
    sha: str
    published_ms: int = 0  # of a version that is written again; else the record's own time counts
    retired: bool = False
    approval: Approval | None = None


class _Name(msgspec.Struct):
    version: str
    sha: str


class Skip(msgspec.Struct, frozen=True):
    """A person's leave to pass over the command at an offset of `commands`, and what was deleted before it."""

    reason: str  # why, in the person's words
    asked_ms: int = 0  # when, in epoch milliseconds


class Served(NamedTuple):
    """A published version that is not retired, and what it consists of."""

    name: str
    version: str
    record: VersionRecord
    definition: Definition
    catalog: Catalog


@dataclass(slots=True)
class Snapshot:
    """What the log says up to `position` (exclusive): contents by sha with their offsets, versions by (name, version),
    and so on."""

    contents: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    versions: dict[tuple[str, str], VersionRecord] = field(default_factory=dict)
    names: dict[str, NameRecord] = field(default_factory=dict)
    scenarios: dict[tuple[str, str], str] = field(default_factory=dict)  # YAML or JSON, by name and version
    approvals: dict[str, Approved] = field(default_factory=dict)  # by sha of the content, the last one of each
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    bindings: dict[str, Binding] = field(default_factory=dict)
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    serving: dict[str, dict[str, Any]] = field(default_factory=dict)
    engine: dict[str, dict[str, Any]] = field(default_factory=dict)
    skips: dict[int, dict[int, Skip]] = field(default_factory=dict)  # by partition and offset of `commands`
    position: int = 0
    unreadable: Unreadable = field(default_factory=lambda: Unreadable(DEFINITIONS))
    at_ms: int = 0  # when the record that is being read was appended, in epoch milliseconds by the broker's clock
    trust: Verifier | None = None  # None: approvals are not required, and every version counts

    def read(self, key: bytes | None, value: bytes | None, offset: int, at_ms: int = 0) -> None:
        """Takes one record in, which the broker appended `at_ms`. One that cannot be understood is logged, counted in
        `unreadable` and otherwise left out."""
        self.at_ms = at_ms
        try:
            kind, _, name = (key or b"").decode().partition("/")
            if take := _TAKERS.get(kind):
                take(self, name, value, offset)
            elif not name:
                raise ValueError("the key has no kind")
        except UNREADABLE as error:
            self.unreadable.skip(0, offset, error, key=repr(key)[:200])
        self.position = offset + 1

    @property
    def revision(self) -> str:
        """The revision of the engine that runs are to start with: the one that was enabled last."""
        return str(self.engine.get("revision", {}).get("revision", REVISION))

    @property
    def generations(self) -> tuple[int, ...]:
        """How many partitions each generation has, oldest first; empty while there is only the first."""
        return tuple(self.engine.get("generations", {}).get("partitions", []))

    @property
    def environment(self) -> str:
        """The name of the environment, as it was fixed with the topics."""
        return str(self.engine.get("environment", {}).get("environment", DEFAULT_ENVIRONMENT))

    def refusal(self, name: str, version: str) -> Refusal | None:
        """Why a published version does not count, where approvals are required; None: it counts."""
        if self.trust is None:
            return None
        record = self.versions[name, version]
        return self.trust.refusal(record.approval, name=name, version=version, sha256=record.sha)

    def is_approved(self, sha: str) -> bool:
        """Whether a content counts: always where approvals are not required, else if a version with it does."""
        if self.trust is None:
            return True
        found = [name for name, record in self.versions.items() if record.sha == sha]
        return any(self.refusal(*name) is None for name in found)

    def catalog(self) -> Catalog:
        """The published events by name, each with the topics that it is bound to (none without a binding)."""
        entries = (EventSpec.model_validate(entry) for _, entry in sorted(self.events.items()))
        return Catalog(events=list(entries)).bound(self.bindings)

    def read_version(self, name: str, version: str) -> tuple[Definition, Catalog]:
        """What a published version consists of. Raises OperationError (`version_unreadable`) when its content is
        missing, or cannot be read."""
        return self.read_content(self.versions[name, version].sha, f"{name}@{version}")

    def read_content(self, sha: str, reference: str) -> tuple[Definition, Catalog]:
        """The same by the content's sha256; `reference` is what messages call it."""
        content = self.contents.get(sha)
        try:
            if content is None:
                raise LookupError("its content is not in the topic")
            return read_content(content[0])
        except UNREADABLE as error:
            raise OperationError(
                "version_unreadable",
                f"The content of {reference} cannot be read ({type(error).__name__}: {str(error)[:200]}). Publish a "
                "new version, and retire this one.",
                retryable=False,
                sha=sha,
            ) from error

    def served(self) -> Iterator[Served]:
        """The versions that are not retired and count, in the order of names and versions. One that cannot be read is
        skipped: it concerns only itself."""
        for (name, version), record in sorted(self.versions.items()):
            if record.retired or self.refusal(name, version) is not None:
                continue
            try:
                definition, catalog = self.read_version(name, version)
            except OperationError as error:
                _log.warning("version_unreadable", definition=name, version=version, error=error.message)
                continue
            yield Served(name, version, record, definition, catalog)

    def newest(self, name: str, *, without: str | None = None, before: str | None = None) -> str | None:
        """The version of `name` published last among those that count and are not retired, `without` one, and only of
        those that were published `before` one: None if none is left."""
        # by time first: a record is written again when the version is approved later
        published = {
            version: (record.published_ms, record.offset, version)
            for (named, version), record in self.versions.items()
            if named == name and version != without
        }
        left = [
            published[version]
            for version in published
            if not self.versions[name, version].retired
            and self.refusal(name, version) is None
            and (before not in published or published[version] < published[before])
        ]
        return max(left)[-1] if left else None


Taker = Callable[[Snapshot, str, bytes | None, int], None]


def _take_content(log: Snapshot, sha: str, value: bytes | None, offset: int) -> None:
    if value is None:
        log.contents.pop(sha, None)
    elif hashlib.sha256(value).hexdigest() != sha:
        raise ValueError("the content is not what its key says")
    else:
        log.contents[sha] = (value, offset)


def _take_version(log: Snapshot, reference: str, value: bytes | None, offset: int) -> None:
    name, at, version = reference.partition("@")
    if not (name and at and version):
        raise ValueError("the key is not name@version")
    if value is None:
        log.versions.pop((name, version), None)
    else:
        record = msgspec.json.decode(value, type=_Version)
        log.versions[name, version] = VersionRecord(
            sha=record.sha,
            retired=record.retired,
            published_ms=record.published_ms or log.at_ms,
            offset=offset,
            approval=record.approval,
        )


def _take_scenarios(log: Snapshot, reference: str, value: bytes | None, _offset: int) -> None:
    name, at, version = reference.partition("@")
    if not (name and at and version):
        raise ValueError("the key is not name@version")
    if value is None:
        log.scenarios.pop((name, version), None)
    else:
        log.scenarios[name, version] = value.decode()


def _take_approval(log: Snapshot, sha: str, value: bytes | None, _offset: int) -> None:
    if value is None:
        log.approvals.pop(sha, None)
    else:
        log.approvals[sha] = msgspec.json.decode(value, type=Approved)


def _take_name(log: Snapshot, name: str, value: bytes | None, _offset: int) -> None:
    if value is None:
        log.names.pop(name, None)
    else:
        record = msgspec.json.decode(value, type=_Name)
        log.names[name] = NameRecord(record.version, record.sha)


def _take_binding(log: Snapshot, name: str, value: bytes | None, _offset: int) -> None:
    if value is None:
        log.bindings.pop(name, None)
    else:
        binding = Binding.model_validate_json(value)
        log.bindings[name] = binding.model_copy(update={"bound_ms": binding.bound_ms or log.at_ms})


def _take_event(log: Snapshot, name: str, value: bytes | None, _offset: int) -> None:
    if value is None:
        log.events.pop(name, None)
    else:
        entry = msgspec.json.decode(value, type=dict[str, Any])
        EventSpec.model_validate(entry)
        log.events[name] = entry


def _take_json(entries: Callable[[Snapshot], dict[str, dict[str, Any]]]) -> Taker:
    def take(log: Snapshot, name: str, value: bytes | None, _offset: int) -> None:
        if value is None:
            entries(log).pop(name, None)
        else:
            entries(log)[name] = msgspec.json.decode(value, type=dict[str, Any])

    return take


class _Revision(msgspec.Struct):
    revision: str


class _Environment(msgspec.Struct):
    environment: str


class _Generations(msgspec.Struct):
    partitions: list[Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]]


# what is read of the engine's records; another one is kept as it is
_ENGINE_FORMS: dict[str, Any] = {
    "revision": _Revision,
    "environment": _Environment,
    "limits": dict[str, int],
    "generations": _Generations,
}


def _take_engine(log: Snapshot, name: str, value: bytes | None, _offset: int) -> None:
    kind, _, place = name.partition("/")
    if kind == "skip":
        partition, _, offset = place.partition("/")
        skips = log.skips.setdefault(int(partition), {})
        if value is None:
            skips.pop(int(offset), None)
        else:
            skips[int(offset)] = msgspec.json.decode(value, type=Skip)
    elif value is None:
        log.engine.pop(name, None)
    else:
        msgspec.json.decode(value, type=_ENGINE_FORMS.get(name, Any))
        log.engine[name] = msgspec.json.decode(value, type=dict[str, Any])


_TAKERS: dict[str, Taker] = {
    "definition": _take_content,
    "version": _take_version,
    "name": _take_name,
    "scenarios": _take_scenarios,
    "approval": _take_approval,
    "event": _take_event,
    "binding": _take_binding,
    "operation": _take_json(lambda log: log.operations),
    "serving": _take_json(lambda log: log.serving),
    "engine": _take_engine,
}
