"""The world of the protocol's model: one partition, its topics, its workers; and the miniature engine that decides.

Everything is a tuple, so that a world can be hashed and compared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.protocol_rules import Rules, Setting

OUTCOMES = ("applied", "duplicate", "rejected")


class Command(NamedTuple):
    """A record of `commands`."""

    kind: str  # Start, Result or Timer
    run: int
    detail: Any  # Start: (source partition, offset); Result: (stage, answer); Timer: stage
    definition: int  # Start: the definition it names
    at: int  # LogAppendTime


class Waiting(NamedTuple):
    """A run whose task is with a worker."""

    seq: int
    due: int
    stage: int
    definition: int
    answers: tuple[str, ...]


class Finished(NamedTuple):
    """What is remembered of a run that has ended."""

    seq: int
    at: int


class Own(NamedTuple):
    """The partition's own record."""

    time: int
    marks: tuple[Any, ...]  # by source partition: an offset, or the offsets applied
    counts: tuple[int, ...]
    contents: tuple[int, ...]  # definitions copied into the state


State = tuple[Any, ...]
"""The partition's own record, then the record of each run, None where there is none."""


class Transition(NamedTuple):
    """A record of `runs`."""

    run: int
    seq: int
    body: tuple[Any, ...]


class Task(NamedTuple):
    """A record of `tasks`."""

    run: int
    stage: int


Output = Transition | Task


class Store(NamedTuple):
    """A worker's local store."""

    applied: int
    state: State


class Changed(NamedTuple):
    """A record of the changelog; the value None is a tombstone."""

    offset: int
    value: Any


class Cut(NamedTuple):
    """What a checkpoint writes to the changelog."""

    offset: int
    keys: int  # bit k: key k of the state is in it
    state: State


class Checkpoint(NamedTuple):
    """A checkpoint under way."""

    offset: int
    keys: int  # bit k: key k of the state is in the cut
    state: State
    waiting: int  # outputs that are to be acknowledged first
    stage: str  # write (the store), send (batches), commit
    acknowledged: int = 0  # bit n: batch n
    refused: int = 0


class Worker(NamedTuple):
    """A worker as far as it concerns this partition."""

    mine: bool  # what the group says
    reassigned: bool  # given to it, and it has not noticed
    step: int  # 0 closed, then the steps of opening; REFUSED after a torn cut
    fence: bool  # it holds the newest producer epoch
    position: int
    held: tuple[int, int] | None  # a fetched batch in its queue: first offset, length
    applied: int
    state: State
    outputs: tuple[Output, ...]  # queued, not yet at the broker
    dirty: int
    checkpoint: Checkpoint | None
    fired: tuple[tuple[int, int, int], ...]  # timers sent: run, stage, time (below 0: refused as early)
    view: tuple[int, ...]  # definitions it has read
    store: Store
    disk: Store


REFUSED = -1


class Budget(NamedTuple):
    """How often each fault may still happen."""

    assign: int
    crash: int
    machine: int
    wipe: int
    expire: int
    tick: int
    repeat: int
    redo: int
    abort: int
    unmark: int
    refuse: int
    publish: int
    stale: int
    retire: int


class World(NamedTuple):
    """Everything that can differ between two moments."""

    log: tuple[Command, ...]
    time: int
    published: int  # newest definition published
    ingress: int  # newest definition that ingress has read
    source: tuple[int, ...]  # by source partition: the next offset that ingress reads
    runs: tuple[tuple[Any, ...], ...]  # the topic `runs`, by run
    tasks: tuple[Task, ...]
    answered: tuple[Task, ...]
    flight: tuple[tuple[Output, ...], ...]  # sends of dead workers that are still under way
    changelog: tuple[Changed | None, ...]
    cut_marks: tuple[int, ...]  # by batch: the number of the cut whose batch arrived last
    cut_end: int  # the number at the end of the last batch that arrived
    unmarked: Cut | None  # committed without a marker: the next commit takes it along, a fence aborts it
    cuts: tuple[int, ...]  # offsets of the cuts in the changelog, where markers may be lost
    committed: int
    expired: int  # newest changelog offset of an expired tombstone
    retired: tuple[int, ...]
    counted: tuple[int, ...]
    budget: Budget
    workers: tuple[Worker, ...]

    def spend(self, name: str) -> World:
        return self._replace(budget=self.budget._replace(**{name: getattr(self.budget, name) - 1}))

    def append(self, kind: str, run: int, detail: Any, definition: int = 0) -> World:
        return self._replace(log=(*self.log, Command(kind, run, detail, definition, self.time)))


