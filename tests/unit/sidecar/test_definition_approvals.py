"""Approvals over HTTP: signed, kept, listed, and asked for by publishing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.settings import Approvals, Settings
from tests.approvals import a_key, pem, public
from tests.sidecar_log import CATALOG, MemoryLog
from tests.unit.sidecar.test_definitions import NEXT, SCENARIOS, publish
from tests.unit.sidecar.test_runs import code


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("APPROVAL_KEY", pem(a_key()))
    required = Approvals(required=True, trusted_keys=[public(a_key())], signing_key="env:APPROVAL_KEY")
    return settings.model_copy(update={"approvals": required})


def approve(client: TestClient, definition: str = NEXT, **more: Any) -> Any:
    body = {"definition": definition, "catalog": CATALOG}
    known = {
        "hash": client.post("/definitions/check", json=body).json().get("hash", "0" * 64),
        "by": "bob",
        "authors": ["ann"],
    }
    return client.post("/definitions/approvals", json=body | known | more)


def test_what_was_approved_is_published_with_it(client: TestClient) -> None:
    assert code(publish(client)) == (409, "approval_missing")

    approved = approve(client, scenarios=SCENARIOS)
    assert approved.status_code == 201, approved.text
    facts = approved.json()
    assert facts["approval"]["sha256"] == facts["report"]["sha256"]
    assert [(one["name"], one["ok"]) for one in facts["report"]["scenarios"]] == [("approved", True)]

    done = publish(client, by="ann", hash=facts["approval"]["sha256"], approval=facts["approval"], scenarios=SCENARIOS)
    assert done.status_code == 201, done.text
    (row,) = client.get("/definitions/refund/approvals").json()["rows"]
    assert (row["version"], row["state"], row["approval"]) == ("2", "published", facts["approval"])


def test_the_approval_that_is_kept_is_taken(client: TestClient) -> None:
    approve(client)

    assert publish(client, by="ann").status_code == 201


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"by": "bob"}, (403, "approval_own_work")),
        ({"approval": {"by": "bob"}}, (422, "approval_invalid")),
        ({"scenarios": SCENARIOS}, (409, "approval_mismatch")),
        ({"hash": "0" * 64}, (409, "hash_mismatch")),
    ],
)
def test_another_publication_is_refused(client: TestClient, more: dict[str, Any], expected: tuple[int, str]) -> None:
    approve(client)

    assert code(publish(client, **({"by": "ann"} | more))) == expected
    assert code(client.get("/definitions/refund/versions/2")) == (404, "version_unknown")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"by": "ann"}, (403, "approval_own_work")),
        ({"hash": "0" * 64}, (409, "hash_mismatch")),
        ({"scenarios": SCENARIOS.replace("paid: 5", "paid: 6")}, (409, "report_failed")),
        ({"definition": NEXT.replace("pay", "pay pay")}, (422, "definition_invalid")),
        ({"authors": [""]}, (422, "request_invalid")),
    ],
)
def test_what_must_not_be_approved_is_refused(
    client: TestClient, more: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert code(approve(client, **more)) == expected
    assert client.get("/definitions/refund/approvals").json()["rows"] == []


def test_a_changed_definition_needs_an_approval_of_its_own(client: TestClient) -> None:
    approve(client)

    assert code(publish(client, NEXT.replace("Refund '", "Give '"), by="ann")) == (409, "approval_missing")


def test_a_published_version_is_approved_and_published_again(client: TestClient) -> None:
    rows = client.get("/definitions/refund").json()["rows"]
    assert [(row["state"], row["refusal"]) for row in rows] == [("unapproved", "approval_missing")]
    start = {"definition": "refund", "key": "R-1", "input": {"amount": 5}}
    assert code(client.post("/runs", json=start)) == (409, "definition_unapproved")

    body = {"hash": rows[0]["sha"], "by": "bob"}
    facts = client.post("/definitions/refund/versions/1/approvals", json=body).json()
    first = NEXT.replace('version: "2"', 'version: "1"').replace("Refund '", "Pay '")
    assert publish(client, first, by="ann").status_code == 200

    (row,) = client.get("/definitions/refund").json()["rows"]
    assert (row["state"], row["approved_by"], row["refusal"]) == ("starts runs", "bob", None)
    assert facts["approval"]["version"] == "1"
    assert client.post("/runs", json=start).status_code == 202


def test_without_a_key_nothing_is_approved(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APPROVAL_KEY")

    assert code(approve(client)) == (503, "secret_missing")


def test_starts_go_back_to_the_version_before(client: TestClient) -> None:
    first = NEXT.replace('version: "2"', 'version: "1"').replace("Refund '", "Pay '")
    for text in (first, NEXT):
        approve(client, text)
        assert publish(client, text, by="ann").status_code in (200, 201)
    assert client.get("/definitions/refund").json()["current"] == "2"

    told = client.post("/definitions/refund/rollback", json={"version": "1"}).json()

    assert (told["version"], told["before"], told["already"]) == ("1", "2", False)
    assert client.get("/definitions/refund").json()["current"] == "1"
    assert code(client.post("/definitions/refund/rollback", json={"version": "9"})) == (404, "version_unknown")


def test_a_version_is_promoted_to_environments_that_the_settings_name(client: TestClient) -> None:
    answer = client.post("/definitions/refund/versions/1/promote", json={"to": "prod"})

    assert code(answer) == (422, "environment_unknown")
    unknown = client.post("/definitions/refund/versions/9/promote", json={"to": "prod"})
    assert code(unknown) == (404, "version_unknown")


def decided(client: TestClient, log: MemoryLog, start: Callable[..., str]) -> None:
    """Two runs that have ended: one was approved, one was not."""
    for key, decision in (("R-1", "approved"), ("R-2", "rejected")):
        run = start(key=key)
        body = {"decision": decision, "by": "alice", "data": {"note": "ok"}}
        assert client.post(f"/runs/{run}/approvals/ask", json=body).status_code in (200, 202)
    log.simulation.run_until_quiet()


def test_the_last_runs_are_replayed_by_what_is_handed_in(
    client: TestClient, log: MemoryLog, start: Callable[..., str]
) -> None:
    log.published.trust = None
    decided(client, log, start)

    same = client.post("/definitions/shadow", json={"definition": NEXT, "catalog": CATALOG}).json()
    assert (same["against"], same["runs"], same["same"]) == ("1", 2, 2)
    changed = NEXT.replace("expr: trigger.amount", "expr: trigger.amount * 2")
    other = client.post("/definitions/shadow", json={"definition": changed, "catalog": CATALOG, "last": 2}).json()
    assert [(row["key"], row["result"], row["first"], row["what"]) for row in other["rows"]] == [
        ("R-1", "different", "pay", ["output"]),
        ("R-2", "same", None, []),
    ]
    report = approve(client, changed, shadow=2).json()["report"]
    assert (report["shadow"]["different"], report["shadow"]["runs"]) == (1, 2)
