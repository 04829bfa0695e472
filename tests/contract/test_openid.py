"""Log-ins by OpenID Connect at a real provider, which is another process: the way through, and answers that are
forged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient

from streamflow.access.changes import add_grant, add_user, change_user
from streamflow.access.rights import Right, Role
from streamflow.history.reader import HistoryReader
from streamflow.operations.callbacks import API_PATH
from streamflow.settings import Access, OpenIdConnect, Settings, Topics
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.conftest import start_server
from tests.servers.openid import CLIENT, SECRET, OpenIdProvider, openid_provider
from tests.sidecar_log import MemoryLog

HOST = "http://localhost:8484"
CALLBACK = f"{HOST}{API_PATH}/session/oidc/callback"


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    yield from start_server(openid_provider(CALLBACK))


@pytest.fixture
def access() -> MemoryAccess:
    made = MemoryAccess()
    made.change(lambda d, now: add_user(d, now, id="root", name="root", role=Role.ADMIN))
    made.change(lambda d, now: add_grant(d, now, id="g", role=Role.OPERATOR, group="staff"))
    return made


def sidecar(provider: OpenIdProvider, access: MemoryAccess, **oidc: Any) -> TestClient:
    """A sidecar and the browser that visits it, which keeps its cookies and follows no redirect by itself."""
    given = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": "env:OIDC_SECRET"} | oidc
    settings = Settings(
        topics=Topics(partitions=2),
        access=Access(signing_key="env:SIGNING_KEY", public_url=HOST, oidc=OpenIdConnect(**given)),
    )
    app = create_app(settings, MemoryLog(settings), access, HistoryReader(settings))
    return TestClient(app, base_url=f"{HOST}{API_PATH}", raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    monkeypatch.setenv("SIGNING_KEY", "0123456789abcdef" * 4)


@pytest.fixture
def place(provider: OpenIdProvider, access: MemoryAccess) -> TestClient:
    return sidecar(provider, access)


def at_the_provider(address: str, name: str) -> str:
    """What a person does there: gives their name, and agrees. Where they are sent back to."""
    with httpx2.Client(follow_redirects=False) as browser:
        answer = browser.get(address)
        for _ in range(12):
            if answer.is_redirect:
                following = urljoin(str(answer.url), answer.headers["location"])
                if following.startswith(CALLBACK):
                    return following
                answer = browser.get(following)
                continue
            assert answer.status_code == 200, answer.text
            prompt = "login" if 'value="login"' in answer.text else "consent"
            form = {"prompt": prompt, "login": name, "password": "any"} if prompt == "login" else {"prompt": prompt}
            answer = browser.post(str(answer.url), data=form)
    pytest.fail(f"expected the provider to send {name} back but it did not")


def begun(place: TestClient, to: str = "/runs") -> str:
    """Where the sidecar sends a browser to log in."""
    assert place.get("/session/methods").json() == {"password": True, "organisation": True}
    answer = place.get("/session/oidc", params={"to": to})
    assert answer.status_code == 303, answer.text
    place_: str = answer.headers["location"]
    return place_


def came_back(place: TestClient, address: str) -> Any:
    return place.get(address)


def log_in(place: TestClient, name: str) -> Any:
    return came_back(place, at_the_provider(begun(place), name))


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def changed(address: str, **changes: str | None) -> str:
    """An address with other parameters."""
    parts = urlsplit(address)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()} | changes
    return parts._replace(query=urlencode({key: value for key, value in query.items() if value is not None})).geturl()


def test_a_person_logs_in_and_has_the_rights_of_their_groups(place: TestClient, access: MemoryAccess) -> None:
    answer = log_in(place, "bob")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    told = place.get("/me").json()
    assert (told["name"], told["groups"], told["via"]) == ("bob", ["managers", "staff"], "session")
    assert Right.OPERATE_RUNS in told["rights"]
    assert Right.CHANGE_ACCESS not in told["rights"]
    assert [entry.action for entry in access.entries[-2:]] == ["user.added", "session.begun"]
    again = log_in(place, "bob")
    assert again.status_code == 303
    assert len(list(access.directory.users())) == 2


def test_a_person_of_the_provider_is_not_the_user_of_the_same_name(place: TestClient) -> None:
    assert code(log_in(place, "root")) == (409, "name_taken")
    assert code(log_in(place, "staff")) == (409, "name_taken")
    assert "streamflow_access" not in place.cookies


def test_people_whom_nobody_added_stay_out_where_it_is_so_set(provider: OpenIdProvider, access: MemoryAccess) -> None:
    place = sidecar(provider, access, create_users=False)
    assert code(log_in(place, "bob")) == (404, "user_unknown")
    issuer, subject = provider.issuer, "bob"
    access.change(lambda d, now: add_user(d, now, id="bob", name="robert", issuer=issuer, subject=subject))
    assert log_in(place, "bob").status_code == 303
    assert place.get("/me").json()["name"] == "robert"
    access.change(lambda d, now: change_user(d, now, name="robert", disabled=True))
    assert code(place.get("/me")) == (401, "user_disabled")
    assert code(log_in(place, "bob")) == (401, "user_disabled")


def test_an_answer_is_good_in_the_browser_that_began_alone(
    place: TestClient, provider: OpenIdProvider, access: MemoryAccess
) -> None:
    answered = at_the_provider(begun(place), "bob")
    victim = sidecar(provider, access)
    assert code(came_back(victim, answered)) == (403, "oidc_forged")
    begun(victim)
    assert code(came_back(victim, answered)) == (403, "oidc_forged")
    assert came_back(place, answered).status_code == 303


@pytest.mark.parametrize(
    "changes",
    [
        {"state": None},
        {"state": "guessed"},
        {"iss": "https://evil.example.org"},
        {"code": None},
        {"code": "guessed"},
        {"code": None, "error": "access_denied"},
    ],
)
def test_a_forged_answer_is_refused(place: TestClient, access: MemoryAccess, changes: dict[str, str | None]) -> None:
    answered = at_the_provider(begun(place), "bob")
    answer = came_back(place, changed(answered, **changes))
    assert answer.status_code == 403
    assert answer.json()["code"] in ("oidc_forged", "oidc_refused")
    assert "streamflow_access" not in place.cookies
    assert list(access.directory.families()) == []


def test_a_code_is_good_once(place: TestClient) -> None:
    answered = at_the_provider(begun(place), "bob")
    kept = dict(place.cookies)
    assert came_back(place, answered).status_code == 303
    place.cookies.update(kept)
    assert code(came_back(place, answered)) in ((403, "oidc_refused"), (403, "oidc_forged"))


def test_a_log_in_begins_with_pkce_and_leads_to_this_host(place: TestClient) -> None:
    address = begun(place, to="//evil.example.org")
    query = parse_qs(urlsplit(address).query)
    assert (query["code_challenge_method"], len(query["code_challenge"][0])) == (["S256"], 43)
    assert came_back(place, at_the_provider(address, "bob")).headers["location"] == "/"


def test_a_session_of_the_provider_says_where_to_leave_it(place: TestClient, provider: OpenIdProvider) -> None:
    assert log_in(place, "bob").status_code == 303
    assert place.get("/me").json()["leave"] == f"{API_PATH}/session/oidc/end"
    answer = place.get("/session/oidc/end")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, f"{provider.issuer}/session/end")
    assert (query["client_id"], query["post_logout_redirect_uri"]) == ([CLIENT], [f"{HOST}/"])
    assert query["id_token_hint"][0].count(".") == 2
    assert place.get("/me").status_code == 200  # a page of somebody else's may lead here, and ends nothing
    again = parse_qs(urlsplit(place.get("/session/oidc/end").headers["location"]).query)
    assert "id_token_hint" not in again


@pytest.mark.parametrize("body", ["", "logout_token=", "logout_token=a.b.c", "x" * 2000, "&" * 100, "\xff\0"])
def test_nobody_else_logs_a_person_out(place: TestClient, access: MemoryAccess, body: str) -> None:
    assert log_in(place, "bob").status_code == 303
    own = place.cookies["streamflow_id_token"]
    for sent in (body, urlencode({"logout_token": own})):
        answer = place.post("/session/oidc/backchannel", content=sent.encode("latin-1"))
        assert code(answer) == (403, "oidc_forged")
    assert place.get("/me").status_code == 200
    assert [family.revoked_ms for family in access.directory.families()] == [None]


def test_a_provider_that_is_away_or_is_another_is_told(provider: OpenIdProvider, access: MemoryAccess) -> None:
    away = sidecar(provider, access, issuer="http://127.0.0.1:1")
    assert code(away.get("/session/oidc")) == (502, "oidc_unreachable")
    another = sidecar(provider, access, issuer=f"http://localhost:{provider.port}")
    assert code(another.get("/session/oidc")) == (502, "oidc_unusable")
    wrong = sidecar(provider, access, client_secret=None)
    assert code(log_in(wrong, "bob")) == (403, "oidc_refused")
