"""Log-ins by a real Keycloak, with the client and the settings of docs/access.md: what its form, its tokens, its keys
and its log-outs do here. Only in `make test-full`: Keycloak takes half a minute to start."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
from ruamel.yaml import YAML

from streamflow.access import oidc as module
from streamflow.access.changes import add_grant, add_user
from streamflow.access.rights import Right, Role
from streamflow.operations.callbacks import API_PATH
from streamflow.settings import OpenIdConnect
from tests.conftest import eventually, only_full, start_server
from tests.contract.test_openid import code
from tests.servers.keycloak import Keycloak, keycloak_server
from tests.servers.process import free_port
from tests.web.memory_sidecar import MemorySidecar, memory_sidecar

pytestmark = [only_full, pytest.mark.timeout(600)]

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text().partition("### Keycloak")[2]
PUBLIC = "https://flow.example.org"
SECRET = "the client's secret: /+%"
PASSWORD = "correct horse battery"
PAGES_OWN = {"X-Streamflow-Csrf": "1"}


def block(language: str) -> str:
    """A block of the page's section about Keycloak."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def realm(address: str) -> dict[str, Any]:
    """The realm `acme`: the client of the page, and people with groups and roles."""
    client = json.loads(block("json").replace(PUBLIC, address)) | {"secret": SECRET}

    def person(name: str, *, groups: tuple[str, ...] = (), roles: tuple[str, ...] = ()) -> dict[str, Any]:
        return {
            "username": name,
            "enabled": True,
            "email": f"{name}@example.org",
            "emailVerified": True,
            "firstName": name,
            "lastName": "Example",
            "credentials": [{"type": "password", "value": PASSWORD}],
            "groups": list(groups),
            "realmRoles": list(roles),
        }

    return {
        "realm": "acme",
        "enabled": True,
        "sslRequired": "none",
        "groups": [{"name": "staff"}, {"name": "on-call"}],
        "roles": {"realm": [{"name": "flow-operator"}]},
        "clients": [client],
        "users": [
            person("bob", groups=("/staff", "/on-call"), roles=("flow-operator",)),
            person("eve"),
            person("gone", roles=("flow-operator",)),
            person("root"),
        ],
    }


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def provider(port: int) -> Iterator[Keycloak]:
    yield from start_server(keycloak_server(realm(f"http://localhost:{port}")))


def settings_of(provider: Keycloak) -> OpenIdConnect:
    """The settings of the page, with this Keycloak and its secret."""
    told = YAML(typ="safe").load(block("yaml"))["access"]["oidc"]
    assert (told["issuer"], told["client_secret"]) == (
        "https://id.example.org/realms/acme",
        "file:/run/secrets/oidc-client",
    )
    return OpenIdConnect(**told | {"issuer": provider.issuer, "client_secret": "env:OIDC_SECRET"})


