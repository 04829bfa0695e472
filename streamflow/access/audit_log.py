"""The chain of the audit, read from its topic."""

from __future__ import annotations

from collections.abc import Callable

from streamflow.access.audit import Entry, decode_entry, is_entry
from streamflow.kafka.exclusive_log import LogReader
from streamflow.kafka.topics import AUDIT, topic_name
from streamflow.settings import Settings
from streamflow.wire.unreadable import UNREADABLE, Unreadable


def read_entries(
    settings: Settings, unreadable: Unreadable, fits: Callable[[Entry], bool] = lambda _entry: True
) -> list[Entry]:
    """The entries that are kept and that `fits` is true of, in order. Records that are no entries, such as accounts of
    erasures, are passed over; one that says it is an entry and cannot be read is counted in `unreadable`.

    Raises OperationError."""
    reader = LogReader(settings, topic_name(settings, AUDIT), role="audit")
    found = []
    try:
        for record in reader.to_end():
            if not is_entry(record):
                continue
            try:
                entry = decode_entry(record.value or b"")
            except UNREADABLE as error:
                unreadable.skip(record.partition, record.offset, error)
                continue
            if fits(entry):
                found.append(entry)
    finally:
        reader.close()
    return found
