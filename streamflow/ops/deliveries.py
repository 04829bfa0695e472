"""How deliveries of events have ended, counted: the tallies in the changelog `state`, read as a stranger does."""

from __future__ import annotations

from collections import Counter

import msgspec

from streamflow.kafka.topics import STATE, topic_name
from streamflow.ops.topic_reader import Progress, Reading
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from streamflow.wire.unreadable import UNREADABLE, Unreadable

_PREFIX = b"tally/"
_decoder = msgspec.json.Decoder(dict[str, int])

Counts = dict[str, Counter[str]]


def read_deliveries(
    settings: Settings, progress: Progress | None = None, unreadable: Unreadable | None = None
) -> Counts:
    """For each definition how many deliveries there were and how they ended, since the topics were made: by
    `<event>/delivered`, and by `<event>/<outcome>`, with `/<reason>` where there is one. As of the last checkpoints;
    the whole changelog is read. A tally that cannot be read is skipped, and counted in `unreadable`.

    Raises OperationError."""
    newest: dict[tuple[int, bytes], Record] = {}
    with Reading(settings, topic_name(settings, STATE)) as reading:
        for record in reading.to_end(progress):
            if record.key is not None and record.key.startswith(_PREFIX):
                newest[record.partition, record.key] = record
    found: Counts = {}
    skipped = unreadable or Unreadable(STATE)
    for (_, key), record in sorted(newest.items()):
        if record.value is None:
            continue
        try:
            definition, tally = key.removeprefix(_PREFIX).decode(), _decoder.decode(record.value)
            if not all("/" in place for place in tally):
                raise ValueError("it counts no outcomes of events")
        except UNREADABLE as error:
            skipped.skip(record.partition, record.offset, error)
        else:
            found.setdefault(definition, Counter()).update(tally)
    return found
