"""Decides a fixed list of commands and prints everything that comes of it as bytes, for `test_determinism`."""

from __future__ import annotations

import sys
from typing import Any

from streamflow.engine.builder import Limits
from streamflow.engine.tasks import Task
from streamflow.errors import OperationError
from streamflow.simulation.driver import Simulation
from streamflow.simulation.log import Outgoing
from tests.builders import a_catalog, a_definition, events_of

EVERYTHING = {
    "text": "grüße 中文 \U0001f600 \u2028",
    "big": 9_007_199_254_740_993,
    "huge": 18_446_744_073_709_551_615,
    "low": -9_223_372_036_854_775_808,
    "float": 0.1,
    "exp": 1e22,
    "tiny": 5e-324,
    "minus": -0.0,
    "at": "2026-03-01T10:00:00.123+02:00",
    "list": [3, 1, {"z": 1, "a": [None, True]}],
    "map": {f"key{n}": n for n in range(20)},
}
SETS = [
    ("whole", "trigger"),
    ("made", "{'z': 1, 'a': {'y': trigger.float, 'b': trigger.big}, 'm': trigger.map}"),
    ("sum", "trigger.float + 0.2"),
    ("third", "1.0 / 3.0"),
    ("when", "timestamp(trigger.at) + duration('36h')"),
    ("span", "timestamp(trigger.at) - timestamp('2026-01-01T00:00:00Z')"),
    ("names", "trigger.map.exists(k, k == 'key7')"),
    ("all", "[trigger.map, trigger.list]"),
    ("upper", "trigger.text + string(trigger.big)"),
    ("bytes", "base64.encode(bytes(trigger.text))"),
    ("now", "now"),
    ("who", "run"),
]
VALUES = a_definition(
    {"id": "values", "set": [{"name": name, "expr": expr} for name, expr in SETS]},
    {"id": "show", "needs": ["values"], "print": {"text": "steps.values"}},
    {
        "id": "tell",
        "needs": ["values"],
        "emit": {
            "event": "told",
            "data": [{"name": "map", "expr": "steps.values.made"}, {"name": "all", "expr": "trigger"}],
        },
    },
    {
        "id": "then",
        "needs": ["show", "tell"],
        "wait": {"events": [{"id": "paid", "event": "paid", "where": "event.map == trigger.map"}], "within": "1h"},
    },
    {
        "id": "last",
        "needs": ["then.paid", "then.timeout"],
        "join": "any",
        "set": [{"name": "v", "expr": "trigger.map"}],
    },
    name="values",
)
FAILS = a_definition(
    {"id": "some", "choose": [{"id": "a", "if": "trigger.map.all(k, trigger.map[k] / (trigger.map[k] - 7) > 0)"}]},
    {"id": "other", "set": [{"name": "v", "expr": "trigger.map.exists(k, trigger.none == k)"}]},
    {"id": "third", "if": "trigger.list[7] == 1", "print": {"text": "'x'"}},
    name="fails",
)

ITEM = [{"name": "item", "expr": "{'z': item, 'a': index, 'm': trigger.map}"}, {"name": "now", "expr": "now"}]
RETRY = {"attempts": 3, "backoff": "10s", "codes": [{"id": "busy", "attempts": 2}]}
CALLS = a_definition(
    {
        "id": "list",
        "each": {"items": "trigger.list", "at_once": 2},
        "call": {"operation": "work", "with": ITEM, "retry": RETRY},
        "undo": {"operation": "work"},
    },
    {"id": "gave", "needs": ["list"], "set": [{"name": "all", "expr": "steps.list"}]},
    {
        "id": "ask",
        "needs": ["gave"],
        "approval": {"text": "string(size(steps.list))", "who": ["b", "a"], "form": {"type": "object"}, "within": "1h"},
    },
    {"id": "stop", "needs": ["ask.timeout"], "fail": {"reason": "'nobody'"}},
    name="calls",
    output="gave",
)


def work(input: Any, task: Task) -> Any:
    if task.attempt == 1 and task.item == 1:
        raise OperationError("busy", "later")
    return {"y": task.attempt, "b": input}


def lines() -> list[bytes]:
    """Every record of every topic and of the state, in order."""
    catalog = a_catalog(*dict.fromkeys([*events_of(VALUES), *events_of(FAILS)]), operations=["work"])
    simulation = Simulation(
        partitions=3, source_partitions=2, limits=Limits(transitions=3, window_ms=60_000), operations={"work": work}
    )
    for definition in (VALUES, FAILS, CALLS):
        simulation.publish(definition, catalog)
    keys = ["k1", "grüße", "中文"]
    for key in keys:
        simulation.send("placed", EVERYTHING, key=key)
    simulation.run_until_quiet()
    simulation.send("paid", {"map": EVERYTHING["map"]}, key=keys[0])
    simulation.send("paid", {"map": {}}, key=keys[1])
    simulation.produce("placeds", b"no json", key=b"k1", headers=(("ce_type", b"placed"),))
    simulation.run_until_quiet()
    for run in simulation.runs():
        simulation.retry(run, "some")
        simulation.skip(run, "other")
    state = states(simulation)
    simulation.advance("2h")
    simulation.cancel(next(run for run in simulation.runs() if simulation.head(run) is not None))
    simulation.run_until_quiet()
    found: list[Any] = [
        Outgoing(r.topic, r.partition, r.key, r.value, r.headers)
        for topic in simulation.log.topics.values()
        for r in topic.records()
    ]
    return [repr(one).encode() for one in [*found, *state, *states(simulation), *simulation.printed]]


def states(simulation: Simulation) -> list[Any]:
    simulation.run_until_quiet()
    return [list(partition.store.scan("")) for partition in simulation.open_partitions()]


if __name__ == "__main__":
    sys.stdout.buffer.write(b"\n".join(lines()))
