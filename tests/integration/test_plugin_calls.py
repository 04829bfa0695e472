"""A running task worker and plugins, well-behaved and not: what becomes of each attempt, and who is told to do it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from streamflow.errors import Rejected
from streamflow.kafka.publication import read_log, register_operation, unregister_operation
from streamflow.kafka.worker_registry import registered_workers
from streamflow.operations.callbacks import read_token
from streamflow.operations.signature import HEADER, verify
from tests.contract.servers import http_server
from tests.integration.lanes import LaneBench, lanes, make_lanes
from tests.integration.workers import complaints

__all__ = ["lanes"]

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

SECRET = "plugin secret"
NUMBER = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


class Plugin:
    """A plugin in a thread of its own, which does what the input asks for."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.cancels: list[str] = []
        self.host = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Plugin:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    def registration(self, name: str = "fraud.score", **plugin: Any) -> dict[str, Any]:
        """How it is registered."""
        place = {"endpoint": f"http://{self.host}/", "secret": "fraud", **plugin}
        return {"spec": {"name": name, "input": {"type": "object"}, "output": NUMBER}, "plugin": place}

    async def _serve(self) -> None:
        async with http_server(self._answer) as self.host:
            self._ready.set()
            await self._over.wait()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            verify(SECRET, request.headers.get(HEADER), body)
        except Rejected as error:
            return web.json_response(
                {"error": {"code": error.code, "message": error.message, "retryable": False}}, status=401
            )
        call = json.loads(body)
        if request.method == "DELETE":
            self.cancels.append(call["id"])
            return web.json_response({})
        self.calls.append(call)
        match call["input"].get("do"):
            case "hang":
                await asyncio.sleep(3600)
            case "break the schema":
                return web.json_response({"output": {"score": "high"}})
            case "die":
                assert request.transport is not None
                request.transport.close()
            case "talk nonsense":
                return web.Response(text="<html>")
            case "fail":
                return web.Response(status=500)
            case "be busy":
                return web.Response(status=429, headers={"Retry-After": "7"})
            case "redirect":
                return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})
            case "flood":
                return web.Response(body=b'{"output": "' + b"x" * 50_000_000 + b'"}')
            case "answer later":
                return web.json_response({"for_s": 60}, status=202)
            case "refuse":
                return web.json_response(
                    {"error": {"code": "card_unknown", "message": "no such card", "retryable": False}}, status=422
                )
        return web.json_response({"output": {"score": 7}})


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    monkeypatch.setenv("FRAUD_KEY", SECRET)
    monkeypatch.setenv("STREAMFLOW_TASKS__PLUGIN_SECRETS__FRAUD", "env:FRAUD_KEY")
    with Plugin() as running:
        yield running


def test_whatever_a_plugin_does_is_an_answer_and_the_worker_goes_on(
    bootstrap: str, tmp_path: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBACK_KEY", "the key of the callbacks")
    lanes = make_lanes(bootstrap, tmp_path)
    with lanes:
        register_operation(lanes.settings, name="fraud.score", registration=plugin.registration(pending="2h"))
        worker = lanes.task_worker(callback_url="https://flows.example", callback_secret="env:CALLBACK_KEY")
        expected: dict[str, tuple[str, bool]] = {
            "hang": ("attempt_timeout", True),
            "break the schema": ("output_invalid", False),
            "die": ("http_broken_off", True),
            "talk nonsense": ("plugin_answer_invalid", False),
            "fail": ("plugin_unavailable", True),
            "be busy": ("plugin_unavailable", True),
            "redirect": ("plugin_redirected", False),
            "flood": ("output_too_large", False),
            "refuse": ("card_unknown", False),
        }
        bad = {
            do: lanes.task(do, operation="fraud.score", input={"do": do}, timeout_ms=700 if do == "hang" else 30_000)
            for do in expected
        }
        later = lanes.task("later", operation="fraud.score", input={"do": "answer later"})
        good = [lanes.task(f"good {number}", operation="fraud.score", input={}) for number in range(20)]

        lanes.put("default", *bad.values(), later, *good)
        answers = lanes.wait_answers(*bad.values(), later, *good)

        found = {do: answers[task.run][0].fields for do, task in bad.items()}
        assert {do: (fields["code"], fields.get("retryable", True)) for do, fields in found.items()} == expected
        assert found["be busy"]["retry_after_ms"] == 7000
        assert {answers[task.run][0].fields["output"]["score"] for task in good} == {7}
        suspended = answers[later.run][0]
        assert (suspended.kind, suspended.fields["for_ms"]) == ("SuspendAttempt", 60_000)
        lanes.wait(lambda: plugin.cancels == [bad["hang"].id], "the plugin to be told of what was given up")
        called = {call["id"]: call for call in plugin.calls}
        assert {task.id for task in (*bad.values(), later, *good)} == called.keys()
        token = called[later.id]["callback_url"].removeprefix("https://flows.example/api/v1/callbacks/")
        assert read_token("the key of the callbacks", token, now_ms=0).run == later.run
        assert lanes.wait_done("default") == {"completed": 20, "failed": 9, "suspended": 1}
        worker.stop()
        assert SECRET not in json.dumps([answer.fields for run in answers.values() for answer in run])
        assert complaints(worker) == []


def test_a_plugin_is_done_as_soon_as_it_is_registered_and_no_more_when_it_is_not(
    lanes: LaneBench, plugin: Plugin
) -> None:
    worker = lanes.task_worker()
    lanes.wait_assigned(worker)

    def outcome() -> dict[str, Any]:
        task = lanes.task("k", operation="fraud.score", input={})
        lanes.put("default", task)
        return lanes.wait_answers(task)[task.run][0].fields

    before = outcome()
    assert (before["code"], before.get("retryable", True)) == ("operation_unknown", True)
    register_operation(lanes.settings, name="fraud.score", registration=plugin.registration())
    lanes.wait(lambda: outcome().get("output") == {"score": 7}, "the plugin to be done")
    unregister_operation(lanes.settings, name="fraud.score")
    lanes.wait(lambda: outcome().get("code") == "operation_unknown", "the plugin to be gone")


def test_a_secret_that_is_not_configured_fails_for_good_and_names_itself(lanes: LaneBench, plugin: Plugin) -> None:
    register_operation(lanes.settings, name="fraud.score", registration=plugin.registration(secret="not-configured"))
    lanes.task_worker()
    task = lanes.task("k", operation="fraud.score", input={})

    lanes.put("default", task)

    fields = lanes.wait_answers(task)[task.run][0].fields
    assert (fields["code"], fields["retryable"]) == ("secret_missing", False)
    assert "not-configured" in fields["message"]
    assert plugin.calls == []


def test_workers_tell_what_they_do_and_a_killed_one_is_seen_to_be_gone(lanes: LaneBench, plugin: Plugin) -> None:
    register_operation(lanes.settings, name="fraud.score", registration=plugin.registration())
    first, second = lanes.task_worker("first", instance_id="first"), lanes.task_worker("second", instance_id="second")

    def there() -> dict[str, bool]:
        found = registered_workers(lanes.settings, read_log(lanes.settings))
        assert all("fraud.score" in {one["name"] for one in each.serving.operations} for each in found)
        return {each.serving.instance: each.present for each in found}

    lanes.wait(lambda: there() == {"first": True, "second": True}, "both workers to be there")
    first.kill()
    second.stop()
    lanes.wait(
        lambda: there() == {"first": False},
        "the killed worker to be gone, and the other one to have withdrawn",
        timeout_s=40,
    )
