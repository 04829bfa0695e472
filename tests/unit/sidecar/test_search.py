"""Searching the history store over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streamflow.access.rights import Permission, Principal
from streamflow.engine import transitions as t
from streamflow.history.projection import Changes
from streamflow.history.reader import HistoryReader
from streamflow.history.rows import LogRow, TroubleRow
from streamflow.history.writer import apply
from streamflow.settings import History, Settings
from streamflow.sidecar import principal
from streamflow.sidecar.principal import EVERY_RIGHT
from streamflow.sidecar.search import NEXT_ACTION
from tests.unit.history.bench import Projector, a_history, a_store, an_event, records_of, started
from tests.unit.sidecar.test_runs import code

PATHS = (
    "/runs",
    "/runs/r-1/logs",
    "/lookup?q=A-1",
    "/events/e-1",
    "/trouble",
    "/trouble/rows",
    "/statistics",
    "/definitions/refund/traffic",
    "/history",
)
BEGUN_MS = time.time_ns() // 1_000_000 - 60_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two runs of `refund`, one of `survey`, trouble of both, and log lines."""
    folder = tmp_path_factory.mktemp("history")
    database = a_store(folder)
    projector = Projector(database, lambda sha: {"city": "trigger.city"})
    runs = (
        (
            "r-1",
            "refund",
            "A-1",
            started(event=an_event(id_="e-1", city="Rome")),
            (t.WaitStarted(events=("paid",), due_ms=None), "pay"),
        ),
        ("r-2", "refund", "A-2", started(event=an_event(id_="run-1/7", city="Oslo")), (t.RunCompleted(ended=()), "")),
        ("s-1", "survey", "A-1", started(event=an_event(id_="e-1", city="Rome")), (t.RunFailed(reason="down"), "")),
    )
    for place, (run, definition, key, *facts) in enumerate(runs):
        projector.take(records_of(a_history(run, *facts, definition=definition, key=key, start_ms=BEGUN_MS + place)))
    changes = Changes()
    changes.logs += [
        LogRow(run="r-1", seq=n, at_ms=BEGUN_MS, role="engine", level="info", event="decided", fields="{}")
        for n in range(4)
    ]
    for kind in NEXT_ACTION:
        for definition in ("refund", "survey"):
            row = TroubleRow(id=f"{kind}/{definition}", kind=kind, definition=definition, at_ms=7)  # type: ignore[arg-type]
            changes.note_trouble(row)
    apply(database, changes)
    database.close()
    return folder / "history.db"


@pytest.fixture
def history(app: FastAPI, client: TestClient, store: Path) -> Iterator[None]:
    """The sidecar reads that store."""
    reader = HistoryReader(Settings(history=History(path=store)))
    app.state.streamflow = replace(app.state.streamflow, history=reader)
    yield
    asyncio.run(reader.close())


def runs_of(client: TestClient, query: str = "") -> list[str]:
    answer = client.get(f"/runs?{query}")
    assert answer.status_code == 200, answer.text
    return [row["run"] for row in answer.json()["rows"]]


@pytest.mark.parametrize("path", PATHS)
def test_without_a_store_every_search_says_so(client: TestClient, path: str) -> None:
    assert code(client.get(path)) == (503, "history_missing")


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("path", PATHS)
def test_every_list_has_rows_and_a_cursor(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] or "traffic" in path
    assert "next" in answer.json()


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["s-1", "r-2", "r-1"]),
        ("sort=started", ["r-1", "r-2", "s-1"]),
        ("definition=refund", ["r-2", "r-1"]),
        ("definition=refund&version=1&status=completed", ["r-2"]),
        ("status=open", ["r-1"]),
        ("key=A-1", ["s-1", "r-1"]),
        ("key_prefix=A-", ["s-1", "r-2", "r-1"]),
        ("attr.city=Rome", ["s-1", "r-1"]),
        ("attr.city=Rome&definition=refund", ["r-1"]),
        ("started_from={begun}", ["s-1", "r-2"]),
        ("started_to={begun}", ["r-1"]),
        ("ended_from={begun}&sort=-ended", ["s-1", "r-2"]),
        ("sort=-duration&status=completed", ["r-2"]),
        ("error=down", []),
        ("parked_step=pay", []),
        ("waits_for=paid", ["r-1"]),
        ("parent=r-1", []),
        ("restart_of=r-1", []),
    ],
)
def test_filters_and_sorts_reach_the_store(client: TestClient, query: str, expected: list[str]) -> None:
    assert runs_of(client, query.format(begun=BEGUN_MS + 1)) == expected


