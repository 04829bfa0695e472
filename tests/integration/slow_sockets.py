"""Sockets that are slow on purpose: they send a request, or read its answer, byte by byte, and whoever is cut off
comes again."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import Counter
from types import TracebackType

SENT = (
    b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 20_000,
    b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n\r\n"
    + b" " * 20_000,
)
ASKED = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"  # the largest answer that anybody gets
_EVERY_S = 0.1
_OPENED = 50  # sockets in one round: what is slow is to be looked at, not a rush
_RECEIVED = 1024  # bytes that the kernel keeps for a slow reader, at its own choice some more


class _Slow:
    """One of them. `sent` is None for a reader."""

    def __init__(self, port: int, sent: bytes | None) -> None:
        self._port, self._sent = port, sent
        self._at = 0
        self._socket: socket.socket | None = None

    def open(self) -> None:
        found = socket.socket()
        found.setblocking(False)
        if self._sent is None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        with contextlib.suppress(BlockingIOError):
            found.connect(("127.0.0.1", self._port))
        self._socket, self._at = found, 0

    def step(self) -> str | None:
        """One byte on; what became of the socket if that ended it."""
        if self._socket is None:
            self.open()
            return None
        try:
            if self._sent is not None:
                self._at += self._socket.send(self._sent[self._at : self._at + 1])
            elif self._at < len(ASKED):
                self._at += self._socket.send(ASKED[self._at :])
            if (self._sent is None and self._at == len(ASKED)) or self._is_readable():
                if not self._socket.recv(1):
                    return self.close("closed")
                return None
        except BlockingIOError:
            return None
        except OSError:
            return self.close("cut")
        return None

    def _is_readable(self) -> bool:
        with selectors.DefaultSelector() as looked:
            looked.register(self._socket, selectors.EVENT_READ)  # type: ignore[arg-type]
            return bool(looked.select(0))

    def close(self, how: str) -> str:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        return how


class SlowSockets:
    """`readers` and `senders`, as long as the block lasts."""

    def __init__(self, port: int, *, readers: int, senders: int) -> None:
        pairs = max(readers, senders)
        self._all = [
            _Slow(port, sent)
            for at in range(pairs)
            for sent, wanted in ((None, at < readers), (SENT[at % len(SENT)], at < senders))
            if wanted
        ]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow-sockets", daemon=True)
        self.ends = Counter[str]()
        self.rounds = 0

    def _run(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            for one in self._all[: (self.rounds + 1) * _OPENED]:
                if (how := one.step()) is not None:
                    self.ends[how] += 1
            self.rounds += 1
            self._ended.wait(max(0.0, _EVERY_S - (time.monotonic() - began)))

    def __enter__(self) -> SlowSockets:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        for one in self._all:
            one.close("left")
