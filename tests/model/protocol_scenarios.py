"""Settings in which the protocol holds, and variants that each break an invariant.

A variant removes one sentence of the design: it names the law to which the sentence belongs, the setting in which this
shows, the invariants that break (`breaks`), and those that hold nevertheless (`keeps`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.model.protocol_model import INVARIANTS, Model
from tests.model.protocol_rules import Rules, Setting

# Started, finished, and deleted by the third command.
ENDED = (("Start", 0, (0, 0), 1, 0), ("Result", 0, (1, "a"), 0, 0), ("Start", 0, (0, 0), 1, 1))

OWNERS = Setting(assign=2, crash=1)
OWNERS_ONE = replace(OWNERS, largest_batch=1)
LEFT_OVER = Setting(assign=2, stale=1)
TWO_RUNS = Setting(runs=2, preload=2, largest_batch=1, silent=True)
DEFINITIONS = Setting(definitions=True, preload=0, largest_batch=1)
TIMERS = Setting(timers=True, tick=1, largest_batch=1)
OLD = Setting(log=ENDED, assign=2, expire=1)
LATER_DEFINITION = Setting(
    definitions=True, preload=0, runs=2, publish=2, repeat=1, silent=True, workers=1, ignores=((0, 1),)
)
TWO_BATCHES = replace(TWO_RUNS, parts=2, refuse=1, largest_batch=2, workers=1)
THREE_BATCHES = replace(TWO_BATCHES, parts=3)

SCENARIOS = {
    "an owner changes": Setting(assign=1, largest_batch=1),
    "owners change twice, a crash": OWNERS,
    "a batch left over from before a rebalance": LEFT_OVER,
    "left over, a crash": replace(LEFT_OVER, crash=1, log=ENDED[:2], largest_batch=1, ahead=False),
    "a late duplicate": Setting(assign=1, crash=1, repeat=1, largest_batch=1, ahead=False),
    "three workers": Setting(workers=3, assign=2, largest_batch=1),
    "two runs": replace(TWO_RUNS, assign=1, crash=1),
    "two sources, repeated": replace(TWO_RUNS, sources=2, preload=0, assign=1, repeat=1),
    "a machine loses its unsynced tail": Setting(assign=1, crash=1, machine=1, sync=True, largest_batch=1, ahead=False),
    "store deleted, checkpoint fails": Setting(assign=1, crash=1, wipe=1, abort=1, largest_batch=1),
    "a commit is not marked": Setting(assign=1, unmark=1, abort=1, largest_batch=1),
    "a commit is not marked, a crash": replace(TWO_RUNS, crash=2, unmark=1, workers=1),
    "timers of both workers": replace(TIMERS, assign=1, ahead=False),
    "fast clock": replace(TIMERS, skew=1, silent=True, workers=1, crash=2, ahead=False),
    "two results, one repeated": Setting(assign=1, version=2, redo=1, largest_batch=1, ahead=False),
    "definitions, owner changes": replace(DEFINITIONS, publish=1, assign=1),
    "definition retired": replace(DEFINITIONS, publish=2, retire=1, crash=1),
    "deleted run, tombstone expires": replace(OLD, crash=1, largest_batch=1, ahead=False),
    "a batch of a cut is refused": replace(TWO_BATCHES, refuse=2, crash=1),
    "a batch of a cut is refused, the owner changes": replace(TWO_BATCHES, workers=2, assign=1, largest_batch=1),
    "one of three batches is refused": replace(THREE_BATCHES, refuse=2, crash=1),
    "a batch is refused, a transaction fails": replace(TWO_BATCHES, abort=1),
    "a batch is refused, tasks answer, the owner changes": Setting(
        parts=2, refuse=1, assign=1, crash=1, largest_batch=1
    ),
}

# Small enough for every run of the tests.
SHORT_SCENARIOS = (
    "an owner changes",
    "fast clock",
    "a commit is not marked, a crash",
    "definitions, owner changes",
    "a batch of a cut is refused",
    "one of three batches is refused",
    "a batch is refused, a transaction fails",
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A protocol that lacks one sentence of the design."""

    law: str
    setting: Setting
    change: dict[str, Any]
    breaks: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    long: bool = False
    """Whether it takes more than about a second."""

    @property
    def name(self) -> str:
        return ", ".join(
            f"{rule}={' > '.join(value) if isinstance(value, tuple) else value}" for rule, value in self.change.items()
        )

    def model(self) -> Model:
        return Model(replace(Rules(), **self.change), self.setting)


def _variant(law: str, setting: Setting, breaks: str, *, long: bool = False, **change: Any) -> Variant:
    return Variant(law=law, setting=setting, change=change, breaks=tuple(breaks.split()), long=long)


def _torn(setting: Setting, *, long: bool = False, **change: Any) -> Variant:
    """Half a cut is committed, and a restore refuses it: the partition stands still before a torn changelog."""
    return Variant(
        law="one-cut",
        setting=setting,
        change={"batches": "unawaited", **change},
        breaks=("changelog", "rest"),
        keeps=tuple(name for name in INVARIANTS if name not in ("rest", "changelog")),
        long=long,
    )


COMMITTED_LAST = ("fence", "restore", "committed")
COMMITTED_FIRST = ("committed", "fence", "restore")

