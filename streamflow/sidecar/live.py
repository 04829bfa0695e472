"""`/live`: a WebSocket for everything that a page watches, one for each client.

The client sends `{"subscribe": channel, "cursor": ...}` and `{"unsubscribe": channel}`, and answers `{"ping": n}` with
`{"pong": n}`. Every other message has `channel`, `cursor`, `kind` and `data`:

| channel | kind | data |
|---|---|---|
| all | `subscribed` | null |
| all | `error` | `code` and `detail`; the channel is not watched |
| a list (`live_lists`) | `changed` | null: what is shown is another |
| `run/<id>` | `transition` | the transition; `cursor` is its number |
| `run/<id>` | `gap` | null: transitions may be missing, ask for them again |

A client that was cut off subscribes with the cursor of the last message, and gets what it missed: the transitions of a
run, or `changed` if a list is another. Of a run that took long it gets a `gap`: all that it missed might make
it too slow again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import msgspec
from fastapi import APIRouter, WebSocket
from starlette.datastructures import Headers
from starlette.websockets import WebSocketDisconnect

from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError, Rejected, StreamflowError
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.history import partition_of_known_run
from streamflow.sidecar.event_streams import CHECK_S, principal_again
from streamflow.sidecar.guard import refuse
from streamflow.sidecar.live_hub import Hub, message
from streamflow.sidecar.live_lists import CHANNELS
from streamflow.sidecar.principal import Principal, Right, require_run
from streamflow.sidecar.state import State

router = APIRouter(prefix=API_PATH)

_CHANNELS = 100
_QUEUED = 2000  # messages that a client may be behind with
_MISSED = 1000  # transitions of a run that it gets when it comes back
_SEND_S = 10.0
_POLICY = 1008  # RFC 6455, section 7.4.1
_RUN = "run/"


@router.websocket("/live")
async def live(socket: WebSocket) -> None:
    """Notifies a client of changes until it leaves, is too slow, or may no longer be here."""
    state: State = socket.app.state.streamflow
    hub: Hub = socket.app.state.live
    principal: Principal = socket.scope["principal"]
    try:
        place = state.streams.enter(principal, "live")
    except OperationError as error:
        await refuse(error, socket.scope, socket.receive, socket.send)
        return
    client = _Client(socket, state, hub, principal)
    hub.join(client)
    try:
        await socket.accept()
        place.ended_by = await client.serve()
    finally:
        hub.leave(client)
        place.leave()


class _Client:
    """One client."""

    def __init__(self, socket: WebSocket, state: State, hub: Hub, principal: Principal) -> None:
        self.channels: set[str] = set()
        self.runs: dict[str, int] = {}
        self._socket, self._state, self._hub, self._principal = socket, state, hub, principal
        self._coming: dict[str, list[Transition]] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue(_QUEUED)
        self._ended = asyncio.Event()
        self._reason = ""

    def take(self, one: Transition) -> None:
        """A transition of a run that is watched. Those that come while its history is read come behind it."""
        if one.run in self._coming:
            self._coming[one.run].append(one)
        elif one.seq > self.runs.get(one.run, one.seq):
            self.runs[one.run] = one.seq
            data = {"type": one.type} | msgspec.to_builtins(one)
            self.put(message(_RUN + one.run, one.seq, "transition", data))

    def put(self, text: str) -> None:
        """A message for the client; one that is too far behind is cut off, and continues from its cursors."""
        if self._queue.full():
            self._end("too_slow")
        else:
            self._queue.put_nowait(text)

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._ended.set()

    async def serve(self) -> str:
        """Until the client leaves, or has to. Returns the reason if it had to, else nothing."""
        tasks = [asyncio.create_task(one) for one in (self._read(), self._write(), self._ping(), self._ended.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (failed := task.exception()) is not None:
                raise failed
        if self._reason:
            with contextlib.suppress(TimeoutError, WebSocketDisconnect):  # the connection is cut off then
                async with asyncio.timeout(_SEND_S):
                    await self._socket.close(_POLICY, self._reason)
        return self._reason

    async def _read(self) -> None:
        try:
            async for text in self._socket.iter_text():
                await self._take(text)
        except WebSocketDisconnect:
            return
        except KeyError:  # bytes instead of text
            self._end("request_invalid")

    async def _write(self) -> None:
        while True:
            text = await self._queue.get()
            try:
                async with asyncio.timeout(_SEND_S):
                    await self._socket.send_text(text)
            except TimeoutError:
                self._end("too_slow")
                return
            except WebSocketDisconnect:
                return

    async def _ping(self) -> None:
        """Asks whether the client is there, and whether it still may be."""
        for number in itertools.count(1):
            await asyncio.sleep(CHECK_S)
            if not self._may_be_here():
                return
            self.put(msgspec.json.encode({"ping": number}).decode())

    def _may_be_here(self) -> bool:
        """Whether the client is who it was, with the rights that it had; otherwise it is sent away. A key may be
        revoked, a session end, a grant be taken away."""
        try:
            found = principal_again(self._state.identity, Headers(scope=self._socket.scope), "GET")
        except Rejected as error:
            self._end(error.code)
            return False
        if found not in (None, self._principal):
            self._end("rights_changed")
            return False
        return True

    async def _is_admitted(self) -> bool:
        """The same; counts as a request."""
        try:
            await self._state.identity.count(self._principal)
        except Rejected as error:
            self._end(error.code)
            return False
        except OperationError:
            pass  # the rate is not known at the moment
        return self._may_be_here()

    async def _take(self, text: str) -> None:
        try:
            given: Any = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            given = None
        if not isinstance(given, dict):
            return self._end("request_invalid")
        channel = given.get("subscribe")
        if isinstance(channel, str) and len(channel) <= 200:
            if not await self._is_admitted():
                return None
            try:
                await self._subscribe(channel, given.get("cursor"))
            except StreamflowError as error:
                self._forget(channel)
                self.put(message(channel, None, "error", {"code": error.code, "detail": error.message}))
        elif isinstance(given.get("unsubscribe"), str):
            self._forget(given["unsubscribe"])
        elif not {"pong", "token"} & given.keys():  # a token was sent with the request, or a cookie
            self._end("request_invalid")
        return None

    def _forget(self, channel: str) -> None:
        self.channels.discard(channel)
        self.runs.pop(channel.removeprefix(_RUN), None)

    async def _subscribe(self, channel: str, cursor: Any) -> None:
        """Raises Rejected, OperationError."""
        if len(self.channels) + len(self.runs) >= _CHANNELS:
            raise Rejected("too_many_channels", f"{_CHANNELS} channels are watched, which is the limit. Unwatch some.")
        if channel.startswith(_RUN):
            await self._subscribe_run(channel.removeprefix(_RUN), cursor)
        elif channel in CHANNELS:
            self._principal.require(CHANNELS[channel].right)
            self.channels.add(channel)
            now = await self._hub.watch(channel)
            self.put(message(channel, now, "subscribed"))
            if cursor not in (None, now):
                self.put(message(channel, now, "changed"))
        else:
            names = ", ".join((*CHANNELS, "run/<id>"))
            raise Rejected("channel_unknown", f"There is no channel {channel!a}. Watch one of {names}.")

    async def _subscribe_run(self, run: str, cursor: Any) -> None:
        self._principal.require(Right.READ_RUNS)
        partition_of_known_run(self._state.settings, run)
        if cursor is not None and not (isinstance(cursor, int) and cursor >= 0):
            raise Rejected("cursor_invalid", "The cursor of a run is the number of a transition. Send one.")
        if cursor is None and self._principal.may_everywhere(Right.READ_RUNS):
            self.runs[run] = 0
            self.put(message(_RUN + run, None, "subscribed"))
            return
        self.runs[run], self._coming[run] = 0, []
        try:
            history = require_run(self._principal, Right.READ_RUNS, run, await self._state.log.history(run))
        finally:
            coming = self._coming.pop(run)
        last = history[-1].seq
        self.runs[run] = last if cursor is None else min(cursor, last)
        self.put(message(_RUN + run, self.runs[run], "subscribed"))
        if last - self.runs[run] > _MISSED:
            self.runs[run] = last
            self.put(message(_RUN + run, last, "gap"))
        for one in (*history, *coming):
            self.take(one)
