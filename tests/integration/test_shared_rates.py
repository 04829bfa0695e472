"""Two sidecars that count together in a real Redis: while it answers, while it is away, and while it hangs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from streamflow.access import keys
from streamflow.access.audit import Actor
from streamflow.access.changes import add_user
from streamflow.access.key_changes import add_key
from streamflow.access.rates import AGAIN_S, REDIS_S
from streamflow.access.rights import Role
from streamflow.access.topic import AccessTopic
from streamflow.kafka import admin
from streamflow.settings import Settings
from tests.conftest import eventually, make_settings, start_server
from tests.integration.test_sidecar import code, sidecar
from tests.servers.process import free_port
from tests.servers.redis import PASSWORD, RedisServer, redis_server

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

LIMIT = 20
ACTOR = Actor(who="test")


@dataclass(frozen=True)
class Place:
    """Two sidecars of one installation."""

    redis: RedisServer
    clients: tuple[httpx2.Client, httpx2.Client]
    logs: tuple[Path, Path]
    metrics: tuple[str, str]
    access: AccessTopic

    def key(self, id: str) -> dict[str, str]:
        """Headers of a new API key, which both sidecars know."""
        secret = keys.new_secret()
        digest = keys.digest(secret)
        self.access.change(ACTOR, lambda d, now: add_key(d, now, id=id * 12, digest=digest, user="root", name=id))
        headers = {"Authorization": f"Bearer {keys.token(id * 12, secret)}"}
        for client in self.clients:
            eventually(lambda client=client: self.ask(client, headers).status_code != 401)  # type: ignore[misc]
        return headers

    def ask(self, client: httpx2.Client, headers: dict[str, str]) -> Any:
        return client.get("/me", headers=headers)

    def answers(self, headers: dict[str, str], number: int, times: int) -> list[int]:
        """The status of each of some requests to one sidecar."""
        return [self.ask(self.clients[number], headers).status_code for _ in range(times)]

    def shared(self, headers: dict[str, str]) -> list[bool]:
        """Whether each sidecar says that it counts with the other."""
        return [self.ask(client, headers).json()["rate"]["shared"] for client in self.clients]

    def measured(self) -> list[float]:
        """The same, as each one's metrics have it."""
        found = []
        for url in self.metrics:
            lines = httpx2.get(url).text.splitlines()
            found += [float(line.split()[-1]) for line in lines if line.startswith("streamflow_rates_shared")]
        return found


@pytest.fixture(scope="module")
def place(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("rates")
    settings: Settings = make_settings(bootstrap, folder)
    admin.apply(settings)
    with contextlib.ExitStack() as running:
        redis = running.enter_context(contextlib.contextmanager(start_server)(redis_server()))
        (folder / "redis-url").write_text(redis.url)
        access = running.enter_context(AccessTopic(settings))
        access.wait_loaded()
        access.change(ACTOR, lambda d, now: add_user(d, now, id="root", name="root", role=Role.ADMIN))
        clients, logs, metrics = [], [], []
        for name in ("one", "other"):
            port, measured = free_port(), free_port()
            environment = {
                "STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
                "STREAMFLOW_TOPICS__PREFIX": settings.topics.prefix,
                "STREAMFLOW_TOPICS__PARTITIONS": "2",
                "STREAMFLOW_STATE_DIR": str(folder / name / "state"),
                "STREAMFLOW_LOG_FORMAT": "json",
                "STREAMFLOW_SIDECAR__PORT": str(port),
                "STREAMFLOW_METRICS__LISTEN": f"127.0.0.1:{measured}",
                "STREAMFLOW_ACCESS__REDIS": f"file:{folder / 'redis-url'}",
                "STREAMFLOW_ACCESS__REQUESTS_PER_MINUTE": str(LIMIT),
                "PYTHONWARNINGS": "default::ResourceWarning,default::RuntimeWarning",
            }
            (folder / name).mkdir()
            process, _ = running.enter_context(sidecar(folder / name, environment))
            clients.append(running.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30)))
            logs.append(folder / name / "sidecar.log")
            metrics.append(f"http://127.0.0.1:{measured}/metrics")
            running.callback(_ended, process, logs[-1])
        for client in clients:
            eventually(lambda client=client: answers(client))  # type: ignore[misc]
        yield Place(redis, (clients[0], clients[1]), (logs[0], logs[1]), (metrics[0], metrics[1]), access)


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx2.TransportError:
        return False


def _ended(process: Any, log: Path) -> None:
    process.terminate()
    assert process.wait(20) == 0, log.read_text()
    text = log.read_text()
    assert "Traceback" not in text, text
    assert "ResourceWarning" not in text, text
    assert PASSWORD not in text


def test_one_limit_holds_over_both(place: Place) -> None:
    headers = place.key("a")  # asks each once at least
    found = [place.answers(headers, number % 2, 1)[0] for number in range(LIMIT + 10)]
    allowed = found.count(200)
    assert LIMIT // 2 < allowed <= LIMIT - 2, found
    assert found == [200] * allowed + [429] * (len(found) - allowed)
    for client in place.clients:
        assert code(place.ask(client, headers)) == (429, "rate_exceeded")
    assert place.measured() == [1.0, 1.0]


def test_while_redis_is_away_each_counts_alone_and_tells(place: Place) -> None:
    headers = place.key("b")
    place.redis.stop()
    try:
        assert place.shared(headers) == [False, False]
        for log in place.logs:
            eventually(lambda log=log: log.read_text().count('"rates_not_shared"') == 1, timeout=10)  # type: ignore[misc]
        assert place.measured() == [0.0, 0.0]
        for number in (0, 1):
            found = place.answers(headers, number, LIMIT + 5)
            assert found == [200] * (LIMIT - 1) + [429] * 6
    finally:
        place.redis.start()
    headers = place.key("c")
    eventually(lambda: place.measured() == [1.0, 1.0] or not place.answers(place.key("d"), 0, 1), timeout=4 * AGAIN_S)
    assert sum(place.answers(headers, number % 2, 1)[0] == 200 for number in range(2 * LIMIT)) <= LIMIT
    for log in place.logs:
        assert log.read_text().count('"rates_shared_again"') == 1


def test_while_redis_hangs_no_request_waits_longer_than_the_page_says(place: Place) -> None:
    headers = place.key("e")
    took: list[float] = []

    def ask(number: int) -> int:
        began = time.monotonic()
        status = place.ask(place.clients[number % 2], headers).status_code
        took.append(time.monotonic() - began)
        return int(status)

    with place.redis.paused(), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(40)))
        assert set(found) <= {200, 429}
        # and what a request takes on a machine that is busy
        assert max(took) < REDIS_S + 2, took
        # 8 at the same time find out together; then each sidecar tries again every AGAIN_S
        waited = sum(one > REDIS_S for one in took)
        assert waited <= 8 + 2 * (1 + sum(took) / AGAIN_S), took
