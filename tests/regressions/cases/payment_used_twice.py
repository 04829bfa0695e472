"""An event is consumed once for each definition and business key."""

from __future__ import annotations

from tests.regressions import shop
from tests.regressions.case import Broken, case
from tests.regressions.site import Site


@case(seconds=12)
def payment_sent_again_after_its_run(site: Site) -> str:
    """A payment that a finished run consumed does not pay the next order when it is sent again with the same id."""
    shop.open_shop(site)
    shop.order(site, "o1")
    shop.pay(site, "p1")
    site.need(lambda: site.printed() == ["SHIP o1 paid by p1"], "the first order to be shipped")
    shop.order(site, "o2")
    shop.waiting(site, 2)
    shop.pay(site, "p1")
    shop.pay(site, "p2")
    return _shipped(site, ["SHIP o1 paid by p1", "SHIP o2 paid by p2"])


@case(seconds=12)
def payment_for_two_open_runs(site: Site) -> str:
    """One payment is consumed by one of two open runs of a key, the older one; the next payment by the other."""
    shop.open_shop(site)
    shop.order(site, "o1")
    shop.order(site, "o2")
    shop.waiting(site, 2)
    shop.pay(site, "p1")
    shop.pay(site, "p2")
    return _shipped(site, ["SHIP o1 paid by p1", "SHIP o2 paid by p2"])


@case(seconds=14)
def payment_for_runs_of_two_versions(site: Site) -> str:
    """One payment is consumed once for each definition name, also when two versions have an open run of the key."""
    shop.open_shop(site)
    shop.order(site, "o1")
    shop.waiting(site, 1)
    site.publish(shop.definition(version="2"), shop.CATALOG)
    shop.order(site, "o2")
    shop.waiting(site, 2)
    if {fact.version for fact in site.seen("RunStarted")} != {"1", "2"}:
        raise Broken(f"the second order did not start a run of the second version: {site.story()}")
    shop.pay(site, "p1")
    shop.pay(site, "p2")
    return _shipped(site, ["SHIP o1 paid by p1", "SHIP o2 paid by p2"])


def _shipped(site: Site, wanted: list[str]) -> str:
    printed = site.lines(len(wanted), f"the lines {wanted}")
    if printed != wanted:
        raise Broken(f"printed {printed}")
    return f"printed {printed}"
