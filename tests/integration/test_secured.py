"""Roles on a Kafka with TLS, log-ins and an authorizer: that each can do its work with the rights that are printed, and
what is said when a broker does not let one in.

One broker for all of it; each role is a user of its own, with exactly the rights that `topics plan --acls` prints."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import structlog
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streamflow.errors import OperationError
from streamflow.kafka import oauth
from streamflow.kafka.granted import require_rights
from streamflow.kafka.rights import Role, rights
from streamflow.settings import Settings
from tests.alerts.rules import groups
from tests.conftest import TEST_ALL, eventually, needs_broker
from tests.integration.forked import Child, fork, streamflow
from tests.integration.printed_rights import printed_uses, uses
from tests.integration.secured_world import (
    CATALOG,
    DEFINITION,
    RUNNING,
    USERS_TOPICS,
    WAYS_IN,
    WORKERS,
    World,
    kafka_settings,
    left_out,
    rights_of,
    role_words,
    secured_world,
    with_settings,
    without,
)
from tests.integration.test_docs_commands import PROJECT, install_command, matches, run, steps_of
from tests.servers import kafka_tools
from tests.servers.certificates import Authority
from tests.servers.process import free_port
from tests.servers.prometheus import Prometheus

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(600),
    # A command line runs in the tests' process here. The end of a process would close what a refused log-in leaves.
    pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"),
]

# an idempotent producer asks for this first; to write to any topic is enough (KIP-679)
ASKED_FIRST = ("IDEMPOTENT_WRITE", "Cluster:LITERAL:kafka-cluster")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Each role with what is printed for it."""
    needs_broker()
    with secured_world(tmp_path_factory.mktemp("world")) as made:
        yield made


def test_what_is_printed_suffices_for_every_role(world: World) -> None:
    decisions = world.kafka.decisions()

    prepare(world)
    world.done(Role.PROVISIONER, "topics", "apply")
    for role in RUNNING:
        world.start(role)
    handle_orders(world)
    operate(world)
    use_sidecar(world)
    fall_behind(world)
    world.stop(*RUNNING)

    made = [one for one in decisions.so_far() if one.user.startswith("streamflow-")]
    assert {one.user for one in made} == {f"streamflow-{role.value}" for role in Role}
    denied = {one[:4] for one in made if not one.allowed and (one.operation, one.resource) != ASKED_FIRST}
    assert denied == set()
    # and nothing is printed that is not asked for: the topics were made before. A busy machine does not come to all
    unused = printed_uses(world) - uses(world.kafka.decisions(whole=True).so_far())
    assert not TEST_ALL or unused == set()


def prepare(world: World) -> None:
    """A definition, by who may publish; the topics are made, and have settings that are mended."""
    small = [ConfigEntry("max.message.bytes", "1000", incremental_operation=AlterConfigOpType.SET)]
    own = {acl["name"] for acl in world.acls() if acl["principal"] == f"User:streamflow-{Role.PROVISIONER.value}"}
    made = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=small)
        for name in sorted(own & world.kafka.admin.list_topics(timeout=60).topics.keys())
    ]
    for future in world.kafka.admin.incremental_alter_configs(made).values():
        future.result(20)
    mended = world.done(Role.PROVISIONER, "topics", "apply")
    assert mended.count("max.message.bytes was 1000") == len(made)
    assert "published" in world.done(Role.PUBLISHER, "definitions", "publish", str(world.folder / "order"))


def handle_orders(world: World) -> None:
    """Events through ingress, engine and tasks; some that cannot be read."""
    eventually(lambda: world.says(Role.INGRESS, "sources_assigned"), timeout=240, every=0.5)
    send(world, "order.placed", "A")
    eventually(lambda: world.records("letters") >= 1, timeout=240, every=0.5)
    send(world, "payment.received", "A")
    send(world, "payment.received", "nobody")
    eventually(lambda: world.records("shipments") >= 1, timeout=120, every=0.5)
    eventually(lambda: world.records(f"{world.prefix}runs.avro") >= 1, timeout=120, every=0.5)
    world.append("orders", f"{world.prefix}tasks.default", f"{world.prefix}commands")
    eventually(lambda: len(letters(world)) == 3, timeout=120, every=1)


def send(world: World, event: str, key: str) -> None:
    world.done(Role.OPERATOR, "events", "send", event, "--key", key, "--data", json.dumps({"event": f"{event}/{key}"}))


