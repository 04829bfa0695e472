"""Shadow replay of a range of the topics: which runs another content would have started by the events that came then,
and how they would have ended. Nothing is called, emitted or written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import child_names
from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSucceeded, CallRequested
from streamflow.engine.transitions import ApprovalGiven, RunStarted, Transition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.history import open_runs, transitions
from streamflow.ops.publishing import topics_of
from streamflow.ops.scenarios import published_children
from streamflow.ops.shadow import Pair, Row, Shadow, published_pair
from streamflow.ops.topic_reader import Reading
from streamflow.registry.readers import schema_readers
from streamflow.settings import Settings
from streamflow.wire.decoding import Record

if TYPE_CHECKING:
    from streamflow.simulation.shadow import Replayed
    from streamflow.simulation.shadow_range import RecordedRange, Started

MOST_RECORDS = 2000
_OF_USE = (ApprovalGiven, AttemptFailed, AttemptSucceeded, CallRequested, RunStarted)


def read_range(settings: Settings, log: Snapshot, pair: Pair, from_ms: int, to_ms: int) -> RecordedRange:
    """What came between these times (epoch milliseconds, `to_ms` exclusive) in the topics of the events that `pair` or
    the published version names, and what was decided and answered from then on.

    Raises Rejected (`range_invalid`, `version_unknown`) and OperationError."""
    topics = topics_of_both(log, pair)
    schemas = schema_readers(settings)
    records: list[Record] = []
    for topic in sorted(topics):
        with Reading(settings, topic, since_ms=from_ms) as reading:
            for record in reading.to_end():
                if from_ms <= record.timestamp_ms < to_ms:
                    records.append(record if schemas is None else schemas.as_json(record))
                require_few(records)
    names = {pair[0].name, *(name for name, _ in child_names(pair[0]))}
    with open_runs(settings) as reading:
        kept = [one for one in transitions(reading.to_end(None)) if one.definition in names and one.at_ms >= from_ms]
    return range_of(records, kept)


def topics_of_both(log: Snapshot, pair: Pair) -> set[str]:
    """The topics of the events that `pair` or the published version names. Raises as `published_pair`."""
    published = _bound(log, published_pair(log, pair[0].name)[1], pair[1])
    return topics_of(*published) | topics_of(*_bound(log, pair, pair[1]))


def _bound(log: Snapshot, pair: Pair, handed: Catalog) -> Pair:
    """The pair with the topics of its events: a published content has none of its own. Those that are `handed` in come
    before those of the environment."""
    definition, catalog = pair
    events = []
    for spec in catalog.events:
        own = handed.event(spec.name)
        topics = own.topics if own is not None and own.topics else None
        binding = log.bindings.get(spec.name)
        events.append(spec.model_copy(update={"topics": topics}) if topics is not None else spec.bound(binding))
    return definition, catalog.model_copy(update={"events": events})


def require_few(records: Collection[Record]) -> None:
    """Raises Rejected (`range_invalid`) if there are too many."""
    if len(records) > MOST_RECORDS:
        raise Rejected(
            "range_invalid",
            f"More than {MOST_RECORDS} records arrived in this period, which is the limit. Choose a shorter period.",
        )


def range_of(records: Sequence[Record], found: Sequence[Transition]) -> RecordedRange:
    """The range with these records and transitions, in order, each transition once."""
    from streamflow.simulation.shadow_range import RecordedRange  # with all of the engine: only for those who need it

    kept = {(one.run, one.seq): one for one in found if isinstance(one.data, _OF_USE)}
    ordered = sorted(kept.values(), key=lambda one: (one.at_ms, one.run, one.seq))
    return RecordedRange(sorted(records, key=lambda one: one.timestamp_ms), ordered)


def shadow_range(log: Snapshot, recorded: RecordedRange, pair: Pair) -> Shadow:
    """Plays a range through the version that starts use, and through `pair`. A row is a run that one of both starts;
    its `run` is the real one, where there was one.

    Raises Rejected (`version_unknown`) if no version is published, OperationError (`version_unreadable`)."""
    from streamflow.simulation.shadow_range import paired, replay_range

    against, published = published_pair(log, pair[0].name)
    replays = []
    for one in (published, pair):
        children = [_bound(log, child, pair[1]) for child in published_children(log, one[0])]
        replays.append(replay_range(recorded, _bound(log, one, pair[1]), children))
    runs = _real_runs(recorded, pair[0].name)
    rows = tuple(_row(one, other, runs) for one, other in paired(*replays))
    return Shadow(pair[0].name, against, rows)


def _real_runs(recorded: RecordedRange, name: str) -> dict[tuple[str, int], str]:
    """The ids of the real runs, by key and number among the runs of that key."""
    found: dict[tuple[str, int], str] = {}
    count: dict[str, int] = {}
    for one in recorded.transitions:
        if one.definition == name and isinstance(one.data, RunStarted):
            count[one.key] = count.get(one.key, 0) + 1
            found[one.key, count[one.key]] = one.run
    return found


def _row(one: Started | None, other: Started | None, runs: dict[tuple[str, int], str]) -> Row:
    from streamflow.simulation.shadow import compare, outcome_of

    some = one or other
    assert some is not None
    known: dict[str, Any] = {
        "run": runs.get((some.key, some.nth), ""),
        "key": some.key,
        "started_ms": some.at_ms,
    }
    before: Replayed = one.outcome if one is not None else outcome_of([], ())
    after: Replayed = other.outcome if other is not None else outcome_of([], ())
    known |= {"before": before.facts(), "after": after.facts()}
    if unanswered := dict.fromkeys([*before.unanswered, *after.unanswered]):
        return Row(**known, result="incomparable", why=f"no answer of {', '.join(unanswered)} was recorded")
    found = compare(before, after)
    return Row(**known, result="different" if found.what else "same", what=found.what, first=found.first)
