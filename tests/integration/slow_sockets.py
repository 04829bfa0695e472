"""Sockets that are slow on purpose: they send a request byte by byte, or read nothing of its answer. Who is cut off
stays away."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType

_EVERY_S = 0.5  # between two bytes of a sender
_OPENED = 100  # sockets in one round: what is slow is looked at, not a rush
_RECEIVED = 1024  # bytes that the kernel keeps for a reader; at its own choice some more


class SlowSockets:
    """So many sockets, as long as the block lasts. Each sends `request` at once and then `slowly`, byte by byte, and
    reads nothing unless it is a sender."""

    def __init__(self, port: int, count: int, *, request: bytes, slowly: bytes = b"") -> None:
        self._port, self._count, self._request, self._slowly = port, count, request, slowly
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow-sockets", daemon=True)

    def _run(self) -> None:
        at: dict[socket.socket, int] = {}
        opened = 0
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as looked:
            while not self._ended.is_set():
                for _ in range(min(_OPENED, self._count - opened)):
                    at[self._open(stack, looked)] = 0
                    opened += 1
                if self._slowly:
                    for one in _cut(looked):
                        at.pop(one, None)
                    for one in list(at):
                        try:
                            at[one] += one.send(self._slowly[at[one] : at[one] + 1])
                        except BlockingIOError:
                            continue
                        except OSError:
                            del at[one]
                self._ended.wait(_EVERY_S)

    def _open(self, stack: contextlib.ExitStack, looked: selectors.BaseSelector) -> socket.socket:
        made = stack.enter_context(socket.socket())
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        made.settimeout(60)
        made.connect(("127.0.0.1", self._port))
        with contextlib.suppress(OSError):  # it is cut off already
            made.sendall(self._request)
        made.setblocking(False)
        looked.register(made, selectors.EVENT_READ)
        return made

    def __enter__(self) -> SlowSockets:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()


def _cut(looked: selectors.BaseSelector) -> list[socket.socket]:
    """The sockets that the other end has closed; what it says before is read."""
    found = []
    for key, _ in looked.select(0):
        one = key.fileobj
        assert isinstance(one, socket.socket)
        try:
            if one.recv(65536):
                continue
        except OSError:
            pass
        looked.unregister(one)
        found.append(one)
    return found
