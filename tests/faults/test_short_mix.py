"""The short mix: what needs no privileges, injection after injection on one world, while work flows through it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import needs_broker
from tests.faults.job import open_broker
from tests.faults.nemesis import Injection
from tests.faults.outside import Outside
from tests.faults.trial import run

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

MIX = (
    Injection("engine-killed", "engine", 0.4, 0.3),
    Injection("http-silent", "", 0.9, 0.5),
    Injection("tasks-killed", "tasks", 1.0, 0.3),
    Injection("ingress-killed", "ingress", 1.3, 0.3),
    Injection("state-deleted", "engine", 1.6, 0.2),
    Injection("http-down", "", 2.0, 0.6),
    Injection("engine-stopped", "engine", 2.2, 0.1),
    Injection("sst-truncated", "engine", 2.8, 0.2),
    Injection("broker-killed", "", 3.4, 0.2),
)


def test_every_promise_is_kept_while_everything_breaks(tmp_path: Path) -> None:
    needs_broker()
    said: list[str] = []
    with Outside(tmp_path / "outside") as outside:
        broker = open_broker(tmp_path / "broker")
        try:
            result = run("short-mix", 1, MIX, broker, outside, tmp_path / "world", said.append, None)
        finally:
            broker.kill()
    assert result.ok, "\n".join([result.verdict, *result.evidence, *said, str(result.warned)])
    assert result.facts["transitions"] > 500
    assert all(
        result.facts["looked"].get(promise, 0)
        for promise in ("acknowledged-input", "one-chain", "ledger-complete", "state-is-fold", "timers-on-time")
    )
