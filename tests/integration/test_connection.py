"""The connection settings as a broker with passwords sees them, through both clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from aiokafka import AIOKafkaProducer, conn
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import KafkaError, Producer

from streamflow.errors import OperationError
from streamflow.kafka import admin, aiokafka_patches
from streamflow.kafka.connection import aiokafka_config, confluent_config, confluent_producer_config, max_batch_bytes
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.embedded.node import free_ports, keep_ports
from streamflow.kafka.greeting import require_welcome
from streamflow.kafka.topics import topic_name
from streamflow.settings import Kafka, Limits, Settings
from tests.conftest import make_settings, needs_broker

pytestmark = pytest.mark.broker

JAAS = (
    'org.apache.kafka.common.security.plain.PlainLoginModule required username="worker" password="swordfish" '
    'user_worker="swordfish";'
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker's listener that wants a password; its other listener is the one that tells when it is
    ready."""
    needs_broker()
    folder = tmp_path_factory.mktemp("guarded")
    plain, other = free_ports(), free_ports()
    keep_ports(folder / "ports.json", plain)
    listeners = f"PLAINTEXT://127.0.0.1:{plain.client},GUARDED://127.0.0.1:{other.client}"
    config = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{plain.controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,GUARDED:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.guarded.plain.sasl.jaas.config": JAAS,
    }
    with EmbeddedBroker(folder, config=config):
        yield f"127.0.0.1:{other.client}"


def with_password(address: str, tmp_path: Path, password: str) -> Settings:
    secret = tmp_path / "password"
    secret.write_text(f"{password}\n")
    kafka = Kafka(
        bootstrap_servers=address,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="worker",
        sasl_password=f"file:{secret}",
    )
    return make_settings(address, tmp_path, kafka=kafka)


def test_both_clients_get_in_with_the_password_of_a_file(guarded: str, tmp_path: Path) -> None:
    settings = with_password(guarded, tmp_path, "swordfish")
    admin.apply(settings)
    assert admin.plan(settings) == []

    async def read() -> int:
        log = DefinitionsLog(settings)
        try:
            async with asyncio.timeout(30):
                await log.start()
            return log.position
        finally:
            await log.stop()

    assert asyncio.run(read()) > 0


def test_a_wrong_password_is_named_as_the_cause(guarded: str, tmp_path: Path) -> None:
    with pytest.raises(OperationError) as caught:
        require_welcome(with_password(guarded, tmp_path, "wrong"))

    assert caught.value.code == "sasl_refused"
    assert "authentication" in caught.value.message.lower()
    assert "wrong" not in caught.value.message


def test_the_largest_record_that_the_limits_allow_is_taken(bootstrap: str, tmp_path: Path) -> None:
    settings = make_settings(bootstrap, tmp_path, limits=Limits(record_bytes=3_000_000))
    admin.apply(settings)
    failed: list[KafkaError] = []
    producer = Producer(confluent_producer_config(settings, "test"))
    producer.produce(
        topic_name(settings, "runs"),
        b"x" * 3_000_000,
        key=b"key",
        on_delivery=lambda error, _: failed.append(error) if error else None,
    )

    assert producer.flush(30) == 0
    assert failed == []


def test_a_secret_of_the_environment_is_read_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka(
        bootstrap_servers="k:1",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="u",
        sasl_password="env:BROKER_PASSWORD",
    )
    settings = Settings(kafka=kafka)
    monkeypatch.delenv("BROKER_PASSWORD", raising=False)
    with pytest.raises(OperationError) as caught:
        confluent_config(settings, "test")
    assert caught.value.code == "secret_missing"

    monkeypatch.setenv("BROKER_PASSWORD", "swordfish")
    assert confluent_config(settings, "test")["sasl.password"] == "swordfish"
    assert aiokafka_config(settings, "test")["sasl_plain_password"] == "swordfish"
    assert (
        confluent_config(settings, "test")["client.id"]
        == aiokafka_config(settings, "test")["client_id"]
        == "streamflow-main-test"
    )


def test_records_never_need_more_than_the_topics_take() -> None:
    assert max_batch_bytes(Settings()) == 1_048_588
    assert max_batch_bytes(Settings(limits=Limits(record_bytes=5_000_000))) > 5_000_000


def test_connections_of_both_kinds_are_watched_for_an_end_that_is_gone(settings: Settings) -> None:
    async def options() -> list[tuple[int, int]]:
        producer = AIOKafkaProducer(**aiokafka_config(settings, "engine"))
        await producer.start()
        try:
            for broker in producer.client.cluster.brokers():
                await producer.client.ready(broker.nodeId)
            made = [connection._writer.get_extra_info("socket") for connection in producer.client._conns.values()]
            return [
                (
                    one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                )
                for one in made
            ]
        finally:
            await producer.stop()

    assert set(asyncio.run(options())) == {(1, aiokafka_patches.SILENT_S * 1000)}
    assert confluent_config(settings, "lag")["socket.keepalive.enable"] is True


def test_what_is_written_to_a_connection_that_was_just_closed_is_a_lost_connection(settings: Settings) -> None:
    async def write() -> None:
        producer = AIOKafkaProducer(**aiokafka_config(settings, "engine"))
        await producer.start()
        try:
            (broker,) = producer.client.cluster.brokers()
            await producer.client.ready(broker.nodeId)
            (connection,) = producer.client._conns.values()
            connection._writer.transport.abort()
            await asyncio.sleep(0)  # uvloop closes it; whoever reads from it is told after us
            await connection.send(conn.ApiVersionRequest())
        finally:
            await producer.stop()

    with pytest.raises(KafkaConnectionError):
        uvloop.run(write())
