"""Files of events: what cannot be read is the caller's to correct, wherever it breaks."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from streamflow.cli import events_send
from streamflow.errors import Rejected

LINES = b'{"n": 1}\r\n\n{"n": 2.0}\n'


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_each_line_is_a_payload(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(LINES) if name.endswith(".gz") else LINES)
    assert list(events_send._payloads(None, file)) == [{"n": 1}, {"n": 2.0}]


@pytest.mark.parametrize(
    "content",
    [LINES, gzip.compress(LINES * 1000)[:-9], gzip.compress(LINES)[:20] + b"\xff" * 40, gzip.compress(LINES) + b"more"],
    ids=["not compressed", "cut", "broken", "with a tail"],
)
def test_what_is_no_gzip_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(content)
    with pytest.raises(Rejected) as caught:
        list(events_send._payloads(None, file))
    assert caught.value.code == "file_unreadable"
    assert str(file) in caught.value.message
    assert "None" not in caught.value.message


@pytest.mark.parametrize("data", ["@nowhere.json", "@."])
def test_what_is_no_file_is_refused(data: str) -> None:
    with pytest.raises(Rejected) as caught:
        list(events_send._payloads(data, None))
    assert caught.value.code == "file_unreadable"
    assert data[1:] in caught.value.message


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"n": 1}\n{"n": "\\ud83d"}\n')
    with pytest.raises(Rejected) as caught:
        list(events_send._payloads(None, file))
    assert caught.value.code == "data_not_json"
    assert "Line 2 of" in caught.value.message
    assert "lone_surrogate" in caught.value.message


def test_headers_are_names_and_values() -> None:
    assert events_send._headers(["ce_source=/a=b", "x="]) == {"ce_source": "/a=b", "x": ""}
    assert events_send._plain(b"{}", "k", None, {"x": "é"}).headers == (("x", "é".encode()),)
    for wrong in ("x", "=y", ""):
        with pytest.raises(Rejected) as caught:
            events_send._headers([wrong])
        assert caught.value.code == "header_invalid"
