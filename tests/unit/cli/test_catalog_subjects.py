"""`streamflow catalog subjects`: what a registry has, and a catalog drafted from it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.cli.definition_files import read_catalog
from streamflow.cli.main import main
from tests.integration.test_docs_commands import PROJECT, matches, steps_of
from tests.servers.memory_registry import MemoryRegistry, memory_registry
from tests.unit.registry.test_avro import ORDER


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    with memory_registry() as running:
        monkeypatch.setenv("STREAMFLOW_REGISTRY__URL", running.url)
        running.register("orders-value", json.dumps(ORDER))
        running.register("orders-key", '"string"')
        running.register("strange-value", "<xml/>", type="XML")
        yield running


def test_subjects_are_listed(registry: MemoryRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "subjects", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["subjects"] == [
        {"subject": "orders-key", "type": "AVRO", "version": 1, "id": 2},
        {"subject": "orders-value", "type": "AVRO", "version": 1, "id": 1},
    ]
    assert [one["subject"] for one in found["unusable"]] == ["strange-value"]
    assert main(["catalog", "subjects", "orders-v*"]) == 0
    shown = capsys.readouterr().out
    assert "orders-value" in shown
    assert "orders-key" not in shown


def test_a_catalog_is_drafted_and_can_be_read(
    registry: MemoryRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "catalog.yaml"
    assert main(["catalog", "subjects", "orders-*", "--out", str(out), "--emit"]) == 0
    assert "skipped orders-key" in capsys.readouterr().out
    (event,) = read_catalog(out).events
    assert (event.name, event.topics) == ("shop.Order", ["orders"])
    assert event.registry is not None
    assert event.registry.subject == "orders-value"
    assert main(["catalog", "subjects", "orders-*", "--out", str(out)]) != 0
    assert "file_exists" in capsys.readouterr().err


def test_a_registry_that_is_away_or_not_set_is_told(
    registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.stop()
    assert main(["catalog", "subjects"]) != 0
    assert "registry_unavailable" in capsys.readouterr().err
    monkeypatch.delenv("STREAMFLOW_REGISTRY__URL")
    assert main(["catalog", "subjects"]) != 0
    assert "registry_unset" in capsys.readouterr().err


def test_the_commands_of_the_page_do_what_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [step for step in steps_of(PROJECT / "docs" / "schemas.md") if step.command.startswith("streamflow ")]
    assert len(steps) == 2
    monkeypatch.chdir(tmp_path)
    with memory_registry() as registry:
        monkeypatch.setenv("STREAMFLOW_REGISTRY__URL", registry.url)
        registry.register("shop.orders-value", json.dumps(ORDER))
        registry.register("shop.orders-key", '"string"')
        for step in steps:
            assert main(shlex.split(step.command)[1:]) == 0
            written = capsys.readouterr()
            assert matches(step.expected, written.out + written.err), f"{step.command}: {written.out}"
