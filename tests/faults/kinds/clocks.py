"""The clock of a worker jumps, and jumps back."""

from __future__ import annotations

from tests.faults.nemesis import Fault, kind
from tests.faults.site import Site


class _Clock(Fault):
    needs, targets, span_s, limits = frozenset({"gcc"}), ("engine", "ingress", "tasks"), (1.0, 3.0), "none"
    sign = 1

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        return frozenset({f"clock of {target}"})

    def inject(self, site: Site, target: str) -> None:
        seconds = self.sign * self.chosen.choice((0.5, 5, 60, 3600, 86_400, 365 * 86_400))
        for worker in site.of(target):
            site.shims[worker.name].clock(seconds)

    def heal(self, site: Site, target: str) -> None:
        for worker in site.of(target):
            site.shims[worker.name].clock(0)


@kind
class ClockAhead(_Clock):
    """A worker's clock is half a second to a year ahead."""

    name, sign = "clock-ahead", 1


@kind
class ClockBehind(_Clock):
    """A worker's clock is half a second to a year behind."""

    name, sign = "clock-behind", -1
