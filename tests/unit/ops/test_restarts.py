"""What is asked for when a run is started again, and for which runs that is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.model import Definition
from streamflow.engine.commands import Parent
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.restarts import request_of
from streamflow.simulation.driver import Simulation
from tests.builders import a_definition

CATALOG = Catalog.model_validate(
    {
        "events": [
            {
                "name": "placed",
                "topics": ["orders"],
                "schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
            }
        ]
    }
)


def version(number: str, expression: str, **changes: Any) -> Definition:
    return a_definition(
        {"id": "share", "set": [{"name": "n", "expr": expression}]},
        on=[{"id": "placed", "event": "placed"}],
        version=number,
        **changes,
    )


WRONG, RIGHT = version("1", "1 / trigger.n"), version("2", "trigger.n")


def history_of(definition: Definition, data: Any, key: str = "k") -> list[Transition]:
    simulation = Simulation()
    simulation.publish(definition, CATALOG)
    simulation.send("placed", data, key=key)
    simulation.run_until_quiet()
    return simulation.history(simulation.runs()[0])


def published(*definitions: Definition) -> Snapshot:
    log = Snapshot()
    for number, definition in enumerate(definitions):
        content = canonical(definition, CATALOG)
        sha = sha256_of(content)
        records: dict[str, Any] = {
            f"version/{definition.name}@{definition.version}": {"sha": sha},
            f"name/{definition.name}": {"version": definition.version, "sha": sha},
        }
        log.read(f"definition/{sha}".encode(), content, 3 * number)
        for place, (name, value) in enumerate(records.items(), 3 * number + 1):
            log.read(name.encode(), json.dumps(value).encode(), place)
    return log


def code_of(log: Snapshot, history: list[Transition], named: str | None = None) -> str:
    with pytest.raises(Rejected) as caught:
        request_of(log, history, named)
    return caught.value.code


def test_the_new_run_has_key_and_data_of_the_old_one_and_the_newest_version() -> None:
    history = history_of(WRONG, {"n": 0}, "k-7")
    again = request_of(published(WRONG, RIGHT), history)
    command = again.command
    assert (again.version, command.definition, command.key) == ("2", "order", "k-7")
    assert (command.event.name, command.event.data) == ("placed", {"n": 0})
    assert command.id == f"request/restart/{history[0].run}"  # so that it is served once
    assert command.start.sha256 == sha256_of(canonical(RIGHT, CATALOG))


def test_a_version_may_be_named() -> None:
    history = history_of(WRONG, {"n": 0})
    assert request_of(published(WRONG, RIGHT), history, "1").version == "1"
    assert code_of(published(WRONG, RIGHT), history, "3") == "version_unknown"


def test_the_same_version_again_is_refused_unless_it_is_named() -> None:
    history = history_of(WRONG, {"n": 0})
    assert code_of(published(WRONG), history) == "version_same"
    assert request_of(published(WRONG), history, "1").version == "1"


def test_data_that_the_new_version_does_not_take_is_refused() -> None:
    history = history_of(WRONG, {"n": 0})
    log = published(WRONG)
    narrow = Catalog.model_validate(
        {"events": [{"name": "placed", "topics": ["orders"], "schema": {"properties": {"n": {"minimum": 1}}}}]}
    )
    content = canonical(RIGHT, narrow)
    sha = sha256_of(content)
    log.read(f"definition/{sha}".encode(), content, 10)
    log.read(b"version/order@2", json.dumps({"sha": sha}).encode(), 11)
    log.read(b"name/order", json.dumps({"version": "2", "sha": sha}).encode(), 12)
    assert code_of(log, history) == "schema_mismatch"


def test_a_completed_run_is_not_started_again() -> None:
    assert code_of(published(RIGHT), history_of(RIGHT, {"n": 1})) == "run_completed"


def test_a_child_run_is_started_again_with_its_parent() -> None:
    first, *others = history_of(WRONG, {"n": 0})
    assert isinstance(first.data, RunStarted)
    parent = Parent(run="0000002a-main-1", key="k", address="child", attempt=1)
    child = msgspec.structs.replace(first, data=msgspec.structs.replace(first.data, parent=parent))
    assert code_of(published(WRONG, RIGHT), [child, *others]) == "run_is_child"


def test_a_run_whose_beginning_has_expired_is_told() -> None:
    assert code_of(published(WRONG, RIGHT), history_of(WRONG, {"n": 0})[1:]) == "run_unknown"