@pytest.mark.usefixtures("history")
def test_lists_come_in_pages_and_are_counted(client: TestClient) -> None:
    first = client.get("/runs?limit=2&count=true").json()
    assert (len(first["rows"]), first["count"]) == (2, {"n": 3, "capped": False})
    assert runs_of(client, f"limit=2&cursor={first['next']}") == ["r-1"]
    assert code(client.get(f"/runs?sort=started&cursor={first['next']}")) == (422, "cursor_invalid")


@pytest.mark.usefixtures("history")
def test_a_right_for_some_definitions_finds_no_others(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principal, "LOCAL", Principal(name="kim", permissions=(Permission(EVERY_RIGHT, ("sur*",)),)))
    assert runs_of(client) == runs_of(client, "definition=survey") == ["s-1"]
    assert client.get("/runs?count=true").json()["count"]["n"] == 1
    assert {row["run"] for row in client.get("/lookup?q=A-1").json()["rows"]} == {"s-1"}
    assert client.get("/lookup?q=r-1").json()["rows"] == []
    assert [row["run"] for row in client.get("/events/e-1").json()["rows"]] == ["s-1"]
    assert {row["n"] for row in client.get("/trouble").json()["rows"]} == {1}
    assert {row["definition"] for row in client.get("/trouble/rows").json()["rows"]} == {"survey"}
    assert {row["n"] for row in client.get("/statistics").json()["rows"]} == {1}
    assert code(client.get("/runs/r-1/logs")) == code(client.get("/runs/nothing/logs")) == (404, "run_unknown")
    assert client.get("/runs/s-1/logs").json()["rows"] == []
    for path in ("/runs", "/trouble", "/trouble/rows", "/statistics"):
        assert code(client.get(f"{path}?definition=refund")) == (403, "right_missing"), path
    assert code(client.get("/definitions/refund/traffic")) == (403, "right_missing")

    monkeypatch.setattr(principal, "LOCAL", Principal(name="eve", permissions=(Permission(EVERY_RIGHT, ("x",)),)))
    for path in ("/runs", "/lookup?q=A-1", "/events/e-1", "/trouble/rows", "/statistics"):
        assert client.get(path).json()["rows"] == [], path
    assert {row["n"] for row in client.get("/trouble").json()["rows"]} == {0}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", "request_invalid"),
        ("limit=201", "request_invalid"),
        ("sort=key", "request_invalid"),
        ("started_from=yesterday", "request_invalid"),
        ("attr.=x", "filter_invalid"),
        ("attr.City=x", "filter_invalid"),
        ("attr.city;drop=x", "filter_invalid"),
        ("attr.a=1&attr.a=2", "filter_invalid"),
        ("&".join(f"attr.a{n}=1" for n in range(17)), "filter_invalid"),
    ],
)
def test_filters_that_cannot_be_are_refused(client: TestClient, query: str, expected: str) -> None:
    assert code(client.get(f"/runs?{query}")) == (422, expected)


