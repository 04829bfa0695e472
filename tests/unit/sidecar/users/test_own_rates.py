"""How often a user may change what is in the directory."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from streamflow.access.rates import Rates
from tests.access import MemoryAccess
from tests.unit.sidecar.test_runs import code
from tests.unit.sidecar.users.people import bearer, key_of

VIEW = {"name": "mine", "page": "runs", "query": "status=open"}
CHANGES = {
    "add a key": ("POST", "/keys", {"name": "k"}),
    "add a user": ("POST", "/users", {"name": "new"}),
    "give a role": ("POST", "/grants", {"user": "nobody", "role": "viewer"}),
    "change a user": ("PATCH", "/users/nobody", {"disabled": True}),
    "save a view": ("PUT", "/views/v1", VIEW),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_limited_by_user_whatever_key_they_come_with(
    place: TestClient, access: MemoryAccess, change: str, steady_minute: None
) -> None:
    place.app.state.streamflow.identity.rates = Rates(  # type: ignore[attr-defined]
        requests_per_minute=500, attempts_per_minute=10, changes_per_minute=5
    )
    first, second = bearer(key_of(access, "root")), bearer(key_of(access, "root", "e" * 12))
    method, path, body = CHANGES[change]

    made = [place.request("POST", "/keys", json={"name": "k"}, headers=first) for _ in range(5)]
    count = len(access.entries)

    assert [answer.status_code for answer in made] == [201] * 5
    assert code(place.request(method, path, json=body, headers=second)) == (429, "rate_exceeded")
    assert len(access.entries) == count
    assert place.get("/keys", headers=second).status_code == 200
