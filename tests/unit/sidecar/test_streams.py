"""The transitions of a run as server-sent events: what there is, then what comes, each once, to the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from streamflow.access.rights import Permission, Principal
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.sidecar import principal, streams
from streamflow.sidecar.principal import EVERY_RIGHT
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_runs import NO_RUN, code

Start = Callable[..., str]


async def always() -> bool:
    return True


@pytest.fixture
def ended(client: TestClient, start: Start) -> str:
    run = start()
    client.post(f"/runs/{run}/cancel", json={"reason": "asked twice"})
    return run


def ids(text: str) -> list[int]:
    return [int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id: ")]


def test_a_run_that_has_ended_is_told_whole_and_the_stream_ends(client: TestClient, ended: str, log: MemoryLog) -> None:
    answer = client.get(f"/runs/{ended}/events")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert ids(answer.text) == [one.seq for one in log.simulation.history(ended)]
    assert "event: RunCancelled\n" in answer.text
    assert log.listeners == []


def test_a_client_goes_on_where_it_was(client: TestClient, ended: str) -> None:
    everything = ids(client.get(f"/runs/{ended}/events").text)

    assert ids(client.get(f"/runs/{ended}/events", params={"after": 2}).text) == everything[2:]
    assert ids(client.get(f"/runs/{ended}/events", headers={"Last-Event-ID": "2"}).text) == everything[2:]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 16])
def test_a_last_id_that_is_none_is_refused(client: TestClient, ended: str, last: str) -> None:
    assert code(client.get(f"/runs/{ended}/events", headers={"Last-Event-ID": last})) == (422, "cursor_invalid")


def test_a_run_that_is_not_there_has_no_stream_and_nobody_listens_on(client: TestClient, log: MemoryLog) -> None:
    assert code(client.get(f"/runs/{NO_RUN}/events")) == (404, "run_unknown")
    assert code(client.get("/runs/nonsense/events")) == (404, "no_run_id")
    assert log.listeners == []


@pytest.mark.parametrize("name", ["STREAMS", "STREAMS_EACH"])
def test_too_many_streams_are_refused(
    client: TestClient, ended: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(streams, name, 0)
    assert code(client.get(f"/runs/{ended}/events")) == (503, "too_busy")


def test_streams_that_are_asked_for_at_the_same_time_are_counted_before_they_begin(
    app: FastAPI, client: TestClient, log: MemoryLog, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STREAMS_EACH", 3)

    decided, all_decided = list[int](), asyncio.Event()

    async def ask() -> int:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as each:
            status = (await each.get(f"/runs/{ended}/events")).status_code
        decided.append(status)
        if len(decided) == 17:
            all_decided.set()
        return status

    async def slow(run: str) -> list[Transition]:
        with contextlib.suppress(TimeoutError):  # too few were refused
            await asyncio.wait_for(all_decided.wait(), 2)
        return log.simulation.history(run)

    async def story() -> list[int]:
        return await asyncio.gather(*(ask() for _ in range(20)))

    monkeypatch.setattr(log, "history", slow)
    assert Counter(asyncio.run(story())) == {200: 3, 503: 17}
    assert (log.listeners, streams._open) == ([], {})


def test_a_client_that_left_before_the_first_event_keeps_no_place(
    app: FastAPI, client: TestClient, log: MemoryLog, start: Start
) -> None:
    path = f"/api/v1/runs/{start()}/events"
    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        raise OSError("the connection is gone")

    with contextlib.suppress(Exception):
        asyncio.run(app(scope | {"headers": headers, "asgi": {"spec_version": "2.4"}}, receive, send))
    assert (log.listeners, streams._open) == ([], {})


def revoked(*_: object) -> Principal:
    raise Rejected("key_revoked", "The API key is revoked. Ask an admin for another.")


def of_another_definition(*_: object) -> Principal:
    return Principal(name="kim", permissions=(Permission(EVERY_RIGHT, ("survey",)),))


def without_rights(*_: object) -> Principal:
    return Principal(name="kim")


@pytest.mark.parametrize("changed", [revoked, of_another_definition, without_rights])
@pytest.mark.parametrize("busy", [False, True])
def test_a_stream_ends_when_its_reader_may_read_the_run_no_more(
    client: TestClient,
    app: FastAPI,
    start: Start,
    log: MemoryLog,
    monkeypatch: pytest.MonkeyPatch,
    changed: Callable[..., Principal],
    busy: bool,
) -> None:
    run = start()
    identity = app.state.streamflow.identity
    asked: list[Principal] = [principal.LOCAL]  # by the request itself

    async def found(*_: object) -> Principal:
        return asked.pop() if asked else changed()

    async def never_idle(_self: object, _until: float) -> Transition:
        await asyncio.sleep(0)
        return log.simulation.history(run)[0]

    monkeypatch.setattr(streams, "_PING_S", 0.01)
    monkeypatch.setattr(identity, "principal", found)
    if busy:
        monkeypatch.setattr(streams._Queue, "next", never_idle)
    answer = client.get(f"/runs/{run}/events")
    assert ids(answer.text) == [one.seq for one in log.simulation.history(run)]
    assert (log.listeners, streams._open) == ([], {})


async def told(stream: AsyncIterator[bytes], count: int) -> list[int]:
    return [ids((await anext(stream)).decode())[0] for _ in range(count)]


def test_what_comes_while_the_history_is_read_is_told_once(client: TestClient, start: Start, log: MemoryLog) -> None:
    run = start()

    async def story() -> None:
        before = log.simulation.history(run)
        queue = streams._Queue(run)
        client.post(f"/runs/{run}/cancel")
        for transition in log.simulation.history(run):  # copies of what is in the history, and the end
            queue.take(transition)
        stream = streams._told(before, queue, 0, always)
        everything = await told(stream, len(log.simulation.history(run)))
        assert everything == [one.seq for one in log.simulation.history(run)]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(story())


def test_a_reader_that_is_too_slow_or_an_error_ends_the_stream(
    client: TestClient, start: Start, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    monkeypatch.setattr(streams, "_QUEUED", 2)
    monkeypatch.setattr(streams, "_PING_S", 0.01)

    async def story(*given: object) -> list[bytes]:
        queue = streams._Queue(run)
        for one in given:
            queue.take(one)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return [part async for part in streams._told(log.simulation.history(run), queue, 0, always)]

    copies = log.simulation.history(run)
    assert len(asyncio.run(story(*copies, *copies))) == 2
    assert len(asyncio.run(story(OperationError("broker_unreachable", "gone")))) == 2
