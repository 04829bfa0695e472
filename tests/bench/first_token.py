"""From the first token of a language model to its place in the conversation's event stream: a sidecar on a broker, and
a scripted model that answers at once. Beside it what a comment of a person takes on the same way, from its request.

The clock is the system's monotonic one, and both ends are in this process: the model writes the token here, and the
stream is read here."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from streamflow.operations.callbacks import API_PATH
from tests.bench.report import Row
from tests.bench.served import served
from tests.bench.stage import Stage, percentile
from tests.proof.world import Failed, World
from tests.scripted_model import Answer, Asked, ScriptedModel

AIM_MS = 100.0
_TURNS = 100
_WARM_UP = 3  # turns that load what a sidecar loads when it is first asked
_PATIENCE_S = 60.0
_KEY = "BENCH_MODEL_KEY"
_TEXT = "The payment is held until somebody has looked at it. " * 4


class TimedModel(ScriptedModel):
    """Says the same always, and knows when the first piece of each answer was about to be written."""

    def __init__(self) -> None:
        super().__init__(lambda asked: Answer(text=_TEXT))
        self.began: list[float] = []  # seconds of the monotonic clock

    def _events(self, asked: Asked, answer: Answer) -> Iterator[bytes]:
        self.began.append(time.monotonic())
        return super()._events(asked, answer)


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when a turn shows nothing."""
    turns = stage.size(_TURNS)
    with stage.world("first_token") as world:
        shown, commented = asyncio.run(_measured(world, turns))
    stage.say(f"{turns} turns, {turns} comments")
    return [
        Row(
            "first token",
            f"p{share * 100:.0f} from the model to the event stream",
            percentile(shown, share),
            "ms",
            beside=percentile(commented, share),
            aim=AIM_MS,
            better="less",
        )
        for share in (0.5, 0.99)
    ] + [Row("first token", f"worst of {turns}", max(shown), "ms", beside=max(commented), aim=AIM_MS, better="less")]


async def _measured(world: World, turns: int) -> tuple[list[float], list[float]]:
    async with TimedModel() as model:
        config = world.folder / "sidecar.yaml"
        config.write_text(json.dumps(_settings(world, model)))
        with served(world, {_KEY: "sk-bench"}, ["--config", str(config)]) as sidecar:
            return await talked(sidecar.url, model, turns)


async def talked(url: str, model: TimedModel, turns: int) -> tuple[list[float], list[float]]:
    """Milliseconds until a first token is shown, and until a comment is, in a conversation with a sidecar."""
    async with aiohttp.ClientSession(url) as http:
        begun = await _json(http.post(f"{API_PATH}/conversations", json={"title": "A talk"}))
        place = f"{API_PATH}/conversations/{begun['conversation']}"
        async with _stream(http, f"{place}/events") as events:
            talk = _Talk(http, place, events, model)
            for _ in range(_WARM_UP):
                await talk.turn()
                await talk.comment()
            shown = [await talk.turn() for _ in range(turns)]
            commented = [await talk.comment() for _ in range(turns)]
    return shown, commented


class _Talk:
    """One conversation, and its event stream."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, events: AsyncIterator[dict[str, Any]], model: TimedModel
    ) -> None:
        self._http, self._url, self._events, self._model = http, url, events, model

    async def turn(self) -> float:
        """Milliseconds from the first token of a turn to its event; returns when the turn has ended."""
        asked = len(self._model.began)
        turn = (await _json(self._http.post(f"{self._url}/messages", json={"text": "What is held?", "mode": "ask"})))[
            "turn"
        ]
        await self._until("text", turn)
        shown = time.monotonic()
        if len(self._model.began) == asked:
            raise Failed("expected the model to be asked")
        await self._until("turn_ended", turn)
        return (shown - self._model.began[asked]) * 1000

    async def comment(self) -> float:
        """Milliseconds from the request with a comment to its event."""
        began = time.monotonic()
        answering = asyncio.ensure_future(_json(self._http.post(f"{self._url}/comments", json={"text": "Fine."})))
        await self._until("comment", None)
        took = (time.monotonic() - began) * 1000
        await answering
        return took

    async def _until(self, type_: str, turn: str | None) -> dict[str, Any]:
        async with asyncio.timeout(_PATIENCE_S):
            async for event in self._events:
                if event["type"] == "turn_ended" and event["cause"] == "failed":
                    raise Failed(f"expected an answer but the turn failed: {event}")
                if event["type"] == type_ and event.get("turn") == turn:
                    return event
        raise Failed(f"expected {type_} but the stream has ended")


async def _json(request: Any) -> Any:
    async with request as response:
        if response.status >= 400:
            raise Failed(f"expected an answer but found {response.status}: {await response.text()}")
        return await response.json()


@asynccontextmanager
async def _stream(http: aiohttp.ClientSession, url: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    headers = {"accept": "text/event-stream"}
    timeout = aiohttp.ClientTimeout(total=None)
    async with http.get(url, headers=headers, timeout=timeout) as response:

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[len(b"data: ") :])

        yield events()


def _settings(world: World, model: ScriptedModel) -> dict[str, Any]:
    own = {"provider": "openai", "model": "tiny-1", "url": f"{model.url}/v1", "key": f"env:{_KEY}", "form": "tools"}
    return {
        "kafka": {"bootstrap_servers": world.broker.bootstrap_servers},
        "topics": world.settings.topics.model_dump(mode="json"),
        "state_dir": str(world.folder / "sidecar"),
        "models": {"available": {"main": own}},
    }
