"""`/runs/{run}/events`: the transitions of a run as they happen, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from streamflow.engine.transitions import ENDINGS, Transition
from streamflow.errors import OperationError, Rejected
from streamflow.sidecar.identity import Identity
from streamflow.sidecar.principal import PrincipalOf, Right, needs
from streamflow.sidecar.problems import declared
from streamflow.sidecar.run_views import history_of
from streamflow.sidecar.state import IdentityOf, LogOf

router = APIRouter(prefix="/runs/{run}", tags=["runs"])

STREAMS = 100  # at the same time in one process
STREAMS_EACH = 20  # of one principal
_QUEUED = 1000  # transitions that a reader may be behind with
_PING_S = 15.0
_CODES = ("request_invalid", "no_run_id", "run_unknown", "cursor_invalid")
_open = Counter[str]()  # by principal


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
    principal: PrincipalOf,
    after: Annotated[int, Query(ge=0, description="only transitions with a greater number")] = 0,
    last: Annotated[
        str | None, Header(alias="Last-Event-ID", description="the same, sent by a client that reconnects")
    ] = None,
) -> StreamingResponse:
    """The transitions of a run, those that there are and then each as it happens, until the run has ended. The `id` of
    an event is the number of the transition, its type that of the transition, its data the transition as JSON. A client
    that lost the connection goes on where it was. The stream ends, too, when the caller may no longer read the run."""
    if last is not None and not (last.isascii() and last.isdigit() and len(last) < 16):
        raise Rejected("cursor_invalid", f"Last-Event-ID is {last[:50]!a}, which is not the number of a transition.")
    who = principal.id or principal.name
    if _open.total() >= STREAMS or _open[who] >= STREAMS_EACH:
        raise OperationError(
            "too_busy",
            f"{_open.total()} streams are open, {_open[who]} of them of {principal.name}; {STREAMS} and {STREAMS_EACH} "
            "are the limits. Ask again later.",
        )
    from_seq = int(last) if last is not None else after
    place = _Place(who)
    try:
        queue = _Queue(run)
        place.stop = await log.listen(queue.take)  # before the history is read: nothing falls between the two
        history = await history_of(log, principal, run)
    except BaseException:
        place.leave()
        raise
    definition = history[0].definition

    async def may_read() -> bool:
        return await _may_read(identity, request, definition)

    return _Stream(_told(history, queue, from_seq, may_read), place)


async def _may_read(identity: Identity, request: Request, definition: str) -> bool:
    """Whether who asked still may read runs of a definition: a key may be revoked, a session end, a grant be taken
    away."""
    try:
        found = await identity.principal(request.headers, request.method)
    except Rejected:
        return False
    except OperationError:
        return True  # who they are is not known at the moment; it was a moment ago
    return found.may(Right.READ_RUNS, definition)


class _Place:
    """The place of one stream among those that are open."""

    def __init__(self, who: str) -> None:
        self._who = who
        self.stop: Callable[[], None] | None = None
        _open[who] += 1

    def leave(self) -> None:
        """Gives it up, and has the reader tell it no more."""
        _open[self._who] -= 1
        if not _open[self._who]:
            del _open[self._who]
        if self.stop is not None:
            self.stop()


class _Stream(StreamingResponse):
    """The answer. Its place is given up at the end, also when the client has left before the first event."""

    def __init__(self, content: AsyncIterator[bytes], place: _Place) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._place.leave()


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
        if self._waiting.full():  # the client goes on from its last id when it connects again
            self._waiting.get_nowait()
            one = OperationError("too_slow", "The reader of this stream is too slow. Connect again.")
        self._waiting.put_nowait(one)

    async def next(self, until: float) -> Transition | OperationError | None:
        """The next one; None: none came until a time of the loop."""
        try:
            async with asyncio.timeout_at(until):
                return await self._waiting.get()
        except TimeoutError:
            return None


async def _told(
    history: list[Transition], queue: _Queue, seq: int, may_read: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    for transition in history:
        if transition.seq > seq:
            seq = transition.seq
            yield _event(transition)
    ended, due = isinstance(history[-1].data, ENDINGS), clock() + _PING_S
    while not ended:
        found = await queue.next(due)
        if clock() >= due:  # also while there is always something to tell
            due = clock() + _PING_S
            if not await may_read():
                return
        if found is None:
            yield b": ping\n\n"
        elif isinstance(found, OperationError):
            return  # the client connects again
        elif found.seq > seq:
            seq, ended = found.seq, isinstance(found.data, ENDINGS)
            yield _event(found)


def _event(transition: Transition) -> bytes:
    data = msgspec.json.encode({"type": transition.type} | msgspec.to_builtins(transition))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (transition.seq, transition.type.encode(), data)