@contextmanager
def sidecar(folder: Path, port: int, settings: OpenIdConnect) -> Iterator[MemorySidecar]:
    """A sidecar that listens, with the grants of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OIDC_SECRET", SECRET)
        patch.setenv("SIGNING_KEY", "0123456789abcdef" * 4)
        with memory_sidecar(folder, port=port, signing_key="env:SIGNING_KEY", oidc=settings) as made:
            for id, group in (("g1", "flow-operator"), ("g2", "on-call")):
                made.access.change(
                    lambda d, now, id=id, group=group: add_grant(d, now, id=id, role=Role.OPERATOR, group=group)  # type: ignore[misc]
                )
            made.access.change(lambda d, now: add_user(d, now, id="root", name="root", role=Role.ADMIN))
            yield made


@pytest.fixture
def place(provider: Keycloak, port: int, tmp_path: Path) -> Iterator[MemorySidecar]:
    with sidecar(tmp_path, port, settings_of(provider)) as made:
        yield made


class Browser:
    """One with cookies of its own, that follows redirects where it is told to."""

    def __init__(self, place: MemorySidecar) -> None:
        self.place = place
        # Secure cookies also over http: to browsers this machine is a secure place.
        jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
        self.client = httpx2.Client(timeout=60, follow_redirects=False, headers={"Origin": place.address}, cookies=jar)

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """What the sidecar answers."""
        return self.client.request(method, f"{self.place.address}{API_PATH}{path}", headers=PAGES_OWN, **more)

    def go(self, address: str) -> Any:
        """The first page or answer that is no redirect, or leads to a page of ours."""
        answer = self.client.get(address)
        for _ in range(10):
            if not answer.is_redirect:
                return answer
            following = urljoin(str(answer.url), answer.headers["location"])
            if following.startswith(self.place.address) and API_PATH not in following:
                return answer
            answer = self.client.get(following)
        pytest.fail(f"expected a page but {address} leads on and on")

    def at_the_form(self, to: str = "/runs") -> Any:
        """Keycloak's page to log in."""
        begun = self.ask("GET", "/session/oidc", params={"to": to})
        assert begun.status_code == 303, begun.text
        return self.go(begun.headers["location"])

    def sent(self, page: Any, name: str, password: str = PASSWORD) -> Any:
        """What comes of Keycloak's form."""
        action = re.search(r'<form id="kc-form-login"[^>]* action="([^"]+)"', page.text)
        assert action is not None, page.text
        form = {"username": name, "password": password, "credentialId": ""}
        return self.client.post(html.unescape(action[1]), data=form)

    def log_in(self, name: str, to: str = "/runs") -> Any:
        """The sidecar's answer to Keycloak's."""
        answer = self.sent(self.at_the_form(to), name)
        assert answer.is_redirect, answer.text
        assert answer.headers["location"].startswith(f"{self.place.address}{API_PATH}/session/oidc/callback")
        return self.client.get(answer.headers["location"])


@pytest.fixture
def browser(place: MemorySidecar) -> Iterator[Callable[[], Browser]]:
    with ExitStack() as open_ones:

        def made() -> Browser:
            found = Browser(place)
            open_ones.enter_context(found.client)
            return found

        yield made


NewBrowser = Callable[[], Browser]


def test_a_person_logs_in_and_has_the_rights_of_their_roles(browser: NewBrowser, provider: Keycloak) -> None:
    bob = browser()
    begun = bob.ask("GET", "/session/oidc", params={"to": "/runs?key=1"})
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert (asked["code_challenge_method"], asked["client_id"]) == (["S256"], ["streamflow"])
    refused = bob.sent(bob.go(begun.headers["location"]), "bob", "guessed")
    assert (refused.status_code, "Invalid username or password" in refused.text) == (200, True)
    assert bob.ask("GET", "/me").status_code == 401

    answer = bob.log_in("bob", to="/runs?key=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?key=1")
    kept = {one.partition("=")[0]: one.lower() for one in answer.headers.get_list("set-cookie")}
    for name in ("streamflow_access", "streamflow_refresh", "streamflow_id_token"):
        assert "httponly" in kept[name]
        assert "samesite=strict" in kept[name]
    told = bob.ask("GET", "/me").json()
    assert (told["name"], told["via"]) == ("bob", "session")
    assert "flow-operator" in told["groups"]
    assert "on-call" not in told["groups"]
    assert Right.OPERATE_RUNS in told["rights"]
    assert Right.CHANGE_ACCESS not in told["rights"]

    eve = browser()
    assert eve.log_in("eve").status_code == 303
    told = eve.ask("GET", "/me").json()
    assert (told["name"], told["rights"]) == ("eve", [])


def test_keycloak_itself_asks_for_pkce(browser: NewBrowser) -> None:
    begun = browser().ask("GET", "/session/oidc")
    without = re.sub(r"&code_challenge(_method)?=[^&]+", "", begun.headers["location"])
    answer = httpx2.get(without, follow_redirects=False)
    assert parse_qs(urlsplit(answer.headers["location"]).query)["error"] == ["invalid_request"]


def test_an_admins_name_at_keycloak_makes_no_admin(browser: NewBrowser) -> None:
    assert code(browser().log_in("root")) == (409, "name_taken")


@pytest.mark.parametrize(
    ("claim", "groups"),
    [("groups", {"staff", "on-call"}), ("realm_access.roles", {"flow-operator"}), ("absent.at", set[str]())],
)
def test_groups_come_from_the_claim_that_is_set(
    provider: Keycloak, port: int, tmp_path: Path, claim: str, groups: set[str]
) -> None:
    settings = settings_of(provider).model_copy(update={"groups_claim": claim})
    with sidecar(tmp_path, port, settings) as place:
        bob = Browser(place)
        with bob.client:
            assert bob.log_in("bob").status_code == 303
            told = set(bob.ask("GET", "/me").json()["groups"])
    assert told - {"default-roles-acme", "offline_access", "uma_authorization"} == groups


