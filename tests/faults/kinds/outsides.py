"""What operations call: away, slow, refusing, or silent about what it did."""

from __future__ import annotations

from typing import ClassVar

from tests.faults.nemesis import Fault, kind
from tests.faults.outside import Mood
from tests.faults.site import Site


class _Outside(Fault):
    span_s, limits = (0.8, 2.5), "the target"

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        return frozenset({"outside"})


@kind
class HttpDown(_Outside):
    """The target refuses connections, and open requests are aborted."""

    name = "http-down"

    def inject(self, site: Site, target: str) -> None:
        site.outside.down()

    def heal(self, site: Site, target: str) -> None:
        site.outside.up()

    def clean(self, site: Site) -> None:
        site.outside.up()


class _Mood(_Outside):
    mood: ClassVar[Mood]

    def inject(self, site: Site, target: str) -> None:
        site.outside.mood = self.mood

    def heal(self, site: Site, target: str) -> None:
        site.outside.mood = "well"

    def clean(self, site: Site) -> None:
        site.outside.mood = "well"


@kind
class HttpSlow(_Mood):
    """The target executes the request and answers after the attempt's timeout."""

    name, mood = "http-slow", "slow"


@kind
class HttpRefusing(_Mood):
    """The target answers 503 and does not execute the request."""

    name, mood = "http-refusing", "refusing"


@kind
class HttpLimiting(_Mood):
    """The target answers 429 and does not execute the request."""

    name, mood = "http-limiting", "limiting"


@kind
class HttpSilent(_Mood):
    """The target executes the request and closes the connection without an answer."""

    name, mood = "http-silent", "silent"
