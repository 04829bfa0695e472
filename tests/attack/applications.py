"""The sidecar as an application in the process that attacks it, on a log in memory."""

from __future__ import annotations

import os

from fastapi import FastAPI
from fastapi.testclient import TestClient

from streamflow.history.reader import HistoryReader
from streamflow.settings import Settings, Sidecar, Tasks, Topics
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog

KEY = "a key for callbacks of these attacks only"
TOKEN = "a token of these attacks only"
HOST = "flow.example.org"


def application(*, token: bool = False) -> tuple[FastAPI, MemoryLog]:
    """A sidecar with the callback key `KEY`; with `token` it asks for `TOKEN`, and is known as `HOST`."""
    os.environ |= {"ATTACK_KEY": KEY, "ATTACK_TOKEN": TOKEN}
    place = Sidecar(token="env:ATTACK_TOKEN", hosts=[HOST]) if token else Sidecar()
    tasks = Tasks(output_bytes=5000, callback_secret="env:ATTACK_KEY")
    settings = Settings(topics=Topics(partitions=2), tasks=tasks, sidecar=place)
    log = MemoryLog(settings)
    return create_app(settings, log, MemoryAccess(), HistoryReader(settings)), log


def client(app: FastAPI, host: str = "localhost") -> TestClient:
    """Who asks it, under the path of the API."""
    return TestClient(app, base_url=f"http://{host}/api/v1", raise_server_exceptions=False)
