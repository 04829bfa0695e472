"""Objects that a run has stored: found wherever an output names them, and fetched from where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.objects import StoredObject, fetch, found_in
from streamflow.engine.attempt_transitions import CallRequested
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.settings import Connection, Settings, Tasks


def reference(key: str, bucket: str = "b") -> dict[str, Any]:
    return {"bucket": bucket, "key": key, "url": f"s3://{bucket}/{key}", "bytes": 3}


def called(step: str, connection: Any) -> Transition:
    return Transition(
        run="00000001-a",
        definition="d",
        version="1",
        key="k",
        seq=2,
        at_ms=0,
        cause="c",
        data=CallRequested(operation="object.put", lane="default", input={"connection": connection}, due_ms=1),
        step=step,
        attempt=1,
    )


def settings(folder: Path, **more: Connection) -> Settings:
    return Settings(tasks=Tasks(connections={"files": Connection(kind="folder", url=f"file://{folder}"), **more}))


def test_an_object_is_found_anywhere_in_an_output_and_told_once() -> None:
    outputs = {
        "output": {"report": reference("a")},
        "parts": [reference("b"), None, {"deep": [reference("c")]}],
        "store": reference("a"),
        "n": 5,
    }
    found = found_in(outputs, [called("store", "files")])

    assert {(one.key, one.step, one.connection) for one in found} == {
        ("a", "store", "files"),
        ("b", "parts", None),
        ("c", "parts", None),
    }


def test_what_only_looks_like_an_object_is_none() -> None:
    assert found_in({"a": {"bucket": "b", "key": "k"}, "b": {"bucket": 1, "key": "k", "url": "u"}}, []) == []


def test_objects_are_written_under_their_keys(tmp_path: Path) -> None:
    (tmp_path / "store/may").mkdir(parents=True)
    (tmp_path / "store/may/report.csv").write_bytes(b"\x00\xff")
    place = StoredObject("store", None, "", "may/report.csv", "file:///x")

    assert fetch(settings(tmp_path / "store"), [place], tmp_path / "out") == {
        "file:///x": tmp_path / "out/may/report.csv"
    }
    assert (tmp_path / "out/may/report.csv").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (StoredObject("s", None, "", "nowhere", "u"), "object_missing"),
        (StoredObject("s", "other", "", "k", "u"), "connection_unknown"),
        (StoredObject("s", None, "", "../outside", "u"), "key_refused"),
        (StoredObject("s", None, "", "/etc/passwd", "u"), "key_refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_fetched_is_named(tmp_path: Path, place: StoredObject, code: str) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises(OperationError) as caught:
        fetch(settings(tmp_path / "store"), [place], tmp_path / "out")

    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_of_several_stores_none_is_guessed(tmp_path: Path) -> None:
    two = settings(tmp_path, more=Connection(kind="folder", url=f"file://{tmp_path}"))
    with pytest.raises(OperationError) as caught:
        fetch(two, [StoredObject("s", None, "", "k", "u")], tmp_path / "out")

    assert caught.value.code == "connection_unknown"
