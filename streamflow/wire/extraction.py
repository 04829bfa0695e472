"""A user's record to the catalog's events: which of them it is, and its id, time, key and payload.

Everything is chosen once, when definitions change: a `TopicReader` has the events of one topic in dictionaries by the
value that distinguishes them, and each event's locations as closures. `TopicReader.read` is the inner loop of ingress:
a record that is none of the events costs one JSON pass and a look-up for each distinct place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from streamflow.definition.catalog import EventSpec
from streamflow.definition.plan import Compiled, ExpressionError, NoFields
from streamflow.definition.schema_faults import schema_faults
from streamflow.definition.validation import compiled
from streamflow.engine.commands import Event
from streamflow.engine.trace import Trace
from streamflow.errors import with_remedy
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Decoded, Record
from streamflow.wire.event_time import epoch_ms
from streamflow.wire.frame import Unframe
from streamflow.wire.locations import Get, as_whole, at_header, at_path, constant_text, located, record_key, scalar_text

CompileExpression = Callable[[str], Compiled]


class Occurrence(NamedTuple):
    """A record that is the event `spec` (an index into the specs the reader was made of). `key` is None when the record
    has none. Of an event in a batch, `part` is its place in it and `envelope` the event itself."""

    spec: int
    event: Event
    key: str | None
    trace: Trace | None
    part: int | None = None
    envelope: Any = None
    correlation_id: str = ""


class Refusal(NamedTuple):
    """Why a record gives nothing for one event (`event` empty: for any), as a dead letter says it. No payload in
    `message`. `spec` is the event's index, None when any event of the topic is meant; `part` and `envelope` as of an
    Occurrence."""

    reason: str
    message: str
    event: str = ""
    definition: str = ""
    version: str = ""
    trigger: str = ""
    spec: int | None = None
    part: int | None = None
    envelope: Any = None


class TopicReader:
    """Reads the records of one topic. `specs` are (index, spec) of the events that may be in it, `attributed` the
    indexes of those that are to carry the attributes of a CloudEvent. `unframe` reads values in the frame of a schema
    registry.

    Raises ValueError when a schema or an expression of a spec cannot be compiled."""

    def __init__(
        self,
        specs: Iterable[tuple[int, EventSpec]],
        compile_expression: CompileExpression,
        attributed: frozenset[int] = frozenset(),
        unframe: Unframe | None = None,
    ) -> None:
        self._unframe = unframe
        self._by_type: dict[str, list[_Rule]] = {}
        self._by_header: dict[str, dict[bytes, list[_Rule]]] = {}
        self._by_path: dict[str, tuple[Get, dict[tuple[type, Any], list[_Rule]]]] = {}
        self._others: list[_Rule] = []
        specs = tuple(specs)
        self.indexes = frozenset(index for index, _ in specs)
        for index, spec in specs:
            self._add(_Rule(index, spec, compile_expression, is_attributed=index in attributed), spec)
        self._paths = tuple(self._by_path.values())
        self._needs_data = bool(self._paths or self._others)

    def _add(self, rule: _Rule, spec: EventSpec) -> None:
        match = spec.match
        if match is None or match.type is not None:
            self._by_type.setdefault(spec.name if match is None or match.type is None else match.type, []).append(rule)
        elif match.header is not None and match.equals is not None:
            wanted = constant_text(match.equals).encode()
            self._by_header.setdefault(match.header, {}).setdefault(wanted, []).append(rule)
        elif match.path is not None and match.equals is not None:
            _, values = self._by_path.setdefault(match.path, (at_path(match.path), {}))
            values.setdefault((type(match.equals), match.equals), []).append(rule)
        else:
            self._others.append(rule)

    def read(self, record: Record, topic_id: str) -> tuple[list[Occurrence], list[Refusal]]:
        """What `record` is: nothing at all when no event of the topic is in it. Never raises for what a record
        holds."""
        try:
            decoded = Decoded(record, unframe=self._unframe)
        except DecodeError as error:
            return [], [Refusal(error.code, error.message)]
        return self._events(decoded, topic_id) if decoded.batch is None else self._parts(decoded, topic_id)

    def _parts(self, whole: Decoded, topic_id: str) -> tuple[list[Occurrence], list[Refusal]]:
        """The events of a batch, each with its own outcome."""
        occurrences: list[Occurrence] = []
        refusals: list[Refusal] = []
        for number, envelope in enumerate(whole.batch or ()):
            try:
                found, refused = self._events(Decoded(whole.record, envelope, self._unframe), topic_id)
            except DecodeError as error:
                found, refused = [], [Refusal(error.code, error.message)]
            occurrences += [one._replace(part=number, envelope=envelope) for one in found]
            refusals += [one._replace(part=number, envelope=envelope) for one in refused]
        return occurrences, refusals

    def _events(self, decoded: Decoded, topic_id: str) -> tuple[list[Occurrence], list[Refusal]]:
        occurrences: list[Occurrence] = []
        refusals: list[Refusal] = []
        try:
            rules = self._candidates(decoded)
        except DecodeError as error:
            return occurrences, [Refusal(error.code, error.message)]
        for rule in rules:
            try:
                if rule.matches(decoded):
                    occurrences.append(rule.occurrence(decoded, topic_id))
            except DecodeError as error:
                refusals.append(Refusal(error.code, error.message, rule.name, spec=rule.spec))
        return occurrences, refusals

    def specs(self, record: Record) -> frozenset[int]:
        """Which events `record` may be, by what distinguishes them alone: its schema, id, time and key may be wrong.
        All of the topic when it cannot be read, or is a batch. Never raises for what a record holds."""
        try:
            decoded = Decoded(record, unframe=self._unframe)
            if decoded.batch is not None:
                return self.indexes
            return frozenset(rule.spec for rule in self._candidates(decoded) if rule.matches(decoded))
        except DecodeError:
            return self.indexes

    def _candidates(self, decoded: Decoded) -> Sequence[_Rule]:
        rules: list[_Rule] = []
        if decoded.fault is not None and (decoded.attributes.type is None or self._others):
            raise decoded.fault  # it may be any of the events
        if self._by_type and decoded.attributes.type is not None:
            rules += self._by_type.get(decoded.attributes.type, ())
        for header, values in self._by_header.items():
            if (found := decoded.headers.get(header)) is not None:
                rules += values.get(found, ())
        if self._needs_data and decoded.record.value is not None:
            try:
                decoded.data  # noqa: B018  bytes that cannot be read may be any of the events, so this raises
            except DecodeError:
                # unless they say what they are: a CloudEvent of a type that is none of the topic's events
                if decoded.attributes.type is not None and not self._others:
                    return rules
                raise
            for get, by_value in self._paths:
                value = as_whole(get(decoded))
                if value.__class__ in _SCALARS:
                    rules += by_value.get((value.__class__, value), ())
            rules += self._others
        return rules


_SCALARS = frozenset({str, int, bool})


class _Rule:
    """One event of the catalog, compiled."""

    __slots__ = ("_checks", "_id", "_is_attributed", "_key", "_source", "_spec", "_time", "_unit", "_validator", "name")

    def __init__(
        self, index: int, spec: EventSpec, compile_expression: CompileExpression, *, is_attributed: bool
    ) -> None:
        self.name = spec.name
        self._is_attributed = is_attributed
        self._spec = index
        self._checks = _checks(spec, compile_expression)
        self._id = located(spec.id) if spec.id else None
        self._time = located(spec.time) if spec.time else None
        self._unit = spec.time.unit if spec.time else None
        self._source = spec.source or ""
        self._key = located(spec.key) if spec.key else record_key
        self._validator = compiled(spec.schema_, masked=True) if spec.schema_ else None

    @property
    def spec(self) -> int:
        """The event's index."""
        return self._spec

    def matches(self, decoded: Decoded) -> bool:
        return all(check(decoded) for check in self._checks)

    def occurrence(self, decoded: Decoded, topic_id: str) -> Occurrence:
        record, attributes = decoded.record, decoded.attributes
        data = decoded.data
        if self._validator is not None:
            self._validate(data)
        id_: str | None
        if self._id is not None:
            id_ = scalar_text(self._id(decoded))
            if not id_:
                raise DecodeError(
                    "missing_id",
                    "expected the event's id where the catalog says but found none. Correct the record or the catalog.",
                )
        else:
            id_ = attributes.id
        source = attributes.source or self._source
        if not id_:  # the record's own place: read again it is the same event, sent again it is another
            id_, source = f"{topic_id}/{record.partition}/{record.offset}", ""
        time_ms = record.timestamp_ms
        if self._time is not None or attributes.time is not None:
            time_ms = epoch_ms(attributes.time) if self._time is None else epoch_ms(self._time(decoded), self._unit)
        event = Event(
            name=self.name,
            id=id_,
            time_ms=time_ms,
            data=data,
            limit_time_ms=self._limit_time_ms(record, time_ms),
            source=source,
            attributes=decoded.cloudevent if self._is_attributed else {},
        )
        return Occurrence(
            self._spec,
            event,
            scalar_text(self._key(decoded)) or None,
            attributes.trace,
            correlation_id=attributes.correlation_id,
        )

    def _limit_time_ms(self, record: Record, time_ms: int) -> int:
        """What limits of waits compare: the time that the catalog names, else the arrival at the broker. A producer's
        clock that is ahead makes nothing late: an event has happened when it arrives."""
        if self._time is None:
            return record.timestamp_ms if record.log_append else 0
        return min(time_ms, record.timestamp_ms) if record.log_append else time_ms

    def _validate(self, data: Any) -> None:
        assert self._validator is not None
        try:
            wrong = schema_faults(self._validator, data)
        except (ValueError, TypeError, RecursionError):  # data that the validator's own types cannot hold
            wrong = "it holds a value that cannot be checked"
        if wrong:
            problem = f"expected a payload that satisfies the event's schema but {wrong}"
            raise DecodeError("schema_mismatch", with_remedy(problem, "correct the record or the schema"))


