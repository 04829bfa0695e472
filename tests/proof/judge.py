"""The verdict on one run of the system, from what the broker and the workers' folders hold. Nothing of streamflow is
imported here.

Conservation: ingress read = matched + ignored + dead = what its source holds; engine read = applied + rejected +
duplicate + dead = what `commands` holds. State: the store of each partition's last owner equals its changelog key by
key, no store is ahead of the changelog, and the changelog tells the same of every run as `runs` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rocksdict import AccessType, Options, Rdict

from tests.proof.reader import IndependentReader, Runs, engine_counts, reasons

_SHOWN = 5


@dataclass
class Verdict:
    """What was found. Every list empty: all is well."""

    counts: list[str] = field(default_factory=list)  # of outcomes, and of the history of each run
    conservation: list[str] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        return [*self.counts, *self.conservation, *self.state]


def judge(stranger: IndependentReader, source: str, folders: Iterable[Path], expected: Mapping[str, str]) -> Verdict:
    """Judge what happened under a prefix. `folders` are the state folders of all workers, which have stopped;
    `expected` outcomes by key."""
    verdict = Verdict()
    runs = stranger.runs()
    state = stranger.state()
    judge_runs(verdict, runs, expected)
    judge_conservation(verdict, stranger, source, state)
    judge_stores(verdict, state, stores(folders, stranger.prefix))
    judge_heads(verdict, state, runs)
    return verdict


def judge_runs(verdict: Verdict, runs: Runs, expected: Mapping[str, str]) -> None:
    verdict.counts += runs.faults
    outcomes = runs.outcomes()
    wrong = [
        f"{key}: expected {expected.get(key)} but {outcomes.get(key)}"
        for key in sorted({*expected, *outcomes})
        if expected.get(key) != outcomes.get(key)
    ]
    if wrong:
        verdict.counts.append(f"{len(wrong)} outcomes differ: " + "; ".join(wrong[:_SHOWN]))
    verdict.facts["outcomes"] = dict(sorted(runs.counts().items()))
    verdict.facts["transitions"] = {"records": runs.records, "copies": runs.copies}


def judge_conservation(
    verdict: Verdict, stranger: IndependentReader, source: str, state: Mapping[int, Mapping[bytes, bytes]]
) -> None:
    ingress, engine = stranger.ingress_counts(source), engine_counts(state)
    held = stranger.held(f"{stranger.prefix}commands")
    letters = stranger.dead_letters()
    dead = {
        stage: len({letter.place for letter in letters if letter.stage == stage and letter.reason != "rejected"})
        for stage in ("ingress", "engine")
    }
    _equal(verdict, "ingress read", ingress["read"], "its source holds", stranger.held(source))
    _equal(
        verdict,
        "ingress read",
        ingress["read"],
        "its outcomes add up to",
        ingress["matched"] + ingress["ignored"] + ingress["dead"],
    )
    _equal(verdict, "engine read", engine["read"], "commands holds", held)
    outcomes = engine["applied"] + engine["rejected"] + engine["duplicate"] + engine["dead"]
    _equal(verdict, "engine read", engine["read"], "its outcomes add up to", outcomes)
    _equal(verdict, "ingress counted dead", ingress["dead"], "dead letters name", dead["ingress"])
    _equal(verdict, "engine counted dead", engine["dead"], "dead letters name", dead["engine"])
    verdict.facts |= {
        "ingress": dict(ingress),
        "engine": dict(engine),
        "reasons": dict(reasons(state)),
        "dead_letters": len(letters),
    }


def _equal(verdict: Verdict, one: str, first: int, other: str, second: int) -> None:
    if first != second:
        verdict.conservation.append(f"{one} {first} but {other} {second}")


def stores(folders: Iterable[Path], prefix: str) -> dict[int, dict[Path, dict[bytes, bytes]]]:
    """What the workers' folders hold, by partition and folder, with the host's own keys (they begin with `!`)."""
    found: dict[int, dict[Path, dict[bytes, bytes]]] = {}
    for folder in folders:
        for place in sorted(folder.glob(f"{prefix}*")):
            database = Rdict(str(place), Options(raw_mode=True), access_type=AccessType.read_only())
            try:
                records: Any = database.items()
                found.setdefault(int(place.name.removeprefix(prefix)), {})[folder] = {
                    bytes(key): bytes(value) for key, value in records
                }
            finally:
                database.close()
    return found


def judge_stores(
    verdict: Verdict,
    state: Mapping[int, Mapping[bytes, bytes]],
    found: Mapping[int, Mapping[Path, Mapping[bytes, bytes]]],
) -> None:
    compared = 0
    for partition, changelog in sorted(state.items()):
        places = found.get(partition, {})
        if not places:
            verdict.state.append(f"partition {partition} is in no worker's folder")
            continue
        last = max(int(records.get(b"!changelog", b"-1")) for records in places.values())
        for folder, records in places.items():
            own = {key: value for key, value in records.items() if not key.startswith(b"!")}
            if _applied(own) > _applied(changelog):
                verdict.state.append(
                    f"partition {partition} in {folder.name} has applied {_applied(own)}, its changelog only "
                    f"{_applied(changelog)}"
                )
            if int(records.get(b"!changelog", b"-1")) == last:
                compared += len(own)
                verdict.state += _differences(f"partition {partition} in {folder.name}", own, changelog)
    verdict.facts["keys_compared"] = compared


def _differences(where: str, store: Mapping[bytes, bytes], changelog: Mapping[bytes, bytes]) -> list[str]:
    missing, extra = changelog.keys() - store.keys(), store.keys() - changelog.keys()
    other = [key for key in changelog.keys() & store.keys() if changelog[key] != store[key]]
    found = [("in the changelog only", missing), ("in the store only", extra), ("with another value", other)]
    return [f"{where}: {len(keys)} keys {what}, as {sorted(keys)[:_SHOWN]}" for what, keys in found if keys]


def _applied(records: Mapping[bytes, bytes]) -> int:
    own = records.get(b"own")
    return int(json.loads(own)["applied"]) if own else -1


def judge_heads(verdict: Verdict, state: Mapping[int, Mapping[bytes, bytes]], runs: Runs) -> None:
    """The changelog's heads against the last transition of every run: an open run has a head that has come as far as
    `runs`, and a run that has ended has left no record of any kind."""
    heads: dict[str, int] = {}
    left: dict[str, str] = {}
    for records in state.values():
        for name, value in records.items():
            key = name.decode()
            if (run := run_of(key)) is None:
                continue
            if key.startswith("run/"):
                heads[run] = int(json.loads(value)["seq"])
            left.setdefault(run, key)
    open_runs = {run.run: run.seq for run in runs.runs.values() if run.ended is None}
    wrong = sorted(run for run in heads.keys() | open_runs.keys() if heads.get(run) != open_runs.get(run))
    if wrong:
        shown = [f"{run}: state {heads.get(run)}, runs {open_runs.get(run)}" for run in wrong[:_SHOWN]]
        verdict.state.append(f"{len(wrong)} open runs differ between state and runs (seq): " + "; ".join(shown))
    stray = sorted(key for run, key in left.items() if run not in open_runs)
    if stray:
        verdict.state.append(f"{len(stray)} runs are not open and have records in the state, as {stray[:_SHOWN]}")
    verdict.facts["open_runs"] = len(open_runs)


def run_of(key: str) -> str | None:
    """The run that a record of the state belongs to, or None: a record that no run owns."""
    kind, _, rest = key.partition("/")
    if kind in ("run", "out", "list", "item"):
        return rest.partition("/")[0]
    if kind == "timer":
        return rest.split("/")[1]
    return None
