"""Explores every interleaving of the engine's protocol for one partition and one to three workers.

`python -m tests.model.protocol_model` (or `make model`) searches all scenarios to the end and finds the shortest
counterexample of each variant; `--traces` prints them.

**The model.** Breadth first over whole worlds; visited ones are kept as 64-bit hashes, workers are interchangeable.
`commands` is a log that ingress (also going back to an older offset), tasks (also answering twice, differently) and
timers append to. A worker fences, restores (in two steps) and seeks to applied + 1; then it decides batches, changes
memory and queues outputs, which are sent one by one. Beside that run checkpoints: capture a cut, wait for the outputs,
one fenced transaction, store write, each a step of its own, with batches going on between them. A worker may stop
between any two steps for as long as the others like, die with its queued sends lost or arriving late, lose the unsynced
tail of its store or the store, lose and regain the partition noticing neither, and keep a fetched batch over that. A
transaction may fail, also after it committed. It consists of one or more batches: the broker acknowledges or refuses
each, and a commit makes visible those that arrived. `state` is compacted at once, the hardest case; tombstones may
expire.

**Not modelled**: several partitions, streams, starts by API, catalog entries, broker data loss, retention of
`commands`, broker clocks that go back, age by time (a store is too old exactly when it misses an expired tombstone),
sends still queued when an owner closes. Event delivery has a model of its own.

**Invariants**, each named by its first word in a violation:

- `copies`: copies of a (run, seq) are identical (law identical-replay).
- `gap`: no reader of `runs` sees a gap.
- `rest`: at rest `runs` is what the log says, the owner's memory and store are the fold of the log, nothing is stuck.
- `memory`: a running worker's memory is the fold up to its applied offset (law contiguous-input).
- `once`: no command and no output is lost or applied twice (law one-outcome).
- `changelog`: the changelog alone is the fold up to the committed offset (law one-cut).
- `deleted`: a deleted run never returns.
- `counts`: at rest the counts are those of one fold (law one-outcome).
- `store`: no store is ahead of the changelog (law one-cut).

"At rest" means that only faults could still happen; such worlds end every path.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple

from tests.model.protocol_environment import environment
from tests.model.protocol_rules import Rules, Setting
from tests.model.protocol_worker import WorkerSteps
from tests.model.protocol_world import (
    REFUSED,
    Budget,
    Command,
    Finished,
    State,
    Step,
    Store,
    Task,
    Transition,
    Waiting,
    Worker,
    World,
    add,
    decide,
    empty_state,
)

INVARIANTS = ("copies", "gap", "rest", "memory", "once", "changelog", "deleted", "counts", "store")


class Meaning(NamedTuple):
    """What a log means: the fold of its commands, decided once, without crashes or checkpoints."""

    state: State
    runs: tuple[tuple[tuple[object, ...], ...], ...]
    applied: frozenset[object]
    finished: frozenset[int]
    broken: frozenset[str]
    counts: tuple[int, ...]


class Result(NamedTuple):
    """What a search found."""

    states: int
    steps: int
    complete: bool
    """Whether every reachable world was seen; a search ends early with the first violation."""
    found: dict[str, list[str]]
    """By violation, the steps that lead to it."""


class Model:
    """One setting under one set of rules."""

    def __init__(self, rules: Rules, setting: Setting) -> None:
        self._rules = rules
        self._setting = setting
        self._empty = empty_state(rules, setting)
        self._ready = len(rules.opening) + 1
        nothing: frozenset[str] = frozenset()
        self._meanings: dict[tuple[Command, ...], Meaning] = {
            (): Meaning(self._empty, ((),) * setting.runs, frozenset(), frozenset(), nothing, (0, 0, 0)),
        }

    def explore(self, watch: Collection[str] = INVARIANTS, *, depth: int = 99, limit: int = 10**9) -> Result:
        """Search breadth first, up to the first level with a violation of a watched invariant."""
        start = self._start()
        seen = {_hash(start): (0, "")}
        layer, level = [start], 0
        found: dict[str, list[str]] = {}
        while layer and not found and level < depth and len(seen) < limit:
            following: list[World] = []
            level += 1
            for world in layer:
                here, quiet = _hash(world), True
                for step in self._steps(world):
                    quiet = quiet and step.fault
                    key, broken = _hash(step.world), set(step.broken)
                    if key not in seen:
                        seen[key] = (here, step.label)
                        following.append(step.world)
                        broken |= self._broken(step.world)
                    for violation in broken:
                        if violation.split(":")[0] in watch and violation not in found:
                            found[violation] = [*_trace(seen, here), step.label]
                for violation in self._broken_at_rest(world) if quiet else ():
                    if violation.split(":")[0] in watch:
                        found.setdefault(violation, _trace(seen, here))
            if not found:
                layer = following
        return Result(len(seen), level, not layer, found)

    def _steps(self, world: World) -> Iterator[Step]:
        yield from environment(self._rules, self._setting, world, lambda log: self._meaning(log).state)
        for number in range(len(world.workers)):
            yield from WorkerSteps(self._rules, self._setting, world, number, self._empty).all()

    def _start(self) -> World:
        setting = self._setting
        starts = (
            Command("Start", run, (run % setting.sources, run // setting.sources), setting.version, 0)
            for run in range(setting.preload)
        )
        log = tuple(Command(*command) for command in setting.log) or tuple(starts)
        worker = Worker(
            mine=False,
            reassigned=False,
            step=0,
            fence=False,
            position=0,
            held=None,
            applied=-1,
            state=self._empty,
            outputs=(),
            dirty=0,
            checkpoint=None,
            fired=(),
            view=() if setting.definitions else (1, 2),
            store=Store(-1, self._empty),
            disk=Store(-1, self._empty),
        )
        owner = worker._replace(mine=True, reassigned=True)
        return World(
            log=log,
            time=log[-1].at if log else 0,
            published=0,
            ingress=0,
            source=tuple(
                sum(run % setting.sources == source for run in range(setting.preload))
                for source in range(setting.sources)
            ),
            runs=((),) * setting.runs,
            tasks=(),
            answered=tuple(Task(command.run, command.detail[0]) for command in log if command.kind == "Result"),
            flight=(),
            changelog=(None,) * (setting.runs + 1),
            cut_marks=(-1,) * setting.parts,
            cut_end=-1,
            unmarked=None,
            cuts=(),
            committed=0,
            expired=-1,
            retired=(),
            counted=(0, 0, 0),
            budget=Budget(*(getattr(setting, name) for name in Budget._fields)),
            workers=(owner, *(worker,) * (setting.workers - 1)),
        )

    def _meaning(self, log: tuple[Command, ...]) -> Meaning:
        found = self._meanings.get(log)
        if found is None:
            found = self._meanings[log] = self._extended(self._meaning(log[:-1]), log[-1])
        return found

    def _extended(self, before: Meaning, command: Command) -> Meaning:
        state, outputs, outcome = decide(self._rules, self._setting, before.state, command, command.at)
        detail = command.detail[0] if command.kind == "Result" else command.detail
        identity = (command.kind, command.run, detail)
        broken, applied = set(before.broken), before.applied
        if outcome == "applied":
            if identity in applied:
                broken.add("once: a command is applied twice")
            if command.kind == "Start" and command.run in before.finished:
                broken.add("deleted: a run returns")
            applied |= {identity}
        if command.kind == "Start" and identity not in applied:
            broken.add("once: an event is lost")
        runs = tuple(
            record + tuple(out.body for out in outputs if isinstance(out, Transition) and out.run == run)
            for run, record in enumerate(before.runs)
        )
        ended = {run for run, head in enumerate(state[1:]) if isinstance(head, Finished)}
        counts = add(before.counts, outcome)
        return Meaning(state, runs, applied, before.finished | ended, frozenset(broken), counts)

    def _broken(self, world: World) -> set[str]:
        broken = set(self._meaning(world.log).broken)
        base = self._meaning(world.log[: world.committed]).state
        kept = tuple(
            record.value if record else empty for record, empty in zip(world.changelog, self._empty, strict=True)
        )
        if kept != base:
            broken.add("changelog: it is not the state at the committed offset")
        for worker in world.workers:
            if worker.store.applied >= world.committed and not self._may_be_ahead(world, worker):
                broken.add("store: ahead of the changelog")
            if worker.step == self._ready:
                meaning = self._meaning(world.log[: worker.applied + 1])
                if worker.state != meaning.state:
                    broken.add("memory: it is not the fold up to the applied offset")
                    heads = zip(worker.state[1:], meaning.state[1:], strict=True)
                    if any(have and not want and run in meaning.finished for run, (have, want) in enumerate(heads)):
                        broken.add("deleted: a run returns")
        return broken

    def _may_be_ahead(self, world: World, worker: Worker) -> bool:
        """Whether the store has a cut of which the broker lost the marker, and nothing builds on it yet."""
        builds_on_it = worker.step == self._ready and worker.fence and world.unmarked is None
        return self._setting.unmark > 0 and not builds_on_it

    def _broken_at_rest(self, world: World) -> set[str]:
        """Nothing but faults can happen: everything must be done."""
        meaning = self._meaning(world.log)
        owner = next(worker for worker in world.workers if worker.mine)
        if owner.step == REFUSED:
            return {"rest: stuck before a torn cut"}
        broken = set()
        if any(len(have) < len(want) for have, want in zip(world.runs, meaning.runs, strict=True)):
            broken.add("once: outputs are lost")
        elif world.runs != meaning.runs:
            broken.add("gap: the sequence is not the log's")
        end = len(world.log)
        unnoticed = world.budget.unmark < self._setting.unmark  # a lost marker shows at the next transaction
        behind = owner.applied != end - 1 or owner.store.applied != owner.applied
        behind |= world.committed != end and not unnoticed
        if owner.step < self._ready or owner.reassigned or behind:
            broken.add("rest: stuck")
        elif owner.state != meaning.state or owner.store.state != meaning.state:
            broken.add("rest: the final state is not the fold")
        if self._setting.timers and any(
            isinstance(run, Waiting) and run.due <= world.time for run in meaning.state[1:]
        ):
            broken.add("once: a timer is lost")
        if (owner.state[0].counts if self._rules.counts == "state" else world.counted) != meaning.counts:
            broken.add("counts: they are not those of one fold")
        return broken


def _hash(world: World) -> int:
    return hash((world[:-1], tuple(sorted(map(hash, world.workers)))))


def _trace(seen: dict[int, tuple[int, str]], key: int) -> list[str]:
    labels = []
    while seen[key][1]:
        key, label = seen[key]
        labels.append(label)
    return labels[::-1]


def main() -> int:
    from tests.model.protocol_scenarios import SCENARIOS, VARIANTS

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", choices=("scenarios", "variants"))
    parser.add_argument("--traces", action="store_true", help="print how each violation comes about")
    chosen = parser.parse_args()
    total = surprises = 0

    def show(name: str, model: Model, watch: Collection[str], breaks: str | None) -> None:
        nonlocal total, surprises
        begin = time.process_time()
        result = model.explore(watch)
        expected = bool(result.found) == bool(breaks)
        total, surprises = total + result.states, surprises + (not expected)
        verdict = "as expected" if expected else "SURPRISE"
        facts = "; ".join(f"{what} ({len(trace)} steps)" for what, trace in result.found.items()) or "holds"
        spent = time.process_time() - begin
        print(f"{verdict:12}{name:72}{result.states:8} states, {spent:5.1f} s CPU  {facts}", flush=True)
        if chosen.traces or not expected:
            for what, trace in result.found.items():
                print(f"    {what}", *trace, sep="\n        ")

    if chosen.only != "variants":
        for name, setting in SCENARIOS.items():
            show(name, Model(Rules(), setting), INVARIANTS, None)
    if chosen.only != "scenarios":
        for variant in VARIANTS:
            for breaks in variant.breaks:
                show(f"{variant.name} [{breaks}]", variant.model(), (breaks,), breaks)
            if variant.keeps:
                show(f"{variant.name} [keeps]", variant.model(), variant.keeps, None)
    print(f"{total} states, {surprises} surprises")
    return min(surprises, 1)


if __name__ == "__main__":
    sys.exit(main())
