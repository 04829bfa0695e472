"""Streams: their bounds, the end of rights while they are open, and a guard that counts none of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from streamflow.access.rights import Permission, Principal
from streamflow.core.metrics import NoMetrics
from streamflow.errors import OperationError, Rejected
from streamflow.history.reader import HistoryReader
from streamflow.settings import Settings, Sidecar
from streamflow.sidecar import event_streams, principal, streams
from streamflow.sidecar.app import create_app
from streamflow.sidecar.event_streams import Streams
from streamflow.sidecar.guard import GuardLimits
from streamflow.sidecar.principal import EVERY_RIGHT, LOCAL, Right
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_runs import code

Start = Callable[..., str]


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


class Counted(NoMetrics):
    """Counters and gauges, by name and labels."""

    def __init__(self) -> None:
        self.counts = Counter[tuple[str, ...]]()
        self.gauges: dict[tuple[str, ...], float] = {}

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        self.counts[name, *labels.values()] += int(value)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.gauges[name, *labels.values()] = value


@dataclass
class Reading:
    """One stream as its client sees it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def end(self) -> str | None:
        """The code in the event that ends the stream; None if it has none."""
        *_, last = [part for part in self.text.split("\n\n") if part] or [""]
        name, _, data = last.partition("\ndata: ")
        return json.loads(data)["code"] if name == "event: end" else None


async def read(app: FastAPI, path: str, reading: Reading) -> None:
    """Asks for a stream and reads it until it ends, or `left` is set."""

    async def receive() -> Message:
        await reading.left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            reading.status = message["status"]
            reading.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            reading.begun.set()
        else:
            reading.text += message.get("body", b"").decode()

    path = f"/api/v1{path}"
    headers = [(b"host", b"localhost"), (b"accept", b"text/event-stream")]
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    await app(scope | {"headers": headers, "client": ("127.0.0.1", 1)}, receive, send)


@asynccontextmanager
async def open_streams(app: FastAPI, path: str, count: int) -> AsyncIterator[list[Reading]]:
    """So many streams, each asked for after the head of the one before."""
    readings = [Reading() for _ in range(count)]
    tasks = []
    try:
        for one in readings:
            tasks.append(asyncio.create_task(read(app, path, one)))
            async with asyncio.timeout(60):
                await one.begun.wait()
        yield readings
    finally:
        for one in readings:
            one.left.set()
        await asyncio.gather(*tasks)


@contextmanager
def limited(settings: Settings, log: MemoryLog, **limits: Any) -> Iterator[tuple[FastAPI, Counted]]:
    """A sidecar with these settings, and what it counts."""
    changed, metrics = settings.model_copy(update={"sidecar": Sidecar(**limits)}), Counted()
    app = create_app(changed, log, MemoryAccess(), HistoryReader(changed), metrics=metrics)
    yield app, metrics


