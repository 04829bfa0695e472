"""Fixtures for everybody: a broker for the whole session, settings with a prefix of their own, and waiting for
conditions instead of sleeping."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from streamflow.kafka import admin
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.embedded.jars import cache_folder
from streamflow.settings import Kafka, Settings, Topics
from tests import servers
from tests.codes import recorder
from tests.servers.apicurio import SchemaRegistry
from tests.servers.jetstream import NatsServer
from tests.servers.postgresql import PostgresServer
from tests.servers.s3proxy import ObjectStore

# a shell ignores it for what it runs in the background, and children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

T = TypeVar("T")

# `make test-full`: every repetition of what `make test` looks at by a sample
TEST_ALL = bool(os.environ.get("STREAMFLOW_TEST_ALL"))

# Hundreds of tests leave thousands of partitions, which the broker looks through at every interval.
_BROKER = {"log.cleaner.backoff.ms": "1000", "replica.high.watermark.checkpoint.interval.ms": "60000"}
only_full = pytest.mark.skipif(not TEST_ALL, reason="another test looks at nearly the same: make test-full")


def examples(full: int) -> int:
    """How many of the `full` examples of a property are tried: all in `make test-full`, a third in `make test`."""
    return full if TEST_ALL else -(-full // 3)


# The files with servers that take longest, longest first (measured; more than ten seconds): a file is one process's,
# and a run lasts as long as the last one to begin.
LONG = (
    "tests/integration/test_rights.py",  # these four in make test-full alone
    "tests/integration/test_alerts.py",
    "tests/integration/test_lag.py",
    "tests/contract/test_keycloak.py",
    "tests/integration/test_docs_commands.py",
    "tests/integration/test_source_trouble.py",
    "tests/integration/test_wheel.py",
    "tests/integration/test_tasks.py",
    "tests/integration/test_checker_planted.py",
    "tests/integration/test_generations.py",
    "tests/integration/test_ingress.py",
    "tests/integration/test_slow_sockets.py",
    "tests/integration/test_drill.py",
    "tests/integration/test_broker.py",
    "tests/integration/test_history.py",
    "tests/integration/test_ledger.py",
    "tests/integration/test_recovery.py",
    "tests/integration/test_engine.py",
    "tests/integration/test_cli.py",
    "tests/integration/test_mirror.py",
    "tests/integration/test_engine_bad_input.py",
    "tests/integration/test_tasks_outage.py",
    "tests/integration/test_erasure.py",
    "tests/integration/test_definitions_log.py",
    "tests/integration/test_secured.py",
    "tests/integration/conversations/test_restarts.py",
    "tests/integration/test_engine_outage.py",
    "tests/integration/test_examples.py",
    "tests/integration/test_environments.py",
    "tests/contract/test_sidecar_log.py",
    "tests/faults/test_short_mix.py",
    "tests/integration/test_access.py",
    "tests/integration/test_workers.py",
    "tests/integration/test_schema_registry.py",
    "tests/integration/test_load.py",
    "tests/integration/test_shared_rates.py",
    "tests/integration/test_sidecar.py",
    "tests/integration/test_metrics.py",
    "tests/integration/test_traces.py",
    "tests/integration/test_promotion.py",
    "tests/integration/test_store_operations.py",
    "tests/integration/test_outbox.py",
    "tests/integration/test_real_log.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Notes the codes that tests bring about, if asked (`make docs-codes`)."""
    if folder := os.environ.get(recorder.VARIABLE):
        config.pluginmanager.register(recorder.Recorder(Path(folder)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, then the other files that need a broker, then the rest."""
    place = {name: index for index, name in enumerate(LONG)}

    def order(item: pytest.Item) -> tuple[int, bool]:
        name = item.nodeid.partition("::")[0]
        return place.get(name, len(LONG)), not name.startswith(("tests/integration", "tests/contract"))

    items.sort(key=order)


def pytest_collection_finish() -> None:
    """Takes the modules and the thousands of tests out of the garbage collection: it would look at them again and again
    (4 % of the processor time of the tests without servers)."""
    gc.collect()
    gc.freeze()


def eventually(condition: Callable[[], T], timeout: float = 120.0, every: float = 0.02) -> T:
    """The first true value of `condition`, tried again until the deadline; fails with its last value. A condition that
    takes long is tried less often: its processor is needed by what is waited for."""
    deadline = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        if now > deadline:
            pytest.fail(f"expected a true value within {timeout} s but the last one was {value!r}")
        time.sleep(max(every, 2 * (now - began)))


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """What a test does to the environment ends with it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One Kafka for all tests. Do not stop or pause it; a test of outages starts its own."""
    needs_broker()
    with EmbeddedBroker(tmp_path_factory.mktemp("broker"), config=_BROKER) as running:
        yield running


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that the tests of one module may pause and kill."""
    needs_broker()
    with EmbeddedBroker(tmp_path_factory.mktemp("own-broker")) as running:
        yield running


def needs_broker() -> None:
    """Skips the test on a laptop that cannot run Kafka; in CI it goes on, and fails."""
    if os.environ.get("CI"):
        return
    if shutil.which("java") is None or (shutil.which("mvn") is None and not cache_folder().exists()):
        pytest.skip("no Java and Maven here; set CI=true to make this a failure")


def start_server(server: AbstractContextManager[T]) -> Iterator[T]:
    """Runs a server of `tests.servers`. Where it is not installed the test is skipped, and in CI it fails."""
    with ExitStack() as running:
        try:
            started = running.enter_context(server)
        except servers.ServerMissing as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
        yield started


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests. Do not stop it; a test of outages starts its own."""
    yield from start_server(servers.postgres())


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """One S3 server for all tests. Do not stop it."""
    yield from start_server(servers.object_store())


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """One NATS for all tests. Do not stop it."""
    yield from start_server(servers.nats())


@pytest.fixture(scope="session")
def apicurio() -> Iterator[SchemaRegistry]:
    """One schema registry for all tests. Do not stop it."""
    yield from start_server(servers.schema_registry())


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the session's Kafka is: our own process, or a container if STREAMFLOW_TEST_CONTAINERS=1."""
    if os.environ.get("STREAMFLOW_TEST_CONTAINERS") == "1":
        from testcontainers.kafka import KafkaContainer

        with KafkaContainer("apache/kafka:4.3.1").with_kraft() as container:
            yield container.get_bootstrap_server()
    else:
        yield request.getfixturevalue("broker").bootstrap_servers


@pytest.fixture
def settings(bootstrap: str, tmp_path: Path) -> Settings:
    """Settings of one test: the session's broker, a prefix of its own, two partitions, stores in a temporary folder. No
    topic exists yet."""
    return make_settings(bootstrap, tmp_path)


def make_settings(bootstrap: str, tmp_path: Path, **changes: Any) -> Settings:
    """Settings for a test with a fresh prefix; `changes` replace whole sections."""
    values: dict[str, Any] = {
        "kafka": Kafka(bootstrap_servers=bootstrap),
        "topics": Topics(prefix=f"t{uuid.uuid4().hex[:8]}.", partitions=2),
        "state_dir": tmp_path / "state",
        "broker_dir": tmp_path / "broker",
    }
    return Settings(**(values | changes))


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """As `settings`, with all fixed topics created."""
    admin.apply(settings)
    return settings


@pytest.fixture
def steady_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands in the middle of this minute: the windows of rates slide, and at a minute's turn one more fits
    into them."""
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s - now_s % 60 + 30)