def letters(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(world.done(Role.OPERATOR, "--json", "dead-letters", "list"))[
        "dead_letters"
    ]
    return found


def operate(world: World) -> None:
    """What an operator does."""
    by_stage = {str(one["stage"]): str(one["letter"]) for one in letters(world)}
    for number in by_stage.values():
        world.done(Role.OPERATOR, "dead-letters", "replay", number, "--why", "again", "--yes")
    world.done(Role.OPERATOR, "dead-letters", "drop", "--reason", "not_json", "--why", "noise", "--yes")
    world.done(Role.OPERATOR, "events", "send", "order.shipped", "--data", "{}")
    eventually(lambda: "nobody" in world.done(Role.OPERATOR, "events", "unclaimed"), timeout=120, every=1)
    assert "claimed" in world.done(Role.OPERATOR, "events", "counts")
    assert "already" in world.done(Role.OPERATOR, "definitions", "publish", str(world.folder / "order"))
    assert "published" in world.done(Role.OPERATOR, "definitions", "publish", str(next_version(world)))
    world.done(Role.OPERATOR, "runs", "erase", "--key", "A", "--why", "request 17", "--yes")
    assert "as wanted" in world.done(Role.PROVISIONER, "topics", "plan")


def next_version(world: World) -> Path:
    """The folder of version 2."""
    folder = world.folder / "order-2"
    folder.mkdir()
    (folder / "definition.yaml").write_text(DEFINITION.replace('version: "1"', 'version: "2"'))
    (folder / "catalog.yaml").write_text(CATALOG)
    return folder


def use_sidecar(world: World) -> None:
    """What people do on the pages."""
    eventually(lambda: world.says(Role.SIDECAR, "sidecar"), timeout=120, every=0.5)
    world.http("/events", {"event": "order.placed", "key": "B", "data": {"event": "B"}})
    world.http("/events", {"event": "order.shipped", "key": "B", "data": {}})
    world.http("/events", {"event": "payment.received", "key": "stranger", "data": {"event": "C"}})
    world.http("/conversations", {"title": "a draft"})
    started = world.http("/runs", {"definition": "order", "key": "S", "id": "one", "input": {"id": "S", "event": "S"}})
    world.http(f"/runs/{started['run']}/why?step=paid")
    world.append("orders", f"{world.prefix}tasks.default")
    eventually(lambda: len(letters(world)) >= 2, timeout=60, every=1)
    for letter in letters(world):
        world.http(f"/dead-letters/{letter['letter']}/replay", {"reason": "again"})
    eventually(lambda: world.says(Role.HISTORY, "history"), timeout=60, every=0.5)
    world.http("/jobs", {"action": "retry", "filter": {}, "reason": "none is parked"})
    assert world.http("/audit")["rows"]
    text = DEFINITION.replace('version: "1"', 'version: "3"')
    world.http("/definitions/publish", {"definition": text, "catalog": CATALOG})


def password_file(world: World) -> list[str]:
    """The option that names a user's password."""
    file = world.folder / "user-password"
    file.write_text("correct horse battery")
    return ["--password-file", str(file)]


def fall_behind(world: World) -> None:
    """Records that nobody works on are looked at by those who measure lag."""
    world.stop(*WORKERS)
    own = ("commands", "tasks.default", "runs", "unclaimed", "dead-letters", "logs")
    behind = {"orders", "payments", *(world.prefix + name for name in own)}
    world.append(*sorted(behind))
    eventually(lambda: {row["topic"] for row in world.http("/lag")["rows"] if row["records"]} >= behind, 60, 1)
    # the first user is the last thing: from then on it asks everybody who they are
    world.http("/users", {"name": "alice", "password": "correct horse battery", "role": "admin"})
    world.done(Role.OPERATOR, "access", "users", "add", "oscar", "--role", "operator", *password_file(world))
    world.done(Role.OPERATOR, "audit", "list")
    eventually(lambda: "orders" in world.done(Role.OPERATOR, "--json", "lag"), timeout=30, every=1)


@pytest.mark.parametrize("way", WAYS_IN)
def test_both_clients_get_in_by_each_way(world: World, way: str) -> None:
    """Lag is measured by librdkafka and by aiokafka, for the command line as for the exporter."""
    environment = with_settings(world, kafka_settings(world, way, "operator"), "operator")
    code, text = world.run(environment, "--json", "lag")

    assert code == 0, text


@pytest.mark.skipif(not TEST_ALL, reason="needs Prometheus: in make test-full")
def test_a_certificate_that_expires_soon_is_told(world: World, tmp_path: Path) -> None:
    """By the shipped rule, on a live Prometheus and with a shorter wait: the certificates here are good for five
    days."""
    page, log = f"127.0.0.1:{free_port()}", tmp_path / "exporter.log"
    own = with_settings(world, kafka_settings(world, "mtls", "exporter"), "exporter")
    log.touch()
    exporter = fork(streamflow, dict(os.environ) | own, log, ["exporter", "--listen", page])
    fired = 'ALERTS{alertname="StreamflowCertificateExpires",alertstate="firing"}'
    try:
        with Prometheus(tmp_path / "prometheus", groups(3600), {"exporter": page}, 1.0) as prometheus:
            (alert,) = eventually(lambda: prometheus.query(fired), timeout=90, every=0.5)
    finally:
        exporter.terminate()
        exporter.wait(30)
    assert (alert.labels["instance"], alert.labels["certificate"]) == (page, "kafka.ssl_certificate")


MISTAKES = {
    "a wrong password": ("scram", {"sasl_password": "file:WRONG"}, "sasl_refused"),
    "another mechanism": ("scram", {"sasl_mechanism": "SCRAM-SHA-256"}, "sasl_mechanism_refused"),
    "no log-in": ("tls-to-scram", {}, "sasl_expected"),
    "an expired certificate of the broker": ("expired", {}, "tls_certificate_expired"),
    "an unknown authority": ("stranger", {}, "tls_authority_unknown"),
    "another host": ("elsewhere", {}, "tls_host_differs"),
    "no certificate": ("tls-to-mtls", {}, "tls_certificate_refused"),
    "an expired certificate of the client": (
        "mtls",
        {"ssl_certificate": "OLD", "ssl_key": "OLD"},
        "tls_certificate_expired",
    ),
    "a certificate of another authority": (
        "mtls",
        {"ssl_certificate": "ALIEN", "ssl_key": "ALIEN"},
        "tls_certificate_refused",
    ),
    "a wrong secret of the token server": ("oauth", {"oauth_client_secret": "file:WRONG"}, "oauth_refused"),
    "a token for somebody else": ("oauth", {"oauth_token": "FOREIGN"}, "sasl_refused"),
    "a host that does not exist": ("scram", {"bootstrap_servers": "kafka.invalid:9093"}, "broker_host_unknown"),
    "TLS to a listener without": ("tls-to-open", {}, "tls_not_spoken"),
    "no TLS to a listener with": ("plain-to-scram", {}, "tls_expected"),
}
SOON_S = 60.0  # one to two seconds on a machine without other work


def mistaken(world: World, mistake: str, role: str) -> dict[str, str]:
    """The settings of a role with a mistake."""
    way, changes, _ = MISTAKES[mistake]
    kafka, folder = world.kafka, world.kafka.authority.folder
    tls = {"security_protocol": "SSL", "ssl_ca": str(kafka.authority.certificate)}
    if way == "plain-to-scram":
        made = {"bootstrap_servers": kafka.address("scram")}
    elif way == "tls-to-open":
        made = tls | {"bootstrap_servers": kafka.open}
    elif way.startswith("tls-to-"):
        made = tls | {"bootstrap_servers": kafka.address(way.removeprefix("tls-to-"))}
    elif way in WAYS_IN:
        made = kafka_settings(world, way, role)
    else:
        made = tls | {"bootstrap_servers": kafka.address(way)}
    (world.folder / "wrong").write_text("swordfish")
    if "OLD" in changes.values() and not (folder / "old.crt").exists():
        kafka.authority.issue("old", hosts=("client",), life=timedelta(seconds=-5))
    if "ALIEN" in changes.values() and not (folder / "alien").exists():
        Authority(folder / "alien").issue("alien")
    if "FOREIGN" in changes.values():
        for name in ("oauth_token_url", "oauth_client_id", "oauth_client_secret"):
            del made[name]
        (world.folder / "token").write_text(kafka.token_server.token(f"streamflow-{role}", audience="somebody"))
    files = {
        "OLD": folder / "old",
        "ALIEN": folder / "alien" / "alien",
        "file:WRONG": world.folder / "wrong",
        "FOREIGN": world.folder / "token",
    }
    for name, value in changes.items():
        file = files.get(value)
        suffix = {"ssl_certificate": ".crt", "ssl_key": ".key"}.get(name, "")
        reference = "" if name == "ssl_certificate" else "file:"
        made[name] = value if file is None else f"{reference}{file}{suffix}"
    return with_settings(world, made, role)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_within_seconds_with_a_code_and_what_to_do(world: World, mistake: str) -> None:
    """By the command line and one kind of process; by every role, one mistake of each kind is in the test below."""
    for role in (Role.OPERATOR, Role.ENGINE) if mistake != "no TLS to a listener with" else (Role.ENGINE,):
        refused_soon(world, mistake, role)


EACH_KIND = (
    "a wrong password",
    "an expired certificate of the broker",
    "an unknown authority",
    "another host",
)


@pytest.mark.parametrize("role", [*RUNNING, Role.OPERATOR, Role.PROVISIONER])
def test_every_role_says_what_is_wrong(world: World, role: Role) -> None:
    for mistake in EACH_KIND if TEST_ALL else EACH_KIND[:2]:
        refused_soon(world, mistake, role)


def refused_soon(world: World, mistake: str, role: Role) -> None:
    oauth.token_source.cache_clear()
    code, expected = None, MISTAKES[mistake][2]
    began = time.monotonic()
    code, text = world.run(mistaken(world, mistake, role.value), *role_words(role))

    assert time.monotonic() - began < SOON_S
    assert code == 4, text
    last = text.strip().splitlines()[-1]
    assert last.startswith(f"{expected}: "), text
    assert last.count(". ") >= 1, last
    assert "swordfish" not in text


def startable(world: World, role: Role) -> list[tuple[str, str, str]]:
    """Each right that a process is asked for at its start: kind, name, operation."""
    return [
        (acl["resource"], acl["name"], operation)
        for acl in world.acls()
        if acl["principal"] == f"User:streamflow-{role.value}" and acl["resource"] != "transactional-id"
        for operation in acl["operations"]
        if acl["name"].startswith(world.prefix)
    ]


@pytest.mark.parametrize("role", RUNNING)
def test_a_right_that_is_missing_at_the_start_is_named_with_its_resource(world: World, role: Role) -> None:
    """Each one alone in `make test-full`; a topic's and a group's here."""
    each = startable(world, role)
    chosen = each if TEST_ALL else [each[0], each[-1]]
    for kind, name, operation in chosen:
        acl = next(one for one in rights_of(world, role) if (one["resource"], one["name"]) == (kind, name))
        with left_out(world, acl, operation):
            eventually(lambda: lacking(world, role), timeout=20, every=0.3)  # until the broker has heard of it
            code, text = world.run(world.environment(role.value), *role_words(role))
            assert code == 4, text
            assert "right_missing: " in text, text
            assert f"{operation} on {kind} {name}" in text, text
            assert f"topics plan --acls --role {role.value}" in text


def lacking(world: World, role: Role) -> bool:
    """Whether the broker denies something to the role by now."""
    with mock.patch.dict(os.environ, world.environment(role.value)):
        settings = Settings()
        try:
            require_rights(settings, rights(settings, role))
        except OperationError as error:
            return error.code == "right_missing"
    return False


def test_a_transactional_id_that_is_denied_is_named(world: World) -> None:
    world.done(Role.PROVISIONER, "topics", "apply")
    words = ["definitions", "publish", str(world.folder / "order")]
    with without(world, Role.PUBLISHER, f"{world.prefix}publisher", "WRITE"):
        eventually(lambda: world.run(world.environment("publisher"), *words)[0], timeout=60)
        code, text = world.run(world.environment("publisher"), *words)

    assert code == 4, text
    assert f"right_missing: The broker denies this user WRITE on transactional id {world.prefix}publisher. " in text


@pytest.mark.skipif(not TEST_ALL, reason="in make test-full")
@pytest.mark.parametrize("way", ["mtls", "oauth"])
def test_every_kind_of_worker_runs_by_each_way(world: World, way: str) -> None:
    """Faust's consumer, aiokafka's and librdkafka's clients; SCRAM is in the test of what suffices."""
    world.done(Role.PROVISIONER, "topics", "apply")
    signs = {
        Role.ENGINE: "partition_open",
        Role.INGRESS: "versions_taken",
        Role.TASKS: "lane_assigned",
        Role.HISTORY: "history_",
        Role.MIRROR: "mirror_started",
    }
    for role in WORKERS:
        world.log(role).unlink(missing_ok=True)
        environment = with_settings(world, kafka_settings(world, way, role.value), role.value)
        world.processes[role] = fork(
            streamflow, dict(os.environ) | environment, world.log(role), ["worker", role.value]
        )
    try:
        for role, sign in signs.items():
            eventually(partial(world.says, role, sign), timeout=180, every=0.5)
    finally:
        world.stop(*WORKERS)


@pytest.mark.skipif(not TEST_ALL, reason="in make test-full")
def test_a_worker_that_loses_a_right_says_so_with_its_code_and_goes_on_when_it_has_it_again(world: World) -> None:
    world.done(Role.PROVISIONER, "topics", "apply")
    world.log(Role.TASKS).unlink(missing_ok=True)
    world.start(Role.TASKS)
    try:
        eventually(lambda: world.says(Role.TASKS, "lane_assigned"), timeout=180, every=0.5)
        with without(world, Role.TASKS, f"{world.prefix}tasks.default", "READ"):
            world.append(f"{world.prefix}tasks.default")
            eventually(lambda: world.says(Role.TASKS, '"code": "right_missing"'), timeout=60, every=0.5)
        before = world.log(Role.TASKS).read_text().count("lane_assigned")
        eventually(lambda: world.log(Role.TASKS).read_text().count("lane_assigned") > before, timeout=60, every=0.5)
    finally:
        world.stop(Role.TASKS)


def test_the_page_says_what_its_commands_do(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing to a running order, on this Kafka and with a user of its own."""
    kafka, etc, tools = world.kafka, tmp_path / "etc", tmp_path / "bin"
    etc.mkdir()
    install_command(tools)
    shutil.copy(kafka.authority.certificate, etc / "ca.crt")
    shutil.copytree(PROJECT / "definitions", tmp_path / "definitions")
    kafka_tools.install(tools)
    for name in [name for name in os.environ if name.startswith("STREAMFLOW_") and name != "STREAMFLOW_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "300")
    here = {
        "/etc/streamflow": str(etc),
        "kafka-1.example.org:9093": kafka.address("scram"),
        "partitions: 12": "partitions: 1",
        "replication_factor: 3": "replication_factor: 1",
        "min_insync_replicas: 2": "min_insync_replicas: 1",
    }
    log = tmp_path / "dev.log"
    dev: Child | None = None
    for future in kafka.admin.delete_topics([*USERS_TOPICS]).values():  # the page creates its own
        future.result(20)
    eventually(lambda: not {*USERS_TOPICS} & kafka.admin.list_topics(timeout=60).topics.keys(), timeout=60)
    try:
        for step in steps_of(PROJECT / "docs" / "secured-cluster.md"):
            command, expected = (_replaced(text, here) for text in (step.command, step.expected))
            if command.endswith(" dev"):
                place = dict(os.environ) | {"STREAMFLOW_SIDECAR__PORT": "0"}
                dev = fork(_in_folder, place, log, str(tmp_path), command.split()[1:])
                eventually(lambda: log.exists() and is_at_work(log.read_text()), timeout=300, every=0.5)
                continue
            actual = _shown(command, expected, tmp_path)
            assert kafka_tools.perform(tools, kafka.admin) or not command.startswith(("kafka-", "sh ", "for "))
            assert matches(expected, actual), f"{step.line}\n$ {command}\n--- expected\n{expected}--- actual\n{actual}"
    finally:
        if dev is not None:
            dev.send_signal(signal.SIGINT)
            dev.wait(90)


def _replaced(text: str, here: Mapping[str, str]) -> str:
    for before, after in here.items():
        text = text.replace(before, after)
    return text


def _shown(command: str, expected: str, folder: Path) -> str:
    """What the command wrote; what only looks is asked again until it shows what is expected."""
    written: list[str] = []

    def shown() -> bool:
        written.append(run(command, folder))
        structlog.reset_defaults()
        return matches(expected, written[-1]) or " runs list" not in command

    eventually(shown, timeout=90, every=0.5)
    return written[-1]


def _in_folder(folder: str, words: list[str]) -> int | None:
    os.chdir(folder)
    return streamflow(words)


def is_at_work(log: str) -> bool:
    """Whether the workers of a `streamflow dev` with one partition have everything open."""
    return "partition_open" in log and "versions_taken" in log
