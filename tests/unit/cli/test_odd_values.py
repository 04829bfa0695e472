"""Values that nobody types, but programs do: they are refused or shown, and no command ends in a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamflow.cli import main as module
from streamflow.cli import output
from streamflow.cli.main import main
from streamflow.cli.session import EXIT_CALLER
from streamflow.errors import OperationError
from streamflow.ops import erasure


@pytest.mark.parametrize("ms", [10**18, -(10**18), 253_402_300_800_000])
def test_a_time_of_no_calendar_is_shown_as_a_number(ms: int) -> None:
    assert output.local_time(ms) == f"{ms} ms"


def test_what_is_deleted_after_the_year_9999_is_not_bounded() -> None:
    forever = erasure._until_deleted("runs", [5], {"retention.ms": str(2**63 - 1), "segment.ms": "1000"})
    bounded = erasure._until_deleted("runs", [5, 3], {"retention.ms": "100", "segment.ms": "1000"})
    assert (forever.gone_ms, bounded.gone_ms) == (None, 1105)


def test_an_empty_global_option_takes_no_other_word() -> None:
    line = ["lag", "--bootstrap=", "--partitions", "--prefix", "p", "--json"]
    assert module._globals_first(line) == ["--bootstrap=", "--prefix", "p", "--json", "lag", "--partitions"]


@pytest.mark.parametrize(
    "line",
    [
        ["runs", "show", "\udcff"],
        ["lag", "--live", "--every", "inf"],
        ["load", "--definition", "d", "--rate", "1/s", "--seconds", "inf"],
        ["capacity", "--definition", "d", "--rate", "1/s", "--wait-hours", "inf"],
    ],
)
def test_it_is_an_error_of_the_caller(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*line, "--json"]) == EXIT_CALLER
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OperationError) as caught:
        output.write_file(tmp_path / "file" / "under", "text")
    assert caught.value.code == "file_unwritable"
    output.write_file(tmp_path / "folder" / "file", "text")
    assert (tmp_path / "folder" / "file").read_text() == "text"
