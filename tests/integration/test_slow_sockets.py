"""Slow clients and open streams against the sidecar as a process: others are answered meanwhile, its memory is bounded,
and the slow ones are ended and counted."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attack.processes import peak_bytes
from tests.conftest import eventually
from tests.integration.lanes import LaneBench, make_lanes
from tests.integration.slow_sockets import SlowSockets
from tests.integration.test_sidecar import REFUND
from tests.integration.test_sidecar import sidecar as started
from tests.servers.process import free_port

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

MANY = 1000
STREAMS = 250
ANSWER_S = 20  # in which an ordinary client is answered, on a busy machine, too
GROWTH_BYTES = 200 << 20  # 64 MiB of unread answers, twice where they are copied, and 500 connections
HEAD = b"Host: localhost\r\n"
POST = b"POST /api/v1/runs HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\nContent-Length: 20000\r\n\r\n"
STREAM = HEAD + b"Accept: text/event-stream\r\n\r\n"
LIMITS = {
    "STREAMFLOW_SIDECAR__PORT": "0",
    "STREAMFLOW_SIDECAR__HEAD_S": "4",
    "STREAMFLOW_SIDECAR__BODY_S": "4",
    "STREAMFLOW_SIDECAR__STREAMS_EACH": str(STREAMS),
}


@dataclass(frozen=True)
class Running:
    """A sidecar with a definition to read."""

    port: int
    metrics: int
    pid: int
    log: Path

    def ask(self, path: str, body: object = None, *, status: int = 200) -> bytes:
        """What an ordinary client is answered."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)) as client:
            headers = {"Host": "localhost", "Content-Type": "application/json"}
            sent = None if body is None else json.dumps(body)
            client.request("GET" if body is None else "POST", f"/api/v1{path}", sent, headers)
            answer = client.getresponse()
            told = answer.read()
        assert answer.status == status, told
        return told

    def counted(self, name: str, label: str) -> Counter[str]:
        """The values of a counter by one of its labels."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.metrics, timeout=ANSWER_S)) as client:
            client.request("GET", "/metrics")
            text = client.getresponse().read().decode()
        found = Counter[str]()
        for labels, value in re.findall(rf"^streamflow_{name}{{(.*)}} (\S+)$", text, re.MULTILINE):
            found[re.findall(rf'\b{label}="([^"]*)"', labels)[0]] += int(float(value))
        return found


@pytest.fixture(scope="module")
def bench(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneBench]:
    with make_lanes(bootstrap, tmp_path_factory.mktemp("slow")) as made:
        made.publish_calls(REFUND)
        yield made


@contextlib.contextmanager
def serving(bench: LaneBench, folder: Path, *, descriptors: int | None = None) -> Iterator[Running]:
    """A sidecar, with at most so many file descriptors."""
    metrics = free_port()
    told = bench.environment() | LIMITS | {"STREAMFLOW_METRICS__LISTEN": f"127.0.0.1:{metrics}"}
    with started(folder, told, descriptors=descriptors) as (process, url):
        yield Running(int(url.rpartition(":")[2].strip("/")), metrics, process.pid, folder / "sidecar.log")


@pytest.fixture
def running(bench: LaneBench, tmp_path: Path) -> Iterator[Running]:
    with serving(bench, tmp_path) as found:
        yield found
        assert "Traceback" not in found.log.read_text()


@pytest.mark.parametrize(
    ("request_", "slowly", "reasons"),
    [
        (b"GET /api/v1/health HTTP/1.1\r\n" + HEAD, b"X-Slow: " + b"x" * 20_000, {"head"}),
        (POST, b" " * 20_000, {"body"}),
        (b"GET /api/v1/openapi.json HTTP/1.1\r\n" + HEAD + b"\r\n", b"", {"unread", "unread_bytes"}),
        (b"", b"", {"idle"}),
    ],
    ids=["head", "body", "answer", "nothing"],
)
def test_a_thousand_slow_sockets_shut_nobody_out(
    running: Running, request_: bytes, slowly: bytes, reasons: set[str]
) -> None:
    running.ask("/openapi.json")  # made once, which takes memory
    before, longest_s, asked = peak_bytes(running.pid), 0.0, 0
    ended = Counter[str]()
    with SlowSockets(running.port, MANY, request=request_, slowly=slowly):
        while ended.total() < MANY:
            for path in ("/health", "/definitions"):
                began = time.monotonic()
                running.ask(path)
                longest_s, asked = max(longest_s, time.monotonic() - began), asked + 1
            ended = running.counted("connections_ended_total", "reason")
    grown = peak_bytes(running.pid) - before
    print(f"asked {asked} times, at most {longest_s:.1f} s; {dict(ended)}; {grown >> 20} MiB more")
    assert ended.keys() <= reasons | {"longest", "idle"}
    assert any(ended[reason] for reason in reasons)
    assert grown < GROWTH_BYTES


def test_open_streams_leave_room_for_everybody(running: Running) -> None:
    """250 streams, of one conversation, that nobody reads; the next is refused, and whatever else is answered."""
    talk = json.loads(running.ask("/conversations", {"title": "A talk"}, status=201))["conversation"]
    request = f"GET /api/v1/conversations/{talk}/events HTTP/1.1\r\n".encode() + STREAM
    with contextlib.ExitStack() as open_ones:
        for _ in range(STREAMS):
            one = open_ones.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=ANSWER_S))
            one.sendall(request)
            assert one.recv(12) == b"HTTP/1.1 200"
        assert running.counted("streams_open", "kind") == {"conversation": STREAMS}
        for _ in range(3):
            assert json.loads(running.ask("/health")) == {"ok": True}
            assert json.loads(running.ask("/runs?limit=1", status=503))["code"] == "history_missing"
            running.ask("/definitions")
        one = open_ones.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=ANSWER_S))
        one.sendall(request)
        answer = one.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1\r\n" in answer
        assert running.counted("streams_refused_total", "reason") == {"total": 1}
    eventually(lambda: not running.counted("streams_open", "kind").total(), timeout=ANSWER_S)


def test_few_file_descriptors_are_told_of_and_suffice(bench: LaneBench, tmp_path: Path) -> None:
    with serving(bench, tmp_path, descriptors=256) as running:
        lines = [json.loads(line) for line in running.log.read_text().splitlines() if "descriptors_few" in line]
        assert [(line["descriptors"], line["connections"], line["streams"]) for line in lines] == [(256, 128, 64)]
        with SlowSockets(running.port, MANY, request=b""):
            while running.counted("connections_ended_total", "reason").total() < MANY:
                running.ask("/health")
                running.ask("/definitions")
        assert "Too many open files" not in running.log.read_text()
