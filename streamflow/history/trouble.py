"""What `unclaimed` and `dead-letters` say, as trouble for operators and as outcomes of events. Pure."""

from __future__ import annotations

from streamflow.engine.builder import NAME_BYTES
from streamflow.engine.commands import Deliver, StartRun
from streamflow.engine.effects import Unclaimed
from streamflow.history.notices import notice_of_trouble
from streamflow.history.projection import Changes
from streamflow.history.rows import EventFate, TroubleKind, TroubleRow
from streamflow.wire.codec import DecodeError, decode_command
from streamflow.wire.dead_letter import ENGINE, facts_of, original_of
from streamflow.wire.decoding import Record
from streamflow.wire.settlement import decode_settlement, is_settlement
from streamflow.wire.unclaimed import decode_unclaimed

_TEXT_CHARS = 500  # of a message, and of a name that no event or command may have: a letter may be there because of it
_ERASED = "erased"


def project_unclaimed(record: Record, changes: Changes) -> None:
    """Note an event that no run took. Raises what `wire.unreadable.UNREADABLE` lists."""
    event = decode_unclaimed(record.value or b"", record.headers)
    if event.outcome == _ERASED:
        return  # nothing may be kept of it
    place = f"commands/{record.partition}/{event.offset}"
    changes.note_trouble(
        TroubleRow(
            id=f"unclaimed/{record.partition}/{event.offset}",
            kind=_kind(event),
            definition=event.definition,
            key=_short(event.key),
            event=event.event,
            event_id=_short(event.id),
            source=_short(event.source),
            run=event.run or "",
            step=event.step or "",
            code=event.reason,
            message="",
            at_ms=event.ended_ms,
            place=place,
        )
    )
    changes.fates.append(
        EventFate(
            event_id=_short(event.id),
            source=_short(event.source),
            event=event.event,
            definition=event.definition,
            key=_short(event.key),
            outcome=event.outcome,
            reason=event.reason,
            run=event.run or "",
            step=event.step or "",
            at_ms=event.ended_ms,
            place=place,
        )
    )


def _kind(event: Unclaimed) -> TroubleKind:
    if event.reason.partition(":")[0] == "late":
        return "late"
    return "expired" if event.outcome == "expired" else "unclaimed"


def project_letter(record: Record, changes: Changes) -> None:
    """Note a dead letter, or the settlement of one. Raises ValueError for a record that is neither."""
    if is_settlement(record):
        settlement = decode_settlement(record)
        if settlement is None:
            raise ValueError("the settlement cannot be read")
        changes.settle(settlement.letter)
        return
    facts = facts_of(record)
    id_, reason = facts.get("id"), facts.get("reason")
    if id_ is None or reason is None:
        raise ValueError("it does not say why it is a dead letter")
    named = _named(record, facts)
    place = f"dead-letters/{record.partition}/{record.offset}"
    row = TroubleRow(
        id=id_,
        kind="rejected" if reason == "rejected" else "overflow" if reason == "overflow" else "dead_letter",
        definition=_short(facts.get("definition", "")) or named.definition,
        key=named.key,
        event=_short(facts.get("event", "")) or named.event,
        event_id=named.event_id,
        source=named.source,
        run=_short(facts.get("run", "")),
        step=_short(facts.get("step", "")),
        code=_short(facts.get("code", "") or reason),
        message=facts.get("message", "")[:_TEXT_CHARS],
        at_ms=record.timestamp_ms,
        place=place,
    )
    changes.note_trouble(row)
    if (notice := notice_of_trouble(row)) is not None:
        changes.notices.append(notice)
    if named.event_id:
        changes.fates.append(
            EventFate(
                event_id=row.event_id,
                source=row.source,
                event=row.event,
                definition=row.definition,
                key=row.key,
                outcome="rejected" if row.kind == "rejected" else "dead_letter",
                reason=row.code,
                run=row.run,
                step=row.step,
                at_ms=row.at_ms,
                place=place,
            )
        )


def _named(letter: Record, facts: dict[str, str]) -> EventFate:
    """What the original of a letter says of its event: the command that the engine refused, or the headers of a source
    record. An event without an id is known by the place of its record."""
    original = original_of(letter)
    if facts.get("stage") == ENGINE:
        try:
            command = decode_command(original.value or b"") if original is not None else None
        except DecodeError:
            command = None
        if isinstance(command, Deliver | StartRun):
            event = command.event
            return _fate(event.id, event.source, event.name, command.definition, command.key)
        return _fate("", "", "", "", "")
    headers = dict(original.headers) if original is not None else {}
    id_ = _text(headers.get("ce_id")) or facts.get("id", "").rpartition("/")[0]
    if facts.get("stage") != "ingress":
        id_ = _text(headers.get("ce_id"))
    return _fate(id_, _text(headers.get("ce_source")), "", "", _text(letter.key))


def _fate(id_: str, source: str, event: str, definition: str, key: str) -> EventFate:
    return EventFate(
        event_id=_short(id_),
        source=_short(source),
        event=_short(event),
        definition=_short(definition),
        key=_short(key),
        outcome="",
        at_ms=0,
    )


def _short(name: str) -> str:
    """`name` if an event or a command may have it, else its beginning, which any index can take."""
    return name if len(name) <= _TEXT_CHARS or len(name.encode()) <= NAME_BYTES else name[:_TEXT_CHARS]


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
