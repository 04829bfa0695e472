"""Keys that are erased together have a beginning that is nobody else's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamflow.errors import Rejected
from streamflow.ops import erasure_batch
from streamflow.ops.erasure_batch import Found, erase_keys, find_keys
from streamflow.settings import Settings


def run(name: str, key: str, *, ended: bool = True) -> Any:
    return SimpleNamespace(run=name, key=key, has_ended=ended)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the topic has."""
    found: list[Any] = []
    monkeypatch.setattr(
        erasure_batch, "read_runs", lambda *_, **__: SimpleNamespace(by_id={one.run: one for one in found})
    )
    return found


@pytest.mark.parametrize("prefix", ["", "A", "A-1"])
def test_a_short_beginning_is_refused(prefix: str, runs: list[Any]) -> None:
    with pytest.raises(Rejected) as refused:
        find_keys(Settings(), prefix)
    assert refused.value.code == "prefix_short"


def test_keys_are_found_once_with_their_open_runs(runs: list[Any]) -> None:
    runs += [run("r1", "load-1"), run("r2", "load-1", ended=False), run("r3", "load-0"), run("r4", "order-load-1")]

    assert find_keys(Settings(), "load-") == Found(keys=("load-0", "load-1"), open_runs=(("r2", "load-1"),))


def test_open_runs_are_not_cancelled_unasked() -> None:
    found = Found(keys=("load-1",), open_runs=(("r2", "load-1"),))
    with pytest.raises(Rejected, match="1 runs of these keys are open: r2") as refused:
        erase_keys(Settings(), found, ("order",), reason="test", force=False, timeout_s=1)
    assert refused.value.code == "runs_open"
