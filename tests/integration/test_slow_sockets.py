"""A thousand slow sockets against the sidecar as a process: others are answered meanwhile."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attack.processes import peak_bytes
from tests.conftest import only_full
from tests.integration.lanes import make_lanes
from tests.integration.slow_sockets import SlowSockets
from tests.integration.test_sidecar import REFUND
from tests.integration.test_sidecar import sidecar as started

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600), only_full]  # test_sidecar_connections.py has 260 halves

MANY = 1000
PATIENCE_S = 60  # for an answer that is to come: a busy machine is no failure
GROWTH_BYTES = 300 << 20  # 500 connections, each with an answer of half a megabyte that nobody takes


@dataclass(frozen=True)
class Running:
    """A sidecar with a definition to read."""

    port: int
    pid: int
    log: Path

    def ask(self, path: str) -> tuple[int, bytes]:
        """Status and body, by a connection of its own."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as client:
            client.request("GET", f"/api/v1{path}", headers={"Host": "localhost"})
            answer = client.getresponse()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def running(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("slow")
    with make_lanes(bootstrap, folder) as bench:
        bench.publish_calls(REFUND)
        told = bench.environment() | {"STREAMFLOW_SIDECAR__PORT": "0"}
        with started(folder, told) as (process, url):
            yield Running(int(url.rpartition(":")[2].strip("/")), process.pid, folder / "sidecar.log")


@pytest.mark.parametrize(
    ("readers", "senders"), [(MANY, 0), (0, MANY), (MANY // 2, MANY // 2)], ids=["readers", "senders", "both"]
)
def test_a_thousand_slow_sockets_shut_nobody_out(running: Running, readers: int, senders: int) -> None:
    assert running.ask("/openapi.json")[0] == 200  # made once, which takes memory
    before = peak_bytes(running.pid)
    asked = 0
    with SlowSockets(running.port, readers=readers, senders=senders) as slow:
        while slow.ends.total() < 2 * MANY:  # each was cut off and came again
            health, _ = running.ask("/health")
            read, body = running.ask("/definitions")
            assert (health, read) == (200, 200), (asked, slow.ends, body)
            asked += 1
    assert asked > 0
    assert peak_bytes(running.pid) - before < GROWTH_BYTES
    assert "Traceback" not in running.log.read_text()
    print(f"{readers} readers, {senders} senders: {asked} times asked, {dict(slow.ends)}")
