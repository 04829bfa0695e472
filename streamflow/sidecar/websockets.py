"""WebSockets with a deadline for their readers."""

from __future__ import annotations

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from streamflow.sidecar.problems import whole_answer
from streamflow.sidecar.unread import Unread


class Socket(WSProtocol):
    """A WebSocket (RFC 6455). A reader that takes nothing for as long as an answer may wait is cut off."""

    unread: Unread

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except ValueError as error:  # wsproto decodes headers: outside, the end of the connection would not be told
            if self.handshake_complete:
                raise
            said = f"The bytes are not an HTTP request: {str(error)[:200]}. Send HTTP/1.1."
            self.transport.write(whole_answer(400, "bad_request", said))
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread.add(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread.forget(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.unread.forget(self)
        super().connection_lost(exc)
