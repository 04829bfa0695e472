"""What every shadow replay does: lets time pass, and decides as people did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition
from streamflow.simulation.driver import Simulation

_AFTERWARDS_MS = 30 * 86_400_000  # that may pass after the last input, so that longer limits end, too


@dataclass(slots=True)
class Passing:
    """The time of a replay, in which what falls due on the way happens: at most `most` timers in all."""

    simulation: Simulation
    most: int
    _timers: int = field(default=0, init=False)

    def until(self, at_ms: int) -> None:
        """Lets time pass until `at_ms`; it never goes back."""
        simulation = self.simulation
        simulation.run_until_quiet()
        while (due := simulation.next_timer_ms()) is not None and due <= at_ms and self._timers < self.most:
            self._timers += 1
            simulation.clock.move_to(max(due, simulation.clock.now_ms))
            simulation.run_until_quiet()
        simulation.clock.move_to(max(at_ms, simulation.clock.now_ms))
        simulation.run_until_quiet()

    def rest(self) -> None:
        """Lets so much time pass after the last input that open limits end."""
        self.until(self.simulation.clock.now_ms + _AFTERWARDS_MS)


def decide_again(simulation: Simulation, run: str, given: Transition) -> bool:
    """Decides on an approval of `run` as `given`, which is an `ApprovalGiven`. False: the run does not ask for it."""
    assert isinstance(given.data, t.ApprovalGiven)
    last = next((one.data for one in reversed(simulation.history(run)) if one.address == given.address), None)
    if not isinstance(last, t.ApprovalRequested):
        return False
    decision: Literal["approved", "rejected"] = "approved" if given.data.decision == "approved" else "rejected"
    simulation.decide(run, given.address, decision, given.data.by, given.data.data)
    return True
