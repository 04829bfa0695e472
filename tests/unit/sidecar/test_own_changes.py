"""Who publishes or retires over a sidecar sees it in that sidecar's next answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamflow.settings import Settings
from streamflow.sidecar import kafka_log
from streamflow.sidecar.kafka_log import KafkaLog

CHANGES: dict[str, Callable[[KafkaLog], Awaitable[Any]]] = {
    "publish_checked": lambda log: log.publish(None, None),  # type: ignore[arg-type]
    "retire": lambda log: log.retire("order", "1"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("failure", [None, TimeoutError("it may have been written")])
def test_a_change_of_its_own_is_read_at_once(
    change: str, failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[int] = []

    def changed(*_: Any, **__: Any) -> None:
        if failure is not None:
            raise failure

    def read(settings: Settings) -> int:
        readings.append(len(readings))
        return readings[-1]

    monkeypatch.setattr(kafka_log, change, changed)
    monkeypatch.setattr(kafka_log, "read_log", read)

    async def story() -> None:
        log = KafkaLog(Settings())
        assert await log.definitions() == 0  # type: ignore[comparison-overlap]
        assert await log.definitions() == 0  # type: ignore[comparison-overlap]
        try:
            await CHANGES[change](log)
        except TimeoutError:
            assert failure is not None
        assert await log.definitions() == 1  # type: ignore[comparison-overlap]
        assert await log.definitions() == 1  # type: ignore[comparison-overlap]

    asyncio.run(story())
