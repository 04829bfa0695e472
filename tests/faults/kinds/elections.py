"""Three brokers, every record on three of them, two of which must have it."""

from __future__ import annotations

import random

from tests.faults.cluster import Cluster
from tests.faults.nemesis import Fault, Setting, kind
from tests.faults.site import PARTITIONS, Site


class _Election(Fault):
    setting, mixes, span_s, limits = Setting(brokers=3, work_s=5.0), False, (1.0, 5.0), "election"

    def __init__(self, chosen: random.Random) -> None:
        super().__init__(chosen)
        self._down: list[int] = []

    def inject(self, site: Site, target: str) -> None:
        cluster = site.cluster
        assert isinstance(cluster, Cluster)
        self._down.append(self.which(cluster, site))
        cluster.kill_node(self._down[-1])

    def heal(self, site: Site, target: str) -> None:
        cluster = site.cluster
        assert isinstance(cluster, Cluster)
        cluster.start_node(self._down.pop())

    def clean(self, site: Site) -> None:
        assert isinstance(site.cluster, Cluster)
        site.cluster.start()

    def which(self, cluster: Cluster, site: Site) -> int:
        raise NotImplementedError


@kind
class LeaderKilled(_Election):
    """The leader of a partition is killed while it is written."""

    name, targets = "leader-killed", ("commands", "runs", "state")

    def inject(self, site: Site, target: str) -> None:
        self._topic = f"{site.prefix}{target}"
        super().inject(site, target)

    def which(self, cluster: Cluster, site: Site) -> int:
        return cluster.leader(self._topic, self.chosen.randrange(PARTITIONS))


@kind
class CoordinatorKilled(_Election):
    """The coordinator of a group or of a transaction is killed."""

    name, targets = "coordinator-killed", ("__consumer_offsets", "__transaction_state")

    def inject(self, site: Site, target: str) -> None:
        self._topic = target
        super().inject(site, target)

    def which(self, cluster: Cluster, site: Site) -> int:
        return cluster.leader(self._topic, self.chosen.randrange(4))
