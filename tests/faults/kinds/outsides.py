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
    """Nobody listens, and what is under way is broken off."""

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
    """It does what it is asked, and answers when the attempt's time is over."""

    name, mood = "http-slow", "slow"


@kind
class HttpRefusing(_Mood):
    """It answers 503 and does nothing."""

    name, mood = "http-refusing", "refusing"


@kind
class HttpLimiting(_Mood):
    """It answers 429 and does nothing."""

    name, mood = "http-limiting", "limiting"


@kind
class HttpSilent(_Mood):
    """It does what it is asked and hangs up without a word."""

    name, mood = "http-silent", "silent"
