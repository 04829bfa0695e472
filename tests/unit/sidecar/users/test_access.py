"""Users of the sidecar: every route with every role and with none, keys, sessions in headers and in cookies, and what
strangers try with them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from streamflow.access import passwords
from streamflow.access.changes import add_user, change_user
from streamflow.access.key_changes import revoke_key
from streamflow.access.rates import Rates
from streamflow.access.rights import RIGHTS, Right, Role
from streamflow.errors import Rejected
from streamflow.history.reader import HistoryReader
from streamflow.settings import Settings, Sidecar
from streamflow.sidecar import session
from streamflow.sidecar.app import create_app
from streamflow.sidecar.identity import CSRF_HEADER
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.test_principal import routes
from tests.unit.sidecar.test_runs import code
from tests.unit.sidecar.users.people import (
    HASH,
    HOST,
    LIVE,
    PAGE,
    PASSWORD,
    Clock,
    bearer,
    key_of,
    log_in,
    start,
    tokens,
)


@pytest.mark.parametrize("role", [None, *Role])
def test_every_route_with_every_role_and_with_none(place: TestClient, access: MemoryAccess, role: Role | None) -> None:
    access.change(lambda d, now: add_user(d, now, id="u", name="u", role=role))
    headers = bearer(key_of(access, "u"))
    given = RIGHTS[role] if role is not None else frozenset[Right]()
    wrong = []
    for (method, path), right in routes().items():
        if right is None:
            continue
        answer = place.request(method, path.replace("{", "").replace("}", ""), json={}, headers=headers)
        refused = answer.status_code == 403 and answer.json()["code"] == "right_missing"
        if refused == (right in given):
            wrong.append((method, path, answer.status_code, answer.text))
    assert wrong == []


def test_without_anything_nothing_is_answered(place: TestClient) -> None:
    for (method, path), right in routes().items():
        if right is not None or path == "/me":
            assert code(place.request(method, path, json={})) == (401, "token_missing"), path


def test_me_says_who_and_what(place: TestClient, access: MemoryAccess) -> None:
    told = place.get("/me", headers=bearer(key_of(access, "root"))).json()
    assert (told["name"], told["via"], told["rate"]["shared"]) == ("root", "sfk_0123456789ab", False)
    assert told["rights"] == sorted(right.value for right in Right)
    told = place.get("/me", headers=bearer(tokens(place, "nobody")["access_token"])).json()
    assert (told["name"], told["via"], told["rights"], told["rate"]["per_minute"]) == ("nobody", "session", [], 500)


def test_a_key_that_is_revoked_expired_or_of_a_disabled_user(
    place: TestClient, access: MemoryAccess, clock: Clock
) -> None:
    token = key_of(access, "root")
    assert place.get("/me", headers=bearer(token)).status_code == 200
    access.change(lambda d, now: revoke_key(d, now, id="0123456789ab"))
    assert code(place.get("/me", headers=bearer(token))) == (401, "key_revoked")
    made = place.post("/keys", json={"name": "x", "days": 1}, headers=bearer(tokens(place, "root")["access_token"]))
    assert made.status_code == 201
    assert place.get("/me", headers=bearer(made.json()["key"])).status_code == 200
    clock.s += 86_400
    assert code(place.get("/me", headers=bearer(made.json()["key"]))) == (401, "key_expired")
    token = key_of(access, "nobody", "b" * 12)
    access.change(lambda d, now: change_user(d, now, name="nobody", disabled=True))
    assert code(place.get("/me", headers=bearer(token))) == (401, "user_disabled")
    assert code(place.get("/me", headers=bearer(f"sfk_{'b' * 12}_{'A' * 43}"))) == (401, "key_wrong")


def test_a_log_in_that_fails_tells_nothing_of_users(place: TestClient, access: MemoryAccess) -> None:
    access.change(lambda d, now: add_user(d, now, id="svc", name="svc", kind="service"))
    access.change(lambda d, now: add_user(d, now, id="off", name="off", password=HASH))
    access.change(lambda d, now: change_user(d, now, name="off", disabled=True))
    answers = {
        (code(place.post("/session", json=body)), place.post("/session", json=body).json()["detail"])
        for body in (
            {"user": "root", "password": "wrong password"},
            {"user": "absent", "password": PASSWORD},
            {"user": "svc", "password": PASSWORD},
            {"user": "off", "password": PASSWORD},
            {"user": "root"},
            {},
        )
    }
    assert {answer for answer, _ in answers} == {(401, "credentials_wrong")}
    assert len({detail for _, detail in answers}) == 1


def test_log_ins_that_fail_are_limited(place: TestClient) -> None:
    wrong = {"user": "root", "password": "wrong password"}
    for _ in range(10):
        assert code(place.post("/session", json=wrong)) == (401, "credentials_wrong")
    assert code(log_in(place, "root")) == (429, "too_many_attempts")
    assert log_in(place, "nobody").status_code == 200


@pytest.mark.parametrize("peer", ["10.0.0.1", "198.51.100.200"])
def test_log_ins_that_fail_are_counted_by_the_client_behind_a_trusted_proxy(place: TestClient, peer: str) -> None:
    """100 of one address. A peer that is no trusted proxy writes what it likes, and is one address."""
    app: FastAPI = place.app  # type: ignore[assignment]
    state = app.state.streamflow
    sidecar = Sidecar(hosts=["flow.example.org"], trusted_proxies=["10.0.0.0/24"])  # type: ignore[list-item]
    app.state.streamflow = replace(state, settings=state.settings.model_copy(update={"sidecar": sidecar}))
    behind = TestClient(app, base_url=f"{HOST}/api/v1", client=(peer, 1))

    def fails(user: str, forwarded: str) -> tuple[int, str]:
        body = {"user": user, "password": "wrong password"}
        return code(behind.post("/session", json=body, headers={"X-Forwarded-For": forwarded}))

    try:
        for number in range(100):
            assert fails(f"u{number}", f"203.0.113.{number}, 198.51.100.1, 10.0.0.2") == (401, "credentials_wrong")
        assert fails("u", "203.0.113.200, 198.51.100.1") == (429, "too_many_attempts")
        other = (401, "credentials_wrong") if peer == "10.0.0.1" else (429, "too_many_attempts")
        assert fails("u", "203.0.113.1, 198.51.100.2") == other
    finally:
        app.state.streamflow = state


@pytest.mark.parametrize(("names", "allowed"), [(["root"], 10), ([str(n) for n in range(300)], 100)])
def test_log_ins_at_the_same_time_are_limited_as_one_after_the_other(
    place: TestClient, monkeypatch: pytest.MonkeyPatch, names: list[str], allowed: int
) -> None:
    identity = place.app.state.streamflow.identity  # type: ignore[attr-defined]
    tried: list[str] = []

    def fits(_kept: str | None, given: str) -> bool:
        tried.append(given)
        return False

    monkeypatch.setattr(passwords, "fits", fits)
    monkeypatch.setattr(session, "_hashing", asyncio.Semaphore(2))

    async def guess(name: str) -> str:
        try:
            return str(await session.password_fits(identity, None, "guess", name=name, address="192.0.2.1"))
        except Rejected as error:
            return error.code

    async def story() -> Counter[str]:
        return Counter(await asyncio.gather(*(guess(names[n % len(names)]) for n in range(300))))

    answers = asyncio.run(story())
    assert allowed <= len(tried) <= allowed + 1  # two take turns
    assert answers == {"False": len(tried), "too_many_attempts": 300 - len(tried)}


@pytest.mark.usefixtures("steady_minute")
def test_requests_of_a_key_are_limited(place: TestClient, access: MemoryAccess) -> None:
    state = place.app.state.streamflow  # type: ignore[attr-defined]
    state.identity.rates = Rates(requests_per_minute=3, attempts_per_minute=3)
    headers = bearer(key_of(access, "root"))
    assert [place.get("/me", headers=headers).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert place.get("/me", headers=bearer(tokens(place, "root")["access_token"])).status_code == 200


def test_a_session_ends_by_log_out_at_once(place: TestClient) -> None:
    found = tokens(place, "root")
    headers = bearer(found["access_token"])
    assert place.get("/me", headers=headers).status_code == 200
    assert place.delete("/session", headers=headers).status_code == 204
    assert code(place.get("/me", headers=headers)) == (401, "session_ended")
    assert code(refresh(place, found["refresh_token"])) == (401, "session_ended")


def refresh(place: TestClient, token: str) -> Any:
    return place.post("/session/refresh", json={"refresh_token": token})


def test_an_access_token_is_good_for_a_quarter_of_an_hour(place: TestClient, clock: Clock) -> None:
    found = tokens(place, "root")
    clock.s += 899
    assert place.get("/me", headers=bearer(found["access_token"])).status_code == 200
    clock.s += 1
    assert code(place.get("/me", headers=bearer(found["access_token"]))) == (401, "token_expired")
    following = refresh(place, found["refresh_token"]).json()
    assert place.get("/me", headers=bearer(following["access_token"])).status_code == 200


def test_a_refresh_token_that_was_copied_ends_the_session_for_both(place: TestClient, clock: Clock) -> None:
    stolen = tokens(place, "root")["refresh_token"]
    own = refresh(place, stolen).json()
    clock.s += 60
    assert code(refresh(place, stolen)) == (401, "refresh_reused")
    assert code(refresh(place, own["refresh_token"])) == (401, "session_ended")
    assert code(place.get("/me", headers=bearer(own["access_token"]))) == (401, "session_ended")


@pytest.mark.parametrize("token", ["", "sfr_", "a" * 200, f"sfr_{'0' * 32}_1_{'A' * 43}", "é"])
def test_a_refresh_token_that_is_none(place: TestClient, token: str) -> None:
    assert code(refresh(place, token)) == (401, "token_wrong")


def test_a_browser_keeps_its_tokens_where_pages_cannot_read_them(place: TestClient) -> None:
    answer = log_in(place, "root", cookie=True)
    assert (answer.json()["access_token"], answer.json()["refresh_token"]) == (None, None)
    set_cookies = answer.headers.get_list("set-cookie")
    assert len(set_cookies) == 2
    for cookie in set_cookies:
        assert {"HttpOnly", "Secure", "SameSite=strict"} <= set(cookie.split("; "))
    assert "Path=/api/v1/session" in set_cookies[1]
    assert answer.headers["cache-control"] == "no-store"
    assert place.get("/me").json()["name"] == "root"


CROSS_SITE: dict[str, dict[str, str]] = {
    "a form of another site": {"Origin": "https://evil.example.org"},
    "a script of another site with the header": {"Origin": "https://evil.example.org", CSRF_HEADER: "1"},
    "a page without an origin": {"Origin": "null", CSRF_HEADER: "1"},
    "a page of this host by plain http": {"Origin": "ftp://flow.example.org", CSRF_HEADER: "1"},
    "no origin": {CSRF_HEADER: "1"},
    "the origin without the header": {"Origin": HOST},
    "another site, as the browser says": {"Sec-Fetch-Site": "cross-site", CSRF_HEADER: "1"},
    "a sibling site": {"Sec-Fetch-Site": "same-site", CSRF_HEADER: "1"},
    "nothing at all": {},
}


@pytest.mark.parametrize("headers", CROSS_SITE.values(), ids=CROSS_SITE)
def test_no_other_site_changes_anything_with_the_cookie(
    place: TestClient, access: MemoryAccess, headers: dict[str, str]
) -> None:
    log_in(place, "root", cookie=True)
    before = dict(access.directory.values)
    for method, path in (("POST", "/users"), ("POST", "/session/refresh"), ("DELETE", "/session"), ("POST", "/runs")):
        body = {} if "session" in path else {"name": "mallory", "role": "admin"}
        answer = place.request(method, path, json=body, headers=headers)
        assert code(answer) in ((403, "csrf_refused"), (403, "host_unknown")), path
    logged_in = {"user": "nobody", "password": PASSWORD, "cookie": True}
    assert place.post("/session", json=logged_in, headers=headers).status_code == 403
    assert access.directory.values == before


@pytest.mark.parametrize("headers", [PAGE, {"Sec-Fetch-Site": "same-origin", CSRF_HEADER: "1"}])
def test_a_page_of_this_host_does(place: TestClient, headers: dict[str, str]) -> None:
    log_in(place, "root", cookie=True)
    assert place.post("/users", json={"name": "kim"}, headers=headers).status_code == 201
    assert place.post("/session/refresh", headers=headers).status_code == 200
    assert place.delete("/session", headers=headers).status_code == 204


def test_a_cookie_that_was_there_before_does_not_become_the_session(place: TestClient, access: MemoryAccess) -> None:
    log_in(place, "nobody", cookie=True)
    planted = place.cookies["streamflow_refresh"]
    family = next(iter(access.directory.families())).id
    answer = log_in(place, "root", cookie=True)
    assert answer.json()["session"] != family
    ended = access.directory.family(family)
    assert ended is not None
    assert (ended.user, ended.reason) == ("nobody", "login")
    assert code(refresh(place, planted)) == (401, "session_ended")
    assert place.get("/me").json()["name"] == "root"


def test_sessions_are_off_without_a_signing_key(access: MemoryAccess, settings: Settings, log: MemoryLog) -> None:
    app = create_app(settings, log, access, HistoryReader(settings))
    client = TestClient(app, base_url="http://localhost/api/v1", raise_server_exceptions=False)
    assert code(client.post("/session", json={"user": "root", "password": PASSWORD})) == (404, "sessions_off")
    assert code(client.get("/session/oidc")) == (404, "sessions_off")
    assert client.get("/session/methods").json() == {"password": False, "organisation": False}
    assert client.get("/me", headers=bearer(key_of(access, "root"))).status_code == 200


def test_with_the_first_user_the_machine_alone_is_not_enough(settings: Settings, log: MemoryLog) -> None:
    access = MemoryAccess()
    client = TestClient(create_app(settings, log, access, HistoryReader(settings)), base_url="http://localhost/api/v1")
    assert client.get("/me").json()["name"] == "local"
    access.change(lambda d, now: add_user(d, now, id="1", name="root", role=Role.ADMIN))
    assert code(client.get("/me")) == (401, "token_missing")


def test_a_record_that_was_spoilt_does_not_open_the_installation(place: TestClient, access: MemoryAccess) -> None:
    following = access.directory.copy()
    for key in list(following.values):
        following.take(key, b"spoilt")
    access.directory = following
    assert code(place.get("/me")) == (401, "token_missing")


def test_a_user_decides_as_who_they_are(place: TestClient, access: MemoryAccess, log: MemoryLog) -> None:
    access.change(lambda d, now: add_user(d, now, id="bob", name="bob", groups=["managers"], role=Role.OPERATOR))
    access.change(lambda d, now: add_user(d, now, id="eve", name="eve", role=Role.OPERATOR))
    bob, eve = bearer(key_of(access, "bob", "d" * 12)), bearer(key_of(access, "eve", "e" * 12))
    run = start(place, bearer(key_of(access, "root")), "refund").json()["run"]
    path, yes = f"/runs/{run}/approvals/ask", {"decision": "approved", "data": {"note": "fine"}}

    assert code(place.post(path, json=yes, headers=eve)) == (403, "not_allowed")
    assert code(place.post(path, json=yes | {"by": "alice"}, headers=eve)) == (403, "not_allowed")
    assert code(place.post(path, json=yes | {"groups": ["managers"]}, headers=eve)) == (403, "not_allowed")
    for header in ("X-Streamflow-User", "X-Streamflow-Groups"):
        assert code(place.post(path, json=yes, headers=eve | {header: "managers"})) == (403, "not_allowed")
    assert [one["run"] for one in place.get("/approvals?mine=true", headers=bob).json()] == [run]
    assert place.get("/approvals?mine=true", headers=eve).json() == []
    assert place.post(path, json=yes, headers=bob).status_code == 200
    assert log.simulation.history(run)[-1].type == "RunCompleted"
    told = next(one for one in access.entries if one.action == "approval.decide")
    assert (told.who, told.via, told.after["by"]) == ("bob", f"sfk_{'d' * 12}", "bob")


def test_other_peoples_keys_sessions_and_views_are_not_there(place: TestClient, access: MemoryAccess) -> None:
    access.change(lambda d, now: add_user(d, now, id="u", name="u", password=HASH, role=Role.VIEWER))
    key_of(access, "root")
    roots, own = tokens(place, "root"), bearer(tokens(place, "u")["access_token"])
    place.put("/views/mine", json={"name": "x", "page": "runs", "query": ""}, headers=bearer(roots["access_token"]))

    assert code(place.delete("/keys/sfk_0123456789ab", headers=own)) == (404, "key_unknown")
    assert code(place.post("/keys/0123456789ab/rotate", json={}, headers=own)) == (404, "key_unknown")
    assert code(place.delete(f"/sessions/{roots['session']}", headers=own)) == (404, "session_unknown")
    assert code(place.delete("/views/mine", headers=own)) == (404, "view_unknown")
    assert place.get("/views", headers=own).json() == []
    assert [one["user"] for one in place.get("/sessions", headers=own).json()] == ["u"]
    assert place.get("/keys", headers=own).json() == []
    assert code(place.get("/keys?everybody=true", headers=own)) == (403, "right_missing")
    assert code(place.post("/keys", json={"name": "x", "user": "root"}, headers=own)) == (403, "right_missing")
    assert place.get("/me", headers=bearer(roots["access_token"])).status_code == 200


@pytest.mark.parametrize("way", ["key", "session of the key", "refreshed session of the key", "cookie of the key"])
def test_a_key_makes_no_other_keys(place: TestClient, access: MemoryAccess, way: str) -> None:
    access.change(lambda d, now: add_user(d, now, id="u", name="u", role=Role.VIEWER))
    key = key_of(access, "u")
    stolen = bearer(key)
    if way != "key":
        told = place.post("/session", json={"key": key, "cookie": way.startswith("cookie")}, headers=PAGE).json()
        if way.startswith("refreshed"):
            told = place.post("/session/refresh", json={"refresh_token": told["refresh_token"]}).json()
        stolen = PAGE if way.startswith("cookie") else bearer(told["access_token"])
    assert place.get("/me", headers=stolen).json()["via"] == "sfk_0123456789ab"
    assert code(place.post("/keys", json={"name": "x"}, headers=stolen)) == (403, "right_missing")
    assert code(place.post("/keys/0123456789ab/rotate", json={}, headers=stolen)) == (403, "right_missing")
    password = {"old": PASSWORD, "new": "y" * 20}
    assert code(place.post("/me/password", json=password, headers=stolen)) == (401, "credentials_wrong")


@pytest.mark.usefixtures("steady_minute")
def test_a_session_of_a_key_counts_as_requests_of_the_key(place: TestClient, access: MemoryAccess) -> None:
    place.app.state.streamflow.identity.rates = Rates(requests_per_minute=3, attempts_per_minute=3)  # type: ignore[attr-defined]
    key = key_of(access, "root")
    session = bearer(place.post("/session", json={"key": key}).json()["access_token"])
    found = [place.get("/me", headers=headers).status_code for headers in (bearer(key), session) * 2]
    assert found == [200, 200, 200, 429]


def test_users_keys_and_grants_come_and_go_with_their_account(place: TestClient, access: MemoryAccess) -> None:
    root = bearer(tokens(place, "root")["access_token"])
    made = place.post("/users", json={"name": "kim", "role": "viewer", "definitions": ["a-*"]}, headers=root).json()
    assert (made["name"], made["grants"][0]["definitions"]) == ("kim", ["a-*"])
    key = place.post("/keys", json={"name": "ci", "user": "kim"}, headers=root).json()
    assert place.get("/me", headers=bearer(key["key"])).json()["name"] == "kim"
    grant = place.post("/grants", json={"role": "operator", "user": "kim"}, headers=root).json()
    assert place.delete(f"/grants/{grant['id']}", headers=root).status_code == 204
    rotated = place.post(f"/keys/{key['id']}/rotate", json={"overlap_s": 0}, headers=root).json()
    assert code(place.get("/me", headers=bearer(key["key"]))) == (401, "key_revoked")
    assert place.get("/me", headers=bearer(rotated["key"])).status_code == 200
    assert place.patch("/users/kim", json={"disabled": True}, headers=root).json()["disabled"] is True
    assert code(place.patch("/users/root", json={"disabled": True}, headers=root)) == (409, "last_admin")
    actions = [one.action for one in access.entries if one.who == "root"]
    assert actions == [
        "session.begun",
        "user.added",
        "key.added",
        "grant.added",
        "grant.removed",
        "key.rotated",
        "user.changed",
    ]
    everything = place.get("/keys?everybody=true", headers=root).text + place.get("/users", headers=root).text
    assert key["key"].split("_", 2)[2] not in everything + str(access.entries) + str(access.directory.values)
    assert "argon2" not in everything


def test_a_password_is_changed_by_who_knows_it(place: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    own = bearer(tokens(place, "root")["access_token"])
    assert code(place.post("/me/password", json={"old": "wrong", "new": "x" * 20}, headers=own)) == (
        401,
        "credentials_wrong",
    )
    assert place.post("/me/password", json={"old": PASSWORD, "new": "y" * 20}, headers=own).status_code == 204


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example.org"}])
def test_a_page_of_another_site_opens_no_socket_with_the_cookie(place: TestClient, headers: dict[str, str]) -> None:
    log_in(place, "root", cookie=True)
    refused = "host_unknown" if headers else "csrf_refused"
    with pytest.raises(WebSocketDenialResponse) as caught, place.websocket_connect(LIVE, headers=headers):
        pass
    assert code(caught.value) == (403, refused)
