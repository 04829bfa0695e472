"""A secured Kafka with Streamflow's roles as its users: each with settings of its own, as processes and as command
lines."""

from __future__ import annotations

import io
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import pytest
import structlog
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from streamflow.cli.main import main
from streamflow.kafka.embedded.node import free_ports
from streamflow.kafka.rights import Role
from streamflow.settings.mirror import MirroredTopic
from tests.integration.forked import Child, fork, streamflow
from tests.servers.memory_registry import memory_registry
from tests.servers.secured_kafka import SecuredKafka

PASSWORD = "sesame-open"
DEFINITION = """
streamflow: "1"
name: order
version: "1"
on: [{id: placed, event: order.placed}]
steps:
  - id: note
    print: {text: "'order ' + run.key"}
  - id: say
    needs: [note]
    call: {operation: print.line, with: [{name: text, expr: "'an order'"}]}
  - id: pause
    needs: [say]
    delay: {for: 100ms}
  - id: tell
    needs: [pause]
    call:
      operation: kafka.emit
      with: [{name: topic, expr: "'letters'"}, {name: text, expr: "'hello'"}]
  - id: paid
    needs: [tell]
    wait: {within: 1h, keep: 5s, events: [{id: paid, event: payment.received}]}
  - id: ship
    needs: [paid.paid]
    emit: {event: order.shipped, data: [{name: id, expr: run.key}]}
"""
CATALOG = """
events:
  - name: order.placed
    topics: [orders]
    match: {path: kind, equals: placed}
    id: {path: event}
    key: {path: id}
    schema: {type: object, required: [id, event], properties: {id: {type: string}, event: {type: string}}}
  - name: payment.received
    topics: [payments]
    match: {path: kind, equals: paid}
    id: {path: event}
    key: {path: id}
    schema: {type: object, required: [id, event], properties: {id: {type: string}, event: {type: string}}}
  - {name: order.shipped, topics: [shipments], schema: {type: object}}
"""
USERS_TOPICS = ("orders", "payments", "shipments", "letters")


class World:
    """The secured Kafka, and each role as a user of it. All topics that may be are mirrored, by the registry at the URL
    `registry`."""

    def __init__(self, kafka: SecuredKafka, folder: Path, registry: str) -> None:
        self.kafka = kafka
        self.registry = registry
        self.folder = folder
        self.prefix = "secured."
        self.processes: dict[Role, Child] = {}
        self.ports = {Role.SIDECAR: free_ports().client, Role.EXPORTER: free_ports().client}
        (folder / "password").write_text(PASSWORD)
        (folder / "order").mkdir()
        (folder / "order" / "definition.yaml").write_text(DEFINITION)
        (folder / "order" / "catalog.yaml").write_text(CATALOG)

    def common(self, name: str = "") -> dict[str, str]:
        return {
            "STREAMFLOW_TOPICS__PREFIX": self.prefix,
            "STREAMFLOW_TOPICS__PARTITIONS": "1",
            "STREAMFLOW_STATE_DIR": str(self.folder / f"state-{name}"),
            "STREAMFLOW_BROKER_DIR": str(self.folder / "none"),
            "STREAMFLOW_HISTORY__PATH": str(self.folder / "history.sqlite"),
            "STREAMFLOW_SIDECAR__PORT": str(self.ports[Role.SIDECAR]),
            "STREAMFLOW_ENGINE__CHECKPOINT_S": "0.1",
            "STREAMFLOW_ENGINE__CHECKPOINT_IDLE_S": "0.2",
            "STREAMFLOW_LOG_FORMAT": "json",
            "STREAMFLOW_METRICS__MEASURE_S": "1",
            "STREAMFLOW_REGISTRY__URL": self.registry,
            "STREAMFLOW_MIRROR__TOPICS": json.dumps(get_args(MirroredTopic)),
            "COLUMNS": "300",
        }

    def environment(self, role: str, **changes: str) -> dict[str, str]:
        """The settings of a role, which logs in with SCRAM."""
        kafka = {
            "bootstrap_servers": self.kafka.address("scram"),
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": f"streamflow-{role}",
            "sasl_password": f"file:{self.folder / 'password'}",
            "ssl_ca": str(self.kafka.authority.certificate),
        } | changes
        return self.common(role) | {f"STREAMFLOW_KAFKA__{name.upper()}": value for name, value in kafka.items()}

    def run(self, environment: Mapping[str, str], *words: str) -> tuple[int, str]:
        """The exit code of a command line, and what it wrote."""
        written = io.StringIO()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMFLOW_KAFKA")}
        with (
            mock.patch.dict(os.environ, clean | dict(environment), clear=True),
            redirect_stdout(written),
            redirect_stderr(written),
        ):
            code = main(list(words))
        structlog.reset_defaults()
        return code or 0, written.getvalue()

    def done(self, role: Role, *words: str) -> str:
        code, text = self.run(self.environment(role.value), *words)
        assert code == 0, f"{role.value}: {' '.join(words)}\n{text}"
        return text

    def acls(self) -> list[dict[str, Any]]:
        """What `topics plan --acls` prints, as JSON. Nobody is asked for it."""
        code, text = self.run(
            self.common(),
            "--json",
            "topics",
            "plan",
            "--acls",
            "--definition",
            str(self.folder / "order"),
            "--send-to",
            "letters",
        )
        assert code == 0, text
        found: list[dict[str, Any]] = json.loads(text)["acls"]
        return found

    def start(self, role: Role) -> None:
        line = {Role.SIDECAR: ["sidecar"], Role.EXPORTER: ["exporter", "--listen", self.at(Role.EXPORTER)]}
        words = line.get(role, ["worker", role.value])
        self.processes[role] = fork(streamflow, dict(os.environ) | self.environment(role.value), self.log(role), words)

    def stop(self, *roles: Role) -> None:
        for role in roles:
            if (process := self.processes.pop(role, None)) is not None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    def log(self, role: Role) -> Path:
        return self.folder / f"{role.value}.log"

    def says(self, role: Role, text: str) -> bool:
        log = self.log(role)
        return log.exists() and text in log.read_text(errors="replace")

    def at(self, role: Role) -> str:
        return f"127.0.0.1:{self.ports[role]}"

    def http(self, path: str, body: Any = None, **headers: str) -> Any:
        request = urllib.request.Request(
            f"http://{self.at(Role.SIDECAR)}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path}: {error.code} {error.read().decode()}")

    def records(self, topic: str) -> int:
        """How many records the topic has, marks of transactions included."""
        consumer = Consumer({"bootstrap.servers": self.kafka.open, "group.id": "stranger", "log_level": 0})
        try:
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=60)
        finally:
            consumer.close()
        return int(high)

    def append(self, *topics: str) -> None:
        """A record that nobody can read, to each topic."""
        producer = Producer({"bootstrap.servers": self.kafka.open, "log_level": 0})
        for topic in topics:
            producer.produce(topic, b"not json", b"key", partition=0)
        assert producer.flush(20) == 0


