"""Definitions for tests of mailboxes."""

from __future__ import annotations

from typing import Any

from streamflow.engine.effects import Unclaimed
from streamflow.engine.mailbox.records import EMPTY, Box, box_key, mailbox_name
from streamflow.engine.outcome import Decision
from streamflow.engine.transitions import WaitSatisfied
from tests.unit.engine.bench import Bench

GATE: dict[str, Any] = {"id": "gate", "wait": {"events": [{"id": "go", "event": "go"}], "forever": True}}


def a_wait(id: str = "w", *, after: str | None = None, where: str | None = None, **wait: Any) -> dict[str, Any]:
    """A step that waits for `paid`."""
    clause = {"id": "paid", "event": "paid"} | ({"where": where} if where else {})
    limit = {} if "within" in wait else {"forever": True}
    return {"id": id, "wait": {"events": [clause], **limit, **wait}} | ({"needs": [after]} if after else {})


def box(bench: Bench, key: str = "k1") -> Box:
    found: Box = bench.overlay.get(box_key(mailbox_name(bench.plan.name, key))) or EMPTY
    return found


def claims(decision: Decision) -> list[tuple[str, str, str]]:
    """(run, step, event id) of the claims of a decision."""
    return [(t.run, t.step or "", t.data.event.id) for t in decision.transitions if isinstance(t.data, WaitSatisfied)]


def unclaimed(decision: Decision) -> list[tuple[str, str, str]]:
    """(event id, outcome, reason) of what a decision publishes as unclaimed."""
    return [(e.id, e.outcome, e.reason) for e in decision.effects if isinstance(e, Unclaimed)]


def tally(bench: Bench) -> dict[str, int]:
    found: dict[str, int] = bench.overlay.get(f"tally/{bench.plan.name}") or {}
    return found
