"""Growth of the installation under load."""

from __future__ import annotations

from streamflow.kafka.generations import generations, grow
from streamflow.kafka.log_reading import read_log
from tests.faults.nemesis import Fault, kind
from tests.faults.site import Site


@kind
class PartitionsAdded(Fault):
    """A generation of twice as many partitions is added; what is under way ends where it is."""

    name, limits = "partitions-added", "the group forms again"

    def inject(self, site: Site, target: str) -> None:
        """Nothing yet: the broker may be away. What is asked for then is done when it is back."""

    def heal(self, site: Site, target: str) -> None:
        newest = generations(site.settings, read_log(site.settings))[-1]
        if newest.number < 3:
            grow(site.settings, 2 * newest.partitions)
