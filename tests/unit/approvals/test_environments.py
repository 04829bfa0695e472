"""The settings of the environments that versions are promoted to come from what the settings name for each, and from
nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamflow.approvals.trust import Trust
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import OperationError
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import Published
from streamflow.ops import promotion
from streamflow.ops.promotion import settings_of
from streamflow.settings import Approvals, Environment, Kafka, Settings
from tests.approvals import a_key, an_approval, pem, public


def here(file: Path) -> Settings:
    return Settings.model_validate(
        {"kafka": {"bootstrap_servers": "here:9092"}, "approvals": {"environments": {"prod": file}}}
    )


def test_a_file_is_read_and_the_variables_of_this_process_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_TOPICS__PREFIX", "here.")
    file = tmp_path / "prod.yaml"
    file.write_text("environment: prod\ntopics: {partitions: 3}\n")
    found = settings_of(here(file), "prod")

    assert (found.environment, found.topics.prefix, found.topics.partitions) == ("prod", "streamflow.", 3)
    assert found.kafka.bootstrap_servers == "here:9092"  # the same Kafka, since it names none

    file.write_text("environment: prod\nkafka: {bootstrap_servers: 'there:9092'}\n")
    assert settings_of(here(file), "prod").kafka.bootstrap_servers == "there:9092"


@pytest.mark.parametrize(
    "text", [None, "environment: test\n", "environment: [\n", "environment: PROD\n", "prefix: x\n", ""]
)
def test_a_file_that_cannot_be_used_is_told(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "prod.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(OperationError) as caught:
        settings_of(here(file), "prod")

    assert caught.value.code == "environment_unusable"
    assert str(file) in caught.value.message


THERE = {
    "bootstrap_servers": "there:9092",
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "promoter",
    "sasl_password": "env:PROMOTER_PASSWORD",
}


def test_the_kafka_that_is_named_beside_the_file_comes_before_the_one_in_it(tmp_path: Path) -> None:
    """Whoever promotes connects as a user of their own; the secret stays a reference until a client is made."""
    file = tmp_path / "prod.yaml"
    file.write_text("environment: prod\nkafka: {bootstrap_servers: 'inside:9092'}\n")
    config = tmp_path / "streamflow.yaml"
    config.write_text(
        "kafka: {bootstrap_servers: 'here:9092'}\napprovals:\n  environments:\n    prod:\n"
        f"      settings: {file}\n      kafka: {THERE}\n"
    )
    found = settings_of(promotion._from(config), "prod")

    assert found.kafka == Kafka(**THERE)  # type: ignore[arg-type]
    assert found.kafka.sasl_password == "env:PROMOTER_PASSWORD"
    assert (found.environment, found.topics.prefix) == ("prod", "streamflow.")  # the same prefix, on another cluster


def test_a_path_alone_stands_for_the_settings_file() -> None:
    approvals = Approvals.model_validate({"environments": {"prod": "prod.yaml"}})

    assert approvals.environments == {"prod": Environment(settings=Path("prod.yaml"))}


@pytest.mark.parametrize(
    ("kafka", "text"),
    [
        (None, "environment: prod\n"),  # on this Kafka, and under this prefix
        ({"bootstrap_servers": "HERE:9092"}, "environment: prod\nkafka: {bootstrap_servers: 'there:9092'}\n"),
        ({"security_protocol": "PLAINTEXT"}, "environment: prod\nkafka: {bootstrap_servers: 'there:9092'}\n"),
    ],
)
def test_a_place_that_is_this_one_or_none_is_refused(kafka: dict[str, str] | None, text: str, tmp_path: Path) -> None:
    file = tmp_path / "prod.yaml"
    file.write_text(text)
    environment = Environment(settings=file, kafka=Kafka(**kafka) if kafka else None)  # type: ignore[arg-type]
    settings = Settings(
        kafka=Kafka(bootstrap_servers="here:9092"), approvals=Approvals(environments={"prod": environment})
    )
    with pytest.raises(OperationError) as caught:
        settings_of(settings, "prod")

    assert caught.value.code == "environment_unusable"
    assert str(file) in caught.value.message


def test_what_does_not_belong_together_is_refused_with_the_settings() -> None:
    with pytest.raises(ValueError, match="needs sasl_mechanism"):
        Approvals.model_validate(
            {"environments": {"prod": {"settings": "prod.yaml", "kafka": {"security_protocol": "SASL_SSL"}}}}
        )


CONTENT = canonical(
    parse_definition(
        "{name: loan, version: '1', on: [{id: asked, event: loan.asked}], steps: [{id: log, print: {text: \"'x'\"}}]}"
    ),
    parse_catalog("events: [{name: loan.asked, topics: [loans], schema: {type: object}}]"),
)
SHA = sha256_of(CONTENT)


class Clusters:
    """Two clusters, each with its log of definitions: what is written where."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *, there: str) -> None:
        monkeypatch.setenv("PROD_KEY", pem(a_key(2)))
        trusted = {"main": a_key(1), "prod": a_key(2)}
        approvals = {
            name: Approvals(required=True, trusted_keys=[public(key)], signing_key="env:PROD_KEY")
            for name, key in trusted.items()
        }
        self.here = Settings(kafka=Kafka(bootstrap_servers="here:9092"), approvals=approvals["main"])
        self.there = Settings(
            kafka=Kafka(bootstrap_servers="there:9092"), environment="prod", approvals=approvals["prod"]
        )
        self.logs = {"here:9092": Snapshot(), "there:9092": Snapshot()}
        self.logs["there:9092"].engine["environment"] = {"environment": there}
        version = {"sha": SHA, "published_ms": 1, "retired": False, "approval": an_approval(sha256=SHA)}
        records = {
            f"definition/{SHA}": CONTENT,
            "version/loan@1": msgspec.json.encode(version),
            "binding/loan.asked": b'{"topics": ["loans"], "start": "now"}',
        }
        for offset, (key, value) in enumerate(records.items()):
            self.logs["here:9092"].read(key.encode(), value, offset)
        self.written: list[tuple[Settings, dict[str, Any]]] = []
        self.greeted: list[Settings] = []
        monkeypatch.setattr(promotion, "require_welcome", self.greeted.append)
        monkeypatch.setattr(promotion, "read_log", lambda settings: self.logs[settings.kafka.bootstrap_servers])
        monkeypatch.setattr(promotion, "publish", self.publish)

    def publish(self, settings: Settings, **what: Any) -> Any:
        self.written.append((settings, what))
        sha = sha256_of(what["content"])
        return Published(name=what["name"], version=what["version"], sha=sha, offset=0, acknowledged=0, already=False)


