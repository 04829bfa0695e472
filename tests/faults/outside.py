"""The outside: an HTTP server that writes down every call, before it answers, and can be down, slow, rude or silent.

`POST /<experiment>/<anything>` is one call under its header `Idempotency-Key`. An experiment's calls are counted from
its file alone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

Mood = Literal["well", "slow", "refusing", "silent", "limiting"]
SLOW_S = 1.5


class Outside:
    """A context manager. `mood` is how it answers from now on; `down` and `up` close and open its door."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.mood: Mood = "well"
        self.port = 0
        self._server: _Server | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Outside:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def up(self) -> None:
        """Listens, always on the same port."""
        if self._server is None:
            self._server = _Server(("0.0.0.0", self.port), self)
            self.port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Listens no more, and breaks off what is under way."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.break_off()

    def write(self, experiment: str, key: str, path: str) -> None:
        line = json.dumps({"at": time.time(), "key": key, "path": path}) + "\n"
        with self._lock, (self.folder / f"{experiment}.jsonl").open("a") as log:
            log.write(line)

    def calls(self, experiment: str) -> Counter[str]:
        """How often each key was called."""
        file = self.folder / f"{experiment}.jsonl"
        return (
            Counter(json.loads(line)["key"] for line in file.read_text().splitlines()) if file.exists() else Counter()
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 200

    def __init__(self, address: tuple[str, int], outside: Outside) -> None:
        self.outside = outside
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers hang up all the time here."""

    def break_off(self) -> None:
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        outside = self.server.outside
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key, mood = self.headers.get("Idempotency-Key", ""), outside.mood
        if mood in ("refusing", "limiting"):
            self._answer(503 if mood == "refusing" else 429, {"error": mood})
            return
        outside.write(self.path.split("/")[1], key, self.path)
        if mood == "slow":
            time.sleep(SLOW_S)
        if mood == "silent":  # done, but nobody is told
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(200, {"key": key})

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
