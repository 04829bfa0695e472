"""The topic `access` as a process follows it: one record that nobody can read keeps nobody out."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from streamflow.access import topic
from streamflow.access.records import User, encode
from streamflow.access.topic import AccessTopic
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from tests.hostile_records import DEEP, VALUES

HOSTILE = {**VALUES, "deep in a field": b'{"id": "zz", "zz": ' + DEEP + b"}"}


class Reader:
    """The topic with every hostile record under each kind of key, and a user behind them."""

    def __init__(self, *_: object, **__: object) -> None:
        kinds = ("user/zz", "grant/zz", "key/zz", "use/zz", "family/zz", "view/zz", "subscription/zz", "audit", "x")
        written = [(kind, value) for kind in kinds for value in HOSTILE.values()]
        written.append(("user/1", encode(User(id="1", name="kim", created_ms=1))))
        self._left = [Record("access", 0, n, 1, key.encode(), value, ()) for n, (key, value) in enumerate(written)]

    def to_end(self) -> Iterable[Record]:
        found, self._left = self._left, []
        return found

    def follow(self, wait_s: float) -> Iterable[Record]:
        return []

    def close(self) -> None:
        return None


def test_what_cannot_be_read_gives_no_right_and_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "LogReader", Reader)
    monkeypatch.setattr(topic, "ExclusiveWriter", lambda *_: None)
    with AccessTopic(Settings()) as access:
        directory = access.wait_loaded(10)
    assert [user.name for user in directory.users()] == ["kim"]
    assert {key.partition("/")[0] for key in directory.unreadable} >= {"user", "grant", "key", "family", "audit"}
    assert not directory.is_open
    assert not directory.admins()
