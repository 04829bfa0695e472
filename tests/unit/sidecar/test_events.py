"""Events handed in over HTTP: one, many, as CloudEvents in every mode; each is sent or says why it is not."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.settings import Settings
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_runs import code

CATALOG = """
events:
  - name: parcel.packed
    topics: [parcels]
    key: {path: parcel}
    schema: {type: object, required: [grams], properties: {grams: {type: integer}}}
  - name: parcel.weighed
    topics: [weights]
    match: {path: kind, equals: weighed}
    id: {path: id}
    key: {path: parcel}
  - {name: parcel.lost, topics: [lost]}
"""
DEFINITION = """
name: parcel
version: "1"
on: [{id: packed, event: parcel.packed}]
steps:
  - {id: weigh, wait: {events: [{id: weighed, event: parcel.weighed}], forever: true, since: here}}
  - {id: tell, needs: [weigh], print: {text: "'weighed'"}}
"""
CLOUD = {"specversion": "1.0", "type": "parcel.packed", "source": "/shop", "id": "e-1", "data": {"grams": 5}}
CLOUD_KEYED = CLOUD | {"partitionkey": "P-1"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture
def log(settings: Settings) -> MemoryLog:
    found = MemoryLog(settings)
    definition, catalog = parse_definition(DEFINITION), parse_catalog(CATALOG)
    found.add(definition, catalog)
    del found.published.bindings["parcel.lost"]
    return found


def keys(log: MemoryLog) -> list[str]:
    return [log.simulation.history(run)[0].key for run in log.simulation.runs()]


def send(client: TestClient, body: Any, **more: Any) -> Any:
    return client.post("/events", json=body, **more)


def test_one_event_is_sent_and_starts_a_run(client: TestClient, log: MemoryLog) -> None:
    answer = send(client, {"event": "parcel.packed", "key": "P-1", "id": "e-1", "data": {"grams": 5}})

    assert answer.status_code == 202
    (row,) = answer.json()["rows"]
    assert (row["status"], row["topic"], row["id"], row["warnings"]) == ("sent", "parcels", "e-1", [])
    assert keys(log) == ["P-1"]


def test_a_repeated_id_is_a_duplicate(client: TestClient, log: MemoryLog) -> None:
    for _ in range(2):
        send(client, {"event": "parcel.packed", "key": "P-1", "id": "e-1", "data": {"grams": 5}})
    assert keys(log) == ["P-1"]


def test_many_events_have_a_row_each_and_the_good_ones_are_sent(client: TestClient, log: MemoryLog) -> None:
    good = {"event": "parcel.packed", "key": "P-1", "data": {"grams": 5}}
    answer = send(client, {"events": [good, good | {"event": "nothing"}, good | {"key": "P-2"}]})

    assert answer.status_code == 202
    assert [row["status"] for row in answer.json()["rows"]] == ["sent", "refused", "sent"]
    assert (answer.json()["sent"], answer.json()["rows"][1]["code"]) == (2, "event_unknown")
    assert sorted(keys(log)) == ["P-1", "P-2"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (CLOUD_KEYED, STRUCTURED),
        ([CLOUD_KEYED], BATCHED),
        ({"grams": 5}, {"ce-specversion": "1.0", "ce-type": "parcel.packed", "ce-source": "/shop", "ce-id": "e-1"}),
        ({k: v for k, v in CLOUD_KEYED.items() if k != "data"} | {"data_base64": "eyJncmFtcyI6IDV9"}, STRUCTURED),
    ],
    ids=["structured", "batch", "binary", "base64"],
)
def test_a_cloudevent_is_sent_in_every_mode(
    client: TestClient, log: MemoryLog, body: Any, headers: dict[str, str]
) -> None:
    if "ce-type" in headers:
        headers = headers | {"ce-partitionkey": "P-1"}
    answer = send(client, body, headers=headers)

    assert answer.status_code == 202, answer.text
    (run,) = log.simulation.runs()
    started = log.simulation.history(run)[0]
    assert (started.key, started.data.event.id, started.data.event.source) == ("P-1", "e-1", "/shop")


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({"event": "nothing"}, {}, (422, "event_unknown")),
        ({"event": "parcel.lost"}, {}, (422, "event_unbound")),
        ({"event": "parcel.packed", "key": "P-1", "data": {"grams": "5"}}, {}, (422, "event_refused")),
        ({"event": "parcel.packed", "data": {"grams": 5}}, {}, (422, "event_refused")),
        ({"event": "parcel.packed", "key": "P-1", "data": [1]}, {}, (422, "payload_no_object")),
        ({"event": "parcel.weighed", "key": "P-1", "data": {"kind": "lost"}}, {}, (422, "event_refused")),
        ({"event": "parcel.packed", "key": "", "data": {"grams": 5}}, {}, (422, "request_invalid")),
        ({"event": "parcel.packed", "kye": "P-1"}, {}, (422, "request_invalid")),
        ({"events": []}, {}, (422, "request_invalid")),
        ({"events": [1] * 501}, {}, (422, "too_many_events")),
        ([], {}, (422, "request_invalid")),
        (None, {}, (422, "request_invalid")),
        ({"specversion": "1.0"}, STRUCTURED, (422, "bad_cloudevent")),
        ([1], STRUCTURED, (422, "bad_cloudevent")),
        ([], BATCHED, (422, "bad_cloudevent")),
        ({}, BATCHED, (422, "bad_cloudevent")),
        (CLOUD_KEYED | {"type": "nothing"}, STRUCTURED, (422, "event_unknown")),
        (CLOUD_KEYED | {"data": None, "data_base64": "%"}, STRUCTURED, (422, "bad_cloudevent")),
        ({}, {"ce-type": "parcel.packed"}, (422, "bad_cloudevent")),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_reason(
    client: TestClient, log: MemoryLog, body: Any, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert code(send(client, body, headers=headers)) == expected
    assert log.simulation.runs() == []


def test_a_body_that_is_no_json_is_refused_as_elsewhere(client: TestClient) -> None:
    assert code(client.post("/events", content=b'{"event": NaN}')) == (422, "not_json")
    assert code(client.post("/events", content=b'{"event": "\\ud800"}')) == (422, "lone_surrogate")


def test_an_event_that_nobody_receives_is_sent_with_a_warning(client: TestClient, log: MemoryLog) -> None:
    log.published.versions.clear()
    log.published.names.clear()

    (row,) = send(client, {"event": "parcel.packed", "key": "P-1", "data": {"grams": 5}}).json()["rows"]

    assert row["status"] == "sent"
    assert "no published definition" in row["warnings"][0]


def test_the_catalog_tells_who_names_an_event(client: TestClient) -> None:
    rows = {row["name"]: row for row in client.get("/catalog/events").json()["rows"]}

    assert (rows["parcel.packed"]["used_by"], rows["parcel.packed"]["topics"]) == (["parcel"], ["parcels"])
    assert "parcel.lost" in rows


def test_the_catalog_tells_what_operations_there_are(client: TestClient) -> None:
    rows = {row["name"]: row for row in client.get("/catalog/operations").json()["rows"]}

    assert rows["http.request"]["kind"] == "built_in"
    assert list(rows) == sorted(rows)