class Step(NamedTuple):
    """One thing that may happen next."""

    label: str
    world: World
    broken: tuple[str, ...] = ()  # invariants that a reader of `runs` finds broken
    fault: bool = False  # nothing needs this step to happen


def add(counts: tuple[int, ...], outcome: str) -> tuple[int, ...]:
    return tuple(number + (name == outcome) for number, name in zip(counts, OUTCOMES, strict=True))


def changed_keys(old: State, new: State) -> int:
    return sum(1 << key for key, (before, after) in enumerate(zip(old, new, strict=True)) if before != after)


def merged(old: State, new: State, keys: int) -> State:
    return tuple(after if keys >> key & 1 else before for key, (before, after) in enumerate(zip(old, new, strict=True)))


def empty_state(rules: Rules, setting: Setting) -> State:
    mark: Any = () if rules.duplicates == "pairs" else -1
    return (Own(0, (mark,) * setting.sources, (0, 0, 0), ()), *(None,) * setting.runs)


def decide(
    rules: Rules, setting: Setting, state: State, command: Command, clock: int, view: int = 0
) -> tuple[State, tuple[Output, ...], str]:
    """The miniature engine: (state, command) -> (state, outputs, outcome). `clock` and `view` are used by wrong rules
    only."""
    own: Own = state[0]
    runs: list[Waiting | Finished | None] = list(state[1:])
    outputs: list[Output] = []
    outcome = "rejected"
    now = max(command.at, own.time) if rules.now == "record" else clock
    if rules.forgetting == "decide":
        runs = [None if isinstance(run, Finished) and run.at + setting.window <= now else run for run in runs]
    marks, contents = own.marks, own.contents
    run = runs[command.run]
    if command.kind == "Start":
        if run or _is_repeated(rules, marks, command.detail):
            outcome = "duplicate"
        else:
            definition, outcome = view or command.definition, "applied"
            runs[command.run] = Waiting(1, now + 1, 1, definition, ())
            contents = tuple(sorted({*contents, definition}))
            marks = _marked(rules, marks, command.detail)
            outputs += [Transition(command.run, 1, ("Started", definition, now)), Task(command.run, 1)]
    elif run:
        outcome = "duplicate"
        if isinstance(run, Waiting):
            if command.kind == "Result" and (command.detail[0] == run.stage or rules.match == "run"):
                outcome = "applied"
                runs[command.run] = _answered(run, command, now, outputs)
            elif command.kind == "Timer" and command.detail == run.stage:
                outcome = "rejected" if now < run.due else "applied"
                if outcome == "applied":
                    runs[command.run] = Finished(run.seq + 1, now)
                    outputs.append(Transition(command.run, run.seq + 1, ("Failed", run.definition, now)))
    counts = add(own.counts, outcome) if rules.counts == "state" else own.counts
    return (Own(now, marks, counts, contents), *runs), tuple(outputs), outcome


def _is_repeated(rules: Rules, marks: tuple[Any, ...], origin: tuple[int, int]) -> bool:
    source, offset = (origin[0] if rules.duplicates != "one-mark" else 0), origin[1]
    if rules.duplicates == "window":
        return False
    return offset in marks[source] if rules.duplicates == "pairs" else bool(offset <= marks[source])


def _marked(rules: Rules, marks: tuple[Any, ...], origin: tuple[int, int]) -> tuple[Any, ...]:
    source, offset = (origin[0] if rules.duplicates != "one-mark" else 0), origin[1]
    mark = tuple(sorted((*marks[source], offset))) if rules.duplicates == "pairs" else offset
    return (*marks[:source], mark, *marks[source + 1 :])


def _answered(run: Waiting, command: Command, now: int, outputs: list[Output]) -> Waiting | Finished:
    seq, answers = run.seq + 1, (*run.answers, command.detail[1])
    outputs.append(Transition(command.run, seq, ("Step", run.definition, now, command.detail[1])))
    if run.stage < run.definition:
        outputs.append(Task(command.run, run.stage + 1))
        return Waiting(seq, now + 1, run.stage + 1, run.definition, answers)
    outputs.append(Transition(command.run, seq + 1, ("Completed", run.definition, now, answers)))
    return Finished(seq + 1, now)
