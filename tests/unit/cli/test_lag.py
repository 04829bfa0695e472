"""`streamflow lag` without a broker: a topic that this user may not read is an error, after what was measured."""

from __future__ import annotations

import json

import pytest

from streamflow.cli import lag as module
from streamflow.cli.main import main
from streamflow.ops.lag import PartitionLag

READ = PartitionLag("engine", "streamflow.commands", 0, 5, 7, 2, 1.5)
DENIED = PartitionLag("ingress", "orders", -1, None, 0, 0, 0.0, "unreadable")
UNKNOWN = PartitionLag("ingress", "refunds", 0, 5, 9, 4, None)
GONE = PartitionLag("ingress", "payments", -1, None, 0, 0, 0.0, "missing")


@pytest.mark.parametrize("live", [(), ("--live", "--times", "2", "--every", "0.2")], ids=["once", "live"])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_missing_right_fails_after_what_was_measured(
    live: tuple[str, ...],
    as_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "read_log", lambda settings: None)
    words = ["lag", *live, *(("--json",) if as_json else ())]

    monkeypatch.setattr(module, "measure_lag", lambda *_: [READ, GONE])
    assert main(words) == 0
    assert "payments" in capsys.readouterr().out

    monkeypatch.setattr(module, "measure_lag", lambda *_: [READ, DENIED])
    assert main(words) == 4
    said = capsys.readouterr()
    assert "streamflow.commands" in said.out
    assert "unreadable" in said.out
    error = json.loads(said.err.splitlines()[-1])["error"] if as_json else {"code": said.err, "message": said.err}
    assert "right_missing" in error["code"]
    assert "READ on topic orders" in error["message"]


@pytest.mark.parametrize("words", [(), ("--partitions",), ("--live", "--times", "1")])
def test_an_unknown_age_is_shown_as_unknown(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "read_log", lambda settings: None)
    monkeypatch.setattr(module, "measure_lag", lambda *_: [UNKNOWN])
    assert main(["lag", *words]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "refunds" in line]
    assert " ? " in f"{line} "
    assert "0.0" not in line
    assert main(["lag", *words, "--json"]) == 0
    assert '"seconds":null' in capsys.readouterr().out.replace(" ", "")
