"""The graph of a definition: which step needs which, in what order they stand in the plan, and what lies before
each."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from streamflow.definition.model import Definition, Step
from streamflow.definition.steps.registry import form_of


def kind_of(step: Step) -> str:
    """The kind of work of `step`: the first that is written, or empty."""
    form = form_of(step)
    return form[0].name if form is not None else ""


def outcomes_of(step: Step) -> tuple[str, ...]:
    """The outcomes that a need may name: the events of a wait and `timeout`, the branches of a choose, the decisions of
    an approval and `timeout`, `failure` and `timeout` of a call or a child run; other kinds have none to name."""
    form = form_of(step)
    return form[0].outcomes(form[1]) if form is not None else ()


class Graph:
    """The needs of a definition, also of a faulty one: needs of unknown steps are left out, and a second step with an
    id is ignored.

    `order` holds all step ids topologically, ties as written (steps in a cycle come last); `needs` the ids of the steps
    that each needs; `dependents` those that need it, in plan order; `ancestors` all steps before it; `cycles` the ids
    around each cycle, separate ones only."""

    def __init__(self, definition: Definition) -> None:
        self.steps: dict[str, Step] = {}
        for step in definition.steps:
            self.steps.setdefault(step.id, step)
        self.needs = {
            id_: tuple(
                dict.fromkeys(need.partition(".")[0] for need in step.needs if need.partition(".")[0] in self.steps)
            )
            for id_, step in self.steps.items()
        }
        self.order = self._ordered()
        place = {id_: index for index, id_ in enumerate(self.order)}
        below: dict[str, list[str]] = {id_: [] for id_ in self.order}
        for id_ in self.order:
            for need in self.needs[id_]:
                below[need].append(id_)
        self.dependents = {id_: tuple(sorted(ids, key=place.__getitem__)) for id_, ids in below.items()}
        self.ancestors: dict[str, frozenset[str]] = {}
        for id_ in self.order:
            self.ancestors[id_] = frozenset(self.needs[id_]).union(
                *(self.ancestors.get(need, frozenset()) for need in self.needs[id_])
            )

    def _ordered(self) -> tuple[str, ...]:
        written = {id_: index for index, id_ in enumerate(self.steps)}
        missing = {id_: len(needs) for id_, needs in self.needs.items()}
        below: dict[str, list[str]] = {id_: [] for id_ in self.steps}
        for id_, needs in self.needs.items():
            for need in needs:
                below[need].append(id_)
        ready = [(written[id_], id_) for id_, count in missing.items() if count == 0]
        heapq.heapify(ready)
        order: list[str] = []
        while ready:
            id_ = heapq.heappop(ready)[1]
            order.append(id_)
            for dependent in below[id_]:
                missing[dependent] -= 1
                if missing[dependent] == 0:
                    heapq.heappush(ready, (written[dependent], dependent))
        rest = {id_: None for id_ in self.steps if missing[id_] > 0}
        self.cycles = tuple(self._cycles(dict(rest)))
        return (*order, *rest)

    def _cycles(self, rest: dict[str, None]) -> Iterator[tuple[str, ...]]:
        """One circle, then those that are left without its steps, until no step needs another that is left."""
        written = list(self.steps)
        while True:
            while free := [id_ for id_ in rest if not any(need in rest for need in self.needs[id_])]:
                for id_ in free:
                    del rest[id_]
            if not rest:
                return
            path = [next(iter(rest))]
            while (following := next(need for need in self.needs[path[-1]] if need in rest)) not in path:
                path.append(following)
            circle = tuple(reversed(path[path.index(following) :]))
            first = min(range(len(circle)), key=lambda index: written.index(circle[index]))
            yield (*circle[first:], *circle[:first])
            for id_ in circle:
                del rest[id_]
