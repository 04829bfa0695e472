"""One checkpoint and the order of its steps (law one-cut): outputs acknowledged, one transaction, the store.

The host does the steps. It gets what a step needs from here, and gets it only when the step before is done, so no host
can commit a cut whose outputs are still on their way, or write a store that is ahead of the changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streamflow.core.cut import Batch
from streamflow.errors import EngineFault

QUIET_RECORDS = 20
"""With fewer commands since the last checkpoint the longer interval applies."""

WATERMARKS_ONLY_S = 10.0
"""Seconds that a cut with nothing but watermarks may wait: replaying them is cheap."""


class Checkpoint:
    """A captured cut on its way. `applied` is the offset of the last command in it."""

    def __init__(self, applied: int, batches: Iterable[Batch], unacknowledged: Callable[[], int]) -> None:
        """`unacknowledged` returns how many outputs from before the cut the broker has not acknowledged."""
        self.applied = applied
        self._batches = list(batches)
        self._unacknowledged = unacknowledged
        self.is_committed = False

    @property
    def is_acknowledged(self) -> bool:
        """Whether every output from before the cut is acknowledged."""
        return self._unacknowledged() == 0

    @property
    def size(self) -> int:
        """Bytes of its keys and values."""
        return sum(len(key) + len(value or b"") for batch in self._batches for key, value in batch)

    def transaction(self) -> list[Batch]:
        """The batches to commit together with the input offset `applied` + 1. Raises EngineFault when an output is not
        acknowledged."""
        if not self.is_acknowledged:
            raise _out_of_order("its outputs are acknowledged")
        return self._batches

    def committed(self) -> None:
        """The transaction is committed."""
        self.is_committed = True

    def records(self) -> dict[str, bytes | None]:
        """What the store takes, after the transaction. Raises EngineFault before it."""
        if not self.is_committed:
            raise _out_of_order("its transaction is committed")
        return {key: value for batch in self._batches for key, value in batch}


def _out_of_order(missing: str) -> EngineFault:
    return EngineFault(
        "checkpoint_out_of_order",
        f"A checkpoint was continued before {missing}. The partition stays closed. Report this.",
    )
