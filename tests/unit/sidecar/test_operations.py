"""Plugins over HTTP: registered, listed, taken away."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.unit.sidecar.test_runs import code

PLUGIN: dict[str, Any] = {
    "spec": {"name": "fraud.score", "title": "Score a payment", "output": {"type": "object"}},
    "plugin": {"endpoint": "http://127.0.0.1:9/score", "secret": "fraud"},
}


def test_a_plugin_comes_and_goes(client: TestClient) -> None:
    assert client.post("/operations", json=PLUGIN).status_code == 201
    assert client.post("/operations", json=PLUGIN).status_code == 200
    listed = {one["name"]: one for one in client.get("/operations").json()}
    assert listed["fraud.score"]["source"] == "plugin"
    assert listed["fraud.score"]["plugin"]["secret"] == "fraud"
    assert listed["http.request"]["source"] == "built in"

    assert client.delete("/operations/fraud.score").status_code == 204
    assert code(client.delete("/operations/fraud.score")) == (404, "operation_unknown")


def test_another_plugin_of_a_name_is_replaced_only_when_asked(client: TestClient) -> None:
    other = PLUGIN | {"plugin": PLUGIN["plugin"] | {"endpoint": "http://127.0.0.1:9/other"}}
    assert client.post("/operations", json=PLUGIN).status_code == 201
    assert code(client.post("/operations", json=other)) == (409, "operation_registered")
    assert client.post("/operations?replace=true", json=other).status_code == 201
    assert client.post("/operations", json=other).status_code == 200


def test_a_name_that_is_installed_is_not_free(client: TestClient) -> None:
    assert code(client.post("/operations", json=PLUGIN | {"spec": {"name": "http.request"}})) == (
        409,
        "operation_taken",
    )


@pytest.mark.parametrize(
    "secret",
    [
        "Hunter2",
        "env:HUNTER2",
        "file:/etc/hunter2",
        "file:/proc/self/environ",
        "../hunter2",
        "hunter2\n",
        "",
        "2hunter",
    ],
)
def test_a_plugin_names_a_plugin_secret_and_no_place_of_the_worker(client: TestClient, secret: str) -> None:
    answer = client.post(
        "/operations", json=PLUGIN | {"plugin": {"endpoint": "http://127.0.0.1:9/score", "secret": secret}}
    )

    assert code(answer) == (422, "request_invalid")
    assert "hunter" not in answer.text.lower()
