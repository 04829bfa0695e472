"""Attacks on every route that there is: none fails, none lets a stranger in, none tells what is another's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streamflow.access import keys
from streamflow.access.changes import add_user, change_user
from streamflow.access.key_changes import add_key, revoke_key
from streamflow.access.rates import Rates
from streamflow.history.reader import HistoryReader
from streamflow.history.sqlite import Sqlite
from streamflow.operations.callbacks import API_PATH
from streamflow.settings import History
from streamflow.sidecar.guard import is_open
from tests.access import MemoryAccess
from tests.conftest import TEST_ALL
from tests.sidecar_log import MemoryLog
from tests.unit.history.bench import Projector, a_store, records_of
from tests.unit.sidecar.users.every_route import Route, places_in, put, routes_of
from tests.unit.sidecar.users.people import PASSWORD, Clock, bearer, key_of, log_in, start, tokens
from tests.unit.sidecar.users.test_access import CROSS_SITE

V = TypeVar("V")

# called by machines, which prove with a signature in the request who they are, and never by a browser
_SIGNED = ("/callbacks", "/session/oidc/backchannel")

MARK = "<script>alert('mark')</script>"
NAMES = [
    "..",
    "../../../etc/passwd",
    "..\\..\\x",
    ".",
    "x/../y",
    "\0",
    "a\0b",
    "a\r\nX-Injected: mark",
    "a" * 20_000,
    "é\u202e",
    "\ufffe",
    "'; DROP TABLE runs; --",
    "%2e%2e%2f",
    "${env:HOME}",
    MARK,
    "-1",
    "9" * 400,
    "null",
]
NAMES_OF_BYTES = ["%ff", "%c0%ae", "%ed%a0%80", "%00", "%2e%2e%2f%2e%2e", "..;/x"]
QUERIES = ["", "-1", "0", "9" * 30, "1e400", "NaN", "x", "\0", "a\r\nX-Injected: mark", "é" * 5000, MARK, "[]", "'\"--"]
QUERIES_OF_BYTES = ["%ff", "%ed%a0%80"]
TEXTS = [
    b'"\\u0000"',
    b'"\\ud800"',
    b'"a\\r\\nX-Injected: mark"',
    b'"../../../etc/passwd"',
    b'"' + b"x" * 200_000 + b'"',
    json.dumps(MARK).encode(),
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 400,
    b"-1",
    b"null",
    b"[[]]",
    b"true",
    b'{"a": 1, "a": 2}',
    b'{"__proto__": {"admin": true}, "$ref": "#"}',
    b"[" * 3000 + b"]" * 3000,
]
BODIES = [
    b"",
    b"{",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" + b"0," * 100_000 + b"0]",
    b"null",
    b"[]",
    b'"x"',
    b"NaN",
    b'{"\\ud800": 1}',
]
HOSTILE_HEADERS = {
    "Last-Event-ID": ["-1", "9" * 400, "x\x01", "1e5", "\xff"],
    "If-Match": ['"', "9" * 400, "-1", "*", "\xff"],
    "Accept": ["text/event-streamx", "\xff", "," * 5000],
    "Cookie": ["streamflow_access=\x01", "=;" * 5000, "streamflow_access=a.b.c"],
    "Authorization": ["Bearer a.b.c", "Bearer " + "x" * 20_000, "Bearer sfk_" + "0" * 12, "Basic Og==", "\xff"],
    "X-Correlation-Id": ["a" * 20_000, "\x01", MARK],
    "traceparent": ["00-" + "0" * 32, "00-" + "f" * 32 + "-" + "f" * 16 + "-01", "\xff"],
    "Content-Type": ["application/json; charset=utf-16", "text/html", "multipart/form-data; boundary=x", "\xff"],
}


@pytest.fixture(scope="module")
def routes(app: FastAPI) -> list[Route]:
    found = routes_of(app)
    assert len(found) > 80
    assert {is_open(one.method, API_PATH + one.path) for one in found} == {True, False}
    return found


@pytest.fixture
def store(place: TestClient, app: FastAPI, tmp_path: Path) -> Iterator[Sqlite]:
    """A history store that the sidecar reads."""
    state, made = app.state.streamflow, a_store(tmp_path)
    reader = HistoryReader(state.settings.model_copy(update={"history": History(path=tmp_path / "history.db")}))
    app.state.streamflow = replace(state, history=reader)
    yield made
    asyncio.run(reader.close())
    made.close()
    app.state.streamflow = state


@pytest.fixture
def root(place: TestClient, access: MemoryAccess, app: FastAPI, store: Sqlite) -> dict[str, str]:
    """Headers of an admin. Everybody may ask as often as they like."""
    app.state.streamflow.identity.rates = Rates(
        requests_per_minute=10**7, attempts_per_minute=10**7, changes_per_minute=10**7
    )
    return bearer(key_of(access, "root"))


@pytest.fixture
def owned(place: TestClient, root: dict[str, str], store: Sqlite, log: MemoryLog) -> dict[str, str]:
    """What `limited` has no right to: ids by the name of the parameter, of a refund and of what is root's own."""
    run = str(start(place, root, "refund").json()["run"])
    Projector(store).take(records_of(log.simulation.history(run)))
    job = {"action": "cancel", "filter": {"definition": "refund"}, "reason": "root's own reason"}
    session = bearer(tokens(place, "root")["access_token"])
    answers = {
        "job": place.post("/jobs", json=job, headers=root),
        "key": place.post("/keys", json={"name": "root's own key"}, headers=session),
        "view": place.put("/views/own", json={"name": "root's own view", "page": "runs", "query": ""}, headers=root),
    }
    assert {name: one.status_code // 100 for name, one in answers.items()} == {"job": 2, "key": 2, "view": 2}
    assert answers["job"].json()["total"] == 1
    return {
        "run": run,
        "job": answers["job"].json()["id"],
        "key": answers["key"].json()["id"],
        "session": place.get("/sessions", headers=root).json()[0]["id"],
        "view": "own",
    }


def fault(answer: Any) -> str:
    """What is wrong with an answer to a hostile request; empty if nothing is."""
    if answer.status_code >= 500 and answer.json().get("code") in ("internal_error", None):
        return f"{answer.status_code} {answer.text[:200]}"
    if "x-injected" in answer.headers:
        return "a header was injected"
    if answer.status_code >= 400 and answer.headers["content-type"] != "application/problem+json":
        return f"{answer.status_code} is no problem: {answer.headers['content-type']}"
    if "/etc/passwd" in answer.text and "root:" in answer.text:
        return "a file of this machine"
    kind = answer.headers.get("content-type", "")
    if MARK in answer.text and not kind.startswith(("application/", "text/plain", "text/event-stream")):
        return f"a script in {kind}"
    return ""


def some(values: Sequence[V], turn: int) -> Sequence[V]:
    """All values in `make test-full`; in `make test` a third of them, by turns: each is tried on many routes."""
    return values if TEST_ALL else values[turn % 3 :: 3]


def is_endless(route: Route) -> bool:
    """Whether an answer of the route may be a stream that goes on."""
    return route.path.endswith("/events") and route.method == "GET"


def asked(place: TestClient, route: Route, path: str, **more: Any) -> Any:
    """The answer, with a body where the route takes one."""
    if route.body is not None and "content" not in more:
        more["json"] = route.body
    return place.request(route.method, path, **more)


def test_names_in_paths(place: TestClient, routes: list[Route], root: dict[str, str]) -> None:
    wrong = []
    every = [*(quote(one, safe="") for one in NAMES), *NAMES_OF_BYTES]
    for turn, route in enumerate(routes):
        for name in route.named:
            for value in some(every, turn):
                said = fault(asked(place, route, route.at(**{name: value}), headers=root))
                wrong += [(route.label, name, value[:40], said)] if said else []
    assert wrong == []


def test_values_of_queries(place: TestClient, routes: list[Route], root: dict[str, str]) -> None:
    run = start(place, root, "refund").json()["run"]
    wrong = []
    every = [*(quote(one, safe="") for one in QUERIES), *QUERIES_OF_BYTES]
    for turn, route in enumerate(routes):
        path = route.at(run=run, name="refund", version="1", step="ask")
        for name in route.queries:
            for value in every if name in ("limit", "cursor", "after", "before") else some(every, turn):
                if name in ("timeout_s", "wait") or is_endless(route):
                    continue
                answer = asked(place, route, f"{path}?{quote(name)}={value}", headers=root)
                if said := fault(answer):
                    wrong.append((route.label, name, value[:40], said))
                if name == "limit" and value == "9" * 30 and answer.status_code < 400:
                    wrong.append((route.label, name, value, "a huge limit is taken"))
    assert wrong == []


def test_bodies_that_are_no_json_and_values_of_every_field(
    place: TestClient, routes: list[Route], root: dict[str, str]
) -> None:
    wrong = []
    for turn, route in enumerate(routes):
        if route.body is None:
            continue
        hole = json.dumps("a hole for a value")
        bodies = list(BODIES)
        for at in places_in(route.body):
            bodies += [
                json.dumps(put(route.body, at, json.loads(hole))).encode().replace(hole.encode(), one)
                for one in some(TEXTS, turn)
            ]
        path = route.at(name="refund", version="1")
        for body in bodies:
            headers = root | {"content-type": "application/json"}
            if said := fault(place.request(route.method, path, content=body, headers=headers)):
                wrong.append((route.label, body[:100], said))
    assert wrong == []


def test_headers(place: TestClient, routes: list[Route], root: dict[str, str]) -> None:
    wrong = []
    for turn, route in enumerate(routes):
        for name, values in HOSTILE_HEADERS.items():
            for value in some(values, turn):
                kept = [(one, text) for one, text in root.items() if one != name]
                pairs: Any = [*kept, (name.encode(), value.encode("latin-1"))]
                if said := fault(asked(place, route, route.at(), headers=pairs)):
                    wrong.append((route.label, name, value[:40], said))
    assert wrong == []


def lost_keys(access: MemoryAccess, clock: Clock) -> dict[str, str]:
    """Keys of an admin that are good no more, by the code of the refusal."""
    found = {"key_revoked": key_of(access, "root", "1" * 12)}
    access.change(lambda d, now: revoke_key(d, now, id="1" * 12))
    secret = keys.new_secret()
    ends = int(clock.s * 1000) + 1000
    access.change(
        lambda d, now: add_key(d, now, id="2" * 12, digest=keys.digest(secret), user="root", name="x", expires_ms=ends)
    )
    found["key_expired"] = keys.token("2" * 12, secret)
    clock.s += 2
    access.change(lambda d, now: add_user(d, now, id="off", name="off"))
    found["user_disabled"] = key_of(access, "off", "3" * 12)
    access.change(lambda d, now: change_user(d, now, name="off", disabled=True))
    found["key_wrong"] = keys.token("4" * 12, keys.new_secret())
    return found


def test_a_key_that_is_good_no_more_opens_no_route(
    place: TestClient, routes: list[Route], access: MemoryAccess, clock: Clock, root: dict[str, str]
) -> None:
    wrong = []
    for code, token in lost_keys(access, clock).items():
        for route in routes:
            answer = asked(place, route, route.at(), headers=bearer(token))
            if not is_open(route.method, API_PATH + route.path) and answer.json().get("code") != code:
                wrong.append((route.label, code, answer.status_code, answer.text[:100]))
    assert wrong == []


@pytest.mark.parametrize("headers", CROSS_SITE.values(), ids=CROSS_SITE)
def test_no_other_site_changes_anything_by_any_route(
    place: TestClient,
    routes: list[Route],
    access: MemoryAccess,
    log: MemoryLog,
    root: dict[str, str],
    headers: dict[str, str],
) -> None:
    log_in(place, "root", cookie=True)
    run = start(place, root, "refund").json()["run"]
    before = dict(access.directory.values), log.simulation.history(run), len(log.published.versions)
    wrong = []
    for route in routes:
        if route.method == "GET" or route.path.startswith(_SIGNED):
            continue
        path = route.at(run=run, name="refund", version="1", step="ask")
        logging_in = {"user": "root", "password": PASSWORD, "cookie": True}
        body = {"/session": logging_in, "/session/refresh": {}}.get(route.path, route.body)  # with the cookie's token
        answer = place.request(route.method, path, json=body, headers=headers)
        if answer.json().get("code") not in ("csrf_refused", "host_unknown"):
            wrong.append((route.label, answer.status_code, answer.text[:100]))
    assert wrong == []
    assert (dict(access.directory.values), log.simulation.history(run), len(log.published.versions)) == before


def test_a_run_of_another_definition_is_not_there_by_any_route(
    place: TestClient, routes: list[Route], limited: dict[str, str], root: dict[str, str], log: MemoryLog
) -> None:
    """`limited` may operate `survey`; what is asked of the run of a refund is answered as of one that is not there."""
    run = start(place, root, "refund").json()["run"]
    absent = "0" * 8 + run[8:]
    before = log.simulation.history(run)
    wrong = []
    for route in routes:
        if "run" not in route.named:
            continue
        body = {"json": {"decision": "approved"}} if route.path.endswith("approvals/{step}") else {}
        query = "?step=ask&seq=1&with=" + run
        found, none = (
            asked(place, route, route.at(run=one, step="ask") + query, headers=limited, **body) for one in (run, absent)
        )
        said = [
            (one.status_code, one.json().get("code"), one.text.replace(run, "RUN").replace(absent, "RUN"))
            for one in (found, none)
        ]
        if said[0] != said[1] or found.status_code < 400 or "refund" in found.text:
            wrong.append((route.label, *said))
    assert wrong == []
    assert log.simulation.history(run) == before


def test_another_definition_is_not_there_by_any_route(
    place: TestClient, routes: list[Route], limited: dict[str, str], root: dict[str, str], log: MemoryLog
) -> None:
    wrong, before = [], dict(log.published.versions)
    for route in routes:
        if not route.path.startswith("/definitions/{name}"):
            continue
        found, none = (
            asked(place, route, route.at(name=one, version="1") + "?from=1", headers=limited)
            for one in ("refund", "nothing")
        )
        said = [(one.status_code, one.json().get("code")) for one in (found, none)]
        if said[0] != said[1] or found.status_code < 400:
            wrong.append((route.label, *said, found.text[:200]))
    assert wrong == []
    assert log.published.versions == before


def test_lists_tell_nothing_of_what_is_another_s(
    place: TestClient, routes: list[Route], limited: dict[str, str], root: dict[str, str], owned: dict[str, str]
) -> None:
    marks = [owned["run"], owned["job"], owned["key"], owned["session"], "root's own"]
    found, wrong = set[str](), []
    for route in routes:
        if route.method != "GET" or route.named:
            continue
        answers = [place.get(route.path, headers=headers, follow_redirects=False).text for headers in (root, limited)]
        found |= {mark for mark in marks if mark in answers[0]}
        wrong += [(route.label, mark) for mark in marks if mark in answers[1]]
    assert wrong == []
    assert found == set(marks), "what an admin is shown nowhere, nobody looks for here"


def test_what_is_another_s_is_not_there_by_its_id(
    place: TestClient, routes: list[Route], access: MemoryAccess, limited: dict[str, str], owned: dict[str, str]
) -> None:
    before, asked_for = dict(access.directory.values), 0
    wrong = []
    for route in routes:
        kind = {"job": "job", "/keys/{id}": "key", "/sessions/{id}": "session", "/views/{id}": "view"}
        name = next((one for part, one in kind.items() if f"{{{part}}}" in route.path or part in route.path), None)
        if name is None or not {"id", "job"} & set(route.named) or route.method == "PUT":
            continue
        asked_for += 1
        found, none = (
            asked(place, route, route.at(id=one, job=one), headers=limited) for one in (owned[name], owned[name][::-1])
        )
        said = [(one.status_code, one.json().get("code")) for one in (found, none)]
        if said[0] != said[1] or found.status_code < 400:
            wrong.append((route.label, *said, found.text[:100]))
    assert wrong == []
    assert asked_for >= 6
    assert dict(access.directory.values) == before


def test_no_answer_is_taken_for_another_kind_than_it_is(
    place: TestClient, routes: list[Route], root: dict[str, str]
) -> None:
    """Whatever a stranger wrote is shown as data: no answer may be read as a page."""
    wrong = []
    for route in routes:
        if is_endless(route):
            continue
        answer = asked(place, route, route.at(name="refund", version="1"), headers=root)
        kind = answer.headers.get("content-type", "")
        if answer.headers.get("x-content-type-options") != "nosniff":
            wrong.append((route.label, answer.status_code, "no nosniff"))
        if kind.startswith("text/html"):
            wrong.append((route.label, answer.status_code, kind))
    assert wrong == []