@pytest.fixture(params=["run", "conversation"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def path_of(kind: str, app: FastAPI, log: MemoryLog) -> str:
    """A stream that goes on."""
    if kind == "conversation":
        return f"/conversations/{await app.state.conversations.start('kim', title='t', text=None, catalog=None)}/events"
    answer = await asyncio.to_thread(
        TestClient(app, base_url="http://localhost/api/v1").post,
        "/runs",
        json={"definition": "refund", "key": "R", "input": {"amount": 5}},
    )
    return f"/runs/{answer.json()['run']}/events"


def test_open_streams_take_no_request_s_place(settings: Settings, log: MemoryLog, kind: str) -> None:
    async def story() -> None:
        with limited(settings, log, requests=2, streams=30, streams_each=20) as (app, metrics):
            path = await path_of(kind, app, log)
            async with open_streams(app, path, 20) as found:
                assert {one.status for one in found} == {200}
                assert metrics.gauges["streams_open", kind] == 20
                client = TestClient(app, base_url="http://localhost/api/v1")
                for asked in ("/health", "/approvals"):
                    assert (await asyncio.to_thread(client.get, asked)).status_code == 200, asked
                async with open_streams(app, path, 1) as (refused,):
                    assert (refused.status, json.loads(refused.text)["code"]) == (503, "too_busy")
                    assert refused.headers["retry-after"] == "1"
                assert metrics.counts["streams_refused", "each"] == 1
            assert (app.state.streamflow.streams.open, metrics.gauges["streams_open", kind]) == (0, 0)
            assert log.listeners == []

    asyncio.run(story())


def test_all_kinds_share_one_bound(settings: Settings, log: MemoryLog) -> None:
    async def story() -> None:
        with limited(settings, log, streams=2, streams_each=20) as (app, metrics):
            run, talk = await path_of("run", app, log), await path_of("conversation", app, log)
            async with open_streams(app, run, 1), open_streams(app, talk, 1), open_streams(app, run, 1) as (third,):
                assert third.status == 503
            assert metrics.counts["streams_refused", "total"] == 1

    asyncio.run(story())


def test_health_is_answered_when_nothing_else_is(settings: Settings, log: MemoryLog) -> None:
    with limited(settings, log, requests=1) as (app, metrics):
        app.user_middleware[0].kwargs["limits"] = GuardLimits(body_bytes=1000, body_s=1, requests=0)
        client = TestClient(app, base_url="http://localhost/api/v1")
        refused = client.get("/approvals")
        assert (code(refused), refused.headers["retry-after"]) == ((503, "too_busy"), "1")
        assert client.get("/health").json() == {"ok": True}
        assert metrics.counts == {("requests_refused", "too_busy"): 1}
        empty = client.request("GET", "/approvals", headers={"content-length": "0"})
        unread = client.request("GET", "/approvals", content=b"{}")
        action = client.post("/operations/checks", headers={"content-length": "0"})
        assert [code(answer) for answer in (empty, unread, action)] == [(503, "too_busy")] * 3


def revoked(*_: object) -> Principal:
    raise Rejected("key_revoked", "The API key is revoked. Ask an admin for another.")


def expired(*_: object) -> Principal:
    raise Rejected("token_expired", "The access token has expired. Get another.")


def of_another_definition(*_: object) -> Principal:
    return Principal(name="kim", permissions=(Permission(EVERY_RIGHT - {Right.READ_AUTHORING}, ("survey",)),))


def without_rights(*_: object) -> Principal:
    return Principal(name="kim")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (revoked, "key_revoked"),
        (expired, "token_expired"),
        (of_another_definition, "right_missing"),
        (without_rights, "right_missing"),
    ],
)
@pytest.mark.parametrize("busy", [False, True])
def test_a_stream_ends_with_the_reason_when_its_reader_may_read_it_no_more(
    settings: Settings,
    log: MemoryLog,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    changed: Callable[..., Principal],
    expected: str,
    busy: bool,
) -> None:
    monkeypatch.setattr(event_streams, "CHECK_S", 0.01)

    async def never_idle(queue: Any) -> Any:
        await asyncio.sleep(0)
        return log.simulation.history(queue._run)[0]

    if busy:
        monkeypatch.setattr(streams._Queue, "next", never_idle)

    async def story() -> None:
        with limited(settings, log) as (app, metrics):
            path = await path_of(kind, app, log)
            async with open_streams(app, path, 1) as (reading,):
                monkeypatch.setattr(app.state.streamflow.identity, "find", changed)
                await until(lambda: not app.state.streamflow.streams.open)
            assert reading.end == expected
            assert metrics.counts["streams_ended", kind, expected] == 1
            assert log.listeners == []

    asyncio.run(story())


def test_a_stream_goes_on_while_it_is_not_known_who_asks(
    settings: Settings, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(event_streams, "CHECK_S", 0.01)
    asked = []

    def unknown(*_: object) -> Principal:
        asked.append(1)
        raise OperationError("access_unreadable", "The users cannot be read.")

    async def story() -> None:
        with limited(settings, log) as (app, _metrics):
            path = await path_of(kind, app, log)
            async with open_streams(app, path, 1) as (reading,):
                monkeypatch.setattr(app.state.streamflow.identity, "find", unknown)
                await until(lambda: len(asked) > 2)
                assert (app.state.streamflow.streams.open, reading.end) == (1, None)

    asyncio.run(story())


def test_a_check_of_rights_is_no_request(
    settings: Settings, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(event_streams, "CHECK_S", 0.01)
    counted, checked = [], []

    async def story() -> None:
        with limited(settings, log) as (app, _metrics):
            path = await path_of(kind, app, log)

            async def count(_found: Principal) -> None:
                counted.append(1)

            def find(*_: object) -> Principal:
                checked.append(1)
                return principal.LOCAL

            monkeypatch.setattr(app.state.streamflow.identity, "count", count)
            monkeypatch.setattr(app.state.streamflow.identity, "find", find)
            async with open_streams(app, path, 1):
                await until(lambda: len(checked) > 3)
            assert len(counted) == 1  # the request itself

    asyncio.run(story())


def test_a_conversation_that_is_deleted_ends_its_streams_and_says_so(settings: Settings, log: MemoryLog) -> None:
    async def story() -> None:
        with limited(settings, log) as (app, _metrics):
            path = await path_of("conversation", app, log)
            async with open_streams(app, path, 1) as (reading,):
                await app.state.conversations.delete(path.split("/")[2])
                await until(lambda: not app.state.streamflow.streams.open)
            assert reading.end == "conversation_unknown"

    asyncio.run(story())


def test_a_silent_stream_says_that_it_is_alive(
    settings: Settings, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(event_streams, "PING_S", 0.01)

    async def story() -> None:
        with limited(settings, log) as (app, _metrics):
            async with open_streams(app, await path_of(kind, app, log), 1) as (reading,):
                await until(lambda: reading.text.count(": ping\n\n") > 2)

    asyncio.run(story())


def test_a_place_is_given_up_once() -> None:
    found = Streams(total=2, each=2)
    place, other = found.enter(LOCAL, "run"), found.enter(LOCAL, "live")
    for _ in range(2):
        place.leave()
    assert found.open == 1
    other.leave()
    assert found.open == 0
