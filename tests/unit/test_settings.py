"""The tree of settings: closed, frozen, from the environment and a file, and documented from itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from streamflow.cli.settings_docs import entries, markdown
from streamflow.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_reference_is_what_the_tree_says() -> None:
    assert (ROOT / "docs/settings.md").read_text() == markdown(), (
        "do run: .venv/bin/streamflow settings docs > docs/settings.md"
    )


def test_every_setting_says_what_it_is() -> None:
    assert [entry.variable for entry in entries() if not entry.what] == []


DOCUMENTED = re.findall(r"^\| `(STREAMFLOW_[^`]+)` \| (.*?) \|", markdown(), re.MULTILINE)


@pytest.mark.parametrize(("variable", "default"), DOCUMENTED, ids=[variable for variable, _ in DOCUMENTED])
def test_every_documented_variable_is_accepted(monkeypatch: pytest.MonkeyPatch, variable: str, default: str) -> None:
    variable = variable.replace("<NAME>", "ONE")
    value = default.strip("`") if default.startswith("`") else "null"
    monkeypatch.setenv(variable, value)

    read: Any = EnvSettingsSource(Settings)()
    for name in variable.removeprefix("STREAMFLOW_").lower().split("__"):
        assert name in read, f"{variable} is not read"
        read = read[name]
    try:
        Settings()
    except ValidationError as error:
        refused = [one for one in error.errors() if one["type"] == "extra_forbidden"]
        assert refused == []


def test_the_environment_comes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("topics: {prefix: from-file., partitions: 3}\n")
    monkeypatch.setenv("STREAMFLOW_CONFIG", str(file))
    monkeypatch.setenv("STREAMFLOW_TOPICS__PREFIX", "from-environment.")
    settings = Settings()

    assert (settings.topics.prefix, settings.topics.partitions) == ("from-environment.", 3)


def test_unknown_names_in_the_file_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("topics: {partition: 3}\n")
    monkeypatch.setenv("STREAMFLOW_CONFIG", str(file))
    with pytest.raises(ValidationError) as caught:
        Settings()

    assert "partition" in str(caught.value)


def test_nothing_changes_after_the_start() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.topics.prefix = "other."


@pytest.mark.parametrize("reference", ["swordfish", "env:", "file:", "env:with space"])
def test_a_secret_is_never_a_value(reference: str) -> None:
    with pytest.raises(ValidationError, match="String should match pattern"):
        Settings.model_validate({"kafka": {"sasl_password": reference}})
