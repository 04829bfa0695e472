"""Notifications from the history store to a receiver: each thing once, whoever sends and whatever ends in between."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamflow.access.changes import change_user, remove_grant
from streamflow.access.subscription_changes import unsubscribe
from streamflow.errors import OperationError
from streamflow.history.database import Database
from streamflow.history.notices import NoticeRow
from streamflow.history.rebuild import rebuild
from streamflow.history.retention import expire
from streamflow.history.store import open_store
from streamflow.notifications import queue
from streamflow.notifications.worker import Notifier
from streamflow.settings import Access, History, Notifications, Settings
from tests.access import MemoryAccess
from tests.contract.receivers import Receiver, receiver
from tests.notifications import TARGETS, happens, notice, person, subscribed
from tests.servers.postgresql import PostgresServer

pytestmark = pytest.mark.timeout(120)
DAY_MS = 86_400_000


class Clock:
    """Time in seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now

    @property
    def ms(self) -> int:
        return int(self.now * 1000)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as made:
        monkeypatch.setenv("ON_CALL_URL", made.url())
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    history = History(path=tmp_path / "history.db")
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        monkeypatch.setenv("HISTORY_PASSWORD", server.password)
        history = History(
            postgresql=server.url,
            user=server.user,
            password="env:HISTORY_PASSWORD",
            schema_name=f"n{uuid.uuid4().hex[:8]}",
        )
    return Settings(
        history=history,
        access=Access(public_url="https://flow.example.org"),
        notifications=Notifications(schemes=["json"], targets=TARGETS, interval_s=60, attempts=3, timeout_s=10),
    )


Open = Callable[[], Database]


@pytest.fixture
def opened(settings: Settings) -> Iterator[Open]:
    made: list[Database] = []

    def connect() -> Database:
        made.append(open_store(settings, write=True))
        return made[-1]

    yield connect
    for database in made:
        database.close()


class Bench:
    """A store with what happened, people, and processes that notify them."""

    def __init__(self, settings: Settings, opened: Open) -> None:
        self.settings, self.opened = settings, opened
        self.database = opened()
        self.access, self.clock = MemoryAccess(lambda: 1_800_000_000.0), Clock()
        self.positions: dict[int, tuple[int, int]] = {}

    def process(self, **changes: Any) -> Notifier:
        """Another process with a connection of its own, as after a restart."""
        settings = self.settings
        if changes:
            own = settings.notifications.model_copy(update=changes)
            settings = settings.model_copy(update={"notifications": own})
        return Notifier(settings, self.opened(), self.access, lambda: self.positions, clock=self.clock)

    def noted(self, *notices: NoticeRow) -> None:
        happens(self.database, *notices)
        queue.note(self.database, notices)

    def states(self, person: str | None = None) -> dict[str, int]:
        return dict(queue.outcomes_of(self.database, person))


@pytest.fixture
def bench(settings: Settings, opened: Open) -> Bench:
    made = Bench(settings, opened)
    person(made.access, "alice")
    subscribed(made.access, "alice")
    return made


@pytest.fixture(scope="module", autouse=True)
def _loop() -> Iterator[None]:
    """One event loop for what the processes of a test do."""
    with asyncio.Runner() as runner:
        LOOP.append(runner)
        yield
        LOOP.clear()


LOOP: list[asyncio.Runner] = []


def step(*processes: Notifier) -> None:
    async def together() -> None:
        await asyncio.gather(*(one.step() for one in processes))

    LOOP[0].run(together())


def test_what_happens_is_sent_once(bench: Bench, hook: Receiver) -> None:
    bench.noted(
        notice("approval", bench.clock.ms), notice("parked", bench.clock.ms, 2), notice("dead_letter", bench.clock.ms)
    )
    process = bench.process()
    for _ in range(3):
        step(process)
        bench.clock.now += 3600

    (body,) = hook.bodies
    assert body["title"] == "Streamflow main: 1 approval waits, 1 step is parked, 1 dead letter"
    assert "https://flow.example.org/inbox" in body["message"]
    assert bench.states() == {"sent": 3}


def test_a_restart_repeats_nothing(bench: Bench, hook: Receiver) -> None:
    bench.noted(notice("parked", bench.clock.ms))
    step(bench.process())
    bench.clock.now += 600
    bench.noted(notice("parked", bench.clock.ms - 600_000))  # projected once more
    step(bench.process())
    assert len(hook.bodies) == 1


