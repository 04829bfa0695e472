"""Log lines about runs are copied to `logs`: bounded, without secrets, and never in the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.ops import run_log
from streamflow.ops.run_log import LINES, RunLog
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.run_log import LINE_BYTES, LogLine, decode_line, encode_line

RUN = "4f2a91c0-main-5d0c7a1b2c3d4e5f6071"


def copied(*lines: dict[str, Any]) -> list[LogLine]:
    sent: list[LogLine] = []
    log = RunLog(Settings(), "tasks", sent.append, clock=lambda: 12.5)
    for line in lines:
        before = dict(line)
        assert log(None, "info", line) is line
        assert line == before
    return sent


def test_a_line_about_a_run_is_copied_with_what_it_says() -> None:
    (line,) = copied(
        {"event": "printed", "run": RUN, "level": "warning", "timestamp": "10:00", "step": "a", "text": "hello"},
        {"event": "no run at all"},
        {"event": "printed", "run": "no run id"},
        {"event": "printed", "run": 7},
    )

    assert (line.run, line.at_ms, line.role, line.level) == (RUN, 12_500, "tasks", "warning")
    assert (line.event, line.fields) == ("printed", {"step": "a", "text": "hello"})
    assert decode_line(encode_line(line)) == line


def test_a_run_that_logs_without_end_is_bounded() -> None:
    other = RUN.replace("4", "5")

    sent = copied(*[{"event": f"{n}", "run": RUN} for n in range(3 * LINES)], {"event": "other", "run": other})

    assert len(sent) == LINES + 1
    assert sent[-1].run == other


def test_runs_without_end_are_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "_RUNS", 10)
    log = RunLog(Settings(), "tasks", lambda line: None)

    for number in range(100):
        log(None, "info", {"event": "x", "run": f"{number:08x}-main-{number:020x}"})

    assert len(log._counts) == 10


def test_a_queue_that_is_full_leaves_lines_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "_QUEUE", 5)
    log = RunLog(Settings(), "tasks")  # not started: nobody takes the lines

    for number in range(20):
        log(None, "info", {"event": f"{number}", "run": RUN})

    assert log.left_out == 15


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 100_000},
        {f"f{n}": "x" * 1000 for n in range(100)},
        {"deep": [[[[object()]]]]},
        {"bytes": b"\xff", "set": {1}, "number": 10**400, "none": None},
        {"x" * 50_000: 1},
        {"surrogate": "\ud800"},
    ],
)
def test_a_line_of_any_fields_is_small_enough(fields: dict[str, Any]) -> None:
    value = encode_line(LogLine(run=RUN, at_ms=1, role="tasks", level="info", event="e" * 50_000, fields=fields))

    assert len(value) <= LINE_BYTES
    assert encode_line(LogLine(run=RUN, at_ms=1, role="tasks", level="info", event="\ud800", fields=fields))
    assert json.loads(value)["run"] == RUN


@pytest.mark.parametrize(
    "value", [b"", b"\xff", b"{}", b"[1]", b"[" * 100_000, b'{"run":1,"at_ms":1,"role":"","level":"","event":""}']
)
def test_what_is_no_line_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_line(value)

    assert caught.value.code == "bad_log_line"
