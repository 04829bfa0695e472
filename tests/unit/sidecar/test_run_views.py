"""What the sidecar tells of one run: pages of transitions, moments, Gantt, reasons, differences, diagrams, restarts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_definitions import publish
from tests.unit.sidecar.test_runs import NO_RUN, code

Start = Callable[..., str]
VIEWS = ("state", "gantt", "why?step=ask", f"compare?with={NO_RUN}", "diagram.mmd", "diagram.svg", "transitions")


@pytest.fixture
def run(client: TestClient, start: Start) -> str:
    """A run that has completed, with four transitions or more."""
    name = start()
    decision = {"decision": "approved", "by": "alice", "data": {"note": "fine"}}
    assert client.post(f"/runs/{name}/approvals/ask", json=decision).status_code == 200
    return name


def seqs(client: TestClient, run: str, **query: object) -> tuple[list[int], int | None]:
    page = client.get(f"/runs/{run}/transitions", params=query).json()  # type: ignore[arg-type]
    return [row["seq"] for row in page["rows"]], page["next"]


def test_transitions_come_in_pages_from_both_ends(client: TestClient, run: str) -> None:
    everything, more = seqs(client, run)
    assert (everything, more) == (list(range(1, len(everything) + 1)), None)
    assert len(everything) >= 4
    assert seqs(client, run, limit=2) == ([1, 2], 2)
    assert seqs(client, run, limit=2, after=2)[0] == [3, 4]
    assert seqs(client, run, limit=2, newest_first=True) == (everything[-1:-3:-1], everything[-2])
    assert seqs(client, run, newest_first=True, before=3) == ([2, 1], None)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=-1", "before=0", "limit=x", "newest_first=perhaps"])
def test_a_page_that_cannot_be_is_refused(client: TestClient, run: str, query: str) -> None:
    assert code(client.get(f"/runs/{run}/transitions?{query}")) == (422, "request_invalid")


def test_a_run_is_told_as_it_was(client: TestClient, run: str) -> None:
    before, after = (client.get(f"/runs/{run}/state", params=query).json() for query in ({"seq": 2}, {}))

    assert (before["status"], before["at"], before["values"]["steps"]) == ("open", {"ask": "awaiting approval"}, {})
    assert (after["status"], after["values"]["steps"]["pay"]) == ("completed", {"paid": 5})
    assert code(client.get(f"/runs/{run}/state", params={"seq": 99})) == (404, "seq_unknown")


def test_a_run_has_a_gantt(client: TestClient, run: str) -> None:
    found = client.get(f"/runs/{run}/gantt").json()

    assert [row["step"] for row in found["rows"]] == ["ask", "pay"]
    assert found["ended"] is True


def test_a_step_tells_why_it_ran_or_waits(client: TestClient, run: str, start: Start) -> None:
    ran = client.get(f"/runs/{run}/why", params={"step": "pay"}).json()
    waits = client.get(f"/runs/{start()}/why", params={"step": "ask"}).json()

    assert (ran["verdict"], ran["sentence"]) == ("ran", "pay ran because ask ended as approved and is done.")
    assert (waits["verdict"], waits["who"]) == ("waits", ["alice", "managers"])
    assert code(client.get(f"/runs/{run}/why", params={"step": "nothing"})) == (404, "step_unknown")


def test_two_runs_are_compared(client: TestClient, run: str, start: Start) -> None:
    other = start(amount=6)

    found = client.get(f"/runs/{run}/compare", params={"with": other}).json()

    assert (found["same"], found["first"]["differs"][0]["what"]) == (False, "start")
    assert client.get(f"/runs/{run}/compare", params={"with": run}).json()["same"] is True


def test_a_run_is_drawn_with_how_far_it_is(client: TestClient, run: str) -> None:
    assert "class n" in client.get(f"/runs/{run}/diagram.mmd").text
    picture = client.get(f"/runs/{run}/diagram.svg")
    assert (picture.headers["content-type"], picture.text[:4]) == ("image/svg+xml", "<svg")


@pytest.mark.parametrize("view", VIEWS)
def test_a_run_that_is_not_there_has_no_views(client: TestClient, view: str) -> None:
    assert code(client.get(f"/runs/{NO_RUN}/{view}")) == (404, "run_unknown")
    assert code(client.get(f"/runs/nonsense/{view}")) == (404, "no_run_id")


def test_a_run_starts_again_by_a_newer_version_once(client: TestClient, start: Start, log: MemoryLog) -> None:
    run = start()
    publish(client)

    first = client.post(f"/runs/{run}/restart", json={"reason": "corrected"})
    second = client.post(f"/runs/{run}/restart", json={})

    assert (first.status_code, first.json()["version"], first.json()["restart_of"]) == (201, "2", run)
    assert (second.status_code, second.json()["run"]) == (200, first.json()["run"])
    assert client.get(f"/runs/{run}").json()["status"] == "cancelled"
    assert len(log.simulation.runs()) == 2


def test_a_restart_that_would_change_nothing_is_refused(client: TestClient, start: Start, run: str) -> None:
    assert code(client.post(f"/runs/{start()}/restart", json={})) == (409, "version_same")
    assert code(client.post(f"/runs/{run}/restart", json={"version": "1"})) == (409, "run_completed")
    assert code(client.post(f"/runs/{start()}/restart", json={"version": "9"})) == (404, "version_unknown")
