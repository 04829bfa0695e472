"""What a scenario costs, counted in the simulator, whose records are those of production: commands, transitions, tasks,
and the bytes of each topic, for one of many instances.

The first instance brings what is there once, such as the content of the definition in the state; the second one is
counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streamflow.core.outputs import AUDIT, DEAD_LETTERS, TASKS
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.engine.commands import AdvanceWatermark
from streamflow.errors import Rejected
from streamflow.simulation.comparison import path
from streamflow.simulation.driver import Simulation
from streamflow.simulation.instances import Instances, Naming
from streamflow.simulation.log import COMMANDS, RUNS, UNCLAIMED, Stored
from streamflow.simulation.scenarios import Answer, Scenario
from streamflow.simulation.stage import Checked, Played, Stage, Unplayable, play
from streamflow.wire.codec import decode_command

_RECORD_BYTES, _HEADER_BYTES = 12, 2  # Kafka's own of a record and of each header (format v2), about
NAMING = Naming(mark="v")
_EMITTED = "ce_streamflowrun"  # the header of events that a run emits
_HEAD = "run/"  # of the key of an open run's record
_OTHERS = (DEAD_LETTERS, UNCLAIMED, AUDIT)
ENDED = {"RunCompleted": "completed", "RunFailed": "failed", "RunCancelled": "cancelled"}
OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Records of one kind."""

    records: int = 0
    bytes: int = 0  # of keys, values, headers and what Kafka adds to each, uncompressed and of one replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the state holds because of a scenario."""

    records: int = 0
    bytes: int = 0  # of keys and values
    runs: int = 0  # that are open


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What one instance of a scenario costs."""

    name: str  # of the scenario
    statuses: Mapping[str, int]  # runs of the definition itself by how they end: completed, failed, cancelled or open
    keys: tuple[str, ...]  # of the runs that the scenario itself starts, before they are replaced
    children: int  # runs of other definitions that these start
    events: Amount  # that the scenario sends
    commands: Amount  # watermarks left out
    transitions: Amount
    tasks: Mapping[str, Amount]  # by lane: attempts and cancellations
    emitted: Amount  # events that runs send
    others: Amount  # dead letters, events that no run took, and the audit
    changelog: Amount  # written to `state`, with a checkpoint after each action
    waiting: Held  # between two actions, where that is most and a run is open
    kept: Held  # at the end, if every run has ended: it stays as long as repeated events are known

    @property
    def runs(self) -> int:
        """Runs of the definition itself."""
        return sum(self.statuses.values())


def measure_volume(
    scenario: Scenario,
    definition: Definition,
    catalog: Catalog,
    answers: Mapping[str, list[Answer]],
    children: Sequence[Checked] = (),
    naming: Naming = NAMING,
) -> Volume:
    """The volume of `scenario`, whose instances are called as `naming` says; other arguments as for `play`. Raises
    Rejected: `scenario_unplayable` when it cannot be played, or goes another way with other keys, and what `Instances`
    raises."""
    meant = play(scenario, definition, catalog, answers, children)
    if meant.faults:
        raise Rejected("scenario_unplayable", f"The scenario {scenario.name!r} cannot be played: {meant.faults[0][1]}.")
    keys = tuple(history[0].key for history in meant.histories)
    instances = Instances(scenario, catalog, keys, naming)
    stage = Stage(instances.scenario(0), definition, catalog, {**answers, **scenario.operations}, children)
    _act(stage)
    before, began = _Census(stage.simulation), len(stage.simulation.runs())
    stage.scenario = instances.scenario(1)
    peak, now = Held(), before
    for place in range(len(stage.scenario.do)):
        _act(stage, place)
        now = _Census(stage.simulation)
        held = now.held_since(before)
        peak = held if held.runs and held.bytes > peak.bytes else peak
    started = [stage.simulation.history(run) for run in stage.simulation.runs()[began:]]
    own = [history for history in started if history[0].definition == definition.name]
    _require_same_way(scenario, meant, [tuple(path(history)) for history in own])
    rest = now.held_since(before)
    return Volume(
        name=scenario.name,
        statuses=Counter(ENDED.get(history[-1].type, OPEN) for history in own),
        keys=keys,
        children=len(started) - len(own),
        events=now.since(before, "events"),
        commands=now.since(before, COMMANDS),
        transitions=now.since(before, RUNS),
        tasks={lane.removeprefix(TASKS): now.since(before, lane) for lane in now.lanes},
        emitted=now.since(before, "emitted"),
        others=now.since(before, "others"),
        changelog=now.since(before, "changelog"),
        waiting=peak,
        kept=Held() if rest.runs else rest,
    )


def _act(stage: Stage, only: int | None = None) -> None:
    for place, action in enumerate(stage.scenario.do):
        if only in (None, place):
            try:
                stage.act(action)
            except Unplayable as error:
                text = f"The scenario {stage.scenario.name!r} cannot be played with other keys: {error}."
                raise Rejected("scenario_unplayable", text) from error


def _require_same_way(scenario: Scenario, meant: Played, paths: list[tuple[str, ...]]) -> None:
    if sorted(meant.paths) != sorted(paths):
        text = f"The scenario {scenario.name!r} goes another way with other keys and ids."
        why = "Something in it reads them, or a schema does not take them. Choose other scenarios."
        raise Rejected("scenario_unplayable", f"{text} {why}")


class _Census:
    """All records of a simulation at one moment."""

    def __init__(self, simulation: Simulation) -> None:
        self._amounts: dict[str, Amount] = {}
        for name, topic in simulation.log.topics.items():
            for record in topic.records():
                kind = _kind(name, record)
                if kind is not None:
                    self._add(kind, 1, size_of(record.key, record.value, record.headers))
        for changelog in simulation.log.changelogs:
            self._add("changelog", changelog.end, changelog.written + _RECORD_BYTES * changelog.end)
        self._state = {
            key: len(key.encode()) + len(value)
            for changelog in simulation.log.changelogs
            for key, value in changelog.state().items()
        }

    @property
    def lanes(self) -> list[str]:
        """The topics of tasks, without their prefix."""
        return [kind for kind in self._amounts if kind.startswith(TASKS)]

    def since(self, before: _Census, kind: str) -> Amount:
        """The records of a kind that were not there `before`."""
        now, then = self._amounts.get(kind, Amount()), before._amounts.get(kind, Amount())
        return Amount(records=now.records - then.records, bytes=now.bytes - then.bytes)

    def held_since(self, before: _Census) -> Held:
        """What the state holds that it did not hold `before`."""
        grown = [size - before._state.get(key, 0) for key, size in self._state.items()]
        new = [key for key in self._state if key not in before._state]
        return Held(
            records=len(new),
            bytes=sum(size for size in grown if size > 0),
            runs=sum(key.startswith(_HEAD) for key in new),
        )

    def _add(self, kind: str, records: int, size: int) -> None:
        known = self._amounts.get(kind, Amount())
        self._amounts[kind] = Amount(records=known.records + records, bytes=known.bytes + size)


def size_of(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]] = ()) -> int:
    """Bytes of one record, with what Kafka adds to it."""
    own = _RECORD_BYTES + len(key or b"") + len(value or b"")
    return own + sum(_HEADER_BYTES + len(name) + len(text) for name, text in headers)


def _kind(topic: str, record: Stored) -> str | None:
    """What a record counts as; None for watermarks, of which there are as many whatever the load."""
    if topic == COMMANDS:
        return None if isinstance(decode_command(record.value or b""), AdvanceWatermark) else topic
    if topic == RUNS or topic.startswith(TASKS):
        return topic
    if topic in _OTHERS:
        return "others"
    return "emitted" if any(name == _EMITTED for name, _ in record.headers) else "events"
