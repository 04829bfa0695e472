"""Scenarios that a conversation keeps: proposed, kept, played at each change, and expected again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.history.reader import HistoryReader
from streamflow.settings import Settings
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_conversations import SENTENCE, begun, match, said
from tests.unit.sidecar.test_runs import code

LONGER = [{"op": "set_field", "step": "ask_analyst", "field": "approval.within", "value": "1h"}]
BROKEN = [{"op": "set_field", "step": "ask_analyst", "field": "approval.text", "value": "nothing"}]


@pytest.fixture
def client(settings: Settings, log: MemoryLog) -> Iterator[TestClient]:
    app = create_app(settings, log, MemoryAccess(), HistoryReader(settings))
    with TestClient(app, base_url="http://localhost/api/v1", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def kept(client: TestClient) -> tuple[str, dict[str, Any]]:
    """The address of a conversation with a draft and its proposed scenarios, and how it is."""
    id, revision = begun(client)
    said(client, id, text=SENTENCE)
    url = f"/conversations/{id}"
    client.post(f"{url}/accept", json={}, headers=match(revision))
    proposed = client.post(f"{url}/scenarios/proposals?seed=1").json()["scenarios"]
    answer = client.put(f"{url}/scenarios", json={"scenarios": {"scenarios": proposed}})
    assert answer.status_code == 200, answer.text
    return url, answer.json()


def edited(client: TestClient, url: str, operations: Any) -> dict[str, Any]:
    revision = client.get(url).json()["revision"]
    answer = client.post(f"{url}/operations", json={"operations": operations}, headers=match(revision))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_an_edit_tells_which_scenarios_now_end_differently(client: TestClient, kept: Any) -> None:
    url, talk = kept
    assert len(talk["scenarios"]) >= 3
    assert talk["played"] == {
        "revision": talk["revision"],
        "count": len(talk["scenarios"]),
        "different": [],
        "trouble": "",
    }

    told = edited(client, url, LONGER)

    [different] = told["played"]["different"]
    assert "ask_analyst.timeout" in different["name"]
    assert different["is_new"]
    assert any("ask_analyst" in sentence for sentence in different["told"])
    rows = client.get(f"{url}/events?limit=1000").json()["rows"]
    assert [row["type"] for row in rows[-2:]] == ["revision", "scenarios_played"]
    shown = client.get(f"{url}/scenarios").json()
    assert [one["name"] for one in shown["played"]["scenarios"] if not one["ok"]] == [different["name"]]
    assert all(
        one["ok"] for one in client.get(f"{url}/scenarios?revision={talk['revision']}").json()["played"]["scenarios"]
    )

    title = [{"op": "set_field", "field": "title", "value": "Payments"}]
    assert [one["is_new"] for one in edited(client, url, title)["played"]["different"]] == [False]
    for _ in range(2):
        told = client.post(f"{url}/undo", headers=match(client.get(url).json()["revision"])).json()
    assert told["played"]["different"] == []


def test_what_was_meant_is_expected_from_then_on(client: TestClient, kept: Any) -> None:
    url, _ = kept
    [different] = edited(client, url, LONGER)["played"]["different"]

    told = client.post(f"{url}/scenarios/expect", json={"names": [different["name"]]}).json()

    assert told["played"]["different"] == []
    [now] = [one for one in told["scenarios"] if one["name"] == different["name"]]
    assert now["expect"]["status"] == "open"
    assert code(client.post(f"{url}/scenarios/expect", json={"names": ["none such"]})) == (422, "no_scenario")


def test_a_draft_with_errors_says_that_they_cannot_be_played(client: TestClient, kept: Any) -> None:
    url, talk = kept
    text = talk["draft"]["text"].replace("event.amount_cents", "event.amount")
    answer = client.post(f"{url}/operations", json={"text": text}, headers=match(talk["revision"]))

    played = answer.json()["played"]
    assert (played["different"], "there is no field `amount`" in played["trouble"]) == ([], True)
    assert "there is no field" in client.get(f"{url}/scenarios").json()["trouble"]
    assert code(client.post(f"{url}/scenarios/proposals")) == (422, "definition_invalid")


@pytest.mark.parametrize(
    ("scenarios", "expected"),
    [
        ({"scenarios": [{"name": "x"}]}, (422, "scenarios_invalid")),
        ("nonsense", (422, "scenarios_invalid")),
        ({"scenarios": [{"name": str(n), "do": [{"wait": "1s"}], "expect": []} for n in range(101)]}, None),
    ],
)
def test_scenarios_that_cannot_be_kept_change_nothing(
    client: TestClient, kept: Any, scenarios: Any, expected: tuple[int, str] | None
) -> None:
    url, talk = kept

    found = code(client.put(f"{url}/scenarios", json={"scenarios": scenarios}))

    assert found == (expected or (422, "text_invalid"))
    assert client.get(url).json()["scenarios"] == talk["scenarios"]


def test_an_empty_list_keeps_none(client: TestClient, kept: Any) -> None:
    url, _ = kept

    told = client.put(f"{url}/scenarios", json={"scenarios": {"scenarios": []}}).json()

    assert (told["scenarios"], told["played"]) == ([], None)
    assert edited(client, url, LONGER)["played"] is None


def test_a_proposal_is_looked_at_before_it_is_accepted(client: TestClient, kept: Any) -> None:
    url, talk = kept
    id = url.removeprefix("/conversations/")
    assert code(client.get(f"{url}/preview")) == (409, "nothing_proposed")
    question = next(
        at
        for at, one in enumerate(talk["understood"]["questions"])
        if any(each["operations"] for each in one["choices"])
    )
    choice = next(
        at for at, one in enumerate(talk["understood"]["questions"][question]["choices"]) if one["operations"]
    )
    said(client, id, answer={"question": question, "choice": choice})

    shown = client.get(f"{url}/preview").json()

    assert (shown["base"], client.get(url).json()["draft"]["sha"]) == (talk["revision"], talk["draft"]["sha"])
    assert shown["sentences"] == client.get(url).json()["proposal"]["sentences"]
    assert shown["text"] != talk["draft"]["text"]
    accepted = client.post(f"{url}/accept", json={}, headers=match(talk["revision"])).json()
    assert accepted["draft"]["sha"] == shown["sha"]
    assert [one["name"] for one in accepted["played"]["different"]] == [one["name"] for one in shown["different"]]