def test_a_rebuild_repeats_nothing(bench: Bench, hook: Receiver) -> None:
    one = notice("dead_letter", bench.clock.ms)
    bench.noted(one)
    step(bench.process())
    rebuild(bench.database, {}, None, lose_older=True)
    bench.clock.now += 600
    bench.noted(one)
    step(bench.process())
    assert len(hook.bodies) == 1


def test_several_processes_send_each_thing_once(bench: Bench, hook: Receiver) -> None:
    for name in ("bob", "carol", "dave"):
        person(bench.access, name)
        subscribed(bench.access, name, "parked")
    processes = [bench.process(interval_s=0.0) for _ in range(3)]
    for n in range(5):
        bench.noted(notice("parked", bench.clock.ms, n))
        step(*processes)
        bench.clock.now += 1
    step(*processes)

    assert bench.states() == {"sent": 20}
    lines = [line for body in hook.bodies for line in body["message"].splitlines() if "is parked" in line]
    assert sorted(lines) == sorted(4 * [f"orders: step step{n} is parked (http_timeout)" for n in range(5)])


def test_a_process_that_dies_while_it_sends_leaves_an_unknown_end(bench: Bench, hook: Receiver) -> None:
    bench.noted(notice("parked", bench.clock.ms))
    process = bench.process()

    async def dies(*_: Any) -> None:
        raise asyncio.CancelledError

    async def killed() -> None:
        process._sender.send = dies  # type: ignore[method-assign, assignment]
        await process._notify(bench.access.directory, "alice")

    LOOP[0].run(process._stored(process._prepare, bench.access.directory))
    with pytest.raises(asyncio.CancelledError):
        LOOP[0].run(killed())
    assert bench.states() == {"sending": 1}

    other = bench.process()
    step(other)
    assert bench.states() == {"sending": 1}
    bench.clock.now += 700
    with capture_logs() as lines:
        step(other)
    assert bench.states() == {"unknown": 1}
    assert hook.bodies == []
    assert "notifications_interrupted" in [line["event"] for line in lines]


def test_what_happens_soon_after_a_message_is_sent_together(bench: Bench, hook: Receiver) -> None:
    process = bench.process()
    for n in range(10):
        bench.noted(notice("parked", bench.clock.ms, n))
        step(process)
        bench.clock.now += 5
    assert [body["title"] for body in hook.bodies] == ["Streamflow main: 1 step is parked"]
    bench.clock.now += 60
    step(process)
    assert hook.bodies[1]["title"] == "Streamflow main: 9 steps are parked"
    assert len(hook.bodies) == 2


def test_very_much_is_a_few_messages(bench: Bench, hook: Receiver) -> None:
    bench.noted(*(notice("parked", bench.clock.ms, n) for n in range(1200)))
    process = bench.process()
    for _ in range(5):
        step(process)
        bench.clock.now += 61
    assert [body["title"].split()[2] for body in hook.bodies] == ["500", "500", "200"]
    assert bench.states() == {"sent": 1200}


def test_what_is_over_is_not_sent(bench: Bench, hook: Receiver) -> None:
    happens_ms = bench.clock.ms
    over = [notice("approval", happens_ms), notice("parked", happens_ms), notice("dead_letter", happens_ms)]
    queue.note(bench.database, over)  # and nothing of it is the case any more
    step(bench.process())
    assert hook.bodies == []
    assert bench.states() == {"over": 3}


def test_rights_count_when_it_is_sent(bench: Bench, hook: Receiver) -> None:
    for name in ("bob", "carol"):
        person(bench.access, name)
        subscribed(bench.access, name, "parked")
    bench.noted(notice("parked", bench.clock.ms))
    process = bench.process()
    LOOP[0].run(process._stored(process._prepare, bench.access.directory))
    assert bench.states() == {"due": 3}
    bench.access.change(lambda d, now: remove_grant(d, now, id="g-alice"))
    bench.access.change(lambda d, now: change_user(d, now, name="bob", disabled=True))
    bench.access.change(lambda d, now: unsubscribe(d, now, user="carol"))
    step(process)
    assert hook.bodies == []
    assert bench.states() == {"unwanted": 3}


def test_a_target_that_fails_is_asked_again_later_and_not_for_ever(bench: Bench, hook: Receiver) -> None:
    hook.status = 500
    bench.noted(notice("parked", bench.clock.ms))
    process = bench.process()
    with capture_logs() as lines:
        for _ in range(10):
            step(process)
            step(process)
            bench.clock.now += 600
    assert len(hook.bodies) == 3
    assert bench.states() == {"failed": 1}
    said = [line for line in lines if line["event"] == "notification_not_sent"]
    assert [line["code"] for line in said] == 3 * ["target_failed"]
    assert "token-in-path" not in str(said)