@pytest.mark.parametrize(
    "query", ["from_ms=5&to_ms=5", "from_ms=9&to_ms=5", "from_ms=-1&to_ms=5", "from_ms=0&to_ms=99999999999999"]
)
def test_a_range_that_is_none_is_refused(client: TestClient, query: str) -> None:
    assert code(client.get(f"/statistics?{query}")) == (422, "range_invalid")
    assert code(client.get(f"/definitions/refund/traffic?{query}")) == (422, "range_invalid")


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
@pytest.mark.parametrize(
    "path",
    [
        *(f"/runs?{edge}=N" for edge in ("started_from", "started_to", "ended_from", "ended_to")),
        "/runs?started_from=N&status=open&count=true",
        *(f"/trouble/rows?{edge}=N" for edge in ("from_ms", "to_ms")),
        *(
            f"/{route}?{edge}=N"
            for route in ("statistics", "definitions/refund/traffic")
            for edge in ("from_ms", "to_ms")
        ),
        "/runs/r-1/logs?after=N",
        "/jobs/x/results?cursor=N",
        "/audit?from_ms=N",
    ],
)
@pytest.mark.usefixtures("history")
def test_a_number_that_no_column_holds_is_the_callers_to_mend(client: TestClient, path: str, number: int) -> None:
    assert code(client.get(path.replace("N", str(number)))) == (422, "request_invalid")


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63) + 1])
@pytest.mark.parametrize(
    "path",
    [
        *(f"/runs?{edge}=N" for edge in ("started_from", "started_to", "ended_from", "ended_to")),
        *(f"/trouble/rows?{edge}=N" for edge in ("from_ms", "to_ms")),
    ],
)
@pytest.mark.usefixtures("history")
def test_every_number_that_a_column_holds_is_asked_for(client: TestClient, path: str, number: int) -> None:
    assert client.get(path.replace("N", str(number))).status_code == 200


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
@pytest.mark.parametrize("path", ["/runs?sort=-started", "/runs?sort=ended", "/trouble/rows?state=open"])
@pytest.mark.usefixtures("history")
def test_a_forged_cursor_is_none(client: TestClient, path: str, number: int) -> None:
    of = path.partition("sort=")[2] or "trouble"
    for entry in ([number, "x" if of == "trouble" else 1], [1, number]):
        cursor = base64.urlsafe_b64encode(json.dumps([of, *entry]).encode()).decode().rstrip("=")
        if len(cursor) <= 1000:
            assert code(client.get(path, params={"cursor": cursor})) == (422, "cursor_invalid"), entry


@pytest.mark.usefixtures("history")
def test_an_id_of_an_event_may_have_slashes(client: TestClient) -> None:
    found = client.get("/events/run-1%2F7", params={"source": "/shop"}).json()["rows"]
    assert [(row["outcome"], row["run"]) for row in found] == [("started", "r-2")]
    assert client.get("/events/run-1%2F7", params={"source": "/other"}).json()["rows"] == []


@pytest.mark.usefixtures("history")
def test_trouble_tells_what_to_do(client: TestClient) -> None:
    rows = client.get("/trouble").json()["rows"]

    assert {row["kind"]: row["next_action"] for row in rows} == NEXT_ACTION
    assert all(row["newest_ms"] == 7 for row in rows)
    (row,) = client.get("/trouble/rows?kind=parked&definition=survey").json()["rows"]
    assert row["next_action"] == NEXT_ACTION["parked"]


@pytest.mark.usefixtures("history")
def test_the_store_tells_how_far_it_is_behind(client: TestClient) -> None:
    found = client.get("/history").json()
    assert (found["records"], found["seconds"], len(found["rows"])) == (0, 0.0, 1)


@pytest.mark.usefixtures("history")
def test_log_lines_come_in_pages(client: TestClient) -> None:
    first = client.get("/runs/r-1/logs", params={"limit": 2}).json()
    second = client.get("/runs/r-1/logs", params={"limit": 3, "after": first["next"]}).json()
    assert [row["seq"] for row in (*first["rows"], *second["rows"])] == [0, 1, 2, 3]
    assert second["next"] is None


@pytest.mark.usefixtures("history")
def test_traffic_is_of_the_version_that_starts_use(client: TestClient) -> None:
    assert client.get("/definitions/refund/traffic").json()["version"] == "1"
    assert code(client.get("/definitions/nothing/traffic")) == (404, "version_unknown")
