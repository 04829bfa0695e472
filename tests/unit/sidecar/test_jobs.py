"""Jobs over HTTP: previewed, started, done by whichever sidecar, and told run by run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from streamflow.access.changes import add_grant, add_user, change_user, remove_grant
from streamflow.access.rights import Permission, Principal, Right, Role
from streamflow.engine.transitions import ENDINGS
from streamflow.errors import OperationError
from streamflow.history.reader import HistoryReader
from streamflow.ops.jobs import Job, Target, added, held
from streamflow.settings import Settings
from streamflow.sidecar import principal
from streamflow.sidecar.job_rights import owner_rights
from streamflow.sidecar.job_runner import JobRunner, command_of
from streamflow.sidecar.principal import EVERY_RIGHT
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.history.bench import Projector, a_store, records_of
from tests.unit.sidecar.test_runs import code

Start = Callable[..., str]


@pytest.fixture
def runs(app: FastAPI, client: TestClient, settings: Settings, log: MemoryLog, start: Start) -> Iterator[list[str]]:
    """Two open runs of `refund` and one of `survey`, in the history store too."""
    found = [start("refund", "R-1"), start("refund", "R-2"), start("survey", "S-1")]
    store = a_store(settings.history.path.parent)
    projector = Projector(store)
    for run in found:
        projector.take(records_of(log.simulation.history(run)))
    store.close()
    reader = HistoryReader(settings)
    app.state.streamflow = replace(app.state.streamflow, history=reader)
    yield found
    asyncio.run(reader.close())


def ask(client: TestClient, action: str = "cancel", **filter: str) -> Any:
    return client.post("/jobs", json={"action": action, "filter": filter, "reason": "by mistake"})


def work(log: MemoryLog, access: MemoryAccess | None = None) -> None:
    asyncio.run(JobRunner(log, owner_rights(access or MemoryAccess())).work())


@pytest.mark.parametrize(
    ("action", "filter", "n"),
    [
        ("cancel", {}, 3),
        ("cancel", {"status": "open"}, 3),
        ("cancel", {"definition": "refund"}, 2),
        ("cancel", {"key": "S-1"}, 1),
        ("cancel", {"status": "parked"}, 0),
        ("cancel", {"status": "completed"}, 0),
        ("retry", {}, 0),
        ("skip", {"status": "open"}, 0),
    ],
)
def test_a_preview_tells_how_many_runs_it_would_be(
    client: TestClient, log: MemoryLog, runs: list[str], action: str, filter: dict[str, str], n: int
) -> None:
    answer = client.post("/jobs", json={"action": action, "filter": filter, "preview": True})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["count"]["n"], len(answer.json()["sample"])) == (n, n)
    assert log.jobs.read(lambda board: board.jobs()) == []


def test_every_run_has_a_result(client: TestClient, log: MemoryLog, runs: list[str]) -> None:
    made = ask(client, definition="refund")
    assert made.status_code == 202, made.text
    job = made.json()
    assert (job["state"], job["total"], job["done"], job["who"]) == ("running", 2, 0, "local")
    ended, left, other = runs
    assert client.post(f"/runs/{ended}/cancel").status_code == 202

    work(log)

    told = client.get(f"/jobs/{job['id']}").json()
    assert (told["state"], told["done"], told["failed"], told["applied"]) == ("done", 2, 1, 1)
    results = {row["run"]: row for row in client.get(f"/jobs/{job['id']}/results").json()["rows"]}
    assert (results[ended]["outcome"], results[ended]["code"]) == ("refused", "run_ended")
    assert results[left] == {"run": left, "outcome": "applied"}
    assert log.simulation.history(left)[-1].data.reason == "by mistake"
    assert log.simulation.history(other)[-1].type != "RunCancelled"
    assert [one["id"] for one in client.get("/jobs").json()["rows"]] == [job["id"]]
    (entry,) = client.get(f"/audit?action=job.&target={job['id']}").json()["rows"]
    assert entry["after"]["runs"] == 2


def test_results_come_in_pages(client: TestClient, log: MemoryLog, runs: list[str]) -> None:
    job = ask(client).json()["id"]
    assert client.get(f"/jobs/{job}/results").json() == {"rows": [], "next": None}
    work(log)
    first = client.get(f"/jobs/{job}/results?limit=2").json()
    rest = client.get(f"/jobs/{job}/results", params={"cursor": first["next"], "limit": 2}).json()
    assert {row["run"] for row in (*first["rows"], *rest["rows"])} == set(runs)
    assert rest["next"] is None
    assert client.get(f"/jobs/{job}/results?outcome=refused").json()["rows"] == []


def test_a_job_of_a_sidecar_that_is_gone_is_taken_over_and_done_once(
    client: TestClient, log: MemoryLog, runs: list[str]
) -> None:
    id = ask(client, key="R-1").json()["id"]
    log.jobs.write(lambda board, now_ms: held(board, id, "gone", now_ms))
    work(log)
    assert client.get(f"/jobs/{id}").json()["state"] == "running"  # the other one may still be there

    job = log.jobs.read(lambda board: board.job(id))
    assert job is not None
    asyncio.run(log.ask(command_of(job, Target(runs[0], ""))))  # appended, and its result not written
    log.jobs.write(lambda board, _now_ms: held(board, id, "gone", -60_000))
    work(log)
    assert client.get(f"/jobs/{id}").json()["applied"] == 1


def test_a_broker_that_is_away_leaves_the_job_to_be_done(
    client: TestClient, log: MemoryLog, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    id = ask(client).json()["id"]

    async def away(*_: object, **__: object) -> Any:
        raise OperationError("broker_unreachable", "The broker is away. Try again.")

    with monkeypatch.context() as patch:
        patch.setattr(log, "ask", away)
        with pytest.raises(OperationError):
            work(log)
    assert client.get(f"/jobs/{id}").json()["done"] == 0
    work(log)
    assert client.get(f"/jobs/{id}").json()["applied"] == 3


def test_runs_of_a_job_that_cannot_be_read_are_unanswered_and_the_job_ends(
    client: TestClient, log: MemoryLog, runs: list[str]
) -> None:
    broken, good = ask(client, definition="refund").json()["id"], ask(client, key="S-1").json()["id"]
    assert not log.jobs.read(lambda board: board.take(f"targets/{broken}/0", b"nonsense"))

    work(log)

    told = client.get(f"/jobs/{broken}").json()
    assert (told["state"], told["applied"], told["unanswered"]) == ("done", 0, 2)
    assert client.get(f"/jobs/{good}").json()["applied"] == 1


def test_a_job_that_fails_keeps_no_other_from_being_done(client: TestClient, log: MemoryLog, runs: list[str]) -> None:
    failing, good = ask(client, definition="refund").json()["id"], ask(client, key="S-1").json()["id"]

    def require(job: Job, target: Target) -> None:
        if job.id == failing:
            raise RecursionError("maximum recursion depth exceeded")

    with capture_logs() as lines:
        asyncio.run(JobRunner(log, require).work())

    assert [(line["event"], line["job"]) for line in lines if line["log_level"] == "error"] == [("job_failed", failing)]
    assert client.get(f"/jobs/{good}").json()["applied"] == 1
    assert client.get(f"/jobs/{failing}").json()["state"] == "running"


def test_the_runner_outlives_whatever_it_meets(
    client: TestClient, log: MemoryLog, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    id = ask(client, key="S-1").json()["id"]
    looks: list[int] = []
    read = log.jobs.read

    def once_broken(look: Callable[[Any], Any]) -> Any:
        looks.append(1)
        if len(looks) == 1:
            raise RecursionError("maximum recursion depth exceeded")
        return read(look)

    async def until_done() -> None:
        runner = JobRunner(log, owner_rights(MemoryAccess()))
        task = asyncio.create_task(runner.run())
        async with asyncio.timeout(30):
            while not task.done() and (found := read(lambda board: board.job(id))) is not None and not found.ended_ms:
                runner.wake()
                await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()

    with monkeypatch.context() as patch:
        patch.setattr(log.jobs, "read", once_broken)
        asyncio.run(until_done())
    assert client.get(f"/jobs/{id}").json()["applied"] == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"action": "erase", "filter": {}, "reason": "x"}, (422, "request_invalid")),
        ({"action": "cancel", "reason": "x"}, (422, "request_invalid")),
        ({"action": "cancel", "filter": {}}, (422, "reason_missing")),
        ({"action": "cancel", "filter": {}, "reason": " "}, (422, "reason_missing")),
        ({"action": "cancel", "filter": {"kye": "A-1"}, "reason": "x"}, (422, "filter_invalid")),
        ({"action": "cancel", "filter": {"attr.A": "1"}, "reason": "x"}, (422, "filter_invalid")),
        ({"action": "cancel", "filter": {"attr.a": {}}, "reason": "x"}, (422, "filter_invalid")),
        ({"action": "cancel", "filter": {"version": "1"}, "reason": "x"}, (422, "filter_invalid")),
        ({"action": "cancel", "filter": {"key": ["A-1"]}, "reason": "x"}, (422, "request_invalid")),
    ],
)
def test_a_request_that_is_none_starts_nothing(
    client: TestClient, log: MemoryLog, runs: list[str], body: Any, expected: tuple[int, str]
) -> None:
    assert code(client.post("/jobs", json=body)) == expected
    assert log.jobs.read(lambda board: board.jobs()) == []


def test_too_many_runs_are_refused(client: TestClient, runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.sidecar.jobs.LONGEST", 2)
    assert code(ask(client)) == (422, "job_too_large")


def test_a_job_that_is_not_there(client: TestClient) -> None:
    assert code(client.get("/jobs/x")) == code(client.get("/jobs/x/results")) == (404, "job_unknown")


def test_a_right_for_some_definitions_reaches_no_others(
    client: TestClient, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = ask(client).json()["id"]
    may = Permission(EVERY_RIGHT, ("survey",))
    monkeypatch.setattr(principal, "LOCAL", Principal(name="kim", permissions=(may,)))
    own = ask(client).json()
    assert (own["total"], own["definitions"]) == (1, ["survey"])
    assert code(ask(client, definition="refund")) == (403, "right_missing")
    assert [one["id"] for one in client.get("/jobs").json()["rows"]] == [own["id"]]
    assert code(client.get(f"/jobs/{everything}")) == (404, "job_unknown")

    none = ask(client, key="Z-9")
    assert (none.status_code, none.json()["total"]) == (202, 0)
    starts = Permission(EVERY_RIGHT - {Right.READ_JOBS}, ("survey",))
    monkeypatch.setattr(principal, "LOCAL", Principal(name="joe", permissions=(starts,)))
    assert ask(client).status_code == 202

    reads = Permission(EVERY_RIGHT - {Right.OPERATE_RUNS})
    monkeypatch.setattr(principal, "LOCAL", Principal(name="eve", permissions=(reads,)))
    assert code(ask(client)) == (403, "right_missing")


LOST: dict[str, tuple[Callable[[MemoryAccess], Any], list[str]]] = {
    "nothing": (lambda access: None, ["applied", "applied", "applied"]),
    "disabled": (
        lambda access: access.change(lambda d, now: change_user(d, now, name="kim", disabled=True)),
        ["refused", "refused", "refused"],
    ),
    "gone": (lambda access: access.directory.take("user/kim", None), ["refused", "refused", "refused"]),
    "the role": (
        lambda access: access.change(lambda d, now: remove_grant(d, now, id="all")),
        ["refused", "refused", "refused"],
    ),
    "the role for some": (
        lambda access: (
            access.change(
                lambda d, now: add_grant(d, now, id="some", role=Role.OPERATOR, user="kim", definitions=["surv*"])
            ),
            access.change(lambda d, now: remove_grant(d, now, id="all")),
        ),
        ["refused", "refused", "applied"],
    ),
    "a role that a group replaces": (
        lambda access: (
            access.change(lambda d, now: add_grant(d, now, id="group", role=Role.OPERATOR, group="on-call")),
            access.change(lambda d, now: remove_grant(d, now, id="all")),
        ),
        ["applied", "applied", "applied"],
    ),
}


@pytest.mark.parametrize("lost", LOST)
def test_a_job_does_no_more_than_its_owner_may_when_a_run_has_its_turn(log: MemoryLog, start: Start, lost: str) -> None:
    """Whatever the owner lost between the request and the work; the other runs keep their outcomes."""
    change, outcomes = LOST[lost]
    access = MemoryAccess()
    access.change(lambda d, now: add_user(d, now, id="root", name="root", role=Role.ADMIN))
    access.change(lambda d, now: add_user(d, now, id="kim", name="kim"))
    access.change(lambda d, now: add_grant(d, now, id="all", role=Role.OPERATOR, user="kim"))
    runs = [("refund", "R-1"), ("refund", "R-2"), ("survey", "S-1")]
    targets = [Target(start(definition, key), "", definition) for definition, key in runs]
    job = Job(
        id="0123456789abcdef",
        action="cancel",
        filter={},
        reason="by mistake",
        who="kim",
        user="kim",
        groups=("on-call",),
        definitions=("refund", "survey"),
        created_ms=1,
        total=len(targets),
    )
    log.jobs.write(lambda board, _now_ms: added(board, job, targets))

    change(access)
    work(log, access)

    results = log.jobs.read(lambda board: list(board.results(job.id)))
    assert [one.outcome for one in results] == outcomes
    assert {one.code for one in results if one.outcome == "refused"} <= {"right_missing"}
    ended = log.jobs.read(lambda board: board.job(job.id))
    assert ended is not None
    assert (ended.ended_ms is not None, ended.refused) == (True, outcomes.count("refused"))
    open_runs = [
        target.run for target in targets if not isinstance(log.simulation.history(target.run)[-1].data, ENDINGS)
    ]
    assert open_runs == [target.run for target, outcome in zip(targets, outcomes, strict=True) if outcome == "refused"]
