"""docker-compose.yml has no credentials of its own."""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SECRETS = ("STREAMFLOW_TOKEN", "STREAMFLOW_CALLBACK_KEY")


def test_it_does_not_start_without_a_token_and_a_key() -> None:
    text = COMPOSE.read_text()
    for name in SECRETS:
        found = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert found, name
        assert all(rest.startswith(":?") for rest in found), name  # an empty one is none either


def test_no_value_of_a_secret_is_written_out() -> None:
    services = YAML(typ="safe").load(COMPOSE)["services"]
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if re.search("TOKEN|SECRET|PASSWORD|KEY", name):
                assert str(value).startswith(("env:", "${")), name


def test_nothing_in_the_repository_suggests_a_password() -> None:
    words = re.compile("change-" + "me|changeme", re.I)
    files = [COMPOSE, ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*")]
    assert [file.name for file in files if file.is_file() and words.search(file.read_text())] == []