def binding(acl: Mapping[str, Any], operation: str) -> AclBinding:
    return AclBinding(
        ResourceType[acl["resource"].replace("-", "_").upper()],
        acl["name"],
        ResourcePatternType.PREFIXED if acl["prefixed"] else ResourcePatternType.LITERAL,
        acl["principal"],
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )


def bindings(acls: Sequence[Mapping[str, Any]]) -> list[AclBinding]:
    return [binding(acl, operation) for acl in acls for operation in acl["operations"]]


def grant(kafka: SecuredKafka, wanted: Sequence[AclBinding]) -> None:
    for future in kafka.admin.create_acls(list(wanted)).values():
        future.result(20)


def revoke(kafka: SecuredKafka, one: AclBinding) -> None:
    filter_ = AclBindingFilter(
        one.restype, one.name, one.resource_pattern_type, one.principal, "*", one.operation, one.permission_type
    )
    for future in kafka.admin.delete_acls([filter_]).values():
        assert len(future.result(20)) == 1


WORKERS = (Role.ENGINE, Role.INGRESS, Role.TASKS, Role.HISTORY, Role.MIRROR)
RUNNING = (*WORKERS, Role.SIDECAR, Role.EXPORTER)


WAYS_IN = ("scram", "mtls", "oauth")


def kafka_settings(world: World, way: str, role: str) -> dict[str, str]:
    """The settings of a role's connection by each way in; what is None is not set."""
    kafka = world.kafka
    folder = kafka.authority.folder
    common = {"bootstrap_servers": kafka.address(way), "ssl_ca": str(kafka.authority.certificate)}
    if way == "mtls":
        name = f"streamflow-{role}"
        if not (folder / f"{name}.crt").exists():
            kafka.authority.issue(name, hosts=("client",))
        return common | {
            "security_protocol": "SSL",
            "ssl_certificate": str(folder / f"{name}.crt"),
            "ssl_key": f"file:{folder / name}.key",
        }
    if way == "oauth":
        (world.folder / "secret").write_text(kafka.token_server.secret)
        return common | {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "OAUTHBEARER",
            "oauth_token_url": kafka.token_server.url,
            "oauth_client_id": f"streamflow-{role}",
            "oauth_client_secret": f"file:{world.folder / 'secret'}",
        }
    return common | {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": f"streamflow-{role}",
        "sasl_password": f"file:{world.folder / 'password'}",
    }


def with_settings(world: World, kafka: Mapping[str, str], role: str) -> dict[str, str]:
    return world.common(role) | {f"STREAMFLOW_KAFKA__{name.upper()}": value for name, value in kafka.items()}


def role_words(role: Role) -> list[str]:
    if role in WORKERS:
        return ["worker", role.value]
    return {Role.SIDECAR: ["sidecar"], Role.EXPORTER: ["exporter"], Role.PROVISIONER: ["topics", "apply"]}.get(
        role, ["lag"]
    )


@contextmanager
def without(world: World, role: Role, name: str, operation: str) -> Iterator[None]:
    """The world in which one right of a role is taken away."""
    acl = next(one for one in rights_of(world, role) if one["name"] == name and operation in one["operations"])
    with left_out(world, acl, operation):
        yield


def rights_of(world: World, role: Role) -> list[dict[str, Any]]:
    """What is printed for a role."""
    return [one for one in world.acls() if one["principal"] == f"User:streamflow-{role.value}"]


@contextmanager
def left_out(world: World, acl: Mapping[str, Any], operation: str) -> Iterator[None]:
    """The world without one operation of one printed right."""
    one = binding(acl, operation)
    revoke(world.kafka, one)
    try:
        yield
    finally:
        grant(world.kafka, [one])


@contextmanager
def secured_world(folder: Path) -> Iterator[World]:
    """A broker of its own, on which each role has what is printed for it. The topics are there, and nothing is
    published."""
    with SecuredKafka(folder / "secured").running() as kafka, memory_registry() as registry:
        for role in Role:
            kafka.add_user(f"streamflow-{role.value}", PASSWORD)
        (folder / "world").mkdir()
        made = World(kafka, folder / "world", registry.url)
        grant(kafka, bindings(made.acls()))
        for future in kafka.admin.create_topics([NewTopic(name, 1, 1) for name in USERS_TOPICS]).values():
            future.result(20)
        try:
            assert "created" in made.done(Role.PROVISIONER, "topics", "apply")
            yield made
        finally:
            made.stop(*made.processes)
