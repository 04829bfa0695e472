"""No clock of a worker or of a producer decides that a wait is over."""

from __future__ import annotations

import time

from tests.regressions import shop
from tests.regressions.case import Broken, case
from tests.regressions.clock import wrong_clock
from tests.regressions.site import Site

_HOUR_MS = 3_600_000


@case(seconds=30)
def ingress_an_hour_ahead(site: Site) -> str:
    """Ingress's clock is an hour ahead and ingress is away: a payment written in time still counts."""
    site.create("orders", "payments")
    site.start("engine")
    ingress = site.worker("ingress", "ingress", settings=wrong_clock(site.folder, 3600))
    site.publish(shop.definition(within="7s"), shop.CATALOG)
    shop.order(site, "o1")
    shop.waiting(site, 1, 20)
    site.pause(2)
    site.remove(ingress)
    shop.pay(site, "p1")
    site.pause(8)
    if site.seen("WaitTimedOut"):
        raise Broken(f"the wait timed out while ingress was away, though the payment was written: {site.story()}")
    site.worker("ingress", "ingress")
    printed = site.lines(1, "the order to be paid when ingress is back")
    if printed != ["SHIP o1 paid by p1"]:
        raise Broken(f"printed {printed}")
    return f"printed {printed} after ingress was back"


@case(seconds=20)
def producer_an_hour_ahead(site: Site) -> str:
    """A payment that is written in time counts although its producer's clock is an hour ahead."""
    shop.open_shop(site, within="8s")
    shop.order(site, "o1")
    shop.waiting(site, 1)
    shop.pay(site, "p1", at_ms=round(time.time() * 1000) + _HOUR_MS)
    printed = site.lines(1, "the order to end")
    if printed != ["SHIP o1 paid by p1"]:
        raise Broken(f"printed {printed}")
    return f"printed {printed}"