def _checks(spec: EventSpec, compile_expression: CompileExpression) -> tuple[Callable[[Decoded], bool], ...]:
    """What must hold beside the look-up that found the rule; everything for a rule that no look-up finds."""
    match = spec.match
    if match is None:
        return ()
    checks: list[Callable[[Decoded], bool]] = []
    if match.header is not None:
        checks.append(_equals(at_header(match.header), None if match.equals is None else constant_text(match.equals)))
    if match.path is not None:
        checks.append(_equals(at_path(match.path), match.equals))
    if match.expr is not None:
        checks.append(_holds(compile_expression(match.expr)))
    indexed = match.type is None and match.equals is not None and (match.header is not None or match.path is not None)
    return tuple(checks[1:] if indexed else checks)


def _equals(get: Get, wanted: str | int | bool | None) -> Callable[[Decoded], bool]:
    if wanted is None:
        return lambda decoded: get(decoded) is not None

    def check(decoded: Decoded) -> bool:
        value = as_whole(get(decoded))
        return value.__class__ is wanted.__class__ and bool(value == wanted)  # True is not 1 here

    return check


def _holds(expression: Compiled) -> Callable[[Decoded], bool]:
    reads_attributes = "cloudevent" in expression.names

    def check(decoded: Decoded) -> bool:
        try:
            attributes = {"cloudevent": decoded.cloudevent} if reads_attributes else {}
            return expression.holds({"event": decoded.data, **attributes})
        except ExpressionError as error:
            # another event of the topic, in another form
            if error.code == "missing_field" or isinstance(error, NoFields):
                return False
            problem = f"expected the catalog's match expression to give true or false but it failed ({error.code})"
            raise DecodeError("expression_failed", with_remedy(problem, "correct it")) from error

    return check
