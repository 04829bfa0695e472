"""The records of a changelog as a restore takes them (law one-cut).

Anyone who has the right to write may have written there. A record that cannot be read is not passed over as in other
topics: a state without it would mix two checkpoints, and the decisions on it would differ from those that were sent.
The last record of each key is the one that is taken, so a tombstone removes a record that another program wrote.
"""

from __future__ import annotations

from streamflow.engine.overlay import META, decode_record
from streamflow.engine.state import KINDS, OWN
from streamflow.errors import EngineFault
from streamflow.wire.unreadable import UNREADABLE


class Restored:
    """What of partition `partition` of `topic` cannot be read so far."""

    def __init__(self, topic: str, partition: int) -> None:
        self._topic = topic
        self._partition = partition
        self._unreadable: dict[bytes, tuple[int, str]] = {}  # by key: the offset, and why

    def take(self, key: bytes, value: bytes | None, offset: int) -> str | None:
        """The key of a record to restore; None for one that is left out."""
        try:
            name = key.decode()
            if value is not None and not name.startswith(META):
                if name.partition("/")[0] not in KINDS:
                    raise ValueError("the key does not belong to the engine's state")
                record = decode_record(name, value)
                if name == OWN and not record.topic_id:
                    raise ValueError("the partition's own record names no topic")
        except UNREADABLE as error:
            if value is None:
                self._unreadable.pop(key, None)
            else:
                self._unreadable[key] = offset, f"{type(error).__name__}: {str(error)[:200]}"
            return None
        self._unreadable.pop(key, None)
        return name

    def require_readable(self) -> None:
        """Raises EngineFault (`state_unreadable`) when the last record of a key cannot be read."""
        if not self._unreadable:
            return
        key, (offset, why) = min(self._unreadable.items(), key=lambda item: item[1])
        raise EngineFault(
            "state_unreadable",
            f"{len(self._unreadable)} records of {self._topic}/{self._partition} cannot be read. The first has the key "
            f"{key[:100]!r} ({why}). The partition stays closed, because its state would mix two checkpoints. If the "
            "key is not Streamflow's, write a record with it and without a value; otherwise write its last readable "
            "value again, or delete the topic `state` and the local stores to rebuild the state from `commands`.",
            partition=self._partition,
            offset=offset,
        )