def test_the_session_is_refreshed_and_a_copy_of_its_token_ends_it(browser: NewBrowser) -> None:
    bob = browser()
    bob.log_in("bob")
    first = bob.client.cookies["streamflow_refresh"]
    for _ in range(2):
        assert bob.ask("POST", "/session/refresh").status_code == 200
    assert bob.client.cookies["streamflow_refresh"] != first
    assert bob.ask("GET", "/me").status_code == 200
    thief = browser()
    assert code(thief.ask("POST", "/session/refresh", json={"refresh_token": first})) == (401, "refresh_reused")
    assert code(bob.ask("GET", "/me")) == (401, "session_ended")


def test_a_log_out_ends_the_session_at_keycloak_too(browser: NewBrowser, place: MemorySidecar) -> None:
    bob = browser()
    bob.log_in("bob")
    assert bob.ask("GET", "/session/oidc", params={"to": "/"}).status_code == 303
    leave = bob.ask("GET", "/me").json()["leave"]
    assert leave == f"{API_PATH}/session/oidc/end"
    assert bob.ask("DELETE", "/session").status_code == 204
    # Logged in at Keycloak still: whoever sits there next comes in without a password.
    assert bob.ask("GET", "/me").status_code == 401
    back = bob.go(f"{place.address}{leave}")
    assert (back.status_code, back.headers["location"]) == (302, f"{place.address}/")
    assert "kc-form-login" in bob.at_the_form().text


def test_without_a_log_out_keycloak_asks_for_no_password(browser: NewBrowser) -> None:
    """So the one before has something to end."""
    bob = browser()
    bob.log_in("bob")
    bob.ask("DELETE", "/session")
    answer = bob.at_the_form()
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    assert bob.ask("GET", "/me").status_code == 200


def test_a_log_out_without_the_cookie_is_asked_about(browser: NewBrowser, place: MemorySidecar) -> None:
    bob = browser()
    bob.log_in("bob")
    bob.client.cookies.delete("streamflow_id_token")
    page = bob.go(f"{place.address}{API_PATH}/session/oidc/end")
    assert (page.status_code, "Do you want to log out?" in page.text) == (200, True)
    assert bob.ask("GET", "/me").status_code == 200


def test_keycloaks_admin_ends_a_persons_sessions_here(
    browser: NewBrowser, provider: Keycloak, place: MemorySidecar
) -> None:
    bob, other, eve = browser(), browser(), browser()
    for one, name in ((bob, "bob"), (other, "bob"), (eve, "eve")):
        one.log_in(name)
    provider.ask("POST", f"/users/{provider.user('bob')['id']}/logout")
    for one in (bob, other):
        eventually(lambda one=one: one.ask("GET", "/me").status_code == 401, timeout=20)  # type: ignore[misc]
        assert code(one.ask("GET", "/me")) == (401, "session_ended")
        assert code(one.ask("POST", "/session/refresh")) == (401, "session_ended")
    assert eve.ask("GET", "/me").status_code == 200
    (told, *_) = [entry for entry in place.access.entries if entry.action == "session.ended"]
    assert (told.who, told.target) == ("provider", "bob")


def test_a_person_disabled_at_keycloak_stays_until_the_session_ends(browser: NewBrowser, provider: Keycloak) -> None:
    gone = browser()
    gone.log_in("gone")
    user = provider.user("gone")
    provider.ask("PUT", f"/users/{user['id']}", user | {"enabled": False})
    try:
        assert gone.ask("GET", "/me").status_code == 200
        assert gone.ask("POST", "/session/refresh").status_code == 200
        again = browser()
        refused = again.sent(again.at_the_form(), "gone")
        assert (refused.status_code, "Account is disabled" in refused.text) == (200, True)
        # The one that is logged in at Keycloak does not come in again either.
        assert gone.ask("DELETE", "/session").status_code == 204
        assert "kc-form-login" in gone.at_the_form().text
    finally:
        provider.ask("PUT", f"/users/{user['id']}", user | {"enabled": True})


