"""Processes of Streamflow that are killed, stopped, asked to end, or lost for good."""

from __future__ import annotations

import random

from tests.faults.nemesis import Fault, Setting, kind, victim
from tests.faults.site import SESSION_S, Site
from tests.proof.world import Worker


class _Process(Fault):
    def __init__(self, chosen: random.Random) -> None:
        super().__init__(chosen)
        self.hit: list[Worker] = []

    def restart(self, worker: Worker) -> None:
        if not worker.wanted:
            worker.restart()


class _Killed(_Process):
    """kill -9 of the worker; restarted on the same disk, as a static member."""

    limits = "static membership"

    def inject(self, site: Site, target: str) -> None:
        worker = victim(site, target, self.chosen)
        worker.kill()
        self.hit.append(worker)

    def heal(self, site: Site, target: str) -> None:
        self.restart(self.hit.pop())


class _Paused(_Process):
    """SIGSTOP of the worker for longer than the session timeout, then SIGCONT."""

    span_s = (SESSION_S + 0.7, SESSION_S + 2.0)
    limits = "session"

    def inject(self, site: Site, target: str) -> None:
        worker = victim(site, target, self.chosen)
        worker.pause()
        self.hit.append(worker)

    def heal(self, site: Site, target: str) -> None:
        self.hit.pop().resume()


class _Stopped(_Process):
    """SIGTERM of the worker; restarted when it has ended."""

    limits = "static membership"

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        return frozenset({target, "broker"})

    def inject(self, site: Site, target: str) -> None:
        worker = victim(site, target, self.chosen)
        site.stop(worker)
        self.hit.append(worker)

    def heal(self, site: Site, target: str) -> None:
        self.restart(self.hit.pop())


@kind
class EngineKilled(_Killed):
    name, targets = "engine-killed", ("engine",)


@kind
class IngressKilled(_Killed):
    name, targets = "ingress-killed", ("ingress",)


@kind
class TasksKilled(_Killed):
    name, targets = "tasks-killed", ("tasks",)


@kind
class EnginePaused(_Paused):
    name, targets, setting = "engine-paused", ("engine",), Setting(engines=2)


@kind
class IngressPaused(_Paused):
    name, targets = "ingress-paused", ("ingress",)


@kind
class TasksPaused(_Paused):
    name, targets = "tasks-paused", ("tasks",)


@kind
class EngineStopped(_Stopped):
    name, targets = "engine-stopped", ("engine",)


@kind
class IngressStopped(_Stopped):
    name, targets = "ingress-stopped", ("ingress",)


@kind
class TasksStopped(_Stopped):
    name, targets = "tasks-stopped", ("tasks",)
