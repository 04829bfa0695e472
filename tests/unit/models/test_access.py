"""What a model is capable of is asked of each model by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streamflow.models import access as module
from streamflow.models.access import ModelAccess
from streamflow.settings import Settings


def test_a_model_that_does_not_answer_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"provider": "openai", "model": "m", "url": "http://127.0.0.1:1/v1"}
    settings = Settings.model_validate({"state_dir": tmp_path, "models": {"available": {"slow": one, "fast": one}}})
    found, asked = object(), []
    gate = asyncio.Event()

    class NoFile:
        def read(self) -> None: ...
        def write(self, capabilities: Any) -> None: ...

    async def play() -> None:
        models = ModelAccess(settings)
        monkeypatch.setattr(models, "file", lambda name: NoFile())
        monkeypatch.setattr(models, "_endpoint", lambda name: name)

        async def probe(endpoint: Any, **_: Any) -> Any:
            asked.append(endpoint)
            if endpoint == "slow":
                await gate.wait()
            return found

        monkeypatch.setattr(module, "probe", probe)
        waiting = [asyncio.create_task(models.capabilities("slow")) for _ in range(2)]
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert await models.capabilities("fast") is found
            again = asyncio.create_task(models.capabilities("fast", again=True))
            assert await models.capabilities("fast") is found  # known, also while it is asked again
            gate.set()
            assert await asyncio.gather(*waiting, again) == [found] * 3

    asyncio.run(play())
    assert asked.count("slow") == 1
    assert asked.count("fast") == 2
