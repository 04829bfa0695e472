"""The order of a saga, judged by the transitions alone: no undo of a step begins while an attempt of it, or of a step
that called something later, is under way."""

from __future__ import annotations

from streamflow.engine.attempt_transitions import (
    AttemptFailed,
    AttemptSucceeded,
    CallRequested,
    ChildRequested,
    ItemsEnded,
)
from streamflow.engine.transitions import ENDINGS, RunStarted, StepsSkipped, Transition

Attempt = tuple[str, int | None]  # the address of a step, and an item


class UndoneTooEarly(AssertionError):
    """An undo began while an attempt was under way."""


class UndoOrder:
    """Follows the runs of one partition."""

    def __init__(self) -> None:
        self._called: dict[str, list[str]] = {}  # by run: steps in the order of their first calls
        self._under_way: dict[str, set[Attempt]] = {}

    def take(self, transition: Transition) -> None:
        """The next transition of a run. Raises UndoneTooEarly."""
        run, address, data = transition.run, transition.address, transition.data
        if isinstance(data, RunStarted):
            self._called[run], self._under_way[run] = [], set()
        called, under_way = self._called.get(run, []), self._under_way.get(run, set())
        if isinstance(data, CallRequested | ChildRequested):
            if address.endswith(".undo"):
                later = called[called.index(address.removesuffix(".undo")) :]
                if early := sorted(step for step, _ in under_way if step in later):
                    raise UndoneTooEarly(f"{run} undoes {address} while {', '.join(early)} is under way")
                return
            if address not in called:
                called.append(address)
            under_way.add((address, data.item))
        elif isinstance(data, AttemptSucceeded | AttemptFailed):
            under_way.discard((address, data.item))
        elif isinstance(data, ItemsEnded):
            under_way -= {attempt for attempt in under_way if attempt[0] == address}
        elif isinstance(data, StepsSkipped):
            under_way -= {attempt for attempt in under_way if attempt[0] in data.steps}
        elif isinstance(data, ENDINGS):
            self._called.pop(run, None)
            self._under_way.pop(run, None)
