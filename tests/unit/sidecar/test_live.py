"""One WebSocket for everything that a page watches."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from streamflow.access.rights import Permission, Principal
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected
from streamflow.history.reader import HistoryReader
from streamflow.history.sqlite import Sqlite
from streamflow.ops.jobs import Job, added
from streamflow.ops.lag_rows import MeasuredLag
from streamflow.settings import Settings
from streamflow.sidecar import live, live_hub, live_lists, principal
from streamflow.sidecar.conversation_state import service_of
from streamflow.sidecar.event_streams import Streams
from streamflow.sidecar.live_hub import Hub
from streamflow.sidecar.principal import EVERY_RIGHT, Right
from tests.sidecar_log import MemoryLog
from tests.unit.history.bench import Projector, a_store, records_of
from tests.unit.sidecar.test_runs import NO_RUN

Start = Callable[..., str]
PAGE = {"Origin": "http://localhost"}
URL = "ws://localhost/api/v1/live"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CHECK_S", 3600)
    monkeypatch.setattr(live_hub, "_EVERY_S", 0.01)
    for looked_at in live_lists.EVERY_S:
        monkeypatch.setitem(live_lists.EVERY_S, looked_at, 0.01)


@pytest.fixture
def store(app: FastAPI, client: TestClient, settings: Settings, log: MemoryLog) -> Iterator[Sqlite]:
    """The history store, which the sidecar reads."""
    database = a_store(settings.history.path.parent)
    reader = HistoryReader(settings)
    app.state.streamflow = replace(app.state.streamflow, history=reader)
    app.state.live = Hub(log, lambda: reader)
    yield database
    asyncio.run(reader.close())
    database.close()


@pytest.fixture
def socket(client: TestClient, store: Sqlite) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect(URL, headers=PAGE) as found:
        yield found


def subscribe(socket: WebSocketTestSession, channel: str, cursor: Any = None) -> Any:
    socket.send_json({"subscribe": channel, "cursor": cursor})
    return socket.receive_json()


def add_trouble(store: Sqlite) -> None:
    with store.transaction():
        store.run(
            "INSERT INTO trouble (id, kind, definition, key, event, event_id, source, run, step, code, message, at_ms, "
            "count, state, place) VALUES ('x', 'unclaimed', '', '', '', '', '', '', '', '', '', 7, 1, 'open', '')",
            (),
        )


def decide(client: TestClient, run: str) -> None:
    yes = {"decision": "approved", "by": "alice", "data": {"note": "fine"}}
    assert client.post(f"/runs/{run}/approvals/ask", json=yes).status_code == 200


def test_a_run_is_told_transition_by_transition_once(
    client: TestClient, log: MemoryLog, start: Start, socket: WebSocketTestSession
) -> None:
    run = start()
    assert subscribe(socket, f"run/{run}", 0)["kind"] == "subscribed"
    before = [socket.receive_json() for _ in log.simulation.history(run)]
    assert [one["data"]["type"] for one in before] == ["RunStarted", "ApprovalRequested"]
    decide(client, run)
    for _ in range(2):
        log.tell(run)  # copies, too
    after = [socket.receive_json() for _ in range(len(log.simulation.history(run)) - 2)]
    assert [one["cursor"] for one in (*before, *after)] == [one.seq for one in log.simulation.history(run)]
    assert {(one["channel"], one["kind"]) for one in (*before, *after)} == {(f"run/{run}", "transition")}


def test_a_client_that_was_cut_off_gets_what_it_missed(
    client: TestClient, log: MemoryLog, start: Start, socket: WebSocketTestSession
) -> None:
    run = start()
    decide(client, run)
    last = log.simulation.history(run)[-1].seq
    answer = subscribe(socket, f"run/{run}", last - 1)
    assert answer == {"channel": f"run/{run}", "cursor": last - 1, "kind": "subscribed", "data": None}
    assert socket.receive_json()["cursor"] == last
    socket.send_json({"unsubscribe": f"run/{run}"})
    assert subscribe(socket, f"run/{run}")["cursor"] is None  # from now on


@pytest.mark.parametrize("channel", ["runs", "dashboard"])
def test_a_list_is_told_of_when_the_store_has_the_change(
    log: MemoryLog, start: Start, store: Sqlite, socket: WebSocketTestSession, channel: str
) -> None:
    before = subscribe(socket, channel)
    projector = Projector(store)
    projector.take(records_of(log.simulation.history(start())))
    changed = socket.receive_json()
    assert (changed["channel"], changed["kind"]) == (channel, "changed")
    assert changed["cursor"] != before["cursor"]

    socket.send_json({"unsubscribe": channel})
    assert subscribe(socket, channel, before["cursor"])["kind"] == "subscribed"
    assert socket.receive_json()["kind"] == "changed"  # that was missed
    socket.send_json({"unsubscribe": channel})
    assert subscribe(socket, channel, changed["cursor"])["kind"] == "subscribed"
    projector.take(records_of(log.simulation.history(start(key="R-2"))))
    assert socket.receive_json()["cursor"] != changed["cursor"]


def test_trouble_and_approvals_are_told_of(
    log: MemoryLog, start: Start, store: Sqlite, socket: WebSocketTestSession
) -> None:
    assert subscribe(socket, "approvals")["kind"] == "subscribed"
    log.tell(start())
    assert socket.receive_json()["channel"] == "approvals"
    assert subscribe(socket, "trouble")["kind"] == "subscribed"
    add_trouble(store)
    changed = socket.receive_json()
    assert (changed["channel"], changed["kind"]) == ("trouble", "changed")


def test_every_other_list_is_told_of(
    log: MemoryLog,
    settings: Settings,
    store: Sqlite,
    socket: WebSocketTestSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lag() -> MeasuredLag:
        return MeasuredLag(partitions=[], drains={})

    def add_log_line() -> None:
        with store.transaction():
            store.run("INSERT INTO progress VALUES ('logs', 0, '', 7, 7, 0, 0, 0)", ())

    def fall_behind() -> None:
        with store.transaction():
            store.run("UPDATE progress SET lag_ms = 9000, end_offset = end_offset + 1", ())

    def add_job() -> None:
        job = Job(id="j", action="retry", filter={}, reason="x", who="x", definitions=(), created_ms=1, total=0)
        log.jobs.write(lambda board, _now_ms: added(board, job, []))

    changes: dict[str, Callable[[], object]] = {
        "logs": add_log_line,
        "jobs": add_job,
        "history": fall_behind,
        "conversations": lambda: asyncio.run(service_of(settings, log).start("x", title="x", text=None, catalog=None)),
        "workers": lambda: monkeypatch.setattr(log, "lag", lag),
    }
    for channel, change in changes.items():
        assert subscribe(socket, channel)["kind"] == "subscribed"
        change()
        changed = socket.receive_json()
        assert (changed["channel"], changed["kind"]) == (channel, "changed")
        socket.send_json({"unsubscribe": channel})
    assert live_lists.CHANNELS.keys() - changes.keys() == {"runs", "dashboard", "trouble", "approvals"}


def test_a_client_that_missed_too_much_gets_a_gap(
    client: TestClient, log: MemoryLog, start: Start, socket: WebSocketTestSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    decide(client, run)
    last = log.simulation.history(run)[-1].seq
    monkeypatch.setattr(live, "_MISSED", 1)
    assert subscribe(socket, f"run/{run}", 0)["kind"] == "subscribed"
    assert socket.receive_json() == {"channel": f"run/{run}", "cursor": last, "kind": "gap", "data": None}


def test_a_change_right_after_the_subscription_is_told(log: MemoryLog, store: Sqlite, settings: Settings) -> None:
    class Watching:
        def __init__(self) -> None:
            self.channels, self.runs = {"trouble"}, dict[str, int]()
            self.told = asyncio.get_running_loop().create_future()

        def take(self, one: Transition) -> None:
            raise AssertionError(one)

        def put(self, text: str) -> None:
            self.told.set_result(text)

    async def watch() -> str:
        reader, watcher = HistoryReader(settings), Watching()
        hub = Hub(log, lambda: reader)
        await hub.watch("trouble")
        add_trouble(store)  # before the hub looked for the first time
        hub.join(watcher)
        async with asyncio.timeout(20):
            told: str = await watcher.told
        hub.close()
        await reader.close()
        return told

    assert msgspec.json.decode(asyncio.run(watch()))["kind"] == "changed"


def test_what_cannot_be_watched_is_an_error_and_the_socket_stays(
    start: Start, socket: WebSocketTestSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    for channel, cursor, code in (
        ("nothing", None, "channel_unknown"),
        ("run/nonsense", None, "no_run_id"),
        (f"run/{NO_RUN}", 3, "run_unknown"),
        (f"run/{run}", "x", "cursor_invalid"),
        (f"run/{run}", -1, "cursor_invalid"),
    ):
        answer = subscribe(socket, channel, cursor)
        assert (answer["channel"], answer["kind"], answer["data"]["code"]) == (channel, "error", code)
    monkeypatch.setattr(live, "_CHANNELS", 1)
    assert subscribe(socket, "runs")["kind"] == "subscribed"
    assert subscribe(socket, "approvals")["data"]["code"] == "too_many_channels"


def test_without_a_store_a_list_cannot_be_watched(app: FastAPI, client: TestClient, log: MemoryLog) -> None:
    app.state.live = Hub(log, lambda: app.state.streamflow.history)
    with client.websocket_connect(URL, headers=PAGE) as socket:
        assert subscribe(socket, "runs")["data"]["code"] == "history_missing"
        assert subscribe(socket, "approvals")["kind"] == "subscribed"


def test_rights_hold_for_channels_and_for_runs(
    client: TestClient, store: Sqlite, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, own = start(), start("survey")
    may = Permission(EVERY_RIGHT - {Right.READ_TROUBLE, Right.READ_APPROVALS}, ("survey",))
    monkeypatch.setattr(principal, "LOCAL", Principal(name="kim", permissions=(may,)))
    with client.websocket_connect(URL, headers=PAGE) as socket:
        assert subscribe(socket, f"run/{own}")["kind"] == "subscribed"
        assert subscribe(socket, f"run/{other}")["data"]["code"] == "run_unknown"
        assert subscribe(socket, "trouble")["data"]["code"] == "right_missing"
        assert subscribe(socket, "approvals")["data"]["code"] == "right_missing"
        assert subscribe(socket, "runs")["kind"] == "subscribed"


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"subscribe": 1}', "{}", f'{{"subscribe": "{"x" * 201}"}}'])
def test_what_is_no_message_ends_the_socket(socket: WebSocketTestSession, text: str) -> None:
    socket.send_text(text)
    with pytest.raises(WebSocketDisconnect) as caught:
        socket.receive_json()
    assert (caught.value.code, caught.value.reason) == (1008, "request_invalid")


def test_bytes_end_the_socket(socket: WebSocketTestSession) -> None:
    socket.send_bytes(b"x")
    with pytest.raises(WebSocketDisconnect) as caught:
        socket.receive_json()
    assert caught.value.reason == "request_invalid"


@pytest.mark.parametrize("bounds", [(1, 9), (9, 1)], ids=["total", "each"])
def test_more_sockets_than_the_limit_are_refused(
    app: FastAPI, client: TestClient, store: Sqlite, bounds: tuple[int, int]
) -> None:
    app.state.streamflow = replace(app.state.streamflow, streams=Streams(total=bounds[0], each=bounds[1]))
    with client.websocket_connect(URL, headers=PAGE) as socket:
        assert subscribe(socket, "approvals")["kind"] == "subscribed"
        with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect(URL, headers=PAGE):
            pass
    assert (caught.value.status_code, caught.value.json()["code"]) == (503, "too_busy")
    assert caught.value.headers["retry-after"] == "1"
    assert app.state.streamflow.streams.open == 0


def test_nobody_listens_when_the_last_one_has_left(client: TestClient, store: Sqlite, log: MemoryLog) -> None:
    with client.websocket_connect(URL, headers=PAGE) as socket:
        assert subscribe(socket, "approvals")["kind"] == "subscribed"
    assert log.listeners == []


def test_a_reader_that_is_too_slow_is_cut_off(
    client: TestClient, start: Start, store: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(live, "_QUEUED", 2)
    monkeypatch.setattr(live._Client, "_write", never)
    run = start()
    with client.websocket_connect(URL, headers=PAGE) as socket:
        socket.send_json({"subscribe": f"run/{run}", "cursor": 0})
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_json()
    assert (caught.value.code, caught.value.reason) == (1008, "too_slow")


def test_who_may_be_here_no_more_is_sent_away(
    client: TestClient, app: FastAPI, store: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object) -> Principal:
        raise Rejected("session_ended", "The session of this token has ended. Log in again.")

    monkeypatch.setattr(live, "CHECK_S", 0.01)
    with client.websocket_connect(URL, headers=PAGE) as socket:
        assert socket.receive_json() == {"ping": 1}
        monkeypatch.setattr(app.state.streamflow.identity, "find", ended)
        with pytest.raises(WebSocketDisconnect) as caught:
            list(iter(socket.receive_json, None))
    assert (caught.value.code, caught.value.reason) == (1008, "session_ended")


@pytest.mark.parametrize(
    "permissions",
    [(), (Permission(EVERY_RIGHT, ("survey",)),), (Permission(EVERY_RIGHT - {Right.READ_RUNS}),)],
    ids=["none", "another definition", "without the right"],
)
@pytest.mark.parametrize("at", ["a ping", "a subscription"])
def test_a_client_whose_rights_are_others_is_sent_away(
    client: TestClient,
    store: Sqlite,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    permissions: tuple[Permission, ...],
    at: str,
) -> None:
    run = start()
    monkeypatch.setattr(live, "CHECK_S", 0.01 if at == "a ping" else 100)
    with client.websocket_connect(URL, headers=PAGE) as socket:
        socket.send_json({"subscribe": f"run/{run}"})
        assert "subscribed" in [socket.receive_json().get("kind") for _ in range(3 if at == "a ping" else 1)]
        monkeypatch.setattr(principal, "LOCAL", replace(principal.LOCAL, permissions=permissions))
        if at == "a subscription":
            socket.send_json({"subscribe": "approvals"})
        assert ended_with(socket) == "rights_changed"


@pytest.mark.parametrize("code", ["key_revoked", "rate_exceeded"])
def test_a_subscription_is_a_request(
    client: TestClient, app: FastAPI, store: Sqlite, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    async def refused(*_: object) -> None:
        raise Rejected(code, "This request is refused. Send it again later.")

    with client.websocket_connect(URL, headers=PAGE) as socket:
        assert subscribe(socket, "runs")["kind"] == "subscribed"
        monkeypatch.setattr(app.state.streamflow.identity, "count", refused)
        socket.send_json({"subscribe": "trouble"})
        assert ended_with(socket) == code


@pytest.mark.parametrize("bounds", [(3, 9), (9, 3)], ids=["total", "each"])
def test_sockets_that_come_at_the_same_time_are_counted_before_they_are_accepted(
    client: TestClient, app: FastAPI, store: Sqlite, monkeypatch: pytest.MonkeyPatch, bounds: tuple[int, int]
) -> None:
    app.state.streamflow = replace(app.state.streamflow, streams=Streams(total=bounds[0], each=bounds[1]))
    monkeypatch.setattr(live._Client, "serve", lambda _self: asyncio.sleep(0, ""))
    replies: list[str] = []

    async def connect() -> None:
        async def receive() -> Message:
            await asyncio.sleep(0)  # as others come
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            replies.append(message["type"])
            await asyncio.sleep(0.01)

        headers = [(b"host", b"localhost"), (b"origin", b"http://localhost")]
        scope = {"type": "websocket", "path": "/api/v1/live", "raw_path": b"", "query_string": b"", "headers": headers}
        await app(scope, receive, send)

    async def story() -> None:
        await asyncio.gather(*(connect() for _ in range(20)))

    asyncio.run(story())
    assert Counter(replies) == {"websocket.accept": 3, "websocket.close": 17}
    assert app.state.live.watching == 0


def ended_with(socket: WebSocketTestSession) -> str:
    with pytest.raises(WebSocketDisconnect) as caught:
        list(iter(socket.receive_json, None))
    return caught.value.reason


def test_a_reading_that_ended_is_begun_again_and_told_as_a_gap(
    log: MemoryLog, start: Start, socket: WebSocketTestSession
) -> None:
    run = start()
    assert subscribe(socket, f"run/{run}")["kind"] == "subscribed"
    (listener,) = log.listeners
    log.listeners.clear()
    listener(OperationError("broker_unreachable", "The broker is away. Try again."))
    assert socket.receive_json() == {"channel": f"run/{run}", "cursor": None, "kind": "gap", "data": None}
    log.tell(run)
    assert socket.receive_json()["kind"] == "transition"
