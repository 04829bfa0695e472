"""One drill from beginning to end: build, load, inject faults, drain, judge."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException

from streamflow.drill.definitions import publish_all
from streamflow.drill.environment import Environment
from streamflow.drill.faults import FAULTS, RECOVERY_S, Injection
from streamflow.drill.ledger import Ledger
from streamflow.drill.setting import PARTITIONS, environment
from streamflow.drill.verdict import Struck, Verdict
from streamflow.drill.watcher import Watcher
from streamflow.drill.work import Sender
from streamflow.drill.workers import Worker, Workers
from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_config
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.publication import read_log
from streamflow.ops.lag import measure_lag
from streamflow.settings import Settings
from streamflow_check.broker import Broker
from streamflow_check.experiment import Experiment
from streamflow_check.judge import judge
from streamflow_check.promises import Report

_CLI = (sys.executable, "-m", "streamflow.cli.main")
_TICK_S = 0.05
_READY_S = 120.0
_RECOVERED_S = 30.0
_STALLED_S = 60.0
_NOT_DRILLED = frozenset({"api-agrees", "history-agrees"})  # a drill has neither a sidecar nor a history worker
_LATE_MS = 60_000


@dataclass(frozen=True)
class Plan:
    """What is to be done: `rate` in events a second, for `seconds` at least, with these faults."""

    seed: int
    rate: float
    seconds: float
    injections: tuple[Injection, ...]


@dataclass
class Board:
    """The progress of a drill, for its observer. `standstill_s`: how long nothing has moved in some partition, now and
    at most."""

    phase: str = ""
    broken: str = ""
    sent: int = 0
    started: int = 0
    ended: int = 0
    open: int = 0
    standstill_s: float = 0.0
    longest_s: float = 0.0
    elapsed_s: float = 0.0


Tell = Callable[[Board], None]
Say = Callable[[str], None]


class Drill:
    """One drill. `run` must be called from a thread that lives as long as the workers; `end` ends everything that it
    started, whatever happened."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        session_s: float,
        broker: EmbeddedBroker | None,
        folder: Path,
        tell: Tell,
        say: Say,
    ) -> None:
        self.settings, self.plan, self.session_s, self.broker = settings, plan, session_s, broker
        self.environment = Environment(settings)
        self.workers = Workers(folder)
        self._ledger = Ledger(plan.seed)
        self._sender = Sender(settings, plan.seed, plan.rate)
        self._watcher: Watcher | None = None
        self._board, self._tell, self._say = Board(), tell, say
        self._began = self._work_began = time.monotonic()
        self._troubles: list[str] = []
        self._engines = 0

    def run(self) -> Verdict:
        """Plays it all. Raises OperationError or Rejected when it cannot be played; a broken promise is in the
        verdict."""
        with self._ledger:
            self._build()
            struck, until = self._work()
            self._rest()
        self._phase("judging")
        watcher = self._seen
        watcher.stop()
        report = self._judge()
        verdict = Verdict(
            self.plan.seed, self.settings.topics.prefix, self.session_s, [], report, 0.0, troubles=self._troubles
        )
        begins = [at for _, at in struck]
        for place, (injection, at) in enumerate(struck):
            before = begins[place + 1] if place + 1 < len(begins) else until
            verdict.struck.append(Struck(injection, at - self._work_began, watcher.standstill_s(at, before)))
        verdict.undisturbed_s = watcher.standstill_s(self._work_began, begins[0] if begins else until)
        verdict.fell = {worker.name: worker.fell for worker in self.workers.all if worker.fell}
        verdict.facts = {
            "events": len(self._sender.inputs),
            "runs": len(watcher.started),
            "calls": sum(self._ledger.calls().values()),
        }
        return verdict

    def end(self) -> None:
        """Stops everything. Harmless when nothing runs."""
        if self.broker is not None and self.broker.running:
            self.broker.resume()
        self._sender.give_up()
        self.workers.end()
        if self._watcher is not None:
            self._watcher.stop()

    def engine(self, *, static: bool = True) -> Worker:
        """Starts one more engine worker, on an empty folder."""
        self._engines += 1
        return self._start(f"engine-{self._engines}", "engine", static=static)

    # -- the parts

    def _build(self) -> None:
        self._phase("making topics")
        self.environment.prepare()
        self._phase("publishing definitions")
        publish_all(self.settings, self._ledger.url)
        self._watcher = Watcher(self.settings, self.plan.seed)
        self._phase("starting workers")
        for _ in range(2):
            self.engine()
        for role in ("ingress", "tasks"):
            self._start(role, role)
        deadline = time.monotonic() + _READY_S
        while not self._ready():
            fallen = next((worker for worker in self.workers.all if not worker.alive), None)
            if fallen is not None or time.monotonic() > deadline:
                worker = fallen or self.workers.all[0]
                found = f"{worker.name} ended" if fallen else f"they are not after {_READY_S:.0f} s"
                raise OperationError(
                    "workers_not_ready",
                    f"expected the workers to be ready but {found}. Read its last lines:\n{worker.tail()}",
                )
            self._pass(0.2, tend=False)

    def _ready(self) -> bool:
        opened: set[int] = set()
        for worker in self.workers.of("engine"):
            lines = worker.log.read_text(errors="replace").splitlines() if worker.log.exists() else []
            opened |= {json.loads(line)["partition"] for line in lines if '"event": "partition_open"' in line}
        return len(opened) == PARTITIONS and self.workers.complete

    def _work(self) -> tuple[list[tuple[Injection, float]], float]:
        """What was struck and when, and when the work ended (monotonic seconds)."""
        self._phase("working")
        self._work_began = time.monotonic()
        self._sender.start()
        struck: list[tuple[Injection, float]] = []
        for place, injection in enumerate(self.plan.injections):
            over = time.monotonic() - self._work_began > self.plan.seconds
            if over and any(earlier.fault == injection.fault for earlier, _ in struck):
                break  # a slow machine: what comes now is more of the same
            self._pass(self._work_began + injection.at_s - time.monotonic())
            struck.append((injection, time.monotonic()))
            self._board.broken = f"{injection.fault} {injection.target}"
            self._say(f"{FAULTS[injection.fault].what}: {injection.target}, {injection.for_s:.1f} s")
            for wait_s in FAULTS[injection.fault].play(self, injection, random.Random(f"{self.plan.seed}/{place}")):
                self._pass(wait_s)
            self._recover(injection)
        self._pass(self._work_began + self.plan.seconds - time.monotonic())
        return struck, time.monotonic()

    def _recover(self, injection: Injection) -> None:
        """Until something has moved in every partition, and who was away is back."""
        healed = time.monotonic()
        while time.monotonic() - healed < _RECOVERED_S:
            moments = list(self._seen.moments.values())
            if len(moments) == PARTITIONS and all(times[-1] > healed for times in moments) and self.workers.complete:
                break
            self._pass(0.1)
        self._board.broken = ""
        self._say(f"{injection.fault} is over; all is well after {time.monotonic() - healed:.1f} s")
        self._pass(RECOVERY_S)

    def _rest(self) -> None:
        self._phase("coming to rest")
        sender, watcher = self._sender, self._seen
        sender.finish()
        all_there = (
            self._until(lambda: sender.done, "everything to be sent")
            and self._until(
                lambda: sender.wanted <= watcher.started and not watcher.open, "all runs to have started and ended"
            )
            and self._until(
                lambda: self._done("ingress", "tasks"), "the sources and lanes to be read to their ends", 0.5
            )
        )
        self._leave([*self.workers.of("ingress"), *self.workers.of("tasks")])
        if all_there:
            self._until(lambda: self._done("engine"), "all commands to be decided", 0.5)
        self._leave(self.workers.of("engine"))
        if sender.error is not None:
            self._troubles.append(f"events could not be sent: {sender.error}")
        if sender.failed:
            self._troubles.append(f"{len(sender.failed)} events were not taken by the broker: {sender.failed[0]}")
        self._troubles += (
            [f"{len(watcher.parked)} runs are parked: {sorted(watcher.parked)[:3]}"] if watcher.parked else []
        )

    def _judge(self) -> Report:
        kafka = confluent_config(self.settings, "drill")
        inputs = (*self._sender.inputs, *self._seen.decided)
        cli = (*_CLI, "--bootstrap", kafka["bootstrap.servers"], "--prefix", self.settings.topics.prefix)
        asked = Experiment(inputs=inputs, ledger=self._ledger.calls(), late_ms=_LATE_MS, cli=cli, without=_NOT_DRILLED)
        try:
            with Broker(kafka.pop("bootstrap.servers"), self.settings.topics.prefix, kafka) as topics:
                return judge(topics, asked, self._judging)
        except (KafkaException, TimeoutError) as error:
            raise OperationError(
                "not_judged",
                f"expected to read the results but {error}. Check the broker, and run the drill again.",
            ) from error

    # -- waiting

    @property
    def _seen(self) -> Watcher:
        assert self._watcher is not None
        return self._watcher

    def _pass(self, seconds: float, *, tend: bool = True) -> None:
        """Waits, while workers that ended by themselves are restarted and the board is shown."""
        deadline = time.monotonic() + seconds
        while True:
            self._tick(tend=tend)
            if (left := deadline - time.monotonic()) <= 0:
                return
            time.sleep(min(left, _TICK_S))

    def _tick(self, *, tend: bool = True) -> None:
        board, watcher = self._board, self._watcher
        if tend:
            for worker in self.workers.all:
                if worker.tend():
                    self._say(f"{worker.name} ended by itself with {worker.fell[-1]}; it is started again")
        board.elapsed_s = time.monotonic() - self._began
        if watcher is not None:
            board.sent, board.started, board.ended, board.open = (
                len(self._sender.inputs),
                len(watcher.started),
                watcher.ended,
                len(watcher.open),
            )
            board.standstill_s = watcher.quiet_s() if board.phase == "working" else 0.0
            board.longest_s = max(board.longest_s, board.standstill_s)
        self._tell(board)

    def _until(self, reached: Callable[[], bool], what: str, every_s: float = _TICK_S) -> bool:
        """Waits for as long as anything moves; False, and a trouble, when nothing does."""
        last, moved = None, time.monotonic()
        while not reached():
            self._pass(every_s)
            state = (
                self._board.sent,
                self._board.started,
                self._board.ended,
                self._board.open,
                sum(map(len, list(self._seen.moments.values()))),
            )
            if state != last:
                last, moved = state, time.monotonic()
            if time.monotonic() - moved > _STALLED_S:
                left = (
                    f"{len(self._sender.wanted - self._seen.started)} runs have not started, "
                    f"{len(self._seen.open)} have not ended"
                )
                self._troubles.append(f"expected {what} but nothing has moved for {_STALLED_S:.0f} s; {left}")
                return False
        return True

    def _done(self, *roles: str) -> bool:
        try:
            log = read_log(self.settings)
            return all(lag.unread == 0 for lag in measure_lag(self.settings, log) if lag.role in roles)
        except OperationError as error:
            if error.code != "broker_unreachable":
                raise
            return False  # it was killed a moment ago

    def _leave(self, workers: Iterable[Worker]) -> None:
        for _ in self.workers.leave(list(workers)):
            self._pass(_TICK_S)

    def _judging(self, text: str) -> None:
        self._board.phase = f"judging: {text}"
        self._tick(tend=False)

    def _phase(self, name: str) -> None:
        self._board.phase = name
        self._say(name)

    # -- workers

    def _start(self, name: str, role: str, *, static: bool = True) -> Worker:
        return self.workers.start(
            name, role, environment(self.settings, self.session_s, self._ledger.host, role, name if static else None)
        )
