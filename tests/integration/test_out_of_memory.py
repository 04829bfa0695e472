"""A command that needs more memory than a worker has: the partition is closed once, then the command is put aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.forked import altered
from tests.integration.workers import Bench, bench

__all__ = ["bench"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
GREEDY = "greedy"


def greedy(state: Path) -> None:
    """Deciding on one key always fails for lack of memory."""
    from streamflow.core import partition
    from streamflow.engine.decide import decide

    def decided(view: Any, contents: Any, own: Any, command: Any, *rest: Any) -> Any:
        if getattr(command, "key", "").startswith(GREEDY):
            raise RuntimeError("std::bad_alloc")
        return decide(view, contents, own, command, *rest)

    vars(partition)["decide"] = decided


def test_a_command_that_never_fits_the_memory_becomes_a_dead_letter_and_its_partition_goes_on(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker(kind=altered(greedy))
    bench.start(start, GREEDY)
    keys = [bench.key_of(partition) for partition in range(bench.partitions)]
    runs = [bench.start(start, key) for key in keys]
    for run in runs:
        bench.wait_history(run, "RunStarted", "ValuesSet", "WaitStarted")
    letter = bench.wait_letter("out_of_memory")
    assert letter.key == GREEDY.encode()
    bench.wait_saved()
    assert len(bench.lines(worker, "partition_failed")) == 1
    worker.stop()
    bench.check_stores(worker)
