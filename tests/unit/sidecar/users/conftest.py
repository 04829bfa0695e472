"""An installation with users, and a sidecar of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streamflow.access import passwords
from streamflow.access.changes import add_grant, add_user
from streamflow.access.rates import Rates
from streamflow.access.rights import Role
from streamflow.history.reader import HistoryReader
from streamflow.settings import Access, Settings, Sidecar, Topics
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.users.people import HASH, HOST, PASSWORD, Clock, bearer, key_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in ("identity", "openid", "session"):
        monkeypatch.setattr(f"streamflow.sidecar.{module}.now_ms", lambda: int(made.s * 1000))
    return made


@pytest.fixture
def access(clock: Clock) -> MemoryAccess:
    """An installation with `root`, an admin, and `nobody`, who has no role."""
    made = MemoryAccess(clock)
    made.change(lambda d, now: add_user(d, now, id="root", name="root", password=HASH, role=Role.ADMIN))
    made.change(lambda d, now: add_user(d, now, id="nobody", name="nobody", password=HASH))
    return made


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """A sidecar with sessions; what it stands on is every test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNING_KEY", "0123456789abcdef" * 4)
        settings = Settings(
            topics=Topics(partitions=2),
            sidecar=Sidecar(hosts=["flow.example.org"]),
            access=Access(signing_key="env:SIGNING_KEY", public_url=HOST),
        )
        return create_app(settings, MemoryLog(settings), MemoryAccess(), HistoryReader(settings))


@pytest.fixture
def place(app: FastAPI, access: MemoryAccess, log: MemoryLog) -> TestClient:
    """A sidecar of that installation. Cookies are kept, as by a browser."""
    app.state.streamflow = replace(app.state.streamflow, log=log)
    identity = app.state.streamflow.identity
    identity.access = access
    identity.rates = Rates(requests_per_minute=500, attempts_per_minute=10)
    return TestClient(app, base_url=f"{HOST}/api/v1", raise_server_exceptions=False)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2 takes 50 ms on purpose; it has tests of its own."""
    monkeypatch.setattr(passwords, "fits", lambda kept, given: kept == HASH and given == PASSWORD)
    monkeypatch.setattr(passwords, "hashed", lambda password: HASH)


@pytest.fixture
def limited(place: TestClient, access: MemoryAccess) -> dict[str, str]:
    """Headers of a user who may operate and decide for `survey` and not for `refund`."""
    access.change(lambda d, now: add_user(d, now, id="kim", name="kim", groups=["managers"]))
    for number, role in enumerate((Role.OPERATOR, Role.SERVICE_USER)):
        access.change(
            lambda d, now, id=str(number), role=role: add_grant(  # type: ignore[misc]
                d, now, id=id, role=role, user="kim", definitions=["survey*"]
            )
        )
    return bearer(key_of(access, "kim", "c" * 12))
