"""The description of the API: every error that a route declares has a status, and the page loads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastapi.testclient import TestClient


def test_the_page_has_every_route_and_loads_nothing(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    page = client.get("/docs")

    for path in described["paths"]:
        assert path in page.text
    assert "<script" not in page.text
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page.text)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_every_route_says_what_it_does_and_how_it_fails(client: TestClient) -> None:
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, route in methods.items():
            assert route.get("description"), f"{method} {path}"
            assert "500" in route["responses"], f"{method} {path}"


def test_events_are_described_with_examples(client: TestClient) -> None:
    content = client.get("/openapi.json").json()["paths"]["/api/v1/events"]["post"]["requestBody"]["content"]

    assert set(content) == {
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    }
    assert set(content["application/json"]["examples"]) == {"one", "many"}


def test_every_reference_leads_somewhere(client: TestClient) -> None:
    described = client.get("/openapi.json").json()

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            for one in value.values():
                yield from references(one)
        elif isinstance(value, list):
            for one in value:
                yield from references(one)

    found = set(references(described))
    assert found
    for reference in found:
        at = described
        assert reference.startswith("#/")
        for name in reference.removeprefix("#/").split("/"):
            assert name in at, reference
            at = at[name]
