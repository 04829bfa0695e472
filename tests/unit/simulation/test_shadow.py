"""Shadow replay: runs that were played for real are played again by another content, without effects."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, read_content
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import OperationError
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.shadow import Shadow, recorded_of, shadow
from streamflow.simulation.driver import Simulation
from streamflow.simulation.shadow import Recorded, replay

CATALOG = """
events:
  - name: order
    topics: [orders]
    key: {path: id}
    schema: {type: object, required: [id, cents], properties: {id: {type: string}, cents: {type: integer}}}
  - name: paid
    topics: [payments]
    key: {path: id}
    schema: {type: object, properties: {id: {type: string}}}
operations:
  - {name: risk, input: {type: object}, output: {type: object, properties: {high: {type: boolean}}}}
  - {name: ship, input: {type: object}, output: {type: object}}
  - {name: fax, input: {type: object}, output: {type: object}}
"""
ORDERS = """
name: orders
version: "1"
on: [{id: order, event: order}]
steps:
  - id: score
    call: {operation: risk, with: [{name: id, expr: trigger.id}], retry: {attempts: 3, backoff: 1s}}
  - id: size
    needs: [score]
    choose:
      - {id: large, if: trigger.cents > 1000 || steps.score.high}
      - {id: small}
  - id: ask
    needs: [size.large]
    approval: {text: "'ship?'", who: [ann], within: 1d}
  - id: pay
    needs: [size.small, ask.approved]
    join: any
    wait: {events: [{id: came, event: paid}], within: 2h}
  - id: send
    needs: [pay.came]
    call: {operation: ship, with: [{name: id, expr: trigger.id}]}
"""


def pair_of(text: str) -> tuple[Definition, Catalog]:
    return read_content(canonical(parse_definition(text), parse_catalog(CATALOG)))


def play(text: str = ORDERS) -> tuple[Simulation, Snapshot]:
    """Six runs as they really happened, and what was published then."""
    failures = {"o-2": 1}

    def risk(input: Any, _task: Any) -> Any:
        if failures.get(input["id"], 0):
            failures[input["id"]] -= 1
            raise OperationError("busy", "try again")
        return {"high": input["id"] == "o-3"}

    simulation = Simulation(operations={"risk": risk, "ship": lambda input, task: {}})
    definition, catalog = parse_definition(text), parse_catalog(CATALOG)
    sha = simulation.publish(definition, catalog)
    for number, cents in enumerate((500, 800, 900, 2000, 3000, 400), 1):
        simulation.send("order", {"id": f"o-{number}", "cents": cents})
    simulation.advance("10m")
    runs = {one.key: one.run for one in simulation.transitions()}
    simulation.decide(runs["o-3"], "ask", "approved", "ann")
    simulation.decide(runs["o-4"], "ask", "rejected", "ann")
    simulation.advance("1m")
    for number in (1, 2, 3):
        simulation.send("paid", {"id": f"o-{number}"})
    simulation.advance("3d")
    log = Snapshot()
    log.read(f"definition/{sha}".encode(), canonical(definition, catalog), 0)
    log.read(b"version/orders@1", f'{{"sha": "{sha}"}}'.encode(), 1)
    log.read(b"name/orders", f'{{"version": "1", "sha": "{sha}"}}'.encode(), 2)
    return simulation, log


@pytest.fixture(scope="module")
def played() -> tuple[Simulation, Snapshot]:
    return play()


def recorded(simulation: Simulation) -> list[Recorded]:
    return recorded_of(simulation.transitions(), simulation.runs())


def shadowed(played: tuple[Simulation, Snapshot], *changes: tuple[str, str]) -> Shadow:
    simulation, log = played
    text = ORDERS
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return shadow(log, recorded(simulation), pair_of(text))


def results(found: Shadow) -> dict[str, str]:
    return {row.key: row.result for row in found.rows}


def test_a_replay_by_the_same_content_goes_as_the_run_went(played: tuple[Simulation, Snapshot]) -> None:
    simulation, _ = played
    for one in recorded(simulation):
        real = replay(one, pair_of(ORDERS))
        assert real.status == "completed"
        assert not real.unanswered
    found = shadowed(played)

    assert results(found) == {f"o-{number}": "same" for number in range(1, 7)}
    assert (found.summary().runs, found.summary().same, found.against) == (6, 6, "1")


def test_runs_that_would_end_differently_are_named_with_the_step(played: tuple[Simulation, Snapshot]) -> None:
    found = shadowed(played, ("> 1000", "> 2500"))

    assert results(found) == {f"o-{number}": "different" if number == 4 else "same" for number in range(1, 7)}
    (row,) = [one for one in found.rows if one.result == "different"]
    assert row.first == "size"
    assert row.before is not None
    assert row.after is not None
    assert "ask.rejected" in row.before["path"]
    assert row.after["path"] == ["score", "size.small", "pay.timeout"]
    assert "path" in row.what


@pytest.mark.parametrize(
    ("change", "keys", "first", "what"),
    [
        (("within: 2h", "within: 1m"), {"o-1", "o-2", "o-3"}, "pay", "path"),
        (("attempts: 3", "attempts: 1"), {"o-2"}, "score", "path"),
        (("ship, with: [{name: id,", "ship, with: [{name: ident,"), {"o-1", "o-2", "o-3"}, "send", "calls"),
    ],
)
def test_each_kind_of_change_is_found(
    played: tuple[Simulation, Snapshot], change: tuple[str, str], keys: set[str], first: str, what: str
) -> None:
    found = shadowed(played, change)

    different = [row for row in found.rows if row.result == "different"]
    assert {row.key for row in different} == keys
    assert {row.first for row in different} == {first}
    assert all(what in row.what for row in different)


def test_what_calls_something_new_cannot_be_compared(played: tuple[Simulation, Snapshot]) -> None:
    found = shadowed(played, ("operation: ship", "operation: fax"))

    assert {row.why for row in found.rows if row.result == "incomparable"} == {"no answer of fax was recorded"}
    assert found.count("incomparable") == 3


def test_what_was_cut_off_or_is_open_is_not_replayed(played: tuple[Simulation, Snapshot]) -> None:
    simulation, log = played
    cut = [one for one in simulation.transitions() if not (one.key == "o-1" and one.seq == 1)]
    ended = [one for one in cut if not (one.key == "o-2" and one.type == "RunCompleted")]
    found = shadow(log, recorded_of(ended, simulation.runs()), pair_of(ORDERS))

    assert {row.key: row.why for row in found.rows if row.result == "incomparable"} == {
        "o-1": "its history is not complete",
        "o-2": "it has not ended",
    }


def test_a_replay_has_no_effects(played: tuple[Simulation, Snapshot]) -> None:
    simulation, _ = played
    before = len(simulation.transitions()), len(simulation.tasks.calls)
    shadowed(played, ("> 1000", "> 2500"))

    assert (len(simulation.transitions()), len(simulation.tasks.calls)) == before
