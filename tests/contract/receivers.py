"""Receivers of notifications on this machine: what apprise's `json://` targets are sent to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Receiver:
    """A web hook. `status` is what it answers; `holds` keeps its answers back until `released` is set."""

    address: str = ""
    status: int = 200
    holds: bool = False
    place: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, scheme: str = "json", query: str = "") -> str:
        """Its URL for apprise. What could be a secret is in its path."""
        return f"{scheme}://{self.address}/token-in-path{query}"


@contextmanager
def receiver(**changes: Any) -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    made = Receiver(**changes)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if made.holds:
                made.released.wait(30)
            self.send_response(made.status)
            if made.place:
                self.send_header("Location", made.place)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.released.set()
        server.shutdown()
        server.server_close()
