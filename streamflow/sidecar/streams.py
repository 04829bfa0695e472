"""`/runs/{run}/events`: the transitions of a run as they happen, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from streamflow.engine.transitions import ENDINGS, Transition
from streamflow.errors import OperationError, Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.event_streams import EventStream
from streamflow.sidecar.principal import PrincipalOf, Right, needs
from streamflow.sidecar.problems import declared
from streamflow.sidecar.run_views import history_of
from streamflow.sidecar.state import IdentityOf, LogOf, StreamsOf

router = APIRouter(prefix=f"{API_PATH}/runs/{{run}}", tags=["runs"])

_QUEUED = 1000  # transitions that a reader may be behind with
_CODES = ("request_invalid", "no_run_id", "run_unknown", "cursor_invalid")


@router.get(
    "/events",
    responses={200: {"content": {"text/event-stream": {}}}, **declared(*_CODES)},
    response_class=StreamingResponse,
    dependencies=[needs(Right.READ_RUNS)],
)
async def events(
    run: str,
    request: Request,
    log: LogOf,
    identity: IdentityOf,
    streams: StreamsOf,
    principal: PrincipalOf,
    after: Annotated[int, Query(ge=0, description="only transitions with a greater number")] = 0,
    last: Annotated[
        str | None, Header(alias="Last-Event-ID", description="the same, sent by a client that reconnects")
    ] = None,
) -> StreamingResponse:
    """The transitions of a run, those that there are and then each as it happens, until the run has ended. The `id` of
    an event is the number of the transition, its type that of the transition, its data the transition as JSON. A client
    that lost the connection continues where it was. If the stream ends before the run, such as when the caller may no
    longer read it, its last event is `end`, with the `code` and the `detail` of the reason."""
    if last is not None and not (last.isascii() and last.isdigit() and len(last) < 16):
        raise Rejected("cursor_invalid", f"Last-Event-ID is {last[:50]!a}, which is not the number of a transition.")
    from_seq = int(last) if last is not None else after
    place = streams.enter(principal, "run")
    queue = _Queue(run)
    try:
        stop = await log.listen(queue.take)  # before the history is read: nothing falls between the two
        try:
            history = await history_of(log, principal, run)
        except BaseException:
            stop()
            raise
    except BaseException:
        place.leave()
        raise
    definition = history[0].definition
    return _RunStream(
        _transition_events(history, queue, from_seq),
        stop=stop,
        place=place,
        request=request,
        identity=identity,
        may_read=lambda found: found.require(Right.READ_RUNS, definition),
    )


class _RunStream(EventStream):
    """The answer. At its end the reader notifies it no more, also when the client has left before the first event."""

    def __init__(self, content: AsyncGenerator[bytes, None], *, stop: Callable[[], None], **more: Any) -> None:
        super().__init__(content, **more)
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stop()


class _Queue:
    """New transitions of one run, on their way from the reader's thread to one client."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Transition | OperationError] = asyncio.Queue(_QUEUED)

    def take(self, one: Transition | OperationError) -> None:
        """Called by another thread."""
        if (isinstance(one, OperationError) or one.run == self._run) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, one)

    def _put(self, one: Transition | OperationError) -> None:
        if self._waiting.full():  # the client continues from its last id when it connects again
            self._waiting.get_nowait()
            one = OperationError("too_slow", "The reader of this stream is too slow. Connect again.")
        self._waiting.put_nowait(one)

    async def next(self) -> Transition:
        """The next one. Raises OperationError: `too_slow`, or what ended the reading."""
        found = await self._waiting.get()
        if isinstance(found, OperationError):
            raise found
        return found


async def _transition_events(history: list[Transition], queue: _Queue, seq: int) -> AsyncGenerator[bytes, None]:
    for transition in history:
        if transition.seq > seq:
            seq = transition.seq
            yield _event(transition)
    ended = isinstance(history[-1].data, ENDINGS)
    while not ended:
        found = await queue.next()
        if found.seq > seq:
            seq, ended = found.seq, isinstance(found.data, ENDINGS)
            yield _event(found)


def _event(transition: Transition) -> bytes:
    data = msgspec.json.encode({"type": transition.type} | msgspec.to_builtins(transition))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (transition.seq, transition.type.encode(), data)
