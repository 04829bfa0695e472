"""Approvals over HTTP: what is open, who may decide, and that one decision counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.engine.transitions import Transition
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_runs import NO_RUN, code

Start = Callable[..., str]
YES = {"decision": "approved", "by": "alice", "data": {"note": "fine"}}


def test_open_approvals_say_who_may_decide_what(client: TestClient, start: Start) -> None:
    run = start(amount=7)
    (found,) = client.get("/approvals").json()

    assert (found["run"], found["step"], found["text"], found["who"], found["due_ms"]) == (
        run,
        "ask",
        "Pay 7 back?",
        ["alice", "managers"],
        None,
    )
    assert found["form"]["required"] == ["note"]
    assert len(client.get("/approvals", params={"who": "managers"}).json()) == 1
    assert client.get("/approvals", params={"who": "bob"}).json() == []


def test_an_approval_lets_the_run_go_on(client: TestClient, start: Start) -> None:
    run = start(amount=7)
    answer = client.post(f"/runs/{run}/approvals/ask", json=YES)

    assert (answer.status_code, answer.json()["applied"]) == (200, True)
    told = client.get(f"/runs/{run}").json()
    assert (told["status"], told["output"]) == ("completed", {"paid": 7})
    assert told["steps"][0]["decision"] == {"decision": "approved", "by": "alice", "data": {"note": "fine"}}
    assert client.get("/approvals").json() == []


def test_a_rejection_takes_its_own_way(client: TestClient, start: Start) -> None:
    run = start()
    client.post(f"/runs/{run}/approvals/ask", json=YES | {"decision": "rejected"})

    assert client.get(f"/runs/{run}").json()["ended"] == "ask.rejected"


def test_an_admin_without_a_name_says_who_decides_for_which_group(client: TestClient, start: Start) -> None:
    path, by_bob = f"/runs/{start()}/approvals/ask", YES | {"by": "bob"}

    assert code(client.post(path, json=by_bob)) == (403, "not_allowed")
    assert code(client.post(path, json=by_bob | {"groups": ["clerks"]})) == (403, "not_allowed")
    assert code(client.post(path, json={"decision": "approved"})) == (422, "by_missing")
    assert client.post(path, json=by_bob | {"groups": ["clerks", "managers"]}).status_code == 200


@pytest.mark.parametrize("header", ["X-Streamflow-User", "X-Streamflow-Groups", "X-Forwarded-User", "Remote-User"])
def test_a_header_that_the_caller_wrote_says_nothing(client: TestClient, start: Start, header: str) -> None:
    path = f"/runs/{start()}/approvals/ask"

    by_bob = client.post(path, json=YES | {"by": "bob"}, headers={header: "managers"})
    assert code(by_bob) == (403, "not_allowed")
    assert client.post(path, json=YES, headers={header: "mallory"}).status_code == 200


def test_the_second_decision_is_told_who_made_the_first(client: TestClient, start: Start) -> None:
    path = f"/runs/{start()}/approvals/ask"
    client.post(path, json=YES)
    again = client.post(path, json=YES | {"decision": "rejected"})

    assert code(again) == (409, "approval_closed")
    assert "alice has approved it" in again.json()["detail"]


def test_the_second_of_two_decisions_at_the_same_time_is_answered_with_the_end_of_the_run(
    client: TestClient, start: Start, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    before = log.simulation.history(run)
    client.post(f"/runs/{run}/approvals/ask", json=YES)
    read = iter([before, log.simulation.history(run)])

    async def history(run: str) -> list[Transition]:
        return next(read)

    monkeypatch.setattr(log, "history", history)
    again = client.post(f"/runs/{run}/approvals/ask", json=YES | {"decision": "rejected"})
    assert code(again) == (409, "run_ended")
    assert "completed (pay)" in again.json()["detail"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"data": {}}, (422, "schema_mismatch")),
        ({"data": None}, (422, "schema_mismatch")),
        ({"decision": "maybe"}, (422, "request_invalid")),
        ({"by": ""}, (422, "request_invalid")),
    ],
    ids=str,
)
def test_what_does_not_fit_decides_nothing(
    client: TestClient, start: Start, change: Any, expected: tuple[int, str]
) -> None:
    run = start()

    assert code(client.post(f"/runs/{run}/approvals/ask", json=YES | change)) == expected
    assert client.get(f"/runs/{run}").json()["at"] == {"ask": "awaiting approval"}


def test_an_approval_that_was_never_asked_for_is_unknown(client: TestClient, start: Start) -> None:
    assert code(client.post(f"/runs/{start()}/approvals/pay", json=YES)) == (404, "approval_unknown")
    assert code(client.post(f"/runs/{NO_RUN}/approvals/ask", json=YES)) == (404, "run_unknown")


@pytest.mark.parametrize(("levels", "status"), [(200, 422), (900, 422), (50_000, 422)])
def test_data_that_nobody_can_follow_is_the_caller_s_to_mend(
    client: TestClient, start: Start, levels: int, status: int
) -> None:
    deep = "[" * levels + "]" * levels
    body = f'{{"decision": "approved", "by": "alice", "data": {{"note": "n", "more": {deep}}}}}'
    answer = client.post(
        f"/runs/{start(amount=7)}/approvals/ask", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status
