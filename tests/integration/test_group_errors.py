"""A group that refuses a member for a reason that nobody expects, as a broker does that cannot write: each role joins
again by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance
from aiokafka.errors import KafkaError, UnknownError

from tests.integration.forked import altered
from tests.integration.lanes import LaneBench, lanes
from tests.integration.workers import Bench, bench

__all__ = ["bench", "lanes"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]


def refused_twice(state: Path) -> None:
    """Two joins end as aiokafka ends one whose answer has a code that it does not know."""
    join, left = CoordinatorGroupRebalance.perform_group_join, [None, None]

    async def refused(self: CoordinatorGroupRebalance) -> object:
        if left:
            left.pop()
            raise KafkaError(repr(UnknownError()))
        return await join(self)

    CoordinatorGroupRebalance.perform_group_join = refused


def test_an_engine_joins_again(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker(kind=altered(refused_twice))
    bench.wait_history(bench.start(start, "order-1"), "WaitStarted")
    assert worker.log.read_text().count('"group_failed"') == 2


def test_a_task_worker_joins_again(lanes: LaneBench) -> None:
    worker = lanes.task_worker(kind=altered(refused_twice))
    lanes.wait_assigned(worker)
    assert '"lane_interrupted"' in worker.log.read_text()
