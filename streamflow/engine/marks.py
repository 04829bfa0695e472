"""What has been applied of the users' topics, so that no source record is applied twice; and how long names may be."""

from __future__ import annotations

from collections.abc import Iterable

from streamflow.engine import commands as c
from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.outcome import Refused
from streamflow.engine.state import SourceMark, mark_key


def refuse_known_origin(builder: DecisionBuilder, origin: c.Origin | None) -> None:
    """Raise Refused if this source record has been applied."""
    mark: SourceMark | None = builder.get(mark_key(origin.topic_id, origin.partition)) if origin else None
    if origin is None or mark is None:
        return
    if origin.offset < mark.committed:
        raise Refused("duplicate", "source_committed")
    if mark.applied and origin.offset <= mark.applied[-1][0] and (origin.offset, origin.tag) in mark.applied:
        raise Refused("duplicate", "source_applied")


def refuse_long_names(builder: DecisionBuilder, command: c.StartRun | c.DeliverEvent) -> None:
    """Keys and ids of events are in many records, so their share of a record's size is kept small."""
    _refuse_long(builder, (("key", command.key), ("event id", command.event.id)))


def refuse_long_labels(builder: DecisionBuilder, command: c.Command) -> None:
    """What names a command, and what it names, is in every transition that comes of it and in what refuses it."""
    found = (("command id", command.id), *((name, getattr(command, name, None)) for name in ("address", "by", "trace")))
    _refuse_long(builder, ((name, text) for name, text in found if text))


def _refuse_long(builder: DecisionBuilder, names: Iterable[tuple[str, str]]) -> None:
    limit = builder.limits.name_bytes
    for name, text in names:
        if len(text) * 4 > limit and len(text.encode()) > limit:
            raise Refused(
                "dead",
                "name_too_long",
                f"expected the {name} in at most {limit} bytes but it has more; send a shorter one",
            )


def mark(builder: DecisionBuilder, origin: c.Origin) -> None:
    """Remember that this source record's command has been decided, and forget what the committed offset covers."""
    key = mark_key(origin.topic_id, origin.partition)
    mark: SourceMark = builder.view.get(key) or SourceMark(0, ())
    committed, applied = mark.committed, mark.applied
    if origin.committed > committed:
        committed = origin.committed
        applied = tuple(pair for pair in applied if pair[0] >= committed)
    if origin.offset >= committed:
        pair = (origin.offset, origin.tag)
        if not applied or pair[0] > applied[-1][0]:
            applied = (*applied, pair)
        elif pair not in applied:
            applied = tuple(sorted((*applied, pair)))
    if committed != mark.committed or applied is not mark.applied:
        builder.put(key, SourceMark(committed, applied))
