"""An installation with users, and what people ask of its sidecar."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from streamflow.access import keys, passwords
from streamflow.access.key_changes import add_key
from streamflow.sidecar.identity import CSRF_HEADER
from tests.access import MemoryAccess

PASSWORD = "correct horse battery"
HASH = passwords.hashed(PASSWORD)
HOST = "https://flow.example.org"
LIVE = "wss://flow.example.org/api/v1/live"
PAGE = {"Origin": HOST, CSRF_HEADER: "1"}


class Clock:
    def __init__(self) -> None:
        self.s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.s


def key_of(access: MemoryAccess, user: str, id: str = "0123456789ab") -> str:
    """A new API key of a user."""
    secret = keys.new_secret()
    access.change(lambda d, now: add_key(d, now, id=id, digest=keys.digest(secret), user=user, name="test"))
    return keys.token(id, secret)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def log_in(place: TestClient, user: str, **more: Any) -> Any:
    return place.post("/session", json={"user": user, "password": PASSWORD} | more, headers=PAGE)


def tokens(place: TestClient, user: str) -> dict[str, Any]:
    answer = log_in(place, user)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def start(place: TestClient, headers: dict[str, str], definition: str) -> Any:
    body = {"definition": definition, "key": "K-1", "input": {"amount": 5}}
    return place.post("/runs", json=body, headers=headers)
