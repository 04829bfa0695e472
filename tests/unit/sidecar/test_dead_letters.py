"""Dead letters over HTTP: listed in pages, shown, sent again and given up, one or many."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from streamflow.access.rights import Permission, Principal
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.settings import Settings
from streamflow.sidecar import principal
from streamflow.sidecar.principal import EVERY_RIGHT
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_events import CATALOG, DEFINITION
from tests.unit.sidecar.test_runs import code

FAULTY = (b"no json", b'{"grams": "5", "parcel": "P-2"}', b'{"grams": "6", "parcel": "P-3"}')


@pytest.fixture
def log(settings: Settings) -> MemoryLog:
    found = MemoryLog(settings)
    found.add(parse_definition(DEFINITION), parse_catalog(CATALOG))
    headers = (("ce_specversion", b"1.0"), ("ce_type", b"parcel.packed"), ("ce_source", b"/shop"))
    for number, value in enumerate(FAULTY):
        told = (*headers, ("ce_id", b"e-%d" % number), ("content-type", b"application/json"))
        found.simulation.produce("parcels", value, headers=told)
    found.simulation.run_until_quiet()
    return found


def rows(client: TestClient, **query: object) -> list[int]:
    return [row["letter"] for row in client.get("/dead-letters", params=query).json()["rows"]]  # type: ignore[arg-type]


def test_letters_come_newest_first_in_pages_with_counts(client: TestClient) -> None:
    everything = rows(client)
    assert everything == sorted(everything, reverse=True)
    assert len(everything) == len(FAULTY)

    first = client.get("/dead-letters", params={"limit": 2}).json()
    second = client.get("/dead-letters", params={"limit": 2, "cursor": first["next"]}).json()

    assert [row["letter"] for row in (*first["rows"], *second["rows"])] == everything
    assert second["next"] is None
    assert first["counts"] == {"schema_mismatch": 2, "not_json": 1}
    assert first["statuses"] == {"open": 3}


def test_letters_are_filtered(client: TestClient) -> None:
    assert len(rows(client, code="schema_mismatch")) == 2
    assert rows(client, topic="elsewhere") == []
    assert rows(client, status="dropped") == []
    assert code(client.get("/dead-letters", params={"status": "lost"})) == (422, "request_invalid")


def test_a_letter_is_shown_by_its_number_and_its_id(client: TestClient) -> None:
    (row,) = client.get("/dead-letters", params={"code": "not_json"}).json()["rows"]

    by_number = client.get(f"/dead-letters/{row['letter']}").json()

    assert by_number == client.get(f"/dead-letters/{row['id']}").json()
    assert (by_number["record"]["value"], by_number["record"]["headers"]["ce_id"]) == ("no json", "e-0")
    assert code(client.get("/dead-letters/999")) == (404, "letter_unknown")
    assert code(client.get("/dead-letters/nonsense")) == (404, "letter_unknown")


def test_a_letter_is_dropped_with_a_reason_once(client: TestClient) -> None:
    letter = rows(client)[0]

    assert code(client.post(f"/dead-letters/{letter}/drop", json={"reason": " "})) == (422, "reason_missing")
    assert client.post(f"/dead-letters/{letter}/drop", json={"reason": "noise"}).json()["status"] == "dropped"
    assert client.post(f"/dead-letters/{letter}/drop", json={"reason": "again"}).json()["status"] == "dropped"
    assert client.get(f"/dead-letters/{letter}").json()["why"] == "noise"
    assert letter not in rows(client)


def test_a_letter_is_sent_again_and_not_twice(client: TestClient) -> None:
    letter = rows(client)[0]

    assert client.post(f"/dead-letters/{letter}/replay", json={"reason": "mended"}).json()["status"] == "replayed"
    refused = client.post(f"/dead-letters/{letter}/replay", json={})

    assert code(refused) == (409, "letter_refused")
    assert refused.json()["facts"]["reason"] == "letter_settled"
    assert client.post(f"/dead-letters/{letter}/replay", json={"again": True}).status_code == 200


@pytest.mark.parametrize(("action", "word"), [("replay", "replayed"), ("drop", "dropped")])
def test_many_letters_are_settled_by_a_filter_each_with_its_result(client: TestClient, action: str, word: str) -> None:
    body = {"code": "schema_mismatch", "reason": "noise"}

    preview = client.post(f"/dead-letters/{action}", json=body | {"dry_run": True}).json()
    assert (len(preview["letters"]), len(rows(client))) == (2, 3)
    done = client.post(f"/dead-letters/{action}", json=body).json()

    assert [one["status"] for one in done["letters"]] == [word, word]
    assert len(rows(client)) == 1


def test_many_letters_need_a_selection_and_dropping_them_a_reason(client: TestClient) -> None:
    assert code(client.post("/dead-letters/replay", json={})) == (422, "selection_missing")
    assert code(client.post("/dead-letters/drop", json={"reason": "x"})) == (422, "selection_missing")
    assert code(client.post("/dead-letters/drop", json={"letters": [0], "reason": ""})) == (422, "reason_missing")
    assert code(client.post("/dead-letters/replay", json={"letters": [999]})) == (404, "letter_unknown")


def test_a_right_for_some_definitions_finds_no_other_letters(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, *_ = rows(client)

    def allow(*patterns: str) -> None:
        may = Permission(EVERY_RIGHT, patterns)
        monkeypatch.setattr(principal, "LOCAL", Principal(name="kim", permissions=(may,)))

    allow("survey")
    assert rows(client) == []
    for method, path in (("GET", ""), ("POST", "/replay"), ("POST", "/drop")):
        answer = client.request(method, f"/dead-letters/{newest}{path}", json={"reason": "x"})
        assert code(answer) == (404, "letter_unknown"), path
    for path in ("/replay", "/drop"):
        body = {"letters": [newest], "reason": "x"}
        assert code(client.post(f"/dead-letters{path}", json=body)) == (404, "letter_unknown"), path
    chosen = client.post("/dead-letters/drop", json={"topic": "parcels", "reason": "x"}).json()
    assert chosen["letters"] == []
