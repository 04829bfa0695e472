"""A lane whose partitions are dealt anew while it waits for tasks."""

from __future__ import annotations

import pytest

from streamflow.ids import partition_of
from tests.integration.lanes import LaneBench, lanes

__all__ = ["lanes"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]


def test_tasks_that_come_first_after_a_rebalance_of_an_idle_lane_are_done(lanes: LaneBench) -> None:
    first = lanes.task_worker("first")
    lanes.wait_assigned(first)
    second = lanes.task_worker("second")
    lanes.wait_assigned(second)
    lanes.wait(
        lambda: len(lanes.told(first, "lane_assigned")[-1]["partitions"]) == 1, "the first worker to have one partition"
    )
    tasks = [lanes.task(lanes.key_of(partition)) for partition in range(lanes.partitions)]
    assert {partition_of(task.key, lanes.partitions) for task in tasks} == set(range(lanes.partitions))
    lanes.put("default", *tasks)
    answers = lanes.wait_answers(*tasks)
    assert [answers[task.run][0].kind for task in tasks] == ["CompleteAttempt"] * lanes.partitions
