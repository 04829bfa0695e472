"""The sidecar's log in memory: the same engine, in virtual time. What the real one does,
`tests/contract/test_sidecar_log.py` holds it to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from streamflow.access.audit import Actor
from streamflow.approvals.approval import Approval
from streamflow.approvals.report import Approved
from streamflow.approvals.required import required_trust
from streamflow.conversations.topic import ConversationLog
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine.commands import CancelRun, Command
from streamflow.engine.transitions import ENDINGS, Transition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.members import Member
from streamflow.kafka.publication import Published, Retired
from streamflow.kafka.registration import is_registration_new
from streamflow.kafka.rollback import RolledBack, target_of
from streamflow.kafka.topics import COMMANDS, lane_topic_name, topic_name
from streamflow.kafka.unknown_names import unknown_version
from streamflow.kafka.worker_registry import RegisteredWorker, WorkerRegistration
from streamflow.operations.plugin import Registration
from streamflow.ops.approvals import Approvals, OpenApproval
from streamflow.ops.command_request import Answer, new_id
from streamflow.ops.dead_letters import Letter, letters_of
from streamflow.ops.definition_approvals import require_approval
from streamflow.ops.history import partition_of_known_run
from streamflow.ops.jobs import Board, Records
from streamflow.ops.jobs_topic import Jobs, Make
from streamflow.ops.lag import PartitionLag
from streamflow.ops.lag_rows import MeasuredLag
from streamflow.ops.operations import described
from streamflow.ops.produce import Outgoing
from streamflow.ops.promotion import settings_of
from streamflow.ops.replay import Prepared, replay_result
from streamflow.ops.restarts import Restarted, request_of
from streamflow.ops.shadow import Pair, recorded_of
from streamflow.ops.shadow_range import range_of, require_few, topics_of_both
from streamflow.ops.starts import Request, run_of, started_before
from streamflow.ops.tail import Listener
from streamflow.ops.unclaimed import UnclaimedEvent
from streamflow.settings import Settings
from streamflow.sidecar.log import RecordPosition, Started
from streamflow.sidecar.traced import stamped, stamped_record
from streamflow.simulation.driver import Simulation
from streamflow.simulation.log import Stored
from streamflow.simulation.shadow import Recorded
from streamflow.simulation.shadow_range import RecordedRange
from streamflow.simulation.tasks import Handed
from streamflow.wire.decoding import Record
from streamflow.wire.settlement import Settlement, encode_settlement
from tests.conversations import MemoryConversations

T = TypeVar("T")

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


class MemoryJobs:
    """Jobs in memory."""

    def __init__(self) -> None:
        self.board = Board()

    def read(self, look: Callable[[Board], T]) -> T:
        return look(self.board)

    def write(self, make: Make) -> Records:
        records = make(self.board, time.time_ns() // 1_000_000)
        for key, value in records.items():
            assert self.board.take(key, value)
        return records

    def close(self) -> None:
        return None


class MemoryLog:
    """A log on a simulation, with `contents` published. `work.later` is handed over: its answers come by callback."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.simulation = Simulation(
            partitions=settings.topics.partitions, operations={"work.later": lambda input, task: Handed(3_600_000)}
        )
        self.published = Snapshot(trust=required_trust(settings))
        self.closed = False
        self.created: list[str] = []  # topics
        self.listeners: list[Listener] = []
        commands, lane = topic_name(settings, COMMANDS), lane_topic_name(settings, "default")
        self.measured_lag = MeasuredLag(
            partitions=[
                PartitionLag("engine", commands, 0, 5, 7, 2, 1.5),
                PartitionLag("tasks", lane, 0, 1, 1, 0, 0.0),
            ],
            drains={("engine", commands): 4.0, ("tasks", lane): 0.0},
        )
        self.settled: list[Record] = []  # what people did with dead letters
        self.jobs: Jobs = MemoryJobs()
        self.conversations: ConversationLog = MemoryConversations()
        self._futures: dict[str, Future[Answer]] = {}
        for text in (REFUND, SURVEY):
            self.simulation.publish(parse_definition(text), parse_catalog(CATALOG))
        for name, version, content in contents():
            self._publish(name, version, content)

    def add(self, definition: Definition, catalog: Catalog) -> None:
        """Publishes with the entries and topics of the catalog, so that its events can be sent."""
        self.simulation.publish(definition, catalog)
        self._publish(definition.name, definition.version, canonical(definition, catalog))
        for spec in catalog.events:
            entry = spec.bound(None).model_dump(mode="json", by_alias=True, exclude_none=True)
            self.published.read(f"event/{spec.name}".encode(), msgspec.json.encode(entry), 1)
            if spec.topics:
                binding = msgspec.json.encode({"topics": spec.topics, "start": "now"})
                self.published.read(f"binding/{spec.name}".encode(), binding, 1)

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
        place = self.simulation.append(stamped(command))
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

    async def restart(self, run: str, *, why: str, version: str | None) -> Restarted:
        history = await self.history(run)
        if not history:
            raise Rejected("run_unknown", f"The topic runs has no run {run}. Check the id.")
        again = request_of(self.published, history, version)
        if not isinstance(history[-1].data, ENDINGS):
            self._append(CancelRun(new_id(), run, why))
        started = await self.start(again)
        try:
            made = started.answer.result(0).transitions[0].run
        except Rejected as error:
            made = started_before(error)
        return Restarted(made, again.version, already=made != started.run)

    async def unclaimed(self, key: str) -> list[UnclaimedEvent]:
        return [UnclaimedEvent(0, one) for one in self.simulation.unclaimed() if one.key == key]

    async def listen(self, listener: Listener) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def tell(self, run: str) -> None:
        """Gives all transitions of a run to everybody who listens: copies, and those that are new."""
        for transition in self.simulation.history(run):
            for listener in list(self.listeners):
                listener(transition)

    async def approvals(self) -> list[OpenApproval]:
        approvals = Approvals()
        for transition in self.simulation.transitions():
            approvals.take(transition)
        return approvals.open()

    async def definitions(self, *, fresh: bool = False) -> Snapshot:
        return self.published

    async def publish(
        self,
        definition: Definition,
        catalog: Catalog,
        *,
        scenarios: str | None = None,
        approval: Approval | None = None,
        by: str = "",
    ) -> Published:
        name, version, content = definition.name, definition.version, canonical(definition, catalog)
        sha, known = sha256_of(content), self.published.versions.get((name, version))
        approved = require_approval(
            self.settings, self.published, definition, sha, by=by, approval=approval, scenarios=scenarios
        )
        if known is not None and known.sha != sha:
            raise Rejected("version_taken", f"Other content is published as {name}@{version}. Choose another version.")
        if known is None:
            self.simulation.publish(definition, catalog)
            self._publish(name, version, content)
        offset = self.published.contents[sha][1]
        if approved is not None:
            record = {"sha": sha, "published_ms": offset, "approval": approved}
            self.published.read(f"version/{name}@{version}".encode(), msgspec.json.encode(record), offset)
        if scenarios is not None:
            self.published.read(f"scenarios/{name}@{version}".encode(), scenarios.encode(), offset)
        return Published(
            name=name, version=version, sha=sha, offset=offset, acknowledged=offset, already=known is not None
        )

    async def approve(self, approved: Approved) -> None:
        key = f"approval/{approved.approval.sha256}".encode()
        self.published.read(key, msgspec.json.encode(approved), self.published.position)

    async def recorded(self, name: str, last: int) -> list[Recorded]:
        ended = [one for one in self.simulation.transitions() if isinstance(one.data, ENDINGS)]
        runs = [one.run for one in sorted(ended, key=lambda one: one.at_ms) if one.definition == name]
        return recorded_of(self.simulation.transitions(), runs[-last:])

    async def recorded_range(self, pair: Pair, from_ms: int, to_ms: int) -> RecordedRange:
        topics = topics_of_both(self.published, pair)
        records = [
            Record(one.topic, one.partition, one.offset, one.timestamp_ms, one.key, one.value, one.headers)
            for topic in sorted(topics)
            for number in range(len(self.simulation.log.topic(topic).partitions))
            for one in self.simulation.log.topic(topic).stable(number)
            if from_ms <= one.timestamp_ms < to_ms
        ]
        require_few(records)
        return range_of(records, self.simulation.transitions())

    async def promote(self, reference: str, to: str, *, by: str, who: Actor) -> dict[str, Any]:
        settings_of(self.settings, to)
        raise OperationError("broker_unreachable", "There is no other environment in memory. Use a broker.")

    async def roll_back(self, name: str, version: str) -> RolledBack:
        target, before = target_of(self.published, name, version)
        record = {"version": target, "sha": self.published.versions[name, target].sha}
        self.published.read(f"name/{name}".encode(), msgspec.json.encode(record), self.published.position)
        return RolledBack(name, target, before, already=target == before)

    async def retire(self, name: str, version: str) -> Retired:
        known = self.published.versions.get((name, version))
        if known is None:
            raise unknown_version(self.published, name, version)
        record = {"sha": known.sha, "published_ms": known.published_ms, "retired": True}
        self.published.read(f"version/{name}@{version}".encode(), msgspec.json.encode(record), known.offset)
        left = self.published.newest(name)
        pointer = {"version": left, "sha": self.published.versions[name, left].sha} if left else None
        value = msgspec.json.encode(pointer) if pointer else None
        self.published.read(f"name/{name}".encode(), value, known.offset)
        return Retired(name, version, left, known.offset, already=known.retired)

    async def missing_topics(self, names: Collection[str]) -> list[str]:
        return sorted(name for name in names if name not in self.simulation.log.topics)

    async def create_topics(self, names: Collection[str]) -> None:
        self.created += names

    async def require_users_topic(self, topic: str) -> None:
        if topic.startswith(self.settings.topics.prefix):
            raise Rejected("topic_reserved", f"The topic {topic} is one of Streamflow's own. Name another topic.")

    async def send(
        self, records: Sequence[tuple[str, Outgoing]]
    ) -> tuple[list[RecordPosition | None], OperationError | None]:
        places: list[RecordPosition | None] = []
        for topic, record in records:
            headers = tuple((name, value) for name, value in stamped_record(record).headers)
            place = self.simulation.produce(topic, record.value, key=record.key, headers=headers)
            places.append((place.partition, place.offset))
        self.simulation.run_until_quiet()
        return places, None

    def _letters(self) -> list[Record]:
        records = self.simulation.log.topics["dead-letters"].records()
        return [
            Record(one.topic, one.partition, one.offset, one.timestamp_ms, one.key, one.value, one.headers)
            for one in records
        ] + self.settled

    async def dead_letters(self) -> list[Letter]:
        return letters_of(self._letters())

    async def dead_letter(self, number: int) -> Record | None:
        return next((one for one in self._letters() if one.offset == number), None)

    async def replay(
        self, letters: Sequence[Letter], *, why: str, as_new: bool, again: bool, dry_run: bool
    ) -> dict[str, Any]:
        ready, problems, settled = [], [], []
        for letter in letters:
            if letter.state != "open" and not again:
                problems.append(Prepared(letter, problem=("letter_settled", f"It was {letter.state} already.")))
                continue
            ready.append(Prepared(letter, letter.topic, 0))
            if not dry_run:
                settled.append(
                    Settlement(letter=letter.id, state="replayed", why=why, topic=letter.topic, partition=0, offset=0)
                )
        self._settle(settled)
        return replay_result(ready, problems, settled, dry_run=dry_run) | {"error": None}

    async def drop(self, letters: Sequence[Letter], *, why: str) -> set[str]:
        self._settle([Settlement(letter=one.id, state="dropped", why=why) for one in letters])
        return {one.id for one in letters}

    def _settle(self, settlements: list[Settlement]) -> None:
        for one in settlements:
            made = encode_settlement(one)
            place = 1_000_000 + len(self.settled)
            self.settled.append(Record("dead-letters", 0, place, 1, made.key, made.value, made.headers))

    async def lag(self) -> MeasuredLag:
        return self.measured_lag

    async def workers(self) -> tuple[list[RegisteredWorker], dict[str, tuple[Member, ...]]]:
        operation = {"name": "work.later", "ok": False, "detail": "no answer"}
        one = WorkerRegistration("default", "w-1", "c-1", "host-1", 7, 1000, [operation])
        return [RegisteredWorker(one, True)], {"engine": (Member(client_id="engine-1"),), "ingress": ()}

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
