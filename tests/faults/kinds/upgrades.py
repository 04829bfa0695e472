"""Two revisions of the engine at once: rolled out and taken back under load. The newer one decides as the older one
does, under another name."""

from __future__ import annotations

from typing import Any

from streamflow.engine.commands import KNOWN_REVISIONS, REVISION
from streamflow.kafka.engine_records import enable_revision
from tests.faults.nemesis import Fault, Setting, kind
from tests.faults.site import Site
from tests.integration import forked
from tests.integration.forked import Forked

NEXT = "9+next"


class Rolling(Forked):
    """A worker of one release or the next, as `newer` says when it is started."""

    newer = False

    def start(self) -> Forked:
        line = ["worker", self.kind, *self.options]
        self._process = forked.fork(_work, self._environment, self.log, self.newer, line)  # type: ignore[assignment]
        return self


def _work(newer: bool, line: list[str]) -> int | None:
    if newer:
        import streamflow.core.opening as opening
        import streamflow.engine.commands as commands
        import streamflow.kafka.revisions as revisions

        known: Any = KNOWN_REVISIONS | {NEXT}
        for module in (commands, revisions, opening):
            vars(module)["KNOWN_REVISIONS"] = known
        revisions.client_id.__defaults__ = (known,)
    return forked.streamflow(line)


class _Rolling(Fault):
    setting, mixes, span_s, limits = Setting(engines=2), False, (0.5, 1.0), "static membership"
    begins_newer = False

    def prepare(self, site: Site) -> None:
        def rolling(*arguments: Any) -> Rolling:
            worker = Rolling(*arguments)
            worker.newer = self.begins_newer
            return worker

        site.kinds["engine"] = rolling
        if self.begins_newer:
            enable_revision(site.settings, NEXT)

    def roll(self, site: Site, name: str, *, newer: bool) -> None:
        worker = site.workers[name]
        assert isinstance(worker, Rolling)
        site.stop(worker)
        worker.newer = newer
        worker.restart()


@kind
class RollingUpgrade(_Rolling):
    """The engines are upgraded to the next release one by one; then its revision is enabled, and runs start with it."""

    name = "rolling-upgrade"

    def inject(self, site: Site, target: str) -> None:
        self.roll(site, "engine-0", newer=True)

    def heal(self, site: Site, target: str) -> None:
        self.roll(site, "engine-1", newer=True)
        enable_revision(site.settings, NEXT)


@kind
class RollingDowngrade(_Rolling):
    """The earlier revision is enabled again; an engine that is downgraded before the newer runs have ended stops
    their partitions with an error, until a worker joins that knows the newer revision."""

    name, begins_newer = "rolling-downgrade", True

    def inject(self, site: Site, target: str) -> None:
        enable_revision(site.settings, REVISION)
        self.roll(site, "engine-0", newer=False)

    def heal(self, site: Site, target: str) -> None:
        engine = site.workers["engine-0"]

        told = ("partition_open", "partition_stopped")
        site.wait(
            lambda: bool(site.told(engine, *told)),
            "the older engine to open or stop",
            lambda: engine.log.stat().st_size,
        )
        self.roll(site, "engine-0", newer=True)
