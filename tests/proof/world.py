"""One little world of the proof: a prefix of its own on a broker, real worker processes, and waiting for conditions
instead of sleeping."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.definition.content import canonical, event_names
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.kafka import admin
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.publication import Published, publish
from streamflow.settings import Kafka, Settings, Topics
from tests.proof import loans
from tests.proof.reader import IndependentReader

T = TypeVar("T")
Kind = Literal["engine", "ingress", "tasks", "history"]
Say = Callable[[str], None]

ROOT = Path(__file__).parents[2]
LOANS = ROOT / "definitions" / "loan-application"
PARTITIONS = 12
STALLED_S = 90.0  # without any progress
_LOG_TAIL = 4000
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Failed(Exception):
    """The system did not do what a scenario waited for."""


def wait(condition: Callable[[], T | None], what: str, timeout_s: float = 60.0, every_s: float = 0.05) -> T:
    """The first true value of `condition`. Raises Failed at the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise Failed(f"expected {what} within {timeout_s:.0f} s; last seen {value!r}")
        time.sleep(every_s)


class Worker:
    """One worker process with a state folder of its own, started, killed and started again at will."""

    def __init__(
        self, kind: Kind, name: str, folder: Path, environment: dict[str, str], options: Sequence[str] = ()
    ) -> None:
        self.kind = kind
        self.options = options
        self.name = name
        self.state = folder / name
        self.log = folder / f"{name}.log"
        self.restarts = 0
        self._log_start = 0  # bytes of the log before the last start
        self._environment = {
            **os.environ,
            **environment,
            "STREAMFLOW_STATE_DIR": str(self.state),
            "PYTHONPATH": str(ROOT),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def wanted(self) -> bool:
        """Whether it was started and neither killed nor stopped by us."""
        return self._process is not None

    def start(self) -> Worker:
        if self._process is not None:
            raise RuntimeError(f"{self.name} is running already")
        command = [sys.executable, "-m", "streamflow.cli.main", "worker", self.kind, *self.options]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )
        return self

    def said(self, text: str) -> bool:
        """Whether it has logged `text` since its last start."""
        return text.encode() in self.log.read_bytes()[self._log_start :]

    def check(self) -> None:
        """Raises Failed when it ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise Failed(f"expected {self.name} to run but it ended with {code}:\n{self.tail()}")

    def kill(self) -> None:
        """Ends it as a crash would (kill -9)."""
        process = self._running()
        process.kill()
        process.wait()
        self._process = None

    def restart(self) -> None:
        self.restarts += 1
        self.start()

    def pause(self) -> None:
        """Keeps it from running without ending it."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Asks it to end in order. Raises Failed when it does not, or complains."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"expected {self.name} to end within 60 s of SIGTERM:\n{self.tail()}") from None
        self._process = None
        if code != 0:
            raise Failed(f"expected {self.name} to end with 0 but it gave {code}:\n{self.tail()}")

    def end(self) -> None:
        """Ends it, however."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()

    def delete_state(self) -> None:
        """Throws its local stores away."""
        shutil.rmtree(self.state)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-_LOG_TAIL:]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process


class Progress(NamedTuple):
    """How far everything is: records in the sources, read of them by ingress, in `commands`, and decided and saved by
    the engine."""

    sent: int
    read: int
    commands: int
    decided: int

    @property
    def drained(self) -> bool:
        return self.read == self.sent and self.decided == self.commands


class World:
    """A context manager; leaving it ends every worker. `kind` says how its workers are started."""

    def __init__(
        self,
        broker: EmbeddedBroker,
        folder: Path,
        say: Say,
        source: str = loans.TOPIC,
        kind: type[Worker] = Worker,
    ) -> None:
        self.broker = broker
        self._kind = kind
        self.say = say
        self.prefix = f"p{uuid.uuid4().hex[:8]}."
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.settings = Settings(
            kafka=Kafka(bootstrap_servers=broker.bootstrap_servers),
            topics=Topics(prefix=self.prefix, partitions=PARTITIONS),
            state_dir=folder / "unused",
        )
        self.stranger = IndependentReader(broker.bootstrap_servers, self.prefix)
        self.source = f"{self.prefix}{source}"
        self.workers: dict[str, Worker] = {}
        self._senders: list[_Sender] = []

    def __enter__(self) -> World:
        admin.apply(self.settings)
        client = AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})
        client.create_topics([NewTopic(self.source, PARTITIONS, 1)])[self.source].result()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.end()

    # -- what is in it

    def publish(self, definition: str, catalog: str) -> Published:
        """Publishes YAML texts; returns when the broker has acknowledged it."""
        parsed, events = parse_definition(definition), parse_catalog(catalog)
        entries = {
            spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
            for spec in events.events
            if spec.name in event_names(parsed)
        }
        return publish(
            self.settings, name=parsed.name, version=parsed.version, content=canonical(parsed, events), events=entries
        )

    def publish_loans(self) -> None:
        """Publishes the loan application, for the topic of this world."""
        catalog = (LOANS / "catalog.yaml").read_text().replace(f"[{loans.TOPIC}]", f"[{self.source}]")
        self.publish((LOANS / "definition.yaml").read_text(), catalog)

    def worker(self, kind: Kind, name: str = "", **options: str) -> Worker:
        """Starts a worker; `options` are settings below its section, as `session_timeout_s="3"`."""
        name = name or kind
        environment = {
            "STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "STREAMFLOW_TOPICS__PREFIX": self.prefix,
            "STREAMFLOW_TOPICS__PARTITIONS": str(PARTITIONS),
            "STREAMFLOW_LOG_FORMAT": "json",
            **{f"STREAMFLOW_{kind.upper()}__{option.upper()}": value for option, value in options.items()},
        }
        self.workers[name] = self._kind(kind, name, self.folder, environment)
        return self.workers[name].start()

    # -- what happens in it

    def send(self, lines: Sequence[loans.Line], allowed: Callable[[int], bool] = lambda sent: True) -> _Sender:
        """Begins to send in the background; `drain` waits for its end."""
        sender = _Sender(self.broker.bootstrap_servers, lines, self.source, allowed)
        self._senders.append(sender)
        return sender

    def progress(self) -> Progress:
        stranger = self.stranger
        ends = (stranger.ends(self.source), stranger.ends(f"{self.prefix}commands"))
        done = (
            stranger.committed(f"{self.prefix}ingress", self.source),
            stranger.committed(f"{self.prefix}engine", f"{self.prefix}commands"),
        )
        sent, commands = (sum(high for _, high in of.values()) for of in ends)
        read, decided = (sum(max(0, offset) for offset in of.values()) for of in done)
        return Progress(sent, read, commands, decided)

    def check(self) -> None:
        """Raises Failed when a worker or a sender gave up."""
        for worker in self.workers.values():
            worker.check()
        for sender in self._senders:
            sender.check()

    def wait_progress(self, reached: Callable[[Progress], bool], what: str) -> Progress:
        """Waits until `reached`, for as long as anything goes on. Raises Failed when nothing does, or a worker ends."""
        last, moved, told = None, time.monotonic(), time.monotonic()
        while True:
            self.check()
            progress = self.progress()
            if reached(progress):
                return progress
            now = time.monotonic()
            if progress != last:
                last, moved = progress, now
            if now - moved > STALLED_S:
                raise Failed(
                    f"expected {what} but nothing has moved for {STALLED_S:.0f} s: {progress}\n{self._tails()}"
                )
            if now - told > 5:
                told = now
                self.say(
                    f"{progress.read}/{progress.sent} events read, {progress.decided}/{progress.commands} commands "
                    "decided"
                )
            time.sleep(0.1)

    def drain(self) -> Progress:
        """Waits until everything is sent, read, decided and saved."""
        for sender in self._senders:
            while sender.alive:
                self.wait_progress(lambda _: not sender.alive, "the sender to finish")  # noqa: B023 - used at once
            sender.check()
        return self.wait_progress(lambda progress: progress.drained, "everything to be decided")

    def stop(self) -> list[Path]:
        """Stops all running workers in order; the state folders of all engines that ever were."""
        for worker in self.workers.values():
            if worker.wanted:
                worker.stop()
        return [worker.state for worker in self.workers.values() if worker.kind == "engine" and worker.state.exists()]

    def _tails(self) -> str:
        return "\n".join(f"-- {worker.name}\n{worker.tail()}" for worker in self.workers.values())


class _Sender:
    def __init__(self, bootstrap: str, lines: Sequence[loans.Line], topic: str, allowed: Callable[[int], bool]) -> None:
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(bootstrap, lines, topic, allowed), daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def check(self) -> None:
        if self._error is not None:
            raise Failed(f"expected the events to be sent but {self._error}") from self._error

    def _run(self, *arguments: object) -> None:
        try:
            loans.send(*arguments)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            self._error = error
