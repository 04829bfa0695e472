"""Answers that stay open: server-sent events (WHATWG HTML, section 9.2) and WebSockets. All of a process share one
bound, in total and for each principal, and the rights of each are checked again while it is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Literal

import msgspec
import structlog
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.errors import OperationError, Rejected, StreamflowError
from streamflow.sidecar.identity import Identity
from streamflow.sidecar.principal import Principal

_log = structlog.get_logger(__name__)

CHECK_S = 15.0  # between two checks of rights
PING_S = 5.0  # of silence, after which a comment says that the stream is alive

StreamKind = Literal["run", "conversation", "live"]


class Streams:
    """The streams that are open. Belongs to one event loop. `total` in this process, `each` of one principal."""

    def __init__(self, *, total: int, each: int, metrics: Metrics | None = None) -> None:
        self._total, self._each = total, each
        self._metrics = metrics if metrics is not None else NoMetrics()
        self._by_principal, self._by_kind = Counter[str](), Counter[str]()

    @property
    def open(self) -> int:
        """How many are open."""
        return self._by_principal.total()

    def enter(self, principal: Principal, kind: StreamKind) -> StreamPlace:
        """A place for one more. Raises OperationError (`too_busy`) when there is none."""
        who = principal.id or principal.name
        for reason, count, limit in (("total", self.open, self._total), ("each", self._by_principal[who], self._each)):
            if count >= limit:
                self._metrics.count("streams_refused", reason=reason)
                whose = f" of {principal.name}" if reason == "each" else ""
                raise OperationError(
                    "too_busy",
                    f"{count} streams{whose} are open, which is the limit. Close one, or try again later.",
                )
        self._count(who, kind, 1)
        return StreamPlace(self, who, kind)

    def leave(self, who: str, kind: StreamKind, ended_by: str) -> None:
        """Gives a place up. `ended_by`: the code of the error that ended the stream, or empty."""
        self._count(who, kind, -1)
        if ended_by:
            self._metrics.count("streams_ended", kind=kind, code=ended_by)

    def _count(self, who: str, kind: str, change: int) -> None:
        self._by_principal[who] += change
        self._by_kind[kind] += change
        if not self._by_principal[who]:
            del self._by_principal[who]
        self._metrics.gauge("streams_open", self._by_kind[kind], kind=kind)


class StreamPlace:
    """The place of one stream among those that are open."""

    def __init__(self, streams: Streams, who: str, kind: StreamKind) -> None:
        self._streams, self._who, self._kind = streams, who, kind
        self._left = False
        self.ended_by = ""
        """The code of the error for which the sidecar ended the stream; empty if it did not."""

    def leave(self) -> None:
        """Gives it up."""
        if not self._left:
            self._left = True
            self._streams.leave(self._who, self._kind, self.ended_by)


def principal_again(identity: Identity, headers: Headers, method: str) -> Principal | None:
    """Who sent these headers, asked again while their answer is open; None while that is not known, such as when the
    topic of users cannot be read. Raises Rejected, such as `key_revoked`, `session_ended`, `token_expired`."""
    try:
        return identity.find(headers, method)
    except OperationError:
        return None


class EventStream(StreamingResponse):
    """Server-sent events. `content` makes them; `may_read` raises Rejected for a principal who may not read them.

    The stream ends with `content`. It ends too when who asked is not let in any more or `may_read` raises, and when
    `content` raises; its last event is then `end`, with the `code` and the `detail` of the error."""

    def __init__(
        self,
        content: AsyncGenerator[bytes, None],
        *,
        place: StreamPlace,
        request: Request,
        identity: Identity,
        may_read: Callable[[Principal], None],
    ) -> None:
        self._content = content
        self._coming: asyncio.Task[bytes | None] | None = None  # the next part, while it is waited for
        self._events = self._ended()
        super().__init__(self._events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._place, self._request, self._identity, self._may_read = place, request, identity, may_read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._place.leave()  # also when the client has left before the first event
            # Here, because whatever is awaited within a cancelled scope of Starlette's is cancelled again.
            await self._events.aclose()
            if self._coming is not None:
                self._coming.cancel()
                await asyncio.wait({self._coming})
            await self._content.aclose()

    async def _ended(self) -> AsyncGenerator[bytes, None]:
        try:
            async with contextlib.aclosing(self._checked()) as checked:
                async for part in checked:
                    yield part
        except (Rejected, OperationError) as error:
            self._place.ended_by = error.code
            _log.debug("stream_ended", code=error.code, error=error.message)
            yield _end(error)

    async def _checked(self) -> AsyncGenerator[bytes, None]:
        clock = asyncio.get_running_loop().time
        check_at = clock() + CHECK_S
        while True:
            coming = self._coming = self._coming or asyncio.create_task(_next(self._content))
            await asyncio.wait({coming}, timeout=max(0.0, min(PING_S, check_at - clock())))
            if clock() >= check_at:  # also while there is always something to send
                self._check()
                check_at = clock() + CHECK_S
            if not coming.done():
                yield b": ping\n\n"
                continue
            self._coming = None
            part = coming.result()
            if part is None:
                return
            yield part

    def _check(self) -> None:
        found = principal_again(self._identity, self._request.headers, self._request.method)
        if found is not None:
            self._may_read(found)


async def _next(content: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(content, None)


def _end(error: StreamflowError) -> bytes:
    data = msgspec.json.encode({"code": error.code, "detail": error.message})
    return b"event: end\ndata: %s\n\n" % data
