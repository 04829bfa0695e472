"""Keys that are erased together have a beginning that is nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import pytest

from streamflow.engine.commands import CancelRun, EraseKey
from streamflow.engine.effects import RecordErasure
from streamflow.errors import Rejected
from streamflow.ops import erasure, erasure_batch, erasure_requests
from streamflow.ops.dead_letters import Letter
from streamflow.ops.erasure import drop_letters
from streamflow.ops.erasure_batch import Found, erase_keys, find_keys
from streamflow.settings import Settings
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.erasure import encode_erasure
from streamflow.wire.settlement import Settlement


def run(name: str, key: str, *, ended: bool = True, definition: str = "order") -> Any:
    return SimpleNamespace(run=name, key=key, has_ended=ended, definition=definition)


class FakeEngine:
    """Takes commands as the broker does, and answers each request once, with `refusals` first."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.refusals: Iterator[str] = iter(())
        self._accounts: list[Record] = []
        self._letters: list[Record] = []

    def append(self, settings: Settings, made: object, command: Any, key: str, partition: int) -> int:
        self.taken.append(command)
        offset = len(self.taken)
        if not isinstance(command, EraseKey):
            return offset
        if (code := next(self.refusals, None)) is not None:
            record = Record("streamflow.commands", partition, offset, 1, key.encode(), b"{}", ())
            refused = dead_letter(record, "rejected", "open", "engine", command=command.id, code=code)
            self._letters.append(Record("dead-letters", 0, offset, 1, *refused))
        else:
            account = RecordErasure(
                command_id=command.id, definitions=command.definitions, reason="test", records=1, events=0, at_ms=1
            )
            self._accounts.append(Record("audit", 0, offset, 1, *encode_erasure(account, f"{partition}/{offset}")))
        return offset

    def reading(self, settings: Settings, topic: str, *_: object) -> Any:
        source = self._accounts if topic.endswith("audit") else self._letters

        def follow(_wait_s: float) -> list[Record]:
            found, source[:] = list(source), []
            return found

        return nullcontext(SimpleNamespace(follow=follow))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine()
    monkeypatch.setattr(erasure_requests, "Reading", made.reading)
    for module in (erasure_requests, erasure_batch):
        monkeypatch.setattr(module, "append", made.append)
        monkeypatch.setattr(module, "producer", lambda _settings: None)
    return made


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the topic has."""
    found: list[Any] = []
    monkeypatch.setattr(
        erasure_batch, "read_runs", lambda *_, **__: SimpleNamespace(by_id={one.run: one for one in found})
    )
    return found


@pytest.mark.parametrize("prefix", ["", "A", "A-1"])
def test_a_short_beginning_is_refused(prefix: str, runs: list[Any]) -> None:
    with pytest.raises(Rejected) as refused:
        find_keys(Settings(), prefix, ["order"])
    assert refused.value.code == "prefix_short"


def test_keys_are_found_once_with_their_open_runs(runs: list[Any]) -> None:
    runs += [run("r1", "load-1"), run("r2", "load-1", ended=False), run("r3", "load-0"), run("r4", "order-load-1")]

    found = find_keys(Settings(), "load-", ["order"])

    assert found == Found(keys=("load-0", "load-1"), open_runs=(("r2", "load-1"),))


def test_runs_of_other_definitions_are_left_alone(runs: list[Any], engine: FakeEngine) -> None:
    runs += [run("r1", "load-1", ended=False), run("r2", "load-1", ended=False, definition="shipment")]
    runs += [run("r3", "load-2", ended=False, definition="shipment")]
    found = find_keys(Settings(), "load-", ["order"])

    done = erase_keys(Settings(), found, ["order"], reason="test", force=True, timeout_s=5)

    assert [one.run for one in engine.taken if isinstance(one, CancelRun)] == ["r1"]
    asked = [(one.key, one.definitions) for one in engine.taken if isinstance(one, EraseKey)]
    assert asked == [("load-1", ("order",)), ("load-2", ("order",))]
    assert sorted(done.erased) == ["load-1", "load-2"]


def test_open_runs_of_other_definitions_hinder_nothing(runs: list[Any], engine: FakeEngine) -> None:
    runs.append(run("r3", "load-2", ended=False, definition="shipment"))
    found = find_keys(Settings(), "load-", ["order"])

    done = erase_keys(Settings(), found, ["order"], reason="test", force=False, timeout_s=5)

    assert (done.erased, done.left) == (["load-2"], {})


def test_a_key_whose_runs_are_still_undone_is_asked_for_again(engine: FakeEngine) -> None:
    engine.refusals = iter(["runs_open"])
    found = Found(keys=("load-1",), open_runs=(("r1", "load-1"),))

    done = erase_keys(Settings(), found, ["order"], reason="test", force=True, timeout_s=5)

    assert done.erased == ["load-1"]
    assert len([one for one in engine.taken if isinstance(one, EraseKey)]) == 2


def test_a_run_that_never_ends_is_waited_for_no_longer_than_asked(engine: FakeEngine) -> None:
    engine.refusals = repeat("runs_open")
    found = Found(keys=("load-1",), open_runs=(("r1", "load-1"),))

    done = erase_keys(Settings(), found, ["order"], reason="test", force=True, timeout_s=0.2)

    assert done.erased == []
    assert done.left.keys() == {"load-1"}
    assert len([one for one in engine.taken if isinstance(one, EraseKey)]) <= 2  # each is a dead letter


def test_letters_of_the_erased_keys_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def letter(number: int, key: bytes, **facts: str) -> Letter:
        return Letter(number=number, id=f"l{number}", at_ms=1, key=key, facts={"reason": "x"} | facts)

    letters = [
        letter(0, b"load-1", definition="order"),
        letter(1, b"load-2"),
        letter(2, b"load-3", definition="order"),
        letter(3, b"load-1", definition="shipment"),
    ]
    settled: list[Settlement] = []
    monkeypatch.setattr(erasure, "read_dead_letters", lambda _settings: letters)

    def settle(_settings: Settings, ends: list[Settlement]) -> list[Settlement]:
        settled.extend(ends)
        return ends

    monkeypatch.setattr(erasure, "settle", settle)

    assert drop_letters(Settings(), ["load-1", "load-2"], None) == 3
    assert [one.letter for one in settled] == ["l0", "l1", "l3"]
    settled.clear()
    assert drop_letters(Settings(), ["load-1", "load-2"], "order") == 1
    assert [(one.letter, one.state) for one in settled] == [("l0", "dropped")]


def test_open_runs_are_not_cancelled_unasked() -> None:
    found = Found(keys=("load-1",), open_runs=(("r2", "load-1"),))
    with pytest.raises(Rejected, match="1 runs of these keys are open: r2") as refused:
        erase_keys(Settings(), found, ("order",), reason="test", force=False, timeout_s=1)
    assert refused.value.code == "runs_open"
