"""Definitions over HTTP: looked at, drawn, compared, checked, played, published and retired."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.sidecar_log import CATALOG, REFUND, MemoryLog
from tests.unit.sidecar.test_runs import code

NEXT = REFUND.replace('version: "1"', 'version: "2"').replace("Pay '", "Refund '")
SCENARIOS = """
scenarios:
  - name: approved
    do:
      - start: {key: A-1, input: {amount: 5}}
      - decide: {step: ask, decision: approved, by: alice, data: {note: fine}}
    expect: {path: [ask.approved, pay], output: {paid: 5}}
"""


def publish(client: TestClient, definition: Any = NEXT, **more: Any) -> Any:
    return client.post("/definitions/publish", json={"definition": definition, "catalog": CATALOG, **more})


def test_every_definition_is_a_row_with_the_version_that_starts_use(client: TestClient) -> None:
    publish(client)

    rows = client.get("/definitions").json()["rows"]

    assert [(row["definition"], row["version"], row["versions"]) for row in rows] == [
        ("refund", "2", 2),
        ("survey", "1", 1),
    ]


def test_a_definition_has_its_versions_newest_first(client: TestClient) -> None:
    publish(client)

    found = client.get("/definitions/refund").json()

    assert found["current"] == "2"
    assert [(row["version"], row["state"]) for row in found["rows"]] == [
        ("2", "starts runs"),
        ("1", "serves its runs"),
    ]


def test_a_version_is_shown_as_data_text_and_steps(client: TestClient) -> None:
    found = client.get("/definitions/refund/versions/1").json()

    assert found["content"]["steps"][0]["id"] == "ask"
    assert "id: ask" in found["yaml"]
    assert any("ask" in line for line in found["english"])
    assert [(step["id"], step["kind"], step["needs"]) for step in found["steps"]] == [
        ("ask", "approval", []),
        ("pay", "set", ["ask.approved"]),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/definitions/nothing", "version_unknown"),
        ("/definitions/refund/versions/9", "version_unknown"),
        ("/definitions/nothing/versions/1", "version_unknown"),
        ("/definitions/refund/versions/9/diagram.mmd", "version_unknown"),
        ("/definitions/refund/versions/9/diagram.svg", "version_unknown"),
        ("/definitions/refund/diff?from=9", "version_unknown"),
        ("/definitions/refund/diff?from=1&to=9", "version_unknown"),
    ],
)
def test_what_is_not_published_is_404(client: TestClient, path: str, expected: str) -> None:
    assert code(client.get(path)) == (404, expected)


def test_a_version_is_drawn_as_text_and_as_a_picture(client: TestClient) -> None:
    text = client.get("/definitions/refund/versions/1/diagram.mmd")
    picture = client.get("/definitions/refund/versions/1/diagram.svg")

    assert text.text.startswith("flowchart TD")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.headers["content-security-policy"].endswith("sandbox")
    assert picture.text.startswith("<svg")
    head = picture.text[: picture.text.index(">")]
    assert 'width="100%"' not in head
    assert 'height="' in head
    assert "foreignObject" not in picture.text


@pytest.mark.parametrize(
    "title",
    ["<script>alert(1)</script>", '"]; click n0 "javascript:alert(1)"', "<img src=x onerror=alert(1)>", "%%{init}%%"],
)
def test_nothing_that_an_author_wrote_runs_in_a_picture(client: TestClient, title: str) -> None:
    definition = {
        "name": "nasty",
        "version": "1",
        "input": {"type": "object"},
        "steps": [{"id": "one", "title": title, "print": {"text": "'x'"}}],
    }
    assert publish(client, definition).status_code == 201

    drawn = client.get("/definitions/nasty/versions/1/diagram.svg").text

    assert "<script" not in drawn
    assert "<img" not in drawn
    assert "javascript:" not in drawn.replace("#58;", ":") or "href" not in drawn


def test_a_difference_is_told_in_sentences_and_places(client: TestClient) -> None:
    publish(client)

    found = client.get("/definitions/refund/diff", params={"from": "1"}).json()

    assert (found["from"], found["to"], found["same"]) == ("1", "2", False)
    (text,) = [row for row in found["rows"] if row["at"] == "steps/ask/approval/text"]
    assert (text["kind"], "Refund" in text["after"], "Pay" in text["before"]) == ("changed", True, True)
    assert len(found["changes"]) == len(found["rows"])


def test_a_check_tells_every_problem_with_its_place(client: TestClient) -> None:
    faulty = REFUND.replace("needs: [ask.approved]", "needs: [nobody]")

    found = client.post("/definitions/check", json={"definition": faulty, "catalog": CATALOG}).json()

    assert found["ok"] is False
    (problem,) = [one for one in found["problems"] if one["severity"] == "error"]
    assert (problem["part"], problem["pointer"]) == ("definition", "/steps/1/needs/0")
    assert faulty.splitlines()[problem["line"] - 1].strip().startswith("needs")


@pytest.mark.parametrize("given", ["steps: [", "a: &a [*a]", "1", "", {"name": 1}, {}])
def test_a_check_of_what_is_no_definition_is_an_answer(client: TestClient, given: Any) -> None:
    found = client.post("/definitions/check", json={"definition": given})

    assert found.status_code == 200
    assert found.json()["ok"] is False
    assert found.json()["problems"]


def test_a_check_gives_the_hash_that_publishing_may_name(client: TestClient, log: MemoryLog) -> None:
    hash = client.post("/definitions/check", json={"definition": NEXT, "catalog": CATALOG}).json()["hash"]

    assert code(publish(client, hash="0" * 64)) == (409, "hash_mismatch")
    assert ("refund", "2") not in log.published.versions
    assert publish(client, hash=hash).json()["sha"] == hash


def test_publishing_is_done_once(client: TestClient) -> None:
    assert publish(client).status_code == 201
    assert publish(client).status_code == 200
    other = NEXT.replace("back?", "back now?")
    assert code(publish(client, other)) == (409, "version_taken")


def test_what_cannot_run_is_not_published(client: TestClient, log: MemoryLog) -> None:
    answer = publish(client, NEXT.replace("needs: [ask.approved]", "needs: [nobody]"))

    assert code(answer) == (422, "definition_invalid")
    assert answer.json()["problems"]
    assert ("refund", "2") not in log.published.versions


def test_retiring_names_the_version_that_starts_use(client: TestClient) -> None:
    publish(client)

    assert client.post("/definitions/refund/versions/2/retire").json()["current"] == "1"
    assert client.post("/definitions/refund/versions/2/retire").json()["already"] is True
    assert code(client.post("/definitions/refund/versions/9/retire")) == (404, "version_unknown")


def play(client: TestClient, scenarios: Any, **more: Any) -> Any:
    body = {"definition": REFUND, "catalog": CATALOG, "scenarios": scenarios, **more}
    return client.post("/definitions/simulate", json=body)


def test_scenarios_are_played(client: TestClient) -> None:
    found = play(client, SCENARIOS).json()

    assert (found["ok"], found["scenarios"][0]["paths"]) == (True, [["ask.approved", "pay"]])


def test_a_scenario_that_goes_otherwise_says_how(client: TestClient) -> None:
    found = play(client, SCENARIOS.replace("paid: 5", "paid: 6")).json()

    assert found["ok"] is False
    assert found["scenarios"][0]["differences"]


def test_samples_are_scenarios_that_pass(client: TestClient) -> None:
    body = {"definition": REFUND, "catalog": CATALOG}
    found = client.post("/definitions/samples", json=body | {"seed": 7}).json()

    assert (found["seed"], found["reason"], found["untaken"]) == (7, None, [])
    assert any("ask.approved" in one["name"] for one in found["scenarios"])
    assert play(client, {"scenarios": found["scenarios"]}).json()["ok"] is True
    assert client.post("/definitions/samples", json=body | {"seed": 7}).json() == found


def test_samples_of_a_definition_with_an_error_are_refused(client: TestClient) -> None:
    body = {"definition": {"streamflow": "1", "name": "refund"}, "catalog": CATALOG}
    assert code(client.post("/definitions/samples", json=body)) == (422, "definition_invalid")


def test_scenarios_that_cannot_be_used_are_refused(client: TestClient) -> None:
    assert code(play(client, "scenarios: [1]")) == (422, "scenarios_invalid")
    assert code(play(client, SCENARIOS, only="nothing")) == (422, "no_scenario")


def test_topics_that_do_not_exist_are_told_or_created(client: TestClient, log: MemoryLog) -> None:
    definition: dict[str, Any] = {"name": "parcel", "version": "1", "on": [{"id": "packed", "event": "packed"}]}
    definition["steps"] = [{"id": "one", "print": {"text": "'x'"}}]
    body = {"definition": definition, "catalog": {"events": [{"name": "packed", "topics": ["parcels"]}]}}

    told = client.post("/definitions/publish", json=body).json()
    assert (told["missing_topics"], log.created) == (["parcels"], [])
    assert any("parcels does not exist" in warning for warning in told["warnings"])
    body = {
        "definition": definition | {"version": "2"},
        "catalog": {"events": [{"name": "packed", "topics": ["more"]}]},
    }
    told = client.post("/definitions/publish", json=body | {"create_topics": True}).json()
    assert (told["missing_topics"], log.created) == ([], ["more"])


def test_published_scenarios_are_played_for_those_who_look(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = client.get("/definitions/refund/scenarios").json()
    assert (nothing["version"], nothing["rows"], nothing["untaken"]) == ("1", [], [])
    assert publish(client, scenarios=SCENARIOS).status_code == 201

    found = client.get("/definitions/refund/scenarios").json()
    (row,) = found["rows"]
    assert (found["version"], row["name"], row["ok"]) == ("2", "approved", True)
    assert "ask.approved" in row["paths"][0]
    assert found["untaken"] == []
    monkeypatch.setattr("streamflow.sidecar.scenarios._played", None)  # a second look plays nothing
    assert client.get("/definitions/refund/scenarios?version=2").json() == found
    monkeypatch.undo()
    assert publish(client, scenarios=SCENARIOS.replace("approved\n", "all is well\n", 1)).status_code == 200
    assert client.get("/definitions/refund/scenarios").json()["rows"][0]["name"] == "all is well"
    assert code(client.get("/definitions/refund/scenarios?version=9")) == (404, "version_unknown")


@pytest.mark.parametrize("scenarios", ["scenarios: 1", "", {"scenarios": [{"name": "x"}], "more": 1}])
def test_scenarios_that_cannot_be_used_are_not_published(client: TestClient, scenarios: Any) -> None:
    assert code(publish(client, scenarios=scenarios)) == (422, "scenarios_invalid")
    assert code(client.get("/definitions/refund/versions/2")) == (404, "version_unknown")
