"""What people see of one run: its state at any transition, its Gantt, why steps run or not, and how two runs differ.
All are folds of transitions that the engine made."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.definition.model import Definition
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.ops.comparison import PLACES, compare, places
from streamflow.ops.explanations import explain
from streamflow.ops.gantt import BARS, gantt
from streamflow.ops.history import described
from streamflow.ops.moments import state_at
from streamflow.ops.unclaimed import UnclaimedEvent
from streamflow.simulation.driver import Simulation
from tests.builders import a_catalog, a_definition

ORDER = a_definition(
    {"id": "size", "choose": [{"id": "large", "if": "trigger.amount > 100"}, {"id": "small"}]},
    {
        "id": "check",
        "needs": ["size.large"],
        "call": {"operation": "card.check", "with": [{"name": "n", "expr": "trigger.amount"}]},
    },
    {
        "id": "paid",
        "needs": ["size"],
        "wait": {
            "events": [{"id": "paid", "event": "paid", "where": "event.amount == trigger.amount"}],
            "within": "1d",
        },
    },
    {"id": "ship", "needs": ["paid.paid"], "set": [{"name": "sent", "expr": "true"}]},
    {"id": "remind", "needs": ["paid.timeout"], "print": {"text": "'pay'"}},
    {"id": "gift", "needs": ["size"], "if": "trigger.amount > 1000", "print": {"text": "'gift'"}},
)


class Bench:
    """A simulation with one definition."""

    def __init__(self, definition: Definition, **operations: Any) -> None:
        self.definition = definition
        self.simulation = Simulation(operations={name.replace("_", "."): done for name, done in operations.items()})
        events = ("placed", "paid")
        self.simulation.publish(definition, a_catalog(*events, operations=[n.replace("_", ".") for n in operations]))

    def run(self, key: str = "A-1", *, amount: int = 50) -> str:
        before = set(self.simulation.runs())
        self.simulation.send("placed", {"amount": amount}, key=key)
        self.simulation.run_until_quiet()
        (new,) = set(self.simulation.runs()) - before
        return new

    def history(self, run: str) -> list[Transition]:
        return self.simulation.history(run)

    def why(self, run: str, step: str) -> dict[str, Any]:
        missed = [UnclaimedEvent(0, one) for one in self.simulation.unclaimed()]
        return explain(self.definition, self.history(run), step, unclaimed=missed, topics={"paid": ("paids",)})


@pytest.fixture
def bench() -> Bench:
    return Bench(ORDER, card_check=lambda input, task: {"ok": True})


def test_the_state_at_a_transition_is_the_fold_up_to_it(bench: Bench) -> None:
    run = bench.run()
    bench.simulation.send("paid", {"amount": 50}, key="A-1")
    bench.simulation.run_until_quiet()
    history = bench.history(run)

    for seq in range(1, len(history) + 1):
        found = state_at(history, seq)
        assert found["seq"] == seq
        assert found["steps"] == described(history[:seq])["steps"]
        assert (found["first_seq"], found["last_seq"], found["values"]["trigger"]) == (1, len(history), {"amount": 50})
    assert state_at(history)["status"] == "completed"
    assert state_at(history, 1)["values"]["steps"] == {}
    assert state_at(history)["values"]["steps"]["ship"] == {"sent": True}


@pytest.mark.parametrize("seq", [0, -1, 99])
def test_a_transition_that_is_not_there_is_refused(bench: Bench, seq: int) -> None:
    with pytest.raises(Rejected) as refused:
        state_at(bench.history(bench.run()), seq)
    assert refused.value.code == "seq_unknown"


def test_the_gantt_has_a_row_for_each_step_and_folds_idle_time(bench: Bench) -> None:
    run = bench.run()
    begun = bench.history(run)[0].at_ms
    bench.simulation.advance("10h")
    bench.simulation.send("paid", {"amount": 50}, key="A-1")
    bench.simulation.run_until_quiet()

    found = gantt(bench.history(run))

    rows = {row["step"]: row for row in found["rows"]}
    assert set(rows) == {"size", "check", "paid", "ship", "remind", "gift"}
    (bar,) = rows["paid"]["bars"]
    assert (bar["state"], bar["from_ms"], bar["to_ms"]) == ("waiting", begun, begun + 36_000_000)
    assert (rows["paid"]["outcome"], rows["check"]["state"], rows["check"]["bars"]) == ("paid", "skipped", [])
    assert found["idle"] == [{"from_ms": begun, "to_ms": begun + 36_000_000}]
    assert (found["to_ms"], found["ended"]) == (begun + 36_000_000, True)


def test_a_bar_of_an_open_step_has_no_end(bench: Bench) -> None:
    found = gantt(bench.history(bench.run()))

    assert found["ended"] is False
    (paid,) = [row for row in found["rows"] if row["step"] == "paid"]
    assert (paid["bars"][0]["to_ms"], paid["end_ms"]) == (None, None)


def test_attempts_are_bars_and_many_of_them_are_cut() -> None:
    def refuse(input: Any, task: Any) -> Any:
        raise OperationError("down", "nobody is there")

    retry = {"attempts": 200, "backoff": "1s", "factor": 1}
    bench = Bench(a_definition({"id": "check", "call": {"operation": "card.check", "retry": retry}}), card_check=refuse)
    run = bench.run()
    bench.simulation.advance("90s")

    (row,) = gantt(bench.history(run))["rows"]

    assert {bar["state"] for bar in row["bars"]} == {"calling", "retrying"}
    assert len(row["bars"]) == BARS
    assert row["left_out"] > 0
    assert row["error_code"] == "down"
    assert [bar["from_ms"] for bar in row["bars"]] == sorted(bar["from_ms"] for bar in row["bars"])


@pytest.mark.parametrize(
    ("step", "verdict", "part"),
    [
        ("size", "ran", "ended as small"),
        ("check", "did_not_run", "it needs size.large, but size ended as small"),
        ("paid", "waits", "waits for paid since"),
        ("ship", "not_yet", "it needs paid.paid"),
        ("gift", "did_not_run", "its condition `trigger.amount > 1000` did not hold"),
    ],
)
def test_why_tells_each_kind_of_reason(bench: Bench, step: str, verdict: str, part: str) -> None:
    found = bench.why(bench.run(), step)

    assert found["verdict"] == verdict
    assert part in found["sentence"]


def test_why_a_step_waits_names_the_event_that_came_near(bench: Bench) -> None:
    run = bench.run()
    bench.simulation.send("paid", {"amount": 40}, key="A-1", id="p-1")
    bench.simulation.send("paid", {"amount": 50}, key="A-2", id="p-2")
    bench.simulation.run_until_quiet()

    found = bench.why(run, "paid")

    assert found["waits_for"] == [
        {"id": "paid", "event": "paid", "where": "event.amount == trigger.amount", "key": "A-1", "topics": ["paids"]}
    ]
    assert [(miss["event_id"], miss["reason"]) for miss in found["near_misses"]] == [("p-1", "where_false")]
    assert "the condition of a wait did not hold" in found["sentence"]


def test_why_a_step_after_the_end_did_not_run(bench: Bench) -> None:
    run = bench.run()
    bench.simulation.cancel(run)
    bench.simulation.run_until_quiet()

    assert bench.why(run, "ship")["verdict"] == "did_not_run"
    assert "stopped" in bench.why(run, "paid")["sentence"]


def test_why_a_step_is_parked_and_that_a_person_skipped_it() -> None:
    bench = Bench(a_definition({"id": "must", "require": {"that": "trigger.amount > 100"}}))
    run = bench.run()
    assert bench.why(run, "must")["verdict"] == "parked"
    bench.simulation.skip(run, "must")
    bench.simulation.run_until_quiet()
    assert bench.why(run, "must")["sentence"] == "must was parked, and a person skipped it."


@pytest.mark.parametrize("step", ["nothing", "size.undo", "", "size.large"])
def test_why_refuses_what_is_no_step(bench: Bench, step: str) -> None:
    with pytest.raises(Rejected) as refused:
        bench.why(bench.run(), step)
    assert refused.value.code == "step_unknown"


def test_runs_that_went_alike_do_not_differ(bench: Bench) -> None:
    left, right = bench.run("A-1"), bench.run("A-2")

    found = compare(bench.history(left), bench.history(right))

    assert (found["same"], found["first"], found["same_version"]) == (True, None, True)


def test_the_first_is_the_start_when_that_differs(bench: Bench) -> None:
    left, right = bench.run("A-1", amount=50), bench.run("A-2", amount=500)

    found = compare(bench.history(left), bench.history(right))

    assert found["first"]["differs"] == [{"what": "start", "places": ["/amount"]}]
    differing = {step["step"]: [one["what"] for one in step["differs"]] for step in found["rows"] if step["differs"]}
    assert differing == {"size": ["outcome"], "check": ["input", "outcome", "output"]}


def test_the_first_is_the_earliest_step_that_differs(bench: Bench) -> None:
    left, right = bench.run("A-1"), bench.run("A-2")
    bench.simulation.send("paid", {"amount": 50}, key="A-1")
    bench.simulation.advance("2d")

    found = compare(bench.history(left), bench.history(right))

    assert found["first"]["step"] == "paid"
    assert found["first"]["reason"] == ("The step paid ended as paid in the left run and as timeout in the right one.")


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, ["/a"]),
        ({"a": {"b/c": 1}}, {"a": {"b/c": 2}}, ["/a/b~1c"]),
        ({"a": 1}, {}, ["/a"]),
        ([1, 2], [1], [""]),
        ([1, [2]], [1, [3]], ["/1/0"]),
        (None, {"a": 1}, [""]),
    ],
)
def test_places_of_differences_are_pointers(left: Any, right: Any, expected: list[str]) -> None:
    assert places(left, right) == expected


def test_places_are_bounded_in_number_and_depth() -> None:
    deep: Any = 1
    other: Any = 2
    for _ in range(200):
        deep, other = [deep], [other]
    assert len(places(deep, other)) == 1
    assert len(places({str(n): n for n in range(100)}, {str(n): -n - 1 for n in range(100)})) == PLACES
