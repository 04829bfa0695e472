"""The host of a partition does the core's steps in their order, and gives back what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from structlog.testing import capture_logs

from streamflow.core.cut import Batch
from streamflow.core.outbox import Outbox
from streamflow.core.place import Place
from streamflow.engine.commands import REVISION, CancelRun, DefinitionRef, Event, StartRun
from streamflow.errors import OperationError
from streamflow.runtime import input_queue
from streamflow.runtime.outputs import Outputs
from streamflow.runtime.partition import Partition
from streamflow.runtime.transport import Fetched
from streamflow.settings import Engine, Settings
from streamflow.simulation.store import MemoryStore
from streamflow.wire.codec import encode_command
from tests.unit.core.test_partition import Collected

NAMES = {"commands": "p.commands", "runs": "p.runs", "dead-letters": "p.dead-letters"}
NOW_S = 1_767_225_600.0


class Fetch(NamedTuple):
    """A record as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def a_fetch(offset: int) -> Fetch:
    # nobody knows this run: the command is refused, and its sender is answered in `dead-letters`
    command = CancelRun(f"c{offset}", "00000000-0000")
    return Fetch("p.commands", 0, offset, int(NOW_S * 1000) + offset, b"k", encode_command(command))


class World:
    """Everything around a partition, noting what is asked of it, in order. `held` keeps a step back until it is set."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.held: dict[str, asyncio.Event] = {}
        self.failing: dict[str, Exception] = {}
        self.futures: list[asyncio.Future[Any]] = []
        self.acknowledges = True
        self.store = Store(self)
        self.failures: list[BaseException] = []
        self.steered: list[str] = []
        self.committed: list[int] = []
        self.metrics = Collected()
        self.now_s = NOW_S

    async def does(self, step: str) -> None:
        self.calls.append(step)
        if step in self.held:
            await self.held[step].wait()
        if step in self.failing:
            raise self.failing[step]

    # -- as the changelog

    async def fence(self) -> None:
        await self.does("fence")

    async def restore(self, store: Any) -> int:
        await self.does("restore")
        return 0

    async def commit(self, batches: Sequence[Batch], applied: int) -> dict[str, bytes | None]:
        await self.does("commit")
        self.committed.append(applied)
        return {}

    async def close(self) -> None:
        pass

    # -- as the producer

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(16_384, 0)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        await self.does("send")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.acknowledges:
            future.set_result(None)
        self.futures.append(future)
        return future

    # -- as the input

    async def release(self, partition: int, offset: int) -> None:
        await self.does("release")

    def epoch(self, partition: int) -> int:
        return 1

    def pause(self, partition: int) -> None:
        self.steered.append("pause")

    def resume(self, partition: int) -> None:
        self.steered.append("resume")

    async def first_offset(self, partition: int) -> int:
        return 0

    # -- as the definitions

    def skips(self, partition: int) -> dict[int, str]:
        return {}

    def readable(self, start: DefinitionRef) -> bool:
        return False

    async def wait(self, start: DefinitionRef, timeout_s: float) -> bool:
        return False

    def failed(self, number: int, error: BaseException) -> None:
        self.failures.append(error)


class Store(MemoryStore):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def write(self, records: Mapping[str, bytes | None]) -> None:
        self._world.calls.append("store")
        super().write(records)


def a_partition(world: World, **engine: Any) -> Partition:
    anything: Any = world
    slow = {"checkpoint_s": 3600, "checkpoint_idle_s": 3600, **engine}
    return Partition(
        Place(number=0, partitions=1, topic_id="the-id"),
        Settings(engine=Engine(**slow)),
        store=lambda: world.store,
        changelog=anything,
        outputs=Outputs(anything, NAMES),
        topics=anything,
        plans=anything,
        source=anything,
        failed=world.failed,
        topic_of=lambda event: event,
        metrics=world.metrics,
        clock=lambda: world.now_s,
    )


@asynccontextmanager
async def opened(world: World, **engine: Any) -> Any:
    partition = a_partition(world, **engine)
    await partition.open()
    world.calls.clear()
    try:
        yield partition
    finally:
        await partition.close(save=False)


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else go on until `condition` holds."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("The condition did not come true.")


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


async def decided(partition: Partition, offset: int) -> None:
    await until(lambda: partition.applied == offset)


def test_an_opening_fences_restores_and_then_releases_the_input() -> None:
    async def scenario() -> None:
        world = World()
        partition = a_partition(world)
        await partition.open()
        assert world.calls == ["fence", "restore", "release"]
        await partition.close(save=False)

    run(scenario)


def test_a_checkpoint_sends_waits_for_acknowledgements_commits_and_writes_the_store() -> None:
    async def scenario() -> None:
        world = World()
        world.acknowledges = False
        async with opened(world) as partition:
            partition.feed(Fetched(1, [a_fetch(0)]))
            await decided(partition, 0)
            checkpoint = asyncio.create_task(partition.checkpoint())
            await until(lambda: bool(world.futures))
            await asyncio.sleep(0)
            assert world.calls == ["send"]
            world.futures[0].set_result(None)
            await checkpoint
            assert world.calls == ["send", "commit", "store"]
            assert world.committed == [0]

    run(scenario)


def a_start(offset: int, revision: str) -> Any:
    start = DefinitionRef("0" * 64, 1 << 40, revision)
    command = StartRun("s", "order", "k", start, Event("placed", "e", 0, {}))
    return a_fetch(offset)._replace(value=encode_command(command))


def test_what_was_decided_before_a_command_that_stops_the_partition_is_saved() -> None:
    async def scenario() -> None:
        world = World()
        async with opened(world) as partition:
            partition.feed(Fetched(1, [a_fetch(0), a_start(1, "from the future")]))
            await until(lambda: bool(world.failures))
            assert "unknown_revision" in str(world.failures[0])
            assert world.committed == [0]

    run(scenario)


def test_a_start_by_definitions_that_do_not_exist_is_refused_and_saved_before_anything_else() -> None:
    async def scenario() -> None:
        world = World()
        async with opened(world) as partition:
            partition.feed(Fetched(1, [a_fetch(0), a_start(1, REVISION), a_fetch(2)]))
            await decided(partition, 2)
            assert world.committed == [1]
            assert world.failures == []

    run(scenario)


def test_the_last_checkpoint_sends_what_a_rebalance_kept_from_the_producer() -> None:
    async def scenario() -> None:
        world = World()
        partition = a_partition(world)
        await partition.open()
        world.calls.clear()
        world.held["send"] = asyncio.Event()
        partition.feed(Fetched(1, [a_fetch(0)]))
        await until(lambda: world.calls == ["send"])
        closing = asyncio.create_task(partition.close(save=True))
        await until(lambda: world.calls == ["send", "send"])
        world.held["send"].set()
        await closing
        assert world.calls == ["send", "send", "commit", "store"]
        assert len(world.futures) == 1

    run(scenario)


def test_a_failed_checkpoint_is_not_made_again_by_the_same_owner() -> None:
    async def scenario() -> None:
        world = World()
        async with opened(world) as partition:
            partition.feed(Fetched(1, [a_fetch(0)]))
            await decided(partition, 0)
            world.failing["commit"] = OperationError("checkpoint_stuck", "The broker did not answer.")
            for _ in range(2):
                with pytest.raises(OperationError):
                    await partition.checkpoint()
            assert world.calls.count("commit") == 1
            assert "store" not in world.calls

    run(scenario)


def test_a_partition_with_many_queued_records_pauses_and_resumes_when_they_are_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_queue, "RECORDS", 300)

    async def scenario() -> None:
        world = World()
        async with opened(world) as partition:
            world.held["send"] = asyncio.Event()
            records = [a_fetch(offset) for offset in range(302)]
            partition.feed(Fetched(1, records[:1]))
            await until(lambda: world.calls == ["send"])  # busy: what comes now is queued
            partition.feed(Fetched(1, records[1:-1]))
            assert world.steered == []
            partition.feed(Fetched(1, records[-1:]))
            assert world.steered == ["pause"]
            world.held["send"].set()
            await until(lambda: world.steered == ["pause", "resume"])
            await decided(partition, len(records) - 1)

    run(scenario)


def test_an_error_closes_the_partition_once_and_is_passed_on() -> None:
    async def scenario() -> None:
        world = World()
        async with opened(world) as partition:
            world.failing["send"] = OperationError("outputs_unsent", "The broker did not answer.")
            partition.feed(Fetched(1, [a_fetch(0)]))
            await until(lambda: bool(world.failures))
            assert not partition.ready
            assert len(world.failures) == 1

    run(scenario)


def test_a_command_put_aside_is_saved_before_the_next_one_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamflow.core import partition as core
    from streamflow.engine.decide import decide

    def fails_at_the_second(*arguments: Any) -> Any:
        if arguments[5] == 1:
            raise ValueError("a bug")
        return decide(*arguments)

    monkeypatch.setattr(core, "decide", fails_at_the_second)

    async def scenario() -> None:
        world = World()
        async with opened(world) as partition:
            partition.feed(Fetched(1, [a_fetch(offset) for offset in range(3)]))
            await decided(partition, 2)
            assert world.committed == [1]

    run(scenario)


def test_deciding_pauses_while_a_users_topic_is_slower_than_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    congested = True
    monkeypatch.setattr("streamflow.runtime.partition.CONGESTED_S", 0)
    monkeypatch.setattr(Outbox, "congested", lambda self: congested)

    async def scenario() -> None:
        nonlocal congested
        world = World()
        async with opened(world) as partition:
            partition.feed(Fetched(1, [a_fetch(0)]))
            partition.feed(Fetched(1, [a_fetch(1)]))
            await decided(partition, 0)
            await partition.checkpoint()  # which does not wait for it
            assert (partition.applied, world.committed) == (0, [0])
            congested = False
            await decided(partition, 1)

    run(scenario)


def test_a_host_reports_its_restores_and_checkpoints() -> None:
    async def scenario() -> None:
        world = World()
        async with opened(world) as partition:
            partition.feed(Fetched(1, [a_fetch(0)]))
            await decided(partition, 0)
            await partition.checkpoint()
        seen = world.metrics.seen
        assert seen["restore_records"] == [0]
        once = ("restore_seconds", "checkpoint_seconds", "checkpoint_bytes", "oldest_unacknowledged_seconds")
        assert {name: len(seen[name]) for name in once} == dict.fromkeys(once, 1)
        assert world.metrics.counts["commands", "rejected", "run_unknown"] == 1

    run(scenario)


def test_a_hot_key_is_a_line_in_the_log() -> None:
    async def scenario() -> None:
        world = World()
        ratios = world.metrics.seen.setdefault("hot_key_ratio", [])
        world.now_s = NOW_S + 59
        async with opened(world) as partition:
            await until(lambda: len(ratios) == 1)
            world.now_s = NOW_S + 61
            partition.feed(Fetched(1, [a_fetch(0)]))
            await until(lambda: len(ratios) == 2)
            hot, rare = b"order \xff" + b"7" * 300, [a_fetch(offset) for offset in range(1, 501)]
            often = [a_fetch(offset)._replace(key=hot) for offset in range(501, 2001)]
            partition.feed(Fetched(1, [*rare, *often]))
            await decided(partition, 2000)
            assert ratios == [0, 0]
            with capture_logs() as lines:
                world.now_s = NOW_S + 121
                partition._timer_moved.set()  # as each command does
                await until(lambda: len(ratios) == 3)
            assert ratios[-1] == 0.75
            (line,) = lines
            assert line.pop("consequence")
            assert line == {
                "event": "hot_key",
                "log_level": "warning",
                "partition": 0,
                "key": "order \ufffd" + "7" * 193,
                "ratio": 0.75,
                "commands": 2000,
            }

    run(scenario)
