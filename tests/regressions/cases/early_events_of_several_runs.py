"""Events that come ahead of their runs are kept for every run of the key, not for the first one alone."""

from __future__ import annotations

from tests.regressions import shop
from tests.regressions.case import Broken, case
from tests.regressions.site import Site


@case(seconds=16)
def three_payments_before_three_orders(site: Site) -> str:
    """Three payments, then three orders of the same customer within the time to keep: each order is paid."""
    shop.open_shop(site, within="6s")
    for number in (1, 2, 3):
        shop.pay(site, f"p{number}")
    site.need(lambda: site.lag("ingress") == 0, "the payments to be read")
    for number in (1, 2, 3):
        shop.order(site, f"o{number}")
    printed = site.lines(3, "three orders to end")
    if sorted(line.split(" paid ")[0] for line in printed) != ["SHIP o1", "SHIP o2", "SHIP o3"]:
        raise Broken(f"printed {printed}; dead letters: {len(site.dead_letters())}")
    if len({line.rpartition(" ")[2] for line in printed}) != 3:
        raise Broken(f"one payment paid two orders: {printed}")
    return f"printed {printed}"


@case(seconds=16)
def early_payment_beside_an_open_run(site: Site) -> str:
    """A payment ahead of its order is kept although another run of the customer is open."""
    shop.open_shop(site, within="6s", after="5d")
    shop.order(site, "o1")
    shop.waiting(site, 1)
    shop.pay(site, "p1")
    site.need(lambda: len(site.printed()) == 1, "the first order to be shipped")
    shop.pay(site, "p2")
    site.need(lambda: site.lag("ingress") == 0, "the second payment to be read")
    shop.order(site, "o2")
    printed = site.lines(2, "two orders to end")
    if sorted(printed) != ["SHIP o1 paid by p1", "SHIP o2 paid by p2"]:
        raise Broken(f"printed {printed}")
    return f"printed {printed}"
