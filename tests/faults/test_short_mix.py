"""The short mix: what needs no privileges, one after another on one world, while work flows through it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import needs_broker
from tests.faults.job import open_broker
from tests.faults.nemesis import Blow
from tests.faults.outside import Outside
from tests.faults.trial import run

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

MIXES: dict[str, Sequence[Blow]] = {
    "processes": (
        Blow("engine-killed", "engine", 0.4, 0.3),
        Blow("http-silent", "", 1.0, 0.5),
        Blow("tasks-killed", "tasks", 1.7, 0.3),
        Blow("ingress-killed", "ingress", 2.2, 0.3),
        Blow("state-deleted", "engine", 2.7, 0.2),
        Blow("engine-stopped", "engine", 3.2, 0.1),
    ),
    "broker": (
        Blow("broker-killed", "", 0.6, 0.3),
        Blow("sst-truncated", "engine", 2.0, 0.2),
        Blow("tasks-paused", "tasks", 2.5, 3.7),
        Blow("http-down", "", 6.5, 0.8),
    ),
}


@pytest.mark.parametrize("mix", MIXES)
def test_every_promise_is_kept_while_everything_breaks(mix: str, tmp_path: Path) -> None:
    needs_broker()
    said: list[str] = []
    with Outside(tmp_path / "outside") as outside:
        broker = open_broker(tmp_path / "broker")
        try:
            result = run(f"short-{mix}", 1, MIXES[mix], broker, outside, tmp_path / "world", said.append, None)
        finally:
            broker.kill()
    assert result.ok, "\n".join([result.verdict, *result.evidence, *said, str(result.warned)])
    assert result.facts["transitions"] > 500
    assert all(result.facts["looked"].get(promise, 0) for promise in ("acknowledged-input", "one-chain", "ledger-complete", "state-is-fold", "timers-on-time"))
