"""What a load run sends, and when: instances of scenarios, begun at a steady rate, whatever becomes of those before.

Times are intended ones, fixed before anything is sent (an open loop). Who measures from them sees a stall as the delay
of everything that should have been sent meanwhile ("coordinated omission" is what a generator does that waits for
answers, and then finds that few were slow).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import operation_names
from streamflow.definition.duration import parse_ms
from streamflow.definition.model import Definition
from streamflow.definition.schema_faults import schema_faults
from streamflow.definition.validation import compiled
from streamflow.errors import Rejected
from streamflow.load.record import load_event
from streamflow.simulation.instances import Instances, Naming
from streamflow.simulation.scenarios import Answer, Scenario, start_ms
from streamflow.simulation.stage import Checked
from streamflow.simulation.volume import Volume, measure_volume

_NAMED = 3  # operations, or scenarios, that a message names
_UNSENDABLE = ("scenario_unplayable", "payload_no_object")  # of one scenario: others can be sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How much load is asked for."""

    rate: float  # scenarios begun a second
    seconds: float  # for how long they are begun
    gap_s: float  # between an action of a scenario and its next one
    longest_wait_s: float  # that a scenario may have; those that wait longer are left out
    naming: Naming


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One action of a scenario that sends something."""

    place: int  # among the actions of the scenario
    at_s: float  # after the beginning of the instance
    clock_ms: int  # what time it is then by the scenario's clock, in epoch milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A scenario that is sent."""

    name: str
    instances: Instances
    moments: tuple[Moment, ...]
    volume: Volume  # of one instance, in the simulator


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole load run. `left_out` are scenarios that cannot be sent, each with the reason."""

    asked: Asked
    scripts: tuple[Script, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        """Instances that are begun."""
        return max(1, round(self.asked.rate * self.asked.seconds))

    @property
    def events_per_instance(self) -> float:
        """Events that an instance sends, on average."""
        return sum(len(script.moments) for script in self.scripts) / len(self.scripts)

    def expected(self, count: int) -> Counter[str]:
        """The runs of the first `count` instances by how the simulator ended them."""
        found: Counter[str] = Counter()
        for place, script in enumerate(self.scripts):
            times = len(range(place, count, len(self.scripts)))
            found.update({status: runs * times for status, runs in script.volume.statuses.items()})
        return +found


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """One action of one instance."""

    at_s: float  # after the beginning of the load run
    number: int  # of the instance
    place: int  # of the action within the moments of its script

    @property
    def first(self) -> bool:
        """Whether its instance begins with it."""
        return self.place == 0


def schedule(plan: Plan) -> Iterator[Due]:
    """Every action, in the order of its time. Instances take the scripts in turn."""
    waiting: list[Due] = []
    for number in range(plan.count):
        begins_s = number / plan.asked.rate
        while waiting and waiting[0].at_s <= begins_s:
            yield heapq.heappop(waiting)
        for place, moment in enumerate(plan.scripts[number % len(plan.scripts)].moments):
            heapq.heappush(waiting, Due(begins_s + moment.at_s, number, place))
    while waiting:
        yield heapq.heappop(waiting)


def plan_load(
    scenarios: Sequence[Scenario],
    answers: Mapping[str, list[Answer]],
    definition: Definition,
    catalog: Catalog,
    asked: Asked,
    children: Sequence[Checked] = (),
) -> Plan:
    """The plan of a load run of `scenarios`, each of which is played in the simulator before. `answers` are those of
    operations where a scenario has none; the real ones are asked in a load run.

    Raises Rejected: `load_impossible` when no scenario can be sent, `mark_not_numeric` or `mark_refused` when keys
    with the mark are none that the catalog allows."""
    scripts: list[Script] = []
    left_out: list[tuple[str, str]] = []
    for scenario in scenarios:
        moments = _moments(scenario, asked.gap_s)
        if isinstance(moments, str):
            left_out.append((scenario.name, moments))
        elif moments[-1].at_s - moments[0].at_s > asked.longest_wait_s:
            longest = f"at most {asked.longest_wait_s:g} s are allowed (--longest-wait)"
            left_out.append((scenario.name, f"it takes {moments[-1].at_s:.0f} s, and {longest}"))
        else:
            try:
                _require_legal(Instances(scenario, catalog, (), asked.naming), catalog)
                volume = measure_volume(scenario, definition, catalog, answers, children, asked.naming)
            except Rejected as error:
                if error.code not in _UNSENDABLE:
                    raise
                left_out.append((scenario.name, error.message.rstrip(".")))
                continue
            instances = Instances(scenario, catalog, volume.keys, asked.naming)
            scripts.append(Script(name=scenario.name, instances=instances, moments=moments, volume=volume))
    if not scripts:
        why = "; ".join(f"{name!r}: {reason}" for name, reason in left_out[:_NAMED]) or "there are none"
        raise Rejected("load_impossible", f"No scenario of {definition.name} can be sent: {why}. Give others.")
    return Plan(asked=asked, scripts=tuple(scripts), left_out=tuple(left_out))


def require_leave_to_call(definition: Definition, children: Sequence[Checked], *, granted: bool) -> None:
    """Raises Rejected (`load_calls`) when runs call operations, unless that is `granted`."""
    names = sorted({name for one in (definition, *(child for child, _ in children)) for name in operation_names(one)})
    if names and not granted:
        called = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        raise Rejected(
            "load_calls",
            f"Runs of {definition.name} call {called}, and a load run has them called for real. Bind them to a test "
            "system in this environment, and give --real-calls.",
        )


def _moments(scenario: Scenario, gap_s: float) -> tuple[Moment, ...] | str:
    """When each action sends something; or why the scenario cannot be sent."""
    clock_ms, at_s = start_ms(scenario.clock), 0.0
    found: list[Moment] = []
    for place, action in enumerate(scenario.do):
        if action.decide is not None or action.operate is not None:
            return "a person decides in it"
        if action.wait is not None:
            passed_ms = parse_ms(action.wait)
            clock_ms, at_s = clock_ms + passed_ms, at_s + passed_ms / 1000
            continue
        found.append(Moment(place=place, at_s=at_s, clock_ms=clock_ms))
        at_s += gap_s
    if not found:
        return "it sends nothing"
    first_s = found[0].at_s
    return tuple(Moment(place=one.place, at_s=one.at_s - first_s, clock_ms=one.clock_ms) for one in found)


def _require_legal(instances: Instances, catalog: Catalog) -> None:
    """Raises Rejected (`mark_refused`) when the first instance has an event that does not fit its schema."""
    for action in instances.scenario(0).do:
        spec = catalog.event(action.send.event) if action.send is not None else None
        if action.send is None or spec is None or not spec.schema_:
            continue
        payload = msgspec.json.decode(load_event(spec, action.send, sent_ms=0, clock_ms=0, source="/").value)
        wrong = schema_faults(compiled(spec.schema_), payload)
        if wrong:
            text = f"With a marked key or id the event {spec.name} does not fit its schema: {wrong}"
            raise Rejected("mark_refused", f"{text.rstrip('.')}. Give another mark with --mark.")
