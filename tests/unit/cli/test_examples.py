"""The examples that come with Streamflow, copied into a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamflow.cli.main import main

PROJECT = Path(__file__).parents[3]


def test_an_example_is_copied_as_it_is_and_checks_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["examples", "copy", "order-fulfilment"]) == 0
    copied = tmp_path / "definitions" / "order-fulfilment"
    original = PROJECT / "definitions" / "order-fulfilment"
    assert {path.name for path in copied.iterdir()} == {path.name for path in original.iterdir()}
    assert (copied / "definition.yaml").read_bytes() == (original / "definition.yaml").read_bytes()
    assert main(["definitions", "check", str(copied)]) == 0


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "order-fulfilment"
    target.mkdir()

    assert main(["examples", "copy", "order-fulfilment", str(tmp_path)]) == 3
    assert "example_exists" in capsys.readouterr().err
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("name", ["order", "..", "../definitions/order-fulfilment", ""])
def test_a_name_that_is_no_example_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples", "copy", name, str(tmp_path)]) == 3
    told = capsys.readouterr().err
    assert "example_unknown" in told
    assert "order-fulfilment" in told
    assert list(tmp_path.iterdir()) == []


def test_the_list_names_every_example_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples", "list", "--json"]) == 0

    found = {entry["name"]: entry["title"] for entry in json.loads(capsys.readouterr().out)}
    assert found.keys() == {path.parent.name for path in PROJECT.glob("definitions/*/definition.yaml")}
    assert all(found.values())
