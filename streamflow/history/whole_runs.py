"""What the store has of whole runs, for callers that complete it with the end of the topic."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from streamflow.engine.transitions import Transition
from streamflow.history.database import Database
from streamflow.history.sealing import unseal
from streamflow.wire.transitions import decode_transition


class Wanted(Struct, frozen=True, kw_only=True):
    """A run, all of which is asked for."""

    run: str
    """The run id."""

    known: int = 0
    """How many of its first transitions the asker has already."""


class Recorded(Struct, frozen=True, kw_only=True):
    """What the store has of a run, and how far it has read `runs`."""

    topic_id: str
    """The id of the topic that it has read; empty: none."""

    positions: dict[int, int]
    """By partition, the offset before which it has everything, or had when the run was removed."""

    known: int
    """How many of the run's first transitions are left out, because the asker has them and the store too."""

    transitions: list[Transition]
    """The others before these positions, in order; there may be later ones too."""

    size_bytes: int
    """Of the records of `transitions`, which take some times as much as objects."""


def recorded(database: Database, runs: Sequence[Wanted]) -> list[Recorded]:
    """What the store has of each of some runs. Raises DecodeError for a transition that a later version wrote."""
    found = database.rows("SELECT partition, topic_id, next_offset FROM progress WHERE topic = 'runs'")
    topic_id = found[0][1] if found else ""
    positions = {partition: offset for partition, _, offset in found}
    made = []
    for wanted in runs:
        known, bodies = _of(database, wanted)
        transitions = [_decoded(kind, body) for kind, body in bodies]
        size = sum(len(body) for _, body in bodies)
        made.append(
            Recorded(topic_id=topic_id, positions=positions, known=known, transitions=transitions, size_bytes=size)
        )
    return made


def _of(database: Database, wanted: Wanted) -> tuple[int, list[tuple[str, bytes]]]:
    """How many are left out, and the kinds and bodies of the others."""
    # with the last one that is known: it says that the run is still there
    rows = database.rows(
        "SELECT kind, body, seq FROM transition WHERE run = ? AND seq >= ? ORDER BY seq", (wanted.run, wanted.known)
    )
    if rows:
        known = wanted.known if rows[0][2] == wanted.known else 0
        return known, [(kind, bytes(body)) for kind, body, seq in rows if seq > known]
    # only now: a run that ends meanwhile is found here
    sealed = database.rows(
        "SELECT n, codec, CASE WHEN n = ? THEN NULL ELSE body END FROM sealed WHERE run = ?", (wanted.known, wanted.run)
    )
    if not sealed:
        return 0, []
    n, codec, body = sealed[0]
    if body is None:
        return n, []
    return 0, [(row.kind, bytes(row.body)) for row in unseal(wanted.run, codec, bytes(body))]


def _decoded(kind: str, body: bytes) -> Transition:
    return decode_transition(body, (("ce_type", f"streamflow.{kind}".encode()),))
