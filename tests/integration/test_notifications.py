"""Notifications on a real broker: the process of the history worker sends them, each once, also when it is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamflow.access.audit import Actor
from streamflow.access.changes import add_user
from streamflow.access.rights import Role
from streamflow.access.subscription_changes import subscribe
from streamflow.access.topic import AccessTopic
from streamflow.engine import commands as c
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.topics import DEAD_LETTERS
from streamflow.settings import NOTIFICATION_KINDS, History, NotificationTarget
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from tests.contract.receivers import Receiver, receiver
from tests.integration.forked import Forked
from tests.integration.workers import Bench, Worker, make_bench

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

TARGETS = {"on-call": NotificationTarget(url="env:ON_CALL_URL")}


@pytest.fixture
def bench(bootstrap: str, tmp_path: Path) -> Iterator[Bench]:
    with make_bench(bootstrap, tmp_path, history=History(path=tmp_path / "history.db")) as made:
        yield made


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def a_worker(bench: Bench, hook: Receiver, name: str) -> Worker:
    environment = {
        "STREAMFLOW_HISTORY__PATH": str(bench.settings.history.path),
        "STREAMFLOW_ACCESS__PUBLIC_URL": "https://flow.example.org",
        "STREAMFLOW_NOTIFICATIONS__SCHEMES": '["json"]',
        "STREAMFLOW_NOTIFICATIONS__TARGETS": json.dumps({"on-call": {"url": "env:ON_CALL_URL"}}),
        "STREAMFLOW_NOTIFICATIONS__INTERVAL_S": "0",
        "STREAMFLOW_NOTIFICATIONS__STALLED_S": "2",
        "ON_CALL_URL": hook.url(),
    }
    return bench.launch(Forked("history", name, bench.folder, bench.environment() | environment))


def subscribed(bench: Bench, name: str) -> None:
    actor = Actor(who="test")
    with AccessTopic(bench.settings) as access:
        access.wait_loaded()
        access.change(actor, lambda d, now: add_user(d, now, id=name, name=name, role=Role.ADMIN))
        access.change(
            actor,
            lambda d, now: subscribe(d, now, user=name, target="on-call", kinds=NOTIFICATION_KINDS, targets=TARGETS),
        )


def a_letter(bench: Bench, offset: int) -> None:
    """A dead letter of a source record, as ingress writes it."""
    record = Record("orders", 0, offset, int(time.time() * 1000), b"K", b"{", ())
    made = dead_letter(record, f"broken_{offset}", "no JSON", "ingress", topic_id="S")
    producer = Producer(confluent_producer_config(bench.settings, "test", on_error=lambda error: None))
    producer.produce(bench.topic(DEAD_LETTERS), made.value, made.key, headers=list(made.headers))
    assert producer.flush(20) == 0


def lines(hook: Receiver) -> list[str]:
    """What was told, without the links."""
    return [line for body in hook.bodies for line in body["message"].splitlines() if "https://" not in line]


def test_each_thing_is_told_once_also_when_the_worker_is_killed(bench: Bench, hook: Receiver) -> None:
    a_letter(bench, 1)  # before anybody could be told
    subscribed(bench, "alice")
    first = a_worker(bench, hook, "first")
    bench.wait_line(first, "history_started", 90)

    a_letter(bench, 2)
    bench.send(c.CancelRun("cancel-1", "00000000-main-0123456789abcdef0123", "nothing works on it"))
    bench.wait(lambda: len(lines(hook)) >= 2, "both to be told", 90)

    first.kill()
    a_letter(bench, 3)
    second = a_worker(bench, hook, "second")
    bench.wait_line(second, "history_started", 90)
    a_letter(bench, 4)
    bench.wait(lambda: len(lines(hook)) >= 4, "what is new to be told", 90)
    told = sorted(lines(hook))

    partition = next(line for line in told if line.startswith("Partition "))
    assert told == sorted([partition, *(f"A dead letter (broken_{n})" for n in (2, 3, 4))])
    assert all("https://flow.example.org/" in body["message"] for body in hook.bodies)
