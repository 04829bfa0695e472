"""Rights for some definitions: they reach no others, by any route. And the audit that tells of changes."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from streamflow.access.changes import add_grant, add_user
from streamflow.access.rights import Role
from streamflow.definition.syntax import parse_catalog, parse_definition
from tests.access import MemoryAccess
from tests.sidecar_log import CATALOG, MemoryLog
from tests.unit.sidecar.test_definitions import NEXT, SCENARIOS
from tests.unit.sidecar.test_runs import code
from tests.unit.sidecar.users.people import (
    bearer,
    key_of,
    start,
)


def test_a_role_for_some_definitions_reaches_no_other(
    place: TestClient, access: MemoryAccess, limited: dict[str, str]
) -> None:
    assert code(start(place, limited, "refund")) == (403, "right_missing")
    assert code(start(place, limited, "refund@1")) == (403, "right_missing")
    own = start(place, limited, "survey").json()["run"]
    other = start(place, bearer(key_of(access, "root")), "refund").json()["run"]
    for method, path in (
        ("GET", ""),
        ("GET", "/transitions"),
        ("POST", "/cancel"),
        ("POST", "/fail"),
        ("POST", "/approvals/ask"),
    ):
        body = {"decision": "approved"} if "approvals" in path else {}
        answer = place.request(method, f"/runs/{other}{path}", json=body, headers=limited)
        absent = place.request(method, f"/runs/{'0' * len(other[:8])}{other[8:]}{path}", json=body, headers=limited)
        assert code(answer) == (404, "run_unknown"), path
        assert code(absent) == (404, "run_unknown"), path
    assert place.get("/approvals", headers=limited).json() == []
    assert place.get(f"/runs/{own}", headers=limited).status_code == 200
    assert place.post(f"/runs/{own}/cancel", headers=limited).status_code == 202


@pytest.mark.parametrize("action", ["retry", "skip", "fail"])
@pytest.mark.parametrize("view", ["", "/transitions"])
def test_what_a_command_was_refused_with_is_for_those_who_may_read_the_run(
    place: TestClient, access: MemoryAccess, limited: dict[str, str], action: str, view: str
) -> None:
    root = bearer(key_of(access, "root"))
    other = start(place, root, "refund").json()["run"]
    body = {"step": "ask"} if action != "fail" else {}
    command = place.post(f"/runs/{other}/{action}", json=body, headers=root).json()["command"]
    query = {"wait": command, "timeout_s": 1}
    assert code(place.get(f"/runs/{other}{view}", params=query, headers=root))[0] == 409
    assert code(place.get(f"/runs/{other}{view}", params=query, headers=limited)) == (404, "run_unknown")


def test_the_audit_is_listed_newest_first_in_pages(place: TestClient, access: MemoryAccess) -> None:
    root = bearer(key_of(access, "root"))
    run = start(place, root, "refund").json()["run"]
    place.post(f"/runs/{run}/cancel", json={"reason": "by mistake"}, headers=root)

    first = place.get("/audit?limit=1", headers=root).json()
    (row,) = first["rows"]
    assert (row["who"], row["action"], row["target"]) == ("root", "run.cancel", run)
    assert row["after"]["reason"] == "by mistake"
    rest = place.get("/audit", params={"cursor": first["next"]}, headers=root).json()
    assert [one["number"] for one in (*rest["rows"], row)] == [3, 2, 1, 4]
    assert rest["next"] is None
    for query, number in (("action=user.", 2), ("target=nobody", 1), ("who=root", 1), (f"to_ms={row['at_ms']}", 0)):
        assert len(place.get(f"/audit?{query}", headers=root).json()["rows"]) == number, query
    assert code(place.get("/audit?cursor=x", headers=root)) == (422, "request_invalid")


MINE = ("", "/state", "/gantt", "/why?step=ask", "/transitions", "/events", "/diagram.mmd", "/diagram.svg")


def test_views_of_a_run_are_for_those_who_may_read_it(
    place: TestClient, access: MemoryAccess, limited: dict[str, str]
) -> None:
    root = bearer(key_of(access, "root"))
    other, own = start(place, root, "refund").json()["run"], start(place, limited, "survey").json()["run"]
    for view in (*MINE, f"/compare?with={own}"):
        assert code(place.get(f"/runs/{other}{view}", headers=limited)) == (404, "run_unknown"), view
    assert code(place.get(f"/runs/{own}/compare?with={other}", headers=limited)) == (404, "run_unknown")
    assert code(place.post(f"/runs/{other}/restart", json={}, headers=limited)) == (404, "run_unknown")
    assert place.get(f"/runs/{own}/state", headers=limited).status_code == 200


def test_definitions_are_for_those_who_may_read_them(place: TestClient, limited: dict[str, str]) -> None:
    assert [row["definition"] for row in place.get("/definitions", headers=limited).json()["rows"]] == ["survey"]
    for path in ("", "/diff?from=1", "/versions/1", "/versions/1/diagram.mmd", "/versions/1/diagram.svg", "/traffic"):
        assert code(place.get(f"/definitions/refund{path}", headers=limited)) == (403, "right_missing"), path
        assert code(place.get(f"/definitions/nothing{path}", headers=limited)) == (403, "right_missing"), path
    assert place.get("/definitions/survey/versions/1", headers=limited).status_code == 200
    used = [row["used_by"] for row in place.get("/catalog/operations", headers=limited).json()["rows"]]
    assert {name for names in used for name in names} <= {"survey"}


PARENT = """
name: survey-paid
version: "1"
input: {type: object}
steps:
  - {id: pay, run: {definition: refund, version: "1", with: [{name: amount, expr: "5"}]}}
