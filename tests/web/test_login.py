"""People log in, in a browser: by password and by OpenID Connect; sessions end; rights hide what one may not do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser, Page

from streamflow.access.changes import add_grant
from streamflow.access.rights import Role
from streamflow.access.session_changes import end_session
from streamflow.operations.callbacks import API_PATH
from streamflow.settings import OpenIdConnect
from tests.conftest import start_server
from tests.servers.openid import CLIENT, SECRET, OpenIdProvider, openid_provider
from tests.servers.process import free_port
from tests.web.browser import Watched, opened
from tests.web.memory_sidecar import PASSWORD, MemorySidecar, memory_sidecar

pytestmark = [pytest.mark.ui, pytest.mark.timeout(400)]

RUN = "R-1"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def provider(port: int) -> Iterator[OpenIdProvider]:
    yield from start_server(openid_provider(f"http://localhost:{port}{API_PATH}/session/oidc/callback"))


@pytest.fixture(scope="module")
def sidecar(
    browser: Browser, provider: OpenIdProvider, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MemorySidecar]:
    oidc = OpenIdConnect(issuer=provider.issuer, client_id=CLIENT, client_secret="env:OIDC_SECRET")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OIDC_SECRET", SECRET)
        patch.setenv("SIGNING_KEY", "0123456789abcdef" * 4)
        folder = tmp_path_factory.mktemp("login")
        with memory_sidecar(folder, port=port, signing_key="env:SIGNING_KEY", oidc=oidc) as made:
            made.begin(RUN)  # before there are users, this machine may do everything
            made.add_user("root", Role.ADMIN)
            made.add_user("vera", Role.VIEWER)
            made.access.change(lambda d, now: add_grant(d, now, id="g", role=Role.OPERATOR, group="staff"))
            yield made


@pytest.fixture
def visitor(browser: Browser, sidecar: MemorySidecar) -> Iterator[Watched]:
    with opened(browser, sidecar.address) as watched:
        yield watched


def log_in(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_password_leads_to_the_page_that_was_asked_for_and_the_way_out(visitor: Watched) -> None:
    page = visitor.page
    visitor.go(f"/runs?key={RUN}", "text=Use an API key")
    page.get_by_label("Name").fill("root")
    page.get_by_label("Password").fill("a wrong one")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").get_by_text("credentials_wrong").wait_for()
    log_in(page, "root")
    page.wait_for_url(f"**/runs?key={RUN}")
    page.get_by_role("row").filter(has_text=RUN).wait_for()
    page.get_by_role("button", name="Start a run").wait_for()
    visitor.check()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto("/runs")
    page.wait_for_url("**/login?next=**")


def test_a_session_that_ended_leads_to_the_log_in_and_back(visitor: Watched, sidecar: MemorySidecar) -> None:
    page = visitor.page
    visitor.go(f"/runs?key={RUN}", "text=Use an API key")
    log_in(page, "root")
    page.get_by_role("row").filter(has_text=RUN).wait_for()
    for family in [one.id for one in sidecar.access.directory.families() if one.user == "root"]:
        sidecar.access.change(lambda d, now, id=family: end_session(d, now, id=id, why="test"))  # type: ignore[misc]
    page.get_by_role("button", name="Parked").click()
    page.wait_for_url("**/login?next=**")
    log_in(page, "root")
    page.wait_for_url(f"**/runs?key={RUN}&status=parked")
    page.get_by_role("button", name="Open").click()
    page.get_by_role("row").filter(has_text=RUN).wait_for()


def test_an_access_token_that_expired_is_renewed_and_nobody_sees_it(visitor: Watched) -> None:
    page = visitor.page
    visitor.go(f"/runs?key={RUN}", "text=Use an API key")
    log_in(page, "root")
    page.get_by_role("row").filter(has_text=RUN).wait_for()
    page.context.clear_cookies(name="streamflow_access")
    page.reload()
    page.get_by_role("row").filter(has_text=RUN).wait_for()
    assert "streamflow_access" in {cookie["name"] for cookie in page.context.cookies()}


def test_rights_hide_what_one_may_not_do(visitor: Watched, sidecar: MemorySidecar) -> None:
    page = visitor.page
    visitor.go(f"/runs?key={RUN}", "text=Use an API key")
    log_in(page, "vera")
    row = page.get_by_role("row").filter(has_text=RUN)
    row.wait_for()
    for button in ("Start a run", "Act on all"):
        assert page.get_by_role("button", name=button).count() == 0
    pages = page.get_by_role("navigation", name="Pages")
    assert pages.get_by_role("link", name="Users and grants").count() == 0
    assert pages.get_by_role("link", name="Audit").count() == 0
    row.get_by_role("link").first.click()
    page.locator("[data-step]").first.wait_for()
    for button in ("Cancel", "Retry", "Skip"):
        assert page.get_by_role("button", name=button, exact=True).count() == 0
    page.goto("/definitions/refund")
    page.locator("[data-step]").first.wait_for()
    assert page.get_by_role("link", name="Edit").count() == 0
    assert page.get_by_role("button", name="Retire").count() == 0
    visitor.check()


def test_the_organisation_logs_a_person_in_and_out(
    visitor: Watched, provider: OpenIdProvider, sidecar: MemorySidecar
) -> None:
    page = visitor.page
    visitor.go(f"/runs?key={RUN}", "text=Use an API key")
    page.get_by_role("link", name="Sign in with your organisation").click()
    page.wait_for_url(f"{provider.issuer}/**")
    page.locator("input[name=login]").fill("bob")
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    page.wait_for_load_state()
    if page.url.startswith(provider.issuer):
        page.locator("button[type=submit]").click()  # agrees
    page.wait_for_url(f"**/runs?key={RUN}")
    page.get_by_role("row").filter(has_text=RUN).wait_for()
    page.get_by_text("bob").wait_for()
    page.get_by_role("button", name="Act on all").wait_for()  # an operator, by the group `staff`
    assert page.get_by_role("link", name="Users and grants").count() == 0
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{provider.issuer}/session/end?**")
    page.get_by_role("button", name="Yes, sign me out").click()
    page.wait_for_url(f"{sidecar.address}/login**")


def test_the_page_of_keys_says_how_requests_are_counted(
    visitor: Watched, sidecar: MemorySidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visitor.page
    visitor.go("/keys", "text=Use an API key")
    log_in(page, "root")
    page.get_by_text("A key may send 6,000 requests in a minute, counted by each sidecar for itself.").wait_for()
    monkeypatch.setattr(sidecar.rates, "shared", True)  # tests/integration/test_shared_rates.py does it with a Redis
    page.reload()
    page.get_by_text("A key may send 6,000 requests in a minute, counted by all sidecars together.").wait_for()
    visitor.check()
