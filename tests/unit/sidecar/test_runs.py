"""Starting runs over HTTP, looking at them, and asking something of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.engine.transitions import Transition
from tests.sidecar_log import MemoryLog

Start = Callable[..., str]
NO_RUN = "00000000-main-0000000000000000abcd"


def code(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:streamflow:problem:{problem['code']}"
    return answer.status_code, problem["code"]


def test_a_start_answers_with_its_command_and_its_run(client: TestClient, log: MemoryLog) -> None:
    answer = client.post("/runs", json={"definition": "refund@1", "key": "R-1", "input": {"amount": 5}, "id": "mine"})

    assert answer.status_code == 202
    (run,) = log.simulation.runs()
    assert answer.json() == {"command": "request/mine", "run": run}


def test_the_same_id_starts_one_run(client: TestClient, log: MemoryLog) -> None:
    body = {"definition": "refund", "key": "R-1", "input": {"amount": 5}, "id": "mine"}

    assert client.post("/runs", json=body).json() == client.post("/runs", json=body).json()
    assert len(log.simulation.runs()) == 1
    client.post("/runs", json=body | {"id": "another"})
    assert len(log.simulation.runs()) == 2


def test_the_idempotency_key_is_the_id(client: TestClient, log: MemoryLog) -> None:
    body = {"definition": "refund", "key": "R-1", "input": {"amount": 5}}
    header = {"Idempotency-Key": "mine"}

    first = client.post("/runs", json=body, headers=header).json()

    assert client.post("/runs", json=body, headers=header).json() == first
    assert client.post("/runs", json=body | {"id": "mine"}, headers=header).json() == first
    assert code(client.post("/runs", json=body | {"id": "other"}, headers=header)) == (422, "request_invalid")
    assert len(log.simulation.runs()) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"definition": "refund", "key": "k", "input": {"amount": "5"}}, (422, "schema_mismatch")),
        ({"definition": "refund", "key": "k"}, (422, "schema_mismatch")),
        ({"definition": "nothing", "key": "k"}, (404, "version_unknown")),
        ({"definition": "refund@9", "key": "k"}, (404, "version_unknown")),
        ({"definition": "refund", "key": "k" * 500, "input": {"amount": 5}}, (422, "id_too_long")),
        ({"definition": "refund", "input": {"amount": 5}}, (422, "request_invalid")),
        ({"definition": "refund", "key": "k", "inputs": {}}, (422, "request_invalid")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_start_that_does_not_fit_is_refused_before_anything_is_appended(
    client: TestClient, log: MemoryLog, body: Any, expected: tuple[int, str]
) -> None:
    assert code(client.post("/runs", json=body)) == expected
    assert log.simulation.runs() == []


def test_a_run_tells_how_far_each_of_its_steps_is(client: TestClient, start: Start) -> None:
    run = client.get(f"/runs/{start()}").json()

    assert (run["status"], run["at"], run["key"]) == ("open", {"ask": "awaiting approval"}, "R-1")
    (ask,) = run["steps"]
    assert (ask["id"], ask["state"], ask["approval"]["text"]) == ("ask", "awaiting_approval", "Pay 5 back?")


def test_the_transitions_of_a_run_come_in_order(client: TestClient, start: Start) -> None:
    told = client.get(f"/runs/{start()}/transitions").json()["rows"]

    assert [(one["seq"], one["type"]) for one in told] == [(1, "RunStarted"), (2, "ApprovalRequested")]


def test_waiting_for_a_command_ends_when_it_is_applied(client: TestClient, start: Start) -> None:
    run = start()
    command = client.post(f"/runs/{run}/cancel", json={"reason": "asked twice"}).json()["command"]

    answer = client.get(f"/runs/{run}", params={"wait": command})

    assert (answer.json()["status"], answer.json()["ended"]) == ("cancelled", "asked twice")


def test_waiting_for_a_command_that_was_refused_tells_why(client: TestClient, start: Start) -> None:
    run = start()
    for verb, body in (("retry", {"step": "ask"}), ("skip", {"step": "ask"}), ("fail", {"reason": "no"})):
        command = client.post(f"/runs/{run}/{verb}", json=body).json()["command"]
        assert code(client.get(f"/runs/{run}", params={"wait": command})) == (409, "not_parked")


def test_a_request_for_a_run_that_has_ended_is_answered_with_its_end(client: TestClient, start: Start) -> None:
    run = start()
    client.post(f"/runs/{run}/cancel", json={"reason": "asked twice"})

    for verb, body in (("cancel", {}), ("retry", {"step": "ask"}), ("skip", {"step": "ask"}), ("fail", {})):
        command = client.post(f"/runs/{run}/{verb}", json=body).json()["command"]
        answer = client.get(f"/runs/{run}", params={"wait": command})
        assert code(answer) == (409, "run_ended")
        assert "cancelled (asked twice)" in answer.json()["detail"]


def test_the_end_of_a_run_may_be_read_later_than_the_refusal(
    client: TestClient, start: Start, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    client.post(f"/runs/{run}/cancel")
    command = client.post(f"/runs/{run}/cancel").json()["command"]
    whole = log.simulation.history(run)
    read = iter([whole[:2], whole[:2], whole])

    async def history(run: str) -> list[Transition]:
        return next(read)

    monkeypatch.setattr(log, "history", history)
    assert code(client.get(f"/runs/{run}", params={"wait": command})) == (409, "run_ended")


def test_waiting_for_a_command_that_nobody_answers_ends_in_time(client: TestClient, start: Start) -> None:
    answer = client.get(f"/runs/{start()}", params={"wait": "request/unheard-of", "timeout_s": 0})

    assert code(answer) == (504, "unanswered")


def test_a_run_that_is_not_there_is_told_from_what_is_no_run_id(client: TestClient) -> None:
    assert code(client.get(f"/runs/{NO_RUN}")) == (404, "run_unknown")
    assert code(client.get("/runs/nonsense")) == (404, "no_run_id")
    assert code(client.post("/runs/nonsense/cancel")) == (404, "no_run_id")
    command = client.post(f"/runs/{NO_RUN}/cancel").json()["command"]
    assert code(client.get(f"/runs/{NO_RUN}", params={"wait": command})) == (404, "run_unknown")
