"""Connections that want to keep others out of the sidecar."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time

from tests.attack import Attack, Seen
from tests.attack.processes import peak_bytes, sidecar

MANY = 260
HEAD = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HALVES = {
    "silent": b"",
    "one byte": b"G",
    "headers without an end": b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX: y\r\n",
    "a body without an end": HEAD + b"Content-Length: 100\r\n\r\n{",
    "chunks without an end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
}
FLOODS = {
    "a head without an end": (b"GET / HTTP/1.1\r\nX: ", b"x" * 65536, 431),
    "a line without an end": (b"GET /", b"x" * 65536, 431),
    "a body without an end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n", 413),
}
_FLOOD_BYTES = 64 << 20


def _health_s(port: int) -> float | None:
    """Seconds until /health answered; None if it did not."""
    began = time.monotonic()
    client = http.client.HTTPConnection("localhost", port, timeout=5)
    try:
        client.request("GET", "/api/v1/health")
        return time.monotonic() - began if client.getresponse().status == 200 else None
    except OSError:
        return None
    finally:
        client.close()


def _halves(_seed: int) -> Seen:
    seen = Seen()
    with sidecar() as (port, pid):
        before = peak_bytes(pid)
        for name, sent in HALVES.items():
            with contextlib.ExitStack() as opened:
                for _ in range(MANY):
                    connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                    connection.sendall(sent)
                answered = [_health_s(port) for _ in range(5)]
            found = [one for one in answered if one is not None]
            seen.require(len(found) == 5, f"{name}: {5 - len(found)} of 5 requests of others were not answered")
            seen.figures[name] = f"others answered after {max(found, default=0) * 1000:.0f} ms at most"
        seen.peak_bytes = peak_bytes(pid)
        seen.figures["growth"] = f"{(seen.peak_bytes - before) / 2**20:.0f} MB"
        seen.require(seen.peak_bytes - before < 100 << 20, "the memory grew by 100 MB or more")
    return seen


def _floods(_seed: int) -> Seen:
    seen = Seen()
    with sidecar() as (port, pid):
        before = peak_bytes(pid)
        for name, (begin, more, status) in FLOODS.items():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                sent, answer = 0, b""
                with contextlib.suppress(OSError):
                    connection.sendall(begin)
                    while sent < _FLOOD_BYTES:
                        sent += connection.send(more)
                with contextlib.suppress(OSError):
                    answer = connection.recv(100)
            seen.figures[name] = f"{sent / 2**20:.1f} MB taken, then {answer[9:12].decode() or 'closed'}"
            seen.require(answer[9:12] in (b"", str(status).encode()), f"{name}: answered {answer[:40]!r}")
            seen.require(_health_s(port) is not None, f"{name}: others are not answered afterwards")
        seen.peak_bytes = peak_bytes(pid)
        seen.figures["growth"] = f"{(seen.peak_bytes - before) / 2**20:.0f} MB"
        seen.require(seen.peak_bytes - before < 64 << 20, "the memory grew by 64 MB or more")
    return seen


ATTACKS = (
    Attack(
        name="half-sent",
        done=f"{MANY} connections to the sidecar that send nothing, or half of a request",
        expected="others are answered at once, memory stays",
        make=_halves,
    ),
    Attack(
        name="endless-requests",
        done="requests to the sidecar whose line, head or body does not end",
        expected="431 or 413, or the connection is closed; memory stays",
        make=_floods,
    ),
)
