"""The network between the workers of one role and everything else."""

from __future__ import annotations

import itertools
import os

from tests.faults.nemesis import Fault, kind
from tests.faults.netns import Network, living_in
from tests.faults.site import ROLES, SESSION_S, Site

_numbers = itertools.count(os.getpid() % 400 * 10)


class _Network(Fault):
    needs, targets, limits = frozenset({"netns", "iptables", "tc"}), ROLES, "session"
    span_s = (0.5, SESSION_S + 2.0)

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        return frozenset({f"network of {target}"})

    def prepare(self, site: Site) -> None:
        for role in ROLES:
            if role not in site.networks:
                network = Network(next(_numbers) % 4000)
                network.make()
                site.networks[role] = network
                site.kinds[role] = living_in(network)

    def inject(self, site: Site, target: str) -> None:
        self.spoil(site.networks[target])

    def heal(self, site: Site, target: str) -> None:
        site.networks[target].well()

    def clean(self, site: Site) -> None:
        for network in site.networks.values():
            network.well()

    def spoil(self, network: Network) -> None:
        raise NotImplementedError


@kind
class NetworkCut(_Network):
    """All packets are dropped without an error at either end."""

    name = "network-cut"

    def spoil(self, network: Network) -> None:
        network.cut()


@kind
class NetworkDown(_Network):
    """The network interface is down, and senders get an error."""

    name = "network-down"

    def spoil(self, network: Network) -> None:
        network.down()


@kind
class NetworkDeaf(_Network):
    """Half-open connection: packets to the worker are dropped, packets from it arrive."""

    name = "network-deaf"

    def spoil(self, network: Network) -> None:
        network.deaf()


@kind
class NetworkMute(_Network):
    """Half-open connection: packets from the worker are dropped, packets to it arrive."""

    name = "network-mute"

    def spoil(self, network: Network) -> None:
        network.mute()


@kind
class NetworkLossy(_Network):
    """One packet in three to twenty is lost, in both directions."""

    name, span_s = "network-lossy", (2.0, 5.0)

    def spoil(self, network: Network) -> None:
        network.lossy(self.chosen.uniform(0.05, 0.3))


@kind
class NetworkNarrow(_Network):
    """A link of 100 to 400 kbit/s with a queueing delay of up to a second."""

    name, span_s = "network-narrow", (2.0, 4.0)

    def spoil(self, network: Network) -> None:
        network.narrow(self.chosen.randrange(100, 400))


@kind
class NetworkReset(_Network):
    """Every connection is reset, and new ones fail."""

    name = "network-reset"

    def spoil(self, network: Network) -> None:
        network.refuse()