def test_a_target_that_comes_back_has_it(bench: Bench, hook: Receiver) -> None:
    hook.status = 503
    bench.noted(notice("parked", bench.clock.ms))
    process = bench.process()
    step(process)
    hook.status = 200
    step(process)
    assert bench.states() == {"due": 1}
    bench.clock.now += 31
    step(process)
    assert bench.states() == {"sent": 1}


def test_a_silent_target_holds_up_nobody_else(bench: Bench, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(holds=True) as silent:
        monkeypatch.setenv("BOSSES_URL", silent.url(query="?rto=60"))
        person(bench.access, "carol")
        subscribed(bench.access, "carol", target="bosses")
        bench.noted(notice("parked", bench.clock.ms))
        step(bench.process(timeout_s=0.5))
    assert len(hook.bodies) == 1
    assert (bench.states("alice"), bench.states("carol")) == ({"sent": 1}, {"due": 1})


@pytest.mark.parametrize("case", ["a scheme that is not allowed", "no secret"])
def test_a_target_that_cannot_be_used_is_given_up_at_once(bench: Bench, hook: Receiver, case: str) -> None:
    bench.noted(notice("parked", bench.clock.ms))
    if case == "no secret":
        del os.environ["ON_CALL_URL"]
        step(bench.process())
    else:
        step(bench.process(schemes=["xml"]))
    assert hook.bodies == []
    assert bench.states() == {"failed": 1}


def test_old_news_is_not_sent(bench: Bench, hook: Receiver) -> None:
    bench.noted(notice("parked", bench.clock.ms - DAY_MS - 1))
    step(bench.process())
    assert bench.states() == {"over": 1}
    assert hook.bodies == []


def test_a_partition_that_stands_still_is_reported_once(bench: Bench, hook: Receiver) -> None:
    bench.positions = {0: (5, 9), 1: (9, 9)}
    process = bench.process()
    for _ in range(30):
        step(process)
        bench.clock.now += 40
    assert [body["message"].splitlines()[0] for body in hook.bodies] == [
        "Partition 0 of commands has records that nothing works on"
    ]
    process = bench.process()  # a restart remembers
    for _ in range(30):
        step(process)
        bench.clock.now += 40
    assert len(hook.bodies) == 1

    bench.positions = {0: (7, 9), 1: (9, 9)}  # it went on, and stands still again
    for _ in range(30):
        step(process)
        bench.clock.now += 40
    assert len(hook.bodies) == 2


def test_a_broker_that_does_not_answer_holds_up_nothing_else(bench: Bench, hook: Receiver) -> None:
    bench.positions = {0: (5, 9)}
    process = bench.process()
    for _ in range(10):
        step(process)
        bench.clock.now += 40
    assert len(hook.bodies) == 1
    queue.note(bench.database, [notice("partition", bench.clock.ms, 3)])
    bench.noted(notice("parked", bench.clock.ms))
    other = bench.process()

    def silent() -> Any:
        raise OperationError("broker_unreachable", "The broker does not answer. Check it.")

    other._positions = silent
    with capture_logs() as lines:
        step(other)
    assert [line["event"] for line in lines] == ["partitions_not_looked_at"]
    assert hook.bodies[1]["title"] == "Streamflow main: 1 step is parked, 1 partition is stalled"


def test_a_lost_store_or_directory_loses_no_notification(bench: Bench, hook: Receiver) -> None:
    bench.noted(notice("parked", bench.clock.ms))
    process = bench.process()
    known = bench.access.directory

    class Unknown:
        @property
        def directory(self) -> Any:
            raise OperationError("access_unreadable", "It is being read. Try again later.")

    process._access = Unknown()  # type: ignore[assignment]
    with pytest.raises(OperationError):
        step(process)
    assert hook.bodies == []
    process._access = bench.access
    assert bench.access.directory is known
    step(process)
    assert len(hook.bodies) == 1


def test_what_was_sent_is_kept_for_a_while(bench: Bench, hook: Receiver) -> None:
    bench.noted(notice("parked", bench.clock.ms))
    step(bench.process())
    assert list(expire(bench.database, bench.settings.history, bench.clock.ms + 29 * DAY_MS)) == []
    assert sum(expire(bench.database, bench.settings.history, bench.clock.ms + 31 * DAY_MS)) == 2
    assert bench.states() == {}
