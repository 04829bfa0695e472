"""WebSockets with a deadline for their readers."""

from __future__ import annotations

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from streamflow.sidecar.problems import not_http, whole_answer
from streamflow.sidecar.unread import BoundedReader


class Socket(BoundedReader, WSProtocol):
    """A WebSocket (RFC 6455). A reader that takes nothing for as long as an answer may wait is cut off."""

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except ValueError as error:  # wsproto decodes headers; after an exception, connection_lost is not called
            if self.handshake_complete:
                raise
            self.transport.write(whole_answer(400, "bad_request", not_http(error)))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.unread.forget(self)
        super().connection_lost(exc)
