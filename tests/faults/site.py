"""Where an experiment happens: a prefix of its own on a broker, workers that are broken and mended, and the wait until
everything is done."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.kafka import admin
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.settings import Kafka, Lane, Settings, Tasks, Topics
from tests.faults.cluster import NODES, Cluster
from tests.faults.definitions import DONE, SOURCES, publish_all
from tests.faults.netns import Network
from tests.faults.outside import Outside
from tests.faults.shim import Control
from tests.faults.watcher import Watcher
from tests.faults.work import Generator
from tests.integration.forked import Forked
from tests.proof.reader import IndependentReader
from tests.proof.world import Failed, Worker

PARTITIONS = 4
SOURCE_PARTITIONS = 2
SESSION_S = 3
STALLED_S = 60.0
QUIET_S = 4.0
LAST_S = 0.3

ROLES = ("engine", "ingress", "tasks")
LANES = {"default": Lane(session_timeout_s=SESSION_S), "slow": Lane(in_flight=4, session_timeout_s=SESSION_S)}
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "engine": {"session_timeout_s": SESSION_S, "checkpoint_s": 0.2, "checkpoint_idle_s": 0.5},
    "ingress": {"session_timeout_s": SESSION_S, "commit_s": 0.2, "watermark_s": 0.3},
    "tasks": {"drain_s": 3},
}

Say = Callable[[str], None]


class Site:
    """A context manager; leaving it ends every worker. `bootstrap_for` is where a worker finds the broker, if not where
    everybody does."""

    def __init__(
        self,
        broker: EmbeddedBroker | Cluster,
        outside: Outside,
        folder: Path,
        say: Say = lambda text: None,
        broker_shim: Control | None = None,
    ) -> None:
        self.cluster, self.outside, self.folder, self.say, self.broker_shim = broker, outside, folder, say, broker_shim
        self.shims: dict[str, Control] = {}  # by worker
        self.bootstrap = broker.bootstrap_servers
        self.experiment = uuid.uuid4().hex[:10]
        self.prefix = f"f{self.experiment}."
        self.replicas = len(NODES) if isinstance(broker, Cluster) else 1
        self.workers: dict[str, Worker] = {}
        # by role: what its workers are, where a fault needs another kind than Forked
        self.kinds: dict[str, Callable[..., Worker]] = {}
        self.extra: dict[str, dict[str, str]] = {}  # by role: more of its environment
        self.networks: dict[str, Network] = {}  # by role
        self.starts: tuple[str, ...] = ()  # what else every order starts
        self.ledgers: list[Callable[[], Sequence[str]]] = []  # keys that were done elsewhere than by HTTP
        self.begun_again = 0  # workers that ended because they could not reach the broker when they began
        self.lossy = False  # records were lost for good: what they asked for may be missing
        self.cpu_s: dict[str, float] = {}
        self.generators: list[Generator] = []
        self.watcher: Watcher | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        for generator in self.generators:
            generator.give_up()
        if self.watcher is not None:
            self.watcher.stop()
        for worker in self.workers.values():
            worker.end()
        for network in self.networks.values():
            network.remove()

    # -- what is in it

    @property
    def settings(self) -> Settings:
        return Settings(
            kafka=Kafka(bootstrap_servers=self.bootstrap),
            topics=Topics(
                prefix=self.prefix,
                partitions=PARTITIONS,
                replication_factor=self.replicas,
                min_insync_replicas=max(1, self.replicas - 1),
            ),
            tasks=Tasks(lanes=LANES),
            state_dir=self.folder / "unused",
        )

    @property
    def broker(self) -> EmbeddedBroker:
        """The one broker, of those faults that are about it."""
        assert isinstance(self.cluster, EmbeddedBroker)
        return self.cluster

    def build(self) -> None:
        """Topics and definitions."""
        admin.apply(self.settings)
        self.create_sources((*SOURCES, DONE))
        publish_all(self.settings, f"http://{self.outside.host}/{self.experiment}")
        self.stranger = IndependentReader(self.bootstrap, self.prefix)

    def create_sources(self, names: Sequence[str]) -> None:
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        wanted = [NewTopic(f"{self.prefix}{name}", SOURCE_PARTITIONS, self.replicas) for name in names]
        for future in client.create_topics(wanted).values():
            future.result()

    def environment(self, role: str, name: str, **options: object) -> dict[str, str]:
        """What a worker has in its environment."""
        own = {"instance_id": name, **OPTIONS[role], **options}
        return {
            "STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "STREAMFLOW_TOPICS__PREFIX": self.prefix,
            "STREAMFLOW_TOPICS__PARTITIONS": str(PARTITIONS),
            "STREAMFLOW_TOPICS__REPLICATION_FACTOR": str(self.replicas),
            "STREAMFLOW_TOPICS__MIN_INSYNC_REPLICAS": str(max(1, self.replicas - 1)),
            "STREAMFLOW_TASKS__LANES": json.dumps(
                {lane: config.model_dump(mode="json") for lane, config in LANES.items()}
            ),
            "STREAMFLOW_TASKS__ALLOW_HOSTS": json.dumps([self.outside.host]),
            "STREAMFLOW_LOG_FORMAT": "json",
            **{
                f"STREAMFLOW_{role.upper()}__{option.upper()}": str(value)
                for option, value in own.items()
                if value is not None
            },
        }

    def worker(self, role: str, name: str, *, static: bool = True) -> Worker:
        """Starts a worker; a static member of its group under its name, or a dynamic one."""
        self.shims[name] = Control(self.folder / f"{name}.shim", self.folder / name)
        environment = (
            self.environment(role, name, **({} if static else {"instance_id": None}))
            | self.shims[name].environment
            | self.extra.get(role, {})
        )
        worker = self.kinds.get(role, Forked)(role, name, self.folder, environment)
        worker.log.touch()
        self.workers[name] = worker
        return worker.start()

    def ledger(self) -> Counter[str]:
        """How often the outside did each key."""
        return sum((Counter(done()) for done in self.ledgers), self.outside.calls(self.experiment))

    def of(self, role: str) -> list[Worker]:
        """The workers of a role."""
        return [worker for worker in self.workers.values() if worker.kind == role]

    # -- what happens in it

    def watch(self, seed: int | str) -> Watcher:
        self.watcher = Watcher(self.bootstrap, self.prefix, PARTITIONS, seed)
        return self.watcher

    def generate(self, generator: Generator) -> Generator:
        self.generators.append(generator)
        generator.start()
        return generator

    def check(self) -> None:
        """Starts workers again that could not begin because the broker was away, as whoever runs them would. Raises
        Failed when one gave up else."""
        for worker in list(self.workers.values()):
            try:
                worker.check()
            except Failed as error:
                if "broker_unreachable" not in str(error):
                    raise
                worker._process = None
                self.begun_again += 1
                worker.restart()

    def wait(self, reached: Callable[[], bool], what: str, moving: Callable[[], Any], every_s: float = 0.05) -> None:
        """Waits until `reached`, for as long as `moving` changes. Raises Failed when it does not, or a worker ends."""
        last, moved = None, time.monotonic()
        while not reached():
            self.check()
            now, state = time.monotonic(), moving()
            if state != last:
                last, moved = state, now
            if now - moved > STALLED_S:
                raise Failed(f"expected {what} but nothing has moved for {STALLED_S:.0f} s: {state}")
            time.sleep(every_s)

    def wait_ready(self) -> None:
        """Waits until all partitions of the engine are open once, and ingress and the lanes have theirs."""

        def ready() -> bool:
            opened: set[int] = set()
            for worker in self.workers.values():
                text = worker.log.read_text(errors="replace")
                if worker.kind == "engine":
                    opened |= {
                        json.loads(line)["partition"] for line in text.splitlines() if '"partition_open"' in line
                    }
            return len(opened) == PARTITIONS

        self.wait(
            ready, "the workers to be ready", lambda: sum(worker.log.stat().st_size for worker in self.workers.values())
        )

    def drain(self) -> None:
        """Waits until everything that was sent is done, and stops all workers in order."""
        watcher = self.watcher
        assert watcher is not None
        self.wait(lambda: all(generator.done for generator in self.generators), "everything to be sent", self._moving)
        wanted = set().union(*(generator.wanted for generator in self.generators))
        if self.lossy:
            self._cancel_open()
        else:
            self.wait(lambda: wanted <= watcher.started and not watcher.open, "all runs to have ended", self._moving)
        self.wait(self._sources_read, "the sources to be read", self._moving, 0.1)
        self.wait(self._lanes_done, "the lanes to be done", self._moving, 0.1)
        self.cpu_s = {name: _cpu_s(worker) for name, worker in self.workers.items() if worker.wanted}
        self._stop([*self.of("ingress"), *self.of("tasks")])
        time.sleep(LAST_S)  # the engine decides what came last; what it has decided it saves when it stops
        self._stop(self.of("engine"))
        if not self._commands_decided():
            (engine, *_) = self.of("engine")
            engine.restart()
            self.wait(self._commands_decided, "all commands to be decided", self._moving, 0.1)
            self._stop([engine])

    def _cancel_open(self) -> None:
        """When nothing moves any more, runs that wait for what is lost are cancelled, as a person would."""
        watcher = self.watcher
        assert watcher is not None

        asked: set[str] = set()
        last, moved = None, time.monotonic()

        def cancelled() -> bool:
            nonlocal last, moved
            if (state := self._moving()) != last:
                last, moved = state, time.monotonic()
            if time.monotonic() - moved < QUIET_S:
                return False
            for run in watcher.open - asked:
                asked.add(run)
                watcher.cancel(run, PARTITIONS)
            # whose undoing is lost too: the engine asks for it again a day later
            return watcher.open <= watcher.stopping

        self.wait(cancelled, "all runs to have ended or be cancelled", lambda: (self._moving(), len(asked)), 0.2)

    # -- what is known to be lost

    def forget_place(self, topic: str) -> None:
        """The topic is another one now: what was sent to the old one is no longer there to be looked at."""
        for generator in self.generators:
            generator.forget_place(topic)

    def lose(self, topic: str, partition: int, begin: int, end: int) -> None:
        """These records were deleted before they were read."""
        for generator in self.generators:
            generator.lose(topic, partition, begin, end)

    def stop(self, worker: Worker) -> None:
        """Asks a worker to end. Raises Failed when it complains."""
        try:
            worker.stop()
        except Failed as error:
            # otherwise it had not got as far as to listen to signals
            if "gave -15" not in str(error) and "broker_unreachable" not in str(error):
                raise

    def told(self, worker: Worker, *events: str) -> list[dict[str, Any]]:
        """What a worker has logged of these events since it was started last."""
        lines = [
            json.loads(line) for line in worker.log.read_text(errors="replace").splitlines() if line.startswith("{")
        ]
        starts = [place for place, line in enumerate(lines) if line["event"] == "worker_started"]
        return [line for line in lines[starts[-1] if starts else 0 :] if line["event"] in events]

    def _stop(self, workers: Sequence[Worker]) -> None:
        with ThreadPoolExecutor(max(1, len(workers))) as pool:
            list(pool.map(self.stop, (worker for worker in workers if worker.wanted)))

    def _moving(self) -> Any:
        assert self.watcher is not None
        sent = sum(len(generator.inputs) for generator in self.generators)
        told = {number: len(times) for number, times in self.watcher.moments.items()}
        wanted = set().union(*(generator.wanted for generator in self.generators))
        return (
            sent,
            told,
            f"{len(wanted - self.watcher.started)} not started",
            f"{len(self.watcher.open)} open",
            sorted(self.watcher.parked)[:3],
        )

    def is_at_end(self, group: str, topic: str) -> bool:
        committed, ends = (
            self.stranger.committed(f"{self.prefix}{group}", f"{self.prefix}{topic}"),
            self.stranger.ends(f"{self.prefix}{topic}"),
        )
        return all(max(committed[number], low) >= high for number, (low, high) in ends.items())

    def _sources_read(self) -> bool:
        return all(self.is_at_end("ingress", topic) for topic in SOURCES)

    def _lanes_done(self) -> bool:
        return all(self.is_at_end(f"tasks.{lane}", f"tasks.{lane}") for lane in LANES)

    def _commands_decided(self) -> bool:
        return self.is_at_end("engine", "commands")

    def remove_topics(self) -> None:
        """Deletes everything under the prefix."""
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        names = [name for name in client.list_topics(timeout=10).topics if name.startswith(self.prefix)]
        for future in client.delete_topics(names).values() if names else ():
            future.result()


def _cpu_s(worker: Worker) -> float:
    """What its last process has used."""
    assert worker._process is not None
    stat = Path(f"/proc/{worker._process.pid}/stat")
    fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else []
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") if fields else 0.0
