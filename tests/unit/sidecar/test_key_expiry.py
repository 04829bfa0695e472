"""The metric of API keys: those whose end somebody has to know."""

from __future__ import annotations

import time

import pytest

from streamflow.access.changes import add_user, change_user
from streamflow.access.directory import Directory
from streamflow.access.key_changes import add_key, revoke_key
from streamflow.errors import OperationError
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.sidecar.key_expiry import KeyExpiry
from tests.access import MemoryAccess
from tests.unit.metrics.test_collector import exposed

DAY_MS = 86_400_000


class Told:
    """A directory at a time that a test chooses, and what a scrape says of its keys."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = time.time_ns() // 1_000_000
        monkeypatch.setattr(time, "time_ns", lambda: self.now_ms * 1_000_000)
        self.access = MemoryAccess(lambda: self.now_ms / 1000)
        self.metrics = ProcessMetrics(Process.SIDECAR)
        self.known = True
        self.metrics.sample(KeyExpiry(self.directory, self.metrics).take)
        self.access.change(lambda d, now: add_user(d, now, id="1", name="alice"))

    def directory(self) -> Directory:
        if not self.known:
            raise OperationError("access_unreadable", "The topic is being read. Try again.")
        return self.access.directory

    def add(self, id: str, days: int | None) -> None:
        expires_ms = None if days is None else self.now_ms + days * DAY_MS
        self.access.change(
            lambda d, now: add_key(d, now, id=id, digest="d", user="alice", name="", expires_ms=expires_ms)
        )

    def keys(self) -> dict[str, float]:
        """In how many days keys expire."""
        found = exposed(self.metrics).get("streamflow_api_key_expires_timestamp_seconds", {})
        return {place[0]: (at_s * 1000 - self.now_ms) / DAY_MS for place, at_s in found.items()}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def test_keys_that_expire_are_told_for_a_week_longer(told: Told) -> None:
    told.add("000000000001", 3)
    told.add("000000000002", None)
    assert told.keys() == {"sfk_000000000001": 3}
    told.now_ms += 9 * DAY_MS
    assert told.keys() == {"sfk_000000000001": -6}
    told.now_ms += 2 * DAY_MS
    assert told.keys() == {}


def test_a_revoked_key_and_those_of_a_disabled_user_are_not_told(told: Told) -> None:
    told.add("000000000001", 3)
    told.add("000000000002", 4)
    told.access.change(lambda d, now: revoke_key(d, now, id="000000000001"))
    assert told.keys() == {"sfk_000000000002": 4}
    told.access.change(lambda d, now: change_user(d, now, name="alice", disabled=True))
    assert told.keys() == {}


def test_nothing_is_told_while_keys_are_not_known(told: Told) -> None:
    told.add("000000000001", 3)
    assert told.keys() != {}

    told.known = False
    assert told.keys() == {}
