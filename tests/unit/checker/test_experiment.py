"""What an experiment tells the checker: files of inputs and of the outside, and the command line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from streamflow_check.__main__ import main
from streamflow_check.experiment import Input, inputs_of, ledger_of


def test_inputs_are_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "inputs").write_text(
        '{"topic": "orders", "partition": 1, "offset": 7, "id": "e1", "starts": ["d"]}\n\n{"command": "c1"}\n'
    )
    assert inputs_of(tmp_path / "inputs") == (Input("orders", 1, 7, "e1", starts=("d",)), Input(command="c1"))


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text('{"key": "r/s"}\n{"key": "r/s"}\n{"key": "r/')
    assert ledger_of(tmp_path / "ledger") == Counter({"r/s": 2})


def test_lines_of_a_ledger_that_are_no_calls_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text(
        '{"kind": "call", "key": "a"}\n{"kind": "answer", "key": "a"}\n{"key": "b", "path": "/"}\n'
    )
    assert ledger_of(tmp_path / "ledger") == Counter({"a": 1, "b": 1})


@pytest.mark.parametrize("content", [None, "{\n", '{"unknown": 1}\n'], ids=["no file", "no JSON", "an unknown field"])
def test_inputs_that_cannot_be_read_are_no_verdict(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "inputs").write_text(content)
    assert main(["--bootstrap", "127.0.0.1:1", "--inputs", str(tmp_path / "inputs")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("expected ")
