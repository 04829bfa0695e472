"""Ingress between its clients: what is committed when sending fails, and what is held back, stopped and sent later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.structs import TopicPartition

from streamflow.core.held_commands import HeldCommands
from streamflow.core.source_position import SourcePosition
from streamflow.definition.catalog import Binding, Catalog
from streamflow.definition.compile import compile_plan
from streamflow.definition.model import Definition
from streamflow.engine.match import Published
from streamflow.ids import partition_of
from streamflow.kafka.topic_states import Described, SourceTopic, TopicState
from streamflow.runtime.ingress_session import IngressSession
from streamflow.runtime.source_intake import SourceIntake
from streamflow.runtime.source_log import SourceLog
from streamflow.settings import Kafka, Settings, Topics

SETTINGS = Settings(kafka=Kafka(bootstrap_servers="localhost:1"), topics=Topics(partitions=2))
ORDERS = TopicPartition("orders", 0)
KEYS = [[f"k{n}" for n in range(200) if partition_of(f"k{n}", 2) == number] for number in (0, 1)]


def published() -> Published:
    catalog = Catalog.model_validate({"events": [{"name": "placed", "match": {"path": "kind", "equals": "p"}}]})
    whole = {
        "name": "loan",
        "version": "1",
        "on": [{"id": "t", "event": "placed"}],
        "steps": [{"id": "p", "print": {"text": "'x'"}}],
    }
    plan = compile_plan(Definition.model_validate(whole), catalog, "sha")
    specs = {spec.name: spec.bound(Binding(topics=["orders"])) for spec in catalog.events}
    return Published(plan=plan, specs=specs, at=1, newest=True)


class Fetched(NamedTuple):
    offset: int
    key: bytes
    value: bytes = json.dumps({"kind": "p"}).encode()
    topic: str = "orders"
    partition: int = 0
    timestamp: int = 10**12
    timestamp_type: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def fetched(*keys: str, first: int = 0) -> list[Fetched]:
    return [Fetched(offset, key.encode()) for offset, key in enumerate(keys, first)]


class Consumer:
    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.done: list[tuple[str, Any]] = []

    async def getmany(self, *places: TopicPartition, **options: Any) -> Any:
        found = self.batches.pop(0) if self.batches else {}
        if isinstance(found, Exception):
            raise found
        return found

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.done.append(("seek", offset))

    def pause(self, place: TopicPartition) -> None:
        self.done.append(("pause", place))

    def resume(self, place: TopicPartition) -> None:
        self.done.append(("resume", place))


class Outbox:
    """Remembers the keys that were sent, by partition; a flush may fail."""

    def __init__(self) -> None:
        self.times: dict[int, int] = {}
        self.queued: list[tuple[int, str]] = []
        self.sent: dict[int, list[str]] = {0: [], 1: []}
        self.fails = False

    def partition_of(self, key: str) -> int:
        return partition_of(key, 2)

    def add(self, partition: int, key: str, value: bytes) -> None:
        self.queued.append((partition, key))

    def add_dead(self, letters: Any) -> None:
        raise AssertionError(letters)

    async def flush(self) -> None:
        if self.fails:
            raise KafkaConnectionError
        for partition, key in self.queued:
            self.sent[partition].append(key)
        self.queued = []


class Group:
    def __init__(self) -> None:
        self.commits: list[dict[TopicPartition, int]] = []

    async def commit(self, positions: Mapping[TopicPartition, tuple[int, str]]) -> None:
        self.commits.append({tp: offset for tp, (offset, _) in positions.items()})

    def position(self, place: TopicPartition) -> int:
        return -1


class Versions:
    revision = position = 1

    def published(self) -> list[Published]:
        return [published()]

    def bindings(self) -> dict[str, Binding]:
        return {}

    async def read_to_end(self) -> None:
        """It is read."""


class Sources:
    def __init__(self) -> None:
        self.found = Described({"orders": SourceTopic("A", 1)}, {}, frozenset())

    async def describe(self, names: Any) -> Described:
        return self.found


class World:
    """A session with clients that do what the test says. To be made in an event loop."""

    def __init__(self) -> None:
        versions: Any = Versions()
        unused: Any = None
        self.session = IngressSession(SETTINGS, versions, unused, unused, SourceLog())
        self.clients = self.session.consumer, self.session.producer
        self.consumer, self.outbox, self.group, self.sources = Consumer(), Outbox(), Group(), Sources()
        self.source = SourcePosition("orders", 0, "A", 0, 0)
        session = cast(Any, self.session)
        session.consumer, session._outbox, session.membership = self.consumer, self.outbox, self.group
        session._sources = self.sources
        session._fetch_wait = type("FetchWait", (), {"idle": False, "note": lambda self, found: None})()
        session._intake = SourceIntake(cast(Any, self.consumer), cast(Any, self.outbox), SourceLog())
        session._follow()
        session._described, session._subscribed = self.sources.found, self.sources.found.topics
        session._owned = {ORDERS: self.source}

    async def close(self) -> None:
        for client in self.clients:
            await client.stop()


def test_records_whose_commands_may_not_have_arrived_are_not_committed_by_anybody() -> None:
    async def scenario() -> World:
        world = World()
        world.consumer.batches = [{ORDERS: fetched("a", "b")}, {ORDERS: fetched("c", first=2)}]
        await world.session._round()
        await world.session._commit_now()
        world.outbox.fails = True
        with pytest.raises(KafkaConnectionError):
            await world.session._round()
        await world.session._commit_now()  # the job that commits may run once more before the session ends
        await world.close()
        return world

    assert asyncio.run(scenario()).group.commits == [{ORDERS: 2}]


def test_a_topic_whose_right_is_taken_away_is_left_out_and_ends_no_session() -> None:
    async def scenario() -> World:
        world = World()
        world.consumer.batches = [TopicAuthorizationFailedError("orders")]
        world.sources.found = Described({}, {"orders": TopicState.UNREADABLE}, frozenset())
        await world.session._round()
        assert world.session._changed.is_set()
        await world.close()
        return world

    asyncio.run(scenario())


def test_a_blocked_partition_holds_its_own_commands_back_in_order_and_the_commit_with_them() -> None:
    async def scenario() -> World:
        world = World()
        intake = world.session._intake
        intake.held.blocked = frozenset({0})
        keys = [KEYS[1][0], KEYS[0][0], KEYS[1][1], KEYS[0][1], KEYS[1][2]]
        world.consumer.batches = [{ORDERS: fetched(*keys)}]
        await world.session._round()
        assert world.outbox.sent == {0: [], 1: KEYS[1][:3]}
        await world.session._commit_now()
        assert world.group.commits == [{ORDERS: 1}]
        intake.held.blocked = frozenset()
        world.consumer.batches = [{ORDERS: fetched(KEYS[0][2], first=5)}]
        await world.session._round()
        assert world.outbox.sent == {0: KEYS[0][:3], 1: KEYS[1][:3]}
        await world.session._commit_now()
        assert world.group.commits == [{ORDERS: 1}, {ORDERS: 6}]
        assert world.source.counts.read == 6
        await world.close()
        return world

    asyncio.run(scenario())


def test_a_source_stops_at_the_first_record_that_has_no_room_and_goes_on_there() -> None:
    async def scenario() -> World:
        world = World()
        intake = world.session._intake
        intake.held = HeldCommands(commands_most=2)
        intake.held.blocked = frozenset({0})
        keys = [KEYS[0][0], KEYS[0][1], KEYS[1][0], KEYS[0][2], KEYS[1][1]]
        world.consumer.batches = [{ORDERS: fetched(*keys)}]
        await world.session._round()
        assert world.outbox.sent == {0: [], 1: KEYS[1][:1]}
        assert world.consumer.done == [("seek", 3), ("pause", ORDERS)]
        assert world.source.next == 3
        await world.session._round()  # nothing else is there
        intake.held.blocked = frozenset()
        world.consumer.batches = [{ORDERS: fetched(*keys[3:], first=3)}]
        await world.session._round()
        assert world.consumer.done[2:] == [("resume", ORDERS)]
        assert world.outbox.sent == {0: KEYS[0][:3], 1: KEYS[1][:2]}
        await world.session._commit_now()
        assert world.group.commits == [{ORDERS: 5}]
        await world.close()
        return world

    asyncio.run(scenario())


def test_a_rebalance_forgets_what_is_held_back_for_it_is_read_again() -> None:
    async def scenario() -> World:
        world = World()
        world.session._intake.held.blocked = frozenset({0})
        world.consumer.batches = [{ORDERS: fetched(KEYS[0][0], KEYS[1][0])}]
        await world.session._round()
        await world.session.give_up()
        assert len(world.session._intake.held) == 0
        assert world.session._owned == {}
        await world.close()
        return world

    assert asyncio.run(scenario()).group.commits == []


def test_what_was_held_back_is_done_when_the_broker_has_it() -> None:
    async def scenario() -> World:
        world = World()
        world.session._intake.held.blocked = frozenset({0})
        world.consumer.batches = [{ORDERS: fetched(KEYS[0][0], KEYS[1][0])}]
        await world.session._round()
        world.session._intake.held.blocked = frozenset()
        world.outbox.fails = True
        with pytest.raises(KafkaConnectionError):
            await world.session._round()
        assert world.source.committable == 0
        await world.close()
        return world

    asyncio.run(scenario())


def test_a_partition_without_a_leader_is_opened_when_it_has_one_and_holds_up_no_other() -> None:
    headless = TopicPartition("orders", 1)

    class Opener:
        def __init__(self) -> None:
            self.led = False

        async def open(self, assigned: Any, topics: Any, first: Any) -> dict[TopicPartition, SourcePosition]:
            places = {ORDERS} if not self.led else set(assigned)
            return {tp: SourcePosition(tp.topic, tp.partition, "A", 0, 0) for tp in places & set(assigned)}

    async def scenario() -> World:
        world, opener = World(), Opener()
        session = cast(Any, world.session)
        session._opener = opener
        topics = {"orders": SourceTopic("A", 2)}
        session._subscribed = topics
        world.sources.found = Described(topics, {"orders": TopicState.LEADERLESS}, frozenset({headless}))
        await world.session.take_up([ORDERS, headless])
        world.consumer.batches = [{ORDERS: fetched("a")}]
        await world.session._look()
        await world.session._round()
        assert sum(len(keys) for keys in world.outbox.sent.values()) == 1
        opener.led = True
        world.sources.found = Described(topics, {}, frozenset())
        await world.session._look()
        assert session._owned.keys() == {ORDERS, headless}
        assert session._owned[ORDERS].next == 1  # it was not opened again
        await world.close()
        return world

    asyncio.run(scenario())
