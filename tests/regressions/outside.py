"""What operations reach in a case: an HTTP server that records when it was asked, and answers when the case says so."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HELD_S = 120.0


@dataclass
class Request:
    """One request: when it came, and when it was over (answered, or given up by who asked)."""

    path: str
    began: float
    over: float = 0.0
    given_up: bool = False


@dataclass
class Outside:
    """The server's book. A path that is held is answered only when it is released."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    _held: dict[str, threading.Event] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """The setting that lets task workers reach it."""
        return {"STREAMFLOW_TASKS__ALLOW_HOSTS": json.dumps([f"127.0.0.1:{self.port}"])}

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def hold(self, path: str) -> None:
        self._held[path] = threading.Event()

    def release(self, path: str) -> None:
        self._held[path].set()

    def of(self, path: str) -> list[Request]:
        """The requests of a path, in the order in which they came."""
        return [request for request in self.requests if request.path == path]

    def answer(self, path: str, connection: socket.socket) -> Request:
        """Books a request and holds it as long as it is to be; returns when it may be answered or was given up."""
        request = Request(path, time.monotonic())
        self.requests.append(request)
        released = self._held.get(path)
        deadline = request.began + _HELD_S
        while released is not None and not released.wait(0.05) and time.monotonic() < deadline:
            if _closed(connection):
                request.given_up = True
                break
        request.over = time.monotonic()
        return request


@contextlib.contextmanager
def outside() -> Iterator[Outside]:
    """A server for the time of the block."""
    book = Outside()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            if book.answer(self.path.strip("/"), self.connection).given_up:
                return
            body = b"{}"
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """The book is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    book.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield book
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _closed(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    if not readable:
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True
