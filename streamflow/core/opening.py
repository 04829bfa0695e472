"""Whether a restored partition can be served: by this code, from this topic, and without a gap in its commands."""

from __future__ import annotations

from typing import NamedTuple

from streamflow.core.place import Place
from streamflow.engine.commands import KNOWN_REVISIONS
from streamflow.engine.state import PartitionState
from streamflow.errors import EngineFault


class Skipped(NamedTuple):
    """Deleted commands that a person let the partition pass over."""

    first: int  # offset of the first one
    next: int  # where the input continues


def check_opening(own: PartitionState, place: Place, first: int, skip: tuple[int, str] | None) -> Skipped | None:
    """What is passed over, if anything. `first` is the oldest offset that `commands` still has, `skip` up to where, and
    why, a person accepts a loss. Raises EngineFault when the state was made from another topic, a revision is unknown,
    or commands are missing."""
    if own.topic_id and own.topic_id != place.topic_id:
        raise EngineFault(
            "commands_recreated",
            "The state was made from another topic of commands. Restore that topic, or delete the topic `state` and "
            "the local stores too.",
            partition=place.number,
        )
    for revision in own.revisions:
        require_known(revision, place)
    expected = own.applied + 1
    if first <= expected:
        return None
    if skip is None or skip[0] < first:
        raise input_gap(place, expected, first)
    return Skipped(expected, skip[0])


def require_known(revision: str, place: Place) -> None:
    """Raises EngineFault when this code cannot decide as `revision` does."""
    if revision not in KNOWN_REVISIONS:
        raise EngineFault(
            "unknown_revision",
            f"Runs in this partition have the engine's revision {revision}, which this worker does not know. Run a "
            "worker that knows it.",
            partition=place.number,
        )


def input_gap(place: Place, expected: int, first: int) -> EngineFault:
    """The fault when command `expected` is next and the topic begins at `first`."""
    return EngineFault(
        "input_gap",
        f"Command {expected} is next but the topic begins at {first}: commands were deleted before they were read. "
        f"Restore them, or accept the loss with `streamflow commands skip {place.number} {first}`.",
        partition=place.number,
        offset=expected,
    )
