"""What a cut says of deliveries and of parked runs, for metrics.

The tallies are state, so they are exact over crashes; what a cut adds to those in the store is counted when the cut is
saved. Commands that are decided again after a crash are counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamflow.core.metrics import Metrics
from streamflow.engine.mailbox.outcomes import DELIVERED
from streamflow.engine.mailbox.records import tally_key
from streamflow.engine.overlay import Overlay, decode_record
from streamflow.engine.state import OWN


class DeliveryCounts:
    """The counts of `definitions` in the cut that `overlay` is about to give, against those in its store."""

    def __init__(self, overlay: Overlay, definitions: Iterable[str]) -> None:
        self._parked = overlay.own.parked if OWN in overlay.dirty else None
        self._now: dict[str, Mapping[str, int]] = {}
        self._before: dict[str, Mapping[str, int]] = {}
        for definition in definitions:
            key = tally_key(definition)
            if (record := overlay.dirty.get(key)) is not None:
                saved = overlay.store.get(key)
                self._now[definition] = record
                self._before[definition] = {} if saved is None else decode_record(key, saved)

    def report(self, metrics: Metrics, partition: int) -> None:
        """Count what the cut added; the cut is saved."""
        if self._parked is not None:
            metrics.gauge("parked_runs", self._parked, partition=str(partition))
        for definition, counts in self._now.items():
            kept, before = 0, self._before[definition]
            for name, count in counts.items():
                event, outcome, reason = _parts(name)
                kept += count if outcome == DELIVERED else -count
                if (added := count - before.get(name, 0)) > 0:
                    labels = {"definition": definition, "event": event, "outcome": outcome, "reason": reason}
                    metrics.count("deliveries", added, **labels)
            metrics.gauge("kept_events", kept, definition=definition, partition=str(partition))


def _parts(name: str) -> tuple[str, str, str]:
    """The event, the outcome and the reason in the name of a tally."""
    event, _, rest = name.partition("/")
    outcome, _, reason = rest.partition("/")
    return event, outcome, reason
