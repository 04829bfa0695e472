"""`make proof`: the real log through every scenario, each with a prefix of its own on a real broker, and one table at
the end."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from streamflow.kafka.embedded.broker import EmbeddedBroker
from tests.evidence.product import product_hash
from tests.evidence.results import append, file_of
from tests.proof import loans
from tests.proof.case import Case
from tests.proof.judge import judge
from tests.proof.scenarios import SCENARIOS
from tests.proof.world import World


@dataclass
class Row:
    """What became of one run of a scenario."""

    scenario: str
    seed: int
    kills: int = 0
    seconds: float = 0.0
    counts_ok: bool = False
    conservation_ok: bool = False
    state_ok: bool = False
    faults: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.counts_ok and self.conservation_ok and self.state_ok and not self.faults


def prove(name: str, seed: int, shared: EmbeddedBroker, log: Sequence[loans.Line], folder: Path) -> Row:
    """One run of a scenario and its verdict. Never raises for what the system does."""
    scenario, row, began = SCENARIOS[name], Row(name, seed), time.monotonic()

    def say(text: str) -> None:
        print(f"[{name} {time.monotonic() - began:6.1f} s] {text}", file=sys.stderr, flush=True)

    say(f"begins, seed {seed}")
    case: Case | None = None
    try:
        with (
            _broker(shared, folder, own=scenario.own_broker) as broker,
            World(broker, folder / "world", say, scenario.source) as world,
        ):
            case = Case(world, log, random.Random(f"{name}/{seed}"), loans.expected(log))
            scenario.run(case)
            row.seconds = time.monotonic() - began
            say("stops the workers")
            folders = world.stop()
            say("judges")
            verdict = judge(world.stranger, world.source, folders, case.expected)
        row.counts_ok, row.conservation_ok, row.state_ok = (
            not verdict.counts,
            not verdict.conservation,
            not verdict.state,
        )
        row.faults, row.facts, row.notes = case.faults + verdict.faults, case.facts | verdict.facts, case.notes
    except Exception as error:  # noqa: BLE001 - it is a finding, and the other scenarios go on
        row.faults.append("".join(traceback.format_exception(error)))
    row.kills = case.kills if case else 0
    row.seconds = row.seconds or time.monotonic() - began
    say("well" if row.ok else f"FAILED, see {folder}:\n  " + "\n  ".join(row.faults))
    return row


@contextlib.contextmanager
def _broker(shared: EmbeddedBroker, folder: Path, *, own: bool) -> Iterator[EmbeddedBroker]:
    if own:
        with EmbeddedBroker(folder / "broker") as broker:
            yield broker
    else:
        yield shared


def table(rows: Sequence[Row]) -> str:
    """The report."""
    lines = [("scenario", "seed", "kills", "seconds", "counts", "conservation", "state = changelog")]
    word = {True: "exact", False: "WRONG"}
    lines += [
        (
            row.scenario,
            str(row.seed),
            str(row.kills),
            f"{row.seconds:.1f}",
            word[row.counts_ok],
            word[row.conservation_ok],
            word[row.state_ok],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(shown + [f"{row.scenario} {row.seed}: {note}" for row in rows for note in row.notes])


def main() -> int:
    """0 when every run was exact."""
    options = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    options.add_argument(
        "--only", action="append", metavar="NAME", choices=sorted(SCENARIOS), help="this scenario (may be given again)"
    )
    options.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1 << 31),
        help="of all random choices; printed in the table",
    )
    options.add_argument(
        "--runs", type=int, default=1, help="how often each scenario runs, each time with the next seed"
    )
    options.add_argument("--json", action="store_true", help="the report as JSON, with all counts")
    options.add_argument(
        "--keep", type=Path, help="work in this folder, and keep it: logs, stores and the broker's data"
    )
    options.add_argument("--evidence", action="store_true", help="keep the report as evidence for the committed code")
    asked = options.parse_args()
    product = product_hash() if asked.evidence else ""
    if not loans.REAL_LOG.exists():
        print(
            f"expected the real log at {loans.REAL_LOG} but it is not there. Put it there, as its README says.",
            file=sys.stderr,
        )
        return 1
    log = loans.real_log()
    rows: list[Row] = []
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="streamflow-proof-"))
    with EmbeddedBroker(folder / "broker") as broker:
        for run in range(asked.runs):
            seed = asked.seed + run
            rows += [prove(name, seed, broker, log, folder / f"{name}-{seed}") for name in asked.only or SCENARIOS]
    if asked.keep is None and all(row.ok for row in rows):  # what failed is to be looked at
        shutil.rmtree(folder)
    if product:
        for row in rows:
            append(file_of(product), product, "proof", asdict(row) | {"ok": row.ok})
    print(json.dumps([asdict(row) | {"ok": row.ok} for row in rows], indent=2) if asked.json else table(rows))
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
