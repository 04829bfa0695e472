"""Two people, the assistant and two readers on one draft, while their sidecar is killed and started again: what was
answered stays, nothing is there twice, and a reader goes on where it was."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streamflow.operations.callbacks import API_PATH
from streamflow.settings import Settings
from tests.integration.forked import Child, fork, streamflow
from tests.scripted_model import Answer, Asked, Call, ScriptedModel
from tests.scripted_model.client import KEY
from tests.servers.process import free_port

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

CATALOG = (Path(__file__).parents[3] / "definitions/fraud-detection/catalog.yaml").read_text()
EDITS = 6
TURNS = 3
BEFORE_KILL = (3, 8)  # edits that were answered when the sidecar is killed
PATIENCE_S = 120.0
AWAY = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


def step(id_: str) -> dict[str, Any]:
    return {"op": "add_step", "step": {"id": id_, "print": {"text": "'x'"}}}


class Assistant:
    """A model that adds a step at each request of a person, and says so."""

    def __init__(self) -> None:
        self.asked = 0

    def answer(self, asked: Asked) -> Answer:
        if asked.body["messages"][-1]["role"] == "tool":
            return Answer("Done.")
        self.asked += 1
        told = {"statements": [{"origin": "said", "text": "One step more.", "steps": []}], "questions": []}
        operations = {"operations": [step(f"bot_{self.asked}")]}
        return Answer("One more.", calls=(Call("understand", json.dumps(told)), Call("apply", json.dumps(operations))))


class Site:
    """A sidecar on a port of its own, which can be killed, and what clients were answered."""

    def __init__(self, settings: Settings, model: ScriptedModel, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        own = {"provider": "openai", "model": "tiny-1", "url": f"{model.url}/v1", "key": f"env:{KEY}", "form": "tools"}
        self._config = folder / "sidecar.yaml"
        self._config.write_text(
            json.dumps(
                {
                    "kafka": {"bootstrap_servers": settings.kafka.bootstrap_servers},
                    "topics": settings.topics.model_dump(mode="json"),
                    "state_dir": str(folder / "state"),
                    "models": {"available": {"main": own}},
                }
            )
        )
        self._process: Child | None = None
        self.kept: list[str] = []  # steps whose edit was answered
        self.killing = [(count, asyncio.Event()) for count in BEFORE_KILL]
        self.conflicts = 0
        self.place = ""  # the path of the conversation

    def start(self) -> None:
        line = ["sidecar", "--port", str(self.port), "--config", str(self._config)]
        environment = {**os.environ, KEY: "sk-test-0123456789"}
        self._process = fork(streamflow, environment, self._folder / "sidecar.log", line)

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "sidecar.log").read_text()[-3000:]
        self._process.kill()
        self._process.wait(30)

    def keep(self, *steps: str) -> None:
        self.kept += steps
        for count, enough in self.killing:
            if len(self.kept) >= count:
                enough.set()

    async def asked(self, http: aiohttp.ClientSession, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """An answer, as often as it takes: a sidecar that is away is asked again, as a page does."""
        while True:
            try:
                async with http.request(method, f"{API_PATH}{path}", **more) as response:
                    if response.status < 500:
                        return response.status, await response.json()
            except AWAY:
                if method != "GET":
                    return 0, None  # it may have been done or not: whoever asks looks again
            await asyncio.sleep(0.1)

    async def draft(self, http: aiohttp.ClientSession) -> tuple[int, list[str]]:
        """The current revision and the ids of its steps."""
        _, talk = await self.asked(http, "GET", self.place)
        _, found = await self.asked(http, "GET", f"{self.place}/revisions/{talk['revision']}")
        return talk["revision"], [one["id"] for one in found["content"]["steps"]]


async def person(site: Site, http: aiohttp.ClientSession, who: str) -> None:
    """Adds steps, each until it is in the draft."""
    for number in range(EDITS):
        id_ = f"{who}_{number}"
        while True:
            revision, there = await site.draft(http)
            if id_ in there:
                break
            headers = {"If-Match": f'"{revision}"'}
            body = {"operations": [step(id_)]}
            status, told = await site.asked(http, "POST", f"{site.place}/operations", json=body, headers=headers)
            if status == 200:
                break
            assert status in (0, 409), told
            site.conflicts += status == 409
        site.keep(id_)


async def asker(site: Site, http: aiohttp.ClientSession) -> None:
    """Has the assistant add steps, and says yes to them."""
    done = 0
    while done < TURNS:
        status, told = await site.asked(http, "POST", f"{site.place}/messages", json={"text": "one step more"})
        if status != 202:
            await asyncio.sleep(0.1)  # a turn of before is open until it is seen that its sidecar is gone
            continue
        while (cause := await ended(site, http, told["turn"])) is None:
            pass
        if cause != "waiting":
            continue
        while True:
            _, talk = await site.asked(http, "GET", site.place)
            if talk["proposal"] is None:
                break
            offered = [one["step"]["id"] for one in talk["proposal"]["operations"]]
            headers = {"If-Match": f'"{talk["revision"]}"'}
            status, _ = await site.asked(http, "POST", f"{site.place}/accept", json={}, headers=headers)
            if status == 200:
                site.keep(*offered)
        done += 1


async def ended(site: Site, http: aiohttp.ClientSession, turn: str) -> str | None:
    """How a turn ended; None while it is open."""
    _, found = await site.asked(http, "GET", f"{site.place}/events?limit=1000")
    causes = [row["cause"] for row in found["rows"] if row["type"] == "turn_ended" and row["turn"] == turn]
    return causes[0] if causes else None


async def reader(site: Site, http: aiohttp.ClientSession, heard: list[dict[str, Any]]) -> None:
    """Follows the stream up to a comment, as a page does: after a cut it names the last event that it has."""
    while not (heard and heard[-1]["type"] == "comment"):
        headers = {"accept": "text/event-stream", "Last-Event-ID": str(heard[-1]["seq"] if heard else 0)}
        try:
            async with http.get(f"{API_PATH}{site.place}/events", headers=headers) as response:
                async for line in response.content:
                    if line.startswith(b"data: ") and line.endswith(b"\n"):
                        heard.append(json.loads(line[6:]))
                        if heard[-1]["type"] == "comment":
                            return
        except AWAY:
            await asyncio.sleep(0.1)


async def killer(site: Site) -> None:
    for _, enough in site.killing:
        await enough.wait()
        site.kill()
        site.start()


def test_nothing_is_lost_or_doubled_by_restarts(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "sk-test-0123456789")

    async def story() -> None:
        async with ScriptedModel(Assistant().answer) as model:
            site = Site(topics, model, tmp_path)
            site.start()
            try:
                await asyncio.wait_for(played(site), PATIENCE_S * 3)
            finally:
                site.kill()

    asyncio.run(story())


async def played(site: Site) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{site.port}", timeout=timeout) as http:
        body = {"title": "A talk", "catalog": CATALOG}
        made: Any = None
        while made is None:
            status, made = await site.asked(http, "POST", "/conversations", json=body)
            await asyncio.sleep(0.1)
        assert status == 201, made
        site.place = f"/conversations/{made['conversation']}"
        first: list[dict[str, Any]] = []
        later: list[dict[str, Any]] = []
        readers = [asyncio.create_task(reader(site, http, first))]
        people: list[Callable[[], Awaitable[None]]] = [
            lambda: person(site, http, "ada"),
            lambda: person(site, http, "bob"),
            lambda: asker(site, http),
            lambda: killer(site),
        ]
        await asyncio.gather(*(one() for one in people))
        readers.append(asyncio.create_task(reader(site, http, later)))  # a client that starts anew
        assert (await site.asked(http, "POST", f"{site.place}/comments", json={"text": "Done."}))[0] == 201
        await asyncio.gather(*readers)

        _, there = await site.draft(http)
        assert set(there) >= set(site.kept)
        assert len(there) == len(set(there)) == 2 * EDITS + TURNS, there
        assert site.conflicts, "nobody was in anybody's way"
        _, found = await site.asked(http, "GET", f"{site.place}/events?limit=1000")
        rows = [row["seq"] for row in found["rows"]]
        assert rows == list(range(1, len(rows) + 1))
        assert [one["seq"] for one in first] == rows
        assert first == later == found["rows"]
        turns = {row["turn"] for row in found["rows"] if row["type"] == "turn_started"}
        over_ = [row["turn"] for row in found["rows"] if row["type"] == "turn_ended"]
        assert sorted(over_) == sorted(turns), "each turn ended once"
