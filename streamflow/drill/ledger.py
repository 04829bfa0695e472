"""The ledger: an HTTP server on loopback in the role of external systems. It writes down every call under its
idempotency key before it answers."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_REFUSED = 0.03  # the share of calls that are answered with 503, and not done
_SILENT = 0.03  # the share of those that are done without an answer


class Ledger:
    """A context manager. `host` is where it listens; a few calls, drawn from `seed`, are refused, or done without an
    answer."""

    def __init__(self, seed: int) -> None:
        self._calls: Counter[str] = Counter()
        self._chosen = random.Random(f"ledger/{seed}")
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Ledger:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="ledger").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def calls(self) -> Counter[str]:
        """How often each key was called."""
        with self._lock:
            return Counter(self._calls)

    def take(self, key: str) -> str:
        """Writes a call down; how it is to be answered: `done`, `refused` or `silent`."""
        with self._lock:
            chance = self._chosen.random()
            if chance < _REFUSED:
                return "refused"
            self._calls[key] += 1
            return "silent" if chance < _REFUSED + _SILENT else "done"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 200

    def __init__(self, address: tuple[str, int], ledger: Ledger) -> None:
        self.ledger = ledger
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers are killed all the time here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = self.headers.get("Idempotency-Key", "")
        how = self.server.ledger.take(key)
        if how == "silent":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = json.dumps({"key": key} if how == "done" else {"error": "not now"}).encode()
        self.send_response(200 if how == "done" else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
