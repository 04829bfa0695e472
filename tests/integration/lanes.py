"""A bench for task workers: as `workers`, with lanes, tasks put into them by hand or by a real engine, and a ledger
that they call."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

from streamflow.engine import commands as c
from streamflow.engine.tasks import CancelTask, Task, idempotency_key, task_id
from streamflow.ids import partition_of, run_id
from streamflow.kafka import admin
from streamflow.kafka.groups import positions
from streamflow.settings import Lane, Settings, Tasks, Topics
from streamflow.wire.lane_position import LanePosition, decode_position
from streamflow.wire.tasks import Source, encode_task, source_header
from tests.conftest import make_settings
from tests.integration.forked import Forked
from tests.integration.workers import CATALOG, FAST, Bench
from tests.proof import calls
from tests.proof.ledger import Ledger
from tests.proof.world import Worker

TOPIC_ID = "a-topic-of-commands"


class Answer(NamedTuple):
    """A command that a task worker appended."""

    kind: str
    fields: dict[str, Any]
    at_ms: int


class LaneBench(Bench):
    """Leaving it ends workers and ledgers."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings, folder)
        self._tasks_sent = 0

    # -- workers

    def task_worker(
        self, name: str = "tasks", *lanes: str, kind: type[Worker] = Forked, allow: tuple[str, ...] = (), **options: Any
    ) -> Worker:
        """Starts a task worker, with static membership under its name; `options` are settings of tasks,
        `instance_id=None` ends that."""
        tasks = self.settings.tasks
        values: dict[str, Any] = {"instance_id": name, "drain_s": tasks.drain_s, **options}
        environment = self.environment() | {
            "STREAMFLOW_TASKS__ALLOW_HOSTS": json.dumps(list(allow)),
            **{
                f"STREAMFLOW_TASKS__{option.upper()}": str(value)
                for option, value in values.items()
                if value is not None
            },
        }
        return self.launch(
            kind("tasks", name, self.folder, environment, [part for lane in lanes for part in ("--lane", lane)])
        )

    def wait_assigned(self, worker: Worker, *lanes: str) -> None:
        """Waits until this start of the worker has partitions of these lanes."""
        wanted = set(lanes or self.settings.tasks.lanes)
        self.wait(
            lambda: wanted <= {line["lane"] for line in self.told(worker, "lane_assigned")},
            f"{worker.name} to have {wanted}",
        )

    # -- tasks by hand

    def task(
        self,
        key: str = "k",
        *,
        step: str = "call",
        attempt: int = 1,
        operation: str = "debug.echo",
        input: Any = None,
        **changes: Any,
    ) -> Task:
        """A task of a run of its own."""
        self._tasks_sent += 1
        run = run_id("main", "by-hand", key, f"{key}-{self._tasks_sent}")
        values: dict[str, Any] = {"timeout_ms": 30_000, "queue_ms": 3_600_000} | changes
        return Task(
            id=task_id(run, step, None, attempt),
            idempotency_key=idempotency_key(run, step, None),
            run=run,
            definition="by-hand",
            version="1",
            key=key,
            step=step,
            attempt=attempt,
            operation=operation,
            input={"value": 1} if input is None else input,
            **values,
        )

    def put(self, lane: str, *tasks: Task | CancelTask, source: Source | None = None, flush: bool = True) -> None:
        """Appends tasks to a lane, each with the next source, or with this one."""
        for task in tasks:
            self._tasks_sent += 1
            header = source_header(source or Source(TOPIC_ID, self._tasks_sent, 0))
            self.put_bytes(lane, encode_task(task), key=task.key, headers=[header])
        if flush:
            self.flush()

    def put_bytes(
        self, lane: str, value: bytes, *, key: str = "k", headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        partition = partition_of(key, self.partitions)
        while True:
            try:
                self.producer.produce(
                    self.topic(f"tasks.{lane}"), value, key.encode(), partition=partition, headers=dict(headers or ())
                )
                return
            except BufferError:
                self.producer.poll(0.1)

    def answers(self) -> dict[str, list[Answer]]:
        """What task workers have appended to `commands`, by run; the engine's and everybody's commands without
        `attempt` are left out."""
        found: dict[str, list[Answer]] = {}
        for message in self.stranger.messages(self.topic("commands")):
            fields = json.loads(message.value())
            kind, (stamp, at_ms) = fields["kind"], message.timestamp()
            assert stamp != TIMESTAMP_NOT_AVAILABLE
            if kind in ("CompleteAttempt", "FailAttempt", "SuspendAttempt"):
                assert message.partition() == partition_of((message.key() or b"").decode(), self.partitions)
                found.setdefault(fields["run"], []).append(Answer(kind, fields, at_ms))
        return found

    def wait_answers(self, *tasks: Task, timeout_s: float = 45.0) -> dict[str, list[Answer]]:
        """Waits until each of these tasks is answered."""
        wanted = {task.run for task in tasks}
        self.wait(lambda: wanted <= self.answers().keys(), f"{len(wanted)} tasks to be answered", timeout_s)
        return self.answers()

    def position(self, lane: str, partition: int) -> LanePosition | None:
        """The committed position of a lane's partition."""
        return self.positions(lane).get(partition)

    def positions(self, lane: str) -> dict[int, LanePosition]:
        found: dict[int, LanePosition] = {}
        group = f"{self.prefix}tasks.{lane}"
        for (_, partition), (offset, metadata) in positions(self.settings, [group])[group].items():
            if (position := decode_position(offset, metadata)) is not None:
                found[partition] = position
        return found

    def lane_counts(self, lane: str) -> Counter[str]:
        """How the tasks of a lane have ended, as its commits say."""
        return sum((Counter(position.counts) for position in self.positions(lane).values()), Counter())

    def wait_done(self, lane: str, timeout_s: float = 60.0) -> Counter[str]:
        """Waits until a lane is committed to its end; how its tasks have ended."""
        topic = self.topic(f"tasks.{lane}")

        def done() -> bool:
            ends = {partition: high for partition, (_, high) in self.stranger.ends(topic).items() if high}
            positions = self.positions(lane)
            return all(
                (position := positions.get(partition)) is not None and position.offset == high
                for partition, high in ends.items()
            )

        self.wait(done, f"lane {lane} to be done", timeout_s)
        return self.lane_counts(lane)

    # -- calls by definitions

    def publish_calls(self, text: str, catalog: str = CATALOG) -> c.DefinitionRef:
        """Publishes a definition that calls built-in operations; what starts it."""
        done = calls.publish_calls(self.settings, text, catalog)
        return c.DefinitionRef(done.sha, done.offset)


def make_lanes(
    bootstrap: str, folder: Path, *, partitions: int = 2, lanes: Mapping[str, Lane] | None = None, **tasks: Any
) -> LaneBench:
    """A bench with its topics created. Workers drain quickly."""
    quick = Tasks(lanes=dict(lanes or {"default": Lane(session_timeout_s=6)}), **({"drain_s": 5.0} | tasks))
    settings = make_settings(bootstrap, folder, engine=FAST, tasks=quick)
    settings = settings.model_copy(update={"topics": Topics(prefix=settings.topics.prefix, partitions=partitions)})
    admin.apply(settings)
    return LaneBench(settings, folder)


@pytest.fixture
def lanes(bootstrap: str, tmp_path: Path) -> Iterator[LaneBench]:
    """A bench for one test."""
    made = make_lanes(bootstrap, tmp_path)
    with made:
        yield made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger that answers after 20 ms."""
    with Ledger(tmp_path / "ledger", delay_ms=20) as made:
        yield made
