"""Of `runs` only what the load run started counts."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from streamflow.engine import transitions as t
from streamflow.load import reader
from streamflow.load.reader import RunsReader
from streamflow.load.tally import Tally
from streamflow.settings import Settings
from streamflow.simulation.driver import Simulation
from streamflow.simulation.volume import ENDED
from streamflow.wire.decoding import Record
from tests.builders import a_definition
from tests.unit.simulation.test_scenarios import CATALOG

SETTINGS = Settings()


class NoReading:
    """A topic in which nothing comes."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> NoReading:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def follow(self, _timeout_s: float) -> list[Record]:
        return []


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A reader that is given records by hand, and its tally."""
    monkeypatch.setattr(reader, "Reading", NoReading)
    tally = Tally()
    with RunsReader(SETTINGS, tally, definition="order", mark="m-") as made:
        yield SimpleNamespace(reader=made, tally=tally)


def records(key: str, id_: str, name: str = "order") -> list[Record]:
    """What a run of a definition with one step leaves in `runs`."""
    simulation = Simulation()
    simulation.publish(a_definition({"id": "say", "print": {"text": "'x'"}}, name=name), CATALOG)
    simulation.send("placed", {"id": key}, id=id_)
    simulation.run_until_quiet()
    return simulation.log.topics["runs"].records()


def test_a_run_of_the_load_is_followed_from_its_first_to_its_last_transition(reading: Any) -> None:
    reading.tally.intend(0, "m-0-a0", 1.0)
    for record in records("m-0", "m-0-a0"):
        reading.reader.take(record, 2.0)

    assert (reading.tally.started, reading.tally.ended, reading.tally.open) == (1, {"completed": 1}, 0)


@pytest.mark.parametrize(
    ("key", "id_", "name"),
    [("o-1", "m-0-a0", "order"), ("m-0", "another", "order"), ("m-0", "m-0-a0", "other")],
    ids=["without the mark", "of another event", "of another definition"],
)
def test_runs_of_others_are_passed_over(reading: Any, key: str, id_: str, name: str) -> None:
    reading.tally.intend(0, "m-0-a0", 1.0)
    for record in records(key, id_, name):
        reading.reader.take(record, 2.0)

    assert reading.tally.started == 0


def test_a_beginning_that_cannot_be_read_is_counted(reading: Any) -> None:
    first = records("m-0", "m-0-a0")[0]
    reading.reader.take(first._replace(value=b"{"), 2.0)
    reading.reader.take(Record("runs", 0, 0, 0, None, b"", ()), 2.0)

    assert reading.reader.unreadable.count == 1


def test_a_parked_step_is_noted(reading: Any) -> None:
    reading.tally.intend(0, "m-0-a0", 1.0)
    found = records("m-0", "m-0-a0")
    reading.reader.take(found[0], 2.0)
    headers = tuple(
        ("ce_type", b"streamflow.StepParked") if name == "ce_type" else (name, text) for name, text in found[1].headers
    )
    reading.reader.take(found[1]._replace(headers=headers), 2.0)

    assert reading.tally.parked == 1


def test_every_ending_has_a_status() -> None:
    """A new one would leave runs open for ever."""
    endings = {t.RunCompleted.__name__, t.RunFailed.__name__, t.RunCancelled.__name__}

    assert set(ENDED) == endings
