"""What strangers wrote, on terminals and in logs for people: visible, on its line, and exact as JSON."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from streamflow.cli import output
from streamflow.cli.session import Session
from streamflow.cli.timeline import description
from streamflow.engine.transitions import RunCancelled, Transition
from streamflow.errors import Rejected
from streamflow.ops.log import configure_log
from streamflow.settings import Settings
from streamflow.terminal import visible, visible_lines, width

HOSTILE = {
    "escape": ("a\x1b[2Jb", "a\\x1b[2Jb"),
    "one byte escape": ("a\x9b2Jb", "a\\x9b2Jb"),
    "title": ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
    "newline": ("k\nrun forged", "k\\nrun forged"),
    "carriage return": ("k\rrun", "k\\rrun"),
    "next line": ("k\x85x", "k\\x85x"),
    "line separator": ("k\u2028x", "k\\u2028x"),
    "tab": ("a\tb", "a\\tb"),
    "null": ("a\0b", "a\\x00b"),
    "backspace": ("ab\b\b", "ab\\x08\\x08"),
    "delete": ("a\x7f", "a\\x7f"),
    "override": ("a\u202egnp.exe", "a\\u202egnp.exe"),
    "isolate": ("a\u2066b\u2069", "a\\u2066b\\u2069"),
    "mark": ("a\u200fb\u061c", "a\\u200fb\\u061c"),
    "zero width": ("ad\u200bmin\u200d\ufeff", "ad\\u200bmin\\u200d\\ufeff"),
    "soft hyphen": ("ad\u00admin", "ad\\xadmin"),
    "tag": ("a\U000e0041", "a\\U000e0041"),
    "filler": ("a\u3164", "a\\u3164"),
    "surrogate": ("a\ud800", "a\\ud800"),
}
PLAIN = ["", "A-1", "Grüße, 世界 🎉", "e\u0301", "עברית", "العربية", "Ω≈ç√", "a b\u00a0c"]
CASES = pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@CASES
def test_what_cannot_be_seen_is_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", PLAIN)
def test_letters_of_all_languages_stay(text: str) -> None:
    assert visible(text) == text


def test_nothing_that_is_shown_is_a_control_or_a_format_character() -> None:
    shown = visible("".join(map(chr, range(0x20000))))
    left = {f"{ord(letter):04x}" for letter in shown if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    seen = (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)  # signs before numbers
    joiners = (*range(0x13430, 0x13440), *range(0x1BCA0, 0x1BCA4))  # of Egyptian and shorthand signs
    assert left <= {f"{code:04x}" for code in (*seen, *joiners)}


def test_lines_of_ours_stay_lines() -> None:
    assert visible_lines("one\ntwo \x1b[0m\r") == "one\ntwo \\x1b[0m\\r"


def test_columns_of_wide_letters() -> None:
    assert [width(text) for text in ("abc", "世界", "e\u0301", "🎉")] == [3, 4, 1, 2]


@CASES
def test_cells_of_tables_are_visible_and_stay_in_their_columns(text: str, shown: str) -> None:
    lines = output.table(("key", "status"), [(text, "open"), ("世界", "parked")], "none").split("\n")
    assert len(lines) == 3
    assert lines[1].startswith(shown + "  ")
    assert {
        width(line[: line.index(word)]) for line, word in zip(lines, ("STATUS", "open", "parked"), strict=True)
    } == {max(width(shown), 4) + 2}


@CASES
def test_answers_errors_and_warnings_are_visible(capsys: pytest.CaptureFixture[str], text: str, shown: str) -> None:
    Session().show({}, f"<{text}>")
    output.say(f"<{text}>")
    Session().show_error(Rejected("x", f"<{text}>", key=text))
    output.warn(f"<{text}>")
    output.note(f"<{text}>")
    out, err = capsys.readouterr()
    for said in (out, err):
        assert said.count(f"<{shown}>") >= 2 or "\n" in text
        assert not any(letter in said for letter in text if letter != "\n" and visible(letter) != letter)


@pytest.mark.parametrize("text", [text for name, (text, _) in HOSTILE.items() if name != "surrogate"])
def test_json_stays_exact(capsys: pytest.CaptureFixture[str], text: str) -> None:
    output.say_json({"key": text}, line=True)
    Session(json=True).show({"key": text}, "")
    Session(json=True).show_error(Rejected("x", text, key=text))
    out, err = capsys.readouterr()
    first, rest = out.split("\n", 1)
    assert json.loads(first) == json.loads(rest) == {"key": text}
    assert json.loads(err)["error"]["facts"] == {"key": text}


@CASES
def test_what_happened_is_one_visible_line(text: str, shown: str) -> None:
    found = description(_transition(text))
    assert found == visible(found)
    assert "\n" not in found


@pytest.mark.parametrize("form", ["console", "json"])
@CASES
def test_log_lines_are_visible(capsys: pytest.CaptureFixture[str], text: str, shown: str, form: Any) -> None:
    configure_log(Settings(log_format=form))
    structlog.get_logger("ours").warning("said", key=text, nested={"key": [text]})
    logging.getLogger("theirs").warning("theirs %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        structlog.get_logger("ours").exception("failed")
    err = capsys.readouterr().err
    assert not any(letter in err for letter in text if letter != "\n" and visible(letter) != letter)
    if form == "console":
        assert shown in err
        assert f"key={text}" not in err


def _transition(reason: str) -> Transition:
    return Transition("r", "d", "1", "k", 1, 0, "c", RunCancelled(reason))
