"""The pages around the API: which addresses are theirs, their policy, and what they say of assets."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from streamflow.sidecar import pages

PAGE = (
    '<!doctype html><script nonce="__NONCE__">1</script><script nonce="__NONCE__" src="/assets/index-0a1b.js"></script>'
)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "assets" / "index-0a1b.js").write_text("let x = 1;")
    (tmp_path / "assets" / "index-0a1b.js.gz").write_bytes(gzip.compress(b"let x = 1;"))
    (tmp_path / "secret.js").write_text("no asset")
    monkeypatch.setattr(pages, "_ROOT", tmp_path)
    pages.forget()
    yield
    pages.forget()


@pytest.fixture
def site(guarded: TestClient, built: None) -> TestClient:
    guarded.base_url = guarded.base_url.copy_with(path="/")
    return guarded


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/4f2a-main-5d?tab=log", "/definitions/order.v2", "/apiary"])
def test_every_address_outside_the_api_is_the_application(site: TestClient, path: str) -> None:
    answer = site.get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_nonce_is_in_the_policy_and_in_the_page_and_new_every_time(site: TestClient) -> None:
    nonces = set()
    for _ in range(3):
        answer = site.get("/runs")
        policy = answer.headers["content-security-policy"]
        found = re.search(r"script-src 'self' 'nonce-([A-Za-z0-9_-]{20,})'", policy)
        assert found is not None
        assert answer.text == PAGE.replace("__NONCE__", found[1])
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        nonces.add(found[1])
    assert len(nonces) == 3


def test_assets_are_compressed_and_kept_for_ever(site: TestClient) -> None:
    plain = site.get("/assets/index-0a1b.js", headers={"accept-encoding": "identity"})
    packed = site.get("/assets/index-0a1b.js", headers={"accept-encoding": "gzip"})

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.text == packed.text == "let x = 1;"
    for answer in (plain, packed):
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/gone-0a1b.js",
        "/assets/..%2fsecret.js",
        "/assets/%2e%2e/secret.js",
        "/assets/index-0a1b.js.gz",
        "/assets/",
        "/assets/a\\b.js",
    ],
)
def test_what_is_no_asset_is_not_found(site: TestClient, path: str) -> None:
    answer = site.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "no asset" not in answer.text


@pytest.mark.parametrize("path", ["/api", "/api/v1/runs/x", "/api/v2/anything"])
def test_the_api_still_asks_for_the_token(site: TestClient, path: str) -> None:
    assert site.get(path).json()["code"] == "token_missing"


def test_only_reading_reaches_a_page(site: TestClient) -> None:
    assert site.post("/runs").status_code == 404
    assert site.head("/runs").status_code == 200


def test_the_host_is_checked_for_pages_too(site: TestClient) -> None:
    assert site.get("/runs", headers={"host": "elsewhere.example"}).json()["code"] == "host_unknown"


def test_without_a_built_application_there_is_no_page(
    guarded: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_ROOT", tmp_path)
    pages.forget()
    guarded.base_url = guarded.base_url.copy_with(path="/")

    assert guarded.get("/runs").status_code == 404
    pages.forget()
