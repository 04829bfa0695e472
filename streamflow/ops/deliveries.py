"""How deliveries of events have ended, counted: the tallies in the changelog `state`, read as a stranger does."""

from __future__ import annotations

from collections import Counter

import msgspec

from streamflow.kafka.topics import STATE, topic_name
from streamflow.ops.topic_reader import Progress, Reading
from streamflow.settings import Settings

_PREFIX = b"tally/"
_decoder = msgspec.json.Decoder(dict[str, int])

Counts = dict[str, Counter[str]]


def read_deliveries(settings: Settings, progress: Progress | None = None) -> Counts:
    """For each definition how many deliveries there were and how they ended, since the topics were made: by
    `<event>/delivered`, and by `<event>/<outcome>`, with `/<reason>` where there is one. As of the last checkpoints;
    the whole changelog is read.

    Raises OperationError."""
    newest: dict[tuple[int, str], bytes | None] = {}
    with Reading(settings, topic_name(settings, STATE)) as reading:
        for record in reading.to_end(progress):
            if record.key is not None and record.key.startswith(_PREFIX):
                newest[record.partition, record.key.removeprefix(_PREFIX).decode()] = record.value
    found: Counts = {}
    for (_, definition), value in sorted(newest.items()):
        if value is not None:
            found.setdefault(definition, Counter()).update(_decoder.decode(value))
    return found
