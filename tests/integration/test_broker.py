"""The embedded broker: quick to start, alone in its folder, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.errors import OperationError
from streamflow.kafka.embedded import jars
from streamflow.kafka.embedded.broker import EmbeddedBroker, open_broker
from streamflow.kafka.embedded.node import free_ports
from streamflow.settings import Kafka, Settings
from tests.conftest import TEST_ALL, eventually, needs_broker

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]

# A program that starts a broker, tells its process id, and then waits for its own end.
PARENT = """
import sys, threading
from pathlib import Path
from streamflow.kafka.embedded.broker import EmbeddedBroker

def run():
    with EmbeddedBroker(Path(sys.argv[1])) as broker:
        print(broker.pid, flush=True)
        sys.stdin.read()

if sys.argv[2] == "thread":
    # The broker must not depend on the thread that started it: this one ends at once, its broker stays.
    broker = EmbeddedBroker(Path(sys.argv[1]))
    starter = threading.Thread(target=broker.start)
    starter.start()
    starter.join()
    print(broker.pid, flush=True)
    sys.stdin.read()
else:
    run()
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process whose parent has not looked yet is no longer alive either.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def parent(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    needs_broker()
    how = getattr(request, "param", "main")
    command = [sys.executable, "-c", PARENT, str(tmp_path / "broker"), how]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def broker_of(parent: subprocess.Popen[str]) -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


def test_data_and_ports_stay_over_a_stop_and_a_kill(tmp_path: Path) -> None:
    needs_broker()
    broker = EmbeddedBroker(tmp_path / "broker")
    with broker:
        address, first = broker.bootstrap_servers, broker.pid
        assert address.startswith("127.0.0.1:")
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(30)
        produce(address, b"one")
        broker.stop()
        assert not alive(first)
        assert not broker.running

        broker.start()
        assert broker.bootstrap_servers == address
        produce(address, b"two")
        broker.kill()
        assert not alive(broker.pid)

        broker.start()
        assert broker.bootstrap_servers == address
        assert consume(address, 2) == [b"one", b"two"]
    assert not alive(broker.pid)


def test_a_paused_broker_answers_again_when_it_goes_on(tmp_path: Path) -> None:
    needs_broker()
    with EmbeddedBroker(tmp_path / "broker") as broker:
        client = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        assert client.list_topics(timeout=60).brokers
        broker.pause()
        with pytest.raises(KafkaException) as unanswered:
            client.list_topics(timeout=0.5)
        assert unanswered.value.args[0].code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT)
        broker.resume()
        assert client.list_topics(timeout=60).brokers
        broker.pause()
    # Also a paused one is stopped.
    assert not alive(broker.pid)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT] if TEST_ALL else [signal.SIGKILL])
def test_the_broker_ends_with_its_parent(parent: subprocess.Popen[str], end: signal.Signals) -> None:
    java = broker_of(parent)
    assert alive(java)
    parent.send_signal(end)
    parent.wait(30)

    eventually(lambda: not alive(java), timeout=30)


@pytest.mark.parametrize("parent", ["thread"], indirect=True)
def test_the_broker_outlives_the_thread_that_started_it_but_not_the_process(parent: subprocess.Popen[str]) -> None:
    java = broker_of(parent)
    assert alive(java)
    parent.kill()

    eventually(lambda: not alive(java), timeout=30)


def test_the_broker_ends_when_even_its_watchdog_is_killed(parent: subprocess.Popen[str]) -> None:
    java = broker_of(parent)
    watchdog = int(Path(f"/proc/{java}/stat").read_text().rpartition(")")[2].split()[1])
    assert watchdog != parent.pid
    os.kill(watchdog, signal.SIGKILL)

    eventually(lambda: not alive(java), timeout=30)


def test_a_folder_has_one_broker_at_a_time(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    broker_of(parent)
    with pytest.raises(OperationError) as caught:
        EmbeddedBroker(tmp_path / "broker").start()

    assert caught.value.code == "broker_folder_in_use"
    assert str(parent.pid) in caught.value.message


def test_a_folder_whose_owner_was_killed_is_waited_for(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    broker_of(parent)
    parent.kill()
    parent.wait()

    with EmbeddedBroker(tmp_path / "broker") as broker:
        assert broker.running


def test_a_port_that_was_taken_meanwhile_is_exchanged(tmp_path: Path) -> None:
    needs_broker()
    folder = tmp_path / "broker"
    with EmbeddedBroker(folder) as broker:
        first = broker.bootstrap_servers
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(first.split(":")[1])))
        other.listen()
        with EmbeddedBroker(folder) as broker:
            assert broker.bootstrap_servers != first
            assert AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=60).brokers


def test_a_start_that_fails_shows_the_end_of_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    needs_broker()
    broker = EmbeddedBroker(tmp_path / "broker", config={"num.io.threads": "none"})
    with pytest.raises(OperationError) as caught:
        broker.start()

    assert caught.value.code == "broker_start_failed"
    assert "num.io.threads" in caught.value.message
    assert not broker.running
    assert not alive(broker.pid)


def test_the_brokers_that_settings_name_are_used_as_they_are() -> None:
    with open_broker(Settings(kafka=Kafka(bootstrap_servers="elsewhere:9092"))) as servers:
        assert servers == "elsewhere:9092"


def test_without_a_named_broker_one_is_started_in_the_broker_folder(tmp_path: Path) -> None:
    needs_broker()
    with open_broker(Settings(broker_dir=tmp_path / "own")) as servers:
        assert AdminClient({"bootstrap.servers": servers}).list_topics(timeout=60).brokers
    assert (tmp_path / "own" / "broker.log").exists()


@pytest.mark.parametrize(
    ("programs", "code"),
    [
        ({}, "java_missing"),
        ({"java": "echo 'openjdk version \"11.0.2\"' >&2"}, "java_too_old"),
        ({"java": "echo 'openjdk version \"21.0.1\"' >&2"}, "maven_missing"),
        ({"java": "echo 'openjdk version \"21.0.1\"' >&2", "mvn": "echo Apache Maven 3.1.0"}, "maven_too_old"),
        (
            {"java": "echo 'openjdk version \"21.0.1\"' >&2", "mvn": '[ "$1" = --version ] && echo Apache Maven 3.9.1'},
            "kafka_fetch_failed",
        ),
    ],
)
def test_what_is_missing_is_named(
    programs: dict[str, str], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, script in programs.items():
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("STREAMFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    said: list[str] = []
    with pytest.raises(OperationError) as caught:
        jars.distribution(said.append)

    assert caught.value.code == code
    assert not jars.cache_folder().exists()


def test_free_ports_are_two() -> None:
    ports = free_ports()

    assert ports.client != ports.controller


def produce(address: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    producer.produce("kept", value)
    assert producer.flush(30) == 0


def consume(address: str, count: int) -> list[bytes | str | None]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader"})
    consumer.assign([TopicPartition("kept", 0, 0)])
    try:
        found = consumer.consume(count, timeout=30)
        return [message.value() for message in found]
    finally:
        consumer.close()
