"""The transitions of a run as server-sent events: what there is, then what comes, each once, to the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.sidecar import streams
from streamflow.sidecar.event_streams import Streams
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_runs import NO_RUN, code

Start = Callable[..., str]


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


@pytest.mark.parametrize("bounds", [(0, 9), (9, 0)], ids=["total", "each"])
def test_too_many_streams_are_refused(app: FastAPI, client: TestClient, ended: str, bounds: tuple[int, int]) -> None:
    app.state.streamflow = replace(app.state.streamflow, streams=Streams(total=bounds[0], each=bounds[1]))
    answer = client.get(f"/runs/{ended}/events")
    assert (code(answer), answer.headers["retry-after"]) == ((503, "too_busy"), "1")


def test_streams_that_are_asked_for_at_the_same_time_are_counted_before_they_begin(
    app: FastAPI, client: TestClient, log: MemoryLog, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.state.streamflow = replace(app.state.streamflow, streams=Streams(total=9, each=3))
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
    assert (log.listeners, app.state.streamflow.streams.open) == ([], 0)


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
    assert (log.listeners, app.state.streamflow.streams.open) == ([], 0)


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
        stream = streams._transition_events(before, queue, 0)
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

    async def story(*given: object) -> tuple[str, int]:
        queue = streams._Queue(run)
        for one in given:
            queue.take(one)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        stream = streams._transition_events(log.simulation.history(run), queue, 0)
        count = len(await told(stream, 2))
        with pytest.raises(OperationError) as caught:
            await anext(stream)
        return caught.value.code, count

    copies = log.simulation.history(run)
    assert asyncio.run(story(*copies, *copies)) == ("too_slow", 2)
    assert asyncio.run(story(OperationError("broker_unreachable", "gone"))) == ("broker_unreachable", 2)