def test_a_session_lasts_as_long_as_the_provider_is_trusted(browser: NewBrowser, place: MemorySidecar) -> None:
    bob = browser()
    bob.log_in("bob")
    (family,) = place.access.directory.families()
    assert family.expires_ms - family.created_ms == 24 * 3_600_000


def test_a_key_that_keycloak_has_rotated_is_fetched(
    browser: NewBrowser, provider: Keycloak, place: MemorySidecar
) -> None:
    assert browser().log_in("bob").status_code == 303
    asked = _count_keys(place)
    provider_key = "org.keycloak.keys.KeyProvider"
    parent = provider.ask("GET", "")["id"]
    (old,) = [
        one for one in provider.ask("GET", f"/components?type={provider_key}") if one["providerId"] == "rsa-generated"
    ]
    new = {"name": "new", "providerId": "rsa-generated", "providerType": provider_key, "parentId": parent}
    options = {"priority": ["200"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]}
    provider.ask("POST", "/components", new | {"config": options})
    off = old["config"] | {"enabled": ["false"], "active": ["false"]}
    provider.ask("PUT", f"/components/{old['id']}", old | {"config": off})

    # They were fetched a moment ago, so the first log-ins may be refused.
    eventually(lambda: browser().log_in("bob").status_code == 303, timeout=module._KEYS_AGAIN_S + 10)
    assert len(asked) == 1
    for _ in range(3):
        answer = browser().log_in("eve")
        assert (answer.status_code, answer.headers.get("location")) == (303, "/runs"), answer.text
    assert len(asked) == 1


def _count_keys(place: MemorySidecar) -> list[float]:
    """When the provider's keys are asked for, from now on."""
    provider = place.provider
    ask, asked = provider._keys._ask, []

    async def counted() -> Any:
        asked.append(time.monotonic())
        return await ask()

    provider._keys._ask = counted
    return asked


@pytest.mark.parametrize("off_s", [3600, -3600])
def test_a_clock_that_is_an_hour_off_is_told(browser: NewBrowser, monkeypatch: pytest.MonkeyPatch, off_s: int) -> None:
    bob = browser()
    real = time.time
    monkeypatch.setattr("streamflow.access.oidc.now_s", lambda: int(real()) + off_s)
    answer = bob.log_in("bob")
    assert code(answer) == (403, "oidc_forged")
    where = "ahead of" if off_s > 0 else "behind"
    told = re.search(rf"clock is (\d+) s {where} the provider's", answer.json()["detail"])
    assert told is not None, answer.json()
    assert 3600 - 60 < int(told[1]) < 3600 + 60


def test_without_keycloak_a_log_in_is_refused_at_once_and_sessions_go_on(
    browser: NewBrowser, provider: Keycloak, place: MemorySidecar
) -> None:
    bob = browser()
    bob.log_in("bob")
    half = browser()
    page = half.at_the_form()
    answered = half.sent(page, "eve").headers["location"]
    provider.stop()
    try:
        began = time.monotonic()
        assert code(half.client.get(answered)) == (502, "oidc_unreachable")
        # it answered a few seconds ago, and so long nobody asks it again
        eventually(lambda: browser().ask("GET", "/session/oidc").status_code == 502, timeout=module._FRESH_S + 5)
        assert code(browser().ask("GET", "/session/oidc")) == (502, "oidc_unreachable")
        assert time.monotonic() - began < module._FRESH_S + 10
        assert bob.ask("GET", "/me").status_code == 200
        assert bob.ask("POST", "/session/refresh").status_code == 200
        assert bob.ask("DELETE", "/session").status_code == 204
    finally:
        provider.start()
    assert browser().log_in("eve").status_code == 303


def test_a_keycloak_that_hangs_keeps_nobody_waiting(provider: Keycloak, port: int, tmp_path: Path) -> None:
    with sidecar(tmp_path, port, settings_of(provider)) as place, provider.paused():
        bob = Browser(place)
        with bob.client:
            began = time.monotonic()
            assert code(bob.ask("GET", "/session/oidc")) == (502, "oidc_unreachable")
            took = time.monotonic() - began
            assert took < module._TIMEOUT_S + 3
            # it is known now, so the next person is told without waiting
            assert code(bob.ask("GET", "/session/oidc")) == (502, "oidc_unreachable")
            assert time.monotonic() - began < took + 2
