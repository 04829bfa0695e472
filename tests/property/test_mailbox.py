"""The product's engine against the specification of event delivery: the same commands, the same laws.

Several runs of a key with early events in any order, an event sent again after any number of later runs, two event
types with one id, ingress restarted, reading again, or a zombie; waits that follow each other in one decision; crashes
and replays. `make mailbox` plays millions of operations."""

from __future__ import annotations

import time

import pytest

from streamflow.engine.builder import DecisionBuilder, Limits
from streamflow.engine.commands import Origin
from streamflow.engine.mailbox import delivery, memory
from streamflow.engine.mailbox.mailbox import Mailbox
from streamflow.engine.outcome import Contents
from tests.conftest import examples
from tests.model.mailbox.product import product
from tests.model.mailbox.search import hold
from tests.model.mailbox.words import Broken


def test_the_engine_keeps_the_laws_of_the_specification() -> None:
    seed, began = 1_000_000, time.perf_counter()
    played, commands, outcomes = hold(product, examples(6_000), seed, chains=True)
    rate = commands / (time.perf_counter() - began) * 60
    print(f"{played:,} operations, {commands:,} commands from seed {seed}; {rate:,.0f} commands a minute: {outcomes}")
    assert set(outcomes) == {"started", "claimed", "expired", "duplicate", "unclaimed", "refused", "overflow"}


def _newest_first(builder: DecisionBuilder, contents: Contents, box: Mailbox, first: int) -> None:
    box.runs = dict(reversed(box.runs.items()))
    _HAND_OUT(builder, contents, box, first)


def _without_marks(builder: DecisionBuilder, origin: Origin) -> bool:
    return False


_HAND_OUT = delivery.hand_out
BUGS: dict[str, tuple[object, str, object]] = {
    "a consumed event is not looked for": (memory, "find", lambda *args: None),
    "memory ends under an open run": (memory, "_is_needed", lambda builder, mailbox, record: False),
    "a bucket that is over is not swept": (memory, "_is_over", lambda builder, buckets: False),
    "what a definition says of its window is ignored": (Limits, "window", lambda limits, said_ms: limits.window_ms),
    "the newest run is asked first": (delivery, "hand_out", _newest_first),
    "the point of a wait is ignored": (Mailbox, "_counts", lambda *args: True),
    "what nobody wants stays": (Mailbox, "settle", lambda *args: None),
    "an event is not kept for a wait to come": (Mailbox, "_is_wanted", lambda *args: False),
    "a full mailbox takes more": (Mailbox, "is_full", lambda *args: False),
    "a run takes a copy twice": (Mailbox, "took", lambda *args: False),
    "a wait that begins looks at nothing": (Mailbox, "claim_for", lambda *args: None),
    "the mark of a source is not asked": (delivery, "is_committed", _without_marks),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_breaks_a_law(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, wrong = BUGS[bug]
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(Broken):
        hold(product, 60_000, 2_000_000, chains=True)
