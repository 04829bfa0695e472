"""The definitions log of a simulation, and each worker's view of it: how far it has read, so that a worker may lag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from streamflow.definition import content as contents
from streamflow.definition.catalog import Binding, Catalog
from streamflow.definition.compile import plan_of
from streamflow.definition.model import Definition
from streamflow.definition.plan import Plan
from streamflow.engine.commands import DefinitionRef
from streamflow.engine.match import Published

compiled = lru_cache(maxsize=256)(plan_of)  # plans never change, so all simulations of a process may share them


class Definitions:
    """What was published, in order. Offsets are places in it."""

    def __init__(self) -> None:
        self.contents: dict[str, tuple[str, int]] = {}  # by sha: content, offset
        self.plans: dict[str, Plan] = {}
        self.bindings: dict[str, Binding] = {}
        self._served: list[Published] = []
        self.end = 0

    def publish(self, definition: Definition, catalog: Catalog, now_ms: int) -> str:
        """Publish a version, and bind its events to the topics that `catalog` says; its sha256. Raises ValueError if
        the version is there with other content, DefinitionError if it does not compile."""
        content = contents.canonical(definition, catalog)
        sha = contents.sha256_of(content)
        specs = {spec.name: spec for spec in contents.read_content(content)[1].events}
        plan = self.plans[sha] = compiled(content)
        for live in self._served:
            if (live.plan.name, live.plan.version) == (plan.name, plan.version) and live.plan.sha != sha:
                raise ValueError(
                    f"expected {plan.name}@{plan.version} to be new but it is published with other content. Raise the "
                    "version."
                )
        self.bindings |= {
            spec.name: Binding(topics=spec.topics, start=spec.start)
            for spec in catalog.events
            if spec.name in specs and spec.topics
        }
        if sha not in self.contents:
            self.contents[sha] = (content.decode(), self.end)
            self.end += 1
            older = [replace(p, newest=p.newest and p.plan.name != plan.name) for p in self._served]
            self._served = [
                *older,
                Published(plan=plan, specs=specs, at=self.contents[sha][1], newest=True, published_ms=now_ms),
            ]
        return sha

    def topic(self, event: str) -> str | None:
        """The topic that an emitted event is bound to."""
        binding = self.bindings.get(event)
        return binding.topics[0] if binding is not None else None

    def published(self) -> tuple[Published, ...]:
        """Every version that is served, its events found where they are bound to now."""
        return tuple(
            replace(live, specs={name: spec.bound(self.bindings.get(name)) for name, spec in live.specs.items()})
            for live in self._served
        )


class Reader:
    """One worker's view (`engine.outcome.Contents`). Lags when `position` is set below the log's end."""

    def __init__(self, log: Definitions) -> None:
        self._log = log
        self.position = 0

    def catch_up(self) -> None:
        self.position = self._log.end

    def readable(self, start: DefinitionRef) -> bool:
        """Whether the log has been read past the offset that `start` names."""
        return self.position > start.log_offset

    def content(self, start: DefinitionRef) -> str | None:
        found = self._log.contents.get(start.sha256)
        return found[0] if found is not None and found[1] <= start.log_offset else None

    def topic(self, event: str) -> str | None:
        """The topic that an emitted event is bound to."""
        return self._log.topic(event)

    def plan(self, sha: str, content: Callable[[], str]) -> Plan:
        plan = self._log.plans.get(sha)
        if plan is None:
            plan = self._log.plans[sha] = compiled(content().encode())
        return plan
