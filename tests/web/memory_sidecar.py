"""A sidecar in this process, on topics and users in memory and a history store in a folder: for pages that need many
runs, users of their own, or a connection that is cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from streamflow.access import passwords
from streamflow.access.changes import add_user
from streamflow.access.oidc import Provider
from streamflow.access.rates import Rates
from streamflow.access.rights import Role
from streamflow.engine.transitions import Transition
from streamflow.history.reader import HistoryReader
from streamflow.settings import Access, History, OpenIdConnect, Settings, Topics
from streamflow.sidecar.app import create_app, server_config
from streamflow.sidecar.connections import ConnectionLimits
from tests.access import MemoryAccess
from tests.conftest import eventually
from tests.servers.process import free_port
from tests.sidecar_log import MemoryLog
from tests.unit.history.bench import Projector, a_store, records_of

PASSWORD = "correct horse battery"
_LIMITS = ConnectionLimits(connections=200, head_s=30, body_s=30)


class MemorySidecar:
    """A sidecar that listens on `address`."""

    def __init__(self, folder: Path, *, port: int, signing_key: str | None = None, oidc: OpenIdConnect | None = None):
        self.address = f"http://localhost:{port}"
        self.settings = Settings(
            topics=Topics(partitions=2),
            history=History(path=folder / "history.db"),
            access=Access(signing_key=signing_key, public_url=self.address, oidc=oidc),
        )
        self.log, self.access = MemoryLog(self.settings), MemoryAccess()
        self.store = a_store(folder)
        self._projector = Projector(self.store)
        self._projected: dict[str, int] = {}
        self._app = create_app(self.settings, self.log, self.access, HistoryReader(self.settings))
        config = server_config(self._app, _LIMITS)
        config.host, config.port = "127.0.0.1", port
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="memory-sidecar", daemon=True)

    @property
    def provider(self) -> Provider:
        """Its way to the OpenID Connect provider."""
        found = self._app.state.streamflow.identity.provider
        assert isinstance(found, Provider)
        return found

    @property
    def rates(self) -> Rates:
        """How it counts requests."""
        found = self._app.state.streamflow.identity.rates
        assert isinstance(found, Rates)
        return found

    def start(self) -> None:
        """Begins to listen."""
        self._thread.start()
        eventually(lambda: self._server.started, timeout=60)

    def stop(self) -> None:
        """Ends, and cuts what is open."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(30)
        self.store.close()

    def add_user(self, name: str, role: Role) -> None:
        """Adds a user with a role for every definition."""
        hashed = passwords.hashed(PASSWORD)
        self.access.change(lambda d, now: add_user(d, now, id=name, name=name, password=hashed, role=role))

    def ask(self, path: str, body: Any = None) -> Any:
        """What the API answers to a request of this machine."""
        with httpx2.Client(base_url=f"{self.address}/api/v1", timeout=60) as client:
            answer = client.get(path) if body is None else client.post(path, json=body)
            answer.raise_for_status()
            return answer.json()

    def begin(self, key: str) -> str:
        """The id of a refund that waits for a decision, in the history, too."""
        run = str(self.ask("/runs", {"definition": "refund", "key": key, "input": {"amount": 5}})["run"])
        self.project(run)
        return run

    def decide(self, run: str) -> None:
        """Has a refund end."""
        self.ask(f"/runs/{run}/approvals/ask", {"decision": "approved", "by": "alice", "data": {"note": "fine"}})
        self.project(run)

    def project(self, run: str) -> None:
        """Has the history know what happened in a run since."""
        history: list[Transition] = self.log.simulation.history(run)
        self._projector.take(records_of(history[self._projected.get(run, 0) :]))
        self._projected[run] = len(history)
        self.log.tell(run)

    def cut(self) -> None:
        """Cuts every connection, as a network does."""
        for one in list(self._server.server_state.connections):
            one.loop.call_soon_threadsafe(one.transport.abort)


@contextmanager
def memory_sidecar(folder: Path, **settings: Any) -> Iterator[MemorySidecar]:
    """A sidecar that runs. `settings` are those of `MemorySidecar`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = MemorySidecar(folder, port=settings.pop("port", None) or free_port(), **settings)
    made.start()
    try:
        yield made
    finally:
        made.stop()
