"""From a run, and from a version, back to the sentence."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.settings import Approvals, Settings
from tests.approvals import a_key, pem, public
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_conversations import CATALOG, SENTENCE, begun, match, said
from tests.unit.sidecar.test_draft_scenarios import LONGER
from tests.unit.sidecar.test_draft_scenarios import client as client
from tests.unit.sidecar.test_runs import code

PAYMENT = {"id": "e", "type": "authorised", "payment": "P", "card": "c", "amount_cents": 60_000, "country": "DE"}


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("APPROVAL_KEY", pem(a_key()))
    required = Approvals(required=True, trusted_keys=[public(a_key())], signing_key="env:APPROVAL_KEY")
    return settings.model_copy(update={"approvals": required})


@pytest.fixture
def talk(client: TestClient) -> dict[str, Any]:
    """A conversation with a draft that was written in two steps."""
    id, revision = begun(client)
    said(client, id, text=SENTENCE)
    url = f"/conversations/{id}"
    revision = client.post(f"{url}/accept", json={}, headers=match(revision)).json()["revision"]
    found: dict[str, Any] = client.post(
        f"{url}/operations", json={"operations": LONGER}, headers=match(revision)
    ).json()
    return found


def approve(client: TestClient, talk: dict[str, Any], **more: Any) -> Any:
    handed = {"definition": talk["draft"]["text"], "catalog": CATALOG}
    known = {"hash": client.post("/definitions/check", json=handed).json()["hash"], "by": "bob"}
    body = known | {"revision": talk["revision"]} | more
    return client.post(f"/conversations/{talk['conversation']}/approvals", json=body)


def published(client: TestClient, talk: dict[str, Any]) -> str:
    """The name of what is published with an approval of the conversation's draft."""
    answer = approve(client, talk)
    assert answer.status_code == 201, answer.text
    done = client.post(
        "/definitions/publish", json={"definition": talk["draft"]["text"], "catalog": CATALOG, "create_topics": True}
    )
    assert done.status_code == 201, done.text
    return str(done.json()["name"])


def test_an_approval_names_the_authors_and_the_conversation(client: TestClient, talk: dict[str, Any]) -> None:
    proposed = client.post(f"/conversations/{talk['conversation']}/scenarios/proposals").json()["scenarios"]
    client.put(f"/conversations/{talk['conversation']}/scenarios", json={"scenarios": {"scenarios": proposed}})

    made = approve(client, talk).json()

    assert made["approval"]["authors"] == ["local", "assistant"]
    assert made["approval"]["source"] == {"conversation": talk["conversation"], "revision": talk["revision"]}
    assert [one["ok"] for one in made["report"]["scenarios"]] == [True] * len(proposed)
    handed = {"definition": talk["draft"]["text"], "catalog": CATALOG, "create_topics": True}
    assert client.post("/definitions/publish", json=handed | {"scenarios": made["scenarios"]}).status_code == 201


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"by": "local"}, (403, "approval_own_work")),
        ({"hash": "0" * 64}, (409, "hash_mismatch")),
        ({"revision": 99}, (404, "draft_unknown")),
        ({"revision": 1}, (422, "definition_invalid")),
        ({"authors": ["nobody"]}, (422, "request_invalid")),
    ],
)
def test_other_approvals_are_refused(
    client: TestClient, talk: dict[str, Any], more: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert code(approve(client, talk, **more)) == expected


def test_a_run_leads_back_to_the_sentence(client: TestClient, talk: dict[str, Any], log: MemoryLog) -> None:
    name = published(client, talk)
    log.simulation.send("payment.authorised", PAYMENT)
    log.simulation.run_until_quiet()
    [run] = [one["run"] for one in client.get("/approvals").json()]

    found = client.get(f"/runs/{run}/origin").json()

    assert (found["run"], found["definition"], found["ends"]) == (run, name, None)
    assert found["approval"]["by"] == "bob"
    assert found["conversation"] == {
        "conversation": talk["conversation"],
        "title": "A talk",
        "revision": talk["revision"],
    }
    first, drafted, edited = found["changes"]
    assert (first["operations"], first["messages"]) == ([], [])
    assert [one["text"] for one in drafted["messages"]] == [SENTENCE]
    assert (drafted["model"], {one["op"] for one in drafted["operations"]} >= {"set_trigger", "add_step"}) == (
        "rules",
        True,
    )
    assert (edited["model"], edited["operations"], edited["by"]) == (None, LONGER, "local")
    assert "changed from `30m` to `1h`" in edited["sentences"][0]
    version = client.get(f"/definitions/{name}/versions/1/origin").json()
    assert version == {key: value for key, value in found.items() if key != "run"}


def test_the_chain_says_where_it_ends(client: TestClient, talk: dict[str, Any]) -> None:
    name = published(client, talk)
    client.delete(f"/conversations/{talk['conversation']}")

    found = client.get(f"/definitions/{name}/versions/1/origin").json()

    assert (found["conversation"], found["changes"]) == (None, [])
    assert "is deleted" in found["ends"]
    assert found["approval"]["by"] == "bob"
    assert code(client.get("/definitions/none-such/versions/1/origin")) == (404, "version_unknown")
    assert "without an approval" in client.get("/definitions/refund/versions/1/origin").json()["ends"]


def test_the_question_stands_beside_its_answer(client: TestClient) -> None:
    id, revision = begun(client)
    questions = next(row for row in said(client, id, text=SENTENCE) if row["type"] == "understood")["questions"]
    said(client, id, answer={"question": 0, "choice": 0})
    accepted = client.post(f"/conversations/{id}/accept", json={}, headers=match(revision)).json()
    name = published(client, accepted)

    found = client.get(f"/definitions/{name}/versions/1/origin").json()

    first, second = found["changes"][-1]["messages"]
    assert (first["text"], first["question"]) == (SENTENCE, None)
    assert second["question"] == questions[0]["text"]
