"""An event of a scenario is as old now as it was by the scenario's clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import EventSpec
from streamflow.load.record import load_event
from streamflow.simulation.scenarios import Sent, start_ms

CLOCK_MS = start_ms("2026-01-01T00:00:00Z")
NOW_MS = CLOCK_MS + 86_400_000 * 200


def event(spec: dict[str, Any], sent: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    found = load_event(
        EventSpec.model_validate({"name": "placed"} | spec),
        Sent.model_validate({"event": "placed", "key": "k", "id": "m-1"} | sent),
        sent_ms=NOW_MS,
        clock_ms=CLOCK_MS,
        source="/load",
    )
    return json.loads(found.value), {name: text.decode() for name, text in found.headers}


@pytest.mark.parametrize(
    ("spec", "sent", "ms"),
    [
        ({}, {}, NOW_MS),
        ({"time": {"path": "at"}}, {"data": {}}, NOW_MS),
        ({"time": {"path": "at"}}, {"data": {"at": "2025-12-31T23:00:00Z"}}, NOW_MS - 3_600_000),
        ({"time": {"path": "at", "unit": "s"}}, {"data": {"at": CLOCK_MS // 1000 - 60}}, NOW_MS - 60_000),
        ({"time": {"path": "a.t", "unit": "ms"}}, {"data": {"a": {"t": CLOCK_MS + 5, "b": 1}}}, NOW_MS + 5),
        ({"time": {"header": "at"}}, {"headers": {"at": "2025-12-31T23:59:00Z"}}, NOW_MS - 60_000),
        ({}, {"time": "2025-12-31T23:00:00Z"}, NOW_MS - 3_600_000),
        ({"time": {"path": "at"}}, {"data": {"at": "rubbish"}}, NOW_MS),
    ],
)
def test_times_keep_their_distance(spec: dict[str, Any], sent: dict[str, Any], ms: int) -> None:
    data, headers = event(spec, sent)
    place = spec.get("time", {})
    found = headers["ce_time"] if not place else headers.get("at") or data.get("at") or data["a"]["t"]
    known = found * {"s": 1000, "ms": 1}[place["unit"]] if isinstance(found, int) else start_ms(found)

    assert known // 1000 == ms // 1000
    assert known == ms or place.get("unit") == "s"


def test_an_event_is_known_by_its_id() -> None:
    _, headers = event({"match": {"path": "kind", "equals": "placed"}}, {"data": {}})
    assert headers["ce_id"] == "m-1"

    data, headers = event({"id": {"path": "id"}, "match": {"path": "kind", "equals": "placed"}}, {"data": {}})
    assert (data["id"], "ce_id" in headers) == ("m-1", False)


def test_the_time_of_the_scenario_is_not_sent_twice() -> None:
    _, headers = event({}, {"headers": {"ce_time": "2026-01-01T01:00:00Z", "X": "1"}})

    assert start_ms(headers["ce_time"]) == NOW_MS + 3_600_000
    assert headers["X"] == "1"
