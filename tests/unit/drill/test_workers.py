"""Worker processes of a drill: those that end by themselves are started again, and given up when they do so over and
over."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamflow.drill import workers
from streamflow.drill.workers import Workers
from streamflow.errors import OperationError
from tests.conftest import eventually

ENDS = (sys.executable, "-S", "-c", "print('no rights'); raise SystemExit(4)")
STAYS = (sys.executable, "-S", "-c", "import time; print('here', flush=True); time.sleep(60)")


def test_a_worker_that_ends_over_and_over_is_given_up_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "ENTRY", ENDS)
    monkeypatch.setattr(workers, "_AGAIN_S", 0.0)
    worker = Workers(tmp_path).start("engine-1", "engine", {})

    with pytest.raises(OperationError) as given_up:
        eventually(lambda: worker.tend() and False)

    assert given_up.value.code == "worker_falls"
    assert "no rights" in given_up.value.message
    assert worker.fell == [4] * 5


def test_a_worker_that_the_drill_kills_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ENTRY", STAYS)
    all_ = Workers(tmp_path)
    worker = all_.start("engine-1", "engine", {})
    try:
        eventually(lambda: "here" in worker.tail())
        worker.pause()
        worker.kill()

        assert not worker.tend()
        assert not worker.alive
        assert worker.fell == []
        assert all_.of("engine") == []
    finally:
        all_.end()


def test_a_worker_that_is_asked_to_leave_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ENTRY", STAYS)
    all_ = Workers(tmp_path)
    worker = all_.start("tasks", "tasks", {})
    eventually(lambda: "here" in worker.tail())

    for _ in all_.leave([worker]):
        pass

    assert not worker.alive
