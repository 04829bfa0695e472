"""From a language model out of its mind to an approval, over HTTP: whatever it calls, and although a person says yes to
all that it proposes, what is approved names only what the catalog has. The same for a person who writes such operations
by hand, which a draft keeps with its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from streamflow.definition import reference_check
from streamflow.history.reader import HistoryReader
from streamflow.settings import Approvals, Settings, Topics
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.approvals import a_key, pem, public
from tests.conftest import examples
from tests.property.test_authoring_hostile import ANY, ORDERS, WELL_FORMED, adding, invented_in, nothing
from tests.scripted_model import Answer, Call
from tests.scripted_model.client import KEY
from tests.sidecar_log import MemoryLog
from tests.unit.authoring.examples import CATALOG, TEXT
from tests.unit.sidecar.test_conversations import match, said
from tests.web.live_model import LiveModel, live_model

pytestmark = pytest.mark.timeout(300)

CATALOG_TEXT = CATALOG.model_dump_json(by_alias=True, exclude_unset=True)
UNDERSTOOD = Call(
    "understand", '{"statements": [{"origin": "said", "text": "As said.", "steps": []}], "questions": []}'
)
SAID = [{"op": "set_field", "field": "description", "value": ORDERS[0]}]

Stage = tuple[TestClient, LiveModel]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A sidecar that signs approvals and asks the scripted model."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch, live_model() as model:
        patch.setenv("APPROVAL_KEY", pem(a_key()))
        patch.setenv(KEY, "sk-test-0123456789")
        own = {"provider": "openai", "model": "tiny-1", "url": model.url, "key": f"env:{KEY}", "form": "tools"}
        known = Settings.model_validate(
            {"models": {"available": {"main": own}, "attempts": 1}, "state_dir": folder / "state"}
        ).model_copy(
            update={
                "topics": Topics(partitions=2),
                "approvals": Approvals(required=True, trusted_keys=[public(a_key())], signing_key="env:APPROVAL_KEY"),
            }
        )
        app = create_app(known, MemoryLog(known), MemoryAccess(), HistoryReader(known))
        with TestClient(app, base_url="http://localhost/api/v1", raise_server_exceptions=False) as client:
            yield client, model


def begun(client: TestClient) -> tuple[str, int]:
    made = client.post("/conversations", json={"title": "x", "catalog": CATALOG_TEXT, "definition": TEXT})
    assert made.status_code == 201, made.text
    return made.json()["conversation"], made.json()["revision"]


def approved(client: TestClient, id: str) -> bool:
    """Whether the draft as it is can be approved. What is approved names nothing that the catalog does not have."""
    talk = client.get(f"/conversations/{id}").json()
    text = talk["draft"]["text"]
    invented = [one for one in invented_in(text) if one[0] != "lane"]
    checked = client.post("/definitions/check", json={"definition": text, "catalog": CATALOG_TEXT}).json()
    body = {"revision": talk["revision"], "hash": checked.get("hash") or "0" * 64, "by": "bob"}
    answer = client.post(f"/conversations/{id}/approvals", json=body)
    if invented:
        assert (answer.status_code, answer.json().get("code")) == (422, "definition_invalid"), (invented, answer.text)
    return answer.status_code == 201


def modelled(stage: Stage, answers: list[Answer]) -> bool:
    client, model = stage
    id, revision = begun(client)
    model.will_say(*answers)
    rows = said(client, id, text="change it", model="main")
    assert client.get(f"/conversations/{id}").json()["revision"] == revision, "only a person changes the draft"
    if any(row["type"] == "operations_proposed" for row in rows):
        assert rows[-1]["cause"] == "waiting"
        done = client.post(f"/conversations/{id}/accept", json={}, headers=match(revision))
        assert done.status_code == 200, done.text
    return approved(client, id)


def by_hand(stage: Stage, operations: list[Any]) -> bool:
    client, _ = stage
    id, revision = begun(client)
    client.post(f"/conversations/{id}/operations", json={"operations": operations}, headers=match(revision))
    return approved(client, id)


def applying(operations: Any) -> Call:
    return Call("apply", json.dumps({"operations": operations}))


CALLS = st.one_of(
    st.lists(ANY, min_size=1, max_size=3).map(applying),
    st.lists(WELL_FORMED, min_size=1, max_size=2).map(applying),
    st.just(UNDERSTOOD),
    st.builds(
        lambda name, text: Call(name, json.dumps({"text": text})),
        st.sampled_from(("publish", "approve", "http_get", "read_secret", "run", "search_catalog", "understand")),
        st.sampled_from(ORDERS),
    ),
    st.builds(lambda one, cut: Call(one.name, one.arguments[:cut]), st.builds(applying, ANY), st.integers(0, 60)),
)
ANSWERS = st.lists(
    st.builds(lambda text, calls: Answer(text, calls=(UNDERSTOOD, *calls)), st.sampled_from(ORDERS), st.lists(CALLS)),
    min_size=1,
    max_size=3,
).map(lambda some: [*some, Answer("Done.")])

looked_at = settings(
    max_examples=examples(36),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@looked_at
@example([Answer(calls=(UNDERSTOOD, applying(adding({"emit": {"event": "payment.invented"}})[0]))), Answer("Done.")])
@example([Answer(calls=(UNDERSTOOD, applying([*SAID, *adding({"emit": {"event": "secrets"}})[0]]))), Answer("Done.")])
@given(ANSWERS)
def test_nothing_that_a_model_invents_is_approved(stage: Stage, answers: list[Answer]) -> None:
    modelled(stage, answers)


@looked_at
@example(adding({"emit": {"event": "payment.invented"}})[0])
@example(adding({"call": {"operation": "http.request", "within": "1h"}})[0])
@given(st.lists(ANY, min_size=1, max_size=2))
def test_nothing_that_a_person_invents_is_approved(stage: Stage, operations: list[Any]) -> None:
    by_hand(stage, operations)


def test_what_the_catalog_has_is_approved(stage: Stage) -> None:
    """Otherwise the laws above would say nothing."""
    assert modelled(stage, [Answer(calls=(UNDERSTOOD, applying(SAID))), Answer("Done.")])
    assert by_hand(stage, SAID)
    assert not by_hand(stage, adding({"emit": {"event": "payment.invented"}})[0])


@pytest.mark.parametrize("name", ["_events", "_operations"])
def test_without_the_check_of_names_it_would_be(stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(reference_check, name, nothing)
    work = {"emit": {"event": "payment.invented"}} if name == "_events" else {"call": {"operation": "card.invented"}}
    with pytest.raises(AssertionError):
        modelled(stage, [Answer(calls=(UNDERSTOOD, applying(adding(work)[0]))), Answer("Done.")])