"""
PLAY = "scenarios: [{name: it pays, do: [{start: {key: A-1}}], expect: {}}]"


def test_a_definition_reaches_no_other_by_starting_runs_of_it(place: TestClient, access: MemoryAccess) -> None:
    access.change(lambda d, now: add_user(d, now, id="dev", name="dev", role=Role.DEVELOPER, definitions=["survey*"]))
    own, root = bearer(key_of(access, "dev")), bearer(key_of(access, "root", "d" * 12))
    for route, more in (("shadow", {}), ("approvals", {"hash": "0" * 64})):
        answer = place.post(f"/definitions/{route}", json={"definition": PARENT} | more, headers=own)
        assert code(answer) == (403, "right_missing"), route
    for route, good in (("simulate", 200), ("publish", 201)):
        body = {"definition": PARENT} | ({"scenarios": PLAY} if route == "simulate" else {})
        assert code(place.post(f"/definitions/{route}", json=body, headers=own)) == (403, "right_missing"), route
        answer = place.post(f"/definitions/{route}", json=body, headers=root)
        assert answer.status_code == good, answer.text


def test_a_developer_of_some_definitions_publishes_those(place: TestClient, access: MemoryAccess) -> None:
    access.change(lambda d, now: add_user(d, now, id="dev", name="dev", role=Role.DEVELOPER, definitions=["survey*"]))
    own = bearer(key_of(access, "dev"))
    body = {"definition": NEXT, "catalog": CATALOG}
    assert code(place.post("/definitions/publish", json=body, headers=own)) == (403, "right_missing")
    played = body | {"scenarios": SCENARIOS}
    assert code(place.post("/definitions/simulate", json=played, headers=own)) == (403, "right_missing")
    assert code(place.post("/definitions/samples", json=body, headers=own)) == (403, "right_missing")
    assert code(place.post("/definitions/refund/versions/1/retire", headers=own)) == (403, "right_missing")
    assert not [one for one in access.entries if one.who == "dev"]

    root = bearer(key_of(access, "root"))
    assert place.post("/definitions/publish", json=body, headers=root).status_code == 201
    assert place.post("/definitions/refund/versions/2/retire", headers=root).status_code == 200
    published, retired = access.entries[-2:]
    assert (published.action, published.target, published.before) == (
        "definition.publish",
        "refund@2",
        {"current": "1"},
    )
    assert (retired.action, retired.target) == ("definition.retire", "refund@2")


READER = """
name: {name}
version: "1"
on: [{{id: paid, event: order.paid}}]
steps:
  - {{id: note, print: {{text: "'paid'"}}}}
"""
PAID = """
events:
  - name: order.paid
    topics: [{topic}]
    match: {{path: kind, equals: {match}}}
    key: {{path: order}}
    schema: {schema}
"""
SCHEMA = "{type: object, required: [order], properties: {order: {type: string}}}"


def paid(match: str = "paid") -> str:
    return PAID.format(topic="orders", match=match, schema=SCHEMA)


@pytest.mark.parametrize(
    ("published_by_others", "grants", "missing"),
    [
        ([], ["mine*"], None),
        (["mine-too"], ["mine*"], None),
        (["other"], ["mine*"], ["other"]),
        (["other"], ["mine*", "other"], None),
        (["other", "mine-too", "third"], ["mine*"], ["other", "third"]),
        (["other", "third"], ["mine*", "other"], ["third"]),
        (["other", "third"], ["*"], None),
    ],
    ids=str,
)
def test_to_change_an_event_needs_the_right_for_every_definition_that_reads_it(
    place: TestClient,
    access: MemoryAccess,
    log: MemoryLog,
    published_by_others: list[str],
    grants: list[str],
    missing: list[str] | None,
) -> None:
    for name in published_by_others:
        log.add(parse_definition(READER.format(name=name)), parse_catalog(paid()))
    access.change(lambda d, now: add_user(d, now, id="dev", name="dev"))
    for number, pattern in enumerate(grants):
        access.change(
            lambda d, now, number=number, pattern=pattern: add_grant(  # type: ignore[misc]
                d, now, id=f"dev{number}", role=Role.DEVELOPER, user="dev", definitions=[pattern]
            )
        )
    dev = bearer(key_of(access, "dev", "d" * 12))
    body = {"definition": READER.format(name="mine"), "catalog": paid("PAID"), "create_topics": True}

    answer = place.post("/definitions/publish", json={**body, "change_events": True}, headers=dev)

    if missing is None:
        assert answer.status_code == 201, answer.text
    else:
        assert code(answer) == (403, "right_missing")
        assert f"The event order.paid means something else in {', '.join(missing)}, and dev" in answer.json()["detail"]
        assert code(place.get("/definitions/mine", headers=bearer(key_of(access, "root"))))[0] == 404
    same = {**body, "catalog": paid(), "change_events": True}
    if missing is not None:  # what changes nothing for others needs no right of theirs
        assert place.post("/definitions/publish", json=same, headers=dev).status_code == 201
