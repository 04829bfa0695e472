"""The broker of an experiment: killed, restarted, paused, hardly moving, or with a bad disk."""

from __future__ import annotations

import random
import threading
import time

from tests.faults.nemesis import Fault, kind
from tests.faults.shim import Disk
from tests.faults.site import Site


@kind
class BrokerKilled(Fault):
    """kill -9 of the broker; restarted on the same disk."""

    name, limits = "broker-killed", "broker's own recovery"

    def inject(self, site: Site, target: str) -> None:
        site.broker.kill()

    def heal(self, site: Site, target: str) -> None:
        site.broker.start()


@kind
class BrokerRestarted(Fault):
    """The broker is shut down cleanly and started again."""

    name, limits = "broker-restarted", "broker's own restart"

    def inject(self, site: Site, target: str) -> None:
        site.broker.stop()

    def heal(self, site: Site, target: str) -> None:
        site.broker.start()


@kind
class BrokerPaused(Fault):
    """SIGSTOP of the broker for longer than any session timeout."""

    name, limits, span_s = "broker-paused", "broker's pause", (3.5, 6.0)

    def inject(self, site: Site, target: str) -> None:
        site.broker.pause()

    def heal(self, site: Site, target: str) -> None:
        site.broker.resume()

    def clean(self, site: Site) -> None:
        if site.broker.running:
            site.broker.resume()


@kind
class BrokerStuttering(Fault):
    """The broker runs for 0.1 s and is paused for 3 s, repeatedly."""

    name, limits, span_s = "broker-stuttering", "broker's pauses", (2.0, 4.0)

    def __init__(self, chosen: random.Random) -> None:
        super().__init__(chosen)
        self._mended = threading.Event()
        self._thread: threading.Thread | None = None

    def inject(self, site: Site, target: str) -> None:
        self._mended.clear()
        self._thread = threading.Thread(target=self._stutter, args=(site,), daemon=True)
        self._thread.start()

    def heal(self, site: Site, target: str) -> None:
        self._mended.set()
        if self._thread is not None:
            self._thread.join()

    def clean(self, site: Site) -> None:
        self.heal(site, "")

    def _stutter(self, site: Site) -> None:
        while not self._mended.is_set():
            site.broker.pause()
            time.sleep(0.3)
            site.broker.resume()
            self._mended.wait(0.1)


class _BrokerDisk(Fault):
    needs = frozenset({"gcc"})

    def heal(self, site: Site, target: str) -> None:
        """Kafka abandons a failed disk and halts, or is about to: it is started again."""
        self.break_disk(site, Disk.WELL)
        site.broker.kill()
        site.broker.start()

    def clean(self, site: Site) -> None:
        self.break_disk(site, Disk.WELL)
        if not site.broker.running:
            site.broker.start()

    def break_disk(self, site: Site, disk: Disk, slow_ms: float = 0) -> None:
        assert site.broker_shim is not None
        site.broker_shim.disk(disk, slow_ms)


@kind
class BrokerDiskFull(_BrokerDisk):
    """No space left on the broker's disk: it halts, and is restarted when there is space."""

    name, limits = "broker-disk-full", "broker's own recovery"

    def inject(self, site: Site, target: str) -> None:
        self.break_disk(site, Disk.FULL)


@kind
class BrokerDiskReadOnly(_BrokerDisk):
    """The broker's disk refuses writes."""

    name, limits = "broker-disk-read-only", "broker's own recovery"

    def inject(self, site: Site, target: str) -> None:
        self.break_disk(site, Disk.READ_ONLY)


@kind
class BrokerDiskSlow(_BrokerDisk):
    """Every write of the broker takes 10 to 40 ms."""

    name, limits, span_s = "broker-disk-slow", "broker's disk", (2.0, 4.0)

    def inject(self, site: Site, target: str) -> None:
        self.break_disk(site, Disk.SLOW, self.chosen.uniform(10, 40))

    def heal(self, site: Site, target: str) -> None:
        self.break_disk(site, Disk.WELL)
