"""The own records of partitions, as a command reads them."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from streamflow.engine.overlay import encode_record
from streamflow.engine.state import OWN, PartitionState
from streamflow.errors import OperationError
from streamflow.ops import generations
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from tests.hostile_records import VALUES

GOOD = encode_record(PartitionState(topic_id="t"))


def newest(monkeypatch: pytest.MonkeyPatch, *values: bytes | None) -> dict[int, PartitionState]:
    records = [Record("state", 3, offset, 1, OWN.encode(), value, ()) for offset, value in enumerate(values)]
    reading: Any = SimpleNamespace(to_end=lambda: records)
    monkeypatch.setattr(generations, "Reading", lambda *_: nullcontext(reading))
    return generations._newest(Settings(), "state", [3], {3: 0})


@pytest.mark.parametrize("value", [value for value in VALUES.values() if value])
def test_an_older_record_does_not_stand_for_one_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    with pytest.raises(OperationError, match="state/3") as caught:
        newest(monkeypatch, GOOD, value)
    assert (caught.value.code, caught.value.retryable) == ("state_unreadable", False)


def test_a_later_record_takes_the_place_of_one_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert newest(monkeypatch, b"no JSON", GOOD)[3].topic_id == "t"
