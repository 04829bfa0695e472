"""A simulation for tests of what is done outside: one definition, operations as functions, and what can be asked of it
afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow.definition.catalog import Catalog, ChildSpec
from streamflow.definition.model import Definition
from streamflow.engine.tasks import CancelTask, Task
from streamflow.errors import OperationError
from streamflow.simulation.driver import Simulation
from streamflow.wire.tasks import decode_task
from tests.builders import a_catalog, a_definition, events_of, operations_of

CALL = {"operation": "pay"}


def world(*steps: dict[str, Any], operations: dict[str, Callable[..., Any]] | None = None, **more: Any) -> Simulation:
    event_bytes = more.pop("event_bytes", 512_000)
    simulation = Simulation(operations=operations, limits=more.pop("limits", None), event_bytes=event_bytes)
    publish(simulation, a_definition(*steps, **more))
    return simulation


def publish(simulation: Simulation, definition: Definition, *children: ChildSpec) -> str:
    catalog = a_catalog(*events_of(definition), operations=operations_of(definition))
    return simulation.publish(
        definition, Catalog(events=catalog.events, operations=catalog.operations, definitions=list(children))
    )


def started(simulation: Simulation, data: Any = None) -> str:
    simulation.send("placed", data if data is not None else {}, key="k1")
    simulation.run_until_quiet()
    return next(t.run for t in simulation.transitions() if t.definition == "order")


def facts(simulation: Simulation, run: str) -> list[str]:
    return [f"{t.type} {t.step}" if t.step else t.type for t in simulation.history(run)]


def of(simulation: Simulation, run: str, kind: type) -> list[Any]:
    return [t.data for t in simulation.history(run) if isinstance(t.data, kind)]


def ended(simulation: Simulation, run: str) -> Any:
    return simulation.history(run)[-1].data


def cancelled_tasks(simulation: Simulation) -> list[str]:
    records = [
        record
        for name, topic in simulation.log.topics.items()
        if name.startswith("tasks.")
        for record in topic.records()
    ]
    return [task.id for record in records if isinstance(task := decode_task(record.value or b""), CancelTask)]


def left_behind(simulation: Simulation) -> list[str]:
    """The records of the state that no run should leave behind."""
    simulation.checkpoint()
    kept = ("own", "content/", "mark/", "tally/", "window/", "seen/", "trail/")
    return [key for changelog in simulation.log.changelogs for key in changelog.state() if not key.startswith(kept)]


def failing(times: int, code: str = "busy", **more: Any) -> Callable[[Any, Task], Any]:
    """An operation that fails so many times."""

    def run(input: Any, task: Task) -> Any:
        if task.attempt <= times:
            raise OperationError(code, "try later", **more)
        return {"attempt": task.attempt}

    return run


def a_list(items: str = "trigger.ids", at_once: int = 2, **call: Any) -> dict[str, Any]:
    values = [{"name": "id", "expr": "item"}, {"name": "index", "expr": "index"}]
    return {
        "id": "each",
        "each": {"items": items, "at_once": at_once},
        "call": {"operation": "pay", "with": values, **call},
    }
