"""`python -m tests.bench.reads ADDRESS KEY CONNECTIONS SECONDS FILE`: requests for the paths in a file of JSON, by
kind, over connections that stay open, each asking again as soon as it is answered.

It reads no more of an answer than its status and its length, so that it takes a fraction of what the server does.
Prints how many were answered, and the milliseconds of each by kind."""

from __future__ import annotations

import json
import random
import selectors
import socket
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class _Client:
    """One connection with one request under way."""

    def __init__(self, host: str, port: int, headers: bytes) -> None:
        self.socket = socket.create_connection((host, port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = headers
        self._read = bytearray()
        self.kind = ""
        self.began = 0.0

    def ask(self, kind: str, path: str) -> None:
        self.kind, self.began = kind, time.perf_counter()
        self.socket.sendall(b"GET " + path.encode() + self._headers)

    def answered(self) -> int:
        """The status of the answer once all of it is there; 0 before."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("expected an answer but the connection was closed")
        self._read += part
        end = self._read.find(_HEAD_END)
        if end < 0:
            return 0
        head = bytes(self._read[:end]).lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[at : (head.find(b"\r\n", at) + 1 or len(head) + 1) - 1])
        if len(self._read) < end + len(_HEAD_END) + length:
            return 0
        self._read.clear()
        return int(head[9:12])


def main(address: str, key: str, connections: str, seconds: str, file: str) -> int:
    """0 when every request was answered with 200."""
    paths: dict[str, list[str]] = json.loads(Path(file).read_text())
    kinds, choose = list(paths), random.Random(1)
    where = urlsplit(address)
    assert where.hostname is not None
    assert where.port is not None
    headers = f" HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    taken: dict[str, list[float]] = defaultdict(list)
    statuses: Counter[int] = Counter()
    began, ends = time.time(), time.perf_counter() + float(seconds)
    with selectors.DefaultSelector() as selector:
        for _ in range(int(connections)):
            client = _Client(where.hostname, where.port, headers)
            selector.register(client.socket, selectors.EVENT_READ, client)
            kind = choose.choice(kinds)
            client.ask(kind, choose.choice(paths[kind]))
        while selector.get_map():
            ready = selector.select(30)
            if not ready:
                raise TimeoutError("expected an answer within 30 s")
            for entry, _ in ready:
                client = entry.data
                if not (status := client.answered()):
                    continue
                now = time.perf_counter()
                statuses[status] += 1
                taken[client.kind].append((now - client.began) * 1000)
                if now > ends:
                    selector.unregister(client.socket)
                    client.socket.close()
                    continue
                kind = choose.choice(kinds)
                client.ask(kind, choose.choice(paths[kind]))
    print(json.dumps({"began_ms": began * 1000, "ended_ms": time.time() * 1000, "statuses": statuses, "taken": taken}))
    return 0 if set(statuses) == {200} else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
