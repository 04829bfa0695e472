"""The sidecar's log in memory: the same engine, in virtual time. What the real one does,
`tests/contract/test_sidecar_log.py` holds it to."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import lru_cache
from typing import Any

import msgspec

from streamflow.definition.content import canonical
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine.commands import Command
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.registration import is_registration_new
from streamflow.operations.plugin import Registration
from streamflow.ops.approvals import Approvals, OpenApproval
from streamflow.ops.history import partition_of_known_run
from streamflow.ops.operations import described
from streamflow.ops.requests import Answer
from streamflow.ops.starts import Request, run_of
from streamflow.settings import Settings
from streamflow.sidecar.log import Started
from streamflow.simulation.driver import Simulation
from streamflow.simulation.log import Stored
from streamflow.simulation.tasks import Handed

# A refund that a person decides on, and work that somebody answers by calling back.
REFUND = """
name: refund
version: "1"
input: {type: object, required: [amount], properties: {amount: {type: integer}}}
output: pay
runs: many
steps:
  - id: ask
    approval:
      text: "'Pay ' + string(trigger.amount) + ' back?'"
      who: [alice, managers]
      form: {type: object, required: [note], properties: {note: {type: string}}}
      forever: true
  - id: pay
    needs: [ask.approved]
    set: [{name: paid, expr: trigger.amount}]
"""
SURVEY = """
name: survey
version: "1"
input: {type: object}
output: question
steps:
  - id: question
    call: {operation: work.later, with: [], retry: {attempts: 2, backoff: 1s}}
"""
CATALOG = """
events: []
operations:
  - name: work.later
    input: {type: object}
    output: {type: object, required: [answer], properties: {answer: {type: integer}}}
"""


@lru_cache
def contents() -> list[tuple[str, str, bytes]]:
    """What both logs have published: name, version and content."""
    catalog = parse_catalog(CATALOG)
    found = []
    for text in (REFUND, SURVEY):
        definition = parse_definition(text)
        found.append((definition.name, definition.version, canonical(definition, catalog)))
    return found


class MemoryLog:
    """A log on a simulation, with `contents` published. `work.later` is handed over: its answers come by callback."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.simulation = Simulation(
            partitions=settings.topics.partitions, operations={"work.later": lambda input, task: Handed(3_600_000)}
        )
        self.published = Snapshot()
        self.closed = False
        self._futures: dict[str, Future[Answer]] = {}
        for text in (REFUND, SURVEY):
            self.simulation.publish(parse_definition(text), parse_catalog(CATALOG))
        for name, version, content in contents():
            self._publish(name, version, content)

    def _publish(self, name: str, version: str, content: bytes) -> None:
        sha, (_, offset) = next(
            (sha, found) for sha, found in self.simulation.definitions.contents.items() if found[0].encode() == content
        )
        self.published.read(f"definition/{sha}".encode(), content, offset)
        self.published.read(
            f"version/{name}@{version}".encode(), msgspec.json.encode({"sha": sha, "published_ms": 1}), offset
        )
        self.published.read(f"name/{name}".encode(), msgspec.json.encode({"version": version, "sha": sha}), offset)

    async def ask(self, command: Command, *, key: str = "") -> Future[Answer]:
        if not key:
            partition_of_known_run(self.settings, getattr(command, "run", ""))
        return self._append(command)[0]

    async def start(self, request: Request) -> Started:
        answer, place = self._append(request.command)
        topic_id = self.simulation.log.topics["commands"].id
        return Started(run_of(request, self.settings.environment, topic_id, place.partition, place.offset), answer)

    def _append(self, command: Command) -> tuple[Future[Answer], Stored]:
        future: Future[Answer] = Future()
        self._futures[command.id] = future
        place = self.simulation.append(command)
        self.simulation.run_until_quiet()
        caused = tuple(one for one in self.simulation.transitions() if one.cause == command.id)
        letter = next((one for one in self.simulation.dead_letters() if one.get("command") == command.id), None)
        if caused:
            future.set_result(Answer(command.id, caused))
        elif letter is not None:
            state: dict[str, Any] = msgspec.json.decode(letter["state"]) if letter.get("state") else {}
            future.set_exception(Rejected(letter.get("code") or letter["reason"], letter["message"], **state))
        return future, place

    async def expect(self, command: str) -> Future[Answer]:
        return self._futures.setdefault(command, Future())

    async def history(self, run: str) -> list[Transition]:
        partition_of_known_run(self.settings, run)
        return self.simulation.history(run)

    async def approvals(self) -> list[OpenApproval]:
        approvals = Approvals()
        for transition in self.simulation.transitions():
            approvals.take(transition)
        return approvals.open()

    async def definitions(self, *, fresh: bool = False) -> Snapshot:
        return self.published

    async def register(self, registration: Registration, *, replace: bool) -> int | None:
        value = registration.model_dump(mode="json", by_alias=True, exclude_none=True)
        name = registration.spec.name
        if not is_registration_new(name, self.published.operations.get(name), value, replace=replace):
            return None
        self.published.operations[registration.spec.name] = value
        return len(self.published.operations)

    async def remove(self, name: str) -> None:
        if self.published.operations.pop(name, None) is None:
            raise Rejected("operation_unknown", f"expected a registered plugin but {name} is none. Look at the list.")

    async def operations(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(described, self.settings, self.published, [])

    async def close(self) -> None:
        self.closed = True
