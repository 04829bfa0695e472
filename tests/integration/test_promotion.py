"""Promotion to an environment with a cluster of its own: another Kafka, with TLS and log-ins, and the same prefix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from streamflow.approvals.trust import Trust
from streamflow.cli.main import main
from streamflow.cli.session import EXIT_OUTSIDE
from streamflow.errors import OperationError
from streamflow.kafka import admin
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.publication import publish, read_log
from streamflow.settings import Settings
from tests.approvals import a_key, pem, public
from tests.conftest import eventually, make_settings, needs_broker
from tests.integration.secured_world import grant
from tests.integration.test_approvals import approved, content_of
from tests.servers.secured_kafka import SecuredKafka

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

PASSWORD = "promoter's"


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """The other cluster. One user may write there, and everything that is Streamflow's."""
    needs_broker()
    with SecuredKafka(tmp_path_factory.mktemp("prod")).running() as running:
        running.add_user("promoter", PASSWORD)
        kinds = [
            *((kind, "t", ResourcePatternType.PREFIXED) for kind in _PREFIXED),
            (ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL),
        ]
        grant(
            running,
            [
                AclBinding(kind, name, pattern, "User:promoter", "*", AclOperation.ALL, AclPermissionType.ALLOW)
                for kind, name, pattern in kinds
            ],
        )
        yield running


_PREFIXED = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)


@pytest.fixture
def world(
    broker: EmbeddedBroker, prod: SecuredKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Settings, Settings]:
    """The settings file of main, its settings, and those of prod: each has a key of its own, and prod's file names the
    address that its workers use, which is not that of whoever promotes."""
    monkeypatch.setenv("PROD_KEY", pem(a_key(2)))
    (tmp_path / "password").write_text(PASSWORD)
    kafka = {
        "bootstrap_servers": prod.address("scram"),
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "promoter",
        "sasl_password": f"file:{tmp_path / 'password'}",
        "ssl_ca": str(prod.authority.certificate),
    }
    there = make_settings("127.0.0.1:1", tmp_path)
    topics = there.topics.model_dump()
    prod_file = tmp_path / "prod.yaml"
    prod_file.write_text(
        json.dumps(
            {
                "environment": "prod",
                "kafka": {"bootstrap_servers": "127.0.0.1:1"},
                "topics": topics,
                "approvals": {"required": True, "trusted_keys": [public(a_key(2))], "signing_key": "env:PROD_KEY"},
            }
        )
    )
    main_file = tmp_path / "main.yaml"
    written: dict[str, Any] = {
        "kafka": {"bootstrap_servers": broker.bootstrap_servers},
        "topics": topics,
        "approvals": {
            "required": True,
            "trusted_keys": [public(a_key())],
            "environments": {"prod": {"settings": str(prod_file), "kafka": kafka}},
        },
    }
    main_file.write_text(json.dumps(written))
    here = Settings.model_validate(written)
    prod_settings = Settings.model_validate(json.loads(prod_file.read_text()) | {"kafka": kafka})
    for settings in (here, prod_settings):
        eventually(partial(applied, settings), timeout=120, every=1)
    approved(here, "honest")
    return main_file, here, prod_settings


def applied(settings: Settings) -> bool:
    """Whether the topics are there; a broker that has just started on a busy machine may not answer yet."""
    try:
        admin.apply(settings)
    except OperationError as error:
        if error.code != "broker_unreachable":
            raise
        return False
    return True


def promoted(file: Path, capsys: pytest.CaptureFixture[str], *, exit_code: int = 0) -> Any:
    capsys.readouterr()
    words = ["definitions", "promote", "honest", "1", "--to", "prod", "--by", "ann", "--config", str(file), "--json"]
    assert main(words) == exit_code, capsys.readouterr()
    written = capsys.readouterr()
    return json.loads(written.err.splitlines()[-1] if exit_code else written.out)


def test_exactly_the_approved_content_is_published_on_the_other_cluster(
    world: tuple[Path, Settings, Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    file, here, there = world

    done = promoted(file, capsys)

    ours, theirs = read_log(here), read_log(there)
    record = theirs.versions["honest", "1"]
    assert done["sha"] == record.sha == ours.versions["honest", "1"].sha
    assert theirs.contents[record.sha][0] == ours.contents[record.sha][0]
    assert theirs.refusal("honest", "1") is None
    assert record.approval is not None
    named = {"name": "honest", "version": "1", "sha256": record.sha}
    assert Trust("prod", [public(a_key(2))]).refusal(record.approval, **named) is None
    assert Trust("main", [public(a_key())]).refusal(record.approval, **named) == "approval_mismatch"
    assert ours.versions["honest", "1"].approval != record.approval
    assert promoted(file, capsys)["already"]


def test_an_approval_of_the_first_cluster_holds_for_nothing_on_the_other(
    world: tuple[Path, Settings, Settings], prod: SecuredKafka
) -> None:
    """Whoever may write there copies the records of main as they are."""
    _file, here, there = world
    ours = read_log(here)
    record = ours.versions["honest", "1"]
    producer = Producer({"bootstrap.servers": prod.open})
    topic = f"{there.topics.prefix}definitions"
    for key, value in (
        (f"definition/{record.sha}", ours.contents[record.sha][0]),
        ("version/honest@1", msgspec.json.encode(record)),
    ):
        producer.produce(topic, value, key)
    assert producer.flush(30) == 0

    assert read_log(there).refusal("honest", "1") == "approval_mismatch"


def test_a_log_in_that_is_refused_publishes_nothing(
    world: tuple[Path, Settings, Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    file, _here, there = world
    password = file.parent / "password"
    password.write_text("another")
    try:
        error = promoted(file, capsys, exit_code=EXIT_OUTSIDE)["error"]
    finally:
        password.write_text(PASSWORD)

    assert error["code"] == "sasl_refused"
    assert ("honest", "1") not in read_log(there).versions


def test_content_that_nobody_approved_is_not_promoted(
    world: tuple[Path, Settings, Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    file, here, there = world
    open_ = here.model_copy(update={"approvals": here.approvals.model_copy(update={"required": False})})
    content = content_of("honest", "2")
    publish(open_, name="honest", version="2", content=content, events={}, by="eve")
    capsys.readouterr()

    words = ["definitions", "promote", "honest", "2", "--to", "prod", "--by", "ann", "--config", str(file), "--json"]
    assert main(words) != 0
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"] == "approval_missing"
    assert ("honest", "2") not in read_log(there).versions
