"""Conversations over HTTP, with the rules as the assistant: from a sentence to a draft, by two people at the same
time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from streamflow.history.reader import HistoryReader
from streamflow.settings import Settings
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_runs import code

CATALOG = (Path(__file__).parents[3] / "definitions/fraud-detection/catalog.yaml").read_text()
SENTENCE = "when a payment above 500 euros comes, ask an analyst within 30 minutes, block it if nobody answers"
ADD = {"op": "add_step", "step": {"id": "note", "print": {"text": "'x'"}}}


@pytest.fixture
def talk(settings: Settings, log: MemoryLog) -> Iterator[TestClient]:
    app = create_app(settings, log, MemoryAccess(), HistoryReader(settings))
    with TestClient(app, base_url="http://localhost/api/v1", raise_server_exceptions=False) as client:
        yield client


def begun(client: TestClient, **more: Any) -> tuple[str, int]:
    """A new conversation and its revision."""
    answer = client.post("/conversations", json={"title": "A talk", "catalog": CATALOG, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["etag"] == f'"{answer.json()["revision"]}"'
    return answer.json()["conversation"], answer.json()["revision"]


def said(client: TestClient, id: str, **body: Any) -> list[dict[str, Any]]:
    """What the assistant did in the turn that answers a message."""
    answer = client.post(f"/conversations/{id}/messages", json=body)
    assert answer.status_code == 202, answer.text
    return done(client, id, answer.json()["turn"])


def done(client: TestClient, id: str, turn: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        rows = client.get(f"/conversations/{id}/events?limit=1000").json()["rows"]
        mine = [row for row in rows if row.get("turn") == turn]
        if mine and mine[-1]["type"] == "turn_ended":
            return mine
    raise AssertionError(rows)


def types(rows: list[dict[str, Any]]) -> list[str]:
    return [row["type"] for row in rows]


def match(revision: int) -> dict[str, str]:
    return {"If-Match": f'"{revision}"'}


def test_a_sentence_becomes_a_draft_after_a_yes(talk: TestClient) -> None:
    id, revision = begun(talk)

    rows = said(talk, id, text=SENTENCE)

    assert types(rows) == ["turn_started", "text", "understood", "operations_proposed", "turn_ended"]
    assert rows[0]["model"] == "rules"
    assert rows[1]["text"].startswith("Written by rules, not by a language model.")
    assert {one["origin"] for one in rows[2]["statements"]} >= {"said", "missing"}
    assert len(rows[2]["questions"]) <= 3
    assert rows[3]["problems"] == []
    assert (rows[4]["cause"], talk.get(f"/conversations/{id}").json()["revision"]) == ("waiting", revision)

    answer = talk.post(f"/conversations/{id}/accept", json={}, headers=match(revision))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["draft"]["authors"] == ["local", "assistant"]
    assert "within: 30m" in told["draft"]["text"]
    assert told["proposal"] is None
    assert len(told["understood"]["questions"]) <= 3
    checked = talk.post("/definitions/check", json={"definition": told["draft"]["text"], "catalog": CATALOG}).json()
    assert checked["ok"], checked


def test_a_plan_waits_for_a_yes_before_anything_is_proposed(talk: TestClient) -> None:
    id, revision = begun(talk)
    assert types(said(talk, id, text=SENTENCE, mode="plan"))[-2:] == ["understood", "turn_ended"]
    assert code(talk.post(f"/conversations/{id}/reject", json={})) == (409, "nothing_proposed")

    answer = talk.post(f"/conversations/{id}/accept", json={})

    assert answer.status_code == 202, answer.text
    assert "operations_proposed" in types(done(talk, id, answer.json()["turn"]))
    assert talk.get(f"/conversations/{id}").json()["revision"] == revision


def test_operations_are_accepted_one_by_one(talk: TestClient) -> None:
    id, revision = begun(talk)
    offer = next(row for row in said(talk, id, text=SENTENCE) if row["type"] == "operations_proposed")
    places = {one["op"] + one.get("step", {}).get("id", ""): at for at, one in enumerate(offer["operations"])}
    url = f"/conversations/{id}"

    assert code(talk.post(f"{url}/accept", json={"operations": [99]}, headers=match(revision))) == (
        409,
        "operation_closed",
    )
    assert code(talk.post(f"{url}/accept", json={"operations": []}, headers=match(revision)))[0] == 409
    some = {"operations": [places["set_trigger"], places["add_stepask_analyst"]]}
    told = talk.post(f"{url}/accept", json=some, headers=match(revision)).json()
    assert "ask_analyst" in told["draft"]["text"]
    assert "block" not in told["draft"]["text"]
    assert places["add_stepblock"] in told["proposal"]["open"]
    told = talk.post(f"{url}/reject", json={"operations": [places["add_stepblock"]]}).json()
    assert places["add_stepblock"] not in told["proposal"]["open"]
    told = talk.post(f"{url}/reject", json={}).json()
    assert told["proposal"] is None


def test_a_sentence_edits_a_draft_that_has_steps(talk: TestClient) -> None:
    id, revision = begun(talk)
    said(talk, id, text=SENTENCE)
    url = f"/conversations/{id}"
    before = talk.post(f"{url}/accept", json={}, headers=match(revision)).json()

    rows = said(talk, id, text="Change the time limit to 2 hours.")
    assert types(rows) == ["turn_started", "text", "understood", "operations_proposed", "turn_ended"]
    assert rows[1]["text"].startswith("Written by rules, not by a language model.")
    assert [one["op"] for one in rows[3]["operations"]] == ["set_field"]
    after = talk.post(f"{url}/accept", json={}, headers=match(before["revision"])).json()
    assert after["draft"]["text"] == before["draft"]["text"].replace("within: 30m", "within: 2h")

    rows = said(talk, id, text="Give the analyst more time.")
    assert types(rows) == ["turn_started", "text", "understood", "turn_ended"]
    assert "How long is the limit" in rows[1]["text"]
    assert rows[2]["questions"][0]["blocks"]
    assert talk.get(url).json()["revision"] == after["revision"]


def test_a_question_about_an_edit_is_answered_by_a_choice(talk: TestClient) -> None:
    id, revision = begun(talk)
    said(talk, id, text=SENTENCE)
    url = f"/conversations/{id}"
    talk.post(f"{url}/accept", json={}, headers=match(revision))
    asked = said(talk, id, text="If nobody answers, log 'silence'.")
    (question,) = [one for one in asked[2]["questions"] if one["blocks"]]
    assert [one["text"] for one in question["choices"]] == ["as well", "instead of `block`"]

    rows = said(talk, id, answer={"question": 0, "choice": 0})

    assert types(rows) == ["turn_started", "text", "understood", "operations_proposed", "turn_ended"]
    assert [one["op"] for one in rows[3]["operations"]] == ["add_step"]


def test_a_question_is_answered_by_a_choice(talk: TestClient) -> None:
    id, revision = begun(talk)
    said(talk, id, text=SENTENCE)
    told = talk.post(f"/conversations/{id}/accept", json={}, headers=match(revision)).json()
    questions = told["understood"]["questions"]
    asked, choice = next(
        (at, place)
        for at, one in enumerate(questions)
        for place, each in enumerate(one["choices"])
        if each["operations"]
    )

    rows = said(talk, id, answer={"question": asked, "choice": choice})

    assert types(rows) == ["turn_started", "operations_proposed", "turn_ended"]
    after = talk.post(f"/conversations/{id}/accept", json={}, headers=match(told["revision"])).json()
    left = [one["text"] for one in after["understood"]["questions"]]
    assert questions[asked]["text"] not in left
    refused = talk.post(f"/conversations/{id}/messages", json={"answer": {"question": 9, "choice": 0}})
    assert code(refused) == (409, "question_unknown")


def test_to_ask_changes_nothing(talk: TestClient) -> None:
    id, revision = begun(talk)
    rows = said(talk, id, text="What does it do?", mode="ask")
    assert types(rows) == ["turn_started", "text", "turn_ended"]
    assert talk.get(f"/conversations/{id}").json()["revision"] == revision


def test_of_two_edits_of_one_revision_the_second_is_refused(talk: TestClient) -> None:
    id, revision = begun(talk)
    url = f"/conversations/{id}/operations"

    first = talk.post(url, json={"operations": [ADD]}, headers=match(revision))
    second = talk.post(url, json={"text": "name: x"}, headers=match(revision))

    assert first.status_code == 200, first.text
    assert code(second) == (409, "revision_conflict")
    assert second.json()["facts"] == {"revision": first.json()["revision"], "seen": revision}
    assert "note" in talk.get(f"/conversations/{id}").json()["draft"]["text"]
    for headers in ({}, {"If-Match": "*"}, {"If-Match": "x"}):
        assert code(talk.post(url, json={"operations": [ADD]}, headers=headers)) == (428, "revision_missing")


def test_undo_redo_and_branches_move_and_lose_nothing(talk: TestClient) -> None:
    id, first = begun(talk)
    url = f"/conversations/{id}"
    second = talk.post(f"{url}/operations", json={"operations": [ADD]}, headers=match(first)).json()["revision"]

    assert talk.post(f"{url}/undo", headers=match(second)).json()["revision"] == first
    assert code(talk.post(f"{url}/undo", headers=match(first))) == (409, "nothing_to_undo")
    assert talk.post(f"{url}/redo", headers=match(first)).json()["revision"] == second
    assert code(talk.post(f"{url}/redo", headers=match(second))) == (409, "nothing_to_redo")
    assert talk.post(f"{url}/branch", json={"revision": first}, headers=match(second)).json()["revision"] == first
    assert code(talk.post(f"{url}/branch", json={"revision": 999}, headers=match(first))) == (404, "draft_unknown")
    third = talk.post(f"{url}/operations", json={"operations": [ADD]}, headers=match(first)).json()
    assert {(one["revision"], one["parent"]) for one in third["revisions"]} == {
        (first, None),
        (second, first),
        (third["revision"], first),
    }
    found = talk.get(f"{url}/revisions/{second}").json()
    assert found["statements"]
    assert "flowchart" in found["mermaid"]
    changes = talk.get(f"{url}/diff?from={first}&to={second}").json()
    assert changes["colours"] == {"note": "added"}
    assert changes["sentences"][0].startswith("The step `note` was added")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"operations": [{"op": "invent", "step": "x"}]}, (422, "edit_malformed")),
        ({"operations": [{"op": "remove_step", "step": "nowhere"}]}, (422, "edit_target_unknown")),
        ({"operations": [ADD, {"op": "remove_step", "step": "nowhere"}]}, (422, "edit_target_unknown")),
        ({"operations": []}, (422, "edit_malformed")),
        ({"text": "name: [x"}, (422, "definition_invalid")),
        ({"text": "x" * 500_001}, (422, "text_invalid")),
        ({}, (422, "request_invalid")),
        ({"operations": [ADD], "text": "name: x"}, (422, "request_invalid")),
    ],
)
def test_an_edit_that_does_not_fit_changes_nothing(
    talk: TestClient, body: dict[str, Any], wanted: tuple[int, str]
) -> None:
    id, revision = begun(talk)
    before = talk.get(f"/conversations/{id}").json()
    assert code(talk.post(f"/conversations/{id}/operations", json=body, headers=match(revision))) == wanted
    assert talk.get(f"/conversations/{id}").json() == before


def test_a_message_of_a_megabyte_or_of_nothing_is_refused(talk: TestClient) -> None:
    id, _ = begun(talk)
    for text, wanted in (
        ("x" * 1_000_000, (413, "body_too_large")),
        ("x" * 20_001, (422, "text_invalid")),
        ("  ", (422, "text_invalid")),
        ("", (422, "request_invalid")),
    ):
        assert code(talk.post(f"/conversations/{id}/messages", json={"text": text})) == wanted
    assert talk.get(f"/conversations/{id}").json()["messages"] == []


def test_comments_titles_and_lists(talk: TestClient) -> None:
    id, revision = begun(talk)
    other, _ = begun(talk, title="Another")
    talk.post(f"/conversations/{id}/comments", json={"text": "Is it enough?", "address": "/steps/ask"})
    told = talk.patch(f"/conversations/{id}", json={"title": "Fraud <b>"}).json()
    assert told["title"] == "Fraud <b>"
    (found,) = told["comments"]
    assert (found["revision"], found["address"], found["by"]) == (revision, "/steps/ask", "local")
    assert code(talk.post(f"/conversations/{id}/comments", json={"text": "x", "revision": 99})) == (
        404,
        "draft_unknown",
    )
    rows = talk.get("/conversations?limit=1").json()
    assert [one["conversation"] for one in rows["rows"]] == [id]
    rest = talk.get(f"/conversations?limit=1&cursor={rows['next']}").json()
    assert ([one["conversation"] for one in rest["rows"]], rest["next"]) == ([other], None)


def test_a_link_shows_the_draft_and_nothing_of_the_talk(talk: TestClient) -> None:
    id, _ = begun(talk)
    said(talk, id, text="a secret thought", mode="ask")
    first, second = [talk.post(f"/conversations/{id}/share", json={"days": 1}).json()["token"] for _ in range(2)]

    seen = talk.get(f"/shared/{second}")
    assert seen.status_code == 200
    assert "secret thought" not in seen.text
    assert seen.json()["draft"]["text"] == talk.get(f"/conversations/{id}").json()["draft"]["text"]
    for token in (first, "x", "é", second + "x"):
        assert code(talk.get(f"/shared/{token}")) == (404, "share_unknown")
    events = talk.get(f"/conversations/{id}/events?limit=1000")
    assert second not in events.text
    assert "token" not in events.text
    assert [one["action"] for one in talk.get(f"/audit?target={id}").json()["rows"]] == ["conversation.share"] * 2


def test_a_deleted_conversation_is_gone(talk: TestClient, log: MemoryLog) -> None:
    id, _ = begun(talk)
    token = talk.post(f"/conversations/{id}/share", json={}).json()["token"]
    assert talk.delete(f"/conversations/{id}").status_code == 204
    assert code(talk.get(f"/conversations/{id}")) == (404, "conversation_unknown")
    assert code(talk.get(f"/shared/{token}")) == (404, "share_unknown")
    assert code(talk.delete(f"/conversations/{id}")) == (404, "conversation_unknown")
    assert talk.get("/conversations").json()["rows"] == []


def test_events_come_in_pages_and_as_a_stream_that_goes_on(talk: TestClient) -> None:
    id, _ = begun(talk)
    said(talk, id, text=SENTENCE)
    url = f"/conversations/{id}/events"
    first = talk.get(f"{url}?limit=2").json()
    rest = talk.get(f"{url}?after={first['next']}").json()
    assert [row["seq"] for row in first["rows"] + rest["rows"]] == list(range(1, rest["next"] + 1))
    assert talk.get(f"{url}?after={rest['next']}").json() == {"rows": [], "next": rest["next"]}
    heard: list[str] = []

    def follow() -> None:
        headers = {"accept": "text/event-stream", "last-event-id": "3"}
        heard.append(talk.get(f"{url}?after=1", headers=headers).text)

    follower = threading.Thread(target=follow)
    follower.start()
    talk.patch(f"/conversations/{id}", json={"title": "Later"})
    talk.delete(f"/conversations/{id}")  # the stream ends
    follower.join(20)
    assert heard
    assert code(talk.get(url, headers={"last-event-id": "x"})) == (422, "cursor_invalid")


def test_a_draft_to_go_on_with_keeps_its_text(talk: TestClient) -> None:
    text = 'streamflow: "1"\nname: mine # mine\nversion: "1"\non: []\nsteps: []\n'
    id, _ = begun(talk, definition=text, catalog={"events": []})
    told = talk.get(f"/conversations/{id}").json()
    assert told["draft"]["text"] == text
    for body in ({"definition": "name: ["}, {"catalog": "events: 5"}, {"title": "x" * 201}, {"title": "a\nb"}):
        assert talk.post("/conversations", json=body).status_code == 422


def test_without_a_catalog_the_published_one_is_taken(talk: TestClient) -> None:
    answer = talk.post("/conversations", json={})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["title"], answer.json()["catalog"]) == ("draft", None)
    rows = said(talk, answer.json()["conversation"], text=SENTENCE)
    assert rows[-1]["cause"] == "waiting"
    assert rows[2]["questions"]  # nothing is invented: the event is not published


def test_a_model_that_is_not_there_is_refused(talk: TestClient) -> None:
    id, _ = begun(talk)
    answer = talk.post(f"/conversations/{id}/messages", json={"text": "x", "model": "gpt"})
    assert code(answer) == (422, "model_missing")
    assert talk.get(f"/conversations/{id}").json()["messages"] == []


def test_conversations_are_found_by_a_part_of_their_title(talk: TestClient) -> None:
    for title in ("Large payments", "Refunds", "Payments abroad", "100% % _ \\ straße"):
        begun(talk, title=title)

    def found(title: str, **more: Any) -> list[str]:
        return [row["title"] for row in talk.get("/conversations", params={"title": title, **more}).json()["rows"]]

    assert found("PAYMENTS") == ["Payments abroad", "Large payments"]
    assert found("payments", limit=1) == ["Payments abroad"]
    assert found("payments", limit=1, cursor=1) == ["Large payments"]
    for text in ("% _ \\", "STRASSE"):
        assert found(text) == ["100% % _ \\ straße"], text
    assert found("nothing of that") == []
    assert len(found("")) == 4
    assert code(talk.get("/conversations", params={"title": "x" * 201})) == (422, "request_invalid")
