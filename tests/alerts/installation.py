"""A whole installation on one machine: Kafka, a worker of each kind (two of the engine), sidecar and exporter, each
with a metrics page; and load from `streamflow load`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streamflow.kafka import admin
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.topics import topic_name
from streamflow.settings import Kafka, Lane, Settings, Tasks, Topics
from tests.faults.shim import Control
from tests.integration.forked import Child, fork, streamflow
from tests.proof.world import Failed, wait
from tests.servers.process import free_port

DEFINITIONS = [Path(__file__).parent / name for name in ("order", "stock")]
PARTITIONS = 4
DRAIN_S = 60
MISSED = 0.01  # of the orders: more is no steady load
ROLES: Mapping[str, tuple[str, ...]] = {
    "engine-1": ("worker", "engine"),
    "engine-2": ("worker", "engine"),
    "ingress": ("worker", "ingress"),
    "tasks": ("worker", "tasks", "--lane", "default"),
    "history": ("worker", "history"),
    "sidecar": ("sidecar",),
    "exporter": ("exporter",),
}

UNSERVED = "unserved"
"""A lane that no worker serves."""


class Loaded(NamedTuple):
    """What a load run came to: its report, as `streamflow load --json` writes it."""

    report: dict[str, Any]

    def faults(self) -> list[str]:
        """In what it was no steady load, or its runs ended otherwise than they should."""
        told = self.report
        found = []
        if told["events_accepted"] != told["events_sent"] or told["interrupted"]:
            found.append(f"not all events were taken: {told['events_accepted']} of {told['events_sent']}")
        if told["missed"] > MISSED * told["begun"]:
            found.append(f"the load was not steady: {told['missed']} orders were not begun, {told['begun']} were")
        if told["open"] or told["ended"] != told["expected"]:
            found.append(f"runs ended as {told['ended']}, {told['open']} are open, expected {told['expected']}")
        return found


class Installation:
    """A context manager; leaving it ends everything. `targets` are the metrics pages by role. Processes of the roles
    in `shims` load the shim of the faults, with the library `shim`. `options` are further settings."""

    def __init__(
        self,
        folder: Path,
        *,
        measure_s: float,
        shim: Path | None = None,
        shimmed: Collection[str] = (),
        options: Mapping[str, str] = {},
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.targets = {role: f"127.0.0.1:{free_port()}" for role in ROLES}
        self._measure_s = measure_s
        self._shim = shim
        self._options = options
        self.shims = {role: Control(folder / f"{role}.shim", self.state(role)) for role in shimmed}
        self._processes: dict[str, Child | subprocess.Popen[bytes]] = {}
        self._held = ExitStack()
        self.strangers: list[Producer] = []
        self.bootstrap = ""

    def __enter__(self) -> Self:
        with ExitStack() as held:
            broker = held.enter_context(EmbeddedBroker(self.folder / "broker"))
            self.bootstrap = broker.bootstrap_servers
            held.callback(self._end)
            admin.apply(self._settings())
            for folder in DEFINITIONS:
                self.command("definitions", "publish", str(folder), "--create-topics")
            for role in ROLES:
                self.start(role)
            self.wait_ready()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    # -- processes

    def start(self, role: str) -> None:
        """Starts the process of a role."""
        log = self._log(role)
        log.touch()
        if role not in self.shims:
            self._processes[role] = fork(streamflow, self._environment(role), log, list(ROLES[role]))
            return
        line = [sys.executable, "-m", "streamflow.cli.main", *ROLES[role]]
        own = self._environment(role) | self.shims[role].environment | {"LD_PRELOAD": str(self._shim)}
        with log.open("ab") as out:
            self._processes[role] = subprocess.Popen(line, env=own, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def stop(self, role: str) -> None:
        """Ends the process of a role, in order."""
        process = self._processes.pop(role)
        process.terminate()
        process.wait(60)

    def hold(self, role: str) -> None:
        """Keeps it from running; `go_on` ends that."""
        self._processes[role].send_signal(signal.SIGSTOP)

    def go_on(self, role: str) -> None:
        self._processes[role].send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Raises Failed when a process has ended by itself."""
        for role, process in self._processes.items():
            if process.poll() is not None:
                raise Failed(f"{role} has ended:\n{self._log(role).read_text(errors='replace')[-3000:]}")

    def command(self, *words: str) -> str:
        """What a command line of Streamflow writes. Raises Failed if it is refused."""
        line = [sys.executable, "-m", "streamflow.cli.main", *words]
        done = subprocess.run(line, env=self._environment("command"), capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Failed(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    # -- load

    def load(self, rate: str, seconds: float, only: str = "shipped") -> Load:
        """Begins a load run of orders; `only` is in the name of their scenario. What it says is awaited by `ended`."""
        words = ["load", "--definition", "order", "--rate", rate, "--seconds", str(seconds), "--only", only]
        words += ["--real-calls", "--drain", str(DRAIN_S), "--json"]
        return Load(words, self._environment("load"), self.folder / f"load-{only}")

    def append(self, topic: str, *values: bytes | None, key: bytes = b"key", partition: int = -1) -> None:
        """Records of a topic, whatever they are; without a partition in that of the key."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for value in values:
            producer.produce(topic, value, key, partition)
        assert producer.flush(60) == 0

    def transactional(self, name: str) -> Producer:
        """A producer of transactions that may stay open for a quarter of an hour."""
        own = {"transactional.id": name, "transaction.timeout.ms": 900_000, "log_level": 0}
        producer = Producer({"bootstrap.servers": self.bootstrap, **own})
        producer.init_transactions(60)
        return producer

    def send(self, event: str, topic: str, value: bytes) -> None:
        """A record that says it is this event, whatever its value is."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        said = {"specversion": "1.0", "type": event, "source": "/tests", "id": uuid4().hex}
        headers: dict[str, str | bytes | None] = {f"ce_{name}": text for name, text in said.items()}
        producer.produce(topic, value, b"key", headers=headers)
        assert producer.flush(60) == 0

    def own_topic(self, role: str) -> str:
        """The full name of one of Streamflow's own topics."""
        return topic_name(self._settings(), role)

    @cached_property
    def admin(self) -> AdminClient:
        """A client for topics."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    # -- what it tells

    def exported(self, role: str, name: str, label: str = "") -> float:
        """The sum of a metric's samples on the page of a role; of those with `label`, as the page has it."""
        try:
            with urllib.request.urlopen(f"http://{self.targets[role]}/metrics", timeout=30) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0.0
        samples = (line.rpartition(" ") for line in lines if line.startswith((f"{name} ", f"{name}{{")))
        return sum(float(value) for sample, _, value in samples if label in sample)

    def completed(self) -> float:
        """How many runs have completed."""
        return self._sum("streamflow_runs_ended_total", 'outcome="completed"')

    def unclaimed(self) -> float:
        """How many deliveries no run has taken."""
        return sum(self._sum("streamflow_deliveries_total", f'outcome="{one}"') for one in ("unclaimed", "expired"))

    def timers(self) -> float:
        """How many timers have fired."""
        return self._sum("streamflow_timer_lateness_seconds_count", "")

    def _sum(self, name: str, label: str) -> float:
        """Of all engine workers."""
        return sum(self.exported(role, name, label) for role in ROLES if role.startswith("engine"))

    def _settings(self) -> Settings:
        return Settings(
            kafka=Kafka(bootstrap_servers=self.bootstrap),
            topics=Topics(partitions=PARTITIONS),
            tasks=Tasks(lanes={"default": Lane(), UNSERVED: Lane()}),
            state_dir=self.folder / "unused",
        )

    def _environment(self, role: str) -> dict[str, str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("STREAMFLOW_") or name == "STREAMFLOW_CACHE"
        }
        own = {
            "STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "STREAMFLOW_TOPICS__PARTITIONS": str(PARTITIONS),
            "STREAMFLOW_STATE_DIR": str(self.state(role)),
            "STREAMFLOW_TASKS__LANES": json.dumps({"default": {}, UNSERVED: {}}),
            "STREAMFLOW_BROKER_DIR": str(self.folder / "none"),
            "STREAMFLOW_HISTORY__PATH": str(self.folder / "history.sqlite"),
            "STREAMFLOW_SIDECAR__PORT": "0",
            "STREAMFLOW_LOG_FORMAT": "json",
            "STREAMFLOW_METRICS__MEASURE_S": str(self._measure_s),
        }
        if role in ROLES:
            own["STREAMFLOW_METRICS__LISTEN"] = self.targets[role]
        if role.startswith("engine"):
            own["STREAMFLOW_ENGINE__INSTANCE_ID"] = role
        return clean | own | dict(self._options)

    def state(self, role: str) -> Path:
        """The folder of its store."""
        return self.folder / f"state-{role}"

    def _log(self, role: str) -> Path:
        return self.folder / f"{role}.log"

    def wait_ready(self) -> None:
        """Returns when every process is at work. Raises Failed."""
        engines = [role for role in ROLES if role.startswith("engine")]

        def ready() -> bool:
            self.check()
            said = {role: self._log(role).read_text(errors="replace") for role in ("ingress", "tasks")}
            opened = [self.exported(role, "streamflow_partitions", 'state="open"') for role in engines]
            return (
                min(opened) > 0
                and sum(opened) == PARTITIONS
                and "sources_assigned" in said["ingress"]
                and "lane_assigned" in said["tasks"]
            )

        wait(ready, "every process to be at work", timeout_s=180, every_s=0.5)

    def _end(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


class Load:
    """A running `streamflow load`. A context manager; leaving it ends it."""

    def __init__(self, words: list[str], environment: dict[str, str], name: Path) -> None:
        self._out, self._told = name.with_suffix(".json"), name.with_suffix(".log")
        line = [sys.executable, "-m", "streamflow.cli.main", *words]
        with self._out.open("w") as out, self._told.open("w") as told:
            self._process = subprocess.Popen(line, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def ended(self, timeout_s: float = DRAIN_S) -> Loaded:
        """Its report, when it is over. Raises Failed if it was refused."""
        if self._process.wait(timeout_s) != 0:
            raise Failed(f"streamflow load was refused:\n{self._told.read_text()}")
        return Loaded(json.loads(self._out.read_text()))