VARIANTS = (
    _variant("input-is-commands", Setting(assign=1, tick=1), "copies memory", now="clock"),
    _variant(
        "input-is-commands", Setting(assign=1, tick=1, repeat=1, largest_batch=1), "memory", forgetting="background"
    ),
    _variant("pinned-content", replace(DEFINITIONS, publish=2, assign=1), "copies memory", definition="view"),
    # Ingress appends a start naming definition 1; no run holds it yet, so it is retired, and no worker can decide.
    _variant("pinned-content", replace(DEFINITIONS, publish=2, retire=1), "rest", content="unheld"),
    _variant("one-outcome", Setting(version=2, redo=1), "once", match="run"),
    _variant("one-outcome", replace(TIMERS, skew=1, silent=True), "once", early_timer="once"),
    _variant("one-outcome", Setting(tick=1, repeat=1), "once deleted", duplicates="window"),
    _variant("one-outcome", Setting(runs=2, sources=2, preload=0), "once", duplicates="one-mark"),
    # Ingress, knowing definition 1, ignores event 0 and starts event 1; restarted before its commit, it knows
    # definition 2, which matches event 0, and starts it below the mark.
    _variant("one-outcome", LATER_DEFINITION, "once", duplicates="mark"),
    Variant(law="one-outcome", setting=LATER_DEFINITION, change={"duplicates": "pairs"}, keeps=INVARIANTS),
    _variant("one-outcome", OWNERS_ONE, "counts", long=True, counts="memory"),
    _variant("identical-replay", Setting(), "gap", sending="unordered"),
    _variant("one-cut", OWNERS, "once", outputs_first=False),
    _variant("one-cut", replace(TIMERS, crash=1), "gap", outputs_first=False),
    _variant("one-cut", OWNERS, "changelog", values="live"),
    _variant("one-cut", OWNERS, "store rest once", store="before"),
    _variant("one-cut", replace(TWO_RUNS, assign=2, crash=1), "changelog", long=True, store="before"),
    _variant("one-cut", OWNERS, "memory", cut="live"),
    _variant("one-cut", OWNERS, "memory", overlay="nothing"),
    _variant("one-cut", replace(TWO_RUNS, assign=2, crash=1, abort=1), "changelog rest", failure="drop"),
    Variant(
        law="one-cut",
        setting=Setting(assign=1, crash=1, abort=1, largest_batch=1),
        change={"failure": "merge"},
        keeps=INVARIANTS,
        long=True,
    ),
    _variant("one-cut", OWNERS, "memory rest once", long=True, restore="offset-first"),
    _variant("one-cut", Setting(assign=1, repeat=1), "memory", label="header"),
    # Half a cut. A transaction that is committed before its batches are awaited takes what arrived.
    _variant("one-cut", TWO_BATCHES, "changelog memory", batches="unawaited", cut_number="ignored"),
    _variant("one-cut", TWO_BATCHES, "changelog memory", batches="early", cut_number="ignored"),
    _variant("one-cut", THREE_BATCHES, "changelog memory", batches="unawaited", cut_number="ignored"),
    # The refusal is noticed and then forgotten.
    _variant("one-cut", TWO_BATCHES, "rest changelog", failure="drop"),
    # The cut's number in every batch keeps a torn cut from being used, though it cannot keep it whole.
    _torn(replace(TWO_BATCHES, crash=1)),
    _torn(replace(TWO_BATCHES, workers=2, assign=1, crash=1, largest_batch=1), long=True),
    _torn(replace(THREE_BATCHES, refuse=2, crash=1)),
    _torn(replace(THREE_BATCHES, crash=1), sequenced=False),
    # In the first and last record only it is enough as long as one end of the cut is missing,
    _torn(replace(THREE_BATCHES, crash=1), cut_number="ends"),
    # but not when only the middle arrived, or when the broker takes a batch after a gap in the producer's sequence.
    _variant("one-cut", replace(THREE_BATCHES, refuse=2), "memory", batches="unawaited", cut_number="ends"),
    _variant("one-cut", THREE_BATCHES, "memory", batches="unawaited", cut_number="ends", sequenced=False),
    _variant("fenced-owner", OWNERS_ONE, "changelog rest", long=True, fenced="reinit"),
    _variant("fenced-owner", replace(TWO_RUNS, assign=2, stale=1), "changelog", long=True, regained="refence"),
    _variant("fenced-owner", OWNERS_ONE, "changelog rest", long=True, opening=("restore", "fence")),
    _variant("fenced-owner", replace(TWO_RUNS, crash=1, unmark=1, workers=1), "changelog store", lost_cut="kept"),
    _variant("contiguous-input", LEFT_OVER, "rest", long=True, regained="ignore"),
    _variant("contiguous-input", Setting(assign=1), "rest", opening=COMMITTED_LAST),
    _variant("contiguous-input", LEFT_OVER, "memory rest", regained="ignore", contiguous=False),
    _variant("contiguous-input", LEFT_OVER, "memory rest once", long=True, contiguous=False),
    _variant("contiguous-input", OWNERS, "memory rest", opening=COMMITTED_LAST, contiguous=False),
    _variant("contiguous-input", OWNERS, "memory rest", long=True, opening=COMMITTED_FIRST, contiguous=False),
    Variant(
        law="contiguous-input",
        setting=OWNERS_ONE,
        change={"opening": COMMITTED_FIRST},
        keeps=INVARIANTS,
        long=True,
    ),
    _variant("one-cut", OLD, "deleted memory", long=True, age=False),
    _variant("one-cut", OLD, "deleted memory", long=True, opening=("age", "fence", "restore")),
    _variant("one-cut", OLD, "deleted memory", long=True, opening=("fence", "age", "restore")),
)
