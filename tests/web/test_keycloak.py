"""A person logs in by Keycloak's own page, in a browser, and out again. Only in `make test-full`, as
tests/contract/test_keycloak.py, which has the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="make ui installs it")

from playwright.sync_api import Browser, Page

from tests.conftest import only_full, start_server
from tests.contract.test_keycloak import PASSWORD, realm, settings_of, sidecar
from tests.servers.keycloak import Keycloak, keycloak_server
from tests.servers.process import free_port
from tests.web.browser import opened

pytestmark = [pytest.mark.ui, only_full, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def provider(port: int) -> Iterator[Keycloak]:
    yield from start_server(keycloak_server(realm(f"http://localhost:{port}")))


def at_keycloak(page: Page, provider: Keycloak) -> None:
    page.get_by_role("link", name="Sign in with your organisation").click()
    page.wait_for_url(f"{provider.issuer}/**")
    page.locator("#kc-form-login").wait_for()


def test_a_person_logs_in_at_keycloak_and_out(browser: Browser, provider: Keycloak, port: int, tmp_path: Path) -> None:
    with sidecar(tmp_path, port, settings_of(provider)) as place, opened(browser, place.address) as visitor:
        page = visitor.page
        visitor.go("/runs", "text=Use an API key")
        at_keycloak(page, provider)
        page.locator("#username").fill("bob")
        page.locator("#password").fill(PASSWORD)
        page.locator("#kc-login").click()
        page.wait_for_url(f"{place.address}/runs")
        page.get_by_text("flow-operator").wait_for()
        page.get_by_role("button", name="Act on all").wait_for()
        kept = {cookie["name"]: cookie for cookie in page.context.cookies(f"{place.address}/api/v1/session/oidc")}
        for name in ("streamflow_access", "streamflow_id_token"):
            assert kept[name]["httpOnly"]
            assert kept[name]["sameSite"] == "Strict"

        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{place.address}/login**")
        at_keycloak(page, provider)  # which asks again
