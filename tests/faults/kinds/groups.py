"""Consumer groups: members that come and go, one that never comes back, offsets that somebody has reset."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import ClassVar

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.faults.definitions import SOURCES
from tests.faults.kinds.processes import EngineKilled
from tests.faults.nemesis import Fault, Setting, kind
from tests.faults.site import LANES, ROLES, Site
from tests.proof.world import Failed, Worker


@kind
class WorkerLost(EngineKilled):
    """kill -9 of an engine that is not restarted; the other engine takes over its partitions and restores them."""

    name, setting, limits, mixes = "engine-lost", Setting(engines=2, static=False), "session and restore", False

    def heal(self, site: Site, target: str) -> None:
        """Nothing."""


@kind
class EverythingKilled(Fault):
    """All workers and the broker are killed at once, as by a power failure, and restarted in random order."""

    name, limits = "everything-killed", "broker's own recovery"

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        return frozenset({"broker", *ROLES})

    def inject(self, site: Site, target: str) -> None:
        site.broker.kill()
        self._down = [worker for worker in site.workers.values() if worker.wanted]
        for worker in self._down:
            worker.kill()

    def heal(self, site: Site, target: str) -> None:
        site.broker.start()
        self.chosen.shuffle(self._down)
        for worker in self._down:
            if not worker.wanted:
                worker.restart()


@kind
class RebalanceStorm(Fault):
    """Members join, leave and are killed continuously, in every group of a role."""

    name, targets, setting, span_s, limits = "rebalance-storm", ROLES, Setting(static=False), (3.0, 5.0), "session"

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        return frozenset({"broker", target})

    def __init__(self, chosen: random.Random) -> None:
        super().__init__(chosen)
        self._mended = threading.Event()
        self._thread: threading.Thread | None = None
        self._guests: list[Worker] = []
        self._count = 0

    def inject(self, site: Site, target: str) -> None:
        self._mended.clear()
        self._thread = threading.Thread(target=self._storm, args=(site, target), daemon=True)
        self._thread.start()

    def heal(self, site: Site, target: str) -> None:
        self._mended.set()
        if self._thread is not None:
            self._thread.join()
        for guest in self._guests:
            if guest.wanted:
                site.stop(guest)

    def _storm(self, site: Site, target: str) -> None:
        while not self._mended.wait(self.chosen.uniform(0.2, 0.6)):
            present = [guest for guest in self._guests if guest.wanted]
            if len(present) > 2 or (present and self.chosen.random() < 0.5):
                guest = self.chosen.choice(present)
                guest.kill() if self.chosen.random() < 0.5 else site.stop(guest)
            else:
                self._count += 1
                self._guests.append(site.worker(target, f"{target}-guest-{self._count}", static=False))


class _Reset(Fault):
    """The workers of a role are stopped, the group's offsets are changed, and the workers are restarted."""

    group_of: ClassVar[str] = ""
    span_s, limits = (0.2, 0.8), "session"
    ways: ClassVar[tuple[str, ...]] = ("beginning", "deleted")

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        return frozenset({"broker", cls.role()})

    def inject(self, site: Site, target: str) -> None:
        for worker in site.of(self.role()):
            if worker.wanted:
                site.stop(worker)

    def heal(self, site: Site, target: str) -> None:
        way = self.chosen.choice(self.ways)
        for group, topics in self.groups(site).items():
            if way == "deleted":
                _delete(site, group)
            else:
                _move(site, group, topics, to_end=way == "end")
        for worker in site.of(self.role()):
            if not worker.wanted:
                worker.restart()

    @classmethod
    def role(cls) -> str:
        return cls.name.removeprefix("offsets-reset-")

    def groups(self, site: Site) -> dict[str, list[str]]:
        raise NotImplementedError


@kind
class IngressOffsetsReset(_Reset):
    """The offsets of ingress are reset to the beginning, or deleted."""

    name = "offsets-reset-ingress"

    def groups(self, site: Site) -> dict[str, list[str]]:
        return {f"{site.prefix}ingress": [f"{site.prefix}{source}" for source in SOURCES]}


@kind
class EngineOffsetsReset(_Reset):
    """The offsets of the engine, which are for display only, are reset to the beginning or the end, or deleted."""

    name, ways = "offsets-reset-engine", ("beginning", "deleted", "end")

    def groups(self, site: Site) -> dict[str, list[str]]:
        return {f"{site.prefix}engine": [f"{site.prefix}commands"]}


@kind
class TasksOffsetsReset(_Reset):
    """The offsets of the lanes are reset to the beginning, or deleted: attempts are repeated with the same idempotency
    keys."""

    name = "offsets-reset-tasks"

    def groups(self, site: Site) -> dict[str, list[str]]:
        return {f"{site.prefix}tasks.{lane}": [f"{site.prefix}tasks.{lane}"] for lane in LANES}


def _move(site: Site, group: str, topics: list[str], *, to_end: bool) -> None:
    """Commits for a group that has no members any more; waits until it has none."""
    places = []
    for topic in topics:
        places += [
            TopicPartition(topic, number, high if to_end else low)
            for number, (low, high) in site.stranger.ends(topic).items()
        ]
    consumer = Consumer(
        {"bootstrap.servers": site.bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0}
    )
    try:
        _until_empty(lambda: consumer.commit(offsets=places, asynchronous=False), group)
    finally:
        consumer.close()


def _delete(site: Site, group: str) -> None:
    admin = AdminClient({"bootstrap.servers": site.bootstrap, "log_level": 0})

    def delete() -> None:
        admin.delete_consumer_groups([group])[group].result()

    _until_empty(delete, group)


def _until_empty(what: Callable[[], object], group: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            what()
        except KafkaException as error:  # static members stay until their session ends
            if error.args[0].name() in ("GROUP_ID_NOT_FOUND",):
                return
            if time.monotonic() > deadline:
                raise Failed(f"expected group {group} to be without members but {error}") from error
            time.sleep(0.2)
        else:
            return
