"""A sidecar on a log in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streamflow.history.reader import HistoryReader
from streamflow.settings import History, Settings, Sidecar, Tasks, Topics
from streamflow.sidecar.app import create_app
from streamflow.sidecar.callbacks import Answered, Contracts
from streamflow.sidecar.event_streams import Streams
from streamflow.sidecar.job_runner import JobRunner
from streamflow.sidecar.state import State
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog

SECRET = "correct horse battery staple"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.setenv("CALLBACK_SECRET", SECRET)
    return Settings(
        topics=Topics(partitions=2),
        tasks=Tasks(callback_secret="env:CALLBACK_SECRET", output_bytes=5000),
        history=History(path=tmp_path / "history.db"),
    )


@pytest.fixture
def log(settings: Settings) -> MemoryLog:
    return MemoryLog(settings)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """FastAPI takes a tenth of a second to make one; what it stands on is every test's own."""
    settings = Settings(topics=Topics(partitions=2))
    return create_app(settings, MemoryLog(settings), MemoryAccess(), HistoryReader(settings))


@pytest.fixture
def client(app: FastAPI, settings: Settings, log: MemoryLog) -> TestClient:
    app.state.streamflow = State(
        settings,
        log,
        SECRET,
        app.state.streamflow.identity,
        HistoryReader(settings),
        JobRunner(log, lambda _job, _target: None),
        Streams(total=100, each=20),
    )
    app.state.answered, app.state.contracts = Answered(), Contracts()
    return TestClient(app, base_url="http://localhost/api/v1", raise_server_exceptions=False)


@pytest.fixture
def guarded(settings: Settings, log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A sidecar that asks for the token `swordfish`, reached under a name of its own."""
    monkeypatch.setenv("SIDECAR_TOKEN", "swordfish")
    changed = settings.model_copy(update={"sidecar": Sidecar(token="env:SIDECAR_TOKEN", hosts=["flow.example.org"])})
    return TestClient(
        create_app(changed, log, MemoryAccess(), HistoryReader(changed)),
        base_url="https://flow.example.org/api/v1",
        raise_server_exceptions=False,
    )


@pytest.fixture
def start(client: TestClient) -> Callable[..., str]:
    """Starts a run and gives its id."""

    def started(definition: str = "refund", key: str = "R-1", **input: Any) -> str:
        answer = client.post("/runs", json={"definition": definition, "key": key, "input": input or {"amount": 5}})
        assert answer.status_code == 202, answer.text
        run: str = answer.json()["run"]
        return run

    return started
