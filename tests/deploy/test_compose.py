"""deploy/docker-compose.yml: it has no credentials of its own, its containers are confined, and it has every role."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from streamflow.settings import Settings
from tests.conftest import TEST_ALL, start_server
from tests.deploy import tools
from tests.servers import prometheus
from tests.servers.process import ServerMissing

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/docker-compose.yml"
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = {name: one for name, one in SERVICES.items() if "STREAMFLOW" in str(one["image"])}
ROLES = {"topics", "engine", "ingress", "tasks", "history", "mirror", "sidecar", "exporter"}
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


def test_it_has_every_role() -> None:
    assert set(OURS) == ROLES
    assert {"prometheus", "alertmanager", "grafana", "registry", "kafka", "kafka-2", "kafka-3"} <= set(SERVICES)


def test_one_broker_starts_without_a_profile_and_three_with_one() -> None:
    profiles = {name: one["profiles"] for name, one in SERVICES.items() if one.get("profiles")}
    three = {"kafka-2": ["three"], "kafka-3": ["three"]}
    assert profiles == three | {"registry": ["registry"], "mirror": ["registry"]}
    named = _named("three-brokers.env")
    assert named["QUORUM_VOTERS"].count("@") == named["BOOTSTRAP_SERVERS"].count(":") == 3
    text = COMPOSE.read_text()
    for name in named:
        assert f"${{{name}:-" in text, name


def test_all_processes_use_the_registry_and_the_mirror_has_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    named = _named("registry.env")
    given = {name for service in OURS.values() for name, value in service["environment"].items() if value is None}
    assert given == set(named)  # compose takes those without a value from its own environment
    for variable, value in named.items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    assert settings.registry.url is not None
    assert settings.registry.url.startswith("http://registry:8080/")
    assert settings.mirror.topics


def _named(file: str) -> dict[str, str]:
    """The variables of a file for `--env-file`."""
    lines = (ROOT / "deploy" / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


# -- secrets


def test_secrets_are_files_that_are_not_committed() -> None:
    for name, secret in DOCUMENT["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text()
    assert "deploy/secrets" in (ROOT / ".dockerignore").read_text()
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(DOCUMENT["secrets"])


def test_no_value_of_a_secret_is_written_out() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("TOKEN|SECRET|PASSWORD|_KEY", name):
                assert str(value).removeprefix("file:").startswith("/run/secrets/"), name


def test_nothing_in_the_repository_suggests_a_password() -> None:
    words = re.compile("change-" + "me|changeme", re.I)
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*")]
    assert [file.name for file in files if file.is_file() and words.search(file.read_text())] == []


# -- containers


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service.get("read_only") or name.startswith("kafka")  # a broker writes its configuration beside its programs
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_version(name: str) -> None:
    image = DEFAULT.sub(r"\1", SERVICES[name]["image"])
    assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+", image), image


@pytest.mark.parametrize("name", sorted(ROLES))
def test_processes_read_its_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [one for one in os.environ if one.startswith("STREAMFLOW_")]:
        monkeypatch.delenv(variable)
    for variable, value in OURS[name]["environment"].items():
        if value is not None:
            monkeypatch.setenv(variable, DEFAULT.sub(r"\1", str(value)))
    settings = Settings()
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.metrics.listen == "0.0.0.0:9464"


def test_who_reads_the_history_has_its_disk() -> None:
    assert "history:/var/lib/streamflow" in OURS["history"]["volumes"]
    assert "history:/var/lib/streamflow" in OURS["sidecar"]["volumes"]


# -- health


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_checked_often_while_it_starts_and_seldom_later(name: str) -> None:
    """Each check starts a program, for Kafka a JVM."""
    check = SERVICES[name]["healthcheck"]
    if name == "topics":
        assert check == {"disable": True}  # it ends
        return
    assert check["test"][0] == "CMD"
    assert (check["interval"], check["start_period"], check["start_interval"]) == ("30s", "60s", "3s")


def test_the_mirror_waits_for_the_registry() -> None:
    wanted = OURS["engine"]["depends_on"] | {"registry": {"condition": "service_healthy", "required": False}}
    assert OURS["mirror"]["depends_on"] == wanted


# -- what it mounts


def test_what_it_mounts_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (COMPOSE.parent / source).exists(), source
            elif ":" in volume:
                assert source in DOCUMENT["volumes"], source


def test_prometheus_asks_every_process() -> None:
    scrape = YAML(typ="safe").load(ROOT / "deploy/compose/prometheus.yml")["scrape_configs"][0]
    assert set(scrape["dns_sd_configs"][0]["names"]) == ROLES - {"topics"}


@pytest.fixture
def promtool() -> Iterator[str]:
    """The path of promtool."""
    yield from start_server(prometheus.promtool())


def test_prometheus_reads_its_configuration(promtool: str) -> None:
    command = [promtool, "check", "config", "--syntax-only", str(ROOT / "deploy/compose/prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profiles", [(), ("three", "registry")], ids=["one broker", "all"])
def test_compose_reads_it(profiles: tuple[str, ...], tmp_path: Path) -> None:
    """By the library of docker compose, with the schema of its files."""
    try:
        checker = str(tools.check(build=TEST_ALL))
    except ServerMissing as missing:
        if TEST_ALL:
            raise
        pytest.skip(str(missing))
    done = tools.run(checker, "compose", str(COMPOSE), *profiles)
    assert done.returncode == 0, done.stderr
    hidden = 0 if profiles else 4
    assert f"{len(SERVICES) - hidden} services" in done.stdout
    planted = tmp_path / "docker-compose.yml"
    planted.write_text(COMPOSE.read_text().replace("read_only: true", "readonly: true"))
    done = tools.run(checker, "compose", str(planted), *profiles)
    assert done.returncode == 1
    assert "readonly" in done.stderr
