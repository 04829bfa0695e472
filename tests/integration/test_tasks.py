"""Task workers against a real broker: what becomes of tasks that are put into a lane by hand."""

from __future__ import annotations

import pytest

from streamflow.engine.tasks import CancelTask
from streamflow.settings import Lane
from streamflow.wire.tasks import Source
from tests.integration.lanes import TOPIC_ID, LaneBench, lanes, ledger, make_lanes
from tests.integration.workers import complaints

__all__ = ["lanes", "ledger"]

pytestmark = [pytest.mark.broker, pytest.mark.timeout(90)]


def test_tasks_are_answered_and_their_offsets_committed(lanes: LaneBench) -> None:
    worker = lanes.task_worker()
    tasks = [lanes.task(f"k{number}", input={"value": number}) for number in range(300)]
    lanes.put("default", *tasks)
    answers = lanes.wait_answers(*tasks)
    assert [answers[task.run][0].fields["output"] for task in tasks] == [{"value": number} for number in range(300)]
    assert lanes.wait_done("default") == {"completed": 300}
    worker.stop()
    assert {len(found) for found in lanes.answers().values()} == {1}
    counts = lanes.lines(worker, "lane_counts")[-1]
    assert (counts["read"], counts["completed"], counts["copies"]) == (300, 300, 0)
    assert complaints(worker) == []
