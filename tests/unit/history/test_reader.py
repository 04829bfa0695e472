"""The reader for servers: questions at the same time over a few connections, and a store that comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streamflow.engine import transitions as t
from streamflow.errors import OperationError
from streamflow.history.filters import RunFilter
from streamflow.history.reader import HistoryReader
from streamflow.history.reading import TroubleFilter
from streamflow.settings import History, Settings
from tests.builders import NOW_MS
from tests.unit.history.bench import Projector, a_history, a_store, records_of, started


def settings_of(path: Path) -> Settings:
    return Settings(history=History(path=path / "history.db"))


def test_it_answers_what_the_store_tells(tmp_path: Path) -> None:
    asyncio.run(answers(tmp_path))


async def answers(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    wait = t.WaitStarted(events=("paid",), due_ms=None)
    Projector(store).take(records_of(a_history("r1", started(), (wait, "pay"))))
    reader = HistoryReader(settings_of(tmp_path), connections=2)

    pages = await asyncio.gather(*[reader.runs(RunFilter(key="K-1")) for _ in range(20)])
    assert {row.run for page in pages for row in page.rows} == {"r1"}
    assert reader._free.qsize() <= 2
    run = await reader.run("r1")
    assert run is not None
    assert run.waits_for == "paid"
    assert (await reader.count(RunFilter(status="open"))).n == 1
    assert [step.step for step in await reader.steps("r1")] == ["pay"]
    assert [row.seq for row in await reader.transitions("r1", newest_first=True)] == [2, 1]
    assert await reader.attributes("r1") == {}
    assert await reader.ancestors("r1") == []
    assert await reader.logs("r1") == []
    assert [hit.kind for hit in await reader.lookup("e-1")] == ["event"]
    assert (await reader.trouble(TroubleFilter())).rows == []
    assert set((await reader.trouble_counts(TroubleFilter())).values()) == {0}
    assert [fate.outcome for fate in await reader.event_fates("e-1")] == ["started"]
    assert [point.outcome for point in await reader.statistics(NOW_MS, NOW_MS + 1)] == ["started"]
    assert await reader.traffic("order", "1", NOW_MS, NOW_MS + 1) == []
    assert [one.topic for one in await reader.behind()] == ["runs"]
    await reader.close()
    store.close()


def test_a_store_that_is_made_later_is_read_then(tmp_path: Path) -> None:
    asyncio.run(made_later(tmp_path))


async def made_later(tmp_path: Path) -> None:
    reader = HistoryReader(settings_of(tmp_path))
    with pytest.raises(OperationError) as caught:
        await reader.run("r1")
    assert caught.value.code == "history_missing"

    store = a_store(tmp_path)
    assert await reader.run("r1") is None
    Projector(store).take(records_of(a_history("r1", started())))
    assert await reader.run("r1") is not None
    await reader.close()
    store.close()
