"""Approvals: people answer, once and in time."""

from __future__ import annotations

from typing import Any

from tests.unit.engine.outside import ended, left_behind, started, world


def test_an_approval_waits_for_a_person() -> None:
    steps: list[dict[str, Any]] = [
        {"id": "ask", "approval": {"text": "'pay ' + string(trigger.n) + '?'", "who": ["boss"], "within": "1h"}},
        {
            "id": "yes",
            "needs": ["ask.approved"],
            "set": [{"name": "by", "expr": "steps.ask.by + ' ' + steps.ask.data.why"}],
        },
        {"id": "no", "needs": ["ask.rejected"], "print": {"text": "'no'"}},
        {"id": "late", "needs": ["ask.timeout"], "print": {"text": "'late'"}},
    ]
    simulation = world(*steps, output="yes")
    run = started(simulation, {"n": 5})
    simulation.decide(run, "ask", "approved", "ann", {"why": "fine"})
    simulation.decide(run, "ask", "rejected", "bob")
    simulation.run_until_quiet()
    assert ended(simulation, run).output == {"by": "ann fine"}
    assert simulation.dead_letters()[0]["code"] == "run_unknown"
    simulation.send("placed", {"n": 6}, key="k1")
    simulation.advance("61m")
    late = simulation.runs()[1]
    assert ended(simulation, late).ended == ("late",)
    assert left_behind(simulation) == []


def test_an_answer_to_a_step_that_does_not_ask_is_refused() -> None:
    simulation = world({"id": "hold", "delay": {"for": "1h"}})
    run = started(simulation)
    simulation.decide(run, "hold", "approved", "ann")
    simulation.run_until_quiet()
    assert simulation.dead_letters()[0]["code"] == "not_approving"
