"""How a cut of the state is laid out in the changelog, so that a restore sees whether it is whole (law one-cut).

A checkpoint writes its cut in batches, and a Kafka client may commit a transaction of which the broker refused a batch
(aiokafka does). So each batch begins with a mark that carries the cut's number, and the last one ends with a mark that
carries the number and how many batches there are. Compaction keeps the newest of each mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamflow.engine.overlay import META, Store
from streamflow.errors import EngineFault

CUT = f"{META}cut/"  # the host's own, not part of the state
CUT_END = f"{CUT}end"
RECORD_OVERHEAD = 40  # bytes of a record beside its key and value, generously

Batch = list[tuple[str, bytes | None]]


def batches_of(cut: Mapping[str, bytes | None], number: int, batch_bytes: int) -> Iterator[Batch]:
    """The records of cut `number` in their order, with its marks, in batches of about `batch_bytes`. A record that is
    larger than that is in a batch by itself, but for its mark."""
    count, size = 0, 0
    batch: Batch = [(_mark(0), b"%d" % number)]
    for key, value in cut.items():
        record_bytes = len(key) + len(value or b"") + RECORD_OVERHEAD
        if len(batch) > 1 and size + record_bytes > batch_bytes:
            yield batch
            count, size = count + 1, 0
            batch = [(_mark(count), b"%d" % number)]
        batch.append((key, value))
        size += record_bytes
    batch.append((CUT_END, b"%d %d" % (number, count + 1)))
    yield batch


def whole_cut(store: Store) -> int:
    """The number of the last cut in a restored store, 0 when there is none yet.

    Raises EngineFault if some of its batches are missing: the state would be half of one checkpoint."""
    marks = dict(store.scan(CUT))
    end = marks.pop(CUT_END, None)
    if end is None:
        if marks:
            raise _torn("it has a beginning and no end")
        return 0
    number, count = (int(part) for part in end.split())
    for batch in range(count):
        mark = marks.get(_mark(batch))
        if mark is None or int(mark) != number:
            raise _torn(f"batch {batch + 1} of {count} of cut {number} is missing")
    newest = max(int(mark) for mark in marks.values())
    if newest != number:
        raise _torn(f"cut {newest} has a beginning and no end")
    return number


def _mark(batch: int) -> str:
    return f"{CUT}{batch}"


def _torn(found: str) -> EngineFault:
    return EngineFault(
        "changelog_torn",
        f"The last checkpoint in the changelog is incomplete: {found}. The partition stays closed, because its state "
        "would mix two checkpoints. Restore the topic `state` from a backup, or delete it with the local stores to "
        "rebuild the state from `commands`.",
    )
