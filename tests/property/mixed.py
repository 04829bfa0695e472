"""One partition under everything at once, decided by the engine alone: small limits, commands out of order and twice,
lists, children, sagas, kept events, people's requests, and a new owner now and then. After every command the state must
agree with itself."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from streamflow.definition.catalog import ChildSpec
from streamflow.definition.model import Definition
from streamflow.engine import commands as c
from streamflow.engine.builder import Limits
from streamflow.engine.effects import AppendCommand, SendTask
from streamflow.engine.record_keys import timer_key
from streamflow.engine.state import Timer
from streamflow.engine.tasks import Task
from tests.builders import a_catalog, a_definition, a_delivery, a_plan, a_request, an_origin
from tests.property.undo_order import UndoOrder
from tests.unit.engine.bench import Bench

KEYS = ("k", "k/1", "k/1/2", "1:k", "é\0", "/")
IDS = tuple(f"e{n}" for n in range(12))
EVENTS = ("placed", "paid", "shipped")
DAY_MS = 86_400_000

KIDS = a_definition(
    {"id": "a", "call": {"operation": "pay"}, "undo": {"operation": "unpay"}},
    {
        "id": "w",
        "needs": ["a"],
        "wait": {"events": [{"id": "paid", "event": "paid"}], "within": "30s", "keep": "1m"},
    },
    {"id": "out", "needs": ["w"], "join": "any", "set": [{"name": "n", "expr": "run.key"}]},
    {"id": "late", "needs": ["w.timeout"], "fail": {"reason": "'late'"}},
    name="kids",
    output="out",
)


def _order(version: str, *steps: dict[str, Any], **more: Any) -> Definition:
    return a_definition(
        {
            "id": "one",
            "wait": {"events": [{"id": "p", "event": "paid", "where": "event.n > 1"}], "within": "2m", "keep": "3m"},
        },
        {"id": "two", "wait": {"events": [{"id": "p", "event": "paid"}], "forever": True, "take": "every"}},
        {
            "id": "three",
            "needs": ["one"],
            "wait": {
                "events": [{"id": "s", "event": "shipped"}, {"id": "p", "event": "paid"}],
                "within": "1m",
                "since": "here",
                "keep": "1m",
            },
        },
        *({"id": f"s{n}", "needs": ["two"], "set": [{"name": "x", "expr": "trigger.n"}]} for n in range(4)),
        {
            "id": "list",
            "needs": ["s0"],
            "each": {"items": "['x', 'y', 'z', 'v']", "at_once": 3},
            "call": {
                "operation": "pay",
                "with": [{"name": "i", "expr": "item"}],
                "retry": {"attempts": 2, "backoff": "10s"},
            },
            "undo": {"operation": "unpay", "with": [{"name": "had", "expr": "has(steps.list) ? size(steps.list) : 0"}]},
        },
        {
            "id": "kid",
            "needs": ["s1"],
            "run": {"definition": "kids", "version": "1", "key": "run.key"},
            "undo": {"operation": "unpay"},
        },
        {
            "id": "kids",
            "needs": ["s2"],
            "each": {"items": "['k', 'k/1']", "at_once": 2},
            "run": {"definition": "kids", "version": "1", "key": "item", "within": "5m"},
        },
        {"id": "risky", "needs": ["s3"], "set": [{"name": "x", "expr": "trigger.must"}]},
        {"id": "ask", "needs": ["kid"], "approval": {"text": "run.key", "who": ["all"], "within": "20s"}},
        {"id": "no", "needs": ["ask.rejected"], "fail": {"reason": "'no'"}},
        {"id": "yes", "needs": ["ask.approved"], "emit": {"event": "shipped", "data": [{"name": "n", "expr": "1"}]}},
        *steps,
        name="order",
        version=version,
        **more,
    )


class Mixed:
    """A walk by `seed`."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        kids, kids_content = a_plan(KIDS)
        catalog = a_catalog(*EVENTS, operations=("pay", "unpay"))
        full = catalog.model_copy(update={"definitions": [ChildSpec(name="kids", version="1", sha=kids.sha)]})
        limits = Limits(
            transitions=chance.choice((1, 2, 3, 7, 256)),
            command_bytes=chance.choice((30, 200, 4_000_000)),
            claims=chance.choice((1, 2, 16)),
            claimed_bytes=chance.choice((10, 1 << 20)),
            kept_events=chance.choice((2, 5, 100)),
            open_runs=chance.choice((2, 100)),
            list_bytes=chance.choice((20, 4_000_000)),
            window_ms=chance.choice((60_000, 7 * DAY_MS)),
            trail_ms=60_000,
            claims_most_ms=chance.choice((120_000, 90 * DAY_MS)),
            unused_content_ms=chance.choice((1000, DAY_MS)),
        )
        self.bench = bench = Bench(KIDS, limits=limits)
        self.orders = []
        for version in "12":
            policy = chance.choice(("many", "many", "one", "join"))
            plan, content = a_plan(_order(version, runs=policy), full)
            bench.plans[plan.sha], bench.contents[plan.sha] = plan, content
            self.orders.append(plan)
        bench.plans[kids.sha], bench.contents[kids.sha] = kids, kids_content
        self.pool: list[c.Command] = []
        self.tasks: list[Task] = []
        self.keys = chance.sample(KEYS, 2)
        self.sent = 0
        self.log: list[tuple[int, c.Command]] = []

    # -- what happens

    def take(self, command: c.Command) -> None:
        self.log.append((self.bench.now_ms, command))
        decision = self.bench.take(command)
        appended = [effect.command.id for effect in decision.effects if isinstance(effect, AppendCommand)]
        assert len(set(appended)) == len(appended), appended
        for effect in decision.effects:
            if isinstance(effect, AppendCommand):
                self.pool.append(effect.command)
            elif isinstance(effect, SendTask) and isinstance(effect.task, Task):
                self.tasks.append(effect.task)
        self.check()

    def step(self) -> None:
        chance = self.chance
        what = chance.choices(
            (self.deliver, self.request, self.arrive, self.fire, self.answer, self.person, self.time, self.owner),
            (6, 1, 10, 4, 6, 2, 3, 0.5),
        )[0]
        what()

    def deliver(self) -> None:
        chance, name = self.chance, self.chance.choice(EVENTS)
        event = c.Event(
            name=name,
            id=chance.choice(IDS) if chance.random() < 0.5 else f"n{self.sent}",
            time_ms=self.bench.now_ms,
            data={"n": chance.randrange(4)},
            limit_time_ms=chance.choice((0, self.bench.now_ms)),
        )
        self.sent += 1
        definition = chance.choice(("order", "order", "kids"))
        start = (
            c.DefinitionRef(chance.choice(self.orders).sha, 0) if name == "placed" and definition == "order" else None
        )
        self.take(
            a_delivery(
                event,
                definition=definition,
                key=chance.choice(self.keys),
                origin=an_origin(self.sent if chance.random() < 0.8 else max(0, self.sent - 2), max(0, self.sent - 5)),
                start=start,
                keep_ms=180_000 if definition == "order" else 60_000,
                copies_ms=0,
                window_ms=chance.choice((0, 60_000, 600_000)),
            )
        )

    def request(self) -> None:
        plan = self.chance.choice(self.orders)
        self.take(
            a_request(
                plan,
                {"n": 1},
                key=self.chance.choice(self.keys),
                id=self.chance.choice(("r1", "r2", "r3")),
                time_ms=self.bench.now_ms - self.chance.choice((0, 0, 61_000)),
            )
        )

    def arrive(self) -> None:
        if self.pool:
            place = self.chance.randrange(len(self.pool)) if self.chance.random() < 0.3 else 0
            self.take(self.pool[place] if self.chance.random() < 0.15 else self.pool.pop(place))

    def fire(self) -> None:
        timers = list(self.bench.overlay.keys("timer/"))
        if timers:
            timer: Timer = self.bench.overlay.get(self.chance.choice(timers))
            if self.chance.random() < 0.8:
                self.bench.now_ms = max(self.bench.now_ms, timer.due_ms)
            self.take(c.FireTimer(id="t", run=timer.run, address=timer.address, due_ms=timer.due_ms, item=timer.item))

    def answer(self) -> None:
        chance = self.chance
        if not self.tasks:
            return
        place = chance.randrange(len(self.tasks))
        task = self.tasks[place] if chance.random() < 0.2 else self.tasks.pop(place)
        about: dict[str, Any] = {"run": task.run, "address": task.address, "attempt": task.attempt, "item": task.item}
        self.take(
            chance.choice(
                (
                    c.CompleteAttempt(id="c", output={"done": 1}, **about),
                    c.CompleteAttempt(id="c", output={"done": 1}, **about),
                    c.FailAttempt(id="f", code="busy", message="", **about),
                    c.FailAttempt(id="f", code="no", message="", retryable=False, **about),
                    c.SuspendAttempt(id="s", for_ms=30_000, **about),
                )
            )
        )

    def person(self) -> None:
        chance = self.chance
        heads = self.heads()
        if not heads:
            return
        head = chance.choice(list(heads.values()))
        parked = [name for name, state in head.steps.items() if state.status == "parked"] or ["risky", "list"]
        under_way = [name for name, state in head.steps.items() if state.status in ("calling", "listing")] or ["kid"]
        self.take(
            chance.choice(
                (
                    c.CancelRun(id="x", run=head.run),
                    c.FailRun(id="x", run=head.run),
                    c.RetryStep(id="x", run=head.run, address=chance.choice(parked)),
                    c.SkipStep(id="x", run=head.run, address=chance.choice(parked)),
                    c.SkipStep(id="x", run=head.run, address=chance.choice(under_way)),
                    c.Decide(
                        id="x", run=head.run, address="ask", decision=chance.choice(("approved", "rejected")), by="me"
                    ),
                    c.Continue(id="x", run=head.run, seq=head.seq),
                    c.ContinueDelivery(id="x", definition=head.definition, key=head.key),
                )
            )
        )

    def time(self) -> None:
        self.bench.now_ms += self.chance.choice((1, 1000, 31_000, 61_000, 200_000))

    def owner(self) -> None:
        self.bench.checkpoint()
        self.bench.reopen()

    # -- what must hold

    def heads(self) -> dict[str, Any]:
        overlay = self.bench.overlay
        return {key[4:]: overlay.get(key) for key in overlay.keys("run/")}

    def check(self) -> None:
        bench, overlay, own = self.bench, self.bench.overlay, self.bench.own()
        counts = own.counts
        assert counts.read == counts.applied + counts.rejected + counts.duplicate + counts.dead == bench.offset
        heads = self.heads()
        assert own.parked == sum(head.parked for head in heads.values())
        assert sum(own.revisions.values()) == len(heads)
        by_sha = Counter(head.sha for head in heads.values())
        assert {sha: pinned.open_runs for sha, pinned in own.contents.items() if pinned.open_runs} == dict(by_sha)
        assert {key[8:] for key in overlay.keys("content/")} == set(own.contents), "a content that nobody pins"
        boxes = {key: overlay.get(key) for key in overlay.keys("box/")}
        assert sorted(run.run for box in boxes.values() for run in box.runs) == sorted(heads)
        for key, box in boxes.items():
            assert [run.start for run in box.runs] == sorted(run.start for run in box.runs)
            if box.continue_due:
                definition, _, rest = key[4:].partition("/")
                place = (definition, rest.partition(":")[2])
                assert any(isinstance(x, c.ContinueDelivery) and (x.definition, x.key) == place for x in self.pool), key
        mail = {key.removeprefix("mail/") for key in overlay.keys("mail/")}
        assert mail == {f"{key[4:]}/{entry.offset}" for key, box in boxes.items() for entry in box.entries}
        assert set(overlay.keys("due/")) <= {
            f"due/{entry.due_ms or 0:015d}/{key[4:]}/{entry.offset}"
            for key, box in boxes.items()
            for entry in box.entries
        }
        armed = {
            timer_key(state.due_ms, run, name)
            for run, head in heads.items()
            for name, state in head.steps.items()
            if state.due_ms is not None
        }
        items = {key: overlay.get(key) for key in overlay.keys("item/")}
        for key, item in items.items():
            _, run, address, number = key.split("/")
            assert run in heads
            if item.due_ms is not None:
                armed.add(timer_key(item.due_ms, run, address, int(number)))
        assert set(overlay.keys("timer/")) == armed
        for kind in ("out/", "list/"):
            for key in overlay.keys(kind):
                assert key.split("/")[1] in heads, key
        kept = Counter((key[4:].partition("/")[0], entry.name) for key, box in boxes.items() for entry in box.entries)
        for key in overlay.keys("tally/"):
            balance: Counter[str] = Counter()
            for name, count in overlay.get(key).items():
                event, _, outcome = name.partition("/")
                balance[event] += count if outcome == "delivered" else -count
            assert {e: n for e, n in balance.items() if n != kept[key[6:], e]} == {}

    def check_idle(self) -> None:
        """Nothing is left that could go on by itself."""
        assert not self.pool
        for run, head in self.heads().items():
            before = len(self.bench.transitions)
            self.take(c.Continue(id="idle", run=run, seq=head.seq))
            assert len(self.bench.transitions) == before, f"{run} was stuck"
            if head.stopping is not None:
                waiting = {name for name, state in head.steps.items() if state.status not in ("done", "skipped")}
                assert waiting, f"{run} waits for nothing"

    def drain(self) -> None:
        for _ in range(5000):
            if not self.pool:
                return
            self.take(self.pool.pop(0))
        raise AssertionError("commands without end")

    def check_replay(self) -> None:
        """Whoever reads everything from a store at every command decides the same."""
        twin = Bench(KIDS, limits=self.bench.limits)
        twin.plans, twin.contents = self.bench.plans, self.bench.contents
        for at_ms, command in self.log:
            twin.now_ms = at_ms
            twin.take(command)
            twin.checkpoint()
            twin.reopen()
        assert twin.transitions == self.bench.transitions
        assert twin.state() == self.bench.state()

    def end(self) -> None:
        """Everything is answered, cancelled, and over."""
        self.drain()
        self.check_idle()
        for _ in range(60):
            self.drain()
            while self.tasks:
                task = self.tasks.pop(0)
                self.take(
                    c.CompleteAttempt(
                        id="end", run=task.run, address=task.address, attempt=task.attempt, item=task.item, output={}
                    )
                )
            for head in list(self.heads().values()):
                if head.stopping is None or head.parked:
                    self.take(c.CancelRun(id="end", run=head.run))
            self.drain()
            for key in list(self.bench.overlay.keys("timer/")):
                timer = self.bench.overlay.get(key)
                if timer is not None and head.stopping is not None:
                    self.bench.now_ms = max(self.bench.now_ms, timer.due_ms)
                    self.take(
                        c.FireTimer(id=key, run=timer.run, address=timer.address, due_ms=timer.due_ms, item=timer.item)
                    )
            if not self.heads():
                break
        self.drain()
        assert not self.heads(), self.heads()
        for _ in range(400):
            self.bench.now_ms += DAY_MS
            self.take(c.AdvanceWatermark(id="w", topic="x", partitions=1, at_ms={}))
            left = {key.partition("/")[0] for key in self.bench.overlay.keys("")}
            if left <= {"own", "tally", "window", "mark", "content"}:  # one of each for a definition, or fewer
                break
        else:
            raise AssertionError(f"left behind: {left}")


def walk(seed: int, steps: int = 150) -> Mixed:
    mixed = Mixed(seed)
    for _ in range(steps):
        mixed.step()
        if mixed.chance.random() < 0.02:
            mixed.drain()
            mixed.check_idle()
    mixed.end()
    mixed.bench.assert_heads_are_folds()
    order = UndoOrder()
    for transition in mixed.bench.transitions:
        order.take(transition)
    mixed.check_replay()
    return mixed
