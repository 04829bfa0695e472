"""`streamflow capacity` on a folder: no broker is asked, and every figure can be explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamflow.capacity import calibration
from streamflow.capacity.measured import MEASURED
from streamflow.cli.main import main

ORDERS = str(Path(__file__).parents[3] / "definitions" / "order-fulfilment")
NUMBERS = """
events:
  - name: placed
    topics: [orders]
    key: {path: order}
    schema: {type: object, properties: {order: {type: integer}}}
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answer(capsys: pytest.CaptureFixture[str], *options: str, folder: str = ORDERS) -> dict[str, Any]:
    assert main(["capacity", "--definition", folder, *options, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def figures(found: dict[str, Any]) -> dict[str, float]:
    return {one["name"]: one["value"] for one in found["figures"]}


def test_what_a_run_costs_is_counted_in_its_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "--rate", "100/s", "--only", "large")

    assert found["a_run"]["scenarios"] == ["A large one is shipped at once, with a word if it is fragile"]
    assert found["a_run"]["commands"]["records"] == 2
    assert found["a_run"]["transitions"]["records"] == 11
    assert found["measured"]["commit"] == MEASURED.commit
    assert figures(found)["transitions"] == 1100
    assert figures(found)["open runs"] == 0


def test_settings_and_options_are_taken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFLOW_TOPICS__PARTITIONS", "60")
    once = figures(answer(capsys, "--rate", "100/s", "--only", "large", "--wait-hours", "1"))
    thrice = figures(answer(capsys, "--rate", "100/s", "--only", "large", "--wait-hours", "1", "--replicas", "3"))

    assert once["partitions"] == 60
    assert once["open runs"] == 360_000
    assert thrice["disk of runs"] == 3 * once["disk of runs"]


def test_every_figure_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--definition", ORDERS, "--rate", "100/s", "--only", "large", "--explain"]) == 0
    text = capsys.readouterr().out

    assert "rate x (commands x CPU of a command + transitions x CPU of a transition) / speed" in text
    assert f"100/s x (2 x {MEASURED.engine_command_us:g} us + 11 x {MEASURED.engine_transition_us:g} us)" in text
    assert MEASURED.machine in text


def test_calibration_scales_processor_times(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "calibrated_us", lambda: MEASURED.calibration_us / 4)
    slow = figures(answer(capsys, "--rate", "100/s", "--only", "large"))
    fast = figures(answer(capsys, "--rate", "100/s", "--only", "large", "--calibrate"))

    assert fast["engine processor"] == pytest.approx(slow["engine processor"] / 4)


def test_calibration_measures_something() -> None:
    assert calibration.calibrated_us(rounds=1) > 0


def test_samples_stand_for_a_definition_without_scenarios(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Their key is a number here, so that a mark of letters would be none."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "catalog.yaml").write_text(NUMBERS)
    (folder / "definition.yaml").write_text(
        'name: plain\nversion: "1"\non: [{id: placed, event: placed}]\nsteps: [{id: say, print: {text: "\'x\'"}}]\n'
    )
    found = answer(capsys, "--rate", "1/s", folder=str(folder))

    assert found["a_run"]["commands"]["records"] == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--rate", "0"], "rate_invalid"),
        (["--rate", "1/s", "--average", "2/s"], "rate_invalid"),
        (["--rate", "1/s", "--only", "nobody"], "no_scenario"),
    ],
)
def test_what_cannot_be_computed_is_refused(options: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--definition", ORDERS, *options, "--json"]) == 3
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"] == code
