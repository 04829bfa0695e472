"""Whether a restored partition can be served: by this code, from this topic, and without a gap in its commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from streamflow.core.place import Place
from streamflow.engine.commands import KNOWN_REVISIONS
from streamflow.engine.state import PartitionState
from streamflow.errors import EngineFault


class Skipped(NamedTuple):
    """Deleted commands that a person lets the partition pass over."""

    first: int  # offset of the first one
    next: int  # where the input continues
    reason: str  # the person's


def is_too_old(age_ms: float, tombstone_retention_ms: int) -> bool:
    """Whether the changelog may have lost deletions that a state of this age does not know of. Half of the time for
    which it keeps them is left for what the clocks of two workers may differ by."""
    return age_ms > tombstone_retention_ms / 2


def check_opening(own: PartitionState, place: Place, first: int, skips: Mapping[int, str]) -> Skipped | None:
    """What is passed over, if anything. `first` is the oldest offset that `commands` still has, `skips` are the
    commands that a person lets the partition pass over, with the reason. Raises EngineFault when the state was made
    from another topic, a revision is unknown, or commands are missing."""
    if own.topic_id and own.topic_id != place.topic_id:
        raise EngineFault(
            "commands_recreated",
            "The state was built from another topic `commands`. Restore that topic, or delete the topic `state` and "
            "the local stores too.",
            partition=place.number,
        )
    for revision in own.revisions:
        require_known(revision, place)
    expected = own.applied + 1
    if first <= expected:
        return None
    if first - 1 not in skips:
        raise input_gap(place, expected, first)
    return Skipped(expected, first, skips[first - 1])


def require_known(revision: str, place: Place, offset: int | None = None) -> None:
    """Raises EngineFault when this code cannot decide as `revision` does. `offset` is that of the command that names
    it; None: open runs have it."""
    if revision in KNOWN_REVISIONS:
        return
    if offset is None:
        found, otherwise = "Runs in this partition have", ""
    else:
        found = f"Command {offset} starts a run with"
        otherwise = f" If there is none, pass over the command: {skip_call(place, offset)}."
    raise EngineFault(
        "unknown_revision",
        f"{found} the engine's revision {revision[:40]!r}, which this worker does not know. Run a worker that knows "
        f"it.{otherwise}",
        partition=place.number,
        offset=offset,
    )


def skip_call(place: Place, offset: int) -> str:
    """The command line by which a person lets the partition pass over the command at `offset`."""
    return f"`streamflow commands skip {place.number} {offset} --reason ...`"


def input_gap(place: Place, expected: int, first: int) -> EngineFault:
    """The fault when command `expected` is next and the topic begins at `first`."""
    return EngineFault(
        "input_gap",
        f"Command {expected} is next but the topic begins at {first}: commands were deleted before they were read. "
        f"Restore them, or accept the loss: {skip_call(place, first - 1)}.",
        partition=place.number,
        offset=expected,
    )
