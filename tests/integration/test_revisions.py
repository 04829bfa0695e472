"""Upgrades without a stop: a new revision is enabled when every worker knows it; who does not know one leaves its
partitions alone."""

from __future__ import annotations

import pytest

from streamflow.engine.commands import REVISION, DefinitionRef
from streamflow.errors import Rejected
from streamflow.kafka.engine_records import enable_revision
from streamflow.kafka.publication import read_log
from streamflow.kafka.revisions import enable, revisions
from tests.integration.workers import Bench, bench

__all__ = ["bench"]
pytestmark = pytest.mark.broker


def test_runs_start_with_the_revision_of_whoever_made_the_topics(bench: Bench) -> None:
    assert read_log(bench.settings).revision == REVISION


def test_a_revision_is_enabled_when_every_worker_that_is_there_knows_it(bench: Bench) -> None:
    with pytest.raises(Rejected, match="no engine worker is there") as nobody:
        enable(bench.settings, REVISION)
    assert nobody.value.code == "revision_unknown"
    worker = bench.worker()
    bench.wait_open(worker)
    assert revisions(bench.settings).workers == ((REVISION,),)
    with pytest.raises(Rejected, match="1 of 1 engine workers do not"):
        enable(bench.settings, "99+next")
    assert enable(bench.settings, REVISION).offset is None
    assert revisions(bench.settings).enabled == REVISION
    enable_revision(bench.settings, "99+next")
    assert revisions(bench.settings).enabled == "99+next"
    worker.stop()


def test_a_worker_leaves_a_partition_alone_whose_runs_have_a_revision_that_it_does_not_know(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    bench.wait_open(worker)
    bench.start(DefinitionRef(start.sha256, start.log_offset, "99+next"), "order-1")
    stopped = bench.wait_line(worker, "partition_stopped")
    assert "99+next" in stopped["error"]
    run = bench.start(start, bench.key_of(1 - stopped["partition"]))
    bench.wait_history(run, "WaitStarted")
    worker.stop()