def test_exactly_the_approved_content_goes_to_the_other_cluster_with_a_signature_that_holds_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clusters = Clusters(monkeypatch, tmp_path, there="prod")
    accounted: list[Settings] = []

    done = promotion.promote(
        clusters.here, clusters.there, "loan@1", by="ann", account=lambda settings, told: accounted.append(settings)
    )

    ((settings, what),) = clusters.written
    assert settings is clusters.there
    assert accounted == clusters.greeted == [clusters.there]
    assert (what["content"], done["sha"]) == (CONTENT, SHA)
    named = {"name": "loan", "version": "1", "sha256": SHA}
    assert Trust("prod", [public(a_key(2))]).refusal(what["approval"], **named) is None
    assert Trust("main", [public(a_key(2))]).refusal(what["approval"], **named) == "approval_mismatch"
    assert Trust("prod", [public(a_key(1))]).refusal(what["approval"], **named) == "approval_invalid"
    assert what["approval"].promoted.environment == "main"


def test_nothing_is_written_to_a_cluster_of_another_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The address may be that of a third cluster: what was fixed with its topics is believed."""
    clusters = Clusters(monkeypatch, tmp_path, there="staging")
    with pytest.raises(OperationError) as caught:
        promotion.promote(clusters.here, clusters.there, "loan@1", by="ann")

    assert caught.value.code == "environment_differs"
    assert clusters.written == []
