"""One's own notifications: chosen from what the operator has set up, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streamflow.access.rights import Role
from streamflow.settings import Notifications
from tests.access import MemoryAccess
from tests.notifications import TARGETS, person
from tests.unit.sidecar.test_runs import code
from tests.unit.sidecar.users.people import bearer, key_of

PLACE = "/me/notifications"
WANTED = {"target": "on-call", "kinds": ["parked"], "definitions": ["order*"]}


@pytest.fixture(autouse=True)
def _targets(app: FastAPI) -> Iterator[None]:
    before = app.state.streamflow
    settings = before.settings.model_copy(update={"notifications": Notifications(targets=TARGETS)})
    app.state.streamflow = replace(before, settings=settings)
    yield
    app.state.streamflow = replace(app.state.streamflow, settings=before.settings)


@pytest.fixture
def own(place: TestClient, access: MemoryAccess) -> dict[str, str]:
    person(access, "alice", Role.VIEWER)
    return bearer(key_of(access, "alice", "a" * 12))


def test_a_subscription_is_saved_shown_replaced_and_ended(place: TestClient, own: dict[str, str]) -> None:
    found = place.get(PLACE, headers=own).json()
    assert found == {
        "subscription": None,
        "kinds": ["approval", "parked", "dead_letter", "partition"],
        "targets": ["on-call"],
        "links": True,
    }

    saved = place.put(PLACE, json=WANTED, headers=own)
    assert saved.status_code == 200, saved.text
    assert {name: saved.json()[name] for name in WANTED} == WANTED
    assert place.get(PLACE, headers=own).json()["subscription"] == saved.json()

    place.put(PLACE, json={"target": "on-call", "kinds": ["approval", "parked", "parked"]}, headers=own)
    replaced = place.get(PLACE, headers=own).json()["subscription"]
    assert (replaced["kinds"], replaced["definitions"]) == (["approval", "parked"], [])

    assert place.delete(PLACE, headers=own).status_code == 204
    assert place.get(PLACE, headers=own).json()["subscription"] is None
    assert code(place.delete(PLACE, headers=own)) == (404, "subscription_unknown")


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"target": "bosses"}, "target_unusable"),  # for others only
        ({"target": "nowhere"}, "target_unusable"),
        ({"target": "json://127.0.0.1:1/"}, "target_unusable"),
        ({"target": "x" * 41}, "request_invalid"),
        ({"kinds": []}, "kinds_missing"),
        ({"kinds": ["everything"]}, "request_invalid"),
        ({"kinds": "parked"}, "request_invalid"),
        ({"definitions": ["<script>"]}, "pattern_invalid"),
        ({"definitions": [f"d{n}" for n in range(101)]}, "too_many_patterns"),
        ({"user": "root"}, "request_invalid"),
        ({"url": "json://127.0.0.1:1/"}, "request_invalid"),
    ],
)
def test_what_cannot_be_subscribed_to(
    place: TestClient, own: dict[str, str], changes: dict[str, Any], refused: str
) -> None:
    assert code(place.put(PLACE, json=WANTED | changes, headers=own)) == (422, refused)
    assert place.get(PLACE, headers=own).json()["subscription"] is None


def test_each_user_has_their_own(place: TestClient, access: MemoryAccess, own: dict[str, str]) -> None:
    person(access, "bob", Role.VIEWER, groups=["bosses"])
    other = bearer(key_of(access, "bob", "b" * 12))
    place.put(PLACE, json=WANTED, headers=own)

    assert place.get(PLACE, headers=other).json()["subscription"] is None
    assert place.get(PLACE, headers=other).json()["targets"] == ["bosses", "on-call"]
    assert place.put(PLACE, json=WANTED | {"target": "bosses"}, headers=other).status_code == 200
    assert place.delete(PLACE, headers=other).status_code == 204
    assert place.get(PLACE, headers=own).json()["subscription"]["target"] == "on-call"


def test_no_secret_and_no_reference_to_one_is_shown(place: TestClient, own: dict[str, str]) -> None:
    place.put(PLACE, json=WANTED, headers=own)
    assert "ON_CALL_URL" not in place.get(PLACE, headers=own).text


def test_who_is_no_user_has_none(place: TestClient, access: MemoryAccess) -> None:
    assert place.get(PLACE).status_code == 401
    nobody = bearer(key_of(access, "nobody", "d" * 12))
    assert code(place.put(PLACE, json=WANTED, headers=nobody)) == (403, "right_missing")
