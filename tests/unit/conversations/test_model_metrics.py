"""What conversations with a language model add to the sidecar's metrics: what this process was answered, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

import streamflow.models.openai_compatible
from streamflow.conversations.service import Conversations
from streamflow.history.reader import HistoryReader
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.models.endpoint import Finished, Part, Reported, Request, TextPart
from streamflow.models.meter import Scope
from streamflow.models.protocol import StopReason, Usage
from streamflow.settings import Settings
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.metrics.test_collector import exposed

ONE_ANSWER = {
    "model_tokens": {("input", "main"): 1000, ("cached_input", "main"): 0, ("cache_write", "main"): 0}
    | {("output", "main"): 200},
    "model_answers": {("main", "end"): 1},
    "model_cost": {("CHF", "main"): pytest.approx(0.004)},
}
NOTHING: dict[str, Any] = {"model_tokens": {}, "model_answers": {}, "model_cost": {}}


class Scripted:
    """An endpoint whose answers end, or go on without an end."""

    ends = True

    def __init__(self, **_options: Any) -> None: ...

    async def answer(self, request: Request) -> AsyncGenerator[Part, None]:
        yield TextPart("x" * 90)
        if not self.ends:
            await asyncio.Event().wait()
        yield Reported(Usage(input_tokens=1000, output_tokens=200))
        yield Finished(StopReason.END)

    async def close(self) -> None: ...


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    class Own(Scripted): ...

    monkeypatch.setattr(streamflow.models.openai_compatible, "OpenAICompatible", Own)
    return Own


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    model: dict[str, Any] = {"provider": "openai", "model": "tiny-1", "url": "http://127.0.0.1:9/v1", "form": "tools"}
    model["price"] = {"input": 2, "output": 10}
    models: dict[str, Any] = {"available": {"main": model}, "currency": "CHF"}
    given = {"models": models, "state_dir": tmp_path, "history": {"path": tmp_path / "history.db"}}
    return Settings.model_validate(given)


class Sidecar:
    """A sidecar on `log` as far as conversations need it, and its metrics."""

    def __init__(self, settings: Settings, log: MemoryLog) -> None:
        self.metrics = ProcessMetrics(Process.SIDECAR)
        app = create_app(settings, log, MemoryAccess(), HistoryReader(settings), metrics=self.metrics)
        self.service: Conversations = app.state.conversations

    def counted(self) -> dict[str, dict[tuple[str, ...], float]]:
        found = exposed(self.metrics)
        return {name: found.get(f"streamflow_{name}_total", {}) for name in NOTHING}

    async def say(self, id: str) -> str:
        return await self.service.say(id, "ada", "hello", mode="ask", model=None)

    async def seen(self, id: str, turn: str, kind: str) -> None:
        """Returns when the turn has an event of `kind`."""
        async with asyncio.timeout(20):
            async for entries in self.service.watch(id, 0):
                if any((type(one.event).__name__, getattr(one.event, "turn", "")) == (kind, turn) for one in entries):
                    return


def test_a_turn_counts_its_answer_once(settings: Settings) -> None:
    async def story() -> None:
        one = Sidecar(settings, MemoryLog(settings))
        id = await one.service.start("ada", title="A talk", text=None, catalog=None)
        assert one.counted() == NOTHING
        await one.seen(id, await one.say(id), "TurnEnded")
        assert one.counted() == ONE_ANSWER
        await one.service.close()

    asyncio.run(story())


def test_what_others_or_this_process_before_it_began_again_were_answered_is_not_counted(settings: Settings) -> None:
    async def story() -> None:
        log = MemoryLog(settings)
        before = Sidecar(settings, log)
        id = await before.service.start("ada", title="A talk", text=None, catalog=None)
        await before.seen(id, await before.say(id), "TurnEnded")
        await before.service.close()

        later = Sidecar(settings, log)
        await later.seen(id, await later.say(id), "TurnEnded")
        spent = await later.service.read(lambda library: list(library.spent()))
        assert [one.input_tokens for _, one in spent] == [1000, 1000]
        assert later.counted() == ONE_ANSWER
        assert before.counted() == ONE_ANSWER
        await later.service.close()

    asyncio.run(story())


def test_what_a_deleted_conversation_spent_is_forgotten_and_its_day_keeps_it(settings: Settings) -> None:
    async def story() -> None:
        one = Sidecar(settings, MemoryLog(settings))
        id = await one.service.start("ada", title="A talk", text=None, catalog=None)
        await one.seen(id, await one.say(id), "TurnEnded")
        meter = one.service._assistant._meter
        assert meter is not None
        assert {key[0] for key in meter._spent} == set(Scope)
        await one.service.delete(id)
        assert {key[0] for key in meter._spent} == {Scope.PERSON, Scope.DAY}
        assert not one.service._assistant._counted
        await one.service.close()

    asyncio.run(story())


def test_a_cancelled_turn_counts_what_came_of_its_answer(settings: Settings, scripted: type[Scripted]) -> None:
    async def story() -> None:
        scripted.ends = False
        one = Sidecar(settings, MemoryLog(settings))
        id = await one.service.start("ada", title="A talk", text=None, catalog=None)
        turn = await one.say(id)
        await one.seen(id, turn, "TextAdded")
        assert one.counted() == NOTHING
        await one.service.cancel(id, "ada", turn)
        await one.seen(id, turn, "TurnEnded")
        await one.service.close()
        counted = one.counted()
        assert counted["model_answers"] == {("main", "cancelled"): 1}
        assert counted["model_tokens"]["output", "main"] == 30
        (spent,) = await one.service.read(lambda library: [one for _, one in library.spent()])
        assert counted["model_tokens"]["input", "main"] == spent.input_tokens > 0
        assert counted["model_cost"] == {("CHF", "main"): pytest.approx(float(spent.money or 0))}

    asyncio.run(story())
