"""`streamflow eval` with a real model: each answer is scored, whatever it is worth. The scores are printed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from streamflow.cli.main import main
from streamflow.evaluation.case import cases
from tests.real_model import VARIABLE

URL = os.environ.get(VARIABLE, "")
CASES = os.environ.get("STREAMFLOW_TEST_MODEL_CASES", "claims/glass-at-once")
"""A name of cases, as `streamflow eval --case` takes it."""

pytestmark = [
    pytest.mark.skipif(not URL, reason="a small real model is not running: make model-test starts one"),
    pytest.mark.timeout(7200),
]


def test_its_answers_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = {"provider": "openai", "url": URL, "model": "gemma", "form": "json_schema", "max_output_tokens": 300}
    limits = {"first_token_s": 1800, "between_tokens_s": 600, "whole_s": 3600}
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps({"models": {"available": {"real": model}, **limits}, "state_dir": str(tmp_path)}))
    out = tmp_path / "answers.json"

    code = main(["eval", "--model", "real", "--case", CASES, "--out", str(out), "--each", "--config", str(settings)])

    told = capsys.readouterr()
    print(f"\n{told.out}\n{told.err}")
    assert code == 0, told
    results = json.loads(out.read_text())["results"]
    rounds = [one for case in cases(lambda name: name == CASES or CASES in name) for one in case.rounds]
    assert len(results) == len(rounds)
    assert all(one["tokens"] > 0 for one in results)
